/* test.tone: samples, times, lengths, pacing, and what it refuses. */
#include <math.h>

#include "../node_test.h"

#include "base/alloc.h"

static double sine(uint64_t n, double frequency_hz, double rate_hz)
{
    return sin(6.28318530717958647692 * fmod(frequency_hz * (double)n, rate_hz) / rate_hz);
}

TEST(a_tone_is_exact_and_its_packets_join)
{
    rm_harness *harness =
        harness_of("test.tone", "{\"rate_hz\": 44100, \"channels\": 2, \"frequency_hz\": 997, "
                                "\"gain_db\": -20, \"duration_ms\": 90}");
    uint64_t n = 0;
    rm_packet *packet;
    while ((packet = pull(harness, 0))) {
        const rm_packet_header *h = &packet->header;
        const float *samples = packet->payload;
        CHECK_INT(h->kind, RM_KIND_AUDIO);
        CHECK_INT(h->format.audio.rate_hz, 44100);
        CHECK_INT(h->format.audio.channels, 2);
        CHECK_INT(h->format.audio.sample_format, RM_SAMPLE_F32);
        CHECK_INT(h->pts_ns, (int64_t)(n * 1000000000 / 44100));
        CHECK_INT(h->instance.audio.frames, n < 3528 ? 882 : 441);
        CHECK_INT(h->payload_bytes, h->instance.audio.frames * 8);
        for (uint32_t i = 0; i < h->instance.audio.frames; i++, n++) {
            CHECK_NEAR((double)samples[2 * i], 0.1 * sine(n, 997, 44100), 1e-8);
            CHECK(samples[2 * i] == samples[2 * i + 1]);
        }
        rm_packet_unref(packet);
    }
    CHECK_INT(n, 3969);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(integers_are_rounded_and_full_scale_fits)
{
    rm_harness *harness = harness_of("test.tone", "{\"sample_format\": \"s16\", \"gain_db\": 0, "
                                                  "\"frequency_hz\": 12000, \"packet_ms\": 1}");
    rm_packet *packet = pull(harness, 0);
    const int16_t *samples = packet->payload;
    CHECK_INT(packet->header.instance.audio.frames, 48);
    for (int i = 0; i < 48; i++) {
        static const int want[] = {0, 32767, 0, -32768};
        CHECK_INT(samples[i], want[i % 4]);
    }
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(a_paced_tone_keeps_to_the_clock)
{
    rm_harness *harness = harness_of("test.tone", "{\"paced\": true, \"duration_ms\": 60}");
    rm_packet *packet;
    for (int i = 0; i < 3; i++) {
        CHECK((packet = pull(harness, 0)) != NULL);
        rm_packet_unref(packet);
        CHECK(i == 2 || pull(harness, 0) == NULL);
        rm_harness_advance(harness, 19999999);
        CHECK(i == 2 || pull(harness, 0) == NULL);
        rm_harness_advance(harness, 1);
    }
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(an_endless_tone_allocates_nothing)
{
    rm_harness *harness = harness_of("test.tone", "{\"duration_ms\": 0}");
    uint64_t allocations = 0;
    for (int i = 0; i < 1000; i++) {
        allocations = i == 100 ? rmi_alloc_count() : allocations;
        rm_packet_unref(pull(harness, 0));
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

TEST(wrong_parameters_are_named)
{
    static const struct {
        const char *params, *part;
    } rows[] = {
        {"{\"rate_hz\": 8000, \"frequency_hz\": 4001}",
         "frequency_hz is 4001 Hz, want at most half of rate_hz, 4000 Hz"},
        {"{\"channels\": 65}", "channels is 65, want 1 to 64"},
        {"{\"gain_db\": 1}", "gain_db is 1 dB, want -120 to 0"},
        {"{\"packet_ms\": 0}", "packet_ms is 0 ms, want 0.1 to 1000"},
        {"{\"sample_format\": \"f64\"}", "want one of f32|s16"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_error err = refusal_of("test.tone", rows[i].params);
        CHECK_INT(err.code, RM_CODE_PARAM_RANGE);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST_MAIN(T(a_tone_is_exact_and_its_packets_join), T(integers_are_rounded_and_full_scale_fits),
          T(a_paced_tone_keeps_to_the_clock), T(an_endless_tone_allocates_nothing),
          T(wrong_parameters_are_named))
