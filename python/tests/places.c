/* _places: gives the tests a place other than this machine, which refuses nodes as they are opened
 * or takes them. Built beside the extension, never installed; as _packets.
 *
 * A node that runs there gives its items back as they came.
 */
#include "core.h"

#include <string.h>

static int refuses;

static rm_status stand_in_open(rm_node *node, rm_error *err)
{
    (void)node;
    return refuses ? rm_fail_as(err, RM_CODE_PLACE_REFUSED, "test.far takes no nodes now") : RM_OK;
}

static rm_status stand_in_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

static const rm_port inputs[] = {{.name = "input"}, {0}}, outputs[] = {{.name = "output"}, {0}};

static const rm_node_type stand_in = {.struct_size = sizeof stand_in,
                                      .name = "test.far",
                                      .flags = RM_NODE_OTHER_PARAMS,
                                      .inputs = inputs,
                                      .outputs = outputs,
                                      .open = stand_in_open,
                                      .process = stand_in_process};
/* The same, where it may block. */
static rm_node_type blocking_stand_in;

static rm_status make_type(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err)
{
    (void)context;
    (void)err;
    *ret_type = strstr(spec->node_json, "\"far_blocks\"") ? &blocking_stand_in : &stand_in;
    return RM_OK;
}

static void release_type(void *context, const rm_node_type *type)
{
    (void)context;
    (void)type;
}

static const rm_place_type far = {.struct_size = sizeof far,
                                  .name = "test.far",
                                  .make_type = make_type,
                                  .release_type = release_type};

static PyObject *add(PyObject *module, PyObject *registry)
{
    (void)module;
    rm_error err = RM_ERROR_INIT;
    if (rm_registry_add_place(((rmpy_registry *)registry)->registry, &far, &err) != RM_OK) {
        PyErr_SetString(PyExc_ValueError, err.message);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *refuse(PyObject *module, PyObject *is_so)
{
    (void)module;
    refuses = PyObject_IsTrue(is_so);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"add", add, METH_O, "add(registry)"},
    {"refuse", refuse, METH_O, "refuse(is_so)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, .m_name = "remotemedia._places",
                                        .m_methods = methods};

PyMODINIT_FUNC PyInit__places(void);
PyMODINIT_FUNC PyInit__places(void)
{
    blocking_stand_in = stand_in;
    blocking_stand_in.flags |= RM_NODE_BLOCKS;
    return PyModule_Create(&module_def);
}
