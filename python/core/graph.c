/* Graph and Plan: from text to a checked graph, and from there to a plan. */
#include "core.h"

#include <stdint.h>

typedef struct graph_object {
    PyObject_HEAD rm_graph *graph;
    PyObject *findings; /* of parsing: warnings */
} graph_object;

typedef struct plan_object {
    PyObject_HEAD rm_plan *plan;
    PyObject *graph, *registry;
    PyObject *types;    /* the NodeTypes that the plan points to */
    PyObject *findings; /* warnings of parsing and planning */
    bool lent;          /* the plan is somebody else's, and NULL once that one took it back */
} plan_object;

/* ---- texts in and out */

/* The UTF-8 of a str or bytes; -1 with an exception. */
static int text_bytes(PyObject *text, const char **ret_text, Py_ssize_t *ret_bytes)
{
    if (PyUnicode_Check(text)) {
        *ret_text = PyUnicode_AsUTF8AndSize(text, ret_bytes);
        return *ret_text ? 0 : -1;
    }
    if (PyBytes_Check(text)) {
        *ret_text = PyBytes_AS_STRING(text);
        *ret_bytes = PyBytes_GET_SIZE(text);
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "a manifest is a %s, want str or bytes", Py_TYPE(text)->tp_name);
    return -1;
}

/* Takes text of the library. */
static PyObject *take_text(char *takes_text)
{
    PyObject *text = PyUnicode_FromString(takes_text);
    rm_free(takes_text);
    return text;
}

/* ---- making graphs */

/* Takes graph and findings, also on failure. */
static PyObject *graph_wrap(rmpy_state *state, rm_graph *takes_graph, PyObject *takes_findings)
{
    graph_object *self = NULL;
    if (takes_findings) {
        self = (graph_object *)state->graph->tp_alloc(state->graph, 0);
    }
    if (!self) {
        rm_graph_free(takes_graph);
        Py_XDECREF(takes_findings);
        return NULL;
    }
    self->graph = takes_graph;
    self->findings = takes_findings;
    return (PyObject *)self;
}

/* The class methods get the class, which is final: its state is the module's. */
static PyObject *parse(PyObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "folder", NULL};
    rmpy_state *state = PyType_GetModuleState((PyTypeObject *)cls);
    const char *text, *folder = NULL;
    PyObject *text_object;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|z:parse", names, &text_object, &folder)) {
        return NULL;
    }
    Py_ssize_t bytes;
    rm_error err = RM_ERROR_INIT;
    rm_report *report = NULL;
    rm_graph *graph = NULL;
    if (text_bytes(text_object, &text, &bytes) < 0) {
        return NULL;
    }
    rm_status status = rm_report_new(&report, &err);
    if (status == RM_OK) {
        status = rm_graph_parse_in(text, (size_t)bytes, folder, &graph, report, &err);
    }
    PyObject *result = status == RM_OK ? graph_wrap(state, graph, rmpy_findings(state, report))
                                       : rmpy_raise(state, &err, report);
    rm_report_free(report);
    return result;
}

static PyObject *check(PyObject *cls, PyObject *text_object)
{
    rmpy_state *state = PyType_GetModuleState((PyTypeObject *)cls);
    const char *text;
    Py_ssize_t bytes;
    rm_error err = RM_ERROR_INIT;
    rm_report *report = NULL;
    rm_graph *graph = NULL;
    if (text_bytes(text_object, &text, &bytes) < 0) {
        return NULL;
    }
    if (rm_report_new(&report, &err) != RM_OK) {
        return rmpy_raise(state, &err, NULL);
    }
    rm_status status = rm_graph_parse(text, (size_t)bytes, &graph, report, &err);
    PyObject *findings = NULL;
    if (status != RM_OK && rm_report_count(report) == 0) {
        rmpy_raise(state, &err, NULL); /* no finding about the text: out of memory */
    } else {
        findings = rmpy_findings(state, report);
    }
    rm_report_free(report);
    PyObject *made =
        status != RM_OK ? Py_NewRef(Py_None) : graph_wrap(state, graph, Py_XNewRef(findings));
    PyObject *result = findings && made ? PyTuple_Pack(2, made, findings) : NULL;
    Py_XDECREF(findings);
    Py_XDECREF(made);
    return result;
}

static PyObject *inline_(PyObject *cls, PyObject *text_object)
{
    rmpy_state *state = PyType_GetModuleState((PyTypeObject *)cls);
    rm_error err = RM_ERROR_INIT;
    rm_graph *graph = NULL;
    if (!PyUnicode_Check(text_object)) {
        return PyErr_Format(PyExc_TypeError, "an inline pipeline is a %s, want str",
                            Py_TYPE(text_object)->tp_name);
    }
    const char *text = PyUnicode_AsUTF8(text_object);
    if (!text) {
        return NULL;
    }
    if (rm_graph_parse_inline(text, &graph, &err) != RM_OK) {
        return rmpy_raise(state, &err, NULL);
    }
    return graph_wrap(state, graph, PyList_New(0));
}

static PyObject *set_param(PyObject *object, PyObject *args)
{
    graph_object *self = (graph_object *)object;
    rmpy_state *state = rmpy_state_of_object(object);
    const char *node, *name, *value;
    rm_error err = RM_ERROR_INIT;
    rm_graph *graph = NULL;
    if (!PyArg_ParseTuple(args, "sss:set_param", &node, &name, &value)) {
        return NULL;
    }
    if (rm_graph_set_param(self->graph, node, name, value, &graph, &err) != RM_OK) {
        return rmpy_raise(state, &err, NULL);
    }
    return graph_wrap(state, graph, Py_NewRef(self->findings));
}

static PyObject *graph_to_json(PyObject *object, PyObject *Py_UNUSED(none))
{
    char *json = NULL;
    rm_error err = RM_ERROR_INIT;
    if (rm_graph_to_json(((graph_object *)object)->graph, &json, &err) != RM_OK) {
        return rmpy_raise(rmpy_state_of_object(object), &err, NULL);
    }
    return take_text(json);
}

/* ---- planning */

static void plan_fill(plan_object *self, PyObject *graph, rmpy_registry *registry)
{
    self->graph = Py_NewRef(graph);
    self->registry = Py_NewRef((PyObject *)registry);
    self->types = registry->made; /* the plan points into these from now on */
    registry->made = NULL;
}

/* The Error of a planning; the resolver's exception is its cause. */
static void raise_planning(rmpy_state *state, rmpy_registry *registry, const rm_error *err,
                           const rm_report *report)
{
    (void)rmpy_raise(state, err, report);
    if (registry->raised) {
        PyObject *error = rmpy_exception_take();
        PyException_SetCause(error, Py_NewRef(registry->raised)); /* takes it */
        rmpy_exception_raise(error);
    }
}

static PyObject *plan_new(rmpy_state *state, PyObject *graph, rmpy_registry *registry,
                          uint32_t media_threads)
{
    rm_error err = RM_ERROR_INIT;
    rm_report *report = NULL;
    rm_plan_options options = {
        .struct_size = sizeof options, .python_host = 1, .media_threads = media_threads};
    plan_object *self = (plan_object *)state->plan->tp_alloc(state->plan, 0);
    if (!self) {
        return NULL;
    }
    rm_status status = rm_report_new(&report, &err);
    if (status == RM_OK) {
        status = rm_graph_plan(((graph_object *)graph)->graph, registry->registry, &options,
                               &self->plan, report, &err);
    }
    if (status == RM_OK) {
        plan_fill(self, graph, registry);
        PyObject *own = rmpy_findings(state, report);
        self->findings = own ? PySequence_Concat(((graph_object *)graph)->findings, own) : NULL;
        Py_XDECREF(own);
    } else {
        raise_planning(state, registry, &err, report);
    }
    rm_report_free(report);
    if (!self->findings) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *plan(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"registry", "media_threads", NULL};
    rmpy_state *state = rmpy_state_of_object(object);
    rmpy_registry *registry;
    int media_threads = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|$i:plan", names, state->registry, &registry,
                                     &media_threads)) {
        return NULL;
    }
    if (media_threads < 0 || media_threads > 1024) {
        return PyErr_Format(PyExc_ValueError, "media_threads is %d, want 0 to 1024", media_threads);
    }
    if (registry->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the registry is in use: a planning is under way");
        return NULL;
    }
    PyObject *made = PyList_New(0);
    if (!made) {
        return NULL;
    }
    Py_XSETREF(registry->made, made);
    registry->busy = 1;
    PyObject *result = plan_new(state, object, registry, (uint32_t)media_threads);
    registry->busy = 0;
    Py_CLEAR(registry->made);
    Py_CLEAR(registry->raised);
    return result;
}

/* ---- what a graph holds */

static PyObject *graph_name(PyObject *object, void *Py_UNUSED(closure))
{
    const char *name = rm_graph_name(((graph_object *)object)->graph);
    return PyUnicode_FromString(name ? name : "");
}

static PyObject *graph_nodes(PyObject *object, void *Py_UNUSED(closure))
{
    const rm_graph *graph = ((graph_object *)object)->graph;
    size_t count = rm_graph_node_count(graph);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        rm_graph_node node;
        rm_graph_node_at(graph, i, &node);
        PyObject *row = Py_BuildValue("{s:s,s:z,s:s,s:s,s:I,s:I}", "id", node.id, "name", node.name,
                                      "node_type", node.node_type, "params",
                                      node.params_json ? node.params_json : "{}", "line", node.line,
                                      "column", node.column);
        if (!row) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, row);
        }
    }
    return list;
}

static PyObject *graph_edges(PyObject *object, void *Py_UNUSED(closure))
{
    const rm_graph *graph = ((graph_object *)object)->graph;
    size_t count = rm_graph_edge_count(graph);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        rm_graph_edge edge;
        rm_graph_node from, to;
        rm_graph_edge_at(graph, i, &edge);
        rm_graph_node_at(graph, edge.from_node, &from);
        rm_graph_node_at(graph, edge.to_node, &to);
        PyObject *row =
            Py_BuildValue("{s:s,s:s,s:z,s:z,s:I,s:s}", "from", from.id, "to", to.id, "from_port",
                          edge.from_port_name, "to_port", edge.to_port_name, "capacity",
                          edge.capacity_packets, "policy", edge.policy ? edge.policy : "block");
        if (!row) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, row);
        }
    }
    return list;
}

static void graph_dealloc(PyObject *object)
{
    graph_object *self = (graph_object *)object;
    PyTypeObject *cls = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    rm_graph_free(self->graph);
    Py_CLEAR(self->findings);
    cls->tp_free(object);
    Py_DECREF(cls);
}

static int graph_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((graph_object *)object)->findings);
    return 0;
}

static PyMethodDef graph_methods[] = {
    {"parse", (PyCFunction)(void (*)(void))parse, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     PyDoc_STR("parse($type, text, /, folder=None)\n--\n\nParses a manifest; raises Error with "
               "all findings.")},
    {"check", check, METH_O | METH_CLASS,
     PyDoc_STR("check($type, text, /)\n--\n\nAs parse, without raising.")},
    {"inline", inline_, METH_O | METH_CLASS,
     PyDoc_STR("inline($type, text, /)\n--\n\nThe graph of the shorthand 'a x=1 ! b'.")},
    {"set_param", set_param, METH_VARARGS,
     PyDoc_STR("set_param($self, node, name, value, /)\n--\n\nA new graph.")},
    {"to_json", graph_to_json, METH_NOARGS,
     PyDoc_STR("to_json($self, /)\n--\n\nThe graph as a manifest.")},
    {"plan", (PyCFunction)(void (*)(void))plan, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("plan($self, /, registry, *, media_threads=0)\n--\n\nFinds types, fixes formats, "
               "places nodes.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef graph_getset[] = {
    {"name", graph_name, NULL, PyDoc_STR("The manifest's name, or \"\"."), NULL},
    {"nodes", graph_nodes, NULL, PyDoc_STR("Dicts id, name, node_type, params, line, column."),
     NULL},
    {"edges", graph_edges, NULL, PyDoc_STR("Dicts from, to, from_port, to_port, capacity, policy."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot graph_slots[] = {
    {Py_tp_doc, "A parsed manifest. Immutable."},
    {Py_tp_dealloc, graph_dealloc},
    {Py_tp_traverse, graph_traverse},
    {Py_tp_methods, graph_methods},
    {Py_tp_getset, graph_getset},
    {0, NULL},
};

PyType_Spec rmpy_graph_spec = {
    .name = "remotemedia._core.Graph",
    .basicsize = sizeof(graph_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = graph_slots,
};

/* ---- what a plan holds */

/* NULL with RuntimeError for one that was lent and taken back. */
static const rm_plan *plan_ptr(PyObject *object)
{
    const rm_plan *plan = ((plan_object *)object)->plan;
    if (!plan) {
        PyErr_SetString(PyExc_RuntimeError, "the plan was that of a run, which is over");
    }
    return plan;
}

const rm_plan *rmpy_plan_of(rmpy_state *state, PyObject *plan)
{
    if (!Py_IS_TYPE(plan, state->plan)) {
        PyErr_Format(PyExc_TypeError, "plan is a %s, want a Plan", Py_TYPE(plan)->tp_name);
        return NULL;
    }
    return plan_ptr(plan);
}

rmpy_registry *rmpy_plan_registry(PyObject *plan)
{
    return (rmpy_registry *)((plan_object *)plan)->registry;
}

PyObject *rmpy_plan_lend(rmpy_state *state, const rm_plan *plan, PyObject *registry)
{
    plan_object *self = (plan_object *)state->plan->tp_alloc(state->plan, 0);
    if (self) {
        self->plan = (rm_plan *)(uintptr_t)plan; /* never written, nor freed while it is lent */
        self->lent = true;
        self->registry = Py_NewRef(registry);
        self->findings = PyList_New(0);
    }
    if (self && !self->findings) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

void rmpy_plan_take_back(PyObject *plan)
{
    ((plan_object *)plan)->plan = NULL;
}

static PyObject *plan_to_json(PyObject *object, PyObject *Py_UNUSED(none))
{
    char *json = NULL;
    rm_error err = RM_ERROR_INIT;
    const rm_plan *plan = plan_ptr(object);
    if (!plan) {
        return NULL;
    }
    if (rm_plan_to_json(plan, &json, &err) != RM_OK) {
        return rmpy_raise(rmpy_state_of_object(object), &err, NULL);
    }
    return take_text(json);
}

static PyObject *plan_findings(PyObject *object, void *Py_UNUSED(closure))
{
    return PySequence_List(((plan_object *)object)->findings);
}

/* The types that a resolver gave: python.feed and python.collect have no NodeType. */
static PyObject *python_nodes(PyObject *object, bool fallbacks)
{
    const rm_plan *plan = plan_ptr(object);
    PyObject *list = plan ? PyList_New(0) : NULL;
    for (size_t i = 0; list && i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        const rm_node_type *code = rmpy_python_type(&node);
        if (!code || !code->user || (code != node.type) != fallbacks) {
            continue;
        }
        PyObject *row = Py_BuildValue("(sO)", node.id, (PyObject *)code->user);
        if (!row || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list;
}

static PyObject *plan_python_nodes(PyObject *object, void *Py_UNUSED(closure))
{
    return python_nodes(object, false);
}

static PyObject *plan_python_fallbacks(PyObject *object, void *Py_UNUSED(closure))
{
    return python_nodes(object, true);
}

/* A list for each node with code of a resolver's and several outputs. */
static PyObject *lists_by_node(const rm_plan *plan)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        const rm_node_type *code = rmpy_python_type(&node);
        if (!code || !code->user || rmpy_port_count(code->outputs) <= 1) {
            continue;
        }
        PyObject *list = PyList_New(0);
        if (!list || PyDict_SetItemString(dict, node.id, list) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(list);
    }
    return dict;
}

static int append_name(PyObject *list, const char *text)
{
    PyObject *name = PyUnicode_FromString(text);
    int known = name ? PySequence_Contains(list, name) : -1;
    int result = known == 0 ? PyList_Append(list, name) : known;
    Py_XDECREF(name);
    return result < 0 ? -1 : 0;
}

PyObject *rmpy_connected_outputs(const rm_plan *plan)
{
    PyObject *dict = lists_by_node(plan);
    bool any = dict && PyDict_GET_SIZE(dict) > 0;
    for (size_t i = 0; any && dict && i < rm_plan_edge_count(plan); i++) {
        rm_plan_edge edge;
        rm_plan_node from;
        rm_plan_edge_at(plan, i, &edge);
        rm_plan_node_at(plan, edge.from_node, &from);
        PyObject *list = PyDict_GetItemString(dict, from.id);
        if (list && append_name(list, from.type->outputs[edge.from_port].name) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *plan_connected_outputs(PyObject *object, void *Py_UNUSED(closure))
{
    const rm_plan *plan = plan_ptr(object);
    return plan ? rmpy_connected_outputs(plan) : NULL;
}

static PyObject *plan_native_only(PyObject *object, void *Py_UNUSED(closure))
{
    const rm_plan *plan = plan_ptr(object);
    if (!plan) {
        return NULL;
    }
    for (size_t i = 0; i < rm_plan_node_count(plan); i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        if (rmpy_python_type(&node)) {
            Py_RETURN_FALSE;
        }
    }
    Py_RETURN_TRUE;
}

/* The plan is freed before the types that it points to, and those before the registry. */
static void plan_dealloc(PyObject *object)
{
    plan_object *self = (plan_object *)object;
    PyTypeObject *cls = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (!self->lent) {
        rm_plan_free(self->plan);
    }
    Py_CLEAR(self->types);
    Py_CLEAR(self->graph);
    Py_CLEAR(self->registry);
    Py_CLEAR(self->findings);
    cls->tp_free(object);
    Py_DECREF(cls);
}

/* There is no tp_clear: a session may still use the plan. A cycle through it also goes through a
 * NodeType or a Registry, which can be cleared. */
static int plan_traverse(PyObject *object, visitproc visit, void *arg)
{
    plan_object *self = (plan_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->graph);
    Py_VISIT(self->registry);
    Py_VISIT(self->types);
    Py_VISIT(self->findings);
    return 0;
}

static PyMethodDef plan_methods[] = {
    {"to_json", plan_to_json, METH_NOARGS,
     PyDoc_STR("to_json($self, /)\n--\n\nThe plan with the reason of each choice.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef plan_getset[] = {
    {"findings", plan_findings, NULL, PyDoc_STR("Warnings of parsing and planning."), NULL},
    {"python_nodes", plan_python_nodes, NULL,
     PyDoc_STR("Ids and types of the nodes whose code is Python, in rank order."), NULL},
    {"python_fallbacks", plan_python_fallbacks, NULL,
     PyDoc_STR("Ids and types of those that take over, in Python, what a place refuses."), NULL},
    {"connected_outputs", plan_connected_outputs, NULL,
     PyDoc_STR("Names of the connected outputs of each Python node that has several, by its id."),
     NULL},
    {"native_only", plan_native_only, NULL, PyDoc_STR("True where no node is Python."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_doc, "Formats, placement and reasons, fixed before anything opens."},
    {Py_tp_dealloc, plan_dealloc},
    {Py_tp_traverse, plan_traverse},
    {Py_tp_methods, plan_methods},
    {Py_tp_getset, plan_getset},
    {0, NULL},
};

PyType_Spec rmpy_plan_spec = {
    .name = "remotemedia._core.Plan",
    .basicsize = sizeof(plan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = plan_slots,
};
