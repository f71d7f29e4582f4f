/* Link: one side of a link to another process, and Block: memory that both have mapped. */
#include "core.h"

#include <stddef.h>
#include <structmember.h>

#include <string.h>

/* A block of this side's, or a part that came. */
typedef struct block_object block_object;

typedef struct link_object {
    PyObject_HEAD rm_ipc *ipc; /* NULL: closed */
    block_object *own;         /* the blocks of alloc() that live */
    PyObject *weak;            /* references to it */
} link_object;

struct block_object {
    PyObject_HEAD rm_ipc_part part;
    bool is_own;
    block_object *next, **self_in;
};

/* ---- Block */

static void forget(block_object *block)
{
    if (block->self_in) {
        *block->self_in = block->next;
        if (block->next) {
            block->next->self_in = block->self_in;
        }
        block->self_in = NULL;
    }
}

static void block_dealloc(PyObject *object)
{
    block_object *self = (block_object *)object;
    PyTypeObject *cls = Py_TYPE(object);
    forget(self);
    if (self->is_own) {
        rm_ipc_unref(&self->part);
    } else {
        rm_ipc_release(&self->part);
    }
    cls->tp_free(object);
    Py_DECREF(cls);
}

static int block_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    block_object *self = (block_object *)object;
    return PyBuffer_FillInfo(view, object, self->part.data, (Py_ssize_t)self->part.bytes,
                             !self->is_own, flags);
}

static Py_ssize_t block_length(PyObject *object)
{
    return (Py_ssize_t)((block_object *)object)->part.bytes;
}

static PyType_Slot block_slots[] = {
    {Py_tp_doc, "Memory of a link as a buffer: of alloc() writable, of what came read-only."},
    {Py_tp_dealloc, block_dealloc},
    {Py_bf_getbuffer, block_getbuffer},
    {Py_sq_length, block_length},
    {0, NULL},
};

PyType_Spec rmpy_block_spec = {
    .name = "remotemedia._core.Block",
    .basicsize = sizeof(block_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = block_slots,
};

static block_object *block_new(rmpy_state *state)
{
    return (block_object *)state->block->tp_alloc(state->block, 0);
}

/* ---- Link */

static PyObject *failed(PyObject *object, const rm_error *err)
{
    return rmpy_raise(rmpy_state_of_object(object), err, NULL);
}

static rm_ipc *open_link(PyObject *object)
{
    rm_ipc *ipc = ((link_object *)object)->ipc;
    if (!ipc) {
        PyErr_SetString(PyExc_ValueError, "the link is closed");
    }
    return ipc;
}

static void close_link(link_object *self)
{
    while (self->own) {
        forget(self->own);
    }
    rm_ipc_free(self->ipc);
    self->ipc = NULL;
}

static void link_dealloc(PyObject *object)
{
    PyTypeObject *cls = Py_TYPE(object);
    if (((link_object *)object)->weak) {
        PyObject_ClearWeakRefs(object);
    }
    close_link((link_object *)object);
    cls->tp_free(object);
    Py_DECREF(cls);
}

static PyObject *fds_tuple(const int *fds)
{
    return Py_BuildValue("(iiii)", fds[0], fds[1], fds[2], fds[3]);
}

static PyObject *link_make(PyObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"capacity", "pool_bytes_max", NULL};
    unsigned int capacity = 64;
    unsigned long long pool_bytes_max = 0;
    int fds[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$IK:make", names, &capacity,
                                     &pool_bytes_max)) {
        return NULL;
    }
    rm_ipc_options options = {
        .struct_size = sizeof options, .capacity = capacity, .pool_bytes_max = pool_bytes_max};
    link_object *self = (link_object *)((PyTypeObject *)cls)->tp_alloc((PyTypeObject *)cls, 0);
    if (!self) {
        return NULL;
    }
    if (rm_ipc_new(&options, &self->ipc, fds, &err) != RM_OK) {
        (void)failed((PyObject *)self, &err);
        Py_DECREF(self);
        return NULL;
    }
    return Py_BuildValue("(NN)", self, fds_tuple(fds));
}

static PyObject *link_attach(PyObject *cls, PyObject *fds)
{
    int given[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    if (!PyTuple_Check(fds) || !PyArg_ParseTuple(fds, "iiii;attach: want 4 descriptors", &given[0],
                                                 &given[1], &given[2], &given[3])) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "attach: want a tuple of 4 descriptors");
        }
        return NULL;
    }
    link_object *self = (link_object *)((PyTypeObject *)cls)->tp_alloc((PyTypeObject *)cls, 0);
    if (self && rm_ipc_attach(given, &self->ipc, &err) != RM_OK) {
        (void)failed((PyObject *)self, &err);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *link_alloc(PyObject *object, PyObject *size)
{
    link_object *self = (link_object *)object;
    rm_error err = RM_ERROR_INIT;
    Py_ssize_t bytes = PyLong_AsSsize_t(size);
    if (bytes < 0 || !open_link(object)) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "alloc: %zd bytes, want 0 or more", bytes);
        }
        return NULL;
    }
    block_object *block = block_new(rmpy_state_of_object(object));
    if (!block) {
        return NULL;
    }
    block->is_own = true;
    if (rm_ipc_alloc(self->ipc, (uint64_t)bytes, &block->part, &err) != RM_OK) {
        Py_DECREF(block);
        return failed(object, &err);
    }
    block->next = self->own;
    block->self_in = &self->own;
    if (self->own) {
        self->own->self_in = &block->next;
    }
    self->own = block;
    return (PyObject *)block;
}

/* ---- sending */

/* What a message holds until it is sent. */
typedef struct outgoing {
    rm_ipc_message message;
    rm_ipc_part made[RM_IPC_PARTS_MAX]; /* to be let go of; zeros: an own block, sent as it is */
} outgoing;

/* The memory is the beginning of a block of this link: it is not copied. */
static const rm_ipc_part *own_part(const link_object *self, const Py_buffer *view)
{
    for (const block_object *b = self->own; b; b = b->next) {
        if (b->part.data == view->buf && (uint64_t)view->len <= b->part.bytes) {
            return &b->part;
        }
    }
    return NULL;
}

static int add_part(link_object *self, outgoing *out, PyObject *object)
{
    Py_buffer view;
    rm_error err = RM_ERROR_INIT;
    rm_ipc_message *message = &out->message;
    if (PyObject_GetBuffer(object, &view, PyBUF_C_CONTIGUOUS) < 0) {
        return -1;
    }
    rm_ipc_part *part = &message->part[message->part_count];
    const rm_ipc_part *own = own_part(self, &view);
    rm_status status = RM_OK;
    if (own) {
        *part = *own;
        part->bytes = (uint64_t)view.len;
    } else {
        status = rm_ipc_alloc(self->ipc, (uint64_t)view.len, part, &err);
        if (status == RM_OK) {
            out->made[message->part_count] = *part;
            memcpy(part->data, view.buf, (size_t)view.len);
        }
    }
    PyBuffer_Release(&view);
    if (status != RM_OK) {
        (void)failed((PyObject *)self, &err);
        return -1;
    }
    message->header.payload_bytes += part->bytes;
    message->part_count++;
    return 0;
}

static int fill_message(link_object *self, outgoing *out, const Py_buffer *head, PyObject *parts)
{
    if (head->len > RM_IPC_HEAD_MAX || PyTuple_GET_SIZE(parts) > RM_IPC_PARTS_MAX) {
        PyErr_Format(PyExc_ValueError, "send: %zd bytes and %zd parts, want at most %d and %d",
                     head->len, PyTuple_GET_SIZE(parts), RM_IPC_HEAD_MAX, RM_IPC_PARTS_MAX);
        return -1;
    }
    out->message.header = (rm_packet_header){.version = RM_PACKET_VERSION,
                                             .kind = RM_KIND_BYTES,
                                             .header_units = RM_PACKET_HEADER_BYTES / 64,
                                             .pts_ns = RM_TIME_NONE,
                                             .metadata_bytes = (uint32_t)head->len};
    out->message.head_bytes = (uint32_t)head->len;
    out->message.part_count = 0;
    memset(out->made, 0, sizeof out->made);
    memcpy(out->message.head, head->buf, (size_t)head->len);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(parts); i++) {
        if (add_part(self, out, PyTuple_GET_ITEM(parts, i)) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *link_send(PyObject *object, PyObject *args)
{
    Py_buffer head;
    PyObject *parts;
    outgoing out;
    rm_error err = RM_ERROR_INIT;
    rm_status status = RM_EINVAL;
    if (!open_link(object) || !PyArg_ParseTuple(args, "y*O!:send", &head, &PyTuple_Type, &parts)) {
        return NULL;
    }
    link_object *self = (link_object *)object;
    out.message.part_count = 0;
    memset(out.made, 0, sizeof out.made);
    int filled = fill_message(self, &out, &head, parts);
    PyBuffer_Release(&head);
    if (filled == 0) {
        status = rm_ipc_send(self->ipc, &out.message, &err);
    }
    for (uint32_t i = 0; i < RM_IPC_PARTS_MAX; i++) {
        rm_ipc_unref(&out.made[i]);
    }
    if (filled < 0) {
        return NULL;
    }
    if (status == RM_DONE) {
        PyErr_SetString(PyExc_EOFError, "the peer wants nothing more");
        return NULL;
    }
    return status < 0 ? failed(object, &err) : PyBool_FromLong(status == RM_OK);
}

static PyObject *link_interrupt(PyObject *object, PyObject *Py_UNUSED(none))
{
    if (!open_link(object)) {
        return NULL;
    }
    rm_ipc_interrupt(((link_object *)object)->ipc);
    Py_RETURN_NONE;
}

static PyObject *link_end(PyObject *object, PyObject *Py_UNUSED(none))
{
    if (!open_link(object)) {
        return NULL;
    }
    rm_ipc_end(((link_object *)object)->ipc);
    Py_RETURN_NONE;
}

/* ---- receiving */

static PyObject *parts_of(rmpy_state *state, rm_ipc_message *message)
{
    PyObject *parts = PyTuple_New((Py_ssize_t)message->part_count);
    for (uint32_t i = 0; i < message->part_count; i++) {
        block_object *block = parts ? block_new(state) : NULL;
        if (!block) {
            rm_ipc_release(&message->part[i]);
            Py_CLEAR(parts);
            continue;
        }
        block->part = message->part[i];
        PyTuple_SET_ITEM(parts, i, (PyObject *)block);
    }
    return parts;
}

static PyObject *link_receive(PyObject *object, PyObject *Py_UNUSED(none))
{
    rm_ipc_message message;
    rm_error err = RM_ERROR_INIT;
    rm_ipc *ipc = open_link(object);
    if (!ipc) {
        return NULL;
    }
    rm_status status = rm_ipc_receive(ipc, &message, &err);
    if (status == RM_EAGAIN) {
        Py_RETURN_NONE;
    }
    if (status == RM_DONE) {
        PyErr_SetString(PyExc_EOFError, "the peer has ended the link");
        return NULL;
    }
    if (status < 0) {
        return failed(object, &err);
    }
    PyObject *parts = parts_of(rmpy_state_of_object(object), &message);
    if (!parts) {
        return NULL;
    }
    return Py_BuildValue("(y#N)", (const char *)message.head, (Py_ssize_t)message.head_bytes,
                         parts);
}

static PyObject *link_acknowledge(PyObject *object, PyObject *Py_UNUSED(none))
{
    rm_ipc *ipc = open_link(object);
    if (!ipc) {
        return NULL;
    }
    rm_ipc_acknowledge(ipc);
    Py_RETURN_NONE;
}

/* ---- waiting, and the end */

static PyObject *link_fileno(PyObject *object, PyObject *Py_UNUSED(none))
{
    rm_ipc *ipc = open_link(object);
    return ipc ? PyLong_FromLong(rm_ipc_fd(ipc)) : NULL;
}

static PyObject *link_socket(PyObject *object, PyObject *Py_UNUSED(none))
{
    rm_ipc *ipc = open_link(object);
    return ipc ? PyLong_FromLong(rm_ipc_socket(ipc)) : NULL;
}

static PyObject *link_sleep(PyObject *object, PyObject *Py_UNUSED(none))
{
    rm_ipc *ipc = open_link(object);
    return ipc ? PyBool_FromLong(rm_ipc_sleep(ipc)) : NULL;
}

static PyObject *link_wake(PyObject *object, PyObject *Py_UNUSED(none))
{
    rm_ipc *ipc = open_link(object);
    if (!ipc) {
        return NULL;
    }
    rm_ipc_wake(ipc);
    Py_RETURN_NONE;
}

static PyObject *link_look(PyObject *object, PyObject *Py_UNUSED(none))
{
    rm_error err = RM_ERROR_INIT;
    rm_ipc *ipc = open_link(object);
    if (!ipc) {
        return NULL;
    }
    rm_status status = rm_ipc_look(ipc, &err);
    return status == RM_OK || status == RM_EFAIL ? PyBool_FromLong(status == RM_OK)
                                                 : failed(object, &err);
}

static PyObject *link_renew(PyObject *object, PyObject *Py_UNUSED(none))
{
    int fds[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    rm_ipc *ipc = open_link(object);
    if (!ipc) {
        return NULL;
    }
    return rm_ipc_renew(ipc, fds, &err) == RM_OK ? fds_tuple(fds) : failed(object, &err);
}

static PyObject *link_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    close_link((link_object *)object);
    Py_RETURN_NONE;
}

static PyMethodDef link_methods[] = {
    {"make", (PyCFunction)(void (*)(void))link_make, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     PyDoc_STR("make(*, capacity=64, pool_bytes_max=0)\n--\n\nA link, and the descriptors for the "
               "other side.")},
    {"attach", link_attach, METH_O | METH_CLASS,
     PyDoc_STR("attach(fds, /)\n--\n\nThe other side; takes the descriptors.")},
    {"alloc", link_alloc, METH_O,
     PyDoc_STR("alloc($self, bytes, /)\n--\n\nA Block that send() does not copy.")},
    {"send", link_send, METH_VARARGS,
     PyDoc_STR("send($self, head, parts, /)\n--\n\nFalse: no credit. EOFError: not wanted.")},
    {"receive", link_receive, METH_NOARGS,
     PyDoc_STR("receive($self, /)\n--\n\n(head, parts); None: nothing came. EOFError: ended.")},
    {"acknowledge", link_acknowledge, METH_NOARGS,
     PyDoc_STR("acknowledge($self, /)\n--\n\nAll that was received is dealt with.")},
    {"interrupt", link_interrupt, METH_NOARGS,
     PyDoc_STR("interrupt($self, /)\n--\n\nDrops what was sent and not received yet.")},
    {"end", link_end, METH_NOARGS, PyDoc_STR("end($self, /)\n--\n\nNothing more is to come.")},
    {"fileno", link_fileno, METH_NOARGS,
     PyDoc_STR("fileno($self, /)\n--\n\nReadable when the peer has something for who sleeps.")},
    {"socket", link_socket, METH_NOARGS,
     PyDoc_STR("socket($self, /)\n--\n\nReadable when look() is to be called.")},
    {"sleep", link_sleep, METH_NOARGS,
     PyDoc_STR("sleep($self, /)\n--\n\nTrue: may sleep on fileno(). False: look again.")},
    {"wake", link_wake, METH_NOARGS, PyDoc_STR("wake($self, /)\n--\n\nAfter a sleep.")},
    {"look", link_look, METH_NOARGS, PyDoc_STR("look($self, /)\n--\n\nFalse: the peer is gone.")},
    {"renew", link_renew, METH_NOARGS,
     PyDoc_STR("renew($self, /)\n--\n\nDescriptors for a new peer in the place of one that died.")},
    {"close", link_close, METH_NOARGS, PyDoc_STR("close($self, /)\n--\n\nThe peer sees it.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef link_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(link_object, weak), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot link_slots[] = {
    {Py_tp_doc, "One side of a link to another process."},
    {Py_tp_dealloc, link_dealloc},
    {Py_tp_members, link_members},
    {Py_tp_methods, link_methods},
    {0, NULL},
};

PyType_Spec rmpy_link_spec = {
    .name = "remotemedia._core.Link",
    .basicsize = sizeof(link_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = link_slots,
};
