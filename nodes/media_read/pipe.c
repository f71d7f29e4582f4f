#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libavutil/error.h>
#include <libavutil/mem.h>

enum { BUFFER_BYTES = 32768, WAIT_MS = 100 };

bool media_path_is_pipe(const char *path)
{
    struct stat about;
    return strcmp(path, "-") == 0 || (stat(path, &about) == 0 && !S_ISREG(about.st_mode) &&
                                      !S_ISDIR(about.st_mode) && !S_ISBLK(about.st_mode));
}

static bool is_readable(int fd, int wait_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, wait_ms) > 0;
}

/* As libav* wants it: at least one byte, or AVERROR_EOF. */
static int read_some(void *opaque, uint8_t *to, int bytes)
{
    const media_pipe *pipe = opaque;
    for (;;) {
        ssize_t got = read(pipe->fd, to, (size_t)bytes);
        if (got >= 0) {
            return got ? (int)got : AVERROR_EOF;
        }
        if (errno == EAGAIN) {
            (void)is_readable(pipe->fd, -1);
        } else if (errno != EINTR) {
            return AVERROR(errno);
        }
    }
}

rm_status media_pipe_open(media_pipe *pipe, const char *path, rm_error *err)
{
    bool is_standard = strcmp(path, "-") == 0;
    *pipe = (media_pipe){.fd = is_standard ? STDIN_FILENO
                                           : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC),
                         .is_owned = !is_standard};
    if (pipe->fd < 0) {
        return rm_fail_as(err, RM_CODE_MEDIA_OPEN, "media file '%s': %s", path, strerror(errno));
    }
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    pipe->io =
        buffer ? avio_alloc_context(buffer, BUFFER_BYTES, 0, pipe, read_some, NULL, NULL) : NULL;
    if (!pipe->io) {
        av_free(buffer);
        media_pipe_close(pipe);
        return rm_fail(err, RM_ENOMEM, "media file '%s': no memory", path);
    }
    return RM_OK;
}

bool media_pipe_is_ready(const media_pipe *pipe)
{
    return pipe->io->buf_ptr < pipe->io->buf_end || is_readable(pipe->fd, WAIT_MS);
}

void media_pipe_close(media_pipe *pipe)
{
    if (pipe->io) {
        av_freep(&pipe->io->buffer); /* libav* may have put another one there */
        avio_context_free(&pipe->io);
    }
    if (pipe->fd >= 0 && pipe->is_owned) {
        close(pipe->fd);
    }
    pipe->fd = -1;
}
