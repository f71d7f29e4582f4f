#include "media/pool.h"

#include <sched.h>

#include "base/alloc.h"

/* Marks at the head of `returned`: the pool is closed; the owner waits for a packet. */
#define CLOSED ((rm_packet *)(uintptr_t)1)
#define WANTED ((rm_packet *)(uintptr_t)2)

/* Added to `remaining` while rmi_pool_free() still counts. */
#define COUNTING ((int64_t)1 << 62)

enum {
    PAYLOAD_OFFSET = sizeof(rm_packet),
    SMALLEST_PAYLOAD_LOG2 = 6, /* 64 bytes */
    RESERVE_PARTS = 4,         /* one of them is the reserve */
    OF_RESERVE = 128,          /* added to the size class of a block that was taken of it */
};
_Static_assert((int)OF_RESERVE > (int)RMI_POOL_CLASSES, "one bit says it");
_Static_assert(sizeof(rm_packet) == 192, "three cache lines, so that the payload is aligned");

struct rmi_budget {
    _Atomic uint32_t refs;
    uint64_t bytes_max;
    _Atomic uint32_t ranks;
    _Atomic uint64_t bytes;
    _Atomic uint64_t bytes_peak;
    _Atomic uint64_t
        pressure; /* raised when somebody was refused; pools then give their cache back */
};

rm_status rmi_budget_new(uint64_t bytes_max, rmi_budget **ret_budget, rm_error *err)
{
    if (bytes_max < (64u << 10) || bytes_max > (uint64_t)1 << 40) {
        return rm_fail(err, RM_EINVAL, "memory_bytes_max is %llu, want 65536 to 1099511627776",
                       (unsigned long long)bytes_max);
    }
    rmi_budget *budget = RMI_NEW(rmi_budget);
    if (!budget) {
        return rm_fail(err, RM_ENOMEM, "no memory for a memory budget");
    }
    atomic_init(&budget->refs, 1);
    budget->bytes_max = bytes_max;
    *ret_budget = budget;
    return RM_OK;
}

rmi_budget *rmi_budget_ref(rmi_budget *budget)
{
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
    return budget;
}

void rmi_budget_free(rmi_budget *budget)
{
    if (budget && atomic_fetch_sub_explicit(&budget->refs, 1, memory_order_acq_rel) == 1) {
        rmi_free(budget);
    }
}

uint64_t rmi_budget_bytes(const rmi_budget *budget)
{
    return atomic_load_explicit(&budget->bytes, memory_order_relaxed);
}

uint64_t rmi_budget_bytes_peak(const rmi_budget *budget)
{
    return atomic_load_explicit(&budget->bytes_peak, memory_order_relaxed);
}

uint64_t rmi_budget_bytes_max(const rmi_budget *budget)
{
    return budget->bytes_max;
}

void rmi_budget_set_ranks(rmi_budget *budget, uint32_t ranks)
{
    atomic_store_explicit(&budget->ranks, ranks, memory_order_relaxed);
}

static uint64_t reserve_bytes(const rmi_budget *budget)
{
    return budget->bytes_max / RESERVE_PARTS;
}

/* To how many bytes a taker may fill the budget. What does not fit beside the reserve would never
 * come: it may take of that. */
static uint64_t fill_max(const rmi_budget *budget, uint32_t rank, uint64_t bytes)
{
    uint64_t reserve = reserve_bytes(budget);
    uint32_t ranks = atomic_load_explicit(&budget->ranks, memory_order_relaxed);
    if (rank >= ranks || bytes > budget->bytes_max - reserve) {
        return budget->bytes_max;
    }
    return budget->bytes_max - reserve / ranks * (ranks - rank);
}

static bool charge(rmi_budget *budget, uint64_t bytes, uint32_t rank, bool *ret_of_reserve)
{
    uint64_t now = atomic_fetch_add_explicit(&budget->bytes, bytes, memory_order_relaxed) + bytes;
    if (now > fill_max(budget, rank, bytes)) {
        atomic_fetch_sub_explicit(&budget->bytes, bytes, memory_order_relaxed);
        return false;
    }
    *ret_of_reserve = now > budget->bytes_max - reserve_bytes(budget);
    uint64_t peak = atomic_load_explicit(&budget->bytes_peak, memory_order_relaxed);
    while (now > peak &&
           !atomic_compare_exchange_weak_explicit(&budget->bytes_peak, &peak, now,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return true;
}

static void discharge(rmi_budget *budget, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&budget->bytes, bytes, memory_order_relaxed);
}

/* The smallest class whose payload holds this many bytes. */
static uint32_t class_of(uint64_t payload_bytes)
{
    if (payload_bytes == 0) {
        return 0;
    }
    if (payload_bytes <= 1u << SMALLEST_PAYLOAD_LOG2) {
        return 1;
    }
    uint32_t octave = 63 - (uint32_t)__builtin_clzll(payload_bytes - 1);
    uint32_t quarter = (uint32_t)((payload_bytes - 1) >> (octave - 2)) & 3;
    return 2 + 4 * (octave - SMALLEST_PAYLOAD_LOG2) + quarter;
}

/* Bytes of payload in a block of this class: the inverse of class_of(). */
static uint64_t class_bytes(uint32_t size_class)
{
    if (size_class < 2) {
        return size_class == 0 ? 0 : 1u << SMALLEST_PAYLOAD_LOG2;
    }
    uint32_t octave = SMALLEST_PAYLOAD_LOG2 + (size_class - 2) / 4;
    uint64_t quarter = (size_class - 2) % 4 + 1;
    return ((uint64_t)1 << octave) + (quarter << (octave - 2));
}

static uint64_t block_bytes(uint32_t size_class)
{
    return PAYLOAD_OFFSET + class_bytes(size_class % OF_RESERVE);
}

static void block_free(rmi_budget *budget, rm_packet *packet)
{
    discharge(budget, block_bytes(packet->host.size_class));
    rmi_free(packet);
}

rm_status rmi_pool_new(rmi_budget *budget, rmi_pool **ret_pool, rm_error *err)
{
    rmi_pool *pool = rmi_aligned_calloc(64, sizeof *pool);
    if (!pool) {
        return rm_fail(err, RM_ENOMEM, "no memory for a packet pool");
    }
    pool->budget = rmi_budget_ref(budget);
    *ret_pool = pool;
    return RM_OK;
}

void rmi_pool_set_on_return(rmi_pool *pool, void (*on_return)(void *context), void *context)
{
    pool->on_return = on_return;
    pool->on_return_context = context;
}

uint64_t rmi_pool_out(const rmi_pool *pool)
{
    return pool->taken + atomic_load_explicit(&pool->shared_taken, memory_order_relaxed) -
           pool->given;
}

/* What was taken of the reserve is there again at once, for everybody. */
static void put_free(rmi_pool *pool, rm_packet *packet)
{
    uint32_t size_class = packet->host.size_class;
    pool->given++;
    if (size_class >= OF_RESERVE || pool->keeps_nothing) {
        block_free(pool->budget, packet);
        return;
    }
    packet->host.next = pool->free[size_class];
    pool->free[size_class] = packet;
}

/* The lines of a packet that its next taker looks at and writes are in the cache of another core:
 * they come while the one before it is used. */
static inline void fetch_for_write(const rm_packet *packet)
{
    __builtin_prefetch(&packet->host.next, 1);
    __builtin_prefetch(&packet->header, 1);
    __builtin_prefetch(&packet->header.format, 1);
    __builtin_prefetch((const char *)packet + PAYLOAD_OFFSET, 1);
}

/* Sorts the first of what has come back into the free lists. */
static void sort_first(rmi_pool *pool)
{
    rm_packet *packet = pool->arrived;
    pool->arrived = packet->host.next;
    if (pool->arrived) {
        fetch_for_write(pool->arrived);
    }
    put_free(pool, packet);
}

static bool is_mark(const rm_packet *head)
{
    return (uintptr_t)head <= (uintptr_t)WANTED;
}

/* True: there is something to sort. */
static bool has_arrived(rmi_pool *pool)
{
    if (!pool->arrived && !is_mark(atomic_load_explicit(&pool->returned, memory_order_relaxed))) {
        pool->arrived = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    }
    return pool->arrived != NULL;
}

static void drain_returned(rmi_pool *pool)
{
    while (has_arrived(pool)) {
        sort_first(pool);
    }
}

bool rmi_pool_want(rmi_pool *pool)
{
    rm_packet *empty = NULL;
    if (pool->arrived ||
        (!atomic_compare_exchange_strong(&pool->returned, &empty, WANTED) && empty != WANTED)) {
        drain_returned(pool);
        return true;
    }
    pool->wanted = true;
    return false;
}

static void free_lists_release(rmi_pool *pool)
{
    for (uint32_t c = 0; c < RMI_POOL_CLASSES; c++) {
        while (pool->free[c]) {
            rm_packet *packet = pool->free[c];
            pool->free[c] = packet->host.next;
            block_free(pool->budget, packet);
        }
    }
}

uint64_t rmi_pool_shrink(rmi_pool *pool)
{
    uint64_t bytes = 0;
    drain_returned(pool);
    for (uint32_t c = 0; c < RMI_POOL_CLASSES; c++) {
        for (const rm_packet *packet = pool->free[c]; packet; packet = packet->host.next) {
            bytes += block_bytes(c);
        }
    }
    free_lists_release(pool);
    return bytes;
}

void rmi_pool_keep_nothing(rmi_pool *pool)
{
    (void)rmi_pool_shrink(pool);
    pool->keeps_nothing = true;
}

uint64_t rmi_packet_charge(const rm_packet *packet, const rmi_budget *budget)
{
    const rmi_pool *pool = packet->host.pool;
    return pool && pool->budget == budget ? block_bytes(packet->host.size_class) : 0;
}

static void pool_release(rmi_pool *pool)
{
    rmi_budget_free(pool->budget);
    rmi_free(pool);
}

/* Three parties may end a pool: this function where nothing is out, else the last packet that
 * returns. `remaining` decides: while it is being counted here it cannot reach zero elsewhere. */
void rmi_pool_free(rmi_pool *pool)
{
    if (!pool) {
        return;
    }
    atomic_store(&pool->remaining, COUNTING);
    drain_returned(pool);
    rm_packet *last = atomic_exchange(&pool->returned, CLOSED);
    pool->arrived = is_mark(last) ? NULL : last;
    while (pool->arrived) {
        sort_first(pool);
    }
    while (atomic_load(&pool->telling)) { /* one call of on_return, which may not block */
        sched_yield();
    }
    int64_t out = (int64_t)rmi_pool_out(pool);
    free_lists_release(pool);
    int64_t before = atomic_fetch_sub(&pool->remaining, COUNTING - out);
    if (before - COUNTING + out == 0) {
        pool_release(pool);
    }
}

/* A block from the system: charged, touched, not yet counted as taken. */
static rm_status block_new(rmi_pool *pool, uint32_t size_class, uint32_t rank,
                           rm_packet **ret_packet)
{
    uint64_t bytes = block_bytes(size_class);
    bool of_reserve = false;
    if (bytes > pool->budget->bytes_max) {
        return RM_ENOMEM;
    }
    if (!charge(pool->budget, bytes, rank, &of_reserve)) {
        return RM_EAGAIN;
    }
    rm_packet *packet = rmi_aligned_calloc(RM_PACKET_ALIGNMENT, bytes);
    if (!packet) {
        discharge(pool->budget, bytes);
        return RM_ENOMEM;
    }
    packet->host.pool = pool;
    packet->host.size_class = size_class + (of_reserve ? OF_RESERVE : 0);
    *ret_packet = packet;
    return RM_OK;
}

static void packet_reset(rm_packet *packet, uint64_t payload_bytes)
{
    /* One call for both lines would become `rep stos`, which costs ten times as much; and what
     * follows the first 16 bytes is cleared apart from them, or the stores would overlap, and who
     * reads a field would wait until they have left the core. */
    rm_packet_header *header = &packet->header;
    memset(&header->duration_ns, 0, 64 - offsetof(rm_packet_header, duration_ns));
    memset(&header->format, 0, 64);
    header->version = RM_PACKET_VERSION;
    header->kind = RM_KIND_ANY;
    header->memory = RM_MEMORY_HOST;
    header->header_units = RM_PACKET_HEADER_BYTES / 64;
    header->flags = 0;
    header->pts_ns = RM_TIME_NONE;
    header->payload_bytes = payload_bytes;
    packet->payload = payload_bytes ? (char *)packet + PAYLOAD_OFFSET : NULL;
    __atomic_store_n(&packet->host.refs, 1, __ATOMIC_RELAXED);
}

/* A pool that was refused tells the others to give their caches back. */
static void yield_to_pressure(rmi_pool *pool)
{
    uint64_t pressure = atomic_load_explicit(&pool->budget->pressure, memory_order_relaxed);
    if (RMI_UNLIKELY(pressure != pool->pressure_seen)) {
        pool->pressure_seen = pressure;
        free_lists_release(pool);
    }
}

static rm_status refill(rmi_pool *pool, uint32_t size_class, uint32_t rank)
{
    while (has_arrived(pool)) {
        sort_first(pool);
        if (pool->free[size_class]) {
            return RM_OK;
        }
    }
    yield_to_pressure(pool);
    rm_packet *packet = NULL;
    rm_status status = block_new(pool, size_class, rank, &packet);
    if (status == RM_EAGAIN) {
        free_lists_release(pool);
        status = block_new(pool, size_class, rank, &packet);
    }
    if (status == RM_EAGAIN) {
        pool->pressure_seen =
            1 + atomic_fetch_add_explicit(&pool->budget->pressure, 1, memory_order_relaxed);
    }
    if (status != RM_OK) {
        return status;
    }
    pool->keeps_nothing &= rmi_budget_bytes(pool->budget) > pool->budget->bytes_max / 2;
    packet->host.next = NULL;
    pool->free[size_class] = packet;
    return RM_OK;
}

rm_status rmi_pool_take(rmi_pool *pool, uint64_t payload_bytes, uint32_t rank,
                        rm_packet **ret_packet)
{
    if (RMI_UNLIKELY(payload_bytes > RM_PACKET_PAYLOAD_MAX)) {
        return RM_ENOMEM;
    }
    uint32_t size_class = class_of(payload_bytes);
    if (RMI_UNLIKELY(!pool->free[size_class])) {
        rm_status status = refill(pool, size_class, rank);
        if (status != RM_OK) {
            return status;
        }
    }
    rm_packet *packet = pool->free[size_class];
    pool->free[size_class] = packet->host.next;
    pool->taken++;
    packet_reset(packet, payload_bytes);
    *ret_packet = packet;
    return RM_OK;
}

rm_status rmi_pool_take_shared(rmi_pool *pool, uint64_t payload_bytes, uint32_t rank,
                               rm_packet **ret_packet)
{
    if (payload_bytes > RM_PACKET_PAYLOAD_MAX) {
        return RM_ENOMEM;
    }
    rm_packet *packet = NULL;
    rm_status status = block_new(pool, class_of(payload_bytes), rank, &packet);
    if (status != RM_OK) {
        if (status == RM_EAGAIN) {
            atomic_fetch_add_explicit(&pool->budget->pressure, 1, memory_order_relaxed);
        }
        return status;
    }
    atomic_fetch_add_explicit(&pool->shared_taken, 1, memory_order_relaxed);
    packet_reset(packet, payload_bytes);
    *ret_packet = packet;
    return RM_OK;
}

void rmi_packet_set_foreign(rm_packet *packet, void *payload, uint64_t payload_bytes,
                            void (*release)(void *owner), void *owner)
{
    packet->payload = payload;
    packet->header.payload_bytes = payload_bytes;
    packet->host.release = release;
    packet->host.owner = owner;
}

/* The packet has no reference left: what it held goes, the block itself stays. */
static void let_go(rm_packet *packet)
{
    if (packet->host.release) {
        void (*release)(void *) = packet->host.release;
        void *owner = packet->host.owner;
        packet->host.release = NULL;
        packet->host.owner = NULL;
        release(owner);
    }
    if (packet->metadata) {
        rmi_free(packet->metadata);
        packet->metadata = NULL;
    }
}

static void return_to_closed(rmi_pool *pool, rm_packet *packet)
{
    block_free(pool->budget, packet);
    if (atomic_fetch_sub(&pool->remaining, 1) == 1) {
        pool_release(pool);
    }
}

/* The owner waits for this packet. Once it is pushed the owner may go on and close the pool, so
 * `telling` holds rmi_pool_free() back until on_return has run. False: the head changed. */
static bool return_and_tell(rmi_pool *pool, rm_packet *packet)
{
    rm_packet *head = WANTED;
    packet->host.next = NULL;
    atomic_fetch_add(&pool->telling, 1);
    bool pushed = atomic_compare_exchange_strong(&pool->returned, &head, packet);
    if (pushed) {
        pool->on_return(pool->on_return_context);
    }
    atomic_fetch_sub(&pool->telling, 1);
    return pushed;
}

/* From any thread. With the push the packet, and perhaps the pool, is out of our hands. */
static void return_to(rmi_pool *pool, rm_packet *packet)
{
    rm_packet *head = atomic_load_explicit(&pool->returned, memory_order_acquire);
    for (;;) {
        if (head == CLOSED) {
            return_to_closed(pool, packet);
            return;
        }
        if (head == WANTED) {
            if (return_and_tell(pool, packet)) {
                return;
            }
            head = atomic_load_explicit(&pool->returned, memory_order_acquire);
            continue;
        }
        packet->host.next = head;
        if (atomic_compare_exchange_weak_explicit(&pool->returned, &head, packet,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            return;
        }
    }
}

void rmi_pool_recycle(rmi_pool *pool, rm_packet *packet)
{
    let_go(packet);
    if (packet->host.pool != pool) {
        return_to(packet->host.pool, packet);
        return;
    }
    put_free(pool, packet);
    if (pool->wanted) {
        pool->wanted = false;
        rm_packet *mark = WANTED;
        atomic_compare_exchange_strong(&pool->returned, &mark, NULL);
        pool->on_return(pool->on_return_context);
    }
}

rm_packet *rm_packet_ref(rm_packet *packet)
{
    __atomic_fetch_add(&packet->host.refs, 1, __ATOMIC_RELAXED);
    return packet;
}

void rm_packet_unref(rm_packet *packet)
{
    if (packet && (__atomic_load_n(&packet->host.refs, __ATOMIC_ACQUIRE) == 1 ||
                   __atomic_fetch_sub(&packet->host.refs, 1, __ATOMIC_ACQ_REL) == 1)) {
        let_go(packet);
        return_to(packet->host.pool, packet);
    }
}

void *rm_packet_owner(const rm_packet *packet)
{
    return packet->host.owner;
}

int rm_packet_is_sole(const rm_packet *packet)
{
    return __atomic_load_n(&packet->host.refs, __ATOMIC_ACQUIRE) == 1 && !packet->host.release;
}

rm_status rm_packet_set_metadata(rm_packet *packet, const void *data, size_t bytes)
{
    if (bytes > RM_METADATA_MAX) {
        return RM_EINVAL;
    }
    void *copy = bytes ? rmi_calloc(1, bytes) : NULL;
    if (bytes && !copy) {
        return RM_ENOMEM;
    }
    if (bytes) {
        memcpy(copy, data, bytes);
    }
    rmi_free(packet->metadata);
    packet->metadata = copy;
    packet->header.metadata_bytes = (uint32_t)bytes;
    return RM_OK;
}
