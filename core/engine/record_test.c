/* record_test.c — a run on several threads, with a merge, drops, retries, parameters that change
 * and an interrupt, is recorded and replayed, and each sink gets the same; a node that does
 * otherwise is named; a record that is cut short is replayed up to there, one that is damaged is
 * refused with the place. Runs clean under the thread sanitizer. */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { NUMBERS = 400, SINKS = 2, WAIT_MS = 60000, CUTS = 40, FLIPS = 60 };

static char folder[] = "/tmp/remotemedia-record-XXXXXX";
static char record[128];
static rm_registry *registry;

/* What arrived, in its order; of the run, and of its replay. */
static struct arrivals {
    uint64_t number[4 * NUMBERS];
    uint32_t count;
} arrivals[SINKS];

static uint64_t planted_at; /* `sum` adds wrongly at this item */
static bool planted_answer; /* `flaky` does not fail */

typedef struct params {
    int64_t which;
    int64_t gain;
} params;

typedef struct state {
    uint64_t count, sum, failed;
} state;

static rm_status emit(rm_node *node, uint64_t number)
{
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, sizeof number, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    memcpy(packet->payload, &number, sizeof number);
    return rm_emit(node, 0, packet);
}

static uint64_t number_of(const rm_inputs *inputs)
{
    uint64_t number;
    memcpy(&number, inputs->packet[0]->payload, sizeof number);
    return number;
}

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const params *p = node->params;
    state *s = node->state;
    (void)inputs;
    (void)err;
    if (s->count == NUMBERS) {
        return RM_DONE;
    }
    rm_status status = emit(node, (uint64_t)p->which * 1000000 + s->count);
    s->count += status == RM_OK;
    return status;
}

static rm_status flaky_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    state *s = node->state;
    uint64_t number = number_of(inputs);
    if (number % 7 == 0 && s->failed != number + 1 && !planted_answer) {
        s->failed = number + 1;
        return rm_fail(err, RM_ETRANSIENT, "not now");
    }
    return rm_forward(node, 0);
}

/* What it gives tells the order in which all before came. */
static rm_status sum_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const params *p = node->params;
    state *s = node->state;
    (void)err;
    s->sum = s->sum * 31 + number_of(inputs) * (uint64_t)p->gain;
    s->sum += ++s->count == planted_at;
    return emit(node, s->sum);
}

static rm_status sum_control(rm_node *node, const rm_control *control, rm_error *err)
{
    state *s = node->state;
    (void)err;
    s->sum += control->op == RM_CONTROL_INTERRUPT;
    return RM_OK;
}

static rm_status sum_flush(rm_node *node, rm_error *err)
{
    const state *s = node->state;
    (void)err;
    return emit(node, s->count);
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const params *p = node->params;
    struct arrivals *to = &arrivals[p->which];
    (void)err;
    to->number[to->count++] = number_of(inputs);
    return RM_OK;
}

static const rm_param table[] = {{.name = "which",
                                  .kind = RM_PARAM_INT,
                                  .offset = offsetof(params, which),
                                  .default_json = "0",
                                  .summary = "its number"},
                                 {.name = "gain",
                                  .kind = RM_PARAM_INT,
                                  .flags = RM_PARAM_LIVE,
                                  .offset = offsetof(params, gain),
                                  .default_json = "1",
                                  .summary = "what it multiplies by"},
                                 {0}};
static const rm_port in[] = {{.name = "in"}, {0}}, out[] = {{.name = "out"}, {0}};

#define TYPE(type_name, type_flags, in_ports, out_ports, ...)                                   \
    {                                                                                           \
        .struct_size = sizeof(rm_node_type), .name = type_name, .summary = "See record_test.c", \
        .flags = type_flags, .inputs = in_ports, .outputs = out_ports, .params = table,         \
        .params_size = sizeof(params), .state_size = sizeof(state), __VA_ARGS__                 \
    }

static const rm_node_type types[] = {
    TYPE("r.source", RM_NODE_BLOCKS, NULL, out, .process = source_process),
    TYPE("r.flaky", 0, in, out, .process = flaky_process),
    TYPE("r.sum", 0, in, out, .process = sum_process, .control = sum_control, .flush = sum_flush),
    TYPE("r.sum.own", RM_NODE_BLOCKS, in, out, .process = sum_process, .control = sum_control,
         .flush = sum_flush),
    TYPE("r.sink", 0, in, NULL, .process = sink_process)};

/* Two threads feed a merge, and one of them a third one over an edge that drops. */
static const char manifest[] =
    "{\"version\":\"v1\",\"metadata\":{\"name\":\"recorded\"},\"nodes\":["
    "{\"id\":\"a\",\"node_type\":\"r.source\",\"params\":{\"which\":1}},"
    "{\"id\":\"b\",\"node_type\":\"r.source\",\"params\":{\"which\":2}},"
    "{\"id\":\"flaky\",\"node_type\":\"r.flaky\",\"on_error\":{\"policy\":\"retry\",\"attempts\":3,"
    "\"backoff_ms\":0}},"
    "{\"id\":\"sum\",\"node_type\":\"r.sum\"},"
    "{\"id\":\"late\",\"node_type\":\"r.sum.own\"},"
    "{\"id\":\"sink0\",\"node_type\":\"r.sink\",\"params\":{\"which\":0}},"
    "{\"id\":\"sink1\",\"node_type\":\"r.sink\",\"params\":{\"which\":1}}],\"connections\":["
    "{\"from\":\"a\",\"to\":\"flaky\"},{\"from\":\"b\",\"to\":\"flaky\"},"
    "{\"from\":\"flaky\",\"to\":\"sum\"},{\"from\":\"sum\",\"to\":\"sink0\"},"
    "{\"from\":\"b\",\"to\":\"late\",\"capacity\":{\"packets\":1},\"policy\":\"drop_oldest\"},"
    "{\"from\":\"late\",\"to\":\"sink1\"}]}";

static rm_plan *make_plan(rm_graph **ret_graph)
{
    rm_plan *plan = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_graph_parse(manifest, sizeof manifest - 1, ret_graph, NULL, &err), RM_OK);
    CHECK_INT(rm_graph_plan(*ret_graph, registry, NULL, &plan, NULL, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    return plan;
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/remotemedia-record-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(record, sizeof record, "%s/run.rmrec", folder);
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    for (size_t i = 0; i < RMI_COUNT(types); i++) {
        CHECK_INT(rm_registry_add(registry, &types[i], NULL), RM_OK);
    }
    memset(arrivals, 0, sizeof arrivals);
    planted_at = 0;
    planted_answer = false;
}

static void end(void)
{
    (void)unlink(record);
    CHECK_INT(rmdir(folder), 0);
    rm_registry_free(registry);
}

static void record_a_run(rm_session_options *options, bool disturbed)
{
    rm_graph *graph = NULL;
    rm_session *session = NULL;
    rm_error err = RM_ERROR_INIT;
    rm_plan *plan = make_plan(&graph);
    options->struct_size = sizeof *options;
    options->driver = RM_DRIVER_THREAD;
    options->record_path = record;
    CHECK_INT(rm_session_open(plan, options, &session, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    if (disturbed) {
        CHECK_INT(rm_session_set_params(session, "sum", "{\"gain\":3}", &err), RM_OK);
        CHECK_INT(rm_session_interrupt(session, "late"), RM_OK);
        CHECK_INT(rm_session_interrupt(session, "flaky"), RM_OK);
        CHECK_INT(rm_session_set_params(session, "sum", "{\"gain\":5}", &err), RM_OK);
    }
    CHECK_INT(rm_session_wait(session, WAIT_MS), RM_DONE);
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
}

/* report NULL: nobody asks. */
static rm_status replay(bool with_sinks, rm_error *err, char **report)
{
    rm_replay_options options = {
        .struct_size = sizeof options, .with_sinks = with_sinks, .folder = folder};
    rm_replay *again = NULL;
    *err = (rm_error)RM_ERROR_INIT;
    rm_status status = rm_replay_open(record, registry, &options, &again, err);
    if (status != RM_OK) {
        return status;
    }
    status = rm_replay_run(again, err);
    if (report) {
        CHECK_INT(rm_replay_report(again, report, NULL), RM_OK);
    }
    rm_replay_free(again);
    return status;
}

static void check_same_again(void)
{
    static struct arrivals before[SINKS];
    rm_error err;
    memcpy(before, arrivals, sizeof before);
    memset(arrivals, 0, sizeof arrivals);
    CHECK_INT(replay(true, &err, NULL), RM_DONE);
    CHECK_TEXT(err.message, "");
    CHECK(before[0].count > 0 && before[1].count > 0);
    for (size_t i = 0; i < SINKS; i++) {
        CHECK_INT(arrivals[i].count, before[i].count);
        CHECK(memcmp(before[i].number, arrivals[i].number, sizeof before[i].number) == 0);
    }
}

/* ---- */

TEST(a_run_on_threads_comes_out_the_same_again)
{
    for (int i = 0; i < 5; i++) {
        begin();
        record_a_run(&(rm_session_options){0}, false);
        CHECK_INT(arrivals[0].count, 2 * NUMBERS + 1);
        check_same_again();
        end();
    }
}

TEST(interrupts_and_new_parameters_come_again)
{
    for (int i = 0; i < 5; i++) {
        begin();
        record_a_run(&(rm_session_options){0}, true);
        check_same_again();
        end();
    }
}

TEST(without_payloads_the_sources_run_again)
{
    begin();
    record_a_run(&(rm_session_options){.record_without_payloads = 1}, false);
    check_same_again();
    end();
}

TEST(a_node_that_does_otherwise_is_named_with_the_item)
{
    rm_error err;
    begin();
    record_a_run(&(rm_session_options){0}, false);
    CHECK_INT(replay(false, &err, NULL), RM_DONE);
    planted_at = 7;
    CHECK(replay(false, &err, NULL) < 0);
    CHECK_INT(err.code, RM_CODE_REPLAY_DIFFERS);
    CHECK_INT(err.item, 7);
    CHECK(strcmp(err.node, "sum") == 0 || strcmp(err.node, "late") == 0);
    CHECK(strstr(err.message, "packet 7 of 'out' has another payload") != NULL);
    end();
}

TEST(a_failure_that_does_not_come_again_is_told)
{
    rm_error err;
    begin();
    record_a_run(&(rm_session_options){0}, false);
    planted_answer = true;
    CHECK(replay(false, &err, NULL) < 0);
    CHECK_INT(err.code, RM_CODE_REPLAY_DIFFERS);
    CHECK_TEXT(err.node, "flaky");
    CHECK(strstr(err.message, "came to RM_OK, recorded: RM_ETRANSIENT") != NULL);
    end();
}

static long file_bytes(void)
{
    FILE *file = fopen(record, "rbe");
    CHECK(file != NULL);
    (void)fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    (void)fclose(file);
    return bytes;
}

TEST(what_is_left_of_a_record_is_replayed)
{
    rm_error err;
    char *report = NULL;
    begin();
    record_a_run(&(rm_session_options){0}, false);
    long bytes = file_bytes();
    CHECK_INT(truncate(record, bytes - 1), 0);
    CHECK_INT(replay(false, &err, &report), RM_DONE);
    CHECK(report && strstr(report, "\"whole\":false") != NULL);
    rm_free(report);
    for (int i = CUTS; i-- > 0;) {
        CHECK_INT(truncate(record, bytes * i / CUTS), 0);
        rm_status status = replay(false, &err, NULL);
        CHECK(status == RM_DONE || err.code == RM_CODE_RECORD_BAD);
    }
    end();
}

TEST(a_damaged_record_is_refused_with_the_place)
{
    rm_error err;
    begin();
    record_a_run(&(rm_session_options){0}, false);
    long bytes = file_bytes();
    for (long i = 0; i < FLIPS; i++) {
        long at = i * bytes / FLIPS;
        FILE *file = fopen(record, "r+be");
        CHECK(file != NULL && fseek(file, at, SEEK_SET) == 0);
        int was = fgetc(file);
        CHECK(fseek(file, at, SEEK_SET) == 0 && fputc(was ^ 4, file) != EOF);
        (void)fclose(file);
        CHECK(replay(false, &err, NULL) < 0);
        CHECK_INT(err.code, RM_CODE_RECORD_BAD);
        CHECK(at < 8 || strstr(err.message, "byte") != NULL);
        file = fopen(record, "r+be");
        CHECK(file != NULL && fseek(file, at, SEEK_SET) == 0 && fputc(was, file) != EOF);
        (void)fclose(file);
    }
    CHECK_INT(replay(false, &err, NULL), RM_DONE);
    end();
}

TEST(a_record_ends_at_its_bound_and_the_run_goes_on)
{
    rm_error err;
    char *report = NULL;
    begin();
    CHECK_INT(rm_log_set_filter("error", NULL), RM_OK);
    record_a_run(&(rm_session_options){.record_bytes_max = 20000}, false);
    CHECK_INT(arrivals[0].count, 2 * NUMBERS + 1);
    CHECK(file_bytes() <= 20000);
    CHECK_INT(replay(false, &err, &report), RM_DONE);
    CHECK(report && strstr(report, "\"status\":\"RM_ELIMIT\"") != NULL);
    rm_free(report);
    end();
}

TEST(what_cannot_be_recorded_is_refused)
{
    rm_graph *graph = NULL;
    rm_session *session = NULL;
    rm_change *change = NULL;
    rm_error err = RM_ERROR_INIT;
    begin();
    rm_plan *plan = make_plan(&graph);
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_THREAD,
                                  .spans_max = 16,
                                  .record_path = record};
    CHECK(rm_session_open(plan, &options, &session, &err) < 0);
    CHECK_INT(err.code, RM_CODE_RECORD_REFUSED);
    options.spans_max = 0;
    options.record_path = "/nowhere/at/all";
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_ENOENT);
    options.record_path = record;
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_OK);
    CHECK(rm_change_new(session, &change, &err) < 0);
    CHECK_INT(err.code, RM_CODE_RECORD_REFUSED);
    CHECK(rm_session_swap(session, "sum", &types[2], "{}", &err) < 0);
    CHECK_INT(err.code, RM_CODE_RECORD_REFUSED);
    CHECK(rm_session_spans_begin(session, 16, NULL, &err) < 0);
    CHECK_INT(err.code, RM_CODE_RECORD_REFUSED);
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
    end();
}

static rm_status step_again(rm_session *session)
{
    rm_status status;
    int64_t next_ns;
    do {
        status = rm_session_step(session, 1, 100, &next_ns);
    } while (status == RM_MORE);
    return status;
}

TEST(a_session_can_be_a_replay)
{
    rm_graph *graph = NULL;
    rm_session *session = NULL;
    rm_error err = RM_ERROR_INIT;
    rm_session_options options = {.struct_size = sizeof options, .replay_path = record};
    begin();
    record_a_run(&(rm_session_options){0}, true);
    rm_plan *plan = make_plan(&graph);
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_OK);
    CHECK_INT(step_again(session), RM_DONE);
    CHECK_INT(rm_session_wait(session, 0), RM_DONE);
    char *report = NULL;
    CHECK_INT(rm_replay_report(rm_session_replay(session), &report, &err), RM_OK);
    CHECK(report && strstr(report, "\"whole\":true") != NULL);
    rm_free(report);
    rm_session_free(session);
    planted_at = 7;
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_OK);
    CHECK(step_again(session) < 0 && rm_session_error(session, &err) < 0);
    CHECK_INT(err.code, RM_CODE_REPLAY_DIFFERS);
    rm_session_free(session);
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_OK);
    rm_session_cancel(session);
    CHECK_INT(step_again(session), RM_ECANCELED);
    rm_session_free(session);
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_OK);
    rm_session_free(session); /* before its end */
    options.driver = RM_DRIVER_THREAD;
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_EINVAL);
    rm_plan_free(plan);
    rm_graph_free(graph);
    end();
}

TEST(a_record_tells_its_graph)
{
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_error err = RM_ERROR_INIT;
    begin();
    record_a_run(&(rm_session_options){0}, false);
    CHECK_INT(rm_replay_read_graph(record, &graph, &err), RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, NULL, &plan, NULL, &err), RM_OK);
    CHECK(rm_plan_node_count(plan) > 2);
    rm_plan_free(plan);
    rm_graph_free(graph);
    CHECK_INT(truncate(record, 30), 0);
    CHECK(rm_replay_read_graph(record, &graph, &err) < 0);
    CHECK_INT(err.code, RM_CODE_RECORD_BAD);
    CHECK_CONTAINS(err.message, record);
    CHECK_INT(truncate(record, 0), 0);
    CHECK(rm_replay_read_graph(record, &graph, &err) < 0);
    CHECK_CONTAINS(err.message, "it is empty");
    CHECK_INT(rm_replay_read_graph("/nowhere/at/all", &graph, &err), RM_ENOENT);
    end();
}

TEST(a_record_of_other_nodes_is_refused)
{
    rm_error err;
    rm_replay *again = NULL;
    rm_registry *empty = NULL;
    begin();
    record_a_run(&(rm_session_options){0}, false);
    CHECK_INT(rm_registry_new(&empty, NULL), RM_OK);
    CHECK(rm_replay_open(record, empty, NULL, &again, &err) < 0);
    CHECK(strstr(err.message, "r.source") != NULL);
    rm_registry_free(empty);
    end();
}

TEST_MAIN(T(a_run_on_threads_comes_out_the_same_again), T(interrupts_and_new_parameters_come_again),
          T(without_payloads_the_sources_run_again),
          T(a_node_that_does_otherwise_is_named_with_the_item),
          T(a_failure_that_does_not_come_again_is_told), T(what_is_left_of_a_record_is_replayed),
          T(a_damaged_record_is_refused_with_the_place),
          T(a_record_ends_at_its_bound_and_the_run_goes_on), T(what_cannot_be_recorded_is_refused),
          T(a_session_can_be_a_replay), T(a_record_tells_its_graph),
          T(a_record_of_other_nodes_is_refused))
