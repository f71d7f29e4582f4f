/* parallel.h — a node in several copies, and how the order of its items is kept.
 *
 *                ┌─▶ copy 1 ─┐
 *     ──▶ split ─┼─▶ copy 2 ─┼─▶ gather ──▶      item k goes to copy k mod n; the gather takes what
 *                └─▶ copy 3 ─┘                   comes from copy k mod n, until that marks its end
 *
 * When an item is over, however that came (it gave one packet, several, none; it was given up, or
 * dropped because it was late), the copy sends a mark behind it on each output. A mark is one
 * packet that each copy has from the start, so that it never lacks memory. The gather takes it
 * away. Where an output has no gather nobody hears of marks.
 *
 * A node and its fallback (graph/on_error.h) are two such copies: their gather takes from the node
 * until that marks that it gave an item to the fallback, then from the fallback until that marks
 * its end. A node whose items go well sends no marks.
 *
 * All queues are bounded: a copy that is ahead of its turn waits for room, and then the split does.
 *
 * An interrupt begins a new generation, in which the turns begin at the first copy. Its number is
 * the epoch of the split's edges; a copy's edges have the epoch of the one that feeds it, so that
 * the gather can tell what is of the generation at hand, whichever copy hears of it first.
 *
 * Threads: the strand's.
 */
#ifndef RMI_ENGINE_PARALLEL_H
#define RMI_ENGINE_PARALLEL_H

#include "engine/intake.h"
#include "graph/registry.h" /* the types of the ends */

/* Makes the mark of a node that is copy number `copy` of `copies`. */
RM_MUST_USE rm_status rmi_parallel_prepare(rmi_node *node, uint32_t copy, uint32_t copies,
                                           rm_error *err);

/* The mark alone, of a node that has a fallback. */
RM_MUST_USE rm_status rmi_parallel_make_mark(rmi_node *node, rm_error *err);

/* Puts marks into the outbox of a copy: its item is over. Of a node that has a fallback: what comes
 * next is that one's. */
void rmi_parallel_mark(rmi_node *node);
/* True: the packet, at the front of this edge, is such a mark. */
bool rmi_parallel_is_mark(const rmi_edge *edge, const rm_packet *packet);

/* What an interrupt of a copy, of a fallback, or of a gather, begins at: what feeds them. Others:
 * themselves. */
rmi_node *rmi_parallel_lead(rmi_node *node);

/* The item at hand, counted over all copies; from 1. */
uint64_t rmi_parallel_item(const rmi_node *copy);

/* An interrupt has reached the gather by one of its edges. False: it was known by another one. */
bool rmi_parallel_renew(rmi_node *gather);
/* What is at the front of this edge is of a generation that is over. */
bool rmi_parallel_is_outdated(const rmi_node *gather, const rmi_edge *edge);

#endif
