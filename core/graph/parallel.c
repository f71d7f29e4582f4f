#include "graph/parallel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/params.h"

/* What waits before each copy and behind it. There a mark follows what each item gave. */
enum { PACKETS_BEFORE = 2, PACKETS_BEHIND = 8, ID_BYTES = 256 };

/* ---- may it? */

static size_t count_ports(const rm_port *ports)
{
    size_t count = 0;
    while (ports && ports[count].name) {
        count++;
    }
    return count;
}

/* Why nodes of the type run once only; NULL: they need not. */
static const char *reason_against(const rm_node_type *type)
{
    if (type->flags & RM_NODE_PYTHON && !(type->flags & RM_NODE_PROCESS)) {
        return "is Python, which runs in several copies only where its tier is worker";
    }
    if (!(type->flags & RM_NODE_PURE)) {
        return "keeps state from item to item, or does not say that it keeps none";
    }
    if (count_ports(type->inputs) != 1) {
        return "has not just one input";
    }
    return type->outputs ? NULL : "has no output in which an order could be kept";
}

void rmi_parallel_check(rmi_findings *findings, const rmi_graph_node *node, rmi_plan_node *made)
{
    json_int_t copies = json_integer_value(json_object_get(node->json, "parallel"));
    if (copies <= 1) {
        return;
    }
    const char *why = reason_against(made->pub.type);
    if (why) {
        char pointer[64];
        rm_error error = RM_ERROR_INIT;
        snprintf(pointer, sizeof pointer, "/nodes/%zu/parallel", made->manifest_index);
        (void)rm_fail_as(&error, RM_CODE_MANIFEST_VALUE, "node '%s' (%s) %s", node->id,
                         made->pub.type->name, why);
        rm_error_help(&error,
                      "leave parallel out: it is for native types without state, such as "
                      "video.scale and audio.convert, and for Python nodes with stateless = "
                      "True whose tier is worker");
        rmi_findings_add(findings, RM_SEVERITY_ERROR, pointer, &error);
        return;
    }
    made->pub.copies = (uint32_t)copies;
}

/* ---- what each part is told of the node's entry */

static char *dump(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    char *copy = text ? rmi_strdup(text) : NULL;
    free(text);
    json_decref(json);
    return copy;
}

char *rmi_plan_entry_only(const char *node_json, const char *field)
{
    json_t *node = json_loads(node_json, 0, NULL);
    json_t *one = json_object();
    json_t *value = json_object_get(node, field);
    if (value) {
        json_object_set(one, field, value);
    }
    json_decref(node);
    return dump(one);
}

char *rmi_plan_entry_without(const char *node_json, const char *field, const char *other)
{
    json_t *node = json_loads(node_json, 0, NULL);
    json_object_del(node, field);
    json_object_del(node, other);
    return dump(node);
}

/* ---- the parts */

typedef struct parts {
    rm_plan *plan;
    rm_error *err;
    rmi_plan_node *node; /* as it was; becomes the first copy */
    char id[ID_BYTES];
    char *entry;                 /* its node_json */
    uint32_t original;           /* its index */
    uint32_t copy[RM_PORTS_MAX]; /* indices */
    uint32_t copies;
    rm_format format; /* of what comes */
} parts;

static rm_status no_memory(const parts *p)
{
    return rm_fail(p->err, RM_ENOMEM, "no memory for the copies of node '%s'", p->id);
}

static rm_status tell_part(const parts *p, rmi_plan_node *node, char *takes_node_json)
{
    node->node_json = takes_node_json;
    node->part_of = rmi_strdup(p->id);
    node->pub.part_of = node->part_of;
    node->pub.copies = p->copies;
    return node->node_json && node->part_of ? RM_OK : no_memory(p);
}

/* One of the two ends: `suffix` is behind the node's id. */
static rm_status add_end(parts *p, const rm_node_type *type, const char *suffix, const char *field,
                         uint32_t *ret_index)
{
    char id[ID_BYTES];
    rmi_plan_node *end;
    snprintf(id, sizeof id, "%.120s.%.120s", p->id, suffix);
    rm_status status = rmi_plan_add_node(p->plan, type, id, "{}", &end, p->err);
    if (status != RM_OK) {
        return status;
    }
    *ret_index = (uint32_t)p->plan->node_count - 1;
    end->pub.inserted = 1;
    snprintf(end->reason, sizeof end->reason, "%s '%.80s'",
             type == &rmi_split_type ? "gives items by turns to the copies of"
                                     : "keeps the order of what comes from the copies of",
             p->id);
    return tell_part(p, end, rmi_plan_entry_only(p->entry, field));
}

static rm_status add_edge(parts *p, const rmi_plan_edge *like)
{
    rmi_plan_edge *edge;
    rm_status status = rmi_plan_add_edge(p->plan, &edge, p->err);
    if (status == RM_OK) {
        *edge = *like;
    }
    return status;
}

static rmi_plan_edge inner_edge(uint32_t packets, rm_format format)
{
    return (rmi_plan_edge){
        .pub = {.capacity_packets = packets, .capacity_packets_max = packets, .policy = "block"},
        .format = format};
}

static rm_status name_copy(parts *p, rmi_plan_node *node, uint32_t number)
{
    char id[ID_BYTES];
    snprintf(id, sizeof id, "%.120s.%u", p->id, number);
    rmi_free(node->id);
    node->id = rmi_strdup(id);
    node->pub.id = node->id;
    node->pub.copy = number;
    char told[RMI_REASON_BYTES];
    snprintf(told, sizeof told, "copy %u of %u of '%.80s'%s%.100s", number, p->copies, p->id,
             node->reason[0] ? "; " : "", node->reason);
    memcpy(node->reason, told, sizeof told);
    return node->id ? tell_part(p, node, rmi_plan_entry_without(p->entry, "merge", "pts"))
                    : no_memory(p);
}

static rm_status add_copies(parts *p)
{
    const rmi_plan_node *first = p->node;
    p->copy[0] = p->original;
    for (uint32_t i = 1; i < p->copies; i++) {
        rmi_plan_node *node;
        rm_status status =
            rmi_plan_add_node(p->plan, first->pub.type, p->id, first->params_json, &node, p->err);
        if (status != RM_OK) {
            return status;
        }
        p->copy[i] = (uint32_t)p->plan->node_count - 1;
        rmi_params_free(first->pub.type, RMI_TAKE(node->params)); /* the formats are fixed */
        node->manifest_index = first->manifest_index;
        node->pub.tier = first->pub.tier;
        node->pub.place = first->pub.place;
        node->pub.fallback = first->pub.fallback;
        node->placement = json_incref(first->placement);
        memcpy(node->reason, first->reason, sizeof node->reason);
        status = name_copy(p, node, i + 1);
        if (status != RM_OK) {
            return status;
        }
    }
    return name_copy(p, p->node, 1);
}

/* What fed the node feeds the split. */
static rm_status add_split(parts *p)
{
    uint32_t split;
    rm_status status = add_end(p, &rmi_split_type, "split", "merge", &split);
    for (size_t e = 0; status == RM_OK && e < p->plan->edge_count; e++) {
        rmi_plan_edge *edge = &p->plan->edges[e];
        if (edge->pub.to_node == p->original) {
            edge->pub.to_node = split;
            p->format = edge->format;
        }
    }
    for (uint32_t i = 0; status == RM_OK && i < p->copies; i++) {
        rmi_plan_edge edge = inner_edge(PACKETS_BEFORE, p->format);
        edge.pub.from_node = split;
        edge.pub.from_port = i;
        edge.pub.to_node = p->copy[i];
        status = add_edge(p, &edge);
    }
    return status;
}

/* What the output fed is fed by a gather. */
static rm_status add_gather(parts *p, uint32_t port)
{
    const rm_port *outputs = p->node->pub.type->outputs;
    char suffix[ID_BYTES] = "gather";
    uint32_t gather = UINT32_MAX;
    rm_status status = RM_OK;
    if (outputs[1].name) {
        snprintf(suffix, sizeof suffix, "gather.%.100s", outputs[port].name);
    }
    rmi_plan_edge inner = inner_edge(PACKETS_BEHIND, (rm_format){.kind = RM_KIND_ANY});
    for (size_t e = 0; status == RM_OK && e < p->plan->edge_count; e++) {
        rmi_plan_edge *edge = &p->plan->edges[e];
        if (edge->pub.from_node != p->original || edge->pub.from_port != port) {
            continue;
        }
        if (gather == UINT32_MAX) {
            bool repairs = strcmp(outputs[port].name, RM_DEAD_LETTER_PORT) != 0;
            status = add_end(p, &rmi_gather_type, suffix, repairs ? "pts" : "", &gather);
        }
        inner.format = edge->format;
        edge->pub.from_node = gather;
        edge->pub.from_port = 0;
    }
    for (uint32_t i = 0; gather != UINT32_MAX && status == RM_OK && i < p->copies; i++) {
        inner.pub.from_node = p->copy[i];
        inner.pub.from_port = port;
        inner.pub.to_node = gather;
        status = add_edge(p, &inner);
    }
    return status;
}

static rm_status expand(parts *p)
{
    rm_status status = add_copies(p);
    if (status == RM_OK) {
        status = add_split(p);
    }
    size_t ports = count_ports(p->node->pub.type->outputs);
    for (uint32_t port = 0; status == RM_OK && port < ports; port++) {
        status = add_gather(p, port);
    }
    return status;
}

rm_status rmi_parallel_expand(rm_plan *plan, rm_error *err)
{
    size_t count = plan->node_count; /* the copies come behind */
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < count && status == RM_OK; i++) {
        rmi_plan_node *node = plan->nodes[i];
        if (node->pub.copies > 1) {
            parts p = {.plan = plan,
                       .err = err,
                       .node = node,
                       .entry = RMI_TAKE(node->node_json),
                       .original = i,
                       .copies = node->pub.copies};
            snprintf(p.id, sizeof p.id, "%s", node->id);
            status = expand(&p);
            rmi_free(p.entry);
        }
    }
    return status;
}
