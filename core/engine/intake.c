#include "engine/intake.h"

#include <string.h>

#include "engine/clock.h"
#include "engine/events.h"
#include "engine/latency.h"
#include "engine/link.h"
#include "engine/parallel.h"
#include "engine/record.h"
#include "engine/strand.h"

/* ---- edges, as their consumer sees them */

static void producer_has_room(rmi_strand *strand, rmi_edge *edge)
{
    rmi_node *from = edge->from;
    if (from && (from->state == RMI_NODE_HOLDING || from->is_source)) {
        rmi_strand_consider(strand, from);
    }
}

/* The packet, unless it is of an epoch that has gone. */
static rm_packet *unless_stale(rmi_strand *strand, rmi_edge *edge, rm_packet *packet,
                               uint32_t epoch)
{
    if (RMI_UNLIKELY((int32_t)(epoch - edge->epoch) < 0)) {
        rmi_event_drop(strand, edge, 1, RMI_DROP_INTERRUPT);
        rmi_pool_give(strand->pool, packet);
        return NULL;
    }
    return packet;
}

/* The packet of this place was just taken. */
static void note_wait(rmi_edge *edge, uint32_t place)
{
    int32_t past = (int32_t)(place - edge->stamp_at);
    if (past < 0) {
        return;
    }
    edge->stamped = false;
    uint64_t ticks = rmi_clock_ticks() - edge->stamp_ticks;
    if (past == 0 && (int64_t)ticks >= 0) { /* else it was dropped */
        rmi_node_note(&edge->to->waiting, ticks, place + 1 - edge->measured_until);
        edge->measured_until = place + 1;
        if (RMI_UNLIKELY(edge->latency_ns_max != 0)) {
            rmi_latency_note(edge, ticks);
        }
    }
}

static rm_packet *pop_dropping(rmi_strand *strand, rmi_edge *edge, bool stale_only)
{
    uint32_t epoch;
    rm_packet *packet = rmi_link_pop_dropping(edge->link, stale_only, &epoch);
    if (RMI_UNLIKELY(edge->stamped) && packet) {
        note_wait(edge, edge->head - 1);
    }
    return packet ? unless_stale(strand, edge, packet, epoch) : NULL;
}

/* The oldest packet; NULL where it was of an epoch that has gone. */
static rm_packet *edge_pop(rmi_strand *strand, rmi_edge *edge)
{
    rmi_link *link = edge->link;
    if (link && link->drops) {
        return pop_dropping(strand, edge, false);
    }
    bool was_full = !link && rmi_edge_is_full(edge);
    uint32_t slot = edge->head++ & edge->mask;
    rm_packet *packet = edge->ring[slot];
    if (RMI_UNLIKELY(edge->stamped)) {
        note_wait(edge, edge->head - 1);
    }
    if (link) {
        uint32_t epoch = link->epoch[slot];
        rmi_link_publish_head(link, packet);
        strand->kick_needed |= (edge->head & link->quarter_mask) == 0;
        return unless_stale(strand, edge, packet, epoch);
    }
    rmi_edge_weigh(edge, packet, -1);
    if (was_full) {
        producer_has_room(strand, edge);
    }
    return packet;
}

static bool stale_front(const rmi_edge *edge)
{
    return edge->link && (int32_t)(edge->link->epoch[edge->head & edge->mask] - edge->epoch) < 0;
}

void rmi_intake_drop_stale(rmi_strand *strand, rmi_edge *edge)
{
    if (edge->link && edge->link->drops) {
        uint64_t drops;
        do {
            drops = rmi_edge_drops(edge);
            (void)pop_dropping(strand, edge, true);
        } while (rmi_edge_drops(edge) != drops);
        return;
    }
    while (rmi_edge_length(edge) && stale_front(edge)) {
        (void)edge_pop(strand, edge);
    }
}

static void edge_let_go(rmi_strand *strand, rmi_edge *edge)
{
    while (rmi_edge_length(edge)) {
        rm_packet *packet = edge_pop(strand, edge);
        if (packet) {
            rmi_pool_give(strand->pool, packet);
        }
    }
}

/* A producer that has only such edges is done too. */
void rmi_intake_tell_producer(rmi_strand *strand, rmi_edge *edge)
{
    edge->closed = true;
    rmi_node *from = edge->from;
    from->out[edge->from_port].direct = NULL;
    bool all_closed = true;
    for (uint16_t p = 0; p < from->n_out; p++) {
        for (uint32_t e = 0; e < from->out[p].edge_count; e++) {
            all_closed &= from->out[p].edges[e]->closed;
        }
    }
    if (all_closed) {
        from->done = true;
        from->stalled = false; /* what it waits for would be for nobody */
    }
    if (from->state == RMI_NODE_HOLDING || from->state == RMI_NODE_IDLE) {
        rmi_strand_consider(strand, from);
    }
}

/* The consumer wants nothing more of this edge. */
void rmi_intake_close(rmi_strand *strand, rmi_edge *edge)
{
    if (edge->closed) {
        return;
    }
    edge_let_go(strand, edge); /* no drops: nobody wanted them */
    if (edge->link) {
        edge->closed = true;
        atomic_store(&edge->link->closed, true);
        strand->kick_needed = true;
        return;
    }
    rmi_intake_tell_producer(strand, edge);
}

/* ---- taking a set of inputs */

static bool is_drained(const rmi_edge *edge)
{
    return edge->ended && rmi_edge_length(edge) == 0;
}

static bool any_matches(const rmi_node *node)
{
    bool all_drained = true;
    for (uint16_t i = 0; i < node->n_in; i++) {
        if (rmi_edge_length(node->in[i]) > 0) {
            return true;
        }
        all_drained &= node->in[i]->ended;
    }
    return all_drained;
}

/* Edges are in the order of their ports: those of one port end before this one. */
static uint16_t port_end(const rmi_node *node, uint16_t begin)
{
    uint16_t end = begin + 1;
    while (end < node->n_in && node->in[end]->to_port == node->in[begin]->to_port) {
        end++;
    }
    return end;
}

/* What can be said of each port: that one of its edges has something; that none will any more. */
static rmi_taken look_at_ports(const rmi_node *node)
{
    bool complete = node->n_in > 0;
    for (uint16_t begin = 0, end; begin < node->n_in; begin = end) {
        bool has = false, drained = true;
        end = port_end(node, begin);
        for (uint16_t i = begin; i < end; i++) {
            has |= rmi_edge_length(node->in[i]) > 0;
            drained &= is_drained(node->in[i]);
        }
        if (drained) {
            return RMI_TAKEN_END; /* no further set can be complete */
        }
        complete &= has;
    }
    return complete ? RMI_TAKEN_SET : RMI_TAKEN_NOTHING;
}

bool rmi_intake_has_set(const rmi_node *node)
{
    return look_at_ports(node) == RMI_TAKEN_SET;
}

/* Each input that may still get something has something. */
static bool is_complete(const rmi_node *node)
{
    bool complete = true;
    for (uint16_t i = 0; i < node->n_in; i++) {
        complete &= rmi_edge_length(node->in[i]) > 0 || node->in[i]->ended;
    }
    return complete;
}

/* Also where a set has just begun to wait: taking it starts the clock. */
static bool sync_matches(const rmi_node *node)
{
    return any_matches(node) &&
           (is_complete(node) || !node->set_waits || node->strand->now_ns >= node->set_until_ns);
}

/* Where a copy has ended the turn is the next one's: what they gave at the end is left. */
static bool turns_match(const rmi_node *node)
{
    for (uint32_t i = 0; i < node->n_in; i++) {
        const rmi_edge *edge = node->in[(node->next_in + i) % node->n_in];
        if (!is_drained(edge)) {
            return rmi_edge_length(edge) > 0;
        }
    }
    return true;
}

bool rmi_intake_matches(const rmi_node *node)
{
    switch (node->merge) {
    case RMI_MERGE_TURNS: return turns_match(node);
    case RMI_MERGE_ZIP: return look_at_ports(node) != RMI_TAKEN_NOTHING;
    case RMI_MERGE_SYNC: return sync_matches(node);
    default: return any_matches(node);
    }
}

static rmi_taken take_any(rmi_strand *strand, rmi_node *node)
{
    bool all_drained = true;
    for (uint16_t tried = 0; tried < node->n_in; tried++) {
        uint32_t i = node->next_in;
        node->next_in = i + 1 < node->n_in ? i + 1 : 0;
        rmi_edge *edge = node->in[i];
        while (rmi_edge_length(edge)) {
            rm_packet *packet = edge_pop(strand, edge);
            if (packet) {
                node->current[edge->to_port] = packet;
                node->taken = edge;
                return RMI_TAKEN_SET;
            }
        }
        all_drained &= edge->ended;
    }
    return all_drained ? RMI_TAKEN_END : RMI_TAKEN_NOTHING;
}

/* Of a set that has one of several edges. */
static void take_part(rmi_strand *strand, rmi_node *node, rmi_edge *edge)
{
    node->current[edge->to_port] = edge_pop(strand, edge);
    if (node->recorded) {
        rmi_record_took(node, edge);
    }
}

/* One for each port; the edges of one port take turns. */
static rmi_taken take_zip(rmi_strand *strand, rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_in; i++) {
        rmi_intake_drop_stale(strand, node->in[i]);
    }
    rmi_taken taken = look_at_ports(node);
    for (uint16_t begin = 0, end; taken == RMI_TAKEN_SET && begin < node->n_in; begin = end) {
        end = port_end(node, begin);
        uint32_t edges = end - begin, turn = node->next_in % edges;
        while (rmi_edge_length(node->in[begin + turn]) == 0) {
            turn = turn + 1 < edges ? turn + 1 : 0;
        }
        take_part(strand, node, node->in[begin + turn]);
    }
    node->next_in += taken == RMI_TAKEN_SET;
    return taken;
}

/* Time of the oldest packet of an edge; INT64_MAX: it has none, or that has no time. */
static int64_t front_ns(const rmi_edge *edge)
{
    if (rmi_edge_length(edge) == 0) {
        return INT64_MAX;
    }
    int64_t pts_ns = edge->ring[edge->head & edge->mask]->header.pts_ns;
    return pts_ns == RM_TIME_NONE ? INT64_MAX : pts_ns;
}

/* The edge with the earliest packet; one whose packet has no time comes last. NULL: all are empty.
 */
static rmi_edge *earliest_of_port(const rmi_node *node, uint16_t begin, uint16_t end)
{
    rmi_edge *earliest = NULL;
    for (uint16_t i = begin; i < end; i++) {
        rmi_edge *edge = node->in[i];
        if (rmi_edge_length(edge) && (!earliest || front_ns(edge) < front_ns(earliest))) {
            earliest = edge;
        }
    }
    return earliest;
}

/* True: the set waits for an input that has nothing now. */
static bool set_waits(rmi_strand *strand, rmi_node *node)
{
    if (is_complete(node)) {
        return false;
    }
    if (!node->set_waits) {
        int64_t most = node->options.wait_ns_max;
        node->set_waits = true;
        node->set_until_ns = most < INT64_MAX - strand->now_ns ? strand->now_ns + most : INT64_MAX;
    }
    return strand->now_ns < node->set_until_ns;
}

/* The earliest packet, and of each other input the oldest where that lies within the tolerance.
 * What has no time goes with any. An input that has nothing for this set is left out of it. */
static rmi_taken take_sync(rmi_strand *strand, rmi_node *node)
{
    int64_t earliest_ns = INT64_MAX;
    uint32_t queued = 0;
    bool all_drained = true;
    for (uint16_t i = 0; i < node->n_in; i++) {
        rmi_intake_drop_stale(strand, node->in[i]);
        int64_t pts_ns = front_ns(node->in[i]);
        earliest_ns = pts_ns < earliest_ns ? pts_ns : earliest_ns;
        queued += rmi_edge_length(node->in[i]);
        all_drained &= is_drained(node->in[i]);
    }
    if (queued == 0) {
        node->set_waits = false;
        return all_drained ? RMI_TAKEN_END : RMI_TAKEN_NOTHING;
    }
    if (set_waits(strand, node)) {
        rmi_strand_arm_timer(strand, node);
        return RMI_TAKEN_NOTHING;
    }
    node->set_waits = false;
    for (uint16_t begin = 0, end; begin < node->n_in; begin = end) {
        end = port_end(node, begin);
        rmi_edge *edge = earliest_of_port(node, begin, end);
        int64_t pts_ns = edge ? front_ns(edge) : 0;
        if (edge && (pts_ns == INT64_MAX || pts_ns - earliest_ns <= node->options.tolerance_ns)) {
            take_part(strand, node, edge);
        }
    }
    return RMI_TAKEN_SET;
}

/* The packet, unless an interrupt has overtaken it. */
static rm_packet *pop_for_gather(rmi_strand *strand, const rmi_node *node, rmi_edge *edge)
{
    bool outdated = rmi_parallel_is_outdated(node, edge);
    rm_packet *packet = edge_pop(strand, edge);
    if (packet && outdated) {
        rmi_event_drop(strand, edge, 1, RMI_DROP_INTERRUPT);
        rmi_pool_give(strand->pool, packet);
        return NULL;
    }
    return packet;
}

static rmi_taken take_turns(rmi_strand *strand, rmi_node *node)
{
    uint32_t drained = 0;
    while (drained < node->n_in) {
        rmi_edge *edge = node->in[node->next_in];
        rm_packet *packet = NULL;
        bool ends = is_drained(edge);
        if (!ends && rmi_edge_length(edge) == 0) {
            return RMI_TAKEN_NOTHING;
        }
        drained = ends ? drained + 1 : 0;
        if (!ends) {
            packet = pop_for_gather(strand, node, edge);
            ends = packet && rmi_parallel_is_mark(edge, packet);
        }
        if (ends) {
            node->next_in = node->next_in + 1 < node->n_in ? node->next_in + 1 : 0;
            if (packet) {
                rmi_pool_give(strand->pool, packet);
            }
        } else if (packet) {
            node->current[0] = packet;
            node->taken = edge;
            return RMI_TAKEN_SET;
        }
    }
    return RMI_TAKEN_END;
}

rmi_taken rmi_intake_take(rmi_strand *strand, rmi_node *node)
{
    switch (node->merge) {
    case RMI_MERGE_TURNS: return take_turns(strand, node);
    case RMI_MERGE_ZIP: return take_zip(strand, node);
    case RMI_MERGE_SYNC: return take_sync(strand, node);
    case RMI_MERGE_PRIORITY: node->next_in = 0; return take_any(strand, node);
    default: return take_any(strand, node);
    }
}

/* ---- deadlines */

bool rmi_intake_is_late(rmi_node *node)
{
    int64_t origin_ns = INT64_MAX;
    for (uint16_t i = 0; i < node->n_current; i++) {
        const rm_packet *packet = node->current[i];
        if (packet && packet->header.origin_ns < origin_ns) {
            origin_ns = packet->header.origin_ns;
        }
    }
    if (node->strand->now_ns - origin_ns <= node->options.deadline_ns || origin_ns == INT64_MAX) {
        return false;
    }
    node->late++;
    node->late_drops += !node->options.late_passes;
    rmi_event_late(node);
    return !node->options.late_passes;
}

/* ---- formats */

/* What the stream on a port is has changed, or is seen for the first time. */
static rm_status announce(rmi_node *node, uint16_t index, const rm_packet *packet)
{
    rmi_in_port *port = &node->in_port[index];
    const rm_formats *accepts = port->accepts;
    port->kind = packet->header.kind;
    port->line = packet->header.format;
    bool fits = !accepts;
    for (uint32_t i = 0; accepts && !fits && i < accepts->count; i++) {
        fits = rm_format_accepts(&accepts->alternative[i], port->kind, &port->line) != 0;
    }
    if (!fits) {
        char got[160], want[320];
        rm_format format;
        rm_format_from_line(port->kind, &port->line, &format);
        rm_format_print(&format, got, sizeof got);
        rm_formats_print(accepts, want, sizeof want);
        port->kind = RM_KIND_ANY; /* the next packet is looked at again */
        return rm_fail_as(node->error, RM_CODE_PACKET_FORMAT, "input '%s' got %s, want %s",
                          node->pub.type->inputs[index].name, got, want);
    }
    if (!node->pub.type->control) {
        return RM_OK;
    }
    rm_control control = {
        .op = RM_CONTROL_FORMAT, .port = index, .kind = port->kind, .line = &port->line};
    rm_status status = node->pub.type->control(&node->pub, &control, node->error);
    if (status < 0) {
        port->kind = RM_KIND_ANY; /* the node has not taken it: it is told with the next call */
    }
    return status;
}

rm_status rmi_intake_announce(rmi_node *node)
{
    rm_status status = RM_OK;
    for (uint16_t i = 0; i < node->n_current && status >= 0; i++) {
        const rm_packet *packet = node->current[i];
        if (packet && RMI_UNLIKELY(rmi_intake_format_differs(&node->in_port[i], packet))) {
            status = announce(node, i, packet);
        }
    }
    return status;
}
