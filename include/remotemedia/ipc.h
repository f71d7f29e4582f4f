/* ipc.h — a link between two processes of one machine, through memory that both have mapped.
 *
 *     this process                      shared memory                       the other process
 *     rm_ipc_alloc() ─▶ block ─┐
 *     rm_ipc_send() ───────────┴─▶ slots[tail] ─▶ [ | |x|x|x] ─▶ slots[head] ─▶ rm_ipc_receive()
 *                     ◀── credits: capacity - (tail - head) ───── rm_ipc_acknowledge()
 *                     ◀── blocks that nobody reads any more ───── rm_ipc_release()
 *
 * The same again in the other direction. The memory has no name: it is reached by descriptors that
 * one process hands to the other (SCM_RIGHTS), and goes with the last of them.
 *
 * A message is a packet's header, up to RM_IPC_HEAD_MAX bytes that stand in the slot itself, and up
 * to RM_IPC_PARTS_MAX parts. A part lies in a block of the sender's pool and is not copied: the
 * receiver maps the same pages, and reads only. A block is used again once its sender, the slots
 * that are not acknowledged, and the receiver have all let go of it.
 *
 * What is not acknowledged stays in its slot, so that a new peer in the place of one that died gets
 * it again: rm_ipc_renew().
 *
 * Who finds nothing to do sleeps on rm_ipc_fd(), after rm_ipc_sleep() has said that it may; the
 * peer writes there only if this side sleeps. rm_ipc_socket() becomes readable when the peer is
 * gone, and when it has mapped more memory: rm_ipc_look().
 *
 * The peer is not trusted: whatever it writes, this side reads within its own mappings, and answers
 * RM_EINVAL from then on.
 *
 * Ownership: the caller owns the rm_ipc and the parts that it allocated or received. A part may
 * outlive its link.
 * Threads: one thread at a time uses one side; the two sides need nothing from one another.
 */
#ifndef REMOTEMEDIA_IPC_H
#define REMOTEMEDIA_IPC_H

#include "packet.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RM_IPC_CAPACITY_MAX = 4096, /* messages on their way, in each direction */
    RM_IPC_HEAD_MAX = 256,      /* bytes */
    RM_IPC_PARTS_MAX = 4,
    RM_IPC_FDS = 4 /* descriptors that the other process attaches by */
};

typedef struct rm_ipc rm_ipc;

typedef struct rm_ipc_options {
    size_t struct_size;
    uint32_t capacity;       /* 1 to RM_IPC_CAPACITY_MAX */
    uint32_t reserved;       /* zero */
    uint64_t pool_bytes_max; /* of blocks, in each direction; 0: 1 GiB */
} rm_ipc_options;

/* Memory in a block. Of a received part the memory is read-only. */
typedef struct rm_ipc_part {
    void *data; /* aligned to 64 */
    uint64_t bytes;
    void *segment; /* what the block lies in */
    uint32_t block;
    uint32_t reserved;
} rm_ipc_part;

typedef struct rm_ipc_message {
    rm_packet_header header; /* payload_bytes: of all parts; metadata_bytes: of the head */
    uint32_t head_bytes, part_count;
    uint8_t head[RM_IPC_HEAD_MAX];
    rm_ipc_part part[RM_IPC_PARTS_MAX];
} rm_ipc_message;

/* Makes one side, and the descriptors for the other one, which the caller sends there and closes.
 * Fails with RM_EINVAL, RM_ENOMEM, RM_EIO (no memory or no descriptor from the system). */
RM_API RM_MUST_USE rm_status rm_ipc_new(const rm_ipc_options *options, rm_ipc **ret_ipc,
                                        int ret_fds[RM_IPC_FDS], rm_error *err);

/* Makes the other side of what came from rm_ipc_new() or rm_ipc_renew(). Takes the descriptors on
 * success. Fails with RM_EINVAL where they are not what they should be, RM_ENOMEM, RM_EIO. */
RM_API RM_MUST_USE rm_status rm_ipc_attach(const int fds[RM_IPC_FDS], rm_ipc **ret_ipc,
                                           rm_error *err);

/* The peer sees that this side is gone. Parts stay valid until they are let go. NULL is fine. */
RM_API void rm_ipc_free(rm_ipc *ipc);

/* For the maker, whose peer is gone: gives the descriptors for a new one, which receives what the
 * old one had not acknowledged; what the old one sent and was not received is dropped. Fails with
 * RM_EINVAL (this side was attached), RM_EIO, RM_EAGAIN (the system takes no more descriptors on
 * their way). */
RM_API RM_MUST_USE rm_status rm_ipc_renew(rm_ipc *ipc, int ret_fds[RM_IPC_FDS], rm_error *err);

/* ---- memory */

/* A block of at least that many bytes, whose content is of no meaning. Fails with RM_ENOMEM: over
 * pool_bytes_max, or the system has none; RM_EAGAIN: the peer does not map what it was given. */
RM_API RM_MUST_USE rm_status rm_ipc_alloc(rm_ipc *ipc, uint64_t bytes, rm_ipc_part *ret_part,
                                          rm_error *err);
/* The allocator of a part lets it go; what was sent stays for the receiver. */
RM_API void rm_ipc_unref(rm_ipc_part *part);
/* The receiver of a part lets it go. */
RM_API void rm_ipc_release(rm_ipc_part *part);

/* ---- sending */

/* RM_OK: sent; the caller keeps its own reference to each part, and writes them no more until the
 * peer has let go of them. RM_EAGAIN: no credit. RM_DONE: the peer wants nothing more. Fails with
 * RM_EFAIL (the peer is gone), RM_EINVAL (the message, or what the peer wrote). */
RM_API RM_MUST_USE rm_status rm_ipc_send(rm_ipc *ipc, const rm_ipc_message *message, rm_error *err);
/* There is nothing more to come. */
RM_API void rm_ipc_end(rm_ipc *ipc);
/* What was sent and not yet received is to be dropped by the peer. */
RM_API void rm_ipc_interrupt(rm_ipc *ipc);
/* Messages sent that are not acknowledged. */
RM_API uint32_t rm_ipc_unacknowledged(rm_ipc *ipc);

/* ---- receiving */

/* RM_OK: *ret_message, whose parts the caller releases. RM_EAGAIN: nothing has come. RM_DONE: it
 * has ended. Fails with RM_EFAIL (the peer is gone, and all that it sent is received), RM_EINVAL
 * (what the peer wrote is not acceptable), RM_EIO (a segment cannot be mapped). */
RM_API RM_MUST_USE rm_status rm_ipc_receive(rm_ipc *ipc, rm_ipc_message *ret_message,
                                            rm_error *err);
/* All that was received is dealt with: the sender gets its credits back. */
RM_API void rm_ipc_acknowledge(rm_ipc *ipc);
/* Nothing more is wanted. */
RM_API void rm_ipc_close(rm_ipc *ipc);

/* ---- waiting */

/* Becomes readable when the peer has something for a side that sleeps. Borrowed. */
RM_API int rm_ipc_fd(const rm_ipc *ipc);
/* Becomes readable when the peer is gone or maps more memory. Borrowed. */
RM_API int rm_ipc_socket(const rm_ipc *ipc);
/* 1: the peer will write to rm_ipc_fd() with what it does next, so sleep. 0: it has done something
 * meanwhile, so look again. */
RM_API int rm_ipc_sleep(rm_ipc *ipc);
/* After a sleep, or in place of one: the peer need write no more. */
RM_API void rm_ipc_wake(rm_ipc *ipc);
/* Reads what came over the socket. RM_OK, or RM_EFAIL: the peer is gone. */
RM_API RM_MUST_USE rm_status rm_ipc_look(rm_ipc *ipc, rm_error *err);

#ifdef __cplusplus
}
#endif
#endif
