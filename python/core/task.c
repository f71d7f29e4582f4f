/* Coroutines and generators run as the node's own long-lived Task.
 *
 *     inline step   swap current task ─▶ enter context ─▶ send(None) ─▶ back
 *                   nothing goes through the loop as long as nothing waits
 *     it waits      the future that came out gets the Task's own callback; when
 *                   it is done, the loop steps the Task, and that is this file's
 *                   send() or throw()
 *
 * For its Task a runner plays two roles. It is the coroutine that the Task runs (send, throw,
 * close). And it is the future that the Task waits for while the node has nothing to do: what the
 * Task gives to add_done_callback() is its own callback, which we then hand to whatever the node
 * waits for. So current_task(), timeout(), cancel() and context variables are what they are in any
 * Task, and a wait costs no turn of the loop more than it does there.
 */
#include "run.h"

/* ---- asyncio */

int rmpy_asyncio_import(rmpy_run *run)
{
    if (run->task_class) {
        return 0;
    }
    PyObject *tasks = PyImport_ImportModule("asyncio.tasks");
    PyObject *events = tasks ? PyImport_ImportModule("asyncio.events") : NULL;
    PyObject *errors = events ? PyImport_ImportModule("asyncio.exceptions") : NULL;
    PyObject *futures = errors ? PyImport_ImportModule("asyncio.futures") : NULL;
    if (futures) {
        run->enter_task = PyObject_GetAttrString(tasks, "_enter_task");
        run->leave_task = PyObject_GetAttrString(tasks, "_leave_task");
        run->current_task = PyObject_GetAttrString(tasks, "current_task");
        run->set_running_loop = PyObject_GetAttrString(events, "_set_running_loop");
        run->get_running_loop = PyObject_GetAttrString(events, "_get_running_loop");
        run->future_class = PyObject_GetAttrString(futures, "Future");
        run->cancelled_error = PyObject_GetAttrString(errors, "CancelledError");
        if (!PyErr_Occurred()) {
            run->swap_task = PyObject_GetAttrString(tasks, "_swap_current_task");
            PyErr_Clear(); /* before 3.12 */
            run->current_tasks =
                run->swap_task ? NULL : PyObject_GetAttrString(tasks, "_current_tasks");
            run->task_class = PyObject_GetAttrString(tasks, "Task");
        }
    }
    Py_XDECREF(futures);
    Py_XDECREF(errors);
    Py_XDECREF(events);
    Py_XDECREF(tasks);
    return run->task_class ? 0 : -1;
}

PyObject *rmpy_current_task(const rmpy_session *s)
{
    const rmpy_run *run = s->run;
    PyObject *task = NULL;
    if (s->loop && run->current_tasks && PyDict_Check(run->current_tasks)) {
        task = Py_XNewRef(PyDict_GetItemWithError(run->current_tasks, s->loop));
    } else if (s->loop) {
        task = PyObject_CallOneArg(run->current_task, s->loop);
    }
    if (task == Py_None) {
        Py_CLEAR(task);
    }
    PyErr_Clear(); /* a loop that can't be looked up has none */
    return task;
}

static int call_two(PyObject *function, PyObject *a, PyObject *b)
{
    PyObject *arguments[3] = {NULL, a, b};
    PyObject *result =
        PyObject_Vectorcall(function, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int rmpy_swap_task(rmpy_session *s, PyObject *from, PyObject *to)
{
    const rmpy_run *run = s->run;
    if (run->swap_task) {
        return call_two(run->swap_task, s->loop, to ? to : Py_None);
    }
    if (from && call_two(run->leave_task, s->loop, from) < 0) {
        return -1;
    }
    return to ? call_two(run->enter_task, s->loop, to) : 0;
}

static int ensure_task(rmpy_runner *p)
{
    if (p->task) {
        PyObject *done = PyObject_CallMethodNoArgs(p->task, p->session->run->str_done);
        bool is_done = done == Py_True;
        Py_XDECREF(done);
        if (!done || !is_done) {
            return done ? 0 : -1;
        }
        Py_CLEAR(p->task); /* somebody cancelled it while it had nothing to do */
        Py_CLEAR(p->wakeup);
    }
    PyObject *name = PyUnicode_FromFormat("remotemedia:%s", p->id);
    PyObject *arguments = name ? PyTuple_Pack(1, (PyObject *)p) : NULL;
    PyObject *keywords = arguments ? Py_BuildValue("{s:O,s:O,s:O}", "loop", p->session->loop,
                                                   "name", name, "context", p->context)
                                   : NULL;
    if (keywords) {
        p->task = PyObject_Call(p->session->run->task_class, arguments, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(name);
    return p->task ? 0 : -1;
}

typedef enum identity { ID_FAILED = -1, ID_ALREADY, ID_ENTERED } identity;

static identity enter(rmpy_runner *p)
{
    rmpy_session *s = p->session;
    rmpy_loop_show(s);
    if (p->inside || !s->loop) {
        return ID_ALREADY;
    }
    if ((!p->task || !p->wakeup) && ensure_task(p) < 0) {
        return ID_FAILED;
    }
    if (rmpy_swap_task(s, s->outer, p->task) < 0) {
        return ID_FAILED;
    }
    if (PyContext_Enter(p->context) < 0) {
        PyObject *raised = rmpy_exception_take();
        (void)rmpy_swap_task(s, p->task, s->outer);
        rmpy_exception_raise(raised);
        return ID_FAILED;
    }
    p->inside = true;
    return ID_ENTERED;
}

static void leave(rmpy_runner *p, identity entered)
{
    if (entered != ID_ENTERED) {
        return;
    }
    PyObject *raised = rmpy_exception_take();
    p->inside = false;
    bool failed = PyContext_Exit(p->context) < 0;
    failed |= rmpy_swap_task(p->session, p->task, p->session->outer) < 0;
    if (failed) {
        PyErr_WriteUnraisable((PyObject *)p);
    }
    if (raised) {
        rmpy_exception_raise(raised);
    }
}

/* ---- awaitables */

bool rmpy_is_awaitable(PyObject *object)
{
    const PyAsyncMethods *async = Py_TYPE(object)->tp_as_async;
    return async && async->am_await;
}

PyObject *rmpy_await_iterator(PyObject *takes_awaitable)
{
    if (PyCoro_CheckExact(takes_awaitable)) {
        return takes_awaitable;
    }
    const PyAsyncMethods *async = Py_TYPE(takes_awaitable)->tp_as_async;
    PyObject *iterator = NULL;
    if (async && async->am_await) {
        iterator = async->am_await(takes_awaitable);
    } else {
        PyErr_Format(PyExc_TypeError, "a %s can't be awaited", Py_TYPE(takes_awaitable)->tp_name);
    }
    Py_DECREF(takes_awaitable);
    if (iterator && !Py_TYPE(iterator)->tp_iternext) {
        PyErr_Format(PyExc_TypeError, "__await__() gave a %s, want an iterator",
                     Py_TYPE(iterator)->tp_name);
        Py_CLEAR(iterator);
    }
    return iterator;
}

/* The next step of the generator. The loop's hooks would put each generator into a set (1 µs): ours
 * are closed by leftovers(). */
static PyObject *next_step(rmpy_runner *p)
{
    PyThreadState *thread = PyThreadState_Get();
    PyObject *first = thread->async_gen_firstiter, *finalizer = thread->async_gen_finalizer;
    thread->async_gen_firstiter = thread->async_gen_finalizer = NULL;
    PyObject *step = Py_TYPE(p->agen)->tp_as_async->am_anext(p->agen);
    thread->async_gen_firstiter = first;
    thread->async_gen_finalizer = finalizer;
    return step ? rmpy_await_iterator(step) : NULL;
}

/* Raises within the coroutine; as PyIter_Send(). */
static PySendResult throw_into(rmpy_runner *p, PyObject *exception, PyObject **ret_value)
{
    *ret_value = PyObject_CallMethodOneArg(p->coro, p->session->run->str_throw, exception);
    if (*ret_value) {
        return PYGEN_NEXT;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return PYGEN_ERROR;
    }
    PyObject *stop = rmpy_exception_take();
    *ret_value = PyObject_GetAttrString(stop, "value");
    Py_DECREF(stop);
    return *ret_value ? PYGEN_RETURN : PYGEN_ERROR;
}

/* ---- running */

static rm_status returned(rmpy_runner *p, PyObject *takes_value)
{
    if (p->in_call) {
        Py_XSETREF(p->call_result, takes_value);
        return RM_OK;
    }
    if (p->in_reset) {
        Py_DECREF(takes_value);
        return rmpy_reset_over(p);
    }
    if (p->is_source && !p->agen) {
        rm_status status = rmpy_take_source(p, takes_value);
        return status;
    }
    rm_status status = rmpy_emit(p, takes_value);
    if (status < 0 && p->agen) {
        if (!p->is_streaming && !p->is_source) {
            Py_CLEAR(p->agen); /* the next item has one of its own */
        }
        return rmpy_unsent(p, status);
    }
    return status == RM_EAGAIN ? RM_MORE : status;
}

/* The end of a generator that was asked to end. */
static bool ended_as_asked(const rmpy_runner *p)
{
    return p->abandons && (PyErr_ExceptionMatches(p->session->run->cancelled_error) ||
                           PyErr_ExceptionMatches(PyExc_StopAsyncIteration));
}

static rm_status raised_in_reset(rmpy_runner *p)
{
    bool ended = ended_as_asked(p);
    if (p->abandons) {
        Py_CLEAR(p->agen);
    }
    (void)rmpy_reset_over(p);
    if (ended) {
        PyErr_Clear();
        return RM_MORE;
    }
    return rmpy_fail(p);
}

/* The stream was ended for a change, not by the node. If that was not made, it begins anew. */
static bool ended_to_leave(rmpy_runner *p)
{
    bool to_leave = p->flushed_to_leave;
    if (p->renews) {
        p->ended = p->renews = p->flushed_to_leave = false;
    }
    return to_leave;
}

static rm_status raised(rmpy_runner *p)
{
    if (p->in_call) {
        if (ended_as_asked(p)) {
            PyErr_Clear();
            return RM_OK;
        }
        Py_XSETREF(p->call_error, rmpy_exception_take());
        return RM_EFAIL;
    }
    if (p->in_reset) {
        return raised_in_reset(p);
    }
    if (p->agen && PyErr_ExceptionMatches(PyExc_StopAsyncIteration)) {
        PyErr_Clear();
        Py_CLEAR(p->agen);
        return p->is_source || (p->is_streaming && !ended_to_leave(p)) ? RM_DONE : RM_OK;
    }
    bool gives = p->agen != NULL;
    Py_CLEAR(p->agen);
    rm_status status = rmpy_fail(p);
    return gives ? rmpy_fail_behind(p, status) : status;
}

/* True: one more step may follow; false: *ret_status is the answer. */
static bool step(rmpy_runner *p, PyObject *thrown, rm_status *ret_status)
{
    PyObject *value = NULL;
    if (++p->steps == p->steps_max && p->node) {
        rmpy_session_poke(p->session, p); /* who waits for that looks again */
    }
    PySendResult sent =
        thrown ? throw_into(p, thrown, &value) : PyIter_Send(p->coro, Py_None, &value);
    if (sent == PYGEN_NEXT) {
        p->wants_input = value == p->session->run->need_input;
        if (p->wants_input) {
            Py_DECREF(value);
        } else {
            p->yielded = value;
        }
        *ret_status = p->wants_input ? RM_OK : RM_PENDING;
        return false;
    }
    Py_CLEAR(p->coro);
    if (sent == PYGEN_ERROR) {
        *ret_status = raised(p);
        return false;
    }
    *ret_status = returned(p, value);
    return *ret_status == RM_OK && p->agen && !p->is_source && !p->in_call;
}

/* Without identity: whoever calls has it. */
static rm_status run(rmpy_runner *p, PyObject *thrown)
{
    rm_status status = RM_OK;
    uint64_t begin = rmpy_ticks();
    bool first = true;
    for (;;) {
        if (!p->coro) {
            if (!p->agen) {
                return status;
            }
            if (!first && (p->emit_room < (p->n_out > 1 ? p->n_out : 1) || p->session->replays ||
                           rmpy_ticks() - begin > p->session->run->slow_ticks)) {
                return RM_MORE;
            }
            p->coro = next_step(p);
            if (!p->coro) {
                return raised(p);
            }
        }
        first = false;
        if (!thrown && p->steps >= p->steps_max) {
            return RM_MORE;
        }
        if (!step(p, thrown, &status)) {
            return status;
        }
        thrown = NULL;
    }
}

PyObject *rmpy_call_soon(rmpy_session *s, PyObject *callback, PyObject *future, PyObject *context)
{
    PyObject *arguments[4] = {s->loop, callback, future, context};
    return PyObject_VectorcallMethod(s->run->str_call_soon, arguments,
                                     3 | PY_VECTORCALL_ARGUMENTS_OFFSET, s->run->kw_context);
}

static int schedule_wakeup(rmpy_runner *p)
{
    PyObject *handle = rmpy_call_soon(p->session, p->wakeup, (PyObject *)p, p->context);
    Py_XDECREF(handle);
    Py_CLEAR(p->wakeup);
    return handle ? 0 : -1;
}

/* What a Task would check of it, and does, where we say no. */
static bool is_future_of_loop(rmpy_runner *p, PyObject *future)
{
    const rmpy_run *shared = p->session->run;
    PyObject *blocking = PyObject_GetAttr(future, shared->str_future_blocking);
    bool fits = blocking == Py_True;
    Py_XDECREF(blocking);
    PyObject *loop = fits ? PyObject_CallMethodNoArgs(future, shared->str_get_loop) : NULL;
    fits = loop == p->session->loop;
    Py_XDECREF(loop);
    PyErr_Clear();
    return fits;
}

/* The step waits: its Task takes over. */
static int hand_over(rmpy_runner *p)
{
    const rmpy_run *shared = p->session->run;
    PyObject *future = p->yielded;
    p->yielded = NULL;
    p->on_task = true;
    if (!p->wakeup) { /* the Task is about to run */
        p->pending = future;
        return 0;
    }
    if (future == Py_None || !is_future_of_loop(p, future)) {
        p->cancelled |= p->cancel_requested;
        p->cancel_requested = false;
        if (future != Py_None) {
            p->pending = Py_NewRef(future);
        }
        Py_DECREF(future);
        return schedule_wakeup(p);
    }
    PyObject *arguments[3] = {future, p->wakeup, p->context};
    if (PyObject_SetAttr(future, shared->str_future_blocking, Py_False) < 0) {
        Py_DECREF(future);
        return -1;
    }
    PyObject *added =
        PyObject_VectorcallMethod(shared->str_add_done_callback, arguments,
                                  2 | PY_VECTORCALL_ARGUMENTS_OFFSET, shared->kw_context);
    Py_XDECREF(added);
    Py_XSETREF(p->waits_for, future);
    if (!added) {
        return -1;
    }
    Py_CLEAR(p->wakeup);
    if (p->cancel_requested) {
        p->cancel_requested = false;
        PyObject *answer = PyObject_CallMethodNoArgs(future, shared->str_cancel);
        Py_XDECREF(answer);
        return answer ? 0 : -1;
    }
    return 0;
}

rm_status rmpy_task_run(rmpy_runner *p)
{
    if (!p->session->loop) {
        p->session->needs_loop = true; /* attach() goes on */
        return RM_PENDING;
    }
    identity entered = enter(p);
    if (entered == ID_FAILED) {
        return rmpy_fail(p);
    }
    rm_status status = run(p, NULL);
    p->cancel_requested &= status == RM_PENDING;
    leave(p, entered);
    if (status == RM_PENDING) {
        if (hand_over(p) < 0) {
            return rmpy_fail(p);
        }
        return p->is_source ? RM_EAGAIN : RM_PENDING;
    }
    return status;
}

rm_status rmpy_task_start(rmpy_runner *p, PyObject *callable, PyObject *argument)
{
    identity entered = enter(p);
    if (entered == ID_FAILED) {
        return rmpy_fail(p);
    }
    PyObject *arguments[2] = {NULL, argument};
    uint64_t begin = rmpy_piece_begin(&p->starts), marshaled = p->marshal_ticks;
    PyObject *result = PyObject_Vectorcall(
        callable, arguments + 1, (size_t)(argument != NULL) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    /* Most often it awaits nothing, or comes to its end: then one change of identity does. */
    rm_status status = rmpy_take_result(p, result);
    leave(p, entered);
    if (begin) {
        uint64_t ticks = rmpy_ticks() - begin - (p->marshal_ticks - marshaled);
        rmpy_note_time(p, RM_TIER_USER, ticks, rmpy_piece_weight(p->starts));
    }
    return status;
}

rm_status rmpy_task_end_generator(rmpy_runner *p)
{
    identity entered = enter(p);
    if (entered == ID_FAILED) {
        return rmpy_fail(p);
    }
    p->abandons = true;
    PyObject *error = NULL;
    if (p->coro) {
        error = PyObject_CallNoArgs(p->session->run->cancelled_error);
    } else {
        PyObject *closing = PyObject_CallMethod(p->agen, "aclose", NULL);
        p->coro = closing ? rmpy_await_iterator(closing) : NULL;
        Py_CLEAR(p->agen);
    }
    rm_status status = PyErr_Occurred() ? raised(p) : run(p, error);
    Py_XDECREF(error);
    leave(p, entered);
    if (status == RM_PENDING && hand_over(p) < 0) {
        return rmpy_fail(p);
    }
    return status;
}

/* ---- the coroutine that the Task runs */

/* The Task lives on: what the engine asked of it is over. */
static void take_cancels_back(rmpy_runner *p, const rmpy_run *shared)
{
    for (; p->cancels; p->cancels--) {
        PyObject *left = PyObject_CallMethodNoArgs(p->task, shared->str_uncancel);
        if (!left) {
            PyErr_Clear();
        }
        Py_XDECREF(left);
    }
}

static PySendResult wait_for_work(rmpy_runner *p, PyObject **ret_value)
{
    if (p->pending) { /* the step that just ran waits already for its next item */
        *ret_value = p->pending;
        p->pending = NULL;
        return PYGEN_NEXT;
    }
    p->future_blocking = 1;
    *ret_value = Py_NewRef((PyObject *)p);
    return PYGEN_NEXT;
}

static PySendResult go_on(rmpy_runner *p, PyObject *thrown, PyObject **ret_value)
{
    if (!p->session) { /* nobody is interested any more */
        Py_CLEAR(p->coro);
        Py_CLEAR(p->agen);
        *ret_value = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (p->coro) {
        const rmpy_run *shared = p->session->run;
        uint64_t begin = rmpy_ticks(), marshaled = p->marshal_ticks;
        rm_status status = run(p, thrown);
        if (p->session && p->node && !p->in_call) { /* closed: a Task may outlive the session */
            rm_node_add_work(p->node, rmpy_ns_since(p->session->run, begin), 0);
            rmpy_note_time(p, RM_TIER_USER, rmpy_ticks() - begin - (p->marshal_ticks - marshaled),
                           1);
        }
        if (status == RM_PENDING) {
            p->on_task = true;
            *ret_value = p->yielded;
            p->yielded = NULL;
            return PYGEN_NEXT;
        }
        p->on_task = false;
        take_cancels_back(p, shared);
        if (p->in_call) {
            rmpy_call_resolve(p);
        } else {
            rmpy_session_finished(p, status);
        }
    }
    if (p->retired && !p->pending && !p->coro) {
        *ret_value = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    return wait_for_work(p, ret_value);
}

static PySendResult runner_send(PyObject *self, PyObject *Py_UNUSED(value), PyObject **ret_value)
{
    rmpy_runner *p = (rmpy_runner *)self;
    Py_CLEAR(p->waits_for);
    if (p->pending) {
        PyObject *pending = p->pending;
        p->pending = NULL;
        if (pending != Py_None) {
            *ret_value = pending;
            return PYGEN_NEXT;
        }
        Py_DECREF(pending); /* a turn of the loop has passed already */
    }
    if (p->coro && p->session && p->steps >= p->steps_max) { /* here its interrupt came */
        p->future_blocking = 1;
        *ret_value = Py_NewRef(self);
        return PYGEN_NEXT;
    }
    p->inside = true;
    PySendResult result = go_on(p, NULL, ret_value);
    p->inside = false;
    return result;
}

static PyObject *as_method_result(PySendResult result, PyObject *value)
{
    if (result == PYGEN_RETURN) {
        PyErr_SetObject(PyExc_StopIteration, value);
        Py_DECREF(value);
        return NULL;
    }
    return result == PYGEN_NEXT ? value : NULL;
}

static PyObject *method_send(PyObject *self, PyObject *value)
{
    PyObject *result = NULL;
    PySendResult sent = runner_send(self, value, &result);
    return as_method_result(sent, result);
}

static PyObject *runner_next(PyObject *self)
{
    return method_send(self, Py_None);
}

/* A future that the Task had no time to wait for is cancelled as it would be by the Task; true: it
 * will say so itself. */
static bool cancel_pending(rmpy_runner *p, PyObject *exception)
{
    const rmpy_run *shared = p->session->run;
    bool cancels = PyErr_GivenExceptionMatches(exception, shared->cancelled_error);
    PyObject *answer = cancels && p->pending != Py_None
                           ? PyObject_CallMethodNoArgs(p->pending, shared->str_cancel)
                           : NULL;
    bool cancelled = answer && PyObject_IsTrue(answer) > 0;
    Py_XDECREF(answer);
    PyErr_Clear();
    return cancelled;
}

static PyObject *method_throw(PyObject *self, PyObject *args)
{
    rmpy_runner *p = (rmpy_runner *)self;
    PyObject *kind, *value = NULL, *traceback = NULL;
    if (!PyArg_ParseTuple(args, "O|OO:throw", &kind, &value, &traceback)) {
        return NULL;
    }
    PyObject *exception = PyExceptionInstance_Check(kind)             ? Py_NewRef(kind)
                          : value && PyExceptionInstance_Check(value) ? Py_NewRef(value)
                                                                      : PyObject_CallNoArgs(kind);
    if (!exception) {
        return NULL;
    }
    Py_CLEAR(p->waits_for);
    if (p->pending && p->session && cancel_pending(p, exception)) {
        PyObject *pending = p->pending;
        p->pending = NULL;
        Py_DECREF(exception);
        return pending;
    }
    Py_CLEAR(p->pending);
    if (!p->coro || !p->session) { /* nothing to do: the Task itself was meant */
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
        return NULL;
    }
    PyObject *result = NULL;
    p->inside = true;
    PySendResult sent = go_on(p, exception, &result);
    p->inside = false;
    Py_DECREF(exception);
    return as_method_result(sent, result);
}

static PyObject *method_close(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    Py_RETURN_NONE;
}

/* ---- the future that the Task waits for */

static PyObject *method_add_done_callback(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "context", NULL};
    rmpy_runner *p = (rmpy_runner *)self;
    PyObject *callback, *context = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:add_done_callback", names, &callback,
                                     &context)) {
        return NULL;
    }
    Py_XSETREF(p->wakeup, Py_NewRef(callback));
    Py_RETURN_NONE;
}

static PyObject *method_get_loop(PyObject *self, PyObject *Py_UNUSED(none))
{
    const rmpy_session *s = ((rmpy_runner *)self)->session;
    return Py_NewRef(s && s->loop ? s->loop : Py_None);
}

static PyObject *method_result(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_runner *p = (rmpy_runner *)self;
    if (p->cancelled && p->session) {
        p->cancelled = false;
        PyErr_SetNone(p->session->run->cancelled_error);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The Task was cancelled: True where we see to it. */
static PyObject *method_cancel(PyObject *self, PyObject *args, PyObject *kwargs)
{
    rmpy_runner *p = (rmpy_runner *)self;
    if (!p->session) {
        Py_RETURN_FALSE;
    }
    if (p->waits_for) {
        PyObject *cancel = PyObject_GetAttr(p->waits_for, p->session->run->str_cancel);
        PyObject *answer = cancel ? PyObject_Call(cancel, args, kwargs) : NULL;
        Py_XDECREF(cancel);
        return answer;
    }
    if (!p->wakeup) {
        Py_RETURN_FALSE;
    }
    if (p->inside) { /* by the node itself: it bites where it next waits */
        p->cancel_requested = true;
        Py_RETURN_TRUE;
    }
    p->cancelled = true;
    if (schedule_wakeup(p) < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

/* ---- Session.call() */

static rm_status begin_call(rmpy_runner *p, PyObject *callable)
{
    PyObject *result = PyObject_CallNoArgs(callable);
    if (!result) {
        return raised(p);
    }
    if (rmpy_is_awaitable(result) && p->session->loop) {
        p->coro = rmpy_await_iterator(result);
        return p->coro ? run(p, NULL) : raised(p);
    }
    Py_XSETREF(p->call_result, result);
    return RM_OK;
}

/* A generator that waits for its next input gets a CancelledError there. */
static rm_status abandon(rmpy_runner *p)
{
    p->abandons = true;
    PyObject *error = p->coro ? PyObject_CallNoArgs(p->session->run->cancelled_error) : NULL;
    rm_status status = error ? run(p, error) : PyErr_Occurred() ? raised(p) : RM_OK;
    Py_XDECREF(error);
    return status;
}

PyObject *rmpy_task_call(rmpy_runner *p, PyObject *callable, PyObject *done)
{
    identity entered = enter(p);
    if (entered == ID_FAILED) {
        return NULL;
    }
    p->in_call = true;
    rm_status status = callable ? begin_call(p, callable) : abandon(p);
    leave(p, entered);
    if (status == RM_PENDING && hand_over(p) == 0) {
        Py_XSETREF(p->call_done, Py_NewRef(done));
        return Py_BuildValue("(OO)", Py_False, Py_None);
    }
    p->in_call = p->abandons = false;
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (p->call_error) {
        rmpy_exception_raise(p->call_error);
        p->call_error = NULL;
        return NULL;
    }
    PyObject *value = p->call_result ? p->call_result : Py_NewRef(Py_None);
    p->call_result = NULL;
    return Py_BuildValue("(ON)", Py_True, value);
}

PyObject *rmpy_task_give_up(rmpy_runner *p, PyObject *done)
{
    p->in_call = p->abandons = true;
    Py_XSETREF(p->call_done, Py_NewRef(done));
    rmpy_task_cancel(p);
    return Py_BuildValue("(OO)", Py_False, Py_None);
}

void rmpy_task_resume_call(rmpy_runner *p)
{
    identity entered = enter(p);
    rm_status status = entered == ID_FAILED ? raised(p) : run(p, NULL);
    leave(p, entered);
    if (status == RM_PENDING && hand_over(p) == 0) {
        return;
    }
    if (PyErr_Occurred()) {
        Py_XSETREF(p->call_error, rmpy_exception_take());
    }
    rmpy_call_resolve(p);
}

/* Tells who waits for a call() how it ended. */
void rmpy_call_resolve(rmpy_runner *p)
{
    PyObject *done = p->call_done, *error = p->call_error;
    PyObject *value = p->call_result ? p->call_result : Py_NewRef(Py_None);
    p->call_done = p->call_error = p->call_result = NULL;
    p->in_call = p->abandons = false;
    PyObject *over = done ? PyObject_CallMethodNoArgs(done, p->session->run->str_done) : NULL;
    if (over == Py_False) {
        PyObject *answer =
            error ? PyObject_CallMethod(done, "set_exception", "O", error)
                  : PyObject_CallMethodOneArg(done, p->session->run->str_set_result, value);
        Py_XDECREF(answer);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(done);
    }
    Py_XDECREF(over);
    Py_XDECREF(done);
    Py_XDECREF(error);
    Py_DECREF(value);
}

/* ---- the type */

/* clang-format off: it has no stable form for this */
#define RUNNER_OBJECTS(X) \
    X(object)             \
    X(process)            \
    X(flush)              \
    X(interrupt)          \
    X(overrun)            \
    X(ahead)              \
    X(task)               \
    X(context)            \
    X(sync_context)       \
    X(wakeup)             \
    X(waits_for)          \
    X(pending)            \
    X(coro)               \
    X(agen)               \
    X(gen)                \
    X(yielded)            \
    X(handed)             \
    X(stream)             \
    X(item)               \
    X(stream_waiter)      \
    X(call) X(call_done) X(call_result) X(call_error) X(raised) X(raised_input) X(at_hand)
/* clang-format on */

static int runner_traverse(PyObject *self, visitproc visit, void *arg)
{
    rmpy_runner *p = (rmpy_runner *)self;
    Py_VISIT(Py_TYPE(self));
#define VISIT(name) Py_VISIT(p->name);
    RUNNER_OBJECTS(VISIT)
#undef VISIT
    for (unsigned i = 0; i < p->out.length; i++) {
        Py_VISIT(*rmpy_ring_at(&p->out, i));
    }
    for (unsigned i = 0; i < p->queue.length; i++) {
        Py_VISIT(*rmpy_ring_at(&p->queue, i));
    }
    return 0;
}

static int runner_clear(PyObject *self)
{
    rmpy_runner *p = (rmpy_runner *)self;
#define CLEAR(name) Py_CLEAR(p->name);
    RUNNER_OBJECTS(CLEAR)
#undef CLEAR
    rmpy_ring_clear(&p->out);
    rmpy_ring_clear(&p->queue);
    return 0;
}

static void runner_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)runner_clear(self);
    rmpy_ring_free(&((rmpy_runner *)self)->out);
    rmpy_ring_free(&((rmpy_runner *)self)->queue);
    PyMem_Free(((rmpy_runner *)self)->error);
    PyMem_Free(((rmpy_runner *)self)->own_id);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *runner_repr(PyObject *self)
{
    const rmpy_runner *p = (rmpy_runner *)self;
    return PyUnicode_FromFormat("<node %s>", p->session ? p->id : "of a session that is over");
}

static PyObject *get_blocking(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((rmpy_runner *)self)->future_blocking);
}

static int set_blocking(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int is_true = value ? PyObject_IsTrue(value) : 0;
    ((rmpy_runner *)self)->future_blocking = is_true > 0;
    return is_true < 0 ? -1 : 0;
}

static PyObject *get_id(PyObject *self, void *Py_UNUSED(closure))
{
    const rmpy_runner *p = (rmpy_runner *)self;
    return PyUnicode_FromString(p->session || p->own_id ? p->id : "");
}

static PyGetSetDef runner_getset[] = {
    {"id", get_id, NULL, NULL, NULL},
    {"_asyncio_future_blocking", get_blocking, set_blocking, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS

static PyMethodDef runner_methods[] = {
    {"send", method_send, METH_O, NULL},
    {"throw", method_throw, METH_VARARGS, NULL},
    {"close", method_close, METH_NOARGS, NULL},
    {"add_done_callback", KEYWORDS(method_add_done_callback), NULL},
    {"get_loop", method_get_loop, METH_NOARGS, NULL},
    {"result", method_result, METH_NOARGS, NULL},
    {"cancel", KEYWORDS(method_cancel), NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot runner_slots[] = {
    {Py_tp_dealloc, runner_dealloc},
    {Py_tp_traverse, runner_traverse},
    {Py_tp_clear, runner_clear},
    {Py_tp_repr, runner_repr},
    {Py_tp_methods, runner_methods},
    {Py_tp_getset, runner_getset},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, runner_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, runner_send},
    {0, NULL},
};

PyType_Spec rmpy_runner_spec = {
    .name = "remotemedia._core.Runner",
    .basicsize = sizeof(rmpy_runner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = runner_slots,
};
