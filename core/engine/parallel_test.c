/* parallel_test.c — a node in several copies gives what it gives alone, in the same order; under
 * ThreadSanitizer, too. What may not have copies is refused. */
#include "engine/parallel.h"
#include "engine/testnodes.h"

#include <remotemedia/change.h>

enum { ITEMS = 400 };

/* What the copies share. */
typedef struct shared {
    uint32_t left;           /* of the source */
    _Atomic uint32_t inside; /* calls that go on now */
    _Atomic uint32_t most;   /* of them at once */
    _Atomic uint32_t flushed, params, interrupted;
    uint32_t meet; /* calls wait until so many have come; 0: none does */
    bool odd_is_late;
    int64_t size[ITEMS + 1]; /* the parameter by which each item was worked on */
    probe sink;
} shared;

static shared now;

static rm_status give(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (now.left == 0) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, NUMBER_BYTES, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = ITEMS + 1 - now.left--;
    packet->header.origin_ns = now.odd_is_late && packet->header.stream_id % 2 ? 1 : rmi_clock_ns();
    return rm_emit(node, 0, packet);
}

static rm_status take(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)err;
    note(&now.sink, inputs->packet[0]->header.stream_id);
    return RM_OK;
}

static rm_status forward(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

/* The copies take different times, so that they overtake each other. */
static void linger(uint32_t number)
{
    uint32_t inside = atomic_fetch_add(&now.inside, 1) + 1;
    uint32_t most = atomic_load(&now.most);
    while (inside > most && !atomic_compare_exchange_weak(&now.most, &most, inside)) {
    }
    int64_t deadline_ns = rmi_clock_ns() + (int64_t)10000000000;
    while (atomic_load(&now.most) < now.meet && rmi_clock_ns() < deadline_ns) {
        sched_yield();
    }
    for (uint32_t i = 0; i < number * 2654435761u >> 29; i++) {
        sched_yield();
    }
    atomic_fetch_sub(&now.inside, 1);
}

/* 0 to 3 packets an item. */
static rm_status some(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    uint32_t number = inputs->packet[0]->header.stream_id;
    rm_status status = RM_OK;
    (void)err;
    linger(number);
    for (uint32_t i = 0; i < number % 4 && status == RM_OK; i++) {
        status = send_number(node, 0, 4 * number + i);
    }
    return status;
}

static rm_status some_flush(rm_node *node, rm_error *err)
{
    (void)err;
    return send_number(node, 0, 4 * ITEMS + 4 + atomic_fetch_add(&now.flushed, 1));
}

/* Each 5th item fails, after it has emitted. */
static rm_status faulty(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    uint32_t number = inputs->packet[0]->header.stream_id;
    linger(number);
    rm_status status = send_number(node, 0, number);
    return status == RM_OK && number % 5 == 0 ? rm_fail(err, RM_EINVAL, "%u is bad", number)
                                              : status;
}

typedef struct size_params {
    int64_t size;
} size_params;

/* Notes its parameter, and fails at an item near the end. */
static rm_status sized(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    uint32_t number = inputs->packet[0]->header.stream_id;
    linger(number);
    now.size[number] = ((const size_params *)node->params)->size;
    return number == ITEMS - 3 ? rm_fail(err, RM_EINVAL, "the last but three")
                               : rm_forward(node, 0);
}

static rm_status count_controls(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)node;
    (void)err;
    atomic_fetch_add(&now.params, control->op == RM_CONTROL_PARAMS);
    atomic_fetch_add(&now.interrupted, control->op == RM_CONTROL_INTERRUPT);
    return RM_OK;
}

static const rm_param size_table[] = {{.name = "size",
                                       .kind = RM_PARAM_INT,
                                       .flags = RM_PARAM_LIVE,
                                       .offset = offsetof(size_params, size),
                                       .default_json = "1",
                                       .summary = "nothing"},
                                      {0}};

#define TYPE(type_name, in, out, more, ...)                                            \
    {                                                                                  \
        .struct_size = sizeof(rm_node_type), .name = type_name, .summary = "a test's", \
        .inputs = in, .outputs = out, .flags = more, .params = size_table,             \
        .params_size = sizeof(size_params), .control = count_controls, __VA_ARGS__     \
    }

static const rm_node_type types[] = {
    TYPE("t.give", NULL, many_out, 0, .process = give),
    TYPE("t.take", one_in, NULL, RM_NODE_PURE, .process = take),
    TYPE("t.forward", one_in, many_out, RM_NODE_PURE, .process = forward),
    TYPE("t.some", one_in, many_out, RM_NODE_PURE, .process = some),
    TYPE("t.tail", one_in, many_out, RM_NODE_PURE, .process = some, .flush = some_flush),
    TYPE("t.faulty", one_in, many_out, RM_NODE_PURE, .process = faulty),
    TYPE("t.sized", one_in, many_out, RM_NODE_PURE, .process = sized),
    TYPE("t.state", one_in, many_out, 0, .process = forward),
    TYPE("t.python", one_in, many_out, RM_NODE_PURE | RM_NODE_PYTHON, .process = forward),
    TYPE("t.two", two_in, many_out, RM_NODE_PURE, .process = forward),
};

static rm_status plan_of(const char *json, rm_plan **ret_plan, rm_registry **ret_registry,
                         rm_error *err)
{
    rm_graph *graph = NULL;
    CHECK_INT(rm_registry_new(ret_registry, NULL), RM_OK);
    for (size_t i = 0; i < RMI_COUNT(types); i++) {
        CHECK_INT(rm_registry_add(*ret_registry, &types[i], NULL), RM_OK);
    }
    rm_status status = rm_graph_parse(json, strlen(json), &graph, NULL, err);
    if (status == RM_OK) {
        status = rm_graph_plan(graph, *ret_registry, NULL, ret_plan, NULL, err);
    }
    rm_graph_free(graph);
    return status;
}

typedef struct run {
    rm_registry *registry;
    rm_plan *plan;
    rm_session *session;
} run;

/* t.give ─▶ x ─▶ t.take; entry is the rest of x. */
static run begin(const char *type, const char *entry, shared start)
{
    char json[1024];
    run r = {0};
    rm_error err = RM_ERROR_INIT;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    now = start;
    now.left = ITEMS;
    snprintf(json, sizeof json,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"give\",\"node_type\":\"t.give\"},"
             "{\"id\":\"x\",\"node_type\":\"%s\"%s},"
             "{\"id\":\"take\",\"node_type\":\"t.take\"}]}",
             type, entry);
    CHECK_INT(plan_of(json, &r.plan, &r.registry, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_INT(rm_session_open(r.plan, &options, &r.session, &err), RM_OK);
    return r;
}

static void end(run *r)
{
    rm_session_free(r->session);
    rm_plan_free(r->plan);
    rm_registry_free(r->registry);
}

static uint32_t count_some(void)
{
    uint32_t count = 0;
    for (uint32_t number = 1; number <= ITEMS; number++) {
        count += number % 4;
    }
    return count;
}

TEST(items_keep_their_order_whatever_they_give)
{
    static const char *const copies[] = {",\"parallel\":1", ",\"parallel\":2", ",\"parallel\":5",
                                         ",\"parallel\":16"};
    for (size_t i = 0; i < RMI_COUNT(copies); i++) {
        run r = begin("t.some", copies[i], (shared){0});
        CHECK_INT(drive(r.session, 1000), RM_DONE);
        CHECK_INT(now.sink.seen, count_some());
        CHECK(!now.sink.out_of_order);
        end(&r);
    }
}

TEST(packets_that_are_passed_on_keep_their_order)
{
    run r = begin("t.forward", ",\"parallel\":3", (shared){0});
    CHECK_INT(drive(r.session, 7), RM_DONE);
    CHECK_INT(now.sink.seen, ITEMS);
    CHECK_INT(now.sink.sum, sum_to(ITEMS));
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(copies_work_at_the_same_time)
{
    run r = begin("t.some", ",\"parallel\":3", (shared){.meet = 3});
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.most, 3);
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(each_copy_is_flushed_and_that_comes_last)
{
    run r = begin("t.tail", ",\"parallel\":4", (shared){0});
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.flushed, 4);
    CHECK_INT(now.sink.seen, count_some() + 4);
    CHECK(now.sink.last >= 4 * ITEMS + 4);
    end(&r);
}

TEST(an_item_that_fails_goes_the_way_of_the_policy_in_its_place)
{
    run r = begin("t.faulty", ",\"parallel\":3,\"on_error\":\"skip\"", (shared){0});
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.seen, ITEMS - ITEMS / 5);
    CHECK(!now.sink.out_of_order);
    end(&r);
    r = begin("t.faulty", ",\"parallel\":3,\"on_error\":\"bypass\"", (shared){0});
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.sum, sum_to(ITEMS));
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(an_error_that_ends_the_run_names_the_node_and_its_item)
{
    rm_error err;
    run r = begin("t.faulty", ",\"parallel\":2", (shared){0});
    CHECK_INT(drive(r.session, 1000), RM_EINVAL);
    CHECK_INT(rm_session_error(r.session, &err), RM_EINVAL);
    CHECK_TEXT(err.node, "x");
    uint32_t number = 0;
    CHECK_INT(sscanf(err.message, "%u is bad", &number), 1);
    CHECK_INT(err.item, number);
    CHECK(now.sink.seen < number && !now.sink.out_of_order);
    end(&r);
}

TEST(an_item_that_is_late_gives_its_turn_away)
{
    run r =
        begin("t.forward", ",\"parallel\":3,\"deadline_ms\":60000", (shared){.odd_is_late = true});
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.seen, ITEMS / 2);
    CHECK(!now.sink.out_of_order);
    end(&r);
}

/* Steps until so many have arrived. */
static void drive_until(rm_session *session, uint32_t seen)
{
    int64_t next_ns, deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
    while (now.sink.seen < seen && rmi_clock_ns() < deadline_ns) {
        (void)rm_session_step(session, rmi_clock_ns(), 20, &next_ns);
    }
}

TEST(an_interrupt_empties_all_copies_and_loses_nothing_that_comes_after)
{
    static const char *const names[] = {"x", "x.2", "x.gather"};
    for (size_t i = 0; i < RMI_COUNT(names); i++) {
        run r = begin("t.forward", ",\"parallel\":3", (shared){0});
        for (uint32_t round = 1; round <= 5; round++) {
            drive_until(r.session, 20 * round);
            CHECK_INT(rm_session_interrupt(r.session, names[i]), RM_OK);
        }
        CHECK_INT(drive(r.session, 1000), RM_DONE);
        CHECK(!now.sink.out_of_order);
        CHECK_INT(now.sink.last, ITEMS);
        end(&r);
    }
}

TEST(a_cancel_ends_all_copies)
{
    run r = begin("t.some", ",\"parallel\":3", (shared){0});
    drive_until(r.session, 10);
    rm_session_cancel(r.session);
    CHECK_INT(drive(r.session, 1000), RM_ECANCELED);
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(a_parameter_is_set_in_each_copy)
{
    rm_error err = RM_ERROR_INIT;
    run r = begin("t.forward", ",\"parallel\":3", (shared){0});
    drive_until(r.session, 10);
    CHECK_INT(rm_session_set_params(r.session, "x", "{\"size\":2}", &err), RM_OK);
    CHECK_INT(now.params, 3);
    CHECK(rm_session_set_params(r.session, "x", "{\"seize\":2}", &err) < 0);
    CHECK_INT(rm_session_swap(r.session, "x", &types[2], "{}", &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "several copies");
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    end(&r);
}

/* With steps until its moment has come. */
static void commit(rm_session *session, rm_change *change)
{
    rm_error err = RM_ERROR_INIT;
    int64_t next_ns, deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
    rm_status status = rm_change_commit(change, NULL, &err);
    while (status == RM_EAGAIN && rmi_clock_ns() < deadline_ns) {
        (void)rm_session_step(session, rmi_clock_ns(), 20, &next_ns);
        status = rm_change_commit(change, NULL, &err);
    }
    CHECK_INT(status, RM_OK);
    CHECK_TEXT(err.message, "");
    rm_change_free(change);
}

static rm_change *new_change(rm_session *session)
{
    rm_change *change = NULL;
    CHECK_INT(rm_change_new(session, &change, NULL), RM_OK);
    return change;
}

static void be_in_copies(rm_session *session, const char *type, uint32_t copies)
{
    char json[128];
    rm_error err = RM_ERROR_INIT;
    rm_change *change = new_change(session);
    snprintf(json, sizeof json, "{\"node_type\":\"%s\",\"parallel\":%u}", type, copies);
    CHECK_INT(rm_change_replace(change, "x", json, &err), RM_OK);
    commit(session, change);
    uint32_t count = 0;
    for (uint32_t i = 0; i < session->node_count; i++) {
        count += session->nodes[i]->copies > 1;
    }
    CHECK_INT(count, copies > 1 ? copies : 0);
}

TEST(copies_become_more_and_fewer_and_nothing_is_lost_or_doubled)
{
    static const uint32_t copies[] = {4, 1, 3, 3, 2, 16, 1};
    run r = begin("t.forward", ",\"parallel\":2", (shared){0});
    for (uint32_t i = 0; i < RMI_COUNT(copies); i++) {
        drive_until(r.session, 30 * (i + 1));
        be_in_copies(r.session, "t.forward", copies[i]);
    }
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.seen, ITEMS);
    CHECK_INT(now.sink.sum, sum_to(ITEMS));
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(copies_that_give_several_packets_or_none_are_replaced_in_order)
{
    run r = begin("t.some", ",\"parallel\":3", (shared){0});
    for (uint32_t i = 1; i <= 6; i++) {
        drive_until(r.session, 50 * i);
        be_in_copies(r.session, "t.some", i % 2 ? 3 : 5);
    }
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.seen, count_some());
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(a_node_in_copies_comes_and_goes)
{
    rm_error err = RM_ERROR_INIT;
    run r = begin("t.forward", "", (shared){0});
    for (uint32_t i = 0; i < 4; i++) {
        rm_change *change = new_change(r.session);
        CHECK_INT(i % 2 ? rm_change_remove(change, "y", &err)
                        : rm_change_insert(change,
                                           "{\"id\":\"y\",\"node_type\":\"t.forward\","
                                           "\"parallel\":3}",
                                           "x", NULL, &err),
                  RM_OK);
        drive_until(r.session, 50 * (i + 1));
        commit(r.session, change);
        CHECK((rmi_session_find(r.session, "y.2") == NULL) == (i % 2));
    }
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.sum, sum_to(ITEMS));
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(the_item_of_an_error_is_counted_over_all_copies_that_ever_were)
{
    rm_error err;
    run r = begin("t.sized", ",\"parallel\":3", (shared){0});
    for (uint32_t i = 1; i <= 4; i++) {
        drive_until(r.session, 50 * i + 1);
        be_in_copies(r.session, "t.sized", 1 + i % 3);
    }
    CHECK_INT(drive(r.session, 1000), RM_EINVAL);
    CHECK_INT(rm_session_error(r.session, &err), RM_EINVAL);
    CHECK_TEXT(err.node, "x");
    CHECK_INT(err.item, ITEMS - 3);
    end(&r);
}

TEST(a_change_sets_a_parameter_in_all_copies_between_the_same_two_items)
{
    rm_error err = RM_ERROR_INIT;
    run r = begin("t.sized", ",\"parallel\":3,\"on_error\":\"bypass\"", (shared){0});
    const rmi_node *first = rmi_session_find(r.session, "x.1");
    for (uint32_t i = 2; i <= 6; i++) {
        char json[32];
        rm_change *change = new_change(r.session);
        drive_until(r.session, 40 * i);
        snprintf(json, sizeof json, "{\"size\":%u}", i);
        CHECK_INT(rm_change_params(change, "x", json, &err), RM_OK);
        commit(r.session, change);
    }
    CHECK(rmi_session_find(r.session, "x.1") == first);
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.seen, ITEMS);
    CHECK_INT(now.params, 15);
    for (uint32_t number = 2; number <= ITEMS; number++) {
        CHECK(now.size[number] >= now.size[number - 1]);
    }
    CHECK_INT(now.size[ITEMS], 6);
    end(&r);
}

static rm_status insert(rm_session *session, const char *id, const char *from, const char *to)
{
    char json[128];
    rm_change *change = NULL;
    rm_error err = RM_ERROR_INIT;
    snprintf(json, sizeof json, "{\"id\":\"%s\",\"node_type\":\"t.forward\"}", id);
    CHECK_INT(rm_change_new(session, &change, &err), RM_OK);
    CHECK_INT(rm_change_insert(change, json, from, to, &err), RM_OK);
    rm_status status = rm_change_commit(change, NULL, &err);
    CHECK_TEXT(err.message, "");
    rm_change_free(change);
    return status;
}

TEST(the_graph_around_the_copies_is_changed_while_they_run)
{
    rm_change *change = NULL;
    rm_error err = RM_ERROR_INIT;
    run r = begin("t.forward", ",\"parallel\":3", (shared){0});
    drive_until(r.session, 20);
    CHECK_INT(rm_session_interrupt(r.session, "x"), RM_OK);
    drive_until(r.session, 150); /* what was on its way has come, or died */
    uint32_t lost = now.sink.last - now.sink.seen;
    CHECK_INT(insert(r.session, "behind", "x", "take"), RM_OK);
    drive_until(r.session, 170);
    CHECK_INT(insert(r.session, "before", "give", "x"), RM_OK);
    drive_until(r.session, 190);
    CHECK_INT(rm_change_new(r.session, &change, &err), RM_OK);
    CHECK_INT(rm_change_remove(change, "x", &err), RM_OK);
    commit(r.session, change);
    CHECK(rmi_session_find(r.session, "x.split") == NULL);
    CHECK_INT(r.session->node_count, 4);
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(now.sink.seen, ITEMS - lost); /* an interrupt loses some, a change none */
    CHECK(!now.sink.out_of_order);
    end(&r);
}

TEST(numbers_say_which_copy_they_are_of)
{
    char *metrics = NULL;
    run r = begin("t.some", ",\"parallel\":2", (shared){0});
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(rm_session_metrics(r.session, &metrics, NULL), RM_OK);
    CHECK_CONTAINS(metrics, "\"part_of\":\"x\",\"copy\":2");
    rm_free(metrics);
    uint64_t items = 0, emitted = 0, gathered = 0;
    for (uint32_t i = 0; i < r.session->node_count; i++) {
        const rmi_node *node = r.session->nodes[i];
        items += node->copy ? node->items : 0;
        emitted += node->copy ? node->emitted : 0;
        gathered += node->pub.type == &rmi_gather_type ? node->emitted : 0;
    }
    CHECK_INT(items, ITEMS);
    CHECK_INT(emitted, count_some()); /* marks are not counted */
    CHECK_INT(gathered, count_some());
    end(&r);
}

static void check_refused(const char *type, const char *entry, const char *why)
{
    char json[512];
    rm_plan *plan = NULL;
    rm_registry *registry = NULL;
    rm_error err = RM_ERROR_INIT;
    snprintf(json, sizeof json,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"give\",\"node_type\":\"t.give\"},"
             "{\"id\":\"x\",\"node_type\":\"%s\",\"parallel\":%s}]}",
             type, entry);
    CHECK_INT(plan_of(json, &plan, &registry, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, why);
    CHECK(plan == NULL);
    rm_registry_free(registry);
}

TEST(what_cannot_have_copies_is_refused)
{
    check_refused("t.state", "2", "node 'x' (t.state) keeps state");
    check_refused("t.python", "2", "only where its tier is worker");
    check_refused("t.two", "2", "has not just one input");
    check_refused("t.take", "2", "has no output");
    check_refused("t.some", "17", "parallel is 17");
    check_refused("t.some", "0", "parallel is 0");
    check_refused("graph\",\"graph\":{\"version\":\"v1\",\"nodes\":[{\"id\":\"a\",\"node_type\":"
                  "\"t.some\"}]},\"name\":\"",
                  "2", "is a graph, which runs once");
}

TEST(the_plan_says_what_the_copies_are)
{
    run r = begin("t.some", ",\"parallel\":2,\"pts\":\"fill\"", (shared){0});
    static const char *const ids[] = {"give", "x.split", "x.1", "x.2", "x.gather", "take"};
    CHECK_INT(rm_plan_node_count(r.plan), RMI_COUNT(ids));
    for (size_t i = 0; i < RMI_COUNT(ids); i++) {
        rm_plan_node node;
        rm_plan_node_at(r.plan, i, &node);
        CHECK_TEXT(node.id, ids[i]);
        CHECK_TEXT(node.part_of ? node.part_of : "", i > 0 && i < 5 ? "x" : "");
        CHECK_INT(node.copy, i == 2 ? 1 : i == 3 ? 2 : 0);
        CHECK_INT(node.strand, node.copy);
    }
    CHECK_INT(r.session->nodes[4]->options.pts, RMI_PTS_FILL);
    CHECK_INT(r.session->nodes[3]->options.pts, RMI_PTS_KEEP);
    char *json = NULL;
    CHECK_INT(rm_plan_to_json(r.plan, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, "copy 2 of 2 of 'x'; a thread of its own");
    rm_free(json);
    end(&r);
}

TEST_MAIN(T(items_keep_their_order_whatever_they_give),
          T(packets_that_are_passed_on_keep_their_order), T(copies_work_at_the_same_time),
          T(each_copy_is_flushed_and_that_comes_last),
          T(an_item_that_fails_goes_the_way_of_the_policy_in_its_place),
          T(an_error_that_ends_the_run_names_the_node_and_its_item),
          T(an_item_that_is_late_gives_its_turn_away),
          T(an_interrupt_empties_all_copies_and_loses_nothing_that_comes_after),
          T(a_cancel_ends_all_copies), T(a_parameter_is_set_in_each_copy),
          T(copies_become_more_and_fewer_and_nothing_is_lost_or_doubled),
          T(copies_that_give_several_packets_or_none_are_replaced_in_order),
          T(a_node_in_copies_comes_and_goes),
          T(the_item_of_an_error_is_counted_over_all_copies_that_ever_were),
          T(a_change_sets_a_parameter_in_all_copies_between_the_same_two_items),
          T(the_graph_around_the_copies_is_changed_while_they_run),
          T(numbers_say_which_copy_they_are_of), T(what_cannot_have_copies_is_refused),
          T(the_plan_says_what_the_copies_are))
