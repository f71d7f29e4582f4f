#include "engine/hold.h"

/* By the consumer. Of a link whose load is bounded only the producer knows how full it is: what is
 * in it counts as full. */
static bool is_full(const rmi_edge *edge)
{
    const rmi_link *link = edge->link;
    if (!link) {
        return edge->policy == RMI_POLICY_BLOCK && rmi_edge_is_full(edge);
    }
    uint32_t queued = atomic_load(&link->tail) - atomic_load(&link->head);
    return !link->drops && (queued >= link->capacity || (link->weighs && queued > 0));
}

bool rmi_hold_keeps(rmi_node *node)
{
    bool is_within = node->state != RMI_NODE_IDLE || node->more || node->held || node->flushing;
    bool goes = is_within || node->done || node->passes;
    node->passes &= is_within;
    for (uint16_t i = 0; i < node->n_in && node->yields && !goes; i++) {
        goes = is_full(node->in[i]);
    }
    return !goes;
}

/* Under the session's lock. */
static bool is_wanted(const rm_session *session, const rmi_node *node)
{
    bool wanted = false;
    for (int i = 0; i < RMI_HOLDS; i++) {
        const rmi_hold *hold = &session->hold[i];
        wanted |= hold->is_on && (!hold->wanted || hold->wanted(node, hold->context));
    }
    return wanted;
}

/* Who feeds it may be within an item and need room. Under the session's lock. */
static bool has_to_yield(const rm_session *session, const rmi_node *node)
{
    bool yields = false;
    for (uint16_t i = 0; i < node->n_in; i++) {
        const rmi_edge *edge = node->in[i];
        yields |= is_wanted(session, edge->link ? edge->link->sending->from : edge->from);
    }
    return yields;
}

/* Runs on each strand: does what is said by then. */
static void run_hold(rmi_strand *strand, rmi_message *message)
{
    rm_session *session = strand->session;
    (void)message;
    pthread_mutex_lock(&session->lock);
    strand->hold_posted = false;
    bool passes = strand->hold_passes;
    strand->hold_passes = false;
    strand->holds = false;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        rmi_node *node = strand->nodes[i];
        bool before = node->on_hold;
        node->on_hold = is_wanted(session, node);
        node->passes = node->on_hold && passes;
        node->yields = node->on_hold && has_to_yield(session, node);
        strand->holds |= node->on_hold;
        if (!strand->cancelling && (before != node->on_hold || node->passes)) {
            rmi_strand_consider(strand, node);
        }
    }
    pthread_mutex_unlock(&session->lock);
}

/* Under the session's lock. */
static void tell(rm_session *session, bool passes)
{
    for (uint32_t i = 0; i < session->strand_count; i++) {
        rmi_strand *strand = session->strands[i];
        strand->hold_passes |= passes;
        if (!strand->hold_posted) {
            strand->hold_posted = true;
            strand->hold_message.run = run_hold;
            rmi_strand_post(strand, &strand->hold_message);
        }
    }
}

void rmi_hold_begin(rm_session *session, rmi_hold_for purpose, rmi_hold_wanted wanted,
                    const void *context)
{
    pthread_mutex_lock(&session->lock);
    session->hold[purpose] = (rmi_hold){.is_on = true, .wanted = wanted, .context = context};
    tell(session, false);
    pthread_mutex_unlock(&session->lock);
}

void rmi_hold_pass(rm_session *session)
{
    pthread_mutex_lock(&session->lock);
    tell(session, true);
    pthread_mutex_unlock(&session->lock);
}

void rmi_hold_end(rm_session *session, rmi_hold_for purpose)
{
    pthread_mutex_lock(&session->lock);
    session->hold[purpose] = (rmi_hold){0};
    tell(session, false);
    pthread_mutex_unlock(&session->lock);
}
