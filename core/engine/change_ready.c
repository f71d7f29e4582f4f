/* Is it the moment for a change? And until it is: who gets no new items.
 *
 *     a ═▶ b ═▶ c, b goes      b is on hold: it comes to the end of its item and gets no new one
 *                              what waits on a ═▶ b can't be taken by what comes: then a is, and b
 *                              as soon as it has emptied that edge
 */
#include <string.h>

#include "engine/change.h"
#include "engine/hold.h"

static rm_status check_session(const rm_change *change, rm_error *err)
{
    const rm_session *session = change->session;
    if (session->closed) {
        return rm_fail(err, RM_EINVAL, "the session is over");
    }
    for (uint32_t i = 0; i < session->strand_count; i++) {
        if (session->strands[i]->cancelling) {
            return rm_fail(err, RM_ECANCELED, "the session was cancelled");
        }
        for (uint16_t k = 0; k < change->tables[i].node_count; k++) {
            if (session->strands[i]->finished && change->tables[i].nodes[k]->joins) {
                return rm_fail(err, RM_EINVAL,
                               "the session is ending: nothing runs any more where "
                               "'%.60s' would",
                               change->tables[i].nodes[k]->pub.id);
            }
        }
    }
    return RM_OK;
}

/* A node that goes, or is visited, is between two items. */
static rm_status check_boundary(const rmi_node *node, rm_error *err)
{
    if (rmi_node_is_ending(node)) {
        return rm_fail(err, RM_EINVAL, "node '%s' has ended", node->pub.id);
    }
    if (node->draining) {
        return rm_fail(err, RM_EAGAIN, "node '%s' is not done with what it holds back",
                       node->pub.id);
    }
    bool rests = node->state == RMI_NODE_IDLE || node->state == RMI_NODE_HOLDING;
    if (!rests || node->held || node->more || (node->stalled && !node->is_source)) {
        return rm_fail(err, RM_EAGAIN, "node '%s' is within an item", node->pub.id);
    }
    return RM_OK;
}

static bool has_to_rest(const rm_change *change, const rmi_node *node)
{
    return !rmi_change_is_kept(change, node) || rmi_change_visits(change, node) ||
           change->drains[node->index];
}

static rm_status check_nodes(const rm_change *change, rm_error *err)
{
    const rm_session *session = change->session;
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        if (has_to_rest(change, session->nodes[i])) {
            status = check_boundary(session->nodes[i], err);
        }
    }
    return status;
}

uint32_t rmi_change_queued_on(const rmi_edge *edge)
{
    return edge->link ? atomic_load(&edge->link->tail) - atomic_load(&edge->link->head)
                      : rmi_edge_length(edge);
}

rm_packet *rmi_change_queued_at(const rmi_edge *edge, uint32_t index)
{
    uint32_t head = edge->link ? atomic_load(&edge->link->head) : edge->head;
    return edge->ring[(head + index) & edge->mask];
}

static bool accepts(const rmi_in_port *port, const rm_packet *packet)
{
    const rm_formats *all = port->accepts;
    bool fits = !all;
    for (uint32_t i = 0; all && i < all->count && !fits; i++) {
        fits = rm_format_accepts(&all->alternative[i], packet->header.kind,
                                 &packet->header.format) != 0;
    }
    return fits;
}

bool rmi_change_has_front(const rmi_node *node, const rmi_edge *edge)
{
    const rmi_out_port *port = &node->out[edge->from_port];
    if (!node->outbox_done || node->outbox[node->outbox_sent].port != port) {
        return false;
    }
    for (uint32_t e = 0; e < port->edge_count; e++) {
        if (port->edges[e] == edge) {
            return node->outbox_done >> e & 1;
        }
    }
    return false;
}

/* That its producer has not yet put on this edge. The first one may be on it already. */
static bool is_outgoing(const rmi_edge *edge, uint32_t index)
{
    const rmi_node *from = edge->from;
    bool is_front = index == from->outbox_sent;
    return from->outbox[index].port == &from->out[edge->from_port] &&
           !(is_front && rmi_change_has_front(from, edge));
}

static uint32_t count_outgoing(const rmi_edge *edge)
{
    uint32_t count = 0;
    for (uint32_t i = edge->from->outbox_sent; i < edge->from->outbox_count; i++) {
        count += is_outgoing(edge, i);
    }
    return count;
}

/* Where packets of the edge arrive: a split hands them on to copies. */
static const rmi_in_port *port_behind(const rm_change *change, const rm_plan_edge *planned)
{
    const rm_plan *plan = change->plan;
    bool is_split = plan->nodes[planned->to_node]->pub.type == &rmi_split_type;
    for (size_t e = 0; e < plan->edge_count && is_split; e++) {
        const rm_plan_edge *inner = &plan->edges[e].pub;
        if (inner->from_node == planned->to_node) {
            return &change->nodes[inner->to_node].node->in_port[inner->to_port];
        }
    }
    return &change->nodes[planned->to_node].node->in_port[planned->to_port];
}

/* What waits for this edge or on it can be taken by a new node that it will lead to. */
static bool is_welcome(const rm_change *change, const rmi_edge *edge, uint32_t heir)
{
    const rm_plan_edge *planned = &change->plan->edges[heir].pub;
    const rmi_node *to = change->nodes[planned->to_node].node, *from = edge->from;
    const rmi_in_port *port = port_behind(change, planned);
    bool welcome = true;
    for (uint32_t i = 0; to->joins && i < rmi_change_queued_on(edge) && welcome; i++) {
        welcome = accepts(port, rmi_change_queued_at(edge, i));
    }
    for (uint32_t i = from->outbox_sent; to->joins && i < from->outbox_count && welcome; i++) {
        welcome = !is_outgoing(edge, i) || accepts(port, from->outbox[i].packet);
    }
    return welcome;
}

/* By the edge itself, or by each that takes its packets. */
static bool is_welcome_everywhere(const rm_change *change, uint32_t old_edge)
{
    const rmi_edge *edge = change->session->edges[old_edge];
    bool welcome = is_welcome(change, edge, change->heir[old_edge]);
    for (uint32_t i = 0; i < change->bequest_count && welcome; i++) {
        if (change->bequests[i].old_edge == old_edge) {
            welcome = is_welcome(change, edge, change->bequests[i].heir);
        }
    }
    return welcome;
}

/* Only the node that it leads to now can take what waits on it. */
static bool has_to_empty(const rm_change *change, uint32_t old_edge)
{
    const rmi_edge *edge = change->session->edges[old_edge];
    return change->heir[old_edge] == RMI_NONE || rmi_change_is_inside(change, old_edge)
               ? rmi_change_queued_on(edge) > 0 || count_outgoing(edge) > 0
               : !is_welcome_everywhere(change, old_edge);
}

rm_status rmi_change_check_edges(const rm_change *change, rm_error *err)
{
    const rm_session *session = change->session;
    for (uint32_t i = 0; i < session->edge_count; i++) {
        const rmi_edge *edge = session->edges[i];
        if (has_to_empty(change, i)) {
            return rm_fail(err, RM_EAGAIN, "packets are queued on %s -> %s that %s",
                           edge->from->pub.id, rmi_edge_consumer(edge)->pub.id,
                           change->heir[i] == RMI_NONE ? "would have nowhere to go"
                                                       : "what follows there can't take");
        }
    }
    return RM_OK;
}

/* ---- the front of an outbox that some edges of its port have already */

/* Edges that lead where a new one leads have the packet, or have it not. */
static rm_status look_at_front(rm_change *change, uint32_t index, rm_error *err)
{
    const rm_session *session = change->session;
    const rm_plan_edge *planned = &change->plan->edges[index].pub;
    rmi_new_edge *fresh = &change->edges[index];
    const rmi_node *from = change->nodes[planned->from_node].old;
    uint32_t with = 0, without = 0;
    fresh->has_front = false;
    if (!from || !from->outbox_done) {
        return RM_OK;
    }
    for (uint32_t i = 0; i < session->edge_count; i++) {
        const rmi_edge *edge = session->edges[i];
        bool alike = fresh->is_made ? edge->from == from && edge->from_port == planned->from_port &&
                                          rmi_change_leads_alike(change, i, index)
                                    : edge == fresh->edge;
        with += alike && rmi_change_has_front(from, edge);
        without += alike && !rmi_change_has_front(from, edge);
    }
    fresh->has_front = with > 0;
    return with && without
               ? rm_fail(err, RM_EAGAIN, "a packet of '%s' is on a part of its ways", from->pub.id)
               : RM_OK;
}

static rm_status look_at_fronts(rm_change *change, rm_error *err)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < change->plan->edge_count && status == RM_OK; i++) {
        status = look_at_front(change, i, err);
    }
    return status;
}

rm_status rmi_change_check(rm_change *change, rm_error *err)
{
    rm_status status = check_session(change, err);
    if (status == RM_OK) {
        status = check_nodes(change, err);
    }
    if (status == RM_OK) {
        status = rmi_change_check_edges(change, err);
    }
    return status == RM_OK ? look_at_fronts(change, err) : status;
}

/* ---- until it is */

/* The consumer has to take what waits there, and nothing comes after it: who feeds it ends its
 * item. Until nothing waits any more, also where none does by now. */
static void have_emptied(rm_change *change, const rmi_edge *edge)
{
    change->holds[edge->from->index] = RMI_HELD_FOR_GOOD;
    if (change->holds[rmi_edge_consumer(edge)->index] == RMI_HELD) {
        change->holds[rmi_edge_consumer(edge)->index] = RMI_NOT_HELD;
    }
}

/* Those that take what comes out of copies, and of those in turn, up to the end of the graph. */
static void mark_behind(rm_change *change)
{
    const rm_session *session = change->session;
    bool grows = true;
    while (grows) {
        grows = false;
        for (uint32_t i = 0; i < session->edge_count; i++) {
            const rmi_edge *edge = session->edges[i];
            uint32_t to = rmi_edge_consumer(edge)->index;
            bool follows = change->goes_on[edge->from->index] && !change->goes_on[to];
            change->goes_on[to] |= follows;
            grows |= follows;
        }
    }
}

/* As long as something is between a split and its gather nobody behind it is held. The split is:
 * that lasts until it is out. */
static void have_copies_emptied(rm_change *change)
{
    const rm_session *session = change->session;
    memset(change->goes_on, 0, session->node_count * sizeof *change->goes_on);
    for (uint32_t i = 0; i < session->edge_count; i++) {
        bool is_left = rmi_change_is_inside(change, i) && has_to_empty(change, i);
        change->goes_on[rmi_edge_consumer(session->edges[i])->index] |= is_left;
    }
    mark_behind(change);
    for (uint32_t i = 0; i < session->node_count; i++) {
        const rm_node_type *type = session->nodes[i]->pub.type;
        if (change->goes_on[i] || (change->drains[i] && type != &rmi_split_type)) {
            change->holds[i] = RMI_NOT_HELD;
        }
    }
}

static bool is_held(const rmi_node *node, const void *context)
{
    const rm_change *change = context;
    return change->holds[node->index] != RMI_NOT_HELD;
}

/* Nothing has moved since the last try, nor is about to, or out: who is on hold keeps something
 * from those that are not. Each may begin one item then; where that does not help an edge has to
 * grow, or memory to come free, which does not happen while nodes are on hold (quiet.h). */
static bool is_stuck(rm_change *change)
{
    const rm_session *session = change->session;
    uint64_t calls = 0;
    bool is_out = false;
    for (uint32_t i = 0; i < session->node_count; i++) {
        calls += session->nodes[i]->calls;
    }
    for (uint32_t i = 0; i < session->strand_count; i++) {
        rmi_strand *strand = session->strands[i];
        is_out |= strand->outstanding > 0 || strand->timer_count > 0 ||
                  (!strand->finished && rmi_strand_has_work(strand));
    }
    bool same = change->is_holding && calls == change->calls && !is_out;
    change->calls = calls;
    return same;
}

void rmi_change_hold(rm_change *change)
{
    rm_session *session = change->session;
    bool stuck = is_stuck(change), has_to_pass = stuck && !change->has_passed;
    if (stuck && change->has_passed) {
        memset(change->holds, RMI_NOT_HELD, session->node_count * sizeof *change->holds);
        change->has_passed = false;
        rmi_change_release(change);
        return; /* until the next try */
    }
    bool is_split = look_at_fronts(change, NULL) != RM_OK; /* a packet is on a part of its ways */
    for (uint32_t i = 0; i < session->node_count; i++) {
        bool rests = has_to_rest(change, session->nodes[i]);
        if (change->holds[i] == RMI_NOT_HELD && rests) {
            change->holds[i] = RMI_HELD;
        }
    }
    for (uint32_t i = 0; i < session->edge_count; i++) {
        const rmi_edge *edge = session->edges[i];
        if (has_to_empty(change, i)) {
            have_emptied(change, edge);
        } else if (is_split && edge->from->outbox_done) {
            change->holds[edge->from->index] = RMI_HELD_FOR_GOOD;
        }
    }
    have_copies_emptied(change);
    change->is_holding = true;
    rmi_hold_begin(session, RMI_HOLD_CHANGE, is_held, change);
    change->has_passed = has_to_pass;
    if (has_to_pass) {
        rmi_hold_pass(session);
    }
}

void rmi_change_release(rm_change *change)
{
    if (change->is_holding) {
        change->is_holding = false;
        rmi_hold_end(change->session, RMI_HOLD_CHANGE);
    }
}
