/* Changing and reading a session while it runs: interrupt, parameters, swap, calls on a strand. */
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "engine/events.h"
#include "engine/parallel.h"
#include "engine/record.h"
#include "graph/params.h"

rmi_node *rmi_session_find(rm_session *session, const char *id)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        if (strcmp(session->nodes[i]->pub.id, id) == 0) {
            return session->nodes[i];
        }
    }
    for (uint32_t i = 0; i < session->node_count; i++) {
        const char *part_of = session->nodes[i]->part_of;
        if (part_of && strcmp(part_of, id) == 0) {
            return session->nodes[i]; /* of several copies what gives them their items */
        }
    }
    return NULL;
}

static rm_status find_node(rm_session *session, const char *id, rmi_node **ret_node, rm_error *err)
{
    *ret_node = rmi_session_find(session, id);
    if (*ret_node) {
        return RM_OK;
    }
    rmi_near near = {.wanted = id};
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_near_try(&near, session->nodes[i]->pub.id);
    }
    rm_status status = rm_fail(err, RM_ENOENT, "the session has no node '%.60s'", id);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(err, "did you mean '%s'?", best);
    }
    return status;
}

/* ---- interrupt */

typedef struct interrupt_message {
    rmi_message message;
    rmi_node *node;
} interrupt_message;

static void run_interrupt(rmi_strand *strand, rmi_message *message)
{
    interrupt_message *asked = RMI_CONTAINER(message, interrupt_message, message);
    if (!strand->cancelling && !strand->finished) {
        rmi_strand_interrupt(strand, asked->node);
    }
    rmi_free(asked);
}

static rm_status post_interrupt(rmi_node *node)
{
    interrupt_message *asked = RMI_NEW(interrupt_message);
    if (!asked) {
        return RM_ENOMEM;
    }
    asked->message.run = run_interrupt;
    asked->node = node;
    rmi_strand_post(node->strand, &asked->message);
    return RM_OK;
}

rm_status rm_session_interrupt(rm_session *session, const char *id)
{
    if (id) {
        rmi_node *node = NULL;
        rmi_session_begin_visit(session);
        rm_status status = find_node(session, id, &node, NULL);
        status = status == RM_OK ? post_interrupt(rmi_parallel_lead(node)) : status;
        rmi_session_end_visit(session);
        return status;
    }
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < session->input_count && status == RM_OK; i++) {
        status = post_interrupt(session->inputs[i]);
    }
    rmi_session_begin_visit(session);
    for (uint32_t i = 0; !session->input_count && i < session->node_count && status == RM_OK; i++) {
        rmi_node *node = session->nodes[i];
        status = node->is_source ? post_interrupt(node) : RM_OK;
    }
    rmi_session_end_visit(session);
    return status;
}

/* ---- a call on a strand */

typedef struct call_message {
    rmi_message message;
    rm_session *session;
    void (*call)(void *context);
    void *context;
    bool done; /* under the session's lock */
} call_message;

static void run_call(rmi_strand *strand, rmi_message *message)
{
    call_message *asked = RMI_CONTAINER(message, call_message, message);
    (void)strand;
    asked->call(asked->context);
    pthread_mutex_lock(&asked->session->lock);
    asked->done = true;
    pthread_cond_broadcast(&asked->session->changed);
    pthread_mutex_unlock(&asked->session->lock);
}

bool rmi_session_is_direct(rm_session *session, rmi_strand *strand)
{
    return !session->started || session->threads[strand->index].stopped || session->ended ||
           (strand->index == 0 && session->options.driver == RM_DRIVER_CALLER) ||
           atomic_load(&strand->thread) == rmi_thread_self();
}

void rmi_session_call(rm_session *session, rmi_strand *strand, void (*call)(void *context),
                      void *context)
{
    call_message asked = {
        .message.run = run_call, .session = session, .call = call, .context = context};
    pthread_mutex_lock(&session->lock);
    bool direct = rmi_session_is_direct(session, strand);
    if (!direct) {
        rmi_strand_post(strand, &asked.message);
        while (!asked.done) {
            pthread_cond_wait(&session->changed, &session->lock);
        }
    }
    pthread_mutex_unlock(&session->lock);
    if (direct) {
        call(context);
    }
}

/* ---- parameters */

typedef struct params_call {
    rmi_node *node;
    void *params; /* in: the new ones; out: the old ones */
    const char *json;
    rm_status status;
    rm_error error;
} params_call;

rm_status rmi_node_exchange_params(rmi_node *node, void **params, rm_error *err)
{
    void *old = node->owned[3];
    node->owned[3] = *params;
    node->pub.params = *params;
    rm_control control = {.op = RM_CONTROL_PARAMS};
    rm_status status = RM_OK;
    if (node->pub.type->control && node->state < RMI_NODE_ENDED) {
        status = node->pub.type->control(&node->pub, &control, err);
    }
    if (status < 0) { /* the node refused: back to what was */
        node->owned[3] = old;
        node->pub.params = old;
        return status;
    }
    *params = old;
    return RM_OK;
}

static void exchange_params(void *context)
{
    params_call *asked = context;
    rmi_record_params(asked->node, asked->json);
    asked->status = rmi_node_exchange_params(asked->node, &asked->params, &asked->error);
}

static rm_status set_params(rm_session *session, rmi_node *node, const char *params_json,
                            rm_error *err)
{
    params_call asked = {.error = RM_ERROR_INIT};
    rm_status status =
        rmi_params_update(node->pub.type, params_json, node->pub.params, &asked.params, err);
    if (status != RM_OK) {
        return status;
    }
    asked.node = node;
    asked.json = params_json;
    rmi_session_call(session, node->strand, exchange_params, &asked);
    if (asked.status >= 0) {
        rmi_event_tell(
            session, &(rmi_happening){.kind = RM_EVENT_CHANGED, .node = node, .reason = "params"});
    }
    rmi_params_free(node->pub.type, asked.params);
    if (asked.status < 0 && err) {
        *err = asked.error;
        rm_error_wrap(err, "node '%s'", node->part_of ? node->part_of : node->pub.id);
    }
    return asked.status < 0 ? asked.status : RM_OK;
}

/* In each copy, where the node has several. */
static rm_status set_params_of(rm_session *session, const char *id, const char *params_json,
                               rm_error *err)
{
    rmi_node *node = NULL;
    rm_status status = find_node(session, id, &node, err);
    if (status != RM_OK || !node->part_of) {
        return status == RM_OK ? set_params(session, node, params_json, err) : status;
    }
    const char *part_of = node->part_of;
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        rmi_node *copy = session->nodes[i];
        if (copy->copy && strcmp(copy->part_of, part_of) == 0) {
            status = set_params(session, copy, params_json, err);
        }
    }
    return status;
}

rm_status rm_session_set_params(rm_session *session, const char *id, const char *params_json,
                                rm_error *err)
{
    rmi_session_begin_visit(session);
    rm_status status = set_params_of(session, id, params_json, err);
    rmi_session_end_visit(session);
    return status;
}

/* ---- swap */

enum { BLOB_BYTES_MAX = 16 << 20, DRAIN_PACKETS_MAX = 4096 };

rm_status rm_blob_append(rm_blob *blob, const void *data, size_t bytes)
{
    if (bytes > BLOB_BYTES_MAX - blob->bytes) {
        return RM_ELIMIT;
    }
    if (blob->bytes + bytes > blob->capacity) {
        size_t capacity = 2 * (blob->bytes + bytes);
        uint8_t *grown = rmi_realloc(blob->data, capacity);
        if (!grown) {
            return RM_ENOMEM;
        }
        blob->data = grown;
        blob->capacity = capacity;
    }
    if (bytes) {
        memcpy(blob->data + blob->bytes, data, bytes);
    }
    blob->bytes += bytes;
    return RM_OK;
}

typedef struct swap_call {
    rmi_node *node;
    const rmi_node_spec *spec;
    rmi_node *fresh; /* made, not yet opened */
    rm_status status;
    rm_error *err;
} swap_call;

/* a may have a port for dead letters, which the graph gave it. */
static bool same_ports(const rm_port *a, const rm_port *b)
{
    size_t i = 0;
    while (a && b && a[i].name && b[i].name) {
        if (strcmp(a[i].name, b[i].name) != 0) {
            return false;
        }
        i++;
    }
    return !(b && b[i].name) && (!(a && a[i].name) || strcmp(a[i].name, RM_DEAD_LETTER_PORT) == 0);
}

rm_status rmi_node_reserve_outbox(rmi_node *node, uint32_t slots, rm_error *err)
{
    if (slots <= node->outbox_max + 1) {
        return RM_OK;
    }
    bool few = node->outbox == node->outbox_few;
    rmi_outgoing *grown = rmi_realloc(few ? NULL : node->outbox, 2 * (size_t)slots * sizeof *grown);
    if (!grown) {
        return rm_fail(err, RM_ENOMEM, "no memory for an outbox of %u packets", slots);
    }
    if (few) {
        memcpy(grown, node->outbox_few, sizeof node->outbox_few);
    }
    node->outbox = grown;
    node->outbox_max = 2 * slots - 1;
    return RM_OK;
}

static void open_ports(rmi_node *node)
{
    for (uint16_t p = 0; p < node->n_out; p++) {
        node->out[p].emitted = 0;
    }
}

static rm_status make_room_to_flush(rmi_node *node, rm_error *err)
{
    uint32_t a_call = 0; /* a call may raise what the next one may emit */
    for (uint16_t p = 0; p < node->n_out; p++) {
        a_call += node->out[p].emit_max;
    }
    if (node->outbox_count > DRAIN_PACKETS_MAX) {
        return rm_fail(err, RM_ELIMIT, "node '%s' holds more than %d packets back", node->pub.id,
                       DRAIN_PACKETS_MAX);
    }
    return rmi_node_reserve_outbox(node, node->outbox_count + a_call + 1, err);
}

/* What a call emitted that did not return well. */
static void drop_last(rmi_node *node, uint32_t outbox_count)
{
    while (node->outbox_count > outbox_count) {
        rm_packet_unref(node->outbox[--node->outbox_count].packet);
    }
    open_ports(node);
}

/* It was begun and is not over: no item comes in between. The strand goes on with it. */
static void flush_later(rmi_node *node, bool is_out)
{
    node->draining = node->flushing = node->more = true;
    if (is_out) {
        node->state = RMI_NODE_PENDING;
        node->pending_begin_ticks = node->strand->metrics ? rmi_clock_ticks() : 0;
        node->strand->outstanding++;
    }
}

/* What the old code holds back goes out before the new one's first packet. It stays in the outbox
 * as far as edges have no room, so that nothing waits here. */
static rm_status drain(rmi_node *node, rm_error *err)
{
    rm_status status = RM_MORE, room = RM_OK;
    while (status == RM_MORE && room == RM_OK) {
        uint32_t outbox_count = node->outbox_count;
        room = make_room_to_flush(node, err);
        if (room == RM_OK) {
            open_ports(node);
            status = node->pub.type->flush(&node->pub, err);
        }
        if (status == RM_EAGAIN || status < 0) {
            drop_last(node, outbox_count);
        }
    }
    node->wants_memory = false;
    if (status == RM_MORE || status == RM_EAGAIN || status == RM_PENDING) {
        flush_later(node, status == RM_PENDING);
        return room == RM_OK ? RM_EAGAIN : room;
    }
    return status == RM_DONE ? RM_OK : status;
}

rm_status rmi_node_hand_over(rmi_node *from, rmi_node *to, rm_error *err)
{
    rm_blob blob = {0};
    if (!to || !from->pub.type->save || !to->pub.type->load) {
        return from->pub.type->flush ? drain(from, err) : RM_OK;
    }
    rm_status status = from->pub.type->save(&from->pub, &blob, err);
    if (status == RM_OK) {
        status = to->pub.type->load(&to->pub, blob.data, blob.bytes, err);
    }
    rmi_free(blob.data);
    return status;
}

/* Puts what belongs to the code (type, parameters, state, ports) of `fresh` into the node, and the
 * old code into `fresh`; edges, queues and counters are the graph's and stay. */
void rmi_node_exchange_code(rmi_node *node, rmi_node *fresh)
{
    rm_node pub = node->pub;
    for (uint16_t p = 0; p < fresh->n_out; p++) {
        node->out[p].emit_max = fresh->out[p].emit_max;
    }
    void *owned[4];
    memcpy(owned, node->owned, sizeof owned);
    node->pub = fresh->pub;
    memcpy(node->owned, fresh->owned, sizeof owned);
    for (uint16_t i = 0; i < node->n_current; i++) {
        rmi_in_port *port = &node->in_port[i], old = *port;
        *port = (rmi_in_port){.accepts = fresh->in_port[i].accepts, .planned = old.planned};
        fresh->in_port[i] = old; /* the new code hears of its format anew */
    }
    fresh->pub = pub;
    memcpy(fresh->owned, owned, sizeof owned);
    rm_error *own_error = node->own_error;
    node->own_error = fresh->own_error;
    fresh->own_error = own_error;
    rmi_node_choose_error(node);
}

static void run_swap(void *context)
{
    swap_call *asked = context;
    rmi_node *node = asked->node, *fresh = asked->fresh;
    if (rmi_node_is_ending(node)) {
        asked->status = rm_fail(asked->err, RM_EINVAL, "node '%s' has ended", node->pub.id);
        return;
    }
    if (node->state != RMI_NODE_IDLE || node->held || node->draining) {
        asked->status = RM_EAGAIN;
        return;
    }
    fresh->strand = node->strand;
    asked->status = fresh->pub.type->open ? fresh->pub.type->open(&fresh->pub, asked->err) : RM_OK;
    if (asked->status < 0) {
        return;
    }
    asked->status = rmi_node_hand_over(node, fresh, asked->err);
    if (asked->status == RM_OK) {
        asked->status =
            rmi_node_reserve_outbox(node, node->outbox_count + fresh->outbox_max + 1, asked->err);
    }
    if (asked->status == RM_OK) {
        /* The host finds a node by its address: the state moves in, the shell stays. */
        rm_session *session = node->strand->session;
        pthread_mutex_lock(&session->lock); /* metrics read ids of a strand that does not answer */
        rmi_node_exchange_code(node, fresh);
        pthread_mutex_unlock(&session->lock);
    }
    if (fresh->pub.type->close) {
        fresh->pub.type->close(&fresh->pub);
    }
    if (node->state == RMI_NODE_IDLE) {
        node->state = rmi_node_commit(node) ? RMI_NODE_IDLE : RMI_NODE_HOLDING;
        rmi_strand_consider(node->strand, node);
    }
    if (node->strand->kick_needed) {
        rmi_strand_kick(node->strand);
    }
}

static rm_status swap(rm_session *session, const char *id, const rm_node_type *type,
                      const char *params_json, rm_error *err)
{
    rmi_node *node = NULL;
    rm_status status = find_node(session, id, &node, err);
    if (status != RM_OK) {
        return status;
    }
    if (node->part_of) {
        return rm_fail(err, RM_EINVAL, "node '%s' runs in several copies, which cannot be replaced",
                       node->part_of);
    }
    if (node->mark) {
        return rm_fail(err, RM_EINVAL, "node '%s' has a fallback or is one: it cannot be replaced",
                       id);
    }
    if (!same_ports(node->pub.type->inputs, type->inputs) ||
        !same_ports(node->pub.type->outputs, type->outputs)) {
        return rm_fail(err, RM_EINVAL, "'%s' cannot take the place of '%s': its ports differ",
                       type->name, node->pub.type->name);
    }
    rmi_node_spec spec = {.type = type, .id = node->pub.id, .params_json = params_json};
    swap_call asked = {.node = node, .spec = &spec, .err = err};
    status = rmi_node_new(&spec, &asked.fresh, err);
    if (status != RM_OK) {
        return status;
    }
    rmi_session_call(session, node->strand, run_swap, &asked);
    if (asked.status == RM_OK) {
        rmi_event_tell(session,
                       &(rmi_happening){.kind = RM_EVENT_CHANGED, .node = node, .reason = "swap"});
    }
    rmi_node_free(asked.fresh);
    return asked.status;
}

rm_status rm_session_swap(rm_session *session, const char *id, const rm_node_type *type,
                          const char *params_json, rm_error *err)
{
    rm_status recorded = rmi_record_refuse(session, "swap", err);
    if (recorded != RM_OK) {
        return recorded;
    }
    rmi_session_begin_visit(session);
    rm_status status = swap(session, id, type, params_json, err);
    rmi_session_end_visit(session);
    return status;
}
