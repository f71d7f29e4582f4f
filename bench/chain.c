/* chain.c — our chain alone, for counting instructions: chain PASSES ITEMS */
#include "bench.h"

int main(int argc, char **argv)
{
    bench_chain chain = {.passes = bench_argument(argc, argv, 1, 10),
                         .items = bench_argument(argc, argv, 2, 1000),
                         .burst = 1};
    bench_note("%.2f ns an item", bench_chain_run(&chain) / chain.items);
    return 0;
}
