/* link_conformance_test.c — the link between two processes passes the suite that each link passes:
 * both sides in this process, so that each order of their steps can be tried. */
#include <stdlib.h>
#include <unistd.h>

#include "base/link_conformance.h"
#include "ipc/shared.h"

typedef struct two_sides {
    rm_ipc *sender, *receiver;
} two_sides;

static void attach(two_sides *link, int *fds)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_ipc_attach(fds, &link->receiver, &err), RM_OK);
    CHECK_TEXT(err.message, "");
}

static void *two_make(uint32_t capacity, uint64_t seed)
{
    int fds[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    rm_ipc_options options = {.struct_size = sizeof options, .capacity = capacity};
    two_sides *link = calloc(1, sizeof *link);
    (void)seed;
    CHECK_INT(rm_ipc_new(&options, &link->sender, fds, &err), RM_OK);
    attach(link, fds);
    return link;
}

static void two_free(void *object)
{
    two_sides *link = object;
    rm_ipc_free(link->sender);
    rm_ipc_free(link->receiver);
    free(link);
}

/* Some numbers travel in the slot, others in a block. */
static rm_status two_send(void *object, uint32_t number)
{
    two_sides *link = object;
    rm_ipc_message message = {.header = {.version = RM_PACKET_VERSION,
                                         .kind = RM_KIND_BYTES,
                                         .header_units = 2,
                                         .pts_ns = RM_TIME_NONE}};
    void *to = message.head;
    if (number % 3 == 0) {
        rm_status status = rm_ipc_alloc(link->sender, sizeof number, &message.part[0], NULL);
        CHECK_INT(status, RM_OK);
        message.part_count = 1;
        message.header.payload_bytes = sizeof number;
        to = message.part[0].data;
    } else {
        message.head_bytes = message.header.metadata_bytes = sizeof number;
    }
    memcpy(to, &number, sizeof number);
    rm_status status = rm_ipc_send(link->sender, &message, NULL);
    rm_ipc_unref(&message.part[0]);
    return status;
}

static rm_status two_receive(void *object, uint32_t *ret_number)
{
    two_sides *link = object;
    rm_ipc_message message;
    rm_status status = rm_ipc_receive(link->receiver, &message, NULL);
    if (status != RM_OK) {
        return status;
    }
    memcpy(ret_number, message.part_count ? message.part[0].data : message.head,
           sizeof *ret_number);
    for (uint32_t i = 0; i < message.part_count; i++) {
        rm_ipc_release(&message.part[i]);
    }
    return RM_OK;
}

static void two_end(void *object)
{
    rm_ipc_end(((two_sides *)object)->sender);
}

static void two_interrupt(void *object)
{
    rm_ipc_interrupt(((two_sides *)object)->sender);
}

static void two_acknowledge(void *object)
{
    rm_ipc_acknowledge(((two_sides *)object)->receiver);
}

static void two_close(void *object)
{
    rm_ipc_close(((two_sides *)object)->receiver);
}

static void two_move(void *object)
{
    two_sides *link = object;
    if (link->sender) {
        (void)!rm_ipc_look(link->sender, NULL);
    }
    if (link->receiver) {
        (void)!rm_ipc_look(link->receiver, NULL);
    }
}

static void two_kill_sender(void *object)
{
    two_sides *link = object;
    rm_ipc_free(link->sender);
    link->sender = NULL;
}

static void two_kill_receiver(void *object)
{
    two_sides *link = object;
    rm_ipc_free(link->receiver);
    link->receiver = NULL;
}

static void two_restart(void *object)
{
    two_sides *link = object;
    int fds[RM_IPC_FDS];
    rm_error err = RM_ERROR_INIT;
    two_kill_receiver(link);
    CHECK_INT(rm_ipc_renew(link->sender, fds, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    attach(link, fds);
}

static const link_kind between_processes = {
    .name = "memory of two processes",
    .make = two_make,
    .free = two_free,
    .send = two_send,
    .end = two_end,
    .interrupt = two_interrupt,
    .receive = two_receive,
    .acknowledge = two_acknowledge,
    .close = two_close,
    .move = two_move,
    .kill_sender = two_kill_sender,
    .kill_receiver = two_kill_receiver,
    .restart = two_restart,
};

TEST(the_link_between_processes_conforms)
{
    link_conforms(&between_processes);
}

TEST_MAIN(T(the_link_between_processes_conforms))
