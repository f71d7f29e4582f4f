/* Interrupts (barge-in), and other controls of a node whose code is Python.
 *
 *     Session.interrupt() ─▶ at once     the queues of push() and pull() are emptied
 *                         ─▶ the engine  in its next step: edges, epochs, nodes; the loop's thread
 *                                        makes that step itself, and wakes who was cancelled
 *
 *     control(INTERRUPT) ─▶ forget      what is unsent, put aside, or at work; that is cancelled,
 *                                       or stopped after the call that runs
 *                        ─▶ reset       a generator that is left over ends, then interrupt() of the
 *                                       node: as a call of the node's own, after the work at hand
 *                                       and before the next item
 */
#include "run.h"

#include <string.h>

/* How far it has come with the item at hand; 0: it has none, or has not begun. What a stream does
 * is of no one item. */
static uint32_t steps_of(const rmpy_runner *p)
{
    bool has_item =
        p->kind == RMPY_NODE && !p->is_source && !p->in_reset && (p->taken || p->job || p->on_task);
    return has_item && p->steps < INT32_MAX ? (uint32_t)p->steps : 0;
}

/* What is unsent goes; a source goes on with its next item. */
static void forget(rmpy_runner *p)
{
    p->steps_max = UINT64_MAX;
    rmpy_ring_clear(&p->out);
    p->taken = false;
    if (p->kind == RMPY_FEED) {
        return; /* what is in its queue by now was pushed after the interrupt */
    }
    rmpy_ring_clear(&p->queue);
    if (p->is_source) {
        return;
    }
    Py_CLEAR(p->item);
    Py_CLEAR(p->handed);
    p->flush_wanted = false;
    p->discard = p->job || p->on_task;
    if (p->job) {
        p->stop = true;
        return; /* the worker has the rest in its hands */
    }
    Py_CLEAR(p->gen);
    if (p->on_task) {
        if (!p->engine_waits) {
            rmpy_task_cancel(p);
        }
        return;
    }
    p->outcome = RM_OK;
}

/* ---- interrupt() of the node */

rm_status rmpy_reset_over(rmpy_runner *p)
{
    p->in_reset = p->abandons = false;
    return RM_MORE; /* the engine may hold an input by now */
}

rm_status rmpy_reset_result(rmpy_runner *p, PyObject *takes_result)
{
    if (!takes_result) {
        p->in_reset = false;
        return rmpy_fail(p);
    }
    if (rmpy_is_awaitable(takes_result)) {
        p->coro = rmpy_await_iterator(takes_result);
        if (!p->coro) {
            p->in_reset = false;
            return rmpy_fail(p);
        }
        return rmpy_task_run(p);
    }
    Py_DECREF(takes_result);
    return rmpy_reset_over(p);
}

void rmpy_reset_work(rmpy_runner *p)
{
    PyObject *result = rmpy_call_sync(p, p->interrupt, NULL);
    if (result && rmpy_is_awaitable(result)) {
        Py_CLEAR(result);
        PyErr_Format(PyExc_TypeError,
                     "node '%s': interrupt() gave a coroutine; make it `async def`", p->id);
    }
    if (!result) {
        p->outcome = rmpy_fail(p);
    }
    Py_XDECREF(result);
}

rm_status rmpy_reset(rmpy_runner *p)
{
    if (p->job || p->on_task) {
        return RM_EAGAIN; /* it is told when that has ended */
    }
    if (p->agen && !p->is_source) {
        p->in_reset = true;
        rm_status status = rmpy_task_end_generator(p);
        if (status != RM_OK) {
            return status;
        }
        (void)rmpy_reset_over(p); /* it waits for its next input all the same: so be it */
    }
    p->reset_wanted = false;
    if (!p->interrupt) {
        return RM_OK;
    }
    p->in_reset = true;
    bool is_async = rmpy_is_async(p->interrupt);
    if (!is_async && rmpy_on_thread(p)) {
        if (rmpy_worker_submit(p) < 0) {
            p->in_reset = false;
            return rmpy_fail(p);
        }
        return p->is_source ? RM_EAGAIN : RM_PENDING;
    }
    rm_status status = is_async || p->mode == RMPY_ASYNC ? rmpy_task_start(p, p->interrupt, NULL)
                                                         : rmpy_call_inline(p, p->interrupt, NULL);
    return status == RM_MORE && p->is_source ? RM_OK : status;
}

/* ---- what the engine tells */

int rmpy_give_params(rmpy_runner *p, PyObject *params)
{
    PyObject *none = PyTuple_New(0), *set = PyObject_GetAttrString(p->object, "set_params");
    PyObject *answer = none && set ? PyObject_Call(set, none, params) : NULL;
    if (answer && rmpy_is_awaitable(answer)) {
        Py_XDECREF(PyObject_CallMethod(answer, "close", NULL)); /* else Python warns of it */
        PyErr_Format(PyExc_TypeError, "node '%s': set_params() is a plain method", p->id);
        Py_CLEAR(answer);
    }
    int result = answer ? 0 : -1;
    Py_XDECREF(answer);
    Py_XDECREF(set);
    Py_XDECREF(none);
    return result;
}

/* A live parameter has changed: set_params(**params) of the node where it has one, else its
 * attributes.
 */
static int set_params(rmpy_runner *p)
{
    PyObject *params = p->session->new_params, *key, *value;
    Py_ssize_t position = 0;
    if (!params) {
        return 0;
    }
    if (PyObject_HasAttrString(p->object, "set_params")) {
        return rmpy_give_params(p, params);
    }
    /* Of what a stand-in stands for. */
    PyObject *own = PyObject_GetAttrString(p->object, "_set_attribute");
    PyErr_Clear();
    int failed = 0;
    while (!failed && PyDict_Next(params, &position, &key, &value)) {
        PyObject *answer = own ? PyObject_CallFunctionObjArgs(own, key, value, NULL) : NULL;
        failed = own ? !answer : PyObject_SetAttr(p->object, key, value) < 0;
        Py_XDECREF(answer);
    }
    Py_XDECREF(own);
    return failed ? -1 : 0;
}

static int tell_overrun(rmpy_runner *p)
{
    rmpy_loop_show(p->session);
    PyObject *answer = p->overrun ? PyObject_CallNoArgs(p->overrun) : Py_NewRef(Py_None);
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

rm_status rmpy_node_control(rm_node *node, const rm_control *control, rm_error *err)
{
    rmpy_runner *p = rmpy_runner_of(node);
    uint32_t steps = 0;
    if (control->op == RM_CONTROL_CATCH_UP) {
        p->steps_max = (uint64_t)control->argument;
        return steps_of(p) < p->steps_max ? RM_MORE : RM_OK;
    }
    if (control->op == RM_CONTROL_INTERRUPT) {
        steps = steps_of(p);
        forget(p);
        p->reset_wanted = p->interrupt || (p->agen && !p->is_source);
        if (p->reset_wanted) {
            rm_node_ready(node); /* not first with the next item, which may take its time */
        }
    }
    bool failed = (control->op == RM_CONTROL_PARAMS && set_params(p) < 0) ||
                  (control->op == RM_CONTROL_OVERRUN && tell_overrun(p) < 0);
    if (failed) {
        rm_status status = rmpy_fail(p);
        if (p->error) {
            *err = *p->error;
        }
        return status;
    }
    return (rm_status)steps;
}

/* ---- Session.interrupt(), from any thread */

/* A mark for each node from `id` on downstream. */
static void mark_downstream(const rm_plan *plan, const char *id, bool *marks)
{
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        marks[i] |= strcmp(node.id, id) == 0;
        for (size_t e = 0; marks[i] && e < rm_plan_edge_count(plan); e++) {
            rm_plan_edge edge;
            rm_plan_edge_at(plan, e, &edge);
            if (edge.from_node == i) {
                marks[edge.to_node] = true; /* nodes are in rank order: it comes later */
            }
        }
    }
}

static void empty_queue(rmpy_session *s, rmpy_runner *p)
{
    if (p->kind != RMPY_NODE && p->queued) {
        s->room_event |= p->kind == RMPY_FEED;
        rmpy_collect_forget(p);
    }
}

static int empty_queues_downstream(rmpy_session *s, const char *id)
{
    bool *marks = PyMem_Calloc(rm_plan_node_count(s->plan) + 1, sizeof *marks);
    if (!marks) {
        PyErr_NoMemory();
        return -1;
    }
    mark_downstream(s->plan, id, marks);
    for (size_t i = 0; i < rm_plan_node_count(s->plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(s->plan, i, &node);
        rmpy_runner *p = marks[i] ? rmpy_session_find(s, node.id) : NULL;
        if (p) {
            empty_queue(s, p);
        }
    }
    PyMem_Free(marks);
    return 0;
}

/* The program shall not pull what is old, nor lose what it pushes next, until the engine has had
 * its turn. -1 with an exception. */
static int empty_queues(rmpy_session *s, const char *id)
{
    for (size_t i = 0; !id && i < s->runner_count; i++) {
        empty_queue(s, s->runners[i]);
    }
    return id ? empty_queues_downstream(s, id) : 0;
}

PyObject *rmpy_session_interrupt(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    const char *id = NULL;
    bool named = PyTuple_GET_SIZE(args) > 0;
    if ((named && !PyArg_ParseTuple(args, "|z:interrupt", &id)) || !rmpy_session_usable(s)) {
        return NULL;
    }
    if (!s->native || rmpy_session_is_over(s)) {
        Py_RETURN_NONE;
    }
    if (rmpy_session_is_idle_here(s)) {
        atomic_store(&s->no_wake, true);
    }
    rm_status status = rm_session_interrupt(s->native, id);
    if (status != RM_OK) {
        rm_error error = RM_ERROR_INIT;
        (void)rm_fail(&error, status, "interrupt: the session has no node '%.80s'", id ? id : "");
        return rmpy_raise(s->state, &error, NULL);
    }
    if (empty_queues(s, id) < 0) {
        return NULL;
    }
    rmpy_session_step_now(s);
    Py_RETURN_NONE;
}
