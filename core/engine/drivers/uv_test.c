/* uv_test.c — sessions on a real libuv loop: they share it, wake it from other threads, keep it
 * alive as long as they run and no longer, and can be closed at any time. Public API only. */
#include <uv.h>

#include <remotemedia/driver_uv.h>
#include <remotemedia/remotemedia.h>

#include "base/test.h"

/* What happened in one run. */
typedef struct seen {
    uv_loop_t loop;
    rm_registry *registry;
    rm_plan *plan;
    rm_uv_driver *driver;
    uint32_t packets, ticks, outputs, rooms, errors, closed;
    rm_status ended; /* RM_EAGAIN: not yet */
    bool close_at_end;
    uv_timer_t timer;
} seen;

static uint32_t nodes_open, sunk;

static rm_status count_open(rm_node *node, rm_error *err)
{
    (void)node;
    (void)err;
    nodes_open++;
    return RM_OK;
}

static void count_close(rm_node *node)
{
    (void)node;
    nodes_open--;
}

struct source_params {
    int64_t packets, every_ms;
};

struct source {
    int64_t sent, next_ns;
};

/* `packets` packets (0: without end), one each every_ms. */
static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const struct source_params *params = node->params;
    struct source *source = node->state;
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (params->packets && source->sent == params->packets) {
        return RM_DONE;
    }
    if (params->every_ms) {
        int64_t now_ns = rm_node_now(node);
        source->next_ns = source->next_ns ? source->next_ns : now_ns + params->every_ms * 1000000;
        if (now_ns < source->next_ns) {
            rm_node_wake_at(node, source->next_ns);
            return RM_EAGAIN;
        }
        source->next_ns += params->every_ms * 1000000;
    }
    rm_status status = rm_packet_new(node, 8, &packet);
    if (status != RM_OK) {
        return status;
    }
    source->sent++;
    packet->header.kind = RM_KIND_BYTES;
    return rm_emit(node, 0, packet);
}

static rm_status pass_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    sunk++;
    return RM_OK;
}

static rm_status failing_open(rm_node *node, rm_error *err)
{
    (void)node;
    return rm_fail(err, RM_EFAIL, "no device");
}

static const rm_param source_table[] = {
    {.name = "packets", .kind = RM_PARAM_INT, .default_json = "0", .max = 1000000},
    {.name = "every_ms",
     .kind = RM_PARAM_INT,
     .offset = offsetof(struct source_params, every_ms),
     .default_json = "0",
     .max = 1000},
    {0}};
static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port out[] = {{.name = "out"}, {0}};
static const rm_port same[] = {{.name = "out", .same_as = "in"}, {0}};

#define TYPE(type_name, ...)                                                              \
    {                                                                                     \
        .struct_size = sizeof(rm_node_type), .name = type_name, .summary = "of the test", \
        .open = count_open, .close = count_close, __VA_ARGS__                             \
    }

static const rm_node_type types[] = {
    TYPE("t.source", .outputs = out, .params = source_table,
         .params_size = sizeof(struct source_params), .state_size = sizeof(struct source),
         .process = source_process),
    TYPE("t.pass", .inputs = in, .outputs = same, .process = pass_process),
    TYPE("t.thread", .inputs = in, .outputs = same, .process = pass_process,
         .flags = RM_NODE_BLOCKS),
    TYPE("t.sink", .inputs = in, .process = sink_process),
    {.struct_size = sizeof(rm_node_type),
     .name = "t.broken",
     .summary = "does not open",
     .inputs = in,
     .process = sink_process,
     .open = failing_open},
};

static void count_closed(void *context)
{
    ((seen *)context)->closed++;
}

static void on_event(void *context, const rm_event *event)
{
    seen *s = context;
    s->outputs += event->kind == RM_EVENT_OUTPUT;
    s->rooms += event->kind == RM_EVENT_ROOM;
    if (event->kind == RM_EVENT_ENDED) {
        s->ended = event->status;
        if (s->close_at_end) {
            rm_uv_close(s->driver, count_closed, s);
        }
    }
}

static rm_status open_plan(seen *s, rm_graph *graph, rm_error *err)
{
    rm_session_options options = {
        .struct_size = sizeof options, .on_event = on_event, .event_context = s};
    rm_status status = rm_graph_plan(graph, s->registry, NULL, &s->plan, NULL, err);
    rm_graph_free(graph);
    return status == RM_OK ? rm_uv_open(s->plan, &options, &s->loop, &s->driver, err) : status;
}

static void begin(seen *s)
{
    *s = (seen){.ended = RM_EAGAIN};
    sunk = 0;
    CHECK_INT(uv_loop_init(&s->loop), 0);
    CHECK_INT(rm_registry_new(&s->registry, NULL), RM_OK);
    for (size_t i = 0; i < RMI_COUNT(types); i++) {
        CHECK_INT(rm_registry_add(s->registry, &types[i], NULL), RM_OK);
    }
}

static void open_inline(seen *s, const char *text)
{
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    begin(s);
    CHECK_INT(rm_graph_parse_inline(text, &graph, &err), RM_OK);
    CHECK_INT(open_plan(s, graph, &err), RM_OK);
    CHECK_TEXT(err.message, "");
}

/* Closes what is open; nothing may be left on the loop or of the nodes. */
static void end(seen *s)
{
    rm_uv_close(s->closed ? NULL : s->driver, count_closed, s);
    CHECK_INT(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s->closed, s->driver != NULL);
    CHECK_INT(uv_loop_close(&s->loop), 0);
    CHECK_INT(nodes_open, 0);
    rm_plan_free(s->plan);
    rm_registry_free(s->registry);
}

TEST(a_session_runs_to_its_end_and_lets_the_loop_go)
{
    seen s;
    open_inline(&s, "t.source packets=5000 ! t.pass ! t.sink");
    CHECK_INT(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.ended, RM_DONE);
    CHECK_INT(sunk, 5000);
    end(&s);
}

TEST(a_strand_on_another_thread_wakes_the_loop)
{
    seen s;
    open_inline(&s, "t.source packets=2000 ! t.thread ! t.sink");
    CHECK_INT(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.ended, RM_DONE);
    CHECK_INT(sunk, 2000);
    end(&s);
}

TEST(timers_of_nodes_are_the_loops)
{
    seen s;
    open_inline(&s, "t.source packets=5 every_ms=4 ! t.sink");
    uint64_t begin_ns = uv_hrtime();
    CHECK_INT(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
    CHECK(uv_hrtime() - begin_ns >= 19000000);
    CHECK_INT(s.ended, RM_DONE);
    CHECK_INT(sunk, 5);
    end(&s);
}

static void on_tick(uv_timer_t *timer)
{
    seen *s = timer->data;
    if (++s->ticks == 5) {
        uv_close((uv_handle_t *)timer, NULL);
        rm_session_cancel(rm_uv_session(s->driver));
    }
}

TEST(a_session_that_never_rests_leaves_the_loop_its_turns)
{
    seen s;
    open_inline(&s, "t.source ! t.pass ! t.sink");
    uv_timer_init(&s.loop, &s.timer);
    s.timer.data = &s;
    uv_timer_start(&s.timer, on_tick, 1, 1);
    CHECK_INT(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.ticks, 5);
    CHECK_INT(s.ended, RM_ECANCELED);
    CHECK(sunk > 0);
    end(&s);
}

TEST(a_session_may_be_closed_by_its_last_event)
{
    seen s;
    open_inline(&s, "t.source packets=10 ! t.sink");
    s.close_at_end = true;
    CHECK_INT(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.closed, 1);
    end(&s);
}

static void on_close_tick(uv_timer_t *timer)
{
    seen *s = timer->data;
    uv_close((uv_handle_t *)timer, NULL);
    rm_uv_close(s->driver, count_closed, s);
}

TEST(a_running_session_may_be_closed)
{
    seen s;
    open_inline(&s, "t.source ! t.thread ! t.sink");
    uv_timer_init(&s.loop, &s.timer);
    s.timer.data = &s;
    uv_timer_start(&s.timer, on_close_tick, 3, 0);
    CHECK_INT(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.closed, 1);
    end(&s);
}

static const char ports[] =
    "{\"version\": \"v1\", \"nodes\": [{\"id\": \"p\", \"node_type\": \"t.pass\"}],"
    " \"inputs\": {\"i\": {\"node\": \"p\"}}, \"outputs\": {\"o\": {\"node\": \"p\"}}}";

/* Feeds and drains a session as a server would: after each turn of the loop. */
static void feed(uv_prepare_t *prepare)
{
    seen *s = prepare->data;
    rm_session *session = rm_uv_session(s->driver);
    rm_packet *packet = NULL;
    while (rm_session_pull(session, 0, &packet) == RM_OK) {
        CHECK_INT(packet->header.stream_id, ++s->packets);
        rm_packet_unref(packet);
    }
    while (s->ticks < 100 && rm_session_packet_new(session, 8, &packet) == RM_OK) {
        packet->header.kind = RM_KIND_BYTES;
        packet->header.stream_id = s->ticks + 1;
        if (rm_session_push(session, 0, packet) != RM_OK) {
            rm_packet_unref(packet);
            return;
        }
        s->ticks++;
    }
    if (s->ticks == 100) {
        rm_session_end(session, 0);
    }
    if (s->packets == 100) {
        uv_close((uv_handle_t *)prepare, NULL);
    }
}

TEST(packets_go_in_and_out_on_the_loop)
{
    seen s;
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    begin(&s);
    CHECK_INT(rm_graph_parse(ports, sizeof ports - 1, &graph, NULL, &err), RM_OK);
    CHECK_INT(open_plan(&s, graph, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    uv_prepare_t prepare = {.data = &s};
    uv_prepare_init(&s.loop, &prepare);
    uv_prepare_start(&prepare, feed);
    CHECK_INT(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.packets, 100);
    CHECK_INT(s.ended, RM_DONE);
    CHECK(s.outputs > 0 && s.rooms > 0);
    end(&s);
}

TEST(a_session_that_does_not_open_leaves_the_loop_empty)
{
    seen s;
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    begin(&s);
    CHECK_INT(rm_graph_parse_inline("t.source ! t.pass ! t.broken", &graph, &err), RM_OK);
    CHECK_INT(open_plan(&s, graph, &err), RM_EFAIL);
    CHECK_INT(err.code, RM_CODE_NODE_OPEN);
    CHECK_CONTAINS(err.message, "no device");
    CHECK(s.driver == NULL);
    end(&s);
}

TEST(a_driver_or_wake_of_the_caller_is_refused)
{
    seen s;
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_THREAD};
    begin(&s);
    CHECK_INT(rm_graph_parse_inline("t.source ! t.sink", &graph, &err), RM_OK);
    CHECK_INT(rm_graph_plan(graph, s.registry, NULL, &s.plan, NULL, &err), RM_OK);
    rm_graph_free(graph);
    CHECK_INT(rm_uv_open(s.plan, &options, &s.loop, &s.driver, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "driver or wake is set");
    end(&s);
}

TEST_MAIN(T(a_session_runs_to_its_end_and_lets_the_loop_go),
          T(a_strand_on_another_thread_wakes_the_loop), T(timers_of_nodes_are_the_loops),
          T(a_session_that_never_rests_leaves_the_loop_its_turns),
          T(a_session_may_be_closed_by_its_last_event), T(a_running_session_may_be_closed),
          T(packets_go_in_and_out_on_the_loop),
          T(a_session_that_does_not_open_leaves_the_loop_empty),
          T(a_driver_or_wake_of_the_caller_is_refused))
