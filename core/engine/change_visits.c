/* What a host does to nodes that stay, as the change is made. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/change.h"
#include "graph/limits.h"

rm_status rmi_change_find_visits(rm_change *change, rm_error *err)
{
    for (uint32_t i = 0; i < change->visit_count; i++) {
        rmi_visit *visit = &change->visits[i];
        visit->node = NULL;
        for (size_t k = 0; k < change->plan->node_count; k++) {
            bool is_it = strcmp(change->plan->nodes[k]->id, visit->id) == 0;
            visit->node =
                is_it && rmi_change_keeps(change, k) ? change->nodes[k].node : visit->node;
        }
        if (!visit->node) {
            return rm_fail(err, RM_EINVAL,
                           "node '%.60s' comes or goes with this change: there is nothing to set",
                           visit->id);
        }
    }
    return RM_OK;
}

bool rmi_change_visits(const rm_change *change, const rmi_node *node)
{
    bool does = false;
    for (uint32_t i = 0; i < change->visit_count; i++) {
        does |= change->visits[i].node == node;
    }
    return does;
}

rm_status rmi_change_visit(const rm_change *change, rm_error *err)
{
    for (uint32_t i = 0; i < change->visit_count; i++) {
        const rmi_visit *visit = &change->visits[i];
        rm_status status = visit->call(visit->context, err);
        if (status == RM_OK) {
            continue;
        }
        if (err && !err->node[0]) {
            snprintf(err->node, sizeof err->node, "%s", visit->id);
        }
        while (i-- > 0) {
            if (change->visits[i].undo) {
                change->visits[i].undo(change->visits[i].context);
            }
        }
        return status < 0 ? status : RM_EFAIL;
    }
    return RM_OK;
}

rm_status rmi_change_add_visit(rm_change *change, const rmi_visit *visit, rm_error *err)
{
    if (change->visit_count >= RMI_PLAN_NODES_MAX) {
        return rm_fail(err, RM_ELIMIT, "a change visits more than %d nodes", RMI_PLAN_NODES_MAX);
    }
    rmi_visit *grown =
        rmi_realloc(change->visits, ((size_t)change->visit_count + 1) * sizeof *grown);
    if (!grown) {
        return rm_fail(err, RM_ENOMEM, "no memory for a change");
    }
    change->visits = grown;
    change->visits[change->visit_count] = *visit;
    change->visits[change->visit_count].id = rmi_strdup(visit->id);
    if (!change->visits[change->visit_count].id) {
        return rm_fail(err, RM_ENOMEM, "no memory for a change");
    }
    change->visit_count++;
    return RM_OK;
}

void rmi_change_free_visits(rm_change *change)
{
    for (uint32_t i = 0; i < change->visit_count; i++) {
        rmi_free(change->visits[i].id);
    }
    rmi_free(change->visits);
}
