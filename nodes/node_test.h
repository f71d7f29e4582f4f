/* node_test.h — what the tests of the nodes share: a harness that reports, audio in and out. */
#ifndef NODES_NODE_TEST_H
#define NODES_NODE_TEST_H

#include <remotemedia/harness.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/test.h"

/* The node, or the end of the test program: nothing can be tested without it. */
static inline rm_harness *harness_of(const char *type, const char *params)
{
    rm_harness *harness = NULL;
    rm_error err = RM_ERROR_INIT;
    if (rm_harness_load(type, params, &harness, &err) != RM_OK) {
        printf("Bail out! %s %s: %s\n", type, params ? params : "", err.message);
        exit(1);
    }
    return harness;
}

/* The error of opening the node with these parameters. */
static inline __attribute__((unused)) rm_error refusal_of(const char *type, const char *params)
{
    rm_harness *harness = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK(rm_harness_load(type, params, &harness, &err) < 0);
    rm_harness_free(harness);
    return err;
}

/* The format of interleaved audio, to be handed on. */
#define AUDIO(rate, count, format) \
    (&(const rm_format_line){      \
        .audio = {.rate_hz = (rate), .channels = (count), .sample_format = (format)}})

static inline __attribute__((unused)) void push_audio(rm_harness *harness,
                                                      const rm_format_line *format, uint32_t frames,
                                                      const void *samples, int64_t pts_ns)
{
    rm_packet *packet = NULL;
    CHECK_INT(rm_harness_audio_new(harness, format, frames, samples, pts_ns, &packet), RM_OK);
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
}

/* Runs, and expects no error. */
static inline __attribute__((unused)) rm_status run_well(rm_harness *harness)
{
    rm_error err = RM_ERROR_INIT;
    rm_status status = rm_harness_run(harness, &err);
    CHECK(status >= 0);
    CHECK_TEXT(err.message, "");
    return status;
}

/* Runs, and returns the error that it has to end with. */
static inline __attribute__((unused)) rm_error run_badly(rm_harness *harness)
{
    rm_error err = RM_ERROR_INIT;
    CHECK(rm_harness_run(harness, &err) < 0);
    return err;
}

/* The next packet of an output, NULL where there is none; runs the node as needed. */
static inline __attribute__((unused)) rm_packet *pull(rm_harness *harness, uint32_t output)
{
    rm_packet *packet = NULL;
    if (rm_harness_pull(harness, output, &packet) == RM_OK) {
        return packet;
    }
    (void)run_well(harness);
    return rm_harness_pull(harness, output, &packet) == RM_OK ? packet : NULL;
}

/* ---- files: in memory, with a path to open them by */

typedef struct test_file {
    int fd;
    char path[48];
} test_file;

static inline __attribute__((unused)) test_file file_of(const void *data, size_t bytes)
{
    test_file file = {.fd = memfd_create("test", MFD_CLOEXEC)};
    CHECK(file.fd >= 0);
    CHECK_INT(bytes ? write(file.fd, data, bytes) : 0, bytes);
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

/* All that is in the file; the caller frees it. */
static inline __attribute__((unused)) uint8_t *content_of(const test_file *file, size_t *ret_bytes)
{
    off_t bytes = lseek(file->fd, 0, SEEK_END);
    uint8_t *content = calloc(1, (size_t)bytes + 1);
    CHECK_INT(pread(file->fd, content, (size_t)bytes, 0), bytes);
    *ret_bytes = (size_t)bytes;
    return content;
}

#endif
