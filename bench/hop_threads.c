/* hop_threads.c — what it costs to go to another thread: source and sink on two strands with a
 * thread each, against GStreamer's queue and against a bare ring of the same form (ring.h), all of
 * as many slots, all with packets that are used again.
 *
 * Time from the first packet to the last, a packet; "one" is a source that gives one packet a call
 * (each may need a wake), "burst" one that gives eight. GStreamer's queue wakes at each buffer, so
 * its figure is the same in both. The cost of going between cores drifts by more than what is
 * measured: hence many short rounds, and ratios within a round. "line": against one cache line that
 * goes from one core to the other and does nothing else. "core": both threads of each side
 * share one processor, where nothing goes between caches and all that counts is the work itself.
 *
 *     hop_threads [ROUNDS [ITEMS]]
 */
#include <sched.h>

#include "bench.h"
#include "gst.h"
#include "ring.h"

enum { SLOTS = 256, BURST = 8 };

static double ours(unsigned items, unsigned burst)
{
    bench_chain chain = {.items = items, .burst = burst, .capacity = SLOTS, .two_threads = true};
    return bench_chain_run(&chain) / items;
}

/* From here on this thread, and those that it makes, run on one processor of these; false: there is
 * only one, so that nothing changes. */
static bool use_one_processor(const cpu_set_t *allowed)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++) {
        if (CPU_ISSET(cpu, allowed)) {
            CPU_SET(cpu, &one);
        }
    }
    return CPU_COUNT(allowed) > 1 && sched_setaffinity(0, sizeof one, &one) == 0;
}

/* Both sides on one processor. */
static void share_a_core(unsigned items)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || !use_one_processor(&allowed)) {
        return;
    }
    double one = ours(items, 1), bare_one = bench_ring_run(items, 1, SLOTS) / items;
    double bare_burst = bench_ring_run(items, BURST, SLOTS) / items, burst = ours(items, BURST);
    bench_row("hop-threads-one-core", one, bare_one);
    bench_row("hop-threads-burst-core", burst, bare_burst);
    if (sched_setaffinity(0, sizeof allowed, &allowed) != 0) {
        bench_fail("the processors are not to be had back");
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = bench_argument(argc, argv, 1, 31);
    unsigned items = bench_argument(argc, argv, 2, 40000) / BURST * BURST;
    if (items < BURST) {
        bench_fail("want at least %d items", BURST);
    }
    for (unsigned round = 0; round <= rounds; round++) {
        double one = ours(items, 1), bare_one = bench_ring_run(items, 1, SLOTS) / items;
        double queue =
            bench_gst_run("queue max-size-buffers=256 max-size-bytes=0 max-size-time=0", 1, items) /
            items;
        double bare_burst = bench_ring_run(items, BURST, SLOTS) / items;
        double burst = ours(items, BURST), line = bench_line_run(items);
        if (round == 0) {
            continue; /* warms caches, modules and plugins */
        }
        bench_row("hop-threads-one", one, queue);
        bench_row("hop-threads-burst", burst, queue);
        bench_row("hop-threads-one-ring", one, bare_one);
        bench_row("hop-threads-burst-ring", burst, bare_burst);
        bench_row("hop-threads-one-line", one, line);
        share_a_core(items);
    }
    return 0;
}
