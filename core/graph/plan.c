#include "graph/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "graph/on_error.h"
#include "graph/parallel.h"
#include "graph/params.h"

/* ---- growing */

rm_status rmi_plan_add_node(rm_plan *plan, const rm_node_type *type, const char *id,
                            const char *params_json, rmi_plan_node **ret_node, rm_error *err)
{
    if (plan->node_count == plan->node_capacity) {
        size_t capacity = plan->node_capacity ? 2 * plan->node_capacity : 16;
        rmi_plan_node **grown = rmi_realloc(plan->nodes, capacity * sizeof(rmi_plan_node *));
        if (!grown) {
            return rm_fail(err, RM_ENOMEM, "no memory for a plan");
        }
        plan->nodes = grown;
        plan->node_capacity = capacity;
    }
    rmi_plan_node *node = RMI_NEW(rmi_plan_node);
    if (!node) {
        return rm_fail(err, RM_ENOMEM, "no memory for a plan");
    }
    plan->nodes[plan->node_count++] = node; /* the plan frees it from here on */
    node->id = rmi_strdup(id);
    node->params_json = rmi_strdup(params_json);
    if (!node->id || !node->params_json) {
        return rm_fail(err, RM_ENOMEM, "no memory for a plan");
    }
    node->manifest_index = SIZE_MAX;
    node->pub = (rm_plan_node){.id = node->id,
                               .type = type,
                               .tier = "native",
                               .reason = node->reason,
                               .place = rmi_local_place.name};
    uint32_t inputs = 0;
    while (type->inputs && type->inputs[inputs].name) {
        inputs++;
    }
    node->want = rmi_calloc(inputs, sizeof *node->want);
    if (!node->want) {
        return rm_fail(err, RM_ENOMEM, "no memory for a plan");
    }
    for (uint32_t i = 0; i < inputs; i++) {
        rm_status status = rm_formats_parse(type->inputs[i].formats, &node->want[i], err);
        if (status != RM_OK) {
            return status;
        }
    }
    *ret_node = node;
    return type->plan ? rmi_params_fill(type, params_json, &node->params, err) : RM_OK;
}

rm_status rmi_plan_add_edge(rm_plan *plan, rmi_plan_edge **ret_edge, rm_error *err)
{
    if (plan->edge_count == plan->edge_capacity) {
        size_t capacity = plan->edge_capacity ? 2 * plan->edge_capacity : 16;
        rmi_plan_edge *grown = rmi_realloc(plan->edges, capacity * sizeof *grown);
        if (!grown) {
            return rm_fail(err, RM_ENOMEM, "no memory for a plan");
        }
        plan->edges = grown;
        plan->edge_capacity = capacity;
    }
    rmi_plan_edge *edge = &plan->edges[plan->edge_count++];
    memset(edge, 0, sizeof *edge);
    *ret_edge = edge;
    return RM_OK;
}

static uint32_t edge_source(const void *edges, size_t index)
{
    return ((const rmi_plan_edge *)edges)[index].pub.from_node;
}

static uint32_t edge_target(const void *edges, size_t index)
{
    return ((const rmi_plan_edge *)edges)[index].pub.to_node;
}

rm_status rmi_plan_outgoing(const rm_plan *plan, rmi_edge_index *ret_index, rm_error *err)
{
    rm_status status = rmi_edge_index_init(ret_index, plan->node_count, plan->edge_count,
                                           edge_source, plan->edges);
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory for a plan");
}

rm_status rmi_plan_incoming(const rm_plan *plan, rmi_edge_index *ret_index, rm_error *err)
{
    rm_status status = rmi_edge_index_init(ret_index, plan->node_count, plan->edge_count,
                                           edge_target, plan->edges);
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory for a plan");
}

/* ---- nodes of the manifest */

typedef struct planning {
    rm_plan *plan;
    const rm_graph *graph;
    rmi_findings *findings;
    size_t index; /* of the manifest node at hand */
    rmi_placer placer;
} planning;

static void param_found(void *context, rm_severity severity, const char *name,
                        const rm_error *error)
{
    planning *p = context;
    char pointer[192];
    snprintf(pointer, sizeof pointer, "/nodes/%zu/params%s%.120s", p->index, name[0] ? "/" : "",
             name);
    rm_error copy = *error;
    rm_error_wrap(&copy, "node '%s'", p->graph->nodes[p->index].id);
    rmi_findings_add(p->findings, severity, pointer, &copy);
}

static size_t count_ports(const rm_port *ports)
{
    size_t count = 0;
    while (ports && ports[count].name) {
        count++;
    }
    return count;
}

static bool same_ports(const rm_port *a, const rm_port *b)
{
    size_t i = 0;
    while (a && b && a[i].name && b[i].name && strcmp(a[i].name, b[i].name) == 0) {
        i++;
    }
    return !(a && a[i].name) && !(b && b[i].name);
}

static void count_param(void *context, rm_severity severity, const char *name,
                        const rm_error *error)
{
    (void)name;
    (void)error;
    *(unsigned *)context += severity == RM_SEVERITY_ERROR;
}

/* What is Python runs on the home strand alone, where nothing may block, and in one copy. */
static bool fits_home(const rmi_graph_node *node, const rm_node_type *type)
{
    bool has_copies = json_object_get(node->json, "parallel") != NULL;
    return !(type->flags & RM_NODE_BLOCKS) && !has_copies;
}

/* Another type can take the node over only if it is one of the same kind, if it needs no port for
 * items that failed, and if it may run where the node does. */
static void check_fallback(rmi_placement *placed, const rmi_graph_node *node, bool has_port)
{
    const json_t *params = json_object_get(node->json, "params");
    const rm_node_type *type = placed->made.type, *other = placed->fallback.type;
    unsigned found = 0;
    if (!other) {
        return;
    }
    (void)rmi_params_check(other, params, count_param, &found);
    bool moves = other->flags & RM_NODE_PYTHON && !fits_home(node, type);
    if (found || moves || has_port || !same_ports(type->inputs, other->inputs) ||
        !same_ports(type->outputs, other->outputs)) {
        rmi_made_type_release(&placed->fallback);
        json_object_set_new(placed->told, "fallback", json_null());
    }
}

/* The node's type is good; its parameters may not be. */
static rm_status add_placed(planning *p, const rmi_graph_node *node, rmi_placement *placed)
{
    const json_t *params = json_object_get(node->json, "params");
    const rm_node_type *type = placed->made.type;
    rm_error err = RM_ERROR_INIT;
    rmi_plan_node *made = NULL;
    if (placed->warning.code != RM_CODE_NONE) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/nodes/%zu", p->index);
        rmi_findings_add(p->findings, RM_SEVERITY_WARNING, pointer, &placed->warning);
    }
    /* A node with wrong parameters is kept, so that further findings are made, but it is not
     * planned. */
    if (rmi_params_check(type, params, param_found, p)) {
        return RM_OK;
    }
    const char *port = rmi_on_error_port(node->json);
    check_fallback(placed, node, port != NULL);
    rm_status status = rmi_plan_add_node(p->plan, type, node->id, node->params_json, &made, &err);
    if (status != RM_OK) {
        return rm_fail(p->findings->err, status, "%s", err.message);
    }
    made->manifest_index = p->index;
    made->made = placed->made;
    made->fallback = placed->fallback;
    made->placement = placed->told;
    made->pub.tier = placed->tier;
    made->pub.place = placed->place->name;
    made->pub.fallback = placed->fallback.type;
    rmi_parallel_check(p->findings, node, made);
    *placed = (rmi_placement){0};
    return port ? rmi_on_error_add_port(p->findings, port, made) : RM_OK;
}

/* Fields of `placement` that only transports between machines could follow. */
static void tell_unfollowed(planning *p, const rmi_graph_node *node)
{
    static const char *const fields[] = {"with", "transports"};
    const json_t *placement = json_object_get(node->json, "placement");
    for (size_t i = 0; i < RMI_COUNT(fields); i++) {
        char pointer[64];
        rm_error warning = RM_ERROR_INIT;
        if (!json_object_get(placement, fields[i])) {
            continue;
        }
        snprintf(pointer, sizeof pointer, "/nodes/%zu/placement/%s", p->index, fields[i]);
        (void)rm_fail_as(&warning, RM_CODE_UNSUPPORTED,
                         "placement.%s of node '%s' is ignored: this version has no transport "
                         "between machines",
                         fields[i], node->id);
        rm_error_help(&warning, "placement.where and requirements are followed");
        rmi_findings_add(p->findings, RM_SEVERITY_WARNING, pointer, &warning);
    }
}

static rm_status plan_node(planning *p)
{
    const rmi_graph_node *node = &p->graph->nodes[p->index];
    rmi_placement placed = {0};
    rm_error err = RM_ERROR_INIT;
    char *dump = json_dumps(node->json, JSON_COMPACT);
    RMI_AUTO_MEMORY char *node_json = dump ? rmi_strdup(dump) : NULL;
    free(dump);
    if (!node_json) {
        return rm_fail(p->findings->err, RM_ENOMEM, "no memory for a plan");
    }
    tell_unfollowed(p, node);
    rm_status status = rmi_place_node(&p->placer, node, node_json, &placed, &err);
    if (status != RM_OK) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/nodes/%zu%s", p->index,
                 err.code == RM_CODE_PLACEMENT ? "" : "/node_type");
        rmi_findings_add(p->findings, RM_SEVERITY_ERROR, pointer, &err);
        return status == RM_ENOMEM ? status : RM_OK;
    }
    size_t before = p->plan->node_count;
    status = add_placed(p, node, &placed);
    if (p->plan->node_count > before) {
        p->plan->nodes[before]->node_json = RMI_TAKE(node_json);
    }
    rmi_placement_fini(&placed);
    return status;
}

/* ---- graph ports and edges */

/* Nodes come in the order of the manifest, but for those that were reported. */
static uint32_t plan_index(const rm_plan *plan, size_t manifest_index)
{
    size_t i = manifest_index < plan->node_count ? manifest_index : plan->node_count;
    while (i > 0 && (i == plan->node_count || plan->nodes[i]->manifest_index > manifest_index)) {
        i--;
    }
    bool found = i < plan->node_count && plan->nodes[i]->manifest_index == manifest_index;
    return found ? (uint32_t)i : UINT32_MAX;
}

/* Index of a port by its name; the first one for NULL. */
static rm_status find_port(const rmi_plan_node *node, const char *name, bool is_output,
                           uint32_t *ret_port, rm_error *err)
{
    const rm_port *ports = is_output ? node->pub.type->outputs : node->pub.type->inputs;
    rmi_near near = {.wanted = name ? name : ""};
    for (uint32_t i = 0; ports && ports[i].name; i++) {
        if (!name || strcmp(ports[i].name, name) == 0) {
            *ret_port = i;
            return RM_OK;
        }
        rmi_near_try(&near, ports[i].name);
    }
    const char *side = is_output ? "output" : "input";
    if (!name) {
        return rm_fail_as(err, RM_CODE_CONNECTION_DANGLING, "node '%s' (%s) has no %s", node->id,
                          node->pub.type->name, side);
    }
    rm_status status =
        rm_fail_as(err, RM_CODE_CONNECTION_DANGLING, "node '%s' (%s) has no %s port '%.60s'",
                   node->id, node->pub.type->name, side, name);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(err, "did you mean '%s'?", best);
    }
    return status;
}

/* True where the declared formats have a kind in common. */
static bool kinds_meet(const char *gives, const char *takes)
{
    rm_formats out, in;
    if (rm_formats_parse(gives, &out, NULL) != RM_OK ||
        rm_formats_parse(takes, &in, NULL) != RM_OK || out.count == 0 || in.count == 0) {
        return true; /* "any"; what is not well formed is reported where formats are negotiated */
    }
    for (uint32_t i = 0; i < out.count; i++) {
        for (uint32_t k = 0; k < in.count; k++) {
            uint8_t a = out.alternative[i].kind, b = in.alternative[k].kind;
            if (a == b || a == RM_KIND_ANY || b == RM_KIND_ANY) {
                return true;
            }
        }
    }
    return false;
}

/* Where a connection names no output: the first one whose kind the input takes, so that
 * 'media.read ! video.scale' means the pictures. */
static uint32_t fitting_output(const rmi_plan_node *from, const rmi_plan_node *to, uint32_t to_port)
{
    const rm_port *ports = from->pub.type->outputs;
    for (uint32_t i = 0; ports[i].name; i++) {
        bool is_choice = strcmp(ports[i].name, RM_DEAD_LETTER_PORT) != 0 &&
                         strcmp(ports[i].name, RM_FALLBACK_PORT) != 0;
        if (is_choice && kinds_meet(ports[i].formats, to->pub.type->inputs[to_port].formats)) {
            return i;
        }
    }
    return 0;
}

static rm_status connect(planning *p, const rm_graph_edge *wanted, const char *pointer)
{
    rm_plan *plan = p->plan;
    rm_error err = RM_ERROR_INIT;
    uint32_t from_port = 0, to_port = 0;
    rmi_plan_edge *edge = NULL;
    rm_status status =
        find_port(plan->nodes[wanted->from_node], wanted->from_port_name, true, &from_port, &err);
    if (status == RM_OK) {
        status =
            find_port(plan->nodes[wanted->to_node], wanted->to_port_name, false, &to_port, &err);
    }
    if (status != RM_OK) {
        rmi_findings_add(p->findings, RM_SEVERITY_ERROR, pointer, &err);
        return RM_OK;
    }
    if (!wanted->from_port_name) {
        from_port =
            fitting_output(plan->nodes[wanted->from_node], plan->nodes[wanted->to_node], to_port);
    }
    status = rmi_plan_add_edge(plan, &edge, p->findings->err);
    if (status == RM_OK) {
        edge->pub = (rm_plan_edge){.from_node = wanted->from_node,
                                   .from_port = from_port,
                                   .to_node = wanted->to_node,
                                   .to_port = to_port,
                                   .capacity_packets = wanted->capacity_packets,
                                   .capacity_packets_max = wanted->capacity_packets_max,
                                   .capacity_bytes = wanted->capacity_bytes,
                                   .capacity_ns = wanted->capacity_ns,
                                   .policy = wanted->policy,
                                   .when_json = wanted->when_json,
                                   .latency_ns_max = wanted->latency_ns_max};
    }
    return status;
}

/* Graph inputs become rm.input nodes before, outputs rm.output nodes behind. */
static rm_status plan_endpoints(planning *p, bool is_output)
{
    const char *field = is_output ? "outputs" : "inputs", *name;
    json_t *endpoint, *endpoints = json_object_get(p->graph->manifest, field);
    if (json_object_size(endpoints) > RMI_PLAN_PORTS_MAX) {
        rm_error error = RM_ERROR_INIT;
        char pointer[16];
        snprintf(pointer, sizeof pointer, "/%s", field);
        (void)rm_fail_as(&error, RM_CODE_MANIFEST_VALUE, "%s has %zu entries, want at most %d",
                         field, json_object_size(endpoints), RMI_PLAN_PORTS_MAX);
        rmi_findings_add(p->findings, RM_SEVERITY_ERROR, pointer, &error);
        return RM_OK;
    }
    json_object_foreach(endpoints, name, endpoint)
    {
        char params[160], id[128], pointer[160];
        const char *node = json_string_value(json_object_get(endpoint, "node"));
        const char *port = json_string_value(json_object_get(endpoint, "port"));
        snprintf(params, sizeof params, "{\"name\":\"%.100s\"}", name);
        snprintf(id, sizeof id, "%s.%.100s", field, name);
        snprintf(pointer, sizeof pointer, "/%s/%.100s", field, name);
        uint32_t inner = plan_index(p->plan, rmi_graph_find(p->graph, node));
        rmi_plan_node *made;
        rm_status status =
            rmi_plan_add_node(p->plan, is_output ? &rmi_output_type : &rmi_input_type, id, params,
                              &made, p->findings->err);
        if (status != RM_OK || inner == UINT32_MAX) {
            return status;
        }
        uint32_t outer = (uint32_t)p->plan->node_count - 1;
        rm_graph_edge edge = {.from_node = is_output ? inner : outer,
                              .to_node = is_output ? outer : inner,
                              .from_port_name = is_output ? port : NULL,
                              .to_port_name = is_output ? NULL : port,
                              .capacity_packets = 16,
                              .capacity_packets_max = 1024,
                              .policy = "block"};
        status = connect(p, &edge, pointer);
        if (status != RM_OK) {
            return status;
        }
    }
    return RM_OK;
}

static rm_status plan_edges(planning *p)
{
    for (size_t i = 0; i < p->graph->edge_count; i++) {
        rm_graph_edge edge = p->graph->edges[i];
        char pointer[48];
        snprintf(pointer, sizeof pointer, "/connections/%zu", i);
        edge.from_node = plan_index(p->plan, edge.from_node);
        edge.to_node = plan_index(p->plan, edge.to_node);
        if (edge.from_node == UINT32_MAX || edge.to_node == UINT32_MAX) {
            continue; /* its node was reported */
        }
        rm_status status = connect(p, &edge, pointer);
        if (status != RM_OK) {
            return status;
        }
    }
    return RM_OK;
}

static void report_unfed(planning *p, const rmi_plan_node *node, const rm_port *port)
{
    rm_error error = RM_ERROR_INIT;
    char pointer[48];
    snprintf(pointer, sizeof pointer, "/nodes/%zu", node->manifest_index);
    (void)rm_fail_as(&error, RM_CODE_CONNECTION_DANGLING,
                     "input '%s' of node '%s' is connected to nothing", port->name, node->id);
    rm_error_help(&error, "connect it, or name it under \"inputs\"");
    rmi_findings_add(p->findings, RM_SEVERITY_ERROR, pointer, &error);
}

static void report_crowded(planning *p, const rmi_plan_node *node, const char *what, uint32_t count)
{
    rm_error error = RM_ERROR_INIT;
    char pointer[48];
    snprintf(pointer, sizeof pointer, "/nodes/%zu", node->manifest_index);
    (void)rm_fail_as(&error, RM_CODE_MANIFEST_TOO_LARGE,
                     "%s of node '%s' has %u connections, want at most %d", what, node->id, count,
                     RMI_PLAN_NODE_EDGES_MAX);
    rm_error_help(&error, "put test.pass nodes between, each with a part of them");
    rmi_findings_add(p->findings, RM_SEVERITY_ERROR, pointer, &error);
}

static void check_inputs(planning *p, const rmi_edge_index *incoming, uint32_t index)
{
    const rmi_plan_node *node = p->plan->nodes[index];
    bool fed[RM_PORTS_MAX] = {false};
    uint32_t count = incoming->start[index + 1] - incoming->start[index];
    for (uint32_t i = 0; i < count; i++) {
        fed[p->plan->edges[incoming->edge[incoming->start[index] + i]].pub.to_port] = true;
    }
    /* An input port that nothing feeds would wait for ever. */
    for (uint32_t i = 0; node->pub.type->inputs && node->pub.type->inputs[i].name; i++) {
        if (!fed[i]) {
            report_unfed(p, node, &node->pub.type->inputs[i]);
        }
    }
    if (count > RMI_PLAN_NODE_EDGES_MAX) {
        report_crowded(p, node, "the input side", count);
    }
}

static void report_unheard(planning *p, const rmi_plan_node *node)
{
    rm_error error = RM_ERROR_INIT;
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/nodes/%zu/on_error", node->manifest_index);
    (void)rm_fail_as(&error, RM_CODE_MANIFEST_VALUE, "the dead letters of node '%s' go nowhere",
                     node->id);
    rm_error_help(&error,
                  "connect its output '" RM_DEAD_LETTER_PORT "', or let the policy be skip");
    rmi_findings_add(p->findings, RM_SEVERITY_WARNING, pointer, &error);
}

static void check_outputs(planning *p, const rmi_edge_index *outgoing, uint32_t index)
{
    const rmi_plan_node *node = p->plan->nodes[index];
    uint32_t count[RM_PORTS_MAX] = {0};
    for (uint32_t i = outgoing->start[index]; i < outgoing->start[index + 1]; i++) {
        count[p->plan->edges[outgoing->edge[i]].pub.from_port]++;
    }
    if (node->own_type && count[count_ports(node->own_outputs) - 1] == 0) {
        report_unheard(p, node);
    }
    for (uint32_t i = 0; i < RM_PORTS_MAX; i++) {
        if (count[i] > RMI_PLAN_NODE_EDGES_MAX) {
            char what[80];
            snprintf(what, sizeof what, "output '%.60s'", node->pub.type->outputs[i].name);
            report_crowded(p, node, what, count[i]);
        }
    }
}

static rm_status check_connected(planning *p)
{
    RMI_AUTO_EDGE_INDEX incoming = {0}, outgoing = {0};
    rm_status status = rmi_plan_incoming(p->plan, &incoming, p->findings->err);
    if (status == RM_OK) {
        status = rmi_plan_outgoing(p->plan, &outgoing, p->findings->err);
    }
    for (uint32_t n = 0; status == RM_OK && n < p->plan->node_count; n++) {
        if (p->plan->nodes[n]->manifest_index != SIZE_MAX) {
            check_inputs(p, &incoming, n);
            check_outputs(p, &outgoing, n);
        }
    }
    return status;
}

/* ---- order */

/* The nodes that wait for nobody, a bit each. */
typedef struct ready_set {
    uint64_t *words;
    size_t word_count, first; /* no bit is set before word `first` */
} ready_set;

static void ready_add(ready_set *ready, uint32_t node)
{
    ready->words[node / 64] |= 1ull << node % 64;
    ready->first = node / 64 < ready->first ? node / 64 : ready->first;
}

/* The lowest; UINT32_MAX: there is none. */
static uint32_t ready_take(ready_set *ready)
{
    while (ready->first < ready->word_count && !ready->words[ready->first]) {
        ready->first++;
    }
    if (ready->first == ready->word_count) {
        return UINT32_MAX;
    }
    uint64_t *word = &ready->words[ready->first];
    uint32_t node = (uint32_t)(ready->first * 64) + (uint32_t)__builtin_ctzll(*word);
    *word &= *word - 1;
    return node;
}

static void rename_nodes(rm_plan *plan, const uint32_t *place)
{
    for (size_t e = 0; e < plan->edge_count; e++) {
        plan->edges[e].pub.from_node = place[plan->edges[e].pub.from_node];
        plan->edges[e].pub.to_node = place[plan->edges[e].pub.to_node];
    }
    for (uint32_t i = 0; i < plan->node_count; i++) {
        plan->nodes[i]->pub.rank = i;
    }
}

rm_status rmi_plan_sort(rm_plan *plan, rm_error *err)
{
    size_t count = plan->node_count, words = count / 64 + 1;
    RMI_AUTO_EDGE_INDEX outgoing = {0};
    RMI_AUTO_MEMORY uint32_t *waits = rmi_calloc(count, sizeof *waits);
    RMI_AUTO_MEMORY uint32_t *place = rmi_calloc(count, sizeof *place);
    RMI_AUTO_MEMORY uint64_t *bits = rmi_calloc(words, sizeof *bits);
    RMI_AUTO_MEMORY rmi_plan_node **sorted = rmi_calloc(count, sizeof(rmi_plan_node *));
    if (!waits || !place || !bits || !sorted) {
        return rm_fail(err, RM_ENOMEM, "no memory for a plan");
    }
    rm_status status = rmi_plan_outgoing(plan, &outgoing, err);
    if (status != RM_OK) {
        return status;
    }
    for (size_t e = 0; e < plan->edge_count; e++) {
        waits[plan->edges[e].pub.to_node]++;
    }
    ready_set ready = {bits, words, 0};
    for (uint32_t n = 0; n < count; n++) {
        if (waits[n] == 0) {
            ready_add(&ready, n);
        }
    }
    for (size_t done = 0; done < count; done++) {
        uint32_t next = ready_take(&ready);
        if (next == UINT32_MAX) {
            return rm_fail_as(err, RM_CODE_CONNECTION_CYCLE, "the connections form a cycle");
        }
        sorted[done] = plan->nodes[next];
        place[next] = (uint32_t)done;
        for (uint32_t i = outgoing.start[next]; i < outgoing.start[next + 1]; i++) {
            uint32_t to = plan->edges[outgoing.edge[i]].pub.to_node;
            if (--waits[to] == 0) {
                ready_add(&ready, to);
            }
        }
    }
    memcpy(plan->nodes, sorted, count * sizeof(rmi_plan_node *));
    rename_nodes(plan, place);
    return RM_OK;
}

/* ---- the whole */

static void check_size(planning *p)
{
    if (p->plan->node_count > RMI_PLAN_NODES_MAX) {
        rm_error error = RM_ERROR_INIT;
        (void)rm_fail_as(
            &error, RM_CODE_MANIFEST_TOO_LARGE,
            "the graph has %zu nodes with the converters between them, want at most %d",
            p->plan->node_count, RMI_PLAN_NODES_MAX);
        rm_error_help(&error, "convert once, in a node of its own, what goes to many");
        rmi_findings_add(p->findings, RM_SEVERITY_ERROR, "/nodes", &error);
    }
}

/* What only the making of the plan needs: sessions keep it for as long as they live. */
static void release_scaffold(rm_plan *plan)
{
    for (size_t i = 0; i < plan->node_count; i++) {
        rmi_free(RMI_TAKE(plan->nodes[i]->want));
    }
    rmi_plan_edge *exact = rmi_realloc(plan->edges, plan->edge_count * sizeof *exact);
    if (exact) {
        plan->edges = exact;
        plan->edge_capacity = plan->edge_count;
    }
}

static rm_status make(planning *p, const rm_plan_options *options)
{
    rm_status status = RM_OK;
    for (p->index = 0; p->index < p->graph->node_count && status == RM_OK; p->index++) {
        status = plan_node(p);
    }
    if (status == RM_OK) {
        status = plan_endpoints(p, false);
    }
    if (status == RM_OK) {
        status = plan_endpoints(p, true);
    }
    if (status == RM_OK) {
        status = plan_edges(p);
    }
    if (status == RM_OK && p->findings->errors == 0) {
        status = rmi_on_error_connect(p->plan, p->findings);
    }
    if (status != RM_OK || p->findings->errors) {
        return status;
    }
    status = check_connected(p);
    if (status == RM_OK) {
        status = rmi_plan_sort(p->plan, p->findings->err);
    }
    if (status == RM_OK) {
        status = rmi_plan_negotiate(p->plan, p->findings);
    }
    if (status == RM_OK) {
        rmi_on_error_check_formats(p->plan, p->findings);
        status = rmi_parallel_expand(p->plan, p->findings->err);
    }
    if (status == RM_OK) {
        status = rmi_plan_sort(p->plan, p->findings->err);
    }
    if (status == RM_OK) {
        check_size(p);
        rmi_plan_place_on_strands(p->plan, options);
        release_scaffold(p->plan);
    }
    return status;
}

rm_status rm_graph_plan(const rm_graph *graph, rm_registry *registry,
                        const rm_plan_options *options, rm_plan **ret_plan, rm_report *report,
                        rm_error *err)
{
    RMI_AUTO(rm_plan) plan = RMI_NEW(rm_plan);
    if (!plan) {
        return rm_fail(err, RM_ENOMEM, "no memory for a plan");
    }
    plan->graph = rmi_graph_ref(graph);
    plan->registry = registry;
    rm_error first = RM_ERROR_INIT;
    rmi_findings findings = rmi_findings_of(graph, report, &first);
    planning p = {plan, graph, &findings, 0, {.registry = registry}};
    rm_plan_options wanted = {0}; /* a caller may know fewer of them, or more */
    if (options) {
        memcpy(&wanted, options,
               options->struct_size < sizeof wanted ? options->struct_size : sizeof wanted);
    }
    p.placer.machine_json = wanted.machine_json;
    rm_status status = make(&p, &wanted);
    rmi_placer_fini(&p.placer);
    if (status == RM_OK && findings.errors == 0) {
        *ret_plan = RMI_TAKE(plan);
        return RM_OK;
    }
    if (err) {
        *err = first;
    }
    return first.status < 0 ? first.status : status;
}

rm_status rm_graph_check_nodes(const char *json, size_t bytes, rm_registry *registry,
                               rm_report *report)
{
    RMI_AUTO(rm_graph) graph = NULL;
    rm_error first = RM_ERROR_INIT;
    rm_status status = rmi_graph_of_nodes(json, bytes, &graph, &first);
    if (status != RM_OK) {
        return status == RM_ENOMEM ? status : RM_OK;
    }
    RMI_AUTO(rm_plan) plan = RMI_NEW(rm_plan);
    if (!plan) {
        return RM_ENOMEM;
    }
    plan->graph = rmi_graph_ref(graph);
    plan->registry = registry;
    rmi_findings findings = rmi_findings_of(graph, report, &first);
    planning p = {plan, graph, &findings, 0, {.registry = registry}};
    for (; p.index < graph->node_count && status == RM_OK; p.index++) {
        status = plan_node(&p);
    }
    rmi_placer_fini(&p.placer);
    return status == RM_OK && findings.errors ? first.status : status;
}

void rm_plan_free(rm_plan *plan)
{
    if (!plan) {
        return;
    }
    for (size_t i = 0; i < plan->node_count; i++) {
        rmi_plan_node *node = plan->nodes[i];
        if (!node) {
            continue;
        }
        rmi_params_free(node->pub.type, node->params);
        rmi_made_type_release(&node->made);
        rmi_made_type_release(&node->fallback);
        json_decref(node->placement);
        rmi_free(node->own_type);
        rmi_free(node->own_outputs);
        rmi_free(node->id);
        rmi_free(node->part_of);
        rmi_free(node->params_json);
        rmi_free(node->node_json);
        rmi_free(node->want);
        rmi_free(node);
    }
    rmi_free(plan->nodes);
    rmi_free(plan->edges);
    rm_graph_free(plan->graph);
    rmi_free(plan);
}

int64_t rm_plan_latency_ns_max(const rm_plan *plan)
{
    const json_t *session = json_object_get(plan->graph->manifest, "session");
    return (int64_t)(json_number_value(json_object_get(session, "latency_ms_max")) * 1e6);
}

size_t rm_plan_node_count(const rm_plan *plan)
{
    return plan->node_count;
}

size_t rm_plan_edge_count(const rm_plan *plan)
{
    return plan->edge_count;
}

size_t rm_plan_strand_count(const rm_plan *plan)
{
    return plan->strand_count;
}

void rm_plan_node_at(const rm_plan *plan, size_t index, rm_plan_node *ret_node)
{
    *ret_node = plan->nodes[index]->pub;
    ret_node->params_json = plan->nodes[index]->params_json;
    ret_node->node_json = plan->nodes[index]->node_json;
}

void rm_plan_edge_at(const rm_plan *plan, size_t index, rm_plan_edge *ret_edge)
{
    *ret_edge = plan->edges[index].pub;
    ret_edge->format = &plan->edges[index].format;
    ret_edge->reason = plan->edges[index].reason;
}
