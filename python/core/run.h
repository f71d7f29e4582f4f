/* run.h — what the files of a running session share.
 *
 *     Session ──▶ runners, one for each Python node, python.feed and python.collect of the plan
 *                   │ open: the engine's node points at its runner
 *                   ├─ node.c    what the engine calls; sync calls; what goes out
 *                   ├─ node_kind.c  what it is by its object
 *                   ├─ guest.c   those that come into a session that runs, and leave it
 *                   ├─ change_params.c  parameters that a change sets
 *                   ├─ ahead.c   what is fetched into the cache before it is needed
 *                   ├─ failure.c    what is told of a failure
 *                   ├─ ring.c    objects that wait
 *                   ├─ keep.c    checkpoints
 *                   ├─ interrupt.c  what a node forgets, and its own interrupt()
 *                   ├─ task.c    coroutines and generators, as the node's own Task
 *                   ├─ cancel.c  what the engine cancels of these
 *                   ├─ stream.c  the input of an is_streaming node
 *                   ├─ feed.c    python.feed and python.collect
 *                   ├─ live.c    what `remotemedia top` is told
 *                   └─ worker.c  sync calls on other threads
 *
 * Ownership: a Session owns its runners; a runner borrows its session (NULL once that is gone) and
 * owns the Python objects of its work. A job on a worker thread holds both.
 * Threads: all members are the GIL's, but for those that say so. The engine is stepped by one
 * thread: the event loop's, or the caller of Session.run().
 */
#ifndef RMPY_RUN_H
#define RMPY_RUN_H

#include "core.h"

#include <stdatomic.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif
#include <pthread.h>
#include <time.h>

enum {
    RMPY_BATCH_MAX = RM_EMIT_MAX, /* items put aside for a worker; results that wait to go out */
    RMPY_RING_FEW = 2,
    RMPY_QUEUE_MAX = 16,    /* items in the queue of push() and pull() */
    RMPY_ASIDE_MAX = 4096,  /* results beyond them while a change waits for its moment */
    RMPY_ERRORS_MAX = 1000, /* kept for take_errors() */
    RMPY_EVENTS_MAX = 1000, /* kept for take_events() */
    RMPY_BUDGET_MIN = 8,    /* calls a step of a slice; grows while steps are short */
    RMPY_BUDGET_MAX = 512
};
#define RMPY_WATCH_NS ((int64_t)50 * 1000000)

typedef struct rmpy_session rmpy_session;
typedef struct rmpy_runner rmpy_runner;
typedef struct rmpy_crew rmpy_crew;
typedef struct rmpy_setting rmpy_setting;

/* What the calling thread has done so far. */
typedef struct rmpy_usage {
    int64_t cpu_ns;
    long switches; /* times that it waited for something */
} rmpy_usage;

/* Who tells `remotemedia top` of the sessions; see live.c. */
typedef struct rmpy_live {
    PyThread_type_lock running; /* held while the thread runs; NULL: none has run yet */
    bool runs;
    bool waits; /* for who asks, or for a byte in the pipe: it is to be told once there is none */
    _Atomic bool stop;
    _Atomic bool off;           /* there is no socket that it could have */
    uint32_t announced, serial; /* sessions that are, and that have been so far */
    int pipe[2];
    int fd; /* the thread's; -1: it does not listen */
    char path[108];
} rmpy_live;

/* What all sessions of the interpreter share; in the module's state. */
typedef struct rmpy_run {
    PyTypeObject *runner, *stream;
    PyObject *need_input; /* what the input of a stream yields where it is empty */
    /* Of asyncio, once a loop was seen. */
    PyObject *swap_task, *enter_task, *leave_task; /* swap_task NULL: before 3.12 */
    PyObject *current_tasks; /* of each loop that runs one, where current_task() is Python's */
    PyObject *set_running_loop, *get_running_loop, *current_task, *task_class, *future_class;
    PyObject *cancelled_error;
    /* Names. */
    PyObject *str_throw, *str_future_blocking, *str_add_done_callback, *str_get_loop, *str_cancel;
    PyObject *str_call_soon, *kw_context, *str_set_result, *str_done;
    PyObject *str_fut_waiter, *str_callbacks, *str_remove_done_callback, *str_uncancel;
    rmpy_session *sessions, **sessions_end; /* not closed yet, the oldest first */
    rmpy_session *latest;                   /* ahead.c: had the latest slice after a pause */
    unsigned foreseen;                      /* of these slices, lately: who would have them */
    rmpy_live live;
    rmpy_crew *pool;                              /* NULL: no sync call yet */
    _Atomic unsigned threads;                     /* of all crews */
    unsigned generation;                          /* +1 in the child of a fork */
    bool shut;                                    /* no new work */
    uint64_t fast_ticks, slow_ticks, slice_ticks; /* 20 µs, 1 ms, 2 ms; 0: not measured yet */
    uint64_t begin_ticks;
    int64_t begin_ns;
} rmpy_run;

typedef enum rmpy_kind { RMPY_NODE = 0, RMPY_FEED, RMPY_COLLECT } rmpy_kind;

/* Where process() is called. */
typedef enum rmpy_mode {
    RMPY_ASYNC = 0, /* as the node's Task, on the loop */
    RMPY_INLINE,    /* on the thread that steps, no loop seen */
    RMPY_POOL,      /* on a thread of the pool */
    RMPY_OWN        /* on a thread of its own */
} rmpy_mode;

/* Objects in a ring, RMPY_BATCH_MAX at most; owns them. Most nodes never have more than a few. */
typedef struct rmpy_ring {
    PyObject *few[RMPY_RING_FEW];
    PyObject **many; /* RMPY_BATCH_MAX slots; NULL: they are in `few` */
    unsigned head, length;
} rmpy_ring;

/* What a plain call touches comes first, for the reason that rmi_node gives. */
struct rmpy_runner {
    PyObject_HEAD rmpy_session *session; /* borrowed */
    rm_node *node;                       /* while the engine has it open */
    PyObject *process;                   /* bound method */
    PyObject *function, *self;           /* of that, borrowed; NULL: it is some other callable */
    const rm_inputs *inputs;             /* the engine's; NULL: no call yet */
    uint64_t items;                      /* taken so far */
    PyObject *task, *context, *sync_context;
    PyObject *at_hand; /* the item of `queue` that is worked on; NULL: the engine's */
    rmpy_kind kind : 8;
    rmpy_mode mode : 8;
    bool is_source, is_streaming, batches;
    bool is_plain;          /* one input, and no stream: see call_plain() */
    bool gives_objects;     /* its one output carries live objects */
    bool taken;             /* the input that the engine holds */
    bool engine_waits;      /* we returned RM_PENDING */
    bool reset_wanted;      /* interrupted: rmpy_reset() before anything else */
    bool job;               /* a worker's */
    bool deferred : 1;      /* for the next slice */
    bool was_fast : 1;      /* the call that was timed last */
    rm_status outcome;      /* to be told at the next call: RM_DONE or an error */
    unsigned emit_room;     /* what this call may still emit */
    uint32_t untimed_calls; /* for rmpy_note_time() */
    /* Times that code of the node's author went on for the item at hand; where it is to stop. */
    uint64_t steps, steps_max;

    int blocking;      /* -1: decided by measuring */
    const char *id;    /* the plan's, or own_id */
    char *own_id;      /* of one that a change brought; NULL: none */
    rmpy_runner *heir; /* borrowed: gets its state, as a change takes it out; NULL: none does */
    PyObject *object;  /* the node object; a feed's source; where a collect puts things */
    PyObject *flush, *interrupt, *overrun; /* bound methods; NULL: none */
    PyObject *ahead; /* is told of items that wait for their calls; NULL: it is not */
    unsigned n_in, n_out;
    uint32_t object_ports; /* a bit an output that carries live objects */

    /* The Task of the node has the runner in two roles: the coroutine that it runs, and the future
     * that it waits for while there is nothing to do. */
    PyObject *wakeup;    /* the Task's own callback while it waits for us */
    PyObject *waits_for; /* the future that `wakeup` was handed to */
    PyObject *pending;   /* what the work waits for, to be handed to a Task that is about to run */
    char future_blocking;
    bool inside;           /* the thread acts as this Task, in its context */
    bool retired;          /* the Task ends with what it does now */
    bool cancelled;        /* result() raises CancelledError once */
    bool cancel_requested; /* the node cancelled its own Task */
    unsigned cancels;      /* asked by the engine, to be taken back */

    /* Work at hand. */
    PyObject *coro;    /* coroutine, or one step of agen */
    PyObject *agen;    /* its items go out */
    PyObject *gen;     /* iterator whose items go out */
    PyObject *yielded; /* what coro waits for */
    PyObject *handed;  /* process() on a worker gave something that only the loop can run */
    bool on_task;      /* the work waits within the Task */
    bool flush_called;
    bool discard;          /* interrupted: what comes of the work at hand is dropped */
    bool leaves;           /* a change takes it out: its flush() is for that */
    bool flushed_to_leave; /* that has begun, and the change is not made */
    bool renews;           /* nor will be: flush() is to be called again, a stream begins anew */
    bool joins;            /* a change brings it, which is not made yet */
    bool inherits;         /* and the state of the one in whose place it comes */
    bool fell_back;        /* it runs once another place has refused it; a guest until then */
    bool in_reset;         /* what runs now is that */

    /* is_streaming */
    PyObject *stream, *item, *stream_waiter;
    bool wants_input, ended;

    /* Session.call() */
    PyObject *call, *call_done, *call_result, *call_error;
    bool in_call, abandons;

    /* A worker. */
    rmpy_runner *next_job, *next_finished, *next_deferred;
    rmpy_session *job_session; /* held by the job */
    rmpy_crew *crew;           /* of its own */
    bool flush_wanted, stop;
    bool
        takes_long; /* no items are put aside: its latest call on a worker took 1 ms, or none was */
    uint32_t conversions, starts; /* for rmpy_note_time() */
    uint64_t marshal_ticks;       /* that were measured */
    uint64_t history;             /* a bit a timed call: 1 fast */
    unsigned history_length, fast_histories, demotions;

    /* python.feed, python.collect */
    Py_ssize_t next; /* in the sequence; items given of an iterable, pushed, or pulled */
    uint64_t skip;   /* items of the iterable that were given before the checkpoint */
    bool queued, wants;

    /* For failures. */
    PyObject *raised, *raised_input;
    uint64_t raised_item;
    rm_error *error; /* see rmpy_error_of(); NULL: nothing failed yet */

    /* Large, so behind what each call reads. */
    rmpy_ring out;   /* results that wait for a call, or for memory */
    rmpy_ring queue; /* items put aside for a worker */
};

/* Somebody who looks on, at most RMPY_WATCH_NS apart; zeros: nobody. */
typedef struct rmpy_watch {
    void (*tick)(void *context);  /* after each slice; may push and pull */
    void (*ended)(void *context); /* the native session is about to go */
    void *context;
} rmpy_watch;

struct rmpy_session {
    PyObject_HEAD rmpy_state *state;
    rmpy_run *run;
    PyObject *plan_object;
    PyObject *name;                /* NULL: `top` is not told of it */
    uint32_t serial, announced_ms; /* for that: which one it is, since when */
    const rm_plan *plan;           /* that of plan_object; after a change the native session's */
    rm_session *native;
    rmpy_runner **runners;
    size_t runner_count;
    rmpy_runner **guests; /* not in it yet, or not any more */
    size_t guest_count, guest_capacity;
    unsigned generation;
    uint64_t memory_bytes_max;
    uint32_t spans_max;   /* 0: items are not followed */
    char traceparent[64]; /* for that; "": none */
    PyObject *loop, *step_method, *woken_method;
    PyObject *timer, *done;
    PyObject *outer;   /* the Task that is current around this step, or NULL */
    PyObject *raised;  /* KeyboardInterrupt and its like: ends the session whatever the policy */
    PyObject *errors;  /* list of rows, see rmpy_session_failure_of() */
    PyObject *failure; /* the one that ended it */
    PyObject *cuts;    /* list, see rmpy_task_end_cuts(); NULL: none yet */
    PyObject *last_numbers; /* as it was closed */
    PyObject *last_spans;   /* those that were left then */
    PyObject *on_room, *on_output, *on_news;
    PyObject *news;                 /* list of rows for take_events() */
    uint64_t news_lost;             /* for which it had no room */
    uint64_t events;                /* what the engine is asked to tell */
    PyObject *leftovers;            /* async generators that were not run to their end */
    PyObject *new_params;           /* while set_params() runs */
    PyObject *types;                /* list: what plans of changes got from the registry */
    struct rm_change *change;       /* that is planned and not made yet; NULL: none */
    rmpy_setting *settings;         /* that it makes, the last one first; NULL: none */
    bool change_waits;              /* for its moment */
    bool committing;                /* it is tried now */
    struct rmpy_tries *tries;       /* one for each node of the plan; NULL: nothing failed yet */
    rmpy_session *next, **previous; /* in run->sessions */
    rmpy_session *follower,
        *leader; /* ahead.c: the slice after its own, and before it, was theirs */
    rmpy_runner *finished_calls, *deferred;
    int result; /* RM_MORE, RM_PENDING, RM_DONE, or RM_EFAIL */
    bool stepping, opened, loop_hidden, scheduled, close_wanted, reader, needs_loop;
    bool cancelling, room_event, output_event;
    bool
        waits_to_start; /* nodes that fell back are not initialized yet: start() or run() goes on */
    bool replays;    /* a record: its nodes give one item a call, and no more than is asked for */
    bool judges;     /* where calls of a node are made is decided by how long they take */
    int64_t next_ns; /* when it wants to be stepped again; INT64_MAX: when woken */
    unsigned busy;
    uint32_t budget;
    uint64_t deadline_ticks, slice_begin_ticks;
    uint64_t clock_ticks;   /* when the clock was read last */
    uint64_t round_ticks;   /* when a source looked at it last */
    unsigned rounds;        /* calls of sources without a suspicion */
    unsigned suspicion;     /* not 0: each call is timed, else the 32nd; a source takes it down */
    rmpy_usage slice_usage; /* as the slice began */
    uint32_t slice_number;
    unsigned long thread;       /* the owner's */
    int wake_fd, wake_write_fd; /* -1: none */
    rmpy_watch watch;
    _Atomic bool woken;   /* any thread, without the GIL */
    _Atomic bool no_wake; /* the owner is about to step anyway */
};

static inline uint64_t rmpy_ticks(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
#endif
}

static inline int64_t rmpy_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Ticks since `begin`, as ns. */
static inline int64_t rmpy_ns_since(const rmpy_run *run, uint64_t begin)
{
    return (int64_t)((double)(rmpy_ticks() - begin) * 1e6 / (double)run->slow_ticks);
}

/* Each eighth piece of a kind is timed, for the others too; the first one for itself. */
enum { RMPY_PIECES_A_SAMPLE = 8 };

/* Begins a piece. 0: it is not timed. */
static inline uint64_t rmpy_piece_begin(uint32_t *count)
{
    return (*count)++ % RMPY_PIECES_A_SAMPLE ? 0 : rmpy_ticks();
}

/* How many pieces the one that was just timed stands for. */
static inline uint32_t rmpy_piece_weight(uint32_t count)
{
    return count > 1 ? RMPY_PIECES_A_SAMPLE : 1;
}

/* Ticks, `weight` times, to the node's user code, marshaling or wait for the GIL. */
void rmpy_note_time(rmpy_runner *p, rm_tier_time part, uint64_t ticks, uint32_t weight);

/* Results that a worker makes before some of them go out. */
static inline unsigned rmpy_batch_max(const rmpy_runner *p)
{
    return p->session->replays ? 1 : RMPY_BATCH_MAX;
}

static inline bool rmpy_session_is_over(const rmpy_session *s)
{
    return s->result == RM_DONE || s->result < 0;
}

/* The place of the n-th object from the oldest, n to be below the number of slots. */
static inline PyObject **rmpy_ring_at(rmpy_ring *ring, unsigned n)
{
    return ring->many ? &ring->many[(ring->head + n) % RMPY_BATCH_MAX]
                      : &ring->few[(ring->head + n) % RMPY_RING_FEW];
}

/* The oldest; NULL where it is empty. */
static inline PyObject *rmpy_ring_pop(rmpy_ring *ring)
{
    if (ring->length == 0) {
        return NULL;
    }
    PyObject *object = *rmpy_ring_at(ring, 0);
    ring->head = (ring->head + 1) % RMPY_BATCH_MAX;
    ring->length--;
    return object;
}

/* ring.c. Both take the object. -1: no memory, with an exception; it is released then. */
int rmpy_ring_push(rmpy_ring *ring, PyObject *takes_object);
int rmpy_ring_push_front(rmpy_ring *ring, PyObject *takes_object);
void rmpy_ring_clear(rmpy_ring *ring);
/* Gives the slots back, too. */
void rmpy_ring_free(rmpy_ring *ring);

static inline rmpy_runner *rmpy_runner_of(const rm_node *node)
{
    return node->state;
}

void rmpy_loop_hide_now(rmpy_session *s);
/* What runs from here on sees no running loop. */
static inline void rmpy_loop_hide(rmpy_session *s)
{
    if (s->loop && !s->loop_hidden) {
        rmpy_loop_hide_now(s);
    }
}

/* ---- node.c */

/* The state of a node that is opened now finds its runner here. */
rm_status rmpy_runner_open(rm_node *node, rm_error *err);
void rmpy_runner_close(rm_node *node);
extern _Thread_local rmpy_session *rmpy_opening;

/* Sends a value out, or puts it into `out`. Takes it. RM_OK, RM_EAGAIN (it waits in `out`), < 0. */
rm_status rmpy_emit(rmpy_runner *p, PyObject *takes_value);
/* The exception raised now becomes the node's failure; its status. */
rm_status rmpy_fail(rmpy_runner *p);
/* What process() gave (takes it): value, generator, coroutine. */
rm_status rmpy_take_result(rmpy_runner *p, PyObject *takes_result);
/* Runs the work of a job on a worker's thread. */
void rmpy_node_work(rmpy_runner *p);
/* Source of items behind an iterable: sets gen or agen. */
rm_status rmpy_take_source(rmpy_runner *p, PyObject *takes_iterable);
/* One call of a source. */
rm_status rmpy_source_step(rmpy_runner *p);
/* As rmpy_emit(), None too. */
rm_status rmpy_emit_any(rmpy_runner *p, PyObject *takes_value);
PyObject *rmpy_object_of(rmpy_runner *p, rm_packet *packet);
/* True: the slice is over; answer RM_EAGAIN, the node is called again in the next one. */
bool rmpy_slice_over(rmpy_runner *p);
/* The item, or the tuple of items, of a call; NULL with an exception. */
PyObject *rmpy_input_object(rmpy_runner *p, const rm_inputs *inputs);
bool rmpy_any_packet(const rm_inputs *inputs);
/* What every call of the engine's ends with. */
rm_status rmpy_answer(rmpy_runner *p, rm_status status, rm_error *err);
void rmpy_node_cancel(rm_node *node);
/* Calls in the context of the node's sync calls; argument may be NULL. */
PyObject *rmpy_call_sync(rmpy_runner *p, PyObject *callable, PyObject *argument);

/* True: process() is called on a worker's thread. */
bool rmpy_on_thread(const rmpy_runner *p);
/* Calls on this thread, no loop seen, and takes the result. argument may be NULL. */
rm_status rmpy_call_inline(rmpy_runner *p, PyObject *callable, PyObject *argument);

/* ---- node_kind.c */

/* What the node is by its object: modes and methods. -1 with an exception. */
int rmpy_node_prepare(rmpy_runner *p, PyObject *object);
/* Fixes where sync calls begin, now that it is known whether there is a loop. -1: exception. */
int rmpy_node_place(rmpy_runner *p);
/* True: the function, or what it wraps, is `async def`. */
bool rmpy_is_async(PyObject *callable);

/* ---- guest.c */

/* The one of that id that is about to come; NULL: none is. */
rmpy_runner *rmpy_session_find_guest(rmpy_session *s, const char *id);
/* What the node holds back it shall give for a change. */
static inline bool rmpy_flushes_to_leave(const rmpy_runner *p)
{
    return p->flushed_to_leave && (p->flush_called || (p->is_streaming && p->ended));
}

/* One call of flush() for that: step(p). Where what the node holds back fails, the change is told,
 * in one of its tries; where an item does, the stream is. */
rm_status rmpy_flush_to_leave(rmpy_runner *p, rm_status (*step)(rmpy_runner *p));
/* Gives what save() of the node gave to load() of its heir. */
rm_status rmpy_hand_state_over(rmpy_runner *p);
/* Room for so many more. -1 with an exception. */
int rmpy_guests_reserve(rmpy_session *s, size_t count);
/* The session is open: those that run in the place of what was refused come in, the others go. */
void rmpy_guests_step_in(rmpy_session *s);
/* Ids of those that came in so. */
PyObject *rmpy_session_fell_back(PyObject *self, PyObject *none);
/* Those that leave become guests, those that join come in. Room was made; never fails. Takes the
 * list, which has room for all that run. */
void rmpy_guests_exchange(rmpy_session *s, rmpy_runner **takes_runners);
/* Nobody leaves: what their flush() was begun for is over. */
void rmpy_guests_stay(rmpy_session *s);
/* The session lets go of all of them. */
void rmpy_guests_clear(rmpy_session *s);
/* Methods of Session. */
PyObject *rmpy_session_add_nodes(PyObject *self, PyObject *args);
PyObject *rmpy_session_drop(PyObject *self, PyObject *runner);
/* A runner by its id or by itself; NULL with an exception. */
rmpy_runner *rmpy_session_runner(rmpy_session *s, PyObject *which);

/* ---- ahead.c */

/* A slice of the session begins, after a pause: fetches what it needs and those that follow it. */
void rmpy_ahead_look(rmpy_session *s);
/* It is about to end. */
void rmpy_ahead_forget(rmpy_session *s);

/* ---- failure.c */

/* What its node says of a failure. NULL without memory: the status says enough then. */
rm_error *rmpy_error_of(rmpy_runner *p);
/* Keeps what the runner's node raised, and on what. */
void rmpy_failure_keep(rmpy_runner *p, PyObject *takes_raised);
/* What a generator failed with: now, or behind what it gave in this call, which an error would take
 * along: then RM_MORE, and the next call is told. */
rm_status rmpy_fail_behind(rmpy_runner *p, rm_status status);
/* The same of a value that cannot be sent; to several outputs a part of it may have been. */
rm_status rmpy_unsent(rmpy_runner *p, rm_status status);
/* (exception, node, item, excerpt of the input, attempts) of a failure. */
PyObject *rmpy_session_failure_of(rmpy_session *s, const rm_error *error);
void rmpy_session_on_event(void *session, const rm_event *event);

/* ---- keep.c */

/* For rm_session_options.pack_object and unpack_object; the context is the session. */
rm_status rmpy_pack_object(void *session, const rm_packet *packet, rm_blob *blob, rm_error *err);
rm_status rmpy_unpack_object(void *session, const void *data, size_t bytes, void **ret_owner,
                             void (**ret_release)(void *owner), rm_error *err);

/* ---- cancel.c */

/* Cancels what waits within the Task. */
void rmpy_task_cancel(rmpy_runner *p);
/* Wakes the Tasks that were cancelled in the slice and would else be woken by the loop. */
void rmpy_task_end_cuts(rmpy_session *s);

/* ---- interrupt.c */

/* set_params(**params) of the node. -1 with an exception. */
int rmpy_give_params(rmpy_runner *p, PyObject *params);
/* Method of Session. */
PyObject *rmpy_session_interrupt(PyObject *self, PyObject *args);
rm_status rmpy_node_control(rm_node *node, const rm_control *control, rm_error *err);
/* What is left to do of an interrupt before the node's next call. RM_OK: nothing. Else what the
 * engine is to be told: RM_MORE, it is done; RM_PENDING, RM_EAGAIN: it is under way; < 0. */
rm_status rmpy_reset(rmpy_runner *p);
/* What interrupt() gave (takes it; NULL: it raised). */
rm_status rmpy_reset_result(rmpy_runner *p, PyObject *takes_result);
/* It is done, and says so to the engine. */
rm_status rmpy_reset_over(rmpy_runner *p);
/* Calls interrupt() on a worker's thread. */
void rmpy_reset_work(rmpy_runner *p);

/* ---- task.c */

extern PyType_Spec rmpy_runner_spec;
int rmpy_asyncio_import(rmpy_run *run);
/* Steps coro and agen as the node's Task, as far as it goes without waiting. RM_OK, RM_MORE,
 * RM_DONE, RM_EAGAIN, < 0; RM_PENDING: it waits. */
rm_status rmpy_task_run(rmpy_runner *p);
/* Calls as the node's Task and takes the result. argument may be NULL. */
rm_status rmpy_task_start(rmpy_runner *p, PyObject *callable, PyObject *argument);
/* The awaitable's iterator for coro. Takes it. NULL: TypeError. */
PyObject *rmpy_await_iterator(PyObject *takes_awaitable);
bool rmpy_is_awaitable(PyObject *object);
/* Ends the async generator at hand, in_reset: a CancelledError where it waits for its next input,
 * else aclose(). As rmpy_task_run(). */
rm_status rmpy_task_end_generator(rmpy_runner *p);
/* The current Task of the session's loop; NULL: none. */
PyObject *rmpy_current_task(const rmpy_session *s);
int rmpy_swap_task(rmpy_session *s, PyObject *from, PyObject *to);
/* Of the loop: callback(future), in this context. */
PyObject *rmpy_call_soon(rmpy_session *s, PyObject *callback, PyObject *future, PyObject *context);
/* Calls a method of the node as its Task: Session.call(). NULL: ends a wait for input. */
PyObject *rmpy_task_call(rmpy_runner *p, PyObject *callable, PyObject *done);
/* Of a node that is out: cancels what waits within its Task. Future done is told of its end. */
PyObject *rmpy_task_give_up(rmpy_runner *p, PyObject *done);
void rmpy_call_resolve(rmpy_runner *p);
/* A sync function on a worker has ended; what it gave may have to be awaited. */
void rmpy_call_finish(rmpy_runner *p);
void rmpy_task_resume_call(rmpy_runner *p);

/* ---- stream.c */

extern PyType_Spec rmpy_stream_spec;
rm_status rmpy_stream_process(rmpy_runner *p, PyObject *takes_item);
rm_status rmpy_stream_flush(rmpy_runner *p);

/* ---- worker.c */

/* Hands the runner's work to a thread. -1 with an exception. */
int rmpy_worker_submit(rmpy_runner *p);
void rmpy_worker_release(rmpy_runner *p); /* its own thread, if it has one, ends */
/* At exit: true, no thread is left. grace_ns bounds the wait. */
bool rmpy_worker_shutdown(rmpy_run *run, int64_t grace_ns);

/* ---- session.c */

rmpy_usage rmpy_thread_usage(void);

/* The session of a Session; NULL for another object. */
rmpy_session *rmpy_session_of(rmpy_state *state, PyObject *session);
/* Time begins that nodes may use now; run_slice() does so too. */
void rmpy_session_begin_slice(rmpy_session *s);
/* Runs a slice. */
void rmpy_session_step(rmpy_session *s);
/* A slice soon, from the loop. */
void rmpy_session_schedule(rmpy_session *s);
/* Tells the engine what became of the runner's work, and goes on. outer: the runner whose Task runs
 * now. */
void rmpy_session_finished(rmpy_runner *p, rm_status status);
/* The calling thread is its loop's, and within no slice of it. */
bool rmpy_session_is_idle_here(const rmpy_session *s);
/* A slice now, within the task that calls, where that can be; else soon. */
void rmpy_session_step_now(rmpy_session *s);
/* The runner's node has something again; a slice soon. */
void rmpy_session_poke(rmpy_session *s, rmpy_runner *p);
/* The same, but after a pause at once. */
void rmpy_session_take_up(rmpy_session *s, rmpy_runner *p);
int rmpy_session_wake_fd(rmpy_session *s);
void rmpy_session_wake(void *session); /* any thread, without the GIL */
void rmpy_loop_show(rmpy_session *s);
void rmpy_session_free_native(rmpy_session *s);
rmpy_runner *rmpy_session_find(rmpy_session *s, const char *id);
/* Raises where the session is another process's, or has been closed. */
bool rmpy_session_usable(rmpy_session *s);

/* What session.c, session_open.c and session_end.c share. */
void rmpy_session_cancel_timer(rmpy_session *s);
void rmpy_session_remove_reader(rmpy_session *s); /* on the loop's thread */
void rmpy_session_close_wake_fd(rmpy_session *s); /* once nobody can write it any more */
void rmpy_session_set_done(rmpy_session *s);
int rmpy_session_use_loop(rmpy_session *s, PyObject *loop);
void rmpy_session_unlink(rmpy_session *s);
/* Puts (id, agen) into the list. -1: exception. */
int rmpy_leave_over(PyObject *list, rmpy_runner *p);
PyObject *rmpy_session_state(const rmpy_session *s);
/* Any of the kinds that were asked for, or the end: a row for take_events(). */
void rmpy_session_keep_news(rmpy_session *s, const rm_event *event);

/* Methods of Session. */
PyObject *rmpy_session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
PyObject *rmpy_session_open(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *rmpy_session_start(PyObject *self, PyObject *args);
PyObject *rmpy_session_attach(PyObject *self, PyObject *loop);
PyObject *rmpy_session_run(PyObject *self, PyObject *none);
PyObject *rmpy_session_cancel(PyObject *self, PyObject *none);
PyObject *rmpy_session_set_params(PyObject *self, PyObject *args);
/* A bit for each output of a node of the plan that carries live objects. */
uint32_t rmpy_object_ports(const rm_plan *plan, size_t index);
rmpy_runner *rmpy_runner_new(rmpy_session *s, const rm_plan *plan, size_t index);
/* change.c */
PyObject *rmpy_session_plan_change(PyObject *self, PyObject *words);
PyObject *rmpy_session_change(PyObject *self, PyObject *none);
PyObject *rmpy_session_forget_change(PyObject *self, PyObject *none);
PyObject *rmpy_session_numbers(PyObject *self, PyObject *none);
PyObject *rmpy_session_follow(PyObject *self, PyObject *args);
PyObject *rmpy_session_spans(PyObject *self, PyObject *none);
PyObject *rmpy_session_method_step(PyObject *self, PyObject *none);
PyObject *rmpy_session_method_woken(PyObject *self, PyObject *none);

/* ---- change_params.c */

/* Node `id`, a live object, gets the parameters (a dict) as the change is made. */
rm_status rmpy_settings_add(rmpy_session *s, struct rm_change *change, const char *id,
                            PyObject *params, rm_error *err);
/* The change is made, or forgotten. */
void rmpy_settings_clear(rmpy_session *s);

/* ---- live.c */

/* Method of Session. */
PyObject *rmpy_session_announce(PyObject *self, PyObject *name);
/* The session is about to go. */
void rmpy_live_forget(rmpy_session *s);
/* Its thread ends; waits for it without the GIL. */
void rmpy_live_stop(rmpy_run *run);
/* In the child of a fork, which has no such thread. */
void rmpy_live_after_fork(rmpy_run *run);

/* ---- feed.c */

/* What waits for pull(), or was pushed, goes. */
void rmpy_collect_forget(rmpy_runner *p);
/* A change waits for its moment: results have room until it is over. */
void rmpy_collect_put_aside(rmpy_session *s);

/* Methods of Session. */
PyObject *rmpy_session_feed(PyObject *self, PyObject *args);
PyObject *rmpy_session_collect(PyObject *self, PyObject *args);
PyObject *rmpy_session_push(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *rmpy_session_pull(PyObject *self, PyObject *id);
PyObject *rmpy_session_end(PyObject *self, PyObject *id);
PyObject *rmpy_session_count(PyObject *self, PyObject *id);

#endif
