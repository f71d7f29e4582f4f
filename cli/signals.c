/* Signals while a pipeline runs, told to its loop through a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "run.h"

static volatile sig_atomic_t ended_by, dump_wanted;
static int wake_pipe[2] = {-1, -1};
static struct sigaction before_interrupt, before_terminate, before_dump;
static bool catches, catches_interrupt;

static void handle(int signal_number)
{
    int saved = errno;
    if (signal_number == SIGUSR1) {
        dump_wanted = 1;
    } else {
        ended_by = signal_number;
    }
    cli_signals_wake();
    errno = saved;
}

void cli_signals_wake(void)
{
    ssize_t ignored = write(wake_pipe[1], "", 1); /* a full pipe wakes as well */
    (void)ignored;
}

rm_status cli_signals_start(rm_error *err)
{
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        return rm_fail_os(err, errno, "cannot make a pipe");
    }
    ended_by = dump_wanted = 0;
    /* Writes go on after a signal; poll() returns all the same. */
    struct sigaction always = {.sa_handler = handle, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &always, &before_dump);
    return RM_OK;
}

void cli_signals_catch(bool with_interrupt)
{
    struct sigaction once = {.sa_handler = handle, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    catches_interrupt = with_interrupt;
    if (catches_interrupt) {
        sigaction(SIGINT, &once, &before_interrupt);
    }
    sigaction(SIGTERM, &once, &before_terminate);
    catches = true;
}

void cli_signals_stop(void)
{
    if (wake_pipe[0] < 0) {
        return;
    }
    if (catches && catches_interrupt) {
        sigaction(SIGINT, &before_interrupt, NULL);
    }
    if (catches) {
        sigaction(SIGTERM, &before_terminate, NULL);
    }
    catches = catches_interrupt = false;
    sigaction(SIGUSR1, &before_dump, NULL);
    close(wake_pipe[0]);
    close(wake_pipe[1]);
    wake_pipe[0] = wake_pipe[1] = -1;
}

int cli_signals_fd(void)
{
    return wake_pipe[0];
}

void cli_signals_drain(void)
{
    char bytes[256];
    while (read(wake_pipe[0], bytes, sizeof bytes) > 0) {
    }
}

int cli_signals_ended_by(void)
{
    return ended_by;
}

bool cli_signals_take_dump(void)
{
    bool wanted = dump_wanted;
    dump_wanted = 0;
    return wanted;
}
