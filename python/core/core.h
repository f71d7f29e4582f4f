/* core.h — what the source files of the extension module `remotemedia._core` share.
 *
 *     module.c    the module, its state, codes, log, module path
 *     error.c     Error and Finding; rm_error to exception and back
 *     node_type.c NodeType: ports and parameters as the library's tables
 *     registry.c  Registry: the tier that asks a Python resolver
 *     graph.c     Graph, Plan
 *     value.c     packets to Python objects and back
 *     media.c     the same for audio, video and PyAV frames
 *     pack.c unpack.c  values of the value model as msgpack
 *     array.c     buffers and DLPack tensors as layouts, layouts as numpy arrays
 *     release.c   memory that packets borrow, given back from any thread
 *     look.c      one value of a live object, for the conditions of connections
 *     numbers.c   Numbers: those of a session at one moment
 *     view.c      View: a packet's memory as a buffer
 *     link.c      Link, Block: the link to a worker process
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
    PyTypeObject *finding, *node_type, *registry, *graph, *plan, *session, *view, *numbers, *link,
        *block;
    PyObject *audio, *video; /* what set_types() was given; NULL: plain values */
    PyObject *excerpt;       /* what set_excerpt() was given; NULL: none */
    PyObject *log;           /* the sink of set_log(); NULL: none */
    /* Imported when first needed; NULL before. */
    PyObject *numpy_empty, *numpy_asarray, *numpy_dtypes, *numpy_generic, *datetime,
        *dataclass_field;
    /* Interned names. */
    PyObject *str_process, *str_flush, *str_interrupt, *str_overrun, *str_ahead, *str_is_streaming,
        *str_dataclass_fields, *str_field_type, *str_dlpack;
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
    rm_tier_type tier, worker_tier;
} rmpy_registry;

/* Gives a registry that the caller made (the command line's) this one's resolver, and python.feed
 * and python.collect. */
rm_status rmpy_registry_add(rmpy_registry *self, rm_registry *registry, rm_error *err);
const char *rmpy_param_kind_name(uint32_t kind);
/* Ports of a node's own code: without the one for items that failed, which the plan adds. */
uint32_t rmpy_port_count(const rm_port *list);

/* ---- graph.c: the plan of a Plan, borrowed; NULL and TypeError for another object */

const rm_plan *rmpy_plan_of(rmpy_state *state, PyObject *plan);
/* {id: names of outputs} of the Python nodes that have several. */
/* What the node runs in Python: its type, or what takes over if a place refuses it; NULL: neither.
 */
const rm_node_type *rmpy_python_type(const rm_plan_node *node);
PyObject *rmpy_connected_outputs(const rm_plan *plan);
/* That it was planned with, borrowed. */
rmpy_registry *rmpy_plan_registry(PyObject *plan);
/* A Plan around somebody else's plan, until rmpy_plan_take_back(): its methods raise then. */
PyObject *rmpy_plan_lend(rmpy_state *state, const rm_plan *plan, PyObject *registry);
void rmpy_plan_take_back(PyObject *plan);

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

/* Puts the exception that is raised now into err as E0603 (RM_ENOMEM for MemoryError), and clears
 * it. Returns the status. */
rm_status rmpy_fail_exception(rm_error *err);
/* As PyObject_GetAttrString() and PyObject_CallMethod(); argument NULL: none. The name is interned,
 * as the class's own is: each new str object would take a place in the interpreter's cache. */
PyObject *rmpy_get(PyObject *object, const char *name);
PyObject *rmpy_call(PyObject *object, const char *name, PyObject *argument);
/* "module.Class", without the module for built-in types. NULL with an exception. */
PyObject *rmpy_type_name(PyObject *value);
/* The class datetime.datetime, borrowed; NULL with an exception. */
PyObject *rmpy_datetime(rmpy_state *state);
int rmpy_has_dlpack(rmpy_state *state, PyObject *value);
/* A packet's metadata as a dict, or None. */
PyObject *rmpy_metadata_of(rmpy_state *state, const rm_packet *packet);
int rmpy_packet_is_writable(const rm_packet *packet);

/* Memory that a packet borrows: release(owner) gives it back. */
typedef struct rmpy_lent {
    const void *data;
    uint64_t bytes;
    void (*release)(void *owner);
    void *owner;
} rmpy_lent;

/* The status may be RM_EAGAIN (err is not set then): the pool's bound is reached. */
rm_status rmpy_new_packet(rmpy_packet_maker maker, uint8_t kind, uint64_t bytes,
                          rm_packet **ret_packet, rm_error *err);
/* Takes what `lent` holds, also on failure. */
rm_status rmpy_new_foreign(rmpy_packet_maker maker, const rmpy_lent *lent, uint8_t kind,
                           rm_packet **ret_packet, rm_error *err);

/* ---- release.c */

/* release function of foreign packets whose owner is a PyObject. Thread: any, with or without the
 * GIL: without it the reference goes on a list without lock that rmpy_drain_releases() empties. */
void rmpy_release(void *owner);
/* What a packet that carries the object itself says as its payload_bytes, so that bounds in bytes
 * hold: the size of an array, of another buffer, of bytes, of those in a tuple; else 0. */
uint64_t rmpy_object_bytes(PyObject *object);
void rmpy_drain_releases(void);

/* A buffer that is held until rmpy_buffer_release(), which may run on any thread as rmpy_release().
 */
typedef struct rmpy_buffer rmpy_buffer;
/* NULL with an exception. */
rmpy_buffer *rmpy_buffer_new(PyObject *exporter);
const Py_buffer *rmpy_buffer_view(const rmpy_buffer *buffer);
void rmpy_buffer_release(void *buffer);

/* What holds the memory of `lent`, whose data and bytes the caller sets. */
void rmpy_lend_object(rmpy_lent *lent, PyObject *takes_owner);
void rmpy_lend_buffer(rmpy_lent *lent, rmpy_buffer *takes_buffer);

/* ---- pack.c, unpack.c */

typedef struct rmpy_writer {
    uint8_t *data;
    size_t length, capacity;
    bool exact; /* TypeError for what would come back as another type, or as a copy of less */
    uint8_t small[4096]; /* where data points until more is needed */
} rmpy_writer;

void rmpy_writer_init(rmpy_writer *writer);
void rmpy_writer_fini(rmpy_writer *writer);
/* Appends a value; -1 with TypeError, ValueError or what the value's own code raised. */
int rmpy_pack(rmpy_state *state, rmpy_writer *writer, PyObject *value);
/* The one value that these bytes are; NULL with ValueError. */
PyObject *rmpy_unpack(rmpy_state *state, const void *data, size_t bytes);

/* ---- media.c */

PyObject *rmpy_audio_to_python(rmpy_state *state, rm_packet *packet);
PyObject *rmpy_video_to_python(rmpy_state *state, rm_packet *packet);
/* False: the value is neither audio nor video; the outputs mean nothing then. */
bool rmpy_media_to_packet(rmpy_state *state, rmpy_packet_maker maker, PyObject *value,
                          rm_packet **ret_packet, rm_status *ret_status, rm_error *err);

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

/* ---- numbers.c */

/* Waits up to 250 ms for strands that are within a call. */
PyObject *rmpy_numbers_new(rmpy_state *state, rm_session *session);

/* ---- array.c */

Py_ssize_t rmpy_layout_count(const rmpy_layout *layout);
Py_ssize_t rmpy_layout_bytes(const rmpy_layout *layout);
bool rmpy_layout_is_contiguous(const rmpy_layout *layout);
/* Strides of C order, from shape and dtype. */
void rmpy_layout_pack(rmpy_layout *layout);
/* Copies the elements in C order. */
void rmpy_layout_copy(const rmpy_layout *layout, void *target);
/* -1 with TypeError for elements that packets do not have. */
int rmpy_layout_of_buffer(const Py_buffer *view, rmpy_layout *ret_layout);
/* RM_DTYPE_NONE for an unknown name. */
uint8_t rmpy_dtype_by_name(const char *name, size_t length);
/* Layout of an object with __dlpack__, and what holds its memory. NULL with an exception. */
PyObject *rmpy_dlpack(PyObject *value, rmpy_layout *ret_layout);
/* 0 where numpy is not installed; -1 with an exception. Imports it. */
int rmpy_has_numpy(rmpy_state *state);
int rmpy_is_numpy_scalar(rmpy_state *state, PyObject *value);
/* An ndarray (View without numpy) on a packet's memory, which it keeps. */
PyObject *rmpy_array_of_memory(rmpy_state *state, rm_packet *packet, const rmpy_layout *layout);
/* A new one in C order; its memory, not yet set, is *ret_data. */
PyObject *rmpy_array_new(rmpy_state *state, rmpy_layout *layout, void **ret_data);

/* ---- node.c */

/* Sets the functions of a node type whose code is Python (open process flush close control cancel,
 * state_size). */
void rmpy_node_type_fill(rm_node_type *type);
/* keep.c: its nodes are part of checkpoints. */
void rmpy_node_type_keep(rm_node_type *type);
rm_status rmpy_feed_checkpoint(rm_node *node, rm_blob *blob, rm_error *err);
rm_status rmpy_feed_restore(rm_node *node, const void *data, size_t bytes, rm_error *err);
rm_status rmpy_collect_checkpoint(rm_node *node, rm_blob *blob, rm_error *err);
rm_status rmpy_collect_restore(rm_node *node, const void *data, size_t bytes, rm_error *err);
/* python.feed and python.collect, added to each Registry. */
extern const rm_node_type rmpy_feed_type, rmpy_collect_type;

/* ---- look.c: rm_session_options.read_object */

void rmpy_read_object(void *owner, const char *path, void (*found)(void *, const rm_leaf *),
                      void *context);

/* ---- types, made by module.c */

extern PyType_Spec rmpy_node_type_spec, rmpy_registry_spec, rmpy_graph_spec, rmpy_plan_spec,
    rmpy_session_spec, rmpy_view_spec, rmpy_numbers_spec;
extern PyType_Spec rmpy_link_spec, rmpy_block_spec;
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
