/* Arrays: buffers and DLPack tensors as layouts, layouts as numpy arrays. numpy is imported when
 * the first array is made; nothing here needs its headers. */
#include "core.h"

#include <string.h>

/* ---- element types */

/* The rm_dtype of a number of this form; RM_DTYPE_NONE for one that packets do not have. */
static uint8_t dtype_of(char form, Py_ssize_t bytes)
{
    static const uint8_t rows[][5] = {
        /* bytes       1             2              4              8             16 */
        [0] = {RM_DTYPE_BOOL, 0, 0, 0, 0},
        [1] = {RM_DTYPE_S8, RM_DTYPE_S16, RM_DTYPE_S32, RM_DTYPE_S64, 0},
        [2] = {RM_DTYPE_U8, RM_DTYPE_U16, RM_DTYPE_U32, RM_DTYPE_U64, 0},
        [3] = {0, RM_DTYPE_F16, RM_DTYPE_F32, RM_DTYPE_F64, 0},
        [4] = {0, 0, 0, RM_DTYPE_C64, RM_DTYPE_C128}};
    static const char forms[] = "?iufc";
    const char *row = form ? strchr(forms, form) : NULL;
    int column = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : bytes == 8 ? 3 : 4;
    if (!row || (column == 4 && bytes != 16)) {
        return RM_DTYPE_NONE;
    }
    return rows[row - forms][column];
}

/* PEP 3118, one native little-endian number. */
static uint8_t dtype_of_format(const char *format, Py_ssize_t bytes)
{
    if (!format) {
        return RM_DTYPE_U8;
    }
    if (*format == '@' || *format == '=' || *format == '<' || *format == '|') {
        format++;
    }
    bool is_complex = *format == 'Z';
    char c = format[is_complex];
    if (c == '\0' || format[is_complex + 1] != '\0') {
        return RM_DTYPE_NONE;
    }
    char form = c == '?'              ? '?'
                : strchr("bhilqn", c) ? 'i'
                : strchr("BHILQN", c) ? 'u'
                : strchr("efd", c)    ? 'f'
                                      : '\0';
    if (is_complex) {
        form = form == 'f' ? 'c' : '\0';
    }
    return dtype_of(form, bytes);
}

uint8_t rmpy_dtype_by_name(const char *name, size_t length)
{
    for (uint8_t dtype = RM_DTYPE_BOOL; dtype <= RM_DTYPE_C128; dtype++) {
        const char *candidate = rm_dtype_name(dtype);
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) {
            return dtype;
        }
    }
    return RM_DTYPE_NONE;
}

/* ---- layouts */

Py_ssize_t rmpy_layout_count(const rmpy_layout *layout)
{
    Py_ssize_t count = 1;
    for (int i = 0; i < layout->ndim; i++) {
        count *= layout->shape[i];
    }
    return count;
}

Py_ssize_t rmpy_layout_bytes(const rmpy_layout *layout)
{
    return rmpy_layout_count(layout) * (Py_ssize_t)rm_dtype_bytes(layout->dtype);
}

bool rmpy_layout_is_contiguous(const rmpy_layout *layout)
{
    Py_ssize_t expected = (Py_ssize_t)rm_dtype_bytes(layout->dtype);
    if (rmpy_layout_count(layout) == 0) {
        return true;
    }
    for (int i = layout->ndim - 1; i >= 0; i--) {
        if (layout->shape[i] != 1 && layout->strides[i] != expected) {
            return false;
        }
        expected *= layout->shape[i];
    }
    return true;
}

void rmpy_layout_pack(rmpy_layout *layout)
{
    Py_ssize_t stride = (Py_ssize_t)rm_dtype_bytes(layout->dtype);
    for (int i = layout->ndim - 1; i >= 0; i--) {
        layout->strides[i] = stride;
        stride *= layout->shape[i];
    }
}

int rmpy_layout_of_buffer(const Py_buffer *view, rmpy_layout *ret_layout)
{
    uint8_t dtype = dtype_of_format(view->format, view->itemsize);
    if (dtype == RM_DTYPE_NONE) {
        PyErr_Format(
            PyExc_TypeError,
            "an array of element format '%s' (%zd bytes) is not in the "
            "value model, want bool, (u)int8 to 64, float16 to 64 or complex, little-endian",
            view->format, view->itemsize);
        return -1;
    }
    if (view->ndim > 8 || view->suboffsets) {
        PyErr_Format(PyExc_TypeError, "an array of %d dimensions%s, want at most 8", view->ndim,
                     view->suboffsets ? " and indirect rows" : "");
        return -1;
    }
    ret_layout->data = view->buf;
    ret_layout->dtype = dtype;
    ret_layout->ndim = view->ndim;
    ret_layout->writable = !view->readonly;
    for (int i = 0; i < view->ndim; i++) {
        if (view->shape[i] > (Py_ssize_t)UINT32_MAX) {
            PyErr_Format(PyExc_TypeError, "an array's dimension %d has length %zd, want at most %u",
                         i, view->shape[i], UINT32_MAX);
            return -1;
        }
        ret_layout->shape[i] = view->shape[i];
        ret_layout->strides[i] = view->strides[i];
    }
    return 0;
}

/* Runs of the last dimension where that is contiguous, else single elements. */
void rmpy_layout_copy(const rmpy_layout *layout, void *target)
{
    Py_ssize_t element = (Py_ssize_t)rm_dtype_bytes(layout->dtype);
    Py_ssize_t index[8] = {0}, count = rmpy_layout_count(layout);
    int last = layout->ndim - 1;
    char *out = target;
    if (count == 0) {
        return;
    }
    if (rmpy_layout_is_contiguous(layout)) {
        memcpy(out, layout->data, (size_t)(count * element));
        return;
    }
    bool runs = layout->strides[last] == element;
    Py_ssize_t step = runs ? layout->shape[last] : 1;
    for (Py_ssize_t done = 0; done < count; done += step) {
        const char *from = layout->data;
        for (int i = 0; i <= last; i++) {
            from += index[i] * layout->strides[i];
        }
        memcpy(out, from, (size_t)(step * element));
        out += step * element;
        index[last] += step;
        for (int i = last; i > 0 && index[i] >= layout->shape[i]; i--) {
            index[i] = 0;
            index[i - 1]++;
        }
    }
}

/* ---- numpy */

/* The module where somebody imported it already; borrowed, NULL without an exception else. */
static PyObject *numpy_if_loaded(void)
{
    return PyDict_GetItemString(PyImport_GetModuleDict(), "numpy");
}

int rmpy_is_numpy_scalar(rmpy_state *state, PyObject *value)
{
    if (!state->numpy_generic) {
        PyObject *numpy = numpy_if_loaded();
        state->numpy_generic = numpy ? PyObject_GetAttrString(numpy, "generic") : NULL;
        if (!state->numpy_generic) {
            PyErr_Clear();
            return 0;
        }
    }
    return PyObject_TypeCheck(value, (PyTypeObject *)state->numpy_generic);
}

static int load_numpy(rmpy_state *state)
{
    static const char *const names[] = {
        [RM_DTYPE_BOOL] = "?", [RM_DTYPE_U8] = "u1",   [RM_DTYPE_S8] = "i1",  [RM_DTYPE_U16] = "u2",
        [RM_DTYPE_S16] = "i2", [RM_DTYPE_U32] = "u4",  [RM_DTYPE_S32] = "i4", [RM_DTYPE_U64] = "u8",
        [RM_DTYPE_S64] = "i8", [RM_DTYPE_F16] = "f2",  [RM_DTYPE_F32] = "f4", [RM_DTYPE_F64] = "f8",
        [RM_DTYPE_C64] = "c8", [RM_DTYPE_C128] = "c16"};
    PyObject *numpy = PyImport_ImportModule("numpy");
    PyObject *dtypes = numpy ? PyTuple_New(RM_DTYPE_C128 + 1) : NULL;
    if (!dtypes) {
        Py_XDECREF(numpy);
        return -1;
    }
    bool failed = false;
    for (Py_ssize_t i = 0; i <= RM_DTYPE_C128 && !failed; i++) {
        PyObject *dtype =
            names[i] ? PyObject_CallMethod(numpy, "dtype", "s", names[i]) : Py_NewRef(Py_None);
        failed = !dtype;
        PyTuple_SET_ITEM(dtypes, i, dtype);
    }
    PyObject *empty = PyObject_GetAttrString(numpy, "empty");
    PyObject *asarray = PyObject_GetAttrString(numpy, "asarray");
    Py_DECREF(numpy);
    if (failed || !empty || !asarray) {
        Py_XDECREF(empty);
        Py_XDECREF(asarray);
        Py_DECREF(dtypes);
        return -1;
    }
    Py_XSETREF(state->numpy_dtypes, dtypes);
    Py_XSETREF(state->numpy_empty, empty);
    Py_XSETREF(state->numpy_asarray, asarray);
    return 0;
}

int rmpy_has_numpy(rmpy_state *state)
{
    if (state->numpy_empty || load_numpy(state) == 0) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_ImportError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

PyObject *rmpy_array_of_memory(rmpy_state *state, rm_packet *packet, const rmpy_layout *layout)
{
    int numpy = rmpy_has_numpy(state);
    PyObject *view = numpy < 0 ? NULL : rmpy_view_new(state, packet, NULL, layout);
    if (!view || numpy == 0) {
        return view;
    }
    PyObject *array = PyObject_CallOneArg(state->numpy_asarray, view);
    Py_DECREF(view);
    return array;
}

/* Without numpy: a View of bytes. */
static PyObject *view_of_copy(rmpy_state *state, rmpy_layout *layout, void **ret_data)
{
    PyObject *memory = PyByteArray_FromStringAndSize(NULL, rmpy_layout_bytes(layout));
    if (!memory) {
        return NULL;
    }
    layout->data = *ret_data = PyByteArray_AS_STRING(memory);
    layout->writable = 1;
    PyObject *view = rmpy_view_new(state, NULL, memory, layout);
    Py_DECREF(memory);
    return view;
}

PyObject *rmpy_array_new(rmpy_state *state, rmpy_layout *layout, void **ret_data)
{
    int numpy = rmpy_has_numpy(state);
    if (numpy <= 0) {
        return numpy < 0 ? NULL : view_of_copy(state, layout, ret_data);
    }
    PyObject *shape = PyTuple_New(layout->ndim);
    for (int i = 0; shape && i < layout->ndim; i++) {
        PyObject *length = PyLong_FromSsize_t(layout->shape[i]);
        if (!length) {
            Py_CLEAR(shape);
        } else {
            PyTuple_SET_ITEM(shape, i, length);
        }
    }
    if (!shape) {
        return NULL;
    }
    PyObject *args[] = {shape, PyTuple_GET_ITEM(state->numpy_dtypes, layout->dtype)};
    PyObject *array = PyObject_Vectorcall(state->numpy_empty, args, 2, NULL);
    Py_DECREF(shape);
    Py_buffer view;
    if (!array || PyObject_GetBuffer(array, &view, PyBUF_WRITABLE) < 0) {
        Py_XDECREF(array);
        return NULL;
    }
    *ret_data = view.buf;
    PyBuffer_Release(&view); /* the array cannot move: nobody else has it yet */
    return array;
}

/* ---- DLPack: the part of its ABI (version 0.x) that a capsule named "dltensor" holds */

typedef struct dlpack_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides; /* strides in elements; NULL: C order */
    uint64_t byte_offset;
} dlpack_tensor;

enum { DLPACK_CPU = 1, DLPACK_CUDA_HOST = 3 };

static int check_device(PyObject *value)
{
    PyObject *device = rmpy_call(value, "__dlpack_device__", NULL);
    int type, id;
    if (!device) {
        return -1;
    }
    int known = PyTuple_Check(device) && PyArg_ParseTuple(device, "ii", &type, &id);
    Py_DECREF(device);
    if (known && type != DLPACK_CPU && type != DLPACK_CUDA_HOST) {
        PyErr_Format(PyExc_TypeError,
                     "a %s is on DLPack device type %d, want host memory: move it "
                     "to the CPU first",
                     Py_TYPE(value)->tp_name, type);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int layout_of_dlpack(const dlpack_tensor *tensor, rmpy_layout *ret_layout)
{
    static const char forms[] = {'i', 'u', 'f', '\0', '\0', 'c', '?'};
    uint8_t code = tensor->dtype.code, bits = tensor->dtype.bits;
    uint8_t dtype = code < sizeof forms && tensor->dtype.lanes == 1 && bits % 8 == 0
                        ? dtype_of(forms[code], bits / 8)
                        : RM_DTYPE_NONE;
    if (dtype == RM_DTYPE_NONE || tensor->ndim < 0 || tensor->ndim > 8) {
        PyErr_Format(PyExc_TypeError,
                     "a DLPack tensor of type code %d, %d bits and %d dimensions is "
                     "not in the value model",
                     code, bits, tensor->ndim);
        return -1;
    }
    *ret_layout = (rmpy_layout){
        .data = (char *)tensor->data + tensor->byte_offset, .dtype = dtype, .ndim = tensor->ndim};
    for (int i = 0; i < tensor->ndim; i++) {
        ret_layout->shape[i] = (Py_ssize_t)tensor->shape[i];
    }
    rmpy_layout_pack(ret_layout);
    for (int i = 0; tensor->strides && i < tensor->ndim; i++) {
        ret_layout->strides[i] = (Py_ssize_t)tensor->strides[i] * (Py_ssize_t)rm_dtype_bytes(dtype);
    }
    return 0;
}

/* The capsule is kept as it is: its own destructor calls the tensor's deleter. */
PyObject *rmpy_dlpack(PyObject *value, rmpy_layout *ret_layout)
{
    if (check_device(value) < 0) {
        return NULL;
    }
    PyObject *capsule = rmpy_call(value, "__dlpack__", NULL);
    const dlpack_tensor *tensor = capsule ? PyCapsule_GetPointer(capsule, "dltensor") : NULL;
    if (!tensor || layout_of_dlpack(tensor, ret_layout) < 0) {
        Py_XDECREF(capsule);
        return NULL;
    }
    return capsule;
}
