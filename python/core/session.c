/* Session: opening, slices on the caller's loop or without one, and the end.
 *
 *     start() ─▶ slice (2 ms at most) ─▶ call_soon ─▶ slice … ─▶ done.set_result(None)
 *                  ▲          └─ nothing to do: timer (call_later), wake descriptor (add_reader),
 *                  │             or a node's Task, which ends with a slice of its own
 *     other threads write the descriptor, without the GIL
 */
#include "run.h"

#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#else
#include <fcntl.h>
#endif

rmpy_session *rmpy_session_of(rmpy_state *state, PyObject *session)
{
    return Py_IS_TYPE(session, state->session) ? (rmpy_session *)session : NULL;
}

rmpy_runner *rmpy_session_find(rmpy_session *s, const char *id)
{
    for (size_t i = 0; i < s->runner_count; i++) {
        if (strcmp(s->runners[i]->id, id) == 0) {
            return s->runners[i];
        }
    }
    return NULL;
}

bool rmpy_session_usable(rmpy_session *s)
{
    if (s->generation != s->run->generation) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this session belongs to the parent process: after a fork the child has to "
                        "make its own");
        return false;
    }
    return true;
}

rmpy_usage rmpy_thread_usage(void)
{
    rmpy_usage usage = {0, 0};
#if defined(RUSAGE_THREAD)
    struct rusage now;
    if (getrusage(RUSAGE_THREAD, &now) == 0) {
        usage.cpu_ns = ((int64_t)now.ru_utime.tv_sec + now.ru_stime.tv_sec) * 1000000000 +
                       ((int64_t)now.ru_utime.tv_usec + now.ru_stime.tv_usec) * 1000;
        usage.switches = now.ru_nvcsw;
    }
#else
    usage.switches = (long)rmpy_ticks();
#endif
    return usage;
}

/* ---- waking */

static int open_wake_fd(rmpy_session *s)
{
#if defined(__linux__)
    s->wake_fd = s->wake_write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bool failed = s->wake_fd < 0;
#else
    int ends[2] = {-1, -1};
    bool failed = pipe(ends) < 0;
    for (int i = 0; i < 2 && !failed; i++) {
        failed = fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0 || fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0;
    }
    s->wake_fd = ends[0];
    s->wake_write_fd = ends[1];
#endif
    if (failed) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return failed ? -1 : 0;
}

int rmpy_session_wake_fd(rmpy_session *s)
{
    if (s->wake_fd < 0 && open_wake_fd(s) < 0) {
        return -1;
    }
    if (s->loop && !s->reader) {
        PyObject *answer =
            PyObject_CallMethod(s->loop, "add_reader", "iO", s->wake_fd, s->woken_method);
        Py_XDECREF(answer);
        if (!answer) {
            return -1;
        }
        s->reader = true;
        if (atomic_load(&s->woken)) {
            rmpy_session_wake(s);
        }
    }
    return s->wake_fd;
}

/* On the loop's thread. */
void rmpy_session_remove_reader(rmpy_session *s)
{
    if (s->reader && s->loop) {
        PyObject *before = rmpy_exception_take();
        PyObject *answer = PyObject_CallMethod(s->loop, "remove_reader", "i", s->wake_fd);
        PyErr_Clear(); /* a loop that was closed meanwhile has none */
        Py_XDECREF(answer);
        rmpy_exception_raise(before);
    }
    s->reader = false;
}

/* Once nobody can write it any more. */
void rmpy_session_close_wake_fd(rmpy_session *s)
{
    if (s->wake_fd >= 0) {
        close(s->wake_fd);
        if (s->wake_write_fd != s->wake_fd) {
            close(s->wake_write_fd);
        }
    }
    s->wake_fd = s->wake_write_fd = -1;
}

void rmpy_session_wake(void *session)
{
    rmpy_session *s = session;
    atomic_store(&s->woken, true);
    if (!atomic_load(&s->no_wake) && s->wake_write_fd >= 0) {
        uint64_t one = 1;
        ssize_t written = write(s->wake_write_fd, &one, sizeof one);
        (void)written; /* full: it is readable already */
    }
}

static void read_wakes(rmpy_session *s)
{
    char drop[64];
    while (s->wake_fd >= 0 && read(s->wake_fd, drop, sizeof drop) == (ssize_t)sizeof drop) {
    }
}

void rmpy_session_schedule(rmpy_session *s)
{
    if (s->scheduled || !s->loop || rmpy_session_is_over(s)) {
        return;
    }
    PyObject *before = rmpy_exception_take();
    bool own = PyThread_get_thread_ident() == s->thread;
    PyObject *handle =
        own ? PyObject_CallMethodOneArg(s->loop, s->run->str_call_soon, s->step_method)
            : PyObject_CallMethod(s->loop, "call_soon_threadsafe", "O", s->step_method);
    s->scheduled = own && handle;
    if (!handle) {
        PyErr_WriteUnraisable((PyObject *)s);
    }
    Py_XDECREF(handle);
    rmpy_exception_raise(before);
}

bool rmpy_session_is_idle_here(const rmpy_session *s)
{
    return s->loop && PyThread_get_thread_ident() == s->thread && !s->stepping;
}

void rmpy_session_poke(rmpy_session *s, rmpy_runner *p)
{
    if (rmpy_session_is_idle_here(s)) {
        atomic_store(&s->no_wake, true); /* the slice that is scheduled sees to it */
    }
    rm_node_ready(p->node);
    rmpy_session_schedule(s);
}

/* Who gives one item after another leaves the work to the loop, whose turn comes in between. */
static bool comes_after_pause(const rmpy_session *s)
{
    return rmpy_ticks() - s->clock_ticks > s->run->slow_ticks;
}

/* Also where this thread runs another loop, or none. */
static void step_within_task(rmpy_session *s)
{
    PyObject *task = rmpy_current_task(s), *before = s->outer;
    s->outer = task;
    rmpy_session_step(s);
    s->outer = before;
    Py_XDECREF(task);
}

void rmpy_session_step_now(rmpy_session *s)
{
    if (rmpy_session_is_idle_here(s)) {
        step_within_task(s);
    } else {
        rmpy_session_schedule(s);
    }
}

void rmpy_session_take_up(rmpy_session *s, rmpy_runner *p)
{
    if (!rmpy_session_is_idle_here(s) || s->scheduled || !comes_after_pause(s)) {
        rmpy_session_poke(s, p);
        return;
    }
    atomic_store(&s->no_wake, true);
    rm_node_ready(p->node);
    rmpy_session_step_now(s);
}

/* ---- the loop as nodes see it: a sync node sees none, wherever it is called */

void rmpy_loop_hide_now(rmpy_session *s)
{
    PyObject *answer = PyObject_CallOneArg(s->run->set_running_loop, Py_None);
    s->loop_hidden = answer != NULL;
    Py_XDECREF(answer);
}

void rmpy_loop_show(rmpy_session *s)
{
    if (s->loop_hidden) {
        PyObject *before = rmpy_exception_take();
        PyObject *answer = PyObject_CallOneArg(s->run->set_running_loop, s->loop);
        s->loop_hidden = answer == NULL;
        Py_XDECREF(answer);
        rmpy_exception_raise(before);
    }
}

/* ---- slices */

void rmpy_session_cancel_timer(rmpy_session *s)
{
    PyObject *timer = s->timer;
    s->timer = NULL;
    if (timer) {
        PyObject *answer = PyObject_CallMethodNoArgs(timer, s->run->str_cancel);
        PyErr_Clear();
        Py_XDECREF(answer);
        Py_DECREF(timer);
    }
}

void rmpy_session_set_done(rmpy_session *s)
{
    PyObject *done = s->done;
    s->done = NULL;
    if (!done) {
        return;
    }
    PyObject *over = PyObject_CallMethodNoArgs(done, s->run->str_done);
    if (over == Py_False) {
        PyObject *answer = PyObject_CallMethodOneArg(done, s->run->str_set_result, Py_None);
        Py_XDECREF(answer);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(done);
    }
    Py_XDECREF(over);
    Py_DECREF(done);
}

static void tell(PyObject *callback)
{
    if (callback) {
        PyObject *answer = PyObject_CallNoArgs(callback);
        if (!answer) {
            PyErr_WriteUnraisable(callback);
        }
        Py_XDECREF(answer);
    }
}

static void tell_events(rmpy_session *s)
{
    bool room = s->room_event, output = s->output_event || rmpy_session_is_over(s);
    s->room_event = s->output_event = false;
    if (room || rmpy_session_is_over(s)) {
        tell(s->on_room);
    }
    if (output) {
        tell(s->on_output);
    }
    if (PyList_GET_SIZE(s->news)) {
        tell(s->on_news);
    }
}

/* Nodes that found the slice over are called again in the next one. */
static bool ready_deferred(rmpy_session *s)
{
    bool any = s->deferred != NULL;
    while (s->deferred) {
        rmpy_runner *p = s->deferred;
        s->deferred = p->next_deferred;
        p->deferred = false;
        if (p->node) {
            rm_node_ready(p->node);
        }
    }
    return any;
}

void rmpy_session_begin_slice(rmpy_session *s)
{
    if (comes_after_pause(s)) {
        rmpy_ahead_look(s);
    }
    s->slice_begin_ticks = s->clock_ticks = rmpy_ticks();
    if (s->judges) {
        s->slice_usage = rmpy_thread_usage();
    }
    s->deadline_ticks = s->slice_begin_ticks + s->run->slice_ticks;
}

static rm_status run_slice(rmpy_session *s)
{
    rm_status status = RM_MORE;
    rmpy_session_begin_slice(s);
    uint64_t before = s->slice_begin_ticks;
    while (status == RM_MORE && before < s->deadline_ticks) {
        status = rm_session_step(s->native, rmpy_now_ns(), s->budget, &s->next_ns);
        uint64_t now = s->clock_ticks = rmpy_ticks(), quarter = s->run->slice_ticks / 4;
        if (now - before > quarter) {
            s->budget = s->budget / 2 > RMPY_BUDGET_MIN ? s->budget / 2 : RMPY_BUDGET_MIN;
        } else if (now - before < quarter / 2 && s->budget < RMPY_BUDGET_MAX) {
            s->budget *= 2;
        }
        before = now;
    }
    return status;
}

/* When the next slice is due at the latest; INT64_MAX: when something wakes it. */
static int64_t next_step_ns(const rmpy_session *s)
{
    int64_t look_ns = s->watch.tick ? rmpy_now_ns() + RMPY_WATCH_NS : INT64_MAX;
    return s->next_ns < look_ns ? s->next_ns : look_ns;
}

/* What is to be done after a slice, with a loop. */
static void plan_next(rmpy_session *s)
{
    if (rmpy_session_is_over(s)) {
        rmpy_session_cancel_timer(s);
        rmpy_session_set_done(s);
    } else if (s->result == RM_MORE) {
        rmpy_session_schedule(s);
    } else if (next_step_ns(s) != INT64_MAX) {
        double delay_s = (double)(next_step_ns(s) - rmpy_now_ns()) / 1e9;
        rmpy_session_cancel_timer(s);
        s->timer = PyObject_CallMethod(s->loop, "call_later", "dO", delay_s > 0 ? delay_s : 0.0,
                                       s->step_method);
        if (!s->timer) {
            PyErr_WriteUnraisable((PyObject *)s);
        }
    }
}

static void resolve_finished_calls(rmpy_session *s)
{
    while (s->finished_calls) {
        rmpy_runner *p = s->finished_calls;
        s->finished_calls = p->next_finished;
        rmpy_call_finish(p);
    }
}

void rmpy_session_step(rmpy_session *s)
{
    resolve_finished_calls(s);
    if (s->stepping || !s->native || s->waits_to_start || rmpy_session_is_over(s)) {
        return;
    }
    Py_INCREF(s);
    s->stepping = true;
    atomic_store(&s->woken, false);
    atomic_store(&s->no_wake, false);
    rmpy_drain_releases();
    rm_status status = run_slice(s);
    bool deferred = ready_deferred(s);
    if (s->watch.tick) {
        s->watch.tick(s->watch.context);
        deferred |= atomic_load(&s->woken); /* it may have pushed something */
    }
    rmpy_loop_show(s);
    s->stepping = false;
    s->result = deferred && status == RM_PENDING ? RM_MORE : (int)status;
    uint32_t number = ++s->slice_number;
    rmpy_task_end_cuts(s);
    if (s->loop && number == s->slice_number) { /* else a later one has */
        plan_next(s);
    }
    tell_events(s);
    Py_DECREF(s);
}

/* What the engine is to hear of work that ended with this status. */
static rm_status status_to_tell(rmpy_runner *p, rm_status status)
{
    if (p->in_reset) {
        status = status == RM_OK ? rmpy_reset_over(p) : status;
    }
    if (p->discard) { /* an interrupt came while it ran */
        p->discard = false;
        p->outcome = RM_OK;
        rmpy_ring_clear(&p->out);
        status = p->is_streaming || status == RM_ECANCELED ? RM_OK : status;
    }
    bool is_call = p->engine_waits && !p->is_streaming && !p->is_source;
    bool left = p->out.length || p->queue.length || p->gen || p->agen;
    return status == RM_OK && is_call && left ? RM_MORE : status;
}

void rmpy_session_finished(rmpy_runner *p, rm_status status)
{
    rmpy_session *s = p->session;
    if (!p->node) {
        return; /* the session is over */
    }
    status = status_to_tell(p, status);
    if (status < 0 && (p->renews || rmpy_flushes_to_leave(p))) {
        p->outcome = p->renews ? RM_OK : status; /* nobody asks any more; or the change does */
        status = RM_OK;
    }
    atomic_store(&s->no_wake, !s->stepping);
    if (p->engine_waits) {
        p->engine_waits = false;
        p->emit_room = 0;
        p->taken &= status == RM_MORE;
        rm_node_complete(p->node, status, status < 0 ? p->error : NULL);
    } else {
        p->outcome = status == RM_DONE || status < 0 ? status : p->outcome;
        rm_node_ready(p->node);
    }
    PyObject *outer = s->outer;
    s->outer = p->inside ? p->task : outer;
    rmpy_session_step(s);
    s->outer = outer;
}

/* ---- driving */

PyObject *rmpy_session_state(const rmpy_session *s)
{
    return PyLong_FromLong(s->result < 0 ? RM_EFAIL : s->result);
}

/* Work that began without a loop and turned out to need one. */
static void resume_with_loop(rmpy_session *s)
{
    s->needs_loop = false;
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        if ((p->coro || p->agen) && !p->on_task && p->engine_waits) {
            rm_status status = rmpy_task_run(p);
            if (status != RM_PENDING) {
                rmpy_session_finished(p, status);
            }
        }
    }
}

PyObject *rmpy_session_start(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    PyObject *done, *outer;
    if (!PyArg_ParseTuple(args, "OO:start", &done, &outer) || !rmpy_session_usable(s)) {
        return NULL;
    }
    if (!s->loop) {
        PyErr_SetString(PyExc_RuntimeError, "start() wants a session that was opened with a loop");
        return NULL;
    }
    s->waits_to_start = false;
    Py_XSETREF(s->done, done == Py_None ? NULL : Py_NewRef(done));
    PyObject *before = s->outer;
    s->outer = outer == Py_None ? NULL : Py_NewRef(outer);
    if (s->needs_loop) {
        resume_with_loop(s);
    }
    rmpy_session_step(s);
    if (rmpy_session_is_over(s)) {
        rmpy_session_set_done(s);
    }
    Py_XSETREF(s->outer, before);
    return rmpy_session_state(s);
}

PyObject *rmpy_session_attach(PyObject *self, PyObject *loop)
{
    rmpy_session *s = (rmpy_session *)self;
    if (!rmpy_session_usable(s) || (loop != s->loop && rmpy_session_use_loop(s, loop) < 0)) {
        return NULL;
    }
    if (s->wake_fd >= 0 && rmpy_session_wake_fd(s) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *rmpy_session_method_step(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    s->scheduled = false;
    PyObject *outer = s->outer;
    s->outer = NULL;
    rmpy_session_step(s);
    s->outer = outer;
    Py_RETURN_NONE;
}

PyObject *rmpy_session_method_woken(PyObject *self, PyObject *none)
{
    read_wakes((rmpy_session *)self);
    return rmpy_session_method_step(self, none);
}

/* Without a loop: sleeps until something may have changed. */
static void wait_for_wake(rmpy_session *s)
{
    struct pollfd wake = {.fd = s->wake_fd, .events = POLLIN};
    int timeout_ms = -1;
    int64_t next_ns = next_step_ns(s);
    if (next_ns != INT64_MAX) {
        int64_t ms = (next_ns - rmpy_now_ns() + 999999) / 1000000;
        timeout_ms = ms < 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
    }
    Py_BEGIN_ALLOW_THREADS;
    (void)poll(&wake, 1, timeout_ms);
    Py_END_ALLOW_THREADS;
    read_wakes(s);
}

/* Lets other threads run: no bytecode may have run here, at which they would get the GIL. Each
 * fourth slice only, which is longer than the switch interval of 5 ms. A thread that waits for the
 * GIL asks for it once that has passed without any release, and then surely gets it; each earlier
 * release makes it wait anew, and it loses the race that follows. */
static void let_others_run(unsigned *slices)
{
    if (++*slices % 4 == 0) {
        Py_BEGIN_ALLOW_THREADS;
        Py_END_ALLOW_THREADS;
    }
}

PyObject *rmpy_session_run(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    if (!rmpy_session_usable(s)) {
        return NULL;
    }
    if (s->loop || !s->native) {
        PyErr_SetString(PyExc_RuntimeError, "run() wants a session that was opened without a loop");
        return NULL;
    }
    unsigned slices = 0;
    s->waits_to_start = false;
    while (!rmpy_session_is_over(s) && !s->needs_loop) {
        rmpy_session_step(s);
        if (rmpy_session_is_over(s)) {
            break;
        }
        if (s->result == RM_MORE) {
            let_others_run(&slices);
        } else if (!s->needs_loop) {
            wait_for_wake(s);
        }
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
    }
    return rmpy_session_state(s);
}

/* ---- from any thread */

PyObject *rmpy_session_cancel(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    if (!rmpy_session_usable(s)) {
        return NULL;
    }
    s->cancelling = true;
    if (s->native && !rmpy_session_is_over(s)) {
        rm_session_cancel(s->native);
        rmpy_session_schedule(s);
    }
    Py_RETURN_NONE;
}

/* An object whose type names no parameters, and that says itself what it takes. */
static bool judges_params(const rmpy_runner *p)
{
    return p->kind == RMPY_NODE && p->node && !p->node->type->params &&
           PyObject_HasAttrString(p->object, "set_params");
}

/* For a Python node: the parameters as it gets them. -1 with an exception. */
static int load_new_params(rmpy_session *s, const char *params)
{
    PyObject *json = PyImport_ImportModule("json");
    s->new_params = json ? PyObject_CallMethod(json, "loads", "s", params) : NULL;
    Py_XDECREF(json);
    return s->new_params ? 0 : -1;
}

/* As load_new_params(); who judges them itself gets the objects. *params becomes what the engine is
 * told. */
static int take_new_params(rmpy_session *s, const rmpy_runner *p, PyObject *objects,
                           const char **params)
{
    if (p && judges_params(p)) {
        s->new_params = Py_NewRef(objects);
        *params = "{}";
        return 0;
    }
    if (!*params) {
        PyErr_SetString(PyExc_TypeError, "set_params: the parameters are not such as JSON has");
        return -1;
    }
    return p ? load_new_params(s, *params) : 0;
}

PyObject *rmpy_session_set_params(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    const char *node, *params;
    PyObject *objects;
    if (!PyArg_ParseTuple(args, "szO!:set_params", &node, &params, &PyDict_Type, &objects) ||
        !rmpy_session_usable(s)) {
        return NULL;
    }
    if (!s->native || rmpy_session_is_over(s)) {
        PyErr_SetString(PyExc_RuntimeError, "set_params: the session is not running");
        return NULL;
    }
    const rmpy_runner *p = rmpy_session_find(s, node);
    if (take_new_params(s, p, objects, &params) < 0) {
        return NULL;
    }
    rm_error error = RM_ERROR_INIT;
    rm_status status = rm_session_set_params(s->native, node, params, &error);
    Py_CLEAR(s->new_params);
    if (s->events) {
        rmpy_session_schedule(s); /* the event is told by a slice */
    }
    return status == RM_OK ? Py_NewRef(Py_None) : rmpy_raise(s->state, &error, NULL);
}

PyObject *rmpy_session_numbers(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    if (!rmpy_session_usable(s)) {
        return NULL;
    }
    if (!s->native) {
        if (s->last_numbers) {
            return Py_NewRef(s->last_numbers);
        }
        PyErr_SetString(PyExc_RuntimeError, "numbers: the session is not open");
        return NULL;
    }
    return rmpy_numbers_new(s->state, s->native);
}

/* ---- spans */

PyObject *rmpy_session_follow(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    unsigned spans_max = 0;
    const char *traceparent = NULL;
    if (!PyArg_ParseTuple(args, "Iz:follow", &spans_max, &traceparent)) {
        return NULL;
    }
    if (s->opened) {
        PyErr_SetString(PyExc_RuntimeError, "the session was opened already");
        return NULL;
    }
    if (traceparent && strlen(traceparent) >= sizeof s->traceparent) {
        PyErr_SetString(PyExc_ValueError, "traceparent: want 55 characters");
        return NULL;
    }
    s->spans_max = spans_max;
    snprintf(s->traceparent, sizeof s->traceparent, "%s", traceparent ? traceparent : "");
    Py_RETURN_NONE;
}

PyObject *rmpy_session_spans(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    if (!rmpy_session_usable(s)) {
        return NULL;
    }
    if (!s->native) {
        PyObject *last = s->last_spans;
        s->last_spans = NULL;
        if (!last) {
            PyErr_SetString(PyExc_RuntimeError, "spans: the session is not open");
        }
        return last;
    }
    char *json = NULL;
    rm_error error = RM_ERROR_INIT;
    if (rm_session_spans(s->native, &json, &error) != RM_OK) {
        return rmpy_raise(s->state, &error, NULL);
    }
    PyObject *text = PyUnicode_FromString(json);
    rm_free(json);
    return text;
}
