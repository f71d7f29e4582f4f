/* Making a node: from its type, its parameters and its options. */
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/parallel.h"
#include "engine/repair.h"
#include "engine/session.h"
#include "graph/params.h"

/* ---- options */

static const char *const policies[] = {[RMI_ON_ERROR_FAIL] = "fail",
                                       [RMI_ON_ERROR_SKIP] = "skip",
                                       [RMI_ON_ERROR_RETRY] = "retry",
                                       [RMI_ON_ERROR_BYPASS] = "bypass",
                                       [RMI_ON_ERROR_DEAD_LETTER] = "dead_letter",
                                       [RMI_ON_ERROR_FALLBACK] = "fallback"};

static rm_status read_policy(const char *field, const json_t *value, rmi_on_error *ret_policy,
                             rm_error *err)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    for (size_t i = 0; i < RMI_COUNT(policies); i++) {
        if (strcmp(policies[i], name) == 0) {
            *ret_policy = (rmi_on_error)i;
            return RM_OK;
        }
    }
    return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                      "%s is '%.40s', want fail, skip, retry, bypass, dead_letter or fallback",
                      field, name);
}

static rm_status read_ms(const json_t *object, const char *name, int64_t *ret_ns, rm_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!value) {
        return RM_OK;
    }
    double ms = json_number_value(value);
    if (!json_is_number(value) || !(ms >= 0 && ms <= 3600000)) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "%s is %g, want 0 to 3600000", name, ms);
    }
    *ret_ns = (int64_t)(ms * 1e6);
    return RM_OK;
}

static rm_status read_count(const json_t *object, const char *name, json_int_t most,
                            uint32_t *ret_count, rm_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!value) {
        return RM_OK;
    }
    json_int_t count = json_integer_value(value);
    if (count < 1 || count > most) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "%s is %lld, want 1 to %lld", name,
                          (long long)count, (long long)most);
    }
    *ret_count = (uint32_t)count;
    return RM_OK;
}

static rm_status read_breaker(const json_t *breaker, rmi_node_options *options, rm_error *err)
{
    rmi_on_error last = options->on_error == RMI_ON_ERROR_RETRY ? options->then : options->on_error;
    if (!breaker) {
        return RM_OK;
    }
    if (last == RMI_ON_ERROR_FAIL) {
        rm_status status = rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                                      "on_error has a breaker, and its first error ends the run");
        rm_error_help(err, "give the policy skip, bypass, dead_letter or fallback, or retry "
                           "with one of them as \"then\"");
        return status;
    }
    options->breaker = (rmi_breaker_options){5, 30 * (int64_t)1000000000};
    rm_status status = read_count(breaker, "failures", 1000, &options->breaker.failures, err);
    return status == RM_OK ? read_ms(breaker, "open_ms", &options->breaker.open_ns, err) : status;
}

/* "skip", or {"policy": "retry", "attempts": 3, "backoff_ms": 100, "within_ms": 5000, "then":
 * "skip", "breaker": {"failures": 5, "open_ms": 30000}}. */
static rm_status read_on_error(const json_t *value, rmi_node_options *options, rm_error *err)
{
    if (!json_is_object(value)) {
        return read_policy("on_error", value, &options->on_error, err);
    }
    const json_t *policy = json_object_get(value, "policy"), *then = json_object_get(value, "then");
    if (!json_is_string(policy)) {
        return rm_fail_as(err, RM_CODE_MANIFEST_TYPE, "on_error has no text 'policy'");
    }
    rm_status status = read_policy("on_error", policy, &options->on_error, err);
    if (status == RM_OK && then) {
        status = read_policy("then", then, &options->then, err);
    }
    if (status == RM_OK) {
        status = read_count(value, "attempts", 100, &options->attempts, err);
    }
    if (status == RM_OK) {
        status = read_ms(value, "backoff_ms", &options->backoff_ns, err);
    }
    if (status == RM_OK) {
        status = read_ms(value, "within_ms", &options->retry_ns_max, err);
    }
    return status == RM_OK ? read_breaker(json_object_get(value, "breaker"), options, err) : status;
}

static const char *const merges[] = {[RMI_MERGE_ANY] = "any",
                                     [RMI_MERGE_ZIP] = "zip",
                                     [RMI_MERGE_PRIORITY] = "priority",
                                     [RMI_MERGE_SYNC] = "sync"};

/* "zip", or {"policy": "sync", "tolerance_ms": 20, "wait_ms_max": 200}. */
static rm_status read_merge(const json_t *value, rmi_node_options *options, rm_error *err)
{
    const json_t *policy = json_is_object(value) ? json_object_get(value, "policy") : value;
    const char *name = json_is_string(policy) ? json_string_value(policy) : "";
    size_t i = 0;
    while (i < RMI_COUNT(merges) && strcmp(merges[i], name) != 0) {
        i++;
    }
    if (i == RMI_COUNT(merges)) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                          "merge is '%.40s', want any, zip, priority or sync", name);
    }
    options->merge = (rmi_merge)i;
    rm_status status = read_ms(value, "tolerance_ms", &options->tolerance_ns, err);
    return status == RM_OK ? read_ms(value, "wait_ms_max", &options->wait_ns_max, err) : status;
}

static rm_status read_deadline(const json_t *node, rmi_node_options *options, rm_error *err)
{
    const char *late = json_string_value(json_object_get(node, "late"));
    if (late && strcmp(late, "drop") != 0 && strcmp(late, "pass") != 0) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "late is '%.40s', want drop or pass", late);
    }
    options->late_passes = late && strcmp(late, "pass") == 0;
    return read_ms(node, "deadline_ms", &options->deadline_ns, err);
}

static const char *const repairs[] = {
    [RMI_PTS_KEEP] = "keep", [RMI_PTS_FILL] = "fill", [RMI_PTS_MONOTONIC] = "monotonic"};

static rm_status read_pts(const json_t *node, rmi_node_options *options, rm_error *err)
{
    const json_t *pts = json_object_get(node, "pts");
    const char *name = json_is_string(pts) ? json_string_value(pts) : "";
    for (size_t i = 0; i < RMI_COUNT(repairs); i++) {
        if (!pts || strcmp(repairs[i], name) == 0) {
            options->pts = (rmi_pts)i;
            return RM_OK;
        }
    }
    return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "pts is '%.40s', want keep, fill or monotonic",
                      name);
}

rm_status rmi_node_options_parse(const char *node_json, rmi_node_options *ret_options,
                                 rm_error *err)
{
    rmi_node_options options = {.attempts = 3,
                                .backoff_ns = 100 * (int64_t)1000000,
                                .retry_ns_max = INT64_MAX,
                                .tolerance_ns = 20 * (int64_t)1000000,
                                .wait_ns_max = INT64_MAX};
    json_t *node = json_loads(node_json ? node_json : "{}", 0, NULL);
    if (!node) {
        return rm_fail(err, RM_EINVAL, "a node's options are not JSON");
    }
    rm_status status = RM_OK;
    json_t *on_error = json_object_get(node, "on_error");
    json_t *merge = json_object_get(node, "merge");
    if (on_error) {
        status = read_on_error(on_error, &options, err);
    }
    if (status == RM_OK && merge) {
        status = read_merge(merge, &options, err);
    }
    if (status == RM_OK) {
        status = read_deadline(node, &options, err);
    }
    if (status == RM_OK) {
        status = read_pts(node, &options, err);
    }
    json_decref(node);
    if (status == RM_OK) {
        *ret_options = options;
    }
    return status;
}

_Static_assert(offsetof(rmi_node, error) == 64 && offsetof(rmi_node, items) == 128 &&
                   offsetof(rmi_node, one_in) == 192 && offsetof(rmi_node, outbox_few) == 256 &&
                   offsetof(rmi_node, current) == 304,
               "what a call touches lies in five cache lines");
_Static_assert(offsetof(rmi_edge, load) == 64, "what a hand-over touches lies in one");

/* ---- ports */

enum { EMIT_FEW = 1 }; /* packets of a call that an outbox has room for from the start */

/* A port seldom has more than two of the alternatives that there is room for in rm_formats. */
static rm_status read_accepts(const char *text, rm_formats **ret_accepts, rm_error *err)
{
    rm_formats all;
    rm_status status = rm_formats_parse(text, &all, err);
    if (status != RM_OK || all.count == 0) {
        return status;
    }
    size_t bytes = offsetof(rm_formats, alternative) + all.count * sizeof all.alternative[0];
    rm_formats *accepts = rmi_calloc(1, bytes);
    if (!accepts) {
        return rm_fail(err, RM_ENOMEM, "no memory for the input ports");
    }
    memcpy(accepts, &all, bytes);
    *ret_accepts = accepts;
    return RM_OK;
}

static rm_status make_inputs(rmi_node *node, rm_error *err)
{
    const rm_port *port = node->pub.type->inputs;
    while (port && port[node->n_current].name) {
        if (++node->n_current > RM_PORTS_MAX) {
            return rm_fail(err, RM_EINVAL, "more than %d input ports", RM_PORTS_MAX);
        }
    }
    bool few = node->n_current <= 1;
    node->in_port = few ? &node->one_in : rmi_calloc(node->n_current, sizeof *node->in_port);
    if (!node->in_port) {
        return rm_fail(err, RM_ENOMEM, "no memory for the input ports");
    }
    for (uint16_t i = 0; i < node->n_current; i++) {
        rm_status status = read_accepts(port[i].formats, &node->in_port[i].accepts, err);
        if (status != RM_OK) {
            return status;
        }
    }
    return RM_OK;
}

static rm_status make_outputs(rmi_node *node, rm_error *err)
{
    const rm_port *port = node->pub.type->outputs;
    while (port && port[node->n_out].name) {
        if (++node->n_out > RM_PORTS_MAX) {
            return rm_fail(err, RM_EINVAL, "more than %d output ports", RM_PORTS_MAX);
        }
    }
    node->out = node->n_out <= 1 ? &node->one_out : rmi_calloc(node->n_out, sizeof *node->out);
    if (!node->out) {
        return rm_fail(err, RM_ENOMEM, "no memory for the output ports");
    }
    for (uint16_t i = 0; i < node->n_out; i++) {
        uint32_t emit_max = rmi_port_emit_max(&port[i]);
        if (emit_max > RM_EMIT_MAX) {
            return rm_fail(err, RM_EINVAL, "emit_max of output '%s' is %u, want 1 to %d",
                           port[i].name, emit_max, RM_EMIT_MAX);
        }
        node->out[i].emit_max = (uint16_t)(emit_max < EMIT_FEW ? emit_max : EMIT_FEW);
        node->outbox_max += node->out[i].emit_max;
    }
    uint32_t slots = node->outbox_max + 1 + node->n_out; /* + 1: bypass; + n_out: marks */
    node->outbox =
        slots <= RMI_OUTBOX_FEW ? node->outbox_few : rmi_calloc(slots, sizeof *node->outbox);
    return node->outbox ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for the outbox");
}

/* Merges go by ports, and within a port by the order of connecting. */
static void insert_by_port(rmi_node *node, rmi_edge *edge)
{
    uint16_t at = node->n_in++;
    while (at > 0 && node->in[at - 1]->to_port > edge->to_port) {
        node->in[at] = node->in[at - 1];
        at--;
    }
    node->in[at] = edge;
}

rm_status rmi_node_reserve_edges(rmi_node *node, uint32_t port, bool is_output, uint32_t count)
{
    rmi_edge ***list = is_output ? &node->out[port].edges : &node->in;
    rmi_edge **grown = rmi_realloc(*list, (count ? count : 1) * sizeof(rmi_edge *));
    if (!grown) {
        return RM_ENOMEM;
    }
    *list = grown;
    return RM_OK;
}

void rmi_node_put_edge(rmi_node *node, uint32_t port, bool is_output, rmi_edge *edge)
{
    if (is_output) {
        edge->from = node;
        edge->from_port = (uint8_t)port;
        node->out[port].edges[node->out[port].edge_count++] = edge;
    } else {
        edge->to = node;
        edge->to_port = (uint8_t)port;
        insert_by_port(node, edge);
    }
}

rm_status rmi_node_add_edge(rmi_node *node, uint32_t port, bool is_output, rmi_edge *edge,
                            rm_error *err)
{
    uint32_t ports = is_output ? node->n_out : node->n_current;
    if (port >= ports) {
        return rm_fail(err, RM_EINVAL, "node '%s' has no %s port %u", node->pub.id,
                       is_output ? "output" : "input", port);
    }
    uint32_t count = is_output ? node->out[port].edge_count : node->n_in;
    if (count == RMI_NODE_EDGES_MAX) {
        return rm_fail(err, RM_ELIMIT, "node '%s' has more than %d edges on one side", node->pub.id,
                       RMI_NODE_EDGES_MAX);
    }
    if (rmi_node_reserve_edges(node, port, is_output, count + 1) != RM_OK) {
        return rm_fail(err, RM_ENOMEM, "no memory for one more edge");
    }
    rmi_node_put_edge(node, port, is_output, edge);
    return RM_OK;
}

/* ---- the port for items that failed */

/* The plan gives a node of such a policy a port of that name, behind those of its type. */
static rm_status check_aside(rmi_node *node, rmi_on_error policy, rm_error *err)
{
    const rmi_node_options *options = &node->options;
    bool wanted = options->on_error == policy ||
                  (options->on_error == RMI_ON_ERROR_RETRY && options->then == policy);
    const char *last = node->n_out ? node->pub.type->outputs[node->n_out - 1].name : "";
    if (!wanted) {
        return RM_OK;
    }
    if (strcmp(last, policies[policy]) != 0) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                          "on_error is %s, and the last output is '%s'", policies[policy], last);
    }
    node->out[node->n_out - 1].is_aside = true;
    return policy == RMI_ON_ERROR_FALLBACK ? rmi_parallel_make_mark(node, err) : RM_OK;
}

/* ---- making and freeing */

static void run_ready_message(rmi_strand *strand, rmi_message *message)
{
    rmi_node *node = RMI_CONTAINER(message, rmi_node, ready_message);
    atomic_store(&node->ready_posted, false);
    rmi_strand_call_again(strand, node);
}

static void run_complete_message(rmi_strand *strand, rmi_message *message)
{
    rmi_node *node = RMI_CONTAINER(message, rmi_node, complete_message);
    if (node->state == RMI_NODE_PENDING) {
        atomic_store(&node->complete_posted, false);
        rmi_strand_completed(strand, node);
    } else if (node->state == RMI_NODE_ABANDONED) {
        rmi_node_drop_outbox(node);
        rmi_node_drop_inputs(node);
        if (node->pub.type->close) {
            node->pub.type->close(&node->pub);
        }
        node->state = RMI_NODE_CLOSED;
        node->abandoned = false;
    }
}

static rm_status be_part(rmi_node *node, const rmi_node_spec *spec, rm_error *err)
{
    node->part_of = spec->part_of ? rmi_strdup(spec->part_of) : NULL;
    if (spec->part_of && !node->part_of) {
        return rm_fail(err, RM_ENOMEM, "no memory for a node");
    }
    return spec->copy ? rmi_parallel_prepare(node, spec->copy, spec->copies, err) : RM_OK;
}

/* What the manifest says of the node, and the plan. */
static rm_status follow_entry(rmi_node *node, const rmi_node_spec *spec, rm_error *err)
{
    rm_status status = rmi_node_options_parse(spec->node_json, &node->options, err);
    if (status == RM_OK) {
        status = check_aside(node, RMI_ON_ERROR_DEAD_LETTER, err);
    }
    if (status == RM_OK) {
        status = check_aside(node, RMI_ON_ERROR_FALLBACK, err);
    }
    if (status == RM_OK) {
        status = rmi_repair_prepare(node, err);
    }
    return status == RM_OK ? be_part(node, spec, err) : status;
}

/* Python nodes write one only where the call fails. Of others what a call wrote and returned well
 * from must not be taken for another's. */
static bool shares_error(const rm_node_type *type)
{
    return type->flags & RM_NODE_PYTHON;
}

void rmi_node_choose_error(rmi_node *node)
{
    node->error = node->own_error ? node->own_error : &node->strand->error;
}

/* The memory behind `pub`, but for the parameters. */
static rm_status node_own(rmi_node *node, const rmi_node_spec *spec, rm_error *err)
{
    const rm_node_type *type = spec->type;
    char *id = node->owned[0] = rmi_strdup(spec->id);
    char *json = node->owned[1] = rmi_strdup(spec->params_json ? spec->params_json : "{}");
    void *state = type->state_size ? rmi_aligned_calloc(64, type->state_size) : NULL;
    node->owned[2] = state;
    node->own_error = shares_error(type) ? NULL : RMI_NEW(rm_error);
    bool lacks = !id || !json || (type->state_size && !state);
    if (lacks || (!node->own_error && !shares_error(type))) {
        return rm_fail(err, RM_ENOMEM, "no memory for a node");
    }
    node->pub = (rm_node){.state = state, .params_json = json, .id = id, .type = type};
    return RM_OK;
}

static rm_status node_fill(rmi_node *node, const rmi_node_spec *spec, rm_error *err)
{
    rm_status status = node_own(node, spec, err);
    if (status == RM_OK) {
        status = make_inputs(node, err);
    }
    if (status == RM_OK) {
        status = make_outputs(node, err);
    }
    if (status == RM_OK) {
        status = follow_entry(node, spec, err);
    }
    if (status == RM_OK) {
        status = rmi_params_fill(spec->type, node->owned[1], &node->owned[3], err);
    }
    if (status != RM_OK) {
        return status;
    }
    node->place = spec->place ? spec->place : "local";
    node->fallback = spec->fallback;
    node->pub.params = node->owned[3];
    node->inputs = (rm_inputs){node->n_current, node->current};
    node->is_source = node->n_current == 0;
    node->is_guarded = node->options.deadline_ns || node->options.breaker.failures;
    node->asked_ns = INT64_MAX;
    node->is_border = node->is_source || node->n_out == 0;
    node->merge = spec->type == &rmi_gather_type ? RMI_MERGE_TURNS : (uint8_t)node->options.merge;
    node->on_error = (uint8_t)node->options.on_error;
    node->ready_message.run = run_ready_message;
    node->complete_message.run = run_complete_message;
    return RM_OK;
}

rm_status rmi_node_new(const rmi_node_spec *spec, rmi_node **ret_node, rm_error *err)
{
    rmi_node *node = rmi_aligned_calloc(64, sizeof *node);
    if (!node) {
        return rm_fail(err, RM_ENOMEM, "no memory for node '%s'", spec->id);
    }
    rm_status status = node_fill(node, spec, err);
    if (status != RM_OK) {
        rm_error_wrap(err, "node '%s'", spec->id);
        rmi_node_free(node);
        return status;
    }
    *ret_node = node;
    return RM_OK;
}

void rmi_node_free(rmi_node *node)
{
    if (!node) {
        return;
    }
    for (uint16_t p = 0; p < node->n_out && node->out; p++) {
        rmi_free(node->out[p].edges);
    }
    rmi_free(node->out == &node->one_out ? NULL : node->out);
    rmi_free(node->in);
    for (uint16_t i = 0; i < node->n_current && node->in_port; i++) {
        rmi_free(node->in_port[i].accepts);
    }
    rmi_free(node->in_port == &node->one_in ? NULL : node->in_port);
    rmi_free(node->outbox == node->outbox_few ? NULL : node->outbox);
    rmi_free(node->complete_error);
    rmi_free(node->time);
    rmi_free(node->work);
    rmi_free(node->waiting);
    rmi_free(node->age);
    rmi_free(node->fell_back);
    rmi_free(node->times);
    rmi_free(node->mark);
    rmi_free(node->part_of);
    if (node->pub.type) {
        rmi_params_free(node->pub.type, node->owned[3]);
    }
    for (size_t i = 0; i < 3; i++) {
        rmi_free(node->owned[i]);
    }
    rmi_free(node->own_error);
    rmi_free(node);
}
