/* python.feed and python.collect: where a Session takes items from and puts them, without a call
 * for each; and the queues of a two-way session.
 *
 *     feed(node, [..])        read in place            collect(node, [])      appended
 *     feed(node, iterable)    as a source node         collect(node, f)       f(item)
 *     feed(node, None)        push() ─▶ [queue] ─▶     collect(node, None)    ─▶ [queue] ─▶ pull()
 */
#include "run.h"

#include <string.h>

/* ---- python.feed */

static rm_status feed_sequence(rmpy_runner *p)
{
    PyObject *items = p->object;
    Py_ssize_t length = Py_SIZE(items);
    if (p->next >= length) {
        return RM_DONE;
    }
    PyObject *item = PyList_CheckExact(items) ? PyList_GET_ITEM(items, p->next)
                                              : PyTuple_GET_ITEM(items, p->next);
    p->next++;
    p->items++;
    return rmpy_emit_any(p, Py_NewRef(item));
}

static rm_status feed_queue(rmpy_runner *p)
{
    PyObject *item = rmpy_ring_pop(&p->queue);
    if (!item) {
        return p->ended ? RM_DONE : RM_EAGAIN;
    }
    p->session->room_event |= p->queue.length == RMPY_QUEUE_MAX - 1;
    p->items++;
    return rmpy_emit_any(p, item);
}

/* An item of an iterable is about to go out, unless it did so before the checkpoint that the run
 * goes on from. */
static rm_status count_given(rmpy_runner *p, rm_status status)
{
    if (p->skip == 0 || status != RM_OK) {
        p->next++;
        return status;
    }
    p->skip--;
    rm_node_ready(p->node);
    return RM_EAGAIN; /* what the call emitted is let go */
}

static rm_status feed_process(rm_node *node, const rm_inputs *Py_UNUSED(inputs), rm_error *err)
{
    rmpy_runner *p = rmpy_runner_of(node);
    if (rmpy_slice_over(p)) {
        return RM_EAGAIN;
    }
    p->emit_room = RM_EMIT_MAX;
    rm_status status;
    if (p->out.length) {
        status = rmpy_emit_any(p, rmpy_ring_pop(&p->out));
    } else if (p->queued) {
        status = feed_queue(p);
    } else {
        status = p->object ? feed_sequence(p) : rmpy_source_step(p);
    }
    if (!p->object && !p->queued && p->emit_room < RM_EMIT_MAX) {
        status = count_given(p, status);
    }
    return rmpy_answer(p, status, err);
}

static const rm_port feed_outputs[] = {
    {.name = "output", .summary = "the items", .emit_max = RM_EMIT_MAX}, {0}};

const rm_node_type rmpy_feed_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "python.feed",
    .summary = "Items that the Python program gives a session",
    .flags = RM_NODE_PYTHON,
    .outputs = feed_outputs,
    .open = rmpy_runner_open,
    .process = feed_process,
    .control = rmpy_node_control,
    .cancel = rmpy_node_cancel,
    .close = rmpy_runner_close,
    .checkpoint = rmpy_feed_checkpoint,
    .restore = rmpy_feed_restore,
};

/* ---- python.collect */

static rm_status collect_object(rmpy_runner *p, PyObject *item)
{
    if (PyList_CheckExact(p->object)) {
        return PyList_Append(p->object, item) < 0 ? rmpy_fail(p) : RM_OK;
    }
    rmpy_loop_show(p->session);
    PyObject *answer = PyObject_CallOneArg(p->object, item);
    Py_XDECREF(answer);
    return answer ? RM_OK : rmpy_fail(p);
}

static Py_ssize_t count_put_aside(const rmpy_runner *p)
{
    return p->object ? PyList_GET_SIZE(p->object) : 0;
}

/* No room for one more. Whoever waits for a change may be the one who pulls: then there is some. */
static bool is_full(const rmpy_runner *p)
{
    Py_ssize_t aside = count_put_aside(p);
    bool queue_is_full = p->queue.length >= RMPY_QUEUE_MAX || aside > 0;
    return queue_is_full && (!p->session->change_waits || aside >= RMPY_ASIDE_MAX);
}

static rm_status queue_object(rmpy_runner *p, PyObject *takes_item)
{
    p->session->output_event |= p->queue.length == 0;
    if (p->queue.length < RMPY_QUEUE_MAX && count_put_aside(p) == 0) {
        return rmpy_ring_push(&p->queue, takes_item) < 0 ? rmpy_fail(p) : RM_OK;
    }
    p->object = p->object ? p->object : PyList_New(0);
    int failed = p->object ? PyList_Append(p->object, takes_item) : -1;
    Py_DECREF(takes_item);
    return failed ? rmpy_fail(p) : RM_OK;
}

/* -1 with an exception. */
static int take_from_aside(rmpy_runner *p)
{
    if (count_put_aside(p) == 0) {
        return 0;
    }
    PyObject *first = Py_NewRef(PyList_GET_ITEM(p->object, 0));
    return PyList_SetSlice(p->object, 0, 1, NULL) < 0 ? -1 : rmpy_ring_push(&p->queue, first);
}

void rmpy_collect_forget(rmpy_runner *p)
{
    rmpy_ring_clear(&p->queue);
    if (p->kind == RMPY_COLLECT) {
        Py_CLEAR(p->object);
    }
}

void rmpy_collect_put_aside(rmpy_session *s)
{
    s->change_waits = true;
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        if (p->kind == RMPY_COLLECT && p->queued && p->wants && p->node) {
            p->wants = false;
            rmpy_session_poke(s, p);
        }
    }
}

static rm_status collect_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    rmpy_runner *p = rmpy_runner_of(node);
    if (p->queued && is_full(p)) {
        p->wants = true; /* pull() brings it back */
        return RM_EAGAIN;
    }
    PyObject *item = rmpy_object_of(p, inputs->packet[0]);
    p->items++;
    rm_status status;
    if (!item) {
        status = rmpy_fail(p);
    } else if (p->queued) {
        status = queue_object(p, item);
    } else {
        status = collect_object(p, item);
        Py_DECREF(item);
    }
    return rmpy_answer(p, status, err);
}

static rm_status collect_control(rm_node *node, const rm_control *control, rm_error *err)
{
    rmpy_runner *p = rmpy_runner_of(node);
    if (control->op != RM_CONTROL_INTERRUPT) {
        return RM_OK;
    }
    if (p->queued) {
        rmpy_collect_forget(p);
        return p->next < INT32_MAX ? (rm_status)(p->next + 1) : RM_OK;
    }
    bool shortens = p->session->replays && control->argument > 0 && PyList_CheckExact(p->object) &&
                    PyList_GET_SIZE(p->object) >= control->argument;
    if (shortens &&
        PyList_SetSlice(p->object, (Py_ssize_t)control->argument - 1, PY_SSIZE_T_MAX, NULL) < 0) {
        return rmpy_fail_exception(err);
    }
    return RM_OK;
}

static const rm_port collect_inputs[] = {{.name = "input", .summary = "what to collect"}, {0}};

const rm_node_type rmpy_collect_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "python.collect",
    .summary = "Hands what arrives to the Python program",
    .flags = RM_NODE_PYTHON,
    .inputs = collect_inputs,
    .open = rmpy_runner_open,
    .process = collect_process,
    .control = collect_control,
    .close = rmpy_runner_close,
    .checkpoint = rmpy_collect_checkpoint,
    .restore = rmpy_collect_restore,
};

/* ---- methods of Session */

/* The runner of that id and kind; NULL with an exception. */
static rmpy_runner *find(rmpy_session *s, PyObject *id, rmpy_kind kind)
{
    if (!rmpy_session_usable(s)) {
        return NULL;
    }
    const char *text = PyUnicode_Check(id) ? PyUnicode_AsUTF8(id) : NULL;
    rmpy_runner *p = text ? rmpy_session_find(s, text) : NULL;
    if (!p || p->kind != kind) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_KeyError, "the session has no %s node %R",
                         kind == RMPY_FEED ? "python.feed" : "python.collect", id);
        }
        return NULL;
    }
    return p;
}

PyObject *rmpy_session_feed(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    PyObject *id, *source;
    if (!PyArg_ParseTuple(args, "OO:feed", &id, &source)) {
        return NULL;
    }
    rmpy_runner *p = find(s, id, RMPY_FEED);
    if (!p) {
        return NULL;
    }
    if (s->opened) {
        PyErr_SetString(PyExc_RuntimeError, "feed() comes before open()");
        return NULL;
    }
    Py_CLEAR(p->object);
    Py_CLEAR(p->gen);
    Py_CLEAR(p->agen);
    p->queued = source == Py_None;
    if (PyList_CheckExact(source) || PyTuple_CheckExact(source)) {
        p->object = Py_NewRef(source);
    } else if (!p->queued && rmpy_take_source(p, Py_NewRef(source)) != RM_OK) {
        PyObject *raised = p->raised;
        p->raised = NULL;
        rmpy_exception_raise(raised);
        return NULL;
    }
    p->items = 0;
    p->wants = true; /* it has a source */
    Py_RETURN_NONE;
}

PyObject *rmpy_session_collect(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    PyObject *id, *results;
    if (!PyArg_ParseTuple(args, "OO:collect", &id, &results)) {
        return NULL;
    }
    rmpy_runner *p = find(s, id, RMPY_COLLECT);
    if (!p) {
        return NULL;
    }
    if (results != Py_None && !PyList_CheckExact(results) && !PyCallable_Check(results)) {
        PyErr_Format(PyExc_TypeError, "collect: results is a %s, want a list, a callable or None",
                     Py_TYPE(results)->tp_name);
        return NULL;
    }
    p->queued = results == Py_None;
    Py_XSETREF(p->object, p->queued ? NULL : Py_NewRef(results));
    Py_RETURN_NONE;
}

PyObject *rmpy_session_push(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    rmpy_session *s = (rmpy_session *)self;
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "push() takes 2 arguments (%zd given)", count);
    }
    rmpy_runner *p = find(s, args[0], RMPY_FEED);
    if (!p) {
        return NULL;
    }
    if (rmpy_session_is_over(s) || p->queue.length >= RMPY_QUEUE_MAX) {
        Py_RETURN_FALSE;
    }
    if (!p->queued || p->ended || !p->node) {
        PyErr_Format(PyExc_RuntimeError, "push to '%s': %s", p->id,
                     p->ended     ? "its end was announced"
                     : !p->queued ? "it is fed from elsewhere"
                                  : "the session is not running");
        return NULL;
    }
    if (rmpy_ring_push(&p->queue, Py_NewRef(args[1])) < 0) {
        return NULL;
    }
    p->next++;
    rmpy_session_take_up(s, p);
    Py_RETURN_TRUE;
}

PyObject *rmpy_session_end(PyObject *self, PyObject *id)
{
    rmpy_session *s = (rmpy_session *)self;
    rmpy_runner *p = find(s, id, RMPY_FEED);
    if (!p) {
        return NULL;
    }
    p->ended = true;
    if (p->node && !rmpy_session_is_over(s)) {
        rmpy_session_poke(s, p);
    }
    Py_RETURN_NONE;
}

PyObject *rmpy_session_pull(PyObject *self, PyObject *id)
{
    rmpy_session *s = (rmpy_session *)self;
    rmpy_runner *p = find(s, id, RMPY_COLLECT);
    if (!p) {
        return NULL;
    }
    PyObject *item = rmpy_ring_pop(&p->queue);
    if (!item) {
        return Py_BuildValue("(OO)", Py_False, Py_None);
    }
    p->next++;
    if (take_from_aside(p) < 0) {
        Py_DECREF(item);
        return NULL;
    }
    if (p->wants && p->node && !rmpy_session_is_over(s)) {
        p->wants = false;
        rmpy_session_poke(s, p);
    }
    return Py_BuildValue("(ON)", Py_True, item);
}

PyObject *rmpy_session_count(PyObject *self, PyObject *id)
{
    rmpy_session *s = (rmpy_session *)self;
    const char *text = PyUnicode_Check(id) ? PyUnicode_AsUTF8(id) : NULL;
    const rmpy_runner *p = text ? rmpy_session_find(s, text) : NULL;
    if (!p || p->kind == RMPY_NODE || !p->queued) {
        return PyErr_Occurred() ? NULL
                                : PyErr_Format(PyExc_KeyError, "the session has no queue %R", id);
    }
    return PyLong_FromSsize_t(p->next);
}
