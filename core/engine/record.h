/* record.h — what a session that is recorded notes: what each node was given, in which order, and
 * what it made of that.
 *
 *     edge ─take─▶ node ─▶ call ─▶ outbox ─▶ sent ─▶ edge
 *            │              │                  │
 *            └── CALL ──────┴── RESULT ────────┴── SENT ──▶ buffer ─▶ file (record_file.h)
 *
 * One order for all strands: a packet is noted as sent before it is on an edge, and as taken after
 * it has left it. A replay that goes by this order therefore needs no merges, policies, timers or
 * threads.
 *
 * Nothing of it is on the way of a session that is not recorded: nodes get types whose functions
 * note and then call the real ones, and a port's `checked` has each packet looked at before it
 * leaves.
 *
 * Ownership: the session's. Threads: of the node whose strand it is; the buffer has a lock.
 */
#ifndef RMI_ENGINE_RECORD_H
#define RMI_ENGINE_RECORD_H

#include "engine/record_file.h"
#include "engine/session.h"

typedef struct rmi_recorder rmi_recorder;

/* What the options ask for: opens the file and notes the graph. Before the strands' quick ways are
 * looked for. E0411: the session cannot be recorded. */
RM_MUST_USE rm_status rmi_record_begin(rm_session *session, rm_error *err);
/* Once the nodes are open, before one is called. */
void rmi_record_install(rm_session *session);
/* The session is over. */
void rmi_record_end(rm_session *session);
/* NULL is fine. The nodes are freed. */
void rmi_record_free(rmi_recorder *recorder);

/* ---- of a node whose `recorded` is set */

/* A set of inputs has this packet of the edge, at its port. */
void rmi_record_took(rmi_node *node, rmi_edge *edge);
/* The packet goes onto those edges of its port that are not in outbox_done. */
void rmi_record_sent(rmi_node *node, const rmi_outgoing *front);
/* The outbox is about to be dropped. */
void rmi_record_dropped(rmi_node *node);

/* ---- of any session */

/* The latest packet for the edge was dropped. */
void rmi_record_unsent(rm_session *session, const rmi_edge *edge);
/* The node is about to get these LIVE parameters. */
void rmi_record_params(rmi_node *node, const char *params_json);
/* E0411 where it is recorded: what it does then is not. */
RM_MUST_USE rm_status rmi_record_refuse(const rm_session *session, const char *what, rm_error *err);

/* The numbers of the next packets of each port. What gave nothing leaves nothing: packets that were
 * let go have used numbers, which are given back. */
typedef struct rmi_record_numbers {
    uint64_t sequence[RM_PORTS_MAX + 1];
} rmi_record_numbers;
void rmi_record_keep_numbers(const rmi_node *node, rmi_record_numbers *ret_numbers);
void rmi_record_give_back_numbers(rmi_node *node, const rmi_record_numbers *numbers);
/* What a packet carries: its payload, or what its live object is packed to, which is put into
 * `scratch`, whose data the caller frees. E0411: it cannot be packed. */
RM_MUST_USE rm_status rmi_record_content(const rm_session *session, const rm_packet *packet,
                                         rm_blob *scratch, rmi_record_piece *ret_content,
                                         rm_error *err);
/* What is compared of a packet. */
rmi_record_sums rmi_record_sums_of(const rm_packet *packet, const rmi_record_piece *content,
                                   bool with_origin);

#endif
