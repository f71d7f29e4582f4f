/* NodeType: a node type whose code is Python, its ports and parameters as the library's tables. */
#include "core.h"

#include <math.h>
#include <string.h>

enum { TEXTS_MAX = 4096 };

/* ---- texts: UTF-8 that lives as long as the NodeType */

/* The UTF-8 of a str, kept; NULL with an exception. */
static const char *keep_text(rmpy_node_type *self, PyObject *text, const char *what)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "NodeType: %s is a %s, want str", what,
                     Py_TYPE(text)->tp_name);
        return NULL;
    }
    const char *utf8 = PyUnicode_AsUTF8(text);
    if (!utf8 || PyList_Append(self->texts, text) < 0) {
        return NULL;
    }
    if (strlen(utf8) != (size_t)PyUnicode_GET_LENGTH(text) && strlen(utf8) == 0) {
        PyErr_Format(PyExc_ValueError, "NodeType: %s begins with a NUL", what);
        return NULL;
    }
    return utf8;
}

/* As keep_text(), for an entry of a mapping that may be missing or None: *ret_text stays NULL then.
 * -1 with an exception. */
static int keep_entry(rmpy_node_type *self, PyObject *mapping, const char *key,
                      const char **ret_text)
{
    PyObject *value = PyMapping_GetItemString(mapping, key);
    if (!value) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    if (value != Py_None) {
        *ret_text = keep_text(self, value, key);
    }
    int result = value != Py_None && !*ret_text ? -1 : 0;
    Py_DECREF(value);
    return result;
}

/* ---- ports */

static int fill_port(rmpy_node_type *self, PyObject *row, rm_port *port)
{
    PyObject *name, *formats;
    if (!PyTuple_Check(row)) {
        PyErr_Format(PyExc_TypeError, "NodeType: a port is a %s, want (name, formats)",
                     Py_TYPE(row)->tp_name);
        return -1;
    }
    if (!PyArg_ParseTuple(row, "OO;NodeType: a port is (name, formats)", &name, &formats)) {
        return -1;
    }
    rm_formats parsed;
    rm_error err = RM_ERROR_INIT;
    port->name = keep_text(self, name, "a port's name");
    port->formats = formats == Py_None ? NULL : keep_text(self, formats, "a port's formats");
    if (!port->name || (formats != Py_None && !port->formats)) {
        return -1;
    }
    if (rm_formats_parse(port->formats, &parsed, &err) != RM_OK) {
        rm_error_wrap(&err, "NodeType, port '%s'", port->name);
        (void)rmpy_raise(rmpy_state_of_object((PyObject *)self), &err, NULL);
        return -1;
    }
    return 0;
}

/* ports None: one of the default name. The array ends with a zeroed row. */
static rm_port *make_ports(rmpy_node_type *self, PyObject *ports, const char *default_name)
{
    PyObject *rows = ports == Py_None ? PyTuple_New(0)
                                      : PySequence_Fast(ports, "NodeType: ports are no sequence");
    if (!rows) {
        return NULL;
    }
    Py_ssize_t count = PySequence_Fast_GET_SIZE(rows);
    rm_port *made = count > RM_PORTS_MAX ? NULL : PyMem_Calloc((size_t)count + 2, sizeof *made);
    int failed = !made;
    if (count > RM_PORTS_MAX) {
        PyErr_Format(PyExc_ValueError, "NodeType: %zd ports on a side, want at most %d", count,
                     RM_PORTS_MAX);
    } else if (!made) {
        PyErr_NoMemory();
    } else if (ports == Py_None) {
        made[0].name = default_name;
    }
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        failed = fill_port(self, PySequence_Fast_GET_ITEM(rows, i), &made[i]) < 0;
    }
    Py_DECREF(rows);
    if (failed) {
        PyMem_Free(made);
        return NULL;
    }
    return made;
}

/* ---- parameters */

static const char *const kind_names[] = {
    [RM_PARAM_BOOL] = "bool",     [RM_PARAM_INT] = "int",   [RM_PARAM_FLOAT] = "float",
    [RM_PARAM_STRING] = "string", [RM_PARAM_ENUM] = "enum", [RM_PARAM_JSON] = "json"};

const char *rmpy_param_kind_name(uint32_t kind)
{
    return kind >= RM_PARAM_BOOL && kind <= RM_PARAM_JSON ? kind_names[kind] : "json";
}

static int fill_kind(PyObject *row, rm_param *param)
{
    PyObject *kind = PyMapping_GetItemString(row, "kind");
    const char *name = kind && PyUnicode_Check(kind) ? PyUnicode_AsUTF8(kind) : NULL;
    for (uint32_t k = RM_PARAM_BOOL; name && k <= RM_PARAM_JSON; k++) {
        if (strcmp(kind_names[k], name) == 0) {
            param->kind = k;
        }
    }
    if (kind && !param->kind && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError,
                     "NodeType, parameter '%s': kind is %R, want bool, int, float, string, enum or "
                     "json",
                     param->name, kind);
    }
    Py_XDECREF(kind);
    return param->kind ? 0 : -1;
}

/* An entry that may be missing: a new reference, or NULL with an exception or without one. */
static PyObject *optional(PyObject *row, const char *key)
{
    PyObject *value = PyMapping_GetItemString(row, key);
    if (!value && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
    }
    if (value == Py_None) {
        Py_CLEAR(value);
    }
    return value;
}

static int fill_number(PyObject *row, const char *key, double *ret_number)
{
    PyObject *value = optional(row, key);
    if (value) {
        *ret_number = PyFloat_AsDouble(value);
        Py_DECREF(value);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int fill_flag(PyObject *row, const char *key, uint32_t flag, rm_param *param)
{
    PyObject *value = optional(row, key);
    int is_true = value ? PyObject_IsTrue(value) : 0;
    Py_XDECREF(value);
    param->flags |= is_true > 0 ? flag : 0;
    return PyErr_Occurred() ? -1 : 0;
}

/* The default as JSON text. A default of None is none. */
static int fill_default(rmpy_node_type *self, PyObject *row, rm_param *param)
{
    PyObject *value = optional(row, "default");
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *json = PyImport_ImportModule("json");
    PyObject *text = json ? PyObject_CallMethod(json, "dumps", "O", value) : NULL;
    param->default_json = text ? keep_text(self, text, "default") : NULL;
    Py_XDECREF(text);
    Py_XDECREF(json);
    Py_DECREF(value);
    return param->default_json ? 0 : -1;
}

/* ["low", "high"] becomes "low|high". */
static int fill_choices(rmpy_node_type *self, PyObject *row, rm_param *param)
{
    PyObject *choices = optional(row, "choices");
    if (!choices) {
        if (param->kind == RM_PARAM_ENUM && !PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "NodeType, parameter '%s': an enum needs choices",
                         param->name);
        }
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *bar = PyUnicode_FromString("|");
    PyObject *joined = bar ? PyUnicode_Join(bar, choices) : NULL;
    param->choices = joined ? keep_text(self, joined, "choices") : NULL;
    Py_XDECREF(joined);
    Py_XDECREF(bar);
    Py_DECREF(choices);
    return param->choices ? 0 : -1;
}

/* Of one bound alone the other side is open. */
static int fill_bounds(PyObject *row, rm_param *param)
{
    double min = -INFINITY, max = INFINITY;
    if (fill_number(row, "min", &min) < 0 || fill_number(row, "max", &max) < 0) {
        return -1;
    }
    if (isfinite(min) || isfinite(max)) {
        param->min = min;
        param->max = max;
    }
    return 0;
}

static int fill_param(rmpy_node_type *self, PyObject *row, rm_param *param)
{
    if (!PyMapping_Check(row)) {
        PyErr_Format(PyExc_TypeError, "NodeType: a parameter is a %s, want a mapping",
                     Py_TYPE(row)->tp_name);
        return -1;
    }
    if (keep_entry(self, row, "name", &param->name) < 0) {
        return -1;
    }
    if (!param->name) {
        PyErr_SetString(PyExc_ValueError, "NodeType: a parameter has no name");
        return -1;
    }
    int failed = fill_kind(row, param) < 0 || fill_default(self, row, param) < 0 ||
                 fill_bounds(row, param) < 0 || keep_entry(self, row, "unit", &param->unit) < 0 ||
                 keep_entry(self, row, "summary", &param->summary) < 0 ||
                 fill_choices(self, row, param) < 0 ||
                 fill_flag(row, "required", RM_PARAM_REQUIRED, param) < 0 ||
                 fill_flag(row, "live", RM_PARAM_LIVE, param) < 0 ||
                 fill_flag(row, "secret", RM_PARAM_SECRET, param) < 0;
    return failed ? -1 : 0;
}

/* Each parameter gets 8 bytes of the node's params; Python nodes read their JSON instead. */
static int make_params(rmpy_node_type *self, PyObject *params)
{
    PyObject *rows = PySequence_Fast(params, "NodeType: params is no sequence");
    if (!rows) {
        return -1;
    }
    Py_ssize_t count = PySequence_Fast_GET_SIZE(rows);
    rm_param *made = count > TEXTS_MAX ? NULL : PyMem_Calloc((size_t)count + 1, sizeof *made);
    int failed = !made;
    if (!made) {
        PyErr_NoMemory();
    }
    self->type.params = made;
    self->type.params_size = ((size_t)count + 1) * 8;
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        made[i].offset = (size_t)i * 8;
        failed = fill_param(self, PySequence_Fast_GET_ITEM(rows, i), &made[i]) < 0;
    }
    Py_DECREF(rows);
    return failed ? -1 : 0;
}

/* ---- the type */

typedef struct arguments {
    PyObject *make, *name, *summary, *inputs, *outputs, *params, *example, *blocking;
    int other_params, live, keeps, pure, process;
} arguments;

static int fill_code(rmpy_node_type *self, const arguments *a)
{
    self->make = a->make == Py_None ? NULL : Py_NewRef(a->make);
    self->blocking = a->blocking == Py_None ? -1 : PyObject_IsTrue(a->blocking);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (self->make && !PyCallable_Check(self->make)) {
        PyErr_Format(PyExc_TypeError, "NodeType: make is a %s, want a callable or None",
                     Py_TYPE(self->make)->tp_name);
        return -1;
    }
    return 0;
}

/* A keyword that was not given is "". */
static int fill_text(rmpy_node_type *self, PyObject *text, const char *key, const char **ret_text)
{
    *ret_text = text ? keep_text(self, text, key) : "";
    return *ret_text ? 0 : -1;
}

static int fill_ports(rmpy_node_type *self, PyObject *ports, const char *what,
                      const rm_port **ret_ports)
{
    *ret_ports = make_ports(self, ports, what);
    return *ret_ports ? 0 : -1;
}

static int fill(rmpy_node_type *self, const arguments *a)
{
    rm_node_type *type = &self->type;
    type->struct_size = sizeof *type;
    type->flags = RM_NODE_PYTHON | (a->other_params ? RM_NODE_OTHER_PARAMS : 0u) |
                  (a->live ? RM_NODE_LIVE : 0u) | (a->pure ? RM_NODE_PURE : 0u) |
                  (a->process ? RM_NODE_PROCESS : 0u);
    type->user = self;
    self->texts = PyList_New(0);
    int failed = !self->texts || fill_code(self, a) < 0 ||
                 fill_text(self, a->name, "name", &type->name) < 0 ||
                 fill_text(self, a->summary, "summary", &type->summary) < 0 ||
                 fill_text(self, a->example, "example", &type->example) < 0 ||
                 fill_ports(self, a->inputs, "input", &type->inputs) < 0 ||
                 fill_ports(self, a->outputs, "output", &type->outputs) < 0 ||
                 (a->params != Py_None && make_params(self, a->params) < 0);
    if (failed) {
        return -1;
    }
    rmpy_node_type_fill(type);
    if (a->keeps) {
        rmpy_node_type_keep(type);
    }
    return 0;
}

static PyObject *node_type_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"make",    "name",     "summary",      "inputs", "outputs", "params",
                            "example", "blocking", "other_params", "live",   "keeps",   "pure",
                            "process", NULL};
    arguments a = {.inputs = Py_None, .outputs = Py_None, .params = Py_None, .blocking = Py_None};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOOOOOOppppp:NodeType", names, &a.make,
                                     &a.name, &a.summary, &a.inputs, &a.outputs, &a.params,
                                     &a.example, &a.blocking, &a.other_params, &a.live, &a.keeps,
                                     &a.pure, &a.process)) {
        return NULL;
    }
    if (!a.name) {
        PyErr_SetString(PyExc_TypeError, "NodeType: the keyword 'name' is missing");
        return NULL;
    }
    rmpy_node_type *self = (rmpy_node_type *)cls->tp_alloc(cls, 0);
    if (self && fill(self, &a) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int node_type_traverse(PyObject *object, visitproc visit, void *arg)
{
    rmpy_node_type *self = (rmpy_node_type *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->make);
    Py_VISIT(self->texts);
    return 0;
}

/* Breaks cycles. The table and its texts stay: a plan may still read them. */
static int node_type_clear(PyObject *object)
{
    Py_CLEAR(((rmpy_node_type *)object)->make);
    return 0;
}

static void node_type_dealloc(PyObject *object)
{
    rmpy_node_type *self = (rmpy_node_type *)object;
    PyTypeObject *cls = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)node_type_clear(object);
    PyMem_Free((void *)(uintptr_t)self->type.inputs);
    PyMem_Free((void *)(uintptr_t)self->type.outputs);
    PyMem_Free((void *)(uintptr_t)self->type.params);
    Py_CLEAR(self->texts);
    cls->tp_free(object);
    Py_DECREF(cls);
}

static PyObject *get_name(PyObject *object, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(((rmpy_node_type *)object)->type.name);
}

static PyObject *get_make(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *make = ((rmpy_node_type *)object)->make;
    return Py_NewRef(make ? make : Py_None);
}

static PyObject *node_type_repr(PyObject *object)
{
    return PyUnicode_FromFormat("<NodeType %s>", ((rmpy_node_type *)object)->type.name);
}

static PyGetSetDef node_type_getset[] = {
    {"name", get_name, NULL, PyDoc_STR("The node type's name."), NULL},
    {"make", get_make, NULL, PyDoc_STR("What makes the node object, or None."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(node_type_doc,
             "NodeType(make, *, name, summary='', inputs=None, outputs=None, params=None, "
             "example='', blocking=None, other_params=False, live=False, keeps=False, pure=False, "
             "process=False)\n--\n\n"
             "A node type whose code is Python; a resolver returns one, see Registry.");

static PyType_Slot node_type_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)node_type_doc},
    {Py_tp_new, node_type_new},
    {Py_tp_dealloc, node_type_dealloc},
    {Py_tp_traverse, node_type_traverse},
    {Py_tp_clear, node_type_clear},
    {Py_tp_repr, node_type_repr},
    {Py_tp_getset, node_type_getset},
    {0, NULL},
};

PyType_Spec rmpy_node_type_spec = {
    .name = "remotemedia._core.NodeType",
    .basicsize = sizeof(rmpy_node_type),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = node_type_slots,
};
