/* file_out.h — what the writing nodes share: a file or standard output, written without waiting.
 *
 *     file_out_open() ─▶ file_out_write() … ─▶ file_out_finish()   it is whole
 *                                           └▶ file_out_abandon()  it is not
 *
 * A file that is there and holds something stays as it is until the new one is whole: a node of the
 * same graph may still read it, and a run that fails destroys nothing. So the new one is written
 * beside it, under a name of its own, and takes its place with finish(); abandon() leaves what was
 * written as PATH.part. It gets the mode and, where that is allowed, the owner of the old one; a
 * symbolic link stays one. A file that is not there, is empty or has no name any more, a pipe and a
 * device are written as they are.
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
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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
    const char *name;      /* borrowed; for messages */
    char target[PATH_MAX]; /* whose place it takes; "": nobody's */
    char beside[PATH_MAX]; /* where it is meanwhile */
} file_out;

static inline rm_status file_out_fail(const file_out *file, int os_errno, rm_error *err)
{
    rm_status status = rm_fail_as(err, RM_CODE_MEDIA_WRITE, "cannot write '%.300s': %s", file->name,
                                  strerror(os_errno));
    if (os_errno == EPIPE) {
        rm_error_help(err, "whatever read it has ended");
    } else if (os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EFBIG) {
        rm_error_help(err, file->beside[0]
                               ? "make room, or write elsewhere: the old file stays as it was"
                               : "make room, or write elsewhere: what was written so far stays");
    }
    return status;
}

/* The name is PATH followed by the suffix. */
static inline bool file_out_name(char *to, const char *path, const char *suffix)
{
    int bytes = snprintf(to, PATH_MAX, "%s%s", path, suffix);
    return bytes > 0 && bytes < PATH_MAX;
}

static inline rm_status file_out_open_beside(file_out *file, const char *path,
                                             const struct stat *old, rm_error *err)
{
    if (!realpath(path, file->target) || faccessat(AT_FDCWD, file->target, W_OK, AT_EACCESS) != 0) {
        return file_out_fail(file, errno, err);
    }
    bool fits = file_out_name(file->beside, file->target, ".XXXXXX");
    file->fd = fits ? mkostemp(file->beside, O_CLOEXEC) : -1;
    if (file->fd < 0) {
        rm_status status = file_out_fail(file, fits ? errno : ENAMETOOLONG, err);
        rm_error_help(err,
                      "the new file is made beside the old one, whose folder must let it: write "
                      "elsewhere, or remove the old one");
        return status;
    }
    if (old->st_uid != geteuid() || old->st_gid != getegid()) {
        (void)!fchown(file->fd, old->st_uid, old->st_gid); /* root may */
    }
    if (fchmod(file->fd, old->st_mode & 07777) != 0) {
        rm_status status = file_out_fail(file, errno, err);
        (void)close(file->fd);
        (void)unlink(file->beside);
        file->fd = -1;
        return status;
    }
    file->regular = true;
    return RM_OK;
}

/* path "-" is standard output. path must outlive file. */
static inline rm_status file_out_open(file_out *file, const char *path, rm_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    struct stat about;
    file->owned = !standard;
    file->regular = false;
    file->name = standard ? "standard output" : path;
    file->target[0] = file->beside[0] = '\0';
    file->fd = -1;
    if (!standard && stat(path, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 &&
        about.st_nlink > 0) {
        return file_out_open_beside(file, path, &about, err);
    }
    file->fd =
        standard ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        return file_out_fail(file, errno, err);
    }
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

/* Takes the last so many bytes back. False: they are out, or others follow. */
static inline bool file_out_take_back(const file_out *file, size_t bytes)
{
    if (!file->regular || bytes == 0) {
        return bytes == 0;
    }
    off_t here = lseek(file->fd, 0, SEEK_CUR), end = lseek(file->fd, 0, SEEK_END);
    if (here != end || here < (off_t)bytes) {
        (void)lseek(file->fd, here, SEEK_SET);
        return false;
    }
    off_t start = here - (off_t)bytes;
    return ftruncate(file->fd, start) == 0 && lseek(file->fd, start, SEEK_SET) == start;
}

/* False: errno says why. */
static inline bool file_out_close_fd(file_out *file)
{
    int fd = file->fd;
    file->fd = -1;
    return !file->owned || fd < 0 || close(fd) == 0 || errno == EINTR;
}

/* What there is stays: as PATH.part where it was to take the place of another file. */
static inline void file_out_abandon(file_out *file)
{
    char part[PATH_MAX];
    (void)file_out_close_fd(file);
    if (file->beside[0] == '\0') {
        return;
    }
    if (file_out_name(part, file->target, ".part") && rename(file->beside, part) == 0) {
        rm_log(RM_LOG_WARNING, "file", "'%.300s' stays as it was; what was written is '%.300s'",
               file->target, part);
    } else {
        (void)unlink(file->beside);
    }
    file->beside[0] = '\0';
}

/* Nothing of it stays. */
static inline void file_out_discard(file_out *file)
{
    (void)file_out_close_fd(file);
    if (file->owned && file->regular) {
        (void)unlink(file->beside[0] ? file->beside : file->name);
    }
    file->beside[0] = '\0';
}

/* It is whole: takes the place of the old one. Some file systems tell only now that they had no
 * room. */
static inline rm_status file_out_finish(file_out *file, rm_error *err)
{
    if (!file_out_close_fd(file)) {
        return file_out_fail(file, errno, err);
    }
    if (file->beside[0] == '\0') {
        return RM_OK;
    }
    if (rename(file->beside, file->target) != 0) {
        return file_out_fail(file, errno, err);
    }
    file->beside[0] = '\0';
    return RM_OK;
}

#endif
