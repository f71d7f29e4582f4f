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
    int64_t now_ns;   /* as it was called */
    bool called;      /* a CALL was read, its RESULT was not */
    bool same, flush; /* … as it said */
    bool out;         /* its work is */
    bool completed;   /* it is done, the status is result's */
    bool ready;       /* after RM_EAGAIN: it may be called again */
    bool has_result;  /* the call is over, and waits for its RESULT */
    bool ahead;       /* … which came to nothing when it was recorded: the next call has it */
    rm_status result;
    rmi_record_numbers numbers; /* as the call began */
    uint64_t calls, items, packets;
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
    rm_plan *plan;
    rm_session *session;
    bool has_payloads;
    rmi_replay_node *nodes;   /* as the session's */
    rmi_replay_queue *queues; /* as the session's edges */

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

/* replay.c: the node's messages come to the replay. */
void rmi_replay_listen(rmi_node *node);
RM_MUST_USE rm_status rmi_replay_put(rmi_replay_queue *queue, rm_packet *packet);
/* False: it is empty. */
bool rmi_replay_take(rmi_replay_queue *queue, rm_packet **ret_packet);

RMI_DEFINE_AUTO(rm_replay)

#endif
