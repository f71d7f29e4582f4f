/* core.h — what the source files of the extension module `remotemedia._core` share.
 *
 *     module.c    the module, its state, codes, log, module path
 *     error.c     Error and Finding; rm_error to exception and back
 *     node_type.c NodeType: ports and parameters as the library's tables
 *     registry.c  Registry: the tier that asks a Python resolver
 *     graph.c     Graph, Plan
 *     value.c     pack, unpack; packets to Python objects and back
 *     view.c      View: a packet's memory as a buffer
 *     cli.c       the `remotemedia` command inside the interpreter
 *     session.c   Session: driving                  (these share run.h)
 *     feed.c      python.feed, python.collect, push and pull
 *     node.c      a node whose code is Python: what the engine calls
 *     task.c      coroutines and generators as a node's own Task
 *     stream.c    the input of a node that is one generator for the whole stream
 *     worker.c    the bounded pool of threads for sync calls
 *
 * Ownership: as CPython's; a function that returns PyObject * returns a new reference.
 * Threads: the GIL is held unless a comment says otherwise. References are given back only under
 * the GIL: rmpy_release() queues them from any thread.
 */
#ifndef RMPY_CORE_H
#define RMPY_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include <remotemedia/remotemedia.h>

/* The module's state: types and interned names of one interpreter. */
typedef struct rmpy_state {
    PyObject *error; /* class Error */
    PyTypeObject *finding, *node_type, *registry, *graph, *plan, *session, *view;
    PyObject *audio, *video; /* what set_types() was given; NULL: plain values */
    PyObject *log;           /* the sink of set_log(); NULL: none */
    /* Imported when first needed; NULL before. */
    PyObject *numpy_empty, *numpy_asarray, *numpy_generic, *datetime;
    /* Interned names. */
    PyObject *str_process, *str_flush, *str_is_streaming;
    struct rmpy_run
        *run; /* what running sessions share, see run.h; NULL until rmpy_session_init() */
} rmpy_state;

rmpy_state *rmpy_state_of(PyObject *module);
/* The state behind an object of one of the module's types; all of them are final. */
rmpy_state *rmpy_state_of_object(PyObject *object);

/* ---- error.c */

/* Raises Error with these findings (report may be NULL). Returns NULL. */
PyObject *rmpy_raise(rmpy_state *state, const rm_error *err, const rm_report *report);
/* The exception that is raised now, with its traceback, no longer raised; NULL: none. And back: the
 * second takes the reference. */
PyObject *rmpy_exception_take(void);
void rmpy_exception_raise(PyObject *takes_exception);
/* An Error, not raised. */
PyObject *rmpy_error_new(rmpy_state *state, const rm_error *err);
/* The findings as a list of Finding; report may be NULL. */
PyObject *rmpy_findings(rmpy_state *state, const rm_report *report);
/* E0602 and one line "ValueError: text" of the exception, borrowed; its status is RM_EFAIL. An
 * exception that has a code of ours (an Error) keeps it, with message and help. */
rm_status rmpy_error_from_exception(rm_error *err, PyObject *exception);

/* ---- node_type.c and registry.c */

/* A node type whose code is Python; `type.user` is this object. */
typedef struct rmpy_node_type {
    PyObject_HEAD rm_node_type type;
    PyObject *make;  /* called once a session; NULL: none */
    int blocking;    /* 1: a thread of its own; 0: the loop; -1: decided by measuring */
    PyObject *texts; /* list of the str objects that `type` points into */
} rmpy_node_type;

/* A registry and the resolver of its Python nodes. */
typedef struct rmpy_registry {
    PyObject_HEAD rm_registry *registry;
    PyObject *resolve; /* callable, or NULL */
    PyObject *made;    /* list of the NodeTypes that a planning got */
    PyObject *raised;  /* the exception that the resolver raised, or NULL */
    int busy;          /* a planning is under way */
    rm_tier_type tier;
} rmpy_registry;

/* Gives a registry that the caller made (the command line's) this one's resolver, and python.feed
 * and python.collect. */
rm_status rmpy_registry_add(rmpy_registry *self, rm_registry *registry, rm_error *err);
const char *rmpy_param_kind_name(uint32_t kind);

/* ---- graph.c: the plan of a Plan, borrowed; NULL and TypeError for another object */

const rm_plan *rmpy_plan_of(rmpy_state *state, PyObject *plan);

/* ---- value.c */

/* The Python form of a packet: the live object itself (kind object), str, bytes, a value, audio and
 * video through set_types(), a tensor as ndarray (View where numpy is missing). The result keeps
 * the packet's memory alive where it shares it. */
PyObject *rmpy_from_packet(rmpy_state *state, rm_packet *packet);

/* Makes the packet for a value of the value model: str text, bytes bytes, (ndarray, rate[, meta]),
 * Audio, Video, PyAV frames, arrays and DLPack tensors without a copy, anything else that the value
 * model knows as value. new_foreign and new_pool make packets of the node or session at hand.
 * Fails with E0603 naming the type. */
typedef struct rmpy_packet_maker {
    rm_node *node;       /* within a node's call, or NULL */
    rm_session *session; /* else */
} rmpy_packet_maker;
rm_status rmpy_to_packet(rmpy_state *state, rmpy_packet_maker maker, PyObject *value,
                         rm_packet **ret_packet, rm_error *err);

/* release function of foreign packets whose owner is a PyObject. Thread: any, with or without the
 * GIL: without it the reference goes on a list without lock that rmpy_drain_releases() empties. */
void rmpy_release(void *owner);
void rmpy_drain_releases(void);

/* ---- view.c */

/* How elements lie in memory. */
typedef struct rmpy_layout {
    void *data;
    uint8_t dtype; /* rm_dtype */
    int ndim;      /* 0 to 8 */
    int writable;
    Py_ssize_t shape[8], strides[8]; /* strides in bytes */
} rmpy_layout;

/* A View of memory that a packet, or else an object, holds; takes a reference of its own to it. */
PyObject *rmpy_view_new(rmpy_state *state, rm_packet *packet, PyObject *owner,
                        const rmpy_layout *layout);

/* ---- node.c */

/* Sets the functions of a node type whose code is Python (open process flush close control cancel,
 * state_size). */
void rmpy_node_type_fill(rm_node_type *type);
/* python.feed and python.collect, added to each Registry. */
extern const rm_node_type rmpy_feed_type, rmpy_collect_type;

/* ---- types, made by module.c */

extern PyType_Spec rmpy_node_type_spec, rmpy_registry_spec, rmpy_graph_spec, rmpy_plan_spec,
    rmpy_session_spec, rmpy_view_spec;
/* Methods that a file adds to the module; each ends with a zeroed entry. */
extern PyMethodDef rmpy_value_methods[], rmpy_session_methods[], rmpy_cli_methods[];
/* Called once as the module is made; -1 with an exception set. */
int rmpy_error_init(PyObject *module, rmpy_state *state);
int rmpy_session_init(PyObject *module, rmpy_state *state);
/* For the module's m_traverse, m_clear and m_free; state->run may be NULL. */
int rmpy_session_traverse(rmpy_state *state, visitproc visit, void *arg);
void rmpy_session_clear(rmpy_state *state);
void rmpy_session_free(rmpy_state *state);

#endif
