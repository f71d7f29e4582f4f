/* Nodes in several copies (parallel.h) as they come, go, become more or fewer, or get parameters.
 *
 *     a ─▶ split ┬─▶ x.1 ─┬▶ gather ─▶ b      the split is on hold, what it gave comes out, and
 * then └─▶ x.2 ─┘                    all of them go; what waits before the split or behind the
 * gather follows to what comes
 *
 * Turns are what keeps the order: so all parts stay, or all are new ones. For parameters that all
 * copies get between the same two items the parts come to rest as well.
 */
#include <string.h>

#include "engine/change.h"
#include "engine/repair.h"
#include "graph/params.h"

/* Id of the node that this one is a part of; NULL: it runs once. */
static const char *group_of(const rm_plan *plan, size_t index)
{
    const rmi_plan_node *node = plan->nodes[index];
    return node->pub.copies > 1 ? node->part_of : NULL;
}

static bool is_of(const rm_plan *plan, size_t index, const char *group)
{
    const char *own = group_of(plan, index);
    return own && strcmp(own, group) == 0;
}

/* ---- which of them go */

static void unmatch(rm_change *change, const char *group)
{
    for (size_t i = 0; i < change->plan->node_count; i++) {
        rmi_new_node *fresh = &change->nodes[i];
        if (!is_of(change->plan, i, group) || !fresh->old) {
            continue;
        }
        if (fresh->params) {
            rmi_params_free(fresh->old->pub.type, fresh->params);
        }
        change->place[fresh->old->index] = RMI_NONE;
        *fresh = (rmi_new_node){0};
    }
}

static void mark_draining(rm_change *change, const char *group)
{
    for (uint32_t i = 0; i < change->session->node_count; i++) {
        change->drains[i] |= is_of(change->session->plan, i, group);
    }
}

void rmi_change_match_copies(rm_change *change)
{
    const rm_plan *was = change->session->plan, *is = change->plan;
    for (size_t i = 0; i < is->node_count; i++) {
        const char *group = group_of(is, i);
        if (group && !rmi_change_keeps(change, i)) {
            unmatch(change, group);
        }
    }
    for (uint32_t i = 0; i < was->node_count; i++) {
        const char *group = group_of(was, i);
        bool gets_params =
            change->place[i] != RMI_NONE && change->nodes[change->place[i]].params != NULL;
        if (group && (change->place[i] == RMI_NONE || gets_params)) {
            mark_draining(change, group);
        }
    }
}

bool rmi_change_is_inside(const rm_change *change, uint32_t old_edge)
{
    const rm_plan *plan = change->session->plan;
    const rm_plan_edge *edge = &plan->edges[old_edge].pub;
    return change->drains[edge->from_node] && change->drains[edge->to_node] &&
           is_of(plan, edge->to_node, plan->nodes[edge->from_node]->part_of);
}

/* ---- what goes on in those that come */

static const char *manifest_id(const rm_plan *plan, size_t index)
{
    const char *group = group_of(plan, index);
    return group ? group : plan->nodes[index]->id;
}

/* Whose output is the node's, as the manifest has it: a gather's is that of the copies. RMI_NONE:
 * none is. */
static uint32_t output_of(const rm_plan *plan, size_t index, uint32_t port)
{
    if (!group_of(plan, index)) {
        return port;
    }
    for (size_t e = 0; e < plan->edge_count; e++) {
        const rm_plan_edge *edge = &plan->edges[e].pub;
        if (edge->to_node == index && plan->nodes[index]->pub.type == &rmi_gather_type) {
            return edge->from_port;
        }
    }
    return RMI_NONE;
}

static uint64_t items_of(const rmi_node *old)
{
    return old->items + old->late_drops + old->items_before;
}

/* The order of packets and their times, at one output of each. */
static void continue_output(const rm_change *change, size_t index, uint32_t old_index, uint32_t p)
{
    rmi_node *node = change->nodes[index].node, *old = change->session->nodes[old_index];
    for (uint32_t k = 0; k < old->n_out; k++) {
        uint32_t output = output_of(change->session->plan, old_index, k);
        if (output == RMI_NONE || output != output_of(change->plan, index, p)) {
            continue;
        }
        node->out[p].sequence = old->out[k].sequence;
        if (node->times && old->times) {
            node->times[p] = old->times[k];
        }
    }
}

static void continue_counting(rmi_node *node, const rmi_node *old)
{
    if (old->copy) {
        return; /* the split has counted all */
    }
    if (node->copy) {
        node->items_before = items_of(old);
    } else if (node->pub.type != &rmi_gather_type && old->pub.type != &rmi_gather_type) {
        node->items = items_of(old);
    }
}

void rmi_change_continue_copies(const rm_change *change)
{
    const rm_plan *was = change->session->plan, *is = change->plan;
    for (size_t i = 0; i < is->node_count; i++) {
        rmi_node *node = change->nodes[i].node;
        for (uint32_t k = 0; k < was->node_count && node->joins && !change->nodes[i].old; k++) {
            bool any = group_of(was, k) || group_of(is, i);
            if (!any || strcmp(manifest_id(was, k), manifest_id(is, i)) != 0) {
                continue;
            }
            continue_counting(node, change->session->nodes[k]);
            for (uint16_t p = 0; p < node->n_out; p++) {
                continue_output(change, i, k, p);
            }
        }
    }
}
