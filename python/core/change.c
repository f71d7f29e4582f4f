/* Session.change(): the graph of a session that runs is changed. The words of a change are Python's
 * (remotemedia/change.py); here each goes to its function. */
#include "run.h"

#include <string.h>

#include <remotemedia/change.h>

/* A word of a change and its texts; NULL: None. */
typedef struct change_word {
    const char *name, *text[3];
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
    return rm_change_params(change, text[0], text[1], err);
}

/* Whether a change that is refused later could give a Python node its old values back is not known.
 */
static rm_status check_word(rmpy_session *s, const change_word *word, rm_error *err)
{
    const char *id = strcmp(word->name, "params") == 0 ? word->text[0] : NULL;
    if (!id || !rmpy_session_find(s, id)) {
        return RM_OK;
    }
    rm_status status = rm_fail(err, RM_EUNSUPPORTED,
                               "node '%.60s' runs Python: a change can't set its parameters", id);
    rm_error_help(err, "session.set_params() sets those that are live");
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
        if (!PyArg_ParseTuple(PyList_GET_ITEM(words, i), "szzz", &word.name, &word.text[0],
                              &word.text[1], &word.text[2])) {
            rm_change_free(change);
            return NULL;
        }
        status = check_word(s, &word, &error);
        if (status == RM_OK) {
            status = apply_word(change, &word, &error);
        }
    }
    if (status != RM_OK) {
        rm_change_free(change);
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

/* The new plan gets its Python types from the registry: they live as long as the session. */
static rm_status commit(rmpy_session *s, int64_t *ret_pause_ns, rm_error *err)
{
    rmpy_registry *registry = rmpy_plan_registry(s->plan_object);
    if (registry->busy) {
        return rm_fail(err, RM_EAGAIN, "another planning is under way");
    }
    registry->busy = 1;
    rm_status status = rm_change_commit(s->change, ret_pause_ns, err);
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

PyObject *rmpy_session_change(PyObject *self, PyObject *words)
{
    rmpy_session *s = (rmpy_session *)self;
    if (!rmpy_session_usable(s)) {
        return NULL;
    }
    if (!s->native || rmpy_session_is_over(s) || s->stepping) {
        PyErr_SetString(PyExc_RuntimeError, s->stepping
                                                ? "change: a node can't change its own session"
                                                : "change: the session is not running");
        return NULL;
    }
    if (words != Py_None && !PyList_Check(words)) {
        return PyErr_Format(PyExc_TypeError, "change: want a list or None");
    }
    if (words != Py_None) {
        rm_change_free(s->change);
        s->change = begin(s, words);
    }
    if (!s->change) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    rm_error error = RM_ERROR_INIT;
    int64_t pause_ns = 0;
    rm_status status = commit(s, &pause_ns, &error);
    if (status == RM_EAGAIN) {
        rmpy_session_schedule(s);
        return PyUnicode_FromString(error.message);
    }
    if (status == RM_OK) {
        follow_plan(s);
    }
    rm_change_free(s->change);
    s->change = NULL;
    rmpy_session_schedule(s); /* new nodes have work, and events are told by a slice */
    return status == RM_OK ? PyLong_FromLongLong(pause_ns) : rmpy_raise(s->state, &error, NULL);
}
