#include "engine/arrivals.h"

#include "engine/intake.h"
#include "engine/recover.h"
#include "engine/strand.h"

#define HOT_TICKS ((uint64_t)65536) /* about 25 µs */
enum { TELLS_PER_LOOK = 16 };

void rmi_strand_call_again(rmi_strand *strand, rmi_node *node)
{
    bool by_itself = node->pub.type->flags & RM_NODE_UNPROMPTED && !node->is_source;
    node->unprompted |= by_itself && !node->stalled && !node->held;
    node->stalled = node->wants_memory = false;
    rmi_strand_consider(strand, node);
}

void rmi_arrivals_poll_links(rmi_strand *strand)
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
            rmi_intake_tell_producer(strand, link->sending);
        } else if (from->state == RMI_NODE_HOLDING ||
                   (from->is_source && from->state == RMI_NODE_IDLE)) {
            if (rmi_node_has_room(from)) {
                rmi_strand_consider(strand, from);
            }
        }
    }
}

void rmi_arrivals_drain_mailbox(rmi_strand *strand)
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

/* It asked to be called, or a set of its inputs waits no longer. */
static void timer_of_idle(rmi_strand *strand, rmi_node *node)
{
    if (node->asked_ns <= strand->now_ns) {
        node->asked_ns = INT64_MAX;
        rmi_strand_call_again(strand, node);
        return;
    }
    rmi_strand_consider(strand, node);
    if (node->asked_ns != INT64_MAX) {
        rmi_strand_set_timer(strand, node, node->asked_ns);
    }
}

void rmi_arrivals_run_timers(rmi_strand *strand)
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
            timer_of_idle(strand, node);
        }
    }
}

void rmi_arrivals_deliver(rmi_strand *strand, rmi_node *node, const rm_control *control)
{
    if (!node->pub.type->control || node->state >= RMI_NODE_ENDED) {
        return;
    }
    rm_status status = node->pub.type->control(&node->pub, control, node->error);
    if (status < 0) {
        rmi_recover_describe(node, status);
        rmi_session_node_recovered(strand->session, node, node->error);
        node->error->status = RM_OK;
    }
}

void rmi_arrivals_deliver_controls(rmi_strand *strand)
{
    for (uint32_t i = 0; i < strand->control_count; i++) {
        rmi_arrivals_deliver(strand, strand->controls[i].node, &strand->controls[i].control);
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
        rmi_arrivals_deliver(strand, link->sending->from, &control);
    }
}

void rmi_strand_post(rmi_strand *strand, rmi_message *message)
{
    rmi_mailbox_push(&strand->mailbox, message);
    rmi_parking_wake(&strand->parking);
}

/* Packets come so fast that the consumer is woken in the light way: the clock is looked at each
 * 16th time. The one wake after `is_hot` was set is of the other kind still: who went to sleep
 * without having seen it is seen by its fence. */
static bool is_hot(rmi_link *link)
{
    bool was_hot = atomic_load_explicit(&link->is_hot, memory_order_relaxed);
    if (RMI_LIKELY(++link->tells % TELLS_PER_LOOK)) {
        return was_hot;
    }
    uint64_t now_ticks = rmi_clock_ticks();
    bool hot = now_ticks - link->looked_ticks < TELLS_PER_LOOK * HOT_TICKS;
    link->looked_ticks = now_ticks;
    if (hot != was_hot) {
        atomic_store_explicit(&link->is_hot, hot, memory_order_relaxed);
    }
    return hot && was_hot;
}

static void tell_consumer(rmi_link *link)
{
    uint32_t tail = atomic_load_explicit(&link->tail, memory_order_relaxed);
    bool ended = atomic_load_explicit(&link->ended, memory_order_relaxed);
    if (tail != link->tail_told || ended != link->end_told) {
        link->tail_told = tail;
        link->end_told = ended;
        (is_hot(link) ? rmi_parking_wake_light : rmi_parking_wake)(&link->consumer->parking);
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

static bool waits_for_room(const rmi_node *from)
{
    return from->state == RMI_NODE_HOLDING ||
           (from->state == RMI_NODE_IDLE && from->is_source && !from->stalled && !from->on_hold);
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
        if ((waits_for_room(from) && rmi_node_has_room(from)) ||
            (atomic_load(&link->closed) && !link->sending->closed)) {
            return true;
        }
    }
    return false;
}
