/* run.h — what the parts of `remotemedia run` share.
 *
 *     run.c       one run: plan, session, its loop, its exit code
 *     signals.c   SIGINT, SIGTERM, SIGUSR1
 *     feed.c      files and stdin into the graph's inputs; its outputs onto stdout
 *     progress.c  the line that shows how far it is
 *     words.c     and the words that are recognised just now
 *     summary.c   what it did, as a table or JSON; the live graph
 *     profile.c   … and where its time went, for `profile`
 *     live.c      what it tells to `top`
 *     watch.c     --watch: this program again and again, as a child
 *     record.c    what `record` keeps; replay.c, what was kept once more
 *
 * Threads: all functions on the thread that owns the session, but where one says otherwise.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <pthread.h>

#include <remotemedia/replay.h>

#include "exporter.h"
#include "live.h"
#include "otlp.h"

enum { CLI_FEEDS_MAX = 16, CLI_OUTPUTS_MAX = 64, CLI_WORDS_BYTES = 512 };

/* How a feed cuts what it reads into packets. */
typedef enum cli_cut {
    CLI_CUT_LINES,
    CLI_CUT_JSON_LINES,
    CLI_CUT_ANY_LINES,
    CLI_CUT_BLOCKS
} cli_cut;

typedef struct cli_feed {
    const char *file; /* "-": stdin */
    char name[104];   /* of the graph input */
    int fd;
    cli_cut cut;
    uint32_t index; /* in the session */
    char *data;     /* what was read and not yet pushed: data[begin … end) */
    size_t begin, end, capacity;
    uint64_t line;
    rm_packet *held;      /* the session had no room for it */
    bool at_end, ended;   /* of the file; of the input */
    bool waits_for_input; /* for the file */
} cli_feed;

typedef struct cli_output {
    char name[104];
    uint32_t index; /* in the session */
    bool ended;
} cli_output;

typedef struct cli_progress {
    bool wanted;
    bool ready; /* lock and wake are there, and the thread unless the system has none to give */
    char media[512]; /* the file whose reading tells how far it is; "": none */
    uint64_t media_bytes;
    int64_t count_ns; /* the queues are not asked before */
    pthread_t thread; /* draws where the run's own thread does not come to it */
    bool thread_started;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* stopping has changed */

    /* Protected by lock. */
    bool stopping;
    bool shown;          /* a line stands on the terminal */
    bool two_lines;      /* and the words below it */
    int64_t stepped_ns;  /* when the run's own thread was here last */
    int64_t next_ns;     /* when it is drawn again */
    int media_fd;        /* of this process, found in /proc; -1: not yet */
    double read;         /* of the file, 0 to 1; below 0: not known */
    double share;        /* of what was read: what has gone through, 0 to 1 */
    double part;         /* of the file: what has gone through */
    int64_t position_ns; /* the same in the media's time */
    int64_t moved_ns;    /* when one of these changed */
    uint64_t packets;    /* of the sources, then */
    char working[48];    /* the node whose call was under way; "": none */
} cli_progress;

/* How a run came to its end. */
typedef enum cli_outcome { CLI_DONE, CLI_ENDED_EARLY, CLI_RUN_FAILED } cli_outcome;

struct rm_cli_run {
    cli *state;
    const cli_arguments *arguments;
    cli_pipeline pipeline;
    rm_session *session; /* from opened() to ended() */
    uint32_t feed_count, output_count;
    cli_feed feed[CLI_FEEDS_MAX];
    cli_output output[CLI_OUTPUTS_MAX];
    cli_progress progress;
    cli_live live;
    cli_exporter *exporter;       /* NULL: none */
    cli_otlp *otlp;               /* NULL: none */
    json_t *spans;                /* for it, taken at the end */
    int64_t live_ns;              /* when it is looked at again whether somebody asks */
    struct cli_words *words;      /* NULL: none are shown */
    int64_t begin_ns, elapsed_ns; /* begin: 0 before it began */
    int64_t cancel_ns;            /* when it was cancelled; 0: it was not */
    int ended_by;                 /* the signal; 0: none */
    cli_outcome outcome;
    bool
        profiled; /* `profile`: what the outputs get is let go, the report is all that is printed */
    int64_t cpu_ns; /* of the process, in the run */
    bool stuck;     /* a node did not return: nothing may be freed */
    char *trace;    /* taken at the end; NULL: none was asked for */
    rm_error error; /* of a feed */
    int64_t position_ns;
    uint64_t packets;
    json_t *metrics;    /* taken at the end */
    const char *record; /* that is run again by a host; NULL: none. Then no more is done than: */
    json_t *replayed;   /* the report, taken at the end */
};

/* Ends the run; the first reason stays. */
void cli_run_cancel(rm_cli_run *run);

/* ---- replay.c */

/* What was done so far, as rm_replay_report(); NULL: no memory. */
json_t *cli_replay_report(const rm_replay *replay);

/* ---- signals.c */

/* The pipe, and SIGUSR1, until cli_signals_stop(). */
RM_MUST_USE rm_status cli_signals_start(rm_error *err);
/* From here on the first SIGINT or SIGTERM is kept, and a second one of the kind ends the process
 * the system's way, as before. SIGINT is left alone where a host handles it. */
void cli_signals_catch(bool with_interrupt);
void cli_signals_stop(void);
/* Becomes readable with a signal and by cli_signals_wake(), which any thread may call. */
int cli_signals_fd(void);
void cli_signals_wake(void);
void cli_signals_drain(void);
int cli_signals_ended_by(void);   /* SIGINT, SIGTERM, or 0 */
bool cli_signals_take_dump(void); /* SIGUSR1 came since the last call */

/* ---- feed.c */

/* Finds inputs and outputs in the plan; opens the files. E0701 for an input that gets nothing. */
RM_MUST_USE rm_status cli_feeds_open(rm_cli_run *run, rm_error *err);
/* Once the session is open. */
RM_MUST_USE rm_status cli_ports_find(rm_cli_run *run, rm_error *err);
void cli_feeds_close(rm_cli_run *run);
/* "FILE" or "NAME=FILE" for a graph input. RM_ENOENT: it means none. */
RM_MUST_USE rm_status cli_feed_add(rm_cli_run *run, const char *text, rm_error *err);
/* Pushes what there is and room for. */
void cli_feeds_step(rm_cli_run *run);
/* Prints what there is. */
void cli_outputs_step(rm_cli_run *run);

/* ---- progress.c: from the run's own thread */

/* Once the plan is there: whether a line will be shown. */
bool cli_progress_is_wanted(const rm_cli_run *run);
void cli_progress_start(rm_cli_run *run);
void cli_progress_step(rm_cli_run *run); /* draws at most ten times a second */
void cli_progress_clear(rm_cli_run *run);
void cli_progress_stop(rm_cli_run *run); /* and clears; before the session goes */

/* ---- words.c */

/* Adds the nodes that keep them, and plans anew. */
void cli_words_add(rm_cli_run *run);
/* What was recognised last, "" for nothing. */
const char *cli_words_text(rm_cli_run *run);
/* Once the session has ended; before it is freed. */
void cli_words_drop(rm_cli_run *run);
/* After the registry. */
void cli_words_free(rm_cli_run *run);

/* ---- run.c and profile_run.c */

/* One run, from the plan to the exit code. */
int cli_run_once(cli *state, const cli_arguments *arguments, bool profiled);
/* How many calls of each thread --trace keeps; 0: none. */
uint32_t cli_profile_spans(const rm_cli_run *run);
/* Prints the report of a run that is over. Returns the exit code. */
int cli_profile_finish(const rm_cli_run *run, int code, const rm_error *error);

/* ---- summary.c */

/* After a run that did not come to its end: what happened up to there. */
void cli_print_summary(const rm_cli_run *run);
/* ok, outcome ("done", "canceled", "failed"), exit_code, elapsed_ns, media_ns, speed, nodes with
 * their shares, edges, memory; all up to the end, whatever it was; and the error where there is
 * one. */
json_t *cli_summary_json(const rm_cli_run *run, int exit_code, const rm_error *error);
/* The graph as it is now, with queue depths, to stderr. */
void cli_print_live(rm_cli_run *run);

/* ---- watch.c */

/* The exit code of the last run. */
int cli_watch(cli *state, const cli_arguments *arguments);

#endif
