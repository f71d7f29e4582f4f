/* node.h — a node of a running session, as the engine sees it. README.md draws its states.
 *
 *     edges in ─▶ current ─▶ process() ─▶ outbox ─▶ edges out
 *                 (held until the call      (committed only if
 *                  and its retries are over) the call went well)
 *
 * Ownership: `current` and the outbox hold references. Threads: the strand's, but for the message
 * members, which any thread may post.
 */
#ifndef RMI_ENGINE_NODE_H
#define RMI_ENGINE_NODE_H

#include <remotemedia/node.h>

#include "engine/breaker.h"
#include "engine/edge.h"
#include "engine/histogram.h"
#include "engine/message.h"
#include "graph/limits.h"

enum { RMI_NODE_EDGES_MAX = RMI_PLAN_NODE_EDGES_MAX };

typedef enum rmi_node_state {
    RMI_NODE_NEW = 0,
    RMI_NODE_IDLE,
    RMI_NODE_RUNNING,
    RMI_NODE_HOLDING,
    RMI_NODE_PENDING,
    RMI_NODE_BACKOFF,
    RMI_NODE_ENDED,
    RMI_NODE_FAILED,
    RMI_NODE_ABANDONED, /* its work did not end within the grace time of a cancel */
    RMI_NODE_CLOSED
} rmi_node_state;

typedef enum rmi_merge {
    RMI_MERGE_ANY = 0,
    RMI_MERGE_ZIP,
    RMI_MERGE_PRIORITY, /* the first input that has something */
    RMI_MERGE_SYNC,     /* those of one time */
    RMI_MERGE_TURNS     /* of one input until a mark comes, then of the next: parallel.h */
} rmi_merge;

typedef enum rmi_on_error {
    RMI_ON_ERROR_FAIL = 0,
    RMI_ON_ERROR_SKIP,
    RMI_ON_ERROR_RETRY,
    RMI_ON_ERROR_BYPASS,
    RMI_ON_ERROR_DEAD_LETTER, /* the input goes out of the port of that name … */
    RMI_ON_ERROR_FALLBACK     /* … and another node's outputs stand in the place of its own */
} rmi_on_error;

typedef enum rmi_pts {
    RMI_PTS_KEEP = 0,
    RMI_PTS_FILL,     /* one without a time continues from the one before */
    RMI_PTS_MONOTONIC /* one that goes back is moved to the end of the one before */
} rmi_pts;

/* What a node's entry in the manifest says about how it is run. */
typedef struct rmi_node_options {
    rmi_merge merge;
    int64_t tolerance_ns; /* sync: times of one set lie within this */
    int64_t wait_ns_max;  /* sync: for an input that has nothing; INT64_MAX: without end */
    int64_t deadline_ns;  /* age at which an item is late; 0: never */
    bool late_passes;     /* it is counted only */
    rmi_on_error on_error;
    uint32_t attempts;    /* retry: further tries, 1 to 100 */
    int64_t backoff_ns;   /* retry: the first wait is 0 to this, the next 0 to twice this, … */
    int64_t retry_ns_max; /* retry: from the first failure on; INT64_MAX: without end */
    rmi_on_error then;    /* retry: what follows when it is not tried again */
    rmi_breaker_options breaker;
    rmi_pts pts; /* of what it emits */
} rmi_node_options;

/* Reads `merge` and `on_error` of a manifest node (a JSON object as text; NULL: the defaults). */
RM_MUST_USE rm_status rmi_node_options_parse(const char *node_json, rmi_node_options *ret_options,
                                             rm_error *err);

typedef struct rmi_in_port {
    uint8_t kind; /* of the stream as the node knows it; 0: nothing came yet */
    rm_format_line line;
    rm_formats *accepts;      /* with as many alternatives as it counts; NULL: anything */
    const rm_format *planned; /* the plan's, which outlives it; NULL: not known before it runs */
} rmi_in_port;

typedef struct rmi_out_port {
    rmi_edge **edges;
    /* The port's only edge, where it leads to the only input of a node on the same strand and is
     * open: what goes there may be handed over without a queue. */
    rmi_edge *direct;
    uint16_t edge_count;
    bool checked;  /* a packet is looked at before it leaves: conditions of edges, its time */
    bool is_aside; /* for items that failed */
    /* In this call: sent, and for how many the outbox has room. Room for all that the type may send
     * is made by the first call that sends more. */
    uint16_t emit_max, emitted;
    uint64_t sequence;
} rmi_out_port;

typedef struct rmi_port_time rmi_port_time;

static inline uint32_t rmi_port_emit_max(const rm_port *output)
{
    return output->emit_max ? output->emit_max : 1;
}

typedef struct rmi_outgoing {
    rm_packet *packet;
    rmi_out_port *port;
} rmi_outgoing;

enum { RMI_OUTBOX_FEW = 3 }; /* packets: what one output of one packet a call may want */

/* What each call touches comes first, in five cache lines: where many sessions take turns these are
 * not in the cache, and to wait for them is most of what a call takes. */
struct rmi_node {
    rm_node pub; /* first, so that a node's author and the engine share the pointer */
    rm_inputs inputs;
    union {
        struct {
            uint8_t state;        /* rmi_node_state */
            bool more;            /* the last call returned RM_MORE */
            bool held;            /* `current` has the inputs of a call that is not over */
            bool stalled;         /* the last call returned RM_EAGAIN: waits to be told */
            bool done;            /* wants no more input */
            bool flushing;        /* inputs have ended: flush() instead of process() */
            bool flushed;         /* flush() is over */
            bool no_input : 1;    /* this call is one that it asked for without input */
            bool marks_items : 1; /* it is a copy: parallel.h */
            bool on_hold : 1;     /* begins no item: hold.h */
            bool passes : 1;      /* but for one */
            bool draining : 1;    /* it flushes for a change or a swap, and then goes on */
        };
        /* All of them at once, the state lowest (little-endian, as packets are). RMI_NODE_IDLE:
         * idle, and nothing else is so. */
        uint64_t phase;
    };

    rm_error *error; /* the last one: own_error, or the strand's */
    struct rmi_strand *strand;
    uint64_t untimed_mask; /* calls whose number has none of these bits are timed */
    uint64_t calls;
    rmi_out_port *out;
    rmi_outgoing *outbox; /* outbox_max slots, and more for marks */
    uint32_t outbox_count, outbox_sent, outbox_max;
    uint16_t attempt; /* further tries of an item so far */
    uint8_t merge;
    uint8_t on_error;

    uint64_t items, emitted;
    rmi_edge *only_in;    /* in[0] of a node with one port and one edge, else NULL */
    rmi_in_port *in_port; /* n_current of them */
    rmi_out_port one_out; /* `out` of a node with one output */

    rmi_in_port one_in; /* `in_port` of a node with one input */
    uint16_t rank;      /* in the strand: bit of the ready set */
    uint16_t n_in;
    uint8_t n_out, n_current;
    bool is_source;
    bool wants_memory;

    rmi_outgoing outbox_few[RMI_OUTBOX_FEW]; /* `outbox`, until that needs more */
    rm_packet *current[RM_PORTS_MAX];

    rmi_edge **in;   /* n_in of them */
    bool is_border;  /* source or sink */
    bool is_guarded; /* an item is looked at before it is given to the node: deadline, breaker */
    bool yields; /* on hold it takes from an input that is full: who feeds that is on hold, too */
    bool interrupted;     /* results of the work that is out will be dropped */
    bool unprompted;      /* asked to be called without input */
    bool gave_first;      /* events.h has seen its first packet */
    bool outbox_checked;  /* the front packet has been looked at */
    uint32_t next_in;     /* any, turns: where the round goes on */
    uint32_t generation;  /* turns: of the edges' epochs the latest */
    bool set_waits;       /* sync: a part of a set is there … */
    int64_t set_until_ns; /* … and goes on alone at this time */
    uint64_t outbox_done; /* edges of the front packet's port that have it, or shall not */

    /* timing */
    uint64_t errors, skipped, retries;
    uint64_t dead_letters, fallbacks;
    uint64_t late_told;   /* of them as events */
    int64_t late_told_ns; /* when that was last; 0: never */
    uint64_t pts_repaired;
    uint64_t overruns,
        overrun_calls;         /* overrun.h: how often it was told; its calls as that was last */
    rmi_port_time *times;      /* of each output; NULL: nobody asks for them */
    uint64_t unrouted;         /* packets that no edge of their port took */
    uint64_t late, late_drops; /* items beyond the deadline; those of them that were dropped */
    rmi_histogram *time;
    uint64_t told_calls, told_ticks; /* calls up to the latest timed one, and what they took */
    uint64_t told_at_ticks;          /* when that one returned */
    uint64_t pending_begin_ticks, pending_ticks; /* while its work was out */
    uint64_t span_begin_ticks; /* of calls that gave nothing yet (spans.h); 0: none */
    rmi_histogram *waiting; /* how long packets were queued before it, ticks; NULL: without metrics,
                               no input */
    rmi_histogram *age;     /* a sink's: since they entered the graph, us; NULL: no sink */
    rmi_drops over_budget; /* a sink's packets, of those, that were older than the session allows */
    rmi_histogram *work;   /* whole calls made elsewhere, ns; NULL: none yet */
    uint64_t work_ns;      /* all that rm_node_add_work() told */
    uint64_t tier_ns[RM_TIER_LOCK + 1]; /* by rm_tier_time */

    /* timers */
    int64_t wake_ns;     /* when it is in the strand's heap */
    int64_t asked_ns;    /* when the node itself asked to be called; INT64_MAX: it did not */
    uint32_t heap_index; /* from 1; 0: not there */
    int64_t retry_until_ns;
    rmi_breaker breaker;
    rmi_node_options options;

    /* posts from any thread */
    rmi_message ready_message, complete_message;
    _Atomic bool ready_posted, complete_posted;
    _Atomic bool memory_refused; /* to the thread that works for it */
    uint64_t reserve_call;       /* the number of the one call that may use the reserve */
    rm_status complete_status;
    rm_error *complete_error;   /* the last one; NULL: none yet */
    int64_t cancel_deadline_ns; /* PENDING work that was told to give up */

    rmi_edge *taken;     /* any: where the current packet came from */
    void *owned[4];      /* memory behind pub: id, params, state, texts */
    rm_error *own_error; /* NULL: it has none */
    bool opened, abandoned;
    uint16_t traced;               /* line of the strand's trace that names it (trace.h) */
    bool joins;                    /* made for a session that runs, and not yet in it */
    struct rmi_recorded *recorded; /* record.h; NULL: it is not */
    rmi_node *next_retired;        /* in the session's list of those that went */
    const struct rm_plan *made_by; /* a change's, which its type may be of; NULL: the first one */
    bool stays_closed;            /* it had ended in the checkpoint that the session goes on from */
    uint32_t index;               /* in the session: rank order */
    rm_packet *mark;              /* of a copy, or of one that has a fallback; else NULL */
    uint32_t copy, copies;        /* from 1 */
    uint64_t items_before;        /* of a copy that a change brought: all that the node has taken */
    char *part_of;                /* id of the node that it is a copy or an end of; NULL: none */
    const char *place;            /* where it runs */
    const rm_node_type *fallback; /* if that refuses it */
    char *fell_back;              /* why it did; NULL: it did not */
};

/* Its input is over: what flush() gives is its last. */
static inline bool rmi_node_is_ending(const rmi_node *node)
{
    return node->done || (node->flushing && !node->draining) || node->state >= RMI_NODE_ENDED;
}

/* ---- for the strand */

/* Sends what is in the outbox as far as edges have room; false: some of it stays. */
bool rmi_node_commit(rmi_node *node);
void rmi_node_drop_outbox(rmi_node *node);
void rmi_node_drop_inputs(rmi_node *node);
/* True where the strand has something to do for it. */
bool rmi_node_is_runnable(const rmi_node *node);
/* True where each edge out of it has room. */
bool rmi_node_has_room(const rmi_node *node);

/* The call that began then has just returned. Returns how long it took. */
uint64_t rmi_node_count_call(rmi_node *node, uint64_t begin_ticks);

/* Adds to a histogram of the node (&node->time, …), which is made by its first value. Without
 * memory the percentiles lack it, the sums do not. */
void rmi_node_note(rmi_histogram **histogram, uint64_t value, uint32_t weight);

/* A timed call of a source or sink is about to come, and is over. */
void rmi_node_begin_border_call(rmi_node *node);
void rmi_node_end_border_call(rmi_node *node, rm_status status);

static inline rmi_node *rmi_node_of(rm_node *node)
{
    return (rmi_node *)node;
}

#endif
