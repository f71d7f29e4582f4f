/* parking_test.c — a wake is never lost, whichever way it is sent. */
#include "engine/parking.h"

#include <pthread.h>

#include "base/test.h"
#include "engine/clock.h"

enum { ROUNDS = 200000, CARGO_LINES = 32 };
#define LOST_NS ((int64_t)5000000000)

/* Two threads take turns: each counts its own side up, wakes the other, and sleeps until that has
 * counted too. */
typedef struct side {
    _Atomic unsigned count;
    rmi_parking parking; /* of who waits for the count */
    struct {
        _Alignas(64) unsigned turn;
    } cargo[CARGO_LINES]; /* written before the count: it stays in the core for as long as they do
                           */
} side;

typedef struct rally {
    side there, back;
    bool light;
    _Atomic bool lost, wrong;
} rally;

static void count_up(const rally *r, side *own)
{
    unsigned count = atomic_load_explicit(&own->count, memory_order_relaxed);
    for (unsigned i = 0; i < CARGO_LINES; i++) {
        own->cargo[i].turn = count + 1;
    }
    atomic_store_explicit(&own->count, count + 1, memory_order_release);
    (r->light ? rmi_parking_wake_light : rmi_parking_wake)(&own->parking);
}

/* Looks for a while that differs from turn to turn, so that the wake comes at each moment of going
 * to sleep. */
static void wait_for(rally *r, side *other, unsigned count)
{
    unsigned looks = count * 2654435761u >> 26;
    while (looks-- > 0 && atomic_load_explicit(&other->count, memory_order_acquire) != count) {
    }
    while (atomic_load_explicit(&other->count, memory_order_acquire) != count) {
        rmi_parking_prepare(&other->parking);
        if (r->light) {
            rmi_parking_fence_all();
        }
        if (atomic_load_explicit(&other->count, memory_order_acquire) == count) {
            rmi_parking_leave(&other->parking);
            return;
        }
        int64_t begin_ns = rmi_clock_ns();
        rmi_parking_wait(&other->parking, LOST_NS);
        if (rmi_clock_ns() - begin_ns > LOST_NS / 2) {
            atomic_store(&r->lost, true);
        }
    }
}

static void unload(rally *r, side *other, unsigned count)
{
    wait_for(r, other, count);
    for (unsigned i = 0; i < CARGO_LINES; i++) {
        if (other->cargo[i].turn != count) {
            atomic_store(&r->wrong, true);
        }
        other->cargo[i].turn = 0;
    }
}

static void *answer(void *argument)
{
    rally *r = argument;
    for (unsigned i = 1; i <= ROUNDS && !atomic_load(&r->lost); i++) {
        unload(r, &r->there, i);
        count_up(r, &r->back);
    }
    return NULL;
}

static void play(bool light)
{
    static rally r;
    memset(&r, 0, sizeof r);
    r.light = light;
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, answer, &r), 0);
    for (unsigned i = 1; i <= ROUNDS && !atomic_load(&r.lost); i++) {
        count_up(&r, &r.there);
        unload(&r, &r.back, i);
    }
    pthread_join(thread, NULL);
    CHECK(!atomic_load(&r.lost));
    CHECK(!atomic_load(&r.wrong));
    CHECK_INT(r.back.count, ROUNDS);
}

TEST(no_wake_is_lost)
{
    play(false);
}

TEST(no_light_wake_is_lost)
{
    rmi_parking_find_light();
    play(true);
}

TEST(light_wakes_work_where_the_system_has_no_fence_for_all)
{
    bool was_light = rmi_parking_is_light;
    rmi_parking_is_light = false;
    play(true);
    rmi_parking_is_light = was_light;
}

TEST_MAIN(T(no_wake_is_lost), T(no_light_wake_is_lost),
          T(light_wakes_work_where_the_system_has_no_fence_for_all))
