/* Audio nodes in real graphs, on threads of their own: files to files, values, little memory,
 * cancel. */
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { WAIT_MS = 30000 };

typedef struct file {
    int fd;
    char path[48];
} file;

static file file_new(void)
{
    file f = {.fd = memfd_create("test", 0)};
    CHECK(f.fd >= 0);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static uint8_t *content(const file *f, size_t *ret_bytes)
{
    *ret_bytes = (size_t)lseek(f->fd, 0, SEEK_END);
    uint8_t *bytes = calloc(1, *ret_bytes + 1);
    CHECK_INT(pread(f->fd, bytes, *ret_bytes, 0), *ret_bytes);
    return bytes;
}

/* A graph that is under way. */
typedef struct running {
    rm_registry *registry;
    rm_graph *graph;
    rm_plan *plan;
    rm_session *session;
} running;

static running start(const char *text, uint64_t memory_bytes)
{
    running r = {0};
    rm_error err = RM_ERROR_INIT;
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_THREAD,
                                  .memory_bytes_max = memory_bytes};
    rm_status status = rm_registry_new(&r.registry, &err);
    status = status == RM_OK ? rm_graph_parse_inline(text, &r.graph, &err) : status;
    status =
        status == RM_OK ? rm_graph_plan(r.graph, r.registry, NULL, &r.plan, NULL, &err) : status;
    status = status == RM_OK ? rm_session_open(r.plan, &options, &r.session, &err) : status;
    CHECK_TEXT(err.message, "");
    if (status != RM_OK) {
        printf("Bail out! %s: %s\n", text, err.message);
        exit(1);
    }
    return r;
}

static void release(running *r)
{
    rm_session_free(r->session);
    rm_plan_free(r->plan);
    rm_graph_free(r->graph);
    rm_registry_free(r->registry);
}

static void run(const char *text, uint64_t memory_bytes)
{
    running r = start(text, memory_bytes);
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_session_wait(r.session, WAIT_MS), RM_DONE);
    CHECK_INT(rm_session_error(r.session, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    release(&r);
}

static uint32_t number(const uint8_t *at, int bytes)
{
    uint32_t value = 0;
    for (int i = bytes; i-- > 0;) {
        value = value << 8 | at[i];
    }
    return value;
}

/* A tone of 2 s, 44.1 kHz, 2 channels, in a file. */
static file tone_file(void)
{
    file f = file_new();
    char text[200];
    snprintf(text, sizeof text,
             "test.tone rate_hz=44100 channels=2 frequency_hz=997 duration_ms=2000 gain_db=-6 ! "
             "wav.write path=%s sample_format=s16",
             f.path);
    run(text, 0);
    return f;
}

/* The samples of a file of 16 kHz, s16, against the tone. */
static void check_tone(const file *f, uint32_t channels)
{
    size_t bytes;
    uint8_t *wav = content(f, &bytes);
    uint32_t frames = number(wav + 76, 4) / (2 * channels);
    CHECK_INT(number(wav + 58, 2), channels);
    CHECK_INT(number(wav + 60, 4), 16000);
    CHECK_INT(frames, 32000);
    CHECK_INT(bytes, 80 + 2ul * channels * frames);
    double signal = 0, noise = 0, amplitude = pow(10, -6 / 20.0) * 32768;
    for (uint32_t i = 1000; i < frames - 1000; i++) {
        double want = amplitude * sin(6.28318530717958647692 * 997 * i / 16000);
        double off = (int16_t)number(wav + 80 + 2ul * channels * i, 2) - want;
        signal += want * want;
        noise += off * off;
    }
    double snr_db = 10 * log10(signal / noise);
    printf("# SNR of the tone, with 16 bits in and out: %.1f dB\n", snr_db);
    CHECK(snr_db > 86);
    free(wav);
}

TEST(a_file_is_resampled_into_a_file)
{
    file in = tone_file(), out = file_new();
    char text[200];
    snprintf(text, sizeof text,
             "wav.read path=%s ! audio.resample rate_hz=16000 ! wav.write path=%s", in.path,
             out.path);
    run(text, 0);
    check_tone(&out, 2);
    close(in.fd);
    close(out.fd);
}

TEST(little_memory_makes_it_slower_and_loses_nothing)
{
    file in = tone_file(), out = file_new();
    char text[300];
    snprintf(text, sizeof text,
             "wav.read path=%s packet_ms=17 ! audio.convert channels=1 sample_format=f32 ! "
             "audio.resample rate_hz=16000 ! audio.chunk chunk_ms=30 ! "
             "wav.write path=%s sample_format=s16",
             in.path, out.path);
    run(text, 65536); /* room for about 15 packets; the edges would hold five times as many */
    check_tone(&out, 1);
    close(in.fd);
    close(out.fd);
}

TEST(levels_become_lines)
{
    file in = tone_file(), out = file_new();
    char text[200];
    snprintf(text, sizeof text,
             "wav.read path=%s ! audio.level interval_ms=500 ! json.write path=%s", in.path,
             out.path);
    run(text, 0);
    size_t bytes;
    uint8_t *lines = content(&out, &bytes);
    CHECK_TEXT((char *)lines,
               "{\"start_s\":0.0,\"end_s\":0.5,\"rms_dbfs\":-9.01,\"peak_dbfs\":-6.0}\n"
               "{\"start_s\":0.5,\"end_s\":1.0,\"rms_dbfs\":-9.01,\"peak_dbfs\":-6.0}\n"
               "{\"start_s\":1.0,\"end_s\":1.5,\"rms_dbfs\":-9.01,\"peak_dbfs\":-6.0}\n"
               "{\"start_s\":1.5,\"end_s\":2.0,\"rms_dbfs\":-9.01,\"peak_dbfs\":-6.0}\n");
    free(lines);
    close(in.fd);
    close(out.fd);
}

TEST(a_cancel_ends_a_reader_whose_pipe_says_nothing)
{
    int ends[2];
    file out = file_new();
    char text[200];
    CHECK_INT(pipe(ends), 0);
    snprintf(text, sizeof text, "wav.read path=/proc/self/fd/%d ! wav.write path=%s", ends[0],
             out.path);
    running r = start(text, 0);
    CHECK_INT(rm_session_wait(r.session, 0), RM_EAGAIN);
    rm_session_cancel(r.session);
    rm_status status = rm_session_wait(r.session, WAIT_MS);
    CHECK(status == RM_ECANCELED || status == RM_DONE);
    release(&r);
    close(ends[0]);
    close(ends[1]);
    close(out.fd);
}

TEST(an_error_in_the_middle_names_its_node_and_file)
{
    file in = tone_file(), out = file_new();
    char text[200];
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(ftruncate(in.fd, 100000), 0);
    snprintf(text, sizeof text, "wav.read path=%s id=talk ! wav.write path=%s", in.path, out.path);
    running r = start(text, 0);
    CHECK_INT(rm_session_wait(r.session, WAIT_MS), RM_EFAIL);
    CHECK(rm_session_error(r.session, &err) < 0);
    CHECK_INT(err.code, RM_CODE_MEDIA_DATA);
    CHECK_TEXT(err.node, "talk");
    CHECK_CONTAINS(err.message, "ends after 24980 of the 88200 frames");
    release(&r);
    close(in.fd);
    close(out.fd);
}

TEST_MAIN(T(a_file_is_resampled_into_a_file), T(little_memory_makes_it_slower_and_loses_nothing),
          T(levels_become_lines), T(a_cancel_ends_a_reader_whose_pipe_says_nothing),
          T(an_error_in_the_middle_names_its_node_and_file))
