/* json.write: a line a packet, of each kind; slow readers, full disks. */
#include <fcntl.h>
#include <sys/resource.h>

#include "../node_test.h"

#include <remotemedia/value.h>

#include "base/alloc.h"

static rm_harness *writer_to(const char *path, const char *more)
{
    char params[160];
    snprintf(params, sizeof params, "{\"path\": \"%s\"%s}", path, more);
    return harness_of("json.write", params);
}

static void push_kind(rm_harness *harness, uint8_t kind, const void *payload, size_t bytes)
{
    rm_packet *packet = NULL;
    CHECK_INT(rm_harness_packet_new(harness, bytes, &packet), RM_OK);
    packet->header.kind = kind;
    packet->header.pts_ns = 1500;
    packet->header.duration_ns = 20;
    if (bytes) {
        memcpy(packet->payload, payload, bytes);
    }
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
}

static void push_value(rm_harness *harness, const char *json)
{
    void *data = NULL;
    size_t bytes = 0;
    CHECK_INT(rm_value_from_json(json, strlen(json), &data, &bytes, NULL), RM_OK);
    push_kind(harness, RM_KIND_VALUE, data, bytes);
    rm_free(data);
}

static void finish(rm_harness *harness)
{
    rm_harness_end(harness, 0);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

static void check_content(test_file *file, const char *want)
{
    size_t bytes;
    uint8_t *text = content_of(file, &bytes);
    CHECK_TEXT((const char *)text, want);
    free(text);
    close(file->fd);
}

TEST(values_and_texts_are_lines)
{
    test_file file = file_of("old", 3);
    rm_harness *harness = writer_to(file.path, "");
    push_value(harness, "{\"rms_db\": [-9.5, null], \"name\": \"a\\\"b\"}");
    push_kind(harness, RM_KIND_TEXT, "two\nlines \xc3\xa9 \"q\"", 16);
    push_kind(harness, RM_KIND_TEXT, "", 0);
    push_value(harness, "7");
    finish(harness);
    check_content(&file, "{\"rms_db\":[-9.5,null],\"name\":\"a\\\"b\"}\n"
                         "\"two\\u000alines \xc3\xa9 \\\"q\\\"\"\n\"\"\n7\n");
}

TEST(other_packets_are_told_by_what_they_are)
{
    test_file file = file_of("", 0);
    rm_harness *harness = writer_to(file.path, "");
    push_audio(harness, AUDIO(8000, 2, RM_SAMPLE_S16), 1, "abcd", 125);
    push_kind(harness, RM_KIND_BYTES, "xyz", 3);
    rm_packet *packet = NULL;
    CHECK_INT(rm_harness_packet_new(harness, 24, &packet), RM_OK);
    packet->header.kind = RM_KIND_TENSOR;
    packet->header.format.tensor.dtype = RM_DTYPE_F32;
    packet->header.format.tensor.ndim = 2;
    packet->header.instance.tensor.shape[0] = 2;
    packet->header.instance.tensor.shape[1] = 3;
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    CHECK_INT(rm_harness_packet_new(harness, 0, &packet), RM_OK);
    packet->header.kind = RM_KIND_VIDEO;
    packet->header.pts_ns = 5;
    packet->header.format.video.fourcc = RM_FOURCC_I420;
    packet->header.format.video.width = 640;
    packet->header.format.video.height = 360;
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    finish(harness);
    check_content(
        &file,
        "{\"kind\":\"audio\",\"pts_ns\":125,\"duration_ns\":125000,\"rate_hz\":8000,\"channels\":2,"
        "\"sample_format\":\"s16\",\"planar\":false,\"frames\":1,\"payload_bytes\":4}\n"
        "{\"kind\":\"bytes\",\"pts_ns\":1500,\"duration_ns\":20,\"payload_bytes\":3}\n"
        "{\"kind\":\"tensor\",\"pts_ns\":null,\"duration_ns\":0,\"dtype\":\"f32\",\"shape\":[2,3],"
        "\"payload_bytes\":24}\n"
        "{\"kind\":\"video\",\"pts_ns\":5,\"duration_ns\":0,\"fourcc\":\"I420\",\"width\":640,"
        "\"height\":360,\"payload_bytes\":0}\n");
}

TEST(an_envelope_has_times_flags_and_metadata)
{
    test_file file = file_of("", 0);
    rm_harness *harness = writer_to(file.path, ", \"envelope\": true");
    rm_packet *packet = NULL;
    push_kind(harness, RM_KIND_TEXT, "hi", 2);
    CHECK_INT(rm_harness_packet_new(harness, 1, &packet), RM_OK);
    packet->header.kind = RM_KIND_VALUE;
    *(uint8_t *)packet->payload = 7;
    packet->header.flags = RM_FLAG_FINAL | RM_FLAG_DISCONTINUITY;
    CHECK_INT(rm_packet_set_metadata(packet, "\x81\xa1k\xc3", 4), RM_OK);
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    finish(harness);
    check_content(&file, "{\"kind\":\"text\",\"pts_ns\":1500,\"duration_ns\":20,\"text\":\"hi\"}\n"
                         "{\"kind\":\"value\",\"pts_ns\":null,\"duration_ns\":0,"
                         "\"flags\":[\"discontinuity\",\"final\"],\"value\":7,"
                         "\"metadata\":{\"k\":true}}\n");
}

TEST(a_value_that_is_none_is_an_error_and_writes_nothing)
{
    test_file file = file_of("", 0);
    rm_harness *harness = writer_to(file.path, "");
    push_kind(harness, RM_KIND_VALUE, "\x92\x01", 2);
    rm_error err = run_badly(harness);
    CHECK_INT(err.status, RM_EINVAL);
    CHECK(err.message[0] != 0);
    rm_harness_free(harness);
    check_content(&file, "");
}

/* ---- readers and disks */

TEST(a_slow_reader_gets_whole_lines_across_an_interrupt)
{
    enum { LETTERS = 50000 };
    int ends[2];
    char path[40];
    static char text[LETTERS], got[2 * LETTERS + 100];
    memset(text, 'x', sizeof text);
    CHECK_INT(pipe(ends), 0);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 16384) > 0);
    CHECK_INT(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    rm_harness *harness = writer_to(path, "");
    push_kind(harness, RM_KIND_TEXT, text, LETTERS);
    CHECK_INT(run_well(harness), RM_PENDING); /* a part is in the pipe */
    CHECK_INT(rm_session_interrupt(rm_harness_session(harness), "json.write"), RM_OK);
    rm_status status = run_well(harness);
    push_kind(harness, RM_KIND_TEXT, "after", 5);
    rm_harness_end(harness, 0);
    size_t bytes = 0;
    for (int tries = 0; tries < 100; tries++) {
        rm_harness_advance(harness, 1000000);
        status = run_well(harness);
        ssize_t piece = read(ends[0], got + bytes, sizeof got - bytes - 1);
        bytes += piece > 0 ? (size_t)piece : 0;
        if (status == RM_DONE && piece <= 0) {
            break;
        }
    }
    CHECK_INT(status, RM_DONE);
    CHECK_INT(bytes, LETTERS + 3 + 8);
    CHECK_INT(strspn(got + 1, "x"), LETTERS);
    CHECK_TEXT(got + LETTERS + 1, "\"\n\"after\"\n");
    rm_harness_free(harness);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_full_disk_is_an_error)
{
    test_file file = file_of("", 0);
    struct rlimit before, limit;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){10, before.rlim_max};
    rm_harness *harness = writer_to(file.path, "");
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    push_value(harness, "[1,2,3,4,5,6,7,8,9]");
    rm_error err = run_badly(harness);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
    CHECK_CONTAINS(err.message, "File too large");
    rm_harness_free(harness);
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
    push_value(harness, "1");
    rm_error err = run_badly(harness);
    CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
    CHECK_CONTAINS(err.message, "Broken pipe");
    CHECK_CONTAINS(err.help, "whatever read it has ended");
    rm_harness_free(harness);
    close(ends[1]);
}

TEST(each_allocation_may_fail)
{
    test_file file = file_of("", 0);
    char params[100];
    snprintf(params, sizeof params, "{\"path\": \"%s\"}", file.path);
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_load("json.write", params, &harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status < 0 : status == RM_OK);
        rm_harness_free(harness);
    }
    struck = true;
    char text[6000] = {0};
    memset(text, 'y', sizeof text);
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = writer_to(file.path, "");
        push_kind(harness, RM_KIND_TEXT, text, sizeof text);
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_run(harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status == RM_ENOMEM : status >= 0);
        rm_harness_free(harness);
    }
    CHECK(!struck);
    close(file.fd);
}

TEST_MAIN(T(values_and_texts_are_lines), T(other_packets_are_told_by_what_they_are),
          T(an_envelope_has_times_flags_and_metadata),
          T(a_value_that_is_none_is_an_error_and_writes_nothing),
          T(a_slow_reader_gets_whole_lines_across_an_interrupt), T(a_full_disk_is_an_error),
          T(a_reader_that_has_gone_is_an_error), T(each_allocation_may_fail))
