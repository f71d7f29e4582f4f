/* file_out.h — what the writing nodes share: a file or standard output, written without waiting.
 *
 *     file_out_open() ─▶ file_out_write() … ─▶ file_out_close()
 *
 * A reader that is slow (a pipe, a terminal) holds up one call for FILE_OUT_WAIT_MS at most, then
 * the node gives its thread back, so that it can be cancelled. A full disk and a reader that has
 * gone are errors: the signals that would end the process with them are held back meanwhile.
 *
 * Ownership: file_out owns the descriptor, unless it is standard output. Threads: one at a time.
 */
#ifndef NODES_FILE_OUT_H
#define NODES_FILE_OUT_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <remotemedia/module.h>

enum {
    FILE_OUT_WAIT_MS = 100,
    FILE_OUT_PIPE_BYTES = 4096, /* PIPE_BUF: what a pipe that polls writable takes whole */
};

typedef struct file_out {
    int fd; /* -1: closed */
    bool owned, regular;
    const char *name; /* borrowed; for messages */
} file_out;

static inline rm_status file_out_fail(const file_out *file, int os_errno, rm_error *err)
{
    rm_status status = rm_fail_as(err, RM_CODE_MEDIA_WRITE, "cannot write '%.300s': %s", file->name,
                                  strerror(os_errno));
    if (os_errno == EPIPE) {
        rm_error_help(err, "whatever read it has ended");
    } else if (os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EFBIG) {
        rm_error_help(err, "make room, or write elsewhere: what was written so far stays");
    }
    return status;
}

/* path "-" is standard output. What was in the file is gone. path must outlive file. */
static inline rm_status file_out_open(file_out *file, const char *path, rm_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    *file = (file_out){.fd = standard ? STDOUT_FILENO
                                      : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666),
                       .owned = !standard,
                       .name = standard ? "standard output" : path};
    if (file->fd < 0) {
        return file_out_fail(file, errno, err);
    }
    struct stat about;
    file->regular = fstat(file->fd, &about) == 0 && S_ISREG(about.st_mode);
    return RM_OK;
}

/* write() without SIGPIPE and SIGXFSZ, whose default is the end of the process. */
static inline ssize_t file_out_quiet_write(int fd, const void *data, size_t bytes)
{
    sigset_t quiet, before, pending;
    sigemptyset(&quiet);
    sigaddset(&quiet, SIGPIPE);
    sigaddset(&quiet, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &quiet, &before);
    ssize_t written = write(fd, data, bytes);
    int os_errno = errno;
    if (written < 0 && (os_errno == EPIPE || os_errno == EFBIG)) {
        int number = os_errno == EPIPE ? SIGPIPE : SIGXFSZ;
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, number);
        if (!sigismember(&pending, number)) { /* not ours: somebody else waits for it */
            (void)sigtimedwait(&one, NULL, &(struct timespec){0, 0});
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = os_errno;
    return written;
}

/* Writes from *done on and counts in *done. RM_EAGAIN: the reader is slow, call again. */
static inline rm_status file_out_write(const file_out *file, const void *data, size_t bytes,
                                       size_t *done, rm_error *err)
{
    while (*done < bytes) {
        size_t piece = bytes - *done;
        if (!file->regular) {
            struct pollfd ready = {.fd = file->fd, .events = POLLOUT};
            int count = poll(&ready, 1, FILE_OUT_WAIT_MS);
            if (count == 0 || (count < 0 && errno == EINTR)) {
                return RM_EAGAIN;
            }
            piece = piece < FILE_OUT_PIPE_BYTES ? piece : FILE_OUT_PIPE_BYTES;
        }
        ssize_t written = file_out_quiet_write(file->fd, (const char *)data + *done, piece);
        if (written >= 0) {
            *done += (size_t)written;
        } else if (errno == EAGAIN) {
            return RM_EAGAIN;
        } else if (errno != EINTR) {
            return file_out_fail(file, errno, err);
        }
    }
    return RM_OK;
}

/* Some file systems tell only now that they had no room. err may be NULL. */
static inline rm_status file_out_close(file_out *file, rm_error *err)
{
    int fd = file->fd;
    file->fd = -1;
    if (file->owned && fd >= 0 && close(fd) != 0 && errno != EINTR) {
        return file_out_fail(file, errno, err);
    }
    return RM_OK;
}

#endif
