/* files_test.c — what writing does to files that are there: a graph may read and write one path, a
 * run that fails destroys nothing, links and modes stay, a full disk leaves whole lines. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { WAIT_MS = 30000 };

static char folder[] = "/tmp/remotemedia-files-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static char *content_of(const char *name, size_t *ret_bytes)
{
    struct stat about;
    int fd = open(path_of(name), O_RDONLY);
    CHECK(fd >= 0);
    CHECK_INT(fstat(fd, &about), 0);
    char *text = calloc(1, (size_t)about.st_size + 1);
    CHECK_INT(read(fd, text, (size_t)about.st_size), about.st_size);
    close(fd);
    *ret_bytes = (size_t)about.st_size;
    return text;
}

/* Each name once: everything that a test made goes. */
static void remove_all(void)
{
    static const char *const names[] = {"a.wav", "b.wav", "a.wav.part", "l.wav", "a.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlink(path_of(names[i]));
    }
    if (folder[sizeof folder - 2] != 'X') {
        CHECK_INT(rmdir(folder), 0); /* nothing else was left */
    }
    snprintf(folder, sizeof folder, "/tmp/remotemedia-files-XXXXXX");
}

static void begin(void)
{
    CHECK(mkdtemp(folder) != NULL);
}

/* Runs an inline graph to its end; returns its status and error. */
static rm_status run(const char *text, rm_error *ret_error)
{
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_session *session = NULL;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_THREAD};
    *ret_error = (rm_error)RM_ERROR_INIT;
    rm_status status = rm_registry_new(&registry, ret_error);
    if (status == RM_OK) {
        status = text[0] == '{' ? rm_graph_parse(text, strlen(text), &graph, NULL, ret_error)
                                : rm_graph_parse_inline(text, &graph, ret_error);
    }
    status =
        status == RM_OK ? rm_graph_plan(graph, registry, NULL, &plan, NULL, ret_error) : status;
    status = status == RM_OK ? rm_session_open(plan, &options, &session, ret_error) : status;
    if (status == RM_OK) {
        status = rm_session_wait(session, WAIT_MS);
        (void)rm_session_error(session, ret_error);
    }
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
    return status;
}

static rm_status runf(rm_error *ret_error, const char *format, const char *a, const char *b)
{
    char text[1024];
    int bytes = snprintf(text, sizeof text, format, a, b);
    CHECK(bytes > 0 && bytes < (int)sizeof text);
    return run(text, ret_error);
}

static void make_tone(const char *name)
{
    rm_error err;
    CHECK_INT(runf(&err, "test.tone duration_ms=3000 ! wav.write path=%s sample_format=s16%s",
                   path_of(name), ""),
              RM_DONE);
    CHECK_TEXT(err.message, "");
}

static struct rlimit limit_files(rlim_t bytes)
{
    struct rlimit before;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, before.rlim_max}), 0);
    return before;
}

TEST(a_graph_may_write_the_file_that_it_reads)
{
    begin();
    make_tone("a.wav");
    size_t before, after;
    char *old = content_of("a.wav", &before);
    CHECK(before > 200000);
    rm_error err;
    CHECK_INT(
        runf(&err, "wav.read path=%s ! wav.write path=%s", path_of("a.wav"), path_of("a.wav")),
        RM_DONE);
    CHECK_TEXT(err.message, "");
    char *now = content_of("a.wav", &after);
    CHECK_INT(after, before);
    CHECK(after == before && memcmp(old, now, before) == 0);
    free(now);
    free(old);
    remove_all();
}

TEST(a_run_that_fails_leaves_the_old_file_and_what_was_written_beside_it)
{
    begin();
    make_tone("a.wav");
    size_t before, after, part;
    char *old = content_of("a.wav", &before);
    struct rlimit limit = limit_files(50000);
    rm_error err;
    rm_status status =
        runf(&err, "wav.read path=%s ! wav.write path=%s", path_of("a.wav"), path_of("a.wav"));
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK(status < 0);
    CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
    CHECK_CONTAINS(err.message, "File too large");
    CHECK_CONTAINS(err.help, "the old file stays as it was");
    char *now = content_of("a.wav", &after);
    CHECK(after == before && memcmp(old, now, before) == 0);
    free(now);
    now = content_of("a.wav.part", &part);
    CHECK(part > 10000 && part <= 50000);
    CHECK(memcmp(now, "RIFF", 4) == 0);
    free(now);
    free(old);
    remove_all();
}

TEST(a_link_stays_a_link_and_the_mode_is_kept)
{
    begin();
    make_tone("a.wav");
    CHECK_INT(chmod(path_of("a.wav"), 0640), 0);
    CHECK_INT(symlink("a.wav", path_of("l.wav")), 0);
    rm_error err;
    CHECK_INT(runf(&err, "test.tone duration_ms=100 ! wav.write path=%s%s", path_of("l.wav"), ""),
              RM_DONE);
    CHECK_TEXT(err.message, "");
    struct stat about;
    CHECK_INT(lstat(path_of("l.wav"), &about), 0);
    CHECK(S_ISLNK(about.st_mode));
    CHECK_INT(lstat(path_of("a.wav"), &about), 0);
    CHECK(S_ISREG(about.st_mode));
    CHECK_INT(about.st_mode & 07777, 0640);
    CHECK(about.st_size < 100000);
    remove_all();
}

TEST(a_file_that_may_not_be_written_is_refused_before_the_run)
{
    begin();
    make_tone("a.wav");
    CHECK_INT(chmod(path_of("a.wav"), 0440), 0);
    rm_error err;
    rm_status status =
        runf(&err, "test.tone duration_ms=100 ! wav.write path=%s%s", path_of("a.wav"), "");
    if (geteuid() == 0) {
        CHECK_INT(status, RM_DONE); /* root may */
    } else {
        CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
        CHECK_CONTAINS(err.message, "Permission denied");
    }
    remove_all();
}

TEST(a_full_disk_leaves_whole_lines_also_where_the_run_goes_on)
{
    static const char *const policies[] = {"fail", "skip"};
    for (int i = 0; i < 2; i++) {
        begin();
        struct rlimit limit = limit_files(1000);
        rm_error err;
        rm_status status = runf(
            &err,
            "{\"version\": \"v1\", \"nodes\": [{\"id\": \"t\", \"node_type\": \"test.tone\", "
            "\"params\": {\"duration_ms\": 2000}}, {\"id\": \"l\", \"node_type\": "
            "\"audio.level\"}, "
            "{\"id\": \"w\", \"node_type\": \"json.write\", \"params\": {\"path\": \"%s\"}, "
            "\"on_error\": {\"policy\": \"%s\"}}], \"connections\": [{\"from\": \"t\", \"to\": "
            "\"l\"}, {\"from\": \"l\", \"to\": \"w\"}]}",
            path_of("a.jsonl"), policies[i]);
        CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
        CHECK_INT(status, i ? RM_DONE : RM_EIO);
        CHECK_INT(err.code, i ? RM_CODE_NONE : RM_CODE_MEDIA_WRITE);
        size_t bytes;
        char *text = content_of("a.jsonl", &bytes);
        CHECK(bytes > 500 && bytes <= 1000);
        CHECK(bytes > 0 && text[bytes - 1] == '\n');
        for (const char *at = text; at && *at;) {
            CHECK_INT(*at, '{');
            at = strchr(at, '\n');
            CHECK(at && at[-1] == '}');
            at += at != NULL;
        }
        free(text);
        remove_all();
    }
}

TEST_MAIN(T(a_graph_may_write_the_file_that_it_reads),
          T(a_run_that_fails_leaves_the_old_file_and_what_was_written_beside_it),
          T(a_link_stays_a_link_and_the_mode_is_kept),
          T(a_file_that_may_not_be_written_is_refused_before_the_run),
          T(a_full_disk_leaves_whole_lines_also_where_the_run_goes_on))
