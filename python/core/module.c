/* The module: its state, its types, and the functions about codes, log and module path. */
#include "core.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct PyModuleDef module_def;

rmpy_state *rmpy_state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

rmpy_state *rmpy_state_of_object(PyObject *object)
{
    return PyType_GetModuleState(Py_TYPE(object));
}

/* ---- codes */

static PyObject *code_meaning(PyObject *Py_UNUSED(module), PyObject *code)
{
    long number = PyLong_AsLong(code);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    bool fits = number >= 0 && number <= 9999;
    return PyUnicode_FromString(fits ? rm_code_meaning((rm_code)number) : "");
}

static PyObject *codes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
#define CODE_NUMBER(number, name, status, meaning) number,
    static const int numbers[] = {RM_ERROR_CODES(CODE_NUMBER)};
#undef CODE_NUMBER
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < sizeof numbers / sizeof numbers[0]; i++) {
        PyObject *row = Py_BuildValue("(is)", numbers[i], rm_code_meaning((rm_code)numbers[i]));
        if (!row || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list;
}

/* ---- module path */

static void add_folder(void *context, const char *folder)
{
    PyObject *list = context;
    PyObject *text = PyErr_Occurred() ? NULL : PyUnicode_DecodeFSDefault(folder);
    if (text) {
        (void)PyList_Append(list, text); /* a failure is seen by the caller */
        Py_DECREF(text);
    }
}

static PyObject *module_path(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *list = PyList_New(0);
    if (list) {
        rm_module_path_each(add_folder, list);
    }
    if (PyErr_Occurred()) {
        Py_CLEAR(list);
    }
    return list;
}

/* ---- log */

/* Messages come from any thread, so the sink takes the GIL: logging is for people, and what the
 * data path logs (trace) is asked for only to look for a fault. The module is the sink's context: a
 * message may be on its way while set_log() exchanges the callable. */
static void log_to_python(void *context, rm_log_level level, const char *topic, const char *message)
{
    if (!Py_IsInitialized()) {
        return;
    }
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *before = rmpy_exception_take();
    PyObject *sink = Py_XNewRef(rmpy_state_of(context)->log);
    if (sink) {
        PyObject *answer = PyObject_CallFunction(sink, "iss", (int)level, topic, message);
        if (!answer) {
            PyErr_WriteUnraisable(sink);
        }
        Py_XDECREF(answer);
        Py_DECREF(sink);
    }
    rmpy_exception_raise(before);
    PyGILState_Release(gil);
}

static PyObject *set_log(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"sink", "filter", NULL};
    rmpy_state *state = rmpy_state_of(module);
    PyObject *sink;
    const char *filter = NULL;
    rm_error err = RM_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|z:set_log", names, &sink, &filter)) {
        return NULL;
    }
    if (sink != Py_None && !PyCallable_Check(sink)) {
        return PyErr_Format(PyExc_TypeError, "set_log: sink is a %s, want a callable or None",
                            Py_TYPE(sink)->tp_name);
    }
    if (filter && rm_log_set_filter(filter, &err) != RM_OK) {
        return rmpy_raise(state, &err, NULL);
    }
    Py_XSETREF(state->log, sink == Py_None ? NULL : Py_NewRef(sink));
    rm_log_set_sink(sink == Py_None ? NULL : log_to_python, sink == Py_None ? NULL : module);
    Py_RETURN_NONE;
}

/* ---- set_types */

static int check_maker(PyObject *maker, const char *name)
{
    if (maker != Py_None && !PyCallable_Check(maker)) {
        PyErr_Format(PyExc_TypeError, "set_types: %s is a %s, want a callable or None", name,
                     Py_TYPE(maker)->tp_name);
        return -1;
    }
    return 0;
}

static PyObject *set_types(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"audio", "video", NULL};
    rmpy_state *state = rmpy_state_of(module);
    PyObject *audio, *video;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:set_types", names, &audio, &video) ||
        check_maker(audio, "audio") < 0 || check_maker(video, "video") < 0) {
        return NULL;
    }
    PyObject *before = Py_BuildValue("(OO)", state->audio ? state->audio : Py_None,
                                     state->video ? state->video : Py_None);
    if (before) {
        Py_XSETREF(state->audio, audio == Py_None ? NULL : Py_NewRef(audio));
        Py_XSETREF(state->video, video == Py_None ? NULL : Py_NewRef(video));
    }
    return before;
}

static PyObject *set_excerpt(PyObject *module, PyObject *excerpt)
{
    rmpy_state *state = rmpy_state_of(module);
    if (excerpt != Py_None && !PyCallable_Check(excerpt)) {
        return PyErr_Format(PyExc_TypeError, "set_excerpt: a %s, want a callable or None",
                            Py_TYPE(excerpt)->tp_name);
    }
    PyObject *before = state->excerpt;
    state->excerpt = excerpt == Py_None ? NULL : Py_NewRef(excerpt);
    return before ? before : Py_NewRef(Py_None);
}

static PyMethodDef module_methods[] = {
    {"code_meaning", code_meaning, METH_O,
     PyDoc_STR("code_meaning($module, code, /)\n--\n\nOne line about a stable error code.")},
    {"codes", codes, METH_NOARGS,
     PyDoc_STR("codes($module, /)\n--\n\nThe stable error codes and their meanings.")},
    {"module_path", module_path, METH_NOARGS,
     PyDoc_STR("module_path($module, /)\n--\n\nThe folders that node modules are looked for in.")},
    {"set_excerpt", set_excerpt, METH_O,
     PyDoc_STR("set_excerpt($module, excerpt, /)\n--\n\nWhat is kept of an input that fails.")},
    {"set_log", (PyCFunction)(void (*)(void))set_log, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("set_log($module, /, sink, filter=None)\n--\n\nWhere messages go, and which.")},
    {"set_types", (PyCFunction)(void (*)(void))set_types, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("set_types($module, /, audio, video)\n--\n\nHow native packets reach Python.")},
    {NULL, NULL, 0, NULL},
};

/* ---- making it */

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **ret_type)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (!type) {
        return -1;
    }
    *ret_type = (PyTypeObject *)type; /* the state owns it */
    return PyModule_AddType(module, *ret_type);
}

static int add_names(rmpy_state *state)
{
    const struct {
        PyObject **name;
        const char *text;
    } rows[] = {{&state->str_process, "process"},
                {&state->str_flush, "flush"},
                {&state->str_interrupt, "interrupt"},
                {&state->str_overrun, "overrun"},
                {&state->str_ahead, "ahead"},
                {&state->str_is_streaming, "is_streaming"},
                {&state->str_dataclass_fields, "__dataclass_fields__"},
                {&state->str_field_type, "_field_type"},
                {&state->str_dlpack, "__dlpack__"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        *rows[i].name = PyUnicode_InternFromString(rows[i].text);
        if (!*rows[i].name) {
            return -1;
        }
    }
    return 0;
}

static int add_functions(PyObject *module)
{
    if (PyModule_AddFunctions(module, module_methods) < 0 ||
        PyModule_AddFunctions(module, rmpy_value_methods) < 0) {
        return -1;
    }
    if (PyModule_AddFunctions(module, rmpy_session_methods) < 0) {
        return -1;
    }
#ifdef RMPY_CLI
    if (PyModule_AddFunctions(module, rmpy_cli_methods) < 0) {
        return -1;
    }
#endif
    return 0;
}

static int execute(PyObject *module)
{
    rmpy_state *state = rmpy_state_of(module);
    if (add_names(state) < 0 || rmpy_error_init(module, state) < 0 ||
        add_type(module, &rmpy_node_type_spec, &state->node_type) < 0 ||
        add_type(module, &rmpy_registry_spec, &state->registry) < 0 ||
        add_type(module, &rmpy_graph_spec, &state->graph) < 0 ||
        add_type(module, &rmpy_plan_spec, &state->plan) < 0 ||
        add_type(module, &rmpy_view_spec, &state->view) < 0 ||
        add_type(module, &rmpy_numbers_spec, &state->numbers) < 0 ||
        add_type(module, &rmpy_link_spec, &state->link) < 0 ||
        add_type(module, &rmpy_block_spec, &state->block) < 0 || add_functions(module) < 0 ||
        PyModule_AddStringConstant(module, "__version__", rm_version()) < 0) {
        return -1;
    }
    if (add_type(module, &rmpy_session_spec, &state->session) < 0) {
        return -1;
    }
    return rmpy_session_init(module, state);
}

/* All that the state refers to. */
static const size_t state_objects[] = {
    offsetof(rmpy_state, error),
    offsetof(rmpy_state, finding),
    offsetof(rmpy_state, node_type),
    offsetof(rmpy_state, registry),
    offsetof(rmpy_state, graph),
    offsetof(rmpy_state, plan),
    offsetof(rmpy_state, session),
    offsetof(rmpy_state, view),
    offsetof(rmpy_state, numbers),
    offsetof(rmpy_state, link),
    offsetof(rmpy_state, block),
    offsetof(rmpy_state, audio),
    offsetof(rmpy_state, excerpt),
    offsetof(rmpy_state, video),
    offsetof(rmpy_state, log),
    offsetof(rmpy_state, numpy_empty),
    offsetof(rmpy_state, numpy_asarray),
    offsetof(rmpy_state, numpy_dtypes),
    offsetof(rmpy_state, numpy_generic),
    offsetof(rmpy_state, datetime),
    offsetof(rmpy_state, dataclass_field),
    offsetof(rmpy_state, str_process),
    offsetof(rmpy_state, str_flush),
    offsetof(rmpy_state, str_interrupt),
    offsetof(rmpy_state, str_overrun),
    offsetof(rmpy_state, str_ahead),
    offsetof(rmpy_state, str_is_streaming),
    offsetof(rmpy_state, str_dataclass_fields),
    offsetof(rmpy_state, str_field_type),
    offsetof(rmpy_state, str_dlpack),
};
enum { STATE_OBJECT_COUNT = sizeof state_objects / sizeof state_objects[0] };

static PyObject **state_object(rmpy_state *state, size_t index)
{
    return (PyObject **)(void *)((char *)state + state_objects[index]);
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    rmpy_state *state = rmpy_state_of(module);
    for (size_t i = 0; i < STATE_OBJECT_COUNT; i++) {
        Py_VISIT(*state_object(state, i));
    }
    return rmpy_session_traverse(state, visit, arg);
}

static int clear(PyObject *module)
{
    rmpy_state *state = rmpy_state_of(module);
    if (state->log) {
        rm_log_set_sink(NULL, NULL);
    }
    for (size_t i = 0; i < STATE_OBJECT_COUNT; i++) {
        Py_CLEAR(*state_object(state, i));
    }
    rmpy_session_clear(state);
    return 0;
}

static void release(void *module)
{
    (void)clear(module);
    rmpy_session_free(rmpy_state_of(module));
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030C0000
    /* The log sink and the list of references to give back belong to the process. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "remotemedia._core",
    .m_doc = PyDoc_STR("The C extension: registry, graph, plan, session, values."),
    .m_size = sizeof(rmpy_state),
    .m_slots = module_slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
