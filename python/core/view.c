/* View: a packet's memory as a buffer (PEP 3118). */
#include "core.h"

#include <stdint.h>
#include <string.h>

/* By rm_dtype: the format character of the struct module and of PEP 3118. */
static const char *const dtype_formats[] = {
    [RM_DTYPE_NONE] = "B", [RM_DTYPE_BOOL] = "?", [RM_DTYPE_U8] = "B",   [RM_DTYPE_S8] = "b",
    [RM_DTYPE_U16] = "H",  [RM_DTYPE_S16] = "h",  [RM_DTYPE_U32] = "I",  [RM_DTYPE_S32] = "i",
    [RM_DTYPE_U64] = "L",  [RM_DTYPE_S64] = "l",  [RM_DTYPE_F16] = "e",  [RM_DTYPE_F32] = "f",
    [RM_DTYPE_F64] = "d",  [RM_DTYPE_C64] = "Zf", [RM_DTYPE_C128] = "Zd"};

typedef struct view_object {
    PyObject_HEAD rm_packet *packet; /* what holds the memory: a reference to this, */
    PyObject *owner;                 /* or to this */
    rmpy_layout layout;
} view_object;

PyObject *rmpy_view_new(rmpy_state *state, rm_packet *packet, PyObject *owner,
                        const rmpy_layout *layout)
{
    view_object *self = (view_object *)state->view->tp_alloc(state->view, 0);
    if (self) {
        self->packet = packet ? rm_packet_ref(packet) : NULL;
        self->owner = Py_XNewRef(owner);
        self->layout = *layout;
    }
    return (PyObject *)self;
}

static void view_dealloc(PyObject *object)
{
    view_object *self = (view_object *)object;
    PyTypeObject *cls = Py_TYPE(object);
    rm_packet_unref(self->packet);
    Py_CLEAR(self->owner);
    cls->tp_free(object);
    Py_DECREF(cls);
}

/* ---- the buffer */

static int refuse(Py_buffer *view, const char *why)
{
    view->obj = NULL;
    PyErr_Format(PyExc_BufferError, "View: %s", why);
    return -1;
}

static int view_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    view_object *self = (view_object *)object;
    rmpy_layout *layout = &self->layout;
    bool has_strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
    bool wants_order = (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS ||
                       (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS || !has_strides;
    if ((flags & PyBUF_WRITABLE) && !layout->writable) {
        return refuse(view, "the memory is read-only: others hold the packet too");
    }
    if ((wants_order && !rmpy_layout_is_contiguous(layout)) ||
        ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && layout->ndim > 1)) {
        return refuse(view, "the memory is not contiguous in the order asked for");
    }
    view->obj = Py_NewRef(object);
    view->buf = layout->data;
    view->itemsize = (Py_ssize_t)rm_dtype_bytes(layout->dtype);
    view->len = rmpy_layout_bytes(layout);
    view->readonly = !layout->writable;
    view->format = NULL;
    if ((flags & PyBUF_FORMAT) == PyBUF_FORMAT) {
        view->format = (char *)(uintptr_t)dtype_formats[layout->dtype];
    }
    view->ndim = layout->ndim;
    view->shape = (flags & PyBUF_ND) == PyBUF_ND ? layout->shape : NULL;
    view->strides = has_strides ? layout->strides : NULL;
    view->suboffsets = NULL;
    view->internal = NULL;
    return 0;
}

/* ---- attributes */

static PyObject *get_shape(PyObject *object, void *Py_UNUSED(closure))
{
    const rmpy_layout *layout = &((view_object *)object)->layout;
    PyObject *shape = PyTuple_New(layout->ndim);
    for (int i = 0; shape && i < layout->ndim; i++) {
        PyObject *length = PyLong_FromSsize_t(layout->shape[i]);
        if (!length) {
            Py_CLEAR(shape);
        } else {
            PyTuple_SET_ITEM(shape, i, length);
        }
    }
    return shape;
}

static PyObject *get_format(PyObject *object, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(dtype_formats[((view_object *)object)->layout.dtype]);
}

static PyObject *get_readonly(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!((view_object *)object)->layout.writable);
}

static PyObject *get_address(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr(((view_object *)object)->layout.data);
}

static PyGetSetDef view_getset[] = {
    {"shape", get_shape, NULL, PyDoc_STR("The length of each dimension."), NULL},
    {"format", get_format, NULL, PyDoc_STR("The element's format, as in the struct module."), NULL},
    {"readonly", get_readonly, NULL, PyDoc_STR("True where others hold the packet too."), NULL},
    {"address", get_address, NULL, PyDoc_STR("Where the memory begins."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot view_slots[] = {
    {Py_tp_doc, "A packet's memory as a buffer (PEP 3118); holds a reference to the packet."},
    {Py_tp_dealloc, view_dealloc},
    {Py_tp_getset, view_getset},
    {Py_bf_getbuffer, view_getbuffer},
    {0, NULL},
};

PyType_Spec rmpy_view_spec = {
    .name = "remotemedia._core.View",
    .basicsize = sizeof(view_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = view_slots,
};
