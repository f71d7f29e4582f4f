/* What a node is by its object: its methods, and where its calls begin. */
#include "run.h"

bool rmpy_is_async(PyObject *callable)
{
    PyObject *function = callable;
    for (int depth = 0; depth < 8 && function; depth++) {
        if (PyMethod_Check(function)) {
            function = PyMethod_GET_FUNCTION(function);
        } else if (PyFunction_Check(function)) {
            PyObject *code = PyFunction_GET_CODE(function);
            int flags = ((PyCodeObject *)code)->co_flags;
            return flags & (CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE);
        } else {
            PyObject *inner = PyObject_GetAttrString(function, "func"); /* functools.partial */
            PyErr_Clear();
            Py_XDECREF(inner); /* the partial keeps it */
            function = inner;
        }
    }
    return false;
}

static int optional_attribute(PyObject *object, PyObject *name, PyObject **ret_value)
{
    *ret_value = PyObject_GetAttr(object, name);
    if (!*ret_value && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    if (*ret_value == Py_None) {
        Py_CLEAR(*ret_value);
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* Of a source: what is called where nothing that it gives has room. */
static int find_overrun(rmpy_runner *p)
{
    if (p->n_in > 0) {
        return 0;
    }
    if (optional_attribute(p->object, p->session->state->str_overrun, &p->overrun) < 0) {
        return -1;
    }
    if (p->overrun && rmpy_is_async(p->overrun)) {
        PyErr_Format(PyExc_TypeError,
                     "node '%s': overrun() is a coroutine, want a plain function, as it is called "
                     "while the node waits",
                     p->id);
        return -1;
    }
    return 0;
}

int rmpy_node_prepare(rmpy_runner *p, PyObject *object)
{
    const rmpy_state *state = p->session->state;
    PyObject *streaming = NULL;
    p->object = Py_NewRef(object);
    p->process = PyObject_GetAttr(object, state->str_process);
    if (!p->process || !PyCallable_Check(p->process)) {
        PyErr_Format(PyExc_TypeError, "node '%s' is a %s without a process() that can be called",
                     p->id, Py_TYPE(object)->tp_name);
        return -1;
    }
    bool is_bound = PyMethod_Check(p->process);
    p->function = is_bound ? PyMethod_GET_FUNCTION(p->process) : p->process;
    p->self = is_bound ? PyMethod_GET_SELF(p->process) : NULL;
    if (optional_attribute(object, state->str_flush, &p->flush) < 0 ||
        optional_attribute(object, state->str_interrupt, &p->interrupt) < 0 ||
        optional_attribute(object, state->str_ahead, &p->ahead) < 0 ||
        optional_attribute(object, state->str_is_streaming, &streaming) < 0) {
        return -1;
    }
    int is_true = streaming ? PyObject_IsTrue(streaming) : 0;
    Py_XDECREF(streaming);
    p->is_streaming = is_true > 0 && p->n_in > 0;
    p->is_plain = p->n_in == 1 && !p->is_streaming;
    p->gives_objects = p->n_out == 1 && p->object_ports & 1;
    return is_true < 0 || find_overrun(p) < 0 ? -1 : 0;
}

int rmpy_node_place(rmpy_runner *p)
{
    p->takes_long = true;
    if (p->is_streaming || rmpy_is_async(p->process)) {
        p->mode = RMPY_ASYNC;
        return 0;
    }
    bool with_loop = p->session->loop != NULL;
    p->mode = p->blocking == 1                 ? RMPY_OWN
              : p->blocking == 0 || !with_loop ? RMPY_INLINE
                                               : RMPY_POOL;
    p->session->judges |= p->blocking < 0;
    return 0;
}
