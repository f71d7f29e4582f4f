/* hop.c — what a node costs that does nothing: ours against GStreamer's identity, both in this
 * process, on one thread, metrics on.
 *
 * The slope between chains of 10 and of 20 nodes, so that source, sink and set-up fall out; and the
 * whole chain of 10 with its ends. Processor time: each side works on one thread.
 *
 *     hop [ROUNDS [ITEMS]]
 */
#include "bench.h"
#include "gst.h"

enum { SHORT = 10, LONG = 20 };

int main(int argc, char **argv)
{
    unsigned rounds = bench_argument(argc, argv, 1, 15);
    unsigned items = bench_argument(argc, argv, 2, 50000);
    bench_chain chain = {.items = items, .burst = 1};
    bench_use_cpu_time();
    const char *identity = "identity silent=true";
    for (unsigned round = 0; round <= rounds; round++) {
        chain.passes = SHORT;
        double ours_short = bench_chain_run(&chain);
        double peer_short = bench_gst_run(identity, SHORT, items);
        chain.passes = LONG;
        double ours_long = bench_chain_run(&chain);
        double peer_long = bench_gst_run(identity, LONG, items);
        if (round == 0) {
            continue; /* warms caches, modules and plugins */
        }
        double hops = (double)items * (LONG - SHORT);
        bench_row("hop", (ours_long - ours_short) / hops, (peer_long - peer_short) / hops);
        bench_row("hop-chain", ours_short / items, peer_short / items);
    }
    return 0;
}
