#include "engine/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "engine/clock.h"
#include "graph/plan.h"

#define RECORD_BYTES_DEFAULT ((uint64_t)4 << 30)
#define END_BYTES 160 /* of the last entry and its chunk's head, at most */
#define FLUSH_NS ((int64_t)1000000000)

/* What is known of a node beside its entry in the engine. Its strand's. */
typedef struct rmi_recorded {
    rm_node_type type; /* the node's own, with functions that note */
    const rm_node_type *inner;
    void (*complete)(rmi_strand *strand, rmi_message *message);
    rmi_recorder *recorder;
    uint32_t expected; /* packets of the outbox that a call gave, and that are not yet sent */
    uint64_t sent_to;  /* edges that the front packet was noted for */
    bool is_whole;     /* what it sends is kept: it is not called in a replay */
    rmi_record_numbers numbers; /* as the call began */
    bool own_time;              /* what its call gave without an input got the time of then */
    rmi_edge *took[RM_PORTS_MAX];
} rmi_recorded;

struct rmi_recorder {
    rm_session *session;
    char *path;
    rmi_recorded *nodes; /* as the session's */
    uint32_t *next; /* of each edge the place of the packet that is to be taken; its consumer's */
    uint64_t bytes_max;
    bool lock_ready;
    pthread_mutex_t lock;

    /* Protected by lock. */
    int fd; /* -1: closed */
    rmi_bytes body;
    uint64_t written;
    int64_t flushed_ns;
};

/* ---- the buffer and the file */

static bool write_all(int fd, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        ssize_t written = write(fd, at, bytes);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        at += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

/* Under the lock, as the next ones. */
static rm_status flush(rmi_recorder *recorder, rm_error *err)
{
    uint8_t head[RMI_RECORD_CHUNK_HEAD_BYTES];
    rmi_bytes *body = &recorder->body;
    if (body->failed) {
        return rm_fail(err, RM_ENOMEM, "no memory for the record '%.300s'", recorder->path);
    }
    if (body->bytes == 0) {
        return RM_OK;
    }
    rmi_record_make_chunk_head(head, body);
    if (!write_all(recorder->fd, head, sizeof head) ||
        !write_all(recorder->fd, body->data, body->bytes)) {
        return rm_fail_os(err, errno, "cannot write the record '%.300s'", recorder->path);
    }
    recorder->written += sizeof head + body->bytes;
    recorder->flushed_ns = rmi_clock_ns();
    body->bytes = 0;
    return RM_OK;
}

/* From here on nothing is noted. */
static void stop(rmi_recorder *recorder)
{
    if (recorder->fd >= 0) {
        close(recorder->fd);
        recorder->fd = -1;
    }
}

static rm_status end_at_bound(rmi_recorder *recorder, rm_error *err)
{
    char text[96];
    snprintf(text, sizeof text, "the record has its %" PRIu64 " bytes", recorder->bytes_max);
    rm_log(RM_LOG_WARNING, "engine", "'%s': %s; the run goes on without", recorder->path, text);
    rmi_record_add(&recorder->body, &(rmi_record_entry){.kind = RMI_RECORD_END,
                                                        .status = RM_ELIMIT,
                                                        .piece = {{text, strlen(text)}}});
    return flush(recorder, err);
}

static rm_status add(rmi_recorder *recorder, const rmi_record_entry *entry, rm_error *err)
{
    size_t before = recorder->body.bytes;
    rmi_record_add(&recorder->body, entry);
    uint64_t bytes = recorder->body.bytes;
    if (recorder->written + bytes + END_BYTES > recorder->bytes_max) {
        recorder->body.bytes = before;
        rm_status status = end_at_bound(recorder, err);
        stop(recorder);
        return status;
    }
    bool is_due = bytes >= RMI_RECORD_CHUNK_BYTES || recorder->body.failed ||
                  rmi_clock_ns() - recorder->flushed_ns > FLUSH_NS;
    return is_due ? flush(recorder, err) : RM_OK;
}

static void note(rmi_recorder *recorder, const rmi_record_entry *entry)
{
    rm_error why = RM_ERROR_INIT;
    rm_status status = RM_OK;
    pthread_mutex_lock(&recorder->lock);
    if (recorder->fd >= 0) {
        status = add(recorder, entry, &why);
    }
    if (status != RM_OK) {
        stop(recorder);
    }
    pthread_mutex_unlock(&recorder->lock);
    if (status != RM_OK) {
        rmi_session_fail(recorder->session, &why);
    }
}

/* ---- what is compared */

rm_status rmi_record_content(const rm_session *session, const rm_packet *packet, rm_blob *scratch,
                             rmi_record_piece *ret_content, rm_error *err)
{
    const rm_session_options *options = &session->options;
    *ret_content = (rmi_record_piece){packet->payload, packet->header.payload_bytes};
    if (packet->header.memory != RM_MEMORY_HOST) {
        return rm_fail_as(err, RM_CODE_RECORD_REFUSED, "a record cannot keep memory of a device");
    }
    if (packet->header.kind != RM_KIND_OBJECT) {
        return RM_OK;
    }
    if (!options->pack_object) {
        return rm_fail_as(err, RM_CODE_RECORD_REFUSED, "a record cannot keep a live object");
    }
    rm_error why = RM_ERROR_INIT;
    rm_status status = options->pack_object(options->event_context, packet, scratch, &why);
    if (status != RM_OK) {
        return rm_fail_as(err, RM_CODE_RECORD_REFUSED, "a record cannot keep it: %s",
                          why.status < 0 ? why.message : rm_status_name(status));
    }
    *ret_content = (rmi_record_piece){scratch->data, scratch->bytes};
    return RM_OK;
}

rmi_record_sums rmi_record_sums_of(const rm_packet *packet, const rmi_record_piece *content,
                                   bool with_origin)
{
    rm_packet_header header = packet->header;
    header.origin_ns = with_origin ? header.origin_ns : 0;
    if (header.kind == RM_KIND_OBJECT) {
        header.sequence = 0; /* one that a node passes on leaves in its packet or in another */
    }
    header.metadata_bytes = packet->metadata ? header.metadata_bytes : 0;
    uint32_t metadata_crc = rmi_crc32c(0, packet->metadata, header.metadata_bytes);
    return (rmi_record_sums){.header = rmi_crc32c(0, &header, sizeof header),
                             .metadata = metadata_crc,
                             .payload = rmi_crc32c(0, content->data, content->bytes)};
}

/* ---- what goes in */

void rmi_record_took(rmi_node *node, rmi_edge *edge)
{
    node->recorded->took[edge->to_port] = edge;
}

static rmi_edge *edge_of(const rmi_node *node, uint16_t port)
{
    if (node->n_in == 1) {
        return node->in[0];
    }
    bool is_set = node->merge == RMI_MERGE_ZIP || node->merge == RMI_MERGE_SYNC;
    return is_set ? node->recorded->took[port] : node->taken;
}

static void list_inputs(rmi_node *node, rmi_record_entry *entry)
{
    rmi_recorder *recorder = node->recorded->recorder;
    for (uint16_t i = 0; i < node->n_current; i++) {
        if (!node->current[i]) {
            continue;
        }
        const rmi_edge *edge = edge_of(node, i);
        uint32_t index = (edge->link ? edge->link->sending : edge)->index;
        uint32_t place = edge->base + edge->head - 1; /* it was taken just now */
        entry->input[entry->input_count++] =
            (rmi_record_input){i, index, place - recorder->next[index]};
        recorder->next[index] = place + 1;
    }
}

static void note_call(rmi_node *node, int64_t flags)
{
    rmi_record_entry entry = {.kind = RMI_RECORD_CALL,
                              .node = node->index,
                              .flags = flags,
                              .now_ns = node->strand->now_ns};
    if (flags == 0) {
        list_inputs(node, &entry);
    }
    rmi_record_keep_numbers(node, &node->recorded->numbers);
    note(node->recorded->recorder, &entry);
}

static void note_result(rmi_node *node, rm_status status, int64_t flags)
{
    rmi_recorded *recorded = node->recorded;
    if (status == RM_EAGAIN || flags & RMI_RESULT_GONE) {
        rmi_record_give_back_numbers(node, &recorded->numbers);
    }
    bool is_good =
        (status == RM_OK || status == RM_MORE || status == RM_DONE) && !(flags & RMI_RESULT_GONE);
    recorded->expected = is_good ? node->outbox_count - node->outbox_sent : 0;
    recorded->own_time = flags & RMI_RESULT_LATER;
    for (uint16_t i = 0; i < node->n_current; i++) {
        recorded->own_time &= !node->current[i];
    }
    note(recorded->recorder, &(rmi_record_entry){.kind = RMI_RECORD_RESULT,
                                                 .node = node->index,
                                                 .flags = flags,
                                                 .status = status,
                                                 .count = recorded->expected});
}

/* ---- the functions of a recorded node */

void rmi_record_keep_numbers(const rmi_node *node, rmi_record_numbers *ret_numbers)
{
    for (uint16_t p = 0; p < node->n_out; p++) {
        ret_numbers->sequence[p] = node->out[p].sequence;
    }
}

void rmi_record_give_back_numbers(rmi_node *node, const rmi_record_numbers *numbers)
{
    for (uint16_t p = 0; p < node->n_out; p++) {
        node->out[p].sequence = numbers->sequence[p];
    }
}

static rm_status record_process(rm_node *pub, const rm_inputs *inputs, rm_error *err)
{
    rmi_node *node = rmi_node_of(pub);
    note_call(node, node->held ? RMI_CALL_SAME : 0);
    rm_status status = node->recorded->inner->process(pub, inputs, err);
    note_result(node, status, 0);
    return status;
}

static rm_status record_flush(rm_node *pub, rm_error *err)
{
    rmi_node *node = rmi_node_of(pub);
    note_call(node, RMI_CALL_FLUSH);
    rm_status status = node->recorded->inner->flush(pub, err);
    note_result(node, status, 0);
    return status;
}

static void record_complete(rmi_strand *strand, rmi_message *message)
{
    rmi_node *node = RMI_CONTAINER(message, rmi_node, complete_message);
    if (node->state == RMI_NODE_PENDING && !strand->cancelling) {
        rm_status status = node->complete_status;
        note_result(node, status == RM_PENDING ? RM_EINVAL : status,
                    RMI_RESULT_LATER | (node->interrupted ? RMI_RESULT_GONE : 0));
    }
    node->recorded->complete(strand, message);
}

/* New parameters are noted by themselves. */
static rm_status record_control(rm_node *pub, const rm_control *control, rm_error *err)
{
    rmi_node *node = rmi_node_of(pub);
    rm_status status = node->recorded->inner->control(pub, control, err);
    if (control->op != RM_CONTROL_PARAMS) {
        note(node->recorded->recorder,
             &(rmi_record_entry){
                 .kind = RMI_RECORD_CONTROL,
                 .node = node->index,
                 .op = control->op,
                 .port = control->port,
                 .packet_kind = control->kind,
                 .argument = control->argument,
                 .status = status,
                 .piece = {{control->line, control->line ? sizeof *control->line : 0}}});
    }
    return status;
}

static void record_cancel(rm_node *pub)
{
    rmi_node *node = rmi_node_of(pub);
    note(node->recorded->recorder,
         &(rmi_record_entry){.kind = RMI_RECORD_CANCEL, .node = node->index});
    node->recorded->inner->cancel(pub);
}

void rmi_record_params(rmi_node *node, const char *params_json)
{
    if (node->recorded) {
        note(node->recorded->recorder,
             &(rmi_record_entry){.kind = RMI_RECORD_PARAMS,
                                 .node = node->index,
                                 .piece = {{params_json, strlen(params_json)}}});
    }
}

/* ---- what goes out */

static bool is_closed(const rmi_edge *edge)
{
    return edge->closed ||
           (edge->link && atomic_load_explicit(&edge->link->closed, memory_order_relaxed));
}

static uint64_t edges_that_get(const rmi_node *node, const rmi_out_port *port)
{
    uint64_t edges = 0;
    for (uint32_t e = 0; e < port->edge_count; e++) {
        bool gets = !(node->outbox_done >> e & 1) && !is_closed(port->edges[e]);
        edges |= (uint64_t)gets << e;
    }
    return edges;
}

static void refuse_packet(rmi_node *node, rm_error *why)
{
    rm_error_wrap(why, "what node '%s' gives", node->pub.id);
    snprintf(why->node, sizeof why->node, "%s", node->pub.id);
    rmi_session_fail(node->strand->session, why);
}

static void fill_sums(const rmi_recorded *recorded, const rm_packet *packet,
                      const rmi_record_piece *content, rmi_record_entry *entry)
{
    entry->kind = RMI_RECORD_SENT;
    entry->flags = recorded->own_time ? RMI_SENT_ORIGIN : 0;
    entry->packet_kind = packet->header.kind;
    entry->payload_bytes = (int64_t)packet->header.payload_bytes;
    entry->origin_ns = recorded->own_time ? packet->header.origin_ns : 0;
    entry->sums = rmi_record_sums_of(packet, content, !recorded->own_time);
}

void rmi_record_sent(rmi_node *node, const rmi_outgoing *front)
{
    rmi_recorded *recorded = node->recorded;
    const rm_packet *packet = front->packet;
    rm_packet_header header = packet->header;
    rm_error why = RM_ERROR_INIT;
    rm_blob scratch = {0};
    rmi_record_piece content;
    recorded->sent_to = edges_that_get(node, front->port);
    rmi_record_entry entry = {
        .node = node->index, .port = front->port - node->out, .edges = (int64_t)recorded->sent_to};
    if (node->mark && packet == node->mark) {
        entry.kind = RMI_RECORD_MARK;
    } else if (rmi_record_content(node->strand->session, packet, &scratch, &content, &why) !=
               RM_OK) {
        rmi_free(scratch.data);
        refuse_packet(node, &why);
        return;
    } else if (recorded->is_whole || recorded->expected == 0) {
        header.metadata_bytes = packet->metadata ? header.metadata_bytes : 0;
        entry.kind = RMI_RECORD_WHOLE;
        entry.piece[0] = (rmi_record_piece){&header, sizeof header};
        entry.piece[1] = (rmi_record_piece){packet->metadata, header.metadata_bytes};
        entry.piece[2] = content;
    } else {
        recorded->expected--;
        fill_sums(recorded, packet, &content, &entry);
    }
    note(recorded->recorder, &entry);
    rmi_free(scratch.data);
}

void rmi_record_unsent(rm_session *session, const rmi_edge *edge)
{
    if (session->recorder) {
        note(session->recorder,
             &(rmi_record_entry){.kind = RMI_RECORD_UNSENT, .edge = edge->index});
    }
}

void rmi_record_dropped(rmi_node *node)
{
    rmi_recorded *recorded = node->recorded;
    if (node->outbox_checked && node->outbox_sent < node->outbox_count) {
        const rmi_out_port *port = node->outbox[node->outbox_sent].port;
        for (uint32_t e = 0; e < port->edge_count; e++) {
            if ((recorded->sent_to & ~node->outbox_done) >> e & 1) {
                rmi_record_unsent(node->strand->session, port->edges[e]);
            }
        }
    }
    recorded->expected = 0;
}

/* ---- the beginning and the end */

rm_status rmi_record_refuse(const rm_session *session, const char *what, rm_error *err)
{
    return session->recorder ? rm_fail_as(err, RM_CODE_RECORD_REFUSED,
                                          "the run is recorded: no %s meanwhile", what)
                             : RM_OK;
}

static json_t *list_nodes(const rm_session *session)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < session->node_count; i++) {
        const rm_node *node = &session->nodes[i]->pub;
        json_array_append_new(list, json_pack("[s, s]", node->id, node->type->name));
    }
    return list;
}

static json_t *list_edges(const rm_session *session)
{
    json_t *list = json_array();
    for (size_t i = 0; i < session->edge_count; i++) {
        rmi_edge_spec spec = rmi_edge_spec_of(session->plan, i);
        json_array_append_new(list, json_pack("[i, i, i, i]", (int)spec.from, (int)spec.from_port,
                                              (int)spec.to, (int)spec.to_port));
    }
    return list;
}

static rm_status note_graph(rmi_recorder *recorder, rm_error *err)
{
    const rm_session *session = recorder->session;
    json_t *graph = json_pack("{s:O, s:o, s:o, s:b}", "manifest", session->plan->graph->manifest,
                              "nodes", list_nodes(session), "edges", list_edges(session),
                              "payloads", !session->options.record_without_payloads);
    char *text = graph ? json_dumps(graph, JSON_COMPACT) : NULL;
    json_decref(graph);
    if (!text) {
        return rm_fail(err, RM_ENOMEM, "no memory for the record of a graph");
    }
    rmi_record_add(&recorder->body,
                   &(rmi_record_entry){.kind = RMI_RECORD_GRAPH, .piece = {{text, strlen(text)}}});
    free(text);
    return flush(recorder, err);
}

static rm_status open_file(rmi_recorder *recorder, rm_error *err)
{
    uint8_t head[RMI_RECORD_HEAD_BYTES];
    recorder->fd = open(recorder->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    rmi_record_make_head(head);
    if (recorder->fd < 0 || !write_all(recorder->fd, head, sizeof head)) {
        return rm_fail_os(err, errno, "cannot write the record '%.300s'", recorder->path);
    }
    recorder->written = sizeof head;
    return note_graph(recorder, err);
}

static rm_status recorder_fill(rmi_recorder *recorder, rm_error *err)
{
    const rm_session *session = recorder->session;
    recorder->path = rmi_strdup(session->options.record_path);
    recorder->nodes = rmi_calloc(session->node_count, sizeof *recorder->nodes);
    recorder->next = rmi_calloc(session->edge_count + 1, sizeof *recorder->next);
    if (!recorder->path || !recorder->nodes || !recorder->next) {
        return rm_fail(err, RM_ENOMEM, "no memory for a record of %u nodes", session->node_count);
    }
    int failed = pthread_mutex_init(&recorder->lock, NULL);
    if (failed) {
        return rm_fail_os(err, failed, "cannot create a record's lock");
    }
    recorder->lock_ready = true;
    return open_file(recorder, err);
}

static rm_status check_session(const rm_session *session, rm_error *err)
{
    const rm_session_options *options = &session->options;
    const char *reason = NULL;
    if (!session->plan) {
        reason = "it has no plan";
    } else if (session->checkpoints) {
        reason = "it keeps checkpoints, and may go on from one";
    } else if (options->spans_max) {
        reason = "its items are followed, each by a number of its own";
    } else if (options->record_without_payloads && session->input_count) {
        reason =
            "what comes in through its inputs would not be kept, and is to be had nowhere else";
    }
    return reason
               ? rm_fail_as(err, RM_CODE_RECORD_REFUSED, "the run cannot be recorded: %s", reason)
               : RM_OK;
}

/* What the options do not say, the manifest may. */
static void ask_manifest(rm_session *session)
{
    rm_session_options *options = &session->options;
    const json_t *manifest = session->plan ? session->plan->graph->manifest : NULL;
    const json_t *said = json_object_get(json_object_get(manifest, "session"), "record");
    if (options->record_path || !said) {
        return;
    }
    options->record_path = json_string_value(json_object_get(said, "file"));
    options->record_bytes_max = (uint64_t)json_integer_value(json_object_get(said, "bytes_max"));
    options->record_without_payloads = json_is_false(json_object_get(said, "payloads"));
}

rm_status rmi_record_begin(rm_session *session, rm_error *err)
{
    ask_manifest(session);
    if (!session->options.record_path) {
        return RM_OK;
    }
    rm_status status = check_session(session, err);
    if (status != RM_OK) {
        return status;
    }
    rmi_recorder *recorder = RMI_NEW(rmi_recorder);
    if (!recorder) {
        return rm_fail(err, RM_ENOMEM, "no memory for a record");
    }
    recorder->session = session;
    recorder->fd = -1;
    recorder->bytes_max = session->options.record_bytes_max ? session->options.record_bytes_max
                                                            : RECORD_BYTES_DEFAULT;
    status = recorder_fill(recorder, err);
    session->options.record_path = NULL;
    if (status != RM_OK) {
        rmi_record_free(recorder);
        return status;
    }
    session->recorder = recorder;
    for (uint32_t i = 0; i < session->node_count; i++) {
        for (uint16_t p = 0; p < session->nodes[i]->n_out; p++) {
            session->nodes[i]->out[p].checked = true;
        }
    }
    return RM_OK;
}

static void install(rmi_recorder *recorder, rmi_node *node)
{
    rmi_recorded *recorded = &recorder->nodes[node->index];
    recorded->recorder = recorder;
    recorded->is_whole = node->is_source && !recorder->session->options.record_without_payloads;
    node->recorded = recorded;
    if (recorded->is_whole) {
        return;
    }
    recorded->inner = node->pub.type;
    recorded->type = *node->pub.type;
    recorded->type.process = record_process;
    recorded->type.flush = recorded->inner->flush ? record_flush : NULL;
    recorded->type.control = recorded->inner->control ? record_control : NULL;
    recorded->type.cancel = recorded->inner->cancel ? record_cancel : NULL;
    recorded->complete = node->complete_message.run;
    node->complete_message.run = record_complete;
    node->pub.type = &recorded->type;
}

void rmi_record_install(rm_session *session)
{
    for (uint32_t i = 0; i < session->node_count && session->recorder; i++) {
        install(session->recorder, session->nodes[i]);
    }
}

void rmi_record_end(rm_session *session)
{
    rmi_recorder *recorder = session->recorder;
    rm_error why = RM_ERROR_INIT, error = RM_ERROR_INIT;
    if (!recorder) {
        return;
    }
    (void)rm_session_error(session, &error);
    pthread_mutex_lock(&recorder->lock);
    rm_status status = RM_OK;
    if (recorder->fd >= 0) {
        rmi_record_add(&recorder->body,
                       &(rmi_record_entry){.kind = RMI_RECORD_END,
                                           .status = error.status < 0 ? error.status : RM_DONE,
                                           .code = error.code,
                                           .piece = {{error.message, strlen(error.message)}}});
        status = flush(recorder, &why);
        stop(recorder);
    }
    pthread_mutex_unlock(&recorder->lock);
    if (status != RM_OK) {
        rmi_session_fail(session, &why);
    }
}

void rmi_record_free(rmi_recorder *recorder)
{
    if (!recorder) {
        return;
    }
    stop(recorder);
    if (recorder->lock_ready) {
        pthread_mutex_destroy(&recorder->lock);
    }
    rmi_bytes_fini(&recorder->body);
    rmi_free(recorder->path);
    rmi_free(recorder->nodes);
    rmi_free(recorder->next);
    rmi_free(recorder);
}
