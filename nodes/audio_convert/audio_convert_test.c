/* audio.convert: samples, layouts and mixes by value; what passes untouched; what it refuses. */
#include "../node_test.h"

#include "base/alloc.h"
#include "dsp/mix.h"

static rm_packet *converted(rm_harness *harness)
{
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL);
    if (!packet) {
        printf("Bail out! nothing came out\n");
        exit(1);
    }
    return packet;
}

TEST(formats_and_layouts_are_converted)
{
    static const int16_t in[] = {0, 16384, -32768, 8192, 32767, -1};
    rm_harness *harness =
        harness_of("audio.convert", "{\"sample_format\": \"f32\", \"layout\": \"planar\"}");
    push_audio(harness, AUDIO(8000, 2, RM_SAMPLE_S16), 3, in, 77);
    rm_packet *packet = converted(harness);
    const rm_packet_header *h = &packet->header;
    CHECK_INT(h->format.audio.sample_format, RM_SAMPLE_F32);
    CHECK_INT(h->format.audio.planar, 1);
    CHECK_INT(h->format.audio.rate_hz, 8000);
    CHECK_INT(h->format.audio.channels, 2);
    CHECK_INT(h->instance.audio.frames, 3);
    CHECK_INT(h->instance.audio.plane_stride_bytes % 64, 0);
    CHECK_INT(h->pts_ns, 77);
    CHECK_INT(h->duration_ns, 375000);
    for (uint32_t c = 0; c < 2; c++) {
        const float *plane =
            (const float *)packet->payload + c * h->instance.audio.plane_stride_bytes / 4;
        for (uint32_t i = 0; i < 3; i++) {
            CHECK_NEAR((double)plane[i], in[2 * i + c] / 32768.0, 0);
        }
    }
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(what_is_right_already_passes_untouched)
{
    rm_harness *harness =
        harness_of("audio.convert", "{\"sample_format\": \"s16\", \"channels\": 1, "
                                    "\"layout\": \"interleaved\"}");
    rm_packet *in = NULL;
    CHECK_INT(rm_harness_audio_new(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 1, "ab", 0, &in), RM_OK);
    CHECK_INT(rm_harness_push(harness, 0, in), RM_OK);
    rm_packet *out = converted(harness);
    CHECK(out == in);
    rm_packet_unref(out);
    rm_harness_free(harness);
}

TEST(channels_are_mixed_and_never_clip)
{
    static const float in[] = {1, 0.5f, 0.25f, 1, 1, 1};
    rm_harness *harness = harness_of("audio.convert", "{\"channels\": 1}");
    push_audio(harness, AUDIO(48000, 2, RM_SAMPLE_F32), 3, in, 0);
    rm_packet *packet = converted(harness);
    const float *out = packet->payload;
    CHECK_INT(packet->header.format.audio.channels, 1);
    CHECK_NEAR((double)out[0], 0.75, 1e-7);
    CHECK_NEAR((double)out[1], 0.625, 1e-7);
    CHECK_NEAR((double)out[2], 1.0, 1e-7);
    rm_packet_unref(packet);
    /* 5.1 to mono, as core/dsp says it. */
    static const float six[] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f};
    double matrix[6], sum = 0;
    rmi_mix_matrix(6, 0, 1, 0, matrix);
    for (int i = 0; i < 6; i++) {
        sum += matrix[i] * (double)six[i];
    }
    push_audio(harness, AUDIO(48000, 6, RM_SAMPLE_F32), 1, six, 0);
    packet = converted(harness);
    CHECK_NEAR((double)*(float *)packet->payload, sum, 1e-6);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(a_matrix_of_ones_own_is_used)
{
    static const int16_t in[] = {1000, 200, -1000, 300};
    rm_harness *harness =
        harness_of("audio.convert", "{\"matrix\": [[0.5, 0], [0, 2], [-1, 1]], \"channels\": 3}");
    push_audio(harness, AUDIO(8000, 2, RM_SAMPLE_S16), 2, in, 0);
    rm_packet *packet = converted(harness);
    const int16_t *out = packet->payload;
    static const int16_t want[] = {500, 400, -800, -500, 600, 1300};
    CHECK_INT(packet->header.format.audio.channels, 3);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(out[i], want[i]);
    }
    rm_packet_unref(packet);
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 2, in, 0);
    rm_error err = run_badly(harness);
    CHECK_INT(err.code, RM_CODE_PACKET_FORMAT);
    CHECK_CONTAINS(err.message, "matrix has 2 columns, and the audio has 1 channels");
    rm_harness_free(harness);
}

TEST(a_matrix_may_keep_the_number_of_channels)
{
    rm_harness *harness = harness_of("audio.convert", "{\"matrix\": [[0, 1], [1, 0]]}");
    push_audio(harness, AUDIO(8000, 2, RM_SAMPLE_U8), 1, "\x90\x20", 0);
    rm_packet *packet = converted(harness);
    CHECK_INT(memcmp(packet->payload, "\x20\x90", 2), 0);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(metadata_and_flags_stay_with_the_packet)
{
    rm_harness *harness = harness_of("audio.convert", "{\"sample_format\": \"f32\"}");
    rm_packet *packet = NULL;
    CHECK_INT(rm_harness_audio_new(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 1, "ab", 0, &packet),
              RM_OK);
    CHECK_INT(rm_packet_set_metadata(packet, "\x81\xa1k\xc3", 4), RM_OK);
    packet->header.flags = RM_FLAG_DISCONTINUITY;
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    packet = converted(harness);
    CHECK_INT(packet->header.flags, RM_FLAG_DISCONTINUITY);
    CHECK_INT(packet->header.metadata_bytes, 4);
    CHECK(packet->metadata && memcmp(packet->metadata, "\x81\xa1k\xc3", 4) == 0);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(a_stream_may_change_its_format)
{
    rm_harness *harness = harness_of("audio.convert", "{\"sample_format\": \"s16\"}");
    static const float f[] = {0.5f, -0.5f};
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_F32), 1, f, 0);
    push_audio(harness, AUDIO(16000, 2, RM_SAMPLE_F32), 1, f, 125000);
    push_audio(harness, AUDIO(16000, 2, RM_SAMPLE_S16), 0, NULL, 187500);
    rm_packet *packet = converted(harness);
    CHECK_INT(*(int16_t *)packet->payload, 16384);
    CHECK_INT(packet->header.format.audio.rate_hz, 8000);
    rm_packet_unref(packet);
    packet = converted(harness);
    CHECK_INT(((int16_t *)packet->payload)[1], -16384);
    CHECK_INT(packet->header.format.audio.rate_hz, 16000);
    CHECK_INT(packet->header.format.audio.channels, 2);
    rm_packet_unref(packet);
    packet = converted(harness);
    CHECK_INT(packet->header.instance.audio.frames, 0);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(what_the_plan_says_is_what_comes_out)
{
    rm_format in = {.kind = RM_KIND_AUDIO}, out = {.kind = RM_KIND_AUDIO};
    rm_registry *registry = NULL;
    const rm_node_type *type = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_registry_find(registry, "audio.convert", &type, NULL), RM_OK);
    struct {
        int64_t sample_format, layout, channels;
        const char *matrix;
    } params = {0, 0, 0, NULL};
    CHECK_INT(type->params_size, sizeof params);
    in.field[0] = (rm_field){RM_FIELD_SET, 1, {44100}};
    in.field[1] = (rm_field){RM_FIELD_SET, 1, {2}};
    CHECK_INT(type->plan(&params, &in, &out, NULL), RM_OK);
    CHECK_INT(memcmp(&in, &out, sizeof in), 0);
    params.sample_format = RM_SAMPLE_S16;
    params.layout = 2;
    params.matrix = "[[1, 1]]";
    CHECK_INT(type->plan(&params, &in, &out, NULL), RM_OK);
    char text[120];
    rm_format_print(&out, text, sizeof text);
    CHECK_TEXT(text, "audio rate_hz=44100 channels=1 sample_format=s16 planar=1");
    params.matrix = "[[1, 1, 1]]";
    CHECK_INT(type->plan(&params, &in, &out, NULL), RM_EINVAL);
    rm_registry_free(registry);
}

TEST(a_matrix_that_is_none_is_told)
{
    static const struct {
        const char *params, *part;
    } rows[] = {
        {"{\"matrix\": 3}", "matrix has 0 rows of 0 numbers, want a list of 1 to 64 rows"},
        {"{\"matrix\": [[1], [1, 2]]}", "matrix row 2 has 2 numbers, want 1 as in the first row"},
        {"{\"matrix\": [[1, \"x\"]]}", "matrix row 1, column 2 is no number of -100 to 100"},
        {"{\"matrix\": [[101]]}", "matrix row 1, column 1 is no number of -100 to 100"},
        {"{\"matrix\": [[1]], \"channels\": 2}", "channels is 2, want 1 as the matrix has rows"},
        {"{\"channels\": 65}", "channels is 65, want 0 to 64"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_error err = refusal_of("audio.convert", rows[i].params);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST(each_allocation_may_fail)
{
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status =
            rm_harness_load("audio.convert", "{\"matrix\": [[1, 1]]}", &harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status < 0 : status == RM_OK);
        rm_harness_free(harness);
    }
    struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = harness_of("audio.convert", "{\"channels\": 1}");
        push_audio(harness, AUDIO(8000, 2, RM_SAMPLE_S16), 1, "abcd", 0);
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_run(harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status == RM_ENOMEM : status >= 0);
        rm_harness_free(harness);
    }
    CHECK(!struck);
}

TEST(a_steady_stream_allocates_nothing)
{
    rm_harness *harness = harness_of("audio.convert", "{\"channels\": 1}");
    uint64_t allocations = 0;
    static int16_t in[640];
    for (int i = 0; i < 100; i++) {
        allocations = i == 20 ? rmi_alloc_count() : allocations;
        push_audio(harness, AUDIO(16000, 2, RM_SAMPLE_S16), 320, in, i * 20000000);
        rm_packet_unref(converted(harness));
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

TEST_MAIN(T(formats_and_layouts_are_converted), T(what_is_right_already_passes_untouched),
          T(channels_are_mixed_and_never_clip), T(a_matrix_of_ones_own_is_used),
          T(a_matrix_may_keep_the_number_of_channels), T(metadata_and_flags_stay_with_the_packet),
          T(a_stream_may_change_its_format), T(what_the_plan_says_is_what_comes_out),
          T(a_matrix_that_is_none_is_told), T(each_allocation_may_fail),
          T(a_steady_stream_allocates_nothing))
