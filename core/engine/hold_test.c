/* hold_test.c — nodes on hold come to the end of their items and begin no other, whoever has to
 * move for that does, and afterwards all goes on as if nothing had been. */
#include "engine/hold.h"

#include "engine/checkpoint.h"
#include "engine/snapshot.h"
#include "engine/testnodes.h"

enum { ITEMS = 200, STEPS = 100 };

static void step(rm_session *session)
{
    for (int i = 0; i < STEPS; i++) {
        (void)rm_session_step(session, 1, 10, NULL);
    }
}

static bool is_within(const rm_session *session, uint32_t node)
{
    const rmi_node *n = session->nodes[node];
    return n->state != RMI_NODE_IDLE || n->more || n->held;
}

static bool is_only(const rmi_node *node, const void *context)
{
    return node->index == *(const uint32_t *)context;
}

TEST(work_that_is_out_comes_back_and_none_follows_it)
{
    probe a = {.left = ITEMS}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), busy = node_type(&b, async_process),
                 sink = sink_type(&c);
    busy.cancel = async_cancel;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &busy, "busy", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    step(session);
    CHECK_INT(b.seen, 1);
    CHECK(is_within(session, y));
    rmi_hold_begin(session, RMI_HOLD_CHECKPOINT, NULL, NULL);
    step(session);
    CHECK(is_within(session, y));
    atomic_store(&b.released, true);
    while (is_within(session, y)) {
        step(session);
    }
    step(session);
    CHECK_INT(b.seen, 2); /* its input was full: one more, so that who feeds it has room */
    CHECK_INT(rmi_edge_length(session->edges[0]), 3);
    rmi_hold_end(session, RMI_HOLD_CHECKPOINT);
    CHECK_INT(drive(session, 10), RM_DONE);
    CHECK_INT(c.seen, ITEMS);
    CHECK(!c.out_of_order);
    rm_session_free(session);
}

TEST(a_generator_gets_the_room_that_the_rest_of_its_item_needs)
{
    probe a = {.left = 5}, b = {.burst = 50}, c = {0}, d = {0};
    rm_node_type source = source_type(&a), many = node_type(&b, many_process);
    rm_node_type pass = node_type(&c, pass_process), sink = sink_type(&d);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &many, "many", 0);
    uint32_t p = add(session, &pass, "pass", 0), z = add(session, &sink, "sink", 0);
    join(session, x, y, 2);
    join(session, y, p, 2);
    join(session, p, z, 2);
    start(session);
    while (b.seen % 50 < 7) {
        (void)rm_session_step(session, 1, 1, NULL);
    }
    CHECK(is_within(session, y));
    rmi_hold_begin(session, RMI_HOLD_CHECKPOINT, NULL, NULL);
    step(session);
    uint32_t seen = b.seen;
    CHECK_INT(seen % 50, 0);
    CHECK(!is_within(session, x) && !is_within(session, y) && !is_within(session, p));
    CHECK(d.seen < seen); /* what is queued may stay there */
    step(session);
    CHECK_INT(b.seen, seen);
    rmi_hold_end(session, RMI_HOLD_CHECKPOINT);
    CHECK_INT(drive(session, 10), RM_DONE);
    CHECK_INT(d.seen, 250);
    CHECK_INT(d.sum, sum_to(250));
    rm_session_free(session);
}

TEST(only_those_that_are_wanted_are_on_hold)
{
    probe a = {.left = ITEMS}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&b, pass_process), sink = sink_type(&c);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &pass, "pass", 0);
    uint32_t z = add(session, &sink, "sink", 0);
    join(session, x, y, 8);
    join(session, y, z, 8);
    start(session);
    rmi_hold_begin(session, RMI_HOLD_CHANGE, is_only, &x);
    step(session);
    CHECK_INT(a.seen, 0);
    rmi_hold_begin(session, RMI_HOLD_CHECKPOINT, NULL, NULL);
    rmi_hold_end(session, RMI_HOLD_CHANGE);
    step(session);
    CHECK_INT(a.seen, 0); /* for the other purpose, too */
    rmi_hold_pass(session);
    step(session);
    CHECK_INT(a.seen, 1); /* one item each */
    CHECK_INT(b.seen, 1);
    CHECK_INT(c.seen, 1);
    rmi_hold_end(session, RMI_HOLD_CHECKPOINT);
    rmi_hold_begin(session, RMI_HOLD_CHANGE, is_only, &z);
    step(session);
    CHECK_INT(c.seen, 1); /* however much waits for it */
    CHECK_INT(b.seen, 10);
    CHECK_INT(a.seen, 18);
    rmi_hold_end(session, RMI_HOLD_CHANGE);
    CHECK_INT(drive(session, 10), RM_DONE);
    CHECK_INT(c.seen, ITEMS);
    rm_session_free(session);
}

/* All rest, an edge is full, its consumer waits for another input: but nobody waits for itself. */
TEST(a_session_on_hold_is_no_deadlock)
{
    probe a = {.left = ITEMS}, b = {.left = ITEMS}, c = {0};
    rm_node_type first = source_type(&a), second = source_type(&b), sink = sink_type(&c);
    sink.inputs = two_in;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &first, "first", 0), y = add(session, &second, "second", 0);
    uint32_t z = add_with(session, &sink, "sink", "{\"merge\": \"zip\"}");
    rmi_edge *edge = join_ports(session, x, 0, z, 0, 2);
    join_ports(session, y, 0, z, 1, 2);
    start(session);
    rmi_hold_begin(session, RMI_HOLD_CHANGE, is_only, &y);
    step(session);
    CHECK_INT(a.seen, 2);
    CHECK_INT(b.seen, 0);
    CHECK_INT(edge->capacity, 2);
    rmi_hold_end(session, RMI_HOLD_CHANGE);
    CHECK_INT(drive(session, 10), RM_DONE);
    CHECK_INT(c.seen, 2 * ITEMS);
    rm_session_free(session);
}

TEST(strands_on_threads_come_to_rest_over_full_links)
{
    probe a = {.left = 20000}, b = {.burst = 7}, c = {0}, d = {0};
    rm_node_type source = source_type(&a), many = node_type(&b, many_process);
    rm_node_type pass = node_type(&c, pass_process), sink = sink_type(&d);
    rm_session *session = session_of(4, RM_DRIVER_THREAD);
    uint32_t x = add(session, &source, "source", 1), y = add(session, &many, "many", 2);
    uint32_t p = add(session, &pass, "pass", 3), z = add(session, &sink, "sink", 0);
    join(session, x, y, 2);
    join(session, y, p, 2);
    join(session, p, z, 2);
    start(session);
    int caught = 0;
    for (int i = 0; i < 100; i++) {
        int64_t until_ns = rmi_clock_ns() + (int64_t)20000000000;
        bool rests = false;
        rmi_hold_begin(session, RMI_HOLD_CHECKPOINT, NULL, NULL);
        while (!rests && rmi_clock_ns() < until_ns && rmi_session_pause(session, until_ns, false)) {
            rests = session->strands[2]->holds && !is_within(session, y);
            rests &= !is_within(session, x) && !is_within(session, p);
            rests |= session->nodes[y]->state == RMI_NODE_ENDED;
            rmi_session_resume(session);
        }
        CHECK(rests);
        caught += rests;
        rmi_hold_end(session, RMI_HOLD_CHECKPOINT);
    }
    CHECK_INT(caught, 100);
    CHECK_INT(rm_session_wait(session, 60000), RM_DONE);
    CHECK_INT(d.seen, 7 * 20000);
    CHECK(!d.out_of_order);
    rm_session_free(session);
}

TEST_MAIN(T(work_that_is_out_comes_back_and_none_follows_it),
          T(a_generator_gets_the_room_that_the_rest_of_its_item_needs),
          T(only_those_that_are_wanted_are_on_hold), T(a_session_on_hold_is_no_deadlock),
          T(strands_on_threads_come_to_rest_over_full_links))
