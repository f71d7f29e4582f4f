/* Packets to Python objects and back; pack() and unpack(). Audio and video are in media.c. */
#include "core.h"

#include <string.h>

/* ---- names */

PyObject *rmpy_get(PyObject *object, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *value = key ? PyObject_GetAttr(object, key) : NULL;
    Py_XDECREF(key);
    return value;
}

PyObject *rmpy_call(PyObject *object, const char *name, PyObject *argument)
{
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *result = !key       ? NULL
                       : argument ? PyObject_CallMethodOneArg(object, key, argument)
                                  : PyObject_CallMethodNoArgs(object, key);
    Py_XDECREF(key);
    return result;
}

PyObject *rmpy_type_name(PyObject *value)
{
    PyObject *name = PyType_GetQualName(Py_TYPE(value));
    PyObject *module = rmpy_get((PyObject *)Py_TYPE(value), "__module__");
    if (!module || !PyUnicode_Check(module)) {
        PyErr_Clear();
    } else if (name && PyUnicode_CompareWithASCIIString(module, "builtins") != 0) {
        Py_SETREF(name, PyUnicode_FromFormat("%U.%U", module, name));
    }
    Py_XDECREF(module);
    return name;
}

PyObject *rmpy_datetime(rmpy_state *state)
{
    if (!state->datetime) {
        PyObject *module = PyImport_ImportModule("datetime");
        state->datetime = module ? rmpy_get(module, "datetime") : NULL;
        Py_XDECREF(module);
    }
    return state->datetime;
}

int rmpy_has_dlpack(rmpy_state *state, PyObject *value)
{
    PyObject *method = PyObject_GetAttr((PyObject *)Py_TYPE(value), state->str_dlpack);
    PyErr_Clear();
    Py_XDECREF(method);
    return method != NULL;
}

/* ---- packets to Python */

PyObject *rmpy_metadata_of(rmpy_state *state, const rm_packet *packet)
{
    if (packet->header.metadata_bytes == 0) {
        Py_RETURN_NONE;
    }
    return rmpy_unpack(state, packet->metadata, packet->header.metadata_bytes);
}

/* A packet's own memory may be written by its one holder; what somebody lent may not. */
int rmpy_packet_is_writable(const rm_packet *packet)
{
    return rm_packet_is_sole(packet) && !rm_packet_owner(packet);
}

static PyObject *tensor_to_python(rmpy_state *state, rm_packet *packet)
{
    rmpy_layout layout = {.data = packet->payload,
                          .dtype = packet->header.format.tensor.dtype,
                          .ndim = packet->header.format.tensor.ndim,
                          .writable = rmpy_packet_is_writable(packet)};
    for (int i = 0; i < layout.ndim; i++) {
        layout.shape[i] = (Py_ssize_t)packet->header.instance.tensor.shape[i];
    }
    rmpy_layout_pack(&layout);
    return rmpy_array_of_memory(state, packet, &layout);
}

PyObject *rmpy_from_packet(rmpy_state *state, rm_packet *packet)
{
    const rm_packet_header *header = &packet->header;
    rm_error err = RM_ERROR_INIT;
    switch (header->kind) {
    case RM_KIND_OBJECT: return Py_NewRef((PyObject *)rm_packet_owner(packet));
    case RM_KIND_TEXT:
        return PyUnicode_DecodeUTF8(packet->payload, (Py_ssize_t)header->payload_bytes, NULL);
    case RM_KIND_BYTES:
        return PyBytes_FromStringAndSize(packet->payload, (Py_ssize_t)header->payload_bytes);
    case RM_KIND_VALUE: return rmpy_unpack(state, packet->payload, header->payload_bytes);
    case RM_KIND_TENSOR: return tensor_to_python(state, packet);
    case RM_KIND_AUDIO: return rmpy_audio_to_python(state, packet);
    case RM_KIND_VIDEO: return rmpy_video_to_python(state, packet);
    default:
        (void)rm_fail_as(&err, RM_CODE_PYTHON_VALUE, "a packet of kind %s has no Python form",
                         rm_kind_name(header->kind));
        return rmpy_raise(state, &err, NULL);
    }
}

/* ---- Python to packets: what all kinds use */

static rm_status new_packet(rmpy_packet_maker maker, uint64_t bytes, rm_packet **ret_packet)
{
    return maker.node ? rm_packet_new(maker.node, bytes, ret_packet)
                      : rm_session_packet_new(maker.session, bytes, ret_packet);
}

rm_status rmpy_new_packet(rmpy_packet_maker maker, uint8_t kind, uint64_t bytes,
                          rm_packet **ret_packet, rm_error *err)
{
    rm_status status =
        bytes > RM_PACKET_PAYLOAD_MAX ? RM_ENOMEM : new_packet(maker, bytes, ret_packet);
    if (status == RM_OK) {
        (*ret_packet)->header.kind = kind;
    } else if (status < 0) {
        (void)rm_fail(err, status, "no memory for a packet of %llu bytes",
                      (unsigned long long)bytes);
    }
    return status;
}

rm_status rmpy_new_foreign(rmpy_packet_maker maker, const rmpy_lent *lent, uint8_t kind,
                           rm_packet **ret_packet, rm_error *err)
{
    void *payload = (void *)(uintptr_t)lent->data;
    rm_status status = lent->bytes > RM_PACKET_PAYLOAD_MAX ? RM_ENOMEM
                       : maker.node
                           ? rm_packet_new_foreign(maker.node, payload, lent->bytes, lent->release,
                                                   lent->owner, ret_packet)
                           : rm_session_packet_new_foreign(maker.session, payload, lent->bytes,
                                                           lent->release, lent->owner, ret_packet);
    if (status == RM_OK) {
        (*ret_packet)->header.kind = kind;
        return RM_OK;
    }
    lent->release(lent->owner);
    return status < 0 ? rm_fail(err, status, "no memory for a packet of %llu bytes",
                                (unsigned long long)lent->bytes)
                      : status;
}

rm_status rmpy_fail_exception(rm_error *err)
{
    PyObject *exception = rmpy_exception_take();
    if (!exception) {
        return rm_fail(err, RM_EFAIL, "a value could not be read");
    }
    PyObject *text = PyObject_Str(exception);
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    rm_status status;
    if (PyErr_GivenExceptionMatches(exception, PyExc_MemoryError)) {
        status = rm_fail(err, RM_ENOMEM, "no memory for a value");
    } else if (utf8 && (Py_IS_TYPE(exception, (PyTypeObject *)PyExc_TypeError) ||
                        Py_IS_TYPE(exception, (PyTypeObject *)PyExc_ValueError))) {
        status = rm_fail_as(err, RM_CODE_PYTHON_VALUE, "%s", utf8); /* mostly our own words */
    } else {
        rm_error inner = RM_ERROR_INIT;
        (void)rmpy_error_from_exception(&inner, exception);
        status = rm_fail_as(err, RM_CODE_PYTHON_VALUE, "%s", inner.message);
    }
    PyErr_Clear();
    Py_XDECREF(text);
    Py_DECREF(exception);
    return status;
}

/* ---- kinds */

static rm_status plain_to_packet(rmpy_packet_maker maker, uint8_t kind, const void *data,
                                 Py_ssize_t bytes, rm_packet **ret_packet, rm_error *err)
{
    rm_packet *packet = NULL;
    rm_status status = rmpy_new_packet(maker, kind, (uint64_t)bytes, &packet, err);
    if (status == RM_OK) {
        if (bytes > 0) {
            memcpy(packet->payload, data, (size_t)bytes);
        }
        *ret_packet = packet;
    }
    return status;
}

static rm_status text_to_packet(rmpy_packet_maker maker, PyObject *value, rm_packet **ret_packet,
                                rm_error *err)
{
    Py_ssize_t bytes;
    const char *text = PyUnicode_AsUTF8AndSize(value, &bytes);
    return text ? plain_to_packet(maker, RM_KIND_TEXT, text, bytes, ret_packet, err)
                : rmpy_fail_exception(err);
}

static rm_status value_to_packet(rmpy_state *state, rmpy_packet_maker maker, PyObject *value,
                                 rm_packet **ret_packet, rm_error *err)
{
    rmpy_writer writer;
    rmpy_writer_init(&writer);
    rm_status status = rmpy_pack(state, &writer, value) < 0
                           ? rmpy_fail_exception(err)
                           : plain_to_packet(maker, RM_KIND_VALUE, writer.data,
                                             (Py_ssize_t)writer.length, ret_packet, err);
    rmpy_writer_fini(&writer);
    return status;
}

void rmpy_lend_object(rmpy_lent *lent, PyObject *takes_owner)
{
    lent->release = rmpy_release;
    lent->owner = takes_owner;
}

void rmpy_lend_buffer(rmpy_lent *lent, rmpy_buffer *takes_buffer)
{
    lent->release = rmpy_buffer_release;
    lent->owner = takes_buffer;
}

/* Takes what holds the memory, in `lent`, also on failure. */
static rm_status layout_to_packet(rmpy_packet_maker maker, const rmpy_layout *layout,
                                  rmpy_lent *lent, rm_packet **ret_packet, rm_error *err)
{
    rm_packet *packet = NULL;
    rm_status status;
    size_t element = rm_dtype_bytes(layout->dtype);
    bool aligned = (uintptr_t)layout->data % (element < 8 ? element : 8) == 0;
    lent->data = layout->data;
    lent->bytes = (uint64_t)rmpy_layout_bytes(layout);
    if (aligned && rmpy_layout_is_contiguous(layout)) {
        status = rmpy_new_foreign(maker, lent, RM_KIND_TENSOR, &packet, err);
    } else {
        status = rmpy_new_packet(maker, RM_KIND_TENSOR, lent->bytes, &packet, err);
        if (status == RM_OK) {
            rmpy_layout_copy(layout, packet->payload);
        }
        lent->release(lent->owner);
    }
    if (status != RM_OK) {
        return status;
    }
    packet->header.format.tensor.dtype = layout->dtype;
    packet->header.format.tensor.ndim = (uint8_t)layout->ndim;
    for (int i = 0; i < layout->ndim; i++) {
        packet->header.instance.tensor.shape[i] = (uint32_t)layout->shape[i];
    }
    *ret_packet = packet;
    return RM_OK;
}

static rm_status array_to_packet(rmpy_packet_maker maker, PyObject *value, rm_packet **ret_packet,
                                 rm_error *err)
{
    rmpy_layout layout;
    rmpy_lent lent;
    rmpy_buffer *buffer = rmpy_buffer_new(value);
    if (!buffer) {
        return rmpy_fail_exception(err);
    }
    if (rmpy_layout_of_buffer(rmpy_buffer_view(buffer), &layout) < 0) {
        rmpy_buffer_release(buffer);
        return rmpy_fail_exception(err);
    }
    rmpy_lend_buffer(&lent, buffer);
    return layout_to_packet(maker, &layout, &lent, ret_packet, err);
}

static rm_status dlpack_to_packet(rmpy_packet_maker maker, PyObject *value, rm_packet **ret_packet,
                                  rm_error *err)
{
    rmpy_layout layout;
    rmpy_lent lent;
    PyObject *capsule = rmpy_dlpack(value, &layout);
    if (!capsule) {
        return rmpy_fail_exception(err);
    }
    rmpy_lend_object(&lent, capsule);
    return layout_to_packet(maker, &layout, &lent, ret_packet, err);
}

/* Types whose values are msgpack, asked first so that numbers and dicts are found quickly. */
static bool is_plain_value(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    return type == &PyLong_Type || type == &PyFloat_Type || type == &PyDict_Type ||
           type == &PyList_Type || type == &PyBool_Type || value == Py_None;
}

rm_status rmpy_to_packet(rmpy_state *state, rmpy_packet_maker maker, PyObject *value,
                         rm_packet **ret_packet, rm_error *err)
{
    rm_status status;
    if (PyUnicode_Check(value)) {
        return text_to_packet(maker, value, ret_packet, err);
    }
    if (is_plain_value(value)) {
        return value_to_packet(state, maker, value, ret_packet, err);
    }
    if (PyBytes_Check(value)) {
        return plain_to_packet(maker, RM_KIND_BYTES, PyBytes_AS_STRING(value),
                               PyBytes_GET_SIZE(value), ret_packet, err);
    }
    if (PyByteArray_Check(value)) {
        return plain_to_packet(maker, RM_KIND_BYTES, PyByteArray_AS_STRING(value),
                               PyByteArray_GET_SIZE(value), ret_packet, err);
    }
    if (rmpy_media_to_packet(state, maker, value, ret_packet, &status, err)) {
        return status;
    }
    if (PyObject_CheckBuffer(value) && !rmpy_is_numpy_scalar(state, value)) {
        return array_to_packet(maker, value, ret_packet, err);
    }
    if (rmpy_has_dlpack(state, value)) {
        return dlpack_to_packet(maker, value, ret_packet, err);
    }
    return value_to_packet(state, maker, value, ret_packet, err);
}

/* ---- pack() and unpack() */

static PyObject *pack(PyObject *module, PyObject *value)
{
    rmpy_writer writer;
    rmpy_writer_init(&writer);
    PyObject *bytes = NULL;
    if (rmpy_pack(rmpy_state_of(module), &writer, value) == 0) {
        bytes = PyBytes_FromStringAndSize((const char *)writer.data, (Py_ssize_t)writer.length);
    }
    rmpy_writer_fini(&writer);
    return bytes;
}

static PyObject *unpack(PyObject *module, PyObject *data)
{
    rmpy_state *state = rmpy_state_of(module);
    if (PyBytes_CheckExact(data)) {
        return rmpy_unpack(state, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *value = rmpy_unpack(state, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return value;
}

PyMethodDef rmpy_value_methods[] = {
    {"pack", pack, METH_O,
     PyDoc_STR("pack($module, value, /)\n--\n\nA value of the value model as msgpack.")},
    {"unpack", unpack, METH_O,
     PyDoc_STR("unpack($module, data, /)\n--\n\nThe value that pack() made into these bytes.")},
    {NULL, NULL, 0, NULL},
};
