/* The session stands still: one graph goes, the other comes. What can fail comes first. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/change.h"
#include "engine/events.h"
#include "engine/intake.h"
#include "engine/overrun.h"
#include "engine/repair.h"
#include "graph/route.h"

#define EXCHANGE(a, b)             \
    do {                           \
        __typeof__(a) other = (a); \
        (a) = (b);                 \
        (b) = other;               \
    } while (0)

/* ---- what nodes that go hold back */

/* Of the same type: it may know the state. */
static rmi_node *successor(const rm_change *change, const rmi_node *old)
{
    uint32_t place = change->place[old->index];
    rmi_node *node = place == RMI_NONE ? NULL : change->nodes[place].node;
    return node && strcmp(node->pub.type->name, old->pub.type->name) == 0 ? node : NULL;
}

static rm_status hand_over(rm_change *change, rm_error *err)
{
    const rm_session *session = change->session;
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        rmi_node *old = session->nodes[i];
        if (rmi_change_is_kept(change, old) || old->copies > 1) {
            continue; /* a copy keeps nothing from item to item */
        }
        status = rmi_node_hand_over(old, successor(change, old), err);
        if (status == RM_EAGAIN) {
            (void)rm_fail(err, RM_EAGAIN, "node '%s' is not done with what it holds back",
                          old->pub.id);
        } else if (status < 0 && err && !err->node[0]) {
            snprintf(err->node, sizeof err->node, "%s", old->pub.id);
        }
    }
    return status;
}

/* Not now, after all: what nodes gave in hand_over() goes on by the old way. */
static void go_back(rm_change *change)
{
    const rm_session *session = change->session;
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *old = session->nodes[i];
        bool waits = old->state == RMI_NODE_IDLE && (old->outbox_count || old->draining);
        if (!rmi_change_is_kept(change, old) && waits) {
            old->state = old->outbox_count ? RMI_NODE_HOLDING : RMI_NODE_IDLE;
            old->strand->resting = false;
            rmi_strand_consider(old->strand, old);
            rmi_parking_wake(&old->strand->parking);
        }
    }
}

/* Nodes before number `count` take back the parameters that they had. */
static void take_back_params(rm_change *change, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rmi_new_node *fresh = &change->nodes[i];
        if (fresh->params) {
            (void)!rmi_node_exchange_params(fresh->old, &fresh->params, NULL);
        }
    }
}

static rm_status exchange_params(rm_change *change, rm_error *err)
{
    for (uint32_t i = 0; i < change->plan->node_count; i++) {
        rmi_new_node *fresh = &change->nodes[i];
        rm_status status =
            fresh->params ? rmi_node_exchange_params(fresh->old, &fresh->params, err) : RM_OK;
        if (status < 0) {
            rm_error_wrap(err, "node '%s'", fresh->old->pub.id);
            take_back_params(change, i);
            return status;
        }
    }
    return RM_OK;
}

/* ---- room for what is handed on */

static uint32_t count_outgoing(const rmi_node *node, uint32_t port)
{
    uint32_t count = 0;
    for (uint32_t i = node->outbox_sent; i < node->outbox_count; i++) {
        count += node->outbox[i].port == &node->out[port];
    }
    return count;
}

static rm_status reserve_edge(rm_change *change, uint32_t index)
{
    const rm_session *session = change->session;
    rmi_edge *edge = change->edges[index].edge;
    uint32_t count = 0;
    for (uint32_t i = 0; i < change->bequest_count; i++) {
        const rmi_edge *old = session->edges[change->bequests[i].old_edge];
        if (change->bequests[i].heir == index) {
            count += rmi_change_queued_on(old) + count_outgoing(old->from, old->from_port);
        }
    }
    if (count <= edge->mask) {
        return RM_OK;
    }
    return edge->link ? rmi_link_reserve(edge->link, count + 1) : rmi_edge_reserve(edge, count + 1);
}

/* Also for those that it has now: nothing is lost if the change is not made. */
static rm_status reserve_lists(rmi_node *node, const rm_plan *plan, uint32_t index)
{
    uint32_t ins = node->n_in, outs[RM_PORTS_MAX];
    for (uint16_t p = 0; p < node->n_out; p++) {
        outs[p] = node->out[p].edge_count;
    }
    for (size_t e = 0; e < plan->edge_count; e++) {
        const rm_plan_edge *edge = &plan->edges[e].pub;
        ins += edge->to_node == index;
        if (edge->from_node == index) {
            outs[edge->from_port]++;
        }
    }
    rm_status status = rmi_node_reserve_edges(node, 0, false, ins);
    for (uint16_t p = 0; p < node->n_out && status == RM_OK; p++) {
        status = rmi_node_reserve_edges(node, p, true, outs[p]);
    }
    return status;
}

static rm_status reserve(rm_change *change, rm_error *err)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < change->plan->node_count && status == RM_OK; i++) {
        status = reserve_lists(change->nodes[i].node, change->plan, i);
    }
    for (uint32_t i = 0; i < change->plan->edge_count && status == RM_OK; i++) {
        status = change->edges[i].is_made ? reserve_edge(change, i) : RM_OK;
    }
    for (uint32_t i = 0; i < change->plan->node_count && status == RM_OK; i++) {
        rmi_node *old = change->nodes[i].old, *node = change->nodes[i].node;
        if (old && node != old) {
            status = rmi_node_reserve_outbox(node, old->outbox_count + node->outbox_max + 1, NULL);
        }
    }
    return status == RM_OK ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for a change");
}

/* ---- moving packets */

static void put(rmi_edge *edge, rm_packet *packet)
{
    edge->packets++;
    edge->packet_bytes += packet->header.payload_bytes;
    edge->queued++;
    if (edge->link) {
        rmi_link_push(edge->link, packet);
        return;
    }
    edge->ring[edge->tail++ & edge->mask] = packet;
    rmi_edge_weigh(edge, packet, 1);
    uint32_t length = rmi_edge_length(edge);
    edge->peak = length > edge->peak ? length : edge->peak;
}

/* What was on its way to a node that goes has yet to meet the condition of the edge behind it. */
static bool is_taken(const rm_change *change, const rmi_edge *from, const rmi_edge *to,
                     const rm_packet *packet)
{
    bool is_behind = change->place[rmi_edge_consumer(from)->index] != RMI_NONE;
    return is_behind || !to->route ||
           rmi_route_takes(to->route, packet, change->session->options.read_object);
}

/* Packets of an epoch that an interrupt has ended stay behind. */
static void copy_queue(const rm_change *change, const rmi_edge *from, rmi_edge *to)
{
    const rmi_link *link = from->link;
    uint32_t count = rmi_change_queued_on(from);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = link ? (atomic_load(&link->head) + i) & link->mask : 0;
        bool is_old = link && (int32_t)(link->epoch[slot] - from->epoch) < 0;
        if (!is_old && is_taken(change, from, to, rmi_change_queued_at(from, i))) {
            put(to, rm_packet_ref(rmi_change_queued_at(from, i)));
        }
    }
}

static void clear_queue(rmi_edge *edge)
{
    rmi_link *link = edge->link;
    uint32_t count = rmi_change_queued_on(edge);
    for (uint32_t i = 0; i < count; i++) {
        rm_packet_unref(rmi_change_queued_at(edge, i));
    }
    if (link) {
        atomic_store(&link->head, atomic_load(&link->tail));
        link->receiving->head = link->receiving->tail = atomic_load(&link->tail);
    } else {
        edge->head = edge->tail;
        edge->load = (rmi_load){0};
    }
}

/* What a node that goes has not yet put on its edge. */
static void move_outgoing(const rm_change *change, const rmi_edge *old, rmi_edge *to)
{
    const rmi_node *node = old->from;
    rm_read_object read_object = change->session->options.read_object;
    for (uint32_t i = node->outbox_sent; i < node->outbox_count; i++) {
        rm_packet *packet = node->outbox[i].packet;
        bool is_front = i == node->outbox_sent;
        if (node->outbox[i].port != &node->out[old->from_port] ||
            (is_front && rmi_change_has_front(node, old))) {
            continue;
        }
        bool is_checked = (is_front && node->outbox_checked) || !old->route;
        if ((is_checked || rmi_route_takes(old->route, packet, read_object)) &&
            is_taken(change, old, to, packet)) {
            put(to, rm_packet_ref(packet));
        }
    }
}

/* What is nearest to the consumer goes first. */
static void move_packets(rm_change *change)
{
    const rm_session *session = change->session;
    for (uint32_t n = session->node_count; n-- > 0 && change->bequest_count;) {
        for (uint32_t i = 0; i < change->bequest_count; i++) {
            rmi_edge *old = session->edges[change->bequests[i].old_edge];
            rmi_edge *heir = change->edges[change->bequests[i].heir].edge;
            if (old->from->index != n) {
                continue;
            }
            copy_queue(change, old, heir);
            if (change->place[n] == RMI_NONE) {
                move_outgoing(change, old, heir);
            }
        }
    }
    for (uint32_t i = 0; i < change->bequest_count; i++) {
        clear_queue(session->edges[change->bequests[i].old_edge]);
    }
}

/* ---- new nodes */

static void take_outbox(rmi_node *node, rmi_node *old)
{
    for (uint32_t i = old->outbox_sent; i < old->outbox_count; i++) {
        uint32_t port = (uint32_t)(old->outbox[i].port - old->out);
        if (port >= node->n_out) { /* it has no such output */
            rm_packet_unref(old->outbox[i].packet);
            continue;
        }
        if (i == old->outbox_sent) {
            node->outbox_done = old->outbox_done != 0; /* its bits are found below */
            node->outbox_checked = old->outbox_checked;
        }
        node->outbox[node->outbox_count++] =
            (rmi_outgoing){old->outbox[i].packet, &node->out[port]};
    }
    old->outbox_count = old->outbox_sent = 0;
}

static void take_over(rmi_node *node, rmi_node *old)
{
    take_outbox(node, old);
    if (node->times && old->times && node->n_out == old->n_out) {
        EXCHANGE(node->times, old->times);
    }
    for (uint16_t p = 0; p < node->n_out && p < old->n_out; p++) {
        node->out[p].sequence = old->out[p].sequence;
    }
    node->calls = node->told_calls = old->calls;
    node->items = old->items;
    node->errors = old->errors;
    node->skipped = old->skipped;
    node->retries = old->retries;
    node->emitted = old->emitted;
    node->dead_letters = old->dead_letters;
    node->unrouted = old->unrouted;
    node->pts_repaired = old->pts_repaired;
    node->late = old->late;
    node->late_drops = old->late_drops;
    node->over_budget = old->over_budget;
    node->gave_first = old->gave_first;
}

static void join(rmi_new_node *fresh)
{
    rmi_node *node = fresh->node;
    node->joins = false;
    node->opened = true;
    node->told_at_ticks = rmi_clock_ticks();
    if (fresh->old) {
        take_over(node, fresh->old);
    }
    node->state = node->outbox_count ? RMI_NODE_HOLDING : RMI_NODE_IDLE;
}

/* ---- edges */

/* The edges that have the front packet of a node's outbox, by their new numbers. */
static void set_front(const rm_change *change, rmi_node *node)
{
    rmi_out_port *port = node->outbox[node->outbox_sent].port;
    uint64_t done = 0;
    for (uint32_t e = 0; e < port->edge_count; e++) {
        const rmi_edge *edge = port->edges[e];
        const rmi_new_edge *fresh = &change->edges[edge->index];
        bool refuses = node->outbox_checked && fresh->is_made && edge->route &&
                       !rmi_route_takes(edge->route, node->outbox[node->outbox_sent].packet,
                                        change->session->options.read_object);
        done |= (uint64_t)(fresh->has_front || refuses) << e;
    }
    node->outbox_done = port->edge_count > 1 || port->checked ? done : 0;
    node->outbox_checked &= port->checked; /* else nobody takes it back as the packet leaves */
    uint64_t all = port->edge_count == 64 ? UINT64_MAX : (UINT64_C(1) << port->edge_count) - 1;
    if (done == all && done) { /* those that had it not are gone */
        rm_packet_unref(node->outbox[node->outbox_sent++].packet);
        port->emitted = 0;
        node->emitted++;
        node->outbox_done = 0;
        node->outbox_checked = false;
    }
}

static void connect(rm_change *change)
{
    const rm_plan *plan = change->plan;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        rmi_node *node = change->nodes[i].node;
        node->n_in = 0;
        for (uint16_t k = 0; k < node->n_current; k++) {
            node->in_port[k].planned = NULL; /* it may be of an older plan */
        }
        node->next_in = node->merge == RMI_MERGE_TURNS ? node->next_in : 0;
        for (uint16_t p = 0; p < node->n_out; p++) {
            node->out[p].edge_count = 0;
            node->out[p].direct = NULL;
            node->out[p].checked = node->times && !node->times[p].is_kept;
        }
    }
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        const rm_plan_edge *planned = &plan->edges[i].pub;
        rmi_edge *edge = change->edges[i].edge, *end = edge->link ? edge->link->receiving : edge;
        rmi_node *from = change->nodes[planned->from_node].node;
        rmi_node *to = change->nodes[planned->to_node].node;
        edge->index = i;
        rmi_node_put_edge(from, planned->from_port, true, edge);
        rmi_node_put_edge(to, planned->to_port, false, end);
        from->out[planned->from_port].checked |= edge->route != NULL;
        to->in_port[planned->to_port].planned = &plan->edges[i].format;
    }
    for (uint32_t i = 0; i < plan->node_count; i++) {
        const rmi_node *node = change->nodes[i].node;
        if (node->outbox_done || node->outbox_checked) {
            set_front(change, change->nodes[i].node);
        }
    }
}

static void end_edge(rmi_edge *edge)
{
    edge->ended = true;
    if (edge->link) {
        atomic_store(&edge->link->ended, true);
    }
}

/* New edges between nodes that have ended, or do so. */
static void settle_ends(rm_change *change)
{
    for (uint32_t i = 0; i < change->plan->edge_count; i++) {
        rmi_edge *edge = change->edges[i].edge;
        rmi_node *to = rmi_edge_consumer(edge);
        if (!change->edges[i].is_made) {
            continue;
        }
        if (edge->from->state >= RMI_NODE_ENDED) {
            end_edge(edge);
        }
        if ((to->flushing && !to->draining) || to->state >= RMI_NODE_ENDED) {
            rmi_intake_close(to->strand, edge->link ? edge->link->receiving : edge);
        }
    }
}

/* ---- strands */

static void retire_timers(rm_change *change)
{
    const rm_session *session = change->session;
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *old = session->nodes[i];
        if (!rmi_change_is_kept(change, old)) {
            rmi_strand_clear_timer(old->strand, old);
        }
    }
}

static void retire_controls(rm_change *change, rmi_strand *strand)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < strand->control_count; i++) {
        if (rmi_change_is_kept(change, strand->controls[i].node)) {
            strand->controls[kept++] = strand->controls[i];
        }
    }
    strand->control_count = kept;
}

static void exchange_tables(rmi_strand *strand, rmi_strand_tables *tables)
{
    memcpy(tables->timers + 1, strand->timers + 1, strand->timer_count * sizeof(rmi_node *));
    EXCHANGE(strand->nodes, tables->nodes);
    EXCHANGE(strand->timers, tables->timers);
    EXCHANGE(strand->ready, tables->ready);
    EXCHANGE(strand->links_in, tables->links_in);
    EXCHANGE(strand->links_out, tables->links_out);
    strand->node_count = tables->node_count;
    strand->link_in_count = tables->link_in_count;
    strand->link_out_count = tables->link_out_count;
    strand->ready_top = 0;
    strand->open_nodes = 0;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        strand->nodes[i]->rank = i;
        strand->open_nodes += strand->nodes[i]->state < RMI_NODE_ENDED;
    }
    rmi_overrun_count_sources(strand);
}

static void exchange_strands(rm_change *change)
{
    rm_session *session = change->session;
    retire_timers(change);
    for (uint32_t i = 0; i < session->strand_count; i++) {
        retire_controls(change, session->strands[i]);
        exchange_tables(session->strands[i], &change->tables[i]);
    }
}

/* ---- the session's lists */

static void retire(rm_change *change)
{
    rm_session *session = change->session;
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *old = session->nodes[i];
        if (!rmi_change_is_kept(change, old)) {
            rmi_node_drop_outbox(old); /* it has been handed on */
            rmi_session_retire_node(session, old);
        }
    }
    for (uint32_t i = 0; i < session->edge_count; i++) {
        rmi_edge *old = session->edges[i];
        if (rmi_change_edge_is_kept(change, i)) {
            continue;
        }
        if (old->link) { /* an interrupt may be on its way by it */
            rmi_session_retire_link(session, old->link);
        } else {
            rmi_session_free_edge(session, old);
        }
    }
}

static void exchange_lists(rm_change *change)
{
    rm_session *session = change->session;
    pthread_mutex_lock(&session->lock);
    EXCHANGE(session->nodes, change->new_nodes);
    EXCHANGE(session->edges, change->new_edges);
    session->node_count = session->node_capacity = session->opened =
        (uint32_t)change->plan->node_count;
    session->edge_count = session->edge_capacity = (uint32_t)change->plan->edge_count;
    for (uint32_t i = 0; i < session->node_count; i++) {
        session->nodes[i]->index = i;
    }
    session->reserve_given = session->node_count;
    session->memory_round = 0;
    rmi_budget_set_ranks(session->budget, session->node_count);
    pthread_mutex_unlock(&session->lock);
}

static void go_on(rm_session *session)
{
    rmi_session_find_direct_edges(session);
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        if (!node->strand->finished) {
            if (node->state == RMI_NODE_IDLE) {
                rmi_strand_arm_timer(node->strand, node);
            }
            rmi_strand_consider(node->strand, node);
        }
    }
    for (uint32_t i = 0; i < session->strand_count; i++) {
        rmi_strand *strand = session->strands[i];
        strand->resting &= strand->finished && i > 0; /* that one rests for good */
        rmi_parking_wake(&strand->parking);
    }
}

/* Nothing here fails. */
static void apply(rm_change *change)
{
    rm_session *session = change->session;
    rmi_change_release(change);
    move_packets(change);
    rmi_change_continue_copies(change);
    for (uint32_t i = 0; i < change->plan->node_count; i++) {
        if (change->nodes[i].node->joins) {
            join(&change->nodes[i]);
        }
    }
    exchange_strands(change);
    connect(change);
    retire(change);
    exchange_lists(change);
    rmi_session_find_direct_edges(session);
    settle_ends(change);
    go_on(session);
}

rm_status rmi_change_exchange(rm_change *change, rm_error *err)
{
    rm_status status = rmi_change_check(change, err);
    if (status == RM_OK) {
        status = exchange_params(change, err);
    }
    if (status != RM_OK) {
        return status;
    }
    status = hand_over(change, err);
    if (status == RM_OK) {
        status = rmi_change_check_edges(change, err);
    }
    if (status == RM_OK) {
        status = reserve(change, err);
    }
    if (status == RM_OK) {
        status = rmi_change_visit(change, err);
    }
    if (status != RM_OK) {
        take_back_params(change, (uint32_t)change->plan->node_count);
        go_back(change);
        return status;
    }
    apply(change);
    return RM_OK;
}

/* ---- after it */

static const char *reason_for(const rmi_new_node *fresh)
{
    if (!fresh->old) {
        return "insert";
    }
    return fresh->node == fresh->old ? "params" : "replace";
}

static void tell(const rm_change *change, const rmi_node *node, const char *reason)
{
    rmi_event_tell(change->session,
                   &(rmi_happening){.kind = RM_EVENT_CHANGED, .node = node, .reason = reason});
}

void rmi_change_finish(rm_change *change)
{
    rm_session *session = change->session;
    for (size_t i = 0; i < session->plan->node_count; i++) {
        rmi_node *old = change->new_nodes[i]; /* the list that was exchanged */
        uint32_t place = change->place[i];
        if (place != RMI_NONE && change->nodes[place].node == old) {
            continue;
        }
        if (place == RMI_NONE) {
            tell(change, old, "remove");
        }
        if (old->pub.type->close && !old->stays_closed) {
            old->pub.type->close(&old->pub);
        }
        rmi_node_log_closed(old);
    }
    for (size_t i = 0; i < change->plan->node_count; i++) {
        const rmi_new_node *fresh = &change->nodes[i];
        if (fresh->node != fresh->old || fresh->params || rmi_change_visits(change, fresh->node)) {
            tell(change, fresh->node, reason_for(fresh));
        }
    }
    rmi_change_settle(change);
}
