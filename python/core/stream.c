/* The input of a node that is one generator for the whole stream (is_streaming).
 *
 *     async for item in stream:     the awaitable of each step completes at once where an item is
 *                                   there; else it yields a mark, the generator stays as it is, and
 *                                   the node waits for its next input
 *
 * Where another task waits for the input (wait_for() before 3.12, a task of the node's own), the
 * mark would reach that task: there the awaitable waits for a future as any other does.
 *
 * The generator may give output by itself, after a timeout for instance: RM_NODE_UNPROMPTED.
 */
#include "run.h"

typedef struct stream {
    PyObject_HEAD rmpy_runner *p;
} stream;

/* ---- the awaitable */

static bool waits_within_its_task(rmpy_runner *p)
{
    if (!p->inside) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030C0000
    /* An eager task runs within our step. */
    PyObject *task = rmpy_current_task(p->session);
    bool own = task == p->task;
    Py_XDECREF(task);
    return own;
#else
    return true;
#endif
}

/* A future that the next input completes; the engine shall bring that input. */
static PySendResult wait_as_others_do(rmpy_runner *p, PyObject **ret_value)
{
    PyObject *future = PyObject_CallMethod(p->session->loop, "create_future", NULL);
    if (!future || PyObject_SetAttr(future, p->session->run->str_future_blocking, Py_True) < 0) {
        Py_XDECREF(future);
        return PYGEN_ERROR;
    }
    Py_XSETREF(p->stream_waiter, Py_NewRef(future));
    if (p->engine_waits) {
        p->engine_waits = p->taken = false;
        p->emit_room = 0;
        rm_node_complete(p->node, RM_OK, NULL);
        rmpy_session_schedule(p->session);
    }
    *ret_value = future;
    return PYGEN_NEXT;
}

static PySendResult stream_send(PyObject *self, PyObject *Py_UNUSED(value), PyObject **ret_value)
{
    rmpy_runner *p = ((stream *)self)->p;
    if (p->item) {
        *ret_value = p->item;
        p->item = NULL;
        return PYGEN_RETURN;
    }
    if (p->ended || !p->session) {
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return PYGEN_ERROR;
    }
    if (waits_within_its_task(p)) {
        *ret_value = Py_NewRef(p->session->run->need_input);
        return PYGEN_NEXT;
    }
    return wait_as_others_do(p, ret_value);
}

static PyObject *stream_next(PyObject *self)
{
    PyObject *value = NULL;
    PySendResult sent = stream_send(self, Py_None, &value);
    if (sent == PYGEN_RETURN) {
        /* A tuple as the argument would be taken apart. */
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
        if (stop) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        Py_CLEAR(value);
    }
    return sent == PYGEN_NEXT ? value : NULL;
}

/* ---- driving the generator */

static void wake_waiter(rmpy_runner *p)
{
    PyObject *waiter = p->stream_waiter;
    p->stream_waiter = NULL;
    PyObject *done = waiter ? PyObject_CallMethodNoArgs(waiter, p->session->run->str_done) : NULL;
    if (done == Py_False) {
        PyObject *answer =
            PyObject_CallMethodOneArg(waiter, p->session->run->str_set_result, Py_None);
        Py_XDECREF(answer);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(waiter);
    }
    Py_XDECREF(done);
    Py_XDECREF(waiter);
}

static rm_status start(rmpy_runner *p)
{
    if (!p->stream) {
        stream *made = PyObject_GC_New(stream, p->session->run->stream);
        if (!made) {
            return rmpy_fail(p);
        }
        made->p = (rmpy_runner *)Py_NewRef((PyObject *)p);
        PyObject_GC_Track(made);
        p->stream = (PyObject *)made;
    }
    PyObject *generator = PyObject_CallOneArg(p->process, p->stream);
    if (!generator) {
        return rmpy_fail(p);
    }
    const PyAsyncMethods *async = Py_TYPE(generator)->tp_as_async;
    if (!async || !async->am_anext) {
        PyErr_Format(PyExc_TypeError,
                     "node '%s' is_streaming, so its process(stream) is called once: it gave a %s, "
                     "want an async generator",
                     p->id, Py_TYPE(generator)->tp_name);
        Py_DECREF(generator);
        return rmpy_fail(p);
    }
    p->agen = generator;
    return RM_OK;
}

static rm_status drain(rmpy_runner *p)
{
    rm_status status = RM_OK;
    while (p->out.length && status == RM_OK) {
        if (p->emit_room < p->n_out) {
            return RM_MORE;
        }
        status = rmpy_emit(p, rmpy_ring_pop(&p->out));
    }
    return status == RM_EAGAIN && p->emit_room < RM_EMIT_MAX ? RM_MORE : rmpy_unsent(p, status);
}

static rm_status outcome(rmpy_runner *p)
{
    if (p->emit_room < RM_EMIT_MAX) {
        return RM_MORE; /* an error would take along what was given before */
    }
    rm_status status = p->outcome;
    p->outcome = RM_OK;
    return status;
}

/* Goes on as far as the items that are there allow. */
static rm_status advance(rmpy_runner *p)
{
    if (p->stream_waiter && (p->item || p->ended)) {
        wake_waiter(p);
    }
    if (p->on_task) { /* it waits for something else */
        return RM_PENDING;
    }
    if (!p->agen) {
        rm_status status = start(p);
        if (status != RM_OK) {
            return status;
        }
    }
    p->wants_input = false;
    return rmpy_task_run(p);
}

rm_status rmpy_stream_process(rmpy_runner *p, PyObject *takes_item)
{
    if (takes_item && !p->taken) {
        p->taken = true;
        p->items++;
        p->steps = 0;
        Py_XSETREF(p->item, takes_item);
    } else {
        Py_XDECREF(takes_item);
    }
    rm_status status = drain(p);
    if (status != RM_OK) {
        return status;
    }
    if (p->session->replays && p->emit_room < RM_EMIT_MAX) {
        return RM_MORE;
    }
    if (p->outcome) {
        return outcome(p);
    }
    /* Without an item it is called for what it gave by itself, or because its time was up. */
    bool idle = !p->item && (p->on_task || p->wants_input || !p->agen);
    status = idle ? RM_OK : advance(p);
    /* It waits for something that waits for the next input. */
    return status == RM_PENDING && p->stream_waiter && !p->item ? RM_OK : status;
}

rm_status rmpy_stream_flush(rmpy_runner *p)
{
    rm_status status = drain(p);
    if (status != RM_OK) {
        return status;
    }
    if (p->outcome || (p->ended && !p->agen)) {
        status = outcome(p);
        return status == RM_DONE ? RM_OK : status;
    }
    p->ended = true;
    status = advance(p);
    if (status == RM_OK && p->agen) {
        return RM_MORE;
    }
    return status == RM_DONE ? RM_OK : status;
}

/* ---- the type */

static int stream_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((stream *)self)->p);
    return 0;
}

static int stream_clear(PyObject *self)
{
    rmpy_runner *p = ((stream *)self)->p;
    (void)p; /* the runner lets go of us */
    return 0;
}

static void stream_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((stream *)self)->p);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyObject *stream_repr(PyObject *self)
{
    const rmpy_runner *p = ((stream *)self)->p;
    return PyUnicode_FromFormat("<input of %R>", p);
}

static PyType_Slot stream_slots[] = {
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_traverse, stream_traverse},
    {Py_tp_clear, stream_clear},
    {Py_tp_repr, stream_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, stream_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, PyObject_SelfIter},
    {Py_am_send, stream_send},
    {0, NULL},
};

PyType_Spec rmpy_stream_spec = {
    .name = "remotemedia._core.Stream",
    .basicsize = sizeof(stream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = stream_slots,
};
