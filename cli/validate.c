/* `remotemedia validate FILE…`: all findings of each file, as text, JSON or GitHub annotations. */
#include <string.h>

#include "cli.h"

typedef enum validate_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_GITHUB } validate_format;

typedef struct validation {
    const cli *state;
    const cli_arguments *arguments;
    validate_format format;
    json_t *findings;
    size_t errors, warnings;
} validation;

/* As GitHub wants it in annotations: line ends and '%' are written as codes. */
static void print_escaped(const char *text, bool is_property)
{
    for (; *text; text++) {
        bool code = *text == '%' || *text == '\n' || *text == '\r' ||
                    (is_property && (*text == ':' || *text == ','));
        if (code) {
            printf("%%%02X", (unsigned)(unsigned char)*text);
        } else {
            putchar(*text);
        }
    }
}

static void print_annotation(const char *file, const rm_finding *finding)
{
    printf("::%s file=", finding->severity == RM_SEVERITY_ERROR ? "error" : "warning");
    print_escaped(file, true);
    if (finding->line) {
        printf(",line=%u,col=%u", finding->line, finding->column);
    }
    printf(",title=E%04d::", finding->code);
    print_escaped(finding->message, false);
    if (finding->help[0]) {
        printf(" (");
        print_escaped(finding->help, false);
        printf(")");
    }
    printf("\n");
}

static void tell(validation *v, const char *file, const rm_finding *finding)
{
    bool is_error = finding->severity == RM_SEVERITY_ERROR;
    v->errors += is_error;
    v->warnings += !is_error;
    if (v->format == FORMAT_JSON) {
        json_array_append_new(v->findings, cli_finding_json(file, finding));
    } else if (v->format == FORMAT_GITHUB) {
        print_annotation(file, finding);
    } else {
        cli_print_finding(stdout, v->state->color_out, file, finding);
    }
}

static void check_file(validation *v, const char *file)
{
    cli_pipeline pipeline;
    rm_error err = RM_ERROR_INIT;
    size_t before = v->errors;
    rm_status status = cli_pipeline_read(v->state, file, CLI_TO_LOOK, &pipeline, &err);
    if (status == RM_OK) {
        status = cli_pipeline_machine(&pipeline, v->arguments, &err);
    }
    if (status == RM_OK) {
        status = cli_pipeline_plan(v->state, &pipeline, &err);
    }
    for (size_t i = 0; pipeline.report && i < rm_report_count(pipeline.report); i++) {
        tell(v, pipeline.source, rm_report_at(pipeline.report, i));
    }
    size_t found = pipeline.report ? rm_report_error_count(pipeline.report) : 0;
    if (found > v->errors - before) { /* a report keeps so many */
        if (v->format == FORMAT_TEXT) {
            printf("%s: %zu more errors are not shown\n", pipeline.source,
                   found - (v->errors - before));
        }
        v->errors = before + found;
    }
    if (status != RM_OK && v->errors == before) { /* what has no place in the text */
        rm_finding finding = {RM_SEVERITY_ERROR, err.code, 0, 0, "", err.message, err.help};
        tell(v, pipeline.source, &finding);
    }
    if (v->format == FORMAT_TEXT && v->errors == before) {
        printf("%s: %sok%s, nodes: %zu, connections: %zu\n", pipeline.source,
               cli_paint(v->state->color_out, CLI_GREEN), cli_reset(v->state->color_out),
               rm_graph_node_count(pipeline.graph), rm_graph_edge_count(pipeline.graph));
    }
    cli_pipeline_release(&pipeline);
}

int cli_validate(cli *state, const cli_arguments *arguments)
{
    const char *format = cli_value(arguments, "format");
    validation v = {.state = state,
                    .arguments = arguments,
                    .format = state->json || strcmp(format, "json") == 0 ? FORMAT_JSON
                              : strcmp(format, "github") == 0            ? FORMAT_GITHUB
                                                                         : FORMAT_TEXT,
                    .findings = json_array()};
    for (unsigned i = 0; i < arguments->operand_count; i++) {
        check_file(&v, arguments->operand[i]);
    }
    if (v.format == FORMAT_JSON) {
        cli_print_json(json_pack("{s:b, s:i, s:i, s:i, s:O}", "valid", v.errors == 0, "files",
                                 (int)arguments->operand_count, "errors", (int)v.errors, "warnings",
                                 (int)v.warnings, "findings", v.findings),
                       2);
    } else if (v.format == FORMAT_TEXT && v.errors) {
        printf("%zu error%s\n", v.errors, v.errors == 1 ? "" : "s");
    }
    json_decref(v.findings);
    return v.errors ? CLI_BAD_MANIFEST : CLI_OK;
}
