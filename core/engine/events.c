#include "engine/events.h"

#include <stdio.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/latency.h"

/* Of what may happen to each packet. */
#define APART_NS ((int64_t)100 * 1000000)

static const char *const drop_reasons[RMI_DROP_REASONS] = {
    [RMI_DROP_FULL] = "full",
    [RMI_DROP_INTERRUPT] = "interrupt",
};

void rmi_event_send(rm_session *session, const rm_event *event)
{
    if (session->options.on_event) {
        session->options.on_event(session->options.event_context, event);
    }
}

void rm_session_set_events(rm_session *session, uint64_t events)
{
    atomic_store(&session->events, events & RM_EVENTS_ALL);
}

/* ---- the queue */

static rmi_queued_event *queued_new(const rmi_happening *what)
{
    rmi_queued_event *one = RMI_NEW(rmi_queued_event);
    if (one && what->error) {
        one->error = RMI_NEW(rm_error);
        if (!one->error) {
            rmi_free(one);
            return NULL;
        }
        *one->error = *what->error;
    }
    return one;
}

static void queued_free(rmi_queued_event *one)
{
    if (one) {
        rmi_free(one->error);
    }
    rmi_free(one);
}

/* Under the session's lock, which a swap holds while it exchanges ids. */
static void fill(rmi_queued_event *one, const rmi_happening *what, uint64_t lost)
{
    if (what->node) {
        snprintf(one->node, sizeof one->node, "%s", what->node->pub.id);
    }
    if (what->to) {
        snprintf(one->to, sizeof one->to, "%s", what->to->pub.id);
    }
    one->event = (rm_event){.kind = what->kind,
                            .status = what->error ? what->error->status : RM_OK,
                            .error = one->error,
                            .node = what->node ? one->node : NULL,
                            .to = what->to ? one->to : NULL,
                            .reason = what->reason,
                            .count = what->count,
                            .total = what->total,
                            .time_ns = rmi_clock_ns(),
                            .lost = lost};
}

void rmi_event_tell(rm_session *session, const rmi_happening *what)
{
    bool always = what->kind <= RM_EVENT_ROOM;
    if (!session->options.on_event || !(always || rmi_event_is_wanted(session, what->kind))) {
        return;
    }
    rmi_queued_event *one = queued_new(what);
    pthread_mutex_lock(&session->lock);
    bool room = one && session->event_count < RMI_EVENTS_QUEUED_MAX;
    bool post = room && !session->event_posted;
    if (room) {
        fill(one, what, session->events_lost);
        session->events_lost = 0;
        session->event_count++;
        *session->queued_end = one;
        session->queued_end = &one->next;
        session->event_posted = true;
    } else {
        session->events_lost++;
    }
    pthread_mutex_unlock(&session->lock);
    if (!room) {
        queued_free(one);
    }
    if (post) {
        rmi_strand_post(session->strands[0], &session->event_message);
    }
}

static rmi_queued_event *take_queue(rm_session *session)
{
    pthread_mutex_lock(&session->lock);
    rmi_queued_event *first = session->queued;
    session->queued = NULL;
    session->queued_end = &session->queued;
    session->event_count = 0;
    session->event_posted = false;
    pthread_mutex_unlock(&session->lock);
    return first;
}

void rmi_event_deliver(rm_session *session)
{
    for (rmi_queued_event *one = take_queue(session), *next; one; one = next) {
        next = one->next;
        rmi_event_send(session, &one->event);
        queued_free(one);
    }
}

void rmi_event_discard(rm_session *session)
{
    for (rmi_queued_event *one = take_queue(session), *next; one; one = next) {
        next = one->next;
        queued_free(one);
    }
}

void rmi_event_run(rmi_strand *strand, rmi_message *message)
{
    (void)message;
    rmi_event_deliver(strand->session);
}

/* ---- drops and late items */

/* True, and noted: the last one was long enough ago, or there was none. */
static bool is_due(int64_t *told_ns, int64_t now_ns)
{
    if (*told_ns != 0 && now_ns - *told_ns < APART_NS) {
        return false;
    }
    *told_ns = now_ns ? now_ns : 1;
    return true;
}

static void tell_drops(rm_session *session, rmi_edge *edge, rmi_drop reason)
{
    rmi_drops *drops = &edge->drops[reason];
    const rmi_link *link = edge->link;
    rmi_event_tell(session, &(rmi_happening){.kind = RM_EVENT_DROP,
                                             .node = link ? link->sending->from : edge->from,
                                             .to = link ? link->receiving->to : edge->to,
                                             .reason = drop_reasons[reason],
                                             .count = drops->count - drops->told,
                                             .total = drops->count});
    drops->told = drops->count;
}

void rmi_event_drop(rmi_strand *strand, rmi_edge *edge, uint64_t count, rmi_drop reason)
{
    rmi_drops *drops = &edge->drops[reason];
    __atomic_store_n(&drops->count, drops->count + count, __ATOMIC_RELAXED);
    if (!rmi_event_is_wanted(strand->session, RM_EVENT_DROP) || count == 0) {
        return;
    }
    if (is_due(&drops->told_ns, strand->now_ns)) {
        tell_drops(strand->session, edge, reason);
    }
}

static void tell_last_drops_of(rm_session *session, rmi_edge *edge)
{
    for (unsigned reason = 0; reason < RMI_DROP_REASONS; reason++) {
        if (edge->drops[reason].told_ns && edge->drops[reason].count > edge->drops[reason].told) {
            tell_drops(session, edge, reason);
        }
    }
}

static void tell_late(rmi_node *node)
{
    rmi_event_tell(node->strand->session,
                   &(rmi_happening){.kind = RM_EVENT_LATE,
                                    .node = node,
                                    .reason = node->options.late_passes ? "pass" : "drop",
                                    .count = node->late - node->late_told,
                                    .total = node->late});
    node->late_told = node->late;
}

void rmi_event_late(rmi_node *node)
{
    if (rmi_event_is_wanted(node->strand->session, RM_EVENT_LATE) &&
        is_due(&node->late_told_ns, node->strand->now_ns)) {
        tell_late(node);
    }
}

static void tell_over_budget(rm_session *session, rmi_edge *edge)
{
    rmi_drops *over = &edge->over_budget;
    rmi_event_tell(session, &(rmi_happening){.kind = RM_EVENT_LATE,
                                             .node = rmi_latency_guilty(edge),
                                             .to = edge->to,
                                             .reason = "budget",
                                             .count = over->count - over->told,
                                             .total = over->count});
    over->told = over->count;
}

void rmi_event_over_budget(rmi_edge *edge)
{
    rmi_strand *strand = edge->to->strand;
    rmi_drops *over = &edge->over_budget;
    __atomic_store_n(&over->count, over->count + 1, __ATOMIC_RELAXED);
    if (rmi_event_is_wanted(strand->session, RM_EVENT_LATE) &&
        is_due(&over->told_ns, strand->now_ns)) {
        tell_over_budget(strand->session, edge);
    }
}

static void tell_last_of_budget(rm_session *session, rmi_edge *edge)
{
    if (edge->over_budget.told_ns && edge->over_budget.count > edge->over_budget.told) {
        tell_over_budget(session, edge);
    }
}

static void tell_path_over_budget(rmi_node *sink)
{
    rmi_drops *over = &sink->over_budget;
    rmi_event_tell(sink->strand->session, &(rmi_happening){.kind = RM_EVENT_LATE,
                                                           .node = rmi_latency_guilty_of_path(sink),
                                                           .to = sink,
                                                           .reason = "path",
                                                           .count = over->count - over->told,
                                                           .total = over->count});
    over->told = over->count;
}

void rmi_event_path_over_budget(rmi_node *sink)
{
    rmi_strand *strand = sink->strand;
    sink->over_budget.count++;
    if (rmi_event_is_wanted(strand->session, RM_EVENT_LATE) &&
        is_due(&sink->over_budget.told_ns, strand->now_ns)) {
        tell_path_over_budget(sink);
    }
}

void rmi_event_tell_rest(rm_session *session)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        if (node->late_told_ns && node->late > node->late_told) {
            tell_late(node);
        }
        if (node->over_budget.told_ns && node->over_budget.count > node->over_budget.told) {
            tell_path_over_budget(node);
        }
    }
    for (uint32_t i = 0; i < session->edge_count; i++) {
        tell_last_drops_of(session, session->edges[i]);
        tell_last_of_budget(session, session->edges[i]);
        if (session->edges[i]->link) {
            tell_last_of_budget(session, session->edges[i]->link->receiving);
            tell_last_drops_of(session, session->edges[i]->link->receiving);
        }
    }
}

void rmi_event_breaker(const rmi_node *node, rmi_breaker_state before)
{
    static const char *const states[] = {[RMI_BREAKER_CLOSED] = "closed",
                                         [RMI_BREAKER_OPEN] = "open",
                                         [RMI_BREAKER_HALF_OPEN] = "half_open"};
    const rmi_breaker *breaker = &node->breaker;
    if (breaker->state != before) {
        rmi_event_tell(node->strand->session, &(rmi_happening){.kind = RM_EVENT_BREAKER,
                                                               .node = node,
                                                               .reason = states[breaker->state],
                                                               .count = breaker->failures,
                                                               .total = breaker->opened});
    }
}

/* ---- first packets */

static bool has_given(const rmi_node *node, rm_status status)
{
    bool went_well = status == RM_OK || status == RM_MORE || status == RM_DONE;
    return went_well && !node->interrupted && (node->n_out ? node->outbox_count : !node->is_source);
}

bool rmi_event_look_for_first(rmi_node *node, rm_status status)
{
    rm_session *session = node->strand->session;
    if (!rmi_event_is_wanted(session, RM_EVENT_FIRST_PACKET) || node->gave_first) {
        return false;
    }
    if (!has_given(node, status)) {
        return true;
    }
    node->gave_first = true;
    if ((node->n_out ? node->emitted : node->items) == 0) { /* nobody had asked before */
        rmi_event_tell(session, &(rmi_happening){.kind = RM_EVENT_FIRST_PACKET, .node = node});
    }
    return false;
}
