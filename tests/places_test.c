/* places_test.c — a node runs at another place, really: in a second session behind a link of bytes.
 * What only that place has runs there; where it refuses as a session opens, the node runs here if
 * it may, before anything has happened. */
#include <stdlib.h>

#include "base/test.h"
#include "remote_place.h"

enum { ITEMS = 3000, WAIT_MS = 20000 };

/* ---- nodes: numbers, twice as much, their sum */

static atomic_uint items, sum, disorder, opened_here, opened_there;

struct counter {
    uint32_t number;
};

static rm_status put(rm_node *node, uint32_t number)
{
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, sizeof number, &packet);
    if (status != RM_OK) {
        return status;
    }
    memcpy(packet->payload, &number, sizeof number);
    packet->header.kind = RM_KIND_BYTES;
    packet->header.pts_ns = number;
    return rm_emit(node, 0, packet);
}

static uint32_t number_of(const rm_packet *packet)
{
    uint32_t number = 0;
    memcpy(&number, packet->payload, sizeof number);
    return number;
}

static rm_status count_up(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    struct counter *counter = node->state;
    (void)inputs;
    (void)err;
    if (counter->number == ITEMS) {
        return RM_DONE;
    }
    rm_status status = put(node, counter->number + 1);
    counter->number += status == RM_OK;
    return status;
}

static rm_status open_here(rm_node *node, rm_error *err)
{
    (void)node;
    (void)err;
    atomic_fetch_add(&opened_here, 1);
    return RM_OK;
}

static rm_status open_there(rm_node *node, rm_error *err)
{
    (void)node;
    (void)err;
    atomic_fetch_add(&opened_there, 1);
    return RM_OK;
}

static rm_status open_badly(rm_node *node, rm_error *err)
{
    (void)node;
    return rm_fail(err, RM_EIO, "its model is damaged");
}

static rm_status twice(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    return put(node, 2 * number_of(inputs->packet[0]));
}

static rm_status break_at_ten(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    if (number_of(inputs->packet[0]) == 10) {
        return rm_fail(err, RM_EFAIL, "ten is too much");
    }
    return twice(node, inputs, err);
}

static rm_status add_up(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    struct counter *counter = node->state;
    uint32_t number = number_of(inputs->packet[0]);
    (void)err;
    atomic_fetch_add(&disorder, number != counter->number + 2);
    atomic_fetch_add(&disorder, inputs->packet[0]->header.pts_ns != number);
    counter->number = number;
    atomic_fetch_add(&items, 1);
    atomic_fetch_add(&sum, number);
    return RM_OK;
}

static const rm_port in[] = {{.name = "in", .formats = "bytes"}, {0}};
static const rm_port out[] = {{.name = "out", .formats = "bytes"}, {0}};

static const rm_node_type count_type = {.struct_size = sizeof(rm_node_type),
                                        .name = "test.count",
                                        .outputs = out,
                                        .state_size = sizeof(struct counter),
                                        .process = count_up};
static const rm_node_type sum_type = {.struct_size = sizeof(rm_node_type),
                                      .name = "test.sum",
                                      .inputs = in,
                                      .state_size = sizeof(struct counter),
                                      .process = add_up};
static const rm_node_type here_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "test.twice",
                                       .inputs = in,
                                       .outputs = out,
                                       .open = open_here,
                                       .process = twice};
static const rm_node_type there_type = {.struct_size = sizeof(rm_node_type),
                                        .name = "test.twice",
                                        .inputs = in,
                                        .outputs = out,
                                        .open = open_there,
                                        .process = twice};
static const rm_node_type only_there_type = {.struct_size = sizeof(rm_node_type),
                                             .name = "test.far",
                                             .inputs = in,
                                             .outputs = out,
                                             .open = open_there,
                                             .process = twice};
static const rm_node_type broken_type = {.struct_size = sizeof(rm_node_type),
                                         .name = "test.broken",
                                         .inputs = in,
                                         .outputs = out,
                                         .process = break_at_ten};

static const rm_node_type lame_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "test.lame",
                                       .inputs = in,
                                       .outputs = out,
                                       .open = open_badly,
                                       .process = twice};
static const rm_node_type sound_type = {.struct_size = sizeof(rm_node_type),
                                        .name = "test.lame",
                                        .inputs = in,
                                        .outputs = out,
                                        .open = open_here,
                                        .process = twice};

/* ---- a machine beside this one */

typedef struct world {
    rm_registry *here, *there;
    remote_place place;
    rm_plan *plan;
    rm_session *session;
} world;

static void world_init(world *w)
{
    memset(w, 0, sizeof *w);
    CHECK_INT(rm_registry_new(&w->here, NULL), RM_OK);
    CHECK_INT(rm_registry_new(&w->there, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->here, &count_type, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->here, &sum_type, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->here, &here_type, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->here, &sound_type, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->there, &lame_type, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->there, &there_type, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->there, &only_there_type, NULL), RM_OK);
    CHECK_INT(rm_registry_add(w->there, &broken_type, NULL), RM_OK);
    remote_place_init(&w->place, w->there,
                      "{\"gpu\":[{\"type\":\"cuda\",\"memory_gb\":24}],\"cpu\":{\"cores\":8}}");
    CHECK_INT(rm_registry_add_place(w->here, &w->place.row, NULL), RM_OK);
    atomic_store(&items, 0);
    atomic_store(&sum, 0);
    atomic_store(&disorder, 0);
    atomic_store(&opened_here, 0);
    atomic_store(&opened_there, 0);
}

static void world_fini(world *w)
{
    rm_session_free(w->session);
    rm_plan_free(w->plan);
    rm_registry_free(w->here);
    rm_registry_free(w->there);
}

/* test.count ! a node of this type and with these further fields ! test.sum */
static rm_status plan_with(world *w, const char *type, const char *fields, rm_error *err)
{
    char json[1024];
    rm_graph *graph = NULL;
    rm_plan_options options = {.struct_size = sizeof options,
                               .machine_json = "{\"gpu\":[],\"cpu\":{\"cores\":2}}"};
    snprintf(json, sizeof json,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"count\",\"node_type\":\"test.count\"},"
             "{\"id\":\"n\",\"node_type\":\"%s\"%s},{\"id\":\"sum\",\"node_type\":\"test.sum\"}]}",
             type, fields);
    CHECK_INT(rm_graph_parse(json, strlen(json), &graph, NULL, err), RM_OK);
    rm_status status = rm_graph_plan(graph, w->here, &options, &w->plan, NULL, err);
    rm_graph_free(graph);
    return status;
}

static rm_status run(world *w, const char *type, const char *fields, rm_error *err)
{
    rm_status status = plan_with(w, type, fields, err);
    CHECK_INT(status, RM_OK);
    if (status == RM_OK) {
        status = rm_session_open(w->plan, NULL, &w->session, err);
    }
    return status == RM_OK ? rm_session_wait(w->session, WAIT_MS) : status;
}

static void check_result(void)
{
    CHECK_INT(atomic_load(&items), ITEMS);
    CHECK_INT(atomic_load(&sum), ITEMS * (ITEMS + 1));
    CHECK_INT(atomic_load(&disorder), 0);
}

static const char *place_of(const world *w)
{
    rm_plan_node node;
    rm_plan_node_at(w->plan, 1, &node);
    return node.place;
}

static void check_metrics(world *w, const char *part)
{
    char *json = NULL;
    if (!w->session) {
        return; /* that it did not open was told */
    }
    CHECK_INT(rm_session_metrics(w->session, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, part);
    rm_free(json);
}

#define GPU ",\"requirements\":[{\"gpu\":{\"type\":\"cuda\",\"min_memory_gb\":8}}]"
#define PREFER_REMOTE ",\"placement\":{\"where\":\"prefer_remote\"}"

/* ---- */

TEST(what_only_another_place_meets_runs_there)
{
    world w;
    world_init(&w);
    CHECK_INT(run(&w, "test.twice", GPU, NULL), RM_DONE);
    CHECK_TEXT(place_of(&w), "test.remote");
    CHECK_INT(atomic_load(&opened_there), 1);
    CHECK_INT(atomic_load(&opened_here), 0);
    CHECK_INT(atomic_load(&w.place.sent), ITEMS);
    CHECK_INT(atomic_load(&w.place.received), ITEMS);
    check_result();
    check_metrics(&w, "\"place\":\"test.remote\",\"time\"");
    world_fini(&w);
}

TEST(code_that_only_another_place_has_runs_there)
{
    world w;
    world_init(&w);
    CHECK_INT(run(&w, "test.far", "", NULL), RM_DONE);
    CHECK_TEXT(place_of(&w), "test.remote");
    check_result();
    world_fini(&w);
}

TEST(where_nothing_is_said_it_runs_here)
{
    world w;
    world_init(&w);
    CHECK_INT(run(&w, "test.twice", "", NULL), RM_DONE);
    CHECK_TEXT(place_of(&w), "local");
    CHECK_INT(atomic_load(&opened_here), 1);
    CHECK_INT(atomic_load(&w.place.opened), 0);
    check_result();
    world_fini(&w);
}

TEST(a_place_that_refuses_at_open_gives_the_node_back)
{
    world w;
    world_init(&w);
    atomic_store(&w.place.is_closed, true);
    CHECK_INT(run(&w, "test.twice", PREFER_REMOTE, NULL), RM_DONE);
    CHECK_TEXT(place_of(&w), "test.remote"); /* so it was planned */
    CHECK_INT(atomic_load(&opened_here), 1);
    CHECK_INT(atomic_load(&opened_there), 0);
    CHECK_INT(atomic_load(&w.place.sent), 0);
    check_result();
    check_metrics(&w, "\"place\":\"local\",\"fell_back\":\"test.remote takes no nodes now\"");
    char *json = NULL;
    CHECK_INT(rm_plan_to_json(w.plan, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, "\"fallback\": \"local\"");
    rm_free(json);
    world_fini(&w);
}

enum { TOLD_BYTES = 2 * RM_ERROR_MESSAGE_MAX };

/* On the thread of the home strand, which has ended as the test looks. */
static void note_event(void *told, const rm_event *event)
{
    if (event->kind == RM_EVENT_FELL_BACK) {
        snprintf(told, TOLD_BYTES, "%s: %s", event->node, event->error->message);
    }
}

TEST(an_event_tells_that_a_node_fell_back_and_why)
{
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        char told[TOLD_BYTES] = "";
        rm_session_options options = {.struct_size = sizeof options,
                                      .driver = RM_DRIVER_THREAD,
                                      .on_event = note_event,
                                      .event_context = told,
                                      .events = RM_EVENT_BIT(RM_EVENT_FELL_BACK)};
        world w;
        world_init(&w);
        atomic_store(&w.place.is_closed, is_closed);
        CHECK_INT(plan_with(&w, "test.twice", PREFER_REMOTE, NULL), RM_OK);
        CHECK_INT(rm_session_open(w.plan, &options, &w.session, NULL), RM_OK);
        CHECK_INT(rm_session_wait(w.session, WAIT_MS), RM_DONE);
        world_fini(&w);
        CHECK_TEXT(told, is_closed ? "n: test.remote takes no nodes now" : "");
    }
}

TEST(without_leave_to_fall_back_a_refusal_ends_the_run)
{
    static const struct {
        const char *type, *fields, *environment;
    } rows[] = {
        {"test.twice", ",\"placement\":{\"where\":\"remote\"}", NULL},
        {"test.twice", ",\"placement\":{\"where\":\"prefer_remote\",\"fallback\":false}", NULL},
        {"test.twice", PREFER_REMOTE, "false"},
        {"test.twice", GPU, NULL}, /* local lacks what it requires */
        {"test.far", "", NULL},    /* local has no code of it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world w;
        rm_error err = RM_ERROR_INIT;
        world_init(&w);
        atomic_store(&w.place.is_closed, true);
        if (rows[i].environment) {
            CHECK_INT(setenv("REMOTEMEDIA_ENABLE_FALLBACK", rows[i].environment, 1), 0);
        }
        CHECK(run(&w, rows[i].type, rows[i].fields, &err) < 0);
        CHECK_INT(unsetenv("REMOTEMEDIA_ENABLE_FALLBACK"), 0);
        CHECK_INT(err.code, RM_CODE_PLACE_REFUSED);
        CHECK_TEXT(err.message, "node 'n': test.remote takes no nodes now");
        CHECK_INT(atomic_load(&items), 0);
        CHECK_INT(atomic_load(&opened_here), 0);
        world_fini(&w);
    }
}

TEST(a_node_that_cannot_be_opened_there_is_no_refusal)
{
    world w;
    rm_error err = RM_ERROR_INIT;
    world_init(&w);
    CHECK(run(&w, "test.lame", PREFER_REMOTE, &err) < 0);
    CHECK_INT(err.code, RM_CODE_NODE_OPEN);
    CHECK_CONTAINS(err.message, "its model is damaged");
    CHECK_INT(atomic_load(&opened_here), 0);
    world_fini(&w);
}

TEST(an_error_of_a_node_elsewhere_ends_the_run_with_its_words)
{
    world w;
    rm_error err = RM_ERROR_INIT;
    world_init(&w);
    CHECK(run(&w, "test.broken", "", &err) < 0);
    CHECK(rm_session_error(w.session, &err) < 0);
    CHECK_TEXT(err.node, "n");
    CHECK_CONTAINS(err.message, "at test.remote: ");
    CHECK_CONTAINS(err.message, "ten is too much");
    world_fini(&w);
}

TEST(a_session_that_is_cancelled_leaves_no_session_there)
{
    for (unsigned i = 0; i < 20; i++) {
        world w;
        world_init(&w);
        CHECK_INT(plan_with(&w, "test.far", "", NULL), RM_OK);
        CHECK_INT(rm_session_open(w.plan, NULL, &w.session, NULL), RM_OK);
        rm_session_cancel(w.session);
        CHECK(rm_session_wait(w.session, WAIT_MS) < 0);
        world_fini(&w);
    }
}

TEST(a_slow_link_that_gets_lost_again_and_again_loses_nothing)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world w;
        world_init(&w);
        w.place.link = (sim_link_options){.capacity = 1 + (uint32_t)(seed % 5),
                                          .delay_max = (uint32_t)(seed % 7),
                                          .lose_each = 10,
                                          .seed = seed};
        CHECK_INT(run(&w, "test.twice", GPU, NULL), RM_DONE);
        CHECK_INT(atomic_load(&w.place.sent), ITEMS);
        CHECK_INT(atomic_load(&w.place.received), ITEMS);
        check_result();
        world_fini(&w);
    }
}

TEST(a_machine_that_dies_is_told_of_and_what_had_come_is_kept)
{
    for (uint32_t after = 1; after <= ITEMS; after += ITEMS / 4) {
        world w;
        rm_error err = RM_ERROR_INIT;
        world_init(&w);
        w.place.dies_after = after;
        w.place.link.delay_max = 3;
        CHECK_INT(run(&w, "test.twice", GPU, NULL), RM_EFAIL);
        CHECK_INT(rm_session_error(w.session, &err), RM_EFAIL);
        CHECK_TEXT(err.node, "n");
        CHECK_CONTAINS(err.message, "at test.remote: it is gone");
        CHECK(atomic_load(&items) <= after);
        CHECK_INT(atomic_load(&disorder), 0);
        world_fini(&w);
    }
}

TEST_MAIN(T(a_slow_link_that_gets_lost_again_and_again_loses_nothing),
          T(a_machine_that_dies_is_told_of_and_what_had_come_is_kept),
          T(what_only_another_place_meets_runs_there),
          T(code_that_only_another_place_has_runs_there), T(where_nothing_is_said_it_runs_here),
          T(a_place_that_refuses_at_open_gives_the_node_back),
          T(an_event_tells_that_a_node_fell_back_and_why),
          T(without_leave_to_fall_back_a_refusal_ends_the_run),
          T(a_node_that_cannot_be_opened_there_is_no_refusal),
          T(an_error_of_a_node_elsewhere_ends_the_run_with_its_words),
          T(a_session_that_is_cancelled_leaves_no_session_there))
