/* audio.chunk: every frame once (or as often as chunks overlap), exact times, rests, gaps. */
#include "../node_test.h"

#include "base/alloc.h"

enum { RATE_HZ = 8000 };

static rm_harness *chunker(const char *params)
{
    return harness_of("audio.chunk", params);
}

/* Frames whose samples say where they stand: `first`, first + 1, … */
static void push_counting(rm_harness *harness, uint32_t first, uint32_t frames)
{
    int16_t samples[4000];
    for (uint32_t i = 0; i < frames; i++) {
        samples[i] = (int16_t)(first + i);
    }
    push_audio(harness, AUDIO(RATE_HZ, 1, RM_SAMPLE_S16), frames, samples, (int64_t)first * 125000);
}

/* The next chunk has to be frames `first` on, `silent` of them silence. */
static void check_chunk(rm_harness *harness, uint32_t first, uint32_t frames, uint32_t silent)
{
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL);
    if (!packet) {
        return;
    }
    const rm_packet_header *h = &packet->header;
    CHECK_INT(h->instance.audio.frames, frames);
    CHECK_INT(h->payload_bytes, frames * 2);
    CHECK_INT(h->pts_ns, (int64_t)first * 125000);
    CHECK_INT(h->duration_ns, (int64_t)frames * 125000);
    for (uint32_t i = 0; i < frames && i < h->instance.audio.frames; i++) {
        int16_t want = i < frames - silent ? (int16_t)(first + i) : 0;
        CHECK_INT(((const int16_t *)packet->payload)[i], want);
    }
    rm_packet_unref(packet);
}

TEST(packets_of_any_length_become_packets_of_one)
{
    static const uint32_t lengths[] = {1, 159, 160, 161, 1000, 7, 0, 320, 33};
    rm_harness *harness = chunker("{\"chunk_ms\": 20}");
    uint32_t pushed = 0, first = 0;
    for (size_t i = 0; i < RMI_COUNT(lengths); i++) {
        push_counting(harness, pushed, lengths[i]);
        pushed += lengths[i];
        for (; first + 160 <= pushed; first += 160) {
            check_chunk(harness, first, 160, 0);
        }
        CHECK(pull(harness, 0) == NULL);
    }
    rm_harness_end(harness, 0);
    check_chunk(harness, first, pushed - first, 0);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(chunks_overlap_by_what_the_hop_leaves)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 100, \"hop_frames\": 30}");
    for (uint32_t pushed = 0; pushed < 470; pushed += 47) {
        push_counting(harness, pushed, 47);
        (void)run_well(harness);
    }
    uint32_t first = 0;
    for (; first + 100 <= 470; first += 30) {
        check_chunk(harness, first, 100, 0);
    }
    rm_harness_end(harness, 0);
    check_chunk(harness, first, 470 - first, 0); /* what no chunk had yet, and what is before it */
    CHECK(pull(harness, 0) == NULL);
    rm_harness_free(harness);
}

TEST(no_rest_comes_where_every_frame_was_in_a_chunk)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 100, \"hop_frames\": 50}");
    push_counting(harness, 0, 150);
    check_chunk(harness, 0, 100, 0);
    check_chunk(harness, 50, 100, 0);
    rm_harness_end(harness, 0);
    CHECK(pull(harness, 0) == NULL);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(the_rest_is_padded_or_dropped)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 100, \"rest\": \"pad\"}");
    push_counting(harness, 0, 130);
    check_chunk(harness, 0, 100, 0);
    rm_harness_end(harness, 0);
    check_chunk(harness, 100, 100, 70);
    rm_harness_free(harness);
    harness = chunker("{\"chunk_frames\": 100, \"rest\": \"drop\"}");
    push_counting(harness, 0, 130);
    check_chunk(harness, 0, 100, 0);
    rm_harness_end(harness, 0);
    CHECK(pull(harness, 0) == NULL);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(silence_of_unsigned_samples_is_their_middle)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 4, \"rest\": \"pad\"}");
    push_audio(harness, AUDIO(RATE_HZ, 1, RM_SAMPLE_U8), 1, "x", 0);
    rm_harness_end(harness, 0);
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL && memcmp(packet->payload, "x\x80\x80\x80", 4) == 0);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(a_packet_that_is_a_chunk_is_not_copied)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 160}");
    static int16_t samples[160];
    for (int i = 0; i < 3; i++) {
        rm_packet *in = NULL;
        CHECK_INT(rm_harness_audio_new(harness, AUDIO(RATE_HZ, 1, RM_SAMPLE_S16), 160, samples,
                                       i * 20000000, &in),
                  RM_OK);
        CHECK_INT(rm_harness_push(harness, 0, in), RM_OK);
        rm_packet *packet = pull(harness, 0);
        CHECK(packet == in);
        rm_packet_unref(packet);
    }
    rm_harness_free(harness);
}

TEST(planes_stay_planes)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 5, \"rest\": \"pad\"}");
    for (int k = 0; k < 2; k++) {
        rm_packet *packet = NULL;
        CHECK_INT(rm_harness_packet_new(harness, 64 + 8, &packet), RM_OK);
        packet->header.kind = RM_KIND_AUDIO;
        packet->header.pts_ns = k * 500000;
        packet->header.format.audio.rate_hz = RATE_HZ;
        packet->header.format.audio.channels = 2;
        packet->header.format.audio.sample_format = RM_SAMPLE_S16;
        packet->header.format.audio.planar = 1;
        packet->header.instance.audio.frames = 4;
        packet->header.instance.audio.plane_stride_bytes = 64;
        for (int i = 0; i < 4; i++) {
            ((int16_t *)packet->payload)[i] = (int16_t)(4 * k + i + 1);
            ((int16_t *)packet->payload)[32 + i] = (int16_t) - (4 * k + i + 1);
        }
        CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    }
    rm_harness_end(harness, 0);
    for (int k = 0; k < 2; k++) {
        rm_packet *packet = pull(harness, 0);
        CHECK(packet != NULL);
        CHECK_INT(packet->header.instance.audio.frames, 5);
        uint32_t stride = packet->header.instance.audio.plane_stride_bytes / 2;
        for (int i = 0; i < 5; i++) {
            int want = 5 * k + i + 1 > 8 ? 0 : 5 * k + i + 1;
            CHECK_INT(((const int16_t *)packet->payload)[i], want);
            CHECK_INT(((const int16_t *)packet->payload)[stride + (uint32_t)i], -want);
        }
        rm_packet_unref(packet);
    }
    rm_harness_free(harness);
}

TEST(a_gap_or_another_format_ends_the_run)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 100}");
    push_counting(harness, 0, 130);
    push_counting(harness, 1000, 130); /* 870 frames are missing */
    check_chunk(harness, 0, 100, 0);
    check_chunk(harness, 100, 30, 0);
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL);
    CHECK_INT(packet->header.pts_ns, 125000000);
    CHECK_INT(packet->header.flags, RM_FLAG_DISCONTINUITY);
    CHECK_INT(packet->header.instance.audio.frames, 100);
    rm_packet_unref(packet);
    static float samples[200];
    push_audio(harness, AUDIO(2 * RATE_HZ, 1, RM_SAMPLE_F32), 130, samples, 1130 * 125000);
    check_chunk(harness, 1100, 30, 0);
    packet = pull(harness, 0);
    CHECK(packet != NULL);
    CHECK_INT(packet->header.format.audio.rate_hz, 2 * RATE_HZ);
    CHECK_INT(packet->header.instance.audio.frames, 100);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(an_interrupt_forgets_what_is_unsent)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 100}");
    push_counting(harness, 0, 30);
    (void)run_well(harness);
    CHECK_INT(rm_session_interrupt(rm_harness_session(harness), "audio.chunk"), RM_OK);
    (void)run_well(harness);
    push_counting(harness, 500, 100);
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL);
    CHECK_INT(packet->header.pts_ns, 500 * 125000);
    CHECK_INT(packet->header.flags, RM_FLAG_DISCONTINUITY);
    rm_packet_unref(packet);
    rm_harness_end(harness, 0);
    CHECK(pull(harness, 0) == NULL);
    rm_harness_free(harness);
}

static rm_status swap_to(rm_harness *harness, const char *params)
{
    rm_registry *registry = NULL; /* the table lives as long as the process */
    const rm_node_type *type = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_registry_find(registry, "audio.chunk", &type, NULL), RM_OK);
    rm_error err = RM_ERROR_INIT;
    rm_status status =
        rm_session_swap(rm_harness_session(harness), "audio.chunk", type, params, &err);
    CHECK_TEXT(err.message, "");
    rm_registry_free(registry);
    return status;
}

TEST(a_swap_hands_the_begun_chunk_over)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 100, \"hop_frames\": 80}");
    push_counting(harness, 0, 150);
    check_chunk(harness, 0, 100, 0);
    CHECK_INT(swap_to(harness, "{\"chunk_frames\": 120}"), RM_OK);
    push_counting(harness, 150, 150);
    check_chunk(harness, 80, 120, 0);
    CHECK_INT(swap_to(harness, "{\"chunk_frames\": 50}"), RM_OK); /* 100 frames do not fit */
    push_counting(harness, 300, 50);
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL);
    CHECK_INT(packet->header.pts_ns, 300 * 125000);
    CHECK_INT(packet->header.flags, RM_FLAG_DISCONTINUITY);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(each_allocation_may_fail)
{
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_load("audio.chunk", NULL, &harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status < 0 : status == RM_OK);
        rm_harness_free(harness);
    }
    struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = chunker("{\"chunk_frames\": 10, \"hop_frames\": 5}");
        push_counting(harness, 0, 100);
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_run(harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status == RM_ENOMEM : status >= 0);
        rm_harness_free(harness);
    }
    CHECK(!struck);
}

TEST(lengths_that_do_not_fit_are_named)
{
    rm_error err = refusal_of("audio.chunk", "{\"chunk_frames\": 10, \"hop_frames\": 11}");
    CHECK_INT(err.code, RM_CODE_PARAM_RANGE);
    CHECK_CONTAINS(err.message, "the hop is 11 frames, want at most the chunk, 10 frames");
    err = refusal_of("audio.chunk", "{\"chunk_ms\": 10, \"hop_ms\": 11}");
    CHECK_CONTAINS(err.message, "the hop is 11 ms, want at most the chunk, 10 ms");
    rm_harness *harness =
        chunker("{\"chunk_frames\": 80, \"hop_ms\": 20}"); /* known with the rate */
    push_counting(harness, 0, 1);
    err = run_badly(harness);
    CHECK_CONTAINS(err.message, "the hop is 160 frames, want at most the chunk, 80 frames");
    rm_harness_free(harness);
}

TEST(a_steady_stream_allocates_nothing)
{
    rm_harness *harness = chunker("{\"chunk_frames\": 512, \"hop_frames\": 256}");
    uint64_t allocations = 0;
    for (uint32_t i = 0; i < 200; i++) {
        allocations = i == 50 ? rmi_alloc_count() : allocations;
        push_counting(harness, i * 320, 320);
        rm_packet *packet;
        while ((packet = pull(harness, 0))) {
            rm_packet_unref(packet);
        }
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

TEST_MAIN(T(packets_of_any_length_become_packets_of_one), T(chunks_overlap_by_what_the_hop_leaves),
          T(no_rest_comes_where_every_frame_was_in_a_chunk), T(the_rest_is_padded_or_dropped),
          T(silence_of_unsigned_samples_is_their_middle), T(a_packet_that_is_a_chunk_is_not_copied),
          T(planes_stay_planes), T(a_gap_or_another_format_ends_the_run),
          T(an_interrupt_forgets_what_is_unsent), T(a_swap_hands_the_begun_chunk_over),
          T(each_allocation_may_fail), T(lengths_that_do_not_fit_are_named),
          T(a_steady_stream_allocates_nothing))
