/* Reads what snapshot.c writes, into a session of the same graph. Nothing of it is trusted: each
 * length and number is checked before it is used. */
#include <string.h>

#include "base/alloc.h"
#include "engine/link.h"
#include "engine/repair.h"
#include "engine/snapshot.h"

typedef struct restore {
    rm_session *session;
    const uint8_t *at;
    size_t left;
    rmi_snapshot_head head;
    int64_t later_ns; /* what a saved time is moved by */
    rm_packet **packets;
    rm_error *err;
} restore;

static rm_status bad(restore *r, const char *what)
{
    return rm_fail_as(r->err, RM_CODE_CHECKPOINT_BAD, "the checkpoint does not fit: %s", what);
}

/* NULL: it ends before. */
static const void *take(restore *r, size_t bytes)
{
    if (bytes > r->left) {
        return NULL;
    }
    const void *here = r->at;
    r->at += bytes;
    r->left -= bytes;
    return here;
}

static bool read_record(restore *r, void *ret_record, size_t bytes)
{
    const void *from = take(r, bytes);
    if (from) {
        memcpy(ret_record, from, bytes);
    }
    return from;
}

/* A time of INT64_MAX means never. */
static int64_t later(const restore *r, int64_t saved_ns)
{
    int64_t moved_ns;
    bool overflows = __builtin_add_overflow(saved_ns, r->later_ns, &moved_ns);
    return saved_ns == INT64_MAX || overflows ? saved_ns : moved_ns;
}

/* ---- head and strands */

static rm_status read_head(restore *r)
{
    const rm_session *session = r->session;
    if (!read_record(r, &r->head, sizeof r->head)) {
        return bad(r, "it ends within its head");
    }
    if (r->head.node_count != session->node_count || r->head.edge_count != session->edge_count ||
        r->head.strand_count > RMI_SESSION_STRANDS_MAX || r->head.now_ns < 0) {
        return bad(r, "it has other nodes, connections or strands");
    }
    int64_t now_ns = r->head.real_clock ? rmi_clock_ns() : 0;
    r->later_ns = now_ns - r->head.now_ns;
    return RM_OK;
}

static rm_status read_strands(restore *r, bool applies)
{
    for (uint32_t i = 0; i < r->head.strand_count; i++) {
        rmi_strand_record record;
        if (!read_record(r, &record, sizeof record)) {
            return bad(r, "it ends within its strands");
        }
        if (applies && i < r->session->strand_count) {
            rmi_strand *strand = r->session->strands[i];
            strand->random = record.random;
            atomic_store(&strand->produced, record.produced);
            atomic_store(&strand->position_ns, record.position_ns);
        }
    }
    return RM_OK;
}

/* ---- packets */

/* Steps over one; *ret_header is what its payload and metadata belong to. */
static rm_status read_packet(restore *r, rm_packet_header *ret_header, const void **ret_payload)
{
    if (!read_record(r, ret_header, sizeof *ret_header)) {
        return bad(r, "it ends within a packet");
    }
    rm_status status = rm_packet_header_check(ret_header, sizeof *ret_header, r->err);
    if (status != RM_OK) {
        rm_error_wrap(r->err, "a packet of the checkpoint");
        return status;
    }
    size_t bytes = (size_t)ret_header->payload_bytes + ret_header->metadata_bytes;
    *ret_payload = take(r, bytes);
    return *ret_payload ? RM_OK : bad(r, "it ends within a packet");
}

static rm_status make_packet(restore *r, const rm_packet_header *header, const void *payload,
                             rm_packet **ret_packet)
{
    rm_packet *packet = NULL;
    rm_status status =
        rmi_pool_take(r->session->strands[0]->pool, header->payload_bytes, RMI_RANK_LAST, &packet);
    if (status != RM_OK) {
        return rm_fail(r->err, RM_ENOMEM, "no memory for the packets of a checkpoint");
    }
    packet->header = *header;
    packet->header.metadata_bytes = 0;
    packet->header.origin_ns = later(r, header->origin_ns);
    if (header->payload_bytes) {
        memcpy(packet->payload, payload, header->payload_bytes);
    }
    if (header->metadata_bytes) {
        status = rm_packet_set_metadata(packet, (const uint8_t *)payload + header->payload_bytes,
                                        header->metadata_bytes);
    }
    *ret_packet = packet;
    return status == RM_OK ? RM_OK : rm_fail(r->err, status, "no memory for metadata");
}

static rm_status read_packets(restore *r, bool applies)
{
    if (r->head.packet_count > r->left / sizeof(rm_packet_header)) {
        return bad(r, "it ends within its packets");
    }
    if (applies) {
        r->packets = rmi_calloc(r->head.packet_count + 1u, sizeof *r->packets);
        if (!r->packets) {
            return rm_fail(r->err, RM_ENOMEM, "no memory for the packets of a checkpoint");
        }
    }
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < r->head.packet_count && status == RM_OK; i++) {
        rm_packet_header header;
        const void *payload = NULL;
        status = read_packet(r, &header, &payload);
        if (status == RM_OK && applies) {
            status = make_packet(r, &header, payload, &r->packets[i]);
        }
    }
    return status;
}

/* A reference of the caller's; NULL: there is no such packet. from: where it comes from, or NULL.
 */
static rm_packet *packet_at(const restore *r, const rmi_node *from, uint32_t number)
{
    if (number == RMI_MARK) {
        return from && from->mark ? rm_packet_ref(from->mark) : NULL;
    }
    return number < r->head.packet_count ? rm_packet_ref(r->packets[number]) : NULL;
}

/* ---- nodes */

typedef struct node_view {
    rmi_node_record record;
    const char *id, *type;
    const uint8_t *inputs, *outbox, *outputs, *blob;
} node_view;

static bool is_text(const char *saved, uint32_t bytes, const char *text)
{
    return saved && strlen(text) == bytes && memcmp(saved, text, bytes) == 0;
}

static bool is_saved_state(uint8_t state)
{
    return state == RMI_NODE_IDLE || state == RMI_NODE_HOLDING || state == RMI_NODE_BACKOFF ||
           state == RMI_NODE_ENDED;
}

/* At most so many: all that it may send, a bypass, marks. */
static uint32_t room_of_outbox(const rmi_node *node)
{
    uint32_t slots = 1u + node->n_out;
    for (uint16_t i = 0; i < node->n_out; i++) {
        slots += rmi_port_emit_max(&node->pub.type->outputs[i]);
    }
    return slots;
}

static bool fits_node(const rmi_node *node, const rmi_node_record *record)
{
    /* Where sets are taken it counts them; else it is the number of an edge. */
    bool turn_fits =
        node->merge == RMI_MERGE_ZIP || record->next_in < (node->n_in ? node->n_in : 1u);
    return record->input_count == node->n_current && record->output_count == node->n_out &&
           record->taken <= node->n_in && turn_fits &&
           record->outbox_count <= room_of_outbox(node) && is_saved_state(record->state) &&
           record->attempt <= UINT16_MAX && record->breaker_state <= RMI_BREAKER_HALF_OPEN;
}

static bool are_flags(const rmi_node_record *r)
{
    return (r->more | r->held | r->done | r->flushing | r->flushed | r->no_input | r->unprompted |
            r->set_waits | r->gave_first | r->outbox_checked) <= 1;
}

/* Is that a node between two calls? */
static bool fits_phase(const rmi_node *node, const rmi_node_record *record)
{
    const rm_node_type *type = node->pub.type;
    bool goes_unprompted = type->flags & RM_NODE_UNPROMPTED && node->n_in > 0;
    bool flushes = type->flush || record->state == RMI_NODE_ENDED;
    return are_flags(record) && (!record->flushing || flushes) &&
           (!record->flushed || record->flushing) &&
           ((!record->no_input && !record->unprompted) || goes_unprompted) &&
           (record->outbox_count > 0) == (record->state == RMI_NODE_HOLDING);
}

static rm_status read_node(restore *r, const rmi_node *node, node_view *ret_view)
{
    rmi_node_record *record = &ret_view->record;
    if (!read_record(r, record, sizeof *record)) {
        return bad(r, "it ends within its nodes");
    }
    ret_view->id = take(r, record->id_bytes);
    ret_view->type = take(r, record->type_bytes);
    ret_view->inputs = take(r, (size_t)record->input_count * sizeof(rmi_input_record));
    ret_view->outbox = take(r, (size_t)record->outbox_count * sizeof(rmi_outgoing_record));
    ret_view->outputs = take(r, (size_t)record->output_count * sizeof(rmi_output_record));
    ret_view->blob = take(r, record->blob_bytes);
    if (!ret_view->blob || !ret_view->outputs || !ret_view->outbox || !ret_view->inputs) {
        return bad(r, "it ends within a node");
    }
    if (!is_text(ret_view->id, record->id_bytes, node->pub.id) ||
        !is_text(ret_view->type, record->type_bytes, node->pub.type->name)) {
        return rm_fail_as(r->err, RM_CODE_CHECKPOINT_BAD,
                          "the checkpoint does not fit: node '%s' (%s) is another one in it",
                          node->pub.id, node->pub.type->name);
    }
    if (!fits_node(node, record) || !fits_phase(node, record)) {
        return rm_fail_as(r->err, RM_CODE_CHECKPOINT_BAD,
                          "the checkpoint does not fit: node '%s' has %s in it", node->pub.id,
                          fits_node(node, record) ? "a state within a call" : "other ports");
    }
    return RM_OK;
}

static void set_counters(rmi_node *node, const rmi_node_record *record)
{
    node->calls = record->calls;
    node->items = record->items;
    node->errors = record->errors;
    node->skipped = record->skipped;
    node->retries = record->retries;
    node->emitted = record->emitted;
    node->dead_letters = record->dead_letters;
    node->late = node->late_told = record->late;
    node->unrouted = record->unrouted;
    node->pts_repaired = record->pts_repaired;
    node->overruns = record->overruns;
    node->overrun_calls = record->overrun_calls;
    node->late_drops = record->late_drops;
    node->fallbacks = record->fallbacks;
    node->over_budget.count = node->over_budget.told = record->over_budget;
    node->told_calls = record->calls; /* what they took is not known here */
}

static void set_phase(restore *r, rmi_node *node, const rmi_node_record *record)
{
    node->state = record->state;
    node->more = record->more;
    node->held = record->held;
    node->done = record->done;
    node->flushing = record->flushing;
    node->flushed = record->flushed;
    node->no_input = record->no_input;
    node->unprompted = record->unprompted;
    node->set_waits = record->set_waits;
    node->gave_first = record->gave_first;
    node->next_in = record->next_in;
    node->generation = record->generation;
    node->attempt = (uint16_t)record->attempt;
    node->set_until_ns = later(r, record->set_until_ns);
    node->asked_ns = later(r, record->asked_ns);
    node->retry_until_ns = later(r, record->retry_until_ns);
    node->taken = record->taken ? node->in[record->taken - 1] : NULL;
    node->breaker = (rmi_breaker){.state = (rmi_breaker_state)record->breaker_state,
                                  .failures = record->breaker_failures,
                                  .failed_call = record->breaker_failed_call,
                                  .until_ns = later(r, record->breaker_until_ns),
                                  .opened = record->breaker_opened,
                                  .refused = record->breaker_refused};
}

static void set_timer(restore *r, rmi_node *node, const rmi_node_record *record)
{
    if (node->state == RMI_NODE_BACKOFF) {
        rmi_strand_set_timer(node->strand, node, later(r, record->wake_ns));
    } else if (node->state != RMI_NODE_ENDED) {
        rmi_strand_arm_timer(node->strand, node);
    } else {
        node->strand->open_nodes--;
    }
}

/* A node believes what it is told of its formats, so it is looked at as a packet's is. */
static bool is_format(const rmi_input_record *input, rm_error *err)
{
    rm_packet_header h = {.version = RM_PACKET_VERSION,
                          .header_units = sizeof h / 64,
                          .kind = (uint8_t)input->kind,
                          .payload_bytes = RM_PACKET_PAYLOAD_MAX,
                          .format = input->line};
    if (input->kind == 0 || input->kind == RM_KIND_OBJECT) {
        return true;
    }
    for (unsigned p = 0; input->kind == RM_KIND_VIDEO && p < h.format.video.planes && p < 4; p++) {
        uint32_t bytes = h.format.video.fourcc == RM_FOURCC_RGBA    ? 4
                         : h.format.video.fourcc == RM_FOURCC_RGB24 ? 3
                                                                    : 1;
        h.instance.video.stride_bytes[p] =
            bytes * h.format.video.width + (h.format.video.width & 1);
    }
    return rm_packet_header_check(&h, sizeof h, err) == RM_OK;
}

static rm_status set_inputs(restore *r, rmi_node *node, const uint8_t *from)
{
    for (uint16_t i = 0; i < node->n_current; i++) {
        rmi_input_record input;
        memcpy(&input, from + i * sizeof input, sizeof input);
        if (input.kind > RM_KIND_CONTROL ||
            (input.packet != RMI_NO_PACKET && input.packet >= r->head.packet_count)) {
            return bad(r, "an input of a node is not there");
        }
        if (!is_format(&input, r->err)) {
            rm_error_wrap(r->err, "the format of an input");
            return RM_EINVAL;
        }
        node->current[i] = packet_at(r, NULL, input.packet);
        node->in_port[i].kind = (uint8_t)input.kind;
        node->in_port[i].line = input.line;
    }
    return RM_OK;
}

static rm_status set_outputs(restore *r, rmi_node *node, const node_view *view)
{
    for (uint16_t i = 0; i < node->n_out; i++) {
        rmi_output_record output;
        memcpy(&output, view->outputs + i * sizeof output, sizeof output);
        node->out[i].sequence = output.sequence;
        node->out[i].emitted = (uint16_t)output.emitted;
        if (node->times) {
            node->times[i].pts_ns = output.pts_ns;
            node->times[i].end_ns = output.end_ns;
        }
    }
    if (view->record.outbox_count) {
        rm_status status = rmi_node_reserve_outbox(node, room_of_outbox(node), r->err);
        if (status != RM_OK) {
            return status;
        }
    }
    for (uint32_t i = 0; i < view->record.outbox_count; i++) {
        rmi_outgoing_record outgoing;
        memcpy(&outgoing, view->outbox + i * sizeof outgoing, sizeof outgoing);
        rm_packet *packet = packet_at(r, node, outgoing.packet);
        if (!packet || outgoing.port >= node->n_out) {
            rm_packet_unref(packet);
            return bad(r, "a packet of an outbox is not there");
        }
        node->outbox[node->outbox_count++] = (rmi_outgoing){packet, &node->out[outgoing.port]};
    }
    node->outbox_done = view->record.outbox_done;
    node->outbox_checked = view->record.outbox_checked;
    return RM_OK;
}

/* The code hears of its formats, then gets back what it wrote. */
static rm_status restore_code(rmi_node *node, const node_view *view, rm_error *err)
{
    const rm_node_type *type = node->pub.type;
    rm_status status = RM_OK;
    for (uint16_t i = 0; i < node->n_current && type->control && status >= 0; i++) {
        const rmi_in_port *port = &node->in_port[i];
        rm_control control = {
            .op = RM_CONTROL_FORMAT, .port = i, .kind = port->kind, .line = &port->line};
        status = port->kind ? type->control(&node->pub, &control, err) : RM_OK;
    }
    if (status < 0 || !view->record.blob_bytes) {
        return status < 0 ? status : RM_OK;
    }
    bool has_own = type->struct_size > offsetof(rm_node_type, restore) && type->restore;
    rm_status (*load)(rm_node *, const void *, size_t, rm_error *) =
        has_own ? type->restore : type->load;
    status = load ? load(&node->pub, view->blob, view->record.blob_bytes, err) : RM_OK;
    return status > 0 ? rm_fail(err, RM_ENOMEM, "no memory for its state") : status;
}

/* What its code is called with next, if it is called again for what it has in hand: a set of zip is
 * whole. Who has nothing in hand has no inputs, either. */
static bool fits_work(const rmi_node *node)
{
    uint16_t inputs = 0;
    for (uint16_t i = 0; i < node->n_current; i++) {
        inputs += node->current[i] != NULL;
    }
    if (!node->held) {
        return inputs == 0;
    }
    uint16_t wanted = node->merge == RMI_MERGE_ZIP ? node->n_current : 1;
    return node->no_input || node->n_in == 0 || inputs >= wanted;
}

static rm_status apply_node(restore *r, rmi_node *node)
{
    node_view view;
    rm_status status = read_node(r, node, &view);
    if (status == RM_OK && node->stays_closed != (view.record.state == RMI_NODE_ENDED)) {
        status = bad(r, "a node has ended, or not");
    }
    if (status == RM_OK) {
        status = set_inputs(r, node, view.inputs);
    }
    if (status == RM_OK) {
        status = set_outputs(r, node, &view);
    }
    if (status != RM_OK) {
        return status;
    }
    if (!node->stays_closed) {
        status = restore_code(node, &view, r->err);
    }
    if (status < 0) {
        rm_error_wrap(r->err, "node '%s' cannot go on from its checkpoint", node->pub.id);
        return status;
    }
    set_phase(r, node, &view.record);
    if (!fits_work(node)) {
        return bad(r, "a node works on nothing");
    }
    set_counters(node, &view.record);
    set_timer(r, node, &view.record);
    return RM_OK;
}

/* ---- edges */

static bool grow_to(rmi_edge *edge, uint32_t capacity)
{
    rmi_link *link = edge->link;
    while ((link ? link->capacity : edge->capacity) < capacity) {
        if ((link ? rmi_link_grow(link) : rmi_edge_grow(edge)) != RM_OK) {
            return false;
        }
        rmi_load *max = link ? &link->load_max : &edge->load_max;
        for (int i = 0; i < RMI_MEASURES; i++) {
            max->of[i] *= 2; /* as quiet.c does */
        }
    }
    return true;
}

static void queue_link(rmi_link *link, rm_packet *packet, uint32_t epoch)
{
    uint32_t tail = atomic_load(&link->tail);
    if (link->weighs) {
        rmi_link_weigh(link, packet, 1);
    }
    link->ring[tail & link->mask] = packet;
    link->epoch[tail & link->mask] = epoch;
    atomic_store(&link->tail, tail + 1);
}

static rm_status queue_packets(restore *r, rmi_edge *edge, uint32_t length)
{
    const rmi_node *from = edge->link ? edge->link->sending->from : edge->from;
    for (uint32_t i = 0; i < length; i++) {
        rmi_queued_record queued;
        if (!read_record(r, &queued, sizeof queued)) {
            return bad(r, "it ends within its connections");
        }
        rm_packet *packet = packet_at(r, from, queued.packet);
        if (!packet) {
            return bad(r, "a packet of a connection is not there");
        }
        if (edge->link) {
            queue_link(edge->link, packet, queued.epoch);
        } else {
            edge->ring[edge->tail++ & edge->mask] = packet;
            rmi_edge_weigh(edge, packet, 1);
        }
    }
    return RM_OK;
}

static void set_ends(rmi_edge *edge, const rmi_edge_record *record)
{
    rmi_link *link = edge->link;
    edge->ended = record->ended;
    edge->closed = record->closed;
    if (link) {
        atomic_store(&link->ended, record->ended != 0);
        atomic_store(&link->closed, record->closed != 0);
        link->receiving->closed = record->closed;
        link->receiving->epoch = record->receiving_epoch;
    } else if (edge->closed) {
        edge->from->out[edge->from_port].direct = NULL;
    }
}

static rm_status apply_edge(restore *r, rmi_edge *edge)
{
    rmi_edge_record record;
    if (!read_record(r, &record, sizeof record)) {
        return bad(r, "it ends within its connections");
    }
    uint32_t capacity_max = edge->capacity_max + (edge->link && edge->link->drops);
    if (record.capacity > capacity_max || !grow_to(edge, record.capacity) ||
        record.length > (edge->link ? edge->link->mask : edge->mask) + 1) {
        return bad(r, "a connection has another capacity");
    }
    edge->epoch = record.epoch;
    edge->packets = record.packets;
    edge->grown = record.grown;
    edge->packet_bytes = record.packet_bytes;
    edge->queued = record.queued;
    edge->peak = (uint32_t)record.peak;
    for (int i = 0; i < RMI_DROP_REASONS; i++) {
        edge->drops[i].count = edge->drops[i].told = record.drops[i];
    }
    rmi_drops *over = &(edge->link ? edge->link->receiving : edge)->over_budget;
    over->count = over->told = record.over_budget;
    set_ends(edge, &record);
    return queue_packets(r, edge, record.length);
}

/* ---- all of it */

/* Up to the nodes. */
static rm_status begin(restore *r, bool applies)
{
    rm_status status = read_head(r);
    if (status == RM_OK) {
        status = read_strands(r, applies);
    }
    return status == RM_OK ? read_packets(r, applies) : status;
}

rm_status rmi_snapshot_prepare(rm_session *session, const void *body, size_t bytes, rm_error *err)
{
    restore r = {.session = session, .at = body, .left = bytes, .err = err};
    rm_status status = begin(&r, false);
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        node_view view;
        status = read_node(&r, session->nodes[i], &view);
        if (status == RM_OK) {
            session->nodes[i]->stays_closed = view.record.state == RMI_NODE_ENDED;
        }
    }
    return status;
}

rm_status rmi_snapshot_apply(rm_session *session, const void *body, size_t bytes, rm_error *err)
{
    restore r = {.session = session, .at = body, .left = bytes, .err = err};
    rm_status status = begin(&r, true);
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        status = apply_node(&r, session->nodes[i]);
    }
    for (uint32_t i = 0; i < session->edge_count && status == RM_OK; i++) {
        status = apply_edge(&r, session->edges[i]);
    }
    if (status == RM_OK && r.left) {
        status = bad(&r, "something follows it");
    }
    for (uint32_t i = 0; r.packets && i < r.head.packet_count; i++) {
        rm_packet_unref(r.packets[i]);
    }
    rmi_free(r.packets);
    return status;
}
