/* trace_test.c — a session that is traced keeps each call of each node, in the order of time and in
 * a bounded ring; one that is not keeps none. */
#include <jansson.h>

#include "engine/testnodes.h"

enum { PACKETS = 200 };

static json_t *trace_of(rm_session *session)
{
    char *text = NULL;
    rm_error err = RM_ERROR_INIT;
    json_error_t why;
    CHECK_INT(rm_session_trace(session, &text, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    json_t *trace = text ? json_loads(text, 0, &why) : NULL;
    if (!trace) {
        RMI_TEST_FAIL("%s in %.200s", why.text, text ? text : "nothing");
    }
    rm_free(text);
    return trace;
}

/* A source, and a sink on the last strand, that keep so many spans each. */
static json_t *run_traced(uint32_t strands, uint32_t spans_max)
{
    probe a = {.left = PACKETS}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session_options options = {
        .struct_size = sizeof options, .driver = RM_DRIVER_CALLER, .trace_spans_max = spans_max};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, strands, &session, NULL), RM_OK);
    uint32_t x = add(session, &source, "a \"source\"", 0);
    join(session, x, add(session, &sink, "sink", strands - 1), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    json_t *trace = trace_of(session);
    rm_session_free(session);
    CHECK_INT(c.seen, PACKETS);
    return trace;
}

static const char *text_at(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

static double number_at(const json_t *event, const char *key)
{
    return json_number_value(json_object_get(event, key));
}

/* Calls of that node; each begins after the end of the one before. */
static unsigned count_calls(const json_t *trace, const char *name)
{
    const json_t *events = json_object_get(trace, "traceEvents");
    unsigned count = 0;
    double free_us = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (strcmp(text_at(event, "ph"), "X") == 0 && strcmp(text_at(event, "name"), name) == 0 &&
            strcmp(text_at(event, "cat"), "call") == 0) {
            CHECK(number_at(event, "ts") >= free_us - 0.0005);
            free_us = number_at(event, "ts") + number_at(event, "dur");
            count++;
        }
    }
    return count;
}

static bool has_counter(const json_t *trace, const char *name)
{
    const json_t *events = json_object_get(trace, "traceEvents");
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (strcmp(text_at(event, "ph"), "C") == 0 && strcmp(text_at(event, "name"), name) == 0) {
            return true;
        }
    }
    return false;
}

static int dropped(const json_t *trace)
{
    return (int)number_at(json_object_get(trace, "otherData"), "dropped_spans");
}

TEST(each_call_of_each_node_is_kept)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        json_t *trace = run_traced(strands, 4096);
        CHECK_INT(count_calls(trace, "a \"source\"") >= PACKETS, 1);
        CHECK_INT(count_calls(trace, "sink") >= PACKETS, 1);
        CHECK(has_counter(trace, "queue before sink"));
        CHECK(!has_counter(trace, "queue before a \"source\""));
        CHECK_INT(dropped(trace), 0);
        json_decref(trace);
    }
}

TEST(each_of_many_nodes_has_its_own_name)
{
    probe a = {.left = 10}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = type_of("t.pass", &b), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    char id[16];
    uint32_t last = add(session, &source, "source", 0);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "pass %u", i);
        uint32_t next = add(session, &pass, id, 0);
        join(session, last, next, 4);
        last = next;
    }
    join(session, last, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(rm_session_trace_begin(session, 4096, NULL), RM_OK);
    CHECK_INT(drive(session, 100), RM_DONE);
    json_t *trace = trace_of(session);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "pass %u", i);
        CHECK_INT(count_calls(trace, id), 10);
    }
    CHECK_INT(count_calls(trace, "others"), 0);
    json_decref(trace);
    rm_session_free(session);
}

TEST(a_ring_that_is_full_keeps_the_latest_and_says_how_many_went)
{
    json_t *whole = run_traced(1, 4096), *trace = run_traced(1, 50);
    unsigned all = count_calls(whole, "a \"source\"") + count_calls(whole, "sink");
    unsigned kept = count_calls(trace, "a \"source\"") + count_calls(trace, "sink");
    CHECK_INT(kept <= 64 && kept >= 62, 1); /* flushes are kept, too */
    CHECK_INT(dropped(trace) >= (int)all - 64, 1);
    json_decref(trace);
    json_decref(whole);
}

TEST(a_session_that_runs_is_traced_from_now_on)
{
    probe a = {.left = PACKETS}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    char *text = NULL;
    int64_t next_ns;
    uint32_t x = add(session, &source, "source", 0);
    join(session, x, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(rm_session_step(session, 0, PACKETS, &next_ns), RM_MORE);
    unsigned seen = c.seen;
    CHECK_INT(seen > 0, 1);
    CHECK_INT(rm_session_trace(session, &text, NULL), RM_EINVAL);
    CHECK_INT(rm_session_trace_begin(session, 0, NULL), RM_EINVAL);
    CHECK_INT(rm_session_trace_begin(session, 4096, NULL), RM_OK);
    CHECK_INT(rm_session_trace_begin(session, 4096, NULL), RM_EINVAL);
    CHECK_INT(drive(session, 100), RM_DONE);
    json_t *trace = trace_of(session);
    CHECK_INT(count_calls(trace, "sink"), PACKETS - seen);
    json_decref(trace);
    rm_session_free(session);
}

TEST_MAIN(T(each_call_of_each_node_is_kept), T(each_of_many_nodes_has_its_own_name),
          T(a_ring_that_is_full_keeps_the_latest_and_says_how_many_went),
          T(a_session_that_runs_is_traced_from_now_on))
