/* intake.h — the input side of a node: how packets leave its edges, and which of them make a set.
 *
 *     edges ─▶ stale ones die ─▶ a set by the node's merge ─▶ current ─▶ its format is announced
 *
 * Threads: the strand's.
 */
#ifndef RMI_ENGINE_INTAKE_H
#define RMI_ENGINE_INTAKE_H

#include <string.h>

#include "engine/node.h"

typedef struct rmi_strand rmi_strand;

typedef enum rmi_taken {
    RMI_TAKEN_NOTHING, /* there is no set yet */
    RMI_TAKEN_SET,     /* `current` has it */
    RMI_TAKEN_END      /* there will be none any more */
} rmi_taken;

/* A set can be taken, or the end of the input be noticed. */
bool rmi_intake_matches(const rmi_node *node);
/* zip: each port has something. */
bool rmi_intake_has_set(const rmi_node *node);
rmi_taken rmi_intake_take(rmi_strand *strand, rmi_node *node);

/* `current` is older than the node's deadline, and its policy is to drop that. Counts it. */
bool rmi_intake_is_late(rmi_node *node);

/* Lets go of what is at the front of an edge and of an epoch that has gone. */
void rmi_intake_drop_stale(rmi_strand *strand, rmi_edge *edge);

/* The consumer wants nothing more of this edge. A producer that has only such edges is done too. */
void rmi_intake_close(rmi_strand *strand, rmi_edge *edge);
/* The producer's strand: of a link it is the sending edge. */
void rmi_intake_tell_producer(rmi_strand *strand, rmi_edge *edge);

/* Tells the node of each port whose stream is another than before. */
rm_status rmi_intake_announce(rmi_node *node);

static inline bool rmi_intake_format_differs(const rmi_in_port *port, const rm_packet *packet)
{
    return port->kind != packet->header.kind ||
           memcmp(&port->line, &packet->header.format, sizeof port->line) != 0;
}

#endif
