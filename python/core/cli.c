/* The `remotemedia` command inside the interpreter: the C program, with Python nodes.
 *
 *     cli(argv, registry, run) ─▶ rm_cli_main()
 *         ─▶ setup_registry: registry's resolver
 *         ─▶ run: run(plan, on_session[, record]), which drives a Session
 *                 └ each slice ─▶ rm_cli_run_tick()
 *
 * Threads: the command runs without the GIL, and takes it where it comes back to Python.
 */
#include "run.h"

#include <remotemedia/cli.h>
#include <stdlib.h>
#include <string.h>

/* One cli() call; on its stack. */
typedef struct command {
    rmpy_state *state;
    PyObject *registry, *run; /* borrowed from the call */
} command;

/* One run within it; on the stack of run_hook(). */
typedef struct ticket {
    rmpy_state *state;
    rm_cli_run *run;
    rmpy_session *session; /* owned, from on_session() on */
} ticket;

static const char ticket_name[] = "remotemedia._core.ticket", over_name[] = "over";

static rm_status setup_hook(void *context, rm_registry *registry, rm_error *err)
{
    const command *c = context;
    return rmpy_registry_add((rmpy_registry *)c->registry, registry, err);
}

/* ---- a session under way */

static void tick(void *context)
{
    rm_cli_run_tick(((ticket *)context)->run);
}

static void ended(void *context)
{
    rm_cli_run_ended(((ticket *)context)->run);
}

static PyObject *on_session(PyObject *capsule, PyObject *session)
{
    ticket *t = PyCapsule_GetPointer(capsule, ticket_name);
    if (!t) {
        return NULL;
    }
    rmpy_session *s = rmpy_session_of(t->state, session);
    if (!s || !s->native || t->session) {
        return PyErr_Format(PyExc_TypeError,
                            "on_session() takes the open session of this run, once");
    }
    t->session = (rmpy_session *)Py_NewRef(session);
    s->watch = (rmpy_watch){.tick = tick, .ended = ended, .context = t};
    rm_cli_run_opened(t->run, s->native);
    Py_RETURN_NONE;
}

static PyMethodDef on_session_def = {
    "on_session", on_session, METH_O,
    PyDoc_STR("on_session($self, session, /)\n--\n\nTo be called once the session is open.")};

/* ---- a run */

/* Node and item of an error of the SDK, where it has them. */
static void copy_place(rm_error *err, PyObject *exception)
{
    PyObject *node = rmpy_get(exception, "node"), *item = NULL;
    PyErr_Clear();
    const char *id = node && PyUnicode_Check(node) ? PyUnicode_AsUTF8(node) : NULL;
    if (id) {
        snprintf(err->node, sizeof err->node, "%s", id);
        item = rmpy_get(exception, "item");
    }
    if (item && PyLong_Check(item)) {
        err->item = PyLong_AsUnsignedLongLong(item);
    }
    PyErr_Clear();
    Py_XDECREF(node);
    Py_XDECREF(item);
}

/* An error of the SDK tells the node and the item in its message too; what the node raised, which
 * it holds, does not. */
static rm_status describe(rm_error *err, PyObject *exception)
{
    rm_status status = rmpy_error_from_exception(err, exception);
    PyObject *original = rmpy_get(exception, "original");
    PyErr_Clear();
    if (original && PyExceptionInstance_Check(original)) {
        rm_error inner = RM_ERROR_INIT;
        (void)rmpy_error_from_exception(&inner, original);
        status = rm_fail_as(err, err->code, "%s", inner.message);
    }
    Py_XDECREF(original);
    copy_place(err, exception);
    return status;
}

static rm_status fail_with_exception(rm_error *err)
{
    PyObject *exception = rmpy_exception_take();
    rm_status status = PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt)
                           ? rm_fail_as(err, RM_CODE_CANCELED, "the run was ended by SIGINT")
                           : describe(err, exception);
    Py_DECREF(exception);
    return status;
}

/* run(plan, on_session[, record]) with a ticket that is good for this call only. */
static rm_status call_run(const command *c, const rm_plan *plan, ticket *t, rm_error *err)
{
    PyObject *capsule = PyCapsule_New(t, ticket_name, NULL);
    PyObject *callback = capsule ? PyCFunction_New(&on_session_def, capsule) : NULL;
    PyObject *lent = callback ? rmpy_plan_lend(c->state, plan, c->registry) : NULL;
    const char *path = rm_cli_run_record(t->run);
    PyObject *record = lent && path ? PyUnicode_DecodeFSDefault(path) : NULL;
    PyObject *result = lent && (record || !path)
                           ? PyObject_CallFunctionObjArgs(c->run, lent, callback, record, NULL)
                           : NULL;
    rm_status status = result ? RM_DONE : fail_with_exception(err);
    if (t->session && t->session->watch.context) {
        rm_cli_run_ended(t->run); /* it was not closed, or a call in it does not return */
        t->session->watch = (rmpy_watch){NULL, NULL, NULL};
    }
    Py_CLEAR(t->session);
    if (lent) {
        rmpy_plan_take_back(lent);
    }
    if (capsule) {
        (void)PyCapsule_SetName(capsule, over_name);
    }
    Py_XDECREF(result);
    Py_XDECREF(record);
    Py_XDECREF(lent);
    Py_XDECREF(callback);
    Py_XDECREF(capsule);
    return status;
}

static rm_status run_hook(void *context, const rm_plan *plan, rm_cli_run *run, rm_error *err)
{
    const command *c = context;
    ticket t = {.state = c->state, .run = run};
    PyGILState_STATE gil = PyGILState_Ensure();
    rm_status status = call_run(c, plan, &t, err);
    PyGILState_Release(gil);
    return status;
}

/* ---- cli() */

/* The words as the system gave them; NULL with an exception. */
static char **make_argv(PyObject *words, PyObject **ret_texts)
{
    PyObject *texts = PySequence_List(words);
    Py_ssize_t count = texts ? PyList_GET_SIZE(texts) : 0;
    char **argv = texts ? PyMem_Calloc((size_t)count + 1, sizeof *argv) : NULL;
    for (Py_ssize_t i = 0; argv && i < count; i++) {
        PyObject *word = PyList_GET_ITEM(texts, i), *bytes = NULL;
        if (!PyUnicode_FSConverter(word, &bytes) || PyList_SetItem(texts, i, bytes) < 0) {
            PyMem_Free(argv);
            argv = NULL;
            break;
        }
        argv[i] = PyBytes_AS_STRING(bytes);
    }
    if (!argv) {
        Py_CLEAR(texts);
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
    }
    *ret_texts = texts;
    return argv;
}

static PyObject *cli(PyObject *module, PyObject *args)
{
    PyObject *words, *texts;
    command c = {.state = rmpy_state_of(module)};
    if (!PyArg_ParseTuple(args, "OO!O:cli", &words, c.state->registry, &c.registry, &c.run)) {
        return NULL;
    }
    if (((rmpy_registry *)c.registry)->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the registry is in use: a planning is under way");
        return NULL;
    }
    char **argv = make_argv(words, &texts);
    if (!argv) {
        return NULL;
    }
    rm_cli_host host = {.struct_size = sizeof host,
                        .context = &c,
                        .version_suffix = "CPython " PY_VERSION,
                        .setup_registry = setup_hook,
                        .run = run_hook,
                        .replays = 1};
    int code, count = (int)PyList_GET_SIZE(texts);
    rmpy_registry *registry = (rmpy_registry *)c.registry;
    registry->busy = 1; /* it keeps the node types of the command's plans */
    Py_BEGIN_ALLOW_THREADS;
    code = rm_cli_main(&host, count, argv);
    Py_END_ALLOW_THREADS;
    registry->busy = 0;
    Py_CLEAR(registry->made);
    Py_CLEAR(registry->raised);
    PyMem_Free(argv);
    Py_DECREF(texts);
    return PyLong_FromLong(code);
}

PyMethodDef rmpy_cli_methods[] = {
    {"cli", cli, METH_VARARGS,
     PyDoc_STR("cli($module, argv, registry, run, /)\n--\n\nThe `remotemedia` command; its exit "
               "code.")},
    {NULL, NULL, 0, NULL},
};
