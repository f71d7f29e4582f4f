/* The end of a Session, the calls around it (initialize, cleanup), and the type.
 */
#include "run.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <unistd.h>

/* ---- calls outside the stream: initialize, cleanup, aclose */

void rmpy_call_finish(rmpy_runner *p)
{
    PyObject *result = p->call_result;
    if (result && PyCoro_CheckExact(result)) { /* a sync function gave a coroutine */
        p->call_result = NULL;
        p->coro = result;
        p->in_call = true;
        rmpy_task_resume_call(p);
        return;
    }
    rmpy_call_resolve(p);
}

PyDoc_STRVAR(
    call_doc,
    "call($self, node, callable, done, inline=False, /)\n--\n\n"
    "Calls something of a node's, in its context: async as its task, sync on a thread where "
    "there is a loop and inline is false. None: ends a wait for input. (True, result), or (False, "
    "None): future done gets the "
    "result.");

/* As the node's Task, on this thread. Py_None as callable ends a wait for input. */
static PyObject *call_here(rmpy_session *s, rmpy_runner *p, PyObject *callable, PyObject *done)
{
    PyObject *task = rmpy_current_task(s), *before = s->outer;
    s->outer = task;
    PyObject *result = rmpy_task_call(p, callable == Py_None ? NULL : callable, done);
    s->outer = before;
    Py_XDECREF(task);
    return result;
}

static PyObject *call_on_worker(rmpy_runner *p, PyObject *callable, PyObject *done)
{
    Py_XSETREF(p->call, Py_NewRef(callable));
    Py_XSETREF(p->call_done, Py_NewRef(done));
    if (rmpy_worker_submit(p) < 0) {
        Py_CLEAR(p->call);
        return NULL;
    }
    return Py_BuildValue("(OO)", Py_False, Py_None);
}

static PyObject *session_call(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    PyObject *which, *callable, *done;
    int inlines = 0;
    if (!PyArg_ParseTuple(args, "OOO|p:call", &which, &callable, &done, &inlines) ||
        !rmpy_session_usable(s)) {
        return NULL;
    }
    rmpy_runner *p = rmpy_session_runner(s, which);
    if (!p) {
        return NULL;
    }
    if (p->on_task && callable == Py_None && !p->node && !p->in_call) {
        return rmpy_task_give_up(p, done);
    }
    if (p->on_task || p->job || p->in_call) {
        return PyErr_Format(PyExc_RuntimeError, "node '%s' is still at work", p->id);
    }
    inlines |= rmpy_is_async(callable) || p->blocking == 0 || done == Py_None || !s->loop;
    return inlines ? call_here(s, p, callable, done) : call_on_worker(p, callable, done);
}

/* ---- the end */

static PyObject *session_failure(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    if (s->raised) {
        return Py_BuildValue("(OOO)", s->raised, Py_None, Py_None);
    }
    rm_error error = RM_ERROR_INIT;
    if (s->failure) {
        return Py_NewRef(s->failure);
    }
    if (!s->native || rm_session_error(s->native, &error) == RM_OK) {
        Py_RETURN_NONE;
    }
    s->failure = rmpy_session_failure_of(s, &error);
    return Py_XNewRef(s->failure);
}

static PyObject *session_take_errors(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    PyObject *fresh = PyList_New(0), *errors = s->errors;
    if (!fresh) {
        return NULL;
    }
    s->errors = fresh;
    return errors;
}

/* ---- what happens to the session and its nodes */

/* (kind, node, to, reason, count, total, time_ns, lost, code, item, message). */
static PyObject *row_of(const rmpy_session *s, const rm_event *event)
{
    const rm_error *error = event->error;
    return Py_BuildValue("(izzzKKLKiKz)", (int)event->kind, event->node, event->to, event->reason,
                         (unsigned long long)event->count, (unsigned long long)event->total,
                         (long long)event->time_ns, (unsigned long long)event->lost + s->news_lost,
                         error ? (int)error->code : 0,
                         (unsigned long long)(error ? error->item : 0),
                         error ? error->message : NULL);
}

void rmpy_session_keep_news(rmpy_session *s, const rm_event *event)
{
    bool is_end = event->kind == RM_EVENT_ENDED; /* has room always: there is one */
    if (PyList_GET_SIZE(s->news) >= RMPY_EVENTS_MAX && !is_end) {
        s->news_lost += 1 + event->lost;
        return;
    }
    PyObject *before = rmpy_exception_take(), *row = row_of(s, event);
    if (!row || PyList_Append(s->news, row) < 0) {
        PyErr_WriteUnraisable((PyObject *)s);
    }
    Py_XDECREF(row);
    s->news_lost = 0;
    rmpy_exception_raise(before);
}

static PyObject *session_take_events(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    PyObject *fresh = PyList_New(0), *news = s->news;
    if (!fresh) {
        return NULL;
    }
    s->news = fresh;
    return news;
}

static PyObject *session_set_events(PyObject *self, PyObject *wanted)
{
    rmpy_session *s = (rmpy_session *)self;
    int all = PyObject_IsTrue(wanted);
    if (all < 0) {
        return NULL;
    }
    s->events = all ? RM_EVENTS_ALL : 0;
    if (s->native) {
        rm_session_set_events(s->native, s->events);
    }
    Py_RETURN_NONE;
}

static PyObject *session_tasks(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    int retire = 0;
    PyObject *which = Py_None;
    if (!PyArg_ParseTuple(args, "|pO:tasks", &retire, &which)) {
        return NULL;
    }
    const rmpy_runner *one = which == Py_None ? NULL : rmpy_session_runner(s, which);
    PyObject *list = one || which == Py_None ? PyList_New(0) : NULL;
    for (size_t i = 0; list && i < s->runner_count + s->guest_count; i++) {
        rmpy_runner *p = i < s->runner_count ? s->runners[i] : s->guests[i - s->runner_count];
        if (one && p != one) {
            continue;
        }
        p->retired |= retire;
        if (p->task && PyList_Append(list, p->task) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static int append_leftover(PyObject *list, PyObject *takes_row)
{
    int failed = takes_row ? PyList_Append(list, takes_row) : -1;
    Py_XDECREF(takes_row);
    return failed;
}

int rmpy_leave_over(PyObject *list, rmpy_runner *p)
{
    int failed = append_leftover(list, Py_BuildValue("(sO)", p->id, p->agen));
    Py_CLEAR(p->agen);
    return failed;
}

/* Of one that a change took out: also where its Task waits for something. */
static PyObject *leftovers_of(rmpy_runner *p)
{
    PyObject *list = PyList_New(0);
    bool ours = p->agen && PyAsyncGen_CheckExact(p->agen);
    int failed = list ? 0 : -1;
    if (!failed && (p->on_task || (ours && p->coro))) {
        failed = append_leftover(list, Py_BuildValue("(OO)", (PyObject *)p, Py_None));
    }
    if (!failed && ours) {
        failed = append_leftover(list, Py_BuildValue("(OO)", (PyObject *)p, p->agen));
    }
    Py_CLEAR(p->agen);
    if (failed) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *session_leftovers(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    PyObject *which = Py_None;
    if (!PyArg_ParseTuple(args, "|O:leftovers", &which)) {
        return NULL;
    }
    if (which != Py_None) {
        rmpy_runner *p = rmpy_session_runner(s, which);
        return p ? leftovers_of(p) : NULL;
    }
    PyObject *fresh = PyList_New(0), *list = s->leftovers;
    if (!fresh) {
        return NULL;
    }
    s->leftovers = fresh; /* what an interrupt left is in the list */
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        bool ours = p->agen && PyAsyncGen_CheckExact(p->agen) && !p->on_task;
        if (ours) {
            PyObject *wait = p->coro ? Py_BuildValue("(sO)", p->id, Py_None) : NULL;
            int failed = wait ? PyList_Append(list, wait) : PyErr_Occurred() ? -1 : 0;
            Py_XDECREF(wait);
            if (failed || rmpy_leave_over(list, p) < 0) {
                Py_DECREF(list);
                return NULL;
            }
        }
    }
    return list;
}

/* Work that waits in a Task, and is to be forgotten, is completed for the engine. */
static void complete_all(rmpy_session *s)
{
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        if (p->node && p->engine_waits && !p->job) {
            p->engine_waits = false;
            rm_node_complete(p->node, RM_ECANCELED, NULL);
        }
    }
}

void rmpy_session_free_native(rmpy_session *s)
{
    rm_session *native = s->native;
    if (native && s->watch.ended) {
        s->watch.ended(s->watch.context);
        s->watch = (rmpy_watch){NULL, NULL, NULL};
    }
    s->native = NULL;
    rmpy_live_forget(s);
    rmpy_session_unlink(s);
    if (!native || s->generation != s->run->generation) {
        return; /* a child has no threads to join: what is its parent's is left alone */
    }
    PyObject *before = rmpy_exception_take();
    rm_change_free(s->change);
    rmpy_settings_clear(s);
    s->change = NULL;
    s->plan = rmpy_plan_of(s->state, s->plan_object); /* those of changes go with the session */
    PyErr_Clear();
    if (rmpy_session_is_over(s)) {
        Py_BEGIN_ALLOW_THREADS; /* our nodes do nothing in close() */
        rm_session_free(native);
        Py_END_ALLOW_THREADS;
    } else {
        s->result = RM_ECANCELED;
        s->cancelling = true;
        complete_all(s);
        rm_session_free(native);
    }
    rmpy_drain_releases();
    rmpy_session_close_wake_fd(s);
    for (size_t i = 0; i < s->runner_count; i++) {
        s->runners[i]->node = NULL;
        rmpy_worker_release(s->runners[i]);
    }
    for (size_t i = 0; i < s->guest_count; i++) {
        s->guests[i]->node = NULL;
    }
    rmpy_exception_raise(before);
}

static PyObject *session_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    if (s->stepping) {
        PyErr_SetString(PyExc_RuntimeError, "close() within a slice of the session");
        return NULL;
    }
    PyObject *failure = session_failure(self, NULL), *numbers = NULL; /* both are kept */
    if (s->native) {
        numbers = rmpy_session_numbers(self, NULL);
        if (!numbers) {
            PyErr_Clear();
        }
        Py_XSETREF(s->last_numbers, numbers);
    }
    if (s->native && s->spans_max) {
        Py_XSETREF(s->last_spans, rmpy_session_spans(self, NULL));
        PyErr_Clear();
    }
    Py_XDECREF(failure);
    rmpy_session_cancel_timer(s);
    rmpy_session_remove_reader(s);
    if (s->busy) {
        s->close_wanted = true;
        Py_RETURN_NONE;
    }
    rmpy_session_free_native(s);
    Py_RETURN_NONE;
}

/* ---- the type */

static PyObject *get_state(PyObject *self, void *Py_UNUSED(closure))
{
    return rmpy_session_state((rmpy_session *)self);
}

static PyObject *get_busy(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((rmpy_session *)self)->busy);
}

static PyObject *session_fileno(PyObject *self, PyObject *Py_UNUSED(none))
{
    int fd =
        rmpy_session_usable((rmpy_session *)self) ? rmpy_session_wake_fd((rmpy_session *)self) : -1;
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

/* clang-format off: it has no stable form for this */
#define SESSION_OBJECTS(X) \
    X(plan_object)         \
    X(loop)                \
    X(step_method)         \
    X(woken_method)        \
    X(timer)               \
    X(done)                \
    X(outer)               \
    X(raised)              \
    X(errors)              \
    X(failure)             \
    X(last_numbers)        \
    X(last_spans)          \
    X(on_room) X(on_output) X(leftovers) X(new_params) X(on_news) X(news) X(types) X(cuts)
/* clang-format on */

static int session_traverse(PyObject *self, visitproc visit, void *arg)
{
    rmpy_session *s = (rmpy_session *)self;
    Py_VISIT(Py_TYPE(self));
#define VISIT(name) Py_VISIT(s->name);
    SESSION_OBJECTS(VISIT)
#undef VISIT
    for (size_t i = 0; i < s->runner_count; i++) {
        Py_VISIT(s->runners[i]);
    }
    for (size_t i = 0; i < s->guest_count; i++) {
        Py_VISIT(s->guests[i]);
    }
    return 0;
}

static void session_finalize(PyObject *self)
{
    rmpy_session *s = (rmpy_session *)self;
    if (s->native) {
        rmpy_session_free_native(s);
    }
}

static int session_clear(PyObject *self)
{
    rmpy_session *s = (rmpy_session *)self;
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        s->runners[i] = NULL;
        if (p) {
            p->session = NULL;
            Py_DECREF(p);
        }
    }
    s->runner_count = 0;
    rmpy_guests_clear(s);
#define CLEAR(name) Py_CLEAR(s->name);
    SESSION_OBJECTS(CLEAR)
#undef CLEAR
    return 0;
}

static void session_dealloc(PyObject *self)
{
    rmpy_session *s = (rmpy_session *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    rmpy_session_close_wake_fd(s);
    (void)session_clear(self);
    PyMem_Free(s->runners);
    PyMem_Free(s->guests);
    PyMem_Free(s->tries);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(open_doc,
             "open($self, /, loop=None, checkpoint=None, checkpoint_interval_ms=0, record=None,\n"
             "     replay=None)\n--\n\n"
             "Opens all native nodes. loop: the running event loop, or None.");

PyDoc_STRVAR(start_doc,
             "start($self, done, outer, /)\n--\n\n"
             "Runs the first slice within task outer; the end sets the result of future done.");

PyDoc_STRVAR(attach_doc, "attach($self, loop, /)\n--\n\n"
                         "Gives a session that began without a loop one; start() goes on.");

#define KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS

static PyMethodDef session_method_table[] = {
    {"feed", rmpy_session_feed, METH_VARARGS,
     PyDoc_STR("feed($self, node, source, /)\n--\n\nWhat a python.feed node reads.")},
    {"collect", rmpy_session_collect, METH_VARARGS,
     PyDoc_STR("collect($self, node, results, /)\n--\n\nWhere a python.collect node puts things.")},
    {"push", (PyCFunction)(void (*)(void))rmpy_session_push, METH_FASTCALL,
     PyDoc_STR("push($self, node, item, /)\n--\n\nFalse: the queue is full.")},
    {"pull", rmpy_session_pull, METH_O,
     PyDoc_STR("pull($self, node, /)\n--\n\n(True, item), or (False, None): nothing there now.")},
    {"end", rmpy_session_end, METH_O,
     PyDoc_STR("end($self, node, /)\n--\n\nNo more items on this input.")},
    {"count", rmpy_session_count, METH_O,
     PyDoc_STR("count($self, node, /)\n--\n\nItems pushed to it, or pulled from it, so far.")},
    {"open", KEYWORDS(rmpy_session_open), open_doc},
    {"attach", rmpy_session_attach, METH_O, attach_doc},
    {"call", session_call, METH_VARARGS, call_doc},
    {"start", rmpy_session_start, METH_VARARGS, start_doc},
    {"run", rmpy_session_run, METH_NOARGS,
     PyDoc_STR("run($self, /)\n--\n\nWithout a loop: runs to the end, or until it needs a loop.")},
    {"fileno", session_fileno, METH_NOARGS,
     PyDoc_STR("fileno($self, /)\n--\n\nThe wake descriptor.")},
    {"interrupt", rmpy_session_interrupt, METH_VARARGS,
     PyDoc_STR("interrupt($self, node=None, /)\n--\n\nBarge-in: what is queued downstream dies.")},
    {"cancel", rmpy_session_cancel, METH_NOARGS,
     PyDoc_STR("cancel($self, /)\n--\n\nEnds the session.")},
    {"set_params", rmpy_session_set_params, METH_VARARGS,
     PyDoc_STR(
         "set_params($self, node, params, objects, /)\n--\n\nSets live parameters (JSON text).")},
    {"plan_change", rmpy_session_plan_change, METH_O,
     PyDoc_STR("plan_change($self, words, /)\n--\n\nPlans a change; its new Python nodes.")},
    {"add_nodes", rmpy_session_add_nodes, METH_VARARGS,
     PyDoc_STR("add_nodes($self, nodes, heirs, /)\n--\n\nThe objects of the new nodes.")},
    {"change", rmpy_session_change, METH_NOARGS,
     PyDoc_STR("change($self, /)\n--\n\nMakes the change that was planned, or says why not now.")},
    {"forget_change", rmpy_session_forget_change, METH_NOARGS,
     PyDoc_STR("forget_change($self, /)\n--\n\nGives the change up.")},
    {"drop", rmpy_session_drop, METH_O,
     PyDoc_STR("drop($self, runner, /)\n--\n\nLets go of a node that is out.")},
    {"fell_back", rmpy_session_fell_back, METH_NOARGS,
     PyDoc_STR("fell_back($self, /)\n--\n\nIds of the nodes that run here since a place refused "
               "them.")},
    {"numbers", rmpy_session_numbers, METH_NOARGS,
     PyDoc_STR("numbers($self, /)\n--\n\nThose of now; of a closed session the last ones.")},
    {"follow", rmpy_session_follow, METH_VARARGS,
     PyDoc_STR("follow($self, spans_max, traceparent, /)\n--\n\nKeeps spans of calls.")},
    {"spans", rmpy_session_spans, METH_NOARGS,
     PyDoc_STR("spans($self, /)\n--\n\nTakes the spans of calls, as JSON text.")},
    {"announce", rmpy_session_announce, METH_O,
     PyDoc_STR("announce($self, name, /)\n--\n\nFrom here on `remotemedia top` is told of it.")},
    {"failure", session_failure, METH_NOARGS,
     PyDoc_STR("failure($self, /)\n--\n\nWhy it ended: (exception, node, item), or None.")},
    {"take_errors", session_take_errors, METH_NOARGS,
     PyDoc_STR("take_errors($self, /)\n--\n\nErrors that on_error dealt with.")},
    {"set_events", session_set_events, METH_O,
     PyDoc_STR("set_events($self, wanted, /)\n--\n\nWhether take_events() is to have any.")},
    {"take_events", session_take_events, METH_NOARGS,
     PyDoc_STR("take_events($self, /)\n--\n\nWhat happened since the last call.")},
    {"tasks", session_tasks, METH_VARARGS,
     PyDoc_STR("tasks($self, retire=False, runner=None, /)\n--\n\nThe nodes' long-lived tasks.")},
    {"leftovers", session_leftovers, METH_VARARGS,
     PyDoc_STR(
         "leftovers($self, runner=None, /)\n--\n\nGenerators that were not run to their end.")},
    {"close", session_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nFrees the native session. Deferred while busy.")},
    {"_step", rmpy_session_method_step, METH_NOARGS, NULL},
    {"_woken", rmpy_session_method_woken, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef session_members[] = {
    {"on_room", T_OBJECT, offsetof(rmpy_session, on_room), 0,
     PyDoc_STR("Called when a queue that was full has room.")},
    {"on_output", T_OBJECT, offsetof(rmpy_session, on_output), 0,
     PyDoc_STR("Called when there is something to pull, and at the end.")},
    {"on_news", T_OBJECT, offsetof(rmpy_session, on_news), 0,
     PyDoc_STR("Called after a slice, when take_events() has something.")},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef session_getset[] = {
    {"state", get_state, NULL, PyDoc_STR("MORE, PENDING, DONE or FAILED."), NULL},
    {"busy", get_busy, NULL, PyDoc_STR("Calls that still run on worker threads."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(session_doc, "Session(plan, nodes, *, memory_bytes_max=0)\n--\n\n"
                          "One running instance of a plan. Use _drive unless you write a driver.");

static PyType_Slot session_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)session_doc},
    {Py_tp_new, rmpy_session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_finalize, session_finalize},
    {Py_tp_traverse, session_traverse},
    {Py_tp_clear, session_clear},
    {Py_tp_methods, session_method_table},
    {Py_tp_members, session_members},
    {Py_tp_getset, session_getset},
    {0, NULL},
};

PyType_Spec rmpy_session_spec = {
    .name = "remotemedia._core.Session",
    .basicsize = sizeof(rmpy_session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = session_slots,
};
