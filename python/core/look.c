/* What the conditions of connections ask of a live object: one of its values, by a path. */
#include "core.h"

#include <string.h>

/* Entry of a list or tuple by its number; NULL: it is none, or not so long. */
static PyObject *entry_of(PyObject *object, const char *name, size_t length)
{
    Py_ssize_t index = 0, size = PySequence_Fast_GET_SIZE(object);
    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9' || index > size) {
            return NULL;
        }
        index = 10 * index + (name[i] - '0');
    }
    return index < size ? Py_NewRef(PySequence_Fast_GET_ITEM(object, index)) : NULL;
}

/* A key of a dict, an entry of a list or tuple, else an attribute. NULL, maybe with an exception:
 * it is not there. */
static PyObject *step_into(PyObject *object, const char *name, size_t length)
{
    if (PyList_Check(object) || PyTuple_Check(object)) {
        PyObject *entry = entry_of(object, name, length);
        if (entry) {
            return entry;
        }
    }
    PyObject *key = PyUnicode_DecodeUTF8(name, (Py_ssize_t)length, "strict");
    if (!key) {
        return NULL;
    }
    PyObject *found = PyDict_Check(object) ? Py_XNewRef(PyDict_GetItemWithError(object, key))
                                           : PyObject_GetAttr(object, key);
    Py_DECREF(key);
    return found;
}

static void read_number(PyObject *object, rm_leaf *leaf)
{
    PyObject *whole = PyIndex_Check(object) ? PyNumber_Index(object) : NULL;
    int overflow = 0;
    if (whole) {
        leaf->kind = RM_LEAF_INTEGER;
        leaf->integer = PyLong_AsLongLongAndOverflow(whole, &overflow);
    }
    if (!whole || overflow) {
        double real = PyFloat_AsDouble(whole ? whole : object);
        leaf->kind = PyErr_Occurred() ? RM_LEAF_OTHER : RM_LEAF_REAL;
        leaf->real = real;
    }
    Py_XDECREF(whole);
}

static bool is_number(PyObject *object)
{
    const PyNumberMethods *number = Py_TYPE(object)->tp_as_number;
    return PyLong_Check(object) || PyFloat_Check(object) ||
           (number && (number->nb_float || number->nb_index) && !PySequence_Check(object));
}

static rm_leaf leaf_of(PyObject *object)
{
    rm_leaf leaf = {0};
    Py_ssize_t bytes;
    if (object == Py_None) {
        leaf.kind = RM_LEAF_NULL;
    } else if (PyBool_Check(object)) {
        leaf.kind = RM_LEAF_BOOL;
        leaf.integer = object == Py_True;
    } else if (PyUnicode_Check(object)) {
        leaf.text = PyUnicode_AsUTF8AndSize(object, &bytes);
        leaf.kind = leaf.text ? RM_LEAF_TEXT : RM_LEAF_OTHER;
        leaf.text_bytes = leaf.text ? (size_t)bytes : 0;
    } else if (is_number(object)) {
        read_number(object, &leaf);
    }
    return leaf;
}

void rmpy_read_object(void *owner, const char *path, void (*found)(void *, const rm_leaf *),
                      void *context)
{
    PyObject *object = Py_NewRef((PyObject *)owner);
    while (object && *path) {
        size_t length = strcspn(path, ".");
        Py_SETREF(object, step_into(object, path, length));
        path += length + (path[length] == '.');
    }
    if (object) {
        rm_leaf leaf = leaf_of(object);
        found(context, &leaf);
    }
    Py_XDECREF(object);
    PyErr_Clear(); /* of what is not there, or cannot be read */
}
