/* What packets borrow from Python, and how it is given back from threads without the GIL.
 *
 *      any thread                                      under the GIL
 *      rmpy_release() --push--> [ list without lock ] --> rmpy_drain_releases()
 */
#include "core.h"

#include <stdatomic.h>
#include <stdlib.h>

/* An entry of the list: an object, or the head of a held buffer (object NULL). */
typedef struct release_item {
    struct release_item *next;
    PyObject *object;
} release_item;

struct rmpy_buffer {
    release_item item;
    Py_buffer view;
};

/* The one mutable static: threads that know no interpreter push here. */
static _Atomic(release_item *) released;

/* True where this thread may touch references. */
static bool has_gil(void)
{
    PyThreadState *mine = PyGILState_GetThisThreadState();
#if PY_VERSION_HEX >= 0x030D0000
    return mine && mine == PyThreadState_GetUnchecked();
#else
    return mine && mine == _PyThreadState_UncheckedGet();
#endif
}

static void push(release_item *item)
{
    item->next = atomic_load_explicit(&released, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&released, &item->next, item,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

/* ---- objects */

void rmpy_release(void *owner)
{
    if (has_gil()) {
        Py_DECREF((PyObject *)owner);
        return;
    }
    release_item *item = malloc(sizeof *item);
    if (item) { /* without memory the object lives on: better than a reference count gone wrong */
        item->object = owner;
        push(item);
    }
}

/* ---- buffers */

rmpy_buffer *rmpy_buffer_new(PyObject *exporter)
{
    rmpy_buffer *buffer = PyMem_Calloc(1, sizeof *buffer);
    if (!buffer) {
        PyErr_NoMemory();
        return NULL;
    }
    if (PyObject_GetBuffer(exporter, &buffer->view, PyBUF_FULL_RO) < 0) {
        PyMem_Free(buffer);
        return NULL;
    }
    return buffer;
}

const Py_buffer *rmpy_buffer_view(const rmpy_buffer *buffer)
{
    return &buffer->view;
}

static void buffer_free(rmpy_buffer *buffer)
{
    PyBuffer_Release(&buffer->view);
    PyMem_Free(buffer);
}

void rmpy_buffer_release(void *owner)
{
    rmpy_buffer *buffer = owner;
    if (has_gil()) {
        buffer_free(buffer);
    } else {
        push(&buffer->item);
    }
}

/* ---- how much a live object holds */

/* What the object exports as a buffer; 0: nothing, or it does not say. */
static uint64_t buffer_bytes(PyObject *object)
{
    Py_buffer view;
    if (PyBytes_CheckExact(object)) {
        return (uint64_t)PyBytes_GET_SIZE(object);
    }
    if (!PyObject_CheckBuffer(object)) {
        return 0;
    }
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear(); /* an array of dates, for one */
        return 0;
    }
    uint64_t bytes = (uint64_t)view.len;
    PyBuffer_Release(&view);
    return bytes;
}

uint64_t rmpy_object_bytes(PyObject *object)
{
    uint64_t bytes = 0;
    if (PyTuple_Check(object)) { /* (samples, rate_hz), a set of arrays */
        Py_ssize_t count = PyTuple_GET_SIZE(object) < 8 ? PyTuple_GET_SIZE(object) : 8;
        for (Py_ssize_t i = 0; i < count; i++) {
            bytes += buffer_bytes(PyTuple_GET_ITEM(object, i));
        }
    } else {
        bytes = buffer_bytes(object);
    }
    return bytes < RM_PACKET_PAYLOAD_MAX ? bytes : RM_PACKET_PAYLOAD_MAX;
}

/* ---- giving back */

void rmpy_drain_releases(void)
{
    if (!atomic_load_explicit(&released, memory_order_relaxed)) {
        return;
    }
    release_item *item = atomic_exchange_explicit(&released, NULL, memory_order_acquire);
    while (item) {
        release_item *next = item->next;
        if (item->object) {
            Py_DECREF(item->object);
            free(item);
        } else {
            buffer_free((rmpy_buffer *)item);
        }
        item = next;
    }
}
