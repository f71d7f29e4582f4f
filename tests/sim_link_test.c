/* sim_link_test.c — the simulated link to another machine, which test.remote runs over, passes the
 * suite that each link passes. */
#include "sim_link.h"

#include <stdlib.h>
#include <string.h>

#include "base/link_conformance.h"

static void *remote_make(uint32_t capacity, uint64_t seed)
{
    return sim_link_new(
        &(sim_link_options){.capacity = capacity, .delay_max = (uint32_t)(seed % 5), .seed = seed});
}

static void *losing_make(uint32_t capacity, uint64_t seed)
{
    return sim_link_new(&(sim_link_options){
        .capacity = capacity, .delay_max = (uint32_t)(seed % 5), .lose_each = 12, .seed = seed});
}

static void remote_free(void *link)
{
    sim_link_free(link);
}

static rm_status remote_send(void *link, uint32_t number)
{
    sim_bytes bytes = {malloc(sizeof number), sizeof number};
    memcpy(bytes.data, &number, sizeof number);
    rm_status status = sim_link_send(link, bytes);
    if (status != RM_OK) {
        free(bytes.data);
    }
    return status;
}

static void remote_end(void *link)
{
    sim_link_end(link);
}

static void remote_interrupt(void *link)
{
    sim_link_interrupt(link);
}

static rm_status remote_receive(void *link, uint32_t *ret_number)
{
    sim_bytes bytes;
    rm_status status = sim_link_receive(link, &bytes);
    if (status == RM_OK) {
        CHECK_INT(bytes.size, sizeof *ret_number);
        memcpy(ret_number, bytes.data, sizeof *ret_number);
        free(bytes.data);
    }
    return status;
}

static void remote_acknowledge(void *link)
{
    sim_link_acknowledge(link);
}

static void remote_close(void *link)
{
    sim_link_close(link);
}

static void remote_move(void *link)
{
    sim_link_step(link);
}

static void remote_kill_sender(void *link)
{
    sim_link_kill(link, SIM_SENDER);
}

static void remote_kill_receiver(void *link)
{
    sim_link_kill(link, SIM_RECEIVER);
}

static void remote_lose(void *link)
{
    sim_link_lose(link);
}

static void remote_restart(void *link)
{
    sim_link_restart_receiver(link);
}

#define REMOTE(kind_name, maker)                                                       \
    {                                                                                  \
        .name = kind_name, .make = maker, .free = remote_free, .send = remote_send,    \
        .end = remote_end, .interrupt = remote_interrupt, .receive = remote_receive,   \
        .acknowledge = remote_acknowledge, .close = remote_close, .move = remote_move, \
        .kill_sender = remote_kill_sender, .kill_receiver = remote_kill_receiver,      \
        .lose = remote_lose, .restart = remote_restart                                 \
    }

static const link_kind to_a_machine = REMOTE("to a machine", remote_make);
static const link_kind to_a_machine_that_gets_lost = REMOTE("that gets lost", losing_make);

TEST(the_simulated_link_to_a_machine_conforms)
{
    link_conforms(&to_a_machine);
}

TEST(the_same_conforms_while_the_connection_is_lost_again_and_again)
{
    link_conforms(&to_a_machine_that_gets_lost);
}

TEST_MAIN(T(the_simulated_link_to_a_machine_conforms),
          T(the_same_conforms_while_the_connection_is_lost_again_and_again))
