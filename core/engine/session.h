/* session.h — a session: its strands, the links between them, and who drives them.
 *
 *     rmi_session_new() ─▶ add nodes ─▶ connect ─▶ rmi_session_start() ─▶ … ─▶ rm_session_free()
 *
 * rm_session_open() builds from a plan, the harness builds by hand; both end here.
 */
#ifndef RMI_ENGINE_SESSION_H
#define RMI_ENGINE_SESSION_H

#include <pthread.h>

#include <remotemedia/session.h>

#include "engine/strand.h"

enum {
    RMI_SESSION_STRANDS_MAX = RMI_PLAN_STRANDS_MAX,
    RMI_SESSION_PORTS_MAX = RMI_PLAN_PORTS_MAX,
};

/* Nodes of these types are a session's inputs and outputs; params {"name": "…"}. */
extern const rm_node_type rmi_input_type, rmi_output_type;

typedef struct rmi_node_spec {
    const rm_node_type *type;
    const char *id, *params_json, *node_json; /* NULL: {} */
    uint32_t strand;
    const char *place;            /* NULL: local */
    const rm_node_type *fallback; /* if the place refuses it; NULL: none */
    const char *part_of;          /* as in rm_plan_node, with the next two */
    uint32_t copy, copies;
} rmi_node_spec;

typedef struct rmi_edge_spec {
    uint32_t from, from_port, to, to_port; /* nodes by the number that rmi_session_add() gave */
    uint32_t capacity, capacity_max;       /* packets; 0: 16 and 1,024 */
    uint64_t bytes_max, span_ns_max;       /* 0: no bound */
    rmi_policy policy;
    const rm_format *format; /* outlives the session; NULL: not known */
    const char *when_json;   /* NULL: every packet goes over it */
    int64_t latency_ns_max;  /* 0: no budget */
} rmi_edge_spec;

/* What save() and checkpoint() write. */
struct rm_blob {
    uint8_t *data;
    size_t bytes, capacity;
};

/* An event on its way to the owner. */
typedef struct rmi_queued_event {
    struct rmi_queued_event *next;
    rm_event event;
    rm_error *error; /* owned; NULL: none */
    char node[RM_ERROR_NODE_MAX], to[RM_ERROR_NODE_MAX];
} rmi_queued_event;

typedef struct rmi_session_thread {
    rmi_strand *strand;
    pthread_t thread;
    bool started;
    bool stopped; /* under the session's lock: posts are no longer run */
} rmi_session_thread;

/* What changes have taken out of the session: who was told of it before may still look at it. It
 * goes with the next change, or with the session. */
typedef struct rmi_retired {
    rmi_node *nodes;
    rmi_link *links;
    rm_plan *plans; /* of changes, also the one that it runs by: types of nodes may be theirs */
} rmi_retired;

typedef struct rmi_checkpoints rmi_checkpoints;

/* What nodes are on hold for, and which (hold.h). */
typedef enum rmi_hold_for { RMI_HOLD_CHECKPOINT = 0, RMI_HOLD_CHANGE, RMI_HOLDS } rmi_hold_for;
typedef bool (*rmi_hold_wanted)(const rmi_node *node, const void *context);
typedef struct rmi_hold {
    bool is_on;
    rmi_hold_wanted wanted; /* NULL: all of them */
    const void *context;
} rmi_hold;

struct rm_session {
    rm_session_options options;
    rmi_strand **strands;
    struct rm_replay *replay; /* replay.h: it is one; NULL: it is none */
    uint32_t strand_count;
    bool started;
    bool closed;    /* its end has begun; for the home strand, and for who has it stand still */
    bool simulated; /* drivers/sim.h steps all strands: no threads */
    bool stepping;  /* within rm_session_step() */
    _Atomic uint64_t events; /* that on_event is told of, a bit a kind */
    pthread_mutex_t lock;
    rmi_checkpoints *checkpoints; /* checkpoint.h; NULL: none are kept */
    rmi_budget *budget;
    rmi_node **nodes; /* in rank order */
    uint32_t node_count, node_capacity;
    rmi_edge **edges; /* as added; of a link the sending one */
    uint32_t edge_count, edge_capacity;
    rmi_session_thread *threads; /* one for each strand */
    rmi_node **inputs, **outputs;
    uint32_t input_count, output_count;
    uint32_t opened;               /* nodes[0 … opened-1] are open */
    rmi_spans *spans;              /* NULL: items are not followed */
    struct rmi_recorder *recorder; /* record.h; NULL: it is not recorded */
    int64_t begin_ns;
    int64_t latency_ns_max; /* from source to sink; 0: no budget */
    uint64_t begin_ticks;
    _Atomic uint32_t strands_finished;
    rmi_message event_message;       /* to the home strand: events are queued */
    _Atomic bool owner_wants_memory; /* rm_session_packet_new() had none … */
    _Atomic bool owner_refused;      /* … and never will, as things are */

    /* Changes of the graph (change.h). Of who commits one. */
    const rm_plan *plan; /* nodes and edges are its own, by index; NULL: built by hand */
    uint32_t version;    /* changes so far */
    rmi_retired retired;

    /* quiet.h, by the home strand. */
    uint32_t memory_round;    /* strands below this were given all that is free … */
    uint64_t memory_progress; /* … since so many items were done */
    uint32_t reserve_given;   /* nodes from this one on had the reserve since then */

    pthread_cond_t changed;
    /* Protected by lock. */
    rm_error error; /* the first failure */
    rmi_queued_event *queued, **queued_end;
    uint32_t event_count;
    bool checkpointing; /* a checkpoint is being made */
    bool ending;        /* no strand stands still any more, and none is needed to */
    bool event_posted;
    uint64_t events_lost; /* since the last one that had room */
    bool ended;           /* result holds */
    rm_status result;     /* RM_DONE or the error */
    bool changing;        /* the lists of nodes and edges are about to change */
    uint32_t visitors;    /* threads that look at these lists */
    bool pausing;
    uint32_t pause_round, paused_strands;
    rmi_hold hold[RMI_HOLDS];
};

/* options NULL: the defaults. strand_count: 1 to RMI_SESSION_STRANDS_MAX. */
RM_MUST_USE rm_status rmi_session_new(const rm_session_options *options, uint32_t strand_count,
                                      rm_session **ret_session, rm_error *err);
/* Nodes in rank order: every edge goes from a lower to a higher one. */
RM_MUST_USE rm_status rmi_session_add(rm_session *session, const rmi_node_spec *spec,
                                      uint32_t *ret_node, rm_error *err);
RM_MUST_USE rm_status rmi_session_connect(rm_session *session, const rmi_edge_spec *spec,
                                          rm_error *err);
/* The nodes and edges of a plan; not started. */
RM_MUST_USE rm_status rmi_session_build(const rm_plan *plan, const rm_session_options *options,
                                        rm_session **ret_session, rm_error *err);
/* As rm_session_free(), of a replay's. */
void rmi_session_free(rm_session *session);
/* Gives the strand its nodes, in rank order, and the tables that are sized by them. */
RM_MUST_USE rm_status rmi_session_lay_out(rmi_strand *strand, rm_error *err);
/* Opens the nodes and starts the threads. */
RM_MUST_USE rm_status rmi_session_start(rm_session *session, rm_error *err);

/* A strand other than the home one has finished: by whoever stepped it last. */
void rmi_session_strand_stopped(rmi_strand *strand);

/* Ends the session by this error, unless another one came first. Thread: any. */
void rmi_session_fail(rm_session *session, const rm_error *error);

/* Nobody steps the strand now but, if anybody, the calling thread. Under the session's lock. */
bool rmi_session_is_direct(rm_session *session, rmi_strand *strand);
/* Runs `call` on the strand between two calls of its nodes, and waits for it. */
void rmi_session_call(rm_session *session, rmi_strand *strand, void (*call)(void *context),
                      void *context);
rmi_node *rmi_session_find(rm_session *session, const char *id);

/* An edge by the spec, between nodes of these strands; a link where they differ (*ret_edge is the
 * sending one). The caller owns it, and connects it to its nodes. */
RM_MUST_USE rm_status rmi_session_make_edge(const rmi_edge_spec *spec, rmi_strand *from,
                                            rmi_strand *to, rmi_edge **ret_edge, rm_error *err);
/* With what is queued. NULL is fine. */
void rmi_session_free_edge(rm_session *session, rmi_edge *edge);
/* What the quick way of the strand asks of nodes and edges. */
void rmi_session_find_direct_edges(rm_session *session);
/* open.c: a node and an edge of a plan. */
rmi_node_spec rmi_node_spec_of(const rm_plan *plan, size_t index);
rmi_edge_spec rmi_edge_spec_of(const rm_plan *plan, size_t index);
/* Opens it; a place that refuses it falls back. *err names the node and has E0401. */
RM_MUST_USE rm_status rmi_session_open_node(rmi_node *node, rm_error *err);

/* pause.c: the lists of nodes and edges stay as they are until the visit ends. */
void rmi_session_begin_visit(rm_session *session);
void rmi_session_end_visit(rm_session *session);
/* No visits until the change ends. */
void rmi_session_begin_change(rm_session *session);
void rmi_session_end_change(rm_session *session);
/* Has every strand stand still between two calls, at most until then. False: one did not come, or
 * the session ends; all go on. The home strand comes last: its thread may have what a call on
 * another one waits for. Where the caller steps it, it is the owner who calls, or but_home. */
RM_MUST_USE bool rmi_session_pause(rm_session *session, int64_t until_ns, bool but_home);
void rmi_session_resume(rm_session *session);
/* The calling thread is within a node or an event of the session. */
bool rmi_session_is_inside(rm_session *session);
/* retire.c: keeps what a change took out, and each plan. */
void rmi_session_retire_node(rm_session *session, rmi_node *node);
void rmi_session_retire_link(rm_session *session, rmi_link *link);
void rmi_session_retire_plan(rm_session *session, rm_plan *plan);
/* The session stands still for a change: frees of that what nobody can look at any more. */
void rmi_session_release_retired(rm_session *session);
void rmi_session_free_retired(rm_session *session);

/* live.c: the node goes on with *params, which becomes its old ones. */
RM_MUST_USE rm_status rmi_node_exchange_params(rmi_node *node, void **params, rm_error *err);
/* By state where both can, else `from` gives what it holds back, into its outbox. to NULL:
 * nobody takes the state. RM_EAGAIN: it is not done with that. */
RM_MUST_USE rm_status rmi_node_hand_over(rmi_node *from, rmi_node *to, rm_error *err);

/* node_new.c */
RM_MUST_USE rm_status rmi_node_new(const rmi_node_spec *spec, rmi_node **ret_node, rm_error *err);
void rmi_node_free(rmi_node *node);
/* narrate.c: what the log says of a node, at debug. */
void rmi_node_log_opened(const rmi_node *node);
void rmi_node_log_closed(const rmi_node *node);

/* fallback.c: its place refused the node as it was opened: opens the fallback in its stead. `why`
 * is the refusal, and then the fallback's own error. */
RM_MUST_USE rm_status rmi_node_fall_back(rmi_node *node, rm_error *why);
/* live.c: room in the outbox; and the type, parameters, state and ports of `fresh` into the node,
 * the old ones into `fresh`. */
RM_MUST_USE rm_status rmi_node_reserve_outbox(rmi_node *node, uint32_t slots, rm_error *err);
/* Where the node's calls say what went wrong. Once it is on a strand. */
void rmi_node_choose_error(rmi_node *node);
void rmi_node_exchange_code(rmi_node *node, rmi_node *fresh);
/* Room for so many edges of a port, or of all inputs; and an edge where there is room. */
RM_MUST_USE rm_status rmi_node_reserve_edges(rmi_node *node, uint32_t port, bool is_output,
                                             uint32_t count);
void rmi_node_put_edge(rmi_node *node, uint32_t port, bool is_output, rmi_edge *edge);
RM_MUST_USE rm_status rmi_node_add_edge(rmi_node *node, uint32_t port, bool is_output,
                                        rmi_edge *edge, rm_error *err);

RMI_DEFINE_AUTO(rm_session)

#endif
