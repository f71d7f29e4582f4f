/* cli.h — what the commands share: the program's state, errors on the terminal, pipelines as
 * operands.
 *
 * Human text and results go to stdout; errors, warnings and progress to stderr. With --json all
 * that goes to stdout is JSON.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>
#include <remotemedia/cli.h>
#include <remotemedia/remotemedia.h>

#include "options.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_BAD_MANIFEST = 3 };

#define CLI_MANIFEST_BYTES_MAX ((size_t)64 << 20)

typedef struct cli {
    const rm_cli_host *host; /* NULL: the plain binary */
    const char *prog;
    bool json; /* --json was given */
    bool color_out, color_err;
    bool out_closed; /* the reader of stdout went away: say nothing more, end with 0 */
} cli;

typedef int cli_run_fn(cli *state, const cli_arguments *arguments);
cli_run_fn cli_run, cli_validate, cli_nodes, cli_graph, cli_explain, cli_doctor, cli_new, cli_help,
    cli_version, cli_completion, cli_man, cli_top, cli_profile, cli_record, cli_replay;

/* ---- text (text.c) */

typedef enum cli_style { CLI_BOLD, CLI_DIM, CLI_RED, CLI_YELLOW, CLI_GREEN, CLI_CYAN } cli_style;

/* The sequence that starts a style, "" without colour; cli_reset() ends it. */
const char *cli_paint(bool color, cli_style style);
const char *cli_reset(bool color);

/* Prints text broken at `width` columns; lines but the first are indented. '\n' in it stays. */
void cli_print_wrapped(FILE *out, const char *text, unsigned indent, unsigned width);

/* The nearest of what was tried, for "did you mean". */
typedef struct cli_near {
    const char *wanted, *best;
    size_t distance;
} cli_near;
void cli_near_try(cli_near *near, const char *candidate);

/* Columns of a terminal; 80 where it is none, at least 40 and at most 200. */
unsigned cli_width(int fd);
/* Rows of a terminal; 24 where it is none. */
unsigned cli_height(int fd);
/* CLOCK_MONOTONIC. */
int64_t cli_now_ns(void);
/* True where the terminal's character set is UTF-8. */
bool cli_is_utf8(void);
/* Appends text to a line, at most `columns` wide, control characters as spaces; returns its width.
 */
unsigned cli_append(char *line, size_t size, const char *text, unsigned columns);

/* "4.00 s", "850 us", "1:02:03" into buffer. */
const char *cli_duration(double ns, char *buffer, size_t size);
const char *cli_count(double count, char *buffer, size_t size); /* "1,234", "12.3 M" */
const char *cli_bytes(double bytes, char *buffer, size_t size); /* "1.2 MiB" */

/* A JSON string, also of text that is not UTF-8: '?' stands for its bytes beyond ASCII. */
json_t *cli_text_json(const char *text);
/* Takes the value; prints it and a newline to stdout. indent 0: one line. Returns CLI_OK. */
int cli_print_json(json_t *takes_json, unsigned indent);

/* ---- errors (errors.c) */

/* error[E0301]: …, where, help; with --json an object {"error": …} on stdout. Returns exit_code. */
int cli_fail(const cli *state, const rm_error *error, int exit_code);
/* RM_CODE_USAGE, made here. Returns CLI_USAGE. */
int cli_fail_usage(const cli *state, const char *help, const char *format, ...) RM_PRINTF(3, 4);
json_t *cli_error_json(const rm_error *error);
json_t *cli_finding_json(const char *file, const rm_finding *finding);
/* All findings of a file as text: to stderr, or to out for `validate`. */
void cli_print_finding(FILE *out, bool color, const char *file, const rm_finding *finding);
/* The warnings of a pipeline that is fine otherwise, to stderr. */
void cli_print_warnings(const cli *state, const char *file, const rm_report *report);
/* Prints what ended a command with a pipeline: the findings, or the error where there are none.
 * Returns exit_code. */
int cli_fail_findings(const cli *state, const char *file, const rm_report *report,
                      const rm_error *error, int exit_code);

/* ---- pipelines (pipeline.c) */

/* A pipeline on its way from the command line to a plan. */
typedef struct cli_pipeline {
    const char *source; /* for messages: file name, "stdin", "pipeline" */
    bool is_file;       /* source can be watched */
    rm_registry *registry;
    rm_report *report;
    rm_graph *graph;
    rm_plan *plan;
    struct cli_python_tier *python;
    char *machine_json; /* that it is planned for; NULL: this one */
} cli_pipeline;

/* Which Python nodes are acceptable: those that this program can run, or those that it knows of. */
typedef enum cli_purpose { CLI_TO_RUN, CLI_TO_LOOK } cli_purpose;

/* Registry, report, and the graph of `text`: a file, "-" for stdin, or an inline pipeline. Release
 * it also on failure. */
RM_MUST_USE rm_status cli_pipeline_read(const cli *state, const char *text, cli_purpose purpose,
                                        cli_pipeline *ret_pipeline, rm_error *err);
/* Plans for the machine that the file of --machine describes: capabilities.v1.json, or what `doctor
 * --json` printed there. Without that option it does nothing. E0701. */
RM_MUST_USE rm_status cli_pipeline_machine(cli_pipeline *pipeline, const cli_arguments *arguments,
                                           rm_error *err);
RM_MUST_USE rm_status cli_pipeline_plan(const cli *state, cli_pipeline *pipeline, rm_error *err);
/* "node.param=value". */
RM_MUST_USE rm_status cli_pipeline_set(cli_pipeline *pipeline, const char *assignment,
                                       rm_error *err);
/* Takes the value: has the manifest's `session` say so. E0701: value is NULL, for it has text that
 * is not UTF-8. checkpoint.c */
RM_MUST_USE rm_status cli_pipeline_say(cli_pipeline *pipeline, const char *key, json_t *value,
                                       rm_error *err);
/* What --output and the other options of `record` ask for; nothing without them. record.c */
RM_MUST_USE rm_status cli_pipeline_record(cli_pipeline *pipeline, const cli_arguments *arguments,
                                          rm_error *err);
/* Has the manifest say so; either may be NULL. checkpoint.c */
RM_MUST_USE rm_status cli_pipeline_checkpoint(cli_pipeline *pipeline, const char *folder,
                                              const char *interval, rm_error *err);
/* "FILE" or "NODE=FILE". */
RM_MUST_USE rm_status cli_pipeline_input(cli_pipeline *pipeline, const char *text, rm_error *err);
void cli_pipeline_release(cli_pipeline *pipeline);

/* The plan with the reason of each choice: `explain`, `run --dry-run`. Returns CLI_OK. */
int cli_explain_plan(const cli *state, const cli_pipeline *pipeline);

/* A registry with the host's types; with `all`, all modules and the catalog's Python types loaded.
 */
RM_MUST_USE rm_status cli_registry_new(const cli *state, rm_registry **ret_registry, rm_error *err);

/* ---- the Python nodes that the wheel brings (catalog.c) */

/* Types by name from the catalog that was built in; NULL behind the last one. They live as long as
 * the process, have ports and parameters, and cannot run here. */
const rm_node_type *cli_catalog_at(size_t index);
const rm_node_type *cli_catalog_find(const char *name);
/* Its entry, borrowed: code, requires. */
const json_t *cli_catalog_entry(const char *name);

/* A tier for a program that runs no Python: to run, it refuses Python nodes with E0308; to look, it
 * gives the catalog's types, and for code of the user's own a type with the ports that the graph
 * uses. Free it after the registry's plans. */
typedef struct cli_python_tier cli_python_tier;
RM_MUST_USE rm_status cli_python_tier_new(cli_purpose purpose, cli_python_tier **ret_tier,
                                          rm_error *err);
void cli_python_tier_free(cli_python_tier *tier);
void cli_python_tier_set_graph(cli_python_tier *tier, const rm_graph *graph);
RM_MUST_USE rm_status cli_python_tier_add(cli_python_tier *tier, rm_registry *registry,
                                          rm_error *err);

#endif
