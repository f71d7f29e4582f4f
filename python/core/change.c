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
        status = apply_word(change, &word, &error);
    }
    if (status != RM_OK) {
        rm_change_free(change);
        return (rm_change *)(void *)rmpy_raise(s->state, &error, NULL);
    }
    return change;
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
    rm_status status = rm_change_commit(s->change, &pause_ns, &error);
    if (status == RM_EAGAIN) {
        rmpy_session_schedule(s);
        return PyUnicode_FromString(error.message);
    }
    rm_change_free(s->change);
    s->change = NULL;
    rmpy_session_schedule(s); /* new nodes have work, and events are told by a slice */
    return status == RM_OK ? PyLong_FromLongLong(pause_ns) : rmpy_raise(s->state, &error, NULL);
}
