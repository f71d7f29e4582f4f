/* `remotemedia profile PIPELINE`: a run, and the report on it. */
#include <errno.h>
#include <string.h>

#include "profile.h"
#include "run.h"

enum { TRACE_SPANS = 65536 };

/* The parameter of that name that trades quality for time, where it is not at its cheapest. */
static const char *cheaper_of(const rm_plan_node *node)
{
    const rm_param *param = node->type->params;
    while (param && param->name && strcmp(param->name, "quality") != 0) {
        param++;
    }
    if (!param || !param->name || !param->choices) {
        return NULL;
    }
    size_t cheapest = strcspn(param->choices, "|");
    json_t *params = node->params_json ? json_loads(node->params_json, 0, NULL) : NULL;
    const char *is = json_string_value(json_object_get(params, param->name));
    bool least = is && strlen(is) == cheapest && strncmp(is, param->choices, cheapest) == 0;
    json_decref(params);
    return least ? NULL : param->name;
}

static void add_cheaper(const rm_cli_run *run, json_t *nodes)
{
    for (size_t i = 0; i < rm_plan_node_count(run->pipeline.plan); i++) {
        rm_plan_node planned;
        rm_plan_node_at(run->pipeline.plan, i, &planned);
        const char *cheaper = cheaper_of(&planned);
        for (size_t k = 0; cheaper && k < json_array_size(nodes); k++) {
            json_t *node = json_array_get(nodes, k);
            const char *id = json_string_value(json_object_get(node, "id"));
            if (id && strcmp(id, planned.id) == 0) {
                json_object_set_new(node, "cheaper", json_string(cheaper));
            }
        }
    }
}

uint32_t cli_profile_spans(const rm_cli_run *run)
{
    return run->profiled && cli_has(run->arguments, "trace") ? TRACE_SPANS : 0;
}

static rm_status write_trace(const rm_cli_run *run, const char *file, rm_error *err)
{
    if (!run->trace) {
        return rm_fail(err, RM_ENOMEM, "--trace: no memory for the trace");
    }
    FILE *out = fopen(file, "we");
    bool failed = !out || fputs(run->trace, out) == EOF;
    failed |= out && fclose(out) != 0;
    return failed ? rm_fail_os(err, errno, "--trace: cannot write '%s'", file) : RM_OK;
}

/* What is written beside the report. Returns the exit code. */
static int write_files(const rm_cli_run *run, const json_t *report, int code)
{
    rm_error err = RM_ERROR_INIT;
    const char *flame = cli_value(run->arguments, "flame");
    const char *trace = cli_value(run->arguments, "trace");
    if (trace && write_trace(run, trace, &err) != RM_OK) {
        return cli_fail(run->state, &err, code ? code : CLI_FAILED);
    }
    if (flame && report && cli_flame_write(flame, report, &err) != RM_OK) {
        return cli_fail(run->state, &err, code ? code : CLI_FAILED);
    }
    return code;
}

int cli_profile_finish(const rm_cli_run *run, int code, const rm_error *error)
{
    json_t *summary = cli_summary_json(run, code, error);
    json_object_set_new(summary, "cpu_ns", json_integer(run->cpu_ns));
    add_cheaper(run, json_object_get(summary, "nodes"));
    json_t *report = run->metrics ? cli_profile_report(summary) : NULL;
    if (run->state->json) {
        static const char *const kept[] = {"ok", "outcome", "exit_code", "error"};
        report = report ? report : json_object();
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
            json_object_set(report, kept[i], json_object_get(summary, kept[i]));
        }
        cli_print_json(json_incref(report), 2);
    } else if (report) {
        cli_profile_print(stdout, run->state->color_out, report);
    }
    if (error->status < 0 && !run->state->json) {
        fflush(stdout);
        (void)cli_fail(run->state, error, code);
    }
    code = write_files(run, report, code);
    json_decref(report);
    json_decref(summary);
    return code;
}

int cli_profile(cli *state, const cli_arguments *arguments)
{
    return cli_run_once(state, arguments, true);
}
