/* strand_test.c — the behaviours that a fresh engine gets wrong, one strand, simulated clock. */
#include <jansson.h>

#include "engine/testnodes.h"

#include "base/alloc.h"

TEST(three_packets_go_through_an_edge_of_two)
{
    probe a = {.left = 1000}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), triple = node_type(&b, triple_process),
                 sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &triple, "triple", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    rmi_edge *first = join(session, x, y, 2), *second = join(session, y, z, 2);
    start(session);
    CHECK_INT(drive(session, 7), RM_DONE);
    CHECK_INT(c.seen, 3000);
    CHECK_INT(c.sum, 3 * 3 * sum_to(1000) + 3000);
    CHECK(!c.out_of_order);
    CHECK(first->peak <= 2 && second->peak <= 2);
    CHECK_INT(rmi_pool_out(session->strands[0]->pool), 0);
    rm_session_free(session);
    CHECK_INT(a.closed + b.closed + c.closed, 3);
    CHECK_INT(a.flushed + b.flushed + c.flushed, 3);
}

/* One item fails twice: what each policy makes of it. */
static void run_policy(const char *options, rm_status want, uint32_t sink_seen, uint32_t sink_sum,
                       uint32_t node_seen)
{
    probe a = {.left = 10}, c = {0};
    probe b = {.fail_item = 7, .failures = 2, .fail_with = RM_ETRANSIENT};
    rm_node_type source = source_type(&a), faulty = node_type(&b, faulty_process),
                 sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0);
    uint32_t y = add_with(session, &faulty, "faulty", options), z = add(session, &sink, "sink", 0);
    join(session, x, y, 2);
    join(session, y, z, 2);
    start(session);
    CHECK_INT(drive(session, 100), want);
    CHECK_INT(c.seen, sink_seen);
    CHECK_INT(c.sum, sink_sum);
    CHECK_INT(b.seen, node_seen);
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_session_error(session, &err), want < 0 ? want : RM_OK);
    if (want < 0) {
        CHECK_TEXT(err.message, "item 7 is bad");
        CHECK_TEXT(err.node, "faulty");
        CHECK_INT(err.item, 7);
    }
    rm_session_free(session);
    CHECK_INT(a.closed + b.closed + c.closed, 3);
}

TEST(a_failed_call_leaves_nothing_and_its_policy_decides)
{
    run_policy(NULL, RM_ETRANSIENT, 6, sum_to(6), 7);
    run_policy("{\"on_error\":\"skip\"}", RM_DONE, 9, sum_to(10) - 7, 10);
    run_policy("{\"on_error\":{\"policy\":\"retry\",\"attempts\":3,\"backoff_ms\":5}}", RM_DONE, 10,
               sum_to(10), 12);
    run_policy("{\"on_error\":{\"policy\":\"retry\",\"attempts\":1}}", RM_ETRANSIENT, 6, sum_to(6),
               8);
    run_policy("{\"on_error\":\"bypass\"}", RM_DONE, 10, sum_to(10), 10);
}

TEST(retry_is_for_transient_errors_only)
{
    probe a = {.left = 3}, b = {.fail_item = 2, .failures = 1, .fail_with = RM_EFAIL}, c = {0};
    rm_node_type source = source_type(&a), faulty = node_type(&b, faulty_process),
                 sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0);
    uint32_t y = add_with(session, &faulty, "faulty", "{\"on_error\":{\"policy\":\"retry\"}}");
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_EFAIL);
    CHECK_INT(c.seen, 1);
    rm_session_free(session);
}

TEST(wrong_options_are_named)
{
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{\"on_error\":\"ignore\"}", "on_error is 'ignore'"},
        {"{\"on_error\":{\"attempts\":3}}", "policy"},
        {"{\"on_error\":{\"policy\":\"retry\",\"attempts\":0}}", "attempts is 0"},
        {"{\"on_error\":{\"policy\":\"retry\",\"backoff_ms\":-1}}", "backoff_ms is -1"},
        {"{\"merge\":\"shuffle\"}", "merge is 'shuffle'"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rmi_node_options options;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rmi_node_options_parse(rows[i].json, &options, &err), RM_EINVAL);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

static rm_status failing_open(rm_node *node, rm_error *err)
{
    (void)node;
    return rm_fail(err, RM_EFAIL, "no device");
}

static uint32_t close_order;

static void close_in_order(rm_node *node)
{
    probe_of(node)->closed = ++close_order;
}

TEST(a_failed_open_closes_the_others_in_reverse)
{
    probe a = {.left = 1}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), bad = sink_type(&c);
    source.close = pass.close = bad.close = close_in_order;
    bad.open = failing_open;
    close_order = 0;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &pass, "pass", 0);
    uint32_t z = add(session, &bad, "bad", 0);
    join(session, x, y, 2);
    join(session, y, z, 2);
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_session_start(session, &err), RM_EFAIL);
    CHECK_TEXT(err.message, "node 'bad': no device");
    CHECK_INT(err.code, RM_CODE_NODE_OPEN);
    rm_session_free(session);
    CHECK_INT(b.closed, 1);
    CHECK_INT(a.closed, 2);
    CHECK_INT(c.closed, 0);
}

TEST(a_flush_meets_a_full_edge)
{
    probe a = {.left = 5}, b = {.burst = 31}, c = {0};
    rm_node_type source = source_type(&a), tail = node_type(&b, swallow_process),
                 sink = sink_type(&c);
    b.swallow = 100;
    tail.flush = tail_flush;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &tail, "tail", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 2);
    rmi_edge *edge = join(session, y, z, 1);
    start(session);
    CHECK_INT(drive(session, 3), RM_DONE);
    CHECK_INT(b.seen, 5);
    CHECK_INT(c.seen, 31);
    CHECK_INT(c.sum, sum_to(31));
    CHECK_INT(edge->peak, 1);
    rm_session_free(session);
}

TEST(more_comes_without_new_input)
{
    probe a = {.left = 5}, b = {.burst = 49}, c = {0};
    rm_node_type source = source_type(&a), many = node_type(&b, many_process), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &many, "many", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 2);
    join(session, y, z, 2);
    start(session);
    CHECK_INT(drive(session, 3), RM_DONE);
    CHECK_INT(b.seen, 5 * 49);
    CHECK_INT(b.last, 5);
    CHECK_INT(c.sum, sum_to(5 * 49));
    rm_session_free(session);
}

/* source -> a ─┬─▶ look-ahead ─▶ zip
 *              └────────────────▶  */
static rm_status run_diamond(bool from_source, uint32_t grow_max, char *message, size_t size)
{
    probe a = {.left = 100}, p = {0}, b = {.swallow = 20}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&p, pass_process);
    rm_node_type ahead = node_type(&b, swallow_process), zip = sink_type(&c);
    zip.inputs = two_in;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), fork = x;
    if (!from_source) {
        fork = add(session, &pass, "fork", 0);
        join(session, x, fork, 2);
    }
    uint32_t y = add(session, &ahead, "ahead", 0);
    uint32_t z = add_with(session, &zip, "zip", "{\"merge\":\"zip\"}");
    join(session, fork, y, 4);
    rmi_edge *arm = join_ports(session, fork, 0, z, 0, 4);
    arm->capacity_max = grow_max;
    join_ports(session, y, 0, z, 1, 4);
    start(session);
    rm_status status = drive(session, 100);
    rm_error err = RM_ERROR_INIT;
    rm_session_error(session, &err);
    snprintf(message, size, "%s", err.message);
    if (status == RM_DONE) {
        CHECK_INT(c.seen, 2 * 80);
        CHECK(arm->grown > 0);
    }
    rm_session_free(session);
    return status;
}

TEST(a_reconvergent_graph_grows_its_edge_or_names_it)
{
    char message[RM_ERROR_MESSAGE_MAX];
    for (int from_source = 0; from_source < 2; from_source++) {
        CHECK_INT(run_diamond(from_source, 4, message, sizeof message), RM_EDEADLOCK);
        CHECK_CONTAINS(message, from_source ? "source -> zip is full" : "fork -> zip is full");
        CHECK_CONTAINS(message, "its input 'b' from 'ahead'");
        CHECK_INT(run_diamond(from_source, 64, message, sizeof message), RM_DONE);
    }
}

TEST(fan_out_reaches_every_edge_once)
{
    probe a = {.left = 200, .burst = 5}, c[3] = {{0}};
    rm_node_type source = source_type(&a), sink[3];
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0);
    for (uint32_t i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "sink%u", i);
        sink[i] = sink_type(&c[i]);
        join(session, x, add(session, &sink[i], id, 0), i + 1);
    }
    start(session);
    CHECK_INT(drive(session, 5), RM_DONE);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_INT(c[i].sum, sum_to(200));
        CHECK(!c[i].out_of_order);
    }
    rm_session_free(session);
}

TEST(any_takes_turns_and_ends_with_the_last)
{
    probe a = {.left = 10}, b = {.left = 90}, c = {0};
    rm_node_type first = source_type(&a), second = source_type(&b), sink = sink_type(&c);
    sink.inputs = two_in;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &first, "first", 0), y = add(session, &second, "second", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join_ports(session, x, 0, z, 0, 4);
    join_ports(session, y, 0, z, 1, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(c.sum, sum_to(10) + sum_to(90));
    rm_session_free(session);
}

TEST(zip_ends_with_the_first_and_stops_the_other_source)
{
    probe a = {.left = 10}, b = {.left = 1000000}, c = {0};
    rm_node_type first = source_type(&a), second = source_type(&b), sink = sink_type(&c);
    sink.inputs = two_in;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &first, "first", 0), y = add(session, &second, "second", 0);
    uint32_t z = add_with(session, &sink, "sink", "{\"merge\":\"zip\"}");
    join_ports(session, x, 0, z, 0, 4);
    join_ports(session, y, 0, z, 1, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(c.seen, 20);
    CHECK(b.seen < 20);
    rm_session_free(session);
}

static rmi_edge *run_drops(rmi_policy policy, probe *c, rm_session **ret_session)
{
    static probe a;
    static rm_node_type source, sink;
    a = (probe){.left = 10, .burst = 5};
    source = source_type(&a);
    sink = sink_type(c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), z = add(session, &sink, "sink", 0);
    rmi_edge_spec spec = {.from = x, .to = z, .capacity = 2, .policy = policy};
    CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    *ret_session = session;
    return session->edges[0];
}

TEST(each_policy_drops_what_it_says_and_counts_it)
{
    static const struct {
        rmi_policy policy;
        uint32_t seen, sum;
    } rows[] = {
        {RMI_POLICY_BLOCK, 10, 55},
        {RMI_POLICY_DROP_OLDEST, 4, 4 + 5 + 9 + 10},
        {RMI_POLICY_DROP_NEWEST, 4, 1 + 2 + 6 + 7},
        {RMI_POLICY_LATEST, 2, 5 + 10},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        probe c = {0};
        rm_session *session;
        rmi_edge *edge = run_drops(rows[i].policy, &c, &session);
        CHECK_INT(c.seen, rows[i].seen);
        CHECK_INT(c.sum, rows[i].sum);
        CHECK_INT(rmi_edge_drops(edge), 10 - rows[i].seen);
        CHECK_INT(rmi_pool_out(session->strands[0]->pool), 0);
        rm_session_free(session);
    }
}

TEST(a_cancelled_session_delivers_nothing_more)
{
    probe a = {.left = 100000}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &pass, "pass", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    CHECK_INT(rm_session_step(session, 0, 50, NULL), RM_MORE);
    uint32_t before = c.seen;
    rm_session_cancel(session);
    CHECK_INT(drive(session, 10), RM_ECANCELED);
    CHECK_INT(c.seen, before);
    CHECK(before > 0);
    CHECK_INT(a.closed + b.closed + c.closed, 3);
    CHECK_INT(a.flushed + b.flushed + c.flushed, 0);
    rm_session_free(session);
}

static rm_session *async_session(probe *a, probe *b, probe *c, rm_node_type type[3])
{
    type[0] = source_type(a);
    type[1] = node_type(b, async_process);
    type[1].cancel = async_cancel;
    type[1].in_flight_max = 4;
    type[2] = sink_type(c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &type[0], "source", 0), y = add(session, &type[1], "async", 0);
    uint32_t z = add(session, &type[2], "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    return session;
}

TEST(work_that_ignores_a_cancel_is_left_behind_after_the_grace_time)
{
    probe a = {.left = 5}, b = {0}, c = {0};
    rm_node_type type[3];
    rm_session *session = async_session(&a, &b, &c, type);
    rm_node_type *stubborn = (rm_node_type *)(uintptr_t)b.node->type;
    stubborn->cancel = NULL;
    CHECK_INT(rm_session_step(session, 0, 100, NULL), RM_PENDING);
    CHECK_INT(b.seen, 1); /* one at a time, whatever in_flight_max says */
    rm_session_cancel(session);
    int64_t next_ns = 0;
    CHECK_INT(rm_session_step(session, 1000, 10, &next_ns), RM_PENDING);
    CHECK_INT(next_ns, (int64_t)2000001000);
    CHECK_INT(rm_session_step(session, next_ns, 10, &next_ns), RM_ECANCELED);
    CHECK_INT(b.closed, 0);
    atomic_store(&b.released, true); /* it completes while the session is still there */
    pthread_join(b.thread, NULL);
    b.thread_started = false;
    rm_session_free(session);
    CHECK_INT(b.closed, 1);
}

TEST(work_on_a_thread_completes_in_order)
{
    probe a = {.left = 50}, b = {0}, c = {0};
    rm_node_type type[3];
    atomic_store(&b.released, true);
    rm_session *session = async_session(&a, &b, &c, type);
    CHECK_INT(drive(session, 10), RM_DONE);
    CHECK_INT(c.seen, 50);
    CHECK_INT(c.sum, sum_to(50));
    CHECK(!c.out_of_order);
    char *json = NULL; /* the time that its work was out counts as the node's */
    CHECK_INT(rm_session_metrics(session, &json, NULL), RM_OK);
    json_t *metrics = json_loads(json ? json : "", 0, NULL);
    const json_t *node = json_array_get(json_object_get(metrics, "nodes"), 1);
    const json_t *time = json_object_get(node, "time");
    double pending_ns = json_number_value(json_object_get(time, "pending_ns"));
    CHECK(pending_ns > 0);
    CHECK(json_number_value(json_object_get(time, "sum_ns")) > pending_ns);
    json_decref(metrics);
    rm_free(json);
    rm_session_free(session);
}

TEST(cancel_tells_the_work_that_is_out_and_waits_for_it)
{
    probe a = {.left = 50}, b = {0}, c = {0};
    rm_node_type type[3];
    rm_session *session = async_session(&a, &b, &c, type);
    CHECK_INT(rm_session_step(session, 0, 100, NULL), RM_PENDING);
    CHECK_INT(b.seen, 1);
    rm_session_cancel(session);
    rm_status status = RM_PENDING;
    while (status == RM_PENDING) { /* the clock stands: the grace time does not run out */
        status = rm_session_step(session, 0, 10, NULL);
    }
    CHECK_INT(status, RM_ECANCELED);
    CHECK(atomic_load(&b.cancelled));
    CHECK_INT(c.seen, 0);
    CHECK_INT(b.closed, 1);
    rm_session_free(session);
}

/* A source that sends one packet and then has nothing until it is told. */
static rm_status stay_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    return probe_of(node)->left ? source_process(node, inputs, err) : RM_EAGAIN;
}

static rm_status pending_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    probe_of(node)->seen++;
    return RM_PENDING;
}

TEST(a_node_that_is_ready_while_cancelled_work_is_out_is_not_waited_for)
{
    probe a = {.left = 1}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), out = node_type(&b, pending_process),
                 sink = sink_type(&c);
    source.process = stay_process;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &out, "out", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(rm_session_step(session, 0, 100, NULL), RM_PENDING);
    rm_session_cancel(session);
    rm_node_ready(a.node);
    CHECK_INT(rm_session_step(session, 1, 100, NULL), RM_PENDING); /* comes back */
    rm_node_complete(b.node, RM_OK, NULL);
    CHECK_INT(rm_session_step(session, 2, 100, NULL), RM_ECANCELED);
    rm_session_free(session);
}

TEST(interrupt_drops_the_work_that_is_out_and_keeps_what_is_upstream)
{
    probe a = {.left = 3}, b = {0}, c = {0};
    rm_node_type type[3];
    rm_session *session = async_session(&a, &b, &c, type);
    CHECK_INT(rm_session_step(session, 0, 100, NULL), RM_PENDING);
    CHECK_INT(rm_session_interrupt(session, "async"), RM_OK);
    CHECK_INT(rm_session_interrupt(session, "nobody"), RM_ENOENT);
    rm_session_step(session, 0, 1, NULL);
    atomic_store(&b.released, true);
    CHECK_INT(drive(session, 10), RM_DONE);
    CHECK_INT(b.seen, 3);
    CHECK_INT(c.seen, 2); /* the first item's result died */
    CHECK_INT(c.sum, 2 + 3);
    CHECK_INT(b.interrupted, 1);
    CHECK_INT(c.interrupted, 1);
    CHECK_INT(a.interrupted, 0);
    CHECK_INT(session->nodes[1]->errors, 0); /* it ended its work as it was asked to */
    rm_session_free(session);
}

/* An interrupted generator forgets the item it was on. */
static rm_status many_control(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)err;
    if (control->op == RM_CONTROL_INTERRUPT) {
        probe_of(node)->seen = 0;
    }
    return RM_OK;
}

TEST(interrupt_empties_what_is_queued_downstream)
{
    probe a = {.left = 4}, b = {.burst = 100};
    rm_node_type source = source_type(&a), many = node_type(&b, many_process);
    many.control = many_control;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &many, "many", 0), z;
    rmi_node_spec spec = {.type = &rmi_output_type, .id = "out", .params_json = "{\"name\":\"o\"}"};
    CHECK_INT(rmi_session_add(session, &spec, &z, NULL), RM_OK);
    join(session, x, y, 4);
    rmi_edge *edge = join(session, y, z, 8);
    start(session);
    CHECK_INT(rm_session_step(session, 0, 1000, NULL), RM_PENDING); /* the output is full */
    CHECK_INT(rmi_edge_length(edge), 8);
    CHECK_INT(rm_session_interrupt(session, "many"), RM_OK);
    CHECK_INT(rm_session_step(session, 0, 0, NULL), RM_MORE);
    CHECK_INT(rmi_edge_length(edge), 0);
    uint32_t before = b.sum, pulled = 0, first = 0;
    for (rm_status status = RM_MORE; status == RM_MORE || status == RM_PENDING;) {
        rm_packet *packet = NULL;
        status = rm_session_step(session, 0, 100, NULL);
        while (rm_session_pull(session, 0, &packet) == RM_OK) {
            first = pulled++ ? first : packet->header.stream_id;
            rm_packet_unref(packet);
        }
    }
    CHECK_INT(first, before + 1); /* nothing stale */
    CHECK_INT(pulled, 300);       /* the three items that were upstream, whole */
    rm_session_free(session);
}

static rm_status swap_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    return pass_process(node, inputs, err);
}

static rm_status counting_save(rm_node *node, rm_blob *blob, rm_error *err)
{
    (void)err;
    return rm_blob_append(blob, &probe_of(node)->seen, sizeof(uint32_t));
}

static rm_status counting_load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    uint32_t seen;
    if (bytes != sizeof seen) {
        return rm_fail(err, RM_EINVAL, "a state of %zu bytes", bytes);
    }
    memcpy(&seen, data, sizeof seen);
    probe_of(node)->seen += seen;
    return RM_OK;
}

TEST(a_swap_mid_stream_loses_nothing_and_hands_state_over)
{
    probe a = {.left = 1000}, b = {0}, b2 = {0}, c = {0};
    rm_node_type source = source_type(&a), old = node_type(&b, pass_process),
                 fresh = node_type(&b2, swap_process), sink = sink_type(&c);
    old.save = counting_save;
    fresh.load = counting_load;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &old, "node", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    CHECK_INT(rm_session_step(session, 0, 301, NULL), RM_MORE);
    rm_error err = RM_ERROR_INIT;
    fresh.open = failing_open;
    CHECK_INT(rm_session_swap(session, "node", &fresh, "{}", &err), RM_EFAIL);
    CHECK_INT(b.closed, 0);
    fresh.open = probe_open;
    CHECK_INT(rm_session_swap(session, "node", &fresh, "{}", &err), RM_OK);
    CHECK_INT(b.closed, 1);
    uint32_t handed = b.seen;
    CHECK(handed > 0 && handed < 1000);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(c.sum, sum_to(1000));
    CHECK(!c.out_of_order);
    CHECK_INT(b2.seen, 1000);
    CHECK_INT(b2.closed, 1);
    rm_node_type other = sink_type(&c);
    CHECK_INT(rm_session_swap(session, "node", &other, "{}", &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "ports differ");
    rm_session_free(session);
}

static rm_status done_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return ++probe_of(node)->seen < 5 ? RM_OK : RM_DONE;
}

TEST(a_consumer_that_is_done_stops_its_source)
{
    probe a = {.left = 1000000}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), sink = sink_type(&c);
    sink.process = done_process;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &pass, "pass", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(c.seen, 5);
    CHECK(a.seen < 20);
    CHECK_INT(a.flushed + b.flushed + c.flushed, 3);
    rm_session_free(session);
}

static rm_status one_then_wait_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return probe_of(node)->seen++ == 0 ? send_number(node, 0, 1) : RM_EAGAIN;
}

static rm_status late_done_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    rm_node_wake_at(node, rm_node_now(node) + 10);
    return ++probe_of(node)->seen == 1 ? RM_EAGAIN : RM_DONE;
}

TEST(a_consumer_that_is_done_stops_a_source_that_waits)
{
    probe a = {0}, b = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&b);
    source.process = one_then_wait_process;
    sink.process = late_done_process;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(a.seen, 2);
    CHECK_INT(b.seen, 2);
    CHECK_INT(a.flushed + b.flushed, 2);
    rm_session_free(session);
}

static const rm_port three_out[] = {{.name = "all"}, {.name = "some"}, {.name = "none"}, {0}};

/* Notes the connected ports of its first and of its last call as bits. */
static rm_status asking_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    uint32_t connected = 0;
    for (uint32_t port = 0; port < 4; port++) {
        connected |= (uint32_t)rm_port_is_connected(node, port) << port;
    }
    p->sum = p->seen == 0 ? connected : p->sum;
    p->last = connected;
    return source_process(node, inputs, err);
}

static void ask_for_ports(uint32_t sink_strand)
{
    probe a = {.left = 3000}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&b), brief = sink_type(&c);
    source.process = asking_process;
    source.outputs = three_out;
    brief.process = done_process;
    rm_session *session = session_of(1 + sink_strand, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &sink, "sink", 0);
    uint32_t z = add(session, &brief, "brief", sink_strand);
    join_ports(session, x, 0, y, 0, 4);
    join_ports(session, x, 1, z, 0, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(b.seen, 3000);
    CHECK_INT(c.seen, 5);
    CHECK_INT(a.sum, 3);  /* "all" and "some" */
    CHECK_INT(a.last, 1); /* "all" alone: the consumer of "some" wants no more */
    rm_session_free(session);
}

TEST(a_source_learns_which_ports_are_wanted)
{
    ask_for_ports(0);
    ask_for_ports(1);
}

static rm_status greedy_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    for (uint32_t i = 0; i < 9; i++) {
        rm_status status = send_number(node, 0, i);
        if (status != RM_OK) {
            return status;
        }
    }
    return RM_OK;
}

TEST(a_node_that_emits_beyond_its_limit_fails_by_name)
{
    probe a = {.left = 1}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), greedy = node_type(&b, greedy_process),
                 sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &greedy, "greedy", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_ELIMIT);
    rm_error err = RM_ERROR_INIT;
    rm_session_error(session, &err);
    CHECK_TEXT(err.node, "greedy");
    CHECK_INT(c.seen, 0);
    rm_session_free(session);
}

static const rm_port audio_in[] = {{.name = "in", .formats = "audio channels=1"}, {0}};

TEST(a_packet_that_does_not_fit_the_port_is_named)
{
    probe a = {.left = 2}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    sink.inputs = audio_in;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), z = add(session, &sink, "sink", 0);
    join(session, x, z, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_EINVAL);
    rm_error err = RM_ERROR_INIT;
    rm_session_error(session, &err);
    CHECK_INT(err.code, RM_CODE_PACKET_FORMAT);
    CHECK_TEXT(err.message, "input 'in' got bytes, want audio channels=1");
    CHECK_INT(c.seen, 0);
    rm_session_free(session);
}

static rm_status hoard_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (p->left == 0) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, 100000, &packet);
    if (status != RM_OK) {
        p->sum++;
        return status;
    }
    p->left--;
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = ++p->seen;
    return rm_emit(node, 0, packet);
}

TEST(a_source_without_memory_waits_for_what_comes_back)
{
    probe a = {.left = 50};
    rm_node_type source = source_type(&a);
    source.process = hoard_process;
    rm_session_options options = {
        .struct_size = sizeof options, .driver = RM_DRIVER_CALLER, .memory_bytes_max = 400000};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, 1, &session, NULL), RM_OK);
    uint32_t x = add(session, &source, "source", 0), z;
    rmi_node_spec spec = {.type = &rmi_output_type, .id = "out"};
    CHECK_INT(rmi_session_add(session, &spec, &z, NULL), RM_OK);
    join(session, x, z, 16);
    start(session);
    uint32_t pulled = 0;
    for (rm_status status = RM_MORE; status == RM_MORE || status == RM_PENDING;) {
        rm_packet *packet = NULL;
        status = rm_session_step(session, 0, 100, NULL);
        while (rm_session_pull(session, 0, &packet) == RM_OK) {
            CHECK_INT(packet->header.stream_id, ++pulled);
            rm_packet_unref(packet);
        }
    }
    CHECK_INT(pulled, 50);
    CHECK(a.sum > 0);
    CHECK(rmi_budget_bytes_peak(session->budget) <= 400000);
    rm_session_free(session);
}

/* Sends number 100 + n when called without input; otherwise asks for such a call. */
static rm_status unprompted_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    probe *p = probe_of(node);
    if (inputs->packet[0]) {
        p->seen++;
        rm_node_ready(node);
        return RM_OK;
    }
    return send_number(node, 0, 100 + ++p->sum);
}

TEST(a_node_that_asks_is_called_without_input)
{
    for (int asks = 0; asks < 2; asks++) {
        probe a = {.left = 1}, b = {0}, c = {0};
        rm_node_type source = source_type(&a), middle = node_type(&b, unprompted_process),
                     sink = sink_type(&c);
        middle.flags = asks ? RM_NODE_UNPROMPTED : 0;
        source.process = stay_process;
        rm_session *session = session_of(1, RM_DRIVER_CALLER);
        uint32_t x = add(session, &source, "source", 0), y = add(session, &middle, "middle", 0);
        join(session, x, y, 4);
        join(session, y, add(session, &sink, "sink", 0), 4);
        start(session);
        CHECK_INT(rm_session_step(session, 0, 100, NULL), RM_PENDING);
        CHECK_INT(b.seen, 1);
        CHECK_INT(c.seen, asks);
        rm_node_ready(b.node); /* idle, nothing on its edge */
        CHECK_INT(rm_session_step(session, 1, 100, NULL), RM_PENDING);
        CHECK_INT(c.seen, 2 * asks);
        CHECK_INT(session->nodes[y]->items, 1);
        rm_session_free(session);
    }
}

/* Puts items aside while more wait; sends how many it took at once. */
static rm_status batch_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)inputs;
    (void)err;
    p->seen++;
    p->sum++;
    if (rm_node_has_input(node)) {
        return RM_OK;
    }
    uint32_t batch = p->sum;
    p->sum = 0;
    return send_number(node, 0, batch);
}

TEST(a_node_learns_that_more_input_waits)
{
    probe a = {.left = 12, .burst = 6}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), middle = node_type(&b, batch_process),
                 sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &middle, "middle", 0);
    join(session, x, y, 8);
    join(session, y, add(session, &sink, "sink", 0), 8);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(b.seen, 12);
    CHECK_INT(c.sum, 12);
    CHECK_INT(c.seen, 2);
    rm_session_free(session);
}

TEST(metrics_count_what_happened)
{
    probe a = {.left = 100}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &pass, "pass", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    char *json = NULL;
    CHECK_INT(rm_session_metrics(session, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, "\"id\":\"pass\",\"type\":\"t.node\",\"state\":\"closed\"");
    CHECK_CONTAINS(json, "\"calls\":101,\"items\":100,\"emitted\":100");
    CHECK_CONTAINS(json, "\"from\":\"source\",\"to\":\"pass\",\"packets\":100,\"bytes\":6400");
    rm_free(json);
    rm_session_free(session);
}

TEST(work_done_elsewhere_counts_as_the_nodes_own)
{
    probe a = {.left = 1}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &pass, "pass", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    rm_node_add_work(b.node, 3000000000, 1);
    rm_node_add_work(b.node, 1000000000, 1);
    rm_node_add_work(b.node, 500000000, 0);
    CHECK_INT(drive(session, 100), RM_DONE);
    char *text = NULL;
    CHECK_INT(rm_session_metrics(session, &text, NULL), RM_OK);
    json_t *metrics = json_loads(text, 0, NULL);
    const json_t *node = json_array_get(json_object_get(metrics, "nodes"), 1);
    const json_t *time = json_object_get(node, "time");
    CHECK_INT(json_integer_value(json_object_get(time, "timed_calls")), 2);
    CHECK_INT(json_number_value(json_object_get(time, "max_ns")), 3000000000);
    CHECK_INT(json_number_value(json_object_get(time, "sum_ns")) / 1e8, 45);
    json_decref(metrics);
    rm_free(text);
    rm_session_free(session);
}

TEST(a_session_is_made_whole_or_not_at_all)
{
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
        rm_session *session = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rmi_session_new(&options, 3, &session, NULL);
        struck = rmi_alloc_fault_end();
        CHECK_INT(status, struck ? RM_ENOMEM : RM_OK);
        CHECK((session == NULL) == struck);
        rm_session_free(session);
    }
    CHECK(!struck);
}

static rm_status timed_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (p->left == 0) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, 64, &packet);
    if (status != RM_OK) {
        return status;
    }
    p->left--;
    packet->header.kind = RM_KIND_BYTES;
    packet->header.pts_ns = 10 * (int64_t)++p->seen;
    packet->header.duration_ns = 7;
    return rm_emit(node, 0, packet);
}

TEST(progress_is_the_end_of_the_latest_packet_of_a_source)
{
    probe a = {.left = 100}, c = {0};
    int64_t position_ns = 1;
    uint64_t packets = 1;
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    source.process = timed_process;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), z = add(session, &sink, "sink", 0);
    join(session, x, z, 4);
    start(session);
    rm_session_progress(session, &position_ns, &packets);
    CHECK(position_ns == RM_TIME_NONE);
    CHECK_INT(packets, 0);
    CHECK_INT(drive(session, 100), RM_DONE);
    rm_session_progress(session, &position_ns, &packets);
    CHECK_INT(packets, 100);
    CHECK_INT(position_ns, 100 * 10 + 7);
    rm_session_progress(session, NULL, NULL);
    rm_session_free(session);
}

TEST(an_edge_is_bounded_in_bytes_and_in_time)
{
    for (uint32_t in_time = 0; in_time < 2; in_time++) { /* the bound is passed by one packet */
        probe a = {.left = 1000, .burst = 3}, c = {0};
        rm_node_type source = source_type(&a), sink = sink_type(&c);
        rm_session *session = session_of(1, RM_DRIVER_CALLER);
        rmi_edge_spec spec = {.from = add(session, &source, "source", 0),
                              .to = add(session, &sink, "sink", 0),
                              .capacity = 64,
                              .capacity_max = 64,
                              .bytes_max = in_time ? 0 : NUMBER_BYTES + 1,
                              .span_ns_max = in_time ? NUMBER_NS + 1 : 0};
        CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
        start(session);
        CHECK_INT(drive(session, 10), RM_DONE);
        CHECK_INT(c.sum, sum_to(1000));
        CHECK_INT(session->edges[0]->peak, 2);
        CHECK_INT(session->edges[0]->load.of[RMI_BYTES], 0);
        CHECK_INT(session->edges[0]->load.of[RMI_SPAN_NS], 0);
        rm_session_free(session);
    }
}

TEST_MAIN(T(an_edge_is_bounded_in_bytes_and_in_time), T(three_packets_go_through_an_edge_of_two),
          T(a_failed_call_leaves_nothing_and_its_policy_decides),
          T(retry_is_for_transient_errors_only), T(wrong_options_are_named),
          T(a_failed_open_closes_the_others_in_reverse), T(a_flush_meets_a_full_edge),
          T(more_comes_without_new_input), T(a_reconvergent_graph_grows_its_edge_or_names_it),
          T(fan_out_reaches_every_edge_once), T(any_takes_turns_and_ends_with_the_last),
          T(zip_ends_with_the_first_and_stops_the_other_source),
          T(each_policy_drops_what_it_says_and_counts_it),
          T(a_cancelled_session_delivers_nothing_more),
          T(work_that_ignores_a_cancel_is_left_behind_after_the_grace_time),
          T(work_on_a_thread_completes_in_order),
          T(cancel_tells_the_work_that_is_out_and_waits_for_it),
          T(a_node_that_is_ready_while_cancelled_work_is_out_is_not_waited_for),
          T(interrupt_drops_the_work_that_is_out_and_keeps_what_is_upstream),
          T(interrupt_empties_what_is_queued_downstream),
          T(a_swap_mid_stream_loses_nothing_and_hands_state_over),
          T(a_consumer_that_is_done_stops_its_source),
          T(a_consumer_that_is_done_stops_a_source_that_waits),
          T(a_source_learns_which_ports_are_wanted),
          T(a_node_that_emits_beyond_its_limit_fails_by_name),
          T(a_packet_that_does_not_fit_the_port_is_named),
          T(a_source_without_memory_waits_for_what_comes_back),
          T(a_node_that_asks_is_called_without_input), T(a_node_learns_that_more_input_waits),
          T(metrics_count_what_happened), T(work_done_elsewhere_counts_as_the_nodes_own),
          T(a_session_is_made_whole_or_not_at_all),
          T(progress_is_the_end_of_the_latest_packet_of_a_source))
