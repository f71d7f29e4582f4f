/* sim_link.h — a link to another machine, simulated: what travels takes time, the connection may be
 * lost, a side may die.
 *
 *     sender ── data (number, epoch), end ──▶ wire: first in, first out ──▶ receiver
 *            ◀── acknowledged up to, closed ── each frame takes 0 to delay_max steps ──
 *
 * The sender keeps what is not acknowledged, `capacity` frames at most: those are its credits. When
 * the connection is lost all that is on the wire is; both sides say anew how far they are, and the
 * sender sends what is not acknowledged again. Each frame arrives once, in order. A receiver that
 * is started anew begins behind what the old one had acknowledged.
 *
 * The same seed gives the same delays and losses. Time is steps, nothing waits.
 *
 * Ownership: bytes are the sender's until they are sent, then the link's, then the receiver's; they
 * are malloc's. Threads: one at a time.
 */
#ifndef TESTS_SIM_LINK_H
#define TESTS_SIM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <remotemedia/status.h>

typedef struct sim_link sim_link;

typedef struct sim_link_options {
    uint32_t capacity;  /* frames, 1 and more */
    uint32_t delay_max; /* steps */
    uint32_t lose_each; /* the connection is lost at one of so many steps; 0: never by itself */
    uint64_t seed;
} sim_link_options;

typedef struct sim_bytes {
    uint8_t *data;
    uint64_t size;
} sim_bytes;

/* NULL: no memory. */
sim_link *sim_link_new(const sim_link_options *options);
void sim_link_free(sim_link *link);

/* RM_OK: the link owns the bytes. RM_EAGAIN: no credit. RM_DONE: the receiver wants no more.
 * RM_EFAIL: a side has died. RM_ENOMEM. */
rm_status sim_link_send(sim_link *link, sim_bytes bytes);
/* True: sim_link_send() would take something. */
bool sim_link_has_credit(const sim_link *link);
/* Nothing more will be sent. */
void sim_link_end(sim_link *link);
/* What was sent and is not yet received dies, wherever it is. */
void sim_link_interrupt(sim_link *link);

/* RM_OK: the caller owns *ret_bytes. RM_EAGAIN: nothing has come. RM_DONE: the stream has ended.
 * RM_EFAIL: a side has died, and all that had come is taken. */
rm_status sim_link_receive(sim_link *link, sim_bytes *ret_bytes);
/* What was received is dealt with. */
void sim_link_acknowledge(sim_link *link);
/* The receiver wants no more. */
void sim_link_close(sim_link *link);

void sim_link_step(sim_link *link);
/* Something is on the wire. */
bool sim_link_moves(const sim_link *link);
void sim_link_lose(sim_link *link);
void sim_link_restart_receiver(sim_link *link);
typedef enum sim_side { SIM_SENDER, SIM_RECEIVER } sim_side;
void sim_link_kill(sim_link *link, sim_side side);

#endif
