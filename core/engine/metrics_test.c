/* metrics_test.c — the time of a node is what its calls took, and fits into the time of the run. */
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

TEST_MAIN(T(slow_calls_in_a_row_count_once),
          T(a_slow_call_that_is_timed_does_not_stand_for_others_longer_than_they_can_have_taken),
          T(the_time_of_a_flush_counts))
