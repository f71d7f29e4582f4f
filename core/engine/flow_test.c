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

TEST_MAIN(T(each_packet_goes_where_its_condition_holds),
          T(what_no_edge_takes_is_counted_and_let_go), T(a_wrong_condition_is_refused))
