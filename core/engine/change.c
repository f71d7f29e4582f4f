/* Describing a change: the session's manifest, edited. */
#include "engine/change.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "engine/record.h"

enum { TRY_NS = 2000000000, RETRY_NS = 500000 };

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static rm_status no_memory(rm_error *err)
{
    return rm_fail(err, RM_ENOMEM, "no memory for a change");
}

/* A manifest without connections is a chain: here each is written out. */
static rm_status write_connections(rm_change *change)
{
    const rm_graph *graph = change->session->plan->graph;
    json_t *list = json_array();
    for (size_t i = 0; i < graph->edge_count; i++) {
        const rm_graph_edge *edge = &graph->edges[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "from", graph->nodes[edge->from_node].id,
                                        "to", graph->nodes[edge->to_node].id));
    }
    bool is_whole = json_array_size(list) == graph->edge_count;
    return json_object_set_new(change->manifest, "connections", list) == 0 && is_whole ? RM_OK
                                                                                       : RM_ENOMEM;
}

rm_status rm_change_new(rm_session *session, rm_change **ret_change, rm_error *err)
{
    if (!session->plan) {
        return rm_fail(err, RM_EINVAL, "the session was not opened from a plan");
    }
    rm_status recorded = rmi_record_refuse(session, "change of its graph", err);
    if (recorded != RM_OK) {
        return recorded;
    }
    rm_change *change = RMI_NEW(rm_change);
    if (!change) {
        return no_memory(err);
    }
    change->session = session;
    rmi_session_begin_visit(session);
    change->version = session->version;
    change->manifest = json_deep_copy(session->plan->graph->manifest);
    rm_status status = change->manifest ? RM_OK : RM_ENOMEM;
    if (status == RM_OK && !json_object_get(change->manifest, "connections")) {
        status = write_connections(change);
    }
    rmi_session_end_visit(session);
    if (status != RM_OK) {
        rm_change_free(change);
        return no_memory(err);
    }
    *ret_change = change;
    return RM_OK;
}

void rm_change_free(rm_change *change)
{
    if (!change) {
        return;
    }
    rmi_change_forget(change);
    rmi_change_free_visits(change);
    json_decref(change->manifest);
    rmi_free(change);
}

/* ---- finding and editing */

static rm_status find_node(const rm_change *change, const char *id, size_t *ret_index,
                           rm_error *err)
{
    const json_t *nodes = json_object_get(change->manifest, "nodes");
    rmi_near near = {.wanted = id};
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const char *known = text_of(json_array_get(nodes, i), "id");
        if (strcmp(known, id) == 0) {
            *ret_index = i;
            return RM_OK;
        }
        rmi_near_try(&near, known);
    }
    rm_status status = rm_fail(err, RM_ENOENT, "the graph has no node '%.60s'", id);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(err, "did you mean '%s'?", best);
    }
    return status;
}

static rm_status check_open(const rm_change *change, rm_error *err)
{
    return change->plan ? rm_fail(err, RM_EINVAL, "the change was committed already") : RM_OK;
}

static rm_status read_object(const char *text, const char *what, json_t **ret_object, rm_error *err)
{
    json_error_t where;
    json_t *object = text ? json_loads(text, JSON_REJECT_DUPLICATES, &where) : NULL;
    if (!json_is_object(object)) {
        json_decref(object);
        return rm_fail(err, RM_EINVAL, "%s is not a JSON object", what);
    }
    *ret_object = object;
    return RM_OK;
}

static json_t *connections_of(const rm_change *change)
{
    return json_object_get(change->manifest, "connections");
}

/* NULL for from or to: any. */
static bool connects(const json_t *connection, const char *from, const char *to)
{
    return (!from || strcmp(text_of(connection, "from"), from) == 0) &&
           (!to || strcmp(text_of(connection, "to"), to) == 0);
}

static size_t count_connections(const rm_change *change, const char *from, const char *to)
{
    size_t index, count = 0;
    json_t *connection;
    json_array_foreach(connections_of(change), index, connection)
    {
        count += connects(connection, from, to);
    }
    return count;
}

/* A graph's input or output that is this node; NULL: none is. */
static json_t *find_endpoint(const rm_change *change, const char *field, const char *id)
{
    const char *name;
    json_t *endpoint;
    json_object_foreach(json_object_get(change->manifest, field), name, endpoint)
    {
        if (strcmp(text_of(endpoint, "node"), id) == 0) {
            return endpoint;
        }
    }
    return NULL;
}

/* The end of `target` (node and port) becomes that of `source`. */
static void copy_end(json_t *target, const char *node, const char *port, const json_t *source,
                     const char *source_node, const char *source_port)
{
    json_t *name = json_object_get(source, source_port);
    json_object_set(target, node, json_object_get(source, source_node));
    if (name) {
        json_object_set(target, port, name);
    } else {
        json_object_del(target, port);
    }
}

static void set_end(json_t *target, const char *node, const char *port, const char *id)
{
    json_object_set_new(target, node, json_string(id));
    json_object_del(target, port);
}

static void drop_connections(rm_change *change, const char *from, const char *to)
{
    json_t *list = connections_of(change);
    for (size_t i = json_array_size(list); i-- > 0;) {
        if (connects(json_array_get(list, i), from, to)) {
            json_array_remove(list, i);
        }
    }
}

/* ---- operations */

static rm_status add_node(rm_change *change, const char *node_json, const char **ret_id,
                          rm_error *err)
{
    json_t *node = NULL;
    size_t there;
    rm_status status = check_open(change, err);
    if (status == RM_OK) {
        status = read_object(node_json, "the new node", &node, err);
    }
    if (status != RM_OK) {
        return status;
    }
    const char *id = text_of(node, "id");
    if (!id[0] || find_node(change, id, &there, NULL) == RM_OK) {
        status =
            rm_fail(err, RM_EINVAL,
                    id[0] ? "there is a node '%.60s' already" : "the new node has no id%.60s", id);
        json_decref(node);
        return status;
    }
    *ret_id = id;
    return json_array_append_new(json_object_get(change->manifest, "nodes"), node) == 0
               ? RM_OK
               : no_memory(err);
}

rm_status rm_change_add(rm_change *change, const char *node_json, rm_error *err)
{
    const char *id;
    return add_node(change, node_json, &id, err);
}

rm_status rm_change_replace(rm_change *change, const char *id, const char *node_json, rm_error *err)
{
    size_t index;
    json_t *node = NULL;
    rm_status status = check_open(change, err);
    if (status == RM_OK) {
        status = find_node(change, id, &index, err);
    }
    if (status == RM_OK) {
        status = read_object(node_json, "the new node", &node, err);
    }
    if (status != RM_OK) {
        return status;
    }
    const char *own = text_of(node, "id");
    if (own[0] && strcmp(own, id) != 0) {
        status = rm_fail(err, RM_EINVAL, "the new node has the id '%.60s', want '%.60s' or none",
                         own, id);
        json_decref(node);
        return status;
    }
    json_object_set_new(node, "id", json_string(id));
    json_array_set_new(json_object_get(change->manifest, "nodes"), index, node);
    return RM_OK;
}

rm_status rm_change_params(rm_change *change, const char *id, const char *params_json,
                           rm_error *err)
{
    size_t index;
    json_t *params = NULL;
    rm_status status = check_open(change, err);
    if (status == RM_OK) {
        status = find_node(change, id, &index, err);
    }
    if (status == RM_OK) {
        status = read_object(params_json, "the parameters", &params, err);
    }
    if (status != RM_OK) {
        return status;
    }
    json_t *node = json_array_get(json_object_get(change->manifest, "nodes"), index);
    json_t *known = json_object_get(node, "params");
    if (json_is_object(known)) {
        json_object_update(known, params);
        json_decref(params);
    } else {
        json_object_set_new(node, "params", params);
    }
    return RM_OK;
}

rm_status rm_change_visit(rm_change *change, const char *id,
                          rm_status (*visit)(void *context, rm_error *err),
                          void (*undo)(void *context), void *context, rm_error *err)
{
    size_t index;
    rm_status status = check_open(change, err);
    if (status == RM_OK) {
        status = find_node(change, id, &index, err);
    }
    if (status != RM_OK) {
        return status;
    }
    const rmi_visit asked = {
        .id = (char *)(uintptr_t)id, .call = visit, .undo = undo, .context = context};
    return rmi_change_add_visit(change, &asked, err);
}

rm_status rm_change_connect(rm_change *change, const char *connection_json, rm_error *err)
{
    json_t *connection = NULL;
    rm_status status = check_open(change, err);
    if (status == RM_OK) {
        status = read_object(connection_json, "the connection", &connection, err);
    }
    if (status == RM_OK && json_array_append_new(connections_of(change), connection) != 0) {
        status = no_memory(err);
    }
    return status;
}

rm_status rm_change_disconnect(rm_change *change, const char *from, const char *to, rm_error *err)
{
    rm_status status = check_open(change, err);
    if (status == RM_OK && count_connections(change, from, to) == 0) {
        status = rm_fail(err, RM_ENOENT, "'%.60s' is not connected to '%.60s'", from, to);
    }
    if (status == RM_OK) {
        drop_connections(change, from, to);
    }
    return status;
}

/* All connections of a node on one side go through one of its ports; they are `count`. */
static bool is_one_port(const rm_change *change, const char *from, const char *to, const char *port,
                        size_t *ret_count)
{
    size_t index, count = 0;
    json_t *connection;
    const char *name = NULL;
    bool one = true;
    json_array_foreach(connections_of(change), index, connection)
    {
        if (connects(connection, from, to)) {
            const char *mine = text_of(connection, port);
            one &= !name || strcmp(name, mine) == 0;
            name = mine;
            count++;
        }
    }
    *ret_count = count;
    return one;
}

static rm_status check_ends(const rm_change *change, const char *from, const char *to,
                            rm_error *err)
{
    size_t ignored;
    if (!from && !to) {
        return rm_fail(err, RM_EINVAL, "insert after a node, before one, or between two");
    }
    rm_status status = check_open(change, err);
    if (status == RM_OK && from) {
        status = find_node(change, from, &ignored, err);
    }
    if (status == RM_OK && to) {
        status = find_node(change, to, &ignored, err);
    }
    return status;
}

/* The graph's own output behind `from`, or input before `to`. */
static json_t *outer_end(const rm_change *change, const char *from, const char *to)
{
    if (from && to) {
        return NULL;
    }
    return from ? find_endpoint(change, "outputs", from) : find_endpoint(change, "inputs", to);
}

static rm_status check_between(rm_change *change, const char *from, const char *to, rm_error *err)
{
    size_t count;
    rm_status status = check_ends(change, from, to, err);
    if (status != RM_OK) {
        return status;
    }
    if (!is_one_port(change, from, to, from ? "from_port" : "to_port", &count)) {
        return rm_fail(err, RM_EINVAL,
                       "several %s of '%.60s' are connected: say between which nodes",
                       from ? "outputs" : "inputs", from ? from : to);
    }
    if (count == 0 && !outer_end(change, from, to)) {
        return from && to ? rm_fail(err, RM_ENOENT, "'%.60s' is not connected to '%.60s'", from, to)
                          : rm_fail(err, RM_ENOENT, "there is no connection %s '%.60s'",
                                    from ? "from" : "to", from ? from : to);
    }
    return RM_OK;
}

/* Each connection between the two goes through the node: behind `from` it begins at the node, else
 * it leads to it. */
static void reroute(rm_change *change, const char *from, const char *to, const char *id)
{
    size_t index;
    json_t *connection, *list = connections_of(change), *added = json_object();
    json_array_foreach(list, index, connection)
    {
        if (!connects(connection, from, to)) {
            continue;
        }
        if (from) {
            copy_end(added, "from", "from_port", connection, "from", "from_port");
            set_end(connection, "from", "from_port", id);
        } else {
            copy_end(added, "to", "to_port", connection, "to", "to_port");
            set_end(connection, "to", "to_port", id);
        }
    }
    json_t *endpoint = outer_end(change, from, to);
    if (endpoint) {
        const char *end = from ? "from" : "to", *port = from ? "from_port" : "to_port";
        copy_end(added, end, port, endpoint, "node", "port");
        set_end(endpoint, "node", "port", id);
    }
    json_object_set_new(added, from ? "to" : "from", json_string(id));
    json_array_append_new(list, added);
}

rm_status rm_change_insert(rm_change *change, const char *node_json, const char *from,
                           const char *to, rm_error *err)
{
    const char *id = NULL;
    rm_status status = check_between(change, from, to, err);
    if (status == RM_OK) {
        status = add_node(change, node_json, &id, err);
    }
    if (status == RM_OK) {
        reroute(change, from, to, id);
    }
    return status;
}

static json_t *first_connection(const rm_change *change, const char *from, const char *to)
{
    size_t index;
    json_t *connection;
    json_array_foreach(connections_of(change), index, connection)
    {
        if (connects(connection, from, to)) {
            return connection;
        }
    }
    return NULL;
}

/* What connections of the node say of packets can be said where it is gone. Of two conditions there
 * is no one that says both, an output of the graph has none, and dead letters are not all. */
static bool is_bridgeable(const rm_change *change, const char *id, const json_t *in)
{
    size_t index;
    json_t *connection;
    bool has_condition = in && json_object_get(in, "when");
    bool can = !has_condition || !find_endpoint(change, "outputs", id);
    json_array_foreach(connections_of(change), index, connection)
    {
        if (connects(connection, id, NULL)) {
            can &= strcmp(text_of(connection, "from_port"), RM_DEAD_LETTER_PORT) != 0;
            can &= (in && !has_condition) || !json_object_get(connection, "when");
        }
    }
    return can;
}

/* What feeds the node feeds its consumers, on the same condition. */
static void bridge(rm_change *change, const char *id, const json_t *in)
{
    size_t index;
    json_t *connection;
    json_array_foreach(connections_of(change), index, connection)
    {
        if (connects(connection, id, NULL)) {
            copy_end(connection, "from", "from_port", in, "from", "from_port");
            if (json_object_get(in, "when")) {
                json_object_set(connection, "when", json_object_get(in, "when"));
            }
        }
    }
    json_t *endpoint = find_endpoint(change, "outputs", id);
    if (endpoint) {
        copy_end(endpoint, "node", "port", in, "from", "from_port");
    }
}

static rm_status check_plain(const rm_change *change, const char *id, bool is_input, rm_error *err)
{
    size_t ins, outs;
    bool one_out = is_one_port(change, id, NULL, "from_port", &outs);
    (void)is_one_port(change, NULL, id, "to_port", &ins);
    if (is_input && (ins != 0 || outs != 1)) {
        return rm_fail(err, RM_EINVAL, "node '%.60s' is an input of the graph", id);
    }
    rm_status status = RM_OK;
    if (!is_input && (ins != 1 || !one_out)) {
        status =
            rm_fail(err, RM_EINVAL,
                    "node '%.60s' has %zu connections that reach it%s: what follows on what is not "
                    "plain",
                    id, ins, one_out ? "" : " and several outputs in use");
    } else if (!is_bridgeable(change, id, first_connection(change, NULL, id))) {
        status = rm_fail(err, RM_EINVAL,
                         "node '%.60s' has connections with conditions, or for dead letters: what "
                         "follows on what is not plain",
                         id);
    }
    if (status != RM_OK) {
        rm_error_help(err, "connect its neighbours and disconnect it, then remove it");
    }
    return status;
}

rm_status rm_change_remove(rm_change *change, const char *id, rm_error *err)
{
    size_t index;
    rm_status status = check_open(change, err);
    if (status == RM_OK) {
        status = find_node(change, id, &index, err);
    }
    if (status != RM_OK) {
        return status;
    }
    json_t *input = find_endpoint(change, "inputs", id);
    bool is_sink =
        !first_connection(change, id, NULL) && !find_endpoint(change, "outputs", id) && !input;
    status = is_sink ? RM_OK : check_plain(change, id, input != NULL, err);
    if (status != RM_OK) {
        return status;
    }
    if (input) {
        copy_end(input, "node", "port", first_connection(change, id, NULL), "to", "to_port");
        drop_connections(change, id, NULL);
    } else if (!is_sink) {
        json_t *in = json_incref(first_connection(change, NULL, id));
        bridge(change, id, in);
        json_decref(in);
    }
    drop_connections(change, NULL, id);
    json_array_remove(json_object_get(change->manifest, "nodes"), index);
    return RM_OK;
}

/* ---- committing */

static rm_status check_begin(const rm_change *change, rm_error *err)
{
    rm_session *session = change->session;
    if (rmi_session_is_inside(session)) {
        return rm_fail(err, RM_EINVAL, "a change can't be made from within a node or an event");
    }
    if (change->version != session->version) {
        return rm_fail(err, RM_EINVAL, "the graph was changed since this change began");
    }
    return RM_OK;
}

static rm_status try_once(rm_change *change, int64_t until_ns, int64_t *ret_pause_ns, rm_error *err)
{
    rm_session *session = change->session;
    rm_status status = RM_EAGAIN;
    if (err) {
        *err = (rm_error)RM_ERROR_INIT;
    }
    rmi_session_begin_change(session);
    int64_t begin_ns = rmi_clock_ns();
    if (rmi_session_pause(session, until_ns, false)) {
        rmi_session_release_retired(session);
        status = rmi_change_exchange(change, err);
        *ret_pause_ns = rmi_clock_ns() - begin_ns;
        if (status == RM_EAGAIN) {
            rmi_change_hold(change);
        }
        rmi_session_resume(session);
    } else {
        status = rm_fail(err, RM_EAGAIN, "a node's call has lasted for 2 s");
    }
    rmi_session_end_change(session);
    return status;
}

/* Where the caller steps, what has to happen first needs its steps. */
static rm_status try_often(rm_change *change, int64_t *ret_pause_ns, rm_error *err)
{
    int64_t until_ns = rmi_clock_ns() + TRY_NS;
    bool waits = change->session->options.driver == RM_DRIVER_THREAD;
    rm_status status = try_once(change, until_ns, ret_pause_ns, err);
    while (status == RM_EAGAIN && waits && rmi_clock_ns() < until_ns) {
        struct timespec pause = {.tv_nsec = RETRY_NS};
        nanosleep(&pause, NULL);
        status = try_once(change, until_ns, ret_pause_ns, err);
    }
    return status;
}

rm_status rm_change_plan(rm_change *change, const rm_plan **ret_plan, rm_error *err)
{
    rm_status status = check_begin(change, err);
    if (status == RM_OK && !change->plan) {
        status = rmi_change_plan(change, err);
    }
    if (status != RM_OK) {
        rmi_change_forget(change);
    } else if (ret_plan) {
        *ret_plan = change->plan;
    }
    return status;
}

int rm_change_is_new(const rm_change *change, size_t index)
{
    return change->plan && index < change->plan->node_count && !rmi_change_keeps(change, index);
}

rm_status rm_change_commit(rm_change *change, int64_t *ret_pause_ns, rm_error *err)
{
    int64_t pause_ns = 0;
    rm_status status = check_begin(change, err);
    if (status == RM_OK && !change->plan) {
        status = rmi_change_plan(change, err);
    }
    if (status == RM_OK && !change->is_prepared) {
        status = rmi_change_prepare(change, err);
    }
    if (status == RM_OK) {
        status = try_often(change, &pause_ns, err);
    }
    if (status == RM_OK) {
        rmi_change_finish(change);
    } else if (status != RM_EAGAIN) {
        rmi_change_forget(change);
    } else if (change->session->options.driver == RM_DRIVER_THREAD) {
        rmi_change_release(change);
    }
    if (ret_pause_ns) {
        *ret_pause_ns = pause_ns;
    }
    return status;
}
