/* The graph of a session that runs is changed. The words of a change are Python's
 * (remotemedia/change.py); here each goes to its function. guest.c has its nodes. */
#include "run.h"

#include <string.h>

#include <remotemedia/change.h>

/* A word of a change and its texts; NULL: None. */
typedef struct change_word {
    const char *name, *text[3];
    PyObject *params; /* as objects, of the word "params"; else None */
} change_word;

static rm_status apply_word(rm_change *change, const change_word *word, rm_error *err)
{
    const char *const *text = word->text;
    if (strcmp(word->name, "replace") == 0) {
        return rm_change_replace(change, text[0], text[1], err);
    }
    if (strcmp(word->name, "insert") == 0) {
        return rm_change_insert(change, text[0], text[1], text[2], err);
    }
    if (strcmp(word->name, "add") == 0) {
        return rm_change_add(change, text[0], err);
    }
    if (strcmp(word->name, "remove") == 0) {
        return rm_change_remove(change, text[0], err);
    }
    if (strcmp(word->name, "connect") == 0) {
        return rm_change_connect(change, text[0], err);
    }
    if (strcmp(word->name, "disconnect") == 0) {
        return rm_change_disconnect(change, text[0], text[1], err);
    }
    return rm_fail(err, RM_EINVAL, "a change has no word '%.20s'", word->name);
}

static bool is_live_object(const rmpy_session *s, const char *id)
{
    for (size_t i = 0; i < rm_plan_node_count(s->plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(s->plan, i, &node);
        if (strcmp(node.id, id) == 0) {
            return node.node_json && strstr(node.node_json, "\"$python\"");
        }
    }
    return false;
}

/* A live object has no parameters in the plan: those that it was made with are its own. Of another
 * node text[1] has them as JSON; without it text[2] says why there is none. */
static rm_status set_params(rmpy_session *s, rm_change *change, const change_word *word,
                            rm_error *err)
{
    const char *id = word->text[0];
    if (is_live_object(s, id)) {
        return rmpy_settings_add(s, change, id, word->params, err);
    }
    if (word->text[1]) {
        return rm_change_params(change, id, word->text[1], err);
    }
    rm_status status =
        rm_fail(err, RM_EINVAL, "node '%.60s', %s", id, word->text[2] ? word->text[2] : "");
    rm_error_help(err, "it was given by its type: replace it by an object");
    return status;
}

/* NULL with an exception: the change is forgotten. */
static rm_change *begin(rmpy_session *s, PyObject *words)
{
    rm_error error = RM_ERROR_INIT;
    rm_change *change = NULL;
    rm_status status = rm_change_new(s->native, &change, &error);
    for (Py_ssize_t i = 0; status == RM_OK && i < PyList_GET_SIZE(words); i++) {
        change_word word;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(words, i), "szzzO", &word.name, &word.text[0],
                              &word.text[1], &word.text[2], &word.params)) {
            rm_change_free(change);
            rmpy_settings_clear(s);
            return NULL;
        }
        status = strcmp(word.name, "params") == 0 ? set_params(s, change, &word, &error)
                                                  : apply_word(change, &word, &error);
    }
    if (status != RM_OK) {
        rm_change_free(change);
        rmpy_settings_clear(s);
        return (rm_change *)(void *)rmpy_raise(s->state, &error, NULL);
    }
    return change;
}

/* What a node gives goes to others now: as live objects, or as packets. */
static void follow_plan(rmpy_session *s)
{
    s->plan = rm_session_plan(s->native);
    PyMem_Free(s->tries); /* they were by the old plan's numbers */
    s->tries = NULL;
    for (size_t i = 0; i < rm_plan_node_count(s->plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(s->plan, i, &node);
        rmpy_runner *p = rmpy_session_find(s, node.id);
        if (p) {
            p->object_ports = rmpy_object_ports(s->plan, i);
            p->gives_objects = p->kind == RMPY_NODE && p->n_out == 1 && p->object_ports & 1;
        }
    }
}

/* ---- planning */

/* The new plan gets its Python types from the registry: they live as long as the session. */
static rm_status plan_with_types(rmpy_session *s, const rm_plan **ret_plan, rm_error *err)
{
    rmpy_registry *registry = rmpy_plan_registry(s->plan_object);
    if (registry->busy) {
        return rm_fail(err, RM_EFAIL, "another planning is under way");
    }
    registry->busy = 1;
    rm_status status = rm_change_plan(s->change, ret_plan, err);
    registry->busy = 0;
    PyObject *made = registry->made;
    registry->made = NULL;
    Py_CLEAR(registry->raised);
    if (made && PyList_GET_SIZE(made) > 0 && PyList_Append(s->types, made) < 0) {
        PyErr_Clear();
        (void)Py_NewRef(made); /* kept for good, rather than freed while it is pointed to */
    }
    Py_XDECREF(made);
    return status;
}

static bool is_end(const rm_node_type *type)
{
    return type == &rmpy_feed_type || type == &rmpy_collect_type;
}

/* The ends of the session are the program's: they neither come nor go. */
static rm_status check_ends(const rmpy_session *s, const rm_plan *plan, rm_error *err)
{
    size_t before = 0, kept = 0;
    for (size_t i = 0; i < s->runner_count; i++) {
        before += s->runners[i]->kind != RMPY_NODE;
    }
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        kept += is_end(node.type) && !rm_change_is_new(s->change, i);
        if (is_end(node.type) && rm_change_is_new(s->change, i)) {
            before++;
        }
    }
    return kept == before
               ? RM_OK
               : rm_fail(err, RM_EINVAL, "the graph's inputs and outputs stay while it runs");
}

/* [(id, type, names of connected outputs)] of the new Python nodes. */
static PyObject *new_nodes(const rmpy_session *s, const rm_plan *plan)
{
    PyObject *list = PyList_New(0), *outputs = rmpy_connected_outputs(plan);
    for (size_t i = 0; list && outputs && i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        if (!(node.type->flags & RM_NODE_PYTHON) || !rm_change_is_new(s->change, i)) {
            continue;
        }
        PyObject *names = PyDict_GetItemString(outputs, node.id);
        PyObject *row = Py_BuildValue("(sOO)", node.id, node.type->user, names ? names : Py_None);
        if (!row || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    if (!outputs) {
        Py_CLEAR(list);
    }
    Py_XDECREF(outputs);
    return list;
}

static bool may_change(const rmpy_session *s)
{
    if (s->stepping) {
        PyErr_SetString(PyExc_RuntimeError, "change: a node can't change its own session");
    } else if (!s->native || rmpy_session_is_over(s)) {
        PyErr_SetString(PyExc_RuntimeError, "change: the session is not running");
    }
    return !PyErr_Occurred();
}

static void forget(rmpy_session *s)
{
    rm_change_free(s->change);
    rmpy_settings_clear(s);
    s->change = NULL;
    s->change_waits = false;
    rmpy_guests_stay(s);
    rmpy_session_schedule(s); /* who was held back goes on */
}

PyObject *rmpy_session_plan_change(PyObject *self, PyObject *words)
{
    rmpy_session *s = (rmpy_session *)self;
    if (!rmpy_session_usable(s) || !may_change(s)) {
        return NULL;
    }
    if (!PyList_Check(words)) {
        return PyErr_Format(PyExc_TypeError, "plan_change: want a list");
    }
    if (s->change) {
        PyErr_SetString(PyExc_RuntimeError, "another change is under way");
        return NULL;
    }
    s->change = begin(s, words);
    if (!s->change) {
        return NULL;
    }
    rm_error error = RM_ERROR_INIT;
    const rm_plan *plan = NULL;
    rm_status status = plan_with_types(s, &plan, &error);
    if (status == RM_OK) {
        status = check_ends(s, plan, &error);
    }
    PyObject *fresh = status == RM_OK ? new_nodes(s, plan) : NULL;
    if (!fresh) {
        forget(s);
        return status == RM_OK ? NULL : rmpy_raise(s->state, &error, NULL);
    }
    return fresh;
}

/* ---- making it */

/* How many go. The others have nobody's state to get. */
static size_t mark_leaving(rmpy_session *s, const rm_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < s->runner_count; i++) {
        s->runners[i]->leaves = true;
    }
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        rmpy_runner *p = rmpy_session_find(s, node.id);
        if (p && !rm_change_is_new(s->change, i)) {
            p->leaves = false;
        }
    }
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i], *heir = rmpy_session_find_guest(s, p->id);
        p->heir = p->leaves && heir && heir->inherits ? heir : NULL;
        count += p->leaves;
    }
    return count;
}

static void unmark_leaving(rmpy_session *s)
{
    for (size_t i = 0; i < s->runner_count; i++) {
        s->runners[i]->leaves = false;
        s->runners[i]->heir = NULL;
    }
}

/* As in a slice: nodes that go are called, as the Task that changes the session. */
static rm_status commit(rmpy_session *s, int64_t *ret_pause_ns, rm_error *err)
{
    PyObject *task = rmpy_current_task(s), *before = s->outer;
    s->outer = task;
    rmpy_session_begin_slice(s);
    rmpy_opening = s;
    s->committing = true;
    rm_status status = rm_change_commit(s->change, ret_pause_ns, err);
    s->committing = false;
    rmpy_opening = NULL;
    rmpy_loop_show(s);
    s->outer = before;
    Py_XDECREF(task);
    return status;
}

/* The runners that leave, as a list. */
static PyObject *leaving(const rmpy_session *s, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    Py_ssize_t at = 0;
    for (size_t i = 0; list && i < s->runner_count; i++) {
        if (s->runners[i]->leaves) {
            PyList_SET_ITEM(list, at++, Py_NewRef((PyObject *)s->runners[i]));
        }
    }
    return list;
}

/* An item's number goes on, also where another node counts it. */
static void hand_numbers_over(rmpy_session *s)
{
    for (size_t i = 0; i < s->runner_count; i++) {
        rmpy_runner *p = s->runners[i];
        rmpy_runner *heir = p->leaves ? rmpy_session_find_guest(s, p->id) : NULL;
        if (heir && !heir->is_source) {
            heir->items = p->items;
        }
    }
}

static PyObject *raise_or_row(rmpy_session *s, const rm_error *error)
{
    const rmpy_runner *p = error->node[0] ? rmpy_session_find(s, error->node) : NULL;
    return p && p->raised ? rmpy_session_failure_of(s, error) : rmpy_raise(s->state, error, NULL);
}

static PyObject *try_change(rmpy_session *s, PyObject *list, rmpy_runner **takes_runners)
{
    rm_error error = RM_ERROR_INIT;
    int64_t pause_ns = 0;
    rm_status status = commit(s, &pause_ns, &error);
    if (status == RM_OK) {
        hand_numbers_over(s);
        rmpy_guests_exchange(s, takes_runners);
        follow_plan(s);
    } else {
        PyMem_Free(takes_runners);
    }
    if (status == RM_EAGAIN) {
        rmpy_collect_put_aside(s);
        rmpy_session_schedule(s);
        return PyUnicode_FromString(error.message);
    }
    PyObject *answer = status == RM_OK ? Py_BuildValue("(LO)", (long long)pause_ns, list)
                                       : raise_or_row(s, &error);
    forget(s); /* new nodes have work, and events are told by a slice */
    return answer;
}

PyObject *rmpy_session_change(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    const rm_plan *plan = NULL;
    if (!rmpy_session_usable(s) || !may_change(s)) {
        return NULL;
    }
    if (!s->change || rm_change_plan(s->change, &plan, NULL) != RM_OK) {
        PyErr_SetString(PyExc_RuntimeError, "change: none was planned");
        return NULL;
    }
    size_t count = mark_leaving(s, plan);
    rmpy_runner **runners =
        PyMem_Calloc(s->runner_count + s->guest_count + 1, sizeof(rmpy_runner *));
    PyObject *list = runners && rmpy_guests_reserve(s, count) == 0 ? leaving(s, count) : NULL;
    if (!list) {
        unmark_leaving(s);
        PyMem_Free(runners);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    PyObject *answer = try_change(s, list, runners);
    Py_DECREF(list);
    return answer;
}

PyObject *rmpy_session_forget_change(PyObject *self, PyObject *Py_UNUSED(none))
{
    rmpy_session *s = (rmpy_session *)self;
    if (s->change && s->generation == s->run->generation) {
        forget(s);
    }
    Py_RETURN_NONE;
}
