/* Error and Finding: what went wrong, as exceptions and named tuples. */
#include "core.h"

#include <stdio.h>
#include <string.h>

/* ---- the exception that is raised now */

PyObject *rmpy_exception_take(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
#endif
}

void rmpy_exception_raise(PyObject *takes_exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(takes_exception);
#else
    if (takes_exception) {
        PyErr_SetObject((PyObject *)Py_TYPE(takes_exception), takes_exception);
        Py_DECREF(takes_exception);
    } else {
        PyErr_Clear();
    }
#endif
}

/* ---- findings */

static PyStructSequence_Field finding_fields[] = {
    {"severity", "\"error\" or \"warning\""},
    {"code", "the stable number; 301 is E0301"},
    {"line", "from 1; 0: no place"},
    {"column", "in characters, from 1"},
    {"pointer", "JSON Pointer, \"\" for the whole document"},
    {"message", "one line"},
    {"help", "what mends it, or \"\""},
    {NULL, NULL},
};

static PyStructSequence_Desc finding_desc = {"remotemedia._core.Finding",
                                             "One finding about a manifest.", finding_fields, 7};

/* Library text may have been cut within a character. */
static PyObject *text_of(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *finding_new(rmpy_state *state, const rm_finding *finding)
{
    PyObject *row = PyStructSequence_New(state->finding);
    if (!row) {
        return NULL;
    }
    bool is_error = finding->severity == RM_SEVERITY_ERROR;
    PyStructSequence_SetItem(row, 0, PyUnicode_FromString(is_error ? "error" : "warning"));
    PyStructSequence_SetItem(row, 1, PyLong_FromLong(finding->code));
    PyStructSequence_SetItem(row, 2, PyLong_FromUnsignedLong(finding->line));
    PyStructSequence_SetItem(row, 3, PyLong_FromUnsignedLong(finding->column));
    PyStructSequence_SetItem(row, 4, text_of(finding->pointer ? finding->pointer : ""));
    PyStructSequence_SetItem(row, 5, text_of(finding->message ? finding->message : ""));
    PyStructSequence_SetItem(row, 6, text_of(finding->help ? finding->help : ""));
    if (PyErr_Occurred()) {
        Py_CLEAR(row);
    }
    return row;
}

PyObject *rmpy_findings(rmpy_state *state, const rm_report *report)
{
    PyObject *list = PyList_New(0);
    size_t count = report ? rm_report_count(report) : 0;
    for (size_t i = 0; list && i < count; i++) {
        PyObject *row = finding_new(state, rm_report_at(report, i));
        if (!row || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list;
}

/* ---- Error */

/* "E0301: no module provides …", the other errors of a document, and what would mend it. */
static PyObject *error_text(const rm_error *err, const rm_report *report)
{
    char code[8];
    snprintf(code, sizeof code, "E%04u", (unsigned)err->code % 10000);
    PyObject *message = text_of(err->message), *help = text_of(err->help);
    PyObject *text = NULL;
    if (message && help) {
        text =
            PyUnicode_FromFormat("%s: %U%s%U", code, message, err->help[0] ? "\nhelp: " : "", help);
    }
    Py_XDECREF(message);
    Py_XDECREF(help);
    size_t errors = report ? rm_report_error_count(report) : 0;
    if (text && errors > 1) {
        PyObject *whole =
            PyUnicode_FromFormat("%U\n(%zu errors in all, see findings)", text, errors);
        Py_SETREF(text, whole);
    }
    return text;
}

/* Takes the value; NULL fails. */
static int set_attribute(PyObject *error, const char *name, PyObject *takes_value)
{
    int result = takes_value ? PyObject_SetAttrString(error, name, takes_value) : -1;
    Py_XDECREF(takes_value);
    return result;
}

static PyObject *make_error(rmpy_state *state, const rm_error *err, const rm_report *report)
{
    PyObject *text = error_text(err, report);
    PyObject *error = text ? PyObject_CallOneArg(state->error, text) : NULL;
    Py_XDECREF(text);
    if (!error) {
        return NULL;
    }
    PyObject *node = err->node[0] ? text_of(err->node) : Py_NewRef(Py_None);
    PyObject *item = err->item ? PyLong_FromUnsignedLongLong(err->item) : Py_NewRef(Py_None);
    int failed = set_attribute(error, "node", node);
    failed |= set_attribute(error, "item", item);
    failed |= set_attribute(error, "code", PyLong_FromLong(err->code));
    failed |= set_attribute(error, "status", PyUnicode_FromString(rm_status_name(err->status)));
    failed |= set_attribute(error, "message", text_of(err->message));
    failed |= set_attribute(error, "help", text_of(err->help));
    failed |= set_attribute(error, "findings", rmpy_findings(state, report));
    if (failed) {
        Py_CLEAR(error);
    }
    return error;
}

PyObject *rmpy_error_new(rmpy_state *state, const rm_error *err)
{
    return make_error(state, err, NULL);
}

PyObject *rmpy_raise(rmpy_state *state, const rm_error *err, const rm_report *report)
{
    PyObject *error = make_error(state, err, report);
    if (error) {
        PyErr_SetObject(state->error, error);
        Py_DECREF(error);
    }
    return NULL;
}

/* ---- from an exception */

/* The attribute's UTF-8 within *ret_text, which the caller gives back; "" where there is none. */
static const char *text_attribute(PyObject *object, const char *name, PyObject **ret_text)
{
    *ret_text = PyObject_GetAttrString(object, name);
    const char *utf8 = *ret_text && PyUnicode_Check(*ret_text) ? PyUnicode_AsUTF8(*ret_text) : NULL;
    PyErr_Clear();
    return utf8 ? utf8 : "";
}

/* The stable code that an exception has, RM_CODE_NONE for one that is none of ours. */
static rm_code code_of(PyObject *exception)
{
    PyObject *code = PyObject_GetAttrString(exception, "code");
    PyObject *findings = code ? PyObject_GetAttrString(exception, "findings") : NULL;
    long number = findings && PyLong_CheckExact(code) ? PyLong_AsLong(code) : 0;
    Py_XDECREF(findings);
    Py_XDECREF(code);
    PyErr_Clear();
    bool is_ours = number > 0 && number <= 9999 && rm_code_meaning((rm_code)number)[0];
    return is_ours ? (rm_code)number : RM_CODE_NONE;
}

/* One line: what a message has beyond its first line is in the exception itself. */
static int line_length(const char *text)
{
    size_t length = strcspn(text, "\r\n");
    return length < RM_ERROR_MESSAGE_MAX ? (int)length : RM_ERROR_MESSAGE_MAX;
}

rm_status rmpy_error_from_exception(rm_error *err, PyObject *exception)
{
    PyObject *before = rmpy_exception_take();
    PyObject *message = NULL, *help = NULL;
    rm_code code = code_of(exception);
    if (code != RM_CODE_NONE) {
        const char *text = text_attribute(exception, "message", &message);
        const char *mends = text_attribute(exception, "help", &help);
        (void)rm_fail_as(err, code, "%.*s", line_length(text), text);
        if (mends[0]) {
            rm_error_help(err, "%.*s", line_length(mends), mends);
        }
    } else {
        const char *type = Py_TYPE(exception)->tp_name;
        const char *dot = strrchr(type, '.');
        message = PyObject_Str(exception);
        const char *text = message ? PyUnicode_AsUTF8(message) : NULL;
        PyErr_Clear();
        (void)rm_fail_as(err, RM_CODE_PYTHON_RAISED, "%s%s%.*s", dot ? dot + 1 : type,
                         text && *text ? ": " : "", text ? line_length(text) : 0, text ? text : "");
    }
    Py_XDECREF(message);
    Py_XDECREF(help);
    rmpy_exception_raise(before);
    return rm_code_status(code != RM_CODE_NONE ? code : RM_CODE_PYTHON_RAISED);
}

/* ---- making the classes */

/* What an Error has that Python code makes by Error("text"). */
static PyObject *error_defaults(void)
{
    return Py_BuildValue("{s:i,s:s,s:s,s:s,s:O,s:O,s:()}", "code", RM_CODE_FAILED, "status",
                         "RM_EFAIL", "message", "", "help", "", "node", Py_None, "item", Py_None,
                         "findings");
}

int rmpy_error_init(PyObject *module, rmpy_state *state)
{
    PyObject *defaults = error_defaults();
    if (defaults) {
        state->error = PyErr_NewExceptionWithDoc(
            "remotemedia._core.Error",
            "What went wrong, where, and what would mend it. Base of all errors of this package.",
            NULL, defaults);
        state->finding = PyStructSequence_NewType(&finding_desc);
    }
    Py_XDECREF(defaults);
    if (!state->error || !state->finding ||
        PyModule_AddObjectRef(module, "Error", state->error) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Finding", (PyObject *)state->finding);
}
