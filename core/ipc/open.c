/* open.c — how the two sides of a link come to be, and go. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "ipc/shared.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };
#define POOL_BYTES_MAX ((uint64_t)1 << 30)

static uint64_t bytes_of(uint32_t slot_count)
{
    return sizeof(rmi_ipc_region) + (uint64_t)2 * slot_count * sizeof(rmi_ipc_slot);
}

static uint32_t slots_for(uint32_t capacity)
{
    uint32_t count = 1;
    while (count < capacity) {
        count *= 2;
    }
    return count;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static void close_all(int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        close_fd(&fds[i]);
    }
}

static rm_ipc *side_new(uint32_t side)
{
    rm_ipc *ipc = RMI_NEW(rm_ipc);
    if (ipc) {
        ipc->side = side;
        ipc->region_fd = ipc->event_fd[0] = ipc->event_fd[1] = ipc->socket = -1;
    }
    return ipc;
}

void rm_ipc_free(rm_ipc *ipc)
{
    if (!ipc) {
        return;
    }
    rmi_ipc_forget_segments(ipc->own);
    rmi_ipc_forget_segments(ipc->theirs);
    if (ipc->region) {
        (void)munmap(ipc->region, ipc->region_bytes);
    }
    close_fd(&ipc->socket);
    close_all(ipc->event_fd, 2);
    close_fd(&ipc->region_fd);
    rmi_free(ipc->kept);
    rmi_free(ipc);
}
RMI_DEFINE_AUTO(rm_ipc)

/* Slots, directions and counters, by what the region says of itself. */
static rm_status find_places(rm_ipc *ipc, uint32_t slot_count, rm_error *err)
{
    rmi_ipc_slot *slots = (rmi_ipc_slot *)(ipc->region + 1);
    ipc->slot_mask = slot_count - 1;
    ipc->out = &ipc->region->direction[ipc->side];
    ipc->in = &ipc->region->direction[1 - ipc->side];
    ipc->out_slots = slots + (size_t)ipc->side * slot_count;
    ipc->in_slots = slots + (size_t)(1 - ipc->side) * slot_count;
    ipc->kept = rmi_calloc(slot_count, sizeof *ipc->kept);
    return ipc->kept ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for %u slots", slot_count);
}

static rm_status map_region(rm_ipc *ipc, uint64_t bytes, rm_error *err)
{
    void *base =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ipc->region_fd, 0);
    if (base == MAP_FAILED) {
        return rm_fail_os(err, errno, "cannot map %llu bytes of a link", (unsigned long long)bytes);
    }
    ipc->region = base;
    ipc->region_bytes = bytes;
    return RM_OK;
}

/* A pair of sockets: ours, and in *ret_theirs the peer's. */
static rm_status make_socket(rm_ipc *ipc, int *ret_theirs, rm_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        return rm_fail_os(err, errno, "cannot make a socket for a link");
    }
    ipc->socket = pair[0];
    *ret_theirs = pair[1];
    return RM_OK;
}

static rm_status give_fds(const rm_ipc *ipc, int their_socket, int *ret_fds, rm_error *err)
{
    const int from[RM_IPC_FDS - 1] = {ipc->region_fd, ipc->event_fd[0], ipc->event_fd[1]};
    int made[RM_IPC_FDS] = {-1, -1, -1, -1};
    for (int i = 0; i < RM_IPC_FDS - 1; i++) {
        made[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 0);
        if (made[i] < 0) {
            int os_errno = errno;
            close_all(made, RM_IPC_FDS);
            return rm_fail_os(err, os_errno, "no descriptor for the peer of a link");
        }
    }
    made[RM_IPC_FDS - 1] = their_socket;
    memcpy(ret_fds, made, sizeof made);
    return RM_OK;
}

static rm_status make_region(rm_ipc *ipc, uint32_t slot_count, rm_error *err)
{
    uint64_t bytes = bytes_of(slot_count);
    ipc->region_fd = memfd_create("remotemedia-link", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ipc->event_fd[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ipc->event_fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ipc->region_fd < 0 || ipc->event_fd[0] < 0 || ipc->event_fd[1] < 0) {
        return rm_fail_os(err, errno, "no descriptors for a link");
    }
    int os_errno = ftruncate(ipc->region_fd, (off_t)bytes) < 0
                       ? errno
                       : posix_fallocate(ipc->region_fd, 0, (off_t)bytes);
    if (os_errno == 0 && fcntl(ipc->region_fd, F_ADD_SEALS, SEALS) < 0) {
        os_errno = errno;
    }
    if (os_errno != 0) {
        return rm_fail_os(err, os_errno == ENOSPC ? ENOMEM : os_errno,
                          "no %llu bytes for a link from the system", (unsigned long long)bytes);
    }
    return map_region(ipc, bytes, err);
}

rm_status rm_ipc_new(const rm_ipc_options *options, rm_ipc **ret_ipc, int ret_fds[RM_IPC_FDS],
                     rm_error *err)
{
    if (options->capacity < 1 || options->capacity > RM_IPC_CAPACITY_MAX) {
        return rm_fail(err, RM_EINVAL, "a link's capacity is %u, want 1 to %d", options->capacity,
                       RM_IPC_CAPACITY_MAX);
    }
    RMI_AUTO(rm_ipc) ipc = side_new(0);
    if (!ipc) {
        return rm_fail(err, RM_ENOMEM, "no memory for a link");
    }
    uint32_t slot_count = slots_for(options->capacity);
    int theirs = -1;
    ipc->is_maker = true;
    ipc->capacity = options->capacity;
    ipc->pool_bytes_max = options->pool_bytes_max ? options->pool_bytes_max : POOL_BYTES_MAX;
    rm_status status = make_region(ipc, slot_count, err);
    if (status == RM_OK) {
        ipc->region->magic = RMI_IPC_MAGIC;
        ipc->region->version = RMI_IPC_VERSION;
        ipc->region->capacity = ipc->capacity;
        ipc->region->slot_count = slot_count;
        ipc->region->pool_bytes_max = ipc->pool_bytes_max;
        status = find_places(ipc, slot_count, err);
    }
    if (status == RM_OK) {
        status = make_socket(ipc, &theirs, err);
    }
    if (status == RM_OK) {
        status = give_fds(ipc, theirs, ret_fds, err);
    }
    if (status != RM_OK) {
        close_fd(&theirs);
        return status;
    }
    *ret_ipc = RMI_TAKE(ipc);
    return RM_OK;
}

/* ---- the other side */

static bool is_region(int fd, uint64_t *ret_bytes)
{
    struct stat file;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &file) < 0 ||
        file.st_size < (off_t)bytes_of(1) || file.st_size > (off_t)bytes_of(RM_IPC_CAPACITY_MAX)) {
        return false;
    }
    *ret_bytes = (uint64_t)file.st_size;
    return true;
}

static rm_status read_region(rm_ipc *ipc, rm_error *err)
{
    const rmi_ipc_region *region = ipc->region;
    uint32_t capacity = region->capacity, slot_count = region->slot_count;
    if (region->magic != RMI_IPC_MAGIC || region->version != RMI_IPC_VERSION || capacity < 1 ||
        capacity > RM_IPC_CAPACITY_MAX || slot_count != slots_for(capacity) ||
        ipc->region_bytes != bytes_of(slot_count)) {
        return rm_fail(err, RM_EINVAL, "this memory is no link of version %d", RMI_IPC_VERSION);
    }
    ipc->capacity = capacity;
    ipc->pool_bytes_max = region->pool_bytes_max;
    rm_status status = find_places(ipc, slot_count, err);
    if (status == RM_OK) {
        ipc->tail = ipc->acknowledged = atomic_load(&ipc->out->tail);
        ipc->received = atomic_load(&ipc->in->head);
    }
    return status;
}

rm_status rm_ipc_attach(const int fds[RM_IPC_FDS], rm_ipc **ret_ipc, rm_error *err)
{
    uint64_t bytes = 0;
    if (!is_region(fds[0], &bytes)) {
        return rm_fail(err, RM_EINVAL, "descriptor %d is not the memory of a link", fds[0]);
    }
    RMI_AUTO(rm_ipc) ipc = side_new(1);
    if (!ipc) {
        return rm_fail(err, RM_ENOMEM, "no memory for a link");
    }
    ipc->region_fd = fds[0];
    rm_status status = map_region(ipc, bytes, err);
    if (status == RM_OK) {
        status = read_region(ipc, err);
    }
    if (status != RM_OK) {
        ipc->region_fd = -1; /* the caller's still */
        return status;
    }
    ipc->event_fd[0] = fds[1];
    ipc->event_fd[1] = fds[2];
    ipc->socket = fds[3];
    *ret_ipc = RMI_TAKE(ipc);
    return RM_OK;
}

/* ---- a new peer */

/* What the old peer held it holds no more; the new one gets what slots keep. */
static void take_blocks_back(rm_ipc *ipc)
{
    for (uint32_t s = 0; s < ipc->own_count; s++) {
        rmi_ipc_segment *segment = ipc->own[s];
        for (uint32_t i = 0; i < segment->block_count; i++) {
            rmi_ipc_block *block = &segment->block[i];
            block->given = atomic_load(&segment->released[i]) + block->kept;
        }
    }
}

static void forget_received(rm_ipc *ipc)
{
    rmi_ipc_forget_segments(ipc->theirs);
    atomic_store(&ipc->in->tail, 0);
    atomic_store(&ipc->in->first, 0);
    atomic_store(&ipc->in->head, 0);
    atomic_store(&ipc->in->ended, 0);
    atomic_store(&ipc->in->closed, 0);
    ipc->received = 0;
    ipc->saw_end = false;
}

rm_status rm_ipc_renew(rm_ipc *ipc, int ret_fds[RM_IPC_FDS], rm_error *err)
{
    int old = ipc->socket, theirs = -1;
    if (!ipc->is_maker) {
        return rm_fail(err, RM_EINVAL, "only who made a link gives it a new peer");
    }
    if (!rmi_ipc_hear_acknowledged(ipc)) { /* the old peer wrote nonsense: all is sent again */
        atomic_store(&ipc->out->head, ipc->acknowledged);
    }
    rm_status status = make_socket(ipc, &theirs, err);
    if (status != RM_OK) {
        return status;
    }
    close_fd(&old);
    take_blocks_back(ipc);
    forget_received(ipc);
    atomic_store(&ipc->out->closed, 0);
    atomic_store(&ipc->region->side[0].asleep, 0);
    atomic_store(&ipc->region->side[1].asleep, 0);
    ipc->is_gone = ipc->is_broken = false;
    status = rmi_ipc_announce_all(ipc, err);
    if (status == RM_OK) {
        status = give_fds(ipc, theirs, ret_fds, err);
    }
    if (status != RM_OK) {
        close_fd(&theirs);
        ipc->is_gone = true;
    }
    return status;
}
