/* The scheduler: which node runs next, and what its answer means. */
#include "engine/strand.h"

#include <stdio.h>
#include <string.h>

#include "engine/arrivals.h"
#include "engine/clock.h"
#include "engine/events.h"
#include "engine/fetch.h"
#include "engine/hold.h"
#include "engine/intake.h"
#include "engine/overrun.h"
#include "engine/parallel.h"
#include "engine/quiet.h"
#include "engine/recover.h"

enum {
    POLL_EACH_CALLS = 32, /* links are looked at this often while nodes are ready */
};
/* The bytes of rmi_node.phase that are `more` and `held`. */
#define MORE_AND_HELD UINT64_C(0xffff00)
/* Its bits of the state, `stalled` and `on_hold`. */
#define RESTS UINT64_C(0x4000000ff0000ff)
#define CANCEL_GRACE_NS ((int64_t)2000000000)

void *rmi_thread_self(void)
{
    static _Thread_local __attribute__((tls_model("initial-exec"))) char identity;
    return &identity;
}

static void after_call(rmi_strand *strand, rmi_node *node, rm_status status);
static void begin_flush(rmi_strand *strand, rmi_node *node);

/* ---- the end of a node */

static void node_end(rmi_strand *strand, rmi_node *node)
{
    node->state = RMI_NODE_ENDED;
    rmi_strand_clear_timer(strand, node);
    strand->open_nodes--;
    rmi_event_tell(strand->session,
                   &(rmi_happening){.kind = RM_EVENT_END_OF_STREAM,
                                    .node = node,
                                    .total = node->n_out ? node->emitted : node->items});
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
            rmi_intake_close(strand, node->in[i]);
        }
    }
    if (!node->pub.type->flush) {
        node_end(strand, node);
        return;
    }
    rmi_strand_make_ready(strand, node);
}

static void end_drain(rmi_node *node)
{
    node->draining = node->flushing = node->flushed = false;
    node->more = node->stalled = false;
}

/* The outbox is empty again: what follows the last call? */
static void settle(rmi_strand *strand, rmi_node *node)
{
    node->state = RMI_NODE_IDLE;
    rmi_strand_arm_timer(strand, node);
    if (node->flushed && node->draining) {
        end_drain(node);
        rmi_strand_consider(strand, node);
    } else if (node->flushed) {
        node_end(strand, node);
    } else if (node->done && !node->flushing) {
        begin_flush(strand, node);
    } else {
        rmi_strand_consider(strand, node);
    }
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

/* The tries of an item are counted over all its calls; each item of a source is one of its own. */
static inline void forget_tries(rmi_node *node, rm_status status)
{
    if (status != RM_MORE || node->is_source) {
        node->attempt = 0;
    }
}

/* The item is done with, for good or bad. */
static void end_item(rmi_node *node)
{
    node->items += !node->flushing && !node->is_source && !node->no_input;
    node->no_input = false;
    rmi_node_drop_inputs(node);
}

/* A copy is about to send the last of what its item gave. */
static inline bool is_to_mark(const rmi_node *node, bool had_input)
{
    return node->marks_items && had_input && !node->more && !node->flushing;
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
        if (!rmi_recover(strand, node, status < 0 ? status : RM_EINVAL)) {
            return;
        }
        status = RM_OK;
    }
    forget_tries(node, status);
    node->wants_memory = false;
    node->more = node->held = status == RM_MORE && !node->interrupted;
    if (node->flushing) {
        node->held = false;
        node->flushed = !node->more;
    }
    bool had_input = !node->no_input;
    if (!node->more) {
        end_item(node);
    }
    node->done |= status == RM_DONE && !node->draining;
    if (RMI_UNLIKELY(node->interrupted)) {
        node->interrupted = false;
        rmi_node_drop_outbox(node);
    } else if (is_to_mark(node, had_input)) {
        rmi_parallel_mark(node);
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
    if (!node->is_source) {
        node->items++;
        rmi_node_drop_inputs(node);
    }
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
    if (RMI_UNLIKELY(to->phase != RMI_NODE_IDLE ||
                     rmi_intake_format_differs(to->in_port, packet))) {
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

/* Until its first packet has come each call of a node is looked at. */
static void look_for_first(rmi_node *node, rm_status status)
{
    if (rmi_event_look_for_first(node, status)) {
        node->untimed_mask = 0;
    }
}

/* What was measured, for who looks at each call. */
static __attribute__((noinline)) void follow_call(rmi_node *node, uint64_t begin_ticks,
                                                  rm_status status)
{
    const rmi_strand *strand = node->strand;
    if (strand->trace) {
        rmi_trace_add(node, node->flushing ? RMI_SPAN_FLUSH : RMI_SPAN_CALL, begin_ticks,
                      node->told_at_ticks);
    }
    if (strand->spans) {
        rmi_spans_add(node, begin_ticks, node->told_at_ticks, status);
    }
}

static __attribute__((noinline)) rm_status measured_call(rmi_strand *strand, rmi_node *node)
{
    rm_status status;
    if (strand->metrics) {
        if (RMI_UNLIKELY(node->is_border)) {
            rmi_node_begin_border_call(node);
        }
        uint64_t begin = rmi_clock_ticks();
        status = node->pub.type->process(&node->pub, &node->inputs, node->error);
        uint64_t ticks = rmi_node_count_call(node, begin);
        node->untimed_mask = strand->fast_mask;
        if (RMI_UNLIKELY(strand->fast_mask == 0)) {
            follow_call(node, begin, status);
        }
        if (ticks > RMI_SLOW_TICKS) {
            node->untimed_mask = 0;
            rmi_strand_look_at_clock(strand);
        }
        if (RMI_UNLIKELY(node->is_border)) {
            rmi_node_end_border_call(node, status);
        }
    } else {
        node->untimed_mask = UINT64_MAX;
        status = node->pub.type->process(&node->pub, &node->inputs, node->error);
    }
    if (rmi_event_is_wanted(strand->session, RM_EVENT_FIRST_PACKET)) {
        look_for_first(node, status);
    }
    return status;
}

static inline rm_status timed_call(rmi_strand *strand, rmi_node *node)
{
    if (RMI_UNLIKELY((node->calls++ & node->untimed_mask) == 0)) {
        return measured_call(strand, node);
    }
    return node->pub.type->process(&node->pub, &node->inputs, node->error);
}

__attribute__((noinline)) static void call_process(rmi_strand *strand, rmi_node *node)
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
    uint64_t now_ticks = 0;
    if (strand->metrics) {
        now_ticks = rmi_clock_ticks();
        uint64_t sum = node->pending_ticks + now_ticks - node->pending_begin_ticks;
        __atomic_store_n(&node->pending_ticks, sum, __ATOMIC_RELAXED);
        if (strand->trace) {
            rmi_trace_add(node, RMI_SPAN_WORK, node->pending_begin_ticks, now_ticks);
        }
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
        *node->error = node->complete_error ? *node->complete_error : (rm_error)RM_ERROR_INIT;
    }
    node->wants_memory |= atomic_exchange(&node->memory_refused, false);
    node->state = RMI_NODE_RUNNING;
    if (strand->spans) {
        rmi_spans_add(node, node->pending_begin_ticks, now_ticks, status);
    }
    (void)rmi_event_look_for_first(node, status);
    after_call(strand, node, status == RM_PENDING ? RM_EINVAL : status);
}

static void call_flush(rmi_strand *strand, rmi_node *node)
{
    node->state = RMI_NODE_RUNNING;
    node->calls++;
    uint64_t begin = strand->metrics ? rmi_clock_ticks() : 0;
    rm_status status = node->pub.type->flush(&node->pub, node->error);
    if (strand->metrics) {
        (void)rmi_node_count_call(node, begin);
        follow_call(node, begin, status);
    }
    (void)rmi_event_look_for_first(node, node->n_out ? status : RM_EAGAIN);
    after_call(strand, node, status);
}

static bool breaker_allows(const rmi_strand *strand, rmi_node *node)
{
    rmi_breaker_state before = node->breaker.state;
    bool allows = rmi_breaker_allows(&node->breaker, node->calls, strand->now_ns);
    rmi_event_breaker(node, before);
    return allows;
}

static void drop_late(rmi_strand *strand, rmi_node *node)
{
    rmi_node_drop_inputs(node);
    if (node->marks_items) {
        rmi_parallel_mark(node);
        if (!rmi_node_commit(node)) {
            node->state = RMI_NODE_HOLDING;
            return;
        }
    }
    rmi_strand_consider(strand, node);
}

/* False: the item is too old, or the node is left alone for a while, and that was dealt with. */
static bool passes_guards(rmi_strand *strand, rmi_node *node)
{
    if (node->options.deadline_ns && rmi_intake_is_late(node)) {
        drop_late(strand, node);
        return false;
    }
    if (node->options.breaker.failures && !breaker_allows(strand, node)) {
        node->state = RMI_NODE_RUNNING;
        after_call(strand, node, rmi_recover_refuse(strand, node));
        return false;
    }
    return true;
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
        rmi_taken taken = rmi_intake_take(strand, node);
        if (taken == RMI_TAKEN_END) {
            begin_flush(strand, node);
            return;
        }
        if (taken == RMI_TAKEN_NOTHING && !node->unprompted) {
            return;
        }
        node->no_input = taken == RMI_TAKEN_NOTHING;
        if (RMI_UNLIKELY(node->is_guarded) && !passes_guards(strand, node)) {
            return;
        }
        node->unprompted = false;
    }
    if (!node->is_source) {
        rm_status status = rmi_intake_announce(node);
        if (status < 0) {
            node->state = RMI_NODE_RUNNING;
            after_call(strand, node, status);
            return;
        }
    }
    call_process(strand, node); /* a source that is ready has room: nobody else fills its edges */
}

/* It is not simply idle. */
static __attribute__((noinline)) bool may_run(rmi_strand *strand, rmi_node *node)
{
    if (node->on_hold && rmi_hold_keeps(node)) {
        return false;
    }
    if (node->state == RMI_NODE_HOLDING && rmi_node_commit(node)) {
        settle(strand, node);
        return false;
    }
    return node->state == RMI_NODE_IDLE && !node->stalled;
}

static void run_node(rmi_strand *strand, rmi_node *node)
{
    if (RMI_LIKELY((node->phase & RESTS) == RMI_NODE_IDLE) || may_run(strand, node)) {
        run_idle(strand, node);
    }
}

/* ---- interrupt and cancel
 *
 * To let many packets go takes longer than all else: nodes are told of an interrupt first.
 */

void rmi_strand_let_go(rmi_strand *strand)
{
    rmi_shed_let_go(&strand->shed, strand->pool);
}

static void interrupt_node(rmi_strand *strand, rmi_node *node);

void rmi_link_receive_epoch(rmi_strand *strand, rmi_message *message)
{
    rmi_link *link = RMI_CONTAINER(message, rmi_link, epoch_message);
    rmi_edge *edge = link->receiving;
    atomic_store(&link->epoch_posted, false);
    edge->epoch = atomic_load(&link->epoch_wanted);
    (void)rmi_link_poll(link);
    rmi_intake_drop_stale(strand, edge);
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

static void tell_of_interrupt(rmi_strand *strand, rmi_node *node)
{
    rm_control control = {.op = RM_CONTROL_INTERRUPT};
    if (node->pub.type->control && node->pub.type->control(&node->pub, &control, node->error) < 0) {
        rmi_recover_describe(node, node->error->status);
        rmi_session_node_recovered(strand->session, node, node->error);
        node->error->status = RM_OK;
    }
}

/* Its work, its output and all that is downstream, also where it has ended itself; what waits on
 * its input edges stays. */
static void interrupt_node(rmi_strand *strand, rmi_node *node)
{
    if (node->state >= RMI_NODE_FAILED) {
        return;
    }
    if (node->merge == RMI_MERGE_TURNS && !rmi_parallel_renew(node)) {
        return;
    }
    if (node->state != RMI_NODE_ENDED) {
        forget_work(strand, node);
        tell_of_interrupt(strand, node);
    }
    for (uint16_t p = 0; p < node->n_out; p++) {
        for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
            rmi_edge *edge = node->out[p].edges[e];
            edge->epoch = node->marks_items ? node->in[0]->epoch : edge->epoch + 1;
            if (edge->link) {
                send_epoch(edge);
            } else {
                uint32_t dropped = rmi_edge_shed(edge, &strand->shed, strand->pool);
                rmi_event_drop(strand, edge, dropped, RMI_DROP_INTERRUPT);
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
            rmi_arrivals_poll_links(strand);
            rmi_arrivals_drain_mailbox(strand);
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
            rmi_arrivals_deliver_controls(strand);
        }
        if (RMI_UNLIKELY(!rmi_mailbox_is_empty(&strand->mailbox)) || calls % POLL_EACH_CALLS == 0) {
            rmi_arrivals_poll_links(strand);
            rmi_arrivals_drain_mailbox(strand);
        }
    }
    return true;
}

static rm_status finish(rmi_strand *strand, rm_status result)
{
    strand->finished = true;
    strand->result = result;
    rmi_strand_let_go(strand);
    (void)rmi_pool_shrink(strand->pool); /* others may need it */
    if (strand->kick_needed) {
        rmi_strand_kick(strand);
    }
    return result;
}

enum { PAUSE_NS = 1000000 };

static rm_status step(rmi_strand *strand, int64_t now_ns, uint32_t budget, int64_t *ret_next_ns)
{
    *ret_next_ns = INT64_MAX;
    if (RMI_UNLIKELY(now_ns - strand->now_ns > PAUSE_NS)) {
        rmi_fetch_nodes(strand); /* asked for at once it comes at once */
        rmi_fetch_behind_nodes(strand);
    }
    if (strand->resting) {
        rmi_strand_rise(strand);
    }
    if (strand->finished) {
        rmi_arrivals_drain_mailbox(strand);
        return strand->result;
    }
    atomic_store_explicit(&strand->thread, rmi_thread_self(), memory_order_relaxed);
    strand->now_ns = now_ns > strand->now_ns ? now_ns : strand->now_ns;
    rmi_arrivals_poll_links(strand);
    rmi_arrivals_drain_mailbox(strand);
    rmi_arrivals_run_timers(strand);
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
    if (strand->live_source_count) {
        rmi_overrun_look(strand);
    }
    if (strand->timer_count) {
        *ret_next_ns = strand->timers[1]->wake_ns;
    }
    return RM_PENDING;
}

rm_status rmi_strand_step(rmi_strand *strand, int64_t now_ns, uint32_t budget, int64_t *ret_next_ns)
{
    bool sheds = strand->shed != NULL;
    rm_status status = step(strand, now_ns, budget, ret_next_ns);
    if (RMI_UNLIKELY(strand->shed)) {
        if (sheds) {
            rmi_strand_let_go(strand);
        } else {
            *ret_next_ns = now_ns;
        }
    }
    return status;
}
