/* resample.c — 48 to 16 kHz, mono f32, in packets of 20 ms: audio.resample in a graph, against soxr
 * called directly with the same blocks and quality, and against GStreamer's audioresample.
 *
 * The signal is 1 and 5 kHz, which must come through, and 11 kHz, which must not. SNR: the power of
 * the two tones over the power of all else in the output, over whole seconds of it. Ours must be,
 * to the bit, what soxr gives; GStreamer is given the lowest of its qualities whose SNR reaches
 * ours (its highest, where none does). It takes ten times as long: the other two, which are near
 * each other, alternate by themselves and more often. Processor time: each side works on one
 * thread.
 *
 *     resample [ROUNDS [SECONDS]]
 */
#include <gst/gst.h>
#include <math.h>
#include <soxr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum {
    IN_HZ = 48000,
    OUT_HZ = 16000,
    BLOCK = 960,
    OUT_ROOM = 2048,
    GST_QUALITIES = 11,
    PAGE_BYTES = 4096,
    SOXR_ROUNDS = 5
};

#define AMPLITUDE 0.25

static float *signal_one_second;
static unsigned seconds;

/* What a side gave, whole. */
typedef struct output {
    float *samples;
    size_t frames, room;
} output;

static void add_output(output *out, const float *samples, size_t frames)
{
    if (frames > out->room - out->frames) {
        bench_fail("more than %zu frames came out", out->room);
    }
    memcpy(out->samples + out->frames, samples, frames * sizeof *samples);
    out->frames += frames;
}

static output new_output(void)
{
    size_t room = (size_t)(seconds + 1) * OUT_HZ;
    output out = {.samples = malloc(room * sizeof(float)), .room = room};
    if (!out.samples) {
        bench_fail("no memory");
    }
    return out;
}

/* How fast a block is copied depends on where in its page it lies beside where it goes, by more
 * than what is measured here: each round has the signal elsewhere in a page, the same for all
 * sides. */
static void make_signal(unsigned offset_bytes)
{
    static char *room;
    if (!room) {
        room = aligned_alloc(PAGE_BYTES, IN_HZ * sizeof(float) + 2 * PAGE_BYTES);
    }
    if (!room) {
        bench_fail("no memory");
    }
    signal_one_second = (float *)(void *)(room + offset_bytes);
    for (int i = 0; i < IN_HZ; i++) {
        double turn = 2 * M_PI * i / IN_HZ;
        signal_one_second[i] =
            (float)(AMPLITUDE * (sin(1000 * turn) + sin(5000 * turn) + sin(11000 * turn)));
    }
}

static size_t block_offset(unsigned number)
{
    return (size_t)(number % (IN_HZ / BLOCK)) * BLOCK;
}

/* Takes the tone out of whole seconds of output; returns its power. */
static double take_tone(double *x, size_t frames, double hz)
{
    double re = 0, im = 0, turn = 2 * M_PI * hz / OUT_HZ;
    for (size_t i = 0; i < frames; i++) {
        re += x[i] * cos(turn * (double)(i % OUT_HZ)) * 2 / (double)frames;
        im += x[i] * sin(turn * (double)(i % OUT_HZ)) * 2 / (double)frames;
    }
    for (size_t i = 0; i < frames; i++) {
        x[i] -= re * cos(turn * (double)(i % OUT_HZ)) + im * sin(turn * (double)(i % OUT_HZ));
    }
    return (re * re + im * im) / 2;
}

static double snr_db(const output *out)
{
    size_t want = (size_t)seconds * OUT_HZ, frames = (size_t)(seconds - 1) * OUT_HZ;
    if (out->frames + 200 < want || out->frames > want + 200) {
        bench_fail("%zu frames came out, want about %zu", out->frames, want);
    }
    double *rest = malloc(frames * sizeof *rest), good = 0, bad = 0;
    if (!rest) {
        bench_fail("no memory");
    }
    for (size_t i = 0; i < frames; i++) {
        rest[i] = out->samples[OUT_HZ / 2 + i]; /* past the filter's edges */
    }
    for (int hz = 1000; hz <= 5000; hz += 4000) {
        double power = take_tone(rest, frames, hz);
        good += power;
        bad += pow(sqrt(2 * power) - AMPLITUDE, 2) / 2;
    }
    for (size_t i = 0; i < frames; i++) {
        bad += rest[i] * rest[i] / (double)frames;
    }
    free(rest);
    return 10 * log10(good / bad);
}

/* ---- ours */

static output *ours_goes_to;

static void keep_signal(void *owner)
{
    (void)owner; /* the signal stays */
}

static rm_status tone_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    unsigned *sent = node->state;
    rm_packet *packet = NULL;
    if (*sent == seconds * (IN_HZ / BLOCK)) {
        return RM_DONE;
    }
    /* Where the samples are, as for soxr and GStreamer. */
    float *samples = signal_one_second + block_offset(*sent);
    rm_status status =
        rm_packet_new_foreign(node, samples, BLOCK * sizeof(float), keep_signal, samples, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_AUDIO;
    packet->header.pts_ns = (int64_t)(*sent)++ * 20000000;
    packet->header.format.audio.rate_hz = IN_HZ;
    packet->header.format.audio.channels = 1;
    packet->header.format.audio.sample_format = RM_SAMPLE_F32;
    packet->header.instance.audio.frames = BLOCK;
    return rm_emit(node, 0, packet);
}

static rm_status keep_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)err;
    const rm_packet *packet = inputs->packet[0];
    add_output(ours_goes_to, packet->payload, packet->header.instance.audio.frames);
    return RM_OK;
}

static const rm_port tone_out[] = {
    {.name = "out", .formats = "audio rate_hz=48000 channels=1 sample_format=f32 planar=0"}, {0}};
static const rm_port keep_in[] = {
    {.name = "in", .formats = "audio rate_hz=16000 channels=1 sample_format=f32 planar=0"}, {0}};
static const rm_node_type tone_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "bench.tones",
                                       .outputs = tone_out,
                                       .state_size = sizeof(unsigned),
                                       .process = tone_process};
static const rm_node_type keep_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "bench.keep",
                                       .inputs = keep_in,
                                       .process = keep_process};

/* Opens, and returns the time that the graph then runs. */
static double run_ours(const char *quality, output *out)
{
    char text[128];
    rm_error error = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_session *session = NULL;
    snprintf(text, sizeof text,
             "bench.tones ! audio.resample rate_hz=16000 quality=%s ! bench.keep", quality);
    bench_check(rm_registry_new(&registry, &error), &error);
    bench_check(rm_registry_add(registry, &tone_type, &error), &error);
    bench_check(rm_registry_add(registry, &keep_type, &error), &error);
    bench_check(rm_graph_parse_inline(text, &graph, &error), &error);
    bench_check(rm_graph_plan(graph, registry, NULL, &plan, NULL, &error), &error);
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    bench_check(rm_session_open(plan, &options, &session, &error), &error);
    ours_goes_to = out;
    out->frames = 0;
    double begin_ns = bench_now_ns();
    rm_status status = bench_session_run(session);
    double took_ns = bench_now_ns() - begin_ns;
    if (status != RM_DONE) {
        (void)rm_session_error(session, &error);
        bench_fail("the graph ended with %s", error.message);
    }
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
    return took_ns;
}

/* ---- soxr itself */

static double run_soxr(output *out)
{
    static float gave[OUT_ROOM];
    soxr_error_t why = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_t soxr = soxr_create(IN_HZ, OUT_HZ, 1, &why, &io, &quality, &runtime);
    size_t frames = 0;
    out->frames = 0;
    double begin_ns = bench_now_ns();
    for (unsigned i = 0; i < seconds * (IN_HZ / BLOCK) && !why; i++) {
        why = soxr_process(soxr, signal_one_second + block_offset(i), BLOCK, NULL, gave, OUT_ROOM,
                           &frames);
        add_output(out, gave, frames);
    }
    do {
        why = why ? why : soxr_process(soxr, NULL, 0, NULL, gave, OUT_ROOM, &frames);
        add_output(out, gave, frames);
    } while (!why && frames);
    double took_ns = bench_now_ns() - begin_ns;
    if (why) {
        bench_fail("soxr: %s", why);
    }
    soxr_delete(soxr);
    return took_ns;
}

/* ---- GStreamer: its element between two pads of ours, run to completion by each push */

static GstFlowReturn on_output(GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
    (void)parent;
    GstMapInfo map;
    if (gst_buffer_map(buffer, &map, GST_MAP_READ)) {
        add_output(gst_pad_get_element_private(pad), (const float *)(const void *)map.data,
                   map.size / sizeof(float));
        gst_buffer_unmap(buffer, &map);
    }
    gst_buffer_unref(buffer);
    return GST_FLOW_OK;
}

/* The output side takes 16 kHz and nothing else, which makes the element resample. */
static gboolean on_query(GstPad *pad, GstObject *parent, GstQuery *query)
{
    GstCaps *caps =
        gst_caps_from_string("audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved");
    gboolean handled = TRUE;
    if (GST_QUERY_TYPE(query) == GST_QUERY_CAPS) {
        gst_query_set_caps_result(query, caps);
    } else if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {
        gst_query_set_accept_caps_result(query, TRUE);
    } else {
        handled = gst_pad_query_default(pad, parent, query);
    }
    gst_caps_unref(caps);
    return handled;
}

static void send_start(GstPad *source)
{
    GstSegment segment;
    GstCaps *caps =
        gst_caps_from_string("audio/x-raw,format=F32LE,rate=48000,channels=1,layout=interleaved");
    gst_segment_init(&segment, GST_FORMAT_TIME);
    if (!gst_pad_push_event(source, gst_event_new_stream_start("bench")) ||
        !gst_pad_push_event(source, gst_event_new_caps(caps)) ||
        !gst_pad_push_event(source, gst_event_new_segment(&segment))) {
        bench_fail("GStreamer: audioresample does not start");
    }
    gst_caps_unref(caps);
}

static double push_blocks(GstPad *source)
{
    double begin_ns = bench_now_ns();
    for (unsigned i = 0; i < seconds * (IN_HZ / BLOCK); i++) {
        GstBuffer *buffer = gst_buffer_new_wrapped_full(
            GST_MEMORY_FLAG_READONLY, signal_one_second, IN_HZ * sizeof(float),
            block_offset(i) * sizeof(float), BLOCK * sizeof(float), NULL, NULL);
        GST_BUFFER_PTS(buffer) = (GstClockTime)i * 20 * GST_MSECOND;
        GST_BUFFER_DURATION(buffer) = 20 * GST_MSECOND;
        if (gst_pad_push(source, buffer) != GST_FLOW_OK) {
            bench_fail("GStreamer: a push was refused");
        }
    }
    gst_pad_push_event(source, gst_event_new_eos());
    return bench_now_ns() - begin_ns;
}

static double run_gst(int quality, output *out)
{
    GstElement *element = gst_element_factory_make("audioresample", NULL);
    if (!element) {
        bench_fail("GStreamer has no audioresample: install gstreamer1.0-plugins-base");
    }
    g_object_set(element, "quality", quality, NULL);
    GstPad *source = gst_pad_new("source", GST_PAD_SRC), *sink = gst_pad_new("sink", GST_PAD_SINK);
    GstPad *in = gst_element_get_static_pad(element, "sink");
    GstPad *from = gst_element_get_static_pad(element, "src");
    gst_pad_set_chain_function(sink, on_output);
    gst_pad_set_query_function(sink, on_query);
    gst_pad_set_element_private(sink, out);
    gst_pad_set_active(source, TRUE);
    gst_pad_set_active(sink, TRUE);
    if (gst_pad_link(source, in) != GST_PAD_LINK_OK ||
        gst_pad_link(from, sink) != GST_PAD_LINK_OK) {
        bench_fail("GStreamer: pads do not link");
    }
    gst_element_set_state(element, GST_STATE_PLAYING);
    out->frames = 0;
    send_start(source);
    double took_ns = push_blocks(source);
    gst_pad_set_active(source, FALSE);
    gst_element_set_state(element, GST_STATE_NULL);
    gst_pad_set_active(sink, FALSE);
    gst_object_unref(in);
    gst_object_unref(from);
    gst_object_unref(source);
    gst_object_unref(sink);
    gst_object_unref(element);
    return took_ns;
}

/* ---- the case */

static int equal_quality(double wanted_db, output *out, double *ret_db)
{
    for (int quality = 0; quality < GST_QUALITIES; quality++) {
        run_gst(quality, out);
        *ret_db = snr_db(out);
        if (*ret_db >= wanted_db) {
            return quality;
        }
    }
    return GST_QUALITIES - 1;
}

int main(int argc, char **argv)
{
    unsigned rounds = bench_argument(argc, argv, 1, 21);
    seconds = bench_argument(argc, argv, 2, 40);
    gst_init(NULL, NULL);
    bench_use_cpu_time();
    make_signal(0);
    output ours = new_output(), direct = new_output(), peer = new_output();
    run_ours("high", &ours);
    run_soxr(&direct);
    if (ours.frames != direct.frames ||
        memcmp(ours.samples, direct.samples, ours.frames * sizeof(float)) != 0) {
        bench_fail("the graph's %zu frames are not soxr's %zu", ours.frames, direct.frames);
    }
    double ours_db = snr_db(&ours), peer_db = 0;
    int quality = equal_quality(ours_db, &peer, &peer_db);
    bench_note("SNR: ours %.1f dB (quality high), GStreamer %.1f dB (quality %d)", ours_db, peer_db,
               quality);
    double packets = (double)seconds * (IN_HZ / BLOCK) * 1000;
    for (unsigned round = 0; round < SOXR_ROUNDS * rounds; round++) {
        make_signal(PAGE_BYTES / 64 * round / (SOXR_ROUNDS * rounds) * 64);
        double a = run_ours("high", &ours), b = run_soxr(&direct);
        bench_row("resample-soxr", a / packets, b / packets);
    }
    for (unsigned round = 0; round < rounds; round++) {
        double a = run_ours("high", &ours), b = run_gst(quality, &peer);
        bench_row("resample-gst", a / packets, b / packets);
    }
    return 0;
}
