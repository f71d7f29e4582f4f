#include "remote_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINK_FRAMES_MAX = 4, HEADER_BYTES = sizeof(rm_packet_header), EMIT_MAX = 16 };

/* ---- frames: a packet as bytes */

typedef struct frame {
    uint8_t *bytes;
    size_t size;
} frame;

static rm_status frame_of(const rm_packet *packet, frame *ret_frame)
{
    const rm_packet_header *header = &packet->header;
    frame made = {.size = HEADER_BYTES + header->metadata_bytes + header->payload_bytes};
    made.bytes = malloc(made.size);
    if (!made.bytes) {
        return RM_ENOMEM;
    }
    memcpy(made.bytes, header, HEADER_BYTES);
    if (header->metadata_bytes) {
        memcpy(made.bytes + HEADER_BYTES, packet->metadata, header->metadata_bytes);
    }
    if (header->payload_bytes) {
        memcpy(made.bytes + HEADER_BYTES + header->metadata_bytes, packet->payload,
               header->payload_bytes);
    }
    *ret_frame = made;
    return RM_OK;
}

/* Into a packet that is new and has the payload's size. The sequence is its new edge's. */
static rm_status frame_read(const frame *from, rm_packet *packet)
{
    rm_packet_header header;
    memcpy(&header, from->bytes, sizeof header);
    if (header.payload_bytes) {
        memcpy(packet->payload, from->bytes + HEADER_BYTES + header.metadata_bytes,
               header.payload_bytes);
    }
    rm_packet_header fresh = packet->header;
    packet->header = header;
    packet->header.sequence = fresh.sequence;
    packet->header.epoch = fresh.epoch;
    packet->header.metadata_bytes = 0;
    return header.metadata_bytes
               ? rm_packet_set_metadata(packet, from->bytes + HEADER_BYTES, header.metadata_bytes)
               : RM_OK;
}

static uint64_t payload_of(const frame *from)
{
    rm_packet_header header;
    memcpy(&header, from->bytes, sizeof header);
    return header.payload_bytes;
}

static void frame_drop(frame *used)
{
    free(used->bytes);
    *used = (frame){0};
}

/* ---- the type that stands for a node elsewhere */

typedef struct far_type {
    rm_node_type type;
    rm_port outputs[RM_PORTS_MAX + 1];
    remote_place *place;
    rm_plan *plan; /* of the one node, between inputs and outputs of the names of its ports */
    uint32_t input_count, output_count;
} far_type;

typedef struct lane {
    frame waiting[LINK_FRAMES_MAX]; /* the link's */
    uint32_t count;
    uint32_t index; /* of the other session's input or output */
    bool done;
} lane;

typedef struct far_node {
    rm_node *node;
    far_type *type;
    rm_session *session; /* the other one */
    lane in[RM_PORTS_MAX], out[RM_PORTS_MAX];
    bool taken; /* the set at hand is on its way */
    bool ended;
} far_node;

/* From a thread of the other session. */
static void something_changed(void *context, const rm_event *event)
{
    far_node *far = context;
    (void)event;
    rm_node_ready(far->node);
}

static frame take_first(lane *from)
{
    frame first = from->waiting[0];
    memmove(from->waiting, from->waiting + 1, --from->count * sizeof *from->waiting);
    from->waiting[from->count] = (frame){0};
    return first;
}

/* What is on the link arrives there, as far as there is room. */
static rm_status deliver(far_node *far, lane *to)
{
    while (to->count) {
        rm_packet *packet = NULL;
        rm_status status =
            rm_session_packet_new(far->session, payload_of(&to->waiting[0]), &packet);
        if (status == RM_OK) {
            status = frame_read(&to->waiting[0], packet);
        }
        if (status == RM_OK) {
            status = rm_session_push(far->session, to->index, packet);
        }
        if (status != RM_OK) {
            rm_packet_unref(packet);
            return status == RM_EAGAIN || status == RM_DONE ? RM_OK : status;
        }
        frame sent = take_first(to);
        frame_drop(&sent);
        atomic_fetch_add(&far->type->place->sent, 1);
    }
    return RM_OK;
}

static rm_status deliver_all(far_node *far)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < far->type->input_count && status == RM_OK; i++) {
        status = deliver(far, &far->in[i]);
    }
    return status;
}

/* Onto the link; RM_EAGAIN: it is full. */
static rm_status send_set(far_node *far, const rm_inputs *inputs)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < far->type->input_count; i++) {
        if (far->in[i].count == LINK_FRAMES_MAX) {
            return RM_EAGAIN;
        }
    }
    for (uint32_t i = 0; i < inputs->count && status == RM_OK; i++) {
        if (inputs->packet[i]) {
            status = frame_of(inputs->packet[i], &far->in[i].waiting[far->in[i].count]);
            far->in[i].count += status == RM_OK;
        }
    }
    far->taken = status == RM_OK;
    return status == RM_OK ? deliver_all(far) : status;
}

static rm_status emit_one(far_node *far, uint32_t port)
{
    lane *from = &far->out[port];
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(far->node, payload_of(&from->waiting[0]), &packet);
    if (status != RM_OK) {
        return status;
    }
    frame got = take_first(from);
    status = frame_read(&got, packet);
    frame_drop(&got);
    if (status != RM_OK) {
        rm_packet_unref(packet);
        return status;
    }
    atomic_fetch_add(&far->type->place->received, 1);
    return rm_emit(far->node, port, packet);
}

/* One output's: RM_MORE: there may be further ones. RM_EAGAIN: none now. RM_DONE: it has ended. */
static rm_status receive(far_node *far, uint32_t port, uint32_t *emitted)
{
    lane *from = &far->out[port];
    for (uint32_t n = 0; n < EMIT_MAX; n++) {
        if (!from->count) {
            rm_packet *packet = NULL;
            rm_status status = rm_session_pull(far->session, from->index, &packet);
            if (status != RM_OK) {
                return status;
            }
            status = frame_of(packet, &from->waiting[0]);
            rm_packet_unref(packet);
            if (status != RM_OK) {
                return status;
            }
            from->count = 1;
        }
        rm_status status = emit_one(far, port);
        if (status != RM_OK) {
            return status;
        }
        ++*emitted;
    }
    return RM_MORE;
}

static rm_status receive_all(far_node *far, uint32_t *emitted, bool *more, bool *all_done)
{
    *more = false;
    *all_done = true;
    for (uint32_t i = 0; i < far->type->output_count; i++) {
        rm_status status = receive(far, i, emitted);
        if (status < 0) {
            return status;
        }
        *more |= status == RM_MORE;
        *all_done &= status == RM_DONE;
    }
    return RM_OK;
}

/* The other node's error, in its own words. */
static rm_status failure(far_node *far, rm_status status, rm_error *err)
{
    rm_error why = RM_ERROR_INIT;
    if (rm_session_error(far->session, &why) < 0) {
        status = why.status;
    }
    return rm_fail(err, status, "at %s: %s", far->type->place->row.name,
                   why.message[0] ? why.message : rm_status_name(status));
}

static rm_status far_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    far_node *far = node->state;
    bool more, all_done, has_input = false;
    uint32_t emitted = 0;
    rm_error why = RM_ERROR_INIT;
    for (uint32_t i = 0; i < inputs->count; i++) {
        has_input |= inputs->packet[i] != NULL;
    }
    rm_status status = deliver_all(far);
    if (status == RM_OK && has_input && !far->taken) {
        status = send_set(far, inputs);
    }
    if (status == RM_OK || status == RM_EAGAIN) {
        status = receive_all(far, &emitted, &more, &all_done);
    }
    if (status != RM_OK || rm_session_error(far->session, &why) < 0) {
        return failure(far, status, err);
    }
    if (more || (emitted && has_input && !far->taken)) {
        return RM_MORE;
    }
    bool waits = has_input && !far->taken;
    far->taken = false;
    return waits ? RM_EAGAIN : RM_OK;
}

static rm_status far_flush(rm_node *node, rm_error *err)
{
    far_node *far = node->state;
    bool more, all_done, sent = true;
    uint32_t emitted = 0;
    rm_error why = RM_ERROR_INIT;
    rm_status status = deliver_all(far);
    for (uint32_t i = 0; i < far->type->input_count; i++) {
        sent &= far->in[i].count == 0;
    }
    for (uint32_t i = 0; i < far->type->input_count && sent && !far->ended; i++) {
        rm_session_end(far->session, far->in[i].index);
    }
    far->ended |= sent;
    if (status == RM_OK) {
        status = receive_all(far, &emitted, &more, &all_done);
    }
    if (status != RM_OK || rm_session_error(far->session, &why) < 0) {
        return failure(far, status, err);
    }
    if (all_done) {
        return RM_OK;
    }
    return more || emitted ? RM_MORE : RM_EAGAIN;
}

static void far_release(far_node *far)
{
    rm_session_free(far->session);
    for (uint32_t i = 0; i < RM_PORTS_MAX; i++) {
        while (far->in[i].count) {
            frame lost = take_first(&far->in[i]);
            frame_drop(&lost);
        }
        while (far->out[i].count) {
            frame lost = take_first(&far->out[i]);
            frame_drop(&lost);
        }
    }
}

static void far_close(rm_node *node)
{
    far_release(node->state);
}

static rm_status find_lanes(far_node *far, rm_error *err)
{
    const rm_node_type *type = &far->type->type;
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < far->type->input_count && status == RM_OK; i++) {
        status = rm_session_input(far->session, type->inputs[i].name, &far->in[i].index, err);
    }
    for (uint32_t i = 0; i < far->type->output_count && status == RM_OK; i++) {
        status = rm_session_output(far->session, type->outputs[i].name, &far->out[i].index, err);
    }
    return status;
}

static rm_status far_open(rm_node *node, rm_error *err)
{
    far_node *far = node->state;
    far->node = node;
    far->type = node->type->user;
    remote_place *place = far->type->place;
    if (atomic_load(&place->is_closed)) {
        return rm_fail_as(err, RM_CODE_PLACE_REFUSED, "%s takes no nodes now", place->row.name);
    }
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_THREAD,
                                  .on_event = something_changed,
                                  .event_context = far};
    rm_status status = rm_session_open(far->type->plan, &options, &far->session, err);
    if (status == RM_OK) {
        atomic_fetch_add(&place->opened, 1);
        status = find_lanes(far, err);
    }
    if (status != RM_OK) {
        far_release(far);
    }
    return status;
}

/* ---- making it */

static void far_type_free(far_type *made)
{
    if (made) {
        rm_plan_free(made->plan);
        free(made);
    }
}

static void endpoints(char *text, size_t size, const char *id, const rm_port *ports)
{
    snprintf(text, size, "{");
    for (uint32_t i = 0; ports && ports[i].name; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s\"%s\":{\"node\":\"%s\",\"port\":\"%s\"}",
                 i ? "," : "", ports[i].name, id, ports[i].name);
    }
    size_t used = strlen(text);
    snprintf(text + used, size - used, "}");
}

static rm_status plan_there(far_type *made, const rm_node_spec *spec, rm_error *err)
{
    char inputs[2048], outputs[2048], manifest[8192];
    rm_graph *graph = NULL;
    rm_plan_options options = {.struct_size = sizeof options, .machine_json = made->place->machine};
    endpoints(inputs, sizeof inputs, spec->id, made->type.inputs);
    endpoints(outputs, sizeof outputs, spec->id, made->type.outputs);
    snprintf(manifest, sizeof manifest,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"%s\",\"node_type\":\"%s\",\"params\":%s}],"
             "\"connections\":[],\"inputs\":%s,\"outputs\":%s}",
             spec->id, spec->node_type, spec->params_json, inputs, outputs);
    rm_status status = rm_graph_parse(manifest, strlen(manifest), &graph, NULL, err);
    if (status == RM_OK) {
        status = rm_graph_plan(graph, made->place->registry, &options, &made->plan, NULL, err);
    }
    rm_graph_free(graph);
    return status;
}

static uint32_t count_ports(const rm_port *ports)
{
    uint32_t count = 0;
    while (ports && ports[count].name) {
        count++;
    }
    return count;
}

static rm_status make_type(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err)
{
    remote_place *place = context;
    const rm_node_type *there = NULL;
    rm_status status = rm_registry_find(place->registry, spec->node_type, &there, err);
    if (status != RM_OK) {
        return status;
    }
    far_type *made = calloc(1, sizeof *made);
    if (!made) {
        return rm_fail(err, RM_ENOMEM, "no memory for a node elsewhere");
    }
    made->place = place;
    made->input_count = count_ports(there->inputs);
    made->output_count = count_ports(there->outputs);
    for (uint32_t i = 0; i < made->output_count; i++) {
        made->outputs[i] = there->outputs[i];
        made->outputs[i].emit_max = EMIT_MAX;
    }
    made->type = (rm_node_type){.struct_size = sizeof made->type,
                                .name = there->name,
                                .summary = there->summary,
                                .flags = RM_NODE_UNPROMPTED | RM_NODE_OTHER_PARAMS,
                                .inputs = there->inputs,
                                .outputs = made->outputs,
                                .state_size = sizeof(far_node),
                                .open = far_open,
                                .process = far_process,
                                .flush = far_flush,
                                .close = far_close,
                                .user = made};
    status = plan_there(made, spec, err);
    if (status != RM_OK) {
        far_type_free(made);
        return status;
    }
    *ret_type = &made->type;
    return RM_OK;
}

static void release_type(void *context, const rm_node_type *type)
{
    (void)context;
    far_type_free(type->user);
}

static rm_status describe(void *context, char **ret_json, rm_error *err)
{
    const remote_place *place = context;
    size_t bytes = strlen(place->machine) + 1;
    char *copy = rm_alloc(bytes);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory to describe a place");
    }
    memcpy(copy, place->machine, bytes);
    *ret_json = copy;
    return RM_OK;
}

void remote_place_init(remote_place *place, rm_registry *registry, const char *machine)
{
    *place = (remote_place){.registry = registry, .machine = machine};
    place->row = (rm_place_type){.struct_size = sizeof place->row,
                                 .name = "test.remote",
                                 .summary = "a second session of this process",
                                 .describe = describe,
                                 .make_type = make_type,
                                 .release_type = release_type,
                                 .context = place};
}
