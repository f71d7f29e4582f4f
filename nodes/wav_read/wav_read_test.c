/* wav.read: every kind of sample, heads of every kind of writer, pipes, and what it refuses. */
#include <math.h>
#include <pthread.h>

#include "../node_test.h"

#include "base/alloc.h"

/* ---- WAVE files by hand */

typedef struct wav {
    uint8_t bytes[8192];
    size_t used;
} wav;

static void put(wav *w, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        w->bytes[w->used++] = (uint8_t)(value >> 8 * i);
    }
}

static void put_text(wav *w, const char *text)
{
    memcpy(w->bytes + w->used, text, strlen(text));
    w->used += strlen(text);
}

static void put_format(wav *w, unsigned tag, unsigned channels, unsigned rate_hz, unsigned bits)
{
    unsigned block = channels * ((bits + 7) / 8);
    put_text(w, "fmt ");
    put(w, 16, 4);
    put(w, tag, 2);
    put(w, channels, 2);
    put(w, rate_hz, 4);
    put(w, (uint64_t)rate_hz * block, 4);
    put(w, block, 2);
    put(w, bits, 2);
}

static void put_riff(wav *w, const char *id, uint64_t bytes)
{
    put_text(w, id);
    put(w, bytes, 4);
    put_text(w, "WAVE");
}

/* A mono file of 8 kHz. */
static wav plain(unsigned tag, unsigned bits, const void *samples, size_t bytes)
{
    wav w = {.used = 0};
    put_riff(&w, "RIFF", 36 + bytes);
    put_format(&w, tag, 1, 8000, bits);
    put_text(&w, "data");
    put(&w, bytes, 4);
    memcpy(w.bytes + w.used, samples, bytes);
    w.used += bytes;
    return w;
}

static rm_harness *reader_of(const wav *w, const char *more)
{
    test_file file = file_of(w->bytes, w->used);
    char params[160];
    snprintf(params, sizeof params, "{\"path\": \"%s\"%s}", file.path, more);
    rm_harness *harness = harness_of("wav.read", params);
    close(file.fd);
    return harness;
}

/* How many frames come until the end. */
static uint64_t count_frames(rm_harness *harness)
{
    uint64_t frames = 0;
    rm_packet *packet;
    while ((packet = pull(harness, 0))) {
        frames += packet->header.instance.audio.frames;
        rm_packet_unref(packet);
    }
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
    return frames;
}

static rm_error refusal(const wav *w)
{
    test_file file = file_of(w->bytes, w->used);
    char params[160];
    snprintf(params, sizeof params, "{\"path\": \"%s\"}", file.path);
    rm_error err = refusal_of("wav.read", params);
    close(file.fd);
    return err;
}

/* ---- samples */

TEST(every_kind_of_sample_comes_as_it_is)
{
    static const uint8_t u8[] = {0, 128, 255}, s24[] = {0, 0, 128, 1, 2, 3, 255, 255, 127};
    static const int16_t s16[] = {-32768, 1, 32767};
    static const int32_t s32[] = {INT32_MIN, 7, INT32_MAX},
                         widened[] = {INT32_MIN, 0x03020100, 0x7FFFFF00};
    static const float f32[] = {-1, 0.25f, 3};
    static const double f64[] = {-1, 1e-300, 3};
    static const struct {
        unsigned tag, bits;
        const void *stored;
        size_t stored_bytes;
        int format;
        const void *want;
        size_t want_bytes;
    } rows[] = {
        {1, 8, u8, sizeof u8, RM_SAMPLE_U8, u8, sizeof u8},
        {1, 16, s16, sizeof s16, RM_SAMPLE_S16, s16, sizeof s16},
        {1, 12, s16, sizeof s16, RM_SAMPLE_S16, s16, sizeof s16},
        {1, 24, s24, sizeof s24, RM_SAMPLE_S32, widened, sizeof widened},
        {1, 32, s32, sizeof s32, RM_SAMPLE_S32, s32, sizeof s32},
        {3, 32, f32, sizeof f32, RM_SAMPLE_F32, f32, sizeof f32},
        {3, 64, f64, sizeof f64, RM_SAMPLE_F64, f64, sizeof f64},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        wav w = plain(rows[i].tag, rows[i].bits, rows[i].stored, rows[i].stored_bytes);
        rm_harness *harness = reader_of(&w, "");
        rm_packet *packet = pull(harness, 0);
        CHECK(packet != NULL);
        if (packet) {
            CHECK_INT(packet->header.format.audio.sample_format, rows[i].format);
            CHECK_INT(packet->header.format.audio.rate_hz, 8000);
            CHECK_INT(packet->header.format.audio.channels, 1);
            CHECK_INT(packet->header.instance.audio.frames, 3);
            CHECK_INT(packet->header.payload_bytes, rows[i].want_bytes);
            CHECK_INT(memcmp(packet->payload, rows[i].want, rows[i].want_bytes), 0);
            rm_packet_unref(packet);
        }
        CHECK_INT(run_well(harness), RM_DONE);
        rm_harness_free(harness);
    }
}

TEST(packets_join_and_24_bits_widen_in_place)
{
    uint8_t s24[3 * 1000];
    for (int i = 0; i < 1000; i++) {
        s24[3 * i] = (uint8_t)i;
        s24[3 * i + 1] = (uint8_t)(i >> 8);
        s24[3 * i + 2] = (uint8_t)(i % 2 ? 0xFF : 0);
    }
    wav w = plain(1, 24, s24, sizeof s24);
    rm_harness *harness = reader_of(&w, ", \"packet_ms\": 50");
    rm_packet *packet;
    int n = 0;
    while ((packet = pull(harness, 0))) {
        const int32_t *samples = packet->payload;
        CHECK_INT(packet->header.pts_ns, n * 125000);
        CHECK_INT(packet->header.duration_ns, packet->header.instance.audio.frames * 125000);
        CHECK_INT(packet->header.instance.audio.frames, n < 800 ? 400 : 200);
        for (uint32_t i = 0; i < packet->header.instance.audio.frames; i++, n++) {
            CHECK_INT(samples[i], n % 2 ? n * 256 - (1 << 24) : n * 256);
        }
        rm_packet_unref(packet);
    }
    CHECK_INT(n, 1000);
    rm_harness_free(harness);
}

/* ---- heads */

TEST(heads_of_all_writers_are_read)
{
    /* Streamed: the length is not known, and there is none to miss. */
    static const uint32_t unknown[][2] = {
        {0, 0}, {0xFFFFFFFF, 0xFFFFFFFF}, {0xFFFFFFFF, 0}, {0x7FFFF024, 0x7FFFF000}};
    for (size_t i = 0; i < RMI_COUNT(unknown); i++) {
        wav w = {.used = 0};
        put_riff(&w, "RIFF", unknown[i][0]);
        put_format(&w, 1, 2, 8000, 16);
        put_text(&w, "data");
        put(&w, unknown[i][1], 4);
        w.used += 4 * 300 + 3; /* the last frame is not whole */
        CHECK_INT(count_frames(reader_of(&w, "")), 300);
    }
    /* Chunks that are none of ours, of odd size, before and behind; sub-format and mask. */
    wav w = {.used = 0};
    put_riff(&w, "RIFF", 4 + 14 + 48 + 8 + 60 + 10);
    put_text(&w, "LIST");
    put(&w, 5, 4);
    w.used += 6;
    put_format(&w, 0xFFFE, 6, 48000, 16);
    w.bytes[w.used - 20] = 40;
    put(&w, 22, 2);
    put(&w, 16, 2);
    put(&w, 0x60F, 4);
    put(&w, 1, 2);
    static const uint8_t guid[] = {0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113};
    memcpy(w.bytes + w.used, guid, sizeof guid);
    w.used += sizeof guid;
    put_text(&w, "data");
    put(&w, 60, 4);
    w.used += 60;
    put_text(&w, "data");
    put(&w, 2, 4);
    put(&w, 0, 2);
    rm_harness *harness = reader_of(&w, "");
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL);
    if (packet) {
        CHECK_INT(packet->header.format.audio.channel_mask, 0x60F);
        CHECK_INT(packet->header.format.audio.channels, 6);
        CHECK_INT(packet->header.instance.audio.frames, 5);
        rm_packet_unref(packet);
    }
    CHECK_INT(count_frames(harness), 0);
}

TEST(an_empty_data_chunk_is_no_audio)
{
    wav w = plain(1, 16, "", 0);
    CHECK_INT(count_frames(reader_of(&w, "")), 0);
}

TEST(rf64_says_its_size_in_64_bits)
{
    wav w = {.used = 0};
    put_riff(&w, "RF64", 0xFFFFFFFF);
    put_text(&w, "ds64");
    put(&w, 28, 4);
    put(&w, 100, 8);
    put(&w, 40, 8);
    put(&w, 20, 8);
    put(&w, 0, 4);
    put_format(&w, 1, 1, 8000, 16);
    put_text(&w, "data");
    put(&w, 0xFFFFFFFF, 4);
    w.used += 40 + 100; /* what follows is not audio */
    CHECK_INT(count_frames(reader_of(&w, "")), 20);
}

/* ---- what it refuses */

TEST(a_truncated_file_gives_what_is_there_and_says_so)
{
    int16_t samples[500] = {0};
    wav w = plain(1, 16, samples, sizeof samples);
    w.used -= 101;
    rm_harness *harness = reader_of(&w, ", \"packet_ms\": 20");
    rm_packet *packet = NULL;
    rm_error err = RM_ERROR_INIT;
    uint64_t frames = 0;
    while (rm_harness_run(harness, &err) >= 0 && frames < 500) {
        while (rm_harness_pull(harness, 0, &packet) == RM_OK) {
            frames += packet->header.instance.audio.frames;
            rm_packet_unref(packet);
        }
    }
    while (rm_harness_pull(harness, 0, &packet) == RM_OK) {
        frames += packet->header.instance.audio.frames;
        rm_packet_unref(packet);
    }
    CHECK_INT(frames, 449);
    CHECK_INT(err.code, RM_CODE_MEDIA_DATA);
    CHECK_CONTAINS(err.message, "ends after 449 of the 500 frames");
    CHECK_CONTAINS(err.message, "/proc/self/fd/");
    CHECK_CONTAINS(err.help, "accept_truncated=true");
    rm_harness_free(harness);
    CHECK_INT(count_frames(reader_of(&w, ", \"accept_truncated\": true")), 449);
}

TEST(every_truncation_of_a_head_is_an_error)
{
    wav w = plain(1, 16, "abcd", 4);
    for (size_t bytes = 0; bytes < 44; bytes++) {
        w.used = bytes;
        rm_error err = refusal(&w);
        CHECK_INT(err.code, RM_CODE_MEDIA_DATA);
        CHECK_CONTAINS(err.message, bytes == 0   ? "is empty, want a WAVE file"
                                    : bytes < 12 ? "is no WAVE file: it begins with '"
                                                 : ", before its data chunk");
    }
}

typedef struct patch {
    size_t at, bytes;
    const char *with, *part;
} patch;

TEST(a_bad_head_is_told_with_what_is_wrong)
{
    static const patch rows[] = {
        {0, 4, "OggS", "is no WAVE file: it begins with 'OggS', want RIFF, RF64 or BW64"},
        {0, 4, "\x01\x02xy", "it begins with '??xy'"},
        {8, 4, "AVI ", "the form of its RIFF is 'AVI ', want WAVE"},
        {12, 4, "fmt_", "has its data chunk (byte 36) before a fmt chunk"},
        {16, 4, "\x0f\0\0\0", "has a 'fmt ' chunk of 15 bytes (byte 12), want at least 16"},
        {20, 2, "\x02\0", "samples of format tag 0x2 with 16 bits, want PCM (0x1) of 1 to 32"},
        {22, 2, "\0\0", "has 0 channels, want 1 to 64"},
        {22, 2, "\x41\0", "has 65 channels, want 1 to 64"},
        {24, 4, "\0\0\0\0", "has a rate of 0 Hz, want 1 to 10000000"},
        {32, 2, "\x05\0", "says 5 bytes a frame, want 2: 1 channels of 16 bits"},
        {34, 2, "\x28\0", "with 40 bits"},
        {34, 2, "\0\0", "with 0 bits"},
        {0, 4, "RF64", "has its data chunk (byte 36) before a ds64 chunk"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        wav w = plain(1, 16, "abcd", 4);
        memcpy(w.bytes + rows[i].at, rows[i].with, rows[i].bytes);
        rm_error err = refusal(&w);
        CHECK_INT(err.code, RM_CODE_MEDIA_DATA);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST(files_that_cannot_be_opened_are_named)
{
    rm_error err = refusal_of("wav.read", "{\"path\": \"/nowhere/a.wav\"}");
    CHECK_INT(err.code, RM_CODE_MEDIA_OPEN);
    CHECK_CONTAINS(err.message, "cannot open '/nowhere/a.wav': No such file or directory");
    err = refusal_of("wav.read", "{\"path\": \"/\"}");
    CHECK_INT(err.code, RM_CODE_MEDIA_OPEN);
    CHECK_CONTAINS(err.message, "cannot read '/': Is a directory");
    err = refusal_of("wav.read", "{}");
    CHECK_INT(err.code, RM_CODE_PARAM_MISSING);
}

TEST(it_opens_or_says_no_memory_at_each_allocation)
{
    wav w = plain(1, 16, "abcd", 4);
    test_file file = file_of(w.bytes, w.used);
    char params[160];
    snprintf(params, sizeof params, "{\"path\": \"%s\"}", file.path);
    rm_status status = RM_ENOMEM;
    for (unsigned nth = 1; status != RM_OK && nth < 1000; nth++) {
        rm_harness *harness = NULL;
        rmi_alloc_fault_begin(nth);
        status = rm_harness_load("wav.read", params, &harness, NULL);
        bool struck = rmi_alloc_fault_end();
        CHECK(!struck || status < 0);
        CHECK(struck || status == RM_OK);
        rm_harness_free(harness);
    }
    CHECK_INT(status, RM_OK);
    close(file.fd);
}

/* ---- pipes and pacing */

TEST(a_pipe_is_read_as_it_comes)
{
    int16_t samples[400];
    for (int i = 0; i < 400; i++) {
        samples[i] = (int16_t)(i * 50);
    }
    wav w = plain(1, 16, samples, sizeof samples);
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    char params[100];
    snprintf(params, sizeof params, "{\"path\": \"/proc/self/fd/%d\"}", ends[0]);
    rm_harness *harness = harness_of("wav.read", params);
    rm_packet *packet = NULL;
    size_t pieces[] = {7, 30, 20, 300, 1}, at = 0;
    for (size_t i = 0; i < RMI_COUNT(pieces); i++) { /* nothing is whole yet: it waits */
        CHECK_INT(write(ends[1], w.bytes + at, pieces[i]), pieces[i]);
        at += pieces[i];
        if (i % 2) {
            CHECK_INT(run_well(harness), RM_PENDING);
            rm_harness_advance(harness, 1000000);
        }
    }
    CHECK(rm_harness_pull(harness, 0, &packet) == RM_EAGAIN);
    CHECK_INT(write(ends[1], w.bytes + at, w.used - at), w.used - at);
    close(ends[1]);
    int n = 0;
    for (int tries = 0; tries < 20 && n < 400; tries++) {
        rm_harness_advance(harness, 1000000);
        while ((packet = pull(harness, 0))) {
            for (uint32_t i = 0; i < packet->header.instance.audio.frames; i++, n++) {
                CHECK_INT(((const int16_t *)packet->payload)[i], n * 50);
            }
            rm_packet_unref(packet);
        }
    }
    CHECK_INT(n, 400);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
    close(ends[0]);
}

TEST(paced_packets_wait_for_their_time)
{
    int16_t samples[320] = {0};
    wav w = plain(1, 16, samples, sizeof samples);
    rm_harness *harness = reader_of(&w, ", \"paced\": true");
    rm_packet *packet = pull(harness, 0);
    CHECK(packet != NULL);
    rm_packet_unref(packet);
    rm_harness_advance(harness, 19999999);
    CHECK(pull(harness, 0) == NULL);
    rm_harness_advance(harness, 1);
    CHECK((packet = pull(harness, 0)) != NULL);
    rm_packet_unref(packet);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST_MAIN(T(every_kind_of_sample_comes_as_it_is), T(packets_join_and_24_bits_widen_in_place),
          T(heads_of_all_writers_are_read), T(an_empty_data_chunk_is_no_audio),
          T(rf64_says_its_size_in_64_bits), T(a_truncated_file_gives_what_is_there_and_says_so),
          T(every_truncation_of_a_head_is_an_error), T(a_bad_head_is_told_with_what_is_wrong),
          T(files_that_cannot_be_opened_are_named),
          T(it_opens_or_says_no_memory_at_each_allocation), T(a_pipe_is_read_as_it_comes),
          T(paced_packets_wait_for_their_time))
