/* replay.h — a record that is run again.
 *
 *     file ─▶ entry ─▶ queue of the edge ─▶ node->current ─▶ process() ─▶ outbox ─▶ compared ─▶
 *                                                                         queues of its edges
 *
 * A session of one strand that nobody steps: the record says which node is called, with what.
 * Edges have queues of the replay's own, without bounds: what the record takes was put there by the
 * record.
 *
 * Ownership: rm_replay owns all. Threads: one; messages of nodes come by the strand's mailbox.
 */
#ifndef RMI_ENGINE_REPLAY_H
#define RMI_ENGINE_REPLAY_H

#include <remotemedia/replay.h>

#include "engine/record.h"
#include "engine/session.h"

/* What was sent over an edge and not yet taken. A mark is NULL. */
typedef struct rmi_replay_queue {
    rm_packet **ring; /* a power of two of them; NULL: none yet */
    uint32_t head, tail, slots;
} rmi_replay_queue;

typedef struct rmi_replay_node {
    rmi_node *node;
    void (*complete)(rmi_strand *strand, rmi_message *message);
    bool
        is_idle; /* not opened and not called: it plays no part, or its packets are in the record */
    bool is_output;
    int64_t now_ns;  /* as it was called */
    bool called;     /* a CALL was read, its RESULT was not */
    bool flush;      /* … as it said */
    bool out;        /* its work is */
    bool completed;  /* it is done, the status is result's */
    bool ready;      /* after RM_EAGAIN: it may be called again */
    bool has_result; /* the call is over, and waits for its RESULT */
    bool ahead;      /* … which came to nothing when it was recorded: the next call has it */
    rm_status result;
    rmi_record_numbers numbers; /* as the call began */
    uint64_t calls, items, packets;

    /* replay_loose.c: of a node whose items are compared, and not its calls. */
    bool is_loose;
    bool in_item;        /* the record has not come to the end of the item */
    bool begun, over;    /* here: called for it; it is done with, the status is result's */
    rmi_outgoing *given; /* what it gave, from given_sent on not yet asked for */
    uint32_t given_sent, given_count;
    uint32_t silences; /* rounds in which it was waited for */
    int64_t silent_until_ns;
} rmi_replay_node;

struct rm_replay {
    void *file; /* mapped */
    size_t file_bytes;
    rmi_record_reader reader;
    rmi_record_entry entry; /* the one at work */
    bool has_entry;
    rm_replay_options options;
    rm_registry *registry;
    rm_graph *graph;
    rm_plan *plan; /* freed with it where it has a graph of its own */
    rm_session *session;
    bool is_session; /* its session is all that others know of it */
    bool ending;     /* work that is out was told to give up */
    bool has_payloads;
    rmi_replay_node *nodes; /* as the session's */
    uint32_t node_count;
    rmi_replay_queue *queues; /* as the session's edges */

    int64_t wait_until_ns; /* PENDING: to be stepped then at the latest; 0: when it is woken */
    uint64_t calls, packets, from_record, dropped, controls;
    rm_status status; /* RM_MORE until it is over */
    rm_error error;
    bool has_end;
    rm_status recorded_status;
    int64_t recorded_code;
    char recorded_message[RM_ERROR_MESSAGE_MAX];
};

/* replay_open.c: of the bytes of a file, which outlive it. */
RM_MUST_USE rm_status rmi_replay_of(const void *data, size_t bytes, rm_registry *registry,
                                    const rm_replay_options *options, rm_replay **ret_replay,
                                    rm_error *err);

/* replay.c: one call; takes the inputs of the entry; puts the node and the item beside what was
 * said of it, and returns its status. */
void rmi_replay_invoke(rm_replay *replay, rmi_replay_node *of);
RM_MUST_USE rm_status rmi_replay_take_inputs(rm_replay *replay, rmi_replay_node *of, rm_error *err);
rm_status rmi_replay_differs(const rmi_replay_node *of, rm_error *err);

/* replay_loose.c: a CALL and a RESULT of such a node; and before a SENT: has the node give a
 * packet. RM_PENDING: it is not there yet. */
RM_MUST_USE rm_status rmi_replay_loose_call(rm_replay *replay, rmi_replay_node *of, rm_error *err);
RM_MUST_USE rm_status rmi_replay_loose_result(rm_replay *replay, rmi_replay_node *of,
                                              rm_error *err);
RM_MUST_USE rm_status rmi_replay_loose_next(rm_replay *replay, rmi_replay_node *of, rm_error *err);
/* It was interrupted then: goes on with its item to where that was. RM_PENDING: it is not there. */
RM_MUST_USE rm_status rmi_replay_loose_catch_up(rm_replay *replay, rmi_replay_node *of,
                                                rm_error *err);
/* The recorded run ended well: nothing is to be left. */
RM_MUST_USE rm_status rmi_replay_loose_end(const rmi_replay_node *of, rm_error *err);
/* Lets go of what was given and not asked for. */
void rmi_replay_loose_drop(rmi_replay_node *of);

/* replay.c: the node's messages come to the replay. */
void rmi_replay_listen(rmi_node *node);
/* The session of options.replay_path, which is freed as any. */
RM_MUST_USE rm_status rmi_replay_session(const rm_plan *plan, const rm_session_options *options,
                                         rm_session **ret_session, rm_error *err);
/* Work of nodes is out; the first time they are told to give up. */
bool rmi_replay_waits_for_work(rm_replay *replay);
RM_MUST_USE rm_status rmi_replay_put(rmi_replay_queue *queue, rm_packet *packet);
/* False: it is empty. */
bool rmi_replay_take(rmi_replay_queue *queue, rm_packet **ret_packet);

RMI_DEFINE_AUTO(rm_replay)

#endif
