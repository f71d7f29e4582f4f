/* on_error_test.c — on_error fallback: another node takes what a node fails on, and what it gives
 * stands in the place of the item. What cannot be is refused with its reason. */
#include "engine/parallel.h"
#include "engine/testnodes.h"

static probe give_probe, fail_probe, spare_probe, take_probe;

/* Each 5th item fails, after it has emitted. */
static rm_status fifth_fails(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    uint32_t number = inputs->packet[0]->header.stream_id;
    rm_status status = send_number(node, 0, 10 * number);
    return status == RM_OK && number % 5 == 0 ? rm_fail(err, RM_EINVAL, "%u is bad", number)
                                              : status;
}

/* Three packets, none, or (each 20th item) an error. */
static rm_status spare_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    uint32_t number = inputs->packet[0]->header.stream_id;
    rm_status status = RM_OK;
    probe_of(node)->seen++;
    if (number % 20 == 0) {
        return rm_fail(err, RM_EINVAL, "%u is bad here too", number);
    }
    for (uint32_t i = 0; i < (number % 2 ? 3 : 0) && status == RM_OK; i++) {
        status = send_number(node, 0, 10 * number + i);
    }
    return status;
}

static rm_registry *registry_of_types(void)
{
    static rm_node_type types[6];
    static const rm_port two_out[] = {{.name = "a"}, {.name = "b"}, {0}};
    rm_registry *registry = NULL;
    types[0] = source_type(&give_probe);
    types[0].name = "t.give";
    types[1] = node_type(&fail_probe, fifth_fails);
    types[1].name = "t.fail";
    types[2] = node_type(&spare_probe, spare_process);
    types[2].name = "t.spare";
    types[3] = sink_type(&take_probe);
    types[3].name = "t.take";
    types[4] = node_type(&spare_probe, spare_process);
    types[4].name = "t.other";
    types[4].outputs = two_out;
    types[5] = node_type(&spare_probe, spare_process);
    types[5].name = "t.apart";
    types[5].flags = RM_NODE_BLOCKS;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    for (size_t i = 0; i < RMI_COUNT(types); i++) {
        types[i].summary = "a test's";
        CHECK_INT(rm_registry_add(registry, &types[i], NULL), RM_OK);
    }
    return registry;
}

/* give ─▶ x ─▶ take, and a node y beside them. */
static rm_status plan_of(rm_registry *registry, const char *x, const char *y, const char *edges,
                         rm_plan **ret_plan, rm_error *err)
{
    char json[1024];
    rm_graph *graph = NULL;
    snprintf(json, sizeof json,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"give\",\"node_type\":\"t.give\"},"
             "{\"id\":\"x\",\"node_type\":\"t.fail\",%s},{\"id\":\"y\",\"node_type\":%s},"
             "{\"id\":\"take\",\"node_type\":\"t.take\"}],\"connections\":[{\"from\":\"give\","
             "\"to\":\"x\"},{\"from\":\"x\",\"to\":\"take\"}%s]}",
             x, y, edges);
    rm_status status = rm_graph_parse(json, strlen(json), &graph, NULL, err);
    if (status == RM_OK) {
        status = rm_graph_plan(graph, registry, NULL, ret_plan, NULL, err);
    }
    rm_graph_free(graph);
    return status;
}

#define FALLBACK "\"on_error\":{\"policy\":\"fallback\",\"fallback\":\"y\"}"

typedef struct run {
    rm_registry *registry;
    rm_plan *plan;
    rm_session *session;
} run;

static run begin(const char *x, const char *y, uint32_t items)
{
    run r = {.registry = registry_of_types()};
    rm_error err = RM_ERROR_INIT;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    give_probe = (probe){.left = items};
    fail_probe = spare_probe = take_probe = (probe){0};
    CHECK_INT(plan_of(r.registry, x, y, "", &r.plan, &err), RM_OK);
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

TEST(what_the_fallback_gives_stands_in_the_place_of_the_item)
{
    static const char *const spares[] = {"\"t.spare\",\"on_error\":\"skip\"",
                                         "\"t.apart\",\"on_error\":\"skip\""};
    for (size_t i = 0; i < RMI_COUNT(spares); i++) { /* beside the node, and on another thread */
        char *metrics = NULL;
        run r = begin(FALLBACK, spares[i], 100);
        CHECK_INT(drive(r.session, 1000), RM_DONE);
        CHECK_INT(spare_probe.seen, 20);
        CHECK_INT(take_probe.seen, 80 + 10 * 3);
        CHECK(!take_probe.out_of_order);
        CHECK_INT(rm_session_metrics(r.session, &metrics, NULL), RM_OK);
        CHECK_CONTAINS(metrics, "\"fallbacks\":20");
        rm_free(metrics);
        const rmi_node *x = rmi_session_find(r.session, "x");
        CHECK_INT(x->errors, 20);
        CHECK_INT(x->emitted, 100); /* 80 and what the fallback got; marks are not counted */
        end(&r);
    }
}

TEST(a_fallback_may_follow_retries)
{
    run r = begin("\"on_error\":{\"policy\":\"retry\",\"attempts\":2,\"backoff_ms\":0,\"then\":"
                  "\"fallback\",\"fallback\":\"y\"}",
                  "\"t.spare\",\"on_error\":\"skip\"", 50);
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(take_probe.seen, 40 + 5 * 3);
    CHECK(!take_probe.out_of_order);
    end(&r);
}

TEST(an_error_of_the_fallback_is_its_own)
{
    rm_error err;
    run r = begin(FALLBACK, "\"t.spare\"", 100);
    CHECK_INT(drive(r.session, 1000), RM_EINVAL);
    CHECK_INT(rm_session_error(r.session, &err), RM_EINVAL);
    CHECK_TEXT(err.node, "y");
    CHECK_INT(err.item, 4); /* the 20th item of x */
    end(&r);
}

TEST(an_interrupt_of_either_empties_both)
{
    static const char *const names[] = {"x", "y", "x.gather"};
    for (size_t i = 0; i < RMI_COUNT(names); i++) {
        int64_t next_ns;
        run r = begin(FALLBACK, "\"t.apart\",\"on_error\":\"skip\"", 400);
        while (take_probe.seen < 100) {
            (void)rm_session_step(r.session, rmi_clock_ns(), 10, &next_ns);
        }
        CHECK_INT(rm_session_interrupt(r.session, names[i]), RM_OK);
        CHECK_INT(drive(r.session, 1000), RM_DONE);
        CHECK(!take_probe.out_of_order);
        CHECK_INT(take_probe.last, 3990); /* the 399th is good, the 400th is bad at both */
        end(&r);
    }
}

TEST(times_are_repaired_behind_both)
{
    run r = begin(FALLBACK ",\"pts\":\"fill\"", "\"t.spare\",\"on_error\":\"skip\"", 40);
    CHECK_INT(rmi_session_find(r.session, "x")->options.pts, RMI_PTS_KEEP);
    CHECK_INT(rmi_session_find(r.session, "x.gather")->options.pts, RMI_PTS_FILL);
    CHECK_INT(drive(r.session, 1000), RM_DONE);
    CHECK_INT(take_probe.seen, 32 + 4 * 3);
    end(&r);
}

TEST(what_is_no_fallback_is_refused)
{
    static const struct {
        const char *x, *y, *edges, *part;
    } rows[] = {
        {"\"on_error\":\"fallback\"", "\"t.spare\"", "", "lacks the field \"fallback\""},
        {"\"on_error\":{\"policy\":\"fallback\",\"fallback\":\"yy\"}", "\"t.spare\"", "",
         "is 'yy', which is no node: did you mean 'y'?"},
        {"\"on_error\":{\"policy\":\"fallback\",\"fallback\":\"x\"}", "\"t.spare\"", "",
         "is its own fallback"},
        {FALLBACK, "\"t.spare\",\"on_error\":{\"policy\":\"fallback\",\"fallback\":\"x\"}", "",
         "has a fallback itself"},
        {FALLBACK, "\"t.other\"", "", "has other outputs than it"},
        {FALLBACK, "\"t.take\"", "", "has other outputs than it"},
        {FALLBACK, "\"t.give\"", "", "want just one input each"},
        {FALLBACK, "\"t.spare\"", ",{\"from\":\"give\",\"to\":\"y\"}", "is connected to 'give'"},
        {FALLBACK, "\"t.spare\"", ",{\"from\":\"y\",\"to\":\"take\"}", "is connected to 'take'"},
    };
    rm_registry *registry = registry_of_types();
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_plan *plan = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(plan_of(registry, rows[i].x, rows[i].y, rows[i].edges, &plan, &err), RM_EINVAL);
        CHECK_CONTAINS(err.message, rows[i].part);
        rm_plan_free(plan);
    }
    rm_registry_free(registry);
}

TEST_MAIN(T(what_the_fallback_gives_stands_in_the_place_of_the_item),
          T(a_fallback_may_follow_retries), T(an_error_of_the_fallback_is_its_own),
          T(an_interrupt_of_either_empties_both), T(times_are_repaired_behind_both),
          T(what_is_no_fallback_is_refused))
