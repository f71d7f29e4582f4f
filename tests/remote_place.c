#include "remote_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINK_FRAMES = 4, HEADER_BYTES = sizeof(rm_packet_header), EMIT_MAX = 16 };

/* ---- frames: a packet as bytes */

static rm_status frame_of(const rm_packet *packet, sim_bytes *ret_frame)
{
    const rm_packet_header *header = &packet->header;
    sim_bytes made = {.size = HEADER_BYTES + header->metadata_bytes + header->payload_bytes};
    made.data = malloc(made.size);
    if (!made.data) {
        return RM_ENOMEM;
    }
    memcpy(made.data, header, HEADER_BYTES);
    if (header->metadata_bytes) {
        memcpy(made.data + HEADER_BYTES, packet->metadata, header->metadata_bytes);
    }
    if (header->payload_bytes) {
        memcpy(made.data + HEADER_BYTES + header->metadata_bytes, packet->payload,
               header->payload_bytes);
    }
    *ret_frame = made;
    return RM_OK;
}

/* Into a packet that is new and has the payload's size. The sequence is its new edge's. */
static rm_status frame_read(const sim_bytes *from, rm_packet *packet)
{
    rm_packet_header header;
    memcpy(&header, from->data, sizeof header);
    if (header.payload_bytes) {
        memcpy(packet->payload, from->data + HEADER_BYTES + header.metadata_bytes,
               header.payload_bytes);
    }
    rm_packet_header fresh = packet->header;
    packet->header = header;
    packet->header.sequence = fresh.sequence;
    packet->header.epoch = fresh.epoch;
    packet->header.metadata_bytes = 0;
    return header.metadata_bytes
               ? rm_packet_set_metadata(packet, from->data + HEADER_BYTES, header.metadata_bytes)
               : RM_OK;
}

static uint64_t payload_of(const sim_bytes *from)
{
    rm_packet_header header;
    memcpy(&header, from->data, sizeof header);
    return header.payload_bytes;
}

static void frame_drop(sim_bytes *used)
{
    free(used->data);
    *used = (sim_bytes){0};
}

/* ---- the type that stands for a node elsewhere */

typedef struct far_type {
    rm_node_type type;
    rm_port outputs[RM_PORTS_MAX + 1];
    remote_place *place;
    rm_plan *plan; /* of the one node, between inputs and outputs of the names of its ports */
    uint32_t input_count, output_count;
} far_type;

/* A link, and what waits at its far end: of an input until the other session takes it, of an output
 * until the link does. */
typedef struct lane {
    sim_link *link;
    sim_bytes held;
    uint32_t index; /* of the other session's input or output */
    bool ended;     /* an input: nothing more is sent; an output: the other session has said so */
} lane;

typedef struct far_node {
    rm_node *node;
    far_type *type;
    rm_session *session; /* the other one */
    lane in[RM_PORTS_MAX], out[RM_PORTS_MAX];
    bool taken; /* the set at hand is on its way */
} far_node;

/* From a thread of the other session. */
static void something_changed(void *context, const rm_event *event)
{
    far_node *far = context;
    (void)event;
    rm_node_ready(far->node);
}

/* ---- there */

/* The machine dies: both ends that are there. */
static void die(far_node *far)
{
    for (uint32_t i = 0; i < far->type->input_count; i++) {
        sim_link_kill(far->in[i].link, SIM_RECEIVER);
    }
    for (uint32_t i = 0; i < far->type->output_count; i++) {
        sim_link_kill(far->out[i].link, SIM_SENDER);
    }
}

/* The frame goes into the other session. RM_EAGAIN: it has no room. */
static rm_status push_held(far_node *far, lane *to)
{
    rm_packet *packet = NULL;
    rm_status status = rm_session_packet_new(far->session, payload_of(&to->held), &packet);
    if (status == RM_OK) {
        status = frame_read(&to->held, packet);
    }
    if (status == RM_OK) {
        status = rm_session_push(far->session, to->index, packet);
    }
    if (status != RM_OK) {
        rm_packet_unref(packet);
        return status;
    }
    frame_drop(&to->held);
    sim_link_acknowledge(to->link);
    uint32_t sent = atomic_fetch_add(&far->type->place->sent, 1) + 1;
    if (sent == far->type->place->dies_after) {
        die(far);
    }
    return RM_OK;
}

/* What has come over the link arrives in the session, as far as there is room. */
static rm_status deliver(far_node *far, lane *to)
{
    rm_status status = RM_OK;
    while (status == RM_OK) {
        if (!to->held.data) {
            status = sim_link_receive(to->link, &to->held);
        }
        if (status == RM_OK) {
            status = push_held(far, to);
        } else if (status == RM_DONE) {
            rm_session_end(far->session, to->index);
        }
    }
    return status == RM_EAGAIN || status == RM_DONE ? RM_OK : status;
}

/* What the session gives goes onto the link, as far as there are credits. */
static rm_status ship(far_node *far, lane *from)
{
    rm_status status = RM_OK;
    while (status == RM_OK && !from->ended) {
        if (!from->held.data) {
            rm_packet *packet = NULL;
            status = rm_session_pull(far->session, from->index, &packet);
            if (status == RM_OK) {
                status = frame_of(packet, &from->held);
            }
            rm_packet_unref(packet);
        }
        if (status == RM_OK) {
            status = sim_link_send(from->link, from->held);
        } else if (status == RM_DONE) {
            sim_link_end(from->link);
            from->ended = true;
        }
        if (status == RM_OK) {
            from->held = (sim_bytes){0};
        }
    }
    return status == RM_EAGAIN || status == RM_DONE ? RM_OK : status;
}

static bool anything_moves(const far_node *far)
{
    bool moves = false;
    for (uint32_t i = 0; i < far->type->input_count; i++) {
        moves |= sim_link_moves(far->in[i].link);
    }
    for (uint32_t i = 0; i < far->type->output_count; i++) {
        moves |= sim_link_moves(far->out[i].link);
    }
    return moves;
}

/* Time passes on all links, and the other side does what it can. */
static rm_status turn_there(far_node *far)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < far->type->input_count && status == RM_OK; i++) {
        sim_link_step(far->in[i].link);
        status = deliver(far, &far->in[i]);
    }
    for (uint32_t i = 0; i < far->type->output_count && status == RM_OK; i++) {
        sim_link_step(far->out[i].link);
        status = ship(far, &far->out[i]);
    }
    return status;
}

/* ---- here */

/* Onto the links; RM_EAGAIN: one has no credit. */
static rm_status send_set(far_node *far, const rm_inputs *inputs)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < far->type->input_count; i++) {
        if (!sim_link_has_credit(far->in[i].link)) {
            return RM_EAGAIN;
        }
    }
    for (uint32_t i = 0; i < inputs->count && status == RM_OK; i++) {
        sim_bytes made = {0};
        if (inputs->packet[i]) {
            status = frame_of(inputs->packet[i], &made);
            status = status == RM_OK ? sim_link_send(far->in[i].link, made) : status;
        }
        if (status != RM_OK) {
            frame_drop(&made);
        }
    }
    far->taken = status == RM_OK;
    return status;
}

static rm_status emit_one(far_node *far, uint32_t port, sim_bytes *got)
{
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(far->node, payload_of(got), &packet);
    if (status == RM_OK) {
        status = frame_read(got, packet);
    }
    frame_drop(got);
    if (status != RM_OK) {
        rm_packet_unref(packet);
        return status;
    }
    sim_link_acknowledge(far->out[port].link);
    atomic_fetch_add(&far->type->place->received, 1);
    return rm_emit(far->node, port, packet);
}

/* One output's: RM_MORE: there may be further ones. RM_EAGAIN: none now. RM_DONE: it has ended. */
static rm_status receive(far_node *far, uint32_t port, uint32_t *emitted)
{
    for (uint32_t n = 0; n < EMIT_MAX; n++) {
        sim_bytes got;
        rm_status status = sim_link_receive(far->out[port].link, &got);
        if (status == RM_OK) {
            status = emit_one(far, port, &got);
        }
        if (status != RM_OK) {
            return status;
        }
        ++*emitted;
    }
    return RM_MORE;
}

static rm_status receive_all(far_node *far, uint32_t *emitted, bool *more, bool *all_done)
{
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
    const char *otherwise = status == RM_EFAIL ? "it is gone" : rm_status_name(status);
    return rm_fail(err, status, "at %s: %s", far->type->place->row.name,
                   why.message[0] ? why.message : otherwise);
}

static bool has_packet(const rm_inputs *inputs)
{
    bool any = false;
    for (uint32_t i = 0; i < inputs->count; i++) {
        any |= inputs->packet[i] != NULL;
    }
    return any;
}

static rm_status far_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    far_node *far = node->state;
    bool more = false, all_done, has_input = has_packet(inputs);
    uint32_t emitted = 0;
    rm_error why = RM_ERROR_INIT;
    rm_status status = turn_there(far);
    if (status == RM_OK && has_input && !far->taken) {
        status = send_set(far, inputs);
    }
    if (status == RM_OK || status == RM_EAGAIN) {
        status = receive_all(far, &emitted, &more, &all_done);
    }
    if (status != RM_OK || rm_session_error(far->session, &why) < 0) {
        return failure(far, status, err);
    }
    if (more || anything_moves(far) || (emitted && has_input && !far->taken)) {
        return RM_MORE;
    }
    bool waits = has_input && !far->taken;
    far->taken = false;
    return waits ? RM_EAGAIN : RM_OK;
}

static rm_status far_flush(rm_node *node, rm_error *err)
{
    far_node *far = node->state;
    bool more = false, all_done;
    uint32_t emitted = 0;
    rm_error why = RM_ERROR_INIT;
    for (uint32_t i = 0; i < far->type->input_count; i++) {
        if (!far->in[i].ended) {
            sim_link_end(far->in[i].link);
            far->in[i].ended = true;
        }
    }
    rm_status status = turn_there(far);
    if (status == RM_OK) {
        status = receive_all(far, &emitted, &more, &all_done);
    }
    if (status != RM_OK || rm_session_error(far->session, &why) < 0) {
        return failure(far, status, err);
    }
    if (all_done) {
        return RM_OK;
    }
    return more || emitted || anything_moves(far) ? RM_MORE : RM_EAGAIN;
}

static void far_release(far_node *far)
{
    rm_session_free(far->session);
    for (uint32_t i = 0; i < RM_PORTS_MAX; i++) {
        sim_link_free(far->in[i].link);
        sim_link_free(far->out[i].link);
        frame_drop(&far->in[i].held);
        frame_drop(&far->out[i].held);
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

static sim_link *link_of(remote_place *place)
{
    sim_link_options options = place->link;
    options.capacity = options.capacity ? options.capacity : LINK_FRAMES;
    options.seed += atomic_fetch_add(&place->links, 1);
    return sim_link_new(&options);
}

static rm_status make_links(far_node *far, rm_error *err)
{
    bool made = true;
    for (uint32_t i = 0; i < far->type->input_count; i++) {
        far->in[i].link = link_of(far->type->place);
        made &= far->in[i].link != NULL;
    }
    for (uint32_t i = 0; i < far->type->output_count; i++) {
        far->out[i].link = link_of(far->type->place);
        made &= far->out[i].link != NULL;
    }
    return made ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for a link");
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
    if (status == RM_OK) {
        status = make_links(far, err);
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
