/* checkpoint_test.c — a session on several threads that is left again and again goes on from its
 * checkpoints until its end, with each packet once and in order on each of its connections; and
 * when a checkpoint cannot be made. Runs clean under the thread sanitizer. */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { NUMBERS = 60000, WAIT_MS = 60000, TIMEOUT_MS = 20000, LEFT_TIMES = 4, A_MOMENT_NS = 100000 };

static char folder[] = "/tmp/remotemedia-checkpoint-XXXXXX";
static atomic_uint seen, wrong;
static atomic_uint allowed; /* the source goes no further */
static rm_node *waiting;    /* its work is out */

typedef struct state {
    uint32_t next, times;
} state;

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    state *s = node->state;
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (s->next == NUMBERS) {
        return RM_DONE;
    }
    if (s->next >= atomic_load(&allowed)) {
        rm_node_wake_at(node, rm_node_now(node) + A_MOMENT_NS);
        return RM_EAGAIN;
    }
    rm_status status = rm_packet_new(node, 16, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = ++s->next;
    memset(packet->payload, (int)(s->next & 255), 16);
    return rm_emit(node, 0, packet);
}

/* Lets each through, the third of three after two calls that did nothing. */
static rm_status pass_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    state *s = node->state;
    (void)inputs;
    (void)err;
    if (++s->times % 5 == 3) {
        return rm_fail(err, RM_ETRANSIENT, "the line is bad");
    }
    return rm_forward(node, 0);
}

static rm_status wait_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    waiting = node;
    return RM_PENDING;
}

static rm_status never_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    return rm_fail(err, RM_EFAIL, "never");
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    state *s = node->state;
    (void)err;
    s->next++;
    for (uint32_t i = 0; i < inputs->count; i++) {
        const rm_packet *packet = inputs->packet[i];
        const uint8_t *payload = packet->payload;
        wrong += packet->header.stream_id != s->next || payload[15] != (s->next & 255);
    }
    atomic_store(&seen, s->next);
    return RM_OK;
}

static rm_status save(rm_node *node, rm_blob *blob, rm_error *err)
{
    (void)err;
    return rm_blob_append(blob, node->state, sizeof(state));
}

static rm_status load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    if (bytes != sizeof(state)) {
        return rm_fail(err, RM_EINVAL, "a state has %zu bytes", bytes);
    }
    memcpy(node->state, data, bytes);
    return RM_OK;
}

static const rm_port in[] = {{.name = "in"}, {0}}, out[] = {{.name = "out"}, {0}};
static const rm_port same[] = {{.name = "out", .same_as = "in"}, {0}};
static const rm_port two[] = {{.name = "a"}, {.name = "b"}, {0}};

#define TYPE(name_, flags_, inputs_, outputs_, process_)                                       \
    {                                                                                          \
        .struct_size = sizeof(rm_node_type), .name = name_, .summary = "t", .flags = (flags_), \
        .inputs = (inputs_), .outputs = (outputs_), .state_size = sizeof(state),               \
        .process = (process_), .checkpoint = save, .restore = load                             \
    }

static const rm_node_type types[] = {
    TYPE("t.source", RM_NODE_BLOCKS, NULL, out, source_process),
    TYPE("t.near", 0, NULL, out, source_process),
    TYPE("t.pass", 0, in, same, pass_process),
    TYPE("t.slow", RM_NODE_BLOCKS, in, same, pass_process),
    TYPE("t.wait", 0, in, NULL, wait_process),
    TYPE("t.never", 0, in, same, never_process),
    TYPE("t.sink", 0, two, NULL, sink_process),
};

static const char wide[] =
    "{\"version\": \"v1\", \"metadata\": {\"name\": \"m\"}, \"nodes\": ["
    "{\"id\": \"source\", \"node_type\": \"t.source\"},"
    "{\"id\": \"a\", \"node_type\": \"t.slow\", \"on_error\": {\"policy\": \"retry\","
    " \"attempts\": 3, \"backoff_ms\": 0}},"
    "{\"id\": \"b\", \"node_type\": \"t.pass\", \"on_error\": {\"policy\": \"retry\","
    " \"attempts\": 3, \"backoff_ms\": 0}},"
    "{\"id\": \"sink\", \"node_type\": \"t.sink\", \"merge\": \"zip\"}],"
    " \"connections\": [{\"from\": \"source\", \"to\": \"a\", \"capacity\": {\"packets\": 7}},"
    "{\"from\": \"source\", \"to\": \"b\"},"
    "{\"from\": \"a\", \"to\": \"sink\", \"to_port\": \"a\"},"
    "{\"from\": \"b\", \"to\": \"sink\", \"to_port\": \"b\", \"capacity\": {\"packets\": 3}}]}";

static const char spared[] =
    "{\"version\": \"v1\", \"metadata\": {\"name\": \"m\"}, \"session\": {\"latency_ms_max\": "
    "0.000001}, \"nodes\": ["
    "{\"id\": \"source\", \"node_type\": \"t.near\"},"
    "{\"id\": \"spare\", \"node_type\": \"t.pass\", \"on_error\": \"skip\"},"
    "{\"id\": \"never\", \"node_type\": \"t.never\", \"on_error\": {\"policy\": \"fallback\","
    " \"fallback\": \"spare\"}},"
    "{\"id\": \"sink\", \"node_type\": \"t.sink\", \"merge\": \"zip\"}],"
    " \"connections\": [{\"from\": \"source\", \"to\": \"never\"},"
    "{\"from\": \"source\", \"to\": \"sink\", \"to_port\": \"b\"},"
    "{\"from\": \"never\", \"to\": \"sink\", \"to_port\": \"a\"}]}";

typedef struct setup {
    rm_registry *registry;
    rm_graph *graph;
    rm_plan *plan;
    rm_session *session;
    rm_error error;
} setup;

static void open_with(setup *s, const char *text, rm_driver driver, int64_t interval_ms)
{
    *s = (setup){.error = RM_ERROR_INIT};
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = driver,
                                  .checkpoint_folder = folder,
                                  .checkpoint_interval_ms = interval_ms};
    CHECK_INT(rm_registry_new(&s->registry, &s->error), RM_OK);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        CHECK_INT(rm_registry_add(s->registry, &types[i], &s->error), RM_OK);
    }
    rm_status status = text[0] == '{'
                           ? rm_graph_parse(text, strlen(text), &s->graph, NULL, &s->error)
                           : rm_graph_parse_inline(text, &s->graph, &s->error);
    CHECK_INT(status, RM_OK);
    CHECK_INT(rm_graph_plan(s->graph, s->registry, NULL, &s->plan, NULL, &s->error), RM_OK);
    CHECK_INT(rm_session_open(s->plan, &options, &s->session, &s->error), RM_OK);
    CHECK_TEXT(s->error.message, "");
    if (!s->session) {
        exit(1);
    }
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
    atomic_store(&seen, 0);
    atomic_store(&wrong, 0);
    atomic_store(&allowed, NUMBERS);
}

/* A checkpoint of the session's own thread may be under way. */
static rm_status checkpoint(setup *s)
{
    rm_status status;
    do {
        s->error = (rm_error)RM_ERROR_INIT;
        status = rm_session_checkpoint(s->session, NULL, TIMEOUT_MS, &s->error);
    } while (status == RM_EAGAIN && strstr(s->error.message, "another"));
    return status;
}

TEST(a_session_on_four_threads_goes_on_where_it_was_left_each_time)
{
    setup s;
    uint64_t before = 0;
    begin();
    for (int i = 0; i < LEFT_TIMES; i++) {
        atomic_store(&allowed, (unsigned)(i + 1) * (NUMBERS / (LEFT_TIMES + 1)));
        open_with(&s, wide, RM_DRIVER_THREAD, i % 2 ? 1 : -1);
        CHECK(rm_session_resumed(s.session) >= before);
        before = rm_session_resumed(s.session) + 2;
        for (int k = 0; k < 3; k++) {
            CHECK_INT(checkpoint(&s), RM_OK);
        }
        end(&s);
    }
    atomic_store(&allowed, NUMBERS);
    open_with(&s, wide, RM_DRIVER_THREAD, 1);
    CHECK(rm_session_resumed(s.session) >= before);
    CHECK_INT(rm_session_wait(s.session, WAIT_MS), RM_DONE);
    end(&s);
    CHECK_INT(atomic_load(&seen), NUMBERS);
    CHECK_INT(atomic_load(&wrong), 0);
    CHECK_INT(rmdir(folder), 0); /* it has ended well: nothing is left */
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The largest number of that name in the metrics. */
static unsigned long counted(rm_session *session, const char *name)
{
    char *json = NULL;
    unsigned long most = 0;
    CHECK_INT(rm_session_metrics(session, &json, NULL), RM_OK);
    for (const char *at = json; at && (at = strstr(at, name)); at += strlen(name)) {
        unsigned long count = strtoul(at + strlen(name), NULL, 10);
        most = count > most ? count : most;
    }
    rm_free(json);
    return most;
}

TEST(what_was_counted_goes_on_with_the_session)
{
    static const char fallbacks[] = "\"fallbacks\":", over_budget[] = "\"over_budget\":";
    setup s;
    begin();
    open_with(&s, spared, RM_DRIVER_CALLER, -1);
    CHECK_INT(rm_session_step(s.session, monotonic_ns(), 200, NULL), RM_MORE);
    unsigned long spares = counted(s.session, fallbacks), late = counted(s.session, over_budget);
    CHECK(spares > 5);
    CHECK(late > 0);
    CHECK_INT(checkpoint(&s), RM_OK);
    end(&s);
    open_with(&s, spared, RM_DRIVER_CALLER, -1);
    CHECK_INT(counted(s.session, fallbacks), spares);
    CHECK_INT(rm_session_step(s.session, monotonic_ns(), 60, NULL), RM_MORE);
    CHECK(counted(s.session, over_budget) > late);
    end(&s);
    char path[128];
    snprintf(path, sizeof path, "%s/checkpoint-00000001.rmc", folder);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(folder), 0);
}

TEST(work_that_is_out_is_waited_for)
{
    setup s;
    begin();
    open_with(&s, "t.near ! t.wait", RM_DRIVER_CALLER, -1);
    for (int i = 0; i < 4; i++) {
        (void)rm_session_step(s.session, 1, 1, NULL);
    }
    CHECK_INT(rm_session_checkpoint(s.session, NULL, 0, &s.error), RM_EAGAIN);
    CHECK_TEXT(s.error.message, "no checkpoint within 0 ms: work of node 'wait' is out");
    rm_node_complete(waiting, RM_OK, NULL);
    CHECK_INT(rm_session_checkpoint(s.session, NULL, 0, &s.error), RM_EAGAIN);
    waiting = NULL;
    while (!waiting) { /* takes what is completed, and the next one */
        (void)rm_session_step(s.session, 1, 1, NULL);
    }
    rm_node_complete(waiting, RM_OK, NULL);
    (void)rm_session_step(s.session, 1, 0, NULL);
    CHECK_INT(rm_session_checkpoint(s.session, NULL, 0, &s.error), RM_OK);
    rm_session_cancel(s.session);
    while (rm_session_step(s.session, 1, 10, NULL) == RM_MORE) {
    }
    CHECK_INT(rm_session_checkpoint(s.session, NULL, 0, &s.error), RM_ECANCELED);
    CHECK(strstr(s.error.message, "the session is ending"));
    end(&s);
    open_with(&s, "t.near ! t.wait", RM_DRIVER_CALLER, -1);
    CHECK_INT(rm_session_resumed(s.session), 1);
    end(&s);
    char path[128];
    snprintf(path, sizeof path, "%s/checkpoint-00000001.rmc", folder);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(folder), 0);
}

TEST_MAIN(T(a_session_on_four_threads_goes_on_where_it_was_left_each_time),
          T(what_was_counted_goes_on_with_the_session), T(work_that_is_out_is_waited_for))
