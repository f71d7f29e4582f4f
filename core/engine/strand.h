/* strand.h — the nodes of a session that run on one loop, with no lock between them.
 *
 *     driver (caller's loop | thread | test) ──rmi_strand_step(now, budget)──▶ strand
 *         ready set, a bit a rank: the node furthest downstream runs first
 *           ─▶ one call of the node ─▶ outbox ─▶ edges ─▶ consumers become ready
 *         timers · mailbox (posts from other threads) · links (packets from other strands)
 *
 * Sans I/O: no clock, no socket, no thread of its own. Time is what the driver says.
 *
 * Ownership: the session owns strands, nodes and edges. Threads: one thread steps at a time;
 * posting and waking from any.
 */
#ifndef RMI_ENGINE_STRAND_H
#define RMI_ENGINE_STRAND_H

#include <remotemedia/log.h>
#include <remotemedia/session.h>

#include "engine/link.h"
#include "engine/message.h"
#include "engine/node.h"
#include "engine/parking.h"
#include "engine/spans.h"
#include "engine/trace.h"
#include "media/pool.h"

enum { RMI_STRAND_NODES_MAX = RMI_PLAN_NODES_MAX, RMI_CONTROLS_MAX = 64 };

typedef struct rmi_pending_control {
    rmi_node *node;
    rm_control control;
} rmi_pending_control;

/* What the nodes of a strand that rests wait for. */
typedef struct rmi_rest {
    bool stuck;   /* a node waits for room or memory */
    bool outside; /* something is out, or comes by itself */
    bool input;   /* an rm.input waits for its owner */
} rmi_rest;

struct rmi_strand {
    rm_session *session;
    uint32_t index;
    uint16_t node_count, link_in_count, link_out_count;
    uint16_t live_source_count; /* overrun.h */
    rmi_node **nodes;           /* by rank */
    rmi_link **links_in, **links_out;
    rmi_pool *pool;

    uint64_t *ready;    /* a bit a rank */
    uint64_t ready_top; /* a bit a word of `ready` */
    uint32_t timer_count, control_count;
    int64_t now_ns;
    uint32_t open_nodes;  /* not ended */
    uint32_t outstanding; /* PENDING */
    bool metrics, kick_needed, in_call;
    bool real_clock; /* now_ns is CLOCK_MONOTONIC, as far as is known */
    bool cancelling;
    _Atomic bool finished; /* a change looks for threads that go on */
    bool holds;            /* a node here is on hold (hold.h) */
    bool resting;          /* quiet.h. Written by the strand's thread, under the session's lock. */
    uint64_t
        fast_mask; /* of a fast node's calls those whose number has none of these bits are timed */
    rmi_mailbox mailbox;
    rmi_parking parking;
    _Atomic(void *) thread; /* identity of the thread that steps */

    rmi_node **timers; /* heap by wake_ns, from 1 */
    rmi_shed *shed;    /* what an interrupt dropped; it goes as the next step ends */
    rmi_trace *trace;  /* NULL: nobody asks */
    rmi_spans *spans;  /* the session's; NULL: items are not followed */
    rm_status result;  /* once finished: RM_DONE or the error */
    uint64_t random;   /* state of the backoff's jitter */
    rm_error error;    /* of those nodes here that have none of their own */

    rmi_pending_control *controls; /* RMI_CONTROLS_MAX; NULL: no node has asked for anything yet */

    /* Of the sources here. Written by the strand, read by any thread. */
    _Atomic int64_t position_ns;
    _Atomic uint64_t produced;

    rmi_message memory_message, cancel_message;
    _Atomic bool cancel_posted;
    _Atomic bool memory_posted;
    _Atomic bool waits_for_memory; /* a node here does */

    /* Under the session's lock: posted to the strand, and not yet run there. */
    rmi_message pause_message, hold_message;
    bool pause_posted, hold_posted;
    bool hold_passes; /* each node that is on hold may begin one item */

    rmi_rest rest; /* as `resting` */
};

/* RM_MORE: the budget (calls) is used up. RM_PENDING: nothing to do before *ret_next_ns, or a post.
 * RM_DONE or < 0: all nodes have ended, nothing is out. */
rm_status rmi_strand_step(rmi_strand *strand, int64_t now_ns, uint32_t budget,
                          int64_t *ret_next_ns);

/* After rmi_parking_prepare(): something came meanwhile? Thread: the stepping one. */
bool rmi_strand_has_work(const rmi_strand *strand);

/* Lets go of what an interrupt dropped. Thread: the stepping one. */
void rmi_strand_let_go(rmi_strand *strand);

/* Any thread. The message must not be posted already. */
void rmi_strand_post(rmi_strand *strand, rmi_message *message);

/* Wakes the strands at the other ends of links whose ring has changed. */
void rmi_strand_kick(rmi_strand *strand);

void rmi_strand_cancel(rmi_strand *strand);

/* A step may last long: where the driver's time is the system's, now_ns becomes the time of now. */
static inline void rmi_strand_look_at_clock(rmi_strand *strand)
{
    if (strand->real_clock) {
        int64_t now_ns = rmi_clock_ns();
        strand->now_ns = now_ns > strand->now_ns ? now_ns : strand->now_ns;
    }
}

/* After rm_node_ready() or a timer of its own. */
void rmi_strand_call_again(rmi_strand *strand, rmi_node *node);

/* PENDING is over; complete_status says how. */
void rmi_strand_completed(rmi_strand *strand, rmi_node *node);

/* Empties what is downstream of the node on this strand and sends it on over links. */
void rmi_strand_interrupt(rmi_strand *strand, rmi_node *node);

void rmi_strand_set_timer(rmi_strand *strand, rmi_node *node, int64_t when_ns);
/* Sets it to what the node asked for and to where its set waits no longer, if it is not earlier. */
void rmi_strand_arm_timer(rmi_strand *strand, rmi_node *node);
void rmi_strand_clear_timer(rmi_strand *strand, rmi_node *node);

/* The node's own view of which thread it is on. */
void *rmi_thread_self(void);

static inline void rmi_strand_make_ready(rmi_strand *strand, const rmi_node *node)
{
    strand->ready[node->rank >> 6] |= 1ull << (node->rank & 63);
    strand->ready_top |= 1ull << (node->rank >> 6);
}

static inline void rmi_strand_consider(rmi_strand *strand, const rmi_node *node)
{
    if (rmi_node_is_runnable(node)) {
        rmi_strand_make_ready(strand, node);
    }
}

/* Something in the strand's pool, or in another's, may have become free: wakes who waits for it. */
void rmi_strand_memory_returned(rmi_strand *strand);

/* Called when a node has failed for good. */
void rmi_session_node_failed(rm_session *session, rmi_node *node, const rm_error *error);
/* A node failed and its policy went on. */
void rmi_session_node_recovered(rm_session *session, rmi_node *node, const rm_error *error);

#endif
