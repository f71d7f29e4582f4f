/* quiet_test.c — a session that waits for itself is found, named and, where that is possible, goes
 * on: edges that lock one another, memory that queues hold, over one strand and several, with both
 * drivers. What waits for the session's owner is not taken for that. Runs clean under the thread
 * sanitizer. */
#include "engine/testnodes.h"

enum { MEMORY_BYTES = 64 << 10 };

static const rm_driver drivers[] = {RM_DRIVER_CALLER, RM_DRIVER_THREAD};

static rm_session *small_session(uint32_t strands, rm_driver driver)
{
    rm_session_options options = {
        .struct_size = sizeof options, .driver = driver, .memory_bytes_max = MEMORY_BYTES};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, strands, &session, NULL), RM_OK);
    return session;
}

static rm_status finish(rm_session *session, rm_driver driver)
{
    return driver == RM_DRIVER_CALLER ? drive(session, 100) : rm_session_wait(session, 20000);
}

/* source ─▶ fork ─┬─▶ ahead ─▶ zip      strand[] says where each of the four runs
 *                 └────────────▶                                                      */
typedef struct diamond {
    uint32_t strand[4];
    rm_driver driver;
    uint32_t packets, swallow;       /* that the source sends, that `ahead` keeps back */
    uint32_t capacity, capacity_max; /* of the edge fork -> zip */
    uint32_t seen;                   /* by zip */
    bool late_post; /* a strand that has ended is told of memory: nobody reads that */
    uint64_t grown;
    rm_error error;
} diamond;

static void post_to_ended_strand(rm_session *session, uint32_t strand)
{
    for (bool stopped = false; !stopped;) {
        pthread_mutex_lock(&session->lock);
        stopped = session->strands[strand]->resting && session->threads[strand].stopped;
        pthread_mutex_unlock(&session->lock);
    }
    rmi_strand_memory_returned(session->strands[strand]);
}

static rm_status run_diamond(diamond *d)
{
    probe a = {.left = d->packets}, p = {0}, b = {.swallow = d->swallow}, c = {0};
    rm_node_type source = source_type(&a), pass = node_type(&p, pass_process);
    rm_node_type ahead = node_type(&b, swallow_process), zip = sink_type(&c);
    zip.inputs = two_in;
    rm_session *session = small_session(5, d->driver);
    probe none = {0};
    rm_node_type nothing = source_type(&none);
    (void)add(session, &nothing, "nothing", 4);
    rmi_node_spec last = {
        .type = &zip, .id = "zip", .node_json = "{\"merge\":\"zip\"}", .strand = d->strand[3]};
    uint32_t x = add(session, &source, "source", d->strand[0]);
    uint32_t f = add(session, &pass, "fork", d->strand[1]);
    uint32_t y = add(session, &ahead, "ahead", d->strand[2]), z = 0;
    CHECK_INT(rmi_session_add(session, &last, &z, NULL), RM_OK);
    join(session, x, f, 2);
    join(session, f, y, 4);
    rmi_edge_spec arm = {
        .from = f, .to = z, .capacity = d->capacity, .capacity_max = d->capacity_max};
    CHECK_INT(rmi_session_connect(session, &arm, NULL), RM_OK);
    join_ports(session, y, 0, z, 1, 4);
    start(session);
    if (d->late_post) {
        post_to_ended_strand(session, 4);
    }
    rm_status status = finish(session, d->driver);
    rm_session_error(session, &d->error);
    d->seen = c.seen;
    d->grown = session->edges[2]->grown;
    rm_session_free(session);
    CHECK_INT(a.closed + p.closed + b.closed + c.closed, 4);
    return status;
}

/* All on one strand; each on its own; the fork or the end away from home; a strand in between. */
static const uint32_t layouts[][4] = {{0, 0, 0, 0}, {1, 2, 3, 0}, {0, 1, 2, 3}, {1, 1, 1, 0},
                                      {0, 0, 0, 1}, {1, 1, 0, 1}, {0, 0, 1, 0}};

TEST(an_edge_that_locks_a_graph_grows_over_threads_too)
{
    for (size_t i = 0; i < 2 * RMI_COUNT(layouts); i++) {
        diamond d = {.driver = drivers[i % 2],
                     .packets = 100,
                     .swallow = 20,
                     .capacity = 4,
                     .capacity_max = 64};
        memcpy(d.strand, layouts[i / 2], sizeof d.strand);
        CHECK_INT(run_diamond(&d), RM_DONE);
        CHECK_TEXT(d.error.message, "");
        CHECK_INT(d.seen, 2 * 80);
        CHECK(d.grown > 0);
    }
}

TEST(an_edge_that_locks_a_graph_and_may_not_grow_is_named)
{
    for (size_t i = 0; i < 2 * RMI_COUNT(layouts); i++) {
        diamond d = {.driver = drivers[i % 2],
                     .packets = 100,
                     .swallow = 20,
                     .capacity = 4,
                     .capacity_max = 4};
        memcpy(d.strand, layouts[i / 2], sizeof d.strand);
        CHECK_INT(run_diamond(&d), RM_EDEADLOCK);
        CHECK_INT(d.error.code, RM_CODE_EDGE_DEADLOCK);
        CHECK_TEXT(d.error.message,
                   "the edge fork -> zip is full (4 packets) while 'zip' waits for "
                   "its input 'b' from 'ahead'");
        CHECK_CONTAINS(d.error.help, "larger capacity");
        CHECK_TEXT(d.error.node, "zip");
    }
}

TEST(memory_that_a_queue_holds_is_named_with_who_waits)
{
    for (size_t i = 0; i < 2 * RMI_COUNT(layouts); i++) {
        diamond d = {.driver = drivers[i % 2],
                     .packets = 2000,
                     .swallow = 1500,
                     .capacity = 1024,
                     .capacity_max = 1024,
                     .late_post = drivers[i % 2] == RM_DRIVER_CALLER};
        memcpy(d.strand, layouts[i / 2], sizeof d.strand);
        CHECK_INT(run_diamond(&d), RM_EDEADLOCK);
        CHECK_INT(d.error.code, RM_CODE_MEMORY_DEADLOCK);
        CHECK_CONTAINS(d.error.message,
                       "node 'source' waits for memory that nobody will give back: "
                       "the session has 65536 bytes");
        CHECK_CONTAINS(d.error.message, "bytes are queued on fork -> zip");
        CHECK_CONTAINS(d.error.help, "memory_bytes_max");
        CHECK_TEXT(d.error.node, "source");
    }
}

/* ---- memory that comes from outside, or from another strand's free lists */

/* Packets of `swallow` bytes, `left` of them; then it waits until it is released. */
static rm_status bulk_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (p->left == 0) {
        return atomic_load(&p->released) ? RM_DONE : RM_EAGAIN;
    }
    rm_status status = rm_packet_new(node, p->swallow, &packet);
    if (status != RM_OK) {
        return status;
    }
    p->left--;
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = ++p->seen;
    return rm_emit(node, 0, packet);
}

static void add_io(rm_session *session, const rm_node_type *type, const char *name, uint32_t *ret)
{
    char params[64];
    snprintf(params, sizeof params, "{\"name\":\"%s\"}", name);
    rmi_node_spec spec = {.type = type, .id = name, .params_json = params};
    CHECK_INT(rmi_session_add(session, &spec, ret, NULL), RM_OK);
}

/* Until the source waits for memory and nothing else goes on. */
static void until_quiet(rm_session *session, rm_driver driver, const rmi_strand *strand)
{
    int64_t next_ns, deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
    for (bool quiet = false; !quiet && rmi_clock_ns() < deadline_ns;) {
        rm_status status = driver == RM_DRIVER_CALLER ? rm_session_step(session, 0, 100, &next_ns)
                                                      : rm_session_wait(session, 1);
        CHECK(status == RM_PENDING || status == RM_MORE || status == RM_EAGAIN);
        pthread_mutex_lock(&session->lock);
        quiet = atomic_load(&strand->waits_for_memory) && strand->resting &&
                session->strands[0]->resting;
        pthread_mutex_unlock(&session->lock);
    }
    CHECK(atomic_load(&strand->waits_for_memory));
}

static uint32_t pull_all(rm_session *session, rm_driver driver, rm_packet **held, uint32_t *count)
{
    int64_t next_ns, deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
    for (uint32_t pulled = 0;;) {
        rm_packet *packet = NULL;
        rm_status status = rm_session_pull(session, 0, &packet);
        if (status == RM_OK) {
            pulled++;
            if (held && *count < 64) {
                held[(*count)++] = packet;
            } else {
                rm_packet_unref(packet);
            }
        } else if (status == RM_DONE || held || rmi_clock_ns() > deadline_ns) {
            return pulled;
        } else if (driver == RM_DRIVER_CALLER) {
            (void)rm_session_step(session, 0, 100, &next_ns);
        } else {
            (void)rm_session_wait(session, 0);
            sched_yield();
        }
    }
}

TEST(what_the_owner_has_not_pulled_or_not_given_back_may_free_memory)
{
    for (size_t i = 0; i < 4; i++) {
        rm_driver driver = drivers[i % 2];
        probe a = {.left = 100, .swallow = 6000, .released = true};
        rm_node_type source = source_type(&a);
        source.process = bulk_process;
        rm_session *session = small_session(2, driver);
        uint32_t x = add(session, &source, "source", i / 2), y, count = 0;
        add_io(session, &rmi_output_type, "out", &y);
        join(session, x, y, 2);
        start(session);
        const rmi_strand *strand = session->strands[i / 2];
        until_quiet(session, driver, strand); /* in the output's queue */
        rm_packet *held[64];
        CHECK(pull_all(session, driver, held, &count) > 0);
        until_quiet(session, driver, strand); /* in our hands */
        CHECK_INT(rm_session_error(session, NULL), RM_OK);
        uint32_t pulled = count;
        for (uint32_t k = 0; k < count; k++) {
            rm_packet_unref(held[k]);
        }
        pulled += pull_all(session, driver, NULL, NULL);
        CHECK_INT(pulled, 100);
        CHECK_INT(finish(session, driver), RM_DONE);
        rm_session_free(session);
    }
}

/* Work on a thread of its own that wants `swallow` bytes, and is called again until it has them. */
static void *hungry_work(void *argument)
{
    rm_node *node = argument;
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, probe_of(node)->swallow, &packet);
    if (status == RM_OK) {
        packet->header.kind = RM_KIND_BYTES;
        status = rm_emit(node, 0, packet);
    }
    atomic_fetch_add(&probe_of(node)->tries, 1);
    rm_node_complete(node, status, NULL);
    return NULL;
}

static rm_status hungry_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)inputs;
    if (p->thread_started) {
        pthread_join(p->thread, NULL);
    }
    p->thread_started = pthread_create(&p->thread, NULL, hungry_work, node) == 0;
    return p->thread_started ? RM_PENDING : rm_fail(err, RM_EFAIL, "no thread");
}

TEST(work_that_lacked_memory_is_called_again_once_there_is_some)
{
    for (size_t i = 0; i < RMI_COUNT(drivers); i++) {
        probe p = {.swallow = 40000};
        rm_node_type hungry = node_type(&p, hungry_process);
        rm_session *session = small_session(1, drivers[i]);
        uint32_t in, y, out;
        add_io(session, &rmi_input_type, "in", &in);
        y = add(session, &hungry, "hungry", 0);
        add_io(session, &rmi_output_type, "out", &out);
        join(session, in, y, 2);
        join(session, y, out, 2);
        start(session);
        rm_packet *most = NULL, *item = NULL;
        CHECK_INT(rm_session_packet_new(session, 40000, &most), RM_OK);
        CHECK_INT(rm_session_packet_new(session, 8, &item), RM_OK);
        CHECK_INT(rm_session_push(session, 0, item), RM_OK);
        rm_session_end(session, 0);
        until_quiet(session, drivers[i], session->strands[0]);
        CHECK(atomic_load(&p.tries) > 0);
        rm_packet_unref(most);
        CHECK_INT(pull_all(session, drivers[i], NULL, NULL), 1);
        CHECK_INT(finish(session, drivers[i]), RM_DONE);
        rm_session_free(session);
    }
}

TEST(what_one_strand_keeps_for_reuse_another_one_gets)
{
    for (size_t i = 0; i < 2; i++) {
        rm_driver driver = drivers[i];
        probe a = {.left = 40, .swallow = 1000}, b = {.swallow = 50000, .released = true}, c = {0};
        probe d = {0};
        rm_node_type first = source_type(&a), second = source_type(&b), sink = sink_type(&c);
        rm_node_type other = sink_type(&d);
        first.process = second.process = bulk_process;
        first.flags = second.flags = 0;
        rm_session *session = small_session(3, driver);
        b.left = 0;
        b.released = false;
        uint32_t x = add(session, &first, "first", 1), y = add(session, &second, "second", 2);
        uint32_t z = add(session, &sink, "sink", 0), w = add(session, &other, "other", 0);
        join(session, x, z, 4);
        join(session, y, w, 4);
        start(session);
        int64_t next_ns, deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
        bool all = false;
        while (!all && rmi_clock_ns() < deadline_ns) {
            if (driver == RM_DRIVER_CALLER) {
                (void)rm_session_step(session, 0, 100, &next_ns);
            }
            rmi_link *link = session->edges[0]->link;
            all = atomic_load(&link->head) == 40;
            sched_yield();
        }
        CHECK(all);
        b.left = 3; /* each needs what `first` has in its cache; nobody else touches it now */
        atomic_store(&b.released, true);
        rm_node_ready(b.node);
        rmi_link *link = session->edges[1]->link;
        for (all = false; !all && rmi_clock_ns() < deadline_ns; sched_yield()) {
            if (driver == RM_DRIVER_CALLER) {
                (void)rm_session_step(session, 0, 100, &next_ns);
            }
            all = atomic_load(&link->head) == 3;
        }
        CHECK(all);
        atomic_store(&a.released, true);
        rm_node_ready(a.node);
        CHECK_INT(finish(session, driver), RM_DONE);
        CHECK_INT(d.seen, 3);
        rm_session_free(session);
    }
}

/* A new packet of `swallow` bytes for each that comes. */
static rm_status copy_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    rm_packet *packet = NULL;
    (void)err;
    rm_status status = rm_packet_new(node, probe_of(node)->swallow, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = inputs->packet[0]->header.stream_id;
    probe_of(node)->seen++;
    return rm_emit(node, 0, packet);
}

/* source ─▶ copy ─▶ copy ─▶ copy ─▶ sink, whose queues together would hold all the memory many
 * times over; the source has filled what it may before the others begin. */
TEST(what_a_source_queues_leaves_memory_for_the_nodes_after_it)
{
    static const uint32_t strands[][4] = {{0, 0, 0, 0}, {2, 3, 4, 0}, {2, 0, 2, 0}, {0, 2, 0, 2}};
    static const uint32_t bytes[] = {3264, 200, 9000};
    for (size_t i = 0; i < RMI_COUNT(strands) * RMI_COUNT(bytes); i++) {
        uint32_t size = bytes[i % RMI_COUNT(bytes)];
        const uint32_t *strand = strands[i / RMI_COUNT(bytes)];
        probe a = {.left = 600, .swallow = size, .released = true}, c = {0};
        probe copy[3] = {{.swallow = size}, {.swallow = size}, {.swallow = size}};
        rm_node_type source = source_type(&a), sink = sink_type(&c), types[3];
        source.process = bulk_process;
        rm_session *session = small_session(5, RM_DRIVER_CALLER);
        uint32_t before = add(session, &source, "source", 1);
        for (uint32_t k = 0; k < 3; k++) {
            types[k] = node_type(&copy[k], copy_process);
            uint32_t node = add(session, &types[k], "copy", strand[k]);
            join(session, before, node, 1024);
            before = node;
        }
        uint32_t last = add(session, &sink, "sink", strand[3]);
        join(session, before, last, 1024);
        start(session);
        if (strand[0] == 0) {
            while (!atomic_load(&session->strands[1]->waits_for_memory)) {
                sched_yield();
            }
        }
        CHECK_INT(finish(session, RM_DRIVER_CALLER), RM_DONE);
        CHECK_INT(c.seen, 600);
        rm_session_free(session);
    }
}

TEST(an_owner_that_waits_for_memory_of_its_own_queues_is_told)
{
    for (size_t i = 0; i < 2; i++) {
        rm_driver driver = drivers[i];
        probe c = {0};
        rm_node_type zip = sink_type(&c);
        zip.inputs = two_in;
        rm_session *session = small_session(1, driver);
        uint32_t a, b;
        add_io(session, &rmi_input_type, "a", &a);
        add_io(session, &rmi_input_type, "b", &b);
        uint32_t z = add_with(session, &zip, "zip", "{\"merge\":\"zip\"}");
        join_ports(session, a, 0, z, 0, 64);
        join_ports(session, b, 0, z, 1, 64);
        start(session);
        rm_packet *packet = NULL;
        int64_t next_ns, deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
        rm_status status = RM_OK;
        uint32_t pushed = 0;
        while (status != RM_EDEADLOCK && rmi_clock_ns() < deadline_ns) {
            status = rm_session_packet_new(session, 6000, &packet);
            if (status == RM_OK) {
                packet->header.kind = RM_KIND_BYTES;
                CHECK_INT(rm_session_push(session, 0, packet), RM_OK);
                pushed++;
            } else if (driver == RM_DRIVER_CALLER) {
                CHECK(rm_session_step(session, 0, 100, &next_ns) >= 0);
            } else {
                sched_yield();
            }
        }
        CHECK_INT(status, RM_EDEADLOCK);
        CHECK(pushed > 5 && pushed < 12);
        CHECK_INT(rm_session_error(session, NULL), RM_OK); /* the session itself goes on */
        rm_session_end(session, 0);
        rm_session_end(session, 1);
        CHECK_INT(finish(session, driver), RM_DONE);
        rm_session_free(session);
    }
}

TEST_MAIN(T(an_edge_that_locks_a_graph_grows_over_threads_too),
          T(an_edge_that_locks_a_graph_and_may_not_grow_is_named),
          T(memory_that_a_queue_holds_is_named_with_who_waits),
          T(what_the_owner_has_not_pulled_or_not_given_back_may_free_memory),
          T(work_that_lacked_memory_is_called_again_once_there_is_some),
          T(what_one_strand_keeps_for_reuse_another_one_gets),
          T(what_a_source_queues_leaves_memory_for_the_nodes_after_it),
          T(an_owner_that_waits_for_memory_of_its_own_queues_is_told))
