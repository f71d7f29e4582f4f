/* change_test.c — the graph of a session that runs is changed: nothing that flows is lost, doubled
 * or out of order, on one strand and on several, and a change that fails leaves all as it was. */
#include "engine/testnodes.h"

#include <stdio.h>
#include <string.h>

#include <remotemedia/change.h>

#include "engine/drivers/sim.h"
#include "graph/plan.h"

enum { RANDOM_SEEDS = 60, THREAD_CHANGES = 300 };

/* ---- nodes */

static probe source_probe, sink_probe[2], pass_probe, broken_probe, live_probe;
static uint32_t delays_open, kept_open, flush_refusals;
static bool gate_closed;

/* Holds some packets back; its flush gives them. */
typedef struct delay {
    uint32_t number[4];
    uint32_t count, given;
} delay;

static rm_status delay_open(rm_node *node, rm_error *err)
{
    (void)node;
    (void)err;
    delays_open++;
    return RM_OK;
}

static void delay_close(rm_node *node)
{
    (void)node;
    delays_open--;
}

static rm_status delay_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    delay *d = node->state;
    (void)err;
    if (d->count < 4) {
        d->number[d->count++] = inputs->packet[0]->header.stream_id;
        return RM_OK;
    }
    rm_status status = send_number(node, 0, d->number[0]);
    if (status == RM_OK) {
        memmove(d->number, d->number + 1, 3 * sizeof d->number[0]);
        d->number[3] = inputs->packet[0]->header.stream_id;
    }
    return status;
}

static rm_status delay_flush(rm_node *node, rm_error *err)
{
    delay *d = node->state;
    (void)err;
    if (d->given == d->count) {
        return RM_OK;
    }
    rm_status status = send_number(node, 0, d->number[d->given]);
    if (status != RM_OK) {
        return status;
    }
    if (d->given == 1 && flush_refusals) { /* what it sent is not sent: this call did nothing */
        flush_refusals--;
        rm_node_wake_at(node, rm_node_now(node) + 1);
        return RM_EAGAIN;
    }
    if (++d->given < d->count) {
        return RM_MORE;
    }
    d->given = d->count = 0;
    return RM_OK;
}

static rm_status delay_save(rm_node *node, rm_blob *blob, rm_error *err)
{
    (void)err;
    return rm_blob_append(blob, node->state, sizeof(delay));
}

static rm_status delay_load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    (void)err;
    memcpy(node->state, data, bytes);
    kept_open++;
    return RM_OK;
}

static rm_status broken_open(rm_node *node, rm_error *err)
{
    (void)node;
    return rm_fail(err, RM_EFAIL, "no such device");
}

/* Waits 50 us before each call that gives something. */
static rm_status slow_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    if (atomic_fetch_add(&probe_of(node)->tries, 1) % 2 == 0) {
        rm_node_wake_at(node, rm_node_now(node) + 50000);
        return RM_EAGAIN;
    }
    return source_process(node, inputs, err);
}

/* The work of each item is out until the test brings it back. */
static rm_node *busy;

static rm_status busy_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    (void)inputs;
    busy = node;
    rm_status status = rm_forward(node, 0);
    return status == RM_OK ? RM_PENDING : status;
}

static rm_status forward_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    (void)inputs;
    return rm_forward(node, 0);
}

static rm_status gated_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    if (gate_closed) {
        rm_node_wake_at(node, rm_node_now(node) + 1);
        return RM_EAGAIN;
    }
    return sink_process(node, inputs, err);
}

typedef struct live_params {
    int64_t gain, size;
} live_params;

static const rm_param live_table[] = {{.name = "gain",
                                       .kind = RM_PARAM_INT,
                                       .flags = RM_PARAM_LIVE,
                                       .offset = 0,
                                       .default_json = "1",
                                       .max = 100,
                                       .summary = "may change"},
                                      {.name = "size",
                                       .kind = RM_PARAM_INT,
                                       .offset = offsetof(live_params, size),
                                       .default_json = "1",
                                       .max = 100,
                                       .summary = "may not"},
                                      {0}};

static rm_node_type types[15];

static void make_types(void)
{
    rm_node_type delayed = type_of("t.delay", NULL);
    delayed.open = delay_open;
    delayed.close = delay_close;
    delayed.process = delay_process;
    delayed.flush = delay_flush;
    delayed.control = NULL;
    delayed.state_size = sizeof(delay);
    rm_node_type kept = delayed;
    kept.name = "t.kept";
    kept.save = delay_save;
    kept.load = delay_load;
    rm_node_type broken = node_type(&broken_probe, pass_process);
    broken.name = "t.broken";
    broken.open = broken_open;
    types[0] = source_type(&source_probe);
    types[11] = types[0];
    types[11].name = "t.slow";
    types[11].process = slow_process;
    types[11].flags = RM_NODE_BLOCKS;
    types[1] = sink_type(&sink_probe[0]);
    types[2] = sink_type(&sink_probe[1]);
    types[2].name = "t.sink2";
    types[3] = node_type(&pass_probe, forward_process);
    types[3].name = "t.pass";
    types[4] = delayed;
    types[5] = kept;
    types[6] = broken;
    types[7] = delayed;
    types[7].name = "t.thread";
    types[7].flags = RM_NODE_BLOCKS;
    types[8] = node_type(&live_probe, pass_process);
    types[8].name = "t.live";
    types[8].params = live_table;
    types[8].params_size = sizeof(live_params);
    types[9] = node_type(&pass_probe, forward_process);
    types[9].name = "t.python";
    types[9].flags = RM_NODE_PYTHON;
    types[13] = node_type(&pass_probe, busy_process);
    types[13].name = "t.busy";
    types[10] = types[1];
    types[10].name = "t.far_sink";
    types[10].flags = RM_NODE_BLOCKS;
    types[12] = types[1];
    types[12].name = "t.gated";
    types[12].process = gated_process;
}

static rm_registry *registry_of_types(void)
{
    rm_registry *registry = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    make_types();
    for (size_t i = 0; types[i].name; i++) {
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rm_registry_add(registry, &types[i], &err), RM_OK);
        CHECK_TEXT(err.message, "");
    }
    source_probe = pass_probe = live_probe = broken_probe = (probe){0};
    sink_probe[0] = sink_probe[1] = (probe){0};
    delays_open = kept_open = flush_refusals = 0;
    gate_closed = false;
    return registry;
}

static rm_plan *plan_of(rm_registry *registry, const char *manifest)
{
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_graph_parse(manifest, strlen(manifest), &graph, NULL, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_INT(rm_graph_plan(graph, registry, NULL, &plan, NULL, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    rm_graph_free(graph);
    return plan;
}

#define HEAD "{\"version\": \"v1\", \"nodes\": ["
#define NODE(id, type) "{\"id\": \"" id "\", \"node_type\": \"" type "\"}"
#define LINK(from, to, packets) \
    "{\"from\": \"" from "\", \"to\": \"" to "\", \"capacity\": " #packets "}"

static const char chain[] =
    HEAD NODE("source", "t.source") "," NODE("a", "t.delay") "," NODE("b", "t.pass") "," NODE(
        "sink", "t.sink") "], \"connections\": [" LINK("source", "a",
                                                       3) "," LINK("a", "b",
                                                                   2) "," LINK("b", "sink", 2) "]}";

/* Two strands besides the home strand, and a fork. */
#define SPREAD(source)                                                                                                    \
    HEAD                                                                                                                  \
        NODE("source", source) "," NODE("a", "t.thread") "," NODE("b", "t.pass") "," NODE("sink", "t.far_sink") "," NODE( \
            "c",                                                                                                          \
            "t.kept") "," NODE("other",                                                                                   \
                               "t.sink2") "], "                                                                           \
                                          "\"connections\": [" LINK("source", "a", 3) "," LINK(                           \
                                              "a", "b",                                                                   \
                                              2) "," LINK("b", "sink",                                                    \
                                                          2) "," LINK("a", "c",                                           \
                                                                      2) "," LINK("c", "other",                           \
                                                                                  5) "]}"
static const char spread[] = SPREAD("t.source"), slow_spread[] = SPREAD("t.slow");

/* ---- random changes */

typedef struct random_run {
    rm_session *session;
    uint64_t random;
    uint32_t made, refused, later, next_id;
    int64_t pause_ns_max;
} random_run;

static uint32_t draw(random_run *run, uint32_t bound)
{
    run->random = run->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(run->random >> 33) % bound;
}

static const char *draw_type(random_run *run)
{
    static const char *const names[] = {"t.pass", "t.delay", "t.kept"};
    return names[draw(run, 3)];
}

static bool is_inner(const rmi_plan_node *node)
{
    return node->pub.type->inputs && node->pub.type->outputs;
}

static rm_status insert_one(random_run *run, rm_change *change)
{
    const rm_plan *plan = run->session->plan;
    const rm_plan_edge *edge = &plan->edges[draw(run, (uint32_t)plan->edge_count)].pub;
    char node[120];
    snprintf(node, sizeof node, "{\"id\": \"n%u\", \"node_type\": \"%s\"}", run->next_id++,
             draw_type(run));
    const char *from = plan->nodes[edge->from_node]->id, *to = plan->nodes[edge->to_node]->id;
    uint32_t how = draw(run, 3);
    return rm_change_insert(change, node, how == 1 ? NULL : from, how == 2 ? NULL : to, NULL);
}

static rm_status change_one(random_run *run, rm_change *change, uint32_t how)
{
    const rm_plan *plan = run->session->plan;
    const rmi_plan_node *node = plan->nodes[draw(run, (uint32_t)plan->node_count)];
    char json[120];
    if (how == 0) {
        return plan->node_count < 30 ? insert_one(run, change) : RM_OK;
    }
    if (!is_inner(node)) {
        return RM_OK;
    }
    if (how == 1) {
        return plan->node_count > 5 ? rm_change_remove(change, node->id, NULL) : RM_OK;
    }
    snprintf(json, sizeof json, "{\"node_type\": \"%s\", \"x-turn\": %u}",
             node->pub.type == &types[7] ? "t.thread" : draw_type(run), run->next_id++);
    return rm_change_replace(change, node->id, json, NULL);
}

static void change_randomly(random_run *run)
{
    rm_change *change = NULL;
    int64_t pause_ns = 0;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_change_new(run->session, &change, &err), RM_OK);
    for (uint32_t i = 0; i <= draw(run, 3); i++) {
        (void)!change_one(run, change, draw(run, 3)); /* some name what is gone by then */
    }
    rm_status status = rm_change_commit(change, &pause_ns, &err);
    run->made += status == RM_OK;
    run->later += status == RM_EAGAIN;
    run->refused += status != RM_OK && status != RM_EAGAIN;
    if (status != RM_OK && status != RM_EAGAIN && !strstr(err.message, "has ended") &&
        !strstr(err.message, "over") && !strstr(err.message, "ending") &&
        !strstr(err.message, "needs a thread")) {
        CHECK_TEXT(err.message, "");
    }
    run->pause_ns_max = pause_ns > run->pause_ns_max ? pause_ns : run->pause_ns_max;
    rm_change_free(change);
}

static void check_arrivals(const probe *sink, uint32_t count, uint64_t seed)
{
    if (sink->seen != count || sink->sum != sum_to(count) || sink->out_of_order) {
        printf("# seed %llu\n", (unsigned long long)seed);
    }
    CHECK_INT(sink->seen, count);
    CHECK_INT(sink->sum, sum_to(count));
    CHECK(!sink->out_of_order);
}

static void run_random_simulated(const char *manifest, uint64_t seed, random_run *total)
{
    enum { COUNT = 400 };
    rm_registry *registry = registry_of_types();
    rm_plan *plan = plan_of(registry, manifest);
    rmi_sim *sim = NULL;
    source_probe.left = COUNT;
    CHECK_INT(rmi_sim_new(plan, 0, NULL, seed, &sim, NULL), RM_OK);
    random_run run = {.session = sim->session, .random = seed};
    rm_status status = RM_MORE;
    while (status == RM_MORE) {
        status = rmi_sim_step(sim);
        if (draw(&run, 12) == 0 && status == RM_MORE) {
            change_randomly(&run);
        }
    }
    CHECK_INT(status, RM_DONE);
    check_arrivals(&sink_probe[0], COUNT, seed);
    if (strstr(manifest, "t.sink2")) {
        check_arrivals(&sink_probe[1], COUNT, seed);
    }
    rmi_sim_free(sim);
    CHECK_INT(delays_open, 0);
    rm_plan_free(plan);
    rm_registry_free(registry);
    total->made += run.made;
    total->later += run.later;
    total->refused += run.refused;
}

static void run_random_seeds(const char *manifest)
{
    random_run total = {0};
    for (uint64_t seed = 1; seed <= RANDOM_SEEDS; seed++) {
        run_random_simulated(manifest, seed, &total);
    }
    printf("# %u changes made, %u not at that moment, %u refused at the end\n", total.made,
           total.later, total.refused);
    CHECK(total.made > 5 * RANDOM_SEEDS);
}

TEST(random_changes_of_a_chain_lose_and_double_nothing)
{
    run_random_seeds(chain);
}

TEST(random_changes_over_several_strands_lose_and_double_nothing)
{
    run_random_seeds(spread);
}

TEST(random_changes_while_threads_run_lose_and_double_nothing)
{
    enum { COUNT = 20000 };
    rm_registry *registry = registry_of_types();
    rm_plan *plan = plan_of(registry, slow_spread);
    rm_session *session = NULL;
    source_probe.left = COUNT;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_THREAD};
    CHECK_INT(rm_session_open(plan, &options, &session, NULL), RM_OK);
    random_run run = {.session = session, .random = 7};
    while (rm_session_wait(session, 0) == RM_EAGAIN && run.made < THREAD_CHANGES) {
        change_randomly(&run);
    }
    CHECK_INT(rm_session_wait(session, 60000), RM_DONE);
    check_arrivals(&sink_probe[0], COUNT, 7);
    check_arrivals(&sink_probe[1], COUNT, 7);
    printf("# %u changes made, longest pause %lld us\n", run.made,
           (long long)(run.pause_ns_max / 1000));
    CHECK(run.made > 20);
    rm_session_free(session);
    CHECK_INT(delays_open, 0);
    rm_plan_free(plan);
    rm_registry_free(registry);
}

/* ---- one at a time */

/* A session of the manifest, stepped so far that packets are queued everywhere. */
typedef struct fixture {
    rm_registry *registry;
    rm_plan *plan;
    rm_session *session;
    rm_change *change;
} fixture;

static void begin(fixture *f, const char *manifest, uint32_t count)
{
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    f->registry = registry_of_types();
    f->plan = plan_of(f->registry, manifest);
    source_probe.left = count;
    CHECK_INT(rm_session_open(f->plan, &options, &f->session, NULL), RM_OK);
    CHECK(rm_session_step(f->session, 0, 40, NULL) >= RM_OK);
    CHECK_INT(rm_change_new(f->session, &f->change, NULL), RM_OK);
}

static void end(fixture *f, uint32_t count)
{
    CHECK_INT(drive(f->session, 100), RM_DONE);
    check_arrivals(&sink_probe[0], count, 0);
    rm_change_free(f->change);
    rm_session_free(f->session);
    rm_plan_free(f->plan);
    rm_registry_free(f->registry);
    CHECK_INT(delays_open, 0);
}

#define NEW(id, type) "{\"id\": \"" id "\", \"node_type\": \"" type "\"}"

TEST(a_node_that_cannot_be_opened_leaves_the_graph_as_it_was)
{
    fixture f;
    rm_error err = RM_ERROR_INIT;
    begin(&f, chain, 200);
    rmi_node *a = rmi_session_find(f.session, "a");
    CHECK_INT(rm_change_insert(f.change, NEW("x", "t.delay"), "a", NULL, &err), RM_OK);
    CHECK_INT(rm_change_replace(f.change, "b", "{\"node_type\": \"t.broken\"}", &err), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EFAIL);
    CHECK_TEXT(err.node, "b");
    CHECK_CONTAINS(err.message, "no such device");
    CHECK_INT(delays_open, 1); /* the new one was closed again */
    CHECK(rmi_session_find(f.session, "a") == a);
    CHECK(rmi_session_find(f.session, "x") == NULL);
    CHECK_INT(f.session->node_count, 4);
    end(&f, 200);
}

TEST(what_the_plan_refuses_leaves_the_graph_as_it_was)
{
    static const struct {
        const char *connection, *says;
    } rows[] = {{"{\"from\": \"b\", \"to\": \"a\"}", "cycle"},
                {"{\"from\": \"b\", \"to\": \"none\"}", "does not exist"},
                {"{\"from\": \"b\", \"to\": \"sink\", \"to_port\": \"x\"}", "has no input port"}};
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        fixture f;
        rm_error err = RM_ERROR_INIT;
        begin(&f, chain, 100);
        CHECK_INT(rm_change_connect(f.change, rows[i].connection, NULL), RM_OK);
        CHECK(rm_change_commit(f.change, NULL, &err) < 0);
        CHECK_CONTAINS(err.message, rows[i].says);
        end(&f, 100);
    }
}

TEST(what_cannot_come_or_go_is_refused)
{
    static const struct {
        const char *type, *says;
    } rows[] = {{"t.thread", "needs a thread"}};
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        fixture f;
        char json[100];
        rm_error err = RM_ERROR_INIT;
        begin(&f, chain, 100);
        snprintf(json, sizeof json, "{\"id\": \"x\", \"node_type\": \"%s\"}", rows[i].type);
        CHECK_INT(rm_change_insert(f.change, json, "a", "b", NULL), RM_OK);
        CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EUNSUPPORTED);
        CHECK_CONTAINS(err.message, rows[i].says);
        end(&f, 100);
    }
}

TEST(live_parameters_keep_the_node_and_others_replace_it)
{
    static const char manifest[] =
        HEAD NODE("source", "t.source") "," NODE("live", "t.live") "," NODE(
            "sink", "t.sink") "], \"connections\": [" LINK("source", "live",
                                                           3) "," LINK("live", "sink", 2) "]}";
    fixture f;
    begin(&f, manifest, 300);
    rmi_node *live = rmi_session_find(f.session, "live");
    CHECK_INT(rm_change_params(f.change, "live", "{\"gain\": 7}", NULL), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, NULL), RM_OK);
    CHECK(rmi_session_find(f.session, "live") == live);
    CHECK_INT(((const live_params *)live->pub.params)->gain, 7);
    rm_change_free(f.change);
    CHECK_INT(rm_change_new(f.session, &f.change, NULL), RM_OK);
    CHECK_INT(rm_change_params(f.change, "live", "{\"size\": 5}", NULL), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, NULL), RM_OK);
    live = rmi_session_find(f.session, "live");
    CHECK_INT(((const live_params *)live->pub.params)->size, 5);
    CHECK_INT(((const live_params *)live->pub.params)->gain, 7);
    CHECK_INT(live_probe.opened, 2);
    CHECK_INT(live_probe.closed, 1);
    end(&f, 300);
}

TEST(state_is_handed_over_where_both_know_it)
{
    fixture f;
    begin(&f, chain, 300);
    CHECK_INT(rm_change_replace(f.change, "a", "{\"node_type\": \"t.kept\"}", NULL), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, NULL), RM_OK);
    CHECK_INT(kept_open, 0); /* the old one saves nothing: it flushed */
    rm_change_free(f.change);
    CHECK_INT(rm_session_step(f.session, 0, 40, NULL), RM_MORE);
    CHECK_INT(rm_change_new(f.session, &f.change, NULL), RM_OK);
    CHECK_INT(rm_change_replace(f.change, "a", "{\"node_type\": \"t.kept\", \"x-turn\": 2}", NULL),
              RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, NULL), RM_OK);
    CHECK_INT(kept_open, 1);
    end(&f, 300);
}

TEST(a_flush_that_is_not_over_as_a_change_is_refused_goes_on_before_the_next_item)
{
    for (uint32_t refusals = 1; refusals <= 6; refusals++) {
        fixture f;
        rm_error err = RM_ERROR_INIT;
        begin(&f, chain, 300);
        flush_refusals = refusals;
        CHECK_INT(rm_change_remove(f.change, "a", NULL), RM_OK);
        CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EAGAIN);
        CHECK_CONTAINS(err.message, "node 'a' is not done with what it holds back");
        int64_t now_ns = 0;
        while (rm_change_commit(f.change, NULL, NULL) == RM_EAGAIN && now_ns < 1000) {
            CHECK(rm_session_step(f.session, now_ns++, 1, NULL) >= RM_OK);
        }
        CHECK(rmi_session_find(f.session, "a") == NULL);
        CHECK(sink_probe[0].seen < 250);
        CHECK_INT(flush_refusals, 0);
        end(&f, 300);
    }
}

TEST(a_flush_that_is_not_over_as_a_swap_is_refused_goes_on_before_the_next_item)
{
    fixture f;
    begin(&f, chain, 300);
    flush_refusals = 3;
    CHECK_INT(rm_session_swap(f.session, "a", &types[3], "{}", NULL), RM_EAGAIN);
    int64_t now_ns = 0;
    while (rm_session_swap(f.session, "a", &types[3], "{}", NULL) == RM_EAGAIN && now_ns < 1000) {
        CHECK(rm_session_step(f.session, now_ns++, 1, NULL) >= RM_OK);
    }
    CHECK(sink_probe[0].seen < 250);
    CHECK_INT(flush_refusals, 0);
    end(&f, 300);
}

TEST(an_interrupt_ends_a_flush_for_a_change)
{
    fixture f;
    begin(&f, chain, 300);
    flush_refusals = UINT32_MAX;
    CHECK_INT(rm_change_remove(f.change, "a", NULL), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, NULL), RM_EAGAIN);
    CHECK(rm_session_step(f.session, 1, 20, NULL) >= RM_OK);
    rmi_node *a = rmi_session_find(f.session, "a");
    CHECK(a->draining && a->flushing);
    CHECK_INT(rm_session_interrupt(f.session, "a"), RM_OK);
    flush_refusals = 0;
    CHECK(rm_session_step(f.session, 2, 1, NULL) >= RM_OK);
    CHECK(!a->draining && !a->flushing && !a->stalled);
    rm_change_free(f.change); /* it holds 'a' back */
    CHECK_INT(drive(f.session, 100), RM_DONE);
    CHECK_INT(sink_probe[0].last, 300);
    rm_session_free(f.session);
    rm_plan_free(f.plan);
    rm_registry_free(f.registry);
}

static void commit_and_begin_anew(fixture *f)
{
    CHECK_INT(rm_change_commit(f->change, NULL, NULL), RM_OK);
    rm_change_free(f->change);
    CHECK_INT(rm_change_new(f->session, &f->change, NULL), RM_OK);
}

/* The packet was looked at for the condition, and leaves by an edge without one. */
TEST(that_a_packet_met_a_condition_is_forgotten_as_it_leaves)
{
    static const char manifest[] = HEAD NODE("source", "t.source") "," NODE("b", "t.pass") "," NODE(
        "sink", "t.gated") "], \"connections\": [" LINK("source", "b",
                                                        2) ", "
                                                           "{\"from\": \"b\", \"to\": \"sink\", "
                                                           "\"capacity\": 2, "
                                                           "\"when\": {\"field\": \"stream_id\", "
                                                           "\"below\": 101}}]}";
    fixture f;
    begin(&f, manifest, 300);
    gate_closed = true;
    CHECK_INT(rm_session_step(f.session, 0, 40, NULL), RM_PENDING);
    rmi_node *b = rmi_session_find(f.session, "b");
    CHECK(b->state == RMI_NODE_HOLDING && b->outbox_checked);
    CHECK_INT(rm_change_insert(f.change, NEW("x", "t.pass"), "b", NULL, NULL), RM_OK);
    commit_and_begin_anew(&f);
    gate_closed = false;
    CHECK_INT(rm_session_step(f.session, 1, 200, NULL), RM_MORE);
    CHECK(b->state == RMI_NODE_IDLE && b->calls > 110);
    uint64_t emitted = b->emitted;
    CHECK_INT(rm_change_remove(f.change, "x", NULL), RM_OK);
    commit_and_begin_anew(&f);
    CHECK_INT(b->emitted, emitted);
    end(&f, 100);
}

TEST(a_branch_is_added_and_hears_from_then_on)
{
    fixture f;
    begin(&f, chain, 300);
    CHECK_INT(rm_change_add(f.change, NEW("more", "t.sink2"), NULL), RM_OK);
    CHECK_INT(rm_change_connect(f.change, "{\"from\": \"b\", \"to\": \"more\"}", NULL), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, NULL), RM_OK);
    uint32_t before = sink_probe[0].seen;
    end(&f, 300);
    CHECK(sink_probe[1].seen > 200 && sink_probe[1].seen <= 300 - before);
    CHECK(!sink_probe[1].out_of_order);
    CHECK_INT(sink_probe[1].last, 300);
}

static uint32_t count_retired(const rm_session *session)
{
    uint32_t count = 0;
    for (const rmi_node *node = session->retired.nodes; node; node = node->next_retired) {
        count++;
    }
    for (const rmi_link *link = session->retired.links; link; link = link->next_retired) {
        count++;
    }
    for (const rm_plan *plan = session->retired.plans; plan; plan = plan->next) {
        count++;
    }
    return count;
}

TEST(what_a_change_took_out_goes_with_the_next_one)
{
    enum { TIMES = 50, RETIRED_MAX = 16 };
    fixture f;
    begin(&f, chain, 2000);
    for (uint32_t i = 0; i < TIMES; i++) {
        char json[100];
        snprintf(json, sizeof json, "{\"node_type\": \"%s\", \"x-turn\": %u}",
                 i % 2 ? "t.pass" : "t.delay", i);
        CHECK_INT(rm_change_replace(f.change, "b", json, NULL), RM_OK);
        if (i % 4 == 2) { /* a message about it waits for the step */
            rm_node_ready(&rmi_session_find(f.session, "b")->pub);
        }
        commit_and_begin_anew(&f);
        CHECK(count_retired(f.session) < RETIRED_MAX);
        CHECK(i % 4 || rm_session_step(f.session, 0, 8, NULL) >= RM_OK);
    }
    end(&f, 2000);
}

TEST(operations_say_what_is_wrong)
{
    fixture f;
    rm_error err = RM_ERROR_INIT;
    begin(&f, spread, 100);
    CHECK_INT(rm_change_remove(f.change, "sourc", &err), RM_ENOENT);
    CHECK_CONTAINS(err.help, "'source'");
    CHECK_INT(rm_change_remove(f.change, "source", &err), RM_EINVAL);
    CHECK_INT(rm_change_insert(f.change, NEW("b", "t.pass"), "a", NULL, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "already");
    CHECK_INT(rm_change_insert(f.change, NEW("x", "t.pass"), "c", "sink", &err), RM_ENOENT);
    CHECK_INT(rm_change_disconnect(f.change, "c", "sink", &err), RM_ENOENT);
    CHECK_INT(rm_change_replace(f.change, "b", "[]", &err), RM_EINVAL);
    rm_change *other = NULL;
    CHECK_INT(rm_change_new(f.session, &other, NULL), RM_OK);
    CHECK_INT(rm_change_remove(other, "b", NULL), RM_OK);
    CHECK_INT(rm_change_commit(other, NULL, NULL), RM_OK);
    CHECK_INT(rm_change_remove(f.change, "b", NULL), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "changed since");
    rm_change_free(other);
    end(&f, 100);
}

/* ---- waiting for the moment */

static const char busy_chain[] = HEAD NODE("source", "t.source") "," NODE("a", "t.busy") "," NODE(
    "sink", "t.sink") "], \"connections\": [" LINK("source", "a", 3) "," LINK("a", "sink", 2) "]}";

/* It gets its next item within the same step. */
static void bring_back(rm_session *session)
{
    rm_node *node = busy;
    busy = NULL;
    if (node) {
        rm_node_complete(node, RM_OK, NULL);
    }
    CHECK(rm_session_step(session, 0, 40, NULL) >= RM_OK);
}

TEST(a_node_that_is_never_idle_gets_no_new_item_until_it_is_replaced)
{
    fixture f;
    rm_error err = RM_ERROR_INIT;
    begin(&f, busy_chain, 100);
    bring_back(f.session);
    CHECK_INT(rm_change_replace(f.change, "a", "{\"node_type\": \"t.python\"}", &err), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EAGAIN);
    CHECK_CONTAINS(err.message, "'a' is within an item");
    bring_back(f.session);
    CHECK(busy == NULL);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_OK);
    end(&f, 100);
}

TEST(a_change_that_is_given_up_holds_nobody_back)
{
    fixture f;
    rm_error err = RM_ERROR_INIT;
    begin(&f, busy_chain, 100);
    CHECK_INT(rm_change_remove(f.change, "a", &err), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EAGAIN);
    bring_back(f.session);
    CHECK(busy == NULL);
    rm_change_free(f.change);
    f.change = NULL;
    while (sink_probe[0].seen < 100) {
        bring_back(f.session);
    }
    end(&f, 100);
}

typedef struct visited {
    uint32_t visits, undone;
    bool within, refuses;
} visited;

static rm_status visit_node(void *context, rm_error *err)
{
    visited *v = context;
    v->visits++;
    v->within |= busy != NULL;
    return v->refuses ? rm_fail(err, RM_EFAIL, "too loud") : RM_OK;
}

static void undo_visit(void *context)
{
    ((visited *)context)->undone++;
}

TEST(a_node_that_stays_is_visited_between_two_items)
{
    fixture f;
    visited v = {0};
    rm_error err = RM_ERROR_INIT;
    begin(&f, busy_chain, 100);
    bring_back(f.session);
    const rmi_node *a = rmi_session_find(f.session, "a");
    CHECK_INT(rm_change_visit(f.change, "none", visit_node, NULL, &v, &err), RM_ENOENT);
    CHECK_INT(rm_change_visit(f.change, "a", visit_node, undo_visit, &v, &err), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EAGAIN);
    CHECK_CONTAINS(err.message, "'a' is within an item");
    CHECK_INT(v.visits, 0);
    bring_back(f.session);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_OK);
    CHECK(v.visits == 1 && !v.within && v.undone == 0);
    CHECK(rmi_session_find(f.session, "a") == a);
    while (sink_probe[0].seen < 100) {
        bring_back(f.session);
    }
    end(&f, 100);
}

TEST(a_visit_that_fails_refuses_the_change_and_undoes_those_before_it)
{
    fixture f;
    visited first = {0}, second = {.refuses = true};
    rm_error err = RM_ERROR_INIT;
    begin(&f, chain, 100);
    CHECK_INT(rm_change_visit(f.change, "source", visit_node, undo_visit, &first, &err), RM_OK);
    CHECK_INT(rm_change_visit(f.change, "b", visit_node, undo_visit, &second, &err), RM_OK);
    CHECK_INT(rm_change_insert(f.change, NEW("x", "t.delay"), "a", NULL, &err), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EFAIL);
    CHECK_TEXT(err.node, "b");
    CHECK(first.visits == 1 && first.undone == 1 && second.visits == 1 && second.undone == 0);
    CHECK(rmi_session_find(f.session, "x") == NULL);
    rm_change_free(f.change);
    CHECK_INT(rm_change_new(f.session, &f.change, NULL), RM_OK);
    CHECK_INT(rm_change_visit(f.change, "b", visit_node, undo_visit, &first, &err), RM_OK);
    CHECK_INT(rm_change_remove(f.change, "b", &err), RM_OK);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "'b' comes or goes with this change");
    CHECK_INT(first.visits, 1);
    end(&f, 100);
}

TEST(a_change_can_be_planned_before_it_is_made)
{
    fixture f;
    rm_error err = RM_ERROR_INIT;
    const rm_plan *plan = NULL;
    rm_plan_node node;
    begin(&f, chain, 100);
    CHECK(!rm_change_is_new(f.change, 0));
    CHECK_INT(rm_change_insert(f.change, NEW("x", "t.pass"), "a", NULL, &err), RM_OK);
    CHECK_INT(rm_change_plan(f.change, &plan, &err), RM_OK);
    CHECK_INT(rm_plan_node_count(plan), 5);
    for (size_t i = 0; i < 5; i++) {
        rm_plan_node_at(plan, i, &node);
        CHECK_INT(rm_change_is_new(f.change, i) != 0, strcmp(node.id, "x") == 0);
    }
    CHECK(!rm_change_is_new(f.change, 5));
    CHECK_INT(rm_change_remove(f.change, "b", &err), RM_EINVAL);
    CHECK_INT(rm_change_commit(f.change, NULL, &err), RM_OK);
    CHECK(rm_session_plan(f.session) == plan);
    end(&f, 100);
}

/* ---- real nodes */

static uint64_t frames_counted;
static uint32_t rate_seen, packets_counted;
static int64_t next_pts_ns, worst_gap_ns;

static rm_status count_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const rm_packet_header *header = &inputs->packet[0]->header;
    (void)node;
    (void)err;
    int64_t gap_ns = llabs(header->pts_ns - next_pts_ns);
    worst_gap_ns = gap_ns > worst_gap_ns ? gap_ns : worst_gap_ns;
    next_pts_ns = header->pts_ns + header->duration_ns;
    rate_seen = header->format.audio.rate_hz;
    frames_counted += header->instance.audio.frames;
    packets_counted++;
    return RM_OK;
}

static void replace_resampler(rm_session *session, uint32_t turn)
{
    rm_change *change = NULL;
    rm_error err = RM_ERROR_INIT;
    char json[160];
    snprintf(json, sizeof json,
             "{\"node_type\": \"audio.resample\", \"params\": {\"rate_hz\": 16000, "
             "\"quality\": \"%s\"}}",
             turn % 2 ? "low" : "medium");
    CHECK_INT(rm_change_new(session, &change, &err), RM_OK);
    CHECK_INT(rm_change_replace(change, "resample", json, &err), RM_OK);
    CHECK_INT(rm_change_commit(change, NULL, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    rm_change_free(change);
}

TEST(a_resampler_of_a_running_48_khz_stream_is_replaced_without_a_gap)
{
    static const char manifest[] =
        HEAD "{\"id\": \"tone\", \"node_type\": \"test.tone\", \"params\": {\"rate_hz\": 48000, "
             "\"duration_ms\": 10000, \"packet_ms\": 20}},"
             "{\"id\": \"resample\", \"node_type\": \"audio.resample\", \"params\": {\"rate_hz\": "
             "16000}}," NODE("count", "t.count") "]}";
    rm_node_type counter = sink_type(&sink_probe[0]);
    const rm_node_type *resampler;
    counter.name = "t.count";
    counter.process = count_process;
    rm_registry *registry = registry_of_types();
    rm_session *session = NULL;
    if (rm_registry_find(registry, "audio.resample", &resampler, NULL) != RM_OK) {
        printf("# built without libsoxr\n");
        rm_registry_free(registry);
        return;
    }
    CHECK_INT(rm_registry_add(registry, &counter, NULL), RM_OK);
    rm_plan *plan = plan_of(registry, manifest);
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    CHECK_INT(rm_session_open(plan, &options, &session, NULL), RM_OK);
    for (uint32_t turn = 0; turn < 20; turn++) {
        CHECK_INT(rm_session_step(session, rmi_clock_ns(), 20, NULL), RM_MORE);
        replace_resampler(session, turn);
    }
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(frames_counted, 160000); /* of 480,000 */
    CHECK_INT(rate_seen, 16000);
    CHECK(worst_gap_ns < 1000); /* no packet lost: each begins where the one before it ended */
    rm_session_free(session);
    rm_plan_free(plan);
    rm_registry_free(registry);
}

TEST_MAIN(T(random_changes_of_a_chain_lose_and_double_nothing),
          T(random_changes_over_several_strands_lose_and_double_nothing),
          T(random_changes_while_threads_run_lose_and_double_nothing),
          T(a_node_that_cannot_be_opened_leaves_the_graph_as_it_was),
          T(what_the_plan_refuses_leaves_the_graph_as_it_was), T(what_cannot_come_or_go_is_refused),
          T(live_parameters_keep_the_node_and_others_replace_it),
          T(state_is_handed_over_where_both_know_it),
          T(a_flush_that_is_not_over_as_a_change_is_refused_goes_on_before_the_next_item),
          T(a_flush_that_is_not_over_as_a_swap_is_refused_goes_on_before_the_next_item),
          T(an_interrupt_ends_a_flush_for_a_change),
          T(that_a_packet_met_a_condition_is_forgotten_as_it_leaves),
          T(a_branch_is_added_and_hears_from_then_on),
          T(what_a_change_took_out_goes_with_the_next_one), T(operations_say_what_is_wrong),
          T(a_node_that_is_never_idle_gets_no_new_item_until_it_is_replaced),
          T(a_change_that_is_given_up_holds_nobody_back),
          T(a_node_that_stays_is_visited_between_two_items),
          T(a_visit_that_fails_refuses_the_change_and_undoes_those_before_it),
          T(a_change_can_be_planned_before_it_is_made),
          T(a_resampler_of_a_running_48_khz_stream_is_replaced_without_a_gap))
