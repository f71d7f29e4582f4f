/* parallel.h — nodes that run in several copies, as the plan has them.
 *
 *     a ─▶ x ─▶ b        a ─▶ x.split ┬─▶ x.1 ─┬▶ x.gather ─▶ b
 *     "parallel": 2                   └─▶ x.2 ─┘
 *
 * Each copy has a strand of its own. engine/parallel.h says how the order is kept.
 */
#ifndef RMI_GRAPH_PARALLEL_H
#define RMI_GRAPH_PARALLEL_H

#include "graph/plan.h"

/* Takes over how many copies the entry of the manifest wants. A finding where the type of the node
 * cannot have more than one. */
void rmi_parallel_check(rmi_findings *findings, const rmi_graph_node *node, rmi_plan_node *made);

/* Puts the copies and their ends into a plan that is negotiated and sorted; they stand at the end
 * of the list. */
RM_MUST_USE rm_status rmi_parallel_expand(rm_plan *plan, rm_error *err);

/* The entry of a node with one field alone, and without two. The caller frees it; NULL: no memory.
 */
char *rmi_plan_entry_only(const char *node_json, const char *field);
char *rmi_plan_entry_without(const char *node_json, const char *field, const char *other);

#endif
