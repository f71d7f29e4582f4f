/* latency.h — latency budgets: of an edge, how long a packet may be queued there; of the session,
 * how old a packet may be when a sink has it.
 *
 * Looked at for the packets whose wait or age is measured anyway, about each sixteenth. Threads:
 * the consumer's strand.
 */
#ifndef RMI_ENGINE_LATENCY_H
#define RMI_ENGINE_LATENCY_H

#include "engine/edge.h"

/* A packet was queued so long on an edge that has a budget. */
void rmi_latency_note(rmi_edge *edge, uint64_t ticks);

/* Of the node that the edge leads to and those behind it on the same strand: the one that has
 * worked longest, so that what is queued before it waits for it. */
const rmi_node *rmi_latency_guilty(const rmi_edge *edge);

/* A packet was so old when the sink had it. */
void rmi_latency_note_age(rmi_node *sink, int64_t age_ns);

/* Of the sink and all that leads to it, on whatever strand: the one that has worked longest. */
const rmi_node *rmi_latency_guilty_of_path(const rmi_node *sink);

#endif
