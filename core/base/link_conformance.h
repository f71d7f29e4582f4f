/* link_conformance.h — what every link owes, whatever it leads to: a thread, a process, a machine.
 *
 *     static const link_kind kind = {.name = "…", .make = …, .send = …, …};
 *     link_conforms(&kind);        in a TEST of a file that includes this one
 *
 * The suite drives both ends from one thread: it sends numbers, receives them, and lets time pass
 * by move(). Credits, order, interrupt, what is not acknowledged, the end of either side, a peer
 * that dies. What a kind cannot do (the link between threads has no connection to lose) is NULL.
 */
#ifndef RMI_BASE_LINK_CONFORMANCE_H
#define RMI_BASE_LINK_CONFORMANCE_H

#include <remotemedia/status.h>

#include "base/test.h"

typedef struct link_kind {
    const char *name;
    uint32_t slack; /* numbers that it may hold beyond its capacity */
    void *(*make)(uint32_t capacity, uint64_t seed);
    void (*free)(void *link);
    /* The sender. RM_OK: taken. RM_EAGAIN: no credit. RM_DONE: nothing more is wanted. < 0: the
     * peer is gone. */
    rm_status (*send)(void *link, uint32_t number);
    void (*end)(void *link);
    void (*interrupt)(void *link);
    /* The receiver. RM_OK: *ret_number. RM_EAGAIN: nothing has come. RM_DONE: it has ended. < 0:
     * the peer is gone. */
    rm_status (*receive)(void *link, uint32_t *ret_number);
    void (*acknowledge)(void *link); /* all that was received. NULL: receiving does */
    void (*close)(void *link);
    void (*move)(void *link); /* some time passes */
    void (*kill_sender)(void *link);
    void (*kill_receiver)(void *link);
    void (*lose)(void *link);    /* the connection; it comes back at once */
    void (*restart)(void *link); /* the receiver: a new one in its place */
} link_kind;

enum { LINK_SEEDS = 20, LINK_NUMBERS = 300, LINK_MOVES = 200 };

static inline void link_move(const link_kind *kind, void *link)
{
    for (int i = 0; i < LINK_MOVES; i++) {
        kind->move(link);
    }
}

static inline void link_acknowledge(const link_kind *kind, void *link)
{
    if (kind->acknowledge) {
        kind->acknowledge(link);
    }
}

static inline uint32_t link_draw(uint64_t *state, uint32_t bound)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33) % bound;
}

/* All that comes while time passes, until nothing has come for long: each one more than the one
 * before. Returns why nothing more comes. */
static inline rm_status link_drain(const link_kind *kind, void *link, uint32_t *last,
                                   uint32_t *count)
{
    rm_status status = RM_EAGAIN;
    for (int idle = 0; idle < LINK_MOVES && (status == RM_OK || status == RM_EAGAIN); idle++) {
        uint32_t number;
        status = kind->receive(link, &number);
        if (status == RM_OK) {
            CHECK_INT(number, *last + 1);
            *last = number;
            ++*count;
            link_acknowledge(kind, link);
            idle = 0;
        }
        kind->move(link);
    }
    return status;
}

/* Both sides at random moments, and what else may happen. */
static inline void link_keeps_order(const link_kind *kind, uint64_t seed, bool loses)
{
    uint64_t random = seed;
    uint32_t next = 1, last = 0, count = 0;
    void *link = kind->make(1 + link_draw(&random, 8), seed);
    for (uint32_t i = 0; i < 100 * LINK_NUMBERS && next <= LINK_NUMBERS; i++) {
        uint32_t what = link_draw(&random, loses ? 40 : 39), number;
        if (what < 13) {
            next += kind->send(link, next) == RM_OK;
        } else if (what < 26 && kind->receive(link, &number) == RM_OK) {
            CHECK_INT(number, last + 1);
            last = number;
            count++;
            link_acknowledge(kind, link);
        } else if (what < 39) {
            kind->move(link);
        } else {
            kind->lose(link);
        }
    }
    kind->end(link);
    CHECK_INT(link_drain(kind, link, &last, &count), RM_DONE);
    CHECK_INT(count, LINK_NUMBERS); /* each once */
    kind->free(link);
}

/* It takes as many as it has room for, and one more for each that is dealt with. */
static inline void link_gives_credits(const link_kind *kind, uint64_t seed)
{
    uint32_t capacity = 1 + (uint32_t)(seed % 7), sent = 0, number;
    void *link = kind->make(capacity, seed);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < LINK_MOVES; i++) {
            rm_status status = kind->send(link, sent + 1);
            CHECK(status == RM_OK || status == RM_EAGAIN);
            sent += status == RM_OK;
            kind->move(link);
        }
        CHECK(sent >= capacity + (uint32_t)round &&
              sent <= capacity + kind->slack + (uint32_t)round);
        CHECK_INT(kind->receive(link, &number), RM_OK);
        CHECK_INT(number, round + 1);
        link_acknowledge(kind, link);
        link_move(kind, link);
    }
    kind->free(link);
}

/* What was sent before an interrupt is received before it, or never; what comes after, whole. */
static inline void link_interrupts(const link_kind *kind, uint64_t seed)
{
    uint64_t random = seed;
    uint32_t next = 1, last = 0, newest = 0, number;
    void *link = kind->make(4, seed);
    for (int round = 0; round < 10; round++) {
        for (uint32_t i = link_draw(&random, 30); i > 0; i--) {
            next += kind->send(link, next) == RM_OK;
            if (link_draw(&random, 3) == 0 && kind->receive(link, &number) == RM_OK) {
                CHECK(number > last);
                last = number;
                link_acknowledge(kind, link);
            }
            kind->move(link);
        }
        kind->interrupt(link);
        newest = next;
    }
    link_move(kind, link); /* all know of it */
    CHECK_INT(kind->receive(link, &number), RM_EAGAIN);
    last = newest - 1;
    uint32_t count = 0;
    for (int i = 0; i < LINK_MOVES && next < newest + 4; i++) {
        next += kind->send(link, next) == RM_OK;
        kind->move(link);
    }
    kind->end(link);
    CHECK_INT(link_drain(kind, link, &last, &count), RM_DONE);
    CHECK_INT(count, 4);
    kind->free(link);
}

static inline void link_ends_on_either_side(const link_kind *kind, uint64_t seed)
{
    uint32_t last = 0, count = 0, number;
    void *link = kind->make(4, seed);
    kind->end(link); /* nothing was sent */
    CHECK_INT(link_drain(kind, link, &last, &count), RM_DONE);
    CHECK_INT(count, 0);
    kind->free(link);
    link = kind->make(4, seed);
    CHECK_INT(kind->send(link, 1), RM_OK);
    link_move(kind, link);
    CHECK_INT(kind->receive(link, &number), RM_OK);
    kind->close(link);
    rm_status status = RM_OK;
    for (int i = 0; i < LINK_MOVES && (status == RM_OK || status == RM_EAGAIN); i++) {
        kind->move(link);
        status = kind->send(link, 2);
    }
    CHECK_INT(status, RM_DONE);
    kind->free(link);
}

static inline void link_tells_of_a_death(const link_kind *kind, uint64_t seed)
{
    uint32_t last = 0, count = 0;
    void *link = kind->make(4, seed);
    CHECK_INT(kind->send(link, 1), RM_OK);
    kind->kill_sender(link);
    rm_status status = link_drain(kind, link, &last, &count);
    CHECK(status < 0); /* not RM_DONE: it is no end */
    CHECK(count <= 1);
    kind->free(link);
    link = kind->make(4, seed);
    CHECK_INT(kind->send(link, 1), RM_OK);
    kind->kill_receiver(link);
    link_move(kind, link);
    CHECK(kind->send(link, 2) < 0);
    kind->free(link);
}

/* A new receiver gets what the old one had not acknowledged, and nothing before that. */
static inline void link_replays(const link_kind *kind, uint64_t seed)
{
    uint32_t dealt = (uint32_t)(seed % 4), number, last = dealt, count = 0;
    void *link = kind->make(8, seed);
    for (uint32_t i = 1; i <= 8; i++) {
        CHECK_INT(kind->send(link, i), RM_OK);
    }
    link_move(kind, link);
    for (uint32_t i = 1; i <= 6; i++) {
        CHECK_INT(kind->receive(link, &number), RM_OK);
        CHECK_INT(number, i);
        if (i == dealt) {
            link_acknowledge(kind, link);
        }
    }
    kind->restart(link);
    kind->end(link);
    CHECK_INT(link_drain(kind, link, &last, &count), RM_DONE);
    CHECK_INT(count, 8 - dealt);
    kind->free(link);
}

static inline void link_conforms(const link_kind *kind)
{
    for (uint64_t seed = 1; seed <= LINK_SEEDS; seed++) {
        unsigned before = rmi_test_failures;
        link_keeps_order(kind, seed, false);
        link_gives_credits(kind, seed);
        link_interrupts(kind, seed);
        link_ends_on_either_side(kind, seed);
        link_tells_of_a_death(kind, seed);
        if (kind->lose) {
            link_keeps_order(kind, seed, true);
        }
        if (kind->restart) {
            link_replays(kind, seed);
        }
        if (rmi_test_failures != before) {
            printf("# %s, seed %u\n", kind->name, (unsigned)seed);
            return;
        }
    }
}

#endif
