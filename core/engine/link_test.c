/* link_test.c — strands on threads: order, credits, ends, errors, interrupt and cancel across
 * links. Runs clean under the thread sanitizer. */
#include "engine/testnodes.h"

/* Waits for the end of a threaded session, at most 30 s. */
static rm_status await(rm_session *session)
{
    return rm_session_wait(session, 30000);
}

TEST(packets_cross_a_link_in_order)
{
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 8) {
        probe a = {.left = 20000, .burst = 3}, b = {0}, c = {0};
        rm_node_type source = source_type(&a), pass = node_type(&b, pass_process),
                     sink = sink_type(&c);
        rm_session *session = session_of(3, RM_DRIVER_THREAD);
        uint32_t x = add(session, &source, "source", 1), y = add(session, &pass, "pass", 2);
        uint32_t z = add(session, &sink, "sink", 0);
        join(session, x, y, capacity);
        join(session, y, z, capacity);
        start(session);
        CHECK_INT(await(session), RM_DONE);
        CHECK_INT(c.seen, 20000);
        CHECK_INT(c.sum, sum_to(20000));
        CHECK(!c.out_of_order);
        rm_session_free(session);
        CHECK_INT(a.closed + b.closed + c.closed, 3);
    }
}

TEST(a_slow_consumer_holds_the_producer)
{
    probe a = {.left = 1000}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_of(2, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 1), z = add(session, &sink, "sink", 0);
    join(session, x, z, 4);
    start(session);
    rmi_link *link = session->edges[0]->link;
    while (atomic_load(&link->tail) < 4) {
        sched_yield(); /* the caller does not step: the ring fills and stays so */
    }
    CHECK_INT(atomic_load(&link->tail) - atomic_load(&link->head), 4);
    CHECK_INT(drive(session, 10), RM_DONE);
    CHECK_INT(c.sum, sum_to(1000));
    rm_session_free(session);
}

/* A source of 1,000 packets on a thread, and a sink that the caller steps once all are sent. */
static rmi_edge *run_late_sink(rmi_policy policy, uint32_t capacity, uint64_t bytes_max,
                               probe *sink_probe)
{
    static rmi_edge after; /* the sending edge as it was at the end */
    probe a = {.left = 1000, .burst = 3};
    rm_node_type source = source_type(&a), sink = sink_type(sink_probe);
    rm_session *session = session_of(2, RM_DRIVER_CALLER);
    rmi_edge_spec spec = {.from = add(session, &source, "source", 1),
                          .to = add(session, &sink, "sink", 0),
                          .capacity = capacity,
                          .bytes_max = bytes_max,
                          .policy = policy};
    CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
    start(session);
    while (!atomic_load(&session->edges[0]->link->ended)) {
        sched_yield(); /* the producer waits for nobody */
    }
    CHECK_INT(drive(session, 10), RM_DONE);
    after = *session->edges[0];
    rm_session_free(session);
    return &after;
}

TEST(a_link_that_drops_keeps_what_its_policy_says)
{
    static const struct {
        rmi_policy policy;
        uint32_t capacity;
        uint64_t bytes_max;
        uint32_t seen, last, sum;
    } rows[] = {
        {RMI_POLICY_DROP_OLDEST, 1, 0, 1, 1000, 1000},
        {RMI_POLICY_DROP_OLDEST, 4, 0, 4, 1000, 997 + 998 + 999 + 1000},
        {RMI_POLICY_DROP_NEWEST, 4, 0, 4, 4, 10},
        {RMI_POLICY_LATEST, 16, 0, 1, 1000, 1000},
        {RMI_POLICY_DROP_OLDEST, 16, 128, 2, 1000, 999 + 1000}, /* packets have 64 bytes */
        {RMI_POLICY_DROP_NEWEST, 16, 128, 2, 2, 3},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        probe c = {0};
        const rmi_edge *edge =
            run_late_sink(rows[i].policy, rows[i].capacity, rows[i].bytes_max, &c);
        CHECK_INT(c.seen, rows[i].seen);
        CHECK_INT(c.last, rows[i].last);
        CHECK_INT(c.sum, rows[i].sum);
        CHECK_INT(rmi_edge_drops(edge), 1000 - c.seen);
        CHECK_INT(edge->packets, 1000);
    }
}

TEST(a_link_that_drops_loses_nothing_else)
{
    for (int policy = RMI_POLICY_DROP_OLDEST; policy <= RMI_POLICY_LATEST; policy++) {
        probe a = {.left = 200000, .burst = 3}, c = {0};
        rm_node_type source = source_type(&a), sink = sink_type(&c);
        rm_session *session = session_of(2, RM_DRIVER_THREAD);
        rmi_edge_spec spec = {.from = add(session, &source, "source", 1),
                              .to = add(session, &sink, "sink", 0),
                              .capacity = 2,
                              .policy = (rmi_policy)policy};
        CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
        start(session);
        CHECK_INT(await(session), RM_DONE);
        CHECK_INT(c.seen + rmi_edge_drops(session->edges[0]), 200000);
        CHECK(!c.out_of_order);
        rm_session_free(session);
    }
}

TEST(a_link_is_bounded_in_bytes_and_in_time)
{
    for (uint32_t in_time = 0; in_time < 2; in_time++) {
        probe a = {.left = 1000}, c = {0};
        rm_node_type source = source_type(&a), sink = sink_type(&c);
        rm_session *session = session_of(2, RM_DRIVER_CALLER);
        rmi_edge_spec spec = {.from = add(session, &source, "source", 1),
                              .to = add(session, &sink, "sink", 0),
                              .capacity = 64,
                              .bytes_max = in_time ? 0 : 3 * NUMBER_BYTES + 1,
                              .span_ns_max = in_time ? 3 * NUMBER_NS + 1 : 0};
        CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
        start(session);
        rmi_link *link = session->edges[0]->link;
        while (!atomic_load(&link->producer_waits)) {
            sched_yield();
        }
        CHECK_INT(atomic_load(&link->tail), 4); /* the bound may be passed by one packet */
        CHECK_INT(drive(session, 10), RM_DONE);
        CHECK_INT(c.sum, sum_to(1000));
        rm_session_free(session);
    }
}

TEST(an_error_on_one_strand_ends_them_all)
{
    probe a = {.left = 1000000}, b = {.fail_item = 500, .failures = 1, .fail_with = RM_EFAIL};
    probe c = {0};
    rm_node_type source = source_type(&a), faulty = node_type(&b, faulty_process),
                 sink = sink_type(&c);
    rm_session *session = session_of(3, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 1), y = add(session, &faulty, "faulty", 2);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 8);
    join(session, y, z, 8);
    start(session);
    CHECK_INT(await(session), RM_EFAIL);
    rm_error err = RM_ERROR_INIT;
    rm_session_error(session, &err);
    CHECK_TEXT(err.node, "faulty");
    CHECK_INT(err.item, 500);
    CHECK(c.seen < 500);
    rm_session_free(session);
    CHECK_INT(a.closed + b.closed + c.closed, 3);
}

TEST(cancel_from_another_thread_ends_every_strand)
{
    probe a = {.left = UINT32_MAX}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(3, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 1), y = add(session, &pass, "pass", 0);
    uint32_t z = add(session, &sink, "sink", 2);
    join(session, x, y, 8);
    join(session, y, z, 8);
    start(session);
    CHECK_INT(rm_session_wait(session, 5), RM_EAGAIN);
    rm_session_cancel(session);
    CHECK_INT(await(session), RM_ECANCELED);
    rm_session_free(session);
    CHECK_INT(a.closed + b.closed + c.closed, 3);
}

TEST(a_cancel_is_told_though_the_home_strand_had_ended)
{
    probe a = {.left = 1}, b = {0}, c = {.left = UINT32_MAX}, d = {0};
    rm_node_type few = source_type(&a), sink = sink_type(&b), many = source_type(&c),
                 late = sink_type(&d);
    rm_session *session = session_of(2, RM_DRIVER_CALLER);
    uint32_t w = add(session, &few, "few", 0), x = add(session, &sink, "sink", 0);
    uint32_t y = add(session, &many, "many", 1), z = add(session, &late, "late", 1);
    int64_t next_ns;
    join(session, w, x, 1);
    join(session, y, z, 1);
    start(session);
    while (!session->strands[0]->finished) {
        (void)rm_session_step(session, 0, 10, &next_ns);
    }
    rm_session_cancel(session);
    CHECK_INT(drive(session, 10), RM_ECANCELED);
    CHECK_INT(rm_session_error(session, NULL), RM_ECANCELED);
    rm_session_free(session);
}

TEST(a_session_is_freed_while_it_runs)
{
    for (uint32_t round = 0; round < 20; round++) {
        probe a = {.left = UINT32_MAX}, c = {0};
        rm_node_type source = source_type(&a), sink = sink_type(&c);
        rm_session *session = session_of(2, round % 2 ? RM_DRIVER_THREAD : RM_DRIVER_CALLER);
        uint32_t x = add(session, &source, "source", 1), z = add(session, &sink, "sink", 0);
        join(session, x, z, 8);
        start(session);
        rm_session_free(session);
        CHECK_INT(a.closed + c.closed, 2);
    }
}

TEST(an_end_reaches_the_other_side_when_a_consumer_is_done)
{
    probe a = {.left = UINT32_MAX}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process);
    rm_node_type zip = sink_type(&c), few = source_type(&b);
    (void)pass;
    b.left = 100;
    zip.inputs = two_in;
    rm_session *session = session_of(2, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "endless", 1), y = add(session, &few, "few", 0);
    uint32_t z = add_with(session, &zip, "zip", "{\"merge\":\"zip\"}");
    join_ports(session, x, 0, z, 0, 8);
    join_ports(session, y, 0, z, 1, 8);
    start(session);
    CHECK_INT(await(session), RM_DONE);
    CHECK_INT(c.seen, 200);
    rm_session_free(session);
}

/* Pushes from the test's thread, pulls on it too, while strands run on theirs. */
TEST(the_owner_pushes_and_pulls_from_its_own_thread)
{
    probe b = {0};
    rm_node_type pass = node_type(&b, pass_process);
    rm_session *session = session_of(2, RM_DRIVER_THREAD);
    rmi_node_spec in = {.type = &rmi_input_type, .id = "in", .params_json = "{\"name\":\"mic\"}"};
    rmi_node_spec out = {
        .type = &rmi_output_type, .id = "out", .params_json = "{\"name\":\"text\"}"};
    uint32_t x, y, z, input, output;
    CHECK_INT(rmi_session_add(session, &in, &x, NULL), RM_OK);
    y = add(session, &pass, "pass", 1);
    CHECK_INT(rmi_session_add(session, &out, &z, NULL), RM_OK);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_session_input(session, "mik", &input, &err), RM_ENOENT);
    CHECK_TEXT(err.help, "did you mean 'mic'?");
    CHECK_INT(rm_session_input(session, "mic", &input, NULL), RM_OK);
    CHECK_INT(rm_session_output(session, "text", &output, NULL), RM_OK);
    uint32_t pushed = 0, pulled = 0;
    rm_packet *waiting = NULL;
    int64_t deadline_ns = rmi_clock_ns() + (int64_t)30000000000;
    for (rm_status status = RM_OK; status != RM_DONE && rmi_clock_ns() < deadline_ns;) {
        rm_packet *packet = NULL;
        if (!waiting && pushed < 5000) {
            CHECK_INT(rm_session_packet_new(session, 100, &waiting), RM_OK);
            waiting->header.kind = RM_KIND_BYTES;
            waiting->header.stream_id = ++pushed;
        }
        if (waiting && rm_session_push(session, input, waiting) == RM_OK) {
            waiting = NULL;
            if (pushed == 5000) {
                rm_session_end(session, input);
            }
        }
        status = rm_session_pull(session, output, &packet);
        if (status == RM_OK) {
            CHECK_INT(packet->header.stream_id, ++pulled);
            rm_packet_unref(packet);
        }
    }
    CHECK_INT(pulled, 5000);
    CHECK_INT(await(session), RM_DONE);
    rm_session_free(session);
}

TEST(an_interrupt_crosses_a_link)
{
    probe a = {.left = 100000}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(2, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &pass, "pass", 0);
    uint32_t z = add(session, &sink, "sink", 1);
    join(session, x, y, 8);
    join(session, y, z, 8);
    start(session);
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_INT(rm_session_interrupt(session, "pass"), RM_OK);
        sched_yield();
    }
    CHECK_INT(await(session), RM_DONE);
    CHECK_INT(b.seen, 100000); /* upstream nothing is lost */
    CHECK(!c.out_of_order);
    char *json = NULL;
    CHECK_INT(rm_session_metrics(session, &json, NULL), RM_OK);
    rm_free(json);
    rm_session_free(session);
}

TEST(metrics_and_swap_work_while_threads_run)
{
    probe a = {.left = UINT32_MAX}, b = {0}, b2 = {0}, c = {0};
    rm_node_type source = source_type(&a), old = node_type(&b, pass_process),
                 fresh = node_type(&b2, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(2, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &old, "node", 1);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 8);
    join(session, y, z, 8);
    start(session);
    rm_status status;
    do {
        char *json = NULL;
        CHECK_INT(rm_session_metrics(session, &json, NULL), RM_OK);
        rm_free(json);
        status = rm_session_swap(session, "node", &fresh, "{}", NULL);
    } while (status == RM_EAGAIN);
    CHECK_INT(status, RM_OK);
    rm_session_cancel(session);
    CHECK_INT(await(session), RM_ECANCELED);
    CHECK(!c.out_of_order);
    rm_session_free(session);
    CHECK_INT(b.closed + b2.closed, 2);
}

typedef struct gate {
    _Atomic bool entered, open;
} gate;

static rm_status wait_at_gate(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    gate *g = node->type->user;
    (void)inputs;
    (void)err;
    atomic_store(&g->entered, true);
    while (!atomic_load(&g->open)) {
        sched_yield();
    }
    return RM_DONE;
}

TEST(metrics_do_not_wait_for_a_strand_that_does_not_answer)
{
    gate g = {0};
    probe a = {.left = 5}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_node_type stuck = {
        .struct_size = sizeof stuck, .name = "t.stuck", .process = wait_at_gate, .user = &g};
    rm_session *session = session_of(2, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 0), z = add(session, &sink, "sink", 0);
    join(session, x, z, 8);
    add(session, &stuck, "stuck", 1);
    start(session);
    while (!atomic_load(&g.entered)) {
        sched_yield();
    }
    for (bool ended = false;
         !ended;) { /* the home strand answers, also once its nodes have ended */
        char *json = NULL;
        CHECK_INT(rm_session_metrics(session, &json, NULL), RM_OK);
        CHECK_CONTAINS(json, "\"id\":\"stuck\",\"type\":\"t.stuck\",\"state\":\"busy\"");
        CHECK_CONTAINS(json, "\"id\":\"sink\"");
        ended = strstr(json, "\"type\":\"t.sink\",\"state\":\"ended\"") != NULL;
        rm_free(json);
    }
    atomic_store(&g.open, true);
    CHECK_INT(await(session), RM_DONE);
    rm_session_free(session); /* the address sanitizer counts the forgotten questions */
    CHECK_INT(c.sum, 15);
}

TEST(a_thousand_sessions_leave_no_memory_behind)
{
    for (uint32_t round = 0; round < 1000; round++) {
        probe a = {.left = 5}, c = {0};
        rm_node_type source = source_type(&a), sink = sink_type(&c);
        rm_session *session = session_of(1, RM_DRIVER_CALLER);
        uint32_t x = add(session, &source, "source", 0), z = add(session, &sink, "sink", 0);
        join(session, x, z, 4);
        start(session);
        CHECK_INT(drive(session, 100), RM_DONE);
        rm_session_free(session); /* the address sanitizer counts */
        CHECK_INT(c.sum, 15);
    }
}

TEST_MAIN(T(packets_cross_a_link_in_order), T(a_slow_consumer_holds_the_producer),
          T(a_link_that_drops_keeps_what_its_policy_says), T(a_link_that_drops_loses_nothing_else),
          T(a_link_is_bounded_in_bytes_and_in_time), T(an_error_on_one_strand_ends_them_all),
          T(cancel_from_another_thread_ends_every_strand),
          T(a_cancel_is_told_though_the_home_strand_had_ended), T(a_session_is_freed_while_it_runs),
          T(an_end_reaches_the_other_side_when_a_consumer_is_done),
          T(the_owner_pushes_and_pulls_from_its_own_thread), T(an_interrupt_crosses_a_link),
          T(metrics_and_swap_work_while_threads_run),
          T(metrics_do_not_wait_for_a_strand_that_does_not_answer),
          T(a_thousand_sessions_leave_no_memory_behind))
