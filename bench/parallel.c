/* parallel.c — a heavy node in two copies ("parallel": 2) against the same node alone, and against
 * two bare threads that do the same work. It works half a millisecond a packet on the processor;
 * the sink finds the packets in their order. Time from the opening of the session to its end.
 *
 *     parallel [ROUNDS [ITEMS]]
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

enum { WORK_STEPS = 250000 }; /* of about 2 ns */

static void work(void)
{
    volatile uint32_t number = 1;
    for (unsigned i = 0; i < WORK_STEPS; i++) {
        number = number * 1664525u + 1013904223u;
    }
}

static rm_status heavy_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    work();
    return rm_forward(node, 0);
}

static const rm_port in[] = {{.name = "in"}, {0}}, out[] = {{.name = "out", .same_as = "in"}, {0}};

static const rm_node_type heavy_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "bench.heavy",
    .summary = "Work for half a millisecond",
    .flags = RM_NODE_HEAVY | RM_NODE_PURE,
    .inputs = in,
    .outputs = out,
    .process = heavy_process,
};

static double run(unsigned copies, unsigned items)
{
    char json[512];
    rm_error error = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_session *session = NULL;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_THREAD};
    snprintf(json, sizeof json,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"source\",\"node_type\":\"bench.source\","
             "\"params\":{\"items\":%u}},{\"id\":\"heavy\",\"node_type\":\"bench.heavy\","
             "\"parallel\":%u},{\"id\":\"sink\",\"node_type\":\"bench.sink\"}]}",
             items, copies);
    bench_check(rm_registry_new(&registry, &error), &error);
    bench_registry_add(registry);
    bench_check(rm_registry_add(registry, &heavy_type, &error), &error);
    bench_check(rm_graph_parse(json, strlen(json), &graph, NULL, &error), &error);
    bench_check(rm_graph_plan(graph, registry, NULL, &plan, NULL, &error), &error);
    double begin_ns = bench_now_ns();
    bench_check(rm_session_open(plan, &options, &session, &error), &error);
    if (rm_session_wait(session, -1) != RM_DONE) {
        (void)rm_session_error(session, &error);
        bench_fail("the run ended with: %s", error.message);
    }
    double took_ns = bench_now_ns() - begin_ns;
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
    return took_ns;
}

static void *work_for_items(void *items)
{
    for (unsigned i = 0; i < *(unsigned *)items; i++) {
        work();
    }
    return NULL;
}

static double run_bare(unsigned items)
{
    pthread_t thread;
    unsigned half = items / 2, rest = items - half;
    double begin_ns = bench_now_ns();
    if (pthread_create(&thread, NULL, work_for_items, &half) != 0) {
        bench_fail("no thread");
    }
    (void)work_for_items(&rest);
    pthread_join(thread, NULL);
    return bench_now_ns() - begin_ns;
}

int main(int argc, char **argv)
{
    unsigned rounds = bench_argument(argc, argv, 1, 9);
    unsigned items = bench_argument(argc, argv, 2, 400);
    for (unsigned round = 0; round <= rounds; round++) {
        double alone = run(1, items) / items / 1e3, two = run(2, items) / items / 1e3;
        double bare = run_bare(items) / items / 1e3;
        if (round > 0) { /* the first one warms */
            bench_row("parallel", two, alone);
            bench_row("parallel-bare", two, bare);
        }
    }
    return 0;
}
