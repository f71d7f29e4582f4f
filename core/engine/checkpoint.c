#include "engine/checkpoint.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "engine/arrivals.h"
#include "engine/clock.h"
#include "engine/events.h"
#include "engine/hold.h"
#include "engine/snapshot.h"
#include "graph/plan.h"

enum {
    INTERVAL_MS_DEFAULT = 1000,
    TIMEOUT_MS = 2000,
    TIMEOUT_MS_MAX = 86400000,
    AGAIN_MS = 2,
    IN_VAIN_SHARE = 10 /* of the time one part at most is spent on hold for nothing */
};

typedef struct copied {
    rmi_bytes body;
    uint64_t digest;
    /* Where it was not possible. */
    uint64_t calls;  /* of nodes, by then */
    bool is_out;     /* work is */
    bool has_object; /* one that cannot be saved is on its way */
} copied;

/* Has the home strand make the copy, on the thread that steps it: there alone the code of its nodes
 * may be called. */
typedef struct copy_message {
    rmi_message message;
    copied made;
    rm_error error;
    rm_status status;
    /* Under the session's lock. */
    enum { COPY_NONE = 0, COPY_ASKED, COPY_RUNNING, COPY_DONE } phase;
    bool posted;
} copy_message;

/* Tells on the home strand's thread what a log wants to know: elsewhere the log's sink may wait for
 * what that thread holds. */
typedef struct told_message {
    rmi_message message;
    char text[RM_ERROR_MESSAGE_MAX]; /* under the session's lock, as the next */
    bool posted;
} told_message;

struct rmi_checkpoints {
    char *folder;
    int64_t interval_ms; /* -1: none by itself */
    rmi_bytes resumed;   /* the file that the session goes on from; gone once it has */
    uint64_t number;     /* its number; 0: none */
    uint64_t newest;     /* the newest good one of the folder; 0: none */
    int lock;            /* keeps other sessions out of the folder */
    pthread_t thread;
    bool started;
    copy_message at_home; /* where the caller steps the home strand */
    told_message told;
};

/* ---- which graph it is */

/* FNV-1a, 64 bits. */
static void digest_add(uint64_t *digest, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        *digest = (*digest ^ at[i]) * 0x100000001B3ull;
    }
}

static void digest_text(uint64_t *digest, const char *text)
{
    digest_add(digest, text ? text : "", text ? strlen(text) + 1 : 1);
}

/* A live object's number in its process says nothing of the graph. */
static void digest_node(uint64_t *digest, const char *node_json)
{
    json_t *node =
        node_json && strstr(node_json, "$python") ? json_loads(node_json, 0, NULL) : NULL;
    json_object_del(node, "code");
    char *text = node ? json_dumps(node, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    digest_text(digest, text ? text : node_json);
    free(text);
    json_decref(node);
}

/* Of nodes, their types and parameters, and of connections; not of strands, which differ by
 * machine. */
static uint64_t digest_of(const rm_plan *plan)
{
    uint64_t digest = 0xCBF29CE484222325ull;
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        digest_text(&digest, node.id);
        digest_text(&digest, node.type->name);
        digest_text(&digest, node.params_json);
        digest_node(&digest, node.node_json);
    }
    for (size_t i = 0; i < rm_plan_edge_count(plan); i++) {
        rm_plan_edge edge;
        rm_plan_edge_at(plan, i, &edge);
        uint32_t ends[] = {edge.from_node, edge.from_port,        edge.to_node,
                           edge.to_port,   edge.capacity_packets, edge.capacity_packets_max};
        digest_add(&digest, ends, sizeof ends);
        digest_text(&digest, edge.policy);
        digest_text(&digest, edge.when_json);
    }
    return digest;
}

/* ---- all strands stand still */

static struct timespec in_ms(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Between a change and its end the plan is not what runs. */
static bool runs_its_plan(const rm_session *session)
{
    bool same = rm_plan_node_count(session->plan) == session->node_count &&
                rm_plan_edge_count(session->plan) == session->edge_count;
    for (uint32_t i = 0; i < session->node_count && same; i++) {
        rm_plan_node planned;
        rm_plan_node_at(session->plan, i, &planned);
        const rm_node *node = &session->nodes[i]->pub;
        same =
            strcmp(planned.id, node->id) == 0 && strcmp(planned.type->name, node->type->name) == 0;
    }
    return same;
}

/* The session stands still. */
static void look_at_work(const rm_session *session, copied *tried)
{
    tried->calls = 0;
    tried->is_out = false;
    for (uint32_t i = 0; i < session->strand_count; i++) {
        tried->is_out |= session->strands[i]->outstanding > 0;
    }
    for (uint32_t i = 0; i < session->node_count; i++) {
        tried->calls += session->nodes[i]->calls;
    }
}

/* All strands stand still, but for the calling thread's. RM_EAGAIN: not now. */
static rm_status copy_now(rm_session *session, copied *ret_copied, rm_error *err)
{
    look_at_work(session, ret_copied);
    if (!runs_its_plan(session)) {
        (void)rm_fail(err, RM_EFAIL, "the graph is being changed");
        return RM_EAGAIN;
    }
    ret_copied->digest = digest_of(session->plan);
    rm_status status = rmi_snapshot_take(session, &ret_copied->body, err);
    ret_copied->has_object = status == RM_EAGAIN && err->code == RM_CODE_PYTHON_VALUE;
    return status;
}

/* Between two calls of the home strand. */
static void run_copy(rmi_strand *strand, rmi_message *message)
{
    copy_message *asked = RMI_CONTAINER(message, copy_message, message);
    rm_session *session = strand->session;
    pthread_mutex_lock(&session->lock);
    asked->posted = false;
    bool goes = asked->phase == COPY_ASKED && !session->ending;
    asked->phase = goes ? COPY_RUNNING : asked->phase;
    pthread_mutex_unlock(&session->lock);
    if (!goes) {
        return;
    }
    asked->status = copy_now(session, &asked->made, &asked->error);
    pthread_mutex_lock(&session->lock);
    asked->phase = COPY_DONE;
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
}

/* The caller steps when it likes. The other strands stand still. */
static rm_status copy_at_home(rm_session *session, int64_t until_ns, copied *ret_copied,
                              rm_error *err)
{
    copy_message *asked = &session->checkpoints->at_home;
    struct timespec until = in_ms((until_ns - rmi_clock_ns()) / 1000000);
    int timed_out = 0;
    pthread_mutex_lock(&session->lock);
    asked->message.run = run_copy;
    asked->error = (rm_error)RM_ERROR_INIT;
    asked->phase = COPY_ASKED;
    if (!asked->posted) {
        asked->posted = true;
        rmi_strand_post(session->strands[0], &asked->message);
    }
    while (asked->phase == COPY_RUNNING ||
           (asked->phase == COPY_ASKED && !session->ending && !timed_out)) {
        timed_out = pthread_cond_timedwait(&session->changed, &session->lock, &until);
    }
    bool done = asked->phase == COPY_DONE;
    asked->phase = COPY_NONE;
    pthread_mutex_unlock(&session->lock);
    if (!done) {
        (void)rm_fail(err, RM_EFAIL, "a call of a node lasts longer, or nobody steps the session");
        return RM_EAGAIN;
    }
    *ret_copied = asked->made;
    asked->made = (copied){0};
    *err = asked->error;
    return asked->status;
}

/* One copy. RM_EAGAIN: not now. */
static rm_status copy(rm_session *session, bool is_owner, int64_t until_ns, copied *ret_copied,
                      rm_error *err)
{
    rm_status status = RM_EAGAIN;
    bool at_home = !is_owner && session->options.driver == RM_DRIVER_CALLER;
    rmi_session_begin_visit(session);
    if (!rmi_session_pause(session, until_ns, at_home)) {
        (void)rm_fail(err, RM_EFAIL, "a call of a node lasts longer");
    } else {
        status = at_home ? copy_at_home(session, until_ns, ret_copied, err)
                         : copy_now(session, ret_copied, err);
        rmi_session_resume(session);
    }
    rmi_session_end_visit(session);
    return status;
}

/* Work that is out comes back meanwhile. False: the session ends. */
static bool wait_a_little(rm_session *session)
{
    struct timespec until = in_ms(AGAIN_MS);
    pthread_mutex_lock(&session->lock);
    bool goes_on = !session->ending;
    if (goes_on) {
        (void)pthread_cond_timedwait(&session->changed, &session->lock, &until);
    }
    pthread_mutex_unlock(&session->lock);
    return goes_on;
}

static bool is_source(const rmi_node *node, const void *context)
{
    (void)context;
    return node->is_source;
}

/* What is under way comes to the end of its item, and no other is begun; but where an object that
 * cannot be saved is queued all goes on to the end of the graph. Where nothing has moved since the
 * last time, a node is within an item that needs what others have: each gives one. */
static void hold(rm_session *session, const copied *tried, uint64_t *calls)
{
    if (*calls == UINT64_MAX || tried->has_object) {
        rmi_hold_begin(session, RMI_HOLD_CHECKPOINT, tried->has_object ? is_source : NULL, NULL);
    }
    if (*calls == UINT64_MAX) {
        *calls = tried->calls;
    } else if (*calls == tried->calls && !tried->is_out) {
        rmi_hold_pass(session);
    }
    *calls = tried->calls;
}

static rm_status copy_in_time(rm_session *session, bool is_owner, int64_t timeout_ms,
                              copied *ret_copied, rm_error *err)
{
    int64_t wait_ms = timeout_ms < 0                ? 0
                      : timeout_ms > TIMEOUT_MS_MAX ? TIMEOUT_MS_MAX
                                                    : timeout_ms;
    int64_t until_ns = rmi_clock_ns() + wait_ms * 1000000;
    /* What is out comes back in a step of the caller's. */
    bool is_steppers_call = is_owner && session->options.driver == RM_DRIVER_CALLER;
    uint64_t calls = UINT64_MAX; /* of nodes; until then nothing is on hold */
    rm_status status;
    while ((status = copy(session, is_owner, until_ns, ret_copied, err)) == RM_EAGAIN) {
        rmi_bytes_fini(&ret_copied->body);
        if (rmi_clock_ns() >= until_ns || is_steppers_call) {
            break;
        }
        hold(session, ret_copied, &calls);
        if (!wait_a_little(session) || rmi_clock_ns() >= until_ns) {
            break;
        }
    }
    if (calls != UINT64_MAX) {
        rmi_hold_end(session, RMI_HOLD_CHECKPOINT);
    }
    if (status == RM_EAGAIN) {
        rm_error_wrap(err, "no checkpoint within %lld ms", (long long)timeout_ms);
    }
    return status;
}

/* ---- one checkpoint */

static rm_status claim(rm_session *session, rm_error *err)
{
    rm_status status = RM_OK;
    pthread_mutex_lock(&session->lock);
    if (session->ending) {
        status = rm_fail(err, RM_ECANCELED, "the session is ending");
    } else if (session->checkpointing) {
        (void)rm_fail(err, RM_EFAIL, "another checkpoint is being made");
        status = RM_EAGAIN;
    } else {
        session->checkpointing = true;
    }
    pthread_mutex_unlock(&session->lock);
    return status;
}

static void unclaim(rm_session *session)
{
    pthread_mutex_lock(&session->lock);
    session->checkpointing = false;
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
}

static rm_status keep_file(rm_session *session, const char *folder, const copied *made,
                           rm_error *err)
{
    rmi_checkpoints *c = session->checkpoints;
    uint64_t number = 0;
    bool is_own = c && c->folder && strcmp(folder, c->folder) == 0;
    rm_status status = rmi_checkpoint_write(folder, made->digest, is_own ? c->newest : 0,
                                            &made->body, &number, err);
    if (status == RM_OK && is_own) {
        c->newest = number;
    }
    return status;
}

/* *ret_newest: the number of the newest one of the session's own folder, set where it got so far.
 */
static rm_status make(rm_session *session, const char *folder, bool is_owner, int64_t timeout_ms,
                      uint64_t *ret_newest, rm_error *err)
{
    copied made = {0};
    rm_error unwanted = RM_ERROR_INIT;
    err = err ? err : &unwanted;
    rm_status status = claim(session, err);
    if (status != RM_OK) {
        return status;
    }
    status = copy_in_time(session, is_owner, timeout_ms, &made, err);
    if (status == RM_OK) {
        status = keep_file(session, folder, &made, err);
    }
    rmi_bytes_fini(&made.body);
    *ret_newest = session->checkpoints ? session->checkpoints->newest : 0;
    unclaim(session);
    return status;
}

rm_status rm_session_checkpoint(rm_session *session, const char *folder, int64_t timeout_ms,
                                rm_error *err)
{
    if (!folder && session->checkpoints) {
        folder = session->checkpoints->folder;
    }
    if (!folder || !session->plan) {
        return rm_fail(err, RM_EINVAL, "a checkpoint needs a folder");
    }
    uint64_t newest = 0;
    return make(session, folder, true, timeout_ms, &newest, err);
}

uint64_t rm_session_resumed(const rm_session *session)
{
    return session->checkpoints ? session->checkpoints->number : 0;
}

int rm_node_is_kept(const rm_node *node)
{
    return ((const rmi_node *)node)->strand->session->checkpoints != NULL;
}

/* ---- by themselves */

/* Until the next one. Where this one was put off, what is held back for it costs little. */
static int64_t wait_after(const rmi_checkpoints *c, rm_status status, int64_t taken_ns)
{
    int64_t least_ms = status == RM_EAGAIN ? taken_ns / 1000000 * IN_VAIN_SHARE : 0;
    return least_ms > c->interval_ms ? least_ms : c->interval_ms;
}

static void run_told(rmi_strand *strand, rmi_message *message)
{
    told_message *told = RMI_CONTAINER(message, told_message, message);
    char text[RM_ERROR_MESSAGE_MAX];
    pthread_mutex_lock(&strand->session->lock);
    memcpy(text, told->text, sizeof text);
    told->posted = false;
    pthread_mutex_unlock(&strand->session->lock);
    rm_log(RM_LOG_WARNING, "engine", "%s", text);
}

/* What came of one. */
static void tell(rm_session *session, rm_status status, uint64_t newest, const rm_error *why)
{
    told_message *told = &session->checkpoints->told;
    if (status == RM_ECANCELED) {
        return;
    }
    rmi_event_tell(session, &(rmi_happening){.kind = RM_EVENT_CHECKPOINT,
                                             .reason = status == RM_OK       ? "made"
                                                       : status == RM_EAGAIN ? "put off"
                                                                             : "failed",
                                             .total = newest,
                                             .error = status == RM_OK ? NULL : why});
    pthread_mutex_lock(&session->lock);
    if (status != RM_OK && !session->ending && !told->posted) {
        memcpy(told->text, why->message, sizeof told->text);
        told->message.run = run_told;
        told->posted = true;
        rmi_strand_post(session->strands[0], &told->message);
    }
    pthread_mutex_unlock(&session->lock);
}

static void *keep(void *argument)
{
    rm_session *session = argument;
    rmi_checkpoints *c = session->checkpoints;
    int64_t wait_ms = c->interval_ms;
    uint64_t newest = 0;
    pthread_mutex_lock(&session->lock);
    while (!session->ending) {
        struct timespec next = in_ms(wait_ms);
        int timed_out = 0;
        while (!session->ending && !timed_out) {
            timed_out = pthread_cond_timedwait(&session->changed, &session->lock, &next);
        }
        if (session->ending) {
            break;
        }
        pthread_mutex_unlock(&session->lock);
        rm_error why = RM_ERROR_INIT;
        int64_t begin_ns = rmi_clock_ns();
        rm_status status = make(session, c->folder, false, TIMEOUT_MS, &newest, &why);
        wait_ms = wait_after(c, status, rmi_clock_ns() - begin_ns);
        tell(session, status, newest, &why);
        pthread_mutex_lock(&session->lock);
        if (why.code == RM_CODE_CHECKPOINT_REFUSED) {
            break; /* and will be the next time */
        }
    }
    pthread_mutex_unlock(&session->lock);
    return NULL;
}

rm_status rmi_checkpoints_start(rm_session *session, rm_error *err)
{
    rmi_checkpoints *c = session->checkpoints;
    if (!c || c->interval_ms < 0 || session->simulated) {
        return RM_OK;
    }
    int failed = pthread_create(&c->thread, NULL, keep, session);
    c->started = !failed;
    return failed ? rm_fail_os(err, failed, "cannot start a thread for checkpoints") : RM_OK;
}

void rmi_checkpoints_stop(rm_session *session)
{
    rmi_checkpoints *c = session->checkpoints;
    pthread_mutex_lock(&session->lock);
    session->ending = true;
    pthread_cond_broadcast(&session->changed);
    while (session->checkpointing) {
        pthread_cond_wait(&session->changed, &session->lock);
    }
    pthread_mutex_unlock(&session->lock);
    if (c && c->started) {
        pthread_join(c->thread, NULL);
        c->started = false;
    }
    rmi_arrivals_drain_mailbox(session->strands[0]); /* a pause that is too late */
}

void rmi_checkpoints_end(rm_session *session, rm_status result)
{
    const rmi_checkpoints *c = session->checkpoints;
    if (c && c->folder && result == RM_DONE) {
        rmi_checkpoint_remove(c->folder);
    }
}

/* ---- where it goes on from */

typedef struct wanted {
    const char *folder; /* NULL: none */
    int64_t interval_ms;
} wanted;

static wanted wanted_of(const rm_session *session)
{
    const json_t *said =
        json_object_get(json_object_get(session->plan->graph->manifest, "session"), "checkpoint");
    const json_t *interval = json_object_get(said, "interval_ms");
    wanted w = {json_string_value(json_object_get(said, "folder")),
                interval ? (int64_t)json_number_value(interval) : INTERVAL_MS_DEFAULT};
    if (session->options.checkpoint_folder) {
        w.folder = session->options.checkpoint_folder;
    }
    if (session->options.checkpoint_interval_ms) {
        w.interval_ms = session->options.checkpoint_interval_ms;
    }
    return w;
}

static rm_status check_nodes(const rm_session *session, rm_error *err)
{
    for (uint32_t i = 0; i < session->node_count; i++) {
        const rm_node *node = &session->nodes[i]->pub;
        if (!rmi_node_type_is_kept(node->type)) {
            return rmi_snapshot_refuse(node, err);
        }
    }
    return RM_OK;
}

rm_status rmi_checkpoints_new(rm_session *session, rm_error *err)
{
    wanted w = wanted_of(session);
    if (!w.folder) {
        return RM_OK;
    }
    rm_status status = check_nodes(session, err);
    rmi_checkpoints *c = status == RM_OK ? RMI_NEW(rmi_checkpoints) : NULL;
    char *folder = c ? rmi_strdup(w.folder) : NULL;
    if (!folder) {
        rmi_free(c);
        return status == RM_OK ? rm_fail(err, RM_ENOMEM, "no memory for checkpoints") : status;
    }
    c->folder = folder;
    c->lock = -1;
    c->interval_ms = w.interval_ms;
    session->checkpoints = c;
    status = rmi_checkpoint_lock(folder, &c->lock, err);
    if (status == RM_OK) {
        status =
            rmi_checkpoint_read(folder, digest_of(session->plan), &c->resumed, &c->number, err);
    }
    c->newest = c->number;
    return status == RM_ENOENT ? RM_OK : status;
}

rm_status rmi_checkpoints_give(rm_session *session, rmi_bytes *file, rm_error *err)
{
    rmi_checkpoints *c = RMI_NEW(rmi_checkpoints);
    if (!c) {
        return rm_fail(err, RM_ENOMEM, "no memory for checkpoints");
    }
    c->interval_ms = -1;
    c->lock = -1;
    c->number = 1;
    c->resumed = *file;
    *file = (rmi_bytes){0};
    session->checkpoints = c;
    return RM_OK;
}

void rmi_checkpoints_free(rmi_checkpoints *c)
{
    if (c) {
        rmi_bytes_fini(&c->resumed);
        rmi_bytes_fini(&c->at_home.made.body);
        if (c->lock >= 0) {
            close(c->lock);
        }
        rmi_free(c->folder);
        rmi_free(c);
    }
}

rm_status rmi_checkpoints_prepare(rm_session *session, rm_error *err)
{
    const rmi_checkpoints *c = session->checkpoints;
    return c && c->number
               ? rmi_snapshot_prepare(session, c->resumed.data + RMI_CHECKPOINT_HEAD_BYTES,
                                      c->resumed.bytes - RMI_CHECKPOINT_HEAD_BYTES, err)
               : RM_OK;
}

rm_status rmi_checkpoints_apply(rm_session *session, rm_error *err)
{
    rmi_checkpoints *c = session->checkpoints;
    if (!c || !c->number) {
        return RM_OK;
    }
    rm_status status = rmi_snapshot_apply(session, c->resumed.data + RMI_CHECKPOINT_HEAD_BYTES,
                                          c->resumed.bytes - RMI_CHECKPOINT_HEAD_BYTES, err);
    rmi_bytes_fini(&c->resumed);
    return status;
}
