/* segment.c — memory of a link: the sender's blocks, and how the receiver comes to map them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "ipc/shared.h"

enum { SMALLEST_BLOCK = 4096, MANY_BYTES = 4 << 20 };
#define LARGEST_BLOCK RM_PACKET_PAYLOAD_MAX
/* The file may not change its size, so that no access to a mapping of it can fail. */
enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* ---- a segment */

void rmi_ipc_segment_unref(rmi_ipc_segment *segment)
{
    if (!segment || atomic_fetch_sub(&segment->refs, 1) != 1) {
        return;
    }
    if (segment->base) {
        (void)munmap(segment->base, segment->block_bytes * segment->block_count);
    }
    if (segment->fd >= 0) {
        (void)close(segment->fd);
    }
    rmi_free(segment);
}

void rmi_ipc_forget_segments(rmi_ipc_segment **segments)
{
    for (uint32_t i = 0; i < RMI_IPC_SEGMENTS_MAX; i++) {
        if (segments[i]) {
            segments[i]->detached = true;
            segments[i]->released = NULL;
        }
        rmi_ipc_segment_unref(segments[i]);
        segments[i] = NULL;
    }
}

static rmi_ipc_segment *segment_new(uint32_t index, uint64_t block_bytes, uint32_t block_count)
{
    rmi_ipc_segment *made = RMI_NEW(rmi_ipc_segment);
    if (made) {
        atomic_store(&made->refs, 1);
        made->fd = -1;
        made->index = index;
        made->block_bytes = block_bytes;
        made->block_count = block_count;
    }
    return made;
}

static rm_status map(rmi_ipc_segment *segment, int fd, int protection, int flags, rm_error *err)
{
    uint64_t bytes = segment->block_bytes * segment->block_count;
    void *base = mmap(NULL, bytes, protection, MAP_SHARED | flags, fd, 0);
    if (base == MAP_FAILED) {
        return rm_fail_os(err, errno, "cannot map %llu bytes of a link", (unsigned long long)bytes);
    }
    (void)madvise(base, bytes, MADV_DONTDUMP);
    segment->base = base;
    return RM_OK;
}

/* ---- the sender's */

/* Powers of two, above 1 MiB in four steps each, so that little is unused of what is large. */
static uint64_t size_class(uint64_t bytes)
{
    uint64_t size = SMALLEST_BLOCK;
    while (size < bytes) {
        size *= 2;
    }
    uint64_t step = size / 8; /* from size / 2 to size */
    if (size <= (1u << 20)) {
        return size;
    }
    uint64_t stepped = size / 2;
    while (stepped < bytes) {
        stepped += step;
    }
    return stepped;
}

static bool is_free(const rmi_ipc_segment *segment, uint32_t index)
{
    const rmi_ipc_block *block = &segment->block[index];
    return block->local == 0 && block->kept == 0 &&
           block->given == atomic_load_explicit(&segment->released[index], memory_order_acquire);
}

static rm_status tell(rm_ipc *ipc, const rmi_ipc_segment *segment, rm_error *err)
{
    rmi_ipc_notice notice = {.magic = RMI_IPC_MAGIC,
                             .index = segment->index,
                             .block_count = segment->block_count,
                             .block_bytes = segment->block_bytes};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec vector = {&notice, sizeof notice};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &segment->fd, sizeof(int));
    if (sendmsg(ipc->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
        return RM_OK;
    }
    if (errno == EAGAIN || errno == ETOOMANYREFS) {
        return rm_fail(err, RM_EAGAIN, "the peer of a link has not mapped what it was given");
    }
    if (errno == EPIPE || errno == ECONNRESET) {
        ipc->is_gone = true;
        return RM_OK; /* a new peer is told of it */
    }
    return rm_fail_os(err, errno, "cannot hand memory to the peer of a link");
}

rm_status rmi_ipc_announce_all(rm_ipc *ipc, rm_error *err)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < ipc->own_count && status == RM_OK; i++) {
        status = tell(ipc, ipc->own[i], err);
    }
    return status;
}

/* The pages are there from the beginning: memory that is missing is told here, not by a signal. */
static rm_status make_file(rmi_ipc_segment *segment, rm_error *err)
{
    uint64_t bytes = segment->block_bytes * segment->block_count;
    segment->fd = memfd_create("remotemedia-link", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (segment->fd < 0) {
        return rm_fail_os(err, errno, "cannot make memory for a link");
    }
    int os_errno = ftruncate(segment->fd, (off_t)bytes) < 0
                       ? errno
                       : posix_fallocate(segment->fd, 0, (off_t)bytes);
    if (os_errno == 0 && fcntl(segment->fd, F_ADD_SEALS, SEALS) < 0) {
        os_errno = errno;
    }
    if (os_errno != 0) {
        return rm_fail_os(err, os_errno == ENOSPC ? ENOMEM : os_errno,
                          "no %llu bytes for a link from the system", (unsigned long long)bytes);
    }
    return map(segment, segment->fd, PROT_READ | PROT_WRITE, MAP_POPULATE, err);
}

static rm_status grow(rm_ipc *ipc, uint64_t block_bytes, rmi_ipc_segment **ret_segment,
                      rm_error *err)
{
    uint64_t many = MANY_BYTES / block_bytes;
    uint32_t count = many < 1 ? 1 : many > RMI_IPC_BLOCKS_MAX ? RMI_IPC_BLOCKS_MAX : (uint32_t)many;
    while (count > 1 && ipc->pool_bytes + count * block_bytes > ipc->pool_bytes_max) {
        count /= 2;
    }
    uint64_t bytes = count * block_bytes;
    if (ipc->pool_bytes + bytes > ipc->pool_bytes_max || ipc->own_count == RMI_IPC_SEGMENTS_MAX) {
        return rm_fail(err, RM_ENOMEM,
                       "a link has no block of %llu bytes: %llu in %u of %d segments are taken, "
                       "pool_bytes_max is %llu",
                       (unsigned long long)block_bytes, (unsigned long long)ipc->pool_bytes,
                       ipc->own_count, RMI_IPC_SEGMENTS_MAX,
                       (unsigned long long)ipc->pool_bytes_max);
    }
    rmi_ipc_segment *made = segment_new(ipc->own_count, block_bytes, count);
    if (!made) {
        return rm_fail(err, RM_ENOMEM, "no memory for a segment of a link");
    }
    made->released = ipc->out->released[made->index];
    for (uint32_t i = 0; i < count; i++) {
        made->block[i].given = atomic_load(&made->released[i]);
    }
    rm_status status = make_file(made, err);
    if (status == RM_OK && !ipc->is_gone) {
        status = tell(ipc, made, err);
    }
    if (status != RM_OK) {
        rmi_ipc_segment_unref(made);
        return status;
    }
    ipc->own[ipc->own_count++] = made;
    ipc->pool_bytes += bytes;
    *ret_segment = made;
    return RM_OK;
}

static bool find_free(rm_ipc *ipc, uint64_t block_bytes, rmi_ipc_segment **ret_segment,
                      uint32_t *ret_index)
{
    for (uint32_t s = 0; s < ipc->own_count; s++) {
        rmi_ipc_segment *segment = ipc->own[s];
        if (segment->block_bytes < block_bytes || segment->block_bytes > 2 * block_bytes) {
            continue;
        }
        for (uint32_t i = 0; i < segment->block_count; i++) {
            if (is_free(segment, i)) {
                *ret_segment = segment;
                *ret_index = i;
                return true;
            }
        }
    }
    return false;
}

rm_status rm_ipc_alloc(rm_ipc *ipc, uint64_t bytes, rm_ipc_part *ret_part, rm_error *err)
{
    rmi_ipc_segment *segment = NULL;
    uint32_t index = 0;
    if (bytes > LARGEST_BLOCK) {
        return rm_fail(err, RM_EINVAL, "%llu bytes in one part of a message, want at most 4 GiB",
                       (unsigned long long)bytes);
    }
    uint64_t block_bytes = size_class(bytes);
    (void)rm_ipc_unacknowledged(ipc); /* what was acknowledged meanwhile is free again */
    if (!find_free(ipc, block_bytes, &segment, &index)) {
        rm_status status = grow(ipc, block_bytes, &segment, err);
        if (status != RM_OK) {
            return status;
        }
    }
    segment->block[index].local = 1;
    atomic_fetch_add(&segment->refs, 1);
    *ret_part = (rm_ipc_part){.data = segment->base + index * segment->block_bytes,
                              .bytes = bytes,
                              .segment = segment,
                              .block = segment->index * RMI_IPC_BLOCKS_MAX + index};
    return RM_OK;
}

void rm_ipc_unref(rm_ipc_part *part)
{
    rmi_ipc_segment *segment = part->segment;
    if (segment) {
        segment->block[part->block % RMI_IPC_BLOCKS_MAX].local--;
        rmi_ipc_segment_unref(segment);
    }
    *part = (rm_ipc_part){0};
}

void rmi_ipc_keep_block(rm_ipc *ipc, uint32_t block, bool keeps)
{
    rmi_ipc_segment *segment = ipc->own[block / RMI_IPC_BLOCKS_MAX];
    segment->block[block % RMI_IPC_BLOCKS_MAX].kept += keeps ? 1u : -1u;
}

/* ---- the receiver's */

void rm_ipc_release(rm_ipc_part *part)
{
    rmi_ipc_segment *segment = part->segment;
    if (segment && !segment->detached) {
        atomic_fetch_add_explicit(&segment->released[part->block % RMI_IPC_BLOCKS_MAX], 1,
                                  memory_order_release);
    }
    rmi_ipc_segment_unref(segment);
    *part = (rm_ipc_part){0};
}

rmi_ipc_segment *rmi_ipc_find_block(rm_ipc *ipc, uint32_t block, uint64_t bytes)
{
    uint32_t s = block / RMI_IPC_BLOCKS_MAX, index = block % RMI_IPC_BLOCKS_MAX;
    rmi_ipc_segment *segment = s < RMI_IPC_SEGMENTS_MAX ? ipc->theirs[s] : NULL;
    return segment && index < segment->block_count && bytes <= segment->block_bytes ? segment
                                                                                    : NULL;
}

static bool is_acceptable(const rm_ipc *ipc, const rmi_ipc_notice *notice, int fd)
{
    struct stat file;
    if (fd < 0 || notice->magic != RMI_IPC_MAGIC || notice->index >= RMI_IPC_SEGMENTS_MAX ||
        ipc->theirs[notice->index] || notice->block_count < 1 ||
        notice->block_count > RMI_IPC_BLOCKS_MAX || notice->block_bytes < SMALLEST_BLOCK ||
        notice->block_bytes > 2 * LARGEST_BLOCK || notice->block_bytes % SMALLEST_BLOCK) {
        return false;
    }
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &file) == 0 &&
           (uint64_t)file.st_size == notice->block_bytes * notice->block_count;
}

static rm_status take(rm_ipc *ipc, const rmi_ipc_notice *notice, int fd, rm_error *err)
{
    if (!is_acceptable(ipc, notice, fd)) {
        return rm_fail(err, RM_EINVAL, "the peer of a link hands over memory that is none");
    }
    rmi_ipc_segment *made = segment_new(notice->index, notice->block_bytes, notice->block_count);
    if (!made) {
        return rm_fail(err, RM_ENOMEM, "no memory for a segment of a link");
    }
    made->released = ipc->in->released[made->index];
    rm_status status = map(made, fd, PROT_READ, 0, err);
    if (status != RM_OK) {
        rmi_ipc_segment_unref(made);
        return status;
    }
    ipc->theirs[made->index] = made;
    return RM_OK;
}

/* The one descriptor of a message; more than one are closed, and -1 returned. */
static int descriptor_of(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof fd)) {
            memcpy(&fd, CMSG_DATA(c), sizeof fd);
        }
    }
    return fd;
}

rm_status rmi_ipc_read_socket(rm_ipc *ipc, rm_error *err)
{
    for (uint32_t i = 0; i <= RMI_IPC_SEGMENTS_MAX && !ipc->is_gone; i++) {
        rmi_ipc_notice notice = {0};
        union {
            struct cmsghdr aligned;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec vector = {&notice, sizeof notice};
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes};
        ssize_t got = recvmsg(ipc->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return RM_OK;
        }
        if (got <= 0) {
            ipc->is_gone = true;
            break;
        }
        int fd = descriptor_of(&message);
        rm_status status = got == (ssize_t)sizeof notice && !(message.msg_flags & MSG_CTRUNC)
                               ? take(ipc, &notice, fd, err)
                               : rm_fail(err, RM_EINVAL, "the peer of a link sends %zd bytes", got);
        if (fd >= 0) {
            (void)close(fd);
        }
        if (status != RM_OK) {
            ipc->is_broken = true;
            return status;
        }
    }
    return ipc->is_gone ? rm_fail(err, RM_EFAIL, "the peer of a link is gone") : RM_OK;
}
