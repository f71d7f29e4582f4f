/* node.h — all that a node author sees.
 *
 *     inputs ──▶ process() ──emit──▶ outbox ──(only if the call went well)──▶ edges
 *
 * A node type is one constant table of functions. The host makes nodes from it, fills a node's
 * parameters from the manifest (checked against the type's table), gives it zeroed state, and calls
 * it.
 *
 * One call at a time: the strand that a node lives on calls it, so a node needs no lock. What a
 * call emitted leaves the node only if the call returned well: an item is never half delivered, a
 * retry is clean, a cancelled call leaves nothing.
 *
 *   opened ─▶ process … ─▶ flush (at the end of input) ─▶ closed      close() on every path
 *
 * Which thread: *strand* means only inside a call of this node; *any* means any thread; *data*
 * means strand, and without allocation, lock, blocking, or log above trace.
 */
#ifndef REMOTEMEDIA_NODE_H
#define REMOTEMEDIA_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "format.h"
#include "memory.h"
#include "packet.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RM_PORTS_MAX = 16, RM_EMIT_MAX = 64 };

typedef struct rm_node_type rm_node_type;

/* The visible head of a node. */
typedef struct rm_node {
    void *state;             /* type->state_size bytes, zeroed before open(); NULL where that is 0,
                              * and then open() may put here what the node needs */
    const void *params;      /* type->params_size bytes, filled by the table type->params */
    const char *params_json; /* the parameters as the manifest has them: a JSON object */
    const char *id;          /* as in the manifest */
    const rm_node_type *type;
} rm_node;

/* The matched set of one call. packet[i] belongs to input port i and is borrowed; NULL where that
 * port has nothing in this set (merge "any" fills one port a call). A source gets count 0. */
typedef struct rm_inputs {
    uint32_t count;
    rm_packet *const *packet;
} rm_inputs;

/* A port. An array of them ends with one whose name is NULL; a name is [a-z][a-z0-9_]*. */
typedef struct rm_port {
    const char *name;
    const char *formats; /* format.h's text; NULL: any */
    const char *same_as; /* output: its format is this input port's; formats must be NULL then */
    const char *summary;
    uint32_t
        emit_max; /* output: packets that one call may emit, 1 to RM_EMIT_MAX; 0 stands for 1 */
    uint32_t latency_packets; /* input: how many it takes before the first output leaves */
    uint64_t reserved[3];
} rm_port;

/* The output of items that failed, which the plan adds behind those of a node's type where its
 * on_error says so. The name is kept for that. */
#define RM_DEAD_LETTER_PORT "dead_letter"
/* The same for items that another node takes. */
#define RM_FALLBACK_PORT "fallback"

typedef enum rm_param_kind {
    RM_PARAM_BOOL = 1, /* stored as bool (1 byte) */
    RM_PARAM_INT,      /* int64_t */
    RM_PARAM_FLOAT,    /* double */
    RM_PARAM_STRING,   /* const char *, valid for the node's life; NULL where absent without default
                        */
    RM_PARAM_ENUM,     /* int64_t, index into choices */
    RM_PARAM_JSON      /* const char *: any JSON value as text; NULL where absent without default */
} rm_param_kind;

enum { RM_PARAM_REQUIRED = 1u << 0, RM_PARAM_LIVE = 1u << 1, RM_PARAM_SECRET = 1u << 2 };

/* A parameter. An array of them ends with one whose name is NULL. From this table come checking,
 * filling, help, the JSON Schema and the reference page. */
typedef struct rm_param {
    const char *name; /* the unit last: gain_db, rate_hz */
    uint32_t kind;    /* rm_param_kind */
    uint32_t flags;
    size_t offset;            /* in the type's params struct */
    const char *default_json; /* "16000", "\"medium\"", "true"; NULL: none */
    double min, max;          /* INT, FLOAT: both 0 for no bound, an infinity for none on a side */
    const char *unit;         /* "Hz", "dB", "ms"; NULL: none */
    const char *choices;      /* ENUM: "low|medium|high" */
    const char *summary;
    uint64_t reserved[2];
} rm_param;

typedef enum rm_control_op {
    RM_CONTROL_INTERRUPT = 1, /* downstream: what was queued here is gone; forget what is unsent */
    RM_CONTROL_FORMAT = 2,    /* downstream: `line` is the format of what follows on `port` */
    RM_CONTROL_KEY_FRAME = 3, /* upstream: please start anew */
    RM_CONTROL_BIT_RATE = 4,  /* upstream: argument, bits a second */
    RM_CONTROL_PARAMS = 5,    /* node->params has changed in a parameter that is LIVE */
    RM_CONTROL_OVERRUN = 6,   /* to a LIVE source: nothing it gives has room until it is called */
    /* In a replay, to a node of a tier that keeps work within it, before it is interrupted as it
     * was then: argument is what it answered then, a status above 0 that says how far it had come.
     * RM_MORE: not there yet, call process(). INTERRUPT has the same argument after that. */
    RM_CONTROL_CATCH_UP = 7
} rm_control_op;

typedef struct rm_control {
    uint16_t op;
    uint16_t port; /* the port it came through */
    uint32_t kind; /* FORMAT: rm_kind */
    int64_t argument;
    const rm_format_line *line; /* FORMAT; else NULL */
} rm_control;

/* node type flags */
enum {
    RM_NODE_BLOCKS = 1u << 0, /* calls may block: it gets a thread of its own */
    RM_NODE_HEAVY = 1u << 1,  /* 100 µs and more a packet: it gets a strand of its own */
    RM_NODE_PURE = 1u << 2,   /* no state between items: may run in several copies */
    RM_NODE_LIVE = 1u << 3,   /* a source that cannot wait: RM_CONTROL_OVERRUN */
    RM_NODE_PYTHON = 1u << 4, /* its code is Python: only a strand with an interpreter runs it */
    RM_NODE_LATE = 1u << 5, /* sink: its open() may touch the outside world last (files, devices) */
    RM_NODE_UNPROMPTED = 1u << 6, /* process() is also called without input, all packets NULL, after
                                     rm_node_ready() or a timer: for what comes by itself */
    RM_NODE_PROCESS = 1u << 8, /* its code runs in a process of its own: what is Python may then run
                                  in several copies */
    RM_NODE_OTHER_PARAMS = 1u << 7 /* takes parameters of any name beside those of its table; one
                                      that looks like a slip of these gets a warning */
};

struct rm_blob; /* growing bytes for save() and load(), see blob functions below */

/* A node type. Grows at the end only; absent functions are NULL; only process is required.
 *
 * plan     Pure, before anything opens. in[i] is the fixed format of input i, or kind any where it
 *          is not known; out[o] comes filled from the port table and may be narrowed. An error ends
 *          the planning.
 * open     Acquires what the node needs. A failed open() closes the nodes that were opened before
 *          it, in reverse order; for the failing node itself close() is not called.
 * process  RM_OK       input consumed
 *          RM_MORE     call me again before the next input (one bounded batch a call)
 *          RM_PENDING  the rest comes through rm_node_complete()
 *          RM_DONE     I want no more input, or have no more output
 *          RM_EAGAIN   nothing done, input kept: rm_node_ready(), a timer or returned memory
 *                      brings me back
 *          < 0         error: the outbox is dropped, on_error decides
 * flush    All inputs have ended; may emit; RM_MORE, RM_PENDING, RM_EAGAIN as above.
 * control  See rm_control_op; on the strand, between two calls of process().
 * cancel   Work is PENDING and not wanted any more: give up soon, then complete.
 * close    Releases all. Called once for each node whose open() succeeded.
 * save     Writes the state; load gets it before the first item. For a node that takes this one's
 *          place; and for checkpoints, where a type has no checkpoint(): then also within an item
 *          whose inputs are held (after RM_MORE, RM_EAGAIN or an error that is tried again).
 * checkpoint  Writes the state and the place in the outside world (a file's offset), so that the
 *          same node of a later process goes on there. When save() may be called; nothing else of
 *          the session runs meanwhile. A node with neither that is a source, or has a state and is
 *          not RM_NODE_PURE, cannot be part of a checkpoint.
 *          RM_EAGAIN: not now, it is within something; tried again soon.
 * restore  Gets it after open() and the RM_CONTROL_FORMAT of what came last, before the first item.
 */
struct rm_node_type {
    size_t struct_size;  /* sizeof(rm_node_type) */
    const char *name;    /* "audio.gain": family and verb or noun */
    const char *summary; /* one line */
    const char *example; /* an inline pipeline that uses it */
    uint32_t flags;
    uint32_t in_flight_max; /* PENDING items at once; 0 stands for 1. Not read yet: 1 today */
    const rm_port *inputs, *outputs; /* NULL: none. No input: a source */
    const rm_param *params;          /* NULL: none, any parameter is an error */
    size_t params_size, state_size;
    rm_status (*plan)(const void *params, const rm_format *in, rm_format *out, rm_error *err);
    rm_status (*open)(rm_node *node, rm_error *err);
    rm_status (*process)(rm_node *node, const rm_inputs *inputs, rm_error *err);
    rm_status (*flush)(rm_node *node, rm_error *err);
    void (*close)(rm_node *node);
    rm_status (*control)(rm_node *node, const rm_control *control, rm_error *err);
    void (*cancel)(rm_node *node);
    rm_status (*save)(rm_node *node, struct rm_blob *blob, rm_error *err);
    rm_status (*load)(rm_node *node, const void *data, size_t bytes, rm_error *err);
    void *user; /* for whoever made the type at run time (a tier); NULL in modules */
    /* Shows the codecs that it reads or writes, by FFmpeg's names, for rm_machine_probe(). Thread:
     * the registry's. */
    void (*each_codec)(void (*show)(void *context, const char *name), void *context);
    rm_status (*checkpoint)(rm_node *node, struct rm_blob *blob, rm_error *err);
    rm_status (*restore)(rm_node *node, const void *data, size_t bytes, rm_error *err);
};

/* A packet from the pool of the node's strand, header cleared but for version, kind 0, pts_ns
 * RM_TIME_NONE and payload_bytes. The payload is not cleared. payload_bytes: 0 to
 * RM_PACKET_PAYLOAD_MAX. The caller owns *ret_packet. RM_EAGAIN: the pool's bound is reached;
 * return RM_EAGAIN from process() and be called again when memory came back. RM_ENOMEM: larger than
 * the whole bound. Thread: data; while PENDING also the thread that works for the node. */
RM_API RM_MUST_USE rm_status rm_packet_new(rm_node *node, uint64_t payload_bytes,
                                           rm_packet **ret_packet);

/* A packet around memory, or around an object, that somebody else owns. release(owner) runs once,
 * on whatever thread drops the last reference; it must not block. payload may be NULL with
 * payload_bytes 0 (a live object). On failure release is not called. Threads as rm_packet_new(). */
RM_API RM_MUST_USE rm_status rm_packet_new_foreign(rm_node *node, void *payload,
                                                   uint64_t payload_bytes,
                                                   void (*release)(void *owner), void *owner,
                                                   rm_packet **ret_packet);

/* Puts a packet into the outbox of output port `port`. Takes the packet, also on failure. Never
 * waits for room. RM_ELIMIT beyond the port's emit_max, RM_EINVAL for a port that is not there,
 * RM_ENOMEM where this call is the first that emits much and there is no memory for that.
 * pts_ns, origin_ns, stream_id and trace that are unset are copied from the call's input.
 * Thread: data: inside process() and flush(), or while PENDING before rm_node_complete(). */
RM_API rm_status rm_emit(rm_node *node, uint32_t port, rm_packet *takes_packet);

/* Emits the packet of input port 0 itself, without touching its reference count. Thread: data. */
RM_API rm_status rm_forward(rm_node *node, uint32_t port);

/* Asks what feeds this input for something (RM_CONTROL_KEY_FRAME, RM_CONTROL_BIT_RATE): its
 * control() is called with that before its next call, on whatever thread it is. RM_ELIMIT: too many
 * at once. RM_EINVAL: nothing feeds the input. RM_ENOMEM: the strand's first one had no memory.
 * Thread: strand. */
RM_API rm_status rm_request(rm_node *node, uint32_t input, const rm_control *control);

/* Output may be had again, after RM_EAGAIN or from a source that had nothing, or by itself
 * (RM_NODE_UNPROMPTED). Thread: any. */
RM_API void rm_node_ready(rm_node *node);

/* Ends PENDING. status: what process() would have returned; err (may be NULL) is copied. Emits of
 * the working thread happen before it. Thread: any, one a PENDING. */
RM_API void rm_node_complete(rm_node *node, rm_status status, const rm_error *err);

/* Adds to the node's working time what the host cannot see: work that was done for it outside its
 * calls, on a thread of its own or while it was PENDING. calls: 1 for one whole call of its
 * author's code, 0 for a part of one that is counted already. Thread: strand; a tier with a lock
 * that keeps its threads and the strand apart may call it from those. */
RM_API void rm_node_add_work(rm_node *node, int64_t work_ns, uint32_t calls);

/* Where the time of a node goes whose code a tier hosts. */
typedef enum rm_tier_time {
    RM_TIER_USER = 0, /* the author's code */
    RM_TIER_MARSHAL,  /* packets to what that code takes, and back */
    RM_TIER_LOCK      /* a worker waited for the tier's lock: Python's GIL */
} rm_tier_time;

/* Adds to the split of the node's time by what the tier measured of it, or takes it for. Threads as
 * rm_node_add_work(). */
RM_API void rm_node_add_tier_time(rm_node *node, rm_tier_time part, int64_t ns);

/* Calls process() again, as rm_node_ready() does, once the session's clock reaches when_ns. One
 * timer a node; the earlier one stays. Thread: strand. */
RM_API void rm_node_wake_at(rm_node *node, int64_t when_ns);

/* The session's clock in this step, ns. Thread: data. */
RM_API int64_t rm_node_now(const rm_node *node);

/* The fixed format of an input port as planned, or of the latest packet; kind any where none is
 * known. Thread: strand. */
RM_API void rm_node_input_format(const rm_node *node, uint32_t input, rm_format *ret_format);

/* 1: somebody still takes what this output port gives. 0: nothing is connected there, or all that
 * is connected wants no more, so that the node may spare itself the work; what it emits all the
 * same is dropped. During open() of a swap no port is connected yet. Thread: strand. */
RM_API int rm_port_is_connected(const rm_node *node, uint32_t output);

/* 1: a further set of inputs waits, so that the node may put this one aside, return RM_OK, and work
 * on several at once. Thread: strand, inside process(). */
RM_API int rm_node_has_input(const rm_node *node);

/* 1: the session makes checkpoints, so that a node keeps what its checkpoint() will write. Without
 * it a node that would have to copy its input may spare itself that, and refuse. Thread: strand,
 * and inside open(). */
RM_API int rm_node_is_kept(const rm_node *node);

/* Appends to what save() writes. RM_ELIMIT beyond 16 MiB. */
typedef struct rm_blob rm_blob;
RM_API rm_status rm_blob_append(rm_blob *blob, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
