/* Numbers: those of a session at one moment, as text once somebody asks. */
#include "core.h"

#include <remotemedia/session.h>

typedef struct numbers_object {
    PyObject_HEAD rm_metrics *metrics;
} numbers_object;

PyObject *rmpy_numbers_new(rmpy_state *state, rm_session *session)
{
    rm_error error = RM_ERROR_INIT;
    rm_metrics *metrics = NULL;
    if (rm_session_measure(session, &metrics, &error) != RM_OK) {
        return rmpy_raise(state, &error, NULL);
    }
    numbers_object *numbers = (numbers_object *)state->numbers->tp_alloc(state->numbers, 0);
    if (!numbers) {
        rm_metrics_free(metrics);
        return NULL;
    }
    numbers->metrics = metrics;
    return (PyObject *)numbers;
}

static void numbers_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    rm_metrics_free(((numbers_object *)object)->metrics);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *numbers_json(PyObject *object, PyObject *Py_UNUSED(none))
{
    const numbers_object *numbers = (numbers_object *)object;
    rm_error error = RM_ERROR_INIT;
    char *json = NULL;
    if (rm_metrics_to_json(numbers->metrics, &json, &error) != RM_OK) {
        return rmpy_raise(rmpy_state_of_object(object), &error, NULL);
    }
    PyObject *text = PyUnicode_FromString(json);
    rm_free(json);
    return text;
}

static PyMethodDef numbers_methods[] = {
    {"json", numbers_json, METH_NOARGS,
     PyDoc_STR(
         "json($self, /)\n--\n\nThe numbers as JSON text: rm_session_metrics() of session.h.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot numbers_slots[] = {
    {Py_tp_doc, "The numbers of a session at one moment; they outlive it."},
    {Py_tp_dealloc, numbers_dealloc},
    {Py_tp_methods, numbers_methods},
    {0, NULL},
};

PyType_Spec rmpy_numbers_spec = {
    .name = "remotemedia._core.Numbers",
    .basicsize = sizeof(numbers_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = numbers_slots,
};
