/* graph_test.c — every fault of a manifest is found, placed and named; good ones go round. */
#include <stdarg.h>
#include <stdlib.h>

#include <remotemedia/graph.h>

#include "base/alloc.h"
#include "base/test.h"
#include "graph/graph.h"
#include "graph/plan.h"

RMI_DEFINE_AUTO(rm_report)

static rm_status parse(const char *json, rm_graph **ret_graph, rm_report *report, rm_error *err)
{
    return rm_graph_parse(json, strlen(json), ret_graph, report, err);
}

#define NODE(id, type) "{\"id\":\"" id "\",\"node_type\":\"" type "\"}"
#define HEAD "{\"version\":\"v1\",\"nodes\":["

TEST(a_small_manifest_is_read)
{
    RMI_AUTO(rm_graph) graph = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(
        parse("{\"version\":\"v1\",\"metadata\":{\"name\":\"demo\"},\"nodes\":[" NODE(
                  "a", "test.tone") ",\n  " NODE("b",
                                                 "test.pass") "],\"connections\":[{\"from\":\"a\","
                                                              "\"to\":\"b\",\"capacity\":4,"
                                                              "\"policy\":\"latest\"}]}",
              &graph, NULL, &err),
        RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_TEXT(rm_graph_name(graph), "demo");
    CHECK_INT(rm_graph_node_count(graph), 2);
    rm_graph_node node;
    rm_graph_node_at(graph, 1, &node);
    CHECK_TEXT(node.id, "b");
    CHECK_INT(node.line, 2);
    CHECK_INT(node.column, 3);
    rm_graph_edge edge;
    rm_graph_edge_at(graph, 0, &edge);
    CHECK_INT(edge.capacity_packets, 4);
    CHECK_INT(edge.capacity_packets_max, 1024);
    CHECK_TEXT(edge.policy, "latest");
}

TEST(without_connections_each_node_feeds_the_next)
{
    RMI_AUTO(rm_graph) graph = NULL;
    CHECK_INT(
        parse(HEAD NODE("a", "x") "," NODE("b", "x") "," NODE("c", "x") "]}", &graph, NULL, NULL),
        RM_OK);
    CHECK_INT(rm_graph_edge_count(graph), 2);
}

static const struct {
    const char *json;
    rm_code code;
    const char *part, *help, *pointer;
} faults[] = {
    {"{\"version\":", RM_CODE_MANIFEST_SYNTAX, "line 1, column", "", ""},
    {"[1]", RM_CODE_MANIFEST_TYPE, "the manifest is a list, want object", "", ""},
    {"{\"version\":\"v1\",\"version\":\"v1\"}", RM_CODE_MANIFEST_DUPLICATE, "duplicate", "", ""},
    {"{\"version\":\"v2\",\"nodes\":[" NODE("a", "x") "]}", RM_CODE_MANIFEST_VERSION,
     "version is \"v2\", want \"v1\"", "a newer RemoteMedia may read it", "/version"},
    {"", RM_CODE_MANIFEST_SYNTAX, "the manifest is empty, want a JSON object",
     "the least is {\"version\": \"v1\", \"nodes\": [{\"id\": …, \"node_type\": …}]}", ""},
    {" \n\t", RM_CODE_MANIFEST_SYNTAX, "the manifest is empty",
     "the least is {\"version\": \"v1\", \"nodes\": [{\"id\": …, \"node_type\": …}]}", ""},
    {HEAD "[]]}", RM_CODE_MANIFEST_TYPE, "nodes[0] is a list, want object", "", "/nodes/0"},
    {"{\"nodes\":[" NODE("a", "x") "]}", RM_CODE_MANIFEST_MISSING,
     "lacks the required field \"version\"", "", ""},
    {"{\"version\":\"v1\",\"nodes\":[]}", RM_CODE_MANIFEST_VALUE, "nodes has 0 entries", "",
     "/nodes"},
    {HEAD "{\"id\":\"a\"}]}", RM_CODE_MANIFEST_MISSING, "node_type", "", "/nodes/0"},
    {HEAD "{\"id\":7,\"node_type\":\"x\"}]}", RM_CODE_MANIFEST_TYPE, "id is 7, want string", "",
     "/nodes/0/id"},
    {HEAD NODE("a b", "x") "]}", RM_CODE_MANIFEST_VALUE, "\"a b\"", "", "/nodes/0/id"},
    {HEAD NODE("a", "x") "," NODE("a", "x") "]}", RM_CODE_MANIFEST_DUPLICATE, "which node 1 has",
     "", "/nodes/1/id"},
    {HEAD NODE("alpha", "x") "," NODE("b",
                                      "x") "],\"connections\":[{\"from\":\"alhpa\",\"to\":\"b\"}]}",
     RM_CODE_CONNECTION_DANGLING, "'alhpa', which does not exist", "did you mean 'alpha'?",
     "/connections/0/from"},
    {HEAD NODE("a", "x") "],\"connections\":[{\"from\":\"a\",\"to\":\"a\"}]}",
     RM_CODE_CONNECTION_CYCLE, "connected to itself", "", "/connections/0/to"},
    {HEAD NODE("a", "x") "," NODE("b", "x") "," NODE(
         "c", "x") "],\"connections\":[{\"from\":\"a\",\"to\":\"b\"},{\"from\":\"b\",\"to\":\"c\"},"
                   "{\"from\":\"c\",\"to\":\"b\"}]}",
     RM_CODE_CONNECTION_CYCLE, "b -> c -> b", "", "/connections"},
    {HEAD NODE("a", "x") "," NODE(
         "b", "x") "],\"connections\":[{\"from\":\"a\",\"to\":\"b\",\"capacity\":0}]}",
     RM_CODE_MANIFEST_VALUE, "capacity is 0, want 1 to 65536", "", "/connections/0/capacity"},
    {HEAD NODE("a", "x") "," NODE(
         "b", "x") "],\"connections\":[{\"from\":\"a\",\"to\":\"b\",\"policy\":\"drop_oldst\"}]}",
     RM_CODE_MANIFEST_VALUE, "want one of block", "did you mean \"drop_oldest\"?",
     "/connections/0/policy"},
    {HEAD NODE("a", "x") "," NODE("b", "x") "],\"connections\":[{\"from\":\"a\",\"to\":\"b\","
                                            "\"when\":{\"field\":\"size\",\"equals\":1}}]}",
     RM_CODE_MANIFEST_VALUE, "field is \"size\", want the form", "", "/connections/0/when/field"},
    {HEAD NODE("a", "x") "," NODE("b", "x") "],\"connections\":[{\"from\":\"a\",\"to\":\"b\","
                                            "\"when\":{\"field\":\"value.x\"}}]}",
     RM_CODE_MANIFEST_VALUE, "compares with nothing", "", "/connections/0/when"},
    {HEAD NODE("a", "x") "," NODE("b", "x") "],\"connections\":[{\"from\":\"a\",\"to\":\"b\","
                                            "\"when\":{\"field\":\"kind\",\"equals\":\"adio\"}}]}",
     RM_CODE_MANIFEST_VALUE, "'adio', which is no kind", "did you mean 'audio'?",
     "/connections/0/when"},
    {"{\"version\":\"v1\",\"requires\":[\"ports\",\"sandbox\"],\"nodes\":[" NODE("a", "x") "]}",
     RM_CODE_MANIFEST_REQUIRES, "'sandbox'", "a newer RemoteMedia may know it", "/requires/1"},
    {HEAD "{\"id\":\"a\",\"node_type\":\"x\",\"on_error\":\"explode\"}]}", RM_CODE_MANIFEST_VALUE,
     "explode", "", "/nodes/0/on_error"},
    {"{\"version\":\"v1\",\"inputs\":{\"mic\":{\"node\":\"z\"}},\"nodes\":[" NODE("a", "x") "]}",
     RM_CODE_CONNECTION_DANGLING, "'z'", "", "/inputs/mic/node"},
};

TEST(each_fault_is_found_and_named)
{
    for (size_t i = 0; i < RMI_COUNT(faults); i++) {
        RMI_AUTO(rm_report) report = NULL;
        rm_graph *graph = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rm_report_new(&report, NULL), RM_OK);
        CHECK(parse(faults[i].json, &graph, report, &err) < 0);
        CHECK(graph == NULL);
        CHECK_INT(err.code, faults[i].code);
        CHECK_CONTAINS(err.message, faults[i].part);
        CHECK_TEXT(err.help, faults[i].help);
        CHECK_INT(rm_report_error_count(report), 1);
        if (rm_report_at(report, 0)) {
            CHECK_TEXT(rm_report_at(report, 0)->pointer, faults[i].pointer);
        }
    }
}

TEST(two_errors_are_both_reported_with_their_place)
{
    RMI_AUTO(rm_report) report = NULL;
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK(parse("{\"version\": \"v1\",\n \"nodes\": [\n  {\"id\": \"a\", \"node_type\": 5},\n"
                "  {\"id\": \"\", \"node_type\": \"x\"}]}",
                &graph, report, &err) < 0);
    CHECK(rm_report_error_count(report) >= 2);
    CHECK_INT(rm_report_at(report, 0)->line, 3);
    CHECK_INT(rm_report_at(report, 0)->column, 28);
    CHECK_INT(rm_report_at(report, 1)->line, 4);
    CHECK_CONTAINS(err.message, "line 3, column 28: node_type is 5");
}

TEST(a_refused_manifest_still_tells_about_its_nodes)
{
    static const char json[] = "{\"version\": \"v1\", \"nodes\": [\n"
                               "  {\"id\": \"a\", \"node_type\": \"no.such\"}],\n"
                               " \"connections\": [{\"from\": \"a\", \"to\": \"z\"}]}";
    RMI_AUTO(rm_report) report = NULL;
    rm_graph *graph = NULL;
    rm_registry *registry = NULL;
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK(parse(json, &graph, report, NULL) < 0);
    CHECK_INT(rm_report_error_count(report), 1);
    CHECK_INT(rm_graph_check_nodes(json, strlen(json), registry, report), RM_ENOENT);
    CHECK_INT(rm_report_error_count(report), 2);
    CHECK_INT(rm_report_at(report, 1)->code, RM_CODE_NODE_TYPE_UNKNOWN);
    CHECK_INT(rm_report_at(report, 1)->line, 2);
    CHECK_INT(rm_graph_check_nodes("{", 1, registry, report), RM_OK); /* nothing can be said */
    CHECK_INT(rm_report_error_count(report), 2);
    rm_registry_free(registry);
}

TEST(a_misspelt_field_is_a_warning)
{
    RMI_AUTO(rm_report) report = NULL;
    RMI_AUTO(rm_graph) graph = NULL;
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK_INT(
        parse(HEAD
              "{\"id\":\"a\",\"node_type\":\"x\",\"parms\":{},\"x-colour\":1,\"whatever\":1}]}",
              &graph, report, NULL),
        RM_OK);
    CHECK_INT(rm_report_count(report), 1);
    CHECK_INT(rm_report_at(report, 0)->severity, RM_SEVERITY_WARNING);
    CHECK_TEXT(rm_report_at(report, 0)->help, "did you mean \"params\"?");
}

TEST(a_huge_or_deep_text_is_refused)
{
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    size_t depth = 1000000;
    char *deep = malloc(2 * depth + 1);
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    CHECK(rm_graph_parse(deep, 2 * depth, &graph, NULL, &err) < 0);
    CHECK_INT(err.code, RM_CODE_MANIFEST_TOO_LARGE);
    free(deep);
    CHECK(rm_graph_parse("{}", (size_t)100 << 20, &graph, NULL, &err) < 0);
    CHECK_INT(err.code, RM_CODE_MANIFEST_TOO_LARGE);
}

/* ---- the limits */

/* `nodes` nodes in a chain (the first one of type `first`); then `extra` connections more, each
 * from a node to the one `extra_step` further. */
static char *large(unsigned nodes, const char *first, unsigned extra, unsigned extra_step)
{
    size_t size = 256 + 64 * (size_t)(2 * nodes + extra), used = 0;
    char *text = malloc(size);
    used += (size_t)snprintf(text + used, size - used, HEAD);
    for (unsigned i = 0; i < nodes; i++) {
        used +=
            (size_t)snprintf(text + used, size - used, "%s\n{\"id\":\"n%u\",\"node_type\":\"%s\"}",
                             i ? "," : "", i, i ? "t.pass" : first);
    }
    used += (size_t)snprintf(text + used, size - used, "],\n\"connections\":[");
    for (unsigned i = 1; i < nodes; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s\n{\"from\":\"n%u\",\"to\":\"n%u\"}",
                                 i > 1 ? "," : "", i - 1, i);
    }
    for (unsigned i = 0; i < extra; i++) {
        unsigned from = extra_step ? i % (nodes - extra_step) : 0;
        used += (size_t)snprintf(text + used, size - used, ",\n{\"from\":\"n%u\",\"to\":\"n%u\"}",
                                 from, extra_step ? from + extra_step : 2 + i);
    }
    snprintf(text + used, size - used, "]}");
    return text;
}

static rm_status parse_large(unsigned nodes, unsigned extra, rm_graph **ret_graph, rm_error *err)
{
    char *text = large(nodes, "t.pass", extra, 2);
    rm_status status = parse(text, ret_graph, NULL, err);
    free(text);
    return status;
}

TEST(a_graph_has_1000_nodes_and_10000_connections_and_no_more)
{
    static const struct {
        unsigned nodes, connections;
        const char *error;
    } rows[] = {{999, 998, NULL},
                {1000, 999, NULL},
                {1001, 1000, "line 1, column 25: nodes has 1001 entries, want 1 to 1000"},
                {1000, 9999, NULL},
                {1000, 10000, NULL},
                {1000, 10001, "connections has 10001 entries, want 0 to 10000"}};
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        RMI_AUTO(rm_graph) graph = NULL;
        rm_error err = RM_ERROR_INIT;
        rm_status status =
            parse_large(rows[i].nodes, rows[i].connections - (rows[i].nodes - 1), &graph, &err);
        CHECK_INT(status, rows[i].error ? RM_EINVAL : RM_OK);
        CHECK_CONTAINS(err.message, rows[i].error ? rows[i].error : "");
        if (graph) {
            CHECK_INT(rm_graph_node_count(graph), rows[i].nodes);
            CHECK_INT(rm_graph_edge_count(graph), rows[i].connections);
            rm_graph_node node;
            rm_graph_node_at(graph, 998, &node);
            CHECK_INT(node.line, 1000);
            CHECK_INT(node.column, 1);
        }
    }
}

TEST(a_thousand_findings_are_placed_and_more_are_counted)
{
    RMI_AUTO(rm_report) report = NULL;
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    enum { WRONG = 3000 };
    char *text = malloc(128 * WRONG);
    size_t used = (size_t)snprintf(text, 128, HEAD NODE("node1", "x") "],\"connections\":[");
    for (unsigned i = 0; i < WRONG; i++) {
        used += (size_t)snprintf(text + used, 128, "%s\n  {\"from\":\"node2\", \"to\":\"zzzz%u\"}",
                                 i ? "," : "", i);
    }
    snprintf(text + used, 128, "]}");
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK_INT(parse(text, &graph, report, &err), RM_EINVAL);
    free(text);
    CHECK_CONTAINS(err.message, "line 2, column 11: connection 'from' names node 'node2'");
    CHECK_INT(rm_report_error_count(report), 2 * WRONG);
    CHECK_INT(rm_report_count(report), 1000);
    for (uint32_t i = 0; i < rm_report_count(report); i++) {
        const rm_finding *finding = rm_report_at(report, i);
        CHECK_INT(finding->line, 2 + i / 2);
        CHECK_INT(finding->column, i % 2 ? 25 : 11);
        CHECK_TEXT(finding->help, i % 2 ? "" : "did you mean 'node1'?");
    }
}

TEST(places_are_found_in_any_order)
{
    static const char json[] = "{\"b\": [1, {\"x\": \"é\", \"y\": {\"z/~\": 3}},\n [], 4],\n"
                               " \"a\": {\"long\": [[0, 1], [2, 3]]}}";
    static const struct {
        const char *pointer;
        uint32_t line, column;
    } rows[] = {{"", 1, 1},          {"/b/1/y/z~1~0", 1, 35}, {"/b/3", 2, 6},
                {"/b/1/x", 1, 17},   {"/a/long/1/0", 3, 26},  {"/a/long/0/1", 3, 21},
                {"/b/0", 1, 8},      {"/b/1/y", 1, 27},       {"/a/none/1", 3, 7},
                {"/b/9/x", 1, 7},    {"/b/2/0", 2, 2},        {"/a/long/1/1", 3, 29},
                {"/b/1/q/z", 1, 11}, {"/none", 1, 1},         {"/b/3/3/3", 2, 6}};
    rmi_locator locator;
    rmi_locator_init(&locator, json, strlen(json));
    for (size_t i = 0; i < RMI_COUNT(rows) * RMI_COUNT(rows); i++) { /* each after each */
        for (int second = 0; second < 2; second++) {
            size_t row = second ? i % RMI_COUNT(rows) : i / RMI_COUNT(rows);
            uint32_t line, column;
            rmi_locate(&locator, rows[row].pointer, &line, &column);
            if (line != rows[row].line || column != rows[row].column) {
                RMI_TEST_FAIL("%s is at %u:%u, want %u:%u", rows[row].pointer, line, column,
                              rows[row].line, rows[row].column);
            }
        }
    }
}

TEST(inline_text_becomes_a_graph)
{
    RMI_AUTO(rm_graph) graph = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_graph_parse_inline("media.read path=a.wav ! audio.level id=meter window_ms=20.5 "
                                    "! my.node text=\"a ! b\" list=[1, 2] ! audio.level",
                                    &graph, &err),
              RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_INT(rm_graph_node_count(graph), 4);
    CHECK_INT(rm_graph_edge_count(graph), 3);
    rm_graph_node node;
    rm_graph_node_at(graph, 0, &node);
    CHECK_TEXT(node.id, "read");
    CHECK_TEXT(node.params_json, "{\"path\":\"a.wav\"}");
    rm_graph_node_at(graph, 1, &node);
    CHECK_TEXT(node.id, "meter");
    CHECK_TEXT(node.params_json, "{\"window_ms\":20.5}");
    rm_graph_node_at(graph, 2, &node);
    CHECK_TEXT(node.params_json, "{\"text\":\"a ! b\",\"list\":[1,2]}");
    rm_graph_node_at(graph, 3, &node);
    CHECK_TEXT(node.id, "level");
}

TEST(a_wrong_inline_text_names_the_column)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"", "column 1: want a node type"},
        {"a.b !", "column 6: want a node type"},
        {"! a.b", "column 1"},
        {"a.b path", "column 5: want name=value"},
        {"a.b =x", "column 5"},
        {"a.b text=\"open", "column 5: a quote"},
        {"a.b list=[1", "column 5: a quote"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_graph *graph = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK(rm_graph_parse_inline(rows[i].text, &graph, &err) < 0);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST(a_parameter_is_replaced_in_a_copy)
{
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_graph) changed = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_graph_parse_inline("a.tone hz=440 ! b.sink", &graph, NULL), RM_OK);
    CHECK_INT(rm_graph_set_param(graph, "tone", "hz", "880", &changed, NULL), RM_OK);
    rm_graph_node node;
    rm_graph_node_at(changed, 0, &node);
    CHECK_TEXT(node.params_json, "{\"hz\":880}");
    rm_graph_node_at(graph, 0, &node);
    CHECK_TEXT(node.params_json, "{\"hz\":440}");
    rm_graph *none = NULL;
    CHECK(rm_graph_set_param(graph, "tnoe", "hz", "1", &none, &err) < 0);
    CHECK_TEXT(err.help, "did you mean 'tone'?");
    char *json = NULL;
    CHECK_INT(rm_graph_to_json(changed, &json, NULL), RM_OK);
    RMI_AUTO(rm_graph) again = NULL;
    CHECK_INT(parse(json, &again, NULL, &err), RM_OK);
    CHECK_INT(rm_graph_node_count(again), 2);
    rm_free(json);
}

/* ---- plans, on types made here */

static rm_status nothing(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_DONE;
}

typedef struct convert_params {
    int64_t channels, sample_format, rate_hz, layout;
    bool planar;
} convert_params;

static rm_status narrow(const void *params, const rm_format *in, rm_format *out, rm_error *err)
{
    const convert_params *p = params;
    (void)err;
    out[0] = in[0];
    if (p->channels) {
        out[0].field[1] = (rm_field){RM_FIELD_SET, 1, {p->channels}};
    }
    if (p->sample_format) {
        out[0].field[2] = (rm_field){RM_FIELD_SET, 1, {p->sample_format + 1}};
    }
    if (p->rate_hz) {
        out[0].field[0] = (rm_field){RM_FIELD_SET, 1, {p->rate_hz}};
    }
    return RM_OK;
}

static const rm_param convert_table[] = {
    {.name = "channels",
     .kind = RM_PARAM_INT,
     .offset = offsetof(convert_params, channels),
     .max = 8},
    {.name = "sample_format",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(convert_params, sample_format),
     .choices = "same|u8|s16|s32|f32|f64"},
    {.name = "rate_hz", .kind = RM_PARAM_INT, .offset = offsetof(convert_params, rate_hz)},
    {.name = "planar", .kind = RM_PARAM_BOOL, .offset = offsetof(convert_params, planar)},
    {.name = "layout",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(convert_params, layout),
     .choices = "keep|interleaved|planar"},
    {0},
};

static rm_registry *test_registry(void)
{
    static rm_node_type types[10];
    static const rm_port movie_out[] = {
        {.name = "audio", .formats = "audio"}, {.name = "text", .formats = "text"}, {0}};
    static const struct {
        const char *name, *in, *out;
        bool convert;
    } rows[] = {
        {"t.mic", NULL, "audio rate_hz=48000,44100 channels=2,1 sample_format=s16 planar=0", false},
        {"t.vad", "audio rate_hz=16000,8000 channels=1 sample_format=f32", "text", false},
        {"t.opus", "audio rate_hz=48000,24000,16000 channels=1,2 sample_format=s16,f32", NULL,
         false},
        {"t.text", "text", NULL, false},
        {"t.file", NULL, "audio", false},
        {"audio.convert", "audio", "audio", true},
        {"audio.resample", "audio", "audio", true},
        {"t.movie", NULL, "audio", false},
        {"t.planes", "audio planar=1", NULL, false},
        {"t.said", NULL, "text", false},
    };
    rm_registry *registry = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        static rm_port ports[10][2][2];
        types[i] = (rm_node_type){
            .struct_size = sizeof(rm_node_type), .name = rows[i].name, .process = nothing};
        ports[i][0][0] = (rm_port){.name = "in", .formats = rows[i].in};
        ports[i][1][0] = (rm_port){.name = "out", .formats = rows[i].out};
        types[i].inputs = rows[i].in ? ports[i][0] : NULL;
        types[i].outputs = rows[i].out ? ports[i][1] : NULL;
        if (strcmp(rows[i].name, "t.movie") == 0) {
            types[i].outputs = movie_out;
        }
        if (rows[i].convert) {
            types[i].plan = narrow;
            types[i].params = convert_table;
            types[i].params_size = sizeof(convert_params);
        }
        CHECK_INT(rm_registry_add(registry, &types[i], NULL), RM_OK);
    }
    return registry;
}

/* The plan as "a>b:format …", or its error. */
static void plan_text(const char *inline_text, char *text, size_t size)
{
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_registry) registry = test_registry();
    RMI_AUTO(rm_plan) plan = NULL;
    rm_error err = RM_ERROR_INIT;
    text[0] = '\0';
    CHECK_INT(rm_graph_parse_inline(inline_text, &graph, &err), RM_OK);
    if (rm_graph_plan(graph, registry, NULL, &plan, NULL, &err) != RM_OK) {
        snprintf(text, size, "%s", err.message);
        return;
    }
    for (size_t i = 0; i < rm_plan_edge_count(plan); i++) {
        rm_plan_edge edge;
        rm_plan_node from, to;
        char format[160];
        rm_plan_edge_at(plan, i, &edge);
        rm_plan_node_at(plan, edge.from_node, &from);
        rm_plan_node_at(plan, edge.to_node, &to);
        rm_format_print(edge.format, format, sizeof format);
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s>%s:%s", used ? "\n" : "", from.type->name,
                 to.type->name, format);
    }
}

TEST(formats_are_negotiated_and_converters_inserted)
{
    char text[1024];
    plan_text("t.mic ! t.opus", text, sizeof text);
    CHECK_TEXT(text, "t.mic>t.opus:audio rate_hz=48000 channels=2 sample_format=s16 planar=0");
    plan_text("t.mic ! t.vad ! t.text", text, sizeof text);
    CHECK_TEXT(text,
               "t.mic>audio.convert:audio rate_hz=48000 channels=2 sample_format=s16 planar=0\n"
               "t.vad>t.text:text\n"
               "audio.convert>audio.resample:audio rate_hz=48000 channels=1 "
               "sample_format=f32 planar=0\n"
               "audio.resample>t.vad:audio rate_hz=16000 channels=1 sample_format=f32 planar=0");
    plan_text("t.file ! t.opus", text, sizeof text);
    CHECK_CONTAINS(text, "t.file>audio.convert:audio\n");
    CHECK_CONTAINS(text, "audio.resample>t.opus:audio rate_hz=48000 channels=1 sample_format=s16");
    plan_text("t.mic ! t.planes", text, sizeof text);
    CHECK_CONTAINS(text, "audio.convert>t.planes:audio rate_hz=48000 channels=2 sample_format=s16 "
                         "planar=1");
    plan_text("t.mic ! t.text", text, sizeof text);
    CHECK_CONTAINS(text, "mic.out gives audio");
    CHECK_CONTAINS(text, "takes text: kind differs");
}

TEST(an_output_that_is_not_named_is_the_first_that_fits)
{
    char text[1024];
    plan_text("t.movie ! t.text", text, sizeof text);
    CHECK_TEXT(text, "t.movie>t.text:text");
    plan_text("t.movie ! audio.convert", text, sizeof text);
    CHECK_TEXT(text, "t.movie>audio.convert:audio");
}

TEST(wrong_nodes_and_parameters_are_all_reported)
{
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_registry) registry = test_registry();
    RMI_AUTO(rm_report) report = NULL;
    rm_plan *plan = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK_INT(
        parse(HEAD NODE("a", "t.mik") ",{\"id\":\"b\",\"node_type\":\"audio.convert\",\"params\":"
                                      "{\"chanels\":1,\"planar\":3,\"channels\":99,\"sample_"
                                      "format\":\"f31\"}}," NODE("c", "mymodule:Class") "]}",
              &graph, NULL, NULL),
        RM_OK);
    CHECK(rm_graph_plan(graph, registry, NULL, &plan, report, &err) < 0);
    static const struct {
        rm_code code;
        const char *part, *help, *pointer;
    } want[] = {
        {RM_CODE_NODE_TYPE_UNKNOWN, "'t.mik'", "did you mean 't.mic'?", "/nodes/0/node_type"},
        {RM_CODE_PARAM_UNKNOWN, "no parameter 'chanels'", "did you mean 'channels'?",
         "/nodes/1/params/chanels"},
        {RM_CODE_PARAM_TYPE, "planar is 3 (an integer), want true or false", "",
         "/nodes/1/params/planar"},
        {RM_CODE_PARAM_RANGE, "channels is 99, want 0 to 8", "", "/nodes/1/params/channels"},
        {RM_CODE_PARAM_RANGE, "want one of same|u8", "", "/nodes/1/params/sample_format"},
        {RM_CODE_TIER_MISSING, "cannot run Python nodes", NULL, "/nodes/2/node_type"},
    };
    CHECK_INT(rm_report_count(report), RMI_COUNT(want));
    for (size_t i = 0; i < RMI_COUNT(want) && rm_report_at(report, i); i++) {
        const rm_finding *finding = rm_report_at(report, i);
        CHECK_INT(finding->code, want[i].code);
        CHECK_CONTAINS(finding->message, want[i].part);
        CHECK_TEXT(finding->pointer, want[i].pointer);
        CHECK_INT(finding->line, 1);
        if (want[i].help) {
            CHECK_TEXT(finding->help, want[i].help);
        }
    }
}

TEST(a_slip_beside_other_parameters_is_a_warning)
{
    static const rm_port in[] = {{.name = "in"}, {0}};
    static const rm_node_type type = {.struct_size = sizeof(rm_node_type),
                                      .name = "t.open",
                                      .flags = RM_NODE_OTHER_PARAMS,
                                      .process = nothing,
                                      .inputs = in,
                                      .params = convert_table,
                                      .params_size = sizeof(convert_params)};
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_registry) registry = test_registry();
    RMI_AUTO(rm_report) report = NULL;
    RMI_AUTO(rm_plan) plan = NULL;
    RMI_AUTO_MEMORY char *schema = NULL;
    CHECK_INT(rm_registry_add(registry, &type, NULL), RM_OK);
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK_INT(rm_graph_parse_inline("t.mic ! t.open rate_hs=8000 depth=3 channels=2", &graph, NULL),
              RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, NULL, &plan, report, NULL), RM_OK);
    CHECK_INT(rm_report_count(report), 1);
    const rm_finding *finding = rm_report_at(report, 0);
    CHECK_INT(finding->severity, RM_SEVERITY_WARNING);
    CHECK_INT(finding->code, RM_CODE_PARAM_UNKNOWN);
    CHECK_TEXT(finding->message, "node 'open': t.open takes any parameter, also 'rate_hs'");
    CHECK_TEXT(finding->help, "did you mean 'rate_hz'?");
    CHECK_TEXT(finding->pointer, "/nodes/1/params/rate_hs");
    CHECK_INT(rm_node_type_schema(&type, &schema, NULL), RM_OK);
    CHECK_CONTAINS(schema, "\"additionalProperties\": true");
}

TEST(a_wrong_port_or_an_unfed_input_is_named)
{
    RMI_AUTO(rm_registry) registry = test_registry();
    static const struct {
        const char *json, *part;
    } rows[] = {
        {HEAD NODE("a", "t.mic") "," NODE(
             "b",
             "t.opus") "],\"connections\":[{\"from\":\"a\",\"to\":\"b\",\"to_port\":\"inn\"}]}",
         "no input port 'inn'"},
        {HEAD NODE("a", "t.mic") "," NODE("b", "t.mic") "]}", "has no input"},
        {HEAD NODE("a", "t.opus") "]}", "input 'in' of node 'a' is connected to nothing"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        RMI_AUTO(rm_graph) graph = NULL;
        rm_plan *plan = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(parse(rows[i].json, &graph, NULL, NULL), RM_OK);
        CHECK(rm_graph_plan(graph, registry, NULL, &plan, NULL, &err) < 0);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

/* A graph of `nodes` with an arm more from the first node to each of `extra` others; planned. */
static rm_status plan_wide(unsigned nodes, unsigned extra, rm_error *err)
{
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_plan) plan = NULL;
    rm_registry *registry = NULL;
    char *text = large(nodes, "t.origin", extra, 0);
    CHECK_INT(parse(text, &graph, NULL, err), RM_OK);
    free(text);
    static const rm_port in[] = {{.name = "in"}, {0}}, out[] = {{.name = "out"}, {0}};
    static const rm_port same[] = {{.name = "out", .same_as = "in"}, {0}};
    static const rm_node_type origin = {.struct_size = sizeof origin,
                                        .name = "t.origin",
                                        .summary = "begins",
                                        .outputs = out,
                                        .process = nothing};
    static const rm_node_type pass = {.struct_size = sizeof pass,
                                      .name = "t.pass",
                                      .summary = "passes, on a thread of its own",
                                      .flags = RM_NODE_BLOCKS,
                                      .inputs = in,
                                      .outputs = same,
                                      .process = nothing};
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_registry_add(registry, &origin, NULL), RM_OK);
    CHECK_INT(rm_registry_add(registry, &pass, NULL), RM_OK);
    rm_status status = graph ? rm_graph_plan(graph, registry, NULL, &plan, NULL, err) : RM_EFAIL;
    if (plan) {
        CHECK_INT(rm_plan_node_count(plan), nodes);
        CHECK(rm_plan_strand_count(plan) <= RMI_PLAN_STRANDS_MAX);
        rm_plan_node last;
        rm_plan_node_at(plan, nodes - 1, &last);
        CHECK_TEXT(last.id[0] == 'n' ? "" : last.id, "");
        CHECK_CONTAINS(last.reason, nodes < 60 ? "a thread of its own" : "on the home strand");
    }
    rm_plan_free(RMI_TAKE(plan));
    rm_registry_free(registry);
    return status;
}

TEST(a_plan_holds_no_more_than_a_session_can)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(plan_wide(10, 0, &err), RM_OK);
    CHECK_INT(plan_wide(1000, 0, &err), RM_OK);
    CHECK_INT(plan_wide(70, 62, &err), RM_OK);
    CHECK_INT(plan_wide(70, 63, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_INT(plan_wide(70, 64, &err), RM_ELIMIT);
    CHECK_INT(err.code, RM_CODE_MANIFEST_TOO_LARGE);
    CHECK_CONTAINS(err.message, "output 'out' of node 'n0' has 65 connections, want at most 64");
}

typedef struct text_buffer {
    char *text;
    size_t used, size;
} text_buffer;

__attribute__((format(printf, 2, 3))) static void put(text_buffer *b, const char *format, ...)
{
    va_list words;
    va_start(words, format);
    b->used += (size_t)vsnprintf(b->text + b->used, b->size - b->used, format, words);
    va_end(words);
    CHECK(b->used < b->size);
}

/* The error of planning a manifest; NULL: there is none. Frees the text. */
static rm_error plan_error(text_buffer *b)
{
    RMI_AUTO(rm_registry) registry = test_registry();
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_plan) plan = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(parse(b->text, &graph, NULL, &err), RM_OK);
    rm_status status = rm_graph_plan(graph, registry, NULL, &plan, NULL, &err);
    CHECK_INT(status == RM_OK, err.status == RM_OK);
    free(b->text);
    return err;
}

static text_buffer text_of(size_t size)
{
    return (text_buffer){.text = malloc(size), .size = size};
}

/* `outer` inputs of the graph that all feed one node, and as many sources that do. */
static rm_error plan_crowd(unsigned outer, unsigned sources)
{
    text_buffer b = text_of(64 << 10);
    put(&b, "{\"version\":\"v1\",\"inputs\":{");
    for (unsigned i = 0; i < outer; i++) {
        put(&b, "%s\"i%u\":{\"node\":\"all\"}", i ? "," : "", i);
    }
    put(&b, "},\"nodes\":[" NODE("all", "t.text"));
    for (unsigned i = 0; i < sources; i++) {
        put(&b, ",{\"id\":\"s%u\",\"node_type\":\"t.said\"}", i);
    }
    put(&b, "],\"connections\":[");
    for (unsigned i = 0; i < sources; i++) {
        put(&b, "%s{\"from\":\"s%u\",\"to\":\"all\"}", i ? "," : "", i);
    }
    put(&b, "]}");
    return plan_error(&b);
}

TEST(the_inputs_of_a_graph_and_of_a_node_are_bounded)
{
    CHECK_TEXT(plan_crowd(64, 0).message, "");
    CHECK_TEXT(plan_crowd(65, 0).message,
               "line 1, column 26: inputs has 65 entries, want at most 64");
    CHECK_TEXT(plan_crowd(0, 64).message, "");
    CHECK_TEXT(plan_crowd(1, 63).message, "");
    CHECK_TEXT(
        plan_crowd(1, 64).message,
        "line 1, column 57: the input side of node 'all' has 65 connections, want at most 64");
}

/* Each of `from` sources feeds 40 nodes, over two converters each. */
static rm_error plan_converted(unsigned from)
{
    text_buffer b = text_of(1 << 20);
    put(&b, HEAD);
    for (unsigned i = 0; i < from; i++) {
        put(&b, "%s{\"id\":\"m%u\",\"node_type\":\"t.mic\"}", i ? "," : "", i);
    }
    for (unsigned i = 0; i < 40; i++) {
        put(&b,
            ","
            "{\"id\":\"v%u\",\"node_type\":\"t.vad\"}",
            i);
    }
    put(&b, "],\"connections\":[");
    for (unsigned i = 0; i < from * 40; i++) {
        put(&b, "%s{\"from\":\"m%u\",\"to\":\"v%u\"}", i ? "," : "", i / 40, i % 40);
    }
    put(&b, "]}");
    return plan_error(&b);
}

TEST(converters_count_as_nodes)
{
    CHECK_TEXT(plan_converted(50).message, "");
    rm_error err = plan_converted(52);
    CHECK_TEXT(err.message, "line 1, column 25: the graph has 4252 nodes with the converters "
                            "between them, want at most 4096");
    CHECK_INT(err.code, RM_CODE_MANIFEST_TOO_LARGE);
}

TEST(dead_letters_have_a_port_of_their_own)
{
    static const struct {
        const char *nodes, *connections, *finding;
    } rows[] = {
        {"{\"id\":\"m\",\"node_type\":\"t.mic\"},"
         "{\"id\":\"o\",\"node_type\":\"t.opus\",\"on_error\":\"dead_letter\"},"
         "{\"id\":\"d\",\"node_type\":\"t.opus\"}",
         "{\"from\":\"m\",\"to\":\"o\"},"
         "{\"from\":\"o\",\"from_port\":\"dead_letter\",\"to\":\"d\"}",
         ""},
        {"{\"id\":\"m\",\"node_type\":\"t.mic\"},"
         "{\"id\":\"o\",\"node_type\":\"t.opus\",\"on_error\":\"dead_letter\"}",
         "{\"from\":\"m\",\"to\":\"o\"}", "the dead letters of node 'o' go nowhere"},
        {"{\"id\":\"m\",\"node_type\":\"t.mic\",\"on_error\":"
         "{\"policy\":\"retry\",\"then\":\"dead_letter\"}},"
         "{\"id\":\"o\",\"node_type\":\"t.opus\"}",
         "{\"from\":\"m\",\"to\":\"o\"}", "node 'm' (t.mic) has no input for a dead letter"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        RMI_AUTO(rm_registry) registry = test_registry();
        RMI_AUTO(rm_graph) graph = NULL;
        RMI_AUTO(rm_plan) plan = NULL;
        RMI_AUTO(rm_report) report = NULL;
        char text[1024];
        snprintf(text, sizeof text, "{\"version\":\"v1\",\"nodes\":[%s],\"connections\":[%s]}",
                 rows[i].nodes, rows[i].connections);
        CHECK_INT(parse(text, &graph, NULL, NULL), RM_OK);
        CHECK_INT(rm_report_new(&report, NULL), RM_OK);
        rm_status status = rm_graph_plan(graph, registry, NULL, &plan, report, NULL);
        CHECK_INT(status, i < 2 ? RM_OK : RM_EINVAL);
        CHECK_INT(rm_report_count(report), rows[i].finding[0] != '\0');
        if (rows[i].finding[0]) {
            CHECK_CONTAINS(rm_report_at(report, 0)->message, rows[i].finding);
        }
    }
}

TEST(graph_ports_become_nodes_and_the_plan_prints)
{
    RMI_AUTO(rm_registry) registry = test_registry();
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_plan) plan = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(
        parse("{\"version\":\"v1\",\"inputs\":{\"mic\":{\"node\":\"v\"}},\"outputs\":"
              "{\"text\":{\"node\":\"v\",\"port\":\"out\"}},\"nodes\":[" NODE("v", "t.vad") "]}",
              &graph, NULL, &err),
        RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, NULL, &plan, NULL, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    char *json = NULL;
    CHECK_INT(rm_plan_to_json(plan, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, "\"from\": \"inputs.mic\"");
    CHECK_CONTAINS(json, "\"to\": \"outputs.text\"");
    CHECK_CONTAINS(json, "home strand");
    rm_free(json);
    rm_node_type type = {.name = "t.x", .params = convert_table};
    CHECK_INT(rm_node_type_schema(&type, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, "\"maximum\": 8.0");
    CHECK_CONTAINS(json, "\"enum\": [");
    rm_free(json);
}

TEST(each_failed_allocation_is_an_error)
{
    RMI_AUTO(rm_registry) registry = test_registry();
    for (unsigned nth = 1; nth < 2000; nth++) {
        rm_graph *graph = NULL;
        rm_plan *plan = NULL;
        rm_error err = RM_ERROR_INIT;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_graph_parse_inline("t.mic ! t.vad ! t.text", &graph, &err);
        if (status == RM_OK) {
            status = rm_graph_plan(graph, registry, NULL, &plan, NULL, &err);
        }
        bool struck = rmi_alloc_fault_end();
        CHECK(struck ? status == RM_ENOMEM || status == RM_OK : status == RM_OK);
        rm_plan_free(plan);
        rm_graph_free(graph);
        if (!struck) {
            return;
        }
    }
    CHECK(!"an end");
}

TEST_MAIN(T(a_small_manifest_is_read), T(without_connections_each_node_feeds_the_next),
          T(each_fault_is_found_and_named), T(two_errors_are_both_reported_with_their_place),
          T(a_refused_manifest_still_tells_about_its_nodes), T(a_misspelt_field_is_a_warning),
          T(a_huge_or_deep_text_is_refused), T(inline_text_becomes_a_graph),
          T(a_wrong_inline_text_names_the_column), T(a_parameter_is_replaced_in_a_copy),
          T(formats_are_negotiated_and_converters_inserted),
          T(an_output_that_is_not_named_is_the_first_that_fits),
          T(wrong_nodes_and_parameters_are_all_reported),
          T(a_slip_beside_other_parameters_is_a_warning),
          T(a_wrong_port_or_an_unfed_input_is_named),
          T(a_graph_has_1000_nodes_and_10000_connections_and_no_more),
          T(a_thousand_findings_are_placed_and_more_are_counted), T(places_are_found_in_any_order),
          T(a_plan_holds_no_more_than_a_session_can),
          T(the_inputs_of_a_graph_and_of_a_node_are_bounded), T(converters_count_as_nodes),
          T(dead_letters_have_a_port_of_their_own), T(graph_ports_become_nodes_and_the_plan_prints),
          T(each_failed_allocation_is_an_error))
