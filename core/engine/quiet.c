#include "engine/quiet.h"

#include <stdio.h>

#include "engine/io_nodes.h"

/* ---- what a strand that rests waits for */

static bool waits_for_room(const rmi_node *node)
{
    return node->state == RMI_NODE_HOLDING ||
           (node->state == RMI_NODE_IDLE && node->is_source && !node->stalled);
}

static bool waits_for_memory(const rmi_node *node)
{
    return node->state == RMI_NODE_IDLE && node->stalled && node->wants_memory;
}

static rmi_rest sum_up(const rmi_strand *strand)
{
    rmi_rest rest = {0};
    if (strand->finished) {
        return rest;
    }
    rest.outside = strand->outstanding || strand->timer_count || strand->cancelling ||
                   strand->holds || strand->shed;
    for (uint16_t i = 0; i < strand->node_count && !rest.outside; i++) {
        const rmi_node *node = strand->nodes[i];
        if (waits_for_room(node) || waits_for_memory(node)) {
            rest.stuck = true;
        } else if (node->state == RMI_NODE_IDLE && node->stalled) {
            bool is_input = node->pub.type == &rmi_input_type;
            rest.input |= is_input;
            rest.outside |= !is_input;
        }
    }
    return rest;
}

/* All rest, something is stuck, and nothing comes by itself. Under the lock. */
static bool is_suspicious(rm_session *session)
{
    bool owner_waits = atomic_load(&session->owner_wants_memory);
    bool stuck = owner_waits;
    for (uint32_t i = 0; i < session->strand_count; i++) {
        const rmi_strand *strand = session->strands[i];
        if (!strand->resting || strand->rest.outside || (strand->rest.input && !owner_waits)) {
            return false;
        }
        stuck |= strand->rest.stuck;
    }
    return stuck;
}

/* Somebody was woken and has not risen yet. */
static bool wakes_up(const rm_session *session)
{
    for (uint32_t i = 0; i < session->strand_count; i++) {
        const rmi_strand *strand = session->strands[i];
        if (strand->finished && i > 0) {
            continue; /* its thread has ended: what is posted there waits for nobody */
        }
        if (strand->finished
                ? !rmi_mailbox_is_empty(&strand->mailbox)
                : rmi_strand_has_work(strand) || (i > 0 && !atomic_load(&strand->parking.parked))) {
            return true;
        }
    }
    return false;
}

/* ---- where the memory is */

typedef struct census {
    rm_session *session;
    void (*note)(struct census *census, rm_packet *packet);
    const rmi_edge *edge; /* that is being looked at; NULL: none */
    uint64_t packets;
    uint64_t edge_bytes, most_bytes;
    const rmi_edge *most; /* the edge that holds most */
    uint32_t most_packets;
} census;

static void note(void *context, rm_packet *packet)
{
    census *c = context;
    c->note(c, packet);
}

static void visit_ring(census *c, rmi_edge *edge)
{
    uint32_t head = edge->link ? atomic_load(&edge->link->head) : edge->head;
    uint32_t tail = edge->link ? atomic_load(&edge->link->tail) : edge->tail;
    c->edge_bytes = 0;
    for (uint32_t i = head; i != tail; i++) {
        c->note(c, edge->ring[i & edge->mask]);
    }
    if (c->edge_bytes > c->most_bytes) {
        c->most_bytes = c->edge_bytes;
        c->most = edge;
        c->most_packets = tail - head;
    }
}

static void visit_all(census *c)
{
    rm_session *session = c->session;
    for (uint32_t i = 0; i < session->edge_count; i++) {
        visit_ring(c, session->edges[i]);
    }
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        for (uint32_t k = node->outbox_sent; k < node->outbox_count; k++) {
            c->note(c, node->outbox[k].packet);
        }
        for (uint16_t k = 0; k < node->n_current; k++) {
            if (node->current[k]) {
                c->note(c, node->current[k]);
            }
        }
    }
    for (uint32_t i = 0; i < session->input_count; i++) {
        rmi_io_visit(session->inputs[i], note, c);
    }
}

/* A packet that several edges hold is counted once: `host.next` is free while it is out. */
static void unmark(census *c, rm_packet *packet)
{
    if (rmi_packet_charge(packet, c->session->budget)) {
        packet->host.next = NULL;
    }
}

static void count_once(census *c, rm_packet *packet)
{
    uint64_t bytes = rmi_packet_charge(packet, c->session->budget);
    c->edge_bytes += bytes;
    if (bytes && packet->host.next != c) {
        packet->host.next = c;
        c->packets++;
    }
}

static void take_census(census *c)
{
    c->note = unmark;
    visit_all(c);
    c->note = count_once;
    c->most_bytes = 0;
    visit_all(c);
}

static void count_queued(void *context, rm_packet *packet)
{
    (void)packet;
    ++*(uint32_t *)context;
}

/* The owner of the session has packets, or could pull some: then memory may come from there. */
static bool owner_has_memory(rm_session *session, const census *c)
{
    uint32_t queued = 0;
    uint64_t out = 0;
    for (uint32_t i = 0; i < session->output_count; i++) {
        rmi_io_visit(session->outputs[i], count_queued, &queued);
    }
    for (uint32_t i = 0; i < session->strand_count; i++) {
        out += rmi_pool_out(session->strands[i]->pool);
    }
    return queued || (out > c->packets && session->input_count + session->output_count > 0);
}

/* ---- cures */

/* Runs on the home strand: its own mailbox needs no wake. */
static void tell_of_memory(rmi_strand *strand)
{
    if (strand->index > 0) {
        rmi_strand_memory_returned(strand);
    } else if (!atomic_exchange(&strand->memory_posted, true)) {
        rmi_mailbox_push(&strand->mailbox, &strand->memory_message);
    }
}

static rmi_node *first_waiting(const rm_session *session, uint32_t strand)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        if (node->strand->index >= strand && waits_for_memory(node)) {
            return node;
        }
    }
    return NULL;
}

/* The node furthest downstream that waits and has not had the reserve may use it in its next call.
 * False: each of them had it since anything was done. */
static bool give_reserve(rm_session *session)
{
    for (uint32_t i = 0; i < session->strand_count; i++) {
        rmi_pool_keep_nothing(session->strands[i]->pool);
    }
    while (session->reserve_given > 0) {
        rmi_node *node = session->nodes[--session->reserve_given];
        if (waits_for_memory(node)) {
            node->reserve_call = node->calls + 1;
            tell_of_memory(node->strand);
            return true;
        }
    }
    return false;
}

static void note_progress(rm_session *session)
{
    uint64_t progress = 0;
    for (uint32_t i = 0; i < session->node_count; i++) {
        progress += session->nodes[i]->items + session->nodes[i]->emitted;
    }
    if (progress != session->memory_progress) {
        session->memory_progress = progress;
        session->memory_round = 0;
        session->reserve_given = session->node_count;
    }
}

/* Whoever waits tries again with all that is free, a strand at a time: two of them could each take
 * a part and lack the rest. Then with the reserve. False: each has had its turn since anything was
 * done. */
static bool share_caches(rm_session *session)
{
    uint64_t freed = 0;
    for (uint32_t i = 0; i < session->strand_count; i++) {
        freed += rmi_pool_shrink(session->strands[i]->pool);
    }
    note_progress(session);
    const rmi_node *node = first_waiting(session, session->memory_round);
    if (node) {
        session->memory_round = node->strand->index + 1;
        tell_of_memory(node->strand);
        return true;
    }
    if (give_reserve(session)) {
        return true;
    }
    return freed > 0 && atomic_exchange(&session->owner_wants_memory, false);
}

static void report_memory(rm_session *session, const census *c, rm_error *ret_error)
{
    const rmi_node *node = first_waiting(session, 0);
    char where[300] = "nodes keep it all";
    if (c->most) {
        snprintf(where, sizeof where, "%llu bytes are queued on %s -> %s (%u packets)",
                 (unsigned long long)c->most_bytes, c->most->from->pub.id,
                 c->most->link ? c->most->link->receiving->to->pub.id : c->most->to->pub.id,
                 c->most_packets);
    }
    (void)rm_fail_as(ret_error, RM_CODE_MEMORY_DEADLOCK,
                     "node '%s' waits for memory that nobody will give back: the session has %llu "
                     "bytes, %s",
                     node->pub.id, (unsigned long long)rmi_budget_bytes_max(session->budget),
                     where);
    rm_error_help(ret_error, "raise the session's memory_bytes_max, or give connections a lower "
                             "capacity");
    snprintf(ret_error->node, sizeof ret_error->node, "%s", node->pub.id);
}

/* What waits for memory. True: it goes on, or *ret_error is set. */
static bool resolve_memory(rm_session *session, rm_error *ret_error)
{
    bool came_back = false;
    census c = {.session = session};
    take_census(&c);
    if (owner_has_memory(session, &c)) {
        for (uint32_t i = 0; i < session->strand_count; i++) {
            rmi_strand *strand = session->strands[i];
            if (rmi_pool_out(strand->pool) && rmi_pool_want(strand->pool)) {
                came_back = true;
            }
        }
        return came_back && share_caches(session);
    }
    if (share_caches(session)) {
        return true;
    }
    if (first_waiting(session, 0)) {
        report_memory(session, &c, ret_error);
    } else { /* it is for the owner to say what follows */
        atomic_store(&session->owner_refused, true);
        atomic_store(&session->owner_wants_memory, false);
    }
    return true;
}

static rmi_node *producer_of(const rmi_edge *edge)
{
    return edge->link ? edge->link->sending->from : edge->from;
}

static bool is_full(const rmi_edge *edge)
{
    return edge->link ? rmi_link_is_full(edge->link) : rmi_edge_is_full(edge);
}

static bool can_grow(const rmi_edge *edge)
{
    return edge->capacity < (edge->link ? edge->link->sending : edge)->capacity_max;
}

/* An edge that is full, whose producer is blocked by it, and whose consumer waits for another
 * input. */
static rmi_edge *find_locked_edge(const rm_session *session, bool growable)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        const rmi_node *to = session->nodes[i];
        for (uint16_t k = 0; k < to->n_in && to->state == RMI_NODE_IDLE; k++) {
            rmi_edge *edge = to->in[k];
            if (waits_for_room(producer_of(edge)) && is_full(edge) &&
                edge->policy == RMI_POLICY_BLOCK && (!growable || can_grow(edge))) {
                return edge;
            }
        }
    }
    return NULL;
}

static bool grow(rmi_edge *edge)
{
    rmi_node *from = producer_of(edge);
    if ((edge->link ? rmi_link_grow(edge->link) : rmi_edge_grow(edge)) != RM_OK) {
        return false;
    }
    rmi_load *max = edge->link ? &edge->link->load_max : &edge->load_max;
    for (int i = 0; i < RMI_MEASURES; i++) {
        max->of[i] *= 2;
    }
    rmi_strand_consider(from->strand, from);
    if (from->strand->index > 0) {
        rmi_parking_wake(&from->strand->parking);
    }
    return true;
}

/* What an edge is full of: its packets, and what else of it is bounded. */
static void print_fill(const rmi_edge *edge, char *text, size_t size)
{
    const rmi_link *link = edge->link;
    const rmi_load *max = link ? &link->load_max : &edge->load_max;
    if (!rmi_load_is_bound(max)) {
        snprintf(text, size, "%u packets", edge->capacity);
        return;
    }
    uint32_t queued =
        link ? atomic_load(&link->tail) - atomic_load(&link->head) : rmi_edge_length(edge);
    int used = snprintf(text, size, "%u packets of %u", queued, edge->capacity);
    if (max->of[RMI_BYTES]) {
        used += snprintf(text + used, size - (size_t)used, ", %llu bytes at most",
                         (unsigned long long)max->of[RMI_BYTES]);
    }
    if (max->of[RMI_SPAN_NS]) {
        snprintf(text + used, size - (size_t)used, ", %g ms at most",
                 (double)max->of[RMI_SPAN_NS] / 1e6);
    }
}

static void report_edge(const rmi_edge *edge, rm_error *ret_error)
{
    char fill[96];
    const rmi_node *to = edge->to, *from = producer_of(edge);
    const char *input = "?", *other = "nobody";
    for (uint16_t i = 0; i < to->n_in; i++) {
        if (rmi_edge_length(to->in[i]) == 0) {
            input = to->pub.type->inputs[to->in[i]->to_port].name;
            other = producer_of(to->in[i])->pub.id;
            break;
        }
    }
    print_fill(edge, fill, sizeof fill);
    (void)rm_fail_as(ret_error, RM_CODE_EDGE_DEADLOCK,
                     "the edge %s -> %s is full (%s) while '%s' waits for its input '%s' "
                     "from '%s'",
                     from->pub.id, to->pub.id, fill, to->pub.id, input, other);
    rm_error_help(ret_error, "give that connection a larger capacity (\"capacity\": {\"packets\": "
                             "…, \"grow_max\": …})");
    snprintf(ret_error->node, sizeof ret_error->node, "%s", to->pub.id);
}

/* Home strand; all rest, and the lock is held. True: something goes on, or *ret_error is set. */
static bool resolve(rm_session *session, rm_error *ret_error)
{
    if (wakes_up(session)) {
        return false;
    }
    if (first_waiting(session, 0) || atomic_load(&session->owner_wants_memory)) {
        return resolve_memory(session, ret_error);
    }
    rmi_edge *edge = find_locked_edge(session, true);
    if (edge && grow(edge)) {
        return true;
    }
    edge = find_locked_edge(session, false);
    if (edge) {
        report_edge(edge, ret_error);
    }
    return edge;
}

/* ---- what strands keep for reuse */

/* What a strand keeps for reuse while another one waits goes back. */
static void give_caches(rmi_strand *strand)
{
    rm_session *session = strand->session;
    bool asked = atomic_load(&session->owner_wants_memory) && strand->index > 0;
    if (atomic_load(&strand->waits_for_memory)) {
        return;
    }
    for (uint32_t i = 0; i < session->strand_count; i++) {
        asked |= atomic_load(&session->strands[i]->waits_for_memory);
    }
    if (!asked) {
        return;
    }
    uint64_t freed = rmi_pool_shrink(strand->pool);
    if (!strand->finished && rmi_pool_out(strand->pool) && rmi_pool_want(strand->pool)) {
        freed += rmi_pool_shrink(strand->pool);
    }
    for (uint32_t i = 0; i < session->strand_count && freed; i++) {
        if (atomic_load(&session->strands[i]->waits_for_memory)) {
            rmi_strand_memory_returned(session->strands[i]);
        }
    }
}

static void wake_others(rm_session *session, const rmi_strand *but)
{
    for (uint32_t i = 0; i < session->strand_count; i++) {
        if (session->strands[i] != but) {
            rmi_parking_wake(&session->strands[i]->parking);
        }
    }
}

void rmi_strand_ask_for_memory(rmi_strand *strand)
{
    atomic_store(&strand->waits_for_memory, true);
    wake_others(strand->session, strand);
}

rm_status rmi_owner_asks_for_memory(rm_session *session)
{
    if (atomic_exchange(&session->owner_refused, false)) {
        return RM_EDEADLOCK;
    }
    if (!atomic_exchange(&session->owner_wants_memory, true)) {
        wake_others(session, NULL);
    }
    return RM_EAGAIN;
}

/* ---- resting */

bool rmi_strand_rest(rmi_strand *strand)
{
    rm_session *session = strand->session;
    bool is_home = strand->index == 0, goes_on = false;
    rm_error error = RM_ERROR_INIT;
    give_caches(strand);
    pthread_mutex_lock(&session->lock);
    strand->rest = sum_up(strand);
    strand->resting = true;
    bool suspicious = is_suspicious(session);
    if (suspicious && is_home) {
        goes_on = resolve(session, &error);
        strand->resting = !goes_on;
    }
    pthread_mutex_unlock(&session->lock);
    if (error.status < 0) {
        rmi_session_fail(session, &error);
    }
    if (suspicious && !is_home) {
        rmi_parking_wake(&session->strands[0]->parking);
    }
    return goes_on;
}

void rmi_strand_rise(rmi_strand *strand)
{
    pthread_mutex_lock(&strand->session->lock);
    strand->resting = false;
    pthread_mutex_unlock(&strand->session->lock);
}
