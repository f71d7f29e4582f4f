/* A value of the value model as msgpack (value.h has the extension types). */
#include "core.h"

#include <string.h>

enum { EXT_INT = 1, EXT_TUPLE = 2, EXT_SET = 3, EXT_DATETIME = 4, EXT_NDARRAY = 5 };
enum { DEPTH_MAX = 30, DIGITS_A_CHUNK = 18, INT_BITS_MAX = 332192 /* 100,000 digits */ };
#define CHUNK 1000000000000000000 /* 10^DIGITS_A_CHUNK */
#define VALUE_BYTES_MAX ((size_t)64 << 20)

/* ---- the growing buffer */

void rmpy_writer_init(rmpy_writer *writer)
{
    writer->data = writer->small;
    writer->length = 0;
    writer->capacity = sizeof writer->small;
    writer->exact = false;
}

void rmpy_writer_fini(rmpy_writer *writer)
{
    if (writer->data != writer->small) {
        PyMem_Free(writer->data);
    }
}

static __attribute__((noinline)) int grow(rmpy_writer *w, size_t bytes)
{
    if (bytes > VALUE_BYTES_MAX || w->length + bytes > VALUE_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "a value is over 64 MiB as msgpack");
        return -1;
    }
    size_t capacity = 2 * w->capacity > w->length + bytes ? 2 * w->capacity : w->length + bytes;
    uint8_t *data = w->data == w->small ? PyMem_Malloc(capacity) : PyMem_Realloc(w->data, capacity);
    if (!data) {
        PyErr_NoMemory();
        return -1;
    }
    if (w->data == w->small) {
        memcpy(data, w->small, w->length);
    }
    w->data = data;
    w->capacity = capacity;
    return 0;
}

static inline int reserve(rmpy_writer *w, size_t bytes)
{
    return __builtin_expect(w->capacity - w->length < bytes, 0) ? grow(w, bytes) : 0;
}

/* These write where reserve() made room. */
static inline void put8(rmpy_writer *w, uint8_t byte)
{
    w->data[w->length++] = byte;
}

static inline void put_tagged(rmpy_writer *w, uint8_t tag, uint64_t value, unsigned bytes)
{
    uint64_t big_endian = __builtin_bswap64(value << (64 - 8 * bytes));
    w->data[w->length] = tag;
    memcpy(w->data + w->length + 1, &big_endian, bytes);
    w->length += 1 + bytes;
}

static inline int put_bytes(rmpy_writer *w, const void *data, size_t bytes)
{
    if (reserve(w, bytes) < 0) {
        return -1;
    }
    memcpy(w->data + w->length, data, bytes);
    w->length += bytes;
    return 0;
}

/* ---- headers */

static int put_str(rmpy_writer *w, const char *text, size_t bytes)
{
    if (bytes > VALUE_BYTES_MAX || reserve(w, bytes + 5) < 0) {
        return bytes > VALUE_BYTES_MAX ? grow(w, bytes) : -1;
    }
    if (bytes < 32) {
        put8(w, (uint8_t)(0xA0 | bytes));
    } else if (bytes < 256) {
        put_tagged(w, 0xD9, bytes, 1);
    } else if (bytes < 65536) {
        put_tagged(w, 0xDA, bytes, 2);
    } else {
        put_tagged(w, 0xDB, bytes, 4);
    }
    memcpy(w->data + w->length, text, bytes);
    w->length += bytes;
    return 0;
}

static int put_bin(rmpy_writer *w, const void *data, size_t bytes)
{
    if (bytes > VALUE_BYTES_MAX || reserve(w, bytes + 5) < 0) {
        return bytes > VALUE_BYTES_MAX ? grow(w, bytes) : -1;
    }
    if (bytes < 256) {
        put_tagged(w, 0xC4, bytes, 1);
    } else if (bytes < 65536) {
        put_tagged(w, 0xC5, bytes, 2);
    } else {
        put_tagged(w, 0xC6, bytes, 4);
    }
    return put_bytes(w, data, bytes);
}

/* An array (tag 0x90) or a map (0x80) of so many entries. */
static int put_count(rmpy_writer *w, Py_ssize_t count, uint8_t tag)
{
    if ((size_t)count > VALUE_BYTES_MAX) {
        return grow(w, (size_t)count);
    }
    if (reserve(w, 5) < 0) {
        return -1;
    }
    if (count < 16) {
        put8(w, (uint8_t)(tag | count));
    } else if (count < 65536) {
        put_tagged(w, tag == 0x90 ? 0xDC : 0xDE, (uint64_t)count, 2);
    } else {
        put_tagged(w, tag == 0x90 ? 0xDD : 0xDF, (uint64_t)count, 4);
    }
    return 0;
}

/* An extension whose length is written by ext_end(), which gets what ext_begin() returned. */
static int ext_begin(rmpy_writer *w, int type, size_t *ret_at)
{
    if (reserve(w, 6) < 0) {
        return -1;
    }
    put_tagged(w, 0xC9, 0, 4);
    put8(w, (uint8_t)type);
    *ret_at = w->length;
    return 0;
}

static void ext_end(rmpy_writer *w, size_t at)
{
    uint32_t length = __builtin_bswap32((uint32_t)(w->length - at));
    memcpy(w->data + at - 5, &length, sizeof length);
}

static int put_ext(rmpy_writer *w, int type, const void *data, size_t bytes)
{
    size_t at;
    if (ext_begin(w, type, &at) < 0 || put_bytes(w, data, bytes) < 0) {
        return -1;
    }
    ext_end(w, at);
    return 0;
}

/* ---- scalars */

static void put_int64(rmpy_writer *w, int64_t n)
{
    if (n >= 0) {
        if (n < 128) {
            put8(w, (uint8_t)n);
        } else if (n < 256) {
            put_tagged(w, 0xCC, (uint64_t)n, 1);
        } else if (n < 65536) {
            put_tagged(w, 0xCD, (uint64_t)n, 2);
        } else if (n <= UINT32_MAX) {
            put_tagged(w, 0xCE, (uint64_t)n, 4);
        } else {
            put_tagged(w, 0xCF, (uint64_t)n, 8);
        }
    } else if (n >= -32) {
        put8(w, (uint8_t)n);
    } else if (n >= INT8_MIN) {
        put_tagged(w, 0xD0, (uint64_t)n, 1);
    } else if (n >= INT16_MIN) {
        put_tagged(w, 0xD1, (uint64_t)n, 2);
    } else if (n >= INT32_MIN) {
        put_tagged(w, 0xD2, (uint64_t)n, 4);
    } else {
        put_tagged(w, 0xD3, (uint64_t)n, 8);
    }
}

/* Writes the decimal digits of a positive int so that they end before `end`; where they begin, or
 * NULL with an exception. A chunk at a time from the low end: str() takes at most 4,300 digits. */
static char *write_digits(PyObject *magnitude, char *end)
{
    PyObject *base = PyLong_FromLongLong(CHUNK);
    PyObject *rest = base ? Py_NewRef(magnitude) : NULL;
    char *at = end;
    while (rest && PyObject_IsTrue(rest)) {
        PyObject *pair = PyNumber_Divmod(rest, base);
        long long chunk = pair ? PyLong_AsLongLong(PyTuple_GET_ITEM(pair, 1)) : 0;
        for (int i = 0; i < DIGITS_A_CHUNK; i++, chunk /= 10) {
            *--at = (char)('0' + chunk % 10);
        }
        Py_SETREF(rest, pair ? Py_NewRef(PyTuple_GET_ITEM(pair, 0)) : NULL);
        Py_XDECREF(pair);
    }
    while (at < end && *at == '0') {
        at++;
    }
    char *result = rest ? at : NULL;
    Py_XDECREF(rest);
    Py_XDECREF(base);
    return result;
}

/* As digits. Of an exact int only: subclasses may say what they like of their bits. */
static int pack_magnitude(rmpy_writer *w, PyObject *magnitude, bool is_negative)
{
    PyObject *bits = rmpy_call(magnitude, "bit_length", NULL);
    size_t count = bits ? PyLong_AsSize_t(bits) : 0;
    Py_XDECREF(bits);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (count > INT_BITS_MAX) {
        PyErr_Format(PyExc_ValueError, "an int has %zu bits, want at most %d", count, INT_BITS_MAX);
        return -1;
    }
    size_t size = 1 + count * 30103 / 100000 + 1 + DIGITS_A_CHUNK; /* log10(2) = 0.30103 */
    char *text = PyMem_Malloc(size);
    if (!text) {
        PyErr_NoMemory();
        return -1;
    }
    char *begin = write_digits(magnitude, text + size);
    if (begin && is_negative) {
        *--begin = '-';
    }
    int result = begin ? put_ext(w, EXT_INT, begin, (size_t)(text + size - begin)) : -1;
    PyMem_Free(text);
    return result;
}

static int pack_long_text(rmpy_writer *w, PyObject *value, bool is_negative)
{
    PyObject *magnitude = PyLong_Type.tp_as_number->nb_absolute(value);
    int result = magnitude ? pack_magnitude(w, magnitude, is_negative) : -1;
    Py_XDECREF(magnitude);
    return result;
}

static int pack_long(rmpy_writer *w, PyObject *value)
{
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (reserve(w, 9) < 0 || (n == -1 && PyErr_Occurred())) {
        return -1;
    }
    if (!overflow) {
        put_int64(w, n);
        return 0;
    }
    unsigned long long u = overflow > 0 ? PyLong_AsUnsignedLongLong(value) : 0;
    if (overflow > 0 && !(u == ULLONG_MAX && PyErr_Occurred())) {
        put_tagged(w, 0xCF, u, 8);
        return 0;
    }
    PyErr_Clear();
    return pack_long_text(w, value, overflow < 0);
}

static int pack_float(rmpy_writer *w, double value)
{
    uint64_t bits;
    if (reserve(w, 9) < 0) {
        return -1;
    }
    memcpy(&bits, &value, sizeof bits);
    put_tagged(w, 0xCB, bits, 8);
    return 0;
}

static int pack_str(rmpy_writer *w, PyObject *value)
{
    Py_ssize_t bytes;
    const char *text;
    if (PyUnicode_IS_COMPACT_ASCII(value)) {
        text = PyUnicode_DATA(value);
        bytes = PyUnicode_GET_LENGTH(value);
    } else {
        text = PyUnicode_AsUTF8AndSize(value, &bytes);
    }
    return text ? put_str(w, text, (size_t)bytes) : -1;
}

/* ---- containers */

static int pack(rmpy_state *state, rmpy_writer *w, PyObject *value, int depth);

/* depth: of a container, 0 for the whole value; its items are a level deeper. */
static int check_depth(int depth, Py_ssize_t items)
{
    if (depth + (items > 0) <= DEPTH_MAX) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "a value is more than %d levels deep", DEPTH_MAX);
    return -1;
}

static int changed(const char *what)
{
    PyErr_Format(PyExc_RuntimeError, "a %s changed while it was packed", what);
    return -1;
}

/* List or tuple, as PySequence_Fast sees them. An item's own code (a datetime's, a numpy scalar's)
 * may run meanwhile, so the length is looked at each time. */
static int pack_items(rmpy_state *state, rmpy_writer *w, PyObject *sequence, int depth)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    if (check_depth(depth, count) < 0 || put_count(w, count, 0x90) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (i >= PySequence_Fast_GET_SIZE(sequence)) {
            return changed("list");
        }
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, i);
        if (PyFloat_CheckExact(item)) {
            if (pack_float(w, PyFloat_AS_DOUBLE(item)) < 0) {
                return -1;
            }
            continue;
        }
        Py_INCREF(item);
        int failed = pack(state, w, item, depth + 1);
        Py_DECREF(item);
        if (failed) {
            return -1;
        }
    }
    return count == PySequence_Fast_GET_SIZE(sequence) ? 0 : changed("list");
}

static int pack_tuple(rmpy_state *state, rmpy_writer *w, PyObject *value, int depth)
{
    size_t at;
    if (ext_begin(w, EXT_TUPLE, &at) < 0 || pack_items(state, w, value, depth) < 0) {
        return -1;
    }
    ext_end(w, at);
    return 0;
}

static int pack_dict(rmpy_state *state, rmpy_writer *w, PyObject *dict, int depth)
{
    Py_ssize_t position = 0, count = PyDict_GET_SIZE(dict), done = 0;
    PyObject *key, *value;
    if (check_depth(depth, count) < 0 || put_count(w, count, 0x80) < 0) {
        return -1;
    }
    while (PyDict_Next(dict, &position, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        int failed = ++done > count || pack(state, w, key, depth + 1) < 0 ||
                     pack(state, w, value, depth + 1) < 0;
        Py_DECREF(key);
        Py_DECREF(value);
        if (failed) {
            break;
        }
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    return done == count ? 0 : changed("dict");
}

static int pack_set(rmpy_state *state, rmpy_writer *w, PyObject *set, int depth)
{
    size_t at;
    PyObject *items = ext_begin(w, EXT_SET, &at) < 0 ? NULL : PySequence_List(set);
    int failed = !items || pack_items(state, w, items, depth) < 0;
    Py_XDECREF(items);
    if (failed) {
        return -1;
    }
    ext_end(w, at);
    return 0;
}

/* ---- objects of other types */

static int pack_layout(rmpy_writer *w, const rmpy_layout *layout, int depth)
{
    size_t at, bytes = (size_t)rmpy_layout_bytes(layout);
    const char *name = rm_dtype_name(layout->dtype);
    if (check_depth(depth + 1, layout->ndim) < 0 || ext_begin(w, EXT_NDARRAY, &at) < 0 ||
        put_count(w, 3, 0x90) < 0 || put_str(w, name, strlen(name)) < 0 ||
        put_count(w, layout->ndim, 0x90) < 0 || reserve(w, 9 * 8) < 0) {
        return -1;
    }
    for (int i = 0; i < layout->ndim; i++) {
        put_int64(w, layout->shape[i]);
    }
    if (bytes > VALUE_BYTES_MAX || reserve(w, bytes + 5) < 0) {
        return bytes > VALUE_BYTES_MAX ? grow(w, bytes) : -1;
    }
    put_tagged(w, 0xC6, bytes, 4);
    rmpy_layout_copy(layout, w->data + w->length);
    w->length += bytes;
    ext_end(w, at);
    return 0;
}

static int pack_buffer(rmpy_writer *w, PyObject *value, int depth)
{
    Py_buffer view;
    rmpy_layout layout;
    if (PyObject_GetBuffer(value, &view, PyBUF_FULL_RO) < 0) {
        return -1;
    }
    int result = rmpy_layout_of_buffer(&view, &layout);
    if (result == 0) {
        result = pack_layout(w, &layout, depth);
    }
    PyBuffer_Release(&view);
    return result;
}

static int pack_dlpack(rmpy_writer *w, PyObject *value, int depth)
{
    rmpy_layout layout;
    PyObject *holder = rmpy_dlpack(value, &layout);
    int result = holder ? pack_layout(w, &layout, depth) : -1;
    Py_XDECREF(holder);
    return result;
}

static int pack_bytearray(rmpy_writer *w, PyObject *value)
{
    return put_bin(w, PyByteArray_AS_STRING(value), (size_t)PyByteArray_GET_SIZE(value));
}

/* What item() gives: the Python number nearest to a numpy scalar. */
static int pack_numpy_scalar(rmpy_state *state, rmpy_writer *w, PyObject *value, int depth)
{
    PyObject *item = rmpy_call(value, "item", NULL);
    int result = -1;
    if (item && rmpy_is_numpy_scalar(state, item)) {
        PyErr_Format(PyExc_TypeError, "a %s is not in the value model", Py_TYPE(value)->tp_name);
    } else if (item) {
        result = pack(state, w, item, depth);
    }
    Py_XDECREF(item);
    return result;
}

static int pack_datetime(rmpy_writer *w, PyObject *value)
{
    Py_ssize_t bytes;
    PyObject *text = rmpy_call(value, "isoformat", NULL);
    const char *utf8 = text && PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &bytes) : NULL;
    int result = utf8 ? put_ext(w, EXT_DATETIME, utf8, (size_t)bytes) : -1;
    Py_XDECREF(text);
    return result;
}

/* 1: an instance of a dataclass; *ret_fields is its dict of fields then, a new reference. */
static int is_dataclass(rmpy_state *state, PyObject *value, PyObject **ret_fields)
{
    PyObject *type = (PyObject *)Py_TYPE(value);
    *ret_fields = PyObject_GetAttr(type, state->str_dataclass_fields);
    if (!*ret_fields) {
        PyErr_Clear();
        return 0;
    }
    if (PyDict_Check(*ret_fields)) {
        return 1;
    }
    Py_CLEAR(*ret_fields);
    return 0;
}

/* ClassVar and InitVar pseudo-fields have another kind than dataclasses._FIELD. */
static int is_real_field(rmpy_state *state, PyObject *field)
{
    if (!state->dataclass_field) {
        PyObject *module = PyImport_ImportModule("dataclasses");
        state->dataclass_field = module ? PyObject_GetAttrString(module, "_FIELD") : NULL;
        Py_XDECREF(module);
        if (!state->dataclass_field) {
            return -1;
        }
    }
    PyObject *kind = PyObject_GetAttr(field, state->str_field_type);
    int real = kind ? kind == state->dataclass_field : -1;
    Py_XDECREF(kind);
    return real;
}

/* A map of the fields, in order. The header is written last: pseudo-fields are not counted before.
 */
static int pack_dataclass(rmpy_state *state, rmpy_writer *w, PyObject *value, PyObject *fields,
                          int depth)
{
    Py_ssize_t position = 0, count = 0;
    PyObject *name, *field;
    size_t at = w->length;
    if (check_depth(depth, 1) < 0 || reserve(w, 3) < 0) {
        return -1;
    }
    put_tagged(w, 0xDE, 0, 2);
    while (PyDict_Next(fields, &position, &name, &field)) {
        int real = is_real_field(state, field);
        PyObject *item = real > 0 ? PyObject_GetAttr(value, name) : NULL;
        if (real == 0) {
            continue;
        }
        if (!item || pack(state, w, name, depth + 1) < 0 || pack(state, w, item, depth + 1) < 0) {
            Py_XDECREF(item);
            return -1;
        }
        Py_DECREF(item);
        count++;
    }
    if (count > UINT16_MAX) {
        return changed("dataclass");
    }
    w->data[at + 1] = (uint8_t)(count >> 8);
    w->data[at + 2] = (uint8_t)count;
    return 0;
}

static int is_datetime(rmpy_state *state, PyObject *value)
{
    PyObject *class = rmpy_datetime(state);
    return class ? PyObject_TypeCheck(value, (PyTypeObject *)class) : -1;
}

static int refuse(PyObject *value)
{
    PyObject *name = rmpy_type_name(value);
    if (name) {
        PyErr_Format(PyExc_TypeError,
                     "a %U is not in the value model, want None, bool, a number, str, bytes, list, "
                     "tuple, dict, set, datetime or an array",
                     name);
        Py_DECREF(name);
    }
    return -1;
}

/* What is no built-in type with a flag of its own, and derives from none. */
static int pack_foreign(rmpy_state *state, rmpy_writer *w, PyObject *value, int depth)
{
    PyObject *fields;
    if (PyFloat_Check(value)) {
        return pack_float(w, PyFloat_AS_DOUBLE(value));
    }
    if (PyAnySet_Check(value)) {
        return pack_set(state, w, value, depth);
    }
    if (PyByteArray_Check(value)) {
        return pack_bytearray(w, value);
    }
    if (rmpy_is_numpy_scalar(state, value)) {
        return pack_numpy_scalar(state, w, value, depth);
    }
    if (PyObject_CheckBuffer(value)) {
        return pack_buffer(w, value, depth);
    }
    if (is_dataclass(state, value, &fields)) {
        int result = pack_dataclass(state, w, value, fields, depth);
        Py_DECREF(fields);
        return result;
    }
    int datetime = is_datetime(state, value);
    if (datetime != 0) {
        return datetime > 0 ? pack_datetime(w, value) : -1;
    }
    if (rmpy_has_dlpack(state, value)) {
        return pack_dlpack(w, value, depth);
    }
    return refuse(value);
}

enum {
    FLAGGED = Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_LONG_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS |
              Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_TUPLE_SUBCLASS | Py_TPFLAGS_BYTES_SUBCLASS
};

/* Of what pack() does not know by its exact type: unpacked it is the same again. */
static bool comes_back(rmpy_state *state, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    return type == &PyTuple_Type || type == &PyBytes_Type || type == &PySet_Type ||
           strcmp(type->tp_name, "numpy.ndarray") == 0 || (PyObject *)type == rmpy_datetime(state);
}

static int refuse_inexact(PyObject *value)
{
    PyObject *name = rmpy_type_name(value);
    if (name && !PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "a %U would not come back as what it is", name);
    }
    Py_XDECREF(name);
    return -1;
}

/* Subclasses and everything else that pack() does not know by its exact type. */
static int pack_other(rmpy_state *state, rmpy_writer *w, PyObject *value, int depth)
{
    if (w->exact && !comes_back(state, value)) {
        return refuse_inexact(value);
    }
    switch (PyType_GetFlags(Py_TYPE(value)) & FLAGGED) {
    case Py_TPFLAGS_UNICODE_SUBCLASS: return pack_str(w, value);
    case Py_TPFLAGS_LONG_SUBCLASS: return pack_long(w, value);
    case Py_TPFLAGS_DICT_SUBCLASS: return pack_dict(state, w, value, depth);
    case Py_TPFLAGS_LIST_SUBCLASS: return pack_items(state, w, value, depth);
    case Py_TPFLAGS_TUPLE_SUBCLASS: return pack_tuple(state, w, value, depth);
    case Py_TPFLAGS_BYTES_SUBCLASS:
        return put_bin(w, PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
    default: return pack_foreign(state, w, value, depth);
    }
}

static int pack(rmpy_state *state, rmpy_writer *w, PyObject *value, int depth)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type) {
        return pack_str(w, value);
    }
    if (type == &PyLong_Type) {
        return pack_long(w, value);
    }
    if (type == &PyFloat_Type) {
        return pack_float(w, PyFloat_AS_DOUBLE(value));
    }
    if (type == &PyDict_Type) {
        return pack_dict(state, w, value, depth);
    }
    if (type == &PyList_Type) {
        return pack_items(state, w, value, depth);
    }
    if (value == Py_None || type == &PyBool_Type) {
        if (reserve(w, 1) < 0) {
            return -1;
        }
        put8(w, value == Py_None ? 0xC0 : value == Py_False ? 0xC2 : 0xC3);
        return 0;
    }
    return pack_other(state, w, value, depth);
}

int rmpy_pack(rmpy_state *state, rmpy_writer *writer, PyObject *value)
{
    return pack(state, writer, value, 0);
}
