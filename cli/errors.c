/* Errors and findings, for people and as JSON. */
#include <stdarg.h>
#include <string.h>

#include "cli.h"

json_t *cli_error_json(const rm_error *error)
{
    char code[8];
    snprintf(code, sizeof code, "E%04d", error->code);
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:o}", "code", code, "status", rm_status_name(error->status),
                  "message", cli_text_json(error->message), "help", cli_text_json(error->help));
    if (error->node[0]) {
        json_object_set_new(json, "node", cli_text_json(error->node));
    }
    if (error->item) {
        json_object_set_new(json, "item", json_integer((json_int_t)error->item));
    }
    return json;
}

json_t *cli_finding_json(const char *file, const rm_finding *finding)
{
    char code[8];
    snprintf(code, sizeof code, "E%04d", finding->code);
    return json_pack("{s:o, s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "file", cli_text_json(file),
                     "severity", finding->severity == RM_SEVERITY_ERROR ? "error" : "warning",
                     "code", code, "line", (int)finding->line, "column", (int)finding->column,
                     "pointer", cli_text_json(finding->pointer), "message",
                     cli_text_json(finding->message), "help", cli_text_json(finding->help));
}

static void print_head(FILE *out, bool color, bool is_error, rm_code code, const char *message)
{
    fprintf(out, "%s%s[E%04d]%s: ", cli_paint(color, is_error ? CLI_RED : CLI_YELLOW),
            is_error ? "error" : "warning", code, cli_reset(color));
    fprintf(out, "%s\n", message);
}

/* Which node on which item, where the message does not begin with it. */
static void print_place(FILE *out, bool color, const rm_error *error)
{
    char begin[RM_ERROR_NODE_MAX + 8];
    snprintf(begin, sizeof begin, "node '%s'", error->node);
    if (!error->node[0] || (!error->item && strncmp(error->message, begin, strlen(begin)) == 0)) {
        return;
    }
    fprintf(out, "  %s-->%s %s", cli_paint(color, CLI_CYAN), cli_reset(color), begin);
    if (error->item) {
        fprintf(out, ", item %llu", (unsigned long long)error->item);
    }
    fputc('\n', out);
}

static void print_help(FILE *out, bool color, const char *help)
{
    if (help[0]) {
        fprintf(out, "  %shelp:%s %s\n", cli_paint(color, CLI_CYAN), cli_reset(color), help);
    }
}

void cli_print_finding(FILE *out, bool color, const char *file, const rm_finding *finding)
{
    print_head(out, color, finding->severity == RM_SEVERITY_ERROR, finding->code, finding->message);
    fprintf(out, "  %s-->%s %s", cli_paint(color, CLI_CYAN), cli_reset(color), file);
    if (finding->line) {
        fprintf(out, ":%u:%u", finding->line, finding->column);
    }
    if (finding->pointer && finding->pointer[0]) {
        fprintf(out, " %s(%s)%s", cli_paint(color, CLI_DIM), finding->pointer, cli_reset(color));
    }
    fputc('\n', out);
    print_help(out, color, finding->help);
}

void cli_print_warnings(const cli *state, const char *file, const rm_report *report)
{
    for (size_t i = 0; i < rm_report_count(report); i++) {
        const rm_finding *finding = rm_report_at(report, i);
        if (finding->severity == RM_SEVERITY_WARNING) {
            cli_print_finding(stderr, state->color_err, file, finding);
        }
    }
}

int cli_fail(const cli *state, const rm_error *error, int exit_code)
{
    fflush(stdout);
    if (state->json) {
        cli_print_json(
            json_pack("{s:o, s:i}", "error", cli_error_json(error), "exit_code", exit_code), 0);
        return exit_code;
    }
    print_head(stderr, state->color_err, true, error->code, error->message);
    print_place(stderr, state->color_err, error);
    print_help(stderr, state->color_err, error->help);
    return exit_code;
}

int cli_fail_usage(const cli *state, const char *help, const char *format, ...)
{
    rm_error error = RM_ERROR_INIT;
    char message[RM_ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    (void)rm_fail_as(&error, RM_CODE_USAGE, "%s", message);
    rm_error_help(&error, "%s", help);
    return cli_fail(state, &error, CLI_USAGE);
}

int cli_fail_findings(const cli *state, const char *file, const rm_report *report,
                      const rm_error *error, int exit_code)
{
    size_t count = report ? rm_report_count(report) : 0;
    if (count == 0) {
        return cli_fail(state, error, exit_code);
    }
    if (state->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++) {
            json_array_append_new(list, cli_finding_json(file, rm_report_at(report, i)));
        }
        cli_print_json(json_pack("{s:o, s:o, s:i}", "error", cli_error_json(error), "findings",
                                 list, "exit_code", exit_code),
                       0);
        return exit_code;
    }
    fflush(stdout);
    size_t errors = 0;
    for (size_t i = 0; i < count; i++) {
        errors += rm_report_at(report, i)->severity == RM_SEVERITY_ERROR;
        cli_print_finding(stderr, state->color_err, file, rm_report_at(report, i));
    }
    if (errors == 0) {
        return cli_fail(state, error, exit_code); /* warnings alone do not say why it ended */
    }
    if (rm_report_error_count(report) > errors) {
        fprintf(stderr, "%zu more errors are not shown\n", rm_report_error_count(report) - errors);
    }
    return exit_code;
}
