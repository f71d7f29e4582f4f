/* `remotemedia explain PIPELINE`: the plan, with the reason of each choice. */
#include <string.h>

#include "cli.h"

static json_t *plan_json(const rm_plan *plan)
{
    char *text = NULL;
    if (rm_plan_to_json(plan, &text, NULL) != RM_OK) {
        return NULL;
    }
    json_t *json = json_loads(text, 0, NULL);
    rm_free(text);
    return json;
}

static void print_reason(bool color, const char *reason, unsigned indent)
{
    printf("%*s%s", (int)indent, "", cli_paint(color, CLI_DIM));
    cli_print_wrapped(stdout, reason, indent, cli_width(1));
    printf("%s", cli_reset(color));
}

static const char *port_of(const rm_port *ports, uint32_t index)
{
    return ports[index].name;
}

static void print_edge(bool color, const rm_plan *plan, const rm_plan_edge *edge)
{
    char format[256];
    rm_plan_node from, to;
    rm_plan_node_at(plan, edge->from_node, &from);
    rm_plan_node_at(plan, edge->to_node, &to);
    rm_format_print(edge->format, format, sizeof format);
    printf("   %s %s%s.%s -> %s.%s%s\n", cli_is_utf8() ? "└" : "-", cli_paint(color, CLI_CYAN),
           from.id, port_of(from.type->outputs, edge->from_port), to.id,
           port_of(to.type->inputs, edge->to_port), cli_reset(color));
    printf("     %s\n",
           edge->format->kind == RM_KIND_ANY ? "any format, known once it runs" : format);
    printf("     queue of %u packets, up to %u", edge->capacity_packets,
           edge->capacity_packets_max);
    if (edge->capacity_bytes) {
        char bytes[32];
        printf(", %s", cli_bytes((double)edge->capacity_bytes, bytes, sizeof bytes));
    }
    if (edge->capacity_ns) {
        printf(", %g ms", (double)edge->capacity_ns / 1e6);
    }
    printf("; when full: %s%s\n", edge->policy, edge->is_link ? "; a link between threads" : "");
    if (edge->latency_ns_max) {
        printf("     latency budget: %g ms\n", (double)edge->latency_ns_max / 1e6);
    }
    if (edge->when_json) {
        printf("     only packets for which: %s\n", edge->when_json);
    }
    if (edge->reason[0]) {
        print_reason(color, edge->reason, 5);
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Where it runs and why, and what was refused; nothing where nobody asked for anything. */
static void print_placement(bool color, const json_t *placement)
{
    const json_t *refused = json_object_get(placement, "refused");
    if (!json_is_true(json_object_get(placement, "wished"))) {
        return;
    }
    printf("   at %s%s%s", cli_paint(color, CLI_BOLD), text_of(placement, "place"),
           cli_reset(color));
    if (text_of(placement, "fallback")[0]) {
        printf(", else %s", text_of(placement, "fallback"));
    }
    printf("\n");
    print_reason(color, text_of(placement, "reason"), 3);
    for (size_t i = 0; i < json_array_size(refused); i++) {
        const json_t *row = json_array_get(refused, i);
        char line[1024];
        const char *change = text_of(row, "change");
        snprintf(line, sizeof line, "not %s: %s%s%s", text_of(row, "what"), text_of(row, "reason"),
                 change[0] ? "; it would take " : "", change);
        print_reason(color, line, 3);
    }
}

static void print_node(bool color, const rm_plan *plan, size_t index, const json_t *all)
{
    const json_t *json = json_array_get(json_object_get(all, "nodes"), index);
    rm_plan_node node;
    rm_plan_edge edge;
    rm_plan_node_at(plan, index, &node);
    printf("\n%2zu %s%s%s  %s%s\n", index + 1, cli_paint(color, CLI_BOLD), node.id,
           cli_reset(color), node.type->name, node.inserted ? "  (inserted by the plan)" : "");
    printf("   %s, %s %u\n", node.tier, node.strand ? "strand" : "home strand", node.strand);
    print_reason(color, node.reason, 3);
    print_placement(color, json_object_get(json, "placement"));
    for (size_t i = 0; i < rm_plan_edge_count(plan); i++) {
        rm_plan_edge_at(plan, i, &edge);
        if (edge.from_node == index) {
            print_edge(color, plan, &edge);
        }
    }
}

int cli_explain_plan(const cli *state, const cli_pipeline *pipeline)
{
    const rm_plan *plan = pipeline->plan;
    if (state->json) {
        return cli_print_json(plan_json(plan), 2);
    }
    bool color = state->color_out;
    size_t nodes = rm_plan_node_count(plan), strands = rm_plan_strand_count(plan);
    printf("%s%s%s: %zu node%s on %zu strand%s\n", cli_paint(color, CLI_BOLD),
           rm_graph_name(pipeline->graph), cli_reset(color), nodes, nodes == 1 ? "" : "s", strands,
           strands == 1 ? "" : "s");
    if (rm_plan_latency_ns_max(plan)) {
        printf("latency budget from source to sink: %g ms\n",
               (double)rm_plan_latency_ns_max(plan) / 1e6);
    }
    json_t *all = plan_json(plan);
    for (size_t i = 0; i < nodes; i++) {
        print_node(color, plan, i, all);
    }
    json_decref(all);
    return CLI_OK;
}

int cli_explain(cli *state, const cli_arguments *arguments)
{
    rm_error err = RM_ERROR_INIT;
    cli_pipeline pipeline;
    rm_status status =
        cli_pipeline_read(state, arguments->operand[0], CLI_TO_LOOK, &pipeline, &err);
    const char *text;
    for (unsigned i = 0; status == RM_OK && (text = cli_value_at(arguments, "set", i)); i++) {
        status = cli_pipeline_set(&pipeline, text, &err);
        if (status != RM_OK) {
            cli_pipeline_release(&pipeline);
            return cli_fail(state, &err, CLI_USAGE);
        }
    }
    if (status == RM_OK && cli_pipeline_machine(&pipeline, arguments, &err) != RM_OK) {
        cli_pipeline_release(&pipeline);
        return cli_fail(state, &err, CLI_USAGE);
    }
    if (status == RM_OK) {
        status = cli_pipeline_plan(state, &pipeline, &err);
    }
    if (status == RM_OK) {
        cli_print_warnings(state, pipeline.source, pipeline.report);
    }
    int code = status == RM_OK ? cli_explain_plan(state, &pipeline)
                               : cli_fail_findings(state, pipeline.source, pipeline.report, &err,
                                                   CLI_BAD_MANIFEST);
    cli_pipeline_release(&pipeline);
    return code;
}
