/* Plans the changed graph, matches it with what runs, and makes what is new in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/change.h"
#include "graph/params.h"

static rm_status no_memory(rm_error *err)
{
    return rm_fail(err, RM_ENOMEM, "no memory for a change");
}

static rm_status plan_graph(rm_change *change, rm_error *err)
{
    RMI_AUTO(rm_graph) graph = NULL;
    char *dump = json_dumps(change->manifest, JSON_COMPACT);
    json_t *copy = dump ? json_loads(dump, 0, NULL) : NULL; /* the change may be edited further */
    free(dump);
    if (!copy) {
        return no_memory(err);
    }
    rm_status status = rmi_graph_from_json(copy, NULL, &graph, NULL, err);
    json_decref(copy);
    return status == RM_OK ? rm_graph_plan(graph, change->session->plan->registry, NULL,
                                           &change->plan, NULL, err)
                           : status;
}

static rm_status make_tables(rm_change *change, rm_error *err)
{
    const rm_session *session = change->session;
    size_t nodes = change->plan->node_count, edges = change->plan->edge_count;
    change->nodes = rmi_calloc(nodes, sizeof *change->nodes);
    change->edges = rmi_calloc(edges, sizeof *change->edges);
    change->new_nodes = rmi_calloc(nodes, sizeof(rmi_node *));
    change->new_edges = rmi_calloc(edges, sizeof(rmi_edge *));
    change->place = rmi_calloc(session->node_count, sizeof *change->place);
    change->heir = rmi_calloc(session->edge_count, sizeof *change->heir);
    change->holds = rmi_calloc(session->node_count, sizeof *change->holds);
    change->drains = rmi_calloc(session->node_count, sizeof *change->drains);
    change->goes_on = rmi_calloc(session->node_count, sizeof *change->goes_on);
    if (!change->nodes || !change->edges || !change->new_nodes || !change->new_edges ||
        !change->place || !change->heir || !change->holds || !change->drains || !change->goes_on) {
        return no_memory(err);
    }
    memset(change->place, 0xff, session->node_count * sizeof *change->place);
    memset(change->heir, 0xff, session->edge_count * sizeof *change->heir);
    return RM_OK;
}

/* ---- nodes */

static json_t *json_of(const rm_plan *plan, const rmi_plan_node *node)
{
    return node->manifest_index == SIZE_MAX ? NULL : plan->graph->nodes[node->manifest_index].json;
}

/* The entry without its parameters is the same. */
static bool differs_in_params_alone(const json_t *old, const json_t *fresh)
{
    json_t *a = json_copy((json_t *)(uintptr_t)old), *b = json_copy((json_t *)(uintptr_t)fresh);
    json_object_del(a, "params");
    json_object_del(b, "params");
    bool same = json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

/* RM_OK: the node can go on with its new parameters, as all that differ are live ones. RM_EINVAL:
 * it can't. */
static rm_status find_params(const rmi_node *node, const json_t *old, const json_t *fresh,
                             void **ret_params)
{
    const json_t *was = json_object_get(old, "params"), *is = json_object_get(fresh, "params");
    const char *name;
    json_t *value, *differs = json_object();
    rm_status status = RM_OK;
    json_object_foreach((json_t *)(uintptr_t)is, name, value)
    {
        if (!json_equal(value, json_object_get(was, name))) {
            json_object_set(differs, name, value);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)was, name, value)
    {
        status = json_object_get(is, name) ? status : RM_EINVAL;
    }
    char *text = json_dumps(differs, JSON_COMPACT);
    json_decref(differs);
    status = text ? status : RM_ENOMEM;
    if (status == RM_OK) {
        status = rmi_params_update(node->pub.type, text, node->pub.params, ret_params, NULL);
    }
    free(text);
    return status;
}

static bool is_same_entry(const rm_change *change, const rmi_plan_node *old,
                          const rmi_plan_node *fresh)
{
    const json_t *was = json_of(change->session->plan, old), *is = json_of(change->plan, fresh);
    return was && is ? json_equal(was, is)
                     : !was && !is && old->pub.type == fresh->pub.type &&
                           strcmp(old->params_json, fresh->params_json) == 0;
}

static rm_status match(rm_change *change, uint32_t old_index, uint32_t index)
{
    const rm_session *session = change->session;
    const rmi_plan_node *was = session->plan->nodes[old_index], *is = change->plan->nodes[index];
    rmi_new_node *fresh = &change->nodes[index];
    const json_t *old_json = json_of(session->plan, was), *new_json = json_of(change->plan, is);
    fresh->old = session->nodes[old_index];
    change->place[old_index] = index;
    rm_status status = is_same_entry(change, was, is) ? RM_OK : RM_EINVAL;
    bool is_native = !(is->pub.type->flags & RM_NODE_PYTHON); /* that could not take them back */
    if (status != RM_OK && is_native && old_json && new_json &&
        differs_in_params_alone(old_json, new_json)) {
        status = find_params(fresh->old, old_json, new_json, &fresh->params);
    }
    fresh->node = status == RM_OK ? fresh->old : NULL;
    return status == RM_ENOMEM ? RM_ENOMEM : RM_OK;
}

/* The node at the other end of the only edge on a side of a converter. */
static const char *neighbour(const rm_plan *plan, uint32_t index, bool after)
{
    for (size_t e = 0; e < plan->edge_count; e++) {
        const rm_plan_edge *edge = &plan->edges[e].pub;
        if ((after ? edge->from_node : edge->to_node) == index) {
            return plan->nodes[after ? edge->to_node : edge->from_node]->id;
        }
    }
    return "";
}

/* The ids of converters hold the numbers of edges, which change. */
static bool is_same_converter(const rm_change *change, uint32_t old_index, uint32_t index)
{
    const rm_plan *was = change->session->plan, *is = change->plan;
    return was->nodes[old_index]->pub.inserted &&
           is_same_entry(change, was->nodes[old_index], is->nodes[index]) &&
           strcmp(neighbour(was, old_index, false), neighbour(is, index, false)) == 0 &&
           strcmp(neighbour(was, old_index, true), neighbour(is, index, true)) == 0;
}

static rm_status match_nodes(rm_change *change, rm_error *err)
{
    const rm_plan *was = change->session->plan, *is = change->plan;
    for (uint32_t i = 0; i < is->node_count; i++) {
        bool inserted = is->nodes[i]->pub.inserted && !is->nodes[i]->part_of;
        for (uint32_t k = 0; k < was->node_count && !change->nodes[i].old; k++) {
            bool same = inserted ? is_same_converter(change, k, i)
                                 : !was->nodes[k]->pub.inserted == !is->nodes[i]->pub.inserted &&
                                       strcmp(was->nodes[k]->id, is->nodes[i]->id) == 0;
            if (same && change->place[k] == RMI_NONE && match(change, k, i) != RM_OK) {
                return no_memory(err);
            }
        }
    }
    rmi_change_match_copies(change);
    return RM_OK;
}

/* ---- new nodes */

static uint32_t flags_of(const rmi_plan_node *node)
{
    const rm_node_type *other = node->pub.fallback;
    return node->pub.type->flags | (other ? other->flags : 0);
}

static bool is_endpoint(const rm_node_type *type)
{
    return type == &rmi_input_type || type == &rmi_output_type;
}

/* What stays as it is while a session runs. */
static rm_status check_fixed(const rm_node_type *type, const char *id, rm_error *err)
{
    if (is_endpoint(type)) {
        return rm_fail(err, RM_EINVAL, "'%.60s': the graph's inputs and outputs stay while it runs",
                       id);
    }
    return RM_OK;
}

/* Marks of its items may be on their way. */
static rm_status check_unmarked(const rmi_node *node, uint32_t copies, rm_error *err)
{
    bool falls_back = copies <= 1 && (node->mark || node->part_of);
    return falls_back ? rm_fail(err, RM_EUNSUPPORTED,
                                "node '%.60s' has a fallback or is one: it can't come, go or be "
                                "another while the session runs",
                                node->part_of ? node->part_of : node->pub.id)
                      : RM_OK;
}

static rm_status check_gone(const rm_change *change, rm_error *err)
{
    const rm_session *session = change->session;
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        const rmi_node *node = session->nodes[i];
        if (!rmi_change_is_kept(change, node)) {
            uint32_t copies = session->plan->nodes[i]->pub.copies;
            status = check_fixed(node->pub.type, node->pub.id, err);
            status = status == RM_OK ? check_unmarked(node, copies, err) : status;
        }
    }
    return status;
}

/* How many nodes a thread will have, of those that are known by now. */
static uint32_t load_of(const rm_change *change, const rmi_strand *strand)
{
    uint32_t load = 0;
    for (size_t i = 0; i < change->plan->node_count; i++) {
        const rmi_node *node = change->nodes[i].node;
        load += node && node->strand == strand;
    }
    return load;
}

/* The thread with the fewest nodes; NULL: there is none. One that has none now is about to end. */
static rmi_strand *find_thread(const rm_change *change)
{
    const rm_session *session = change->session;
    rmi_strand *best = NULL;
    for (uint32_t i = 1; i < session->strand_count; i++) {
        rmi_strand *strand = session->strands[i];
        bool goes_on = strand->node_count > 0 && !strand->finished;
        if (goes_on && (!best || load_of(change, strand) < load_of(change, best))) {
            best = strand;
        }
    }
    return best;
}

static rm_status choose_strand(const rm_change *change, uint32_t index, rmi_strand **ret_strand,
                               rm_error *err)
{
    const rmi_plan_node *planned = change->plan->nodes[index];
    const rmi_node *old = change->nodes[index].old;
    bool wants_thread = flags_of(planned) & (RM_NODE_BLOCKS | RM_NODE_HEAVY);
    bool is_python = planned->pub.type->flags & RM_NODE_PYTHON; /* those run at home */
    rmi_strand *strand = change->session->strands[0];
    if (old && !is_python && (!wants_thread || old->strand->index > 0)) {
        strand = old->strand;
    } else if (wants_thread && !is_python) {
        strand = find_thread(change);
    } else if (planned->pub.copy && planned->pub.copies > 1 && find_thread(change)) {
        strand = find_thread(change); /* copies are there to work at the same time */
    }
    if (!strand) {
        return rm_fail(err, RM_EUNSUPPORTED,
                       "node '%.60s' (%s) needs a thread, and the session was opened without one",
                       planned->id, planned->pub.type->name);
    }
    *ret_strand = strand;
    return RM_OK;
}

static bool id_is_taken(const rm_change *change, const char *id)
{
    const rm_session *session = change->session;
    for (uint32_t i = 0; i < session->node_count; i++) {
        if (rmi_change_is_kept(change, session->nodes[i]) &&
            strcmp(session->nodes[i]->pub.id, id) == 0) {
            return true;
        }
    }
    return false;
}

static rm_status make_node(rm_change *change, uint32_t index, rm_error *err)
{
    rmi_new_node *fresh = &change->nodes[index];
    rmi_node_spec spec = rmi_node_spec_of(change->plan, index);
    rmi_strand *strand = NULL;
    char other_id[128];
    rm_status status = check_fixed(spec.type, spec.id, err);
    if (status == RM_OK) {
        status = choose_strand(change, index, &strand, err);
    }
    if (change->plan->nodes[index]->pub.inserted && id_is_taken(change, spec.id)) {
        snprintf(other_id, sizeof other_id, "%.100s.%u", spec.id, change->version + 1);
        spec.id = other_id;
    }
    if (status == RM_OK) {
        status = rmi_node_new(&spec, &fresh->node, err);
    }
    if (status == RM_OK) {
        status = check_unmarked(fresh->node, spec.copies, err);
    }
    if (status != RM_OK) {
        return status;
    }
    rmi_node *node = fresh->node;
    node->strand = strand;
    rmi_node_choose_error(node);
    node->joins = true;
    node->made_by = change->plan;
    node->index = index;
    return RM_OK;
}

static rm_status make_nodes(rm_change *change, rm_error *err)
{
    rm_status status = check_gone(change, err);
    for (uint32_t i = 0; i < change->plan->node_count && status == RM_OK; i++) {
        if (!change->nodes[i].node) {
            status = make_node(change, i, err);
        }
    }
    return status;
}

/* ---- edges */

static bool is_same_edge(const rm_change *change, uint32_t old_edge, uint32_t index)
{
    const rm_plan_edge *was = &change->session->plan->edges[old_edge].pub;
    const rm_plan_edge *is = &change->plan->edges[index].pub;
    const rmi_new_node *from = &change->nodes[is->from_node], *to = &change->nodes[is->to_node];
    const rm_session *session = change->session;
    return change->place[was->from_node] == is->from_node &&
           change->place[was->to_node] == is->to_node && was->from_port == is->from_port &&
           was->to_port == is->to_port && was->capacity_packets == is->capacity_packets &&
           was->capacity_packets_max == is->capacity_packets_max &&
           was->capacity_bytes == is->capacity_bytes && was->capacity_ns == is->capacity_ns &&
           was->latency_ns_max == is->latency_ns_max && strcmp(was->policy, is->policy) == 0 &&
           strcmp(was->when_json ? was->when_json : "", is->when_json ? is->when_json : "") == 0 &&
           from->node->strand == session->nodes[was->from_node]->strand &&
           to->node->strand == session->nodes[was->to_node]->strand;
}

static rm_status make_edges(rm_change *change, rm_error *err)
{
    const rm_session *session = change->session;
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < change->plan->edge_count; i++) {
        for (uint32_t k = 0; k < session->edge_count && !change->edges[i].edge; k++) {
            if (change->heir[k] == RMI_NONE && is_same_edge(change, k, i)) {
                change->edges[i].edge = session->edges[k];
                change->heir[k] = i;
            }
        }
    }
    for (uint32_t i = 0; i < change->plan->edge_count && status == RM_OK; i++) {
        if (!change->edges[i].edge) {
            rmi_edge_spec spec = rmi_edge_spec_of(change->plan, i);
            change->edges[i].is_made = true;
            status = rmi_session_make_edge(&spec, change->nodes[spec.from].node->strand,
                                           change->nodes[spec.to].node->strand,
                                           &change->edges[i].edge, err);
        }
    }
    return status;
}

/* ---- what strands will have */

static rm_status size_tables(rmi_strand_tables *tables, uint32_t nodes, uint32_t links)
{
    tables->nodes = rmi_calloc(nodes, sizeof(rmi_node *));
    tables->timers = rmi_calloc((size_t)nodes + 1, sizeof(rmi_node *));
    tables->ready = rmi_calloc((size_t)nodes / 64 + 1, sizeof(uint64_t));
    tables->links_in = rmi_calloc(links, sizeof(rmi_link *));
    tables->links_out = rmi_calloc(links, sizeof(rmi_link *));
    return tables->nodes && tables->timers && tables->ready && tables->links_in && tables->links_out
               ? RM_OK
               : RM_ENOMEM;
}

static rm_status fill_tables(rm_change *change, rm_error *err)
{
    uint32_t links = (uint32_t)change->plan->edge_count;
    uint32_t nodes = (uint32_t)change->plan->node_count;
    for (uint32_t i = 0; i < change->session->strand_count; i++) {
        if (size_tables(&change->tables[i], nodes, links) != RM_OK) {
            return no_memory(err);
        }
    }
    for (uint32_t i = 0; i < nodes; i++) {
        rmi_strand_tables *tables = &change->tables[change->nodes[i].node->strand->index];
        change->new_nodes[i] = change->nodes[i].node;
        tables->nodes[tables->node_count++] = change->nodes[i].node;
    }
    for (uint32_t i = 0; i < change->plan->edge_count; i++) {
        rmi_link *link = change->edges[i].edge->link;
        change->new_edges[i] = change->edges[i].edge;
        if (link) {
            rmi_strand_tables *from = &change->tables[link->producer->index];
            rmi_strand_tables *to = &change->tables[link->consumer->index];
            from->links_out[from->link_out_count++] = link;
            to->links_in[to->link_in_count++] = link;
        }
    }
    return RM_OK;
}

/* ---- opening */

static rm_status open_nodes(rm_change *change, rm_error *err)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < change->plan->node_count && status == RM_OK; i++) {
        rmi_new_node *fresh = &change->nodes[i];
        if (fresh->node != fresh->old) {
            status = rmi_session_open_node(fresh->node, err);
            fresh->is_open = status == RM_OK;
        }
    }
    return status;
}

rm_status rmi_change_plan(rm_change *change, rm_error *err)
{
    rm_status status = plan_graph(change, err);
    if (status == RM_OK) {
        status = make_tables(change, err);
    }
    return status == RM_OK ? match_nodes(change, err) : status;
}

rm_status rmi_change_prepare(rm_change *change, rm_error *err)
{
    rm_status status = rmi_change_find_visits(change, err);
    change->is_prepared = true;
    if (status == RM_OK) {
        status = make_nodes(change, err);
    }
    if (status == RM_OK) {
        status = make_edges(change, err);
    }
    if (status == RM_OK) {
        status = rmi_change_find_heirs(change, err);
    }
    if (status == RM_OK) {
        status = fill_tables(change, err);
    }
    return status == RM_OK ? open_nodes(change, err) : status;
}

static void forget_node(rm_change *change, rmi_new_node *fresh)
{
    rmi_node *node = fresh->node;
    if (!node || node == fresh->old) {
        return;
    }
    if (fresh->is_open && node->pub.type->close) {
        node->pub.type->close(&node->pub);
    }
    if (fresh->is_open) { /* it may have been told of to its strand */
        rmi_session_retire_node(change->session, node);
    } else {
        rmi_node_free(node);
    }
}

static void free_tables(rm_change *change)
{
    for (uint32_t i = 0; i < RMI_SESSION_STRANDS_MAX; i++) {
        rmi_free(change->tables[i].nodes);
        rmi_free(change->tables[i].timers);
        rmi_free(change->tables[i].ready);
        rmi_free(change->tables[i].links_in);
        rmi_free(change->tables[i].links_out);
        change->tables[i] = (rmi_strand_tables){0};
    }
    rmi_free(change->nodes);
    rmi_free(change->edges);
    rmi_free(change->place);
    rmi_free(change->heir);
    rmi_free(change->holds);
    rmi_free(change->drains);
    rmi_free(change->goes_on);
    rmi_free(change->bequests);
    rmi_free(change->new_nodes);
    rmi_free(change->new_edges);
    change->plan = NULL;
    change->is_prepared = false;
    change->nodes = NULL;
    change->edges = NULL;
    change->place = change->heir = NULL;
    change->holds = NULL;
    change->drains = change->goes_on = NULL;
    change->bequests = NULL;
    change->bequest_count = change->bequest_capacity = 0;
    change->new_nodes = NULL;
    change->new_edges = NULL;
}

static void free_params(rm_change *change)
{
    for (size_t i = 0; i < change->plan->node_count; i++) {
        if (change->nodes[i].params) {
            rmi_params_free(change->nodes[i].old->pub.type, change->nodes[i].params);
        }
    }
}

void rmi_change_forget(rm_change *change)
{
    rm_plan *plan = change->plan;
    bool any_open = false;
    if (!plan) {
        return;
    }
    rmi_change_release(change);
    for (size_t i = 0; change->edges && i < plan->edge_count; i++) {
        if (change->edges[i].is_made) {
            rmi_session_free_edge(change->session, change->edges[i].edge);
        }
    }
    for (size_t i = 0; change->nodes && i < plan->node_count; i++) {
        any_open |= change->nodes[i].is_open;
        forget_node(change, &change->nodes[i]);
    }
    if (change->nodes) {
        free_params(change);
    }
    free_tables(change);
    if (any_open) {
        rmi_session_retire_plan(change->session, plan);
    } else {
        rm_plan_free(plan);
    }
}

void rmi_change_settle(rm_change *change)
{
    rm_session *session = change->session;
    session->plan = change->plan;
    session->version++;
    rmi_session_retire_plan(session, change->plan);
    free_params(change);
    free_tables(change);
}
