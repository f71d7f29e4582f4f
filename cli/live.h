/* live.h — runs tell others of the same user what they do: a socket for each process, `top` asks.
 *
 *     run ── listens ──▶ $XDG_RUNTIME_DIR/remotemedia/PID.sock     (/tmp/remotemedia-UID without)
 *     program ─ listens ▶ …/PID.python.sock, for all of its sessions: rm_cli_live_listen()
 *     top ── connects ─▶ one JSON object, then the end:
 *                        {"pid", "pipeline", "state", "metrics", …}, or
 *                        {"pid", "runs": [{"run", "pipeline", "state", "metrics"}, …, {"state":
 *                        "more", "count"}]}
 *
 * The folder is the user's alone (0700), or it is not used. A run answers between two slices of its
 * work, and sleeps as long as it likes where nobody asks.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include <poll.h>

#include "cli.h"

enum {
    CLI_LIVE_PATH_MAX = 108, /* of a Unix socket, with the NUL */
    CLI_LIVE_CLIENTS_MAX = 4,
    CLI_LIVE_RUNS_MAX = 64
};

/* Somebody who asked and has not got all of the answer yet. */
typedef struct cli_live_client {
    int fd;
    char *text;
    size_t at, bytes;
} cli_live_client;

/* All zeros: nobody can ask. */
typedef struct cli_live {
    bool listens;
    int fd;
    char path[CLI_LIVE_PATH_MAX];
    unsigned client_count;
    cli_live_client client[CLI_LIVE_CLIENTS_MAX];
} cli_live;

/* Where there is no folder to listen in, nobody can ask. Removes what runs that are dead left. */
void cli_live_start(cli_live *live);
void cli_live_stop(cli_live *live);

/* Answers who asks: `make` gives the object. Does not wait. */
void cli_live_step(cli_live *live, json_t *(*make)(void *context), void *context);

/* What to poll for; at most 1 + CLI_LIVE_CLIENTS_MAX. Returns how many. */
unsigned cli_live_poll(const cli_live *live, struct pollfd *ret_wanted);

/* Asks all runs at once: an array of their answers by pid; a process that does not answer within
 * timeout_ms has "pid" and the state "busy", one that has more runs than it tells of a last one
 * with the state "more" and "count". */
json_t *cli_live_ask_all(int timeout_ms);

#endif
