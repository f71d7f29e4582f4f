/* cli.h — the `remotemedia` command as a function, for programs that host more node types than the
 * plain binary: the Python wheel's console script runs it inside its interpreter.
 *
 *     plain binary    rm_cli_main(NULL, argc, argv)      the session has a thread of its own
 *     with a host     rm_cli_main(&host, argc, argv)     host.run() steps the session itself
 *
 * It is in libremotemedia-cli. Exit codes: 0 ok, 1 the run failed, 2 usage, 3 bad manifest.
 * Threads: one call at a time in a process; it sets the log sink, and signal handlers while a
 * pipeline runs.
 */
#ifndef REMOTEMEDIA_CLI_H
#define REMOTEMEDIA_CLI_H

#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One `remotemedia run` under way. */
typedef struct rm_cli_run rm_cli_run;

/* What an embedding program adds. Grows at the end only. Members may be NULL. */
typedef struct rm_cli_host {
    size_t struct_size;
    void *context;
    const char *prog;           /* how the command calls itself; NULL: "remotemedia" */
    const char *version_suffix; /* printed behind the version: "CPython 3.12.4"; NULL: none */
    /* Adds tiers and types to a new registry. An error ends the command with it. */
    rm_status (*setup_registry)(void *context, rm_registry *registry, rm_error *err);
    /* Runs a plan to its end on the calling thread: opens a session with RM_DRIVER_CALLER, calls
     * rm_cli_run_opened(), steps it, calls rm_cli_run_tick() between two steps (after each one, and
     * every 50 ms while there is none), and rm_cli_run_ended() before it frees the session. Returns
     * RM_DONE, or the error with its text in err; RM_ECANCELED after an interrupt. With it, plans
     * are made for a program that hosts Python (rm_plan_options.python_host), and SIGINT is the
     * host's. */
    rm_status (*run)(void *context, const rm_plan *plan, rm_cli_run *run, rm_error *err);
    /* 1: run() asks rm_cli_run_record(), so that `replay` can have it run Python nodes again. */
    int replays;
} rm_cli_host;

/* The whole command. host may be NULL. Returns the exit code. */
RM_API int rm_cli_main(const rm_cli_host *host, int argc, char **argv);

/* For rm_cli_host.run(), on the thread that owns the session. The session is borrowed from opened()
 * to ended(). tick() feeds inputs, prints outputs and progress, acts on signals. */
RM_API void rm_cli_run_opened(rm_cli_run *run, rm_session *session);
RM_API void rm_cli_run_tick(rm_cli_run *run);
RM_API void rm_cli_run_ended(rm_cli_run *run);

/* For rm_cli_host.run(): the session's rm_session_options.replay_path; borrowed. NULL: it is no
 * replay. Thread: that of run(). */
RM_API const char *rm_cli_run_record(const rm_cli_run *run);

/* For a program that tells `remotemedia top` of its sessions: the listening socket PID`suffix`.sock
 * (suffix: ".python", or "") in the folder that only this user can enter, non-blocking; its path,
 * below 108 bytes, into ret_path. Who connects is sent one JSON object and the end. -1: there is no
 * folder to be trusted, or no room. The caller closes it and unlinks the path. Thread: any. */
RM_API int rm_cli_live_listen(const char *suffix, char *ret_path, size_t size);

#ifdef __cplusplus
}
#endif
#endif
