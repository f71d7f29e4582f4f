/* control_test.c — what travels beside the data: requests upstream, and what a packet inherits from
 * the one that it was made of. */
#include "engine/testnodes.h"

static uint16_t asked_port;
static int64_t asked_argument;
static uint32_t asked_ops[8], asked_at;

/* The source: notes what it was asked for, and after how many packets. A request that it cannot
 * meet ends nothing. */
static rm_status note_request(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)err;
    if (control->op < RMI_COUNT(asked_ops)) {
        asked_ops[control->op]++;
        asked_port = control->port;
        asked_argument = control->argument;
        asked_at = probe_of(node)->seen;
    }
    return control->op == RM_CONTROL_BIT_RATE && control->argument == 13
               ? rm_fail(err, RM_EINVAL, "no such bit rate")
               : RM_OK;
}

/* The sink: asks at each item; `swallow` times. */
static rm_status asking_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)err;
    rm_control want = {.op = RM_CONTROL_BIT_RATE, .argument = inputs->packet[0]->header.stream_id};
    for (uint32_t i = 0; i < p->swallow; i++) {
        CHECK_INT(rm_request(node, 0, &want), i < RMI_CONTROLS_MAX ? RM_OK : RM_ELIMIT);
    }
    CHECK_INT(rm_request(node, 1, &want), RM_EINVAL); /* it has one input */
    p->seen++;
    return RM_OK;
}

static const rm_port two_out[] = {{.name = "a"}, {.name = "b"}, {0}};

static void run_requests(uint32_t times)
{
    probe a = {.left = 20}, b = {.swallow = times};
    rm_node_type source = source_type(&a), sink = node_type(&b, asking_process);
    source.outputs = two_out;
    source.control = note_request;
    sink.outputs = NULL;
    sink.control = NULL;
    memset(asked_ops, 0, sizeof asked_ops);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), z = add(session, &sink, "sink", 0);
    join_ports(session, x, 1, z, 0, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(b.seen, 20);
    rm_session_free(session);
}

TEST(a_request_reaches_what_feeds_the_input_between_two_calls)
{
    run_requests(1);
    CHECK_INT(asked_ops[RM_CONTROL_BIT_RATE], 20);
    CHECK_INT(asked_port, 1); /* the output that the asking node hangs on */
    CHECK_INT(asked_argument, 20);
    CHECK_INT(asked_at, 20);
}

TEST(more_requests_than_there_is_room_for_are_refused)
{
    run_requests(RMI_CONTROLS_MAX + 3);
    CHECK_INT(asked_ops[RM_CONTROL_BIT_RATE], 20 * RMI_CONTROLS_MAX);
}

/* Sends until it was asked for 20 things. */
static rm_status until_asked_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    if (asked_ops[RM_CONTROL_BIT_RATE] == 20) {
        return RM_DONE;
    }
    return send_number(node, 1, ++probe_of(node)->seen);
}

/* Asks 20 times, for 1 to 20; where there is no room it asks for the same at the next item. */
static rm_status ask_in_turn_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)inputs;
    (void)err;
    while (p->seen < 20) {
        rm_control want = {.op = RM_CONTROL_BIT_RATE, .argument = p->seen + 1};
        rm_status status = rm_request(node, 0, &want);
        if (status != RM_OK) {
            CHECK_INT(status, RM_ELIMIT);
            break;
        }
        p->seen++;
    }
    return RM_OK;
}

/* Each arrives once, in order; one that fails is told and ends nothing. */
static rm_status in_order_request(rm_node *node, const rm_control *control, rm_error *err)
{
    if (control->op == RM_CONTROL_BIT_RATE) {
        CHECK_INT(control->argument, asked_ops[RM_CONTROL_BIT_RATE] + 1);
    }
    return note_request(node, control, err);
}

TEST(a_request_reaches_another_thread)
{
    for (uint32_t i = 0; i < 4; i++) { /* the one who asks, or who is asked, away from home */
        probe a = {0}, b = {0};
        rm_node_type source = source_type(&a), sink = node_type(&b, ask_in_turn_process);
        source.outputs = two_out;
        source.process = until_asked_process;
        source.control = in_order_request;
        sink.outputs = NULL;
        sink.control = NULL;
        memset(asked_ops, 0, sizeof asked_ops);
        rm_driver driver = i & 2 ? RM_DRIVER_THREAD : RM_DRIVER_CALLER;
        rm_session *session = session_of(2, driver);
        uint32_t x = add(session, &source, "source", i & 1);
        uint32_t z = add(session, &sink, "sink", ~i & 1);
        join_ports(session, x, 1, z, 0, 4);
        start(session);
        CHECK_INT(driver == RM_DRIVER_CALLER ? drive(session, 100)
                                             : rm_session_wait(session, 20000),
                  RM_DONE);
        CHECK_INT(asked_ops[RM_CONTROL_BIT_RATE], 20);
        CHECK_INT(asked_port, 1);
        rm_session_free(session);
    }
}

static rm_packet_header seen_header;

static rm_status timed_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (probe_of(node)->left-- == 0) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, 8, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.pts_ns = 1234;
    packet->header.trace = 77;
    packet->header.stream_id = 5;
    return rm_emit(node, 0, packet);
}

/* A packet of its own for each, with nothing said but what it is; every other one has a time. */
static rm_status remade_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    rm_status status = rm_packet_new(node, 8, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.pts_ns = probe_of(node)->seen++ ? 99 : RM_TIME_NONE;
    return rm_emit(node, 0, packet);
}

static rm_status header_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    static const int64_t pts_ns[] = {1234, 99};
    (void)err;
    seen_header = inputs->packet[0]->header;
    CHECK_INT(seen_header.pts_ns, pts_ns[probe_of(node)->seen]);
    CHECK_INT(seen_header.sequence, ++probe_of(node)->seen);
    return RM_OK;
}

TEST(a_packet_inherits_what_it_does_not_say)
{
    probe a = {.left = 2}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), middle = node_type(&b, remade_process),
                 sink = sink_type(&c);
    source.process = timed_process;
    sink.process = header_process;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &middle, "middle", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 1);
    join(session, y, z, 1);
    start(session);
    int64_t now_ns = 5000, next_ns;
    rm_status status;
    while ((status = rm_session_step(session, now_ns, 10, &next_ns)) == RM_MORE) {
    }
    CHECK_INT(status, RM_DONE);
    CHECK_INT(c.seen, 2);
    CHECK_INT(seen_header.origin_ns, 5000); /* when the first of them entered */
    CHECK_INT(seen_header.trace, 77);
    CHECK_INT(seen_header.stream_id, 5);
    rm_session_free(session);
}

TEST(an_interrupt_reaches_what_waits_behind_a_node_that_has_ended)
{
    probe a = {.left = 30};
    rm_node_type source = source_type(&a);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), z, pulled = 0;
    rmi_node_spec spec = {.type = &rmi_output_type, .id = "out", .params_json = "{\"name\":\"o\"}"};
    CHECK_INT(rmi_session_add(session, &spec, &z, NULL), RM_OK);
    rmi_edge *edge = join(session, x, z, 64);
    start(session);
    CHECK_INT(rm_session_step(session, 0, 1000, NULL), RM_PENDING); /* the output is full */
    CHECK_INT(session->nodes[x]->state, RMI_NODE_ENDED);
    CHECK(rmi_edge_length(edge) > 0);
    CHECK_INT(rm_session_interrupt(session, "source"), RM_OK);
    rm_status status = rm_session_step(session, 0, 1000, NULL);
    CHECK_INT(rmi_edge_length(edge), 0);
    CHECK_INT(a.interrupted, 0); /* it has no more to say */
    rm_packet *packet;
    while (rm_session_pull(session, 0, &packet) == RM_OK) {
        rm_packet_unref(packet);
        pulled++;
    }
    CHECK(pulled < 30);
    CHECK_INT(status == RM_DONE ? status : drive(session, 100), RM_DONE);
    rm_session_free(session);
}

static rm_status wait_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_EAGAIN;
}

TEST(what_an_interrupt_dropped_goes_as_the_next_step_ends)
{
    probe a = {.left = 400}, b = {0};
    rm_node_type source = source_type(&a), waits = node_type(&b, wait_process);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    const rmi_strand *strand = session->strands[0];
    uint32_t x = add(session, &source, "source", 0), y = add(session, &waits, "waits", 0);
    rmi_edge *edge = join(session, x, y, 150);
    start(session);
    CHECK_INT(rm_session_step(session, 0, 1000, NULL), RM_PENDING);
    CHECK(rmi_edge_length(edge) > RMI_SHED_PART);
    uint64_t out = rmi_pool_out(strand->pool);
    CHECK_INT(rm_session_interrupt(session, "source"), RM_OK);
    CHECK_INT(rm_session_step(session, 0, 0, NULL), RM_MORE); /* nodes are told of it */
    CHECK_INT(rmi_edge_length(edge), 0);
    CHECK(strand->shed);
    rm_session_step(session, 0, 0, NULL);
    CHECK(!strand->shed);
    CHECK(rmi_pool_out(strand->pool) + RMI_SHED_PART < out);
    CHECK_INT(rm_session_step(session, 0, 1000, NULL), RM_PENDING);
    CHECK_INT(rm_session_interrupt(session, "source"), RM_OK);
    (void)rm_session_step(session, 0, 0, NULL);
    CHECK(strand->shed); /* it goes with the session */
    rm_session_free(session);
}

TEST_MAIN(T(what_an_interrupt_dropped_goes_as_the_next_step_ends),
          T(an_interrupt_reaches_what_waits_behind_a_node_that_has_ended),
          T(a_request_reaches_what_feeds_the_input_between_two_calls),
          T(more_requests_than_there_is_room_for_are_refused), T(a_request_reaches_another_thread),
          T(a_packet_inherits_what_it_does_not_say))
