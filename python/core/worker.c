/* Threads for sync calls: a pool of the process, and a thread of its own for a slow node.
 *
 *     engine's thread                            worker
 *     rmpy_worker_submit() ──▶ jobs ──▶          takes the GIL, rmpy_node_work(), lets it go
 *     (a job is a runner)                        ─▶ rm_node_complete() or rm_node_ready()
 *
 * A crew is a list of jobs and the threads that take them. Threads begin when a job finds none
 * idle. Bounds: the pool has at most eight threads, a crew of a node's own has one; a runner is in
 * one list at most once.
 *
 * At exit the gate closes: no new jobs, the threads end, and only then the interpreter goes on to
 * finalise, because a thread that asks for the GIL after that never returns.
 */
#include "run.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct rmpy_crew {
    rmpy_run *run;
    PyInterpreterState *interpreter;
    unsigned threads_max;
    pthread_mutex_t lock;
    pthread_cond_t more;
    /* Protected by lock. */
    rmpy_runner *first, **last;
    unsigned threads, idle, jobs;
    bool closing; /* the last thread frees it */
};

enum { POOL_THREADS_MAX = 8, POLL_NS = 500000 };

static rmpy_crew *crew_new(rmpy_run *run, unsigned threads_max)
{
    rmpy_crew *crew = rm_alloc(sizeof *crew);
    if (!crew) {
        PyErr_NoMemory();
        return NULL;
    }
    crew->run = run;
    crew->interpreter = PyInterpreterState_Get();
    crew->threads_max = threads_max;
    crew->last = &crew->first;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->more, NULL);
    return crew;
}

static void crew_free(rmpy_crew *crew)
{
    pthread_mutex_destroy(&crew->lock);
    pthread_cond_destroy(&crew->more);
    rm_free(crew);
}

/* ---- a job */

/* An interrupt came while it ran. */
static void discard(rmpy_runner *p)
{
    p->discard = p->stop = p->flush_wanted = false;
    p->outcome = RM_OK;
    rmpy_ring_clear(&p->out);
    rmpy_ring_clear(&p->queue);
    Py_CLEAR(p->handed);
    Py_CLEAR(p->gen);
}

static void run_call(rmpy_runner *p)
{
    PyObject *callable = p->call;
    p->call = NULL;
    PyObject *result = rmpy_call_sync(p, callable, NULL);
    if (result) {
        p->call_result = result;
    } else {
        p->call_error = rmpy_exception_take();
    }
    Py_DECREF(callable);
    rmpy_session *s = p->job_session;
    p->next_finished = s->finished_calls;
    s->finished_calls = p;
    rmpy_session_wake(s);
}

/* The status of a call that is over: RM_MORE where something of it is still to go out. */
static rm_status settle(rmpy_runner *p)
{
    p->job = false;
    p->stop = false;
    if (p->discard && !p->is_source) {
        discard(p);
    }
    bool left =
        p->in_reset || p->out.length || p->outcome || p->gen || p->handed || p->queue.length;
    p->in_reset = false;
    return left ? RM_MORE : RM_OK;
}

/* The last job of a session that was closed meanwhile: the engine hears of it, then it goes. */
static void close_session(rmpy_session *s, rm_node *caller, rm_status status)
{
    if (caller) {
        rm_node_complete(caller, status, NULL);
    }
    rmpy_session_free_native(s);
}

/* Under the GIL. The node whose call is to be completed without it comes back, or NULL. */
static rm_node *run_job(rmpy_runner *p, rm_status *ret_status)
{
    rmpy_session *s = p->job_session;
    rm_node *source = NULL, *caller = NULL;
    if (p->call) {
        run_call(p);
    } else {
        rmpy_node_work(p);
        *(p->is_source ? &source : &caller) = p->node;
    }
    rm_status status = settle(p);
    if (caller) {
        p->engine_waits = false;
        p->taken &= status == RM_MORE;
    }
    s->busy--;
    p->job_session = NULL;
    if (s->busy == 0 && s->close_wanted) {
        close_session(s, caller, status);
        caller = NULL;
    } else if (source) {
        rm_node_ready(source);
    }
    Py_DECREF(p);
    Py_DECREF(s);
    *ret_status = status;
    return caller;
}

static rmpy_runner *take_job(rmpy_crew *crew)
{
    rmpy_runner *p = NULL;
    pthread_mutex_lock(&crew->lock);
    while (!crew->first && !crew->closing) {
        crew->idle++;
        pthread_cond_wait(&crew->more, &crew->lock);
        crew->idle--;
    }
    if (crew->first) {
        p = crew->first;
        crew->first = p->next_job;
        crew->last = crew->first ? crew->last : &crew->first;
        crew->jobs--;
    }
    pthread_mutex_unlock(&crew->lock);
    return p;
}

static void *work(void *argument)
{
    rmpy_crew *crew = argument;
    PyThreadState *thread = PyThreadState_New(crew->interpreter);
    for (rmpy_runner *p; thread && (p = take_job(crew));) {
        rm_status status = RM_OK;
        uint64_t begin = rmpy_ticks();
        PyEval_RestoreThread(thread);
        if (!p->call) {
            rmpy_note_time(p, RM_TIER_LOCK, rmpy_ticks() - begin, 1);
        }
        rm_node *node = run_job(p, &status);
        thread = PyEval_SaveThread();
        if (node) { /* without the GIL, which whoever wakes up wants at once */
            rm_node_complete(node, status, NULL);
        }
    }
    if (thread) {
        PyEval_RestoreThread(thread);
        PyThreadState_Clear(thread);
        PyThreadState_DeleteCurrent();
    }
    rmpy_run *run = crew->run;
    pthread_mutex_lock(&crew->lock);
    bool last = --crew->threads == 0 && crew->closing;
    pthread_mutex_unlock(&crew->lock);
    if (last) {
        crew_free(crew);
    }
    atomic_fetch_sub(&run->threads, 1);
    return NULL;
}

/* ---- handing a job in */

static int begin_thread(rmpy_crew *crew)
{
    pthread_t id;
    int failed = pthread_create(&id, NULL, work, crew);
    if (!failed) {
        pthread_detach(id);
        atomic_fetch_add(&crew->run->threads, 1);
    }
    return failed;
}

static int push_job(rmpy_crew *crew, rmpy_runner *p)
{
    int failed = 0;
    pthread_mutex_lock(&crew->lock);
    p->next_job = NULL;
    *crew->last = p;
    crew->last = &p->next_job;
    crew->jobs++;
    if (crew->jobs > crew->idle && crew->threads < crew->threads_max) {
        failed = begin_thread(crew);
        crew->threads += !failed;
    }
    if (failed && crew->threads > 0) {
        failed = 0; /* others will come to it */
    }
    if (failed) {
        crew->first = NULL;
        crew->last = &crew->first;
        crew->jobs = 0;
    }
    pthread_cond_signal(&crew->more);
    pthread_mutex_unlock(&crew->lock);
    return failed;
}

static rmpy_crew *crew_of(rmpy_runner *p)
{
    rmpy_run *run = p->session->run;
    if (p->mode == RMPY_OWN && !p->call) {
        if (!p->crew) {
            p->crew = crew_new(run, 1);
        }
        return p->crew;
    }
    if (!run->pool) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        run->pool = crew_new(run, cores > 0 && cores + 2 < POOL_THREADS_MAX ? (unsigned)cores + 2
                                                                            : POOL_THREADS_MAX);
    }
    return run->pool;
}

int rmpy_worker_submit(rmpy_runner *p)
{
    rmpy_session *s = p->session;
    if (s->run->shut) {
        PyErr_SetString(PyExc_RuntimeError, "the interpreter is about to exit: no new work");
        return -1;
    }
    rmpy_crew *crew = rmpy_session_wake_fd(s) < 0 ? NULL : crew_of(p);
    if (!crew) {
        return -1;
    }
    p->job = true;
    p->job_session = (rmpy_session *)Py_NewRef((PyObject *)s);
    Py_INCREF(p);
    s->busy++;
    int failed = push_job(crew, p);
    if (failed) {
        p->job = false;
        p->job_session = NULL;
        s->busy--;
        Py_DECREF(p);
        Py_DECREF(s);
        errno = failed;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* Its threads end once the jobs are done; the last one frees it. */
static void crew_close(rmpy_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->closing = true;
    bool none = crew->threads == 0;
    pthread_cond_broadcast(&crew->more);
    pthread_mutex_unlock(&crew->lock);
    if (none) {
        crew_free(crew);
    }
}

void rmpy_worker_release(rmpy_runner *p)
{
    if (p->crew) {
        crew_close(p->crew);
        p->crew = NULL;
    }
}

bool rmpy_worker_shutdown(rmpy_run *run, int64_t grace_ns)
{
    rmpy_crew *pool = run->pool;
    if (pool) {
        run->pool = NULL;
        crew_close(pool);
    }
    Py_BEGIN_ALLOW_THREADS;
    for (; atomic_load(&run->threads) && grace_ns > 0; grace_ns -= POLL_NS) {
        struct timespec pause = {.tv_nsec = POLL_NS};
        nanosleep(&pause, NULL);
    }
    Py_END_ALLOW_THREADS;
    return atomic_load(&run->threads) == 0;
}
