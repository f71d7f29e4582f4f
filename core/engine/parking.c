#include "engine/parking.h"

#include <pthread.h>
#include <time.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#if defined(__SANITIZE_THREAD__) /* it knows no such fences */
static bool can_fence_all(void)
{
    return false;
}
#else
static bool can_fence_all(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}
#endif

static void fence_all(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
#else
/* One lock for all sleepers: a thread that parks is idle anyway. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *timeout)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout ? timeout->tv_sec : 3600;
    until.tv_nsec += timeout ? timeout->tv_nsec : 0;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    if (atomic_load(word) == value) {
        pthread_cond_timedwait(&changed, &lock, &until);
    }
    pthread_mutex_unlock(&lock);
}

static void futex_wake(_Atomic uint32_t *word)
{
    (void)word;
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static bool can_fence_all(void)
{
    return false;
}

static void fence_all(void)
{
}
#endif

bool rmi_parking_is_light;

static void find_light(void)
{
    rmi_parking_is_light = can_fence_all();
}

void rmi_parking_find_light(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, find_light);
}

void rmi_parking_fence_all(void)
{
    if (rmi_parking_is_light) {
        fence_all();
    }
}

void rmi_parking_wait(rmi_parking *parking, int64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                               .tv_nsec = (long)(timeout_ns % 1000000000)};
    if (timeout_ns > 0 && atomic_load(&parking->parked)) {
        futex_wait(&parking->parked, 1, timeout_ns == INT64_MAX ? NULL : &timeout);
    }
    rmi_parking_leave(parking);
}

void rmi_parking_wake_sleeper(rmi_parking *parking)
{
    if (atomic_exchange(&parking->parked, 0) == 0) {
        return;
    }
    if (parking->wake) {
        parking->wake(parking->context);
    } else {
        futex_wake(&parking->parked);
    }
}
