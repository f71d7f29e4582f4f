/* manifest_fuzz.c — any text as a manifest and as an inline pipeline: refused with a code and a
 * message, or a graph that prints as a manifest that is read again, and plans or says why not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <remotemedia/graph.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static rm_status ignore(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_OK;
}

static const rm_param params[] = {
    {.name = "rate_hz", .kind = RM_PARAM_INT, .default_json = "16000", .min = 1, .max = 192000},
    {.name = "path", .kind = RM_PARAM_STRING, .offset = 8, .flags = RM_PARAM_REQUIRED},
    {.name = "mode",
     .kind = RM_PARAM_ENUM,
     .offset = 16,
     .choices = "a|b",
     .default_json = "\"a\""},
    {.name = "any", .kind = RM_PARAM_JSON, .offset = 24},
    {0}};
static const rm_port in[] = {{.name = "in", .formats = "audio rate_hz=8000..48000 | text"}, {0}};
static const rm_port out[] = {
    {.name = "out", .formats = "audio sample_format=f32"}, {.name = "b"}, {0}};
static const rm_node_type types[] = {
    {.struct_size = sizeof(rm_node_type),
     .name = "a.b",
     .summary = "with everything",
     .inputs = in,
     .outputs = out,
     .params = params,
     .params_size = 32,
     .process = ignore},
    {.struct_size = sizeof(rm_node_type), .name = "a.source", .outputs = out, .process = ignore},
    {.struct_size = sizeof(rm_node_type), .name = "a.sink", .inputs = in, .process = ignore},
};

static rm_registry *registry_of_types(void)
{
    rm_registry *registry = NULL;
    if (rm_registry_new(&registry, NULL) != RM_OK) {
        abort();
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (rm_registry_add(registry, &types[i], NULL) != RM_OK) {
            abort();
        }
    }
    return registry;
}

/* Every failure says what failed. */
static void must_be_told(rm_status status, const rm_error *err)
{
    if (status != RM_OK && (status > 0 || err->code == 0 || err->message[0] == '\0')) {
        abort();
    }
}

static void plan(rm_graph *graph)
{
    static rm_registry *registry;
    rm_error err = RM_ERROR_INIT;
    rm_plan *made = NULL;
    char *json = NULL;
    if (!registry) {
        registry = registry_of_types();
    }
    must_be_told(rm_graph_plan(graph, registry, NULL, &made, NULL, &err), &err);
    if (made && rm_plan_to_json(made, &json, NULL) != RM_OK) {
        abort();
    }
    rm_free(json);
    rm_plan_free(made);
}

static void print_and_read_again(rm_graph *graph)
{
    rm_error err = RM_ERROR_INIT;
    rm_graph *again = NULL;
    char *json = NULL;
    if (rm_graph_to_json(graph, &json, &err) != RM_OK ||
        rm_graph_parse(json, strlen(json), &again, NULL, &err) != RM_OK ||
        rm_graph_node_count(again) != rm_graph_node_count(graph)) {
        abort();
    }
    rm_graph_free(again);
    rm_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    rm_error err = RM_ERROR_INIT;
    rm_report *report = NULL;
    rm_graph *graph = NULL;
    char text[512];
    if (rm_report_new(&report, NULL) != RM_OK) {
        abort();
    }
    must_be_told(rm_graph_parse((const char *)data, bytes, &graph, report, &err), &err);
    if (!graph && rm_report_error_count(report) == 0) {
        abort();
    }
    if (!graph && bytes < sizeof text) {
        memcpy(text, data, bytes);
        text[bytes] = '\0';
        must_be_told(rm_graph_parse_inline(text, &graph, &err), &err);
    }
    if (graph) {
        print_and_read_again(graph);
        plan(graph);
    }
    rm_graph_free(graph);
    rm_report_free(report);
    return 0;
}
