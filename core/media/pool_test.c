/* pool_test.c — packets come back to their pool from any thread, also after it was closed, and the
 * budget holds. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/test.h"
#include "media/pool.h"

static void count_call(void *context)
{
    (*(unsigned *)context)++;
}

static void count_atomic(void *context)
{
    atomic_fetch_add((atomic_uint *)context, 1);
}

static rmi_pool *pool_of(uint64_t bytes_max)
{
    rmi_budget *budget = NULL;
    rmi_pool *pool = NULL;
    CHECK_INT(rmi_budget_new(bytes_max, &budget, NULL), RM_OK);
    CHECK_INT(rmi_pool_new(budget, &pool, NULL), RM_OK);
    rmi_budget_free(budget);
    return pool;
}

TEST(a_packet_is_clean_and_aligned_for_each_size)
{
    rmi_pool *pool = pool_of(1 << 20);
    for (uint64_t bytes = 0; bytes <= 5000; bytes += bytes < 300 ? 1 : 97) {
        rm_packet *packet = NULL;
        CHECK_INT(rmi_pool_take(pool, bytes, RMI_RANK_LAST, &packet), RM_OK);
        CHECK_INT(packet->header.payload_bytes, bytes);
        CHECK_INT(packet->header.pts_ns == RM_TIME_NONE, 1);
        CHECK_INT(packet->header.version, 1);
        CHECK_INT((uintptr_t)packet->payload % 64, 0);
        CHECK_INT(packet->payload == NULL, bytes == 0);
        if (bytes) {
            memset(packet->payload, 0xFF, bytes); /* the address sanitizer sees a class too small */
        }
        packet->header.flags = 7;
        rmi_pool_give(pool, packet);
    }
    CHECK_INT(rmi_pool_out(pool), 0);
    rmi_pool_free(pool);
}

/* Else the first write to each page of a large buffer would be a fault on the sample path. */
TEST(the_pages_of_a_new_packet_are_there)
{
    enum { BYTES = 4 << 20, PAGES = BYTES / 4096 };
    static unsigned char present[PAGES];
    if (sysconf(_SC_PAGESIZE) != 4096) {
        SKIP("pages of another size");
    }
    rmi_pool *pool = pool_of(BYTES * 4);
    rm_packet *packet = NULL;
    CHECK_INT(rmi_pool_take(pool, BYTES, RMI_RANK_LAST, &packet), RM_OK);
    uintptr_t first = ((uintptr_t)packet->payload + 4095) & ~(uintptr_t)4095;
    CHECK_INT(mincore((void *)first, BYTES - 4096, present), 0);
    unsigned count = 0;
    for (unsigned i = 0; i < PAGES - 1; i++) {
        count += present[i] & 1;
    }
    CHECK_INT(count, PAGES - 1);
    rm_packet_unref(packet);
    rmi_pool_free(pool);
}

TEST(the_same_block_is_used_again_and_costs_no_allocation)
{
    rmi_pool *pool = pool_of(1 << 20);
    rm_packet *first = NULL, *again = NULL;
    CHECK_INT(rmi_pool_take(pool, 1920, RMI_RANK_LAST, &first), RM_OK);
    rmi_pool_give(pool, first);
    uint64_t before = rmi_alloc_count();
    CHECK_INT(rmi_pool_take(pool, 1900, RMI_RANK_LAST, &again), RM_OK);
    CHECK(first == again);
    CHECK_INT(rmi_alloc_count() - before, 0);
    CHECK_INT(again->header.flags, 0);
    rmi_pool_give(pool, again);
    rmi_pool_free(pool);
}

TEST(the_budget_refuses_and_a_return_is_told)
{
    rmi_pool *pool = pool_of(64 << 10);
    unsigned told = 0;
    rmi_pool_set_on_return(pool, count_call, &told);
    rm_packet *packet[64];
    size_t n = 0;
    rm_status status = RM_OK;
    while (n < 64 && (status = rmi_pool_take(pool, 8192, RMI_RANK_LAST, &packet[n])) == RM_OK) {
        n++;
    }
    CHECK_INT(status, RM_EAGAIN);
    CHECK_INT(n, 7); /* of 8,192 + 192 bytes */
    rm_packet *other = NULL;
    CHECK_INT(rmi_pool_take(pool, 1 << 20, RMI_RANK_LAST, &other), RM_ENOMEM);
    CHECK(!rmi_pool_want(pool));
    rmi_pool_give(pool, packet[--n]);
    CHECK_INT(told, 1);
    CHECK_INT(rmi_pool_take(pool, 8192, RMI_RANK_LAST, &packet[n++]), RM_OK);
    CHECK(!rmi_pool_want(pool));
    rm_packet_unref(packet[--n]);
    CHECK_INT(told, 2);
    /* the cache of another class gives way */
    CHECK_INT(rmi_pool_take(pool, 4000, RMI_RANK_LAST, &other), RM_OK);
    rmi_pool_give(pool, other);
    while (n) {
        rmi_pool_give(pool, packet[--n]);
    }
    rmi_pool_free(pool);
}

static size_t take_all(rmi_pool *pool, uint32_t rank, rm_packet **packets)
{
    size_t n = 0;
    while (rmi_pool_take(pool, 800, rank, &packets[n]) == RM_OK) {
        n++;
    }
    return n;
}

TEST(who_is_further_downstream_may_fill_more_of_the_budget)
{
    rmi_pool *pool = pool_of(64000 * 2);
    rm_packet *packet[128], *large = NULL;
    rmi_budget_set_ranks(pool->budget, 4);
    size_t n = 0;
    for (uint32_t rank = 0; rank < 5; rank++) { /* blocks of 896 + 192 bytes */
        n += take_all(pool, rank, &packet[n]);
        CHECK_INT(n, (96000 + rank * 8000) / 1088);
    }
    size_t cached = 96000 / 1088;
    while (n > cached) { /* of the reserve: not kept, so they are there for others */
        rmi_pool_give(pool, packet[--n]);
        CHECK_INT(rmi_budget_bytes(pool->budget), n * 1088);
    }
    while (n) {
        rmi_pool_give(pool, packet[--n]);
        CHECK_INT(rmi_budget_bytes(pool->budget), cached * 1088);
    }
    CHECK_INT(rmi_pool_take(pool, 110000, 0, &large), RM_OK); /* fits nowhere else */
    rmi_pool_give(pool, large);
    CHECK_INT(rmi_budget_bytes(pool->budget), 0);
    rmi_pool_free(pool);
}

TEST(a_foreign_buffer_is_released_once_by_its_last_reference)
{
    rmi_pool *pool = pool_of(1 << 20);
    unsigned released = 0;
    rm_packet *packet = NULL;
    CHECK_INT(rmi_pool_take(pool, 0, RMI_RANK_LAST, &packet), RM_OK);
    CHECK_INT(rm_packet_is_sole(packet), 1);
    rm_packet_ref(packet);
    CHECK_INT(rm_packet_is_sole(packet), 0);
    rm_packet_unref(packet);
    CHECK_INT(rm_packet_is_sole(packet), 1);
    rmi_packet_set_foreign(packet, "outside", 7, count_call, &released);
    CHECK(rm_packet_owner(packet) == &released);
    CHECK_INT(rm_packet_is_sole(packet), 0); /* its owner may still use it */
    rm_packet_ref(packet);
    rmi_pool_give(pool, packet);
    CHECK_INT(released, 0);
    rm_packet_unref(packet);
    CHECK_INT(released, 1);
    rmi_pool_free(pool);
}

TEST(packets_may_outlive_their_pool)
{
    rmi_budget *budget = NULL;
    rmi_pool *pool = NULL;
    CHECK_INT(rmi_budget_new(1 << 20, &budget, NULL), RM_OK);
    CHECK_INT(rmi_pool_new(budget, &pool, NULL), RM_OK);
    rm_packet *kept[3];
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(rmi_pool_take(pool, 100, RMI_RANK_LAST, &kept[i]), RM_OK);
    }
    rmi_pool_free(pool);
    CHECK(rmi_budget_bytes(budget) > 0);
    for (size_t i = 0; i < 3; i++) {
        memset(kept[i]->payload, 1, 100);
        rm_packet_unref(kept[i]);
    }
    CHECK_INT(rmi_budget_bytes(budget), 0);
    rmi_budget_free(budget);
}

typedef struct returner {
    rm_packet *_Atomic slot[64];
    atomic_bool stop;
} returner;

static void *return_packets(void *argument)
{
    returner *work = argument;
    bool last = false;
    while (!last) {
        last = atomic_load(&work->stop); /* before the look: then nothing comes any more */
        for (size_t i = 0; i < RMI_COUNT(work->slot); i++) {
            rm_packet *packet = atomic_exchange(&work->slot[i], NULL);
            if (packet) {
                rm_packet_unref(packet);
            }
        }
    }
    return NULL;
}

TEST(another_thread_returns_what_the_owner_takes)
{
    rmi_budget *budget = NULL;
    rmi_pool *pool = NULL;
    CHECK_INT(rmi_budget_new(128 << 10, &budget, NULL), RM_OK);
    CHECK_INT(rmi_pool_new(budget, &pool, NULL), RM_OK);
    atomic_uint told = 0;
    rmi_pool_set_on_return(pool, count_atomic, &told);
    returner work = {.stop = false};
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, return_packets, &work), 0);
    unsigned waited = 0;
    for (unsigned i = 0; i < 20000; i++) {
        rm_packet *packet = NULL;
        while (rmi_pool_take(pool, 4000, RMI_RANK_LAST, &packet) == RM_EAGAIN) {
            unsigned before = atomic_load(&told);
            if (!rmi_pool_want(pool)) {
                waited++;
                while (atomic_load(&told) == before) {
                    /* the returner always gets there: it holds every packet */
                }
            }
        }
        memset(packet->payload, (int)i, 16);
        rm_packet *old = atomic_exchange(&work.slot[i % RMI_COUNT(work.slot)], packet);
        if (old) {
            rmi_pool_give(pool, old);
        }
    }
    rmi_pool_free(pool); /* while the other thread still returns */
    atomic_store(&work.stop, true);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(rmi_budget_bytes(budget), 0);
    printf("# the owner waited %u times\n", waited);
    rmi_budget_free(budget);
}

TEST(each_constructor_survives_a_failed_allocation)
{
    for (unsigned nth = 1;; nth++) {
        rmi_budget *budget = NULL;
        rmi_pool *pool = NULL;
        rm_packet *packet = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rmi_budget_new(1 << 20, &budget, NULL);
        if (status == RM_OK) {
            status = rmi_pool_new(budget, &pool, NULL);
        }
        if (status == RM_OK) {
            status = rmi_pool_take(pool, 100, RMI_RANK_LAST, &packet);
        }
        if (status == RM_OK) {
            status = rm_packet_set_metadata(packet, "\x80", 1);
        }
        bool struck = rmi_alloc_fault_end();
        if (packet) {
            rmi_pool_give(pool, packet);
        }
        rmi_pool_free(pool);
        rmi_budget_free(budget);
        CHECK_INT(status, struck ? RM_ENOMEM : RM_OK);
        if (!struck) {
            CHECK_INT(nth, 5);
            return;
        }
    }
}

TEST_MAIN(T(a_packet_is_clean_and_aligned_for_each_size), T(the_pages_of_a_new_packet_are_there),
          T(the_same_block_is_used_again_and_costs_no_allocation),
          T(the_budget_refuses_and_a_return_is_told),
          T(who_is_further_downstream_may_fill_more_of_the_budget),
          T(a_foreign_buffer_is_released_once_by_its_last_reference),
          T(packets_may_outlive_their_pool), T(another_thread_returns_what_the_owner_takes),
          T(each_constructor_survives_a_failed_allocation))
