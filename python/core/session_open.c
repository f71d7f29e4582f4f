/* Making a Session of a plan: a runner for each Python node, and the native session behind it.
 */
#include "run.h"

#include <string.h>

_Thread_local rmpy_session *rmpy_opening;

/* ---- making it */

uint32_t rmpy_port_count(const rm_port *list)
{
    uint32_t count = 0;
    while (list && list[count].name && strcmp(list[count].name, RM_DEAD_LETTER_PORT) != 0 &&
           strcmp(list[count].name, RM_FALLBACK_PORT) != 0) {
        count++;
    }
    return count;
}

/* A port that wants audio wants a packet that says so, also where its node is Python. */
static bool takes_objects(const rm_port *port)
{
    static const rm_format_line none = {0};
    rm_formats accepts;
    if (rm_formats_parse(port->formats, &accepts, NULL) != RM_OK) {
        return false;
    }
    bool takes = accepts.count == 0;
    for (uint32_t i = 0; i < accepts.count && !takes; i++) {
        takes = rm_format_accepts(&accepts.alternative[i], RM_KIND_OBJECT, &none) != 0;
    }
    return takes;
}

static bool takes_live_objects(const rm_plan *plan, const rm_plan_edge *edge);

/* What the edges of a native node that passes on what it gets lead to. */
static bool all_take_live_objects(const rm_plan *plan, size_t index)
{
    bool all = true;
    for (size_t e = 0; e < rm_plan_edge_count(plan); e++) {
        rm_plan_edge edge;
        rm_plan_edge_at(plan, e, &edge);
        all &= edge.from_node != index || takes_live_objects(plan, &edge);
    }
    return all;
}

static bool takes_live_objects(const rm_plan *plan, const rm_plan_edge *edge)
{
    rm_plan_node to;
    rm_plan_node_at(plan, edge->to_node, &to);
    uint8_t kind = edge->format ? edge->format->kind : RM_KIND_ANY;
    if (kind != RM_KIND_ANY && kind != RM_KIND_OBJECT) {
        return false;
    }
    if (strcmp(to.type->name, "rm.gather") == 0) { /* of a node and its fallback */
        return all_take_live_objects(plan, edge->to_node);
    }
    return to.type->flags & RM_NODE_PYTHON && takes_objects(&to.type->inputs[edge->to_port]);
}

/* Live objects go where only Python nodes take them and no format was agreed. */
uint32_t rmpy_object_ports(const rm_plan *plan, size_t index)
{
    uint32_t mask = UINT32_MAX;
    for (size_t e = 0; e < rm_plan_edge_count(plan); e++) {
        rm_plan_edge edge;
        rm_plan_edge_at(plan, e, &edge);
        if (edge.from_node == index && !takes_live_objects(plan, &edge)) {
            mask &= ~(1u << edge.from_port);
        }
    }
    return mask;
}

const rm_node_type *rmpy_python_type(const rm_plan_node *node)
{
    bool is_python = node->type->flags & RM_NODE_PYTHON;
    bool falls_back = node->fallback && node->fallback->flags & RM_NODE_PYTHON;
    return is_python ? node->type : falls_back ? node->fallback : NULL;
}

rmpy_runner *rmpy_runner_new(rmpy_session *s, const rm_plan *plan, size_t index)
{
    PyTypeObject *type = s->run->runner;
    rmpy_runner *p = (rmpy_runner *)type->tp_alloc(type, 0);
    rm_plan_node node;
    rm_plan_node_at(plan, index, &node);
    if (!p) {
        return NULL;
    }
    const rm_node_type *code = rmpy_python_type(&node);
    p->session = s;
    p->id = node.id;
    p->kind = code == &rmpy_feed_type      ? RMPY_FEED
              : code == &rmpy_collect_type ? RMPY_COLLECT
                                           : RMPY_NODE;
    p->blocking = p->kind == RMPY_NODE ? ((rmpy_node_type *)code->user)->blocking : -1;
    p->n_in = rmpy_port_count(code->inputs);
    p->n_out = rmpy_port_count(code->outputs);
    p->is_source = p->n_in == 0;
    /* Which item of a batch failed would not be clear to a policy. */
    p->batches = !node.node_json || !strstr(node.node_json, "on_error");
    p->object_ports = rmpy_object_ports(plan, index);
    p->mode = RMPY_INLINE;
    p->steps_max = UINT64_MAX;
    p->context = PyContext_CopyCurrent();
    if (!p->context) {
        Py_CLEAR(p);
    }
    return p;
}

/* A runner of the session's; what a place may refuse is a guest until it has. */
static rmpy_runner *add_runner(rmpy_session *s, size_t index, bool is_guest)
{
    rmpy_runner *p =
        is_guest && rmpy_guests_reserve(s, 1) < 0 ? NULL : rmpy_runner_new(s, s->plan, index);
    if (p && is_guest) {
        p->joins = p->fell_back = true;
        s->guests[s->guest_count++] = p;
    } else if (p) {
        s->runners[s->runner_count++] = p;
    }
    return p;
}

static int make_runner(rmpy_session *s, PyObject *nodes, size_t index)
{
    rm_plan_node node;
    rm_plan_node_at(s->plan, index, &node);
    const rm_node_type *code = rmpy_python_type(&node);
    if (!code) {
        return 0;
    }
    rmpy_runner *p = add_runner(s, index, code != node.type);
    if (!p || p->kind != RMPY_NODE) {
        return p ? 0 : -1;
    }
    PyObject *object = PyMapping_GetItemString(nodes, node.id);
    int failed = !object || rmpy_node_prepare(p, object) < 0;
    Py_XDECREF(object);
    return failed ? -1 : 0;
}

static int make_runners(rmpy_session *s, PyObject *nodes)
{
    size_t count = rm_plan_node_count(s->plan);
    s->runners = PyMem_Calloc(count + 1, sizeof(rmpy_runner *));
    if (!s->runners) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (make_runner(s, nodes, i) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Ticks of 20 µs, 1 ms and 2 ms. */
static void measure_ticks(rmpy_run *run)
{
#if defined(__x86_64__)
    int64_t elapsed_ns = rmpy_now_ns() - run->begin_ns;
    double a_ns =
        elapsed_ns > 100000 ? (double)(rmpy_ticks() - run->begin_ticks) / (double)elapsed_ns : 2.5;
#else
    double a_ns = 1;
#endif
    run->fast_ticks = (uint64_t)(20000 * a_ns);
    run->slow_ticks = (uint64_t)(1000000 * a_ns);
    run->slice_ticks = (uint64_t)(2000000 * a_ns);
}

static void link_session(rmpy_session *s)
{
    s->next = NULL;
    s->previous = s->run->sessions_end;
    *s->previous = s;
    s->run->sessions_end = &s->next;
}

void rmpy_session_unlink(rmpy_session *s)
{
    rmpy_ahead_forget(s);
    if (s->previous) {
        *s->previous = s->next;
        if (s->next) {
            s->next->previous = s->previous;
        } else if (s->generation == s->run->generation) {
            s->run->sessions_end = s->previous;
        }
        s->previous = NULL;
        s->next = NULL;
    }
}

PyObject *rmpy_session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"plan", "nodes", "memory_bytes_max", NULL};
    PyObject *plan, *nodes;
    unsigned long long memory_bytes_max = 0;
    rmpy_state *state = PyType_GetModuleState(type);
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|$K:Session", names, &plan, &nodes,
                                     &memory_bytes_max)) {
        return NULL;
    }
    const rm_plan *native = rmpy_plan_of(state, plan);
    rmpy_session *s = native ? (rmpy_session *)type->tp_alloc(type, 0) : NULL;
    if (!s) {
        return NULL;
    }
    s->state = state;
    s->run = state->run;
    s->wake_fd = s->wake_write_fd = -1;
    s->generation = s->run->generation;
    s->plan_object = Py_NewRef(plan);
    s->plan = native;
    s->memory_bytes_max = memory_bytes_max;
    s->result = RM_MORE;
    s->budget = RMPY_BUDGET_MIN;
    s->suspicion = 1; /* until a source has looked at the clock */
    s->thread = PyThread_get_thread_ident();
    s->errors = PyList_New(0);
    s->leftovers = PyList_New(0);
    s->news = PyList_New(0);
    s->types = PyList_New(0);
    measure_ticks(s->run);
    if (s->run->shut) {
        PyErr_SetString(PyExc_RuntimeError, "the interpreter is about to exit: no new session");
    }
    if (PyErr_Occurred() || make_runners(s, nodes) < 0) {
        Py_DECREF(s);
        return NULL;
    }
    return (PyObject *)s;
}

/* ---- opening */

int rmpy_session_use_loop(rmpy_session *s, PyObject *loop)
{
    if (loop == Py_None) {
        return 0;
    }
    if (rmpy_asyncio_import(s->run) < 0) {
        return -1;
    }
    Py_XSETREF(s->loop, Py_NewRef(loop));
    s->step_method = PyObject_GetAttrString((PyObject *)s, "_step");
    s->woken_method = PyObject_GetAttrString((PyObject *)s, "_woken");
    return s->step_method && s->woken_method ? 0 : -1;
}

static int check_runners(rmpy_session *s)
{
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        bool given = p->kind == RMPY_NODE || p->queued || p->object || p->gen || p->agen;
        if (!given) {
            PyErr_Format(PyExc_RuntimeError, "node '%s': call %s() before open()", p->id,
                         p->kind == RMPY_FEED ? "feed" : "collect");
            return -1;
        }
        if (p->kind == RMPY_NODE && rmpy_node_place(p) < 0) {
            return -1;
        }
    }
    return 0;
}

static int place_guests(rmpy_session *s)
{
    int failed = 0;
    for (size_t i = 0; i < s->guest_count && !failed; i++) {
        failed = rmpy_node_place(s->guests[i]);
    }
    return failed;
}

static PyObject *raise_open_error(rmpy_session *s, const rm_error *error)
{
    PyObject *row = rmpy_session_failure_of(s, error);
    PyObject *exception = row ? PyTuple_GET_ITEM(row, 0) : NULL;
    if (exception) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    Py_XDECREF(row);
    return NULL;
}

/* A feed whose end is in the checkpoint is not opened again. Where no queue of results was left to
 * know how many items it got, it is as many as went out. */
static void note_ended_feeds(rmpy_session *s)
{
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        uint64_t sent = 0;
        if (p->kind == RMPY_FEED && p->queued && !p->node) {
            rm_session_progress(s->native, NULL, &sent);
            p->ended = true;
            p->next = p->next ? p->next : (Py_ssize_t)sent;
        }
    }
}

PyObject *rmpy_session_open(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop",   "checkpoint", "checkpoint_interval_ms",
                            "record", "replay",     NULL};
    rmpy_session *s = (rmpy_session *)self;
    PyObject *loop = Py_None;
    const char *folder = NULL, *record = NULL, *replay = NULL;
    long long interval_ms = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OzLzz:open", names, &loop, &folder,
                                     &interval_ms, &record, &replay) ||
        !rmpy_session_usable(s)) {
        return NULL;
    }
    if (s->opened) {
        PyErr_SetString(PyExc_RuntimeError, "the session was opened already");
        return NULL;
    }
    if ((loop != s->loop && rmpy_session_use_loop(s, loop) < 0) || check_runners(s) < 0 ||
        place_guests(s) < 0) {
        return NULL;
    }
    if ((rm_plan_strand_count(s->plan) > 1 || !s->loop) && rmpy_session_wake_fd(s) < 0) {
        return NULL;
    }
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_CALLER,
                                  .wake = rmpy_session_wake,
                                  .wake_context = s,
                                  .on_event = rmpy_session_on_event,
                                  .event_context = s,
                                  .memory_bytes_max = s->memory_bytes_max,
                                  .events = s->events,
                                  .spans_max = s->spans_max,
                                  .traceparent = s->traceparent[0] ? s->traceparent : NULL,
                                  .read_object = rmpy_read_object,
                                  .pack_object = rmpy_pack_object,
                                  .checkpoint_folder = folder,
                                  .checkpoint_interval_ms = interval_ms,
                                  .record_path = record,
                                  .replay_path = replay,
                                  .unpack_object = rmpy_unpack_object};
    rm_error error = RM_ERROR_INIT;
    rm_status status;
    s->opened = true;
    s->replays = replay != NULL;
    Py_BEGIN_ALLOW_THREADS;
    rmpy_opening = s;
    status = rm_session_open(s->plan, &options, &s->native, &error);
    rmpy_opening = NULL;
    Py_END_ALLOW_THREADS;
    if (status != RM_OK) {
        s->result = RM_EFAIL;
        rmpy_session_remove_reader(s);
        rmpy_session_close_wake_fd(s);
        return raise_open_error(s, &error);
    }
    rmpy_guests_step_in(s);
    if (rm_session_resumed(s->native)) {
        note_ended_feeds(s);
    }
    link_session(s);
    Py_RETURN_NONE;
}

/* ---- what the engine opens and closes */

rm_status rmpy_runner_open(rm_node *node, rm_error *err)
{
    rmpy_session *s = rmpy_opening;
    rmpy_runner *p = s ? rmpy_session_find_guest(s, node->id) : NULL;
    p = s && !p ? rmpy_session_find(s, node->id) : p;
    if (!p) {
        return rm_fail(err, RM_EUNSUPPORTED,
                       s ? "what a change brings does not fall back to Python"
                         : "a Python node runs only in a Session of Python");
    }
    p->node = node;
    node->state = p;
    return RM_OK;
}

void rmpy_runner_close(rm_node *node)
{
    rmpy_runner_of(node)->node = NULL;
}
