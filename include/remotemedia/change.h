/* change.h — changing the graph of a session while it runs.
 *
 *   rm_change_new(session) ─▶ replace · insert · remove · connect · params … ─▶ rm_change_commit()
 *                                                                                     │
 *        plan the new graph ─▶ open the new nodes ─▶ all strands pause between two calls ─▶
 * exchange ─▶ they go on ─▶ close the old nodes
 *
 * A change is a transaction: it takes effect at one packet boundary, or the graph stays as it was.
 * Packets that were queued go on in their order, none twice. A change describes the session's graph
 * as a manifest does, so what the plan puts in (converters) follows by itself.
 *
 * A change that has to wait for its moment holds back the nodes that go: they come to the end of
 * their items and get no new ones, until it is made, fails or is freed.
 *
 * What the session must be: opened by rm_session_open(). Its plan's registry must outlive it.
 * Ownership: the caller owns a change and frees it before the session. Threads: one at a time;
 * CALLER: the session's owner, outside of rm_session_step(); THREAD: any but from within a node or
 * an event.
 */
#ifndef REMOTEMEDIA_CHANGE_H
#define REMOTEMEDIA_CHANGE_H

#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rm_change rm_change;

/* A change of the graph as it is now. Nothing happens to the session before the commit. RM_EINVAL:
 * the session has no plan. */
RM_API RM_MUST_USE rm_status rm_change_new(rm_session *session, rm_change **ret_change,
                                           rm_error *err);
/* What was not committed is forgotten. NULL is fine. */
RM_API void rm_change_free(rm_change *change);

/* The following describe the new graph. node_json: a node as in a manifest. RM_ENOENT: no such node
 * or connection, with a near name as help. RM_EINVAL: it can't be described so; the change is as it
 * was. */

/* Another node in the place of `id`, with its connections. node_json may lack the id. Where it is
 * of the same type, which saves and loads, the state is handed over, else the old node flushes what
 * it holds back. */
RM_API RM_MUST_USE rm_status rm_change_replace(rm_change *change, const char *id,
                                               const char *node_json, rm_error *err);
/* A new node on the connections from node `from` to node `to`. to NULL: on all that leave one
 * output of `from`. from NULL: on all that reach one input of `to`. */
RM_API RM_MUST_USE rm_status rm_change_insert(rm_change *change, const char *node_json,
                                              const char *from, const char *to, rm_error *err);
/* Takes a node out: what feeds it feeds its consumers, on the condition of the connection before
 * it. RM_EINVAL where that is not plain (it has not one input, several outputs in use, conditions
 * before it and behind it, dead letters): connect and disconnect instead. A node without outputs
 * goes with its connections, once nothing is queued before it. */
RM_API RM_MUST_USE rm_status rm_change_remove(rm_change *change, const char *id, rm_error *err);
/* A connection as in a manifest: {"from": "a", "to": "b", …}. */
RM_API RM_MUST_USE rm_status rm_change_connect(rm_change *change, const char *connection_json,
                                               rm_error *err);
/* All connections between the two. */
RM_API RM_MUST_USE rm_status rm_change_disconnect(rm_change *change, const char *from,
                                                  const char *to, rm_error *err);
/* A new node, to be connected. */
RM_API RM_MUST_USE rm_status rm_change_add(rm_change *change, const char *node_json, rm_error *err);
/* Parameters of a node, a JSON object; those it does not name stay. If all of them are LIVE the
 * node goes on with them, else it is replaced by one of its type. */
RM_API RM_MUST_USE rm_status rm_change_params(rm_change *change, const char *id,
                                              const char *params_json, rm_error *err);

/* As the change is made, and nothing else can refuse it any more, visit(context) is called for node
 * `id`, which stays: it is between two of its items, and no node is called meanwhile. For
 * parameters that only the host knows. What visit() returns below RM_OK refuses the change, and
 * undo(context) (may be NULL) is called of the visits before it. A node that comes or goes with
 * this change refuses it (RM_EINVAL). */
RM_API RM_MUST_USE rm_status rm_change_visit(rm_change *change, const char *id,
                                             rm_status (*visit)(void *context, rm_error *err),
                                             void (*undo)(void *context), void *context,
                                             rm_error *err);

/* Plans the changed graph, which rm_change_commit() does else, so that what its new nodes need can
 * be made before they are opened. What is said of the change afterwards fails. *ret_plan (may be
 * NULL) is the change's, then the session's. On an error the change is forgotten. */
RM_API RM_MUST_USE rm_status rm_change_plan(rm_change *change, const rm_plan **ret_plan,
                                            rm_error *err);
/* Not 0: the node at that place of the changed plan does not run yet. 0 too before it is planned,
 * and beyond its nodes. */
RM_API int rm_change_is_new(const rm_change *change, size_t index);

/* Makes it so. *ret_pause_ns (may be NULL): how long the session stood still.
 *
 * RM_OK: the new graph runs. RM_EAGAIN: a node that goes is within an item, or something is queued
 * that has nowhere to go; the session goes on, without new items for the nodes that go, and the new
 * nodes stay open: commit again soon (THREAD: it has tried for 2 s). Any other error: the session
 * goes on as it was, and the change is forgotten: the plan's findings (as rm_graph_plan()), a node
 * that can't be opened (E0401), a node that blocks where the session has no thread for one, the
 * graph's inputs and outputs (they stay), a node that has ended, one that fails as it gives what it
 * holds back, or another change that was committed since this one began (RM_EINVAL). */
RM_API RM_MUST_USE rm_status rm_change_commit(rm_change *change, int64_t *ret_pause_ns,
                                              rm_error *err);

#ifdef __cplusplus
}
#endif
#endif
