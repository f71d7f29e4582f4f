/* pipe.h — a file that cannot be read at will: standard input, a FIFO, a terminal.
 *
 * libav* reads it through an AVIOContext of ours. Whether something is there is asked before libav*
 * is called, so that a node whose pipe says nothing gives its thread back and can be cancelled.
 *
 * Ownership: owns the descriptor, unless it is standard input. Threads: one at a time.
 */
#ifndef MEDIA_READ_PIPE_H
#define MEDIA_READ_PIPE_H

#include <stdbool.h>

#include <libavformat/avio.h>

#include <remotemedia/module.h>

typedef struct media_pipe {
    int fd; /* -1: none */
    bool is_owned;
    AVIOContext *io;
} media_pipe;

/* True for "-" and for what is there and neither file nor folder. */
bool media_path_is_pipe(const char *path);

/* Does not wait for the other end. E0501. */
rm_status media_pipe_open(media_pipe *pipe, const char *path, rm_error *err);
/* Waits 100 ms at most. True: there is something to read, or the end. */
bool media_pipe_is_ready(const media_pipe *pipe);
/* Closes what is open; one that is zeros but for fd -1 is fine. */
void media_pipe_close(media_pipe *pipe);

#endif
