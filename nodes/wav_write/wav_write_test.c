/* wav.write: bytes of the file, every kind of sample, what wav.read makes of it, full disks. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "../node_test.h"

#include "base/alloc.h"
#include "wav_head.h"

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << 8 * i;
    }
    return value;
}

static rm_harness *writer_to(const char *path, const char *more)
{
    char params[160];
    snprintf(params, sizeof params, "{\"path\": \"%s\"%s}", path, more);
    return harness_of("wav.write", params);
}

static void finish(rm_harness *harness)
{
    rm_harness_end(harness, 0);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(the_head_says_what_is_there)
{
    test_file file = file_of("old content", 11);
    static const int16_t samples[] = {1, -2, 3, -4, 5, -6};
    size_t bytes;
    rm_harness *harness = writer_to(file.path, "");
    push_audio(harness, AUDIO(44100, 2, RM_SAMPLE_S16), 1, samples, 0);
    push_audio(harness, AUDIO(44100, 2, RM_SAMPLE_S16), 2, samples + 2, 0);
    finish(harness);
    uint8_t *wav = content_of(&file, &bytes);
    CHECK_INT(bytes, 12 + 36 + 24 + 8 + 12);
    CHECK_INT(memcmp(wav, "RIFF", 4), 0);
    CHECK_INT(get(wav + 4, 4), bytes - 8);
    CHECK_INT(memcmp(wav + 8, "WAVEJUNK\x1c\0\0\0", 12), 0);
    static const uint8_t format[] = {'f', 'm',  't',  ' ', 16,  0,   0,    0, 1, 0, 2,
                                     0,   0x44, 0xAC, 0,   0,   16,  0xB1, 2, 0, 4, 0,
                                     16,  0,    'd',  'a', 't', 'a', 12,   0, 0, 0};
    CHECK_INT(memcmp(wav + 48, format, sizeof format), 0);
    CHECK_INT(memcmp(wav + 80, samples, sizeof samples), 0);
    free(wav);
    close(file.fd);
}

typedef struct kind {
    const char *name;
    uint8_t back; /* as wav.read gives it */
    double step;  /* of its grid; 0: exact */
} kind;

static double sample_of(const rm_packet *packet, uint32_t index)
{
    switch (packet->header.format.audio.sample_format) {
    case RM_SAMPLE_U8: return (((const uint8_t *)packet->payload)[index] - 128) / 128.0;
    case RM_SAMPLE_S16: return ((const int16_t *)packet->payload)[index] / 32768.0;
    case RM_SAMPLE_S32: return ((const int32_t *)packet->payload)[index] / 2147483648.0;
    case RM_SAMPLE_F32: return (double)((const float *)packet->payload)[index];
    default: return ((const double *)packet->payload)[index];
    }
}

TEST(every_kind_of_sample_comes_back)
{
    static const kind kinds[] = {{"keep", RM_SAMPLE_F64, 0},
                                 {"u8", RM_SAMPLE_U8, 1.0 / 128},
                                 {"s16", RM_SAMPLE_S16, 1.0 / 32768},
                                 {"s24", RM_SAMPLE_S32, 1.0 / 8388608},
                                 {"s32", RM_SAMPLE_S32, 1.0 / 2147483648.0},
                                 {"f32", RM_SAMPLE_F32, 1e-7},
                                 {"f64", RM_SAMPLE_F64, 0}};
    double samples[3 * 5001];
    for (int i = 0; i < 3 * 5001; i++) {
        samples[i] = (i % 2001 - 1000) / 1000.0;
    }
    for (size_t k = 0; k < RMI_COUNT(kinds); k++) {
        test_file file = file_of("", 0);
        char more[60];
        snprintf(more, sizeof more, ", \"sample_format\": \"%s\"", kinds[k].name);
        rm_harness *harness = writer_to(file.path, more);
        push_audio(harness, AUDIO(48000, 3, RM_SAMPLE_F64), 5000, samples, 0);
        push_audio(harness, AUDIO(48000, 3, RM_SAMPLE_F64), 1, samples + 15000, 0);
        finish(harness);
        char params[100];
        snprintf(params, sizeof params, "{\"path\": \"%s\", \"packet_ms\": 1000}", file.path);
        harness = harness_of("wav.read", params);
        rm_packet *packet = pull(harness, 0);
        CHECK(packet != NULL);
        CHECK_INT(packet->header.instance.audio.frames, 5001);
        CHECK_INT(packet->header.format.audio.sample_format, kinds[k].back);
        CHECK_INT(packet->header.format.audio.channel_mask, 7); /* 3.0 is said by its mask */
        for (uint32_t i = 0; i < 3 * 5001; i++) {
            double top = k >= 1 && k <= 4 ? 1 - kinds[k].step : 1; /* integers saturate */
            double full = samples[i] > top ? top : samples[i];
            CHECK_NEAR(sample_of(packet, i), full, kinds[k].step * 0.5001);
        }
        rm_packet_unref(packet);
        CHECK_INT(run_well(harness), RM_DONE);
        rm_harness_free(harness);
        close(file.fd);
    }
}

static void push_planar(rm_harness *harness, uint32_t frames)
{
    rm_packet *packet = NULL;
    uint32_t stride = (2 * frames + 63) / 64 * 64;
    CHECK_INT(rm_harness_packet_new(harness, 2 * (uint64_t)stride, &packet), RM_OK);
    packet->header.kind = RM_KIND_AUDIO;
    packet->header.format.audio.rate_hz = 8000;
    packet->header.format.audio.channels = 2;
    packet->header.format.audio.sample_format = RM_SAMPLE_S16;
    packet->header.format.audio.planar = 1;
    packet->header.instance.audio.frames = frames;
    packet->header.instance.audio.plane_stride_bytes = stride;
    for (uint32_t i = 0; i < frames; i++) {
        ((int16_t *)packet->payload)[i] = (int16_t)i;
        ((int16_t *)packet->payload)[stride / 2 + i] = (int16_t)-i;
    }
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
}

TEST(above_4_gib_it_is_rf64)
{
    static const struct {
        uint64_t data_bytes;
        bool room;
        const char *riff, *second;
        uint64_t riff_32, data_32;
    } rows[] = {
        {(1ull << 32) - 1 - 80, true, "RIFF", "JUNK", 0xFFFFFFFF - 7, 0xFFFFFFFF - 80},
        {(1ull << 32) - 1 - 72, true, "RF64", "ds64", 0xFFFFFFFF, 0xFFFFFFFF},
        {5ull << 40, true, "RF64", "ds64", 0xFFFFFFFF, 0xFFFFFFFF},
        {5ull << 40, false, "RIFF", "fmt ", 0xFFFFFFFF, 0xFFFFFFFF},
        {WAV_HEAD_UNKNOWN, true, "RIFF", "JUNK", 0xFFFFFFFF, 0xFFFFFFFF},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        wav_head head = {.sample_bytes = 2, .room_for_64 = rows[i].room};
        uint8_t bytes[WAV_HEAD_BYTES_MAX] = {0};
        head.line.audio.rate_hz = 48000;
        head.line.audio.channels = 2;
        head.line.audio.sample_format = RM_SAMPLE_S16;
        uint32_t length = wav_head_make(&head, rows[i].data_bytes, bytes);
        CHECK_INT(length, rows[i].room ? 80 : 44);
        CHECK_INT(memcmp(bytes, rows[i].riff, 4), 0);
        CHECK_INT(memcmp(bytes + 12, rows[i].second, 4), 0);
        CHECK_INT(get(bytes + 4, 4), rows[i].riff_32);
        CHECK_INT(get(bytes + length - 4, 4), rows[i].data_32);
        if (memcmp(bytes + 12, "ds64", 4) == 0) {
            uint64_t data_bytes = rows[i].data_bytes;
            CHECK_INT(get(bytes + 20, 8), 72 + data_bytes + data_bytes % 2);
            CHECK_INT(get(bytes + 28, 8), data_bytes);
            CHECK_INT(get(bytes + 36, 8), data_bytes / 4);
        }
    }
}

TEST(a_head_has_the_same_length_whatever_it_says)
{
    static const uint8_t formats[][2] = {{RM_SAMPLE_U8, 1},  {RM_SAMPLE_S16, 2},
                                         {RM_SAMPLE_S32, 3}, {RM_SAMPLE_S32, 4},
                                         {RM_SAMPLE_F32, 4}, {RM_SAMPLE_F64, 8}};
    for (uint16_t channels = 1; channels <= 64; channels += 3) {
        for (size_t f = 0; f < RMI_COUNT(formats); f++) {
            wav_head head = {.sample_bytes = formats[f][1], .room_for_64 = true};
            uint8_t bytes[WAV_HEAD_BYTES_MAX];
            head.line.audio.rate_hz = 48000;
            head.line.audio.channels = channels;
            head.line.audio.sample_format = formats[f][0];
            uint32_t length = wav_head_make(&head, WAV_HEAD_UNKNOWN, bytes);
            CHECK(length <= WAV_HEAD_BYTES_MAX);
            CHECK_INT(wav_head_make(&head, 100, bytes), length);
            CHECK_INT(get(bytes + 4, 4), length - 8 + 100);
            CHECK_INT(wav_head_make(&head, 1ull << 33, bytes), length);
            CHECK_INT(get(bytes + 20, 8), length - 8 + (1ull << 33));
        }
    }
}

TEST(planes_are_interleaved)
{
    test_file file = file_of("", 0);
    size_t bytes;
    rm_harness *harness = writer_to(file.path, "");
    push_planar(harness, 5000);
    finish(harness);
    uint8_t *wav = content_of(&file, &bytes);
    CHECK_INT(bytes, 80 + 20000);
    for (uint32_t i = 0; i < 5000; i++) {
        CHECK_INT((int16_t)get(wav + 80 + 4 * i, 2), i);
        CHECK_INT((int16_t)get(wav + 82 + 4 * i, 2), -(int)i);
    }
    free(wav);
    close(file.fd);
}

TEST(an_odd_number_of_bytes_is_padded)
{
    test_file file = file_of("", 0);
    size_t bytes;
    rm_harness *harness = writer_to(file.path, "");
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_U8), 3, "abc", 0);
    finish(harness);
    uint8_t *wav = content_of(&file, &bytes);
    CHECK_INT(bytes, 80 + 4);
    CHECK_INT(get(wav + 4, 4), bytes - 8);
    CHECK_INT(get(wav + 76, 4), 3);
    free(wav);
    close(file.fd);
}

TEST(a_stream_without_packets_is_a_file_without_frames)
{
    test_file file = file_of("", 0);
    size_t bytes;
    finish(writer_to(file.path, ""));
    uint8_t *wav = content_of(&file, &bytes);
    CHECK_INT(bytes, 80);
    CHECK_INT(get(wav + 76, 4), 0);
    free(wav);
    close(file.fd);
}

TEST(a_pipe_gets_a_head_without_sizes)
{
    int ends[2];
    char path[40];
    uint8_t wav[100];
    static const int16_t samples[] = {1, 2, 3};
    CHECK_INT(pipe(ends), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    rm_harness *harness = writer_to(path, "");
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 3, samples, 0);
    finish(harness);
    CHECK_INT(read(ends[0], wav, sizeof wav), 44 + 6);
    CHECK_INT(get(wav + 4, 4), 0xFFFFFFFF);
    CHECK_INT(get(wav + 40, 4), 0xFFFFFFFF);
    CHECK_INT(memcmp(wav + 44, samples, sizeof samples), 0);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_slow_reader_is_waited_for_and_nothing_is_lost)
{
    enum { FRAMES = 60000 };
    int ends[2];
    char path[40];
    static int16_t samples[FRAMES];
    static uint8_t got[44 + 2 * FRAMES + 1];
    CHECK_INT(pipe(ends), 0);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 16384) > 0);
    CHECK_INT(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    for (int i = 0; i < FRAMES; i++) {
        samples[i] = (int16_t)i;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    rm_harness *harness = writer_to(path, "");
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_S16), FRAMES, samples, 0);
    rm_harness_end(harness, 0);
    size_t bytes = 0;
    rm_status status = RM_PENDING;
    for (int tries = 0; tries < 100 && status == RM_PENDING; tries++) {
        status = run_well(harness);
        rm_harness_advance(harness, 1000000);
        ssize_t piece = read(ends[0], got + bytes, sizeof got - bytes);
        bytes += piece > 0 ? (size_t)piece : 0;
    }
    CHECK_INT(status, RM_DONE);
    CHECK_INT(bytes, 44 + 2 * FRAMES);
    CHECK_INT(memcmp(got + 44, samples, sizeof samples), 0);
    rm_harness_free(harness);
    close(ends[0]);
    close(ends[1]);
}

/* ---- faults */

TEST(a_full_disk_is_an_error_and_the_file_stays_readable)
{
    static int16_t samples[3000];
    test_file file = file_of("", 0);
    struct rlimit before, limit;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){80 + 4001, before.rlim_max};
    rm_harness *harness = writer_to(file.path, "");
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0); /* without our care: SIGXFSZ, the end of us */
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 3000, samples, 0);
    rm_error err = run_badly(harness);
    CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
    CHECK_CONTAINS(err.message, "cannot write '/proc/self/fd/");
    CHECK_CONTAINS(err.message, "File too large");
    CHECK_CONTAINS(err.help, "make room");
    rm_harness_free(harness);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    size_t bytes;
    uint8_t *wav = content_of(&file, &bytes);
    CHECK_INT(bytes, 80 + 4000);
    CHECK_INT(get(wav + 76, 4), 4000);
    free(wav);
    close(file.fd);
}

TEST(a_reader_that_has_gone_is_an_error)
{
    int ends[2];
    char path[40];
    CHECK_INT(pipe(ends), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    rm_harness *harness = writer_to(path, "");
    close(ends[0]);
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 1, "ab", 0);
    rm_error err = run_badly(harness);
    CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
    CHECK_CONTAINS(err.message, "Broken pipe");
    rm_harness_free(harness);
    close(ends[1]);
}

TEST(another_rate_is_refused_another_sample_format_converted)
{
    test_file file = file_of("", 0);
    size_t bytes;
    rm_harness *harness = writer_to(file.path, "");
    static const float half[] = {0.5f};
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 1, "ab", 0);
    push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_F32), 1, half, 0);
    (void)run_well(harness);
    push_audio(harness, AUDIO(16000, 1, RM_SAMPLE_S16), 1, "ab", 0);
    rm_error err = run_badly(harness);
    CHECK_INT(err.code, RM_CODE_PACKET_FORMAT);
    CHECK_CONTAINS(err.message, "was begun with 8000 Hz, 1 channels; now come 16000 Hz, 1");
    CHECK_CONTAINS(err.help, "audio.resample rate_hz=8000");
    rm_harness_free(harness);
    uint8_t *wav = content_of(&file, &bytes);
    CHECK_INT(bytes, 84);
    CHECK_INT(get(wav + 76, 4), 4);
    CHECK_INT(get(wav + 82, 2), 16384);
    free(wav);
    close(file.fd);
}

TEST(each_allocation_may_fail_and_a_stream_makes_none)
{
    test_file file = file_of("", 0);
    char params[100];
    snprintf(params, sizeof params, "{\"path\": \"%s\", \"sample_format\": \"s24\"}", file.path);
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_load("wav.write", params, &harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status < 0 : status == RM_OK);
        rm_harness_free(harness);
    }
    rm_harness *harness = harness_of("wav.write", params);
    uint64_t allocations = 0;
    static int16_t samples[320];
    for (int i = 0; i < 50; i++) {
        allocations = i == 10 ? rmi_alloc_count() : allocations;
        push_audio(harness, AUDIO(16000, 1, RM_SAMPLE_S16), 320, samples, 0);
        (void)run_well(harness);
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
    close(file.fd);
}

TEST(a_path_that_cannot_be_written_is_told_before_the_run)
{
    rm_error err = refusal_of("wav.write", "{\"path\": \"/nowhere/a.wav\"}");
    CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
    CHECK_CONTAINS(err.message, "cannot write '/nowhere/a.wav': No such file or directory");
}

TEST_MAIN(T(the_head_says_what_is_there), T(every_kind_of_sample_comes_back),
          T(above_4_gib_it_is_rf64), T(a_head_has_the_same_length_whatever_it_says),
          T(planes_are_interleaved), T(an_odd_number_of_bytes_is_padded),
          T(a_stream_without_packets_is_a_file_without_frames), T(a_pipe_gets_a_head_without_sizes),
          T(a_slow_reader_is_waited_for_and_nothing_is_lost),
          T(a_full_disk_is_an_error_and_the_file_stays_readable),
          T(a_reader_that_has_gone_is_an_error),
          T(another_rate_is_refused_another_sample_format_converted),
          T(each_allocation_may_fail_and_a_stream_makes_none),
          T(a_path_that_cannot_be_written_is_told_before_the_run))
