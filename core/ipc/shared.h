/* shared.h — what both processes of a link have mapped, and how a side is kept.
 *
 *     region    one memfd: two directions, each its counters, its table of releases and its slots
 *     segments  further memfds of the sender: blocks of one size, at most 64 of them
 *
 * Of the region the peer may write any byte at any time. What this side goes by it keeps for itself
 * (rm_ipc): a counter is read once, compared with what it can be, and only then used.
 */
#ifndef RMI_IPC_SHARED_H
#define RMI_IPC_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>

#include <remotemedia/ipc.h>

enum {
    RMI_IPC_VERSION = 1,
    RMI_IPC_SEGMENTS_MAX = 64,
    RMI_IPC_BLOCKS_MAX = 64 /* of a segment */
};
enum { RMI_IPC_ASLEEP = 1, RMI_IPC_WANTS_CREDIT = 2 };
#define RMI_IPC_MAGIC 0x4c4d5203u

typedef struct rmi_ipc_part {
    uint64_t bytes;
    uint32_t block; /* segment * RMI_IPC_BLOCKS_MAX + index */
    uint32_t zero;
} rmi_ipc_part;

typedef struct rmi_ipc_slot {
    rm_packet_header header;
    uint64_t number;
    uint32_t head_bytes, part_count;
    uint64_t zero[6];
    rmi_ipc_part part[RM_IPC_PARTS_MAX];
    uint8_t head[RM_IPC_HEAD_MAX];
} rmi_ipc_slot;

_Static_assert(sizeof(rmi_ipc_slot) == 512, "a slot is eight lines of the cache");

typedef struct rmi_ipc_direction {
    _Alignas(64) _Atomic uint64_t tail; /* written by the sender */
    _Atomic uint64_t first;             /* after the latest interrupt; those below die */
    _Atomic uint32_t ended;
    _Alignas(64) _Atomic uint64_t head; /* written by the receiver: acknowledged are those below */
    _Atomic uint32_t closed;
    _Alignas(64) _Atomic uint32_t released[RMI_IPC_SEGMENTS_MAX][RMI_IPC_BLOCKS_MAX];
} rmi_ipc_direction;

typedef struct rmi_ipc_region {
    uint32_t magic, version, capacity, slot_count; /* a power of two */
    uint64_t pool_bytes_max;
    struct {
        _Alignas(64) _Atomic uint32_t asleep; /* RMI_IPC_ASLEEP, and what it waits for */
    } side[2];
    rmi_ipc_direction direction[2]; /* by its sender */
} rmi_ipc_region;

/* Each message that goes over the socket, with one descriptor. */
typedef struct rmi_ipc_notice {
    uint32_t magic, index, block_count, zero;
    uint64_t block_bytes;
} rmi_ipc_notice;

typedef struct rmi_ipc_block {
    uint32_t given; /* times that the peer was handed it; compared with `released` */
    uint32_t local; /* references of this side */
    uint32_t kept;  /* slots that are not acknowledged */
} rmi_ipc_block;

/* Mapped memory of either side. `refs`: one of the link, one for each part that is held. */
typedef struct rmi_ipc_segment {
    _Atomic uint32_t refs;
    uint32_t index, block_count;
    uint64_t block_bytes;
    uint8_t *base;
    int fd;        /* the sender's, for a new peer; -1: a received one */
    bool detached; /* its link is gone, or has a new peer: releases are told to nobody */
    _Atomic uint32_t *released;              /* of its blocks */
    rmi_ipc_block block[RMI_IPC_BLOCKS_MAX]; /* the sender's */
} rmi_ipc_segment;

/* What a slot that is not acknowledged holds; the slot itself is not to be trusted. */
typedef struct rmi_ipc_kept {
    uint32_t part_count;
    uint32_t block[RM_IPC_PARTS_MAX];
} rmi_ipc_kept;

struct rm_ipc {
    rmi_ipc_region *region;
    uint64_t region_bytes;
    uint32_t side, capacity, slot_mask;
    bool is_maker, is_gone, is_broken, wants_credit;
    int region_fd, event_fd[2], socket; /* event_fd: by who sleeps there */
    uint64_t pool_bytes, pool_bytes_max;

    /* Sending. */
    rmi_ipc_direction *out;
    rmi_ipc_slot *out_slots;
    uint64_t tail, acknowledged;
    rmi_ipc_kept *kept; /* by number & slot_mask */
    rmi_ipc_segment *own[RMI_IPC_SEGMENTS_MAX];
    uint32_t own_count;

    /* Receiving. */
    rmi_ipc_direction *in;
    rmi_ipc_slot *in_slots;
    uint64_t received;
    bool closed, saw_end;
    rmi_ipc_segment *theirs[RMI_IPC_SEGMENTS_MAX];
};

/* ---- ipc.c */

/* Slots that the peer acknowledged hold nothing any more. False: what it wrote cannot be. */
bool rmi_ipc_hear_acknowledged(rm_ipc *ipc);

/* ---- segment.c */

void rmi_ipc_segment_unref(rmi_ipc_segment *segment);
/* The link forgets its segments of either kind. */
void rmi_ipc_forget_segments(rmi_ipc_segment **segments);
/* Tells a new peer of all segments there are. */
RM_MUST_USE rm_status rmi_ipc_announce_all(rm_ipc *ipc, rm_error *err);
/* Maps what the peer tells of. RM_OK; RM_EFAIL: it is gone; RM_EINVAL, RM_EIO. */
RM_MUST_USE rm_status rmi_ipc_read_socket(rm_ipc *ipc, rm_error *err);
/* The segment of a block that the peer named, or NULL: there is none. */
rmi_ipc_segment *rmi_ipc_find_block(rm_ipc *ipc, uint32_t block, uint64_t bytes);
/* A slot takes, or lets go of, a block of this side's. */
void rmi_ipc_keep_block(rm_ipc *ipc, uint32_t block, bool keeps);

#endif
