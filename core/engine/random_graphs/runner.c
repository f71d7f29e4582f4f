/* runner.c — runs graphs, one a line of standard input, and prints what arrived, one line each:
 *
 *     {"seed": 7, "threads": false, "memory_bytes": 0, "disturb": "restart", "record": "file",
 *      "manifest": {…}}
 *     {"status": "RM_DONE", "code": 0, "node": "", "item": 0, "message": "", "sinks": [[…], …],
 *      "drops": [edge's, …], "queued": [edge's, …], "changes": 3, "late": 2, "of_copies": 1,
 *      "refused": ["why", …],
 *      "replay": "how the record of the run differs, run again", "replayed": [[…], …]}
 *
 * By the simulated driver, or on threads. That nothing moves for too long is status "stuck".
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include <remotemedia/replay.h>

#include "engine/drivers/sim.h"
#include "nodes.h"

/* RESTARTS_MAX: to find who may have the last memory takes more steps than come between two. */
enum { STEPS_MAX = 5000000, WAITS_MAX = 30000, RESTARTS_MAX = 60 };

/* What an owner may do meanwhile: interrupts at a random node, a cancel, changes of the graph,
 * going on in another process (RM_EAGAIN while work is out). False: err says why that cannot be
 * done. */
static bool disturb(rmi_sim **sim_at, const char *how, changes *c, uint32_t *restarts,
                    rm_error *err)
{
    rmi_sim *sim = *sim_at;
    rm_session *session = sim->session;
    if (strcmp(how, "restart") == 0 && *restarts < RESTARTS_MAX && rmi_sim_random(sim, 20) == 0) {
        ++*restarts;
        *err = (rm_error)RM_ERROR_INIT;
        rm_status status = rmi_sim_restart(sim_at, err);
        return status == RM_OK || status == RM_EAGAIN || status == RM_ECANCELED;
    }
    if (strcmp(how, "change") == 0 && rmi_sim_random(sim, c->waiting ? 6 : 30) == 0) {
        changes_make_one(c);
    }
    if (strcmp(how, "cancel") == 0 && rmi_sim_random(sim, 200) == 0) {
        rm_session_cancel(session);
    } else if (strcmp(how, "interrupt") == 0 && rmi_sim_random(sim, 40) == 0) {
        uint32_t node = rmi_sim_random(sim, session->node_count);
        (void)rm_session_interrupt(session, session->nodes[node]->pub.id);
    }
    return true;
}

/* Ends the work of nodes, early or late: when nothing else can move at the latest. False: stuck. */
static bool run_simulated(rmi_sim **sim_at, const char *how, changes *c, rm_error *err)
{
    uint32_t restarts = 0;
    for (uint32_t i = 0; i < STEPS_MAX; i++) {
        if (!disturb(sim_at, how, c, &restarts, err)) {
            return false;
        }
        rmi_sim *sim = *sim_at;
        rm_status status = rmi_sim_step(sim);
        uint32_t pending = nodes_pending();
        if (status == RM_PENDING && pending == 0) {
            if (!changes_go_on(c)) {
                return false;
            }
            continue;
        }
        if (status != RM_PENDING && status != RM_MORE) {
            return true;
        }
        if (pending > 0 && (status == RM_PENDING || rmi_sim_random(sim, 4) == 0)) {
            nodes_complete(rmi_sim_random(sim, pending));
        }
    }
    return false;
}

static bool run_on_threads(rm_session *session, const char *how, changes *c)
{
    for (int i = 0; i < WAITS_MAX; i++) {
        if (strcmp(how, "change") == 0) {
            changes_make_one(c);
        }
        rm_status status = rm_session_wait(session, nodes_pending() > 0 ? 0 : 1);
        if (status != RM_EAGAIN) {
            return true;
        }
        if (nodes_pending() > 0) {
            nodes_complete(0);
            i = 0;
        }
    }
    return false;
}

static json_t *list_arrivals(void)
{
    json_t *sinks = json_array();
    for (int i = 0; i < NODES_SINKS_MAX; i++) {
        json_t *numbers = json_array();
        for (uint32_t k = 0; k < nodes_arrivals.sink[i].count; k++) {
            json_array_append_new(numbers,
                                  json_integer((json_int_t)nodes_arrivals.sink[i].number[k]));
        }
        json_array_append_new(sinks, numbers);
    }
    return sinks;
}

static json_t *list_drops(const rm_session *session)
{
    json_t *drops = json_array();
    for (uint32_t i = 0; i < session->edge_count; i++) {
        json_array_append_new(drops, json_integer((json_int_t)rmi_edge_drops(session->edges[i])));
    }
    return drops;
}

static json_t *answer_of(rm_session *session, bool ended, const changes *c)
{
    rm_error error = RM_ERROR_INIT;
    rm_status status = ended ? rm_session_error(session, &error) : RM_PENDING;
    const char *name = !ended ? "stuck" : status == RM_OK ? "RM_DONE" : rm_status_name(status);
    return json_pack("{s:s, s:i, s:s, s:I, s:s, s:o, s:o, s:i, s:i, s:i, s:O}", "status", name,
                     "code", (int)error.code, "node", error.node, "item", (json_int_t)error.item,
                     "message", error.message, "sinks", list_arrivals(), "drops",
                     list_drops(session), "changes", (int)c->made, "late", (int)c->late,
                     "of_copies", (int)c->of_copies, "refused", c->refused);
}

static json_t *refused(const rm_error *error)
{
    return json_pack("{s:s, s:i, s:s}", "status", rm_status_name(error->status), "code",
                     (int)error->code, "message", error->message);
}

/* The record once more: on one thread, with the work of nodes ended in another order. */
static void replay(rm_registry *registry, const char *record, json_t *answer)
{
    rm_error error = RM_ERROR_INIT;
    rm_replay *replay = NULL;
    rm_replay_options options = {.struct_size = sizeof options, .with_sinks = 1, .folder = "/tmp"};
    nodes_reset();
    rm_status status = rm_replay_open(record, registry, &options, &replay, &error);
    for (int i = 0; status == RM_OK || status == RM_MORE || status == RM_PENDING; i++) {
        status = rm_replay_step(replay, 64, &error);
        if (status == RM_PENDING && nodes_pending() == 0) {
            status = rm_fail(&error, RM_EDEADLOCK, "the replay waits for nothing");
        }
        if (nodes_pending() > 0 && (status == RM_PENDING || i % 3 == 0)) {
            nodes_complete((uint32_t)i % nodes_pending());
        }
    }
    json_object_set_new(answer, "replay", json_string(status == RM_DONE ? "" : error.message));
    json_object_set_new(answer, "replayed", list_arrivals());
    rm_replay_free(replay);
}

static json_t *run_plan(const rm_plan *plan, const json_t *task, changes *c)
{
    uint64_t memory = (uint64_t)json_integer_value(json_object_get(task, "memory_bytes"));
    const char *how = json_string_value(json_object_get(task, "disturb"));
    const char *record = json_string_value(json_object_get(task, "record"));
    rm_error error = RM_ERROR_INIT;
    how = how ? how : "";
    nodes_reset();
    if (c->threads) {
        rm_session_options options = {
            .struct_size = sizeof options, .driver = RM_DRIVER_THREAD, .memory_bytes_max = memory};
        options.record_path = record;
        rm_session *session = NULL;
        if (rm_session_open(plan, &options, &session, &error) != RM_OK) {
            return refused(&error);
        }
        c->session = session;
        bool ended = run_on_threads(session, how, c);
        changes_give_up(c);
        json_t *answer = answer_of(session, ended, c);
        rm_session_free(session);
        return answer;
    }
    rmi_sim *sim = NULL;
    if (rmi_sim_new(plan, memory, record, c->random, &sim, &error) != RM_OK) {
        return refused(&error);
    }
    error = (rm_error)RM_ERROR_INIT;
    c->session = sim->session;
    bool ended = run_simulated(&sim, how, c, &error);
    changes_give_up(c);
    json_t *answer =
        !ended && error.status < 0 ? refused(&error) : answer_of(sim->session, ended, c);
    rmi_sim_free(sim);
    return answer;
}

static json_t *run_task(rm_registry *registry, const json_t *task)
{
    rm_error error = RM_ERROR_INIT;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    json_t *answer;
    char *manifest = json_dumps(json_object_get(task, "manifest"), JSON_COMPACT);
    rm_status status = rm_graph_parse(manifest, strlen(manifest), &graph, NULL, &error);
    if (status == RM_OK) {
        status = rm_graph_plan(graph, registry, NULL, &plan, NULL, &error);
    }
    changes c = {.random = (uint64_t)json_integer_value(json_object_get(task, "seed")),
                 .threads = json_is_true(json_object_get(task, "threads")),
                 .refused = json_array()};
    answer = status == RM_OK ? run_plan(plan, task, &c) : refused(&error);
    const char *record = json_string_value(json_object_get(task, "record"));
    if (record && status == RM_OK) {
        replay(registry, record, answer);
    }
    json_decref(c.refused);
    rm_plan_free(plan);
    rm_graph_free(graph);
    free(manifest);
    return answer;
}

static bool answer_line(rm_registry *registry, const char *line)
{
    json_error_t why;
    json_t *task = json_loads(line, 0, &why);
    if (!task) {
        fprintf(stderr, "a task is no JSON: %s\n", why.text);
        return false;
    }
    json_t *answer = run_task(registry, task);
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(answer);
    json_decref(task);
    return true;
}

int main(void)
{
    rm_error error = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    if (rm_registry_new(&registry, &error) != RM_OK || nodes_register(registry, &error) != RM_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    for (int i = 0; i < NODES_SINKS_MAX; i++) {
        nodes_arrivals.sink[i].number = calloc(NODES_NUMBERS_MAX, sizeof(uint64_t));
        if (!nodes_arrivals.sink[i].number) {
            return 1;
        }
    }
    char *line = NULL;
    size_t size = 0;
    bool good = true;
    while (good && getline(&line, &size, stdin) > 0) {
        good = answer_line(registry, line);
    }
    free(line);
    for (int i = 0; i < NODES_SINKS_MAX; i++) {
        free(nodes_arrivals.sink[i].number);
    }
    rm_registry_free(registry);
    return good ? 0 : 1;
}
