/* Nodes that come into a session that runs, and those that leave it.
 *
 *     plan_change() ─▶ add_nodes()    a guest for each new Python node: initialize() is called
 *                   ─▶ change()       not now: again after some slices
 *                                     made: the guests run, those that are out are guests
 *                   ─▶ cleanup() ─▶ drop()
 *
 * Of a node that leaves the engine calls flush(): what was put aside for it is worked on first,
 * then its own flush() gives what it holds back, or its heir gets its state.
 */
#include "run.h"

#include <string.h>

#include <remotemedia/change.h>

rmpy_runner *rmpy_session_find_guest(rmpy_session *s, const char *id)
{
    for (size_t i = 0; i < s->guest_count; i++) {
        if (s->guests[i]->joins && strcmp(s->guests[i]->id, id) == 0) {
            return s->guests[i];
        }
    }
    return NULL;
}

rmpy_runner *rmpy_session_runner(rmpy_session *s, PyObject *which)
{
    if (Py_IS_TYPE(which, s->run->runner) && ((rmpy_runner *)which)->session == s) {
        return (rmpy_runner *)which;
    }
    const char *id = PyUnicode_Check(which) ? PyUnicode_AsUTF8(which) : NULL;
    rmpy_runner *p = id ? rmpy_session_find(s, id) : NULL;
    if (!p && !PyErr_Occurred()) {
        PyErr_Format(PyExc_RuntimeError, "%R is no Python node of this session", which);
    }
    return p;
}

int rmpy_guests_reserve(rmpy_session *s, size_t count)
{
    if (s->guest_count + count <= s->guest_capacity) {
        return 0;
    }
    size_t capacity = 2 * (s->guest_count + count);
    rmpy_runner **grown = PyMem_Realloc(s->guests, capacity * sizeof(rmpy_runner *));
    if (!grown) {
        PyErr_NoMemory();
        return -1;
    }
    s->guests = grown;
    s->guest_capacity = capacity;
    return 0;
}

/* ---- coming */

/* The plan may be gone before the runner is. */
static int own_the_id(rmpy_runner *p)
{
    size_t bytes = strlen(p->id) + 1;
    p->own_id = PyMem_Malloc(bytes);
    if (!p->own_id) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(p->own_id, p->id, bytes);
    p->id = p->own_id;
    return 0;
}

/* -1 with an exception. The object has to be given. */
static int add_node(rmpy_session *s, const rm_plan *plan, size_t index, PyObject *nodes,
                    PyObject *heirs)
{
    rm_plan_node node;
    rm_plan_node_at(plan, index, &node);
    PyObject *object = PyMapping_GetItemString(nodes, node.id);
    PyObject *id = object ? PyUnicode_FromString(node.id) : NULL;
    int inherits = id ? PySequence_Contains(heirs, id) : -1;
    rmpy_runner *p =
        inherits >= 0 && rmpy_guests_reserve(s, 1) == 0 ? rmpy_runner_new(s, plan, index) : NULL;
    Py_XDECREF(id);
    int failed = -1;
    if (p) {
        s->guests[s->guest_count++] = p;
        p->joins = true;
        p->inherits = inherits;
        failed = own_the_id(p);
        failed = failed || rmpy_node_prepare(p, object) < 0 || rmpy_node_place(p) < 0 ? -1 : 0;
    }
    Py_XDECREF(object);
    return failed;
}

/* {id: runner} of those that join. */
static PyObject *joining(const rmpy_session *s)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < s->guest_count; i++) {
        rmpy_runner *p = s->guests[i];
        if (p->joins && PyDict_SetItemString(dict, p->id, (PyObject *)p) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

PyObject *rmpy_session_add_nodes(PyObject *self, PyObject *args)
{
    rmpy_session *s = (rmpy_session *)self;
    const rm_plan *plan = NULL;
    PyObject *nodes, *heirs;
    if (!PyArg_ParseTuple(args, "OO:add_nodes", &nodes, &heirs) || !rmpy_session_usable(s)) {
        return NULL;
    }
    if (!s->change || rm_change_plan(s->change, &plan, NULL) != RM_OK) {
        PyErr_SetString(PyExc_RuntimeError, "add_nodes: no change was planned");
        return NULL;
    }
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        bool is_ours = node.type->flags & RM_NODE_PYTHON && rm_change_is_new(s->change, i);
        if (is_ours && add_node(s, plan, i, nodes, heirs) < 0) {
            return NULL;
        }
    }
    return joining(s);
}

/* ---- leaving */

rm_status rmpy_flush_to_leave(rmpy_runner *p, rm_status (*step)(rmpy_runner *p))
{
    bool is_tried = p->session->committing;
    if (p->outcome && rmpy_flushes_to_leave(p) && !is_tried) {
        return RM_OK; /* the next try is told */
    }
    p->flushed_to_leave = true;
    rm_status status = step(p);
    bool is_own = rmpy_flushes_to_leave(p);
    if (status >= 0 || is_own == is_tried) {
        return status;
    }
    p->outcome = status;
    return is_own ? RM_OK : RM_EAGAIN;
}

rm_status rmpy_hand_state_over(rmpy_runner *p)
{
    p->flush_called = true;
    PyObject *save = PyObject_GetAttrString(p->object, "save");
    PyObject *load = save ? PyObject_GetAttrString(p->heir->object, "load") : NULL;
    PyObject *state = load ? rmpy_call_sync(p, save, NULL) : NULL;
    PyObject *answer = state ? rmpy_call_sync(p->heir, load, state) : NULL;
    if (answer && rmpy_is_awaitable(answer)) {
        PyErr_Format(PyExc_TypeError, "node '%s': save() and load() are plain methods", p->id);
        Py_CLEAR(answer);
    }
    rm_status status = answer ? RM_OK : rmpy_fail(p);
    Py_XDECREF(answer);
    Py_XDECREF(state);
    Py_XDECREF(load);
    Py_XDECREF(save);
    return status;
}

void rmpy_guests_exchange(rmpy_session *s, rmpy_runner **takes_runners)
{
    rmpy_runner **before = s->runners;
    size_t count = 0, left = 0, guests = s->guest_count;
    for (size_t i = 0; i < guests; i++) {
        rmpy_runner *p = s->guests[i];
        if (p->joins) {
            p->joins = p->inherits = false;
            takes_runners[count++] = p;
        } else {
            s->guests[left++] = p;
        }
    }
    for (size_t i = 0; i < s->runner_count; i++) {
        if (before[i]->leaves) {
            before[i]->leaves = false;
            before[i]->heir = NULL;
            before[i]->inputs = NULL; /* the node's, which goes */
            s->guests[left++] = before[i];
        } else {
            takes_runners[count++] = before[i];
        }
    }
    s->guest_count = left;
    s->runners = takes_runners;
    s->runner_count = count;
    PyMem_Free(before);
}

static bool is_under_way(const rmpy_runner *p)
{
    return p->job || p->on_task || p->coro || p->agen || p->gen || p->handed || p->outcome ||
           p->out.length || p->queue.length;
}

void rmpy_guests_stay(rmpy_session *s)
{
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        p->leaves = false;
        p->heir = NULL;
        if (!p->flushed_to_leave) {
            continue;
        }
        if (rmpy_flushes_to_leave(p)) { /* the change is given up for this, or for something else */
            p->outcome = RM_OK;
            Py_CLEAR(p->raised);
        }
        /* Once what is under way has come to its end, or now. */
        p->renews = p->is_streaming ? p->ended && p->agen : is_under_way(p);
        p->ended &= p->renews;
        p->flush_called &= p->renews && !p->is_streaming;
        p->flushed_to_leave = p->is_streaming && p->renews;
    }
}

static void let_go(rmpy_session *s, rmpy_runner *p)
{
    rmpy_runner **at = &s->deferred;
    while (*at && *at != p) {
        at = &(*at)->next_deferred;
    }
    if (*at) {
        *at = p->next_deferred;
    }
    rmpy_worker_release(p);
    p->session = NULL;
    p->joins = false;
    Py_DECREF(p);
}

void rmpy_guests_step_in(rmpy_session *s)
{
    for (size_t i = 0; i < s->guest_count; i++) {
        rmpy_runner *p = s->guests[i];
        if (p->node) {
            p->joins = false;
            s->waits_to_start = true;
            s->runners[s->runner_count++] = p;
        } else {
            let_go(s, p);
        }
    }
    s->guest_count = 0;
}

PyObject *rmpy_session_fell_back(PyObject *self, PyObject *Py_UNUSED(none))
{
    const rmpy_session *s = (rmpy_session *)self;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < s->runner_count; i++) {
        PyObject *id = s->runners[i]->fell_back ? PyUnicode_FromString(s->runners[i]->id) : NULL;
        if (PyErr_Occurred() || (id && PyList_Append(list, id) < 0)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(id);
    }
    return list;
}

void rmpy_guests_clear(rmpy_session *s)
{
    while (s->guest_count) {
        let_go(s, s->guests[--s->guest_count]);
    }
}

PyObject *rmpy_session_drop(PyObject *self, PyObject *runner)
{
    rmpy_session *s = (rmpy_session *)self;
    for (size_t i = 0; i < s->guest_count; i++) {
        rmpy_runner *p = s->guests[i];
        if ((PyObject *)p == runner) {
            if (p->node || p->job || p->in_call) {
                return PyErr_Format(PyExc_RuntimeError, "node '%s' is still at work", p->id);
            }
            s->guests[i] = s->guests[--s->guest_count];
            let_go(s, p);
            Py_RETURN_NONE;
        }
    }
    return PyErr_Format(PyExc_RuntimeError, "drop: %R is not out", runner);
}
