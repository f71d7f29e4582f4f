/* What is told of a failure: the exception, node and item, an excerpt of the input, and how often
 * the item has been tried. Nothing here is on the way of an item that goes well.
 */
#include "run.h"

#include <string.h>

enum { CAUSES_MAX = 16 };

typedef struct rmpy_tries {
    uint64_t item; /* that failed last */
    long count;    /* in a row */
} rmpy_tries;

/* What the node was given: of a batch the item at hand, else what the engine holds until the call
 * and its retries are over. On a worker's thread the latter is not ours to look at. */
static PyObject *input_of(rmpy_runner *p)
{
    if (p->at_hand) {
        return Py_NewRef(p->at_hand);
    }
    if (p->job || p->is_streaming || p->flush_called || !p->taken || !p->inputs ||
        !rmpy_any_packet(p->inputs)) {
        return NULL;
    }
    PyObject *input = rmpy_input_object(p, p->inputs);
    PyErr_Clear();
    return input;
}

rm_error *rmpy_error_of(rmpy_runner *p)
{
    if (!p->error) {
        p->error = PyMem_Calloc(1, sizeof *p->error);
    }
    return p->error;
}

void rmpy_failure_keep(rmpy_runner *p, PyObject *takes_raised)
{
    Py_XSETREF(p->raised, takes_raised);
    Py_XSETREF(p->raised_input, input_of(p));
    p->raised_item = p->items - p->queue.length;
}

rm_status rmpy_fail_behind(rmpy_runner *p, rm_status status)
{
    bool gave = p->emit_room ? p->emit_room < RM_EMIT_MAX : p->out.length > 0;
    if (status >= 0 || status == RM_ECANCELED || p->session->raised || !gave) {
        return status;
    }
    p->outcome = status;
    return RM_MORE;
}

rm_status rmpy_unsent(rmpy_runner *p, rm_status status)
{
    return p->n_out == 1 ? rmpy_fail_behind(p, status) : status;
}

/* A runner that takes items ahead of the engine counts them itself. */
static uint64_t item_of(const rmpy_runner *p, const rm_error *error)
{
    bool ahead = p && p->raised && !p->is_source && (p->is_streaming || p->batches);
    return ahead && (p->is_streaming || !p->flush_called) ? p->raised_item : error->item;
}

/* How often the item of a node has failed in a row, this time included. */
static long count_try(rmpy_session *s, const char *node, uint64_t item)
{
    size_t count = rm_plan_node_count(s->plan);
    if (!s->tries) {
        s->tries = PyMem_Calloc(count, sizeof *s->tries);
    }
    for (size_t i = 0; s->tries && i < count; i++) {
        rm_plan_node plan_node;
        rm_plan_node_at(s->plan, i, &plan_node);
        if (strcmp(plan_node.id, node) == 0) {
            rmpy_tries *tries = &s->tries[i];
            tries->count = tries->item == item ? tries->count + 1 : 1;
            tries->item = item;
            return tries->count;
        }
    }
    return 1;
}

static PyObject *text_or_none(const char *text)
{
    return text[0] ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace")
                   : Py_NewRef(Py_None);
}

/* Never fails: an error without excerpt is better than none. */
static PyObject *excerpt_of(rmpy_session *s, rmpy_runner *p, const rm_error *error)
{
    if (!p) {
        return text_or_none(error->input);
    }
    PyObject *made = NULL;
    if (p->raised_input && s->state->excerpt) {
        made = PyObject_CallFunctionObjArgs(s->state->excerpt, p->raised_input, p->object, NULL);
        PyErr_Clear();
    }
    return made ? made : Py_NewRef(Py_None);
}

PyObject *rmpy_session_failure_of(rmpy_session *s, const rm_error *error)
{
    rmpy_runner *p = error->node[0] ? rmpy_session_find(s, error->node) : NULL;
    uint64_t number = item_of(p, error);
    long tries = count_try(s, error->node, number);
    PyObject *excerpt = excerpt_of(s, p, error);
    bool is_own = p && p->raised && error->code != RM_CODE_REPLAY_DIFFERS;
    PyObject *exception = is_own ? Py_NewRef(p->raised) : rmpy_error_new(s->state, error);
    PyObject *node = text_or_none(error->node);
    PyObject *item = number ? PyLong_FromUnsignedLongLong(number) : Py_NewRef(Py_None);
    if (p) {
        Py_CLEAR(p->raised);
        Py_CLEAR(p->raised_input);
    }
    if (!exception || !node || !item || !excerpt) {
        Py_XDECREF(exception);
        Py_XDECREF(node);
        Py_XDECREF(item);
        Py_XDECREF(excerpt);
        return NULL;
    }
    return Py_BuildValue("(NNNNl)", exception, node, item, excerpt, tries);
}

/* The frames of a traceback keep their variables, and so the item: a run whose errors are kept
 * would use up the memory of its packets. The frames that still run stay as they are. */
static void clear_frames(PyObject *exception)
{
    PyObject *traceback = PyException_GetTraceback(exception);
    PyObject *at = traceback;
    while (at && PyTraceBack_Check(at)) {
        PyTracebackObject *entry = (PyTracebackObject *)at;
        PyObject *done = PyObject_CallMethod((PyObject *)entry->tb_frame, "clear", NULL);
        Py_XDECREF(done);
        PyErr_Clear();
        at = (PyObject *)entry->tb_next;
    }
    Py_XDECREF(traceback);
}

/* Of the exception, of what it came from, and so on. */
static void let_go_of_items(PyObject *exception)
{
    PyObject *at = Py_NewRef(exception);
    for (int depth = 0; at && depth < CAUSES_MAX; depth++) {
        clear_frames(at);
        PyObject *cause = PyException_GetCause(at);
        Py_SETREF(at, cause ? cause : PyException_GetContext(at));
    }
    Py_XDECREF(at);
}

void rmpy_session_on_event(void *context, const rm_event *event)
{
    rmpy_session *s = context;
    if (s->events && (event->kind >= RM_EVENT_STARTED || event->kind == RM_EVENT_ENDED)) {
        rmpy_session_keep_news(s, event);
    }
    if (event->kind != RM_EVENT_ERROR) {
        return;
    }
    PyObject *row = rmpy_session_failure_of(s, event->error);
    bool room = PyList_GET_SIZE(s->errors) < RMPY_ERRORS_MAX;
    if (row && room) {
        let_go_of_items(PyTuple_GET_ITEM(row, 0));
    }
    if (!row || (room && PyList_Append(s->errors, row) < 0)) {
        PyErr_WriteUnraisable((PyObject *)s);
    }
    Py_XDECREF(row);
}
