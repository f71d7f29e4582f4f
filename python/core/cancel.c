/* How the engine cancels what waits within a node's Task.
 *
 *     Task.cancel() ─▶ the future that it waits for is cancelled ─▶ wakes the Task in the loop's
 *                                                                   next turn
 *
 * A plain future for which nobody else waits has nothing to do before: it forgets the Task, which
 * is woken here as soon as the slice is over. So a node hears of an interrupt before
 * Session.interrupt() returns.
 */
#include "run.h"

/* What its Task waits for, where that is one. */
static PyObject *plain_future_of(const rmpy_runner *p)
{
    PyObject *future = p->waits_for ? Py_NewRef(p->waits_for) : NULL;
    if (!future && p->task) {
        future = PyObject_GetAttr(p->task, p->session->run->str_fut_waiter);
    }
    if (future && (PyObject *)Py_TYPE(future) != p->session->run->future_class) {
        Py_CLEAR(future);
    }
    return future;
}

/* NULL: it has none yet, or several. */
static PyObject *only_callback(const rmpy_run *run, PyObject *future)
{
    PyObject *callbacks = PyObject_GetAttr(future, run->str_callbacks), *callback = NULL;
    if (callbacks && PyList_Check(callbacks) && PyList_GET_SIZE(callbacks) == 1) {
        PyObject *pair = PyList_GET_ITEM(callbacks, 0); /* with its context */
        callback = PyTuple_Check(pair) ? Py_XNewRef(PyTuple_GetItem(pair, 0)) : NULL;
    }
    Py_XDECREF(callbacks);
    return callback;
}

static int add_cut(rmpy_session *s, PyObject *cut)
{
    s->cuts = s->cuts ? s->cuts : PyList_New(0);
    return s->cuts ? PyList_Append(s->cuts, cut) : -1;
}

/* Where this fails the loop wakes the Task, as it does any. */
static void begin_cut(rmpy_runner *p)
{
    rmpy_session *s = p->session;
    PyObject *future = s->stepping && !p->in_call ? plain_future_of(p) : NULL;
    PyObject *callback = future ? only_callback(s->run, future) : NULL;
    PyObject *cut = callback ? PyTuple_Pack(3, (PyObject *)p, callback, future) : NULL;
    if (cut && add_cut(s, cut) == 0) {
        PyObject *removed =
            PyObject_CallMethodOneArg(future, s->run->str_remove_done_callback, callback);
        if (!removed || PyObject_IsTrue(removed) <= 0) {
            Py_ssize_t last = PyList_GET_SIZE(s->cuts) - 1;
            (void)PyList_SetSlice(s->cuts, last, last + 1, NULL);
        }
        Py_XDECREF(removed);
    }
    PyErr_Clear();
    Py_XDECREF(cut);
    Py_XDECREF(callback);
    Py_XDECREF(future);
}

void rmpy_task_cancel(rmpy_runner *p)
{
    PyObject *before = rmpy_exception_take();
    p->cancels++;
    begin_cut(p);
    PyObject *answer =
        p->task ? PyObject_CallMethodNoArgs(p->task, p->session->run->str_cancel) : NULL;
    if (!answer) {
        PyErr_Clear();
    }
    Py_XDECREF(answer);
    if (before) {
        rmpy_exception_raise(before);
    }
}

static bool runs_loop(rmpy_session *s)
{
    PyObject *running = PyObject_CallNoArgs(s->run->get_running_loop);
    bool same = running == s->loop;
    Py_XDECREF(running);
    PyErr_Clear();
    return same;
}

/* As the loop calls a callback: with no current Task. */
static void wake(rmpy_session *s, PyObject *callback, PyObject *future, PyObject *context)
{
    PyObject *answer = NULL;
    if (!runs_loop(s) || rmpy_swap_task(s, s->outer, NULL) < 0) {
        PyErr_Clear();
        answer = rmpy_call_soon(s, callback, future, context);
    } else {
        if (PyContext_Enter(context) == 0) {
            answer = PyObject_CallOneArg(callback, future);
            PyObject *raised = rmpy_exception_take();
            (void)PyContext_Exit(context);
            rmpy_exception_raise(raised);
        } else { /* who interrupts runs in it */
            PyErr_Clear();
            answer = rmpy_call_soon(s, callback, future, context);
        }
        PyObject *raised = rmpy_exception_take();
        (void)rmpy_swap_task(s, NULL, s->outer);
        rmpy_exception_raise(raised);
    }
    if (!answer) {
        PyErr_WriteUnraisable(callback);
    }
    Py_XDECREF(answer);
}

void rmpy_task_end_cuts(rmpy_session *s)
{
    while (s->cuts && s->loop && PyList_GET_SIZE(s->cuts)) {
        PyObject *cut = Py_NewRef(PyList_GET_ITEM(s->cuts, 0));
        (void)PyList_SetSlice(s->cuts, 0, 1, NULL);
        wake(s, PyTuple_GET_ITEM(cut, 1), PyTuple_GET_ITEM(cut, 2),
             ((rmpy_runner *)PyTuple_GET_ITEM(cut, 0))->context);
        Py_DECREF(cut);
    }
}
