/* msgpack as a value of the value model. The bytes may come from anywhere: what a header claims is
 * checked against what is there before memory is taken for it. */
#include "core.h"

#include <string.h>

enum { EXT_INT = 1, EXT_TUPLE = 2, EXT_SET = 3, EXT_DATETIME = 4, EXT_NDARRAY = 5 };
enum { DEPTH_MAX = 30, DIGITS_A_CHUNK = 4000, DIGITS_MAX = 100000 };

typedef struct reader {
    rmpy_state *state;
    const uint8_t *at, *end;
    int depth;
} reader;

static PyObject *unpack(reader *r);

static PyObject *truncated(void)
{
    PyErr_SetString(PyExc_ValueError, "msgpack: the data ends within a value");
    return NULL;
}

/* ---- numbers in the data */

static inline bool has(const reader *r, uint64_t bytes)
{
    return bytes <= (uint64_t)(r->end - r->at);
}

/* A big-endian number; has() was asked. */
static inline uint64_t take_number(reader *r, unsigned bytes)
{
    uint64_t value = 0;
    memcpy(&value, r->at, bytes);
    r->at += bytes;
    return __builtin_bswap64(value) >> (64 - 8 * bytes);
}

/* ---- leaves */

/* Eight words at a time, so that the loop's branches cost nothing beside the loads. */
static bool is_ascii(const uint8_t *data, size_t bytes)
{
    uint64_t word[8], seen = 0;
    size_t at = 0;
    for (; bytes - at >= sizeof word; at += sizeof word) {
        memcpy(word, data + at, sizeof word);
        seen |= word[0] | word[1] | word[2] | word[3] | word[4] | word[5] | word[6] | word[7];
    }
    for (; at < bytes; at++) {
        seen |= data[at];
    }
    return (seen & 0x8080808080808080u) == 0;
}

static PyObject *unpack_str(reader *r, uint64_t bytes)
{
    if (!has(r, bytes)) {
        return truncated();
    }
    const char *text = (const char *)r->at;
    r->at += bytes;
    if (bytes >= 128 && is_ascii((const uint8_t *)text, (size_t)bytes)) {
        PyObject *copy = PyUnicode_New((Py_ssize_t)bytes, 127);
        if (copy) {
            memcpy(PyUnicode_1BYTE_DATA(copy), text, (size_t)bytes);
        }
        return copy;
    }
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)bytes, NULL);
}

static PyObject *unpack_bin(reader *r, uint64_t bytes)
{
    if (!has(r, bytes)) {
        return truncated();
    }
    const char *data = (const char *)r->at;
    r->at += bytes;
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)bytes);
}

static PyObject *unpack_float(reader *r, unsigned bytes)
{
    if (!has(r, bytes)) {
        return truncated();
    }
    if (bytes == 4) {
        uint32_t bits = (uint32_t)take_number(r, 4);
        float single;
        memcpy(&single, &bits, sizeof single);
        return PyFloat_FromDouble((double)single);
    }
    uint64_t bits = take_number(r, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return PyFloat_FromDouble(value);
}

static PyObject *unpack_unsigned(reader *r, unsigned bytes)
{
    return has(r, bytes) ? PyLong_FromUnsignedLongLong(take_number(r, bytes)) : truncated();
}

static PyObject *unpack_signed(reader *r, unsigned bytes)
{
    if (!has(r, bytes)) {
        return truncated();
    }
    uint64_t value = take_number(r, bytes) << (64 - 8 * bytes);
    return PyLong_FromLongLong((int64_t)value >> (64 - 8 * bytes));
}

/* ---- containers */

/* One level down; -1 with an exception where that is too deep. */
static int enter(reader *r, uint64_t items)
{
    if (r->depth + (items > 0) > DEPTH_MAX) {
        PyErr_Format(PyExc_ValueError, "msgpack: a value is more than %d levels deep", DEPTH_MAX);
        return -1;
    }
    r->depth++;
    return 0;
}

static PyObject *unpack_array(reader *r, uint64_t count)
{
    if (!has(r, count)) { /* each item takes a byte at least */
        return truncated();
    }
    if (enter(r, count) < 0) {
        return NULL;
    }
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (Py_ssize_t i = 0; list && i < (Py_ssize_t)count; i++) {
        PyObject *item = unpack(r);
        if (!item) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    r->depth--;
    return list;
}

static int unpack_pair(reader *r, PyObject *dict)
{
    PyObject *key = unpack(r);
    PyObject *value = key ? unpack(r) : NULL;
    int result = value ? PyDict_SetItem(dict, key, value) : -1;
    if (value && result < 0 && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Format(PyExc_ValueError, "msgpack: a %s cannot be a key", Py_TYPE(key)->tp_name);
    }
    Py_XDECREF(key);
    Py_XDECREF(value);
    return result;
}

static PyObject *unpack_map(reader *r, uint64_t count)
{
    if (!has(r, 2 * count)) {
        return truncated();
    }
    if (enter(r, count) < 0) {
        return NULL;
    }
    PyObject *dict = PyDict_New();
    for (uint64_t i = 0; dict && i < count; i++) {
        if (unpack_pair(r, dict) < 0) {
            Py_CLEAR(dict);
        }
    }
    r->depth--;
    return dict;
}

/* ---- extensions */

static PyObject *bad_ext(const char *what)
{
    PyErr_Format(PyExc_ValueError, "msgpack: %s is not well formed", what);
    return NULL;
}

/* The array within an extension, from its first byte to its last, as a list. */
static PyObject *unpack_inner(reader *r, uint64_t bytes, const char *what)
{
    const uint8_t *outer_end = r->end, *inner_end = r->at + bytes;
    uint8_t tag = bytes > 0 ? *r->at : 0;
    if ((tag & 0xF0) != 0x90 && tag != 0xDC && tag != 0xDD) {
        return bad_ext(what);
    }
    r->end = inner_end;
    PyObject *list = unpack(r);
    r->end = outer_end;
    if (list && r->at != inner_end) {
        Py_CLEAR(list);
        return bad_ext(what);
    }
    return list;
}

static PyObject *unpack_tuple(reader *r, uint64_t bytes)
{
    PyObject *list = unpack_inner(r, bytes, "a tuple");
    PyObject *tuple = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return tuple;
}

static PyObject *unpack_set(reader *r, uint64_t bytes)
{
    PyObject *list = unpack_inner(r, bytes, "a set");
    PyObject *set = list ? PySet_New(list) : NULL;
    Py_XDECREF(list);
    if (!set && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_TypeError)) {
        return bad_ext("a set");
    }
    return set;
}

/* Decimal digits in chunks: int() has a limit of 4,300. */
static PyObject *long_of_digits(const char *digits, size_t count)
{
    char chunk[DIGITS_A_CHUNK + 1];
    PyObject *sum = PyLong_FromLong(0), *ten = PyLong_FromLong(10);
    for (size_t done = 0; sum && ten && done < count;) {
        size_t take =
            (count - done) % DIGITS_A_CHUNK ? (count - done) % DIGITS_A_CHUNK : DIGITS_A_CHUNK;
        memcpy(chunk, digits + done, take);
        chunk[take] = '\0';
        PyObject *low = PyLong_FromString(chunk, NULL, 10);
        PyObject *power = PyLong_FromSize_t(take);
        PyObject *factor = power ? PyNumber_Power(ten, power, Py_None) : NULL;
        Py_SETREF(sum, low && factor ? PyNumber_Multiply(sum, factor) : NULL);
        Py_XSETREF(sum, sum ? PyNumber_Add(sum, low) : NULL);
        Py_XDECREF(low);
        Py_XDECREF(power);
        Py_XDECREF(factor);
        done += take;
    }
    Py_XDECREF(ten);
    return sum;
}

static PyObject *unpack_long(reader *r, uint64_t bytes)
{
    const char *text = (const char *)r->at;
    size_t sign = bytes > 0 && text[0] == '-', count = (size_t)bytes - sign;
    r->at += bytes;
    if (count == 0 || count > DIGITS_MAX) {
        return bad_ext("an integer");
    }
    for (size_t i = 0; i < count; i++) {
        if (text[sign + i] < '0' || text[sign + i] > '9') {
            return bad_ext("an integer");
        }
    }
    PyObject *value = long_of_digits(text + sign, count);
    if (value && sign) {
        Py_SETREF(value, PyNumber_Negative(value));
    }
    return value;
}

static PyObject *unpack_datetime(reader *r, uint64_t bytes)
{
    PyObject *class = rmpy_datetime(r->state);
    PyObject *text = class ? unpack_str(r, bytes) : NULL;
    PyObject *value = text ? rmpy_call(class, "fromisoformat", text) : NULL;
    Py_XDECREF(text);
    return value;
}

/* ["f32", [2, 3], bytes] as a layout; the data is borrowed from the list. */
static int layout_of_list(PyObject *list, rmpy_layout *ret_layout)
{
    PyObject *name, *shape, *data;
    Py_ssize_t length = 0;
    if (PyList_GET_SIZE(list) != 3) {
        return -1;
    }
    name = PyList_GET_ITEM(list, 0);
    shape = PyList_GET_ITEM(list, 1);
    data = PyList_GET_ITEM(list, 2);
    const char *utf8 = PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &length) : NULL;
    if (!utf8 || !PyList_Check(shape) || !PyBytes_Check(data) || PyList_GET_SIZE(shape) > 8) {
        return -1;
    }
    *ret_layout = (rmpy_layout){.data = PyBytes_AS_STRING(data),
                                .dtype = rmpy_dtype_by_name(utf8, (size_t)length),
                                .ndim = (int)PyList_GET_SIZE(shape)};
    uint64_t bytes = rm_dtype_bytes(ret_layout->dtype);
    bool overflow = bytes == 0;
    for (int i = 0; i < ret_layout->ndim; i++) {
        PyObject *n = PyList_GET_ITEM(shape, i);
        long long value = PyLong_Check(n) ? PyLong_AsLongLong(n) : -1;
        overflow |= value < 0 || value > (long long)UINT32_MAX ||
                    __builtin_mul_overflow(bytes, (uint64_t)value, &bytes);
        ret_layout->shape[i] = (Py_ssize_t)value;
    }
    return overflow || bytes != (uint64_t)PyBytes_GET_SIZE(data) ? -1 : 0;
}

static PyObject *unpack_ndarray(reader *r, uint64_t bytes)
{
    rmpy_layout layout;
    void *target;
    PyObject *list = unpack_inner(r, bytes, "an ndarray");
    if (!list) {
        return NULL;
    }
    if (layout_of_list(list, &layout) < 0) {
        Py_DECREF(list);
        PyErr_Clear();
        return bad_ext("an ndarray");
    }
    const void *data = layout.data;
    rmpy_layout_pack(&layout);
    PyObject *array = rmpy_array_new(r->state, &layout, &target);
    if (array) {
        memcpy(target, data, (size_t)rmpy_layout_bytes(&layout));
    }
    Py_DECREF(list);
    return array;
}

static PyObject *unpack_ext(reader *r, uint64_t bytes)
{
    if (!has(r, bytes + 1)) {
        return truncated();
    }
    int type = *r->at < 128 ? *r->at : *r->at - 256; /* -128 to 127 */
    r->at++;
    switch (type) {
    case EXT_INT: return unpack_long(r, bytes);
    case EXT_TUPLE: return unpack_tuple(r, bytes);
    case EXT_SET: return unpack_set(r, bytes);
    case EXT_DATETIME: return unpack_datetime(r, bytes);
    case EXT_NDARRAY: return unpack_ndarray(r, bytes);
    default:
        PyErr_Format(PyExc_ValueError, "msgpack: extension type %d is not known, want 1 to 5",
                     type);
        return NULL;
    }
}

/* ---- one value */

/* Tags 0xC4 to 0xC9 and 0xD9 to 0xDF: a length follows. */
static PyObject *unpack_sized(reader *r, uint8_t tag)
{
    static const uint8_t widths[] = {[0xC4 - 0xC4] = 1, [0xC5 - 0xC4] = 2, [0xC6 - 0xC4] = 4,
                                     [0xC7 - 0xC4] = 1, [0xC8 - 0xC4] = 2, [0xC9 - 0xC4] = 4,
                                     [0xD9 - 0xC4] = 1, [0xDA - 0xC4] = 2, [0xDB - 0xC4] = 4,
                                     [0xDC - 0xC4] = 2, [0xDD - 0xC4] = 4, [0xDE - 0xC4] = 2,
                                     [0xDF - 0xC4] = 4};
    unsigned width = widths[tag - 0xC4];
    if (!has(r, width)) {
        return truncated();
    }
    uint64_t length = take_number(r, width);
    return tag <= 0xC6   ? unpack_bin(r, length)
           : tag <= 0xC9 ? unpack_ext(r, length)
           : tag <= 0xDB ? unpack_str(r, length)
           : tag <= 0xDD ? unpack_array(r, length)
                         : unpack_map(r, length);
}

/* Tags 0xC0 to 0xDF. */
static PyObject *unpack_tagged(reader *r, uint8_t tag)
{
    switch (tag) {
    case 0xC0: Py_RETURN_NONE;
    case 0xC2: Py_RETURN_FALSE;
    case 0xC3: Py_RETURN_TRUE;
    case 0xCA: return unpack_float(r, 4);
    case 0xCB: return unpack_float(r, 8);
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF: return unpack_unsigned(r, 1u << (tag - 0xCC));
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3: return unpack_signed(r, 1u << (tag - 0xD0));
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8: return unpack_ext(r, (uint64_t)1 << (tag - 0xD4));
    case 0xC1: PyErr_SetString(PyExc_ValueError, "msgpack: byte 0xC1 is never used"); return NULL;
    default: return unpack_sized(r, tag);
    }
}

static PyObject *unpack(reader *r)
{
    if (r->at == r->end) {
        return truncated();
    }
    uint8_t tag = *r->at++;
    if (tag < 0x80) {
        return PyLong_FromLong(tag);
    }
    if (tag >= 0xE0) {
        return PyLong_FromLong((int8_t)tag);
    }
    if (tag >= 0xC0) {
        return tag == 0xCB ? unpack_float(r, 8) : unpack_tagged(r, tag);
    }
    if (tag >= 0xA0) {
        return unpack_str(r, tag & 31);
    }
    return tag >= 0x90 ? unpack_array(r, tag & 15) : unpack_map(r, tag & 15);
}

PyObject *rmpy_unpack(rmpy_state *state, const void *data, size_t bytes)
{
    reader r = {.state = state, .at = data, .end = (const uint8_t *)data + bytes};
    PyObject *value = unpack(&r);
    if (value && r.at != r.end) {
        PyErr_Format(PyExc_ValueError, "msgpack: %zd bytes follow the value", r.end - r.at);
        Py_CLEAR(value);
    }
    return value;
}
