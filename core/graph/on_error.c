#include "graph/on_error.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "graph/parallel.h"

enum { PACKETS_TO_FALLBACK = 4, PACKETS_BEHIND = 16, ID_BYTES = 256 };

/* ---- ports */

static const char *last_policy(const json_t *on_error)
{
    const json_t *policy =
        json_is_object(on_error) ? json_object_get(on_error, "policy") : on_error;
    const char *first = json_is_string(policy) ? json_string_value(policy) : "";
    const json_t *then = json_object_get(on_error, "then");
    if (strcmp(first, "retry") == 0) {
        return json_is_string(then) ? json_string_value(then) : "";
    }
    return first;
}

const char *rmi_on_error_port(const json_t *node)
{
    static const char *const ports[] = {RM_DEAD_LETTER_PORT, RM_FALLBACK_PORT};
    const char *policy = last_policy(json_object_get(node, "on_error"));
    for (size_t i = 0; i < RMI_COUNT(ports); i++) {
        if (strcmp(policy, ports[i]) == 0) {
            return ports[i];
        }
    }
    return NULL;
}

static size_t count_ports(const rm_port *ports)
{
    size_t count = 0;
    while (ports && ports[count].name) {
        count++;
    }
    return count;
}

__attribute__((format(printf, 3, 4))) static void
tell(rmi_findings *findings, const rmi_plan_node *node, const char *format, ...)
{
    rm_error error = RM_ERROR_INIT;
    char pointer[64], message[RM_ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    snprintf(pointer, sizeof pointer, "/nodes/%zu/on_error", node->manifest_index);
    (void)rm_fail_as(&error, RM_CODE_MANIFEST_VALUE, "%s", message);
    rmi_findings_add(findings, RM_SEVERITY_ERROR, pointer, &error);
}

rm_status rmi_on_error_add_port(rmi_findings *findings, const char *port, rmi_plan_node *node)
{
    const rm_node_type *type = node->pub.type;
    size_t count = count_ports(type->outputs);
    if (!type->inputs || count == RM_PORTS_MAX) {
        tell(findings, node, "node '%s' (%s) has no %s for a %s", node->id, type->name,
             type->inputs ? "port left" : "input",
             strcmp(port, RM_FALLBACK_PORT) == 0 ? "fallback" : "dead letter");
        return RM_OK;
    }
    node->own_type = RMI_NEW(rm_node_type);
    node->own_outputs = rmi_calloc(count + 2, sizeof(rm_port));
    if (!node->own_type || !node->own_outputs) {
        return rm_fail(findings->err, RM_ENOMEM, "no memory for a plan");
    }
    if (count) {
        memcpy(node->own_outputs, type->outputs, count * sizeof(rm_port));
    }
    node->own_outputs[count] = (rm_port){.name = port, .summary = "items that failed"};
    memcpy(node->own_type, type,
           type->struct_size < sizeof *type ? type->struct_size : sizeof *type);
    node->own_type->outputs = node->own_outputs;
    node->pub.type = node->own_type;
    return RM_OK;
}

/* ---- fallbacks */

typedef struct connecting {
    rm_plan *plan;
    rmi_findings *findings;
    uint32_t from, spare; /* the node, and its fallback */
} connecting;

static const json_t *entry_of(const rm_plan *plan, const rmi_plan_node *node)
{
    return node->manifest_index == SIZE_MAX ? NULL : plan->graph->nodes[node->manifest_index].json;
}

static bool has_fallback(const rm_plan *plan, const rmi_plan_node *node)
{
    const char *port = rmi_on_error_port(entry_of(plan, node));
    return port && strcmp(port, RM_FALLBACK_PORT) == 0;
}

/* UINT32_MAX: there is none; that was told. */
static uint32_t find_spare(const connecting *c)
{
    const rmi_plan_node *node = c->plan->nodes[c->from];
    const json_t *on_error = json_object_get(entry_of(c->plan, node), "on_error");
    const char *id = json_string_value(json_object_get(on_error, "fallback"));
    rmi_near near = {.wanted = id ? id : ""};
    for (uint32_t i = 0; id && i < c->plan->node_count; i++) {
        if (c->plan->nodes[i]->manifest_index != SIZE_MAX) {
            if (strcmp(c->plan->nodes[i]->id, id) == 0) {
                return i;
            }
            rmi_near_try(&near, c->plan->nodes[i]->id);
        }
    }
    const char *best = id ? rmi_near_result(&near) : NULL;
    if (id) {
        tell(c->findings, node, "the fallback of node '%s' is '%.60s', which is no node%s%s%s",
             node->id, id, best ? ": did you mean '" : "", best ? best : "", best ? "'?" : "");
    } else {
        tell(c->findings, node,
             "node '%s' shall fall back, and on_error lacks the field \"fallback\" that says to "
             "which node",
             node->id);
    }
    return UINT32_MAX;
}

/* Without the one for items that failed. */
static size_t count_own_outputs(const rm_plan *plan, const rmi_plan_node *node)
{
    return count_ports(node->pub.type->outputs) - (rmi_on_error_port(entry_of(plan, node)) != NULL);
}

/* The other end of an edge of the fallback, that for its dead letters aside; NULL: it has none. */
static const char *neighbour(const connecting *c)
{
    const rm_plan *plan = c->plan;
    for (size_t e = 0; e < plan->edge_count; e++) {
        const rm_plan_edge *edge = &plan->edges[e].pub;
        const char *port = plan->nodes[edge->from_node]->pub.type->outputs[edge->from_port].name;
        if (edge->to_node == c->spare) {
            return plan->nodes[edge->from_node]->id;
        }
        if (edge->from_node == c->spare && strcmp(port, RM_DEAD_LETTER_PORT) != 0) {
            return plan->nodes[edge->to_node]->id;
        }
    }
    return NULL;
}

static bool may_fall_back(const connecting *c)
{
    const rmi_plan_node *node = c->plan->nodes[c->from], *spare = c->plan->nodes[c->spare];
    const char *other = neighbour(c);
    unsigned before = c->findings->errors;
    if (node == spare) {
        tell(c->findings, node, "node '%s' is its own fallback", node->id);
    } else if (has_fallback(c->plan, spare)) {
        tell(c->findings, node, "'%s', the fallback of node '%s', has a fallback itself: want one",
             spare->id, node->id);
    } else if (node->pub.copies > 1 || spare->pub.copies > 1) {
        tell(c->findings, node, "node '%s' has a fallback, and %s runs in several copies: want one",
             node->id, node->pub.copies > 1 ? "itself" : "that");
    } else if (count_ports(node->pub.type->inputs) != 1 ||
               count_ports(spare->pub.type->inputs) != 1) {
        tell(c->findings, node, "node '%s' and its fallback '%s' want just one input each",
             node->id, spare->id);
    } else if (count_own_outputs(c->plan, node) != count_own_outputs(c->plan, spare)) {
        tell(c->findings, node, "'%s', the fallback of node '%s', has other outputs than it",
             spare->id, node->id);
    } else if (other) {
        tell(c->findings, node,
             "'%s', the fallback of node '%s', is connected to '%s': want one that nothing else "
             "is connected to",
             spare->id, node->id, other);
    }
    return c->findings->errors == before;
}

static rm_status add_edge(connecting *c, uint32_t from, uint32_t port, uint32_t to,
                          uint32_t packets)
{
    rmi_plan_edge *edge;
    rm_status status = rmi_plan_add_edge(c->plan, &edge, c->findings->err);
    if (status == RM_OK) {
        edge->pub = (rm_plan_edge){.from_node = from,
                                   .from_port = port,
                                   .to_node = to,
                                   .capacity_packets = packets,
                                   .capacity_packets_max = packets,
                                   .policy = "block"};
    }
    return status;
}

static rm_status add_gather_node(connecting *c, uint32_t port, uint32_t *ret_index)
{
    const rmi_plan_node *node = c->plan->nodes[c->from], *spare = c->plan->nodes[c->spare];
    const rm_port *outputs = node->pub.type->outputs;
    bool several = count_ports(outputs) > 2;
    char id[ID_BYTES];
    rmi_plan_node *gather;
    snprintf(id, sizeof id, "%.100s.gather%s%.100s", node->id, several ? "." : "",
             several ? outputs[port].name : "");
    rm_status status =
        rmi_plan_add_node(c->plan, &rmi_gather_type, id, "{}", &gather, c->findings->err);
    if (status != RM_OK) {
        return status;
    }
    *ret_index = (uint32_t)c->plan->node_count - 1;
    gather->pub.inserted = 1;
    gather->part_of = rmi_strdup(node->id);
    gather->node_json = rmi_plan_entry_only(node->node_json, "pts");
    gather->pub.part_of = gather->part_of;
    snprintf(gather->reason, sizeof gather->reason,
             "keeps the order of what comes from '%.80s' and its fallback '%.80s'", node->id,
             spare->id);
    return gather->part_of && gather->node_json
               ? RM_OK
               : rm_fail(c->findings->err, RM_ENOMEM, "no memory for a plan");
}

/* What the output fed is fed by a gather. */
static rm_status add_gather(connecting *c, uint32_t port)
{
    uint32_t gather = UINT32_MAX;
    rm_status status = RM_OK;
    for (size_t e = 0; status == RM_OK && e < c->plan->edge_count; e++) {
        rm_plan_edge *edge = &c->plan->edges[e].pub;
        if (edge->from_node != c->from || edge->from_port != port) {
            continue;
        }
        if (gather == UINT32_MAX) {
            status = add_gather_node(c, port, &gather);
        }
        edge->from_node = gather;
        edge->from_port = 0;
    }
    if (gather != UINT32_MAX && status == RM_OK) {
        status = add_edge(c, c->from, port, gather, PACKETS_BEHIND);
    }
    if (gather != UINT32_MAX && status == RM_OK) {
        status = add_edge(c, c->spare, port, gather, PACKETS_BEHIND);
    }
    return status;
}

static rm_status connect_spare(connecting *c)
{
    rmi_plan_node *node = c->plan->nodes[c->from], *spare = c->plan->nodes[c->spare];
    uint32_t last = (uint32_t)count_ports(node->pub.type->outputs) - 1;
    rm_status status = RM_OK;
    spare->pub.copy = spare->pub.copies = 1; /* it marks the ends of its items */
    snprintf(spare->reason, sizeof spare->reason, "takes the items that '%.80s' fails on",
             node->id);
    for (uint32_t port = 0; port < last && status == RM_OK; port++) {
        status = add_gather(c, port);
    }
    char *entry = rmi_plan_entry_without(node->node_json, "pts", ""); /* the gather does that */
    rmi_free(node->node_json);
    node->node_json = entry;
    if (status == RM_OK && !entry) {
        status = rm_fail(c->findings->err, RM_ENOMEM, "no memory for a plan");
    }
    return status == RM_OK ? add_edge(c, c->from, last, c->spare, PACKETS_TO_FALLBACK) : status;
}

rm_status rmi_on_error_connect(rm_plan *plan, rmi_findings *findings)
{
    size_t count = plan->node_count; /* gathers come behind */
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < count && status == RM_OK; i++) {
        connecting c = {plan, findings, i, UINT32_MAX};
        if (!has_fallback(plan, plan->nodes[i])) {
            continue;
        }
        c.spare = find_spare(&c);
        if (c.spare != UINT32_MAX && may_fall_back(&c)) {
            status = connect_spare(&c);
        }
    }
    return status;
}

static const rmi_plan_node *node_of(const rm_plan *plan, const char *id)
{
    size_t i = 0;
    while (strcmp(plan->nodes[i]->id, id) != 0) {
        i++;
    }
    return plan->nodes[i];
}

/* The two edges that reach the gather. */
static void check_format(const rm_plan *plan, rmi_findings *findings, uint32_t gather)
{
    const rmi_plan_edge *first = NULL;
    for (size_t e = 0; e < plan->edge_count; e++) {
        const rmi_plan_edge *edge = &plan->edges[e];
        rm_format common;
        if (edge->pub.to_node != gather) {
            continue;
        }
        if (first && rm_format_meet(&first->format, &edge->format, &common, NULL) != RM_OK) {
            char one[160], other[160];
            const rmi_plan_node *node = node_of(plan, plan->nodes[gather]->part_of);
            rm_format_print(&first->format, one, sizeof one);
            rm_format_print(&edge->format, other, sizeof other);
            tell(findings, node, "node '%s' gives %s, its fallback '%s' %s: want the same",
                 node->id, one, plan->nodes[edge->pub.from_node]->id, other);
        }
        first = edge;
    }
}

void rmi_on_error_check_formats(const rm_plan *plan, rmi_findings *findings)
{
    for (uint32_t i = 0; i < plan->node_count; i++) {
        if (plan->nodes[i]->pub.type == &rmi_gather_type) {
            check_format(plan, findings, i);
        }
    }
}
