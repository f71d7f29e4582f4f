/* snapshot.h — all of a session that stands still, as bytes, and back.
 *
 *     session ──rmi_snapshot_take()──▶ bytes ──rmi_snapshot_apply()──▶ a session of the same graph
 *
 *     head │ strands │ packets, each once │ nodes, with what their code wrote │ edges
 *
 * What several edges hold is written once and referred to by number. Records are the structs below,
 * as they lie in memory: a checkpoint is for this version and byte order alone. Times are on the
 * clock of the session that was saved; they are moved by what the clock differs when they come
 * back.
 *
 * Ownership: bytes are the caller's. Threads: nobody steps the session.
 */
#ifndef RMI_ENGINE_SNAPSHOT_H
#define RMI_ENGINE_SNAPSHOT_H

#include "engine/checkpoint_file.h"
#include "engine/session.h"

#define RMI_NO_PACKET UINT32_MAX
#define RMI_MARK (UINT32_MAX - 1) /* that of the node which it comes from: parallel.h */

typedef struct rmi_snapshot_head {
    uint32_t strand_count, packet_count, node_count, edge_count;
    int64_t now_ns;
    uint64_t real_clock; /* now_ns is CLOCK_MONOTONIC */
} rmi_snapshot_head;

typedef struct rmi_strand_record {
    uint64_t random, produced;
    int64_t position_ns;
} rmi_strand_record;

/* Behind it: id, type name, a rmi_port_record each input, the outbox, the outputs, the blob. */
typedef struct rmi_node_record {
    uint32_t id_bytes, type_bytes, input_count, output_count, outbox_count, blob_bytes;
    uint8_t state, more, held, done, flushing, flushed, no_input, unprompted;
    uint8_t set_waits, gave_first, outbox_checked, zero;
    uint32_t next_in, attempt, breaker_state, breaker_failures, taken; /* taken: in[taken - 1] */
    uint32_t generation, reserved;
    int64_t set_until_ns, asked_ns, wake_ns, retry_until_ns, breaker_until_ns;
    uint64_t breaker_failed_call, breaker_opened, breaker_refused, outbox_done;
    uint64_t calls, items, errors, skipped, retries, emitted, dead_letters, late, late_drops,
        unrouted, pts_repaired, overruns, overrun_calls, fallbacks, over_budget;
} rmi_node_record;

typedef struct rmi_input_record {
    uint32_t packet, kind; /* held now; what the stream is */
    rm_format_line line;
} rmi_input_record;

typedef struct rmi_outgoing_record {
    uint32_t packet, port;
} rmi_outgoing_record;

typedef struct rmi_output_record {
    uint64_t sequence, emitted;
    int64_t pts_ns, end_ns; /* of the last packet, where the node's times are repaired */
} rmi_output_record;

/* Behind it: a rmi_queued_record each packet. */
typedef struct rmi_edge_record {
    uint32_t length, capacity, epoch, receiving_epoch;
    uint32_t ended, closed;
    uint64_t packets, grown, packet_bytes, queued, peak;
    uint64_t drops[RMI_DROP_REASONS], over_budget;
} rmi_edge_record;

typedef struct rmi_queued_record {
    uint32_t packet, epoch;
} rmi_queued_record;

/* Can this type's nodes be saved and restored at all? */
bool rmi_node_type_is_kept(const rm_node_type *type);
/* E0409: they cannot. */
rm_status rmi_snapshot_refuse(const rm_node *node, rm_error *err);

/* RM_EAGAIN: not between two items, or work is out; err says of what. E0409: it cannot be done. */
RM_MUST_USE rm_status rmi_snapshot_take(rm_session *session, rmi_bytes *ret_body, rm_error *err);

/* Before the nodes are opened: those that have ended will not be. `body` stays until apply(). */
RM_MUST_USE rm_status rmi_snapshot_prepare(rm_session *session, const void *body, size_t bytes,
                                           rm_error *err);
/* Once the nodes are open, before anything runs. On failure the session can only be freed. */
RM_MUST_USE rm_status rmi_snapshot_apply(rm_session *session, const void *body, size_t bytes,
                                         rm_error *err);

#endif
