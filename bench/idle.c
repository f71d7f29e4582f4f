/* idle.c — opens sessions that have nothing to do, each with a node on a thread of its own, says
 * so, and waits for the end of its input. idle.py looks on.
 *
 *     idle [SESSIONS]
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

enum { SESSIONS_MAX = 1000 };

static const char manifest[] =
    "{\"version\": \"v1\", \"inputs\": {\"in\": {\"node\": \"a\"}}, "
    "\"outputs\": {\"out\": {\"node\": \"c\"}}, \"nodes\": ["
    "{\"id\": \"a\", \"node_type\": \"test.pass\"}, {\"id\": \"b\", \"node_type\": "
    "\"bench.heavy\"}, "
    "{\"id\": \"c\", \"node_type\": \"test.pass\"}], \"connections\": ["
    "{\"from\": \"a\", \"to\": \"b\"}, {\"from\": \"b\", \"to\": \"c\"}]}";

static rm_status pass_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port out[] = {{.name = "out", .same_as = "in"}, {0}};
static const rm_node_type heavy_type = {.struct_size = sizeof(rm_node_type),
                                        .name = "bench.heavy",
                                        .summary = "Pass, on a thread",
                                        .flags = RM_NODE_HEAVY,
                                        .inputs = in,
                                        .outputs = out,
                                        .process = pass_process};

int main(int argc, char **argv)
{
    static rm_session *sessions[SESSIONS_MAX];
    unsigned count = bench_argument(argc, argv, 1, 50);
    count = count < SESSIONS_MAX ? count : SESSIONS_MAX;
    rm_error error = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    bench_check(rm_registry_new(&registry, &error), &error);
    bench_check(rm_registry_add(registry, &heavy_type, &error), &error);
    bench_check(rm_graph_parse(manifest, strlen(manifest), &graph, NULL, &error), &error);
    bench_check(rm_graph_plan(graph, registry, NULL, &plan, NULL, &error), &error);
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_THREAD};
    for (unsigned i = 0; i < count; i++) {
        bench_check(rm_session_open(plan, &options, &sessions[i], &error), &error);
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    for (unsigned i = 0; i < count; i++) {
        rm_session_free(sessions[i]);
    }
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
    return 0;
}
