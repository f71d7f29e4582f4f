/* A node whose code is Python: what the engine calls, sync calls, and what goes out.
 *
 *     process(item) ─▶ None         nothing
 *                      a value      goes out
 *                      generator    its items go out, one bounded batch a call (RM_MORE)
 *                      coroutine, async generator     task.c
 *
 * On a worker's thread only Python code runs (rmpy_node_work); its results wait in `out` until the
 * engine calls the node again, on its own thread.
 */
#include "run.h"

#include <string.h>

enum { HISTORY = 64, HISTORY_FAST = 60, DEMOTIONS_MAX = 6, CALLS_PER_SAMPLE = 32 };

/* ---- failing */

/* What may go well if tried again: the network, or whatever says so by a true `transient`. */
static bool is_transient(PyObject *exception)
{
    if (PyErr_GivenExceptionMatches(exception, PyExc_ConnectionError) ||
        PyErr_GivenExceptionMatches(exception, PyExc_TimeoutError)) {
        return true;
    }
    PyObject *said = PyObject_GetAttrString(exception, "transient");
    int is_true = said ? PyObject_IsTrue(said) : 0;
    Py_XDECREF(said);
    PyErr_Clear();
    return is_true > 0;
}

rm_status rmpy_fail(rmpy_runner *p)
{
    rmpy_session *s = p->session;
    PyObject *raised = rmpy_exception_take();
    if (!raised) {
        PyErr_Format(PyExc_SystemError, "node '%s' failed and raised nothing", p->id);
        raised = rmpy_exception_take();
    }
    bool wanted = s && (p->cancels || s->cancelling) && s->run->cancelled_error &&
                  PyErr_GivenExceptionMatches(raised, s->run->cancelled_error);
    if (wanted) {
        Py_DECREF(raised);
        return p->discard ? RM_ECANCELED /* and nobody asks why */
                          : rm_fail(rmpy_error_of(p), RM_ECANCELED, "the work was cancelled");
    }
    rm_error *error = rmpy_error_of(p);
    rm_status status = rmpy_error_from_exception(error, raised);
    if (status == RM_EFAIL && is_transient(raised)) {
        status = RM_ETRANSIENT;
        if (error) {
            error->status = status;
        }
    }
    if (s && !PyErr_GivenExceptionMatches(raised, PyExc_Exception)) {
        if (!s->raised) {
            s->raised = Py_NewRef(raised);
        }
        rm_session_cancel(s->native);
    }
    rmpy_failure_keep(p, raised);
    return status < 0 ? status : RM_EFAIL;
}

/* ---- where the time goes */

void rmpy_note_time(rmpy_runner *p, rm_tier_time part, uint64_t ticks, uint32_t weight)
{
    if (p->node && p->session) {
        double ns = (double)ticks * weight * 1e6 / (double)p->session->run->slow_ticks;
        rm_node_add_tier_time(p->node, part, (int64_t)ns);
    }
}

/* A packet was made of an object, or an object of a packet. */
static void note_marshal(rmpy_runner *p, uint64_t begin)
{
    if (begin) {
        uint64_t ticks = rmpy_ticks() - begin;
        p->marshal_ticks += ticks;
        rmpy_note_time(p, RM_TIER_MARSHAL, ticks, rmpy_piece_weight(p->conversions));
    }
}

/* ---- what goes out */

static rm_status emit_port(rmpy_runner *p, unsigned port, PyObject *takes_value)
{
    rm_packet *packet = NULL;
    rm_error *error = NULL;
    rm_status status;
    if (p->object_ports >> port & 1) {
        status = rm_packet_new_foreign(p->node, NULL, 0, rmpy_release, takes_value, &packet);
        if (status == RM_OK) {
            packet->header.kind = RM_KIND_OBJECT;
            packet->header.payload_bytes = rmpy_object_bytes(takes_value);
        }
    } else {
        rmpy_packet_maker maker = {.node = p->node};
        error = rmpy_error_of(p);
        uint64_t begin = rmpy_piece_begin(&p->conversions);
        status = rmpy_to_packet(p->session->state, maker, takes_value, &packet, error);
        note_marshal(p, begin);
        if (status == RM_OK) {
            Py_DECREF(takes_value);
        }
    }
    if (status == RM_OK) {
        p->emit_room--;
        return rm_emit(p->node, port, packet);
    }
    if (status == RM_EAGAIN) {
        return rmpy_ring_push_front(&p->out, takes_value) < 0 ? rmpy_fail(p) : status;
    }
    Py_DECREF(takes_value);
    if (PyErr_Occurred()) {
        return rmpy_fail(p);
    }
    error = error ? error : rmpy_error_of(p);
    if (error && error->status >= 0) {
        (void)rm_fail(error, status, "no packet for what process() gave");
    }
    rm_error_wrap(error, "node '%s', output '%s'", p->id, p->node->type->outputs[port].name);
    return status;
}

static int port_of(const rmpy_runner *p, PyObject *name)
{
    const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    for (unsigned i = 0; text && i < p->n_out; i++) {
        if (strcmp(p->node->type->outputs[i].name, text) == 0) {
            return (int)i;
        }
    }
    PyErr_Clear();
    return -1;
}

/* What is left of a dict when memory is used up waits in `out`: beginning with the value of `key`,
 * which emit_port() put there alone. */
static rm_status keep_rest(rmpy_runner *p, PyObject *key, PyObject *values, Py_ssize_t position)
{
    PyObject *value = rmpy_ring_pop(&p->out);
    PyObject *rest = PyDict_New();
    int failed = !rest || PyDict_SetItem(rest, key, value) < 0;
    Py_DECREF(value);
    while (!failed && PyDict_Next(values, &position, &key, &value)) {
        failed = PyDict_SetItem(rest, key, value) < 0;
    }
    if (failed) {
        Py_XDECREF(rest);
        return rmpy_fail(p);
    }
    return rmpy_ring_push_front(&p->out, rest) < 0 ? rmpy_fail(p) : RM_EAGAIN;
}

/* Several outputs: (port, item), which remotemedia.Out is, or a dict of ports and items. */
static rm_status emit_named(rmpy_runner *p, PyObject *takes_values)
{
    if (PyTuple_Check(takes_values) && PyTuple_GET_SIZE(takes_values) == 2) {
        PyObject *pair = takes_values;
        takes_values = Py_BuildValue("{OO}", PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        Py_DECREF(pair);
        if (!takes_values) {
            return rmpy_fail(p);
        }
    }
    PyObject *key, *value;
    Py_ssize_t position = 0;
    rm_status status = RM_OK;
    if (!PyDict_Check(takes_values)) {
        PyErr_Format(
            PyExc_TypeError,
            "node '%s' has %u outputs: process() gave a %s, want Out(port, item) or a dict of "
            "ports and items",
            p->id, p->n_out, Py_TYPE(takes_values)->tp_name);
        status = rmpy_fail(p);
    }
    while (status == RM_OK && PyDict_Next(takes_values, &position, &key, &value)) {
        int port = port_of(p, key);
        if (port < 0) {
            PyErr_Format(PyExc_KeyError, "node '%s' has no output %R", p->id, key);
            status = rmpy_fail(p);
        } else if (value != Py_None) {
            status = emit_port(p, (unsigned)port, Py_NewRef(value));
        }
        if (status == RM_EAGAIN) {
            status = keep_rest(p, key, takes_values, position);
        }
    }
    Py_DECREF(takes_values);
    return status;
}

rm_status rmpy_emit(rmpy_runner *p, PyObject *takes_value)
{
    if (takes_value == Py_None || p->n_out == 0) {
        Py_DECREF(takes_value);
        return RM_OK;
    }
    if (p->emit_room == 0) { /* no call of ours is under way */
        return rmpy_ring_push(&p->out, takes_value) < 0 ? rmpy_fail(p) : RM_OK;
    }
    return p->n_out == 1 ? emit_port(p, 0, takes_value) : emit_named(p, takes_value);
}

/* A call that cannot go on for want of memory first delivers what it has. */
static rm_status again(const rmpy_runner *p)
{
    return p->emit_room < RM_EMIT_MAX ? RM_MORE : RM_EAGAIN;
}

rm_status rmpy_emit_any(rmpy_runner *p, PyObject *takes_value)
{
    rm_status status = emit_port(p, 0, takes_value);
    return status == RM_EAGAIN ? again(p) : status;
}

static bool room_left(const rmpy_runner *p)
{
    if (p->session->replays && p->emit_room < RM_EMIT_MAX) {
        return false;
    }
    return p->emit_room >= (p->n_out > 1 ? p->n_out : 1);
}

static rm_status drain(rmpy_runner *p)
{
    rm_status status = RM_OK;
    while (p->out.length && status == RM_OK) {
        if (!room_left(p)) {
            return RM_MORE;
        }
        status = rmpy_emit(p, rmpy_ring_pop(&p->out));
    }
    return status == RM_EAGAIN ? again(p) : rmpy_unsent(p, status);
}

/* ---- sync calls */

/* A Task of the node runs in its context at times of its own: then sync calls have a copy. */
static PyObject *sync_context(rmpy_runner *p)
{
    if (p->sync_context || p->task) {
        if (!p->sync_context) {
            p->sync_context = PyContext_Copy(p->context);
        }
        return p->sync_context;
    }
    return p->context;
}

/* Past the bound method, which is one call less; and of process() one object less that is looked
 * at. */
static PyObject *call_past_method(const rmpy_runner *p, PyObject *callable, PyObject *argument)
{
    PyObject *self = p->self, *function = p->function;
    if (callable != p->process) {
        bool is_bound = PyMethod_Check(callable);
        self = is_bound ? PyMethod_GET_SELF(callable) : NULL;
        function = is_bound ? PyMethod_GET_FUNCTION(callable) : callable;
    }
    PyObject *arguments[3] = {NULL, self, argument}, **first = arguments + (self ? 1 : 2);
    size_t count = (self != NULL) + (argument != NULL);
    return PyObject_Vectorcall(function, first, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

PyObject *rmpy_call_sync(rmpy_runner *p, PyObject *callable, PyObject *argument)
{
    PyObject *context = sync_context(p);
    if (!context || PyContext_Enter(context) < 0) {
        return NULL;
    }
    PyObject *result = call_past_method(p, callable, argument);
    if (result) {
        return PyContext_Exit(context) == 0 ? result : NULL;
    }
    PyObject *raised = rmpy_exception_take();
    (void)PyContext_Exit(context);
    rmpy_exception_raise(raised);
    return NULL;
}

static PyObject *next_sync(rmpy_runner *p)
{
    PyObject *context = sync_context(p);
    if (!context || PyContext_Enter(context) < 0) {
        return NULL;
    }
    PyObject *value = Py_TYPE(p->gen)->tp_iternext(p->gen);
    PyObject *raised = value ? NULL : rmpy_exception_take();
    (void)PyContext_Exit(context);
    if (raised) {
        rmpy_exception_raise(raised);
    }
    return value;
}

/* A call took a millisecond by the clock. Did it wait or work that long, or did only the system let
 * another process run meanwhile? What the thread did since the slice began, less the time that
 * passed before the call, is the least that the call did. */
static bool was_really_slow(const rmpy_runner *p, uint64_t ticks)
{
    const rmpy_session *s = p->session;
    if (p->mode != RMPY_INLINE) {
        return true;
    }
    rmpy_usage now = rmpy_thread_usage();
    if (now.switches != s->slice_usage.switches) {
        return true;
    }
    double before_ns =
        (double)(rmpy_ticks() - ticks - s->slice_begin_ticks) * 1e6 / (double)s->run->slow_ticks;
    return (double)(now.cpu_ns - s->slice_usage.cpu_ns) - before_ns > 500000;
}

/* Where the next call is made, by how long this one took. Each time that a node was too slow here
 * it has to be fast for twice as long elsewhere. */
static void judge(rmpy_runner *p, uint64_t ticks)
{
    const rmpy_run *run = p->session->run;
    if (p->blocking >= 0 || p->mode == RMPY_ASYNC) {
        return;
    }
    p->history = p->history << 1 | (ticks <= run->fast_ticks);
    p->history_length++;
    if (ticks >= run->slow_ticks && p->mode != RMPY_OWN && was_really_slow(p, ticks)) {
        p->demotions += p->mode == RMPY_INLINE && p->demotions < DEMOTIONS_MAX;
        p->mode = RMPY_OWN;
        p->history_length = p->fast_histories = 0;
    } else if (p->history_length >= HISTORY) {
        int fast = __builtin_popcountll(p->history);
        p->fast_histories = fast >= HISTORY_FAST ? p->fast_histories + 1 : 0;
        if (p->mode != RMPY_INLINE && p->fast_histories >> p->demotions) {
            p->mode = RMPY_INLINE;
        } else if (p->mode == RMPY_INLINE && fast < HISTORY / 2 && p->session->loop) {
            p->mode = RMPY_POOL;
        }
        p->history_length = 0;
    }
}

bool rmpy_on_thread(const rmpy_runner *p)
{
    return p->mode == RMPY_POOL || p->mode == RMPY_OWN;
}

/* The work goes to a worker. A source is told by rm_node_ready(), so that an interrupt does not
 * take what it was about to give. */
static rm_status submit(rmpy_runner *p)
{
    if (rmpy_worker_submit(p) < 0) {
        return rmpy_fail(p);
    }
    return p->is_source ? RM_EAGAIN : RM_PENDING;
}

/* Items of a generator, one bounded batch a call. */
static rm_status run_generator(rmpy_runner *p)
{
    if (rmpy_on_thread(p)) {
        return submit(p);
    }
    rmpy_loop_hide(p->session);
    uint64_t begin = rmpy_ticks(), before = begin;
    for (; room_left(p) && p->steps < p->steps_max; before = rmpy_ticks()) {
        p->steps++;
        PyObject *value = next_sync(p);
        uint64_t now = rmpy_ticks(), ticks = now - begin;
        rmpy_note_time(p, RM_TIER_USER, now - before, 1);
        if (!value) {
            Py_CLEAR(p->gen);
            if (PyErr_Occurred()) {
                if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
                    return rmpy_fail_behind(p, rmpy_fail(p));
                }
                PyErr_Clear();
            }
            judge(p, ticks);
            return p->is_source ? RM_DONE : RM_OK;
        }
        rm_status status = rmpy_emit(p, value);
        if (status < 0) {
            Py_CLEAR(p->gen);
            return rmpy_unsent(p, status);
        }
        if (status != RM_OK) {
            return status == RM_EAGAIN ? again(p) : status;
        }
        if (p->is_source) {
            judge(p, ticks);
            return RM_OK;
        }
        if (ticks > p->session->run->slow_ticks) {
            judge(p, ticks);
            break;
        }
    }
    return RM_MORE;
}

rm_status rmpy_take_result(rmpy_runner *p, PyObject *takes_result)
{
    if (p->in_reset) {
        return rmpy_reset_result(p, takes_result);
    }
    if (!takes_result) {
        return rmpy_fail(p);
    }
    if (!Py_TYPE(takes_result)->tp_as_async) {
        rm_status status = rmpy_emit(p, takes_result);
        return status == RM_EAGAIN ? again(p) : status;
    }
    if (PyGen_CheckExact(takes_result)) {
        p->gen = takes_result;
        return run_generator(p);
    }
    if (PyAsyncGen_CheckExact(takes_result)) {
        p->agen = takes_result;
    } else if (rmpy_is_awaitable(takes_result)) {
        p->coro = rmpy_await_iterator(takes_result);
        if (!p->coro) {
            return rmpy_fail(p);
        }
    } else {
        rm_status status = rmpy_emit(p, takes_result);
        return status == RM_EAGAIN ? again(p) : status;
    }
    if (p->blocking != 1) {
        p->mode = RMPY_ASYNC;
    }
    return rmpy_task_run(p);
}

/* To read the clock costs more than to call a small node: mostly the source's look at it tells when
 * calls take long. Where the author has said where calls are made, they tell of time alone: of fast
 * ones some do. */
static bool is_timed(const rmpy_runner *p)
{
    bool suspicious = p->session->suspicion &&
                      (p->blocking < 0 || !p->was_fast || p->items % RMPY_PIECES_A_SAMPLE == 0);
    return suspicious || p->items % CALLS_PER_SAMPLE == 0;
}

/* Calls process() here, no loop seen. */
static PyObject *call_here(rmpy_runner *p, PyObject *callable, PyObject *argument)
{
    rmpy_session *s = p->session;
    rmpy_loop_hide(s);
    if (!is_timed(p)) {
        p->untimed_calls++;
        return rmpy_call_sync(p, callable, argument);
    }
    uint64_t begin = rmpy_ticks();
    PyObject *result = rmpy_call_sync(p, callable, argument);
    s->clock_ticks = rmpy_ticks();
    judge(p, s->clock_ticks - begin);
    p->was_fast = s->clock_ticks - begin <= s->run->fast_ticks;
    rmpy_note_time(p, RM_TIER_USER, s->clock_ticks - begin, 1 + p->untimed_calls);
    p->untimed_calls = 0;
    return result;
}

rm_status rmpy_call_inline(rmpy_runner *p, PyObject *callable, PyObject *argument)
{
    return rmpy_take_result(p, call_here(p, callable, argument));
}

/* Puts the item aside while more wait; then all of them go to a worker at once. */
static rm_status set_aside(rmpy_runner *p, PyObject *takes_item)
{
    if (rmpy_ring_push(&p->queue, takes_item) < 0) {
        return rmpy_fail(p);
    }
    unsigned most = p->takes_long ? 1 : RMPY_BATCH_MAX;
    if (p->batches && p->queue.length < most && rm_node_has_input(p->node)) {
        return RM_OK;
    }
    return submit(p);
}

/* ---- a worker's thread */

static PyObject *work_next(rmpy_runner *p)
{
    p->steps++;
    if (p->gen) {
        PyObject *value = next_sync(p);
        if (!value) {
            if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
                PyErr_Clear();
            }
            Py_CLEAR(p->gen);
            if (p->is_source && !PyErr_Occurred()) {
                p->outcome = RM_DONE;
            }
        }
        return value;
    }
    if (p->flush_wanted) {
        p->flush_wanted = false;
        return rmpy_call_sync(p, p->flush, NULL);
    }
    PyObject *item = p->is_source ? NULL : rmpy_ring_pop(&p->queue);
    Py_XSETREF(p->at_hand, item);
    return rmpy_call_sync(p, p->process, item);
}

/* Only the loop can run what is async; a generator and a source's iterable stay here. */
static void work_keep(rmpy_runner *p, PyObject *takes_result, bool was_call)
{
    if (was_call && p->is_source) {
        rm_status status = rmpy_take_source(p, takes_result);
        p->outcome = status < 0 ? status : RM_OK;
    } else if (was_call && PyGen_CheckExact(takes_result)) {
        p->gen = takes_result;
    } else if (was_call &&
               (PyAsyncGen_CheckExact(takes_result) || rmpy_is_awaitable(takes_result))) {
        p->handed = takes_result;
    } else if (takes_result == Py_None) {
        Py_DECREF(takes_result);
    } else if (rmpy_ring_push(&p->out, takes_result) < 0) {
        p->outcome = rmpy_fail(p);
    }
}

static bool work_left(const rmpy_runner *p)
{
    return p->steps < p->steps_max &&
           (p->gen || p->queue.length || p->flush_wanted || (p->is_source && !p->agen));
}

void rmpy_node_work(rmpy_runner *p)
{
    if (p->in_reset) {
        rmpy_reset_work(p);
        return;
    }
    uint64_t begin = rmpy_ticks(), before = begin;
    while (!p->stop && !p->outcome && !p->handed && work_left(p) &&
           p->out.length < rmpy_batch_max(p)) {
        bool was_call = !p->gen;
        PyObject *result = work_next(p);
        uint64_t now = rmpy_ticks();
        judge(p, now - before);
        p->takes_long = now - before > p->session->run->slow_ticks;
        rmpy_note_time(p, RM_TIER_USER, now - before, 1);
        if (p->node) {
            rm_node_add_work(p->node, rmpy_ns_since(p->session->run, before), 1);
        }
        before = now;
        if (result) {
            work_keep(p, result, was_call);
        } else if (PyErr_Occurred()) {
            p->outcome = rmpy_fail(p);
        }
        if (!p->gen && !p->handed) {
            Py_CLEAR(p->at_hand);
        }
        if (now - begin > p->session->run->slow_ticks || p->mode == RMPY_INLINE) {
            return; /* what is there already shall not wait for the rest */
        }
    }
}

/* ---- sources */

rm_status rmpy_take_source(rmpy_runner *p, PyObject *takes_iterable)
{
    if (!takes_iterable) {
        return rmpy_fail(p);
    }
    PyAsyncMethods *async = Py_TYPE(takes_iterable)->tp_as_async;
    if (async && async->am_aiter) {
        p->agen = async->am_aiter(takes_iterable);
        if (p->agen &&
            !(Py_TYPE(p->agen)->tp_as_async && Py_TYPE(p->agen)->tp_as_async->am_anext)) {
            Py_CLEAR(p->agen);
            PyErr_Format(PyExc_TypeError, "the iterator of a %s has no __anext__",
                         Py_TYPE(takes_iterable)->tp_name);
        }
    } else {
        p->gen = PyObject_GetIter(takes_iterable);
        if (!p->gen && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError,
                         "node '%s' has no input, so its process() is a source: it gave a %s, want "
                         "an iterable or an async iterable",
                         p->id, Py_TYPE(takes_iterable)->tp_name);
        }
    }
    Py_DECREF(takes_iterable);
    return p->gen || p->agen ? RM_OK : rmpy_fail(p);
}

static rm_status start_source(rmpy_runner *p)
{
    p->items++;
    if (rmpy_on_thread(p)) {
        return submit(p);
    }
    rmpy_loop_hide(p->session);
    PyObject *result = rmpy_call_sync(p, p->process, NULL);
    if (result && PyCoro_CheckExact(result)) {
        p->coro = result; /* its result is the iterable */
        return RM_OK;
    }
    return rmpy_take_source(p, result);
}

rm_status rmpy_source_step(rmpy_runner *p)
{
    if (p->out.length) {
        rm_status status = rmpy_emit(p, rmpy_ring_pop(&p->out));
        return status == RM_EAGAIN ? again(p) : status;
    }
    if (p->outcome) {
        rm_status status = p->outcome;
        p->outcome = RM_OK;
        return status;
    }
    if (p->job || p->on_task) {
        return RM_EAGAIN; /* it is told when something has come */
    }
    if (!p->gen && !p->agen && !p->coro) {
        rm_status status = p->items ? RM_DONE : start_source(p);
        if (status != RM_OK) {
            return status;
        }
    }
    return p->gen ? run_generator(p) : rmpy_task_run(p);
}

/* ---- what the engine calls */

PyObject *rmpy_object_of(rmpy_runner *p, rm_packet *packet)
{
    if (packet->header.kind == RM_KIND_OBJECT) {
        return Py_NewRef((PyObject *)rm_packet_owner(packet));
    }
    uint64_t begin = rmpy_piece_begin(&p->conversions);
    PyObject *object = rmpy_from_packet(p->session->state, packet);
    note_marshal(p, begin);
    return object;
}

PyObject *rmpy_input_object(rmpy_runner *p, const rm_inputs *inputs)
{
    if (p->n_in == 1) {
        return rmpy_object_of(p, inputs->packet[0]);
    }
    PyObject *tuple = PyTuple_New((Py_ssize_t)p->n_in);
    for (unsigned i = 0; tuple && i < p->n_in; i++) {
        PyObject *object =
            inputs->packet[i] ? rmpy_object_of(p, inputs->packet[i]) : Py_NewRef(Py_None);
        if (!object) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, object);
    }
    return tuple;
}

static bool has_work(const rmpy_runner *p)
{
    return p->out.length || p->outcome || p->coro || p->agen || p->gen || p->handed ||
           p->queue.length || p->flush_wanted;
}

static rm_status start_call(rmpy_runner *p, PyObject *callable, PyObject *argument)
{
    p->steps++;
    if (p->mode == RMPY_ASYNC) {
        return rmpy_task_start(p, callable, argument);
    }
    return rmpy_call_inline(p, callable, argument);
}

static rm_status outcome_of(rmpy_runner *p)
{
    if (p->emit_room < RM_EMIT_MAX) {
        return RM_MORE; /* an error would take along what earlier items gave */
    }
    rm_status status = p->outcome;
    p->outcome = RM_OK;
    return status;
}

/* The input that the engine holds was taken: what is left to do for it? */
static rm_status go_on(rmpy_runner *p)
{
    rm_status status = drain(p);
    if (status != RM_OK) {
        return status;
    }
    if (p->session->replays && p->emit_room < RM_EMIT_MAX) {
        return RM_MORE;
    }
    if (p->outcome) {
        return outcome_of(p);
    }
    if (p->coro || p->agen) {
        status = rmpy_task_run(p);
    } else if (p->gen) {
        status = run_generator(p);
    } else if (p->handed) {
        PyObject *handed = p->handed;
        p->handed = NULL;
        status = rmpy_take_result(p, handed);
    } else if (p->queue.length || p->flush_wanted) {
        if (rmpy_on_thread(p)) {
            return submit(p);
        }
        bool flush = p->queue.length == 0;
        p->flush_wanted &= !flush;
        Py_XSETREF(p->at_hand, rmpy_ring_pop(&p->queue));
        status = start_call(p, flush ? p->flush : p->process, p->at_hand);
    }
    return status == RM_OK && has_work(p) ? RM_MORE : status;
}

/* Takes what waits for an async node that wants to know of it ahead, tells it of all of that, and
 * then calls it for one after the other. */
static rm_status look_ahead(rmpy_runner *p, PyObject *takes_item)
{
    if (rmpy_ring_push(&p->queue, takes_item) < 0) {
        return rmpy_fail(p);
    }
    if (p->queue.length < RMPY_BATCH_MAX && rm_node_has_input(p->node)) {
        return RM_OK;
    }
    PyObject *items = p->queue.length > 1 ? PyTuple_New((Py_ssize_t)p->queue.length) : NULL;
    for (unsigned i = 0; items && i < p->queue.length; i++) {
        PyTuple_SET_ITEM(items, (Py_ssize_t)i, Py_NewRef(*rmpy_ring_at(&p->queue, i)));
    }
    PyObject *told = items ? PyObject_CallOneArg(p->ahead, items) : NULL;
    Py_XDECREF(items);
    Py_XDECREF(told);
    return PyErr_Occurred() ? rmpy_fail(p) : go_on(p);
}

/* A checkpoint gave back what was put aside: that comes first. */
static rm_status go_on_behind_what_is_left(rmpy_runner *p, PyObject *takes_item)
{
    return rmpy_ring_push(&p->queue, takes_item) < 0 ? rmpy_fail(p) : go_on(p);
}

static rm_status node_step(rmpy_runner *p, const rm_inputs *inputs)
{
    if (p->taken) {
        return go_on(p);
    }
    if (p->renews) {
        p->renews = p->flush_called = false;
    }
    PyObject *item = rmpy_input_object(p, inputs);
    p->taken = true;
    p->items++;
    p->steps = 0;
    if (!item) {
        return rmpy_fail(p);
    }
    if (rmpy_on_thread(p)) {
        return set_aside(p, item);
    }
    if (p->ahead && p->batches && p->mode == RMPY_ASYNC) {
        return look_ahead(p, item);
    }
    if (p->out.length || p->queue.length) {
        return go_on_behind_what_is_left(p, item);
    }
    p->is_plain = p->n_in == 1;
    rm_status status = start_call(p, p->process, item);
    Py_DECREF(item);
    return status;
}

/* What most calls are: an object comes in, nothing is left of earlier calls, and process() runs
 * here. */
static bool is_plain_call(const rmpy_runner *p, const rm_inputs *inputs)
{
    return p->is_plain && p->mode == RMPY_INLINE && !p->taken && !p->reset_wanted && !p->outcome &&
           inputs->packet[0] && inputs->packet[0]->header.kind == RM_KIND_OBJECT;
}

/* The item stays alive without a reference of ours: the engine holds its packet. */
static rm_status call_plain(rmpy_runner *p, const rm_inputs *inputs)
{
    PyObject *item = rm_packet_owner(inputs->packet[0]);
    p->inputs = inputs;
    p->taken = true;
    p->items++;
    p->steps = 1;
    PyObject *result = call_here(p, p->process, item);
    if (result == item && p->gives_objects && result != Py_None) {
        Py_DECREF(result); /* its packet goes on, there is no need for another */
        return rm_forward(p->node, 0);
    }
    return rmpy_take_result(p, result);
}

/* Where a whole round, from one item of the source to the next, takes no longer than one fast call
 * may, calls are timed only now and then, and of rounds every second one is looked at. */
static void look_at_clock(rmpy_session *s)
{
    uint64_t now = rmpy_ticks();
    if (now - s->round_ticks > s->run->fast_ticks) {
        s->suspicion = HISTORY;
    } else if (s->suspicion) {
        s->suspicion--;
    }
    s->clock_ticks = s->round_ticks = now;
}

/* The slice is over: the node is called again in the next one. */
bool rmpy_slice_over(rmpy_runner *p)
{
    rmpy_session *s = p->session;
    if (p->is_source && (s->suspicion || s->rounds++ % 2)) {
        look_at_clock(s); /* the others go by what was read last */
    }
    if (s->clock_ticks < s->deadline_ticks) {
        return false;
    }
    if (!p->deferred) {
        p->deferred = true;
        p->next_deferred = s->deferred;
        s->deferred = p;
    }
    return true;
}

rm_status rmpy_answer(rmpy_runner *p, rm_status status, rm_error *err)
{
    if (status == RM_OK && !p->at_hand) {
        p->engine_waits = p->taken = false;
        p->emit_room = 0;
        return status;
    }
    p->engine_waits = status == RM_PENDING;
    if (status != RM_PENDING) {
        p->emit_room = 0;
        p->taken &= status == RM_MORE || status == RM_EAGAIN;
        if (!p->taken && !p->job) {
            Py_CLEAR(p->at_hand);
        }
        if (status < 0 && p->error) {
            *err = *p->error;
            p->error->status = RM_OK;
        }
    }
    return status;
}

bool rmpy_any_packet(const rm_inputs *inputs)
{
    bool any = false;
    for (uint32_t i = 0; i < inputs->count && !any; i++) {
        any = inputs->packet[i] != NULL;
    }
    return any;
}

static rm_status process_step(rmpy_runner *p, const rm_inputs *inputs)
{
    if (is_plain_call(p, inputs)) {
        return call_plain(p, inputs);
    }
    p->inputs = inputs;
    if (p->is_source) {
        return rmpy_source_step(p);
    }
    if (!p->is_streaming && !p->taken && p->outcome) { /* of interrupt() on a worker */
        rm_status status = p->outcome;
        p->outcome = RM_OK;
        return status;
    }
    if (!p->is_streaming) {
        return p->taken || rmpy_any_packet(inputs) ? node_step(p, inputs) : RM_OK;
    }
    PyObject *item = inputs->count && inputs->packet[0] ? rmpy_input_object(p, inputs) : NULL;
    bool failed = !item && PyErr_Occurred();
    return failed ? rmpy_fail(p) : rmpy_stream_process(p, item);
}

static rm_status node_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    rmpy_runner *p = rmpy_runner_of(node);
    if (rmpy_slice_over(p)) {
        return RM_EAGAIN;
    }
    p->emit_room = RM_EMIT_MAX;
    rm_status status = p->reset_wanted ? rmpy_reset(p) : RM_OK;
    return rmpy_answer(p, status == RM_OK ? process_step(p, inputs) : status, err);
}

static rm_status first_flush(rmpy_runner *p)
{
    p->flush_called = true;
    if (rmpy_is_async(p->flush) || !rmpy_on_thread(p)) {
        rmpy_mode before = p->mode;
        p->mode = rmpy_is_async(p->flush) ? RMPY_ASYNC : before;
        rm_status status = start_call(p, p->flush, NULL);
        return status;
    }
    p->flush_wanted = true;
    return submit(p);
}

/* Another one takes its place: what it made so far goes out. What it waits for is no item yet. */
static rm_status leave_source(rmpy_runner *p)
{
    if (p->job) {
        p->stop = true; /* after the item that it makes; it tells when that has come */
        return RM_EAGAIN;
    }
    return p->outcome < 0 ? p->outcome : drain(p);
}

static bool is_flush_left(const rmpy_runner *p)
{
    return p->flush && !p->heir && !p->flush_called;
}

/* Of a node that takes item by item. */
static rm_status flush_items(rmpy_runner *p)
{
    rm_status status = has_work(p) ? go_on(p) : is_flush_left(p) ? first_flush(p) : RM_OK;
    return status == RM_OK && (has_work(p) || is_flush_left(p)) ? RM_MORE : status;
}

static rm_status flush_step(rmpy_runner *p)
{
    if (p->is_source) {
        return p->leaves ? leave_source(p) : RM_OK;
    }
    rm_status status = p->is_streaming ? rmpy_stream_flush(p) : flush_items(p);
    if (status == RM_OK && p->heir && !p->flush_called) {
        status = rmpy_hand_state_over(p);
    }
    return status;
}

static bool is_at_rest(const rmpy_runner *p)
{
    return !p->job && !p->on_task && !has_work(p);
}

static rm_status flush_anyhow(rmpy_runner *p)
{
    if (p->renews && !p->is_streaming && is_at_rest(p)) {
        p->renews = p->flush_called = false;
    }
    rm_status status = p->leaves ? rmpy_flush_to_leave(p, flush_step) : flush_step(p);
    if (status < 0 && p->renews) { /* it was for a change that is given up */
        Py_CLEAR(p->raised);
        return RM_OK;
    }
    return status;
}

static rm_status node_flush(rm_node *node, rm_error *err)
{
    rmpy_runner *p = rmpy_runner_of(node);
    if (rmpy_slice_over(p)) {
        return RM_EAGAIN;
    }
    p->emit_room = RM_EMIT_MAX;
    rm_status status = p->reset_wanted ? rmpy_reset(p) : RM_OK;
    return rmpy_answer(p, status == RM_OK ? flush_anyhow(p) : status, err);
}

void rmpy_node_cancel(rm_node *node)
{
    rmpy_runner *p = rmpy_runner_of(node);
    if (p->job) {
        p->stop = true;
    }
    if (p->on_task) {
        rmpy_task_cancel(p);
    }
}

/* Neither needs the GIL: nodes are opened without it. */
void rmpy_node_type_fill(rm_node_type *type)
{
    rm_port *ports = (rm_port *)(uintptr_t)type->outputs;
    for (size_t i = 0; ports && ports[i].name; i++) {
        ports[i].emit_max = RM_EMIT_MAX;
    }
    type->flags |= RM_NODE_UNPROMPTED;
    type->open = rmpy_runner_open;
    type->process = node_process;
    type->flush = node_flush;
    type->control = rmpy_node_control;
    type->cancel = rmpy_node_cancel;
    type->close = rmpy_runner_close;
}
