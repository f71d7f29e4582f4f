/* Writes a session that stands still. */
#include "engine/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/link.h"
#include "engine/repair.h"

typedef struct snapshot {
    rm_session *session;
    rmi_bytes *to;
    rm_packet **packets; /* sorted by address, each once */
    uint32_t count, capacity;
    rm_status status;
    rm_error *err;
} snapshot;

/* ---- what can be saved */

static bool has(const rm_node_type *type, size_t offset)
{
    return type->struct_size >= offset + sizeof(void (*)(void));
}

static bool has_own_save(const rm_node_type *type)
{
    return has(type, offsetof(rm_node_type, restore)) && type->checkpoint && type->restore;
}

static bool saves(const rm_node_type *type)
{
    return has_own_save(type) || (type->save && type->load);
}

static bool is_source(const rm_node_type *type)
{
    return !type->inputs || !type->inputs[0].name;
}

bool rmi_node_type_is_kept(const rm_node_type *type)
{
    if (saves(type)) {
        return true;
    }
    bool is_stateless = type->flags & RM_NODE_PURE || (type->state_size == 0 && !type->user);
    return is_stateless && !is_source(type) && !(type->flags & RM_NODE_PYTHON);
}

static const char *help_of(const rm_node_type *type)
{
    if (!(type->flags & RM_NODE_PYTHON)) {
        return "run this graph without checkpoints, or put another node in its stead";
    }
    return is_source(type) ? "give its class save() and load(state), by its place"
                           : "give its class save() and load(state), or stateless = True if it "
                             "keeps nothing from one item to the next";
}

rm_status rmi_snapshot_refuse(const rm_node *node, rm_error *err)
{
    rm_status status =
        rm_fail_as(err, RM_CODE_CHECKPOINT_REFUSED, "node '%s' (%s) cannot save its %s", node->id,
                   node->type->name, is_source(node->type) ? "place" : "state");
    rm_error_help(err, "%s", help_of(node->type));
    return status;
}

static rm_status check_node(const rmi_node *node, rm_error *err)
{
    switch (node->state) {
    case RMI_NODE_IDLE:
    case RMI_NODE_HOLDING:
    case RMI_NODE_BACKOFF:
    case RMI_NODE_ENDED: break;
    case RMI_NODE_PENDING:
    case RMI_NODE_RUNNING:
        (void)rm_fail(err, RM_EFAIL, "work of node '%s' is out", node->pub.id);
        return RM_EAGAIN;
    default: return rm_fail(err, RM_ECANCELED, "the session is ending");
    }
    if (!rmi_node_type_is_kept(node->pub.type)) {
        return rmi_snapshot_refuse(&node->pub, err);
    }
    if (node->draining) {
        (void)rm_fail(err, RM_EFAIL, "node '%s' is not done with what it holds back", node->pub.id);
        return RM_EAGAIN;
    }
    const rm_node_type *type = node->pub.type;
    bool has_state = type->state_size || type->flags & RM_NODE_PYTHON;
    if (node->more && has_state && !saves(type)) {
        (void)rm_fail(err, RM_EFAIL, "node '%s' is within an item", node->pub.id);
        return RM_EAGAIN; /* between two it keeps nothing */
    }
    return RM_OK;
}

/* What is on its way between two strands belongs to neither of them. */
static rm_status check_links(const rmi_strand *strand, rm_error *err)
{
    for (uint16_t i = 0; i < strand->link_in_count; i++) {
        rmi_link *link = strand->links_in[i];
        if (atomic_load(&link->epoch_posted) || atomic_load(&link->request_posted)) {
            (void)rm_fail(err, RM_EFAIL, "an interrupt is on its way to node '%s'",
                          link->receiving->to->pub.id);
            return RM_EAGAIN;
        }
    }
    return RM_OK;
}

static rm_status check_session(rm_session *session, rm_error *err)
{
    rm_status status = RM_OK;
    if (!session->started || session->closed) {
        return rm_fail(err, RM_ECANCELED, "the session is ending");
    }
    for (uint32_t i = 0; i < session->strand_count && status == RM_OK; i++) {
        const rmi_strand *strand = session->strands[i];
        if (strand->cancelling) {
            return rm_fail(err, RM_ECANCELED, "the session is ending");
        }
        status = check_links(strand, err);
    }
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        status = check_node(session->nodes[i], err);
    }
    return status;
}

/* ---- packets */

static void collect(snapshot *s, rm_packet *packet)
{
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? 2 * s->capacity : 256;
        rm_packet **grown = rmi_realloc(s->packets, capacity * sizeof *grown);
        if (!grown) {
            s->status = rm_fail(s->err, RM_ENOMEM, "no memory for a list of packets");
            return;
        }
        s->packets = grown;
        s->capacity = capacity;
    }
    s->packets[s->count++] = packet;
}

static void ring_of(const rmi_edge *edge, uint32_t *ret_head, uint32_t *ret_tail)
{
    *ret_head = edge->link ? atomic_load(&edge->link->head) : edge->head;
    *ret_tail = edge->link ? atomic_load(&edge->link->tail) : edge->tail;
}

static const rmi_node *producer_of(const rmi_edge *edge)
{
    return edge->link ? edge->link->sending->from : edge->from;
}

static const rmi_node *consumer_of(const rmi_edge *edge)
{
    return edge->link ? edge->link->receiving->to : edge->to;
}

/* A live object stays in its process, memory of a device on it. */
static void check_packet(snapshot *s, const rm_packet *packet, const char *from, const char *to)
{
    rm_error why = RM_ERROR_INIT;
    rm_status status = rm_packet_header_check(&packet->header, sizeof packet->header, &why);
    if (status == RM_OK || s->status != RM_OK) {
        return;
    }
    if (packet->header.kind == RM_KIND_OBJECT && s->session->options.pack_object) {
        return; /* its form is made as it is written */
    }
    if (packet->header.kind == RM_KIND_OBJECT) {
        (void)rm_fail(&why, RM_EINVAL, "a live object");
    }
    s->status = rm_fail_as(s->err, RM_CODE_CHECKPOINT_REFUSED,
                           "what is queued on %s -> %s cannot "
                           "be saved: %s",
                           from, to, why.message);
}

static void collect_edge(snapshot *s, const rmi_edge *edge)
{
    uint32_t head, tail;
    const rmi_node *from = producer_of(edge);
    ring_of(edge, &head, &tail);
    for (; head != tail && s->status == RM_OK; head++) {
        rm_packet *packet = edge->ring[head & edge->mask];
        if (packet != from->mark) {
            check_packet(s, packet, from->pub.id, consumer_of(edge)->pub.id);
            collect(s, packet);
        }
    }
}

static void collect_node(snapshot *s, const rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_current; i++) {
        if (node->current[i]) {
            check_packet(s, node->current[i], "an input", node->pub.id);
            collect(s, node->current[i]);
        }
    }
    for (uint32_t i = node->outbox_sent; i < node->outbox_count; i++) {
        if (node->outbox[i].packet != node->mark) {
            check_packet(s, node->outbox[i].packet, node->pub.id, "an output");
            collect(s, node->outbox[i].packet);
        }
    }
}

static int by_address(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t) * (rm_packet *const *)a,
              right = (uintptr_t) * (rm_packet *const *)b;
    return left < right ? -1 : left > right;
}

static void collect_all(snapshot *s)
{
    for (uint32_t i = 0; i < s->session->edge_count; i++) {
        collect_edge(s, s->session->edges[i]);
    }
    for (uint32_t i = 0; i < s->session->node_count; i++) {
        collect_node(s, s->session->nodes[i]);
    }
    if (s->status != RM_OK || s->count == 0) {
        return;
    }
    qsort(s->packets, s->count, sizeof *s->packets, by_address);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < s->count; i++) {
        if (s->packets[i] != s->packets[kept - 1]) {
            s->packets[kept++] = s->packets[i];
        }
    }
    s->count = kept;
}

/* from: where it comes from; NULL: it is no mark. */
static uint32_t number_of(const snapshot *s, const rmi_node *from, rm_packet *packet)
{
    if (packet && from && packet == from->mark) {
        return RMI_MARK;
    }
    rm_packet **found =
        packet ? bsearch(&packet, s->packets, s->count, sizeof packet, by_address) : NULL;
    return found ? (uint32_t)(found - s->packets) : RMI_NO_PACKET;
}

/* A live object goes by its form in the value model, which its process made of it now. */
static rm_status pack(const snapshot *s, const rm_packet *packet, rm_packet_header *header,
                      rm_blob *blob)
{
    const rm_session_options *options = &s->session->options;
    rm_status status = options->pack_object(options->event_context, packet, blob, s->err);
    header->kind = RM_KIND_VALUE;
    header->payload_bytes = blob->bytes;
    if (status == RM_OK) {
        return RM_OK;
    }
    rm_error_wrap(s->err, "a live object on its way");
    return status == RM_ENOMEM ? status : RM_EAGAIN; /* once it has arrived */
}

static void write_packet(snapshot *s, const rm_packet *packet)
{
    rm_blob blob = {0};
    rm_packet_header header = packet->header;
    bool is_object = header.kind == RM_KIND_OBJECT;
    header.metadata_bytes = packet->metadata ? header.metadata_bytes : 0;
    rm_status status = is_object ? pack(s, packet, &header, &blob) : RM_OK;
    if (status == RM_OK) {
        rmi_bytes_add(s->to, &header, sizeof header);
        rmi_bytes_add(s->to, is_object ? blob.data : packet->payload, header.payload_bytes);
        rmi_bytes_add(s->to, packet->metadata, header.metadata_bytes);
    } else {
        s->status = status;
    }
    rmi_free(blob.data);
}

/* ---- nodes */

/* What its code has to say; an ended node is closed to all. */
static rm_status save_code(rmi_node *node, rm_blob *blob, rm_error *err)
{
    const rm_node_type *type = node->pub.type;
    rm_status status = RM_OK;
    if (node->state == RMI_NODE_ENDED) {
        return RM_OK;
    }
    if (has_own_save(type)) {
        status = type->checkpoint(&node->pub, blob, err);
    } else if (type->save && type->load) {
        status = type->save(&node->pub, blob, err);
    }
    if (status < 0 || status == RM_EAGAIN) {
        rm_error_wrap(err, "saving node '%s'", node->pub.id);
        return status;
    }
    return RM_OK;
}

static rmi_node_record record_of(const rmi_node *node)
{
    return (rmi_node_record){
        .id_bytes = (uint32_t)strlen(node->pub.id),
        .type_bytes = (uint32_t)strlen(node->pub.type->name),
        .input_count = node->n_current,
        .output_count = node->n_out,
        .outbox_count = node->outbox_count - node->outbox_sent,
        .state = node->state,
        .more = node->more,
        .held = node->held,
        .done = node->done,
        .flushing = node->flushing,
        .flushed = node->flushed,
        .no_input = node->no_input,
        .unprompted = node->unprompted,
        .set_waits = node->set_waits,
        .gave_first = node->gave_first,
        .outbox_checked = node->outbox_checked,
        .next_in = node->next_in,
        .generation = node->generation,
        .attempt = node->attempt,
        .breaker_state = (uint32_t)node->breaker.state,
        .breaker_failures = node->breaker.failures,
        .set_until_ns = node->set_until_ns,
        .asked_ns = node->asked_ns,
        .wake_ns = node->heap_index ? node->wake_ns : INT64_MAX,
        .retry_until_ns = node->retry_until_ns,
        .breaker_until_ns = node->breaker.until_ns,
        .breaker_failed_call = node->breaker.failed_call,
        .breaker_opened = node->breaker.opened,
        .breaker_refused = node->breaker.refused,
        .outbox_done = node->outbox_done,
        .calls = node->calls,
        .items = node->items,
        .errors = node->errors,
        .skipped = node->skipped,
        .retries = node->retries,
        .emitted = node->emitted,
        .dead_letters = node->dead_letters,
        .late = node->late,
        .late_drops = node->late_drops,
        .unrouted = node->unrouted,
        .pts_repaired = node->pts_repaired,
        .overruns = node->overruns,
        .overrun_calls = node->overrun_calls,
        .fallbacks = node->fallbacks,
        .over_budget = node->over_budget.count,
    };
}

static uint32_t taken_of(const rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_in; i++) {
        if (node->taken == node->in[i]) {
            return i + 1u;
        }
    }
    return 0;
}

static void write_ports(snapshot *s, const rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_current; i++) {
        rmi_input_record input = {number_of(s, NULL, node->current[i]), node->in_port[i].kind,
                                  node->in_port[i].line};
        rmi_bytes_add(s->to, &input, sizeof input);
    }
    for (uint32_t i = node->outbox_sent; i < node->outbox_count; i++) {
        const rmi_outgoing *outgoing = &node->outbox[i];
        rmi_outgoing_record record = {number_of(s, node, outgoing->packet),
                                      (uint32_t)(outgoing->port - node->out)};
        rmi_bytes_add(s->to, &record, sizeof record);
    }
    for (uint16_t i = 0; i < node->n_out; i++) {
        rmi_output_record output = {.sequence = node->out[i].sequence,
                                    .emitted = node->out[i].emitted};
        if (node->times) {
            output.pts_ns = node->times[i].pts_ns;
            output.end_ns = node->times[i].end_ns;
        }
        rmi_bytes_add(s->to, &output, sizeof output);
    }
}

static void write_node(snapshot *s, rmi_node *node)
{
    rm_blob blob = {0};
    rm_status status = save_code(node, &blob, s->err);
    if (status != RM_OK) {
        s->status = status;
    } else {
        rmi_node_record record = record_of(node);
        record.blob_bytes = (uint32_t)blob.bytes;
        record.taken = taken_of(node);
        rmi_bytes_add(s->to, &record, sizeof record);
        rmi_bytes_add(s->to, node->pub.id, record.id_bytes);
        rmi_bytes_add(s->to, node->pub.type->name, record.type_bytes);
        write_ports(s, node);
        rmi_bytes_add(s->to, blob.data, blob.bytes);
    }
    rmi_free(blob.data);
}

/* ---- edges, strands, all of it */

static void write_edge(snapshot *s, const rmi_edge *edge)
{
    uint32_t head, tail;
    const rmi_link *link = edge->link;
    ring_of(edge, &head, &tail);
    rmi_edge_record record = {
        .length = tail - head,
        .capacity = link ? link->capacity : edge->capacity,
        .epoch = edge->epoch,
        .receiving_epoch = link ? link->receiving->epoch : edge->epoch,
        .ended = edge->ended,
        .closed = link ? atomic_load(&link->closed) : edge->closed,
        .packets = edge->packets,
        .grown = edge->grown,
        .packet_bytes = edge->packet_bytes,
        .queued = edge->queued,
        .peak = edge->peak,
        .over_budget = (link ? link->receiving : edge)->over_budget.count,
    };
    for (int i = 0; i < RMI_DROP_REASONS; i++) {
        record.drops[i] = edge->drops[i].count + (link ? link->receiving->drops[i].count : 0);
    }
    rmi_bytes_add(s->to, &record, sizeof record);
    for (; head != tail; head++) {
        rmi_queued_record queued = {number_of(s, producer_of(edge), edge->ring[head & edge->mask]),
                                    link ? link->epoch[head & link->mask] : edge->epoch};
        rmi_bytes_add(s->to, &queued, sizeof queued);
    }
}

static void write_head(snapshot *s)
{
    const rm_session *session = s->session;
    rmi_snapshot_head head = {session->strand_count, s->count, session->node_count,
                              session->edge_count,   0,        session->strands[0]->real_clock};
    for (uint32_t i = 0; i < session->strand_count; i++) {
        int64_t now_ns = session->strands[i]->now_ns;
        head.now_ns = now_ns > head.now_ns ? now_ns : head.now_ns;
    }
    rmi_bytes_add(s->to, &head, sizeof head);
    for (uint32_t i = 0; i < session->strand_count; i++) {
        const rmi_strand *strand = session->strands[i];
        rmi_strand_record record = {strand->random, atomic_load(&strand->produced),
                                    atomic_load(&strand->position_ns)};
        rmi_bytes_add(s->to, &record, sizeof record);
    }
}

static void write_all(snapshot *s)
{
    write_head(s);
    for (uint32_t i = 0; i < s->count && s->status == RM_OK; i++) {
        write_packet(s, s->packets[i]);
    }
    for (uint32_t i = 0; i < s->session->node_count && s->status == RM_OK; i++) {
        write_node(s, s->session->nodes[i]);
    }
    for (uint32_t i = 0; i < s->session->edge_count; i++) {
        write_edge(s, s->session->edges[i]);
    }
    if (s->to->failed && s->status == RM_OK) {
        s->status =
            rm_fail(s->err, RM_ENOMEM, "no memory for a checkpoint of %zu bytes", s->to->bytes);
    }
}

rm_status rmi_snapshot_take(rm_session *session, rmi_bytes *ret_body, rm_error *err)
{
    snapshot s = {.session = session, .to = ret_body, .err = err};
    s.status = check_session(session, err);
    if (s.status == RM_OK) {
        collect_all(&s);
    }
    if (s.status == RM_OK) {
        write_all(&s);
    }
    rmi_free(s.packets);
    return s.status;
}
