/* The plan as JSON, and a type's parameters as a JSON Schema. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/plan.h"

static json_t *node_json(const rmi_plan_node *node)
{
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:b, s:s, s:o?, s:O?, s:s*, s:i, s:i}", "id",
                  node->id, "type", node->pub.type->name, "rank", (int)node->pub.rank, "strand",
                  (int)node->pub.strand, "tier", node->pub.tier, "place", node->pub.place,
                  "inserted", node->pub.inserted, "reason", node->reason, "params",
                  json_loads(node->params_json, 0, NULL), "placement", node->placement, "part_of",
                  node->part_of, "copy", (int)node->pub.copy, "copies", (int)node->pub.copies);
    return json;
}

static json_t *when_json(const rmi_plan_edge *edge)
{
    return edge->pub.when_json ? json_loads(edge->pub.when_json, 0, NULL) : NULL;
}

static json_t *edge_json(const rm_plan *plan, const rmi_plan_edge *edge)
{
    const rmi_plan_node *from = plan->nodes[edge->pub.from_node];
    const rmi_plan_node *to = plan->nodes[edge->pub.to_node];
    char format[256];
    rm_format_print(&edge->format, format, sizeof format);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:f, s:s, s:b, s:s, s:o*, s:f}", "from", from->id,
        "from_port", from->pub.type->outputs[edge->pub.from_port].name, "to", to->id, "to_port",
        to->pub.type->inputs[edge->pub.to_port].name, "format", format, "capacity_packets",
        (int)edge->pub.capacity_packets, "capacity_packets_max",
        (int)edge->pub.capacity_packets_max, "capacity_bytes", (json_int_t)edge->pub.capacity_bytes,
        "capacity_ms", (double)edge->pub.capacity_ns / 1e6, "policy", edge->pub.policy, "link",
        edge->pub.is_link, "reason", edge->reason, "when", when_json(edge), "latency_ms_max",
        (double)edge->pub.latency_ns_max / 1e6);
}

static rm_status dump(json_t *json, size_t flags, char **ret_json, rm_error *err)
{
    char *text = json ? json_dumps(json, flags) : NULL;
    char *copy = text ? rmi_strdup(text) : NULL;
    free(text);
    json_decref(json);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory for JSON");
    }
    *ret_json = copy;
    return RM_OK;
}

rm_status rm_plan_to_json(const rm_plan *plan, char **ret_json, rm_error *err)
{
    json_t *nodes = json_array(), *edges = json_array();
    for (size_t i = 0; i < plan->node_count; i++) {
        json_array_append_new(nodes, node_json(plan->nodes[i]));
    }
    for (size_t i = 0; i < plan->edge_count; i++) {
        json_array_append_new(edges, edge_json(plan, &plan->edges[i]));
    }
    json_t *json =
        json_pack("{s:s, s:i, s:f, s:o, s:o}", "name", rm_graph_name(plan->graph), "strands",
                  (int)plan->strand_count, "latency_ms_max",
                  (double)rm_plan_latency_ns_max(plan) / 1e6, "nodes", nodes, "edges", edges);
    return dump(json, JSON_INDENT(2), ret_json, err);
}

static json_t *choices_json(const char *choices)
{
    json_t *list = json_array();
    while (choices && *choices) {
        size_t length = strcspn(choices, "|");
        json_array_append_new(list, json_stringn(choices, length));
        choices += length + (choices[length] == '|');
    }
    return list;
}

static void set_bound(json_t *schema, const char *key, double bound)
{
    if (isfinite(bound)) {
        json_object_set_new(schema, key, json_real(bound));
    }
}

static json_t *param_schema(const rm_param *p)
{
    static const char *const types[] = {[RM_PARAM_BOOL] = "boolean",
                                        [RM_PARAM_INT] = "integer",
                                        [RM_PARAM_FLOAT] = "number",
                                        [RM_PARAM_STRING] = "string",
                                        [RM_PARAM_ENUM] = "string"};
    json_t *schema = json_pack("{s:s}", "description", p->summary ? p->summary : "");
    if (p->kind < RM_PARAM_JSON) {
        json_object_set_new(schema, "type", json_string(types[p->kind]));
    }
    if (p->kind == RM_PARAM_ENUM) {
        json_object_set_new(schema, "enum", choices_json(p->choices));
    }
    if (p->min != 0 || p->max != 0) {
        set_bound(schema, "minimum", p->min);
        set_bound(schema, "maximum", p->max);
    }
    if (p->default_json) {
        json_object_set_new(schema, "default", json_loads(p->default_json, JSON_DECODE_ANY, NULL));
    }
    if (p->unit) {
        json_object_set_new(schema, "x-unit", json_string(p->unit));
    }
    if (p->flags & RM_PARAM_LIVE) {
        json_object_set_new(schema, "x-live", json_true());
    }
    return schema;
}

rm_status rm_node_type_schema(const rm_node_type *type, char **ret_json, rm_error *err)
{
    json_t *properties = json_object(), *required = json_array();
    for (const rm_param *p = type->params; p && p->name; p++) {
        json_object_set_new(properties, p->name, param_schema(p));
        if (p->flags & RM_PARAM_REQUIRED) {
            json_array_append_new(required, json_string(p->name));
        }
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:o, s:o, s:b}", "$schema",
                             "https://json-schema.org/draft/2020-12/schema", "title", type->name,
                             "type", "object", "properties", properties, "required", required,
                             "additionalProperties", (type->flags & RM_NODE_OTHER_PARAMS) != 0);
    return dump(json, JSON_INDENT(2), ret_json, err);
}
