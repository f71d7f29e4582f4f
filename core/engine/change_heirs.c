/* Which new edge takes over what is queued on an edge that goes.
 *
 *     a ═▶ b ═▶ c, b is removed:      a ═▶ b and b ═▶ c have the heir a ═▶ c
 *     a ═▶ c, b is inserted:          a ═▶ c has the heir b ═▶ c: c gets it first, and as it was
 * made a ═▶ c, c is replaced behind a converter b:   a ═▶ b
 *
 * An end of a path is a port of a node that stays. In the old graph paths go through nodes that go,
 * in the new one through nodes that come.
 */
#include "base/alloc.h"
#include "engine/change.h"

enum { ENDS_MAX = 64, STEPS_MAX = 4096 };

typedef struct path_end {
    uint32_t node, port; /* in the new plan */
} path_end;

typedef struct path_ends {
    path_end end[ENDS_MAX];
    uint32_t count, steps;
} path_ends;

static void add_end(path_ends *ends, uint32_t node, uint32_t port)
{
    if (ends->count < ENDS_MAX) {
        ends->end[ends->count++] = (path_end){node, port};
    }
}

static void old_ends(const rm_change *change, const rm_plan_edge *edge, bool before,
                     path_ends *ends)
{
    const rm_plan *plan = change->session->plan;
    uint32_t node = before ? edge->from_node : edge->to_node;
    if (change->place[node] != RMI_NONE) {
        add_end(ends, change->place[node], before ? edge->from_port : edge->to_port);
        return;
    }
    for (size_t e = 0; e < plan->edge_count && ends->steps < STEPS_MAX; e++) {
        const rm_plan_edge *other = &plan->edges[e].pub;
        if ((before ? other->to_node : other->from_node) == node) {
            ends->steps++;
            old_ends(change, other, before, ends);
        }
    }
}

static void new_ends(const rm_change *change, const rm_plan_edge *edge, bool before,
                     path_ends *ends)
{
    const rm_plan *plan = change->plan;
    uint32_t node = before ? edge->from_node : edge->to_node;
    if (change->nodes[node].old) {
        add_end(ends, node, before ? edge->from_port : edge->to_port);
        return;
    }
    for (size_t e = 0; e < plan->edge_count && ends->steps < STEPS_MAX; e++) {
        const rm_plan_edge *other = &plan->edges[e].pub;
        if ((before ? other->to_node : other->from_node) == node) {
            ends->steps++;
            new_ends(change, other, before, ends);
        }
    }
}

static bool meet(const path_ends *a, const path_ends *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t k = 0; k < b->count; k++) {
            if (a->end[i].node == b->end[k].node && a->end[i].port == b->end[k].port) {
                return true;
            }
        }
    }
    return false;
}

static bool holds(const path_ends *all, const path_ends *some)
{
    for (uint32_t i = 0; i < some->count; i++) {
        path_ends one = {.end = {some->end[i]}, .count = 1};
        if (!meet(all, &one)) {
            return false;
        }
    }
    return true;
}

/* It has that heir already, or another edge of the same output has: that would get all twice. */
static bool has_twin(const rm_change *change, uint32_t old_edge, uint32_t heir)
{
    const rm_plan *plan = change->session->plan;
    const rm_plan_edge *mine = &plan->edges[old_edge].pub;
    for (uint32_t i = 0; i < change->bequest_count; i++) {
        const rm_plan_edge *other = &plan->edges[change->bequests[i].old_edge].pub;
        if (change->bequests[i].heir == heir && other->from_node == mine->from_node &&
            other->from_port == mine->from_port) {
            return true;
        }
    }
    return false;
}

static bool is_same_end(const rm_change *change, const rm_plan_edge *was, const rm_plan_edge *is,
                        bool before)
{
    return before
               ? change->place[was->from_node] == is->from_node && was->from_port == is->from_port
               : change->place[was->to_node] == is->to_node && was->to_port == is->to_port;
}

bool rmi_change_leads_alike(const rm_change *change, uint32_t old_edge, uint32_t new_edge)
{
    path_ends was = {.count = 0}, is = {.count = 0};
    old_ends(change, &change->session->plan->edges[old_edge].pub, false, &was);
    new_ends(change, &change->plan->edges[new_edge].pub, false, &is);
    return meet(&was, &is);
}

/* How well the new edge fits for what goes to this end (count 0: to none); 0: not at all. One that
 * leads elsewhere too does not: there the packets come by another old edge, or not at all. */
static unsigned fits(const rm_change *change, const rm_plan_edge *was, const rm_plan_edge *is,
                     const path_ends *end)
{
    path_ends old_from = {.count = 0}, old_to = {.count = 0}, from = {.count = 0},
              to = {.count = 0};
    old_ends(change, was, true, &old_from);
    old_ends(change, was, false, &old_to);
    new_ends(change, is, true, &from);
    new_ends(change, is, false, &to);
    const rm_session *session = change->session;
    bool on_path = meet(&old_from, &from) && meet(end, &to) && holds(&old_to, &to);
    bool to_kept = rmi_change_is_kept(change, session->nodes[was->to_node]);
    bool to_stays = change->place[was->to_node] != RMI_NONE;
    bool from_stays = change->place[was->from_node] != RMI_NONE;
    bool by_consumer = to_stays && is_same_end(change, was, is, false);
    bool by_producer = from_stays && is_same_end(change, was, is, true);
    if (on_path) {
        return 2 + (to_kept || !from_stays ? by_consumer : by_producer);
    }
    return by_consumer || (!to_stays && by_producer);
}

static rm_status bequeath(rm_change *change, uint32_t old_edge, uint32_t heir)
{
    if (change->bequest_count == change->bequest_capacity) {
        uint32_t capacity = change->bequest_capacity ? 2 * change->bequest_capacity : 16;
        rmi_bequest *grown = rmi_realloc(change->bequests, capacity * sizeof *grown);
        if (!grown) {
            return RM_ENOMEM;
        }
        change->bequests = grown;
        change->bequest_capacity = capacity;
    }
    change->bequests[change->bequest_count++] = (rmi_bequest){old_edge, heir};
    if (change->heir[old_edge] == RMI_NONE) {
        change->heir[old_edge] = heir;
    }
    return RM_OK;
}

static rm_status find_heir(rm_change *change, uint32_t old_edge, const path_ends *end)
{
    const rm_plan *was = change->session->plan, *is = change->plan;
    unsigned best = 0;
    uint32_t heir = RMI_NONE;
    for (uint32_t i = 0; i < is->edge_count; i++) {
        unsigned fit = change->edges[i].is_made
                           ? fits(change, &was->edges[old_edge].pub, &is->edges[i].pub, end)
                           : 0;
        if (fit > best) {
            best = fit;
            heir = i;
        }
    }
    return heir == RMI_NONE || has_twin(change, old_edge, heir) ? RM_OK
                                                                : bequeath(change, old_edge, heir);
}

rm_status rmi_change_find_heirs(rm_change *change, rm_error *err)
{
    const rm_plan *was = change->session->plan;
    rm_status status = RM_OK;
    for (uint32_t k = 0; k < was->edge_count && status == RM_OK; k++) {
        path_ends ends = {.count = 0};
        if (change->heir[k] != RMI_NONE) {
            continue; /* it is kept */
        }
        if (rmi_change_is_inside(change, k)) {
            continue; /* it will be empty */
        }
        old_ends(change, &was->edges[k].pub, false, &ends);
        if (ends.count == 0) {
            status = find_heir(change, k, &ends);
        }
        for (uint32_t i = 0; i < ends.count && status == RM_OK; i++) {
            path_ends one = {.end = {ends.end[i]}, .count = 1};
            status = find_heir(change, k, &one);
        }
    }
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory for a change");
}
