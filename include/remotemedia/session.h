/* session.h — one running instance of a plan.
 *
 *   the caller ──push──▶ inputs ─▶ nodes … ─▶ outputs ──pull──▶ the caller
 *
 * The nodes of a session live on strands. The home strand is stepped by a driver: the caller
 * (rm_session_step() from its own loop), or a thread of the session (RM_DRIVER_THREAD). Strands of
 * heavy and blocking native nodes always have threads of their own.
 *
 * Graph inputs and outputs, from the manifest's `inputs` and `outputs`, are numbered in the order
 * of the manifest.
 */
#ifndef REMOTEMEDIA_SESSION_H
#define REMOTEMEDIA_SESSION_H

#include "graph.h"
#include "value.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rm_session rm_session;

typedef enum rm_driver { RM_DRIVER_CALLER = 0, RM_DRIVER_THREAD = 1 } rm_driver;

typedef enum rm_event_kind {
    RM_EVENT_ENDED = 1,  /* the session is over; status says how */
    RM_EVENT_ERROR = 2,  /* a node failed; on_error was applied, the session may go on */
    RM_EVENT_OUTPUT = 3, /* an output that was empty has something */
    RM_EVENT_ROOM = 4,   /* an input that was full has room */

    /* What happens to the session and its nodes. Told to who asks for it: `events` of the options,
     * or rm_session_set_events(). */
    RM_EVENT_STARTED = 16,      /* the nodes are open, the session runs */
    RM_EVENT_FIRST_PACKET = 17, /* of `node`: its first output; of a sink: its first item is done */
    RM_EVENT_END_OF_STREAM = 18, /* `node` has ended by itself; total: packets that it emitted */
    RM_EVENT_DROP = 19,          /* between `node` and `to`; count: since the last such event */
    RM_EVENT_RETRY = 20,         /* `node` failed and will be called again; count: the attempt */
    RM_EVENT_SKIPPED = 21,       /* `node` failed and goes on with the next item; reason: policy */
    RM_EVENT_CHANGED = 22,       /* `node` runs otherwise from here on; reason: "params", "swap" */
    RM_EVENT_FAILED = 23,        /* `node` failed and ends the session */
    /* Items beyond the deadline of `node`; reason: "drop", "pass". Or packets that were queued
     * before `to` longer than the budget of the edge, reason: "budget"; they waited for `node`. Or
     * packets that were older at the sink `to` than the graph's budget, reason: "path"; of what
     * leads there `node` works longest. */
    RM_EVENT_LATE = 24,
    RM_EVENT_BREAKER = 25, /* of `node`; reason: "open", "half_open", "closed"; count: failures
                            * in a row; total: how often it opened */
    /* One that was to be made; reason: "made", "put off", "failed", with the error; total: the
     * number of the newest one. */
    RM_EVENT_CHECKPOINT = 26,
    RM_EVENT_FELL_BACK = 27 /* its place refused `node`, which runs on this machine; error: why */
} rm_event_kind;

/* A kind as a bit of rm_session_options.events. */
#define RM_EVENT_BIT(kind) (UINT64_C(1) << (kind))
/* All that happen to the session and its nodes, those of later versions too. */
#define RM_EVENTS_ALL (~UINT64_C(0) << 16)

typedef struct rm_event {
    rm_event_kind kind;
    rm_status status;
    uint32_t index;        /* of the input or output */
    const rm_error *error; /* borrowed; NULL: none */
    const char *node;      /* borrowed, as all texts; NULL: the session itself */
    const char *to;        /* of an edge the node that it leads to; NULL: not of an edge */
    const char *reason;    /* DROP: "full" (by the edge's policy), "interrupt". NULL: none */
    uint64_t count, total; /* total: since the session began */
    int64_t time_ns;       /* CLOCK_MONOTONIC, when it came about; 0: not told */
    uint64_t lost;         /* events that the queue had no room for, since the one before */
} rm_event;

typedef struct rm_session_options {
    size_t struct_size;
    rm_driver driver;
    /* CALLER only: something changed, step soon. From any thread, also from within a step; must
     * not block nor step. One call until the next step. */
    void (*wake)(void *context);
    void *wake_context;
    /* From the thread of the home strand, between two calls; must not block nor free the session.
     * What happens on another thread waits for that in a queue of 256 events. */
    void (*on_event)(void *context, const rm_event *event);
    void *event_context;
    uint64_t memory_bytes_max; /* of buffers, a quarter not for sources; 0: 256 MiB */
    int metrics_off;           /* 1: no time histograms (counts stay) */
    uint64_t events; /* RM_EVENT_BIT()s from STARTED on that on_event is told of; 0: none */
    uint32_t trace_spans_max; /* rm_session_trace_begin() before the first call; 0: no trace */
    uint32_t spans_max;       /* rm_session_spans_begin() before the first call; 0: no spans */
    const char *traceparent;  /* for that; borrowed while it opens */
    /* How the conditions of connections look into live objects; NULL: they find nothing there.
     * Thread: of the strand whose node gave the object. */
    rm_read_object read_object;
    /* Where checkpoints are kept, made if it is not there; NULL: where the manifest's
     * session.checkpoint says, else nowhere. The session goes on from the newest good one there,
     * and they are removed when it has ended well. One session a folder. */
    const char *checkpoint_folder;
    int64_t checkpoint_interval_ms; /* one is made so often; 0: as the manifest says, else 1,000;
                                       -1: by rm_session_checkpoint() alone */
    /* Keeps the run in this file, so that rm_replay_open() can run it again (replay.h); NULL: as
     * the manifest's session.record says, with the next two; else it is not kept. Borrowed while it
     * opens. E0411: it cannot be kept. */
    const char *record_path;
    uint64_t record_bytes_max;   /* the record ends there, the run goes on; 0: 4 GiB */
    int record_without_payloads; /* 1: a replay runs the sources again */
    /* How live objects that are on their way get into checkpoints and records; NULL: they cannot.
     * Gets event_context. Thread: the one that steps. */
    rm_pack_object pack_object;
    /* And how a replay has them again; NULL: it has none. Gets event_context. */
    rm_unpack_object unpack_object;
    /* CALLER: the session runs this record again, as rm_replay_open() does, on the thread that
     * steps it, with the plan's nodes, which must be those of the record (E0412). Nodes that end
     * the graph run where they are Python nodes. It fails with E0413 where a node does otherwise.
     * NULL: it does not. Borrowed while it opens. */
    const char *replay_path;
} rm_session_options;

/* Opens all nodes, in rank order; if one fails, closes the others in reverse order and returns its
 * error with the node named (E0401). The plan must outlive the session. options may be NULL: a
 * thread drives it. Where checkpoints are kept: E0409, a node cannot be part of one; E0410, those
 * that are there are damaged or of another graph. Thread: any; the caller becomes the owner. */
RM_API RM_MUST_USE rm_status rm_session_open(const rm_plan *plan, const rm_session_options *options,
                                             rm_session **ret_session, rm_error *err);

/* The plan that it runs by: that of rm_session_open(), or of the last change (change.h), which is
 * the session's and stays there until two more changes were made, or the session is freed. Thread:
 * owner. */
RM_API const rm_plan *rm_session_plan(const rm_session *session);

/* CALLER: runs the home strand: at most `budget` node calls at the clock's now_ns (ns, must not go
 * back). RM_MORE: the budget is used up. RM_PENDING: nothing to do before *ret_next_ns (INT64_MAX:
 * no timer) or a wake. RM_DONE: ended, all is delivered. Below 0: ended by this error; see
 * rm_session_error(). Thread: owner. */
RM_API rm_status rm_session_step(rm_session *session, int64_t now_ns, uint32_t budget,
                                 int64_t *ret_next_ns);

/* In how many turns rm_session_fetch() does it. */
#define RM_FETCH_TURNS 6
/* CALLER: the session will probably be stepped once turns - 1 others were, which is a hint alone:
 * what a step touches comes into the cache meanwhile. For who steps many sessions in turn, each
 * after a pause: asks for each of them with RM_FETCH_TURNS turns, then with one less each time that
 * another one is about to be stepped, down to 1. Another number does nothing. Thread: owner. */
RM_API void rm_session_fetch(const rm_session *session, unsigned turns);

/* THREAD: waits until the session ended, at most timeout_ms (-1: for ever). RM_EAGAIN: it has not.
 * RM_DONE, or the error that ended it. Thread: any. */
RM_API rm_status rm_session_wait(rm_session *session, int64_t timeout_ms);

/* Why it ended. RM_OK while it runs or ended well; copies the error into *ret_error. Thread: any.
 */
RM_API rm_status rm_session_error(rm_session *session, rm_error *ret_error);

/* Thread for all of the following: CALLER: owner; THREAD: any. */

/* Index of a named graph input or output. RM_ENOENT with a near name as help. */
RM_API RM_MUST_USE rm_status rm_session_input(rm_session *session, const char *name,
                                              uint32_t *ret_index, rm_error *err);
RM_API RM_MUST_USE rm_status rm_session_output(rm_session *session, const char *name,
                                               uint32_t *ret_index, rm_error *err);

/* A packet for rm_session_push(), as rm_packet_new() and rm_packet_new_foreign(). RM_EAGAIN: no
 * memory now. RM_EDEADLOCK, once after that: none will come as things are, for packets that wait
 * inside of the session hold it; to end an input, to interrupt or to cancel would free it. */
RM_API RM_MUST_USE rm_status rm_session_packet_new(rm_session *session, uint64_t payload_bytes,
                                                   rm_packet **ret_packet);
RM_API RM_MUST_USE rm_status rm_session_packet_new_foreign(rm_session *session, void *payload,
                                                           uint64_t payload_bytes,
                                                           void (*release)(void *owner),
                                                           void *owner, rm_packet **ret_packet);

/* RM_OK: the session owns the packet. RM_EAGAIN: full (RM_EVENT_ROOM follows), the caller keeps it.
 * RM_DONE: the input was ended, or the session is over; the caller keeps it. */
RM_API RM_MUST_USE rm_status rm_session_push(rm_session *session, uint32_t input,
                                             rm_packet *packet);
/* No more packets on this input. */
RM_API void rm_session_end(rm_session *session, uint32_t input);
/* RM_OK: the caller owns *ret_packet. RM_EAGAIN: nothing there now. RM_DONE: ended and empty. */
RM_API RM_MUST_USE rm_status rm_session_pull(rm_session *session, uint32_t output,
                                             rm_packet **ret_packet);

/* Barge-in: what is queued downstream of `node` dies, nodes there get RM_CONTROL_INTERRUPT, packets
 * that were on their way die on arrival; upstream nothing is lost. node NULL: from the inputs on,
 * or from the sources on where there are none. RM_ENOENT: no such node. Thread: any. */
RM_API rm_status rm_session_interrupt(rm_session *session, const char *node);

/* Ends the session; after the call that is running no packet is delivered. Thread: any. */
RM_API void rm_session_cancel(rm_session *session);

/* Sets parameters of a running node: a JSON object with parameters that are LIVE. Checked before;
 * takes effect between two calls. */
RM_API RM_MUST_USE rm_status rm_session_set_params(rm_session *session, const char *node,
                                                   const char *params_json, rm_error *err);

/* Replaces a node between two calls: opens the new one (of the spec's type and parameters), hands
 * over state where both can save and load, else has the old one flush what it holds back; closes
 * the old one. Ports and formats must fit. On failure the old one goes on. RM_EAGAIN: it is within
 * an item, try again. */
RM_API RM_MUST_USE rm_status rm_session_swap(rm_session *session, const char *node,
                                             const rm_node_type *type, const char *params_json,
                                             rm_error *err);

/* Makes a checkpoint now: all strands stop between two calls, all of the session is copied, they go
 * on, and the copy is written to a file of `folder` (NULL: that of the options). Work of a node
 * that is out is waited for. RM_EAGAIN: that took more than timeout_ms, or another checkpoint is
 * being made. RM_ECANCELED: the session is ending. E0409: it cannot be done, err names the node or
 * the edge. Other errors: it could not be written. Thread: any but a node's; CALLER: the owner. */
RM_API RM_MUST_USE rm_status rm_session_checkpoint(rm_session *session, const char *folder,
                                                   int64_t timeout_ms, rm_error *err);

/* The number of the checkpoint that the session went on from; 0: it began anew. Thread: any. */
RM_API uint64_t rm_session_resumed(const rm_session *session);

/* How far the sources (nodes without inputs, and the graph's inputs) have come: the latest end
 * (pts_ns + duration_ns) of a packet that one of them emitted, RM_TIME_NONE where none had a time;
 * and how many they emitted. Both outputs may be NULL. Thread: any; never waits. */
RM_API void rm_session_progress(const rm_session *session, int64_t *ret_position_ns,
                                uint64_t *ret_packets);

/* Which events from STARTED on on_event is told of from now on, RM_EVENT_BIT() each. DROP and
 * LATE come at once for the first packet, then at most ten times a second and edge or node, each
 * with the count since the one before; what is left is told at the end. Events of a strand come in
 * its order. Thread: any. */
RM_API void rm_session_set_events(rm_session *session, uint64_t events);

/* Live numbers as JSON:
 *
 *   nodes    calls, items, emitted, errors, skipped, retries, state, place, and fell_back: why that
 *            is not the planned one; times in ns, each with p50 p90 p99 max: `time` of its calls
 *            (pending_ns while work was out, sum_ns of its calls and of the work that was out, see
 *            rm_node_add_work()), `waiting` of packets in the queues before it (each 16th that is
 *            queued is measured; who is handed over at once waits 0), of a sink `age` of packets
 *            since they entered the graph (origin_ns), of one whose code a tier hosts `tier`:
 *            user_ns, marshal_ns, lock_ns, see rm_node_add_tier_time()
 *   edges    packets, bytes, drops and `dropped` by reason, queued, queued_bytes, peak, capacity
 *   memory   bytes of buffers now, bytes_peak, bytes_max
 *   process  rss_bytes, rss_bytes_peak
 *
 * The caller frees it by rm_free(). Numbers are taken between two calls; where a strand is within
 * one for longer than 250 ms, its nodes have id, type and the state "busy" only. Thread: any. */
RM_API RM_MUST_USE rm_status rm_session_metrics(rm_session *session, char **ret_json,
                                                rm_error *err);

/* The same in two steps: numbers are gathered now, and told of when somebody asks, also once the
 * session is freed (`process` is of the time of asking). The caller frees them by
 * rm_metrics_free(); NULL is fine. Thread: of measure() any; a rm_metrics does not change. */
typedef struct rm_metrics rm_metrics;
RM_API RM_MUST_USE rm_status rm_session_measure(rm_session *session, rm_metrics **ret_metrics,
                                                rm_error *err);
/* The same, but it waits for strands that are within a call for wait_ms at most, 0 to 250. */
RM_API RM_MUST_USE rm_status rm_session_measure_within(rm_session *session, int wait_ms,
                                                       rm_metrics **ret_metrics, rm_error *err);
RM_API RM_MUST_USE rm_status rm_metrics_to_json(const rm_metrics *metrics, char **ret_json,
                                                rm_error *err);
RM_API void rm_metrics_free(rm_metrics *metrics);

/* From here on keeps when each call of each node begins and ends: the latest spans_max of each
 * strand, 1 to 1,048,576, 32 bytes each. Each call is timed then. RM_EINVAL: it is traced already,
 * or has no metrics. Waits for calls that are under way. Thread: any. */
RM_API RM_MUST_USE rm_status rm_session_trace_begin(rm_session *session, uint32_t spans_max,
                                                    rm_error *err);

/* What was kept, as JSON in the trace event format that Perfetto and Chrome read: a thread for each
 * strand and for each node whose work is out (a coroutine, a thread), the packets before each node
 * as a counter, and otherData.dropped_spans: how many there was no room for. The caller frees it by
 * rm_free(). Waits for calls that are under way; a strand stands still while its part is written.
 * RM_EINVAL: rm_session_trace_begin() was not called. Thread: any. */
RM_API RM_MUST_USE rm_status rm_session_trace(rm_session *session, char **ret_json, rm_error *err);

/* From here on items are followed through the nodes, and the latest spans_max spans of their calls
 * kept, 1 to 1,048,576, 400 bytes each. Each call is timed then, and a node gets one item a call.
 * traceparent: the W3C trace context that the run is a part of; NULL: it is a trace of its own.
 * RM_EINVAL: that is none; items are followed already, or there are no metrics. Waits for calls
 * that are under way. Thread: any. */
RM_API RM_MUST_USE rm_status rm_session_spans_begin(rm_session *session, uint32_t spans_max,
                                                    const char *traceparent, rm_error *err);

/* Takes the spans of calls since the last time, as a JSON object: of the run `trace_id`, `span_id`,
 * `parent_span_id` (where it is part of another trace), `sampled`, `begin_unix_ns`, `now_unix_ns`;
 * `lost`, how many there was no room for; and `spans`, each with `node`, `type`, `trace_id`,
 * `span_id`, `parent_span_id`, `begin_unix_ns`, `end_unix_ns`, and `error` where the call failed.
 *
 * A call belongs to the W3C trace context in its input's metadata ("traceparent"), else to the
 * run's; what it emits has the call's own, unless it brings one or is shared. Where the context
 * says that it is not sampled it is given on, and the call is not kept. The caller frees the text
 * by rm_free(). RM_EINVAL: rm_session_spans_begin() was not called. Thread: any. */
RM_API RM_MUST_USE rm_status rm_session_spans(rm_session *session, char **ret_json, rm_error *err);

/* Cancels if needed, waits for its threads, closes nodes in reverse order. NULL is fine. Thread:
 * owner. */
RM_API void rm_session_free(rm_session *session);

#ifdef __cplusplus
}
#endif
#endif
