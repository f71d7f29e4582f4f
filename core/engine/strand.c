/* The scheduler: which node runs next, and what its answer means. */
#include "engine/strand.h"

#include <stdio.h>
#include <string.h>

#include "engine/clock.h"
#include "engine/quiet.h"

enum {
    POLL_EACH_CALLS = 32,       /* links are looked at this often while nodes are ready */
    FAST_CALLS_PER_SAMPLE = 16, /* of a fast node each 16th call is timed; a power of two */
};
/* The bytes of rmi_node.phase that are `more` and `held`. */
#define MORE_AND_HELD UINT64_C(0xffff00)
/* About 10 µs: a node slower than this is timed at each call. */
#define SLOW_TICKS 26000u
#define CANCEL_GRACE_NS ((int64_t)2000000000)

void *rmi_thread_self(void)
{
    static _Thread_local __attribute__((tls_model("initial-exec"))) char identity;
    return &identity;
}

static void after_call(rmi_strand *strand, rmi_node *node, rm_status status);
static void begin_flush(rmi_strand *strand, rmi_node *node);

/* ---- edges, as their consumer sees them */

static void producer_has_room(rmi_strand *strand, rmi_edge *edge)
{
    rmi_node *from = edge->from;
    if (from && (from->state == RMI_NODE_HOLDING || from->is_source)) {
        rmi_strand_consider(strand, from);
    }
}

/* The packet, unless it is of an epoch that has gone. */
static rm_packet *unless_stale(rmi_strand *strand, rmi_edge *edge, rm_packet *packet,
                               uint32_t epoch)
{
    if (RMI_UNLIKELY((int32_t)(epoch - edge->epoch) < 0)) {
        edge->drops++;
        rmi_pool_give(strand->pool, packet);
        return NULL;
    }
    return packet;
}

static rm_packet *pop_dropping(rmi_strand *strand, rmi_edge *edge, bool stale_only)
{
    uint32_t epoch;
    rm_packet *packet = rmi_link_pop_dropping(edge->link, stale_only, &epoch);
    return packet ? unless_stale(strand, edge, packet, epoch) : NULL;
}

/* The oldest packet; NULL where it was of an epoch that has gone. */
static rm_packet *edge_pop(rmi_strand *strand, rmi_edge *edge)
{
    rmi_link *link = edge->link;
    if (link && link->drops) {
        return pop_dropping(strand, edge, false);
    }
    bool was_full = !link && rmi_edge_is_full(edge);
    uint32_t slot = edge->head++ & edge->mask;
    rm_packet *packet = edge->ring[slot];
    if (link) {
        uint32_t epoch = link->epoch[slot];
        rmi_link_publish_head(link, packet);
        strand->kick_needed |= (edge->head & link->quarter_mask) == 0;
        return unless_stale(strand, edge, packet, epoch);
    }
    edge->bytes -= packet->header.payload_bytes;
    if (was_full) {
        producer_has_room(strand, edge);
    }
    return packet;
}

static bool stale_front(const rmi_edge *edge)
{
    return edge->link && (int32_t)(edge->link->epoch[edge->head & edge->mask] - edge->epoch) < 0;
}

static void drop_stale(rmi_strand *strand, rmi_edge *edge)
{
    if (edge->link && edge->link->drops) {
        uint64_t drops;
        do {
            drops = edge->drops;
            (void)pop_dropping(strand, edge, true);
        } while (edge->drops != drops);
        return;
    }
    while (rmi_edge_length(edge) && stale_front(edge)) {
        (void)edge_pop(strand, edge);
    }
}

static void edge_let_go(rmi_strand *strand, rmi_edge *edge)
{
    while (rmi_edge_length(edge)) {
        rm_packet *packet = edge_pop(strand, edge);
        if (packet) {
            rmi_pool_give(strand->pool, packet);
        }
    }
}

/* The consumer wants nothing more of this edge. A producer that has only such edges is done too. */
static void edge_close(rmi_strand *strand, rmi_edge *edge)
{
    if (edge->closed) {
        return;
    }
    edge_let_go(strand, edge); /* no drops: nobody wanted them */
    edge->closed = true;
    if (edge->link) {
        atomic_store(&edge->link->closed, true);
        strand->kick_needed = true;
        return;
    }
    rmi_node *from = edge->from;
    from->out[edge->from_port].direct = NULL;
    bool all_closed = true;
    for (uint16_t p = 0; p < from->n_out; p++) {
        for (uint32_t e = 0; e < from->out[p].edge_count; e++) {
            all_closed &= from->out[p].edges[e]->closed;
        }
    }
    if (all_closed) {
        from->done = true;
        from->stalled = false; /* what it waits for would be for nobody */
    }
    if (from->state == RMI_NODE_HOLDING || from->state == RMI_NODE_IDLE) {
        rmi_strand_consider(strand, from);
    }
}

/* ---- taking a set of inputs */

static bool all_drained(const rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_in; i++) {
        if (!node->in[i]->ended || rmi_edge_length(node->in[i])) {
            return false;
        }
    }
    return true;
}

static bool take_any(rmi_strand *strand, rmi_node *node)
{
    for (uint16_t tried = 0; tried < node->n_in; tried++) {
        uint32_t i = node->next_in;
        node->next_in = i + 1 < node->n_in ? i + 1 : 0;
        rmi_edge *edge = node->in[i];
        while (rmi_edge_length(edge)) {
            rm_packet *packet = edge_pop(strand, edge);
            if (packet) {
                node->current[edge->to_port] = packet;
                node->taken = edge;
                return true;
            }
        }
    }
    if (all_drained(node)) {
        begin_flush(strand, node);
    }
    return false;
}

static bool take_zip(rmi_strand *strand, rmi_node *node)
{
    bool complete = true;
    for (uint16_t i = 0; i < node->n_in; i++) {
        drop_stale(strand, node->in[i]);
        if (rmi_edge_length(node->in[i]) == 0) {
            if (node->in[i]->ended) {
                begin_flush(strand, node); /* no further set can be complete */
                return false;
            }
            complete = false;
        }
    }
    for (uint16_t i = 0; complete && i < node->n_in; i++) {
        node->current[node->in[i]->to_port] = edge_pop(strand, node->in[i]);
    }
    return complete;
}

/* What the stream on a port is has changed, or is seen for the first time. */
static rm_status announce(rmi_node *node, uint16_t index, const rm_packet *packet)
{
    rmi_in_port *port = &node->in_port[index];
    const rm_formats *accepts = &port->accepts;
    port->kind = packet->header.kind;
    port->line = packet->header.format;
    bool fits = accepts->count == 0;
    for (uint32_t i = 0; !fits && i < accepts->count; i++) {
        fits = rm_format_accepts(&accepts->alternative[i], port->kind, &port->line) != 0;
    }
    if (!fits) {
        char got[160], want[320];
        rm_format format;
        rm_format_from_line(port->kind, &port->line, &format);
        rm_format_print(&format, got, sizeof got);
        rm_formats_print(accepts, want, sizeof want);
        port->kind = RM_KIND_ANY; /* the next packet is looked at again */
        return rm_fail_as(&node->error, RM_CODE_PACKET_FORMAT, "input '%s' got %s, want %s",
                          node->pub.type->inputs[index].name, got, want);
    }
    if (!node->pub.type->control) {
        return RM_OK;
    }
    rm_control control = {
        .op = RM_CONTROL_FORMAT, .port = index, .kind = port->kind, .line = &port->line};
    return node->pub.type->control(&node->pub, &control, &node->error);
}

static inline bool format_differs(const rmi_in_port *port, const rm_packet *packet)
{
    return port->kind != packet->header.kind ||
           memcmp(&port->line, &packet->header.format, sizeof port->line) != 0;
}

static rm_status announce_changes(rmi_node *node)
{
    rm_status status = RM_OK;
    for (uint16_t i = 0; i < node->n_current && status >= 0; i++) {
        const rm_packet *packet = node->current[i];
        if (packet && RMI_UNLIKELY(format_differs(&node->in_port[i], packet))) {
            status = announce(node, i, packet);
        }
    }
    return status;
}

/* ---- the end of a node */

static void node_end(rmi_strand *strand, rmi_node *node)
{
    node->state = RMI_NODE_ENDED;
    rmi_strand_clear_timer(strand, node);
    strand->open_nodes--;
    for (uint16_t p = 0; p < node->n_out; p++) {
        for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
            rmi_edge *edge = node->out[p].edges[e];
            edge->ended = true;
            if (edge->link) {
                atomic_store_explicit(&edge->link->ended, true, memory_order_release);
                strand->kick_needed = true;
            } else {
                rmi_strand_consider(strand, edge->to);
            }
        }
    }
}

static void begin_flush(rmi_strand *strand, rmi_node *node)
{
    rmi_node_drop_inputs(node);
    node->flushing = true;
    node->more = node->stalled = false;
    for (uint16_t i = 0; i < node->n_in; i++) {
        if (!node->in[i]->ended || rmi_edge_length(node->in[i])) {
            edge_close(strand, node->in[i]);
        }
    }
    if (!node->pub.type->flush) {
        node_end(strand, node);
        return;
    }
    rmi_strand_make_ready(strand, node);
}

/* The outbox is empty again: what follows the last call? */
static void settle(rmi_strand *strand, rmi_node *node)
{
    node->state = RMI_NODE_IDLE;
    if (node->flushed) {
        node_end(strand, node);
    } else if (node->done && !node->flushing) {
        begin_flush(strand, node);
    } else {
        rmi_strand_consider(strand, node);
    }
}

/* ---- errors */

static void describe(rmi_node *node, rm_status status)
{
    rm_error *error = &node->error;
    if (error->status >= 0) {
        (void)rm_fail_as(error, RM_CODE_NODE_FAILED, "failed with %s and no message",
                         rm_status_name(status));
        error->status = status;
    }
    snprintf(error->node, sizeof error->node, "%s", node->pub.id);
    bool on_item = !node->flushing && !node->no_input;
    error->item = on_item ? (node->is_source ? node->emitted : node->items) + 1 : 0;
}

static int64_t backoff_ns(rmi_strand *strand, const rmi_node *node)
{
    /* xorshift64*: full jitter wants no better randomness. */
    strand->random ^= strand->random >> 12;
    strand->random ^= strand->random << 25;
    strand->random ^= strand->random >> 27;
    uint32_t doublings = node->attempt < 20 ? node->attempt : 20;
    uint64_t limit = (uint64_t)node->options.backoff_ns << doublings;
    return limit ? (int64_t)((strand->random * 2685821657736338717ull >> 1) % limit) : 0;
}

/* True: the policy goes on as if the call had ended well. */
static bool recover(rmi_strand *strand, rmi_node *node, rm_status status)
{
    rmi_node_drop_outbox(node);
    node->errors++;
    describe(node, status);
    rm_error error = node->error;
    node->error.status = RM_OK;
    if (strand->cancelling || node->interrupted) {
        rmi_node_drop_inputs(node);
        return true;
    }
    if (node->on_error == RMI_ON_ERROR_RETRY && status == RM_ETRANSIENT &&
        node->attempt < node->options.attempts) {
        int64_t wait_ns = backoff_ns(strand, node);
        node->attempt++;
        node->retries++;
        node->held = !node->flushing;
        node->state = RMI_NODE_BACKOFF;
        rmi_strand_set_timer(strand, node, strand->now_ns + wait_ns);
        rmi_session_node_recovered(strand->session, node, &error);
        return false;
    }
    bool skips = node->on_error == RMI_ON_ERROR_SKIP || node->on_error == RMI_ON_ERROR_BYPASS;
    if (skips && !node->is_source) {
        if (node->on_error == RMI_ON_ERROR_BYPASS && node->current[0] && node->n_out > 0) {
            node->outbox[0] = (rmi_outgoing){node->current[0], &node->out[0]};
            node->outbox_count = 1;
            node->current[0] = NULL;
        }
        node->skipped++;
        rmi_session_node_recovered(strand->session, node, &error);
        return true;
    }
    rmi_node_drop_inputs(node);
    node->state = RMI_NODE_FAILED;
    strand->open_nodes--;
    rmi_session_node_failed(strand->session, node, &error);
    return false;
}

/* ---- calls */

static void stall(rmi_strand *strand, rmi_node *node)
{
    /* What this call took itself is no news for who waits for memory, or it would wake itself by it
     * again and again. */
    bool wanted = strand->pool->wanted;
    strand->pool->wanted = false;
    rmi_node_drop_outbox(node);
    strand->pool->wanted = wanted;
    node->state = RMI_NODE_IDLE;
    node->stalled = true;
    node->held = !node->flushing && node->n_in > 0;
    if (!node->wants_memory) {
        return;
    }
    if (rmi_pool_want(strand->pool)) {
        node->wants_memory = node->stalled = false;
        rmi_strand_make_ready(strand, node);
    } else {
        rmi_strand_ask_for_memory(strand);
    }
}

static void after_call(rmi_strand *strand, rmi_node *node, rm_status status)
{
    if (status == RM_PENDING) {
        node->state = RMI_NODE_PENDING;
        node->pending_begin_ticks = strand->metrics ? rmi_clock_ticks() : 0;
        strand->outstanding++;
        return;
    }
    if (status == RM_EAGAIN) {
        stall(strand, node);
        return;
    }
    if (RMI_UNLIKELY(status < 0 || status > RM_EAGAIN)) {
        if (!recover(strand, node, status < 0 ? status : RM_EINVAL)) {
            return;
        }
        status = RM_OK;
    }
    node->attempt = 0;
    node->wants_memory = false;
    node->more = node->held = status == RM_MORE && !node->interrupted;
    if (node->flushing) {
        node->held = false;
        node->flushed = !node->more;
    }
    if (!node->more) {
        node->items += !node->flushing && !node->is_source && !node->no_input;
        node->no_input = false;
        rmi_node_drop_inputs(node);
    }
    node->done |= status == RM_DONE;
    if (RMI_UNLIKELY(node->interrupted)) {
        node->interrupted = false;
        rmi_node_drop_outbox(node);
    }
    if (!rmi_node_commit(node)) {
        node->state = RMI_NODE_HOLDING;
        return;
    }
    settle(strand, node);
}

/* The item is done with: counts it, and lets the inputs go. */
static inline void finish_item(rmi_strand *strand, rmi_node *node)
{
    if (RMI_LIKELY(node->only_in)) {
        node->items++;
        if (node->current[0]) {
            rmi_pool_give(strand->pool, node->current[0]);
            node->current[0] = NULL;
        }
        return;
    }
    node->items += !node->is_source;
    rmi_node_drop_inputs(node);
}

/* An idle node with an empty outbox becomes ready where more waits for it. */
static inline void look_for_more(rmi_strand *strand, rmi_node *node)
{
    const rmi_edge *in = node->only_in;
    if (RMI_UNLIKELY(!in)) {
        rmi_strand_consider(strand, node);
    } else if (RMI_UNLIKELY(in->tail != in->head || in->ended)) {
        rmi_strand_make_ready(strand, node);
    }
}

/* As after_call(), for nearly every call: RM_OK in the middle of a stream. */
static void after_good_call(rmi_strand *strand, rmi_node *node)
{
    node->attempt = 0;
    node->wants_memory = false;
    node->phase = RMI_NODE_IDLE;
    finish_item(strand, node);
    if (RMI_UNLIKELY(!rmi_node_commit(node))) {
        node->state = RMI_NODE_HOLDING;
        return;
    }
    look_for_more(strand, node);
}

/* After a good call: one packet for one empty edge whose consumer is idle and has no other input,
 * which runs next, without ring or ready set. NULL: the general way. */
static inline rmi_node *hand_over(rmi_strand *strand, rmi_node *node)
{
    if (node->outbox_count != 1) {
        return NULL;
    }
    rmi_out_port *port = node->outbox[0].port;
    rmi_edge *edge = port->direct;
    if (RMI_UNLIKELY(!edge || edge->tail != edge->head ||
                     !rmi_mailbox_is_empty(&strand->mailbox))) {
        return NULL;
    }
    rmi_node *to = edge->to;
    rm_packet *packet = node->outbox[0].packet;
    if (RMI_UNLIKELY(to->phase != RMI_NODE_IDLE || format_differs(to->in_port, packet))) {
        return NULL;
    }
    node->outbox_count = 0;
    port->emitted = 0;
    node->attempt = 0;
    node->emitted++;
    node->phase = RMI_NODE_IDLE;
    finish_item(strand, node);
    look_for_more(strand, node);
    edge->packets++;
    edge->packet_bytes += packet->header.payload_bytes;
    to->current[0] = packet;
    return to;
}

static rm_status measured_call(rmi_strand *strand, rmi_node *node)
{
    if (!strand->metrics) {
        node->untimed_mask = UINT64_MAX;
        return node->pub.type->process(&node->pub, &node->inputs, &node->error);
    }
    uint64_t begin = rmi_clock_ticks();
    rm_status status = node->pub.type->process(&node->pub, &node->inputs, &node->error);
    uint64_t ticks = rmi_node_count_call(node, begin);
    node->untimed_mask = ticks > SLOW_TICKS ? 0 : FAST_CALLS_PER_SAMPLE - 1;
    return status;
}

static inline rm_status timed_call(rmi_strand *strand, rmi_node *node)
{
    if (RMI_UNLIKELY((node->calls++ & node->untimed_mask) == 0)) {
        return measured_call(strand, node);
    }
    return node->pub.type->process(&node->pub, &node->inputs, &node->error);
}

static void call_process(rmi_strand *strand, rmi_node *node)
{
    for (;;) {
        /* Whole, as it is read below: a load that is wider than the store before it waits. */
        node->phase = (node->phase & ~(uint64_t)UINT8_MAX) | RMI_NODE_RUNNING;
        rm_status status = timed_call(strand, node);
        if (RMI_UNLIKELY(status != RM_OK || (node->phase & ~MORE_AND_HELD) != RMI_NODE_RUNNING)) {
            after_call(strand, node, status);
            return;
        }
        rmi_node *next = hand_over(strand, node);
        if (!next) {
            after_good_call(strand, node);
            return;
        }
        node = next;
    }
}

/* PENDING is over: the answer counts as if the call had returned it now. */
void rmi_strand_completed(rmi_strand *strand, rmi_node *node)
{
    strand->outstanding--;
    if (strand->metrics) {
        node->pending_ticks += rmi_clock_ticks() - node->pending_begin_ticks;
    }
    rmi_strand_clear_timer(strand, node);
    if (strand->cancelling) {
        rmi_node_drop_outbox(node);
        rmi_node_drop_inputs(node);
        node->state = RMI_NODE_IDLE;
        return;
    }
    rm_status status = node->complete_status;
    if (status < 0) {
        node->error = node->complete_error;
    }
    node->wants_memory |= atomic_exchange(&node->memory_refused, false);
    node->state = RMI_NODE_RUNNING;
    after_call(strand, node, status == RM_PENDING ? RM_EINVAL : status);
}

static void call_flush(rmi_strand *strand, rmi_node *node)
{
    node->state = RMI_NODE_RUNNING;
    node->calls++;
    uint64_t begin = strand->metrics ? rmi_clock_ticks() : 0;
    rm_status status = node->pub.type->flush(&node->pub, &node->error);
    if (strand->metrics) {
        (void)rmi_node_count_call(node, begin);
    }
    after_call(strand, node, status);
}

static void run_idle(rmi_strand *strand, rmi_node *node)
{
    if (node->flushing) {
        call_flush(strand, node);
        return;
    }
    if (node->done) {
        begin_flush(strand, node);
        return;
    }
    if (!node->held && !node->is_source) {
        bool taken = node->merge == RMI_MERGE_ZIP ? take_zip(strand, node) : take_any(strand, node);
        if (!taken && (!node->unprompted || node->flushing)) {
            if (node->state == RMI_NODE_IDLE) {
                rmi_strand_consider(strand, node);
            }
            return;
        }
        node->no_input = !taken;
        node->unprompted = false;
        rm_status status = announce_changes(node);
        if (status < 0) {
            node->state = RMI_NODE_RUNNING;
            after_call(strand, node, status);
            return;
        }
    }
    call_process(strand, node); /* a source that is ready has room: nobody else fills its edges */
}

static void run_node(rmi_strand *strand, rmi_node *node)
{
    if (node->state == RMI_NODE_HOLDING) {
        if (rmi_node_commit(node)) {
            settle(strand, node);
        }
    } else if (node->state == RMI_NODE_IDLE && !node->stalled) {
        run_idle(strand, node);
    }
}

/* ---- what comes from outside: links, posts, timers, controls */

void rmi_strand_call_again(rmi_strand *strand, rmi_node *node)
{
    bool by_itself = node->pub.type->flags & RM_NODE_UNPROMPTED && !node->is_source;
    node->unprompted |= by_itself && !node->stalled && !node->held;
    node->stalled = node->wants_memory = false;
    rmi_strand_consider(strand, node);
}

static void poll_links(rmi_strand *strand)
{
    for (uint16_t i = 0; i < strand->link_in_count; i++) {
        rmi_link *link = strand->links_in[i];
        const rmi_node *to = link->receiving->to;
        if (rmi_link_poll(link) && to->state == RMI_NODE_IDLE) { /* HOLDING waits for room alone */
            rmi_strand_consider(strand, to);
        }
    }
    for (uint16_t i = 0; i < strand->link_out_count; i++) {
        rmi_link *link = strand->links_out[i];
        rmi_node *from = link->sending->from;
        if (atomic_load_explicit(&link->closed, memory_order_relaxed) && !link->sending->closed) {
            link->sending->link = NULL; /* closing as a local edge reaches the producer */
            edge_close(strand, link->sending);
            link->sending->link = link;
        } else if (from->state == RMI_NODE_HOLDING ||
                   (from->is_source && from->state == RMI_NODE_IDLE)) {
            if (rmi_node_has_room(from)) {
                rmi_strand_consider(strand, from);
            }
        }
    }
}

static void drain_mailbox(rmi_strand *strand)
{
    while (!rmi_mailbox_is_empty(&strand->mailbox)) {
        rmi_message *message = rmi_mailbox_take(&strand->mailbox);
        while (message) {
            rmi_message *next = message->next;
            message->run(strand, message);
            message = next;
        }
    }
}

static void abandon(rmi_strand *strand, rmi_node *node)
{
    rm_log(RM_LOG_WARNING, "engine",
           "node '%s' did not give up its work within 2 s of a cancel; it is left behind",
           node->pub.id);
    node->state = RMI_NODE_ABANDONED;
    node->abandoned = true;
    strand->outstanding--;
}

static void run_timers(rmi_strand *strand)
{
    while (strand->timer_count && strand->timers[1]->wake_ns <= strand->now_ns) {
        rmi_node *node = strand->timers[1];
        rmi_strand_clear_timer(strand, node);
        if (node->state == RMI_NODE_BACKOFF) {
            node->state = RMI_NODE_IDLE;
            rmi_strand_make_ready(strand, node);
        } else if (node->state == RMI_NODE_PENDING && strand->cancelling) {
            abandon(strand, node);
        } else if (node->state == RMI_NODE_IDLE) {
            rmi_strand_call_again(strand, node);
        }
    }
}

static void deliver(rmi_strand *strand, rmi_node *node, const rm_control *control)
{
    if (!node->pub.type->control || node->state >= RMI_NODE_ENDED) {
        return;
    }
    rm_status status = node->pub.type->control(&node->pub, control, &node->error);
    if (status < 0) {
        describe(node, status);
        rmi_session_node_recovered(strand->session, node, &node->error);
        node->error.status = RM_OK;
    }
}

static void deliver_controls(rmi_strand *strand)
{
    for (uint32_t i = 0; i < strand->control_count; i++) {
        deliver(strand, strand->controls[i].node, &strand->controls[i].control);
    }
    strand->control_count = 0;
}

void rmi_link_receive_requests(rmi_strand *strand, rmi_message *message)
{
    rmi_link *link = RMI_CONTAINER(message, rmi_link, request_message);
    atomic_store(&link->request_posted, false);
    uint32_t head = atomic_load_explicit(&link->request_head, memory_order_relaxed);
    while (head != atomic_load(&link->request_tail)) {
        rm_control control = link->request[head % RMI_LINK_REQUESTS_MAX];
        atomic_store(&link->request_head, ++head);
        deliver(strand, link->sending->from, &control);
    }
}

void rmi_strand_post(rmi_strand *strand, rmi_message *message)
{
    rmi_mailbox_push(&strand->mailbox, message);
    rmi_parking_wake(&strand->parking);
}

static void tell_consumer(rmi_link *link)
{
    uint32_t tail = atomic_load_explicit(&link->tail, memory_order_relaxed);
    bool ended = atomic_load_explicit(&link->ended, memory_order_relaxed);
    if (tail != link->tail_told || ended != link->end_told) {
        link->tail_told = tail;
        link->end_told = ended;
        rmi_parking_wake(&link->consumer->parking);
    }
}

static void tell_producer(rmi_link *link)
{
    uint32_t head = atomic_load_explicit(&link->head, memory_order_relaxed);
    bool closes = atomic_load_explicit(&link->closed, memory_order_relaxed) && !link->close_told;
    if (head == link->head_told && !closes) {
        return;
    }
    link->head_told = head;
    link->close_told |= closes;
    rmi_parking_fence(&link->producer->parking);
    if (closes || atomic_load_explicit(&link->producer_waits, memory_order_relaxed)) {
        atomic_store(&link->producer_waits, false);
        rmi_parking_wake(&link->producer->parking);
    }
}

void rmi_strand_kick(rmi_strand *strand)
{
    strand->kick_needed = false;
    for (uint16_t i = 0; i < strand->link_out_count; i++) {
        tell_consumer(strand->links_out[i]);
    }
    for (uint16_t i = 0; i < strand->link_in_count; i++) {
        tell_producer(strand->links_in[i]);
    }
}

bool rmi_strand_has_work(const rmi_strand *strand)
{
    if (!rmi_mailbox_is_empty(&strand->mailbox)) {
        return true;
    }
    if (strand->cancelling) {
        return false; /* no node is called any more */
    }
    if (strand->ready_top) {
        return true;
    }
    for (uint16_t i = 0; i < strand->link_in_count; i++) {
        const rmi_link *link = strand->links_in[i];
        const rmi_edge *edge = link->receiving;
        if (atomic_load(&link->tail) != edge->tail || atomic_load(&link->ended) != edge->ended) {
            return true;
        }
    }
    for (uint16_t i = 0; i < strand->link_out_count; i++) {
        rmi_link *link = strand->links_out[i];
        const rmi_node *from = link->sending->from;
        bool waits = from->state == RMI_NODE_HOLDING ||
                     (from->state == RMI_NODE_IDLE && from->is_source && !from->stalled);
        if ((waits && rmi_node_has_room(from)) ||
            (atomic_load(&link->closed) && !link->sending->closed)) {
            return true;
        }
    }
    return false;
}

/* ---- interrupt and cancel */

static void interrupt_node(rmi_strand *strand, rmi_node *node);

void rmi_link_receive_epoch(rmi_strand *strand, rmi_message *message)
{
    rmi_link *link = RMI_CONTAINER(message, rmi_link, epoch_message);
    rmi_edge *edge = link->receiving;
    atomic_store(&link->epoch_posted, false);
    edge->epoch = atomic_load(&link->epoch_wanted);
    (void)rmi_link_poll(link);
    drop_stale(strand, edge);
    interrupt_node(strand, edge->to);
}

static void send_epoch(rmi_edge *sending)
{
    rmi_link *link = sending->link;
    atomic_store(&link->epoch_wanted, sending->epoch);
    if (!atomic_exchange(&link->epoch_posted, true)) {
        rmi_strand_post(link->consumer, &link->epoch_message);
    }
}

static void forget_work(rmi_strand *strand, rmi_node *node)
{
    switch (node->state) {
    case RMI_NODE_PENDING:
        node->interrupted = true;
        if (node->pub.type->cancel) {
            node->pub.type->cancel(&node->pub);
        }
        return;
    case RMI_NODE_BACKOFF: rmi_strand_clear_timer(strand, node); break;
    case RMI_NODE_HOLDING:
    case RMI_NODE_IDLE: break;
    default: return;
    }
    rmi_node_drop_outbox(node);
    node->state = RMI_NODE_IDLE;
    node->attempt = 0;
    if (node->flushing) {
        node->flushed |= node->more;
    } else if (!node->is_source) {
        rmi_node_drop_inputs(node);
        node->stalled = false;
    }
    node->more = false;
    node->held = false;
}

/* Its work, its output and all that is downstream; what waits on its input edges stays. */
static void interrupt_node(rmi_strand *strand, rmi_node *node)
{
    if (node->state == RMI_NODE_ENDED || node->state >= RMI_NODE_FAILED) {
        return;
    }
    forget_work(strand, node);
    if (node->pub.type->control) {
        rm_control control = {.op = RM_CONTROL_INTERRUPT};
        if (node->pub.type->control(&node->pub, &control, &node->error) < 0) {
            describe(node, node->error.status);
            rmi_session_node_recovered(strand->session, node, &node->error);
            node->error.status = RM_OK;
        }
    }
    for (uint16_t p = 0; p < node->n_out; p++) {
        for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
            rmi_edge *edge = node->out[p].edges[e];
            edge->epoch++;
            if (edge->link) {
                send_epoch(edge);
            } else {
                edge->drops += rmi_edge_clear(edge, strand->pool);
                interrupt_node(strand, edge->to);
            }
        }
    }
    if (node->state == RMI_NODE_IDLE) {
        if (node->flushed) {
            settle(strand, node);
        } else {
            rmi_strand_consider(strand, node);
        }
    }
}

void rmi_strand_interrupt(rmi_strand *strand, rmi_node *node)
{
    interrupt_node(strand, node);
}

void rmi_strand_cancel(rmi_strand *strand)
{
    if (strand->cancelling || strand->finished) {
        return;
    }
    strand->cancelling = true;
    memset(strand->ready, 0, (size_t)(strand->node_count + 63) / 64 * sizeof *strand->ready);
    strand->ready_top = 0;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        rmi_node *node = strand->nodes[i];
        rmi_strand_clear_timer(strand, node);
        if (node->state == RMI_NODE_PENDING) {
            rmi_strand_set_timer(strand, node, strand->now_ns + CANCEL_GRACE_NS);
            if (node->pub.type->cancel) {
                node->pub.type->cancel(&node->pub);
            }
        } else if (node->state == RMI_NODE_BACKOFF) {
            node->state = RMI_NODE_IDLE;
        }
    }
}

/* ---- the step */

static rmi_node *next_ready(rmi_strand *strand)
{
    unsigned word = 63 - (unsigned)__builtin_clzll(strand->ready_top);
    unsigned bit = 63 - (unsigned)__builtin_clzll(strand->ready[word]);
    strand->ready[word] &= ~(1ull << bit);
    if (strand->ready[word] == 0) {
        strand->ready_top &= ~(1ull << word);
    }
    return strand->nodes[word << 6 | bit];
}

/* Runs nodes until none is ready or the budget is used up (false). */
static bool run_ready(rmi_strand *strand, uint32_t budget)
{
    uint32_t calls = 0;
    while (!strand->cancelling) {
        if (!strand->ready_top) {
            poll_links(strand);
            drain_mailbox(strand);
            if (!strand->ready_top) {
                return true;
            }
        }
        if (calls++ == budget) {
            return false;
        }
        run_node(strand, next_ready(strand));
        if (strand->kick_needed) {
            rmi_strand_kick(strand);
        }
        if (RMI_UNLIKELY(strand->control_count)) {
            deliver_controls(strand);
        }
        if (RMI_UNLIKELY(!rmi_mailbox_is_empty(&strand->mailbox)) || calls % POLL_EACH_CALLS == 0) {
            poll_links(strand);
            drain_mailbox(strand);
        }
    }
    return true;
}

static rm_status finish(rmi_strand *strand, rm_status result)
{
    strand->finished = true;
    strand->result = result;
    (void)rmi_pool_shrink(strand->pool); /* others may need it */
    if (strand->kick_needed) {
        rmi_strand_kick(strand);
    }
    return result;
}

rm_status rmi_strand_step(rmi_strand *strand, int64_t now_ns, uint32_t budget, int64_t *ret_next_ns)
{
    *ret_next_ns = INT64_MAX;
    if (strand->resting) {
        rmi_strand_rise(strand);
    }
    if (strand->finished) {
        drain_mailbox(strand);
        return strand->result;
    }
    atomic_store_explicit(&strand->thread, rmi_thread_self(), memory_order_relaxed);
    strand->now_ns = now_ns > strand->now_ns ? now_ns : strand->now_ns;
    poll_links(strand);
    drain_mailbox(strand);
    run_timers(strand);
    bool idle = run_ready(strand, budget);
    if (strand->kick_needed || strand->link_in_count) {
        rmi_strand_kick(strand);
    }
    if (strand->cancelling && strand->outstanding == 0) {
        return finish(strand, RM_ECANCELED);
    }
    if (!idle) {
        return RM_MORE;
    }
    if (!strand->cancelling && strand->open_nodes == 0) {
        return finish(strand, RM_DONE);
    }
    if (strand->timer_count) {
        *ret_next_ns = strand->timers[1]->wake_ns;
    }
    return RM_PENDING;
}
