/* _packets: lets the tests look at the packets that values become. Built beside the extension,
 * never installed. It is linked from the extension's own objects and uses the state of the real
 * module.
 */
#include "core.h"

#include <pthread.h>

static rmpy_state *core_state(void)
{
    PyObject *core = PyImport_ImportModule("remotemedia._core");
    rmpy_state *state = core ? rmpy_state_of(core) : NULL;
    Py_XDECREF(core); /* sys.modules keeps it */
    return state;
}

/* A session whose pool the packets come from; one harness, kept for the process. */
static rm_session *test_session(rmpy_state *state)
{
    static rm_harness *harness;
    rm_error err = RM_ERROR_INIT;
    if (!harness && rm_harness_load("test.pass", NULL, &harness, &err) != RM_OK) {
        (void)rmpy_raise(state, &err, NULL);
        return NULL;
    }
    return rm_harness_session(harness);
}

static PyObject *address_of(const void *memory)
{
    return PyLong_FromVoidPtr((void *)(uintptr_t)memory);
}

/* Header, address and what comes back. `shared`: somebody else holds the packet meanwhile. */
static PyObject *show(rmpy_state *state, rm_packet *packet, int shared)
{
    const rm_packet_header *h = &packet->header;
    rm_error err = RM_ERROR_INIT;
    if (rm_packet_header_check(h, sizeof *h, &err) != RM_OK) {
        return rmpy_raise(state, &err, NULL);
    }
    if (shared) {
        (void)rm_packet_ref(packet);
    }
    PyObject *back = rmpy_from_packet(state, packet);
    if (shared) {
        rm_packet_unref(packet);
    }
    if (!back) {
        return NULL;
    }
    return Py_BuildValue(
        "{s:s,s:K,s:N,s:N,s:L,s:L,s:y#,s:y#,s:i,s:N}", "kind", rm_kind_name(h->kind), "bytes",
        (unsigned long long)h->payload_bytes, "address", address_of(packet->payload), "metadata",
        rmpy_metadata_of(state, packet), "pts_ns", (long long)h->pts_ns, "duration_ns",
        (long long)h->duration_ns, "format", h->format.bytes, (Py_ssize_t)sizeof h->format,
        "instance", h->instance.bytes, (Py_ssize_t)sizeof h->instance, "foreign",
        rm_packet_owner(packet) != NULL, "back", back);
}

static PyObject *cross(PyObject *module, PyObject *args)
{
    PyObject *value;
    int shared = 0;
    rm_error err = RM_ERROR_INIT;
    rm_packet *packet = NULL;
    rmpy_state *state = core_state();
    (void)module;
    if (!state || !PyArg_ParseTuple(args, "O|p", &value, &shared)) {
        return NULL;
    }
    rmpy_packet_maker maker = {.session = test_session(state)};
    if (!maker.session) {
        return NULL;
    }
    if (rmpy_to_packet(state, maker, value, &packet, &err) != RM_OK) {
        return rmpy_raise(state, &err, NULL);
    }
    PyObject *result = show(state, packet, shared);
    rm_packet_unref(packet);
    return result;
}

/* The first packet of a native source. */
static PyObject *first_of(PyObject *module, PyObject *args)
{
    const char *type, *params;
    int shared = 0;
    rm_error err = RM_ERROR_INIT;
    rm_harness *harness = NULL;
    rm_packet *packet = NULL;
    PyObject *result = NULL;
    rmpy_state *state = core_state();
    (void)module;
    if (!state || !PyArg_ParseTuple(args, "ss|p", &type, &params, &shared)) {
        return NULL;
    }
    rm_status status = rm_harness_load(type, params, &harness, &err);
    if (status == RM_OK) {
        status = rm_harness_run(harness, &err);
    }
    if (status >= 0 && rm_harness_pull(harness, 0, &packet) == RM_OK) {
        result = show(state, packet, shared);
        rm_packet_unref(packet);
    } else {
        (void)rm_fail(&err, RM_EFAIL, "no packet came: %s", err.message);
        (void)rmpy_raise(state, &err, NULL);
    }
    rm_harness_free(harness);
    return result;
}

static void *release_object(void *object)
{
    rmpy_release(object);
    return NULL;
}

/* Gives a reference back on a thread that has no GIL, while this one keeps the GIL. */
static PyObject *release_elsewhere(PyObject *module, PyObject *object)
{
    pthread_t thread;
    (void)module;
    if (pthread_create(&thread, NULL, release_object, Py_NewRef(object)) != 0) {
        return PyErr_Format(PyExc_RuntimeError, "no thread");
    }
    pthread_join(thread, NULL);
    Py_RETURN_NONE;
}

static void *release_buffer(void *buffer)
{
    rmpy_buffer_release(buffer);
    return NULL;
}

static PyObject *release_buffer_elsewhere(PyObject *module, PyObject *exporter)
{
    pthread_t thread;
    rmpy_buffer *buffer = rmpy_buffer_new(exporter);
    (void)module;
    if (!buffer || pthread_create(&thread, NULL, release_buffer, buffer) != 0) {
        return buffer ? PyErr_Format(PyExc_RuntimeError, "no thread") : NULL;
    }
    pthread_join(thread, NULL);
    Py_RETURN_NONE;
}

static PyObject *drain(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    rmpy_drain_releases();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"cross", cross, METH_VARARGS, "cross(value, shared=False)"},
    {"first_of", first_of, METH_VARARGS, "first_of(type, params, shared=False)"},
    {"release_elsewhere", release_elsewhere, METH_O, "release_elsewhere(object)"},
    {"release_buffer_elsewhere", release_buffer_elsewhere, METH_O, "release_buffer_elsewhere(o)"},
    {"drain", drain, METH_NOARGS, "drain()"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, .m_name = "remotemedia._packets",
                                        .m_methods = methods};

PyMODINIT_FUNC PyInit__packets(void);
PyMODINIT_FUNC PyInit__packets(void)
{
    return PyModule_Create(&module_def);
}
