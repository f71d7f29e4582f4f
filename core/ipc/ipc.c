/* ipc.c — messages from one process to the other; see ipc.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ipc/shared.h"

/* ---- sleeping */

/* Orders what this side wrote before what it reads next. The thread sanitizer knows no fences, so
 * that it gets a write instead. */
static void fence(_Atomic uint32_t *word)
{
#if defined(__SANITIZE_THREAD__)
    atomic_fetch_or(word, 0);
#else
    (void)word;
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Both sides have a fence between their write and their read, so one of them sees the other. */
static void wake_peer(rm_ipc *ipc, uint32_t what)
{
    uint32_t peer = 1 - ipc->side;
    _Atomic uint32_t *asleep = &ipc->region->side[peer].asleep;
    fence(asleep);
    if (RMI_LIKELY(!(atomic_load_explicit(asleep, memory_order_relaxed) & what)) ||
        !(atomic_exchange(asleep, 0) & RMI_IPC_ASLEEP)) {
        return;
    }
    uint64_t one = 1;
    /* EAGAIN: it is readable anyway. */
    ssize_t written = write(ipc->event_fd[peer], &one, sizeof one);
    (void)written;
}

int rm_ipc_fd(const rm_ipc *ipc)
{
    return ipc->event_fd[ipc->side];
}

int rm_ipc_socket(const rm_ipc *ipc)
{
    return ipc->socket;
}

int rm_ipc_sleep(rm_ipc *ipc)
{
    _Atomic uint32_t *asleep = &ipc->region->side[ipc->side].asleep;
    atomic_store(asleep, RMI_IPC_ASLEEP | (ipc->wants_credit ? RMI_IPC_WANTS_CREDIT : 0u));
    fence(asleep);
    bool has_message = atomic_load(&ipc->in->tail) != ipc->received ||
                       (atomic_load(&ipc->in->ended) && !ipc->saw_end);
    bool has_credit = ipc->wants_credit && (atomic_load(&ipc->out->head) != ipc->acknowledged ||
                                            atomic_load(&ipc->out->closed));
    if (ipc->is_broken || ipc->is_gone || (!ipc->closed && has_message) || has_credit) {
        atomic_store(asleep, 0);
        return 0;
    }
    return 1;
}

void rm_ipc_wake(rm_ipc *ipc)
{
    uint64_t count;
    atomic_store(&ipc->region->side[ipc->side].asleep, 0);
    /* EAGAIN: nobody wrote. */
    ssize_t got = read(ipc->event_fd[ipc->side], &count, sizeof count);
    (void)got;
}

rm_status rm_ipc_look(rm_ipc *ipc, rm_error *err)
{
    return rmi_ipc_read_socket(ipc, err);
}

/* ---- sending */

static rm_status broken(rm_ipc *ipc, const char *what, uint64_t value, rm_error *err)
{
    ipc->is_broken = true;
    return rm_fail(err, RM_EINVAL, "the peer of a link wrote %s %llu, which cannot be", what,
                   (unsigned long long)value);
}

bool rmi_ipc_hear_acknowledged(rm_ipc *ipc)
{
    uint64_t head = atomic_load_explicit(&ipc->out->head, memory_order_acquire);
    if (head - ipc->acknowledged > ipc->tail - ipc->acknowledged) {
        ipc->is_broken = true;
        return false;
    }
    for (; ipc->acknowledged < head; ipc->acknowledged++) {
        rmi_ipc_kept *kept = &ipc->kept[ipc->acknowledged & ipc->slot_mask];
        for (uint32_t i = 0; i < kept->part_count; i++) {
            rmi_ipc_keep_block(ipc, kept->block[i], false);
        }
        kept->part_count = 0;
    }
    return true;
}

uint32_t rm_ipc_unacknowledged(rm_ipc *ipc)
{
    (void)rmi_ipc_hear_acknowledged(ipc);
    return (uint32_t)(ipc->tail - ipc->acknowledged);
}

static bool is_ours(const rm_ipc *ipc, const rm_ipc_part *part)
{
    uint32_t s = part->block / RMI_IPC_BLOCKS_MAX;
    return s < ipc->own_count && part->segment == ipc->own[s] &&
           part->bytes <= ipc->own[s]->block_bytes;
}

static rm_status check_message(const rm_ipc *ipc, const rm_ipc_message *message, rm_error *err)
{
    uint64_t bytes = 0;
    if (message->head_bytes > RM_IPC_HEAD_MAX || message->part_count > RM_IPC_PARTS_MAX) {
        return rm_fail(err, RM_EINVAL,
                       "a message has %u bytes and %u parts, want at most %d and %d",
                       message->head_bytes, message->part_count, RM_IPC_HEAD_MAX, RM_IPC_PARTS_MAX);
    }
    for (uint32_t i = 0; i < message->part_count; i++) {
        if (!is_ours(ipc, &message->part[i])) {
            return rm_fail(err, RM_EINVAL, "part %u of a message is not of this link's memory", i);
        }
        bytes += message->part[i].bytes;
    }
    if (message->header.payload_bytes != bytes ||
        message->header.metadata_bytes != message->head_bytes) {
        return rm_fail(
            err, RM_EINVAL, "a message's header says %llu and %u bytes, it has %llu and %u",
            (unsigned long long)message->header.payload_bytes, message->header.metadata_bytes,
            (unsigned long long)bytes, message->head_bytes);
    }
    return rm_packet_header_check(&message->header, sizeof message->header, err);
}

static void write_slot(rm_ipc *ipc, const rm_ipc_message *message)
{
    rmi_ipc_slot *slot = &ipc->out_slots[ipc->tail & ipc->slot_mask];
    rmi_ipc_kept *kept = &ipc->kept[ipc->tail & ipc->slot_mask];
    slot->header = message->header;
    slot->number = ipc->tail;
    slot->head_bytes = message->head_bytes;
    slot->part_count = message->part_count;
    memcpy(slot->head, message->head, message->head_bytes);
    kept->part_count = message->part_count;
    for (uint32_t i = 0; i < message->part_count; i++) {
        const rm_ipc_part *part = &message->part[i];
        slot->part[i] = (rmi_ipc_part){.bytes = part->bytes, .block = part->block};
        kept->block[i] = part->block;
        ((rmi_ipc_segment *)part->segment)->block[part->block % RMI_IPC_BLOCKS_MAX].given++;
        rmi_ipc_keep_block(ipc, part->block, true);
    }
}

rm_status rm_ipc_send(rm_ipc *ipc, const rm_ipc_message *message, rm_error *err)
{
    if (ipc->is_gone) {
        return rm_fail(err, RM_EFAIL, "the peer of a link is gone");
    }
    if (ipc->is_broken) {
        return broken(ipc, "acknowledged", atomic_load(&ipc->out->head), err);
    }
    if (atomic_load_explicit(&ipc->out->closed, memory_order_acquire)) {
        return RM_DONE;
    }
    if (ipc->tail - ipc->acknowledged >= ipc->capacity) {
        if (!rmi_ipc_hear_acknowledged(ipc)) {
            return broken(ipc, "acknowledged", atomic_load(&ipc->out->head), err);
        }
        if (ipc->tail - ipc->acknowledged >= ipc->capacity) {
            ipc->wants_credit = true;
            return RM_EAGAIN;
        }
    }
    rm_status status = check_message(ipc, message, err);
    if (status != RM_OK) {
        return status;
    }
    ipc->wants_credit = false;
    write_slot(ipc, message);
    atomic_store_explicit(&ipc->out->tail, ++ipc->tail, memory_order_release);
    wake_peer(ipc, RMI_IPC_ASLEEP);
    return RM_OK;
}

void rm_ipc_end(rm_ipc *ipc)
{
    atomic_store_explicit(&ipc->out->ended, 1, memory_order_release);
    wake_peer(ipc, RMI_IPC_ASLEEP);
}

void rm_ipc_interrupt(rm_ipc *ipc)
{
    atomic_store_explicit(&ipc->out->first, ipc->tail, memory_order_release);
    wake_peer(ipc, RMI_IPC_ASLEEP);
}

/* ---- receiving */

/* The parts of a slot as memory that is mapped here. All of them, or none. */
static rm_status find_parts(rm_ipc *ipc, const rmi_ipc_slot *slot, rm_ipc_message *message,
                            rm_error *err)
{
    for (uint32_t i = 0; i < slot->part_count; i++) {
        const rmi_ipc_part *part = &slot->part[i];
        rmi_ipc_segment *segment = rmi_ipc_find_block(ipc, part->block, part->bytes);
        if (!segment && rmi_ipc_read_socket(ipc, err) == RM_EINVAL) {
            return RM_EINVAL;
        }
        segment = segment ? segment : rmi_ipc_find_block(ipc, part->block, part->bytes);
        if (!segment) {
            return broken(ipc, "the block", part->block, err);
        }
        message->part[i] = (rm_ipc_part){.data = segment->base + part->block % RMI_IPC_BLOCKS_MAX *
                                                                     segment->block_bytes,
                                         .bytes = part->bytes,
                                         .segment = segment,
                                         .block = part->block};
    }
    for (uint32_t i = 0; i < slot->part_count; i++) {
        atomic_fetch_add(&((rmi_ipc_segment *)message->part[i].segment)->refs, 1);
    }
    return RM_OK;
}

/* Takes a copy before anything of it is looked at: the peer may go on writing. */
static rm_status read_slot(rm_ipc *ipc, uint64_t number, rm_ipc_message *message, rm_error *err)
{
    rmi_ipc_slot slot;
    uint64_t bytes = 0;
    memcpy(&slot, &ipc->in_slots[number & ipc->slot_mask], sizeof slot);
    if (slot.number != number) {
        return broken(ipc, "the number", slot.number, err);
    }
    if (slot.head_bytes > RM_IPC_HEAD_MAX || slot.head_bytes != slot.header.metadata_bytes) {
        return broken(ipc, "a size of the head,", slot.head_bytes, err);
    }
    if (slot.part_count > RM_IPC_PARTS_MAX) {
        return broken(ipc, "a number of parts,", slot.part_count, err);
    }
    for (uint32_t i = 0; i < slot.part_count; i++) {
        if (slot.part[i].bytes > RM_PACKET_PAYLOAD_MAX) {
            return broken(ipc, "a size of a part,", slot.part[i].bytes, err);
        }
        bytes += slot.part[i].bytes;
    }
    if (bytes != slot.header.payload_bytes) {
        return broken(ipc, "a size of the payload,", slot.header.payload_bytes, err);
    }
    rm_status status = rm_packet_header_check(&slot.header, sizeof slot.header, err);
    if (status == RM_OK) {
        status = find_parts(ipc, &slot, message, err);
    }
    if (status != RM_OK) {
        ipc->is_broken = true;
        return status;
    }
    message->header = slot.header;
    message->head_bytes = slot.head_bytes;
    message->part_count = slot.part_count;
    memcpy(message->head, slot.head, slot.head_bytes);
    return RM_OK;
}

/* Drops what an interrupt left behind. */
static rm_status skip_to(rm_ipc *ipc, uint64_t first, rm_error *err)
{
    rm_ipc_message dropped;
    rm_status status = RM_OK;
    for (; ipc->received < first && status == RM_OK; ipc->received++) {
        status = read_slot(ipc, ipc->received, &dropped, err);
        for (uint32_t i = 0; status == RM_OK && i < dropped.part_count; i++) {
            rm_ipc_release(&dropped.part[i]);
        }
    }
    return status;
}

rm_status rm_ipc_receive(rm_ipc *ipc, rm_ipc_message *ret_message, rm_error *err)
{
    if (ipc->is_broken) {
        return rm_fail(err, RM_EINVAL, "the peer of a link wrote what cannot be");
    }
    if (ipc->closed) {
        return RM_DONE;
    }
    /* In this order: what ended has its last tail, and an interrupt is not ahead of it. */
    uint32_t ended = atomic_load_explicit(&ipc->in->ended, memory_order_acquire);
    uint64_t first = atomic_load_explicit(&ipc->in->first, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ipc->in->tail, memory_order_acquire);
    if (tail - ipc->received > ipc->slot_mask + 1u) {
        return broken(ipc, "the tail", tail, err);
    }
    if (first > tail) {
        return broken(ipc, "the interrupt", first, err);
    }
    if (first > ipc->received) {
        rm_status status = skip_to(ipc, first, err);
        if (status != RM_OK) {
            return status;
        }
        rm_ipc_acknowledge(ipc);
    }
    if (ipc->received == tail) {
        ipc->saw_end = ended != 0;
        return ended          ? RM_DONE
               : ipc->is_gone ? rm_fail(err, RM_EFAIL, "the peer of a link is gone")
                              : RM_EAGAIN;
    }
    rm_status status = read_slot(ipc, ipc->received, ret_message, err);
    ipc->received += status == RM_OK;
    return status;
}

void rm_ipc_acknowledge(rm_ipc *ipc)
{
    atomic_store_explicit(&ipc->in->head, ipc->received, memory_order_release);
    wake_peer(ipc, RMI_IPC_WANTS_CREDIT);
}

void rm_ipc_close(rm_ipc *ipc)
{
    uint64_t tail = atomic_load_explicit(&ipc->in->tail, memory_order_acquire);
    if (!ipc->closed && !ipc->is_broken && tail - ipc->received <= ipc->slot_mask + 1u) {
        (void)skip_to(ipc, tail, NULL);
    }
    ipc->closed = true;
    atomic_store_explicit(&ipc->in->closed, 1, memory_order_release);
    rm_ipc_acknowledge(ipc);
}
