/* spans_test.c — each item's way through the nodes is a chain of spans: each the child of the call
 * that made its input, the first the child of what the item brought, or of the run. */
#include <jansson.h>

#include "engine/testnodes.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define OUTER "00f067aa0ba902b7"

static rm_session *session_with(const char *traceparent, uint32_t spans_max, uint32_t strands)
{
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_CALLER,
                                  .spans_max = spans_max,
                                  .traceparent = traceparent};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, strands, &session, NULL), RM_OK);
    return session;
}

static json_t *spans_of(rm_session *session)
{
    char *text = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_session_spans(session, &text, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    rm_free(text);
    return json;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The nth span of the node, from 0. */
static const json_t *span_of(const json_t *taken, const char *node, size_t nth)
{
    const json_t *list = json_object_get(taken, "spans");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *span = json_array_get(list, i);
        if (strcmp(text_at(span, "node"), node) == 0 && nth-- == 0) {
            return span;
        }
    }
    RMI_TEST_FAIL("no span of %s", node);
    return NULL;
}

static void check_chain(const json_t *taken, const char *parent, const char *child, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *from = span_of(taken, parent, i), *to = span_of(taken, child, i);
        CHECK_TEXT(text_at(to, "trace_id"), text_at(from, "trace_id"));
        CHECK_TEXT(text_at(to, "parent_span_id"), text_at(from, "span_id"));
    }
}

TEST(a_call_is_the_child_of_the_one_that_made_its_input)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        probe a = {.left = 5}, b = {0}, c = {0};
        rm_node_type source = source_type(&a), make = node_type(&b, triple_process),
                     sink = sink_type(&c);
        rm_session *session = session_with(NULL, 100, strands);
        uint32_t x = add(session, &source, "source", 0), y = add(session, &make, "make", 0);
        join(session, x, y, 4);
        join(session, y, add(session, &sink, "sink", strands - 1), 4);
        start(session);
        CHECK_INT(drive(session, 100), RM_DONE);
        json_t *taken = spans_of(session), *again = spans_of(session);
        CHECK_INT(json_array_size(json_object_get(taken, "spans")), 5 + 5 + 15);
        CHECK_INT(json_array_size(json_object_get(again, "spans")), 0);
        check_chain(taken, "source", "make", 5);
        for (size_t i = 0; i < 5; i++) {
            CHECK_TEXT(text_at(span_of(taken, "source", i), "parent_span_id"),
                       text_at(taken, "span_id"));
        }
        for (size_t i = 0; i < 15; i++) {
            CHECK_TEXT(text_at(span_of(taken, "sink", i), "parent_span_id"),
                       text_at(span_of(taken, "make", i / 3), "span_id"));
        }
        json_decref(taken);
        json_decref(again);
        rm_session_free(session);
    }
}

TEST(a_run_may_be_part_of_a_trace)
{
    probe a = {.left = 1}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_with("00-" TRACE "-" OUTER "-01", 100, 1);
    uint32_t x = add(session, &source, "source", 0);
    join(session, x, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    json_t *taken = spans_of(session);
    CHECK_TEXT(text_at(taken, "trace_id"), TRACE);
    CHECK_TEXT(text_at(taken, "parent_span_id"), OUTER);
    CHECK_TEXT(text_at(span_of(taken, "sink", 0), "trace_id"), TRACE);
    json_decref(taken);
    rm_session_free(session);
}

/* As an item that came from elsewhere. */
static const char *brought;

static rm_status bring_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    rm_packet *packet = NULL;
    rmi_context context;
    if (probe_of(node)->left-- == 0) {
        return RM_DONE;
    }
    CHECK_INT(rm_packet_new(node, 0, &packet), RM_OK);
    packet->header.kind = RM_KIND_BYTES;
    CHECK(rmi_context_parse(brought, strlen(brought), &context));
    CHECK(rmi_context_put(packet, &context));
    return rm_emit(node, 0, packet);
}

static rmi_context arrived;

static rm_status look_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    probe_of(node)->seen++;
    CHECK(rmi_context_of(inputs->packet[0], &arrived));
    return RM_OK;
}

static json_t *run_brought(const char *traceparent)
{
    probe a = {.left = 1}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), make = node_type(&b, triple_process),
                 sink = sink_type(&c);
    source.process = bring_process;
    sink.process = look_process;
    brought = traceparent;
    rm_session *session = session_with(NULL, 100, 1);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &make, "make", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(c.seen, 3);
    json_t *taken = spans_of(session);
    rm_session_free(session);
    return taken;
}

TEST(an_item_stays_in_the_trace_that_it_came_in)
{
    json_t *taken = run_brought("00-" TRACE "-" OUTER "-01");
    const json_t *make = span_of(taken, "make", 0);
    CHECK_TEXT(text_at(make, "trace_id"), TRACE);
    CHECK_TEXT(text_at(make, "parent_span_id"), OUTER);
    CHECK_TEXT(text_at(span_of(taken, "sink", 2), "parent_span_id"), text_at(make, "span_id"));
    CHECK_INT(arrived.trace_id[0], 0x4b);
    CHECK_INT(arrived.flags, RMI_TRACE_SAMPLED);
    json_decref(taken);
}

TEST(what_is_not_sampled_is_given_on_and_not_kept)
{
    json_t *taken = run_brought("00-" TRACE "-" OUTER "-00");
    CHECK_INT(json_array_size(json_object_get(taken, "spans")), 0);
    CHECK_INT(arrived.trace_id[0], 0x4b);
    CHECK_INT(arrived.span_id[7], 0xb7);
    CHECK_INT(arrived.flags, 0);
    json_decref(taken);
}

TEST(a_call_that_fails_says_why)
{
    probe a = {.left = 3}, b = {.fail_item = 2, .failures = 1, .fail_with = RM_EFAIL}, c = {0};
    rm_node_type source = source_type(&a), faulty = node_type(&b, faulty_process),
                 sink = sink_type(&c);
    rm_session *session = session_with(NULL, 100, 1);
    uint32_t x = add(session, &source, "source", 0);
    uint32_t y = add_with(session, &faulty, "faulty", "{\"on_error\":\"skip\"}");
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    json_t *taken = spans_of(session);
    CHECK_TEXT(text_at(span_of(taken, "faulty", 0), "error"), "");
    CHECK_CONTAINS(text_at(span_of(taken, "faulty", 1), "error"), "item 2 is bad");
    CHECK_INT(c.seen, 2);
    json_decref(taken);
    rm_session_free(session);
}

TEST(work_that_is_out_is_one_span)
{
    probe a = {.left = 3}, b = {.released = true}, c = {0};
    rm_node_type source = source_type(&a), async = node_type(&b, async_process),
                 sink = sink_type(&c);
    rm_session *session = session_with(NULL, 100, 1);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &async, "async", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    json_t *taken = spans_of(session);
    CHECK_INT(json_array_size(json_object_get(taken, "spans")), 9);
    check_chain(taken, "source", "async", 3);
    check_chain(taken, "async", "sink", 3);
    json_decref(taken);
    rm_session_free(session);
}

/* Thinks in one call, and gives in the next. */
static rm_status think_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    return ++probe_of(node)->seen % 2 ? RM_MORE
                                      : send_number(node, 0, inputs->packet[0]->header.stream_id);
}

TEST(calls_that_give_nothing_yet_are_one_with_the_next)
{
    probe a = {.left = 3}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), think = node_type(&b, think_process),
                 sink = sink_type(&c);
    rm_session *session = session_with(NULL, 100, 1);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &think, "think", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(b.seen, 6);
    json_t *taken = spans_of(session);
    CHECK_INT(json_array_size(json_object_get(taken, "spans")), 9);
    check_chain(taken, "source", "think", 3);
    check_chain(taken, "think", "sink", 3);
    json_decref(taken);
    rm_session_free(session);
}

TEST(the_latest_are_kept)
{
    probe a = {.left = 20}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_with(NULL, 10, 1);
    uint32_t x = add(session, &source, "source", 0);
    join(session, x, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    json_t *taken = spans_of(session);
    CHECK_INT(json_array_size(json_object_get(taken, "spans")), 10);
    CHECK_INT(json_integer_value(json_object_get(taken, "lost")), 30);
    json_decref(taken);
    rm_session_free(session);
}

TEST(what_is_no_context_is_an_error)
{
    rm_session *session = session_with("00-" TRACE "-" OUTER, 10, 1);
    rm_error err = RM_ERROR_INIT;
    char *text = NULL;
    CHECK_INT(rmi_session_start(session, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "is no traceparent");
    CHECK_INT(rm_session_spans(session, &text, NULL), RM_EINVAL);
    rm_session_free(session);
}

TEST_MAIN(T(a_call_is_the_child_of_the_one_that_made_its_input), T(a_run_may_be_part_of_a_trace),
          T(an_item_stays_in_the_trace_that_it_came_in),
          T(what_is_not_sampled_is_given_on_and_not_kept), T(a_call_that_fails_says_why),
          T(work_that_is_out_is_one_span), T(calls_that_give_nothing_yet_are_one_with_the_next),
          T(the_latest_are_kept), T(what_is_no_context_is_an_error))
