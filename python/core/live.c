/* What `remotemedia top` is told of the sessions of this process.
 *
 *     Session.announce() ─▶ a thread, the process's only one ─ once a session is 0.3 s old
 * ─▶ listens at PID.python.sock, sleeps until somebody asks asked: takes the GIL, measures one
 * session after another, sends the text without the GIL no session for a while ─▶ the thread ends,
 * and the socket is gone
 *
 * Threads: what is measured is the GIL's, as all of a session is; so none is closed meanwhile. The
 * thread has it for as long as one session takes, and waits for native strands briefly only. Python
 * begins the thread: to make a thread state without the GIL, as PyGILState_Ensure() does, can crash
 * where the program calls tracemalloc.stop() at that moment (Python before 3.12.9).
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <remotemedia/cli.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RUNS_MAX = 64,
    OLD_MS = 300,     /* sessions that are younger have no socket made */
    EMPTY_MS = 1000,  /* for which a socket is kept without a session */
    STRAND_MS = 5,    /* for which a strand of a session is waited for, */
    STRANDS_MS = 100, /* and those of all of them */
    SEND_MS = 2000
};

/* One session as it was. */
typedef struct told_run {
    uint32_t serial;
    const char *state;
    char *name;
    rm_metrics *metrics; /* NULL: there was no memory */
} told_run;

typedef struct told_runs {
    unsigned count, announced;
    told_run run[RUNS_MAX];
} told_runs;

static uint32_t now_ms(void)
{
    return (uint32_t)(rmpy_now_ns() / 1000000);
}

/* ---- measuring, with the GIL */

static const char *state_of(const rmpy_session *s)
{
    return rmpy_session_is_over(s) ? "ended" : s->cancelling ? "ending" : "running";
}

static void measure(rmpy_session *s, int wait_ms, told_runs *all)
{
    const char *name = s->native && s->name ? PyUnicode_AsUTF8(s->name) : NULL;
    if (!name) { /* it was closed meanwhile, or its name cannot be told */
        PyErr_Clear();
        return;
    }
    told_run *run = &all->run[all->count++];
    *run = (told_run){.serial = s->serial, .state = state_of(s), .name = strdup(name)};
    if (rm_session_measure_within(s->native, wait_ms, &run->metrics, NULL) != RM_OK) {
        run->metrics = NULL;
    }
}

/* The oldest ones, held. */
static unsigned hold_sessions(const rmpy_run *run, rmpy_session **ret_held)
{
    unsigned count = 0;
    for (rmpy_session *s = run->sessions; s && count < RUNS_MAX; s = s->next) {
        if (s->name) {
            ret_held[count++] = (rmpy_session *)Py_NewRef(s);
        }
    }
    return count;
}

/* Others get the GIL between two sessions. */
static void measure_all(rmpy_run *run, told_runs *all)
{
    rmpy_session *held[RUNS_MAX];
    all->announced = run->live.announced;
    unsigned count = hold_sessions(run, held);
    int64_t begin_ns = rmpy_now_ns();
    for (unsigned i = 0; i < count; i++) {
        bool late = rmpy_now_ns() - begin_ns > STRANDS_MS * (int64_t)1000000;
        measure(held[i], late ? 0 : STRAND_MS, all);
        Py_DECREF(held[i]);
        Py_BEGIN_ALLOW_THREADS;
        Py_END_ALLOW_THREADS;
    }
}

/* ---- telling, without it */

static void put_text(FILE *to, const char *text)
{
    putc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\' || *c < 0x20) {
            fprintf(to, "\\u%04x", *c);
        } else {
            putc(*c, to);
        }
    }
    putc('"', to);
}

static void put_run(FILE *to, const told_run *run)
{
    char *json = NULL;
    fprintf(to, "{\"run\":%u,\"state\":\"%s\",\"pipeline\":", run->serial, run->state);
    put_text(to, run->name ? run->name : "");
    if (run->metrics && rm_metrics_to_json(run->metrics, &json, NULL) == RM_OK) {
        fprintf(to, ",\"metrics\":%s", json);
        rm_free(json);
    }
    putc('}', to);
}

/* NULL without memory. */
static char *text_of(const told_runs *all)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    if (!to) {
        return NULL;
    }
    fprintf(to, "{\"pid\":%d,\"runs\":[", (int)getpid());
    for (unsigned i = 0; i < all->count; i++) {
        fputs(i ? "," : "", to);
        put_run(to, &all->run[i]);
    }
    if (all->announced > RUNS_MAX) {
        fprintf(to, ",{\"state\":\"more\",\"count\":%u}", all->announced - RUNS_MAX);
    }
    fputs("]}", to);
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Who does not read is left alone after a while, or when the thread is to end. */
static void send_text(rmpy_live *live, int fd, const char *text)
{
    int64_t until_ns = rmpy_now_ns() + SEND_MS * (int64_t)1000000;
    size_t at = 0, bytes = strlen(text);
    while (at < bytes && rmpy_now_ns() < until_ns && !atomic_load(&live->stop)) {
        struct pollfd wanted[2] = {{fd, POLLOUT, 0}, {live->pipe[0], POLLIN, 0}};
        int ready = poll(wanted, 2, SEND_MS);
        ssize_t sent = ready > 0 ? send(fd, text + at, bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return;
        }
        at += sent > 0 ? (size_t)sent : 0;
    }
}

static void tell(rmpy_live *live, int fd, const told_runs *all)
{
    char *text = text_of(all);
    for (unsigned i = 0; i < all->count; i++) {
        free(all->run[i].name);
        rm_metrics_free(all->run[i].metrics);
    }
    if (text) {
        send_text(live, fd, text);
    }
    free(text);
    (void)shutdown(fd, SHUT_RDWR); /* the child of a fork may have it, too */
    close(fd);
}

static void answer(rmpy_run *run, int fd)
{
    told_runs all = {0};
    measure_all(run, &all);
    Py_BEGIN_ALLOW_THREADS;
    tell(&run->live, fd, &all);
    Py_END_ALLOW_THREADS;
}

/* ---- the thread, which has the GIL but where it waits */

/* Who asks, -1: nobody does. */
static int wait_for_somebody(rmpy_live *live, int wait_ms)
{
    char drop[8];
    struct pollfd wanted[2] = {{live->pipe[0], POLLIN, 0}, {live->fd, POLLIN, 0}};
    (void)poll(wanted, live->fd >= 0 ? 2 : 1, wait_ms);
    if (wanted[0].revents && read(live->pipe[0], drop, sizeof drop) < 0) {
        atomic_store(&live->off, true);
    }
    return wanted[1].revents && !atomic_load(&live->stop)
               ? accept4(live->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
               : -1;
}

static void close_fds(rmpy_live *live)
{
    int *fds[] = {&live->fd, &live->pipe[0], &live->pipe[1]};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
        }
        *fds[i] = -1;
    }
}

static void end(rmpy_live *live)
{
    if (live->fd >= 0) {
        (void)unlink(live->path);
    }
    close_fds(live);
    live->runs = live->waits = false;
}

static bool is_old(const rmpy_run *run)
{
    const rmpy_session *s = run->sessions;
    while (s && !s->name) {
        s = s->next;
    }
    return s && now_ms() - s->announced_ms >= OLD_MS;
}

typedef enum next_turn { TURN_END, TURN_WAIT, TURN_SLEEP, TURN_LISTEN } next_turn;

/* What to do after a turn; `serial`: the latest session of the turn before. */
static next_turn decide(rmpy_run *run, uint32_t *serial)
{
    rmpy_live *live = &run->live;
    bool over = atomic_load(&live->off) || atomic_load(&live->stop) ||
                (live->announced == 0 && live->serial == *serial);
    *serial = live->serial;
    if (over) {
        return TURN_END;
    }
    if (live->fd < 0 && is_old(run)) {
        return TURN_LISTEN;
    }
    live->waits = live->fd >= 0 && live->announced;
    return live->waits ? TURN_SLEEP : TURN_WAIT;
}

static void begin_to_listen(rmpy_live *live)
{
    Py_BEGIN_ALLOW_THREADS;
    live->fd = rm_cli_live_listen(".python", live->path, sizeof live->path);
    atomic_store(&live->off, live->fd < 0);
    Py_END_ALLOW_THREADS;
}

static void wait_and_answer(rmpy_run *run, next_turn turn)
{
    rmpy_live *live = &run->live;
    int fd;
    Py_BEGIN_ALLOW_THREADS;
    fd = wait_for_somebody(live, turn == TURN_SLEEP ? -1 : live->fd >= 0 ? EMPTY_MS : OLD_MS);
    Py_END_ALLOW_THREADS;
    if (fd >= 0) {
        answer(run, fd);
    }
}

static const char run_name[] = "remotemedia._core.run";

static PyObject *look_out(PyObject *capsule, PyObject *Py_UNUSED(none))
{
    rmpy_run *run = PyCapsule_GetPointer(capsule, run_name);
    uint32_t serial = 0;
    next_turn turn = TURN_WAIT;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL); /* signals are for the program's own threads */
    do {
        if (turn == TURN_LISTEN) {
            begin_to_listen(&run->live);
        } else {
            wait_and_answer(run, turn);
        }
        turn = decide(run, &serial);
    } while (turn != TURN_END);
    end(&run->live);
    PyThread_release_lock(run->live.running);
    Py_RETURN_NONE;
}

static PyMethodDef look_out_def = {"look_out", look_out, METH_NOARGS, NULL};

/* ---- beginning and ending it, with the GIL */

static bool open_pipe(rmpy_live *live)
{
    if (pipe(live->pipe) < 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        (void)fcntl(live->pipe[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(live->pipe[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

/* False with an exception. */
static bool start_thread(rmpy_run *run)
{
    PyObject *capsule = PyCapsule_New(run, run_name, NULL);
    PyObject *function = capsule ? PyCFunction_New(&look_out_def, capsule) : NULL;
    PyObject *threads = function ? PyImport_ImportModule("_thread") : NULL;
    PyObject *ident =
        threads ? PyObject_CallMethod(threads, "start_new_thread", "O()", function) : NULL;
    bool begun = ident != NULL;
    Py_XDECREF(ident);
    Py_XDECREF(threads);
    Py_XDECREF(function);
    Py_XDECREF(capsule);
    return begun;
}

/* The lock is held while the thread runs. */
static bool start(rmpy_run *run)
{
    rmpy_live *live = &run->live;
    live->running = live->running ? live->running : PyThread_allocate_lock();
    if (!live->running || !open_pipe(live)) {
        return false;
    }
    (void)PyThread_acquire_lock(live->running, WAIT_LOCK);
    bool begun = start_thread(run);
    if (!begun) {
        PyErr_Clear();
        PyThread_release_lock(live->running);
    }
    return begun;
}

static void begin(rmpy_run *run)
{
    rmpy_live *live = &run->live;
    const char *wanted = getenv("REMOTEMEDIA_TOP");
    if (atomic_load(&live->off) || run->shut || (wanted && strcmp(wanted, "0") == 0)) {
        return;
    }
    live->runs = start(run);
    if (!live->runs) {
        close_fds(live);
        atomic_store(&live->off, true);
    }
}

PyObject *rmpy_session_announce(PyObject *self, PyObject *name)
{
    rmpy_session *s = (rmpy_session *)self;
    if (!PyUnicode_Check(name)) {
        return PyErr_Format(PyExc_TypeError, "announce() takes a str, not %s",
                            Py_TYPE(name)->tp_name);
    }
    if (!s->native || s->name || !rmpy_session_usable(s)) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    rmpy_live *live = &s->run->live;
    s->name = Py_NewRef(name);
    s->serial = ++live->serial;
    s->announced_ms = now_ms();
    live->announced++;
    if (!live->runs) {
        begin(s->run);
    }
    Py_RETURN_NONE;
}

void rmpy_live_forget(rmpy_session *s)
{
    rmpy_live *live = &s->run->live;
    bool announced = s->name && s->generation == s->run->generation;
    Py_CLEAR(s->name);
    if (announced && --live->announced == 0 && live->waits) {
        live->waits = false;
        ssize_t written = write(live->pipe[1], "", 1);
        (void)written; /* full: it is told already */
    }
}

void rmpy_live_stop(rmpy_run *run)
{
    rmpy_live *live = &run->live;
    atomic_store(&live->stop, true);
    if (!live->runs) {
        return;
    }
    ssize_t written = write(live->pipe[1], "", 1);
    (void)written; /* full: it is told already */
    Py_BEGIN_ALLOW_THREADS;
    (void)PyThread_acquire_lock(live->running, WAIT_LOCK);
    PyThread_release_lock(live->running);
    Py_END_ALLOW_THREADS;
}

void rmpy_live_after_fork(rmpy_run *run)
{
    close_fds(&run->live);
    run->live = (rmpy_live){.fd = -1, .pipe = {-1, -1}};
}
