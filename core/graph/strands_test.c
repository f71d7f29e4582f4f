/* strands_test.c — where nodes live: what blocks and what is heavy, and who stays with whom. */
#include <stdio.h>

#include <remotemedia/graph.h>

#include "base/alloc.h"
#include "base/test.h"
#include "graph/graph.h"
#include "graph/plan.h"

static rm_status nothing(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_OK;
}

static rm_registry *make_registry(void)
{
    static const rm_port in[] = {{.name = "in"}, {0}}, out[] = {{.name = "out"}, {0}};
    static rm_node_type types[] = {
        {.name = "t.blocks", .flags = RM_NODE_BLOCKS, .outputs = out},
        {.name = "t.live", .flags = RM_NODE_BLOCKS | RM_NODE_LIVE, .outputs = out},
        {.name = "t.fetch", .flags = RM_NODE_BLOCKS, .inputs = in, .outputs = out},
        {.name = "t.heavy", .flags = RM_NODE_HEAVY, .inputs = in, .outputs = out},
        {.name = "t.light", .inputs = in, .outputs = out}};
    rm_registry *registry = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        types[i].struct_size = sizeof types[i];
        types[i].summary = "is placed";
        types[i].process = nothing;
        CHECK_INT(rm_registry_add(registry, &types[i], NULL), RM_OK);
    }
    return registry;
}

typedef struct pair {
    const char *a, *b;
} pair;

/* nodes: id and type; edges: from and to; both end with {0}. `output` is one of the graph. */
static rm_plan *plan_of(rm_registry *registry, const pair *nodes, const pair *edges,
                        const char *output, rm_plan_options options)
{
    RMI_AUTO(rm_graph) graph = NULL;
    rm_plan *plan = NULL;
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "{\"version\":\"v1\",\"outputs\":{\"o\":{\"node\":\"%s\"}},"
                                   "\"nodes\":[",
                                   output);
    for (size_t i = 0; nodes[i].a; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%s{\"id\":\"%s\",\"node_type\":\"%s\"}", i ? "," : "", nodes[i].a,
                                 nodes[i].b);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "],\"connections\":[");
    for (size_t i = 0; edges[i].a; i++) {
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s{\"from\":\"%s\",\"to\":\"%s\"}",
                             i ? "," : "", edges[i].a, edges[i].b);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "]}");
    options.struct_size = sizeof options;
    CHECK_INT(rm_graph_parse(text, used, &graph, NULL, NULL), RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, &options, &plan, NULL, NULL), RM_OK);
    return plan;
}

static rm_plan_node node_of(const rm_plan *plan, const char *id)
{
    rm_plan_node node = {0};
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node_at(plan, i, &node);
        if (strcmp(node.id, id) == 0) {
            return node;
        }
    }
    CHECK(!"there is no such node");
    return node;
}

static uint32_t strand_of(const rm_plan *plan, const char *id)
{
    return node_of(plan, id).strand;
}

TEST(a_light_node_stays_on_the_media_thread_that_alone_feeds_it)
{
    static const pair nodes[] = {{"blocks", "t.blocks"},
                                 {"first", "t.light"},
                                 {"heavy", "t.heavy"},
                                 {"near", "t.light"},
                                 {"nearer", "t.light"},
                                 {"mixed", "t.light"},
                                 {0}};
    static const pair edges[] = {{"blocks", "first"},
                                 {"first", "heavy"},
                                 {"heavy", "near"},
                                 {"near", "nearer"},
                                 {"near", "mixed"},
                                 {"first", "mixed"},
                                 {0}};
    RMI_AUTO(rm_registry) registry = make_registry();
    RMI_AUTO(rm_plan) plan = plan_of(registry, nodes, edges, "nearer", (rm_plan_options){0});
    uint32_t media = strand_of(plan, "heavy");
    CHECK(media > strand_of(plan, "blocks"));
    CHECK_INT(strand_of(plan, "first"), 0); /* a call of `blocks` would hold it up */
    CHECK_INT(strand_of(plan, "near"), media);
    CHECK_INT(strand_of(plan, "nearer"), media);
    CHECK_INT(strand_of(plan, "mixed"), 0);
    CHECK_INT(strand_of(plan, "outputs.o"), 0); /* the host takes from it */
    CHECK_INT(rm_plan_strand_count(plan), 3);
}

static rm_plan *plan_film(rm_registry *registry, rm_plan_options options)
{
    static const pair nodes[] = {{"file", "t.blocks"},
                                 {"camera", "t.live"},
                                 {"fetch", "t.fetch"},
                                 {"scale", "t.heavy"},
                                 {"other", "t.heavy"},
                                 {"encode", "t.heavy"},
                                 {"fetched", "t.heavy"},
                                 {"crop", "t.heavy"},
                                 {"level", "t.light"},
                                 {"beside", "t.light"},
                                 {0}};
    static const pair edges[] = {{"file", "scale"},  {"file", "other"},    {"file", "beside"},
                                 {"scale", "level"}, {"scale", "crop"},    {"camera", "encode"},
                                 {"level", "fetch"}, {"fetch", "fetched"}, {0}};
    return plan_of(registry, nodes, edges, "level", options);
}

TEST(with_few_processors_a_heavy_node_shares_the_thread_of_its_source)
{
    RMI_AUTO(rm_registry) registry = make_registry();
    RMI_AUTO(rm_plan) plan = plan_film(registry, (rm_plan_options){.processors = 2});
    uint32_t file = strand_of(plan, "file"), media = strand_of(plan, "other");
    CHECK_INT(strand_of(plan, "scale"), file);
    CHECK_CONTAINS(node_of(plan, "scale").reason, "few processors: on the thread of the source");
    CHECK_INT(strand_of(plan, "level"), file);
    CHECK_INT(strand_of(plan, "beside"), 0); /* it would wait for the next read */
    CHECK(media != file && media);           /* one is enough for a thread */
    CHECK_INT(strand_of(plan, "crop"), media);
    CHECK_INT(strand_of(plan, "encode"), media);  /* a camera cannot wait for it */
    CHECK_INT(strand_of(plan, "fetched"), media); /* `fetch` has a queue before it */
    CHECK_INT(rm_plan_strand_count(plan), 5);
}

TEST(with_more_processors_or_when_told_so_it_does_not)
{
    RMI_AUTO(rm_registry) registry = make_registry();
    static const rm_plan_options options[] = {{.processors = 4},
                                              {.processors = 2, .media_threads = 1}};
    for (size_t i = 0; i < RMI_COUNT(options); i++) {
        RMI_AUTO(rm_plan) plan = plan_film(registry, options[i]);
        CHECK(strand_of(plan, "scale") != strand_of(plan, "file"));
        CHECK_CONTAINS(node_of(plan, "scale").reason, "heavy: on a media thread");
        CHECK_INT(strand_of(plan, "level"), strand_of(plan, "scale"));
        CHECK_INT(rm_plan_strand_count(plan), 4 + (i ? 1 : 3));
    }
}

TEST_MAIN(T(a_light_node_stays_on_the_media_thread_that_alone_feeds_it),
          T(with_few_processors_a_heavy_node_shares_the_thread_of_its_source),
          T(with_more_processors_or_when_told_so_it_does_not))
