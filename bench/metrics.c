/* metrics.c — what the numbers cost that a session keeps: a chain of 10 nodes that work 1 µs each,
 * with metrics and without (metrics_off: no clock is read, nothing goes into a histogram; counting
 * the packets of each node and edge stays, a few instructions that no switch takes out).
 *
 *     metrics [ROUNDS [ITEMS]]
 */
#include "bench.h"

enum { NODES = 10, NODE_NS = 1000, TRIES = 9 };

static unsigned turns; /* that take NODE_NS */

static uint64_t work(uint64_t seed, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
    }
    return seed;
}

static rm_status work_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    uint64_t *state = node->state;
    *state = work(*state + 1, turns);
    return rm_forward(node, 0);
}

static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port out[] = {{.name = "out", .same_as = "in"}, {0}};
static const rm_node_type work_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "bench.work",
    .summary = "Work for a microsecond",
    .inputs = in,
    .outputs = out,
    .state_size = sizeof(uint64_t),
    .process = work_process,
};

static void measure_turns(void)
{
    enum { MANY = 1000000 };
    double least_ns = 1e18;
    uint64_t seed = 1;
    for (unsigned i = 0; i < TRIES; i++) {
        double begin_ns = bench_now_ns();
        seed = work(seed, MANY);
        double took_ns = bench_now_ns() - begin_ns;
        least_ns = took_ns < least_ns ? took_ns : least_ns;
    }
    turns = seed ? (unsigned)(NODE_NS * (double)MANY / least_ns) : 1;
}

int main(int argc, char **argv)
{
    unsigned rounds = bench_argument(argc, argv, 1, 21);
    unsigned items = bench_argument(argc, argv, 2, 8000);
    bench_chain chain = {.items = items, .burst = 1, .passes = NODES, .type = &work_type};
    bench_use_cpu_time();
    measure_turns();
    for (unsigned round = 0; round <= rounds; round++) {
        double took_ns[2];
        for (unsigned i = 0; i < 2; i++) {
            unsigned off = (i + round) % 2; /* each comes first in every second round */
            chain.metrics_off = off;
            took_ns[off] = bench_chain_run(&chain);
        }
        if (round) {
            bench_row("metrics", took_ns[0] / items / 1e3, took_ns[1] / items / 1e3);
        }
    }
    return 0;
}
