/* exporter.h — the numbers of a run for Prometheus, by HTTP on 127.0.0.1.
 *
 *     Prometheus ──GET /metrics──▶ HTTP thread ──asks──▶ the run's thread, between two slices
 *                ◀── text 0.0.4 ──            ◀──JSON──
 *
 *     /metrics   503 where the run does not answer within a second: a node is in a call that lasts
 *     /healthz   200 while the process lives
 *     /readyz    200 while all nodes are open and the run goes on, else 503
 *
 * HTTP is libmicrohttpd's; it is loaded when it is asked for, so that no other command needs it.
 * At most 16 connections, 5 s each.
 *
 * Threads: the run's, but for the wake, which the HTTP thread calls.
 */
#ifndef CLI_EXPORTER_H
#define CLI_EXPORTER_H

#include "cli.h"

typedef struct cli_exporter cli_exporter;

/* NULL: cli_exporter_start() has what it needs; else what would give it. */
const char *cli_exporter_missing(void);

/* Listens on 127.0.0.1. port "0": one that is free. wake: the run's thread is to call
 * cli_exporter_step() soon. RM_CODE_USAGE: the port is no number; RM_CODE_DEPENDENCY_MISSING: there
 * is no libmicrohttpd. */
RM_MUST_USE rm_status cli_exporter_start(const char *port, void (*wake)(void),
                                         cli_exporter **ret_exporter, rm_error *err);
unsigned cli_exporter_port(const cli_exporter *exporter);

/* NULL is fine for all of the following. */
void cli_exporter_stop(cli_exporter *exporter);
void cli_exporter_set_ready(cli_exporter *exporter, bool ready);
/* Gives the object of `make`, as `top` is told it, to who waits for one. */
void cli_exporter_step(cli_exporter *exporter, json_t *(*make)(void *context), void *context);

/* Prometheus' text format 0.0.4 of what a run tells; the caller frees it. NULL: no memory. */
char *cli_prometheus_text(const json_t *told);

#endif
