/* live_test.c — a swap where the old code holds packets back: they come out before the new code's
 * first one, whatever room there is. And what is asked of a session while it ends. */
#include "engine/testnodes.h"

/* Keeps each number until its flush, which gives two of them a call. */
static rm_status keep_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    probe_of(node)->last = inputs->packet[0]->header.stream_id;
    probe_of(node)->burst++;
    return RM_OK;
}

static rm_status keep_flush(rm_node *node, rm_error *err)
{
    probe *p = probe_of(node);
    (void)err;
    p->flushed++;
    for (uint32_t i = 0; i < 2 && p->burst > 0; i++, p->burst--) {
        rm_status status = send_number(node, 0, p->last - p->burst + 1);
        if (status != RM_OK) {
            return status;
        }
    }
    return p->burst ? RM_MORE : RM_OK;
}

static void swap_after(uint32_t calls, uint32_t sink_strand)
{
    probe a = {.left = 300}, b = {0}, b2 = {0}, c = {0};
    rm_node_type source = source_type(&a), old = node_type(&b, keep_process),
                 fresh = node_type(&b2, pass_process), sink = sink_type(&c);
    static const rm_port few_out[] = {{.name = "out", .emit_max = 2}, {0}};
    old.outputs = few_out;
    old.flush = keep_flush;
    rm_session *session = session_of(2, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &old, "node", 0);
    uint32_t z = add(session, &sink, "sink", sink_strand);
    join(session, x, y, 4);
    join(session, y, z, 2);
    start(session);
    CHECK_INT(rm_session_step(session, 0, calls, NULL), RM_MORE);
    uint32_t held = b.burst;
    CHECK(held > 10 && held < 300);
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_session_swap(session, "node", &fresh, "{}", &err), RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_INT(b.flushed, (held + 1) / 2);
    CHECK_INT(b.closed, 1);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(c.seen, 300);
    CHECK_INT(c.sum, sum_to(300));
    CHECK(!c.out_of_order);
    CHECK_INT(b2.seen, 300 - held);
    rm_session_free(session);
}

TEST(what_the_old_code_held_back_comes_before_the_new_code)
{
    for (uint32_t calls = 60; calls < 130; calls += 33) {
        swap_after(calls, 0);
        swap_after(calls, 1);
    }
}

TEST(new_code_may_emit_more_a_call_than_the_old)
{
    probe a = {.left = 50}, b = {0}, b2 = {0}, c = {0};
    rm_node_type source = source_type(&a), old = node_type(&b, pass_process),
                 fresh = node_type(&b2, triple_process), sink = sink_type(&c);
    static const rm_port one_out[] = {{.name = "out"}, {0}};
    old.outputs = one_out;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &old, "node", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 2);
    start(session);
    CHECK_INT(rm_session_step(session, 0, 31, NULL), RM_MORE);
    CHECK_INT(rm_session_swap(session, "node", &fresh, "{}", NULL), RM_OK);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK(b.seen > 5 && b2.seen > 5);
    CHECK_INT(c.seen, b.seen + 3 * b2.seen);
    rm_session_free(session);
}

TEST(a_node_whose_input_has_ended_is_not_swapped)
{
    probe a = {.left = 5}, b = {0}, b2 = {0}, c = {0};
    rm_node_type source = source_type(&a), old = node_type(&b, pass_process),
                 fresh = node_type(&b2, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &old, "node", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 2);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_session_swap(session, "node", &fresh, "{}", &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "node 'node' has ended");
    CHECK_INT(b2.opened, 0);
    rm_session_free(session);
}

/* ---- a session that ends */

static const int64_t CLOSING_NS_MAX = 5000000000;

static atomic_bool is_closing, called_while_closing;

/* Lasts until the owner has asked for a call: that runs, or waits for the node's strand. */
static void close_slowly(rm_node *node)
{
    rmi_strand *strand = RMI_CONTAINER(node, rmi_node, pub)->strand;
    atomic_store(&is_closing, true);
    rmi_parking_prepare(&strand->parking);
    if (rmi_mailbox_is_empty(&strand->mailbox)) {
        rmi_parking_wait(&strand->parking, CLOSING_NS_MAX);
    }
    rmi_parking_leave(&strand->parking);
    atomic_store(&is_closing, false);
}

static void look_whether_closing(void *context)
{
    (void)context;
    atomic_store(&called_while_closing, atomic_load(&is_closing));
}

TEST(a_call_on_a_strand_waits_while_the_session_closes_its_nodes)
{
    probe a = {.left = 5}, b = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&b);
    sink.close = close_slowly;
    rm_session *session = session_of(1, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    start(session);
    while (!atomic_load(&is_closing)) {
        sched_yield();
    }
    rmi_session_call(session, session->strands[0], look_whether_closing, NULL);
    CHECK(!atomic_load(&called_while_closing));
    CHECK_INT(rm_session_wait(session, 20000), RM_DONE);
    rm_session_free(session);
}

TEST_MAIN(T(what_the_old_code_held_back_comes_before_the_new_code),
          T(new_code_may_emit_more_a_call_than_the_old),
          T(a_node_whose_input_has_ended_is_not_swapped),
          T(a_call_on_a_strand_waits_while_the_session_closes_its_nodes))
