/* Objects that wait: results for a call of the engine's, items for a worker, or for pull(). */
#include "run.h"

/* Makes room for one more. -1: no memory, with an exception. */
static int make_room(rmpy_ring *ring)
{
    if (ring->many || ring->length < RMPY_RING_FEW) {
        return 0;
    }
    PyObject **many = PyMem_Calloc(RMPY_BATCH_MAX, sizeof(PyObject *));
    if (!many) {
        PyErr_NoMemory();
        return -1;
    }
    for (unsigned i = 0; i < ring->length; i++) {
        many[i] = *rmpy_ring_at(ring, i);
    }
    ring->many = many;
    ring->head = 0;
    return 0;
}

static int reserve(rmpy_ring *ring, PyObject *object)
{
    if (ring->length == RMPY_BATCH_MAX) {
        Py_FatalError("remotemedia: results of a node do not fit its ring");
    }
    int failed = make_room(ring);
    if (failed) {
        Py_DECREF(object);
    }
    return failed;
}

int rmpy_ring_push(rmpy_ring *ring, PyObject *takes_object)
{
    if (reserve(ring, takes_object) < 0) {
        return -1;
    }
    *rmpy_ring_at(ring, ring->length++) = takes_object;
    return 0;
}

int rmpy_ring_push_front(rmpy_ring *ring, PyObject *takes_object)
{
    if (reserve(ring, takes_object) < 0) {
        return -1;
    }
    ring->head = (ring->head + RMPY_BATCH_MAX - 1) % RMPY_BATCH_MAX;
    ring->length++;
    *rmpy_ring_at(ring, 0) = takes_object;
    return 0;
}

void rmpy_ring_clear(rmpy_ring *ring)
{
    for (PyObject *object; (object = rmpy_ring_pop(ring));) {
        Py_DECREF(object);
    }
}

void rmpy_ring_free(rmpy_ring *ring)
{
    rmpy_ring_clear(ring);
    PyMem_Free(ring->many);
    ring->many = NULL;
}
