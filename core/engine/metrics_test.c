/* metrics_test.c — the time of a node is what its calls took, and fits into the time of the run;
 * how long packets wait before it, how old they are at the end, and what was dropped why. */
#include <jansson.h>

#include "engine/testnodes.h"

enum { FAST = 640, SLOW = 48, FLUSH_NS = 3000000, SLOW_NS = 50000 };

static void spin(int64_t ns)
{
    int64_t begin_ns = rmi_clock_ns();
    while (rmi_clock_ns() - begin_ns < ns) {
    }
}

/* Many calls that take nothing, then a row of slow ones. */
static rm_status burst_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    if (inputs->packet[0]->header.stream_id > FAST) {
        spin(SLOW_NS);
    }
    return rm_forward(node, 0);
}

/* The 33rd, which is one that is timed, is the only one that takes long. */
static rm_status rare_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    if (inputs->packet[0]->header.stream_id == 33) {
        spin(20 * SLOW_NS);
    }
    return rm_forward(node, 0);
}

static rm_status slow_flush(rm_node *node, rm_error *err)
{
    (void)node;
    (void)err;
    spin(FLUSH_NS);
    return RM_OK;
}

/* sum_ns of the node in the middle; *ret_elapsed_ns: of the session. */
static double time_of(const rm_node_type *middle, uint32_t packets, double *ret_elapsed_ns)
{
    probe a = {.left = packets}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, middle, "middle", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    char *text = NULL;
    CHECK_INT(rm_session_metrics(session, &text, NULL), RM_OK);
    json_t *metrics = json_loads(text, 0, NULL);
    const json_t *node = json_array_get(json_object_get(metrics, "nodes"), 1);
    double sum_ns = json_number_value(json_object_get(json_object_get(node, "time"), "sum_ns"));
    *ret_elapsed_ns = json_number_value(json_object_get(metrics, "elapsed_ns"));
    json_decref(metrics);
    rm_free(text);
    rm_session_free(session);
    CHECK_INT(c.seen, packets);
    return sum_ns;
}

/* Between what the timed calls took at least and, but for the error of the clock's rate, all of it.
 */
static void check_time(const rm_node_type *type, uint32_t packets, double least_ns)
{
    double elapsed_ns = 0, sum_ns = time_of(type, packets, &elapsed_ns);
    CHECK_INT(sum_ns < elapsed_ns * 1.05, 1);
    CHECK_INT(sum_ns > least_ns * 0.95, 1);
    if (sum_ns >= elapsed_ns * 1.05 || sum_ns <= least_ns * 0.95) {
        printf("# %.0f ns of calls, %.0f of the session\n", sum_ns, elapsed_ns);
    }
}

TEST(slow_calls_in_a_row_count_once)
{
    probe p = {0};
    rm_node_type type = node_type(&p, burst_process);
    check_time(&type, FAST + SLOW, (SLOW - 15.0) * SLOW_NS);
}

TEST(a_slow_call_that_is_timed_does_not_stand_for_others_longer_than_they_can_have_taken)
{
    probe p = {0};
    rm_node_type type = node_type(&p, rare_process);
    check_time(&type, 64, 20.0 * SLOW_NS);
}

TEST(the_time_of_a_flush_counts)
{
    probe p = {0};
    rm_node_type type = node_type(&p, pass_process);
    type.flush = slow_flush;
    check_time(&type, 100, FLUSH_NS);
}

/* ---- waiting, age, drops */

static json_t *metrics_of(rm_session *session)
{
    char *text = NULL;
    CHECK_INT(rm_session_metrics(session, &text, NULL), RM_OK);
    json_t *metrics = json_loads(text, 0, NULL);
    rm_free(text);
    return metrics;
}

static double number_at(const json_t *json, const char *key, const char *inner)
{
    const json_t *value = json_object_get(json, key);
    return json_number_value(inner ? json_object_get(value, inner) : value);
}

static rm_status slow_sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    spin(SLOW_NS);
    return sink_process(node, inputs, err);
}

enum { BURST = 8, BURSTS = 40 };

/* source -> middle -> slow sink, in bursts or one by one, on one or more strands, on threads. */
static json_t *run_bursts(uint32_t burst, uint32_t strands)
{
    probe a = {.left = burst * BURSTS, .burst = burst}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_node_type middle = node_type(&b, pass_process);
    sink.process = slow_sink_process;
    rm_session *session = session_of(strands, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &middle, "middle", 0);
    join(session, x, y, BURST);
    join(session, y, add(session, &sink, "sink", strands - 1), BURST);
    start(session);
    CHECK_INT(rm_session_wait(session, 20000), RM_DONE);
    json_t *metrics = metrics_of(session);
    rm_session_free(session);
    CHECK_INT(c.seen, burst * BURSTS);
    return metrics;
}

TEST(who_is_handed_over_at_once_waits_for_nothing)
{
    json_t *metrics = run_bursts(1, 1);
    const json_t *sink = json_array_get(json_object_get(metrics, "nodes"), 2);
    CHECK_INT(number_at(sink, "waiting", "packets"), BURSTS);
    CHECK_INT(number_at(sink, "waiting", "measured") <= 1, 1); /* its format was announced first */
    CHECK_INT(number_at(sink, "waiting", "p90_ns"), 0);
    json_decref(metrics);
}

/* Of eight that come together the first passes at once and the last waits for seven. */
TEST(the_wait_in_a_queue_is_that_for_those_before)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        json_t *metrics = run_bursts(BURST, strands);
        const json_t *node = json_array_get(json_object_get(metrics, "nodes"), strands);
        CHECK_INT(number_at(node, "waiting", "measured") * 4 >= BURSTS * BURST, 1);
        CHECK_INT(number_at(node, "waiting", "measured") <= BURSTS * BURST, 1);
        CHECK_INT(number_at(node, "waiting", "max_ns") > SLOW_NS, 1);
        CHECK_INT(number_at(node, "waiting", "max_ns") < number_at(metrics, "elapsed_ns", NULL), 1);
        CHECK_INT(number_at(node, "waiting", "sum_ns") > 0, 1);
        json_decref(metrics);
    }
}

TEST(a_packet_is_at_the_sink_as_old_as_its_way_was_long)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        json_t *metrics = run_bursts(1, strands);
        const json_t *nodes = json_object_get(metrics, "nodes");
        const json_t *sink = json_array_get(nodes, 2);
        double p50_ns = number_at(sink, "age", "p50_ns"), max_ns = number_at(sink, "age", "max_ns");
        CHECK_INT(number_at(sink, "age", "sampled") * 2 >= BURSTS, 1);
        CHECK_INT(p50_ns >= SLOW_NS, 1);
        CHECK_INT(max_ns >= p50_ns && max_ns < number_at(metrics, "elapsed_ns", NULL), 1);
        if (strands == 1) { /* the way of one does not count for the next: else half of the run */
            CHECK_INT(p50_ns * 4 < number_at(metrics, "elapsed_ns", NULL), 1);
        }
        CHECK_INT(json_object_get(json_array_get(nodes, 1), "age") == NULL, 1);
        json_decref(metrics);
    }
}

TEST(a_clock_of_the_drivers_own_gives_the_age_in_its_time)
{
    probe a = {.left = 100}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    sink.process = slow_sink_process;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0);
    join(session, x, add(session, &sink, "sink", 0), 4);
    start(session);
    int64_t next_ns;
    for (int64_t now_ns = 1000; rm_session_step(session, now_ns, 1, &next_ns) == RM_MORE;) {
        now_ns += 1000000;
    }
    json_t *metrics = metrics_of(session);
    const json_t *node = json_array_get(json_object_get(metrics, "nodes"), 1);
    CHECK_INT(number_at(node, "age", "max_ns") <= 2000000, 1);
    json_decref(metrics);
    rm_session_free(session);
}

TEST(drops_have_their_reason)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        probe a = {.left = 800, .burst = BURST}, c = {0};
        rm_node_type source = source_type(&a), sink = sink_type(&c);
        rm_session *session = session_of(strands, RM_DRIVER_CALLER);
        rmi_edge_spec spec = {.from = add(session, &source, "source", 0),
                              .to = add(session, &sink, "sink", strands - 1),
                              .capacity = 2,
                              .policy = RMI_POLICY_DROP_NEWEST};
        CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
        start(session);
        CHECK_INT(drive(session, 100), RM_DONE);
        json_t *metrics = metrics_of(session);
        const json_t *edge = json_array_get(json_object_get(metrics, "edges"), 0);
        CHECK_INT(number_at(edge, "dropped", "full"), 800 - c.seen);
        CHECK_INT(number_at(edge, "dropped", "interrupt"), 0);
        CHECK_INT(number_at(edge, "drops", NULL), 800 - c.seen);
        CHECK_TEXT(json_string_value(json_object_get(edge, "from_port")), "out");
        CHECK_TEXT(json_string_value(json_object_get(edge, "to_port")), "in");
        CHECK_INT(number_at(metrics, "process", "rss_bytes") > 1 << 18, 1);
        CHECK_INT(number_at(metrics, "process", "rss_bytes_peak") >=
                      number_at(metrics, "process", "rss_bytes"),
                  1);
        json_decref(metrics);
        rm_session_free(session);
    }
}

TEST(numbers_outlive_their_session)
{
    probe a = {.left = 7}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0);
    join(session, x, add(session, &sink, "sink", 0), 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    rm_metrics *numbers = NULL;
    char *text = NULL;
    CHECK_INT(rm_session_measure_within(session, 251, &numbers, NULL), RM_EINVAL);
    CHECK_INT(rm_session_measure_within(session, 0, &numbers, NULL), RM_OK);
    CHECK_INT(rm_metrics_to_json(numbers, &text, NULL), RM_OK);
    rm_metrics_free(numbers);
    CHECK_INT(rm_session_measure(session, &numbers, NULL), RM_OK);
    rm_session_free(session);
    rm_free(text);
    CHECK_INT(rm_metrics_to_json(numbers, &text, NULL), RM_OK);
    rm_metrics_free(numbers);
    rm_metrics_free(NULL);
    json_t *metrics = json_loads(text, 0, NULL);
    rm_free(text);
    const json_t *node = json_array_get(json_object_get(metrics, "nodes"), 1);
    const json_t *edge = json_array_get(json_object_get(metrics, "edges"), 0);
    CHECK_TEXT(json_string_value(json_object_get(node, "id")), "sink");
    CHECK_INT(number_at(node, "items", NULL), 7);
    CHECK_TEXT(json_string_value(json_object_get(edge, "from")), "source");
    CHECK_INT(number_at(edge, "packets", NULL), 7);
    json_decref(metrics);
}

TEST_MAIN(T(slow_calls_in_a_row_count_once),
          T(a_slow_call_that_is_timed_does_not_stand_for_others_longer_than_they_can_have_taken),
          T(the_time_of_a_flush_counts), T(who_is_handed_over_at_once_waits_for_nothing),
          T(the_wait_in_a_queue_is_that_for_those_before),
          T(a_packet_is_at_the_sink_as_old_as_its_way_was_long),
          T(a_clock_of_the_drivers_own_gives_the_age_in_its_time), T(drops_have_their_reason),
          T(numbers_outlive_their_session))
