/* events.h — what the session's owner is told of.
 *
 *     strand ──rmi_event_tell()──▶ queue of 256 ──home strand, between two calls──▶ on_event
 *
 * Nothing here is on the way of a call that goes well: first packets are looked for by the calls
 * that are timed, the rest comes with drops, failures, changes and ends.
 *
 * Threads: any, but for rmi_event_deliver(), the home strand's.
 */
#ifndef RMI_ENGINE_EVENTS_H
#define RMI_ENGINE_EVENTS_H

#include "engine/session.h"

enum { RMI_EVENTS_QUEUED_MAX = 256 };

/* One that is to be told. The kinds up to RM_EVENT_ROOM always are. */
typedef struct rmi_happening {
    rm_event_kind kind;
    const rmi_node *node, *to;
    const char *reason; /* lives for ever */
    uint64_t count, total;
    const rm_error *error;
} rmi_happening;

static inline bool rmi_event_is_wanted(const rm_session *session, rm_event_kind kind)
{
    uint64_t events = atomic_load_explicit(&session->events, memory_order_relaxed);
    return RMI_UNLIKELY(events & RM_EVENT_BIT(kind));
}

/* Puts it into the queue, where somebody wants it. */
void rmi_event_tell(rm_session *session, const rmi_happening *what);
/* Tells the owner what is queued. */
void rmi_event_deliver(rm_session *session);
/* Lets go of what is queued. */
void rmi_event_discard(rm_session *session);
/* Drops and late items that no event has told yet. All strands have finished. */
void rmi_event_tell_rest(rm_session *session);
/* The owner's own function, at once. */
void rmi_event_send(rm_session *session, const rm_event *event);

/* `count` packets of the edge were dropped. Thread: the strand's. */
void rmi_event_drop(rmi_strand *strand, rmi_edge *edge, uint64_t count, rmi_drop reason);

/* The node counted an item as late. Thread: the strand's. */
void rmi_event_late(rmi_node *node);
/* A packet was queued on the edge longer than its budget allows. Thread: the consumer's strand. */
void rmi_event_over_budget(rmi_edge *edge);
/* A packet was older when the sink had it than the session's budget allows. Thread: the sink's. */
void rmi_event_path_over_budget(rmi_node *sink);

/* The node's breaker was in this state before; nothing is told where it still is. */
void rmi_event_breaker(const rmi_node *node, rmi_breaker_state before);

/* A call has answered so. True: the node's first packet is still to come, and wanted. */
bool rmi_event_look_for_first(rmi_node *node, rm_status status);

/* Runs on the home strand. */
void rmi_event_run(rmi_strand *strand, rmi_message *message);

#endif
