/* ipc_test.c — the link over shared memory: blocks come back, limits hold, a peer that writes
 * nonsense makes nobody read outside, and two real processes lose nothing, whoever sleeps. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/test.h"
#include "ipc/shared.h"

static const rm_packet_header bytes_header = {
    .version = RM_PACKET_VERSION, .kind = RM_KIND_BYTES, .header_units = 2, .pts_ns = RM_TIME_NONE};

static rm_ipc *make(uint32_t capacity, uint64_t pool_bytes_max, int *fds)
{
    rm_ipc *ipc = NULL;
    rm_error err = RM_ERROR_INIT;
    rm_ipc_options options = {
        .struct_size = sizeof options, .capacity = capacity, .pool_bytes_max = pool_bytes_max};
    CHECK_INT(rm_ipc_new(&options, &ipc, fds, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    return ipc;
}

static rm_ipc *attach(const int *fds)
{
    rm_ipc *ipc = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_ipc_attach(fds, &ipc, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    return ipc;
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder)) {
        count++;
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

/* A message of one part, filled with `number`; 0 bytes: it stands in the head alone. */
static rm_status send(rm_ipc *ipc, uint64_t number, size_t bytes)
{
    rm_ipc_message message = {.header = bytes_header, .head_bytes = sizeof number};
    memcpy(message.head, &number, sizeof number);
    message.header.metadata_bytes = sizeof number;
    if (bytes) {
        rm_status status = rm_ipc_alloc(ipc, bytes, &message.part[0], NULL);
        if (status != RM_OK) {
            return status;
        }
        memset(message.part[0].data, (int)(number & 0xff), bytes);
        message.part_count = 1;
        message.header.payload_bytes = bytes;
    }
    rm_status status = rm_ipc_send(ipc, &message, NULL);
    rm_ipc_unref(&message.part[0]);
    return status;
}

static void let_go(rm_ipc_message *message)
{
    for (uint32_t i = 0; i < message->part_count; i++) {
        rm_ipc_release(&message->part[i]);
    }
}

static bool is_filled(const rm_ipc_message *message, uint64_t number)
{
    for (uint32_t p = 0; p < message->part_count; p++) {
        const uint8_t *data = message->part[p].data;
        for (uint64_t i = 0; i < message->part[p].bytes; i++) {
            if (data[i] != (number & 0xff)) {
                return false;
            }
        }
    }
    return true;
}

/* RM_OK: *ret_number came, whole. */
static rm_status receive(rm_ipc *ipc, uint64_t *ret_number)
{
    rm_ipc_message message;
    rm_status status = rm_ipc_receive(ipc, &message, NULL);
    if (status == RM_OK) {
        memcpy(ret_number, message.head, sizeof *ret_number);
        CHECK(is_filled(&message, *ret_number));
        let_go(&message);
    }
    return status;
}

TEST(a_block_is_used_again_once_all_have_let_go_of_it)
{
    int fds[RM_IPC_FDS];
    rm_ipc *here = make(4, 1 << 20, fds), *there = attach(fds);
    rm_ipc_message message = {.header = bytes_header, .part_count = 1}, got;
    rm_ipc_part other;
    message.header.payload_bytes = 1 << 20;
    CHECK_INT(rm_ipc_alloc(here, 1 << 20, &message.part[0], NULL), RM_OK);
    CHECK_INT(rm_ipc_alloc(here, 1 << 20, &other, NULL), RM_ENOMEM); /* all there may be */
    CHECK_INT(rm_ipc_send(here, &message, NULL), RM_OK);
    rm_ipc_unref(&message.part[0]);
    CHECK_INT(rm_ipc_alloc(here, 1 << 20, &other, NULL), RM_ENOMEM);
    CHECK_INT(rm_ipc_receive(there, &got, NULL), RM_OK);
    CHECK_INT(got.part[0].bytes, 1 << 20);
    rm_ipc_acknowledge(there);
    CHECK_INT(rm_ipc_alloc(here, 1 << 20, &other, NULL), RM_ENOMEM);
    let_go(&got);
    CHECK_INT(rm_ipc_alloc(here, 1 << 20, &other, NULL), RM_OK);
    rm_ipc_unref(&other);
    rm_ipc_free(here);
    rm_ipc_free(there);
}

TEST(a_pool_that_is_used_up_says_what_it_has)
{
    int fds[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    rm_ipc_part part;
    rm_ipc *here = make(4, 1 << 20, fds), *there = attach(fds);
    CHECK_INT(rm_ipc_alloc(here, 3 << 20, &part, &err), RM_ENOMEM);
    CHECK_CONTAINS(err.message, "no block of 3145728 bytes");
    CHECK_CONTAINS(err.message, "pool_bytes_max is 1048576");
    CHECK_INT(rm_ipc_alloc(here, UINT64_MAX, &part, &err), RM_EINVAL);
    rm_ipc_free(here);
    rm_ipc_free(there);
}

TEST(a_part_outlives_its_link_and_both_processes_keep_no_descriptor)
{
    unsigned before = descriptors();
    int fds[RM_IPC_FDS];
    uint64_t number = 7;
    rm_ipc *here = make(4, 0, fds), *there = attach(fds);
    rm_ipc_message got;
    CHECK_INT(send(here, number, 100000), RM_OK);
    CHECK_INT(rm_ipc_receive(there, &got, NULL), RM_OK);
    rm_ipc_free(there);
    rm_ipc_free(here);
    CHECK_INT(descriptors(), before);
    CHECK(is_filled(&got, number));
    let_go(&got);
}

TEST(what_a_message_says_of_itself_is_checked_by_its_sender)
{
    int fds[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    rm_ipc *here = make(4, 0, fds), *there = attach(fds);
    rm_ipc_message message = {.header = bytes_header, .head_bytes = RM_IPC_HEAD_MAX + 1};
    CHECK_INT(rm_ipc_send(here, &message, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "257 bytes");
    message = (rm_ipc_message){.header = bytes_header, .part_count = 1};
    CHECK_INT(rm_ipc_send(here, &message, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "part 0");
    message = (rm_ipc_message){.header = bytes_header};
    message.header.payload_bytes = 8;
    CHECK_INT(rm_ipc_send(here, &message, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "header says 8");
    rm_ipc_free(here);
    rm_ipc_free(there);
}

TEST(what_is_no_link_is_not_attached)
{
    rm_error err = RM_ERROR_INIT;
    rm_ipc *ipc = NULL;
    int fds[RM_IPC_FDS], other = open("/dev/null", O_RDWR);
    rm_ipc *here = make(4, 0, fds);
    int wrong[RM_IPC_FDS] = {other, fds[1], fds[2], fds[3]};
    CHECK_INT(rm_ipc_attach(wrong, &ipc, &err), RM_EINVAL);
    here->region->slot_count = 1 << 20;
    CHECK_INT(rm_ipc_attach(fds, &ipc, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "no link of version");
    CHECK(ipc == NULL);
    for (int i = 0; i < RM_IPC_FDS; i++) {
        close(fds[i]);
    }
    close(other);
    rm_ipc_free(here);
}

TEST(making_one_survives_each_allocation_failure)
{
    unsigned before = descriptors();
    for (unsigned nth = 1; nth < 10; nth++) {
        int fds[RM_IPC_FDS];
        rm_ipc *here = NULL, *there = NULL;
        rm_ipc_options options = {.struct_size = sizeof options, .capacity = 4};
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_ipc_new(&options, &here, fds, NULL);
        bool was_made = status == RM_OK;
        status = was_made ? rm_ipc_attach(fds, &there, NULL) : status;
        bool struck = rmi_alloc_fault_end();
        CHECK_INT(status, struck ? RM_ENOMEM : RM_OK);
        for (int i = 0; was_made && !there && i < RM_IPC_FDS; i++) {
            close(fds[i]);
        }
        rm_ipc_free(here);
        rm_ipc_free(there);
        CHECK_INT(descriptors(), before);
        if (!struck) {
            CHECK_INT(nth, 5);
            return;
        }
    }
}

/* Flips bits of all that the peer can write, and goes on as if nothing were: whatever comes of it,
 * nothing outside is read (the sanitizers see that), and it ends. */
static void write_nonsense(uint64_t seed)
{
    int fds[RM_IPC_FDS];
    uint64_t random = seed * 2 + 1, number;
    rm_ipc *here = make(4, 1 << 22, fds), *there = attach(fds);
    uint8_t *bytes = (uint8_t *)here->region;
    size_t controls = (size_t)((uint8_t *)here->out_slots - bytes);
    for (uint32_t i = 0; i < 200; i++) {
        (void)!send(here, i, i % 3 ? 0 : i * 100);
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        size_t at = (size_t)(random >> 33) % 3 == 0
                        ? (size_t)(random >> 36) % (here->region_bytes - controls) + controls
                        : (size_t)(random >> 36) % 64 +
                              (random >> 20) % 2 * (size_t)((uint8_t *)here->in - bytes) + 64;
        if (i % 5 == 4) {
            bytes[at % here->region_bytes] ^= (uint8_t)(1u << (random >> 60) % 8);
        }
        if (receive(there, &number) < 0) {
            rm_ipc_message message;
            CHECK(rm_ipc_receive(there, &message, NULL) < 0); /* from then on */
            break;
        }
        rm_ipc_acknowledge(there);
        (void)rm_ipc_sleep(there);
        (void)rm_ipc_sleep(here);
    }
    rm_ipc_close(there);
    rm_ipc_free(here);
    rm_ipc_free(there);
}

/* As write_nonsense(), where it is a slot that is sent. */
static void write_a_bad_slot(uint64_t seed)
{
    int fds[RM_IPC_FDS];
    uint64_t random = seed * 7919 + 1;
    rm_ipc *here = make(2, 1 << 22, fds), *there = attach(fds);
    rm_ipc_message message;
    CHECK_INT(send(here, 1, 5000), RM_OK);
    for (int flips = 0; flips < 3; flips++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        ((uint8_t *)here->out_slots)[(random >> 33) % 256] ^= (uint8_t)(1u << (random >> 60) % 8);
    }
    rm_status status = rm_ipc_receive(there, &message, NULL);
    if (status == RM_OK) {
        for (uint32_t i = 0; i < message.part_count; i++) {
            const volatile uint8_t *data = message.part[i].data;
            CHECK(message.part[i].bytes == 0 || data[message.part[i].bytes - 1] + 1 > 0);
        }
        let_go(&message);
    }
    rm_ipc_free(here);
    rm_ipc_free(there);
}

TEST(a_peer_that_writes_nonsense_makes_nobody_read_outside)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        write_nonsense(seed);
        write_a_bad_slot(seed);
    }
}

TEST(a_block_that_was_never_handed_over_is_refused)
{
    int fds[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    rm_ipc_message message;
    rm_ipc *here = make(4, 0, fds), *there = attach(fds);
    CHECK_INT(send(here, 1, 5000), RM_OK);
    here->out_slots[0].part[0].block = 17 * RMI_IPC_BLOCKS_MAX;
    CHECK_INT(rm_ipc_receive(there, &message, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "block 1088");
    rm_ipc_free(here);
    rm_ipc_free(there);
}

/* ---- two processes */

enum { NUMBERS = 20000, DEADLINE_MS = 60000 };

/* Sleeps until the peer has done something. False: it is gone, or nothing came for too long. */
static bool wait_for_peer(rm_ipc *ipc)
{
    struct pollfd polled[2] = {{.fd = rm_ipc_fd(ipc), .events = POLLIN},
                               {.fd = rm_ipc_socket(ipc), .events = POLLIN}};
    if (!rm_ipc_sleep(ipc)) {
        return true;
    }
    int ready = poll(polled, 2, DEADLINE_MS);
    rm_ipc_wake(ipc);
    if (polled[1].revents) {
        (void)!rm_ipc_look(ipc, NULL);
    }
    return ready > 0;
}

/* The child: sends each number back, then acknowledges it. */
static void echo(const int *fds)
{
    rm_ipc *ipc = NULL;
    uint64_t number;
    rm_status status = rm_ipc_attach(fds, &ipc, NULL);
    while (status == RM_OK || status == RM_EAGAIN) {
        status = receive(ipc, &number);
        if (status == RM_OK) {
            while ((status = send(ipc, number, number % 11 == 0 ? 9000 : 0)) == RM_EAGAIN) {
                (void)wait_for_peer(ipc);
            }
            rm_ipc_acknowledge(ipc);
        } else if (status == RM_EAGAIN && !wait_for_peer(ipc)) {
            status = RM_EFAIL;
        }
    }
    _exit(status == RM_DONE ? 0 : 1);
}

static pid_t start_echo(rm_ipc *ipc, int *fds)
{
    pid_t child = fork();
    if (child == 0) {
        close(rm_ipc_socket(ipc)); /* else it would hold its own peer's side open */
        echo(fds);
    }
    for (int i = 0; i < RM_IPC_FDS; i++) {
        close(fds[i]);
    }
    return child;
}

static void send_numbers(rm_ipc *ipc, uint64_t *next)
{
    while (*next <= NUMBERS) {
        rm_status status = send(ipc, *next, *next % 7 == 0 ? 5000 : 0);
        if (status != RM_OK) {
            CHECK(status == RM_EAGAIN || status == RM_EFAIL);
            return;
        }
        ++*next;
    }
}

TEST(two_processes_lose_nothing_whoever_sleeps)
{
    int fds[RM_IPC_FDS], code = -1;
    uint64_t next = 1, last = 0, number;
    rm_ipc *ipc = make(16, 0, fds);
    pid_t child = start_echo(ipc, fds);
    bool is_alive = true;
    while (last < NUMBERS && is_alive) {
        send_numbers(ipc, &next);
        rm_status status = receive(ipc, &number);
        if (status == RM_OK) {
            CHECK_INT(number, last + 1);
            last = number;
            rm_ipc_acknowledge(ipc);
        } else {
            is_alive = status == RM_EAGAIN && wait_for_peer(ipc);
        }
    }
    CHECK_INT(last, NUMBERS);
    rm_ipc_end(ipc);
    CHECK_INT(waitpid(child, &code, 0), child);
    CHECK_INT(code, 0);
    rm_ipc_free(ipc);
}

TEST(a_process_that_is_killed_is_replaced_and_the_new_one_gets_what_is_not_acknowledged)
{
    int fds[RM_IPC_FDS], code, kills = 0;
    uint64_t next = 1, last = 0, number;
    rm_ipc *ipc = make(16, 0, fds);
    pid_t child = start_echo(ipc, fds);
    for (uint64_t turn = 0; last < NUMBERS; turn++) {
        send_numbers(ipc, &next);
        rm_status status = receive(ipc, &number);
        if (status == RM_OK) {
            CHECK(number <= last + 1); /* a double, or the next one */
            last = number > last ? number : last;
            rm_ipc_acknowledge(ipc);
            if (last % 4000 == 1999 && number == last) {
                kill(child, SIGKILL);
            }
        } else if (status == RM_EFAIL) {
            CHECK_INT(waitpid(child, &code, 0), child);
            CHECK_INT(rm_ipc_renew(ipc, fds, NULL), RM_OK);
            child = start_echo(ipc, fds);
            kills++;
        } else if (status != RM_EAGAIN || !wait_for_peer(ipc)) {
            RMI_TEST_FAIL("nothing comes any more: %s", rm_status_name(status));
            break;
        }
    }
    CHECK_INT(last, NUMBERS);
    CHECK(kills >= 5);
    rm_ipc_end(ipc);
    CHECK_INT(waitpid(child, &code, 0), child);
    CHECK_INT(code, 0);
    rm_ipc_free(ipc);
}

TEST_MAIN(T(a_block_is_used_again_once_all_have_let_go_of_it),
          T(a_pool_that_is_used_up_says_what_it_has),
          T(a_part_outlives_its_link_and_both_processes_keep_no_descriptor),
          T(what_a_message_says_of_itself_is_checked_by_its_sender),
          T(what_is_no_link_is_not_attached), T(making_one_survives_each_allocation_failure),
          T(a_block_that_was_never_handed_over_is_refused),
          T(a_peer_that_writes_nonsense_makes_nobody_read_outside),
          T(two_processes_lose_nothing_whoever_sleeps),
          T(a_process_that_is_killed_is_replaced_and_the_new_one_gets_what_is_not_acknowledged))
