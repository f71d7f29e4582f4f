#include "engine/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/arrivals.h"
#include "engine/checkpoint.h"
#include "engine/clock.h"
#include "engine/events.h"
#include "engine/io_nodes.h"
#include "engine/overrun.h"
#include "engine/quiet.h"
#include "engine/record.h"
#include "engine/replay.h"
#include "graph/route.h"

enum { MEMORY_BYTES_DEFAULT = 256 << 20, THREAD_BUDGET = 1024, STOP_POLL_NS = 500000 };
enum { LOOKS_BEFORE_SLEEP = 64 };
enum { FAST_CALLS_PER_SAMPLE = 16 }; /* of a fast node each 16th call is timed; a power of two */
#define CLOCKS_APART_NS ((int64_t)1000000000)

/* ---- building */

void rmi_strand_memory_returned(rmi_strand *strand)
{
    if (!atomic_exchange(&strand->memory_posted, true)) {
        rmi_strand_post(strand, &strand->memory_message);
    }
}

static void on_memory_returned(void *context)
{
    rmi_strand_memory_returned(context);
}

static void run_memory_message(rmi_strand *strand, rmi_message *message)
{
    (void)message;
    atomic_store(&strand->memory_posted, false);
    atomic_store(&strand->waits_for_memory, false);
    for (uint16_t i = 0; i < strand->node_count; i++) {
        rmi_node *node = strand->nodes[i];
        if (node->wants_memory && node->state != RMI_NODE_PENDING) {
            node->wants_memory = node->stalled = false;
            rmi_strand_consider(strand, node);
        }
    }
}

static rmi_strand *strand_new(rm_session *session, uint32_t index)
{
    rmi_strand *strand = rmi_aligned_calloc(64, sizeof *strand);
    if (!strand) {
        return NULL;
    }
    strand->session = session;
    strand->index = index;
    strand->fast_mask = FAST_CALLS_PER_SAMPLE - 1;
    strand->metrics = !session->options.metrics_off;
    strand->position_ns = RM_TIME_NONE;
    strand->random = 0x9E3779B97F4A7C15ull + index;
    strand->memory_message.run = run_memory_message;
    if (rmi_pool_new(session->budget, &strand->pool, NULL) != RM_OK) {
        rmi_free(strand);
        return NULL;
    }
    rmi_pool_set_on_return(strand->pool, on_memory_returned, strand);
    return strand;
}

static void strand_free(rmi_strand *strand)
{
    if (!strand) {
        return;
    }
    rmi_strand_let_go(strand);
    rmi_pool_free(strand->pool);
    rmi_free(strand->nodes);
    rmi_free(strand->links_in);
    rmi_free(strand->links_out);
    rmi_free(strand->ready);
    rmi_free(strand->timers);
    rmi_free(strand->controls);
    rmi_trace_free(strand->trace);
    rmi_free(strand);
}

rm_status rmi_session_new(const rm_session_options *options, uint32_t strand_count,
                          rm_session **ret_session, rm_error *err)
{
    if (strand_count < 1 || strand_count > RMI_SESSION_STRANDS_MAX) {
        return rm_fail(err, RM_EINVAL, "%u strands, want 1 to %d", strand_count,
                       RMI_SESSION_STRANDS_MAX);
    }
    rm_session *session = RMI_NEW(rm_session);
    if (!session) {
        return rm_fail(err, RM_ENOMEM, "no memory for a session");
    }
    pthread_mutex_init(&session->lock, NULL);
    pthread_cond_init(&session->changed, NULL);
    session->options.driver = RM_DRIVER_THREAD;
    session->queued_end = &session->queued;
    session->event_message.run = rmi_event_run;
    if (options) {
        size_t size =
            options->struct_size < sizeof *options ? options->struct_size : sizeof *options;
        memcpy(&session->options, options, size);
    }
    rm_session_set_events(session, session->options.events);
    uint64_t bytes = session->options.memory_bytes_max ? session->options.memory_bytes_max
                                                       : MEMORY_BYTES_DEFAULT;
    rm_status status = rmi_budget_new(bytes, &session->budget, err);
    session->strands = rmi_calloc(strand_count, sizeof(rmi_strand *));
    session->threads = rmi_calloc(strand_count, sizeof(rmi_session_thread));
    if (status == RM_OK && (!session->strands || !session->threads)) {
        status = rm_fail(err, RM_ENOMEM, "no memory for %u strands", strand_count);
    }
    for (uint32_t i = 0; status == RM_OK && i < strand_count; i++) {
        session->strands[i] = strand_new(session, i);
        if (session->strands[i]) {
            session->strand_count = i + 1;
        } else {
            status = rm_fail(err, RM_ENOMEM, "no memory for a strand");
        }
    }
    if (status != RM_OK) {
        rm_session_free(session);
        return status;
    }
    *ret_session = session;
    return RM_OK;
}

static rm_status grow_list(void *list, uint32_t count, uint32_t *capacity, rm_error *err)
{
    if (count < *capacity) {
        return RM_OK;
    }
    uint32_t larger = *capacity ? 2 * *capacity : 16;
    void *old;
    memcpy(&old, list, sizeof old);
    void *grown = rmi_realloc(old, larger * sizeof(void *));
    if (!grown) {
        return rm_fail(err, RM_ENOMEM, "no memory for a larger session");
    }
    memcpy(list, &grown, sizeof grown);
    *capacity = larger;
    return RM_OK;
}

static rm_status note_port(rm_session *session, rmi_node *node, rm_error *err)
{
    bool is_input = node->pub.type == &rmi_input_type;
    if (!is_input && node->pub.type != &rmi_output_type) {
        return RM_OK;
    }
    uint32_t *count = is_input ? &session->input_count : &session->output_count;
    if (*count == RMI_SESSION_PORTS_MAX) {
        return rm_fail(err, RM_ELIMIT, "more than %d graph %s", RMI_SESSION_PORTS_MAX,
                       is_input ? "inputs" : "outputs");
    }
    rmi_node ***list = is_input ? &session->inputs : &session->outputs;
    rmi_node **grown = rmi_realloc(*list, (size_t)(*count + 1) * sizeof(rmi_node *));
    if (!grown) {
        return rm_fail(err, RM_ENOMEM, "no memory for a graph port");
    }
    grown[(*count)++] = node;
    *list = grown;
    return RM_OK;
}

rm_status rmi_session_add(rm_session *session, const rmi_node_spec *spec, uint32_t *ret_node,
                          rm_error *err)
{
    rmi_node *node = NULL;
    if (spec->strand >= session->strand_count || session->node_count >= RMI_STRAND_NODES_MAX) {
        return rm_fail(err, RM_EINVAL, "node '%s': strand %u of %u, node %u of %d", spec->id,
                       spec->strand, session->strand_count, session->node_count,
                       RMI_STRAND_NODES_MAX);
    }
    rm_status status =
        grow_list(&session->nodes, session->node_count, &session->node_capacity, err);
    if (status == RM_OK) {
        status = rmi_node_new(spec, &node, err);
    }
    if (status == RM_OK) {
        status = note_port(session, node, err);
    }
    if (status != RM_OK) {
        rmi_node_free(node);
        return status;
    }
    node->strand = session->strands[spec->strand];
    rmi_node_choose_error(node);
    node->index = session->node_count;
    session->nodes[session->node_count] = node;
    *ret_node = session->node_count++;
    return RM_OK;
}

static void set_format(rmi_node *to, uint32_t port, const rm_format *format)
{
    if (format && port < to->n_current) {
        to->in_port[port].planned = format;
    }
}

static rm_status add_link(rmi_strand *strand, rmi_link *link, bool is_in, rm_error *err)
{
    rmi_link ***list = is_in ? &strand->links_in : &strand->links_out;
    uint16_t *count = is_in ? &strand->link_in_count : &strand->link_out_count;
    rmi_link **grown = rmi_realloc(*list, (size_t)(*count + 1) * sizeof(rmi_link *));
    if (!grown) {
        return rm_fail(err, RM_ENOMEM, "no memory for a link");
    }
    grown[(*count)++] = link;
    *list = grown;
    return RM_OK;
}

static rmi_load load_max_of(const rmi_edge_spec *spec)
{
    return (rmi_load){{[RMI_BYTES] = spec->bytes_max, [RMI_SPAN_NS] = spec->span_ns_max}};
}

static rm_status make_link(const rmi_edge_spec *spec, rmi_strand *from, rmi_strand *to,
                           rmi_edge **ret_edge, rm_error *err)
{
    rmi_link *link = NULL;
    rm_status status = rmi_link_new(spec->capacity, spec->policy, &link, err);
    if (status != RM_OK) {
        return status;
    }
    link->producer = from;
    link->consumer = to;
    link->load_max = load_max_of(spec);
    link->weighs = rmi_load_is_bound(&link->load_max);
    link->sending->capacity_max =
        spec->capacity_max > spec->capacity ? spec->capacity_max : spec->capacity;
    *ret_edge = link->sending;
    return RM_OK;
}

static rm_status make_local(const rmi_edge_spec *spec, rmi_edge **ret_edge, rm_error *err)
{
    rmi_edge *edge = NULL;
    rm_status status = rmi_edge_new(spec->capacity, spec->capacity_max, &edge, err);
    if (status == RM_OK) {
        edge->load_max = load_max_of(spec);
        edge->policy = (uint8_t)spec->policy;
        *ret_edge = edge;
    }
    return status;
}

rm_status rmi_session_make_edge(const rmi_edge_spec *given, rmi_strand *from, rmi_strand *to,
                                rmi_edge **ret_edge, rm_error *err)
{
    rmi_edge_spec spec = *given;
    rmi_edge *edge = NULL;
    spec.capacity = spec.capacity ? spec.capacity : 16;
    spec.capacity_max = spec.capacity_max ? spec.capacity_max : 1024;
    rm_status status =
        from == to ? make_local(&spec, &edge, err) : make_link(&spec, from, to, &edge, err);
    if (status == RM_OK && spec.when_json) {
        status = rmi_route_parse(spec.when_json, &edge->route, err);
    }
    if (status != RM_OK) {
        rmi_session_free_edge(from->session, edge);
        return status;
    }
    (edge->link ? edge->link->receiving : edge)->latency_ns_max = spec.latency_ns_max;
    *ret_edge = edge;
    return RM_OK;
}

void rmi_session_free_edge(rm_session *session, rmi_edge *edge)
{
    if (edge && edge->link) {
        rmi_edge *receiving = edge->link->receiving;
        rmi_link_free(edge->link);
        rmi_edge_free(receiving, NULL);
        rmi_edge_free(edge, NULL);
    } else {
        rmi_edge_free(edge, session->strands[0]->pool);
    }
}

/* The edge belongs to the session from here on. */
static rm_status take_edge(rm_session *session, const rmi_edge_spec *spec, rmi_edge *edge,
                           rm_error *err)
{
    rmi_node *from = session->nodes[spec->from], *to = session->nodes[spec->to];
    rmi_link *link = edge->link;
    rm_status status = RM_OK;
    edge->index = session->edge_count;
    session->edges[session->edge_count++] = edge;
    if (link) {
        status = add_link(to->strand, link, true, err);
    }
    if (link && status == RM_OK) {
        status = add_link(from->strand, link, false, err);
    }
    if (status == RM_OK) {
        status = rmi_node_add_edge(from, spec->from_port, true, edge, err);
    }
    if (status == RM_OK && edge->route) {
        from->out[spec->from_port].checked = true;
    }
    if (status == RM_OK) {
        status = rmi_node_add_edge(to, spec->to_port, false, link ? link->receiving : edge, err);
    }
    return status;
}

rm_status rmi_session_connect(rm_session *session, const rmi_edge_spec *spec, rm_error *err)
{
    rmi_edge *edge = NULL;
    if (spec->from >= spec->to || spec->to >= session->node_count) {
        return rm_fail(err, RM_EINVAL, "an edge goes from node %u to %u of %u, want downstream",
                       spec->from, spec->to, session->node_count);
    }
    rm_status status =
        grow_list(&session->edges, session->edge_count, &session->edge_capacity, err);
    if (status == RM_OK) {
        status = rmi_session_make_edge(spec, session->nodes[spec->from]->strand,
                                       session->nodes[spec->to]->strand, &edge, err);
    }
    if (status == RM_OK) {
        status = take_edge(session, spec, edge, err);
    }
    if (status == RM_OK) {
        set_format(session->nodes[spec->to], spec->to_port, spec->format);
    }
    return status;
}

rm_status rmi_session_lay_out(rmi_strand *strand, rm_error *err)
{
    rm_session *session = strand->session;
    uint16_t count = 0;
    for (uint32_t i = 0; i < session->node_count; i++) {
        count += session->nodes[i]->strand == strand;
    }
    strand->nodes = rmi_calloc(count, sizeof(rmi_node *));
    strand->ready = rmi_calloc((size_t)count / 64 + 1, sizeof(uint64_t));
    strand->timers = rmi_calloc((size_t)count + 1, sizeof(rmi_node *));
    if (!strand->nodes || !strand->ready || !strand->timers) {
        return rm_fail(err, RM_ENOMEM, "no memory for a strand of %u nodes", count);
    }
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        if (node->strand == strand) {
            node->rank = strand->node_count;
            strand->nodes[strand->node_count++] = node;
        }
    }
    strand->open_nodes = strand->node_count;
    rmi_overrun_count_sources(strand);
    return RM_OK;
}

void rmi_session_find_direct_edges(rm_session *session)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        node->only_in = node->n_in == 1 && node->n_current == 1 ? node->in[0] : NULL;
    }
    for (uint32_t i = 0; i < session->edge_count; i++) {
        rmi_edge *edge = session->edges[i];
        const rmi_node *to = edge->to;
        if (!edge->link && !edge->closed && to->only_in && !to->is_guarded &&
            !edge->from->out[edge->from_port].checked &&
            edge->from->out[edge->from_port].edge_count == 1) {
            edge->from->out[edge->from_port].direct = edge;
        }
    }
}

/* ---- the end */

static void close_nodes(rm_session *session)
{
    for (uint32_t i = session->opened; i-- > 0;) {
        rmi_node *node = session->nodes[i];
        if (node->abandoned) {
            continue; /* its work may still use what close() would release */
        }
        rmi_node_drop_outbox(node);
        rmi_node_drop_inputs(node);
        if (node->pub.type->close && !node->stays_closed) {
            node->pub.type->close(&node->pub);
        }
        rmi_node_log_closed(node);
        node->state = RMI_NODE_CLOSED;
    }
    session->opened = 0;
}

static void join_threads(rm_session *session)
{
    for (uint32_t i = 1; i < session->strand_count; i++) {
        if (session->threads[i].started) {
            pthread_join(session->threads[i].thread, NULL);
            session->threads[i].started = false;
        }
    }
}

/* A strand that ended by itself before a cancel does not make up for one that was cut short. */
static rm_status worst_result(const rm_session *session)
{
    rm_status worst = session->error.status < 0 ? session->error.status : RM_DONE;
    for (uint32_t i = 0; i < session->strand_count && worst == RM_DONE; i++) {
        worst = session->strands[i]->result < 0 ? session->strands[i]->result : RM_DONE;
    }
    return worst;
}

/* On the home strand's thread, once every strand has finished. */
static void session_end(rm_session *session)
{
    if (session->closed) {
        return;
    }
    session->closed = true;
    rmi_checkpoints_stop(session);
    join_threads(session);
    rmi_event_tell_rest(session);
    rmi_event_deliver(session);
    rmi_record_end(session);
    close_nodes(session);
    rmi_checkpoints_end(session, worst_result(session));
    pthread_mutex_lock(&session->lock);
    session->ended = true;
    session->result = worst_result(session);
    if (session->result == RM_ECANCELED && session->error.status == RM_OK) {
        (void)rm_fail(&session->error, RM_ECANCELED, "the run was cancelled");
    }
    rm_event event = {.kind = RM_EVENT_ENDED,
                      .status = session->result,
                      .error = session->result < 0 ? &session->error : NULL,
                      .time_ns = rmi_clock_ns(),
                      .lost = session->events_lost};
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
    rmi_event_send(session, &event);
}

static void run_cancel(rmi_strand *strand, rmi_message *message)
{
    (void)message;
    rmi_strand_cancel(strand);
}

void rm_session_cancel(rm_session *session)
{
    for (uint32_t i = 0; i < session->strand_count; i++) {
        rmi_strand *strand = session->strands[i];
        if (!atomic_exchange(&strand->cancel_posted, true)) {
            strand->cancel_message.run = run_cancel;
            rmi_strand_post(strand, &strand->cancel_message);
        }
    }
}

void rmi_session_fail(rm_session *session, const rm_error *error)
{
    pthread_mutex_lock(&session->lock);
    if (session->error.status == RM_OK) {
        session->error = *error;
    }
    pthread_mutex_unlock(&session->lock);
    rm_session_cancel(session);
}

void rmi_session_node_failed(rm_session *session, rmi_node *node, const rm_error *error)
{
    rmi_event_tell(session,
                   &(rmi_happening){.kind = RM_EVENT_FAILED, .node = node, .error = error});
    rmi_session_fail(session, error);
    rmi_strand_cancel(node->strand);
}

void rmi_session_node_recovered(rm_session *session, rmi_node *node, const rm_error *error)
{
    if (node->strand == session->strands[0]) {
        rm_event event = {.kind = RM_EVENT_ERROR, .status = error->status, .error = error};
        rmi_event_send(session, &event);
    } else {
        rmi_event_tell(session, &(rmi_happening){.kind = RM_EVENT_ERROR, .error = error});
    }
    rm_log(RM_LOG_DEBUG, "engine", "node '%s', item %llu: %s", node->pub.id,
           (unsigned long long)error->item, error->message);
}

/* ---- driving */

static bool is_fed_fast(const rmi_strand *strand)
{
    bool is_hot = false;
    for (uint16_t i = 0; i < strand->link_in_count; i++) {
        is_hot |= atomic_load_explicit(&strand->links_in[i]->is_hot, memory_order_relaxed);
    }
    return is_hot;
}

/* To wake a sleeper costs ten times this, and packets come in bursts: so a strand that others feed
 * looks a little longer, about 2 µs, before it sleeps. */
static bool work_comes(const rmi_strand *strand)
{
    for (int i = 0; i < LOOKS_BEFORE_SLEEP && strand->link_in_count; i++) {
        if (rmi_strand_has_work(strand)) {
            return true;
        }
        rmi_parking_relax();
    }
    return false;
}

static void prepare_to_park(rmi_strand *strand)
{
    rmi_parking_prepare(&strand->parking);
    if (is_fed_fast(strand)) {
        rmi_parking_fence_all();
    }
}

/* Steps until there is nothing to do; then parks. Returns when the strand has finished. */
static void drive_strand(rmi_strand *strand)
{
    int64_t next_ns;
    for (;;) {
        rm_status status = rmi_strand_step(strand, rmi_clock_ns(), THREAD_BUDGET, &next_ns);
        if (strand->finished) {
            return;
        }
        if (status == RM_MORE || work_comes(strand)) {
            continue;
        }
        prepare_to_park(strand);
        if (rmi_strand_has_work(strand) || rmi_strand_rest(strand)) {
            rmi_parking_leave(&strand->parking);
            continue;
        }
        int64_t wait_ns = next_ns == INT64_MAX ? INT64_MAX : next_ns - rmi_clock_ns();
        rmi_parking_wait(&strand->parking, wait_ns);
    }
}

void rmi_session_strand_stopped(rmi_strand *strand)
{
    rm_session *session = strand->session;
    rmi_session_thread *thread = &session->threads[strand->index];
    int64_t ignored;
    pthread_mutex_lock(&session->lock);
    thread->stopped = true; /* from here on calls are run by who asks */
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
    (void)rmi_strand_step(strand, 0, 0, &ignored); /* what was posted before that */
    (void)rmi_strand_rest(strand);
    atomic_fetch_add(&session->strands_finished, 1);
    rmi_parking_wake(&session->strands[0]->parking);
}

static void *run_strand(void *argument)
{
    rmi_session_thread *thread = argument;
    drive_strand(thread->strand);
    rmi_session_strand_stopped(thread->strand);
    return NULL;
}

static bool others_finished(rm_session *session)
{
    return atomic_load(&session->strands_finished) + 1 >= session->strand_count;
}

/* The thread driver: the home strand on a thread of the session. */
static void *run_home(void *argument)
{
    rmi_session_thread *thread = argument;
    rm_session *session = thread->strand->session;
    int64_t ignored;
    drive_strand(thread->strand);
    while (!others_finished(session)) {
        (void)rmi_strand_step(thread->strand, 0, 0, &ignored); /* calls that were posted */
        rmi_parking_prepare(&thread->strand->parking);
        if (others_finished(session) || !rmi_mailbox_is_empty(&thread->strand->mailbox) ||
            rmi_strand_rest(thread->strand)) {
            rmi_parking_leave(&thread->strand->parking);
            continue;
        }
        rmi_parking_wait(&thread->strand->parking, INT64_MAX);
    }
    session_end(session);
    pthread_mutex_lock(&session->lock);
    thread->stopped = true;
    pthread_mutex_unlock(&session->lock);
    (void)rmi_strand_step(thread->strand, 0, 0, &ignored);
    return NULL;
}

static rm_status start_threads(rm_session *session, rm_error *err)
{
    if (session->simulated) {
        return RM_OK;
    }
    uint32_t first = session->options.driver == RM_DRIVER_THREAD ? 0 : 1;
    for (uint32_t i = session->strand_count; i-- > first;) {
        rmi_session_thread *thread = &session->threads[i];
        int failed = pthread_create(&thread->thread, NULL, i ? run_strand : run_home, thread);
        if (failed) {
            for (uint32_t k = i; k-- > 0;) { /* those that never ran have finished */
                atomic_fetch_add(&session->strands_finished, k > 0);
            }
            return rm_fail_os(err, failed, "cannot start a thread for strand %u", i);
        }
        thread->started = true;
    }
    return RM_OK;
}

rm_status rmi_session_open_node(rmi_node *node, rm_error *err)
{
    rm_error why = RM_ERROR_INIT;
    bool opens = node->pub.type->open && !node->stays_closed;
    rm_status status = opens ? node->pub.type->open(&node->pub, &why) : RM_OK;
    if (status < 0 && why.code == RM_CODE_PLACE_REFUSED && node->fallback) {
        status = rmi_node_fall_back(node, &why);
    }
    if (status >= 0) {
        rmi_node_log_opened(node);
        return RM_OK;
    }
    if (why.status >= 0) {
        (void)rm_fail_as(&why, RM_CODE_NODE_OPEN, "cannot be opened: %s", rm_status_name(status));
    }
    if (why.code <= RM_CODE_UNSUPPORTED) {
        why.code = RM_CODE_NODE_OPEN; /* a code of the status alone says less */
    }
    const char *id = node->part_of ? node->part_of : node->pub.id;
    rm_error_wrap(&why, "node '%s'", id);
    snprintf(why.node, sizeof why.node, "%s", id);
    why.status = status;
    if (err) {
        *err = why;
    }
    return status;
}

static rm_status open_nodes(rm_session *session, rm_error *err)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        rm_status status = rmi_session_open_node(node, err);
        if (status != RM_OK) {
            close_nodes(session);
            return status;
        }
        session->opened = i + 1;
        node->state = RMI_NODE_IDLE;
        node->opened = true;
    }
    return RM_OK;
}

static rm_status open_or_go_on(rm_session *session, rm_error *err)
{
    rm_status status = rmi_checkpoints_prepare(session, err);
    if (status == RM_OK) {
        status = open_nodes(session, err);
    }
    return status == RM_OK ? rmi_checkpoints_apply(session, err) : status;
}

/* What the options ask of each call, from the first one on. */
static rm_status begin_to_look(rm_session *session, rm_error *err)
{
    rm_session_options *options = &session->options;
    rm_status status = RM_OK;
    if (options->trace_spans_max && !session->strands[0]->trace) {
        status = rm_session_trace_begin(session, options->trace_spans_max, err);
    }
    if (status == RM_OK && options->spans_max) {
        status = rm_session_spans_begin(session, options->spans_max, options->traceparent, err);
    }
    options->traceparent = NULL;
    return status;
}

rm_status rmi_session_start(rm_session *session, rm_error *err)
{
    for (uint32_t i = 0; i < session->strand_count; i++) {
        rm_status status = rmi_session_lay_out(session->strands[i], err);
        if (status != RM_OK) {
            return status;
        }
        session->threads[i].strand = session->strands[i];
        session->strands[i]->now_ns =
            session->options.driver == RM_DRIVER_THREAD || (i && !session->simulated)
                ? rmi_clock_ns()
                : 0;
        session->strands[i]->real_clock = session->strands[i]->now_ns != 0;
    }
    rm_status status = rmi_record_begin(session, err);
    if (status != RM_OK) {
        return status;
    }
    rmi_session_find_direct_edges(session);
    rmi_budget_set_ranks(session->budget, session->node_count);
    atomic_store(&session->strands[0]->thread, rmi_thread_self());
    if (session->options.driver == RM_DRIVER_CALLER) {
        session->strands[0]->parking.wake =
            session->options.wake ? session->options.wake : rmi_io_ignore_wake;
        session->strands[0]->parking.context = session->options.wake_context;
    }
    session->begin_ns = rmi_clock_ns();
    session->begin_ticks = rmi_clock_ticks();
    status = open_or_go_on(session, err);
    if (status != RM_OK) {
        return status;
    }
    rmi_record_install(session);
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_strand_consider(session->nodes[i]->strand, session->nodes[i]);
    }
    status = begin_to_look(session, err);
    if (status != RM_OK) {
        close_nodes(session);
        return status;
    }
    session->started = true;
    rmi_event_tell(session, &(rmi_happening){.kind = RM_EVENT_STARTED});
    if (session->options.driver == RM_DRIVER_THREAD) {
        atomic_store(&session->strands[0]->thread, NULL);
    }
    status = start_threads(session, err);
    return status == RM_OK ? rmi_checkpoints_start(session, err) : status;
}

static rm_status step_home(rm_session *session, int64_t now_ns, uint32_t budget, int64_t *next_ns)
{
    rmi_strand *home = session->strands[0];
    if (RMI_UNLIKELY(home->now_ns == 0) &&
        !session->simulated) { /* the caller's first word of it */
        home->real_clock = llabs(rmi_clock_ns() - now_ns) < CLOCKS_APART_NS;
    }
    rmi_parking_leave(&home->parking);
    for (;;) {
        rm_status status = rmi_strand_step(home, now_ns, budget, next_ns);
        if (status == RM_MORE) {
            return RM_MORE;
        }
        if (home->finished && others_finished(session)) {
            session_end(session);
            return session->result;
        }
        prepare_to_park(home);
        bool work = home->finished
                        ? others_finished(session) || !rmi_mailbox_is_empty(&home->mailbox)
                        : rmi_strand_has_work(home);
        if (!work && !rmi_strand_rest(home)) {
            return RM_PENDING;
        }
        rmi_parking_leave(&home->parking);
        if (!work) {
            return RM_MORE; /* the owner looks at what it waits for, too */
        }
    }
}

/* The record is over, or the session is: it ends once nothing is out. */
static rm_status step_replay(rm_session *session, uint32_t budget, int64_t *next_ns)
{
    rm_error why = RM_ERROR_INIT;
    rmi_strand *home = session->strands[0];
    rmi_arrivals_drain_mailbox(home);
    rm_status status =
        home->cancelling ? RM_ECANCELED : rm_replay_step(session->replay, budget, &why);
    if (status == RM_MORE || status == RM_PENDING) {
        *next_ns = session->replay->wait_until_ns ? session->replay->wait_until_ns : INT64_MAX;
        return status;
    }
    if (rmi_replay_waits_for_work(session->replay)) {
        rmi_parking_prepare(&home->parking);
        return rmi_mailbox_is_empty(&home->mailbox) ? RM_PENDING : RM_MORE;
    }
    home->finished = true;
    home->result = status;
    pthread_mutex_lock(&session->lock);
    if (why.status < 0 && session->error.status == RM_OK) {
        session->error = why;
    }
    pthread_mutex_unlock(&session->lock);
    session_end(session);
    return session->result;
}

rm_status rm_session_step(rm_session *session, int64_t now_ns, uint32_t budget,
                          int64_t *ret_next_ns)
{
    int64_t ignored;
    int64_t *next_ns = ret_next_ns ? ret_next_ns : &ignored;
    *next_ns = INT64_MAX;
    if (session->options.driver != RM_DRIVER_CALLER) {
        return RM_EINVAL;
    }
    if (session->closed) {
        return session->result;
    }
    session->stepping = true;
    rm_status status = session->replay ? step_replay(session, budget, next_ns)
                                       : step_home(session, now_ns, budget, next_ns);
    session->stepping = false;
    return status;
}

rm_status rm_session_wait(rm_session *session, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&session->lock);
    int timed_out = 0;
    while (!session->ended && !timed_out) {
        timed_out = timeout_ms < 0
                        ? pthread_cond_wait(&session->changed, &session->lock)
                        : pthread_cond_timedwait(&session->changed, &session->lock, &until);
    }
    rm_status status = session->ended ? session->result : RM_EAGAIN;
    pthread_mutex_unlock(&session->lock);
    return status;
}

rm_status rm_session_error(rm_session *session, rm_error *ret_error)
{
    pthread_mutex_lock(&session->lock);
    rm_error error = session->error;
    pthread_mutex_unlock(&session->lock);
    if (ret_error) {
        *ret_error = error;
    }
    return error.status;
}

/* Ends what runs; the caller drives the home strand to its end. */
static void stop(rm_session *session)
{
    rm_session_cancel(session);
    if (session->options.driver == RM_DRIVER_THREAD) {
        if (session->threads[0].started) {
            pthread_join(session->threads[0].thread, NULL);
            session->threads[0].started = false;
        }
        return;
    }
    int64_t next_ns;
    rmi_strand *home = session->strands[0];
    while (!session->closed) {
        rm_status status = rm_session_step(session, rmi_clock_ns(), THREAD_BUDGET, &next_ns);
        if (status == RM_PENDING) {
            /* A wake goes to the owner's function, so this thread looks again by itself. */
            rmi_parking_wait(&home->parking, STOP_POLL_NS);
        }
    }
}

/* Work that outlived the grace time of a cancel may still touch its node, strand and pool. */
static bool has_abandoned_work(rm_session *session)
{
    int64_t ignored;
    bool found = false;
    for (uint32_t i = 0; i < session->strand_count; i++) {
        if (session->strands[i]->finished) {
            (void)rmi_strand_step(session->strands[i], 0, 0, &ignored); /* takes what was posted */
        }
    }
    for (uint32_t i = 0; i < session->node_count; i++) {
        found |= session->nodes[i]->abandoned;
    }
    return found;
}

static void drop_unpulled(rm_session *session)
{
    rm_packet *packet;
    for (uint32_t i = 0; i < session->output_count; i++) {
        while (session->outputs[i]->opened && rm_session_pull(session, i, &packet) == RM_OK) {
            rm_packet_unref(packet);
        }
    }
}

void rm_session_free(rm_session *session)
{
    if (session && session->replay) {
        rm_replay_free(session->replay);
    } else {
        rmi_session_free(session);
    }
}

void rmi_session_free(rm_session *session)
{
    if (!session) {
        return;
    }
    if (session->started && rm_session_wait(session, 0) == RM_EAGAIN) {
        stop(session);
    } else if (session->started && session->threads[0].started) {
        pthread_join(session->threads[0].thread, NULL);
    }
    join_threads(session);
    if (has_abandoned_work(session)) {
        rm_log(RM_LOG_ERROR, "engine", "a session is not freed: work of a node is still out");
        return;
    }
    close_nodes(session);
    drop_unpulled(session);
    for (uint32_t i = 0; i < session->edge_count; i++) {
        rmi_session_free_edge(session, session->edges[i]);
    }
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node_free(session->nodes[i]);
    }
    rmi_session_free_retired(session);
    for (uint32_t i = 0; i < session->strand_count; i++) {
        strand_free(session->strands[i]);
    }
    rmi_event_discard(session); /* who has ended hears no more */
    rmi_checkpoints_free(session->checkpoints);
    rmi_spans_free(session->spans);
    rmi_record_free(session->recorder);
    rmi_budget_free(session->budget);
    rmi_free(session->strands);
    rmi_free(session->threads);
    rmi_free(session->inputs);
    rmi_free(session->outputs);
    rmi_free(session->nodes);
    rmi_free(session->edges);
    pthread_mutex_destroy(&session->lock);
    pthread_cond_destroy(&session->changed);
    rmi_free(session);
}
