/* fault_sites_test.c — three example graphs in which, one after the other, each allocation of the
 * library and the nodes, each callback of a node and each write to a file fails: the run ends with
 * an error that says so, or goes on as the graph declares; what came out of a run that went well is
 * what came out without a fault; and nothing is left behind: memory, descriptors, nodes that are
 * open.
 *
 * One thread steps all strands in an order that a seed fixes (drivers/sim.h), so that the n-th of
 * anything is the same one in each run. */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "base/alloc.h"
#include "base/test.h"
#include "engine/drivers/sim.h"

#if defined(__has_feature)
#define SANITIZED (__has_feature(thread_sanitizer) || __has_feature(address_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { SITES_MAX = 20000, STEPS_MAX = 1000000, OUT_BYTES_MAX = 1 << 16, FILES = 2 };

static const char fault_text[] = "the fault that was asked for";

/* ---- the n-th write, or callback, that fails */

typedef enum site { ALLOCATION, CALLBACK, WRITE, SITES } site;

static const char *const site_names[SITES] = {"allocation", "callback", "write"};

typedef struct countdown {
    unsigned left; /* 0: none is to fail */
    bool struck;
} countdown;

static countdown callbacks, writes;
static char struck_node[RM_ERROR_NODE_MAX]; /* whose callback it was */
static const char *struck_callback = "";

static bool strikes(countdown *c)
{
    bool now = c->left && --c->left == 0;
    c->struck |= now;
    return now;
}

/* In place of the C library's, for the modules too: this program exports them. */
ssize_t write(int fd, const void *data, size_t bytes)
{
    if (strikes(&writes)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    if (strikes(&writes)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, bytes, offset);
}

/* ---- node types whose callbacks fail as they are told */

static const char *const names[] = {"test.tone",     "test.pass",  "audio.level",
                                    "audio.convert", "json.write", "wav.write"};

static rm_node_type wrapped[RMI_COUNT(names)];
static const rm_node_type *inner[RMI_COUNT(names)];
static int nodes_open;

/* The plan may have copied the type, to add an output. */
static const rm_node_type *inner_of(const rm_node *node)
{
    for (size_t i = 0; i < RMI_COUNT(names); i++) {
        if (strcmp(node->type->name, names[i]) == 0) {
            return inner[i];
        }
    }
    abort();
}

static bool fails(const rm_node *node, const char *callback)
{
    if (!strikes(&callbacks)) {
        return false;
    }
    (void)snprintf(struck_node, sizeof struck_node, "%s", node->id);
    struck_callback = callback;
    return true;
}

static rm_status wrap_open(rm_node *node, rm_error *err)
{
    const rm_node_type *type = inner_of(node);
    if (fails(node, "open")) {
        return rm_fail(err, RM_EFAIL, "%s", fault_text);
    }
    rm_status status = type->open ? type->open(node, err) : RM_OK;
    nodes_open += status == RM_OK;
    return status;
}

static rm_status wrap_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    return fails(node, "process") ? rm_fail(err, RM_EFAIL, "%s", fault_text)
                                  : inner_of(node)->process(node, inputs, err);
}

static rm_status wrap_flush(rm_node *node, rm_error *err)
{
    const rm_node_type *type = inner_of(node);
    if (fails(node, "flush")) {
        return rm_fail(err, RM_EFAIL, "%s", fault_text);
    }
    return type->flush ? type->flush(node, err) : RM_OK;
}

static rm_status wrap_control(rm_node *node, const rm_control *control, rm_error *err)
{
    const rm_node_type *type = inner_of(node);
    if (fails(node, "control")) {
        return rm_fail(err, RM_EFAIL, "%s", fault_text);
    }
    return type->control ? type->control(node, control, err) : RM_OK;
}

static void wrap_close(rm_node *node)
{
    const rm_node_type *type = inner_of(node);
    nodes_open--;
    if (type->close) {
        type->close(node);
    }
}

static void wrap_types(rm_registry *finder)
{
    for (size_t i = 0; i < RMI_COUNT(names); i++) {
        CHECK_INT(rm_registry_find(finder, names[i], &inner[i], NULL), RM_OK);
        wrapped[i] = *inner[i];
        wrapped[i].open = wrap_open;
        wrapped[i].process = wrap_process;
        wrapped[i].flush = wrap_flush;
        wrapped[i].control = wrap_control;
        wrapped[i].close = wrap_close;
    }
}

/* ---- the graphs */

typedef struct example {
    const char *name;
    bool recovers; /* each node but the source goes on after an error */
    const char *manifest;
} example;

#define HEAD "{\"version\": \"v1\", \"nodes\": ["
#define TONE "{\"id\": \"tone\", \"node_type\": \"test.tone\", \"params\": {\"duration_ms\": 200}}"
#define NODE(id, type, ...) ", {\"id\": \"" id "\", \"node_type\": \"" type "\"" __VA_ARGS__ "}"
#define PATH(file) ", \"params\": {\"path\": \"" file "\"}"
#define SKIP_ERRORS ", \"on_error\": \"skip\""
#define EDGES "], \"connections\": ["
#define EDGE(from, to) "{\"from\": \"" from "\", \"to\": \"" to "\"}"

static const char *const files[FILES] = {"out.wav", "out.jsonl"};

/* clang-format off: it has no readable form for this */
static const example examples[] = {
    {"a tone to a file, and its levels to another", false,
     HEAD TONE NODE("wav", "wav.write", PATH("out.wav")) NODE("level", "audio.level",
                                                              ", \"params\": {\"interval_ms\": 50}")
         NODE("lines", "json.write", PATH("out.jsonl"))
             EDGES EDGE("tone", "wav") ", " EDGE("tone", "level") ", " EDGE("level", "lines") "]}"},
    {"nodes that retry, bypass, skip and put aside what fails", true,
     HEAD TONE NODE("again", "test.pass",
                    ", \"on_error\": {\"policy\": \"retry\", \"attempts\": 2, "
                    "\"backoff_ms\": 1, \"then\": \"skip\"}") NODE("around", "test.pass",
                                                                   ", \"on_error\": \"bypass\"")
         NODE("aside", "test.pass", ", \"on_error\": \"dead_letter\"")
             NODE("wav", "wav.write", SKIP_ERRORS PATH("out.wav")) NODE(
                 "lines", "json.write", SKIP_ERRORS PATH("out.jsonl"))
                 EDGES EDGE("tone", "again") ", " EDGE("again", "around") ", " EDGE(
                     "around", "aside") ", " EDGE("aside",
                                                  "wav") ", "
                                                         "{\"from\": \"aside\", \"from_port\": "
                                                         "\"dead_letter\", \"to\": \"lines\"}]}"},
    {"two copies of a node, on strands of their own", false,
     HEAD TONE NODE("convert", "audio.convert",
                    ", \"parallel\": 2, \"params\": {\"sample_format\": \"s16\"}")
         NODE("wav", "wav.write", PATH("out.wav")) NODE("lines", "json.write", PATH("out.jsonl"))
             EDGES EDGE("tone", "convert") ", " EDGE("convert", "wav") ", " EDGE("tone",
                                                                                 "lines") "]}"},
};
/* clang-format on */

/* ---- one run */

typedef struct outcome {
    rm_status status; /* RM_DONE or the error */
    rm_error error;
    bool struck;
    size_t bytes[FILES];
    char out[FILES][OUT_BYTES_MAX];
} outcome;

static rm_status run_plan(const rm_plan *plan, rm_error *err)
{
    rmi_sim *sim = NULL;
    rm_status status = rmi_sim_new(plan, 0, NULL, 1, &sim, err);
    if (status != RM_OK) {
        return status;
    }
    unsigned steps = 0;
    do {
        status = rmi_sim_step(sim);
    } while (status == RM_MORE && ++steps < STEPS_MAX);
    if (status < 0) {
        (void)rm_session_error(sim->session, err);
    }
    rmi_sim_free(sim);
    return status;
}

static rm_status run_manifest(const char *manifest, rm_error *err)
{
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_status status = rm_registry_new(&registry, err);
    for (size_t i = 0; status == RM_OK && i < RMI_COUNT(names); i++) {
        status = rm_registry_add(registry, &wrapped[i], err);
    }
    if (status == RM_OK) {
        status = rm_graph_parse(manifest, strlen(manifest), &graph, NULL, err);
    }
    if (status == RM_OK) {
        status = rm_graph_plan(graph, registry, NULL, &plan, NULL, err);
    }
    if (status == RM_OK) {
        status = run_plan(plan, err);
    }
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
    return status;
}

static size_t read_file(const char *path, char *text)
{
    FILE *file = fopen(path, "rb");
    size_t bytes = file ? fread(text, 1, OUT_BYTES_MAX, file) : 0;
    if (file) {
        (void)fclose(file);
    }
    return bytes;
}

/* The n-th of its kind fails, from 1; 0: none. */
static void run(const example *e, site kind, unsigned nth, outcome *o)
{
    for (size_t i = 0; i < FILES; i++) {
        (void)unlink(files[i]);
    }
    o->error = (rm_error)RM_ERROR_INIT;
    callbacks = (countdown){.left = kind == CALLBACK ? nth : 0};
    writes = (countdown){.left = kind == WRITE ? nth : 0};
    if (kind == ALLOCATION) {
        rmi_alloc_fault_begin(nth);
    }
    o->status = run_manifest(e->manifest, &o->error);
    bool struck = rmi_alloc_fault_end();
    o->struck = struck || callbacks.struck || writes.struck;
    writes = (countdown){0};
    for (size_t i = 0; i < FILES; i++) {
        o->bytes[i] = read_file(files[i], o->out[i]);
    }
}

/* ---- what is to be seen of it */

typedef struct holding {
    size_t heap_bytes;
    unsigned descriptors;
} holding;

static holding look(void)
{
    struct mallinfo2 heap = mallinfo2();
    holding now = {.heap_bytes = SANITIZED ? 0 : heap.uordblks + heap.hblkhd};
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder)) {
        now.descriptors++;
    }
    if (folder) {
        (void)closedir(folder);
    }
    return now;
}

static void check_same_output(const outcome *o, const outcome *good)
{
    for (size_t i = 0; i < FILES; i++) {
        CHECK_INT(o->bytes[i], good->bytes[i]);
        CHECK(memcmp(o->out[i], good->out[i], good->bytes[i]) == 0);
    }
}

static void check_error(site kind, const rm_error *error)
{
    CHECK(error->message[0] != '\0');
    if (kind == ALLOCATION) {
        CHECK_INT(error->status, RM_ENOMEM);
    } else if (kind == WRITE) {
        CHECK_INT(error->code, RM_CODE_MEDIA_WRITE);
        CHECK_CONTAINS(error->message, "cannot write 'out.");
    } else {
        CHECK_INT(error->status, RM_EFAIL);
        CHECK_CONTAINS(error->message, fault_text);
        struck_node[strcspn(struck_node, ".")] = '\0'; /* a copy's error is the node's */
        CHECK_TEXT(error->node, struck_node);
    }
}

/* A policy is for items: not for the source, and not for what fails before there are any. */
static bool may_go_on(const example *e, site kind)
{
    bool called = kind == CALLBACK;
    return kind == ALLOCATION || (called && strcmp(struck_callback, "control") == 0) ||
           (e->recovers && !(called && (strcmp(struck_callback, "open") == 0 ||
                                        strcmp(struck_node, "tone") == 0)));
}

static bool must_go_on(const example *e, site kind)
{
    return kind != ALLOCATION && e->recovers && may_go_on(e, kind);
}

static void check(const example *e, site kind, const outcome *o, const outcome *good)
{
    CHECK_INT(nodes_open, 0);
    if (o->status != RM_DONE) {
        CHECK(!must_go_on(e, kind));
        CHECK_INT(o->status, o->error.status);
        check_error(kind, &o->error);
    } else if (o->struck) {
        CHECK(may_go_on(e, kind));
    }
    if (o->status == RM_DONE && (!o->struck || !e->recovers)) {
        check_same_output(o, good);
    }
}

/* Each site of a kind, until none is left. */
static void fail_each(const example *e, site kind, const outcome *good)
{
    static outcome o;
    unsigned nth = 1;
    for (bool more = true; more && nth < SITES_MAX; nth++) {
        unsigned failures = rmi_test_failures;
        holding before = look();
        run(e, kind, nth, &o);
        holding after = look();
        more = o.struck;
        check(e, kind, &o, good);
        CHECK_INT(after.heap_bytes, before.heap_bytes);
        CHECK_INT(after.descriptors, before.descriptors);
        if (rmi_test_failures != failures) {
            printf("# with %s %u (callback: %s of '%s'): %s: %s\n", site_names[kind], nth,
                   struck_callback, struck_node, rm_status_name(o.status), o.error.message);
        }
    }
    CHECK(nth > 3 && nth < SITES_MAX);
    printf("# note: %s: %u sites of kind %s\n", e->name, nth - 2, site_names[kind]);
}

static void fail_all(const example *e)
{
    char folder[] = "/tmp/fault_sites_XXXXXX";
    static outcome good;
    rm_registry *finder = NULL;
    CHECK(mkdtemp(folder) != NULL);
    CHECK_INT(chdir(folder), 0);
    CHECK_INT(rm_registry_new(&finder, NULL), RM_OK);
    wrap_types(finder);
    for (int warm = 0; warm < 3; warm++) {
        run(e, SITES, 0, &good);
        CHECK_INT(good.status, RM_DONE);
        CHECK_TEXT(good.error.message, "");
    }
    CHECK(good.bytes[0] > 1000);
    for (site kind = ALLOCATION; kind < SITES && !rmi_test_failures; kind++) {
        fail_each(e, kind, &good);
    }
    rm_registry_free(finder);
    for (size_t i = 0; i < FILES; i++) {
        (void)unlink(files[i]);
    }
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(rmdir(folder), 0);
}

TEST(each_fault_in_a_graph_that_writes_two_files_is_told_or_done_without)
{
    fail_all(&examples[0]);
}

TEST(each_fault_in_a_graph_that_recovers_is_recovered_from_or_told)
{
    fail_all(&examples[1]);
}

TEST(each_fault_in_a_graph_on_several_strands_is_told_or_done_without)
{
    fail_all(&examples[2]);
}

TEST_MAIN(T(each_fault_in_a_graph_that_writes_two_files_is_told_or_done_without),
          T(each_fault_in_a_graph_that_recovers_is_recovered_from_or_told),
          T(each_fault_in_a_graph_on_several_strands_is_told_or_done_without))
