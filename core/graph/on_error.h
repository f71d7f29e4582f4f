/* on_error.h — what a node's on_error adds to the plan.
 *
 *     "dead_letter"                    an output of that name, behind those of its type
 *
 *     "fallback", "fallback": "y"      x ─┬────────────▶ x.gather ─▶ b        y is connected to
 *                                         └─(fallback)─▶ y ──┘                nothing else
 *
 * The gather takes from x, and where x marks that it gave an item away, from y until that marks its
 * end, so that what y gives stands in its place: engine/parallel.h.
 */
#ifndef RMI_GRAPH_ON_ERROR_H
#define RMI_GRAPH_ON_ERROR_H

#include "graph/plan.h"

/* The name of the output that the entry of a node asks for; NULL: none. */
const char *rmi_on_error_port(const json_t *node);

/* Gives the node a copy of its type that has that output. A finding where it cannot have one. */
RM_MUST_USE rm_status rmi_on_error_add_port(rmi_findings *findings, const char *port,
                                            rmi_plan_node *node);

/* Connects the fallbacks, once all other edges are there. A finding for each that cannot be. */
RM_MUST_USE rm_status rmi_on_error_connect(rm_plan *plan, rmi_findings *findings);

/* Once it is negotiated: a finding where a fallback gives another format than its node. */
void rmi_on_error_check_formats(const rm_plan *plan, rmi_findings *findings);

#endif
