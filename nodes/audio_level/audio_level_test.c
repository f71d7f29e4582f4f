/* audio.level: levels of known signals, over packets and intervals, and what ends an interval. */
#include <math.h>

#include "../node_test.h"

#include <remotemedia/value.h>

#include "base/alloc.h"

static char *next_level(rm_harness *harness)
{
    rm_packet *packet = pull(harness, 0);
    char *json = NULL;
    if (packet) {
        CHECK_INT(packet->header.kind, RM_KIND_VALUE);
        CHECK_INT(rm_value_to_json(packet->payload, packet->header.payload_bytes, &json, NULL),
                  RM_OK);
        rm_packet_unref(packet);
    }
    return json;
}

static void check_level(rm_harness *harness, const char *want)
{
    char *json = next_level(harness);
    CHECK_TEXT(json, want);
    rm_free(json);
}

static void push_constant(rm_harness *harness, float value, uint32_t frames, int64_t pts_ns)
{
    float samples[8000];
    for (uint32_t i = 0; i < frames; i++) {
        samples[i] = i % 2 ? value : -value;
    }
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_F32), frames, samples, pts_ns);
}

TEST(each_packet_has_its_level)
{
    rm_harness *harness = harness_of("audio.level", "{\"interval_ms\": 0}");
    push_constant(harness, 1, 160, 0);
    push_constant(harness, 0.5f, 80, 20000000);
    push_constant(harness, 0, 80, 30000000);
    check_level(harness, "{\"start_s\":0.0,\"end_s\":0.02,\"rms_dbfs\":0.0,\"peak_dbfs\":0.0}");
    check_level(harness,
                "{\"start_s\":0.02,\"end_s\":0.03,\"rms_dbfs\":-6.021,\"peak_dbfs\":-6.021}");
    check_level(harness,
                "{\"start_s\":0.03,\"end_s\":0.04,\"rms_dbfs\":-120.0,\"peak_dbfs\":-120.0}");
    rm_harness_free(harness);
}

TEST(an_interval_goes_across_packets_and_the_last_may_be_short)
{
    rm_harness *harness = harness_of("audio.level", "{\"interval_ms\": 50}");
    push_constant(harness, 1, 200, 0);
    push_constant(harness, 0, 200, 25000000);
    push_constant(harness, 0.1f, 1000, 50000000);
    rm_harness_end(harness, 0);
    check_level(harness, "{\"start_s\":0.0,\"end_s\":0.05,\"rms_dbfs\":-3.01,\"peak_dbfs\":0.0}");
    check_level(harness, "{\"start_s\":0.05,\"end_s\":0.1,\"rms_dbfs\":-20.0,\"peak_dbfs\":-20.0}");
    check_level(harness, "{\"start_s\":0.1,\"end_s\":0.15,\"rms_dbfs\":-20.0,\"peak_dbfs\":-20.0}");
    check_level(harness,
                "{\"start_s\":0.15,\"end_s\":0.175,\"rms_dbfs\":-20.0,\"peak_dbfs\":-20.0}");
    CHECK(pull(harness, 0) == NULL);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(channels_are_told_together_or_each)
{
    static int16_t samples[2 * 800];
    for (int i = 0; i < 800; i++) {
        samples[2 * i] = i % 2 ? 16384 : -16384;
    }
    rm_harness *harness = harness_of("audio.level", "{\"channels\": \"each\"}");
    push_audio(harness, AUDIO(8000, 2, RM_SAMPLE_S16), 800, samples, 0);
    check_level(harness, "{\"start_s\":0.0,\"end_s\":0.1,\"rms_dbfs\":[-6.021,-120.0],"
                         "\"peak_dbfs\":[-6.021,-120.0]}");
    rm_harness_free(harness);
    harness = harness_of("audio.level", NULL);
    push_audio(harness, AUDIO(8000, 2, RM_SAMPLE_S16), 800, samples, 0);
    check_level(harness,
                "{\"start_s\":0.0,\"end_s\":0.1,\"rms_dbfs\":-9.031,\"peak_dbfs\":-6.021}");
    rm_harness_free(harness);
}

TEST(sixty_four_channels_fit)
{
    static float samples[64];
    rm_harness *harness = harness_of("audio.level", "{\"channels\": \"each\", \"interval_ms\": 0}");
    push_audio(harness, AUDIO(8000, 64, RM_SAMPLE_F32), 1, samples, 0);
    char *json = next_level(harness);
    unsigned commas = 0;
    for (const char *c = json; c && *c; c++) {
        commas += *c == ',';
    }
    CHECK_INT(commas, 3 + 2 * 63);
    rm_free(json);
    rm_harness_free(harness);
}

TEST(a_gap_and_another_format_end_an_interval)
{
    rm_harness *harness = harness_of("audio.level", NULL);
    push_constant(harness, 1, 80, 0);
    push_constant(harness, 0.1f, 80, 1000000000);
    push_audio(harness, AUDIO(16000, 1, RM_SAMPLE_U8), 1, "\x80", 1010000000);
    rm_harness_end(harness, 0);
    check_level(harness, "{\"start_s\":0.0,\"end_s\":0.01,\"rms_dbfs\":0.0,\"peak_dbfs\":0.0}");
    check_level(harness, "{\"start_s\":1.0,\"end_s\":1.01,\"rms_dbfs\":-20.0,\"peak_dbfs\":-20.0}");
    check_level(harness, "{\"start_s\":1.01,\"end_s\":1.0100625,\"rms_dbfs\":-120.0,"
                         "\"peak_dbfs\":-120.0}");
    rm_harness_free(harness);
}

TEST(an_interrupt_forgets_what_was_measured)
{
    rm_harness *harness = harness_of("audio.level", NULL);
    push_constant(harness, 1, 400, 0);
    (void)run_well(harness);
    CHECK_INT(rm_session_interrupt(rm_harness_session(harness), "audio.level"), RM_OK);
    (void)run_well(harness);
    push_constant(harness, 0.1f, 800, 50000000);
    check_level(harness,
                "{\"start_s\":0.05,\"end_s\":0.15,\"rms_dbfs\":-20.0,\"peak_dbfs\":-20.0}");
    rm_harness_free(harness);
}

TEST(a_swap_hands_the_begun_interval_over)
{
    rm_harness *harness = harness_of("audio.level", NULL);
    rm_registry *registry = NULL;
    const rm_node_type *type = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_registry_find(registry, "audio.level", &type, NULL), RM_OK);
    push_constant(harness, 1, 400, 0);
    (void)run_well(harness);
    CHECK_INT(rm_session_swap(rm_harness_session(harness), "audio.level", type,
                              "{\"channels\": \"each\"}", NULL),
              RM_OK);
    push_constant(harness, 0, 400, 50000000);
    check_level(harness,
                "{\"start_s\":0.0,\"end_s\":0.1,\"rms_dbfs\":[-3.01],\"peak_dbfs\":[0.0]}");
    rm_registry_free(registry);
    rm_harness_free(harness);
}

TEST(each_allocation_may_fail)
{
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_load("audio.level", NULL, &harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status < 0 : status == RM_OK);
        rm_harness_free(harness);
    }
    struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = harness_of("audio.level", NULL);
        push_constant(harness, 1, 4000, 0);
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_run(harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status == RM_ENOMEM : status >= 0);
        rm_harness_free(harness);
    }
    CHECK(!struck);
}

TEST(what_is_no_number_is_told)
{
    rm_harness *harness = harness_of("audio.level", "{\"interval_ms\": 0}");
    float samples[] = {0.5f, NAN};
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_F32), 2, samples, 0);
    char *json = next_level(harness);
    CHECK_CONTAINS(json, "\"peak_dbfs\":{\"$float\":\"nan\"}");
    rm_free(json);
    rm_harness_free(harness);
}

TEST(a_steady_stream_allocates_nothing)
{
    rm_harness *harness = harness_of("audio.level", NULL);
    uint64_t allocations = 0;
    for (int i = 0; i < 100; i++) {
        allocations = i == 30 ? rmi_alloc_count() : allocations;
        push_constant(harness, 0.25f, 320, i * 40000000ll);
        rm_packet *packet = pull(harness, 0);
        rm_packet_unref(packet);
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

TEST_MAIN(T(each_packet_has_its_level),
          T(an_interval_goes_across_packets_and_the_last_may_be_short),
          T(channels_are_told_together_or_each), T(sixty_four_channels_fit),
          T(a_gap_and_another_format_end_an_interval), T(an_interrupt_forgets_what_was_measured),
          T(a_swap_hands_the_begun_interval_over), T(each_allocation_may_fail),
          T(what_is_no_number_is_told), T(a_steady_stream_allocates_nothing))
