/* The outbox and what a node's author calls. */
#include "engine/node.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/events.h"
#include "engine/intake.h"
#include "engine/link.h"
#include "engine/record.h"
#include "engine/repair.h"
#include "engine/session.h"
#include "engine/strand.h"
#include "graph/route.h"

/* ---- room and readiness */

static bool edge_accepts(const rmi_edge *edge)
{
    if (edge->closed) {
        return true;
    }
    if (edge->link) {
        return atomic_load_explicit(&edge->link->closed, memory_order_relaxed) ||
               edge->link->drops || rmi_link_has_room(edge->link);
    }
    return edge->policy != RMI_POLICY_BLOCK || !rmi_edge_is_full(edge);
}

bool rmi_node_has_room(const rmi_node *node)
{
    for (uint16_t p = 0; p < node->n_out; p++) {
        for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
            if (!edge_accepts(node->out[p].edges[e])) {
                return false;
            }
        }
    }
    return true;
}

bool rmi_node_is_runnable(const rmi_node *node)
{
    if (node->state == RMI_NODE_HOLDING) {
        return true;
    }
    if (node->state != RMI_NODE_IDLE || node->stalled) {
        return false;
    }
    if (node->flushing || node->held || node->done || node->unprompted) {
        return true;
    }
    return node->is_source ? rmi_node_has_room(node) : rmi_intake_matches(node);
}

int rm_node_has_input(const rm_node *pub)
{
    const rmi_node *node = (const rmi_node *)pub;
    bool any = false;
    for (uint16_t i = 0; i < node->n_in; i++) {
        any |= rmi_edge_length(node->in[i]) > 0;
    }
    /* What is put aside would leave in the context of another item. */
    any &= !node->strand->spans;
    any &= !node->recorded;    /* the answer would have to be kept as well */
    any &= !node->marks_items; /* what it gives has to come before the mark of its item */
    return any && (node->merge != RMI_MERGE_ZIP || rmi_intake_has_set(node));
}

/* ---- the outbox */

static void push_local(rmi_strand *strand, rmi_edge *edge, rm_packet *packet)
{
    if (edge->policy == RMI_POLICY_LATEST) {
        rmi_event_drop(strand, edge, rmi_edge_clear(edge, strand->pool), RMI_DROP_FULL);
    } else if (edge->policy == RMI_POLICY_DROP_NEWEST && rmi_edge_is_full(edge)) {
        rmi_event_drop(strand, edge, 1, RMI_DROP_FULL);
        rmi_record_unsent(strand->session, edge);
        rmi_pool_give(strand->pool, packet);
        return;
    }
    while (edge->policy == RMI_POLICY_DROP_OLDEST && rmi_edge_is_full(edge) &&
           rmi_edge_length(edge)) {
        rmi_event_drop(strand, edge, 1, RMI_DROP_FULL);
        rm_packet *oldest = edge->ring[edge->head++ & edge->mask];
        rmi_edge_weigh(edge, oldest, -1);
        rmi_pool_give(strand->pool, oldest);
    }
    if (rmi_edge_wants_stamp(edge) && strand->metrics) {
        edge->stamp_at = edge->tail;
        edge->stamp_ticks = rmi_clock_ticks();
        edge->stamped = true;
    }
    edge->ring[edge->tail++ & edge->mask] = packet;
    rmi_edge_weigh(edge, packet, 1);
    uint32_t length = rmi_edge_length(edge);
    edge->peak = length > edge->peak ? length : edge->peak;
    rmi_node *to = edge->to;
    if (to->state == RMI_NODE_IDLE && (to->n_in == 1 ? !to->stalled : rmi_node_is_runnable(to))) {
        rmi_strand_make_ready(strand, to);
    }
}

/* Takes one reference of the packet; the edge accepts it. */
static void edge_push(rmi_strand *strand, rmi_edge *edge, rm_packet *packet)
{
    if (edge->closed ||
        (edge->link && atomic_load_explicit(&edge->link->closed, memory_order_relaxed))) {
        rmi_pool_give(strand->pool, packet);
        return;
    }
    edge->packets++;
    edge->packet_bytes += packet->header.payload_bytes;
    if (edge->link) {
        rmi_link_stamp(edge->link);
        (edge->link->drops ? rmi_link_push_dropping : rmi_link_push)(edge->link, packet);
        strand->kick_needed = true;
    } else {
        push_local(strand, edge, packet);
    }
}

/* Once a packet, however long that waits for room: repairs its time, and asks each edge of the port
 * whether it takes it. */
static void check_front(rmi_node *node, rmi_outgoing *front)
{
    if (node->times) {
        rmi_repair_time(node, front);
    }
    rm_read_object read_object = node->strand->session->options.read_object;
    const rmi_out_port *port = front->port;
    uint32_t refused = 0;
    for (uint32_t e = 0; e < port->edge_count; e++) {
        const rmi_route *route = port->edges[e]->route;
        if (route && !rmi_route_takes(route, front->packet, read_object)) {
            node->outbox_done |= 1ull << e;
            refused++;
        }
    }
    node->unrouted += refused > 0 && refused == port->edge_count;
    if (node->recorded) {
        rmi_record_sent(node, front);
    }
    node->outbox_checked = true;
}

/* Sends the front packet to each edge of its port that has room; false: not all have it yet. */
static bool send_front(rmi_node *node)
{
    rmi_outgoing *front = &node->outbox[node->outbox_sent];
    rmi_out_port *port = front->port;
    if (RMI_UNLIKELY(port->checked) && !node->outbox_checked) {
        check_front(node, front);
    }
    rm_packet *packet = front->packet;
    if (port->edge_count == 1 && !port->checked) {
        rmi_edge *edge = port->edges[0];
        bool accepts = edge_accepts(edge);
        if (accepts) {
            edge_push(node->strand, edge, packet);
        }
        return accepts;
    }
    uint32_t missing = 0;
    for (uint32_t e = 0; e < port->edge_count; e++) {
        if (node->outbox_done >> e & 1) {
            continue;
        }
        if (!edge_accepts(port->edges[e])) {
            missing++;
            continue;
        }
        node->outbox_done |= 1ull << e;
        edge_push(node->strand, port->edges[e], rm_packet_ref(packet));
    }
    if (missing) {
        return false;
    }
    node->outbox_done = 0;
    node->outbox_checked = false;
    rmi_pool_give(node->strand->pool, packet);
    return true;
}

bool rmi_node_commit(rmi_node *node)
{
    while (node->outbox_sent < node->outbox_count) {
        if (!send_front(node)) {
            return false;
        }
        node->outbox[node->outbox_sent++].port->emitted = 0;
        node->emitted++;
    }
    node->outbox_count = node->outbox_sent = 0;
    return true;
}

void rmi_node_drop_outbox(rmi_node *node)
{
    if (RMI_UNLIKELY(node->recorded != NULL)) {
        rmi_record_dropped(node);
    }
    while (node->outbox_sent < node->outbox_count) {
        rm_packet *packet = node->outbox[node->outbox_sent++].packet;
        node->emitted += node->mark && packet == node->mark;
        rmi_pool_give(node->strand->pool, packet);
    }
    node->outbox_count = node->outbox_sent = 0;
    node->outbox_done = 0;
    node->outbox_checked = false;
    for (uint16_t p = 0; p < node->n_out; p++) {
        node->out[p].emitted = 0;
    }
}

void rmi_node_drop_inputs(rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_current; i++) {
        if (node->current[i]) {
            rmi_pool_give(node->strand->pool, node->current[i]);
            node->current[i] = NULL;
        }
    }
    node->held = false;
}

/* ---- what a node's author calls */

static rm_packet *first_input(const rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_current; i++) {
        if (node->current[i]) {
            return node->current[i];
        }
    }
    return NULL;
}

static void note_progress(rmi_strand *strand, const rm_packet_header *header)
{
    uint64_t produced = atomic_load_explicit(&strand->produced, memory_order_relaxed);
    atomic_store_explicit(&strand->produced, produced + 1, memory_order_relaxed);
    if (header->pts_ns != RM_TIME_NONE) {
        int64_t end_ns = header->pts_ns + header->duration_ns;
        if (end_ns > atomic_load_explicit(&strand->position_ns, memory_order_relaxed)) {
            atomic_store_explicit(&strand->position_ns, end_ns, memory_order_relaxed);
        }
    }
}

/* What the node left open comes from the input that it works on. */
static void inherit(rmi_node *node, rm_packet_header *header, uint64_t sequence)
{
    const rm_packet *input = first_input(node);
    if (input) {
        if (header->pts_ns == RM_TIME_NONE) {
            header->pts_ns = input->header.pts_ns;
        }
        if (header->origin_ns == 0) {
            header->origin_ns = input->header.origin_ns;
        }
        header->stream_id = header->stream_id ? header->stream_id : input->header.stream_id;
        header->trace = header->trace ? header->trace : input->header.trace;
    } else if (header->origin_ns == 0) {
        header->origin_ns = node->strand->now_ns;
    }
    if (node->is_source) {
        note_progress(node->strand, header);
    }
    header->sequence = sequence;
}

static rm_status outbox_add(rmi_node *node, uint32_t port, rm_packet *packet)
{
    rmi_out_port *out = &node->out[port];
    out->emitted++;
    node->outbox[node->outbox_count++] = (rmi_outgoing){packet, out};
    return RM_OK;
}

/* A node that may send many packets a call seldom does. */
static rm_status grow_outbox(rmi_node *node, rmi_out_port *out)
{
    const rm_port *ports = node->pub.type->outputs;
    uint32_t all = rmi_port_emit_max(&ports[out - node->out]);
    if (out->emit_max >= all) {
        return RM_ELIMIT;
    }
    uint32_t slots = node->outbox_count + all - out->emitted + 1 + node->n_out; /* with marks */
    for (uint16_t i = 0; i < node->n_out; i++) {
        slots += &node->out[i] == out ? 0 : node->out[i].emit_max;
    }
    rm_status status = rmi_node_reserve_outbox(node, slots, NULL);
    if (status == RM_OK) {
        out->emit_max = (uint16_t)all;
    }
    return status;
}

static rm_status check_emit(const rmi_node *node, uint32_t port)
{
    if (RMI_UNLIKELY(port >= node->n_out)) {
        return RM_EINVAL;
    }
    return RMI_UNLIKELY(node->out[port].emitted >= node->out[port].emit_max) ? RM_ELIMIT : RM_OK;
}

/* After a check that failed. Apart, so that the common case has nothing to save for it. */
static __attribute__((noinline)) rm_status emit_more(rmi_node *node, uint32_t port,
                                                     rm_packet *packet)
{
    rm_status status = port < node->n_out ? grow_outbox(node, &node->out[port]) : RM_EINVAL;
    if (status == RM_OK) {
        return rm_emit(&node->pub, port, packet);
    }
    rm_packet_unref(packet);
    return status;
}

static __attribute__((noinline)) rm_status forward_more(rmi_node *node, uint32_t port)
{
    if (port >= node->n_out || !node->current[0]) {
        return RM_EINVAL;
    }
    rm_status status = grow_outbox(node, &node->out[port]);
    return status == RM_OK ? rm_forward(&node->pub, port) : status;
}

rm_status rm_emit(rm_node *pub, uint32_t port, rm_packet *packet)
{
    rmi_node *node = rmi_node_of(pub);
    if (RMI_UNLIKELY(check_emit(node, port) != RM_OK)) {
        return emit_more(node, port, packet);
    }
    if (packet->header.sequence == 0) { /* not emitted before */
        inherit(node, &packet->header, ++node->out[port].sequence);
    }
    return outbox_add(node, port, packet);
}

rm_status rm_forward(rm_node *pub, uint32_t port)
{
    rmi_node *node = rmi_node_of(pub);
    rm_packet *packet = node->current[0];
    if (RMI_UNLIKELY(check_emit(node, port) != RM_OK || !packet)) {
        return forward_more(node, port);
    }
    if (RMI_LIKELY(node->on_error == RMI_ON_ERROR_FAIL)) {
        node->current[0] = NULL; /* moved: nobody needs the input again */
    } else {
        __atomic_fetch_add(&packet->host.refs, 1, __ATOMIC_RELAXED);
    }
    return outbox_add(node, port, packet);
}

rm_status rm_packet_new(rm_node *pub, uint64_t payload_bytes, rm_packet **ret_packet)
{
    rmi_node *node = rmi_node_of(pub);
    rmi_strand *strand = node->strand;
    uint32_t rank = node->calls == node->reserve_call ? RMI_RANK_LAST : node->index;
    if (RMI_UNLIKELY(atomic_load_explicit(&strand->thread, memory_order_relaxed) !=
                     rmi_thread_self())) {
        rm_status shared = rmi_pool_take_shared(strand->pool, payload_bytes, rank, ret_packet);
        if (shared == RM_EAGAIN) {
            atomic_store(&node->memory_refused, true);
        }
        return shared;
    }
    rm_status status = rmi_pool_take(strand->pool, payload_bytes, rank, ret_packet);
    if (RMI_UNLIKELY(status == RM_EAGAIN) && strand->shed) {
        rmi_strand_let_go(strand);
        status = rmi_pool_take(strand->pool, payload_bytes, rank, ret_packet);
    }
    if (RMI_UNLIKELY(status == RM_EAGAIN)) {
        node->wants_memory = true;
    }
    return status;
}

rm_status rm_packet_new_foreign(rm_node *pub, void *payload, uint64_t payload_bytes,
                                void (*release)(void *owner), void *owner, rm_packet **ret_packet)
{
    if (payload_bytes > RM_PACKET_PAYLOAD_MAX || (payload_bytes && !payload) || !release) {
        return RM_EINVAL;
    }
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(pub, 0, &packet);
    if (status == RM_OK) {
        rmi_packet_set_foreign(packet, payload, payload_bytes, release, owner);
        *ret_packet = packet;
    }
    return status;
}

static rm_status request_here(rmi_strand *strand, rmi_node *from, const rm_control *control)
{
    if (strand->control_count == RMI_CONTROLS_MAX) {
        return RM_ELIMIT;
    }
    if (!strand->controls) {
        strand->controls = rmi_calloc(RMI_CONTROLS_MAX, sizeof *strand->controls);
    }
    if (!strand->controls) {
        return RM_ENOMEM;
    }
    strand->controls[strand->control_count++] = (rmi_pending_control){from, *control};
    return RM_OK;
}

rm_status rm_request(rm_node *pub, uint32_t input, const rm_control *control)
{
    rmi_node *node = rmi_node_of(pub);
    rmi_strand *strand = node->strand;
    rm_status status = RM_EINVAL;
    for (uint16_t i = 0; i < node->n_in; i++) {
        rmi_edge *edge = node->in[i];
        if (edge->to_port != input) {
            continue;
        }
        const rmi_edge *sending = edge->link ? edge->link->sending : edge;
        rm_control asked = *control;
        asked.port = sending->from_port;
        asked.line = NULL;
        status = edge->link ? rmi_link_request(edge->link, &asked)
                            : request_here(strand, edge->from, &asked);
        if (status != RM_OK) {
            return status;
        }
    }
    return status;
}

void rm_node_ready(rm_node *pub)
{
    rmi_node *node = rmi_node_of(pub);
    if (!atomic_exchange(&node->ready_posted, true)) {
        rmi_strand_post(node->strand, &node->ready_message);
    }
}

void rm_node_complete(rm_node *pub, rm_status status, const rm_error *err)
{
    rmi_node *node = rmi_node_of(pub);
    if (atomic_exchange(&node->complete_posted, true)) {
        return; /* completed already */
    }
    node->complete_status = status;
    if (status < 0 && err && !node->complete_error) {
        node->complete_error = RMI_NEW(rm_error); /* without memory the status tells enough */
    }
    if (node->complete_error) {
        *node->complete_error = err ? *err : (rm_error)RM_ERROR_INIT;
    }
    rmi_strand_post(node->strand, &node->complete_message);
}

void rm_node_add_work(rm_node *pub, int64_t work_ns, uint32_t calls)
{
    rmi_node *node = rmi_node_of(pub);
    if (work_ns < 0) {
        return;
    }
    node->work_ns += (uint64_t)work_ns;
    if (calls) {
        rmi_node_note(&node->work, (uint64_t)work_ns, 1);
    }
}

void rm_node_add_tier_time(rm_node *pub, rm_tier_time part, int64_t ns)
{
    if (ns > 0 && part <= RM_TIER_LOCK) {
        rmi_node_of(pub)->tier_ns[part] += (uint64_t)ns;
    }
}

void rm_node_wake_at(rm_node *pub, int64_t when_ns)
{
    rmi_node *node = rmi_node_of(pub);
    if (when_ns < node->asked_ns) {
        node->asked_ns = when_ns;
        if (!node->joins) { /* else it is armed as the node joins the strand */
            rmi_strand_arm_timer(node->strand, node);
        }
    }
}

int64_t rm_node_now(const rm_node *pub)
{
    return ((const rmi_node *)pub)->strand->now_ns;
}

void rm_node_input_format(const rm_node *pub, uint32_t input, rm_format *ret_format)
{
    const rmi_node *node = (const rmi_node *)pub;
    *ret_format = (rm_format){.kind = RM_KIND_ANY};
    if (input < node->n_current) {
        const rmi_in_port *port = &node->in_port[input];
        if (port->kind) {
            rm_format_from_line(port->kind, &port->line, ret_format);
        } else if (port->planned) {
            *ret_format = *port->planned;
        }
    }
}

int rm_port_is_connected(const rm_node *pub, uint32_t output)
{
    const rmi_node *node = (const rmi_node *)pub;
    for (uint32_t e = 0; output < node->n_out && e < node->out[output].edge_count; e++) {
        const rmi_edge *edge = node->out[output].edges[e];
        if (!edge->closed &&
            !(edge->link && atomic_load_explicit(&edge->link->closed, memory_order_relaxed))) {
            return 1;
        }
    }
    return 0;
}
