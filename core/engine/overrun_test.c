/* overrun_test.c — a source that cannot wait is told that nothing it gives has room: once each
 * time, on one strand and over threads; a source that can wait is not. Runs clean under the thread
 * sanitizer. */
#include "engine/testnodes.h"

enum { ITEMS = 100, GATE_EACH = 40, CAPACITY = 4 };

/* source ─▶ gate: a sink that shuts after each GATE_EACH items until it is told to go on */
typedef struct setup {
    probe source, gate;
    rm_node_type source_type, gate_type;
    rm_session *session;
} setup;

/* The test's thread reads it while the engine counts. */
static atomic_uint told;

static rm_status count_overruns(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)node;
    (void)err;
    told += control->op == RM_CONTROL_OVERRUN;
    return RM_OK;
}

static rm_status gate_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    if (p->seen > 0 && p->seen % GATE_EACH == 0 &&
        atomic_load(&p->tries) == p->seen / GATE_EACH - 1) {
        return RM_EAGAIN;
    }
    return sink_process(node, inputs, err);
}

static void begin(setup *s, uint32_t flags, uint32_t gate_strand, rm_driver driver)
{
    told = 0;
    s->source.left = ITEMS;
    s->source_type = source_type(&s->source);
    s->source_type.flags |= flags;
    s->source_type.control = count_overruns;
    s->gate_type = sink_type(&s->gate);
    s->gate_type.process = gate_process;
    s->session = session_of(gate_strand + 1, driver);
    uint32_t from = add(s->session, &s->source_type, "source", 0);
    uint32_t to = add(s->session, &s->gate_type, "gate", gate_strand);
    join(s->session, from, to, CAPACITY);
    start(s->session);
}

static void open_gate(setup *s)
{
    atomic_fetch_add(&s->gate.tries, 1);
    rm_node_ready(s->gate.node);
}

/* Steps until nothing is left to do. */
static rm_status step_to_rest(setup *s)
{
    int64_t next_ns;
    rm_status status;
    do {
        status = rm_session_step(s->session, 0, 1000, &next_ns);
    } while (status == RM_MORE);
    return status;
}

static uint64_t overruns(const setup *s)
{
    return s->session->nodes[0]->overruns;
}

TEST(a_live_source_is_told_once_each_time_that_it_has_no_room)
{
    setup s = {0};
    begin(&s, RM_NODE_LIVE, 0, RM_DRIVER_CALLER);
    for (unsigned i = 0; i < 3; i++) { /* however often one looks */
        CHECK_INT(step_to_rest(&s), RM_PENDING);
        CHECK_INT(told, 1);
    }
    CHECK_INT(s.gate.seen, GATE_EACH);
    open_gate(&s);
    CHECK_INT(step_to_rest(&s), RM_PENDING);
    CHECK_INT(s.gate.seen, 2 * GATE_EACH);
    CHECK_INT(told, 2);
    open_gate(&s);
    CHECK_INT(step_to_rest(&s), RM_DONE);
    CHECK_INT(told, 2);
    CHECK_INT(overruns(&s), 2);
    CHECK_INT(s.gate.sum, sum_to(ITEMS));
    rm_session_free(s.session);
}

TEST(a_source_that_can_wait_is_not_told)
{
    setup s = {0};
    begin(&s, 0, 0, RM_DRIVER_CALLER);
    CHECK_INT(step_to_rest(&s), RM_PENDING);
    CHECK_INT(s.gate.seen, GATE_EACH);
    CHECK_INT(told + overruns(&s), 0);
    rm_session_free(s.session);
}

TEST(a_live_source_that_is_never_held_up_is_not_told)
{
    setup s = {.gate.tries = ITEMS};
    begin(&s, RM_NODE_LIVE, 0, RM_DRIVER_CALLER);
    CHECK_INT(step_to_rest(&s), RM_DONE);
    CHECK_INT(s.gate.seen, ITEMS);
    CHECK_INT(told + overruns(&s), 0);
    rm_session_free(s.session);
}

TEST(a_live_source_is_told_over_threads)
{
    setup s = {0};
    begin(&s, RM_NODE_LIVE, 1, RM_DRIVER_THREAD);
    int64_t deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
    for (unsigned round = 1; round <= 2; round++) {
        while (told < round && rmi_clock_ns() < deadline_ns) {
            sched_yield();
        }
        CHECK(told >= round); /* a slow gate may have been full before it was shut */
        open_gate(&s);
    }
    CHECK_INT(rm_session_wait(s.session, 20000), RM_DONE);
    CHECK_INT(s.gate.sum, sum_to(ITEMS));
    rm_session_free(s.session);
}

TEST_MAIN(T(a_live_source_is_told_once_each_time_that_it_has_no_room),
          T(a_source_that_can_wait_is_not_told), T(a_live_source_that_is_never_held_up_is_not_told),
          T(a_live_source_is_told_over_threads))
