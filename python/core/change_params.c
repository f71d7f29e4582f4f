/* Parameters of live objects that a change sets: objects of any kind, which no plan knows. The
 * node's set_params() is called once nothing else can refuse the change, between two of its items;
 * where a later one refuses its parameters the earlier ones get those back that their attributes
 * had. */
#include "run.h"

#include <string.h>

#include <remotemedia/change.h>

struct rmpy_setting {
    rmpy_session *session; /* borrowed */
    char *id;
    PyObject *params, *before; /* before: NULL until it is set */
    bool is_last;              /* nothing comes after it that could fail */
    rmpy_setting *next;
};

void rmpy_settings_clear(rmpy_session *s)
{
    while (s->settings) {
        rmpy_setting *setting = s->settings;
        s->settings = setting->next;
        Py_DECREF(setting->params);
        Py_XDECREF(setting->before);
        PyMem_Free(setting->id);
        PyMem_Free(setting);
    }
}

/* {name: the attribute's value}; NULL with an exception. */
static PyObject *attributes_of(PyObject *object, PyObject *params)
{
    PyObject *dict = PyDict_New(), *name, *ignored;
    Py_ssize_t position = 0;
    while (dict && PyDict_Next(params, &position, &name, &ignored)) {
        PyObject *value = PyObject_GetAttr(object, name);
        if (!value || PyDict_SetItem(dict, name, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

static rm_status set(void *context, rm_error *err)
{
    rmpy_setting *setting = context;
    rmpy_runner *p = rmpy_session_find(setting->session, setting->id);
    if (!p) {
        return rm_fail(err, RM_EINVAL, "node '%.60s' is not there", setting->id);
    }
    rmpy_loop_show(setting->session);
    Py_XSETREF(setting->before,
               setting->is_last ? NULL : attributes_of(p->object, setting->params));
    if ((setting->is_last || setting->before) && rmpy_give_params(p, setting->params) == 0) {
        return RM_OK;
    }
    rm_status status = rmpy_fail(p);
    p->raised_item = 0; /* none is at hand */
    if (p->error && err) {
        *err = *p->error;
    }
    return status;
}

static void take_back(void *context)
{
    rmpy_setting *setting = context;
    rmpy_runner *p = rmpy_session_find(setting->session, setting->id);
    if (p && setting->before && rmpy_give_params(p, setting->before) < 0) {
        PyErr_WriteUnraisable(p->object);
    }
}

rm_status rmpy_settings_add(rmpy_session *s, struct rm_change *change, const char *id,
                            PyObject *params, rm_error *err)
{
    const rmpy_runner *p = rmpy_session_find(s, id);
    if (p && !PyObject_HasAttrString(p->object, "set_params")) {
        rm_status status = rm_fail(err, RM_EUNSUPPORTED,
                                   "node '%.60s' is a live object without set_params(): a change "
                                   "can't set its parameters",
                                   id);
        rm_error_help(err, "give it that method, or replace it by another object");
        return status;
    }
    size_t bytes = strlen(id) + 1;
    rmpy_setting *setting = PyMem_Calloc(1, sizeof *setting);
    char *own_id = setting ? PyMem_Malloc(bytes) : NULL;
    if (!own_id) {
        PyMem_Free(setting);
        return rm_fail(err, RM_ENOMEM, "no memory for a change");
    }
    memcpy(own_id, id, bytes);
    *setting = (rmpy_setting){.session = s,
                              .id = own_id,
                              .params = Py_NewRef(params),
                              .is_last = true,
                              .next = s->settings};
    if (s->settings) {
        s->settings->is_last = false;
    }
    s->settings = setting;
    return rm_change_visit(change, id, set, take_back, setting, err);
}
