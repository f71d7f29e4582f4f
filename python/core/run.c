/* What all sessions of the interpreter share: names, asyncio, the gate at exit, forks. */
#include "run.h"

#include <string.h>

/* ---- the gate */

/* Native threads of a session end with it. One that another thread steps at this moment is told to
 * stop, and left to that thread. */
static void end_sessions(rmpy_run *run)
{
    rmpy_session *next;
    for (rmpy_session *s = run->sessions; s; s = next) {
        next = s->next;
        s->cancelling = true;
        rm_session_cancel(s->native);
        for (size_t i = 0; i < s->runner_count; i++) {
            s->runners[i]->stop = true;
        }
    }
}

static void free_sessions(rmpy_run *run)
{
    rmpy_session *next;
    for (rmpy_session *s = run->sessions; s; s = next) {
        next = s->next;
        if (!s->stepping && !s->busy && s->thread == PyThread_get_thread_ident()) {
            Py_INCREF(s);
            rmpy_session_free_native(s);
            Py_DECREF(s);
        }
    }
}

static bool owns_session(const rmpy_run *run, unsigned long thread)
{
    const rmpy_session *s = run->sessions;
    while (s && s->thread != thread) {
        s = s->next;
    }
    return s;
}

/* The other threads that run sessions, as threading.Thread: a list, or NULL with an exception. Only
 * daemons are left when the gate is called. */
static PyObject *owners_of_sessions(const rmpy_run *run)
{
    PyObject *owners = PyList_New(0);
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *all = threading ? PyObject_CallMethod(threading, "enumerate", NULL) : NULL;
    for (Py_ssize_t i = 0; owners && all && i < PyList_GET_SIZE(all); i++) {
        PyObject *ident = PyObject_GetAttrString(PyList_GET_ITEM(all, i), "ident");
        unsigned long thread = ident ? PyLong_AsUnsignedLong(ident) : 0;
        Py_XDECREF(ident);
        if (!PyErr_Occurred() && thread != PyThread_get_thread_ident() &&
            owns_session(run, thread) && PyList_Append(owners, PyList_GET_ITEM(all, i)) < 0) {
            break;
        }
    }
    Py_XDECREF(threading);
    Py_XDECREF(all);
    if (PyErr_Occurred()) {
        Py_CLEAR(owners);
    }
    return owners;
}

/* A thread whose run was ended cleans up, raises and perhaps prints: the interpreter must not go on
 * to its own end meanwhile, or it aborts where such a thread holds a stream. */
static void join_owners(PyObject *owners, int64_t deadline_ns)
{
    for (Py_ssize_t i = 0; owners && i < PyList_GET_SIZE(owners); i++) {
        double left_s = (double)(deadline_ns - rmpy_now_ns()) / 1e9;
        PyObject *none =
            PyObject_CallMethod(PyList_GET_ITEM(owners, i), "join", "d", left_s > 0 ? left_s : 0.0);
        if (!none) {
            PyErr_WriteUnraisable(owners);
        }
        Py_XDECREF(none);
    }
    if (!owners) {
        PyErr_WriteUnraisable(NULL);
    }
    Py_XDECREF(owners);
}

static PyObject *shutdown(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"grace_s", NULL};
    rmpy_run *run = rmpy_state_of(module)->run;
    double grace_s = 1.0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|d:shutdown", names, &grace_s)) {
        return NULL;
    }
    if (!(grace_s >= 0 && grace_s <= 3600)) {
        PyErr_SetString(PyExc_ValueError, "shutdown: grace_s is not within 0 to 3600");
        return NULL;
    }
    int64_t deadline_ns = rmpy_now_ns() + (int64_t)(grace_s * 1e9);
    rmpy_live_stop(run);
    PyObject *owners = owners_of_sessions(run);
    run->shut = true;
    end_sessions(run);
    bool none = rmpy_worker_shutdown(run, (int64_t)(grace_s * 1e9));
    join_owners(owners, deadline_ns);
    free_sessions(run);
    if (!none) {
        rm_log(RM_LOG_WARNING, "python", "a call of a node still runs on a thread at exit");
    }
    Py_RETURN_NONE;
}

static PyObject *is_async(PyObject *Py_UNUSED(module), PyObject *callable)
{
    return PyBool_FromLong(rmpy_is_async(callable));
}

PyMethodDef rmpy_session_methods[] = {
    {"is_async", is_async, METH_O,
     PyDoc_STR("is_async($module, callable, /)\n--\n\n"
               "True: a coroutine function or an async generator function.")},
    {"shutdown", (PyCFunction)(void (*)(void))shutdown, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("shutdown($module, /, grace_s=1.0)\n--\n\n"
               "Cancels what runs, waits for the threads of it, lets no new work in.")},
    {NULL, NULL, 0, NULL},
};

/* In the child: its threads are gone, and with them whatever they held. */
static PyObject *after_fork(PyObject *module, PyObject *Py_UNUSED(none))
{
    rmpy_run *run = rmpy_state_of(module)->run;
    run->generation++;
    run->pool = NULL;
    run->sessions = NULL;
    run->sessions_end = &run->sessions;
    run->latest = NULL;
    rmpy_live_after_fork(run);
    atomic_store(&run->threads, 0);
    Py_RETURN_NONE;
}

static PyMethodDef after_fork_method = {"_after_fork", after_fork, METH_NOARGS, NULL};

static int register_hooks(PyObject *module)
{
    PyObject *exit = PyImport_ImportModule("atexit");
    PyObject *gate = exit ? PyObject_GetAttrString(module, "shutdown") : NULL;
    PyObject *done = gate ? PyObject_CallMethod(exit, "register", "O", gate) : NULL;
    Py_XDECREF(gate);
    Py_XDECREF(exit);
    PyObject *os = done ? PyImport_ImportModule("os") : NULL;
    Py_XDECREF(done);
    PyObject *hook = os ? PyCFunction_New(&after_fork_method, module) : NULL;
    PyObject *keywords = hook ? Py_BuildValue("{s:O}", "after_in_child", hook) : NULL;
    PyObject *registrar = keywords ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    if (!registrar && os && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear(); /* a system without fork */
    }
    PyObject *none = registrar ? PyTuple_New(0) : NULL;
    PyObject *registered = none ? PyObject_Call(registrar, none, keywords) : NULL;
    Py_XDECREF(registered);
    Py_XDECREF(none);
    Py_XDECREF(registrar);
    Py_XDECREF(keywords);
    Py_XDECREF(hook);
    Py_XDECREF(os);
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- making it */

/* It has no stable form for this. */
/* clang-format off */
#define RUN_OBJECTS(X)       \
    X(need_input)            \
    X(swap_task)             \
    X(enter_task)            \
    X(leave_task)            \
    X(set_running_loop)      \
    X(current_task)          \
    X(task_class)            \
    X(get_running_loop)      \
    X(future_class)          \
    X(cancelled_error)       \
    X(str_throw)             \
    X(str_future_blocking)   \
    X(str_add_done_callback) \
    X(str_get_loop)          \
    X(str_cancel)            \
    X(str_call_soon)         \
    X(kw_context)            \
    X(str_set_result) X(str_done) X(str_fut_waiter) X(str_callbacks) X(str_remove_done_callback) \
    X(str_uncancel) X(current_tasks)
/* clang-format on */

static int add_names(rmpy_run *run)
{
    const struct {
        PyObject **place;
        const char *text;
    } names[] = {
        {&run->str_throw, "throw"},
        {&run->str_future_blocking, "_asyncio_future_blocking"},
        {&run->str_add_done_callback, "add_done_callback"},
        {&run->str_get_loop, "get_loop"},
        {&run->str_cancel, "cancel"},
        {&run->str_call_soon, "call_soon"},
        {&run->str_set_result, "set_result"},
        {&run->str_done, "done"},
        {&run->str_fut_waiter, "_fut_waiter"},
        {&run->str_callbacks, "_callbacks"},
        {&run->str_remove_done_callback, "remove_done_callback"},
        {&run->str_uncancel, "uncancel"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].text);
    }
    run->kw_context = Py_BuildValue("(s)", "context");
    run->need_input = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    return PyErr_Occurred() ? -1 : 0;
}

static int add_constants(PyObject *module)
{
    return PyModule_AddIntConstant(module, "MORE", RM_MORE) < 0 ||
                   PyModule_AddIntConstant(module, "PENDING", RM_PENDING) < 0 ||
                   PyModule_AddIntConstant(module, "DONE", RM_DONE) < 0 ||
                   PyModule_AddIntConstant(module, "FAILED", RM_EFAIL) < 0
               ? -1
               : 0;
}

int rmpy_session_init(PyObject *module, rmpy_state *state)
{
    rmpy_run *run = rm_alloc(sizeof *run);
    if (!run) {
        PyErr_NoMemory();
        return -1;
    }
    state->run = run;
    run->sessions_end = &run->sessions;
    run->live.fd = run->live.pipe[0] = run->live.pipe[1] = -1;
    run->begin_ticks = rmpy_ticks();
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    run->begin_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    run->runner = (PyTypeObject *)PyType_FromModuleAndSpec(module, &rmpy_runner_spec, NULL);
    run->stream = (PyTypeObject *)PyType_FromModuleAndSpec(module, &rmpy_stream_spec, NULL);
    if (!run->runner || !run->stream || add_names(run) < 0 || add_constants(module) < 0) {
        return -1;
    }
    return register_hooks(module);
}

int rmpy_session_traverse(rmpy_state *state, visitproc visit, void *arg)
{
    rmpy_run *run = state->run;
    if (run) {
        Py_VISIT(run->runner);
        Py_VISIT(run->stream);
#define VISIT(name) Py_VISIT(run->name);
        RUN_OBJECTS(VISIT)
#undef VISIT
    }
    return 0;
}

void rmpy_session_clear(rmpy_state *state)
{
    rmpy_run *run = state->run;
    if (run) {
        Py_CLEAR(run->runner);
        Py_CLEAR(run->stream);
#define CLEAR(name) Py_CLEAR(run->name);
        RUN_OBJECTS(CLEAR)
#undef CLEAR
    }
}

void rmpy_session_free(rmpy_state *state)
{
    rmpy_run *run = state->run;
    if (!run) {
        return;
    }
    rmpy_session_clear(state);
    state->run = NULL;
    if (atomic_load(&run->threads) == 0) { /* else a call that never ends still looks at it */
        rm_free(run);
    }
}
