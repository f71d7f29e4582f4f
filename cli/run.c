/* `remotemedia run PIPELINE`: one run from its text to its exit code. */
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_MS = 2000, DRAW_MS = 100, IDLE_MS = 1000, LIVE_MS = 10 };

void cli_run_cancel(rm_cli_run *run)
{
    if (run->cancel_ns == 0) {
        run->cancel_ns = cli_now_ns();
        cli_exporter_set_ready(run->exporter, false);
        rm_session_cancel(run->session);
    }
}

/* ---- what the driver of the session calls */

static json_t *read_metrics(rm_session *session)
{
    char *text = NULL;
    if (rm_session_metrics(session, &text, NULL) != RM_OK) {
        return NULL;
    }
    json_t *json = json_loads(text, 0, NULL);
    rm_free(text);
    return json;
}

/* NULL: nobody wants them. */
static json_t *read_spans(const rm_cli_run *run)
{
    char *text = NULL;
    if (!run->otlp || rm_session_spans(run->session, &text, NULL) != RM_OK) {
        return NULL;
    }
    json_t *json = json_loads(text, 0, NULL);
    rm_free(text);
    return json;
}

/* What `top` is told. */
static json_t *tell(void *context)
{
    rm_cli_run *run = context;
    json_t *metrics = read_metrics(run->session);
    return json_pack("{s:i, s:o, s:s, s:s, s:o*}", "pid", (int)getpid(), "pipeline",
                     cli_text_json(run->pipeline.source), "version", rm_version(), "state",
                     run->cancel_ns ? "ending" : "running", "metrics", metrics);
}

/* A host's loop turns often: not each turn is worth a question to the system. */
static void step_live(rm_cli_run *run)
{
    bool hosted = run->state->host && run->state->host->run;
    int64_t now_ns = hosted ? cli_now_ns() : 0;
    if (now_ns >= run->live_ns) {
        run->live_ns = hosted ? now_ns + LIVE_MS * (int64_t)1000000 : 0;
        cli_live_step(&run->live, tell, run);
    }
}

/* A host has opened the session: what run_here() gives as options. */
static rm_status look_at_calls(rm_cli_run *run)
{
    rm_status status = RM_OK;
    if (cli_profile_spans(run)) {
        status = rm_session_trace_begin(run->session, cli_profile_spans(run), &run->error);
    }
    if (status == RM_OK && run->otlp) {
        status = rm_session_spans_begin(run->session, CLI_OTLP_SPANS_MAX, getenv("TRACEPARENT"),
                                        &run->error);
    }
    return status;
}

void rm_cli_run_opened(rm_cli_run *run, rm_session *session)
{
    const rm_cli_host *host = run->state->host;
    run->session = session;
    /* Not before: a node that is being opened cannot be told, so that a signal ends the process. */
    cli_signals_catch(!(host && host->run));
    run->begin_ns = run->begin_ns ? run->begin_ns : cli_now_ns();
    if (run->record) {
        return;
    }
    if (host && host->run && look_at_calls(run) != RM_OK) {
        cli_run_cancel(run);
    }
    if (rm_session_resumed(session) && !cli_has(run->arguments, "quiet")) {
        fprintf(stderr, "going on from checkpoint %" PRIu64 "\n", rm_session_resumed(session));
    }
    if (cli_ports_find(run, &run->error) != RM_OK) {
        cli_run_cancel(run);
    }
    cli_progress_start(run);
    cli_live_start(&run->live);
    cli_exporter_set_ready(run->exporter, true);
}

static void step_otlp(rm_cli_run *run)
{
    if (cli_otlp_is_due(run->otlp)) {
        json_t *metrics = read_metrics(run->session), *spans = read_spans(run);
        cli_otlp_send(run->otlp, spans, metrics);
        json_decref(metrics);
        json_decref(spans);
    }
}

void rm_cli_run_tick(rm_cli_run *run)
{
    if (cli_signals_ended_by() && !run->ended_by) {
        run->ended_by = cli_signals_ended_by();
        cli_run_cancel(run);
    }
    if (run->record) {
        return;
    }
    if (cli_signals_take_dump()) {
        cli_print_live(run);
    }
    cli_feeds_step(run);
    cli_outputs_step(run);
    cli_progress_step(run);
    step_live(run);
    cli_exporter_step(run->exporter, tell, run);
    step_otlp(run);
}

const char *rm_cli_run_record(const rm_cli_run *run)
{
    return run->record;
}

void rm_cli_run_ended(rm_cli_run *run)
{
    if (run->record) {
        run->replayed = cli_replay_report(rm_session_replay(run->session));
        run->session = NULL;
        return;
    }
    cli_exporter_set_ready(run->exporter, false);
    cli_live_stop(&run->live);
    cli_outputs_step(run); /* what was delivered at the very end */
    cli_progress_stop(run);
    run->elapsed_ns = cli_now_ns() - run->begin_ns;
    rm_session_progress(run->session, &run->position_ns, &run->packets);
    run->metrics = read_metrics(run->session);
    run->spans = read_spans(run);
    if (cli_profile_spans(run) && rm_session_trace(run->session, &run->trace, NULL) != RM_OK) {
        run->trace = NULL;
    }
    cli_words_drop(run);
    for (uint32_t i = 0; i < run->feed_count; i++) {
        rm_packet_unref(run->feed[i].held);
        run->feed[i].held = NULL;
    }
    run->session = NULL;
}

/* ---- the plain binary's driver: the session has its threads, this one waits */

static void on_event(void *context, const rm_event *event)
{
    (void)context;
    (void)event;
    cli_signals_wake();
}

static void wait_for_something(const rm_cli_run *run)
{
    struct pollfd wanted[2 + CLI_FEEDS_MAX + CLI_LIVE_CLIENTS_MAX] = {
        {cli_signals_fd(), POLLIN, 0}};
    nfds_t count = 1;
    bool held = false;
    for (uint32_t i = 0; i < run->feed_count; i++) {
        const cli_feed *feed = &run->feed[i];
        if (feed->waits_for_input && !run->cancel_ns) {
            wanted[count++] = (struct pollfd){feed->fd, POLLIN, 0};
        }
        held |= !feed->ended && !feed->waits_for_input;
    }
    count += cli_live_poll(&run->live, &wanted[count]);
    (void)poll(wanted, count, held || run->progress.wanted || run->cancel_ns ? DRAW_MS : IDLE_MS);
    cli_signals_drain();
}

static rm_status run_here(rm_cli_run *run, rm_error *err)
{
    rm_session_options options = {
        .struct_size = sizeof options, .driver = RM_DRIVER_THREAD, .on_event = on_event};
    rm_session *session = NULL;
    options.trace_spans_max = cli_profile_spans(run);
    options.spans_max = run->otlp ? CLI_OTLP_SPANS_MAX : 0;
    options.traceparent = getenv("TRACEPARENT");
    run->begin_ns = cli_now_ns(); /* its threads run before the call returns */
    rm_status status = rm_session_open(run->pipeline.plan, &options, &session, err);
    if (status != RM_OK) {
        return status;
    }
    rm_cli_run_opened(run, session);
    while ((status = rm_session_wait(session, 0)) == RM_EAGAIN) {
        rm_cli_run_tick(run);
        if (run->cancel_ns && cli_now_ns() - run->cancel_ns > GRACE_MS * (int64_t)1000000) {
            run->stuck = true;
            cli_live_stop(&run->live);
            cli_progress_stop(run);
            return rm_fail_as(err, RM_CODE_CANCELED,
                              "a node did not return from its call within %d s of the end",
                              GRACE_MS / 1000);
        }
        wait_for_something(run);
    }
    rm_cli_run_ended(run);
    if (status < 0) {
        (void)rm_session_error(session, err);
    }
    rm_session_free(session);
    return status;
}

/* ---- the end */

/* The reader of stdout went away: whoever wrote there failed by it. */
static bool stdout_is_closed(void)
{
    struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

static void name_the_end(const rm_cli_run *run, rm_error *err)
{
    if (run->error.status < 0) {
        *err = run->error;
    } else if (run->ended_by && !run->stuck) {
        (void)rm_fail_as(err, RM_CODE_CANCELED, "the run was ended by %s",
                         run->ended_by == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static int write_metrics(const rm_cli_run *run, const char *file, int code, const rm_error *ended)
{
    rm_error err = RM_ERROR_INIT;
    json_t *json = cli_summary_json(run, code, ended);
    FILE *out = fopen(file, "we");
    bool failed = !out || json_dumpf(json, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF;
    failed |= out && fclose(out) != 0;
    json_decref(json);
    if (!failed) {
        return code;
    }
    (void)rm_fail_os(&err, errno, "--metrics: cannot write '%s'", file);
    return cli_fail(run->state, &err, code ? code : CLI_FAILED);
}

/* What was not sent is a warning: the run itself went as it went. */
static void finish_otlp(rm_cli_run *run, const rm_error *error)
{
    rm_error problem = RM_ERROR_INIT;
    if (!cli_otlp_finish(run->otlp, run->spans, run->metrics, error, &problem)) {
        fprintf(stderr, "warning: %s\n", problem.message);
    }
    run->otlp = NULL;
}

static int finish(rm_cli_run *run, rm_status status, rm_error *err)
{
    cli *state = run->state;
    name_the_end(run, err);
    finish_otlp(run, err->status < 0 ? err : NULL);
    if (state->out_closed || (err->status == RM_EIO && stdout_is_closed())) {
        state->out_closed = true;
        return CLI_OK;
    }
    int code = status < 0 || err->status < 0 ? CLI_FAILED : CLI_OK;
    run->outcome = code == CLI_OK                  ? CLI_DONE
                   : err->code == RM_CODE_CANCELED ? CLI_ENDED_EARLY
                                                   : CLI_RUN_FAILED;
    if (run->profiled) {
        return cli_profile_finish(run, code, err);
    }
    const char *file = cli_value_at(run->arguments, "metrics", 0);
    if (file) {
        code = write_metrics(run, file, code, err);
    }
    if (state->json) {
        fflush(stdout);
        return cli_print_json(cli_summary_json(run, code, err), 0) + code;
    }
    if (err->status < 0) {
        (void)cli_fail(state, err, code);
    }
    if (run->metrics && !cli_has(run->arguments, "quiet")) {
        cli_print_summary(run);
    }
    return code;
}

/* ---- the beginning */

/* Things that this program or machine lacks, and not the manifest. */
static int code_of_plan_error(const rm_error *err)
{
    bool is_here = err->code == RM_CODE_TIER_MISSING || err->code == RM_CODE_DEPENDENCY_MISSING ||
                   err->code == RM_CODE_PLACEMENT || err->code == RM_CODE_MODULE_LOAD ||
                   err->code == RM_CODE_MODULE_ABI || err->status == RM_ENOMEM;
    return is_here ? CLI_FAILED : CLI_BAD_MANIFEST;
}

static rm_status change(rm_cli_run *run, const cli_arguments *arguments, rm_error *err)
{
    rm_status status = RM_OK;
    const char *text;
    for (unsigned i = 0; status == RM_OK && (text = cli_value_at(arguments, "set", i)); i++) {
        status = cli_pipeline_set(&run->pipeline, text, err);
    }
    for (unsigned i = 0; status == RM_OK && (text = cli_value_at(arguments, "input", i)); i++) {
        status = cli_feed_add(run, text, err);
        if (status == RM_ENOENT) {
            status = cli_pipeline_input(&run->pipeline, text, err);
        }
    }
    if (status == RM_OK) {
        status = cli_pipeline_checkpoint(&run->pipeline, cli_value_at(arguments, "checkpoint", 0),
                                         cli_value_at(arguments, "checkpoint-interval", 0), err);
    }
    if (status == RM_OK) {
        status = cli_pipeline_record(&run->pipeline, arguments, err);
    }
    return status;
}

/* Up to the plan. CLI_OK: it is there. */
static int prepare(rm_cli_run *run)
{
    rm_error err = RM_ERROR_INIT;
    const cli_arguments *arguments = run->arguments;
    cli_pipeline *pipeline = &run->pipeline;
    cli_purpose purpose = cli_has(arguments, "dry-run") ? CLI_TO_LOOK : CLI_TO_RUN;
    if (cli_pipeline_read(run->state, arguments->operand[0], purpose, pipeline, &err) != RM_OK) {
        return cli_fail_findings(run->state, pipeline->source, pipeline->report, &err,
                                 CLI_BAD_MANIFEST);
    }
    if (change(run, arguments, &err) != RM_OK) {
        return cli_fail(run->state, &err, CLI_USAGE);
    }
    if (cli_pipeline_plan(run->state, pipeline, &err) != RM_OK) {
        return cli_fail_findings(run->state, pipeline->source, pipeline->report, &err,
                                 code_of_plan_error(&err));
    }
    cli_print_warnings(run->state, pipeline->source, pipeline->report);
    if (purpose == CLI_TO_RUN && cli_progress_is_wanted(run)) {
        run->progress.wanted = true;
        cli_words_add(run);
    }
    if (purpose == CLI_TO_RUN && cli_feeds_open(run, &err) != RM_OK) {
        return cli_fail(run->state, &err, err.code == RM_CODE_USAGE ? CLI_USAGE : CLI_FAILED);
    }
    return CLI_OK;
}

/* Before the nodes are opened: who asks is told that they are not yet. */
static rm_status start_exporter(rm_cli_run *run, rm_error *err)
{
    const char *port = cli_value_at(run->arguments, "metrics-port", 0);
    rm_status status =
        port ? cli_exporter_start(port, cli_signals_wake, &run->exporter, err) : RM_OK;
    if (port && status == RM_OK) {
        fprintf(stderr, "metrics: http://127.0.0.1:%u/metrics\n", cli_exporter_port(run->exporter));
        fflush(stderr);
    }
    return status;
}

static rm_status start_otlp(rm_cli_run *run, rm_error *err)
{
    const char *url = cli_value_at(run->arguments, "otlp", 0);
    return url ? cli_otlp_start(url, run->pipeline.source, &run->otlp, err) : RM_OK;
}

/* Of the whole process, since it began. */
static int64_t cpu_ns(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000 +
           (int64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000;
}

static int run_plan(rm_cli_run *run)
{
    const rm_cli_host *host = run->state->host;
    rm_error err = RM_ERROR_INIT;
    bool hosted = host && host->run;
    rm_status status = cli_signals_start(&err);
    if (status == RM_OK && (start_otlp(run, &err) != RM_OK || start_exporter(run, &err) != RM_OK)) {
        finish_otlp(run, NULL);
        cli_signals_stop();
        return cli_fail(run->state, &err, err.code == RM_CODE_USAGE ? CLI_USAGE : CLI_FAILED);
    }
    if (status == RM_OK) {
        run->cpu_ns = -cpu_ns();
        status =
            hosted ? host->run(host->context, run->pipeline.plan, run, &err) : run_here(run, &err);
    }
    run->cpu_ns += cpu_ns();
    cli_exporter_stop(run->exporter);
    run->exporter = NULL;
    cli_signals_stop();
    return finish(run, status, &err);
}

int cli_run_once(cli *state, const cli_arguments *arguments, bool profiled)
{
    rm_cli_run *run = calloc(1, sizeof *run);
    if (!run) {
        rm_error err = RM_ERROR_INIT;
        (void)rm_fail(&err, RM_ENOMEM, "no memory for a run");
        return cli_fail(state, &err, CLI_FAILED);
    }
    run->state = state;
    run->arguments = arguments;
    run->profiled = profiled;
    run->position_ns = RM_TIME_NONE;
    int code = prepare(run);
    if (code == CLI_OK) {
        code =
            cli_has(arguments, "dry-run") ? cli_explain_plan(state, &run->pipeline) : run_plan(run);
    }
    if (run->stuck) { /* its thread still uses what would be freed; the process ends */
        static rm_cli_run *volatile left_behind; /* no leak: for those who count them */
        left_behind = run;
        return left_behind ? code : CLI_FAILED;
    }
    json_decref(run->metrics);
    json_decref(run->spans);
    rm_free(run->trace);
    cli_feeds_close(run);
    cli_pipeline_release(&run->pipeline);
    cli_words_free(run);
    free(run);
    return code;
}

int cli_run(cli *state, const cli_arguments *arguments)
{
    return cli_has(arguments, "watch") ? cli_watch(state, arguments)
                                       : cli_run_once(state, arguments, false);
}
