/* `remotemedia replay RECORD`: what `record` kept, once more. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { ENTRIES_A_STEP = 4096, IDLE_MS = 1000 };

static void on_wake(void *context)
{
    (void)context;
    cli_signals_wake();
}

static rm_status run_to_end(rm_replay *replay, rm_error *err)
{
    rm_status status = RM_MORE;
    while (status == RM_MORE || status == RM_PENDING) {
        int signal = cli_signals_ended_by();
        if (signal) {
            return rm_fail_as(err, RM_CODE_CANCELED, "the replay was ended by %s",
                              signal == SIGINT ? "SIGINT" : "SIGTERM");
        }
        status = rm_replay_step(replay, ENTRIES_A_STEP, err);
        if (status == RM_PENDING) {
            struct pollfd wanted = {cli_signals_fd(), POLLIN, 0};
            (void)poll(&wanted, 1, IDLE_MS);
            cli_signals_drain();
        }
    }
    return status;
}

json_t *cli_replay_report(const rm_replay *replay)
{
    char *text = NULL;
    if (rm_replay_report(replay, &text, NULL) != RM_OK) {
        return NULL;
    }
    json_t *report = json_loads(text, 0, NULL);
    rm_free(text);
    return report;
}

static const char *count_of(const json_t *report, const char *key, char *buffer, size_t size)
{
    return cli_count(json_number_value(json_object_get(report, key)), buffer, size);
}

static void print_report(const json_t *report, const rm_error *err)
{
    char calls[32], packets[32], given[32], dropped[32];
    const char *status = json_string_value(json_object_get(report, "status"));
    printf("%s calls of nodes, %s packets compared, %s from the record, %s dropped as then\n",
           count_of(report, "calls", calls, sizeof calls),
           count_of(report, "packets", packets, sizeof packets),
           count_of(report, "from_record", given, sizeof given),
           count_of(report, "dropped", dropped, sizeof dropped));
    if (err->status >= 0) {
        puts("all came out the same");
    }
    if (!status) {
        puts("the record ends before its run did");
    } else if (strcmp(status, "RM_DONE") != 0) {
        const char *message = json_string_value(json_object_get(report, "message"));
        printf("the recorded run ended by: %s\n", message ? message : status);
    }
}

static int finish(cli *state, json_t *report, const rm_error *err)
{
    int code = err->status < 0 ? CLI_FAILED : CLI_OK;
    if (state->json) {
        report = report ? report : json_object();
        json_object_set_new(report, "ok", json_boolean(code == CLI_OK));
        if (code != CLI_OK) {
            json_object_set_new(report, "error", cli_error_json(err));
        }
        (void)cli_print_json(report, 0);
        return code;
    }
    if (report) {
        print_report(report, err);
        fflush(stdout);
    }
    json_decref(report);
    return code == CLI_OK ? code : cli_fail(state, err, code);
}

/* The registry outlives it. */
static int replay_with(cli *state, const cli_arguments *arguments, rm_registry *registry)
{
    rm_error err = RM_ERROR_INIT;
    rm_replay *replay = NULL;
    json_t *report = NULL;
    rm_replay_options options = {.struct_size = sizeof options, .wake = on_wake};
    options.folder = cli_value_at(arguments, "output", 0);
    options.with_sinks = options.folder != NULL;
    options.python_host = state->host && state->host->run;
    rm_status status = cli_signals_start(&err);
    if (status == RM_OK) {
        status = rm_replay_open(arguments->operand[0], registry, &options, &replay, &err);
    }
    if (status == RM_OK) {
        cli_signals_catch(true);
        status = run_to_end(replay, &err);
        report = cli_replay_report(replay);
    }
    rm_replay_free(replay);
    cli_signals_stop();
    return finish(state, report, &err);
}

/* ---- by the host, which alone can drive Python nodes */

static bool has_python_nodes(const rm_plan *plan)
{
    bool found = false;
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        found |= (node.type->flags & RM_NODE_PYTHON) != 0;
    }
    return found;
}

static int replay_plan(cli *state, const cli_arguments *arguments, const rm_plan *plan)
{
    rm_error err = RM_ERROR_INIT;
    if (cli_has(arguments, "output")) {
        return cli_fail_usage(state, NULL,
                              "--output runs sinks, which a replay of Python nodes does not");
    }
    rm_cli_run *run = calloc(1, sizeof *run);
    rm_status status = run ? cli_signals_start(&err) : rm_fail(&err, RM_ENOMEM, "no memory");
    if (status == RM_OK) {
        run->state = state;
        run->arguments = arguments;
        run->record = arguments->operand[0];
        status = state->host->run(state->host->context, plan, run, &err);
        cli_signals_stop();
    }
    json_t *report = run ? run->replayed : NULL;
    free(run);
    return finish(state, report, &err);
}

/* True: it was the host's matter. What is wrong with the record, replay_with() tells. */
static bool replay_by_host(cli *state, const cli_arguments *arguments, rm_registry *registry,
                           int *ret_code)
{
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_plan_options options = {.struct_size = sizeof options, .python_host = 1};
    if (!state->host || !state->host->run || !state->host->replays) {
        return false;
    }
    bool is_hosts = rm_replay_read_graph(arguments->operand[0], &graph, NULL) == RM_OK &&
                    rm_graph_plan(graph, registry, &options, &plan, NULL, NULL) == RM_OK &&
                    has_python_nodes(plan);
    if (is_hosts) {
        *ret_code = replay_plan(state, arguments, plan);
    }
    rm_plan_free(plan);
    rm_graph_free(graph);
    return is_hosts;
}

int cli_replay(cli *state, const cli_arguments *arguments)
{
    rm_error err = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    if (cli_has(arguments, "compare") && cli_has(arguments, "output")) {
        return cli_fail_usage(state, NULL, "--compare runs no sinks, --output does");
    }
    rm_status status = cli_registry_new(state, &registry, &err);
    if (status != RM_OK) {
        return cli_fail(state, &err, CLI_FAILED);
    }
    int code = CLI_OK;
    if (!replay_by_host(state, arguments, registry, &code)) {
        code = replay_with(state, arguments, registry);
    }
    rm_registry_free(registry);
    return code;
}
