/* parking.h — how a thread sleeps until somebody wakes it, without a lock on the way.
 *
 *     sleeper                                     waker
 *     rmi_parking_prepare()  parked = 1           change what the sleeper looks at
 *     look once more; work? rmi_parking_leave()   rmi_parking_wake():  parked == 1? exchange, wake
 *     rmi_parking_wait()     while parked == 1
 *
 * Both sides have a sequentially consistent fence between their write and their read, so at least
 * one of them sees the other. A wake costs one load where nobody sleeps, and the fence: it waits
 * until what this side wrote has left its core, which after each packet is longer than the packet's
 * own work. rmi_parking_wake_light() does without, where who prepares to sleep then calls
 * rmi_parking_fence_all(), for all threads of the process (membarrier(2)): that costs as much as a
 * wake, so it is for who hardly ever sleeps.
 */
#ifndef RMI_ENGINE_PARKING_H
#define RMI_ENGINE_PARKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct rmi_parking {
    _Alignas(64) _Atomic uint32_t parked;
    /* How a sleeper that is not a thread of ours is woken; NULL: by the system's futex. Runs on the
     * waker's thread. */
    void (*wake)(void *context);
    void *context;
} rmi_parking;

/* Orders what this side wrote before what it reads next. The thread sanitizer knows no fences, so
 * that it gets a write of everybody's instead. */
static inline void rmi_parking_fence(rmi_parking *parking)
{
#if defined(__SANITIZE_THREAD__)
    atomic_fetch_or(&parking->parked, 0);
#else
    (void)parking;
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static inline void rmi_parking_prepare(rmi_parking *parking)
{
    atomic_store(&parking->parked, 1);
    rmi_parking_fence(parking);
}

/* Where the system can fence the threads of a process from one of them; else wakers do it. Set
 * once, before a link is used. */
extern bool rmi_parking_is_light;
/* Asks the system. Thread: any. */
void rmi_parking_find_light(void);

/* After rmi_parking_prepare(), by who may be woken in the light way. */
void rmi_parking_fence_all(void);

static inline void rmi_parking_leave(rmi_parking *parking)
{
    atomic_store_explicit(&parking->parked, 0, memory_order_relaxed);
}

/* Between two looks of a loop that waits: lets the other thread of the core on. */
static inline void rmi_parking_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleeps until woken or timeout_ns passed (INT64_MAX: no bound). */
void rmi_parking_wait(rmi_parking *parking, int64_t timeout_ns);

void rmi_parking_wake_sleeper(rmi_parking *parking);

static inline void rmi_parking_wake(rmi_parking *parking)
{
    rmi_parking_fence(parking);
    if (atomic_load_explicit(&parking->parked, memory_order_relaxed)) {
        rmi_parking_wake_sleeper(parking);
    }
}

/* The sleeper called rmi_parking_fence_all(). */
static inline void rmi_parking_wake_light(rmi_parking *parking)
{
    if (RMI_UNLIKELY(!rmi_parking_is_light)) {
        rmi_parking_fence(parking);
    }
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&parking->parked, memory_order_relaxed)) {
        rmi_parking_wake_sleeper(parking);
    }
}

#endif
