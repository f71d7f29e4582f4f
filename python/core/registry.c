/* Registry: which node types exist, and the tier that asks a Python resolver for the others. */
#include "core.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ---- the tier */

static PyObject *spec_dict(const rm_node_spec *spec, const char *tier)
{
    return Py_BuildValue(
        "{s:s,s:s,s:s,s:z,s:s,s:s,s:K}", "tier", tier, "id", spec->id, "node_type", spec->node_type,
        "code", spec->code, "params", spec->params_json ? spec->params_json : "{}", "node",
        spec->node_json ? spec->node_json : "{}", "instance", (unsigned long long)spec->instance);
}

/* Keeps the exception that is raised now as the cause of the planning's Error. */
static rm_status keep_exception(rmpy_registry *self, rm_error *err)
{
    PyObject *exception = rmpy_exception_take();
    rm_status status = rmpy_error_from_exception(err, exception);
    if (!self->raised) {
        self->raised = exception;
    } else {
        Py_DECREF(exception);
    }
    return status;
}

static rm_status ask_resolver(rmpy_registry *self, const char *tier, const rm_node_spec *spec,
                              const rm_node_type **ret_type, rm_error *err)
{
    rmpy_state *state = rmpy_state_of_object((PyObject *)self);
    if (!self->made) { /* the last planning's went to its Plan */
        self->made = PyList_New(0);
    }
    PyObject *dict = self->made ? spec_dict(spec, tier) : NULL;
    PyObject *answer = dict ? PyObject_CallOneArg(self->resolve, dict) : NULL;
    Py_XDECREF(dict);
    if (answer == Py_None) {
        Py_DECREF(answer);
        return RM_ENOENT;
    }
    if (answer && !Py_IS_TYPE(answer, state->node_type)) {
        PyErr_Format(PyExc_TypeError,
                     "the resolver returned a %s for node '%s', want a NodeType "
                     "or None",
                     Py_TYPE(answer)->tp_name, spec->id);
        Py_CLEAR(answer);
    }
    if (!answer || PyList_Append(self->made, answer) < 0) {
        Py_XDECREF(answer);
        return keep_exception(self, err);
    }
    *ret_type = &((rmpy_node_type *)answer)->type;
    Py_DECREF(answer); /* the list keeps it; the Plan takes the list over */
    return RM_OK;
}

/* The command line plans without the GIL. */
static rm_status make_in(rmpy_registry *self, const char *tier, const rm_node_spec *spec,
                         const rm_node_type **ret_type, rm_error *err)
{
    if (!self->resolve) {
        return RM_ENOENT;
    }
    PyGILState_STATE gil = PyGILState_Ensure();
    rm_status status = ask_resolver(self, tier, spec, ret_type, err);
    PyGILState_Release(gil);
    return status;
}

static rm_status make_type(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err)
{
    rmpy_registry *self = context;
    return make_in(self, self->tier.name, spec, ret_type, err);
}

static rm_status make_worker_type(void *context, const rm_node_spec *spec,
                                  const rm_node_type **ret_type, rm_error *err)
{
    rmpy_registry *self = context;
    return make_in(self, self->worker_tier.name, spec, ret_type, err);
}

static void release_type(void *Py_UNUSED(context), const rm_node_type *Py_UNUSED(type))
{
}

/* ---- making one */

static int fill(rmpy_registry *self)
{
    rm_error err = RM_ERROR_INIT;
    self->made = PyList_New(0);
    if (!self->made) {
        return -1;
    }
    self->tier = (rm_tier_type){.struct_size = sizeof self->tier,
                                .name = "cpython",
                                .summary = "nodes whose code is Python, in this interpreter",
                                .make_type = make_type,
                                .release_type = release_type,
                                .context = self};
    self->worker_tier = (rm_tier_type){.struct_size = sizeof self->worker_tier,
                                       .name = "worker",
                                       .summary = "nodes whose code is Python, each in a process",
                                       .make_type = make_worker_type,
                                       .release_type = release_type,
                                       .context = self,
                                       .flags = RM_TIER_LIMITS};
    rm_status status = rm_registry_new(&self->registry, &err);
    if (status == RM_OK) {
        status = rmpy_registry_add(self, self->registry, &err);
    }
    if (status != RM_OK) {
        (void)rmpy_raise(rmpy_state_of_object((PyObject *)self), &err, NULL);
        return -1;
    }
    return 0;
}

rm_status rmpy_registry_add(rmpy_registry *self, rm_registry *registry, rm_error *err)
{
    rm_status status = rm_registry_add_tier(registry, &self->tier, err);
    if (status == RM_OK) {
        status = rm_registry_add_tier(registry, &self->worker_tier, err);
    }
    if (status == RM_OK) {
        status = rm_registry_add(registry, &rmpy_feed_type, err);
    }
    if (status == RM_OK) {
        status = rm_registry_add(registry, &rmpy_collect_type, err);
    }
    return status;
}

static PyObject *registry_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"resolve", NULL};
    PyObject *resolve = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Registry", names, &resolve)) {
        return NULL;
    }
    if (resolve != Py_None && !PyCallable_Check(resolve)) {
        return PyErr_Format(PyExc_TypeError, "Registry: resolve is a %s, want a callable or None",
                            Py_TYPE(resolve)->tp_name);
    }
    rmpy_registry *self = (rmpy_registry *)cls->tp_alloc(cls, 0);
    if (!self) {
        return NULL;
    }
    self->resolve = resolve == Py_None ? NULL : Py_NewRef(resolve);
    if (fill(self) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int registry_traverse(PyObject *object, visitproc visit, void *arg)
{
    rmpy_registry *self = (rmpy_registry *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->resolve);
    Py_VISIT(self->made);
    Py_VISIT(self->raised);
    return 0;
}

static int registry_clear(PyObject *object)
{
    rmpy_registry *self = (rmpy_registry *)object;
    Py_CLEAR(self->resolve);
    Py_CLEAR(self->raised);
    return 0;
}

static void registry_dealloc(PyObject *object)
{
    rmpy_registry *self = (rmpy_registry *)object;
    PyTypeObject *cls = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)registry_clear(object);
    rm_registry_free(self->registry);
    Py_CLEAR(self->made);
    cls->tp_free(object);
    Py_DECREF(cls);
}

/* ---- methods */

/* The library's registry is for one thread at a time, and a resolver may let others run. */
static int check_free(const rmpy_registry *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the registry is in use: a planning is under way");
        return -1;
    }
    return 0;
}

static PyObject *load(PyObject *object, PyObject *path)
{
    rmpy_registry *self = (rmpy_registry *)object;
    PyObject *bytes;
    rm_error err = RM_ERROR_INIT;
    if (check_free(self) < 0 || !PyUnicode_FSConverter(path, &bytes)) {
        return NULL;
    }
    rm_status status = rm_registry_load(self->registry, PyBytes_AS_STRING(bytes), &err);
    Py_DECREF(bytes);
    if (status != RM_OK) {
        return rmpy_raise(rmpy_state_of_object(object), &err, NULL);
    }
    Py_RETURN_NONE;
}

typedef struct failures {
    rmpy_state *state;
    PyObject *list; /* NULL once an exception is set */
} failures;

static void add_failure(void *context, const char *path, const rm_error *why)
{
    failures *all = context;
    PyObject *error = all->list ? rmpy_error_new(all->state, why) : NULL;
    PyObject *name = error ? PyUnicode_DecodeFSDefault(path) : NULL;
    PyObject *row = name ? PyTuple_Pack(2, name, error) : NULL;
    if (!row || PyList_Append(all->list, row) < 0) {
        Py_CLEAR(all->list);
    }
    Py_XDECREF(row);
    Py_XDECREF(name);
    Py_XDECREF(error);
}

static PyObject *load_all(PyObject *object, PyObject *Py_UNUSED(none))
{
    rmpy_registry *self = (rmpy_registry *)object;
    if (check_free(self) < 0) {
        return NULL;
    }
    failures all = {rmpy_state_of_object(object), PyList_New(0)};
    if (all.list) {
        (void)rm_registry_load_all(self->registry, add_failure, &all);
    }
    return all.list;
}

static PyObject *names(PyObject *object, PyObject *Py_UNUSED(none))
{
    const rmpy_registry *self = (rmpy_registry *)object;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < rm_registry_count(self->registry); i++) {
        PyObject *name = PyUnicode_FromString(rm_registry_at(self->registry, i)->name);
        if (!name || PyList_Append(list, name) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(name);
    }
    return list;
}

/* ---- describe */

typedef struct flag_row {
    uint32_t flag;
    const char *name;
} flag_row;

static const flag_row type_flags[] = {{RM_NODE_BLOCKS, "blocks"},
                                      {RM_NODE_HEAVY, "heavy"},
                                      {RM_NODE_PURE, "pure"},
                                      {RM_NODE_LIVE, "live"},
                                      {RM_NODE_PYTHON, "python"},
                                      {RM_NODE_LATE, "late"},
                                      {RM_NODE_OTHER_PARAMS, "other_params"},
                                      {0, NULL}};

static const flag_row param_flags[] = {{RM_PARAM_REQUIRED, "required"},
                                       {RM_PARAM_LIVE, "live"},
                                       {RM_PARAM_SECRET, "secret"},
                                       {0, NULL}};

static PyObject *flag_list(uint32_t flags, const flag_row *rows)
{
    PyObject *list = PyList_New(0);
    for (; list && rows->name; rows++) {
        PyObject *name = flags & rows->flag ? PyUnicode_FromString(rows->name) : NULL;
        if (PyErr_Occurred() || (name && PyList_Append(list, name) < 0)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(name);
    }
    return list;
}

/* Appends what it takes; NULL, or a failure, gives up the list. */
static void add_row(PyObject **list, PyObject *takes_row)
{
    if (*list && (!takes_row || PyList_Append(*list, takes_row) < 0)) {
        Py_CLEAR(*list);
    }
    Py_XDECREF(takes_row);
}

static PyObject *port_list(const rm_port *ports)
{
    PyObject *list = PyList_New(0);
    for (const rm_port *p = ports; list && p && p->name; p++) {
        add_row(&list,
                Py_BuildValue("{s:s,s:z,s:z,s:s,s:I}", "name", p->name, "formats", p->formats,
                              "same_as", p->same_as, "summary", p->summary ? p->summary : "",
                              "emit_max", p->emit_max ? p->emit_max : 1));
    }
    return list;
}

/* "low|high" as a list; None where there are none. */
static PyObject *choice_list(const char *choices)
{
    if (!choices) {
        Py_RETURN_NONE;
    }
    PyObject *text = PyUnicode_FromString(choices), *bar = PyUnicode_FromString("|");
    PyObject *list = text && bar ? PyUnicode_Split(text, bar, -1) : NULL;
    Py_XDECREF(text);
    Py_XDECREF(bar);
    return list;
}

static PyObject *bound(const rm_param *p, double value)
{
    bool is_bound = (p->min != 0 || p->max != 0) && isfinite(value);
    return is_bound ? PyFloat_FromDouble(value) : Py_NewRef(Py_None);
}

static PyObject *param_list(const rm_param *params)
{
    PyObject *list = PyList_New(0);
    for (const rm_param *p = params; list && p && p->name; p++) {
        add_row(&list,
                Py_BuildValue("{s:s,s:s,s:N,s:z,s:N,s:N,s:z,s:N,s:s}", "name", p->name, "kind",
                              rmpy_param_kind_name(p->kind), "flags",
                              flag_list(p->flags, param_flags), "default", p->default_json, "min",
                              bound(p, p->min), "max", bound(p, p->max), "unit", p->unit, "choices",
                              choice_list(p->choices), "summary", p->summary ? p->summary : ""));
    }
    return list;
}

/* The type of that name; NULL with Error. */
static const rm_node_type *find(PyObject *object, PyObject *name)
{
    rmpy_registry *self = (rmpy_registry *)object;
    rm_error err = RM_ERROR_INIT;
    const rm_node_type *type = NULL;
    const char *utf8 = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    if (!utf8) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError, "a node type's name is a %s, want str",
                         Py_TYPE(name)->tp_name);
        }
        return NULL;
    }
    if (check_free(self) < 0) {
        return NULL;
    }
    if (rm_registry_find(self->registry, utf8, &type, &err) != RM_OK) {
        (void)rmpy_raise(rmpy_state_of_object(object), &err, NULL);
        return NULL;
    }
    return type;
}

static PyObject *describe(PyObject *object, PyObject *name)
{
    const rm_node_type *type = find(object, name);
    if (!type) {
        return NULL;
    }
    const char *origin = rm_registry_origin(((rmpy_registry *)object)->registry, type);
    return Py_BuildValue(
        "{s:s,s:s,s:s,s:N,s:s,s:N,s:N,s:N}", "name", type->name, "summary",
        type->summary ? type->summary : "", "example", type->example ? type->example : "", "flags",
        flag_list(type->flags, type_flags), "origin", origin, "inputs", port_list(type->inputs),
        "outputs", port_list(type->outputs), "params", param_list(type->params));
}

static PyObject *schema(PyObject *object, PyObject *name)
{
    const rm_node_type *type = find(object, name);
    char *json = NULL;
    rm_error err = RM_ERROR_INIT;
    if (!type) {
        return NULL;
    }
    if (rm_node_type_schema(type, &json, &err) != RM_OK) {
        return rmpy_raise(rmpy_state_of_object(object), &err, NULL);
    }
    PyObject *text = PyUnicode_FromString(json);
    rm_free(json);
    return text;
}

static PyMethodDef registry_methods[] = {
    {"load", load, METH_O, PyDoc_STR("load($self, path, /)\n--\n\nLoads one module file.")},
    {"load_all", load_all, METH_NOARGS,
     PyDoc_STR("load_all($self, /)\n--\n\nLoads every module of the module path; returns those "
               "that failed, and why.")},
    {"names", names, METH_NOARGS,
     PyDoc_STR("names($self, /)\n--\n\nThe types known so far, sorted.")},
    {"describe", describe, METH_O,
     PyDoc_STR("describe($self, name, /)\n--\n\nA type, loading its module if needed.")},
    {"schema", schema, METH_O,
     PyDoc_STR("schema($self, name, /)\n--\n\nA JSON Schema of the type's parameters.")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(registry_doc, "Registry(resolve=None)\n--\n\nWhich node types exist.");

static PyType_Slot registry_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)registry_doc},
    {Py_tp_new, registry_new},
    {Py_tp_dealloc, registry_dealloc},
    {Py_tp_traverse, registry_traverse},
    {Py_tp_clear, registry_clear},
    {Py_tp_methods, registry_methods},
    {0, NULL},
};

PyType_Spec rmpy_registry_spec = {
    .name = "remotemedia._core.Registry",
    .basicsize = sizeof(rmpy_registry),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = registry_slots,
};
