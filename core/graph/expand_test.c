/* expand_test.c — graphs that are nodes become a flat graph; what is wrong in them is told with its
 * place. */
#include "graph/expand.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/test.h"

RMI_DEFINE_AUTO(rm_report)

#define INNER                                                                                 \
    "{\"version\":\"v1\",\"nodes\":[{\"id\":\"p\",\"node_type\":\"x\"},{\"id\":\"q\",\"node_" \
    "type\":\"x\"}]}"
#define AROUND(graph, rest)                                                            \
    "{\"version\":\"v1\",\"nodes\":[{\"id\":\"a\",\"node_type\":\"x\"},"               \
    "{\"id\":\"g\",\"node_type\":\"graph\",\"graph\":" graph "},{\"id\":\"b\",\"node_" \
    "type\":\"x\"}]" rest "}"

/* "a>g__p g__p>g__q …", or the first error. */
static void draw(const char *json, const char *folder, char *text, size_t size)
{
    RMI_AUTO(rm_graph) graph = NULL;
    rm_error err = RM_ERROR_INIT;
    size_t used = 0;
    text[0] = '\0';
    if (rm_graph_parse_in(json, strlen(json), folder, &graph, NULL, &err) != RM_OK) {
        snprintf(text, size, "%s", err.message);
        return;
    }
    for (size_t i = 0; i < rm_graph_edge_count(graph); i++) {
        rm_graph_edge edge;
        rm_graph_node from, to;
        rm_graph_edge_at(graph, i, &edge);
        rm_graph_node_at(graph, edge.from_node, &from);
        rm_graph_node_at(graph, edge.to_node, &to);
        used += (size_t)snprintf(
            text + used, size - used, "%s%s%s%s>%s%s%s", used ? " " : "", from.id,
            edge.from_port_name ? "." : "", edge.from_port_name ? edge.from_port_name : "", to.id,
            edge.to_port_name ? "." : "", edge.to_port_name ? edge.to_port_name : "");
    }
}

static void check(const char *json, const char *want)
{
    char text[1024];
    draw(json, NULL, text, sizeof text);
    CHECK_TEXT(text, want);
}

TEST(a_graph_is_entered_and_left_by_its_loose_ends_or_by_its_ports)
{
    check(AROUND(INNER, ""), "g__p>g__q a>g__p g__q>b");
    check(AROUND("{\"version\":\"v1\",\"nodes\":[{\"id\":\"p\",\"node_type\":\"x\"},{\"id\":\"q\","
                 "\"node_type\":\"x\"}],\"connections\":[]}",
                 ""),
          "a>g__p a>g__q g__p>b g__q>b");
    check(AROUND("{\"version\":\"v1\",\"nodes\":[{\"id\":\"p\",\"node_type\":\"x\"},{\"id\":\"q\","
                 "\"node_type\":\"x\"}],\"connections\":[],\"inputs\":{\"i\":{\"node\":\"p\","
                 "\"port\":\"left\"}},\"outputs\":{\"o\":{\"node\":\"q\"},\"n\":{\"node\":\"p\"}}}",
                 ",\"connections\":[{\"from\":\"a\",\"to\":\"g\"},{\"from\":\"g\",\"from_port\":"
                 "\"o\",\"to\":\"b\",\"to_port\":\"in\"}]"),
          "a>g__p.left g__q>b.in");
}

TEST(graphs_are_in_graphs_and_in_the_outer_ports)
{
    static const char json[] =
        AROUND(AROUND(INNER, ""), ",\"outputs\":{\"o\":{\"node\":\"g\"}},\"requires\":[\"graph\"]");
    check(json, "g__g__p>g__g__q g__a>g__g__p g__g__q>g__b a>g__a g__b>b");
    RMI_AUTO(rm_graph) graph = NULL, *again = NULL;
    char *flat = NULL;
    CHECK_INT(rm_graph_parse(json, strlen(json), &graph, NULL, NULL), RM_OK);
    CHECK_INT(rm_graph_to_json(graph, &flat, NULL), RM_OK);
    CHECK_CONTAINS(flat, "\"node\": \"g__b\"");
    CHECK(strstr(flat, "\"graph\":") == NULL);
    CHECK_INT(rm_graph_parse(flat, strlen(flat), &again, NULL, NULL), RM_OK);
    CHECK_INT(rm_graph_node_count(again), 6);
    rm_free(flat);
}

static const struct {
    const char *json, *message, *pointer;
} faults[] = {
    {"{\"version\":\"v1\",\"nodes\":[{\"id\":\"g\",\"node_type\":\"graph\"}]}",
     "lacks the field \"graph\"", "/nodes/0"},
    {AROUND("{\"version\":\"v1\",\"nodes\":[]}", ""), "nodes has 0 entries",
     "/nodes/1/graph/nodes"},
    {AROUND("{\"version\":\"v1\",\"nodes\":[{\"id\":\"p\"}]}", ""), "lacks the required field",
     "/nodes/1/graph/nodes/0"},
    {AROUND("\"x.json\"", ""), "in no folder", "/nodes/1/graph"},
    {AROUND(INNER, ",\"connections\":[{\"from\":\"g\",\"from_port\":\"o\",\"to\":\"b\"}]"),
     "graph 'g' has no output 'o'", "/connections/0"},
    {AROUND("{\"version\":\"v1\",\"nodes\":[{\"id\":\"p\",\"node_type\":\"x\"}],\"connections\":[{"
            "\"from\":\"p\",\"to\":\"z\"}]}",
            ""),
     "'g__z', which does not exist", "/nodes/1/graph/connections/0/to"},
    {AROUND("{\"version\":\"v1\",\"nodes\":[{\"id\":\"p\",\"node_type\":\"x\"}],\"connections\":[],"
            "\"inputs\":{\"in\":{\"node\":\"p\"}}}",
            ",\"connections\":[{\"from\":\"a\",\"to\":\"g\",\"to_port\":\"inn\"}]"),
     "graph 'g' has no input 'inn'", "/connections/0"},
};

TEST(what_is_wrong_inside_is_told_with_its_place)
{
    for (size_t i = 0; i < RMI_COUNT(faults); i++) {
        RMI_AUTO(rm_report) report = NULL;
        rm_graph *graph = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rm_report_new(&report, NULL), RM_OK);
        CHECK(rm_graph_parse(faults[i].json, strlen(faults[i].json), &graph, report, &err) < 0);
        CHECK_CONTAINS(err.message, faults[i].message);
        CHECK_INT(rm_report_error_count(report), 1);
        if (rm_report_at(report, 0)) {
            CHECK_TEXT(rm_report_at(report, 0)->pointer, faults[i].pointer);
            CHECK(rm_report_at(report, 0)->column > 0);
        }
    }
}

TEST(a_graph_has_a_bound)
{
    char json[8192] = INNER, around[8192], text[1024];
    for (int i = 0; i < RMI_EXPAND_LEVELS_MAX + 1; i++) {
        snprintf(around, sizeof around, AROUND("%s", ""), json);
        memcpy(json, around, sizeof json);
    }
    draw(json, NULL, text, sizeof text);
    CHECK_CONTAINS(text, "node 'g' is a graph in more than 8 others");
    /* 40 nodes that are each a graph of 40. */
    char many[40 * 40];
    size_t used = (size_t)snprintf(many, sizeof many, "{\"version\":\"v1\",\"nodes\":[");
    for (int i = 0; i < 40; i++) {
        used += (size_t)snprintf(many + used, sizeof many - used,
                                 "%s{\"id\":\"n%d\",\"node_type\":\"x\"}", i ? "," : "", i);
    }
    snprintf(many + used, sizeof many - used, "],\"connections\":[]}");
    static char whole[40 * sizeof many];
    used = (size_t)snprintf(whole, sizeof whole, "{\"version\":\"v1\",\"nodes\":[");
    for (int i = 0; i < 40; i++) {
        used += (size_t)snprintf(whole + used, sizeof whole - used,
                                 "%s{\"id\":\"g%d\",\"node_type\":\"graph\",\"graph\":%s}",
                                 i ? "," : "", i, many);
    }
    snprintf(whole + used, sizeof whole - used, "],\"connections\":[]}");
    draw(whole, NULL, text, sizeof text);
    CHECK_CONTAINS(text, "more than 1000 nodes together");
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    if (file) {
        CHECK(fputs(text, file) >= 0);
        CHECK_INT(fclose(file), 0);
    }
}

TEST(a_graph_may_be_a_file_beside_the_one_that_names_it)
{
    char folder[] = "/tmp/expand_test_XXXXXX", command[128], text[1024];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(command, sizeof command, "%s/sub", folder);
    write_file(folder, "inner.json", INNER);
    write_file(folder, "broken.json", "{\"version\":\"v1\",\n\"nodes\":[{\"id\":\"p\"}]}");
    write_file(folder, "syntax.json", "{\"version\":\n");
    write_file(folder, "ring.json", AROUND("\"again.json\"", ""));
    write_file(folder, "again.json", AROUND("\"ring.json\"", ""));
    draw(AROUND("\"inner.json\"", ""), folder, text, sizeof text);
    CHECK_TEXT(text, "g__p>g__q a>g__p g__q>b");
    draw(AROUND("\"broken.json\"", ""), folder, text, sizeof text);
    CHECK_CONTAINS(text, "broken.json, line 2, column 10: nodes[0] lacks the required field");
    draw(AROUND("\"syntax.json\"", ""), folder, text, sizeof text);
    CHECK_CONTAINS(text, "syntax.json, line 2, column 0: not valid JSON");
    draw(AROUND("\"ring.json\"", ""), folder, text, sizeof text);
    CHECK_CONTAINS(text, "a graph is inside of itself: ring.json <- again.json <- ring.json");
    draw(AROUND("\"sub/../../inner.json\"", ""), folder, text, sizeof text);
    CHECK_CONTAINS(text, "want a file in the manifest's folder or below");
    draw(AROUND("\"none.json\"", ""), folder, text, sizeof text);
    CHECK_CONTAINS(text, "none.json'");
    draw(AROUND("\".\"", ""), folder, text, sizeof text);
    CHECK_CONTAINS(text, "'.' is no file");
    static const char *const files[] = {"inner.json", "broken.json", "syntax.json", "ring.json",
                                        "again.json"};
    for (size_t i = 0; i < RMI_COUNT(files); i++) {
        snprintf(command, sizeof command, "%s/%s", folder, files[i]);
        CHECK_INT(unlink(command), 0);
    }
    CHECK_INT(rmdir(folder), 0);
}

TEST(a_graph_is_expanded_whole_or_not_at_all)
{
    static const char json[] = AROUND(AROUND(INNER, ""), "");
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_graph *graph = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_graph_parse(json, strlen(json), &graph, NULL, NULL);
        struck = rmi_alloc_fault_end();
        CHECK_INT(status, struck ? RM_ENOMEM : RM_OK);
        rm_graph_free(graph);
    }
    CHECK(!struck);
}

TEST_MAIN(T(a_graph_is_entered_and_left_by_its_loose_ends_or_by_its_ports),
          T(graphs_are_in_graphs_and_in_the_outer_ports),
          T(what_is_wrong_inside_is_told_with_its_place), T(a_graph_has_a_bound),
          T(a_graph_may_be_a_file_beside_the_one_that_names_it),
          T(a_graph_is_expanded_whole_or_not_at_all))
