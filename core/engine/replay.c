/* The entries of a record, one after the other. */
#include "engine/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "engine/arrivals.h"
#include "engine/record.h"
#include "engine/repair.h"
#include "graph/params.h"

enum { QUEUE_SLOTS_MAX = 1 << 24, RUN_BUDGET = 4096 };

/* ---- queues */

static rm_status grow_queue(rmi_replay_queue *queue)
{
    uint32_t slots = queue->slots ? 2 * queue->slots : 16;
    rm_packet **ring = slots <= QUEUE_SLOTS_MAX ? rmi_calloc(slots, sizeof *ring) : NULL;
    if (!ring) {
        return RM_ENOMEM;
    }
    for (uint32_t i = queue->head; i != queue->tail; i++) {
        ring[i & (slots - 1)] = queue->ring[i & (queue->slots - 1)];
    }
    rmi_free(queue->ring);
    queue->ring = ring;
    queue->slots = slots;
    return RM_OK;
}

rm_status rmi_replay_put(rmi_replay_queue *queue, rm_packet *packet)
{
    rm_status status = queue->tail - queue->head == queue->slots ? grow_queue(queue) : RM_OK;
    if (status == RM_OK) {
        queue->ring[queue->tail++ & (queue->slots - 1)] = packet;
    }
    return status;
}

bool rmi_replay_take(rmi_replay_queue *queue, rm_packet **ret_packet)
{
    if (queue->head == queue->tail) {
        return false;
    }
    *ret_packet = queue->ring[queue->head++ & (queue->slots - 1)];
    return true;
}

/* ---- what may be wrong */

static rm_status bad(const rm_replay *replay, rm_error *err, const char *what)
{
    return rm_fail_as(err, RM_CODE_RECORD_BAD,
                      "the record does not fit together: the entry at byte %" PRIu64 ": %s",
                      replay->entry.offset, what);
}

/* Puts the node and the item beside what was said. */
rm_status rmi_replay_differs(const rmi_replay_node *of, rm_error *err)
{
    rm_error_wrap(err, "node '%s'", of->node->pub.id);
    if (err) {
        snprintf(err->node, sizeof err->node, "%s", of->node->pub.id);
        err->item = of->items;
    }
    return err ? err->status : RM_EFAIL;
}

static rmi_replay_node *node_of(rm_replay *replay)
{
    int64_t index = replay->entry.node;
    bool is_one = index >= 0 && index < (int64_t)replay->session->node_count;
    return is_one ? &replay->nodes[index] : NULL;
}

/* ---- packets onto edges */

/* Takes the packet. */
static rm_status spread(rm_replay *replay, const rmi_out_port *port, rm_packet *packet,
                        rm_error *err)
{
    uint64_t edges = (uint64_t)replay->entry.edges;
    rm_status status = RM_OK;
    for (uint32_t e = 0; e < 64 && status == RM_OK && edges >> e; e++) {
        if (!(edges >> e & 1)) {
            continue;
        }
        if (e >= port->edge_count) {
            status = bad(replay, err, "the port has no such edge");
            break;
        }
        if (rmi_replay_put(&replay->queues[port->edges[e]->index], packet) != RM_OK) {
            status = rm_fail(err, RM_ENOMEM, "no memory for what is queued");
        } else if (packet) {
            (void)rm_packet_ref(packet);
        }
    }
    rm_packet_unref(packet);
    return status;
}

static const rmi_out_port *port_of(const rm_replay *replay, const rmi_node *node)
{
    int64_t port = replay->entry.port;
    return port >= 0 && port < node->n_out ? &node->out[port] : NULL;
}

static const char *part_that_differs(const rmi_record_sums *is, const rmi_record_sums *was)
{
    return is->payload != was->payload     ? "payload"
           : is->metadata != was->metadata ? "metadata"
           : is->header != was->header     ? "header"
                                           : NULL;
}

static rm_status compare(const rm_replay *replay, const rmi_replay_node *of,
                         const rm_packet *packet, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    const char *port = of->node->pub.type->outputs[entry->port].name;
    rm_blob scratch = {0};
    rmi_record_piece content;
    rm_status packed = rmi_record_content(replay->session, packet, &scratch, &content, err);
    if (packed != RM_OK) {
        rmi_free(scratch.data);
        return rmi_replay_differs(of, err);
    }
    rmi_record_sums sums = rmi_record_sums_of(packet, &content, !(entry->flags & RMI_SENT_ORIGIN));
    rmi_free(scratch.data);
    const char *part = part_that_differs(&sums, &entry->sums);
    if (!part) {
        return RM_OK;
    }
    if (packet->header.kind != entry->packet_kind ||
        (int64_t)packet->header.payload_bytes != entry->payload_bytes) {
        (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS,
                         "packet %" PRIu64 " of '%s' is %s of %" PRIu64
                         " bytes, recorded: %s of %" PRIi64 " bytes",
                         of->packets, port, rm_kind_name(packet->header.kind),
                         packet->header.payload_bytes, rm_kind_name((uint8_t)entry->packet_kind),
                         entry->payload_bytes);
    } else {
        (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS, "packet %" PRIu64 " of '%s' has another %s",
                         of->packets, port, part);
    }
    return rmi_replay_differs(of, err);
}

/* NULL: there is none. */
static rmi_outgoing *front_of(rmi_replay_node *of)
{
    rmi_node *node = of->node;
    if (of->is_loose) {
        return of->given_sent < of->given_count ? &of->given[of->given_sent] : NULL;
    }
    return node->outbox_sent < node->outbox_count ? &node->outbox[node->outbox_sent] : NULL;
}

static void take_front(rmi_replay_node *of)
{
    rmi_node *node = of->node;
    if (of->is_loose) {
        of->given_sent++;
        return;
    }
    node->outbox[node->outbox_sent].port->emitted = 0;
    if (++node->outbox_sent == node->outbox_count) {
        node->outbox_sent = node->outbox_count = 0;
    }
}

static rm_status do_sent(rm_replay *replay, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    rmi_replay_node *of = node_of(replay);
    const rmi_out_port *port = of ? port_of(replay, of->node) : NULL;
    rm_status status = port && of->is_loose ? rmi_replay_loose_next(replay, of, err) : RM_OK;
    if (status != RM_OK) {
        return status;
    }
    rmi_outgoing *front = port ? front_of(of) : NULL;
    if (!front) {
        return bad(replay, err, "nobody sends this");
    }
    if (of->node->times) {
        rmi_repair_time(of->node, front);
    }
    of->packets++;
    replay->packets++;
    if (front->port != port) {
        (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS,
                         "packet %" PRIu64 " is of '%s', recorded: '%s'", of->packets,
                         of->node->pub.type->outputs[front->port - of->node->out].name,
                         of->node->pub.type->outputs[entry->port].name);
        return rmi_replay_differs(of, err);
    }
    if (entry->flags & RMI_SENT_ORIGIN && front->packet->host.refs == 1) {
        front->packet->header.origin_ns = entry->origin_ns;
    }
    status = compare(replay, of, front->packet, err);
    if (status != RM_OK) {
        return status;
    }
    rm_packet *packet = front->packet;
    take_front(of);
    return spread(replay, port, packet, err);
}

/* What is in it is in the record. */
static rm_status fill_packet(const rm_replay *replay, rm_packet *packet,
                             const rm_packet_header *header, rm_error *err)
{
    const rm_session_options *options = &replay->session->options;
    const rmi_record_piece *piece = replay->entry.piece;
    if (header->metadata_bytes &&
        rm_packet_set_metadata(packet, piece[1].data, piece[1].bytes) != RM_OK) {
        return rm_fail(err, RM_ENOMEM, "no memory for a packet of the record");
    }
    if (header->kind == RM_KIND_OBJECT) {
        void *owner = NULL;
        void (*release)(void *) = NULL;
        rm_status status =
            options->unpack_object
                ? options->unpack_object(options->event_context, piece[2].data, piece[2].bytes,
                                         &owner, &release, err)
                : rm_fail_as(err, RM_CODE_RECORD_REFUSED, "here are no live objects");
        if (status != RM_OK) {
            return status;
        }
        rmi_packet_set_foreign(packet, NULL, 0, release, owner);
    } else if (header->payload_bytes) {
        memcpy(packet->payload, piece[2].data, header->payload_bytes);
    }
    packet->header = *header;
    return RM_OK;
}

static rm_status make_packet(rm_replay *replay, rm_packet **ret_packet, rm_error *err)
{
    const rmi_record_piece *piece = replay->entry.piece;
    rm_packet_header header = {0};
    memcpy(&header, piece[0].data, piece[0].bytes == sizeof header ? sizeof header : 0);
    bool is_object = header.kind == RM_KIND_OBJECT;
    header.kind = is_object ? RM_KIND_BYTES : header.kind; /* no header is to bring an object */
    if (rm_packet_header_check(&header, sizeof header, err) != RM_OK) {
        return bad(replay, err, "a packet's header");
    }
    header.kind = is_object ? RM_KIND_OBJECT : header.kind;
    if ((header.payload_bytes != piece[2].bytes && !is_object) ||
        header.metadata_bytes != piece[1].bytes) {
        return bad(replay, err, "a packet is not as long as it says");
    }
    rm_packet *packet = NULL;
    rm_status status = rmi_pool_take(replay->session->strands[0]->pool,
                                     is_object ? 0 : header.payload_bytes, RMI_RANK_LAST, &packet);
    if (status != RM_OK) {
        return rm_fail(err, RM_ENOMEM, "no memory for a packet of the record");
    }
    status = fill_packet(replay, packet, &header, err);
    if (status != RM_OK) {
        rm_packet_unref(packet);
        return status;
    }
    *ret_packet = packet;
    return RM_OK;
}

static rm_status do_whole(rm_replay *replay, rm_error *err)
{
    rmi_replay_node *of = node_of(replay);
    const rmi_out_port *port = of ? port_of(replay, of->node) : NULL;
    rm_packet *packet = NULL;
    if (!port) {
        return bad(replay, err, "nobody sends this");
    }
    rm_status status = make_packet(replay, &packet, err);
    if (status != RM_OK) {
        return status;
    }
    of->packets++;
    replay->from_record++;
    return spread(replay, port, packet, err);
}

static rm_status do_mark(rm_replay *replay, rm_error *err)
{
    const rmi_replay_node *of = node_of(replay);
    const rmi_out_port *port = of ? port_of(replay, of->node) : NULL;
    return port ? spread(replay, port, NULL, err) : bad(replay, err, "nobody sends this");
}

static rm_status do_unsent(rm_replay *replay, rm_error *err)
{
    int64_t edge = replay->entry.edge;
    bool is_one = edge >= 0 && edge < (int64_t)replay->session->edge_count;
    rmi_replay_queue *queue = is_one ? &replay->queues[edge] : NULL;
    if (!queue || queue->head == queue->tail) {
        return bad(replay, err, "the edge holds nothing");
    }
    rm_packet_unref(queue->ring[--queue->tail & (queue->slots - 1)]);
    replay->dropped++;
    return RM_OK;
}

/* ---- calls */

static rm_status take_input(rm_replay *replay, rmi_node *node, const rmi_record_input *input,
                            rm_error *err)
{
    bool is_one = input->edge >= 0 && input->edge < (int64_t)replay->session->edge_count &&
                  input->port >= 0 && input->port < node->n_current &&
                  replay->session->edges[input->edge]->to == node && !node->current[input->port];
    if (!is_one || input->skipped < 0) {
        return bad(replay, err, "the node has no such input");
    }
    rmi_replay_queue *queue = &replay->queues[input->edge];
    rm_packet *packet = NULL;
    for (int64_t i = 0; i < input->skipped; i++) {
        if (!rmi_replay_take(queue, &packet)) {
            return bad(replay, err, "fewer packets were sent than it skips");
        }
        replay->dropped += packet != NULL;
        rm_packet_unref(packet);
    }
    packet = NULL;
    if (!rmi_replay_take(queue, &packet) || !packet) {
        return bad(replay, err, "nothing was sent that it could take");
    }
    node->current[input->port] = packet;
    return RM_OK;
}

rm_status rmi_replay_take_inputs(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    rmi_node_drop_outbox(of->node);
    if (!(entry->flags & RMI_CALL_SAME)) {
        rmi_node_drop_inputs(of->node);
    }
    rm_status status = RM_OK;
    for (int64_t i = 0; i < entry->input_count && status == RM_OK; i++) {
        status = take_input(replay, of->node, &entry->input[i], err);
    }
    of->items += entry->input_count > 0;
    return status;
}

static rm_status do_call(rm_replay *replay, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    rmi_replay_node *of = node_of(replay);
    if (of && of->is_loose) {
        return rmi_replay_loose_call(replay, of, err);
    }
    if (!of || of->out || of->called) {
        return bad(replay, err, "nobody can be called so");
    }
    of->ahead &= of->has_result;
    of->has_result = of->ahead;
    of->called = !of->ahead;
    of->flush = entry->flags & RMI_CALL_FLUSH;
    if (of->flush && !of->node->pub.type->flush) {
        return bad(replay, err, "nobody can be called so");
    }
    of->now_ns = entry->now_ns;
    return of->ahead ? RM_OK : rmi_replay_take_inputs(replay, of, err);
}

void rmi_replay_invoke(rm_replay *replay, rmi_replay_node *of)
{
    rmi_node *node = of->node;
    of->called = of->ready = false;
    of->calls++;
    replay->calls++;
    node->calls++;
    node->wants_memory = false;
    node->strand->now_ns = of->now_ns;
    *node->error = (rm_error)RM_ERROR_INIT;
    node->state = RMI_NODE_RUNNING;
    rmi_record_keep_numbers(node, &of->numbers);
    const rm_node_type *type = node->pub.type;
    rm_status status = of->flush ? type->flush(&node->pub, node->error)
                                 : type->process(&node->pub, &node->inputs, node->error);
    of->out = status == RM_PENDING;
    of->has_result = !of->out;
    of->result = status;
    node->state = of->out ? RMI_NODE_PENDING : RMI_NODE_IDLE;
}

static void on_complete(rmi_strand *strand, rmi_message *message)
{
    rmi_node *node = RMI_CONTAINER(message, rmi_node, complete_message);
    rm_replay *replay = strand->session->replay;
    rmi_replay_node *of = replay ? &replay->nodes[node->index] : NULL;
    atomic_store(&node->complete_posted, false);
    if (of && of->out) {
        rm_status status = node->complete_status;
        of->out = false;
        of->has_result = true;
        of->result = status == RM_PENDING ? RM_EINVAL : status;
        node->state = RMI_NODE_IDLE;
        node->wants_memory |= atomic_exchange(&node->memory_refused, false);
    }
}

static void on_ready(rmi_strand *strand, rmi_message *message)
{
    rmi_node *node = RMI_CONTAINER(message, rmi_node, ready_message);
    rm_replay *replay = strand->session->replay;
    atomic_store(&node->ready_posted, false);
    if (replay) {
        replay->nodes[node->index].ready = true;
    }
}

void rmi_replay_listen(rmi_node *node)
{
    node->complete_message.run = on_complete;
    node->ready_message.run = on_ready;
}

/* It did nothing, and did something when it was recorded. */
static rm_status call_again(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    rmi_node *node = of->node;
    rmi_node_drop_outbox(node);
    rmi_record_give_back_numbers(node, &of->numbers);
    if (node->wants_memory) {
        (void)rm_fail(err, RM_ENOMEM, "there is not as much memory as it wants");
        return rmi_replay_differs(of, err);
    }
    if (!of->ready) {
        return RM_PENDING;
    }
    rmi_replay_invoke(replay, of);
    return RM_MORE;
}

static rm_status compare_result(const rm_replay *replay, const rmi_replay_node *of, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    rmi_node *node = of->node;
    bool is_good = of->result >= 0 && of->result != RM_EAGAIN;
    uint32_t count = is_good ? node->outbox_count - node->outbox_sent : 0;
    if (of->result != (rm_status)entry->status) {
        const rm_error *why = node->error;
        (void)rm_fail_as(
            err, RM_CODE_REPLAY_DIFFERS, "call %" PRIu64 " came to %s%s%s, recorded: %s", of->calls,
            rm_status_name(of->result), of->result < 0 ? ": " : "",
            of->result < 0 ? why->message : "", rm_status_name((rm_status)entry->status));
        return rmi_replay_differs(of, err);
    }
    if (count != entry->count) {
        (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS,
                         "call %" PRIu64 " gave %u packets, recorded: %" PRIi64, of->calls, count,
                         entry->count);
        return rmi_replay_differs(of, err);
    }
    return RM_OK;
}

/* Of a node that plays no part. */
static void show_output(rm_replay *replay, rmi_replay_node *of)
{
    const rmi_node *node = of->node;
    bool is_asked = of->called && of->is_output && !of->flush && replay->options.on_output;
    if (is_asked && replay->entry.status == RM_OK && node->current[0]) {
        replay->options.on_output(replay->options.context, node->pub.id, node->current[0]);
    }
    of->called = false;
}

/* The call of the record has come to its end here, too. */
static rm_status settle(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    bool is_gone = entry->flags & RMI_RESULT_GONE;
    if (entry->status == RM_EAGAIN && of->result != RM_EAGAIN && !is_gone) {
        of->ahead = true;
        return RM_OK;
    }
    if (is_gone || of->result == RM_EAGAIN) {
        rmi_record_give_back_numbers(of->node, &of->numbers);
    }
    rm_status status = is_gone ? RM_OK : compare_result(replay, of, err);
    of->has_result = of->ahead = false;
    if (is_gone || of->result < 0 || of->result == RM_EAGAIN) {
        rmi_node_drop_outbox(of->node);
    } else if (of->result != RM_MORE) {
        rmi_node_drop_inputs(of->node);
    }
    return status;
}

/* It is made here, where its RESULT is read: one that did nothing then is not made at all. True:
 * nothing more is to be done about it now. */
static bool make_call(rm_replay *replay, rmi_replay_node *of)
{
    const rmi_record_entry *entry = &replay->entry;
    bool later = entry->flags & RMI_RESULT_LATER;
    if (!later && entry->status == RM_EAGAIN && of->called) {
        of->called = false;
        return true;
    }
    if (of->called) {
        rmi_replay_invoke(replay, of);
    }
    return !later && entry->status == RM_PENDING;
}

/* of NULL: nobody. */
static rm_status result_of_call(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    if (!of || (!of->called && !of->out && !of->has_result && !of->is_idle)) {
        return bad(replay, err, "nobody was called");
    }
    if (of->is_idle) {
        show_output(replay, of);
        return RM_OK;
    }
    if (make_call(replay, of)) {
        return RM_OK;
    }
    rm_status status = RM_MORE;
    while (status == RM_MORE && of->has_result && of->result == RM_EAGAIN &&
           entry->status != RM_EAGAIN) {
        status = call_again(replay, of, err);
    }
    if (status != RM_MORE) {
        return status;
    }
    return of->out ? RM_PENDING : settle(replay, of, err);
}

static rm_status do_result(rm_replay *replay, rm_error *err)
{
    rmi_replay_node *of = node_of(replay);
    return of && of->is_loose ? rmi_replay_loose_result(replay, of, err)
                              : result_of_call(replay, of, err);
}

/* ---- what else happens to a node */

/* As far as it had come with its item, and what comes of that is dropped. */
static rm_status interrupt_loose(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    rm_status status = rmi_replay_loose_catch_up(replay, of, err);
    if (status != RM_OK) {
        return status;
    }
    rm_node *node = &of->node->pub;
    rmi_replay_loose_drop(of);
    of->in_item = false;
    of->over = of->begun = true;
    if (!of->out) {
        rmi_node_drop_inputs(of->node); /* else with the result of its work */
    } else if (node->type->cancel) {
        node->type->cancel(node);
    }
    return RM_OK;
}

static rm_status do_control(rm_replay *replay, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    rmi_replay_node *of = node_of(replay);
    const rmi_record_piece *piece = &entry->piece[0];
    rm_format_line line = {0};
    if (!of || (piece->bytes != 0 && piece->bytes != sizeof line)) {
        return bad(replay, err, "nobody is told this");
    }
    if (of->is_idle || !of->node->pub.type->control) {
        return RM_OK;
    }
    memcpy(&line, piece->data, piece->bytes);
    rm_control control = {.op = (uint16_t)entry->op,
                          .port = (uint16_t)entry->port,
                          .kind = (uint32_t)entry->packet_kind,
                          .argument = entry->argument,
                          .line = piece->bytes ? &line : NULL};
    rmi_node *node = of->node;
    bool is_loose = of->is_loose && control.op == RM_CONTROL_INTERRUPT;
    if (control.op == RM_CONTROL_FORMAT && (!control.line || entry->port >= node->n_current)) {
        return bad(replay, err, "nobody is told this");
    }
    rm_status status = is_loose ? interrupt_loose(replay, of, err) : RM_OK;
    if (status != RM_OK) {
        return status;
    }
    control.argument = is_loose ? entry->status : control.argument;
    replay->controls++;
    status = node->pub.type->control(&node->pub, &control, node->error);
    if ((status < 0) != (entry->status < 0)) {
        (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS, "control %u came to %s, recorded: %s",
                         control.op, rm_status_name(status),
                         rm_status_name((rm_status)entry->status));
        return rmi_replay_differs(of, err);
    }
    return RM_OK;
}

static rm_status do_params(rm_replay *replay, rm_error *err)
{
    const rmi_replay_node *of = node_of(replay);
    const rmi_record_piece *piece = &replay->entry.piece[0];
    if (!of) {
        return bad(replay, err, "nobody gets them");
    }
    if (of->is_idle) {
        return RM_OK;
    }
    rmi_node *node = of->node;
    void *params = NULL;
    RMI_AUTO_MEMORY char *json = rmi_strndup(piece->data, piece->bytes);
    if (!json) {
        return rm_fail(err, RM_ENOMEM, "no memory for parameters");
    }
    rm_status status = rmi_params_update(node->pub.type, json, node->pub.params, &params, err);
    if (status != RM_OK) {
        return status;
    }
    replay->controls++;
    status = rmi_node_exchange_params(node, &params, node->error);
    rmi_params_free(node->pub.type, params);
    (void)status; /* one that refused them then refuses them again */
    return RM_OK;
}

static rm_status do_cancel(rm_replay *replay, rm_error *err)
{
    const rmi_replay_node *of = node_of(replay);
    if (!of) {
        return bad(replay, err, "nobody is told this");
    }
    if (!of->is_loose && of->out && of->node->pub.type->cancel) {
        of->node->pub.type->cancel(&of->node->pub);
    }
    return RM_OK;
}

static rm_status do_end(rm_replay *replay, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    rm_status status = RM_OK;
    replay->has_end = true;
    replay->recorded_status = (rm_status)entry->status;
    replay->recorded_code = entry->code;
    snprintf(replay->recorded_message, sizeof replay->recorded_message, "%.*s",
             (int)(entry->piece[0].bytes < RM_ERROR_MESSAGE_MAX ? entry->piece[0].bytes
                                                                : RM_ERROR_MESSAGE_MAX - 1),
             (const char *)entry->piece[0].data);
    for (uint32_t i = 0; entry->status == RM_DONE && i < replay->node_count && status == RM_OK;
         i++) {
        status = rmi_replay_loose_end(&replay->nodes[i], err);
    }
    return status;
}

static rm_status do_graph(rm_replay *replay, rm_error *err)
{
    return bad(replay, err, "another graph");
}

/* ---- steps */

static rm_status do_entry(rm_replay *replay, rm_error *err)
{
    static rm_status (*const rows[RMI_RECORD_KINDS])(rm_replay *, rm_error *) = {
        [RMI_RECORD_GRAPH] = do_graph,   [RMI_RECORD_CALL] = do_call,
        [RMI_RECORD_RESULT] = do_result, [RMI_RECORD_SENT] = do_sent,
        [RMI_RECORD_WHOLE] = do_whole,   [RMI_RECORD_MARK] = do_mark,
        [RMI_RECORD_UNSENT] = do_unsent, [RMI_RECORD_CONTROL] = do_control,
        [RMI_RECORD_PARAMS] = do_params, [RMI_RECORD_CANCEL] = do_cancel,
        [RMI_RECORD_END] = do_end};
    return rows[replay->entry.kind](replay, err);
}

/* RM_OK: one entry is done. RM_PENDING: it waits. RM_DONE: there are no more. */
static rm_status step(rm_replay *replay, rm_error *err)
{
    rm_status status = RM_OK;
    if (!replay->has_entry) {
        status = rmi_record_next(&replay->reader, &replay->entry, err);
    }
    replay->has_entry = status == RM_OK;
    if (status == RM_OK) {
        status = do_entry(replay, err);
    }
    replay->has_entry &= status == RM_PENDING;
    return status;
}

rm_status rm_replay_step(rm_replay *replay, uint32_t budget, rm_error *err)
{
    rmi_strand *strand = replay->session->strands[0];
    atomic_store_explicit(&strand->thread, rmi_thread_self(), memory_order_relaxed);
    rmi_parking_leave(&strand->parking);
    rm_status status = replay->status;
    replay->wait_until_ns = 0;
    for (uint32_t i = 0; i < budget && status == RM_MORE; i++) {
        rmi_arrivals_drain_mailbox(strand);
        strand->control_count = 0; /* what nodes ask for is in the record */
        status = step(replay, &replay->error);
        if (status == RM_PENDING) {
            rmi_parking_prepare(&strand->parking);
            if (!rmi_mailbox_is_empty(&strand->mailbox)) {
                rmi_parking_leave(&strand->parking);
                status = RM_MORE;
            }
        }
        status = status == RM_OK ? RM_MORE : status;
    }
    if (status != RM_PENDING) {
        replay->status = status;
    }
    if (status < 0 && err) {
        *err = replay->error;
    }
    return status;
}

rm_status rm_replay_run(rm_replay *replay, rm_error *err)
{
    rmi_strand *strand = replay->session->strands[0];
    rm_status status = RM_MORE;
    strand->parking.wake = NULL;
    while (status == RM_MORE || status == RM_PENDING) {
        status = rm_replay_step(replay, RUN_BUDGET, err);
        if (status == RM_PENDING) {
            rmi_parking_wait(&strand->parking, INT64_MAX);
        }
    }
    return status;
}

/* ---- what it came to */

static json_t *list_nodes(const rm_replay *replay)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < replay->session->node_count; i++) {
        const rmi_replay_node *of = &replay->nodes[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:I}", "id", of->node->pub.id, "type",
                                        of->node->pub.type->name, "calls", (json_int_t)of->calls,
                                        "packets", (json_int_t)of->packets));
    }
    return list;
}

rm_status rm_replay_report(const rm_replay *replay, char **ret_json, rm_error *err)
{
    json_t *report = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "calls", (json_int_t)replay->calls, "packets",
        (json_int_t)replay->packets, "from_record", (json_int_t)replay->from_record, "dropped",
        (json_int_t)replay->dropped, "controls", (json_int_t)replay->controls, "whole",
        replay->has_end, "nodes", list_nodes(replay));
    if (report && replay->has_end) {
        json_object_set_new(report, "status", json_string(rm_status_name(replay->recorded_status)));
        json_object_set_new(report, "code", json_integer(replay->recorded_code));
        json_object_set_new(report, "message", json_string(replay->recorded_message));
    }
    char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    *ret_json = text ? rmi_strdup(text) : NULL;
    free(text);
    return *ret_json ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for a report");
}
