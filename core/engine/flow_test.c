/* flow_test.c — what goes which way: the conditions of edges, on a strand and between two. */
#include "engine/testnodes.h"

static void join_when(rm_session *session, uint32_t from, uint32_t to, uint32_t capacity,
                      const char *when)
{
    rmi_edge_spec spec = {
        .from = from, .to = to, .capacity = capacity, .capacity_max = capacity, .when_json = when};
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_session_connect(session, &spec, &err), RM_OK);
    CHECK_TEXT(err.message, "");
}

TEST(each_packet_goes_where_its_condition_holds)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        probe a = {.left = 100, .burst = 3}, low = {0}, high = {0}, all = {0};
        rm_node_type source = source_type(&a), low_sink = sink_type(&low),
                     high_sink = sink_type(&high), all_sink = sink_type(&all);
        rm_session *session = session_of(strands, RM_DRIVER_CALLER);
        uint32_t from = add(session, &source, "source", 0);
        uint32_t to_low = add(session, &low_sink, "low", strands - 1);
        uint32_t to_high = add(session, &high_sink, "high", 0);
        uint32_t to_all = add(session, &all_sink, "all", 0);
        join_when(session, from, to_low, 1, "{\"field\":\"stream_id\",\"below\":11}");
        join_when(session, from, to_high, 1, "{\"field\":\"stream_id\",\"above\":90}");
        join(session, from, to_all, 1);
        start(session);
        CHECK_INT(drive(session, 7), RM_DONE);
        CHECK_INT(low.seen, 10);
        CHECK_INT(low.sum, sum_to(10));
        CHECK_INT(high.seen, 10);
        CHECK_INT(high.sum, sum_to(100) - sum_to(90));
        CHECK_INT(all.sum, sum_to(100));
        CHECK(!low.out_of_order && !high.out_of_order && !all.out_of_order);
        CHECK_INT(session->nodes[from]->unrouted, 0);
        rm_session_free(session);
    }
}

TEST(what_no_edge_takes_is_counted_and_let_go)
{
    probe a = {.left = 100, .burst = 3}, one = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&one);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t from = add(session, &source, "source", 0), to = add(session, &sink, "sink", 0);
    char *metrics = NULL;
    join_when(session, from, to, 1, "{\"field\":\"stream_id\",\"equals\":50}");
    start(session);
    CHECK_INT(drive(session, 7), RM_DONE);
    CHECK_INT(one.seen, 1);
    CHECK_INT(one.last, 50);
    CHECK_INT(session->nodes[from]->emitted, 100);
    CHECK_INT(session->nodes[from]->unrouted, 99);
    CHECK_INT(rmi_budget_bytes(session->budget), 0); /* nothing is left behind */
    CHECK_INT(rm_session_metrics(session, &metrics, NULL), RM_OK);
    CHECK_CONTAINS(metrics, "\"unrouted\":99");
    rm_free(metrics);
    rm_session_free(session);
}

TEST(a_wrong_condition_is_refused)
{
    probe a = {0}, b = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&b);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    rmi_edge_spec spec = {.from = add(session, &source, "source", 0),
                          .to = add(session, &sink, "sink", 0),
                          .when_json = "{\"field\":\"size\",\"equals\":1}"};
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_session_connect(session, &spec, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "field is 'size'");
    rm_session_free(session);
}

/* ---- times */

#define NONE RM_TIME_NONE

typedef struct times {
    int64_t pts_ns[8], duration_ns;
    uint32_t flags[8], count, at;
    bool shared; /* the source keeps a reference of what it gave */
    rm_packet *kept[8];
} times;

static rm_status give_times(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    times *t = node->type->user;
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (t->at == t->count) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, NUMBER_BYTES, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.pts_ns = t->pts_ns[t->at];
    packet->header.duration_ns = t->duration_ns;
    memset(packet->payload, (int)t->at + 1, NUMBER_BYTES);
    t->kept[t->at] = t->shared ? rm_packet_ref(packet) : NULL;
    t->at++;
    return rm_emit(node, 0, packet);
}

static rm_status take_times(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    times *t = node->type->user;
    const rm_packet *packet = inputs->packet[0];
    (void)err;
    CHECK_INT(((const uint8_t *)packet->payload)[NUMBER_BYTES - 1], t->count + 1);
    t->flags[t->count] = packet->header.flags;
    t->pts_ns[t->count++] = packet->header.pts_ns;
    return RM_OK;
}

static void check_times(const char *options, const times *given, const times *want, bool shared)
{
    times in = *given, out = {0};
    rm_node_type source = source_type(NULL), sink = sink_type(NULL);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint64_t repaired = 0;
    in.shared = shared;
    source.user = &in;
    source.process = give_times;
    source.open = sink.open = NULL;
    source.close = sink.close = NULL;
    source.flush = sink.flush = NULL;
    source.control = sink.control = NULL;
    sink.user = &out;
    sink.process = take_times;
    uint32_t from = add_with(session, &source, "source", options);
    join(session, from, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 7), RM_DONE);
    CHECK_INT(out.count, in.count);
    for (uint32_t i = 0; i < out.count; i++) {
        CHECK_INT(out.pts_ns[i], want->pts_ns[i]);
        CHECK_INT(out.flags[i], want->flags[i]);
        repaired += want->flags[i] != 0;
        if (shared) { /* what somebody else holds is not touched */
            CHECK_INT(in.kept[i]->header.pts_ns, in.pts_ns[i]);
            CHECK_INT(in.kept[i]->header.flags, 0);
            rm_packet_unref(in.kept[i]);
        }
    }
    CHECK_INT(session->nodes[from]->pts_repaired, repaired);
    rm_session_free(session);
}

TEST(times_are_repaired_as_the_node_says)
{
    enum { R = RM_FLAG_PTS_REPAIRED, D = RM_FLAG_DISCONTINUITY };
    static const times given = {
        .pts_ns = {NONE, 10, NONE, NONE, 5, 12, 40}, .duration_ns = 10, .count = 7};
    static const times fill = {.pts_ns = {0, 10, 20, 30, 5, 12, 40}, .flags = {R, 0, R, R}};
    static const times monotonic = {.pts_ns = {NONE, 10, NONE, NONE, 20, 30, 40},
                                    .flags = {0, 0, 0, 0, R | D, R | D, 0}};
    for (int shared = 0; shared < 2; shared++) {
        check_times("{}", &given, &given, shared);
        check_times("{\"pts\":\"keep\"}", &given, &given, shared);
        check_times("{\"pts\":\"fill\"}", &given, &fill, shared);
        check_times("{\"pts\":\"monotonic\"}", &given, &monotonic, shared);
    }
}

TEST(a_wrong_repair_is_refused)
{
    rmi_node_options options;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_node_options_parse("{\"pts\":\"filled\"}", &options, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "pts is 'filled', want keep, fill or monotonic");
}

/* ---- budgets */

static rm_status slow_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    int64_t until_ns = rmi_clock_ns() + 1000000;
    while (rmi_clock_ns() < until_ns) {
    }
    return sink_process(node, inputs, err);
}

typedef struct told {
    uint32_t count;
    uint64_t total;
    bool names_cause;
} told;

static void listen(void *context, const rm_event *event)
{
    told *t = context;
    if (event->kind == RM_EVENT_LATE) {
        /* Which of the two worked longer is not known before both were timed. */
        t->names_cause |= (strcmp(event->node, "sink") == 0 || strcmp(event->node, "pass") == 0) &&
                          strcmp(event->to, "pass") == 0 && strcmp(event->reason, "budget") == 0;
        t->count++;
        t->total = event->total;
    }
}

static void check_budget(int64_t latency_ns_max, uint32_t strands, bool is_over)
{
    enum { packets = 400 };
    probe a = {.left = packets, .burst = 4}, b = {0}, c = {0};
    told heard = {0};
    rm_node_type source = source_type(&a), pass = type_of("t.pass", &b), sink = sink_type(&c);
    rm_session_options options = {.struct_size = sizeof options,
                                  .on_event = listen,
                                  .event_context = &heard,
                                  .driver = RM_DRIVER_CALLER,
                                  .events = RM_EVENT_BIT(RM_EVENT_LATE)};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, strands, &session, NULL), RM_OK);
    sink.process = slow_process;
    rmi_edge_spec spec = {.from = add(session, &source, "source", 0),
                          .to = add(session, &pass, "pass", strands - 1),
                          .capacity = 16,
                          .capacity_max = 16,
                          .latency_ns_max = latency_ns_max};
    CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
    join(session, spec.to, add(session, &sink, "sink", strands - 1), 16);
    start(session);
    int64_t begin_ns = rmi_clock_ns();
    CHECK_INT(drive(session, 64), RM_DONE);
    double elapsed_s = (double)(rmi_clock_ns() - begin_ns) / 1e9;
    rmi_edge *edge = session->edges[0];
    rmi_drops over = (edge->link ? edge->link->receiving : edge)->over_budget;
    CHECK_INT(over.count > 0, is_over);
    CHECK_INT(heard.count > 0, is_over);
    CHECK_INT(heard.total, over.count);
    CHECK_INT(heard.names_cause, is_over);
    CHECK(heard.count <= 10 * elapsed_s + 10); /* at most ten a second, and the rest */
    CHECK_INT(c.sum, sum_to(packets));
    rm_session_free(session);
}

TEST(a_packet_that_is_queued_too_long_is_counted_and_its_cause_named)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        check_budget(1000, strands, true);
        check_budget((int64_t)3600 * 1000000000, strands, false);
        check_budget(0, strands, false);
    }
}

static rm_status slow_pass(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    int64_t until_ns = rmi_clock_ns() + 1000000;
    while (rmi_clock_ns() < until_ns) {
    }
    return pass_process(node, inputs, err);
}

static void listen_to_path(void *context, const rm_event *event)
{
    told *t = context;
    if (event->kind == RM_EVENT_LATE) {
        t->names_cause = strcmp(event->node, "slow") == 0 && strcmp(event->to, "sink") == 0 &&
                         strcmp(event->reason, "path") == 0;
        t->count++;
        t->total = event->total;
    }
}

/* At first it is this one that works longest. */
static rm_status late_source(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    int64_t until_ns = probe_of(node)->seen ? 0 : rmi_clock_ns() + 5000000;
    while (rmi_clock_ns() < until_ns) {
    }
    return source_process(node, inputs, err);
}

static void check_path_budget(int64_t latency_ns_max, uint32_t strands, bool is_over)
{
    enum { packets = 200 };
    probe a = {.left = packets}, b = {0}, c = {0}, d = {0};
    told heard = {0};
    rm_node_type source = source_type(&a), slow = node_type(&b, slow_pass),
                 pass = type_of("t.pass", &c), sink = sink_type(&d);
    source.process = late_source;
    rm_session_options options = {.struct_size = sizeof options,
                                  .on_event = listen_to_path,
                                  .event_context = &heard,
                                  .driver = RM_DRIVER_THREAD,
                                  .events = RM_EVENT_BIT(RM_EVENT_LATE)};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, strands, &session, NULL), RM_OK);
    session->latency_ns_max = latency_ns_max;
    uint32_t w = add(session, &source, "source", 0), x = add(session, &slow, "slow", strands - 1);
    uint32_t y = add(session, &pass, "pass", 0), z = add(session, &sink, "sink", 0);
    join(session, w, x, 16);
    join(session, x, y, 16);
    join(session, y, z, 16);
    start(session);
    CHECK_INT(rm_session_wait(session, 20000), RM_DONE);
    uint64_t over = session->nodes[z]->over_budget.count;
    CHECK_INT(over > 0, is_over);
    CHECK_INT(heard.count > 0, is_over);
    CHECK_INT(heard.total, over);
    CHECK_INT(heard.names_cause, is_over);
    CHECK_INT(d.sum, sum_to(packets));
    rm_session_free(session);
}

TEST(a_packet_that_is_too_old_at_a_sink_is_counted_and_the_slowest_node_of_its_path_named)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        check_path_budget(100000, strands, true);
        check_path_budget((int64_t)3600 * 1000000000, strands, false);
        check_path_budget(0, strands, false);
    }
}

TEST_MAIN(T(a_packet_that_is_too_old_at_a_sink_is_counted_and_the_slowest_node_of_its_path_named),
          T(a_packet_that_is_queued_too_long_is_counted_and_its_cause_named),
          T(times_are_repaired_as_the_node_says), T(a_wrong_repair_is_refused),
          T(each_packet_goes_where_its_condition_holds),
          T(what_no_edge_takes_is_counted_and_let_go), T(a_wrong_condition_is_refused))
