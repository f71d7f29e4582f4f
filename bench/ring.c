#include "ring.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

typedef struct block {
    rm_packet packet;
    int16_t samples[BENCH_FRAMES];
} block;

typedef struct ring {
    block **slot;
    uint32_t mask;
    _Alignas(64) _Atomic uint32_t tail; /* the producer's */
    uint32_t head_seen;
    _Alignas(64) _Atomic uint32_t head; /* the consumer's */
    uint32_t tail_seen;
    _Alignas(64) _Atomic uint32_t parked; /* the consumer */
} ring;

typedef struct pair {
    ring there, back;
    unsigned items, burst;
    double last_ns;
    uint64_t wrong;
} pair;

/* ---- one ring */

static void ring_push(ring *r, block *b)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    r->slot[tail & r->mask] = b; /* there are no more blocks than slots */
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

static void ring_kick(ring *r)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&r->parked, memory_order_relaxed) && atomic_exchange(&r->parked, 0)) {
        syscall(SYS_futex, &r->parked, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static block *ring_pop(ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head == r->tail_seen) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (head == r->tail_seen) {
            return NULL;
        }
    }
    block *b = r->slot[head & r->mask];
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return b;
}

/* `other` is woken before sleeping: the one that would fill r may wait for what we sent last. */
static block *ring_wait(ring *r, ring *other)
{
    block *b = ring_pop(r);
    if (b) {
        return b;
    }
    ring_kick(other);
    for (;;) {
        atomic_store(&r->parked, 1);
        atomic_thread_fence(memory_order_seq_cst);
        b = ring_pop(r);
        if (b) {
            atomic_store_explicit(&r->parked, 0, memory_order_relaxed);
            return b;
        }
        syscall(SYS_futex, &r->parked, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* ---- what the threads do */

static int16_t sample_of(uint64_t number)
{
    return (int16_t)(number * 7 + 3);
}

static void fill(block *b, uint64_t number)
{
    rm_packet_header *header = &b->packet.header;
    memset(header, 0, sizeof *header);
    header->kind = RM_KIND_AUDIO;
    header->payload_bytes = BENCH_PAYLOAD_BYTES;
    header->pts_ns = (int64_t)number * 20000000;
    header->duration_ns = 20000000;
    header->format.audio.rate_hz = BENCH_RATE_HZ;
    header->format.audio.channels = 1;
    header->format.audio.sample_format = RM_SAMPLE_S16;
    header->instance.audio.frames = BENCH_FRAMES;
    b->samples[0] = b->samples[BENCH_FRAMES - 1] = sample_of(number);
}

static void *consume(void *argument)
{
    pair *p = argument;
    for (uint64_t i = 0; i < p->items; i++) {
        block *b = ring_wait(&p->there, &p->back);
        p->wrong += b->packet.header.pts_ns != (int64_t)i * 20000000 ||
                    b->samples[0] != sample_of(i) || b->samples[BENCH_FRAMES - 1] != sample_of(i) ||
                    b->packet.header.format.audio.rate_hz != BENCH_RATE_HZ;
        ring_push(&p->back, b);
        ring_kick(&p->back);
    }
    p->last_ns = bench_now_ns();
    return NULL;
}

static void produce(void *argument)
{
    pair *p = argument;
    for (uint64_t i = 0; i < p->items; i += p->burst) {
        for (uint64_t k = i; k < i + p->burst; k++) {
            block *b = ring_wait(&p->back, &p->there);
            fill(b, k);
            ring_push(&p->there, b);
        }
        ring_kick(&p->there);
    }
}

static void *allocate(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 64, bytes) != 0) {
        bench_fail("no memory");
    }
    memset(memory, 0, bytes);
    return memory;
}

/* The n-th processor that this thread may use, alone; all that it may use where there are fewer. */
static cpu_set_t nth_processor(const cpu_set_t *allowed, int n)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && n-- == 0) {
            CPU_SET(cpu, &one);
            return one;
        }
    }
    return *allowed;
}

/* `here` in the calling thread and `there` in another one, each on a processor of its own. Returns
 * the time as `here` began. */
static double run_both(void (*here)(void *), void *(*there)(void *), void *argument)
{
    cpu_set_t allowed, own, others;
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed);
    own = nth_processor(&allowed, 0);
    others = nth_processor(&allowed, 1);
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof others, &others);
    pthread_setaffinity_np(pthread_self(), sizeof own, &own);
    if (pthread_create(&thread, &attributes, there, argument) != 0) {
        bench_fail("no thread");
    }
    double begin_ns = bench_now_ns();
    here(argument);
    pthread_join(thread, NULL);
    pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed);
    pthread_attr_destroy(&attributes);
    return begin_ns;
}

double bench_ring_run(unsigned items, unsigned burst, unsigned slots)
{
    pair *p = allocate(sizeof *p);
    block *blocks = allocate(slots * sizeof *blocks);
    p->items = items;
    p->burst = burst;
    p->there.slot = allocate(slots * sizeof(block *));
    p->back.slot = allocate(slots * sizeof(block *));
    p->there.mask = p->back.mask = slots - 1;
    for (unsigned i = 0; i < slots; i++) {
        ring_push(&p->back, &blocks[i]);
    }
    double first_ns = run_both(produce, consume, p);
    double took_ns = p->last_ns - first_ns;
    if (p->wrong) {
        bench_fail("the bare ring lost the order");
    }
    free(blocks);
    free(p->there.slot);
    free(p->back.slot);
    free(p);
    return took_ns;
}

/* ---- one cache line */

typedef struct line {
    _Alignas(64) _Atomic uint32_t count; /* odd: it is the other thread's turn */
    _Alignas(64) uint32_t trips;
    double end_ns;
} line;

/* Adds 1 whenever it is this thread's turn. Spins, but lets others go on where there is one
 * processor. */
static void bounce(line *l, uint32_t turn)
{
    for (uint32_t i = turn; i < 2 * l->trips; i += 2) {
        for (unsigned spun = 1; atomic_load_explicit(&l->count, memory_order_acquire) != i;
             spun++) {
            if (spun % 4096 == 0) {
                sched_yield();
            }
        }
        atomic_store_explicit(&l->count, i + 1, memory_order_release);
    }
}

static void bounce_here(void *argument)
{
    line *l = argument;
    bounce(l, 0);
    while (atomic_load_explicit(&l->count, memory_order_acquire) != 2 * l->trips) {
    }
    l->end_ns = bench_now_ns();
}

static void *bounce_there(void *argument)
{
    bounce(argument, 1);
    return NULL;
}

double bench_line_run(unsigned trips)
{
    line *l = allocate(sizeof *l);
    l->trips = trips;
    double begin_ns = run_both(bounce_here, bounce_there, l);
    double each_ns = (l->end_ns - begin_ns) / (2.0 * trips);
    free(l);
    return each_ns;
}
