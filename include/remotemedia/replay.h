/* replay.h — a recorded run again, call by call, and what came out otherwise.
 *
 *   rm_session_options.record_path ─▶ run.rmrec ─▶ rm_replay_open() ─▶ rm_replay_step() …
 *                                                                          │
 *         sources' packets from the record ─▶ each node called with what it was given then,
 *                                             in the order of then ─▶ compared with what it gave
 *
 * Neither threads nor time play a part: merges, drops, interrupts, retries come as they came. All
 * runs on the calling thread, but for what nodes do on threads of their own.
 *
 * Ownership: the caller frees what it opened. Threads: one at a time a replay.
 */
#ifndef REMOTEMEDIA_REPLAY_H
#define REMOTEMEDIA_REPLAY_H

#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rm_replay rm_replay;

typedef struct rm_replay_options {
    size_t struct_size;
    /* 1: sinks run as well; those with a parameter `path` write to a file of that name in `folder`,
     * which is made; one that is there already is an error. 0: they are not opened: what would go
     * into them is compared all the same. */
    int with_sinks;
    const char *folder; /* with sinks: required. Borrowed while it opens */
    /* A packet that the graph's output of this name got; borrowed. NULL: nobody asks. */
    void (*on_output)(void *context, const char *name, const rm_packet *packet);
    /* From any thread: work of a node that was out is done, step soon. NULL: nobody asks. */
    void (*wake)(void *context);
    void *context;
    uint64_t memory_bytes_max; /* of buffers; 0: 4 GiB */
    int python_host;           /* as in rm_plan_options */
} rm_replay_options;

/* Opens the record, plans its graph by the registry, which must outlive the replay, and opens the
 * nodes; sources only where the record has no payloads. options may be NULL. E0412: the file is
 * damaged (err has the offset), or the graph is planned otherwise here. Errors of rm_graph_plan()
 * and of nodes. */
RM_API RM_MUST_USE rm_status rm_replay_open(const char *path, rm_registry *registry,
                                            const rm_replay_options *options,
                                            rm_replay **ret_replay, rm_error *err);

/* At most `budget` entries of the record. RM_MORE: there are more. RM_PENDING: work of a node is
 * out, until a wake. RM_DONE: all of the record was done, and everything came out as then. E0413: a
 * node did otherwise; err has the node, the item and what differs. E0412: the record does not fit
 * together. After an error the same again. */
RM_API RM_MUST_USE rm_status rm_replay_step(rm_replay *replay, uint32_t budget, rm_error *err);
/* Steps to the end; waits for work that is out. */
RM_API RM_MUST_USE rm_status rm_replay_run(rm_replay *replay, rm_error *err);

/* What was done so far, as a JSON object: `calls` of nodes, `packets` that were compared,
 * `from_record` those that were not made anew, `dropped` those that no call took, `controls`;
 * `whole`: the record has an end; `status`, `code` and `message` of the recorded run, where it has
 * one; and nodes, each with `id`, `type`, `calls`, `packets`. The caller frees it by rm_free(). */
RM_API RM_MUST_USE rm_status rm_replay_report(const rm_replay *replay, char **ret_json,
                                              rm_error *err);

/* Closes the nodes. NULL is fine. */
RM_API void rm_replay_free(rm_replay *replay);

/* ---- by a session: where nodes need their program's own driver, as those of Python do */

/* The graph that a record is of, to be planned for a session with rm_session_options.replay_path.
 * The caller frees *ret_graph. E0412: the file is damaged; it may be further on, too. */
RM_API RM_MUST_USE rm_status rm_replay_read_graph(const char *path, rm_graph **ret_graph,
                                                  rm_error *err);

/* What a session with replay_path does, for rm_replay_report(); the session's, until that is freed.
 * NULL: it is no replay. Thread: owner. */
RM_API const rm_replay *rm_session_replay(const rm_session *session);

#ifdef __cplusplus
}
#endif
#endif
