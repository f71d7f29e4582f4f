/* faults_test.c — each way in which a node's code can fail, at each place of a graph, under each
 * policy, on each driver: the error names node, item and cause, nothing is half delivered, what was
 * opened is closed, the owner is told, and a good graph runs in the same process afterwards. */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#ifdef HAVE_UV
#include <uv.h>

#include <remotemedia/driver_uv.h>
#endif
#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { ITEMS = 10, TAIL = 1000, FALSE_NUMBER = 666, WAIT_MS = 20000, TIMES = 2 };

typedef enum place { AT_NONE, AT_OPEN, AT_ITEM, AT_FLUSH } place;
typedef enum policy { FAIL, SKIP, RETRY, BYPASS, POLICIES } policy;
typedef enum { SIMULATED, THREAD, LIBUV } driver_kind;
typedef enum role { SOURCE, MIDDLE, SINK, ROLES } role;

static const char *const policy_names[] = {"fail", "skip", "retry", "bypass"};
static const char *const role_names[] = {"source", "middle", "sink"};
static const char *const place_names[] = {"none", "open", "item", "flush"};

/* What the sink took, by all of its calls that went well. */
static atomic_uint seen, sum, disorder, false_numbers;
static atomic_int nodes_open;

/* ---- nodes that fail as they are told */

struct params {
    int64_t place, at, transient;
};

struct state {
    uint32_t item, failures;
    uint32_t last; /* sink */
};

static bool strikes(rm_node *node, place where)
{
    const struct params *params = node->params;
    struct state *state = node->state;
    bool now = params->place == where && (where != AT_ITEM || state->item == params->at) &&
               state->failures < (params->transient ? TIMES : 1);
    state->failures += now;
    return now;
}

static rm_status strike(rm_node *node, rm_error *err)
{
    const struct params *params = node->params;
    const struct state *state = node->state;
    return rm_fail(err, params->transient ? RM_ETRANSIENT : RM_EFAIL, "the %s of number %u broke",
                   place_names[params->place], state->item);
}

static rm_status send_number(rm_node *node, uint32_t number)
{
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, 64, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = number;
    return rm_emit(node, 0, packet);
}

static rm_status fault_open(rm_node *node, rm_error *err)
{
    if (strikes(node, AT_OPEN)) {
        return strike(node, err);
    }
    atomic_fetch_add(&nodes_open, 1);
    return RM_OK;
}

static void fault_close(rm_node *node)
{
    (void)node;
    atomic_fetch_sub(&nodes_open, 1);
}

/* Emits before it fails: nothing of that may arrive. */
static rm_status send_or_strike(rm_node *node, place where, uint32_t number, rm_error *err)
{
    bool fails = strikes(node, where);
    rm_status status = send_number(node, fails ? FALSE_NUMBER : number);
    return fails && status == RM_OK ? strike(node, err) : status;
}

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    struct state *state = node->state;
    (void)inputs;
    if (state->item == ITEMS) {
        return RM_DONE;
    }
    state->item++;
    rm_status status = send_or_strike(node, AT_ITEM, state->item, err);
    state->item -= status != RM_OK;
    return status;
}

static rm_status middle_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    struct state *state = node->state;
    state->item = inputs->packet[0]->header.stream_id;
    return send_or_strike(node, AT_ITEM, state->item, err);
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    struct state *state = node->state;
    state->item = inputs->packet[0]->header.stream_id;
    if (strikes(node, AT_ITEM)) {
        return strike(node, err);
    }
    atomic_fetch_add(&seen, 1);
    atomic_fetch_add(&sum, state->item);
    atomic_fetch_add(&disorder, state->item < state->last);
    atomic_fetch_add(&false_numbers, state->item == FALSE_NUMBER);
    state->last = state->item;
    return RM_OK;
}

static rm_status tail_flush(rm_node *node, rm_error *err)
{
    return send_or_strike(node, AT_FLUSH, TAIL, err);
}

static rm_status sink_flush(rm_node *node, rm_error *err)
{
    return strikes(node, AT_FLUSH) ? strike(node, err) : RM_OK;
}

static const rm_param table[] = {{.name = "place",
                                  .kind = RM_PARAM_ENUM,
                                  .default_json = "\"none\"",
                                  .choices = "none|open|item|flush"},
                                 {.name = "at",
                                  .kind = RM_PARAM_INT,
                                  .offset = offsetof(struct params, at),
                                  .default_json = "0",
                                  .max = 2 * TAIL},
                                 {.name = "transient",
                                  .kind = RM_PARAM_INT,
                                  .offset = offsetof(struct params, transient),
                                  .default_json = "0",
                                  .max = 1},
                                 {0}};
static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port out[] = {{.name = "out"}, {0}};

#define TYPE(type_name, ...)                                                                       \
    {                                                                                              \
        .struct_size = sizeof(rm_node_type), .name = type_name, .summary = "fails when told",      \
        .params = table, .params_size = sizeof(struct params), .state_size = sizeof(struct state), \
        .open = fault_open, .close = fault_close, __VA_ARGS__                                      \
    }

static const rm_node_type types[] = {
    TYPE("t.source", .outputs = out, .process = source_process, .flush = tail_flush),
    TYPE("t.middle", .inputs = in, .outputs = out, .process = middle_process, .flush = tail_flush),
    TYPE("t.sink", .inputs = in, .process = sink_process, .flush = sink_flush),
    TYPE("t.source_thread", .outputs = out, .process = source_process, .flush = tail_flush,
         .flags = RM_NODE_BLOCKS),
    TYPE("t.middle_thread", .inputs = in, .outputs = out, .process = middle_process,
         .flush = tail_flush, .flags = RM_NODE_BLOCKS),
    TYPE("t.sink_thread", .inputs = in, .process = sink_process, .flush = sink_flush,
         .flags = RM_NODE_BLOCKS),
};

/* ---- one run */

typedef struct fault {
    place place;
    uint32_t at;
    bool transient;
    role role;
    policy policy;
    driver_kind driver;
    bool on_thread; /* the node has a strand of its own */
} fault;

typedef struct outcome {
    rm_status status;
    rm_error error;       /* of the session, or of opening it */
    uint32_t told, ended; /* events */
    rm_error told_error;  /* the first that a policy dealt with */
    rm_status ended_with; /* in the event */
    bool opened;
} outcome;

static rm_registry *registry;

static void on_event(void *context, const rm_event *event)
{
    outcome *o = context;
    if (event->kind == RM_EVENT_ERROR) {
        o->told_error = o->told++ ? o->told_error : *event->error;
    } else if (event->kind == RM_EVENT_ENDED) {
        o->ended++;
        o->ended_with = event->status;
    }
}

static rm_plan *plan_of(const fault *f)
{
    char text[1024], nodes[ROLES][256];
    for (role r = SOURCE; r < ROLES; r++) {
        bool bad = f->place != AT_NONE && r == f->role;
        int bytes = snprintf(
            nodes[r], sizeof nodes[r],
            "{\"id\": \"%s\", \"node_type\": \"t.%s%s\", \"on_error\": {\"policy\": \"%s\", "
            "\"backoff_ms\": 1}, \"params\": {\"place\": \"%s\", \"at\": %u, \"transient\": %d}}",
            role_names[r], role_names[r], r == f->role && f->on_thread ? "_thread" : "",
            bad ? policy_names[f->policy] : "fail", bad ? place_names[f->place] : "none", f->at,
            f->transient);
        CHECK(bytes > 0 && bytes < (int)sizeof nodes[r]);
    }
    snprintf(text, sizeof text,
             "{\"version\": \"v1\", \"nodes\": [%s, %s, %s], \"connections\": [{\"from\": "
             "\"source\", \"to\": \"middle\"}, {\"from\": \"middle\", \"to\": \"sink\"}]}",
             nodes[0], nodes[1], nodes[2]);
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_graph_parse(text, strlen(text), &graph, NULL, &err), RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, NULL, &plan, NULL, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    rm_graph_free(graph);
    return plan;
}

/* Steps with a clock that jumps to the next timer; the threads of other strands take real time. */
static rm_status drive_simulated(rm_session *session)
{
    int64_t now_ns = 0, next_ns = 0;
    for (uint64_t steps = 0; steps < 50000000; steps++) {
        rm_status status = rm_session_step(session, now_ns, 3, &next_ns);
        if (status != RM_MORE && status != RM_PENDING) {
            return status;
        }
        if (status == RM_PENDING && next_ns != INT64_MAX) {
            now_ns = next_ns > now_ns ? next_ns : now_ns;
        }
        sched_yield();
    }
    return RM_EAGAIN;
}

static void run_here(const rm_plan *plan, const rm_session_options *options, outcome *o)
{
    rm_session *session = NULL;
    rm_status status = rm_session_open(plan, options, &session, &o->error);
    o->opened = status == RM_OK;
    if (status == RM_OK) {
        status = options->driver == RM_DRIVER_THREAD ? rm_session_wait(session, WAIT_MS)
                                                     : drive_simulated(session);
        CHECK_INT(rm_session_error(session, &o->error), status == RM_DONE ? RM_OK : status);
    }
    o->status = status;
    rm_session_free(session);
}

#ifdef HAVE_UV
static void run_on_loop(const rm_plan *plan, const rm_session_options *options, outcome *o)
{
    uv_loop_t loop;
    rm_uv_driver *uv = NULL;
    CHECK_INT(uv_loop_init(&loop), 0);
    rm_status status = rm_uv_open(plan, options, &loop, &uv, &o->error);
    o->opened = status == RM_OK;
    CHECK_INT(uv_run(&loop, UV_RUN_DEFAULT), 0);
    if (status == RM_OK) {
        status = o->ended ? o->ended_with : RM_EAGAIN;
        (void)rm_session_error(rm_uv_session(uv), &o->error);
    }
    o->status = status;
    rm_uv_close(uv, NULL, NULL);
    CHECK_INT(uv_run(&loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(uv_loop_close(&loop), 0);
}
#endif

static void run(const fault *f, outcome *o)
{
    *o = (outcome){.status = RM_EAGAIN, .ended_with = RM_EAGAIN};
    seen = sum = disorder = false_numbers = 0;
    rm_plan *plan = plan_of(f);
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver =
                                      f->driver == THREAD ? RM_DRIVER_THREAD : RM_DRIVER_CALLER,
                                  .on_event = on_event,
                                  .event_context = o};
    if (f->driver != LIBUV) {
        run_here(plan, &options, o);
    } else {
#ifdef HAVE_UV
        run_on_loop(plan, &options, o);
#endif
    }
    rm_plan_free(plan);
}

/* ---- what is to be seen of it */

static bool survives(const fault *f)
{
    bool again = f->policy == RETRY && f->transient;
    bool without = (f->policy == SKIP || f->policy == BYPASS) && f->role != SOURCE;
    return f->place == AT_NONE || (f->place != AT_OPEN && (again || without));
}

/* A good end: which numbers came. Both the source and the middle end theirs by a TAIL. */
static void check_delivered(const fault *f)
{
    uint32_t want_seen = ITEMS + 2, want_sum = ITEMS * (ITEMS + 1) / 2 + 2 * TAIL;
    bool lost = f->place != AT_NONE && f->policy != RETRY &&
                !(f->role == SINK && f->place == AT_FLUSH) &&
                !(f->role == MIDDLE && f->place == AT_ITEM && f->policy == BYPASS);
    if (lost) {
        want_seen--;
        want_sum -= f->place == AT_FLUSH ? TAIL : f->at;
    }
    CHECK_INT(seen, want_seen);
    CHECK_INT(sum, want_sum);
}

static void check_named(const fault *f, const rm_error *error)
{
    char cause[64];
    uint32_t number = f->place == AT_ITEM ? f->at : 0;
    snprintf(cause, sizeof cause, "the %s of number ", place_names[f->place]);
    CHECK_CONTAINS(error->message, cause);
    CHECK_CONTAINS(error->message, " broke");
    CHECK_INT(error->status, f->transient ? RM_ETRANSIENT : RM_EFAIL);
    if (f->place == AT_OPEN) {
        CHECK_INT(error->code, RM_CODE_NODE_OPEN);
        CHECK_CONTAINS(error->message, role_names[f->role]);
    } else {
        CHECK_TEXT(error->node, role_names[f->role]);
        CHECK_INT(error->item, number);
    }
}

static void check(const fault *f, const outcome *o)
{
    CHECK_INT(nodes_open, 0);
    CHECK_INT(false_numbers, 0);
    CHECK_INT(disorder, 0);
    CHECK_INT(o->opened, f->place != AT_OPEN);
    CHECK_INT(o->ended, o->opened);
    if (survives(f)) {
        uint32_t told = f->place == AT_NONE ? 0 : f->policy == RETRY ? TIMES : 1;
        CHECK_INT(o->status, RM_DONE);
        CHECK_TEXT(o->error.message, "");
        check_delivered(f);
        CHECK_INT(o->told, told);
        if (o->told) {
            check_named(f, &o->told_error);
        }
        return;
    }
    CHECK_INT(o->status, f->transient ? RM_ETRANSIENT : RM_EFAIL);
    check_named(f, &o->error);
    CHECK_INT(o->told, 0);
    if (f->place == AT_OPEN) {
        CHECK_INT(seen, 0);
        return;
    }
    CHECK_INT(o->ended_with, o->status);
    uint32_t before = f->place == AT_ITEM ? f->at - 1 : ITEMS + 2;
    CHECK(seen <= before);
    if (f->place == AT_ITEM && !f->on_thread && f->driver == SIMULATED) {
        CHECK_INT(seen, before); /* one strand delivers what there is before it makes more */
        CHECK_INT(sum, before * (before + 1) / 2);
    }
}

static void check_fault(const fault *f)
{
    outcome o;
    unsigned failures = rmi_test_failures;
    run(f, &o);
    check(f, &o);
    fault none = {.driver = f->driver};
    run(&none, &o);
    check(&none, &o);
    if (rmi_test_failures != failures) {
        printf("# with: %s of %s, at %u, %s, %s, driver %d%s: %s\n", place_names[f->place],
               role_names[f->role], f->at, f->transient ? "transient" : "for good",
               policy_names[f->policy], (int)f->driver, f->on_thread ? ", own thread" : "",
               o.error.message);
    }
}

static void check_all(driver_kind driver)
{
    static const struct {
        place place;
        uint32_t at;
    } places[] = {{AT_OPEN, 0}, {AT_ITEM, 1}, {AT_ITEM, 2}, {AT_ITEM, ITEMS}, {AT_FLUSH, 0}};
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    for (size_t i = 0; i < RMI_COUNT(types); i++) {
        CHECK_INT(rm_registry_add(registry, &types[i], NULL), RM_OK);
    }
    for (size_t i = 0; i < RMI_COUNT(places); i++) {
        for (unsigned k = 0; k < ROLES * POLICIES * 4; k++) {
            fault f = {.place = places[i].place,
                       .at = places[i].at,
                       .role = k % ROLES,
                       .policy = k / ROLES % POLICIES,
                       .transient = k / ROLES / POLICIES & 1,
                       .on_thread = k / ROLES / POLICIES >> 1,
                       .driver = driver};
            check_fault(&f);
        }
    }
    rm_registry_free(registry);
}

TEST(each_fault_on_the_simulated_driver)
{
    check_all(SIMULATED);
}

TEST(each_fault_on_a_thread)
{
    check_all(THREAD);
}

TEST(each_fault_on_a_libuv_loop)
{
#ifdef HAVE_UV
    check_all(LIBUV);
#else
    SKIP("built without libuv");
#endif
}

TEST_MAIN(T(each_fault_on_the_simulated_driver), T(each_fault_on_a_thread),
          T(each_fault_on_a_libuv_loop))
