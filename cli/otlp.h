/* otlp.h — spans and numbers of a run for an OpenTelemetry collector: OTLP 1.x as JSON over HTTP.
 *
 *     run's thread: cli_otlp_step() each 5 s ──bodies──▶ a thread of its own ──POST──▶
 * URL/v1/traces cli_otlp_finish() at the end                                       URL/v1/metrics
 *
 * A collector that is slow or away costs the run nothing: while one body is under way no other is
 * made, spans wait in the session's ring, and the end waits 5 s for each request at most.
 *
 * HTTP is libcurl's; it is loaded when it is asked for.
 *
 * Threads: the run's.
 */
#ifndef CLI_OTLP_H
#define CLI_OTLP_H

#include "cli.h"

enum { CLI_OTLP_SPANS_MAX = 16384 };

typedef struct cli_otlp cli_otlp;

/* NULL: cli_otlp_start() has what it needs; else what would give it. */
const char *cli_otlp_missing(void);

/* RM_CODE_USAGE: it is no http(s) URL; RM_CODE_DEPENDENCY_MISSING: there is no libcurl. */
RM_MUST_USE rm_status cli_otlp_start(const char *url, const char *pipeline, cli_otlp **ret_otlp,
                                     rm_error *err);

/* True: it is time for cli_otlp_send(). NULL: false. */
bool cli_otlp_is_due(cli_otlp *otlp);
/* What rm_session_spans() and rm_session_metrics() gave, parsed; either may be NULL. */
void cli_otlp_send(cli_otlp *otlp, const json_t *spans, const json_t *metrics);

/* The last ones, with the run's own span; waits until they are sent, and frees it. error: why the
 * run failed; NULL: it did not. False: not all could be sent, and why is in *ret_problem. NULL is
 * fine. */
bool cli_otlp_finish(cli_otlp *otlp, const json_t *spans, const json_t *metrics,
                     const rm_error *error, rm_error *ret_problem);

/* otlp_json.c: bodies of requests; the caller frees them. NULL: no memory. */
typedef struct cli_otlp_run {
    const json_t *resource; /* the list of attributes */
    const char *pipeline;
    const json_t *spans, *metrics;
    bool ended;            /* the run's own span is there, too */
    const rm_error *error; /* NULL: it went well */
} cli_otlp_run;

json_t *cli_otlp_resource(const char *pipeline);
char *cli_otlp_traces(const cli_otlp_run *run);
char *cli_otlp_metrics(const cli_otlp_run *run);

#endif
