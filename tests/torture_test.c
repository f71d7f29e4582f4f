/* torture_test.c — memory runs out at each allocation of the library in turn: every constructor,
 * parser and a whole run of a session answer RM_ENOMEM or do without, and leave nothing behind (the
 * same test runs under LeakSanitizer). What jansson and msgpack-c allocate is left out: jansson's
 * parser itself crashes without memory. */

#include <stdlib.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "base/alloc.h"
#include "base/test.h"

enum { ALLOCATIONS_MAX = 20000 };

/* Runs the attempt with its 1st, 2nd, 3rd … allocation failing, until none fails. */
static void torture(rm_status (*attempt)(void))
{
    unsigned nth = 1;
    for (; nth < ALLOCATIONS_MAX; nth++) {
        rmi_alloc_fault_begin(nth);
        rm_status status = attempt();
        bool struck = rmi_alloc_fault_end();
        if (status != RM_OK && (!struck || status != RM_ENOMEM)) {
            RMI_TEST_FAIL("allocation %u failed: %s, want RM_ENOMEM", nth, rm_status_name(status));
        }
        if (!struck) {
            CHECK_INT(status, RM_OK);
            break;
        }
    }
    CHECK(nth > 1 && nth < ALLOCATIONS_MAX);
}

/* ---- nodes to run: a source of numbers, one that works on a thread of its own, a sink */

enum { NUMBERS = 20 };

struct counter {
    int64_t seen;
};

static uint32_t numbers_arrived;

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    struct counter *counter = node->state;
    rm_packet *packet = NULL;
    (void)inputs;
    if (counter->seen == NUMBERS) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, 16, &packet);
    if (status != RM_OK) {
        return status < 0 ? rm_fail(err, status, "no memory for a number") : status;
    }
    counter->seen++;
    packet->header.kind = RM_KIND_BYTES;
    return rm_emit(node, 0, packet);
}

static rm_status pass_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

static rm_status pass_save(rm_node *node, rm_blob *blob, rm_error *err)
{
    (void)err;
    return rm_blob_append(blob, node->state, sizeof(struct counter));
}

static rm_status pass_load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    (void)err;
    if (bytes != sizeof(struct counter)) {
        return RM_EINVAL;
    }
    memcpy(node->state, data, bytes);
    return RM_OK;
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    ((struct counter *)node->state)->seen++;
    numbers_arrived++;
    return RM_OK;
}

static const rm_param params[] = {{.name = "level_db",
                                   .kind = RM_PARAM_FLOAT,
                                   .flags = RM_PARAM_LIVE,
                                   .default_json = "1.5",
                                   .max = 10,
                                   .unit = "dB"},
                                  {.name = "label",
                                   .kind = RM_PARAM_STRING,
                                   .offset = sizeof(double),
                                   .default_json = "\"none\""},
                                  {0}};
static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port out[] = {{.name = "out"}, {0}};
static const rm_port same[] = {{.name = "out", .same_as = "in"}, {0}};

static const rm_node_type source_type = {.struct_size = sizeof(rm_node_type),
                                         .name = "t.source",
                                         .summary = "numbers",
                                         .outputs = out,
                                         .state_size = sizeof(struct counter),
                                         .process = source_process,
                                         .checkpoint = pass_save,
                                         .restore = pass_load};
static const rm_node_type pass_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "t.pass",
                                       .summary = "pass",
                                       .inputs = in,
                                       .outputs = same,
                                       .params = params,
                                       .params_size = 2 * sizeof(double),
                                       .state_size = sizeof(struct counter),
                                       .process = pass_process,
                                       .save = pass_save,
                                       .load = pass_load};
static const rm_node_type slow_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "t.slow",
                                       .summary = "pass, on a thread of its own",
                                       .flags = RM_NODE_BLOCKS,
                                       .inputs = in,
                                       .outputs = same,
                                       .process = pass_process};
static const rm_node_type sink_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "t.sink",
                                       .summary = "sink",
                                       .inputs = in,
                                       .state_size = sizeof(struct counter),
                                       .process = sink_process,
                                       .checkpoint = pass_save,
                                       .restore = pass_load};

static rm_status registry_of(rm_registry **ret_registry)
{
    static const rm_node_type *const types[] = {&source_type, &pass_type, &slow_type, &sink_type};
    rm_status status = rm_registry_new(ret_registry, NULL);
    for (size_t i = 0; i < RMI_COUNT(types) && status == RM_OK; i++) {
        status = rm_registry_add(*ret_registry, types[i], NULL);
    }
    return status;
}

/* ---- what is tortured */

static rm_status attempt_report(void)
{
    rm_report *report = NULL;
    rm_status status = rm_report_new(&report, NULL);
    if (status == RM_OK) {
        rm_finding finding = {
            .severity = RM_SEVERITY_ERROR, .message = "a", .help = "b", .pointer = ""};
        rm_report_add(report, &finding);
        CHECK_INT(rm_report_error_count(report), 1);
    }
    rm_report_free(report);
    return status;
}

static rm_status attempt_formats(void)
{
    rm_formats formats;
    return rm_formats_parse(
        "audio rate_hz=8000..48000 channels=1,2 | video fourcc=I420,NV12 | text", &formats, NULL);
}

static rm_status attempt_log_filter(void)
{
    return rm_log_set_filter("info,audio.*:debug,engine:trace", NULL);
}

static rm_status attempt_value(void)
{
    static const char json[] = "{\"a\":[1,2.5,null,true,{\"$bytes\":\"AAEC\"},{\"$tuple\":[1]}],"
                               "\"b\":{\"$int\":\"123456789012345678901234567890\"}}";
    void *data = NULL;
    size_t bytes;
    char *again = NULL;
    rm_status status = rm_value_from_json(json, sizeof json - 1, &data, &bytes, NULL);
    if (status == RM_OK) {
        status = rm_value_to_json(data, bytes, &again, NULL);
    }
    rm_free(data);
    rm_free(again);
    return status;
}

static const char manifest[] =
    "{\"version\": \"v1\", \"metadata\": {\"name\": \"m\"}, \"nodes\": ["
    "{\"id\": \"source\", \"node_type\": \"t.source\"},"
    "{\"id\": \"a\", \"node_type\": \"t.pass\", \"params\": {\"level_db\": 2, \"label\": \"x\"},"
    " \"on_error\": {\"policy\": \"retry\", \"attempts\": 2}},"
    "{\"id\": \"b\", \"node_type\": \"t.pass\"},"
    "{\"id\": \"sink\", \"node_type\": \"t.sink\", \"merge\": \"any\"}],"
    " \"connections\": [{\"from\": \"source\", \"to\": \"a\", \"capacity\": {\"packets\": 2}},"
    "{\"from\": \"source\", \"to\": \"b\"}, {\"from\": \"a\", \"to\": \"sink\"}],"
    " \"outputs\": {\"o\": {\"node\": \"b\"}}}";

static rm_status attempt_manifest(void)
{
    rm_report *report = NULL;
    rm_graph *graph = NULL, *changed = NULL;
    char *json = NULL;
    rm_status status = rm_report_new(&report, NULL);
    if (status == RM_OK) {
        status = rm_graph_parse(manifest, sizeof manifest - 1, &graph, report, NULL);
    }
    if (status == RM_OK) {
        status = rm_graph_set_param(graph, "a", "level_db", "3", &changed, NULL);
    }
    if (status == RM_OK) {
        status = rm_graph_to_json(changed, &json, NULL);
    }
    rm_free(json);
    rm_graph_free(changed);
    rm_graph_free(graph);
    rm_report_free(report);
    return status;
}

/* Errors too need memory, to be told. */
static rm_status attempt_wrong_manifest(void)
{
    static const char wrong[] = "{\"version\": \"v1\", \"nodes\": [{\"id\": \"a\"}, {\"id\": \"a\","
                                " \"node_type\": 7}], \"connections\": [{\"from\": \"b\"}]}";
    rm_report *report = NULL;
    rm_graph *graph = NULL;
    rm_status status = rm_report_new(&report, NULL);
    if (status == RM_OK) {
        status = rm_graph_parse(wrong, sizeof wrong - 1, &graph, report, NULL);
        CHECK(status == RM_EINVAL || status == RM_ENOMEM);
    }
    rm_report_free(report);
    return status == RM_EINVAL ? RM_OK : status;
}

static rm_status attempt_registry(void)
{
    rm_registry *registry = NULL;
    char *json = NULL;
    rm_status status = registry_of(&registry);
    if (status == RM_OK) {
        status = rm_node_type_schema(&pass_type, &json, NULL);
    }
    rm_free(json);
    rm_registry_free(registry);
    return status;
}

static rm_status attempt_module(void)
{
    rm_registry *registry = NULL;
    const rm_node_type *type;
    rm_status status = rm_registry_new(&registry, NULL);
    if (status == RM_OK) {
        status = rm_registry_find(registry, "test.pass", &type, NULL);
    }
    rm_registry_free(registry);
    return status;
}

static rm_status plan_of(const char *inline_text, rm_registry *registry, rm_plan **ret_plan)
{
    rm_graph *graph = NULL;
    rm_status status = inline_text
                           ? rm_graph_parse_inline(inline_text, &graph, NULL)
                           : rm_graph_parse(manifest, sizeof manifest - 1, &graph, NULL, NULL);
    if (status == RM_OK) {
        status = rm_graph_plan(graph, registry, NULL, ret_plan, NULL, NULL);
    }
    rm_graph_free(graph);
    return status;
}

static rm_status attempt_plan(void)
{
    rm_registry *registry = NULL;
    rm_plan *plan = NULL;
    char *json = NULL;
    rm_status status = registry_of(&registry);
    if (status == RM_OK) {
        status = plan_of(NULL, registry, &plan);
    }
    if (status == RM_OK) {
        status = rm_plan_to_json(plan, &json, NULL);
    }
    rm_free(json);
    rm_plan_free(plan);
    rm_registry_free(registry);
    return status;
}

/* Steps to the end. Strands with threads of their own may need a while. */
static rm_status run(rm_session *session)
{
    rm_status status;
    int64_t now_ns = 0;
    do {
        rm_packet *packet;
        status = rm_session_step(session, now_ns += 1000, 10, NULL);
        while (rm_session_output(session, "o", &(uint32_t){0}, NULL) == RM_OK &&
               rm_session_pull(session, 0, &packet) == RM_OK) {
            rm_packet_unref(packet);
        }
    } while (status == RM_MORE || status == RM_PENDING);
    return status == RM_DONE ? RM_OK : status;
}

static rm_status open_with(rm_session_options options, const char *inline_text,
                           rm_status (*use)(rm_session *))
{
    rm_registry *registry = NULL;
    rm_plan *plan = NULL;
    rm_session *session = NULL;
    options.struct_size = sizeof options;
    options.driver = RM_DRIVER_CALLER;
    rm_status status = registry_of(&registry);
    if (status == RM_OK) {
        status = plan_of(inline_text, registry, &plan);
    }
    if (status == RM_OK) {
        status = rm_session_open(plan, &options, &session, NULL);
    }
    if (status == RM_OK) {
        status = use(session);
    }
    rm_session_free(session);
    rm_plan_free(plan);
    rm_registry_free(registry);
    return status;
}

static rm_status open_and_run(const char *inline_text, rm_status (*use)(rm_session *))
{
    return open_with((rm_session_options){0}, inline_text, use);
}

static rm_status attempt_session(void)
{
    return open_and_run(NULL, run);
}

static rm_status attempt_links(void)
{
    return open_and_run("t.source ! t.slow ! t.sink", run);
}

static void keep(void *owner)
{
    (void)owner;
}

static rm_status operate(rm_session *session)
{
    char *json = NULL;
    rm_packet *packet = NULL;
    rm_status status = rm_session_step(session, 0, 10, NULL);
    if (status < 0) {
        return status;
    }
    status = rm_session_set_params(session, "pass", "{\"level_db\": 4}", NULL);
    if (status == RM_OK) {
        status = rm_session_swap(session, "pass", &pass_type, "{\"label\": \"y\"}", NULL);
    }
    if (status == RM_OK) {
        status = rm_session_metrics(session, &json, NULL);
    }
    if (status == RM_OK) {
        status = rm_session_packet_new(session, 100, &packet);
    }
    if (status == RM_OK) {
        rm_packet_unref(packet);
        packet = NULL;
        status = rm_session_packet_new_foreign(session, json, 1, keep, NULL, &packet);
    }
    if (status == RM_OK) {
        rm_packet_unref(packet);
        status = run(session);
    }
    rm_free(json);
    return status;
}

static rm_status attempt_operations(void)
{
    return open_and_run("t.source ! t.pass ! t.sink", operate);
}

/* Nodes are kept, replaced, put in and taken out. */
static rm_status describe(rm_change *change)
{
    rm_status status = rm_change_params(change, "pass", "{\"level_db\": 4}", NULL);
    if (status == RM_OK) {
        status = rm_change_replace(change, "slow", "{\"node_type\": \"t.pass\"}", NULL);
    }
    if (status == RM_OK) {
        status = rm_change_insert(change, "{\"id\": \"new\", \"node_type\": \"t.pass\"}", "pass",
                                  NULL, NULL);
    }
    return status == RM_OK ? rm_change_remove(change, "pass2", NULL) : status;
}

/* Whether it is made or not: the session goes on, and no number is lost. */
static rm_status change_graph(rm_session *session)
{
    rm_change *change = NULL;
    numbers_arrived = 0;
    rm_status begun = rm_session_step(session, 0, 4, NULL);
    rm_status status = begun < 0 ? begun : rm_change_new(session, &change, NULL);
    if (status == RM_OK) {
        status = describe(change);
    }
    if (status == RM_OK) {
        do {
            status = rm_change_commit(change, NULL, NULL);
        } while (status == RM_EAGAIN && rm_session_step(session, 0, 1, NULL) >= 0);
    }
    rm_change_free(change);
    rm_status result = run(session);
    CHECK(result != RM_OK || numbers_arrived == NUMBERS);
    /* Where a node had no memory before, the session was over. */
    bool over = status == RM_ECANCELED || status == RM_EAGAIN;
    return status == RM_OK || over ? result : status;
}

static rm_status attempt_change(void)
{
    return open_and_run("t.source ! t.pass ! t.slow ! t.pass ! t.sink", change_graph);
}

static char state_folder[] = "/tmp/remotemedia-torture-XXXXXX";

/* In the middle, with something queued. */
static rm_status leave(rm_session *session)
{
    rm_status status = RM_OK;
    for (int64_t i = 1; i <= 3 && status >= 0; i++) {
        status = rm_session_step(session, i, 3, NULL);
    }
    return status < 0 ? status : rm_session_checkpoint(session, NULL, 1000, NULL);
}

static rm_status go_on(rm_session *session)
{
    CHECK_INT(rm_session_resumed(session), 1);
    return run(session);
}

static void remove_checkpoints(void)
{
    static const char *const names[] = {"checkpoint-00000001.rmc", "checkpoint.part"};
    for (size_t i = 0; i < RMI_COUNT(names); i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/%s", state_folder, names[i]);
        (void)unlink(path);
    }
}

static rm_status attempt_checkpoint(void)
{
    static const char line[] = "t.source ! t.pass ! t.sink";
    remove_checkpoints();
    rm_session_options options = {.checkpoint_folder = state_folder, .checkpoint_interval_ms = -1};
    rm_status status = open_with(options, line, leave);
    return status == RM_OK ? open_with(options, line, go_on) : status;
}

static rm_status attempt_record(void)
{
    char record[64];
    static const char line[] = "t.source ! t.pass ! t.sink";
    rm_registry *registry = NULL;
    rm_replay *replay = NULL;
    snprintf(record, sizeof record, "/tmp/remotemedia-torture-%d.rmrec", (int)getpid());
    rm_status status = open_with((rm_session_options){.record_path = record}, line, run);
    if (status == RM_OK) {
        status = registry_of(&registry);
    }
    if (status == RM_OK) {
        status = rm_replay_open(record, registry, NULL, &replay, NULL);
    }
    if (status == RM_OK) {
        status = rm_replay_run(replay, NULL);
        status = status == RM_DONE ? RM_OK : status;
    }
    rm_replay_free(replay);
    rm_registry_free(registry);
    (void)unlink(record);
    return status;
}

static rm_status attempt_harness(void)
{
    rm_harness *harness = NULL;
    rm_packet *packet = NULL;
    rm_status status = rm_harness_load("test.pass", NULL, &harness, NULL);
    if (status == RM_OK) {
        status = rm_harness_packet_new(harness, 10, &packet);
    }
    if (status == RM_OK) {
        packet->header.kind = RM_KIND_BYTES;
        status = rm_packet_set_metadata(packet, "\x80", 1);
        if (status != RM_OK || (status = rm_harness_push(harness, 0, packet)) != RM_OK) {
            rm_packet_unref(packet);
        }
    }
    if (status == RM_OK) {
        rm_harness_end(harness, 0);
        status = rm_harness_run(harness, NULL);
        status = status == RM_PENDING || status == RM_DONE ? RM_OK : status;
    }
    rm_harness_free(harness);
    return status;
}

#define TORTURE(what)                            \
    TEST(what##_survives_each_failed_allocation) \
    {                                            \
        torture(attempt_##what);                 \
    }

TORTURE(report)
TORTURE(value)
TORTURE(manifest)
TORTURE(wrong_manifest)
TORTURE(registry)
TORTURE(module)
TORTURE(plan)
TORTURE(session)
TORTURE(links)
TORTURE(operations)
TORTURE(change)
TORTURE(record)
TORTURE(harness)

TEST(checkpoint_survives_each_failed_allocation)
{
    CHECK(mkdtemp(state_folder) != NULL);
    torture(attempt_checkpoint);
    remove_checkpoints();
    CHECK_INT(rmdir(state_folder), 0);
}

TEST(formats_and_log_filter_need_no_memory)
{
    uint64_t before = rmi_alloc_count();
    CHECK_INT(attempt_formats(), RM_OK);
    CHECK_INT(attempt_log_filter(), RM_OK);
    CHECK_INT(rmi_alloc_count() - before, 0);
}

TEST_MAIN(T(report_survives_each_failed_allocation), T(value_survives_each_failed_allocation),
          T(manifest_survives_each_failed_allocation),
          T(wrong_manifest_survives_each_failed_allocation),
          T(registry_survives_each_failed_allocation), T(module_survives_each_failed_allocation),
          T(plan_survives_each_failed_allocation), T(session_survives_each_failed_allocation),
          T(links_survives_each_failed_allocation), T(operations_survives_each_failed_allocation),
          T(change_survives_each_failed_allocation), T(harness_survives_each_failed_allocation),
          T(checkpoint_survives_each_failed_allocation), T(record_survives_each_failed_allocation),
          T(formats_and_log_filter_need_no_memory))
