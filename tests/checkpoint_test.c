/* checkpoint_test.c — a session that is left in the middle goes on in another one, from the newest
 * checkpoint that is whole and of its graph; what cannot be checkpointed is named. On the public
 * API. That a killed run leaves the same files is in kill_test.py. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { WAIT_MS = 30000, TIMEOUT_MS = 5000, NUMBERS_MAX = 40 };

static char folder[] = "/tmp/remotemedia-checkpoint-XXXXXX";

typedef struct setup {
    rm_registry *registry;
    rm_graph *graph;
    rm_plan *plan;
    rm_session *session;
    rm_error error;
} setup;

static const char *path_of(const char *name)
{
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Opens an inline pipeline whose %s is the folder. */
static rm_status open_with(setup *s, const char *pattern, rm_driver driver, const char *state)
{
    char text[512];
    *s = (setup){.error = RM_ERROR_INIT};
    snprintf(text, sizeof text, pattern, folder);
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = driver,
                                  .checkpoint_folder = state,
                                  .checkpoint_interval_ms = -1};
    rm_status status = rm_registry_new(&s->registry, &s->error);
    if (status == RM_OK) {
        status = text[0] == '{' ? rm_graph_parse(text, strlen(text), &s->graph, NULL, &s->error)
                                : rm_graph_parse_inline(text, &s->graph, &s->error);
    }
    if (status == RM_OK) {
        status = rm_graph_plan(s->graph, s->registry, NULL, &s->plan, NULL, &s->error);
    }
    return status == RM_OK ? rm_session_open(s->plan, &options, &s->session, &s->error) : status;
}

static void end(setup *s)
{
    rm_session_free(s->session);
    rm_plan_free(s->plan);
    rm_graph_free(s->graph);
    rm_registry_free(s->registry);
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/remotemedia-checkpoint-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void remove_all(void)
{
    (void)unlink(path_of("out"));
    (void)unlink(path_of("out.part"));
    (void)unlink(path_of("a.wav"));
    for (unsigned n = 1; n < NUMBERS_MAX; n++) {
        char name[64];
        snprintf(name, sizeof name, "state/checkpoint-%08u.rmc", n);
        (void)unlink(path_of(name));
    }
    (void)rmdir(path_of("state"));
    (void)rmdir(folder);
}

static char *content_of(const char *name)
{
    struct stat about;
    int fd = open(path_of(name), O_RDONLY);
    if (fd < 0 || fstat(fd, &about) != 0) {
        return calloc(1, 1);
    }
    char *text = calloc(1, (size_t)about.st_size + 1);
    CHECK_INT(read(fd, text, (size_t)about.st_size), about.st_size);
    close(fd);
    return text;
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* Some steps of the home strand; the others run by themselves. */
static void step(setup *s, unsigned steps)
{
    int64_t next_ns;
    for (unsigned i = 0; i < steps; i++) {
        (void)rm_session_step(s->session, 1 + i, 3, &next_ns);
    }
}

static void run_to_the_end(const char *pattern)
{
    setup s;
    CHECK_INT(open_with(&s, pattern, RM_DRIVER_THREAD, NULL), RM_OK);
    CHECK_INT(rm_session_wait(s.session, WAIT_MS), RM_DONE);
    end(&s);
}

static const char ROW[] =
    "test.tone duration_ms=3000 packet_ms=5 ! audio.convert sample_format=s16 "
    "! audio.chunk chunk_ms=7 ! audio.level interval_ms=50 ! json.write "
    "path=%s/out";

/* Leaves a session of ROW after so many steps, with `count` checkpoints made. */
static void leave_in_the_middle(unsigned count)
{
    setup s;
    CHECK_INT(open_with(&s, ROW, RM_DRIVER_CALLER, path_of("state")), RM_OK);
    for (unsigned i = 0; i < count; i++) {
        step(&s, 40);
        CHECK_INT(rm_session_checkpoint(s.session, NULL, TIMEOUT_MS, &s.error), RM_OK);
        CHECK_TEXT(s.error.message, "");
    }
    step(&s, 30); /* behind the checkpoint: will be written again */
    end(&s);
}

/* Runs ROW on to its end; the number of the checkpoint that it went on from. */
static uint64_t go_on(void)
{
    setup s;
    CHECK_INT(open_with(&s, ROW, RM_DRIVER_THREAD, path_of("state")), RM_OK);
    CHECK_TEXT(s.error.message, "");
    uint64_t number = s.session ? rm_session_resumed(s.session) : 0;
    CHECK_INT(s.session ? rm_session_wait(s.session, WAIT_MS) : RM_EFAIL, RM_DONE);
    end(&s);
    return number;
}

static void check_same_as_uninterrupted(void)
{
    char *got = content_of("out");
    CHECK_INT(unlink(path_of("out")), 0);
    run_to_the_end(ROW);
    char *expected = content_of("out");
    CHECK(strlen(expected) > 1000);
    CHECK_TEXT(got, expected);
    free(got);
    free(expected);
}

TEST(a_session_goes_on_from_its_newest_checkpoint)
{
    begin();
    leave_in_the_middle(3);
    CHECK(!exists("state/checkpoint-00000001.rmc")); /* the two newest are kept */
    CHECK(exists("state/checkpoint-00000002.rmc"));
    CHECK_INT(go_on(), 3);
    CHECK(!exists("state/checkpoint-00000003.rmc")); /* it has ended well: none are needed */
    check_same_as_uninterrupted();
    remove_all();
}

static void overwrite(const char *name, off_t at, char byte)
{
    int fd = open(path_of(name), O_RDWR);
    CHECK(fd >= 0);
    CHECK_INT(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

TEST(a_damaged_one_is_refused_and_the_one_before_used)
{
    begin();
    leave_in_the_middle(2);
    overwrite("state/checkpoint-00000002.rmc", 1000, 'x');
    CHECK_INT(go_on(), 1);
    check_same_as_uninterrupted();
    remove_all();
}

TEST(one_that_is_cut_short_is_refused_and_the_one_before_used)
{
    begin();
    leave_in_the_middle(2);
    CHECK_INT(truncate(path_of("state/checkpoint-00000002.rmc"), 900), 0);
    CHECK_INT(go_on(), 1);
    check_same_as_uninterrupted();
    remove_all();
}

TEST(where_none_is_good_the_session_does_not_begin_anew)
{
    setup s;
    begin();
    leave_in_the_middle(1);
    CHECK_INT(truncate(path_of("state/checkpoint-00000001.rmc"), 10), 0);
    CHECK_INT(open_with(&s, ROW, RM_DRIVER_THREAD, path_of("state")), RM_EINVAL);
    CHECK_INT(s.error.code, RM_CODE_CHECKPOINT_BAD);
    CHECK(strstr(s.error.message, "checkpoint-00000001.rmc': it has 10 bytes") != NULL);
    end(&s);
    remove_all();
}

TEST(one_of_another_graph_is_refused)
{
    setup s;
    begin();
    leave_in_the_middle(1);
    CHECK_INT(open_with(&s, "test.tone duration_ms=3001 ! json.write path=%s/out", RM_DRIVER_THREAD,
                        path_of("state")),
              RM_EINVAL);
    CHECK_INT(s.error.code, RM_CODE_CHECKPOINT_BAD);
    CHECK(strstr(s.error.message, "it is of another graph") != NULL);
    end(&s);
    remove_all();
}

/* A node without save() and load(): rm.input, as every graph has that its owner feeds. */
TEST(a_node_that_cannot_save_its_state_is_named)
{
    setup s;
    begin();
    CHECK_INT(open_with(&s,
                        "{\"version\": \"v1\", \"nodes\": [{\"id\": \"meter\", \"node_type\": "
                        "\"audio.level\"}, {\"id\": \"lines\", \"node_type\": \"json.write\", "
                        "\"params\": {\"path\": \"%s/out\"}}], \"connections\": [{\"from\": "
                        "\"meter\", \"to\": \"lines\"}], \"inputs\": {\"speech\": "
                        "{\"node\": \"meter\"}}}",
                        RM_DRIVER_THREAD, path_of("state")),
              RM_EUNSUPPORTED);
    CHECK_INT(s.error.code, RM_CODE_CHECKPOINT_REFUSED);
    CHECK(strstr(s.error.message, "(rm.input) cannot save its place") != NULL);
    end(&s);
    remove_all();
}

TEST(a_file_that_was_changed_is_not_read_on)
{
    static const char pattern[] = "wav.read path=%1$s/a.wav paced=true ! json.write path=%1$s/out";
    setup s;
    begin();
    run_to_the_end("test.tone duration_ms=2000 ! wav.write path=%s/a.wav");
    CHECK_INT(open_with(&s, pattern, RM_DRIVER_THREAD, path_of("state")), RM_OK);
    CHECK_INT(rm_session_checkpoint(s.session, NULL, TIMEOUT_MS, &s.error), RM_OK);
    end(&s);
    run_to_the_end("test.tone duration_ms=2500 ! wav.write path=%s/a.wav");
    CHECK_INT(open_with(&s, pattern, RM_DRIVER_THREAD, path_of("state")), RM_EINVAL);
    CHECK_INT(s.error.code, RM_CODE_CHECKPOINT_BAD);
    CHECK(strstr(s.error.message, "has changed since the checkpoint was made") != NULL);
    end(&s);
    remove_all();
}

static char *whole_of(const char *name, size_t *ret_bytes)
{
    struct stat about = {0};
    char *data = content_of(name);
    (void)stat(path_of(name), &about);
    *ret_bytes = (size_t)about.st_size;
    return data;
}

/* One of several processes, each of which is left behind its checkpoint. */
static void go_on_for(const char *pattern, unsigned steps)
{
    setup s;
    CHECK_INT(open_with(&s, pattern, RM_DRIVER_CALLER, path_of("state")), RM_OK);
    CHECK_TEXT(s.error.message, "");
    step(&s, steps);
    CHECK_INT(rm_session_checkpoint(s.session, NULL, TIMEOUT_MS, &s.error), RM_OK);
    CHECK_TEXT(s.error.message, "");
    step(&s, 20); /* behind the checkpoint: will be done again */
    end(&s);
}

/* A row of two seconds of sound, left in five places, leaves the same file, bit by bit. */
static void check_resampler(const char *convert, const char *params)
{
    char pattern[512];
    size_t bytes, expected_bytes;
    snprintf(pattern, sizeof pattern,
             "test.tone duration_ms=2000 packet_ms=3 rate_hz=44100 channels=2 ! audio.convert %s ! "
             "audio.resample %s ! wav.write path=%%s/a.wav",
             convert, params);
    begin();
    run_to_the_end(pattern);
    char *expected = whole_of("a.wav", &expected_bytes);
    CHECK(expected_bytes > 1000);
    CHECK_INT(unlink(path_of("a.wav")), 0);
    for (unsigned i = 0; i < 5; i++) {
        go_on_for(pattern, 15 + 5 * i); /* a step takes three packets at most, of 667 */
    }
    setup s;
    CHECK_INT(open_with(&s, pattern, RM_DRIVER_THREAD, path_of("state")), RM_OK);
    CHECK_INT(s.session ? (int)rm_session_resumed(s.session) : 0, 5);
    CHECK_INT(s.session ? rm_session_wait(s.session, WAIT_MS) : RM_EFAIL, RM_DONE);
    end(&s);
    char *got = whole_of("a.wav", &bytes);
    CHECK_INT(bytes, expected_bytes);
    CHECK(bytes == expected_bytes && memcmp(got, expected, bytes) == 0);
    free(got);
    free(expected);
    remove_all();
}

static bool has_type(const char *name)
{
    rm_registry *registry = NULL;
    const rm_node_type *type = NULL;
    bool has = rm_registry_new(&registry, NULL) == RM_OK &&
               rm_registry_find(registry, name, &type, NULL) == RM_OK;
    rm_registry_free(registry);
    return has;
}

TEST(a_resampler_goes_on_bit_by_bit)
{
    if (!has_type("audio.resample")) {
        SKIP("built without libsoxr");
    }
    static const char *const rates[] = {"rate_hz=16000",  "rate_hz=48000", "rate_hz=8000",
                                        "rate_hz=192000", "rate_hz=12345", "rate_hz=44100"};
    static const char *const qualities[] = {"", " quality=quick", " quality=very_high delay=low",
                                            " quality=low phase=minimum"};
    char params[128];
    for (unsigned r = 0; r < sizeof rates / sizeof *rates; r++) {
        for (unsigned q = 0; q < sizeof qualities / sizeof *qualities; q++) {
            snprintf(params, sizeof params, "%s%s", rates[r], qualities[q]);
            check_resampler("sample_format=f32", params);
        }
    }
    check_resampler("sample_format=s16", rates[0]);
    check_resampler("sample_format=u8", rates[1]);
    check_resampler("sample_format=f32 layout=planar", rates[0]);
    check_resampler("sample_format=s16 layout=planar channels=1", rates[4]);
}

TEST_MAIN(T(a_session_goes_on_from_its_newest_checkpoint),
          T(a_damaged_one_is_refused_and_the_one_before_used),
          T(one_that_is_cut_short_is_refused_and_the_one_before_used),
          T(where_none_is_good_the_session_does_not_begin_anew), T(one_of_another_graph_is_refused),
          T(a_node_that_cannot_save_its_state_is_named), T(a_resampler_goes_on_bit_by_bit),
          T(a_file_that_was_changed_is_not_read_on))
