#include <remotemedia/harness.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/harness.h"
#include "engine/session.h"

/* [rm.input]… ─▶ the node ─▶ [rm.output]… on one strand, stepped by the test. */
struct rm_harness {
    rm_session *session;
    rm_registry *registry; /* of rm_harness_load() */
    int64_t now_ns;
};

static rm_status add_port(rm_session *session, const rm_node_type *io, const char *name,
                          uint32_t *ret_node, rm_error *err)
{
    char params[128], id[96];
    snprintf(params, sizeof params, "{\"name\":\"%s\"}", name);
    snprintf(id, sizeof id, "%s.%s", io->name, name);
    rmi_node_spec spec = {.type = io, .id = id, .params_json = params};
    return rmi_session_add(session, &spec, ret_node, err);
}

/* Else the first values would make them, in the midst of what a test counts the allocations of. */
static rm_status make_histograms(rm_session *session, rm_error *err)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        rmi_node *node = session->nodes[i];
        rmi_histogram **made[] = {&node->time, &node->waiting, &node->age};
        for (size_t k = 0; k < RMI_COUNT(made); k++) {
            *made[k] = RMI_NEW(rmi_histogram);
            if (!*made[k]) {
                return rm_fail(err, RM_ENOMEM, "no memory for a harness");
            }
        }
    }
    return RM_OK;
}

static rm_status build(rm_session *session, const rm_node_type *type, const char *params_json,
                       rm_error *err)
{
    uint32_t inputs = 0, node = 0, output = 0;
    rm_status status = RM_OK;
    for (const rm_port *p = type->inputs; p && p->name && status == RM_OK; p++) {
        status = add_port(session, &rmi_input_type, p->name, &inputs, err);
    }
    rmi_node_spec spec = {.type = type, .id = type->name, .params_json = params_json};
    if (status == RM_OK) {
        status = rmi_session_add(session, &spec, &node, err);
    }
    for (uint32_t i = 0; i < node && status == RM_OK; i++) {
        rmi_edge_spec edge = {.from = i, .to = node, .to_port = i};
        status = rmi_session_connect(session, &edge, err);
    }
    uint32_t port = 0;
    for (const rm_port *p = type->outputs; p && p->name && status == RM_OK; p++, port++) {
        status = add_port(session, &rmi_output_type, p->name, &output, err);
        rmi_edge_spec edge = {.from = node, .from_port = port, .to = output};
        if (status == RM_OK) {
            status = rmi_session_connect(session, &edge, err);
        }
    }
    if (status == RM_OK) {
        status = make_histograms(session, err);
    }
    return status == RM_OK ? rmi_session_start(session, err) : status;
}

rm_status rm_harness_new(const rm_node_type *type, const char *params_json,
                         rm_harness **ret_harness, rm_error *err)
{
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    rm_harness *harness = RMI_NEW(rm_harness);
    if (!harness) {
        return rm_fail(err, RM_ENOMEM, "no memory for a harness");
    }
    rm_status status = rmi_session_new(&options, 1, &harness->session, err);
    if (status == RM_OK) {
        status = build(harness->session, type, params_json, err);
    }
    if (status != RM_OK) {
        rm_harness_free(harness);
        return status;
    }
    *ret_harness = harness;
    return RM_OK;
}

void rmi_harness_adopt(rm_harness *harness, rm_registry *registry)
{
    harness->registry = registry;
}

void rm_harness_free(rm_harness *harness)
{
    if (harness) {
        rm_session_free(harness->session);
        rm_registry_free(harness->registry);
        rmi_free(harness);
    }
}

rm_status rm_harness_packet_new(rm_harness *harness, uint64_t payload_bytes, rm_packet **ret_packet)
{
    return rm_session_packet_new(harness->session, payload_bytes, ret_packet);
}

rm_status rm_harness_audio_new(rm_harness *harness, const rm_format_line *format, uint32_t frames,
                               const void *samples, int64_t pts_ns, rm_packet **ret_packet)
{
    uint32_t rate_hz = format->audio.rate_hz;
    uint64_t frame_bytes =
        (uint64_t)format->audio.channels * rm_sample_format_bytes(format->audio.sample_format);
    uint64_t bytes = frames * frame_bytes;
    rm_packet *packet = NULL;
    rm_status status = rm_harness_packet_new(harness, bytes, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_AUDIO;
    packet->header.pts_ns = pts_ns;
    packet->header.duration_ns = rate_hz ? (int64_t)frames * 1000000000 / rate_hz : 0;
    packet->header.format = *format;
    packet->header.instance.audio.frames = frames;
    if (bytes && samples) {
        memcpy(packet->payload, samples, bytes);
    }
    *ret_packet = packet;
    return RM_OK;
}

rm_status rm_harness_push(rm_harness *harness, uint32_t input, rm_packet *packet)
{
    return rm_session_push(harness->session, input, packet);
}

void rm_harness_end(rm_harness *harness, uint32_t input)
{
    rm_session_end(harness->session, input);
}

static rm_status with_error(rm_harness *harness, rm_status status, rm_error *err)
{
    if (status < 0 && err) {
        (void)rm_session_error(harness->session, err);
    }
    return status;
}

rm_status rm_harness_step(rm_harness *harness, uint32_t calls, rm_error *err)
{
    int64_t next_ns;
    return with_error(harness, rm_session_step(harness->session, harness->now_ns, calls, &next_ns),
                      err);
}

rm_status rm_harness_run(rm_harness *harness, rm_error *err)
{
    rm_status status;
    do {
        status = rm_harness_step(harness, 1u << 20, err);
    } while (status == RM_MORE);
    return status;
}

void rm_harness_advance(rm_harness *harness, int64_t by_ns)
{
    harness->now_ns += by_ns;
}

rm_status rm_harness_pull(rm_harness *harness, uint32_t output, rm_packet **ret_packet)
{
    return rm_session_pull(harness->session, output, ret_packet);
}

rm_session *rm_harness_session(rm_harness *harness)
{
    return harness->session;
}
