#include "sim_link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What travels. To the receiver: data, or how the stream is (bytes NULL). To the sender: how far
 * the receiver is. */
typedef struct frame {
    struct frame *next;
    uint64_t due; /* step at which it arrives */
    sim_bytes bytes;
    uint64_t number; /* data: its own; back: acknowledged are those below it */
    uint64_t first;  /* of the epoch */
    uint32_t epoch;
    bool is_data, closes; /* closes: there is no more; back: nothing more is wanted */
} frame;

typedef struct wire {
    frame *head, **tail;
    uint64_t last_due;
} wire;

struct sim_link {
    sim_link_options options;
    uint64_t random, now;
    wire there, back;
    struct {
        sim_bytes *kept; /* by number % capacity: those that are not acknowledged */
        uint64_t next, acknowledged, first;
        uint32_t epoch;
        bool ended, closed, dead;
    } sender;
    struct {
        sim_bytes *queue; /* by number % capacity: from `taken` to `expected` */
        uint64_t expected, taken, acknowledged;
        uint32_t epoch;
        bool ended, closed, dead;
    } receiver;
};

/* xorshift64*: what is drawn need be no better. */
static uint32_t draw(sim_link *link, uint32_t bound)
{
    link->random ^= link->random >> 12;
    link->random ^= link->random << 25;
    link->random ^= link->random >> 27;
    return (uint32_t)(link->random * 2685821657736338717ull >> 33) % bound;
}

static void drop(sim_bytes *bytes)
{
    free(bytes->data);
    *bytes = (sim_bytes){0};
}

static void clear(wire *w)
{
    while (w->head) {
        frame *first = w->head;
        w->head = first->next;
        drop(&first->bytes);
        free(first);
    }
    w->tail = &w->head;
}

/* False: no memory, then the frame is as if it were lost with the connection. */
static bool put(sim_link *link, wire *w, const frame *what)
{
    frame *made = malloc(sizeof *made);
    if (!made) {
        return false;
    }
    *made = *what;
    made->next = NULL;
    uint64_t due = link->now + 1 + draw(link, link->options.delay_max + 1);
    made->due = w->last_due = due > w->last_due ? due : w->last_due;
    *w->tail = made;
    w->tail = &made->next;
    return true;
}

static bool copy(sim_bytes from, sim_bytes *ret_copy)
{
    uint8_t *data = malloc(from.size ? from.size : 1);
    if (data && from.size) {
        memcpy(data, from.data, from.size);
    }
    *ret_copy = (sim_bytes){data, from.size};
    return data != NULL;
}

static bool put_data(sim_link *link, uint64_t number)
{
    frame made = {.number = number,
                  .first = link->sender.first,
                  .epoch = link->sender.epoch,
                  .is_data = true};
    return copy(link->sender.kept[number % link->options.capacity], &made.bytes) &&
           put(link, &link->there, &made);
}

static void put_stream(sim_link *link)
{
    frame made = {.number = link->sender.next,
                  .first = link->sender.first,
                  .epoch = link->sender.epoch,
                  .closes = link->sender.ended};
    (void)put(link, &link->there, &made);
}

static void put_progress(sim_link *link)
{
    frame made = {.number = link->receiver.acknowledged,
                  .epoch = link->receiver.epoch,
                  .closes = link->receiver.closed};
    (void)put(link, &link->back, &made);
}

/* ---- making it */

sim_link *sim_link_new(const sim_link_options *options)
{
    assert(options->capacity > 0);
    sim_link *link = calloc(1, sizeof *link);
    if (!link) {
        return NULL;
    }
    link->options = *options;
    link->random = options->seed * 2 + 1;
    link->there.tail = &link->there.head;
    link->back.tail = &link->back.head;
    link->sender.kept = calloc(options->capacity, sizeof *link->sender.kept);
    link->receiver.queue = calloc(options->capacity, sizeof *link->receiver.queue);
    if (!link->sender.kept || !link->receiver.queue) {
        sim_link_free(link);
        return NULL;
    }
    return link;
}

static void forget_kept(sim_link *link, uint64_t below)
{
    for (; link->sender.acknowledged < below; link->sender.acknowledged++) {
        drop(&link->sender.kept[link->sender.acknowledged % link->options.capacity]);
    }
}

static void forget_queue(sim_link *link)
{
    for (; link->receiver.taken < link->receiver.expected; link->receiver.taken++) {
        drop(&link->receiver.queue[link->receiver.taken % link->options.capacity]);
    }
}

void sim_link_free(sim_link *link)
{
    if (!link) {
        return;
    }
    clear(&link->there);
    clear(&link->back);
    for (uint32_t i = 0; i < link->options.capacity; i++) {
        if (link->sender.kept) {
            free(link->sender.kept[i].data);
        }
        if (link->receiver.queue) {
            free(link->receiver.queue[i].data);
        }
    }
    free(link->sender.kept);
    free(link->receiver.queue);
    free(link);
}

/* ---- the sender */

rm_status sim_link_send(sim_link *link, sim_bytes bytes)
{
    if (link->sender.dead || link->receiver.dead) {
        return RM_EFAIL;
    }
    if (link->sender.closed) {
        return RM_DONE;
    }
    if (!sim_link_has_credit(link)) {
        return RM_EAGAIN;
    }
    uint64_t number = link->sender.next;
    sim_bytes *kept = &link->sender.kept[number % link->options.capacity];
    *kept = bytes;
    if (!put_data(link, number)) {
        *kept = (sim_bytes){0};
        return RM_ENOMEM;
    }
    link->sender.next++;
    return RM_OK;
}

bool sim_link_has_credit(const sim_link *link)
{
    return link->sender.next - link->sender.acknowledged < link->options.capacity;
}

void sim_link_end(sim_link *link)
{
    link->sender.ended = true;
    put_stream(link);
}

void sim_link_interrupt(sim_link *link)
{
    forget_kept(link, link->sender.next);
    link->sender.epoch++;
    link->sender.first = link->sender.next;
    put_stream(link);
}

static void hear(sim_link *link, const frame *told)
{
    if (told->number > link->sender.acknowledged) {
        forget_kept(link, told->number);
    }
    link->sender.closed |= told->closes;
}

/* ---- the receiver */

rm_status sim_link_receive(sim_link *link, sim_bytes *ret_bytes)
{
    if (link->receiver.dead) {
        return RM_EFAIL;
    }
    if (link->receiver.taken < link->receiver.expected) {
        sim_bytes *first = &link->receiver.queue[link->receiver.taken % link->options.capacity];
        *ret_bytes = *first;
        *first = (sim_bytes){0};
        link->receiver.taken++;
        return RM_OK;
    }
    if (link->receiver.ended || link->receiver.closed) {
        return RM_DONE;
    }
    return link->sender.dead && !link->there.head ? RM_EFAIL : RM_EAGAIN;
}

void sim_link_acknowledge(sim_link *link)
{
    link->receiver.acknowledged = link->receiver.taken;
    put_progress(link);
}

void sim_link_close(sim_link *link)
{
    forget_queue(link);
    link->receiver.closed = true;
    put_progress(link);
}

static void arrive(sim_link *link, frame *came)
{
    if (link->receiver.dead || link->receiver.closed ||
        (int32_t)(came->epoch - link->receiver.epoch) < 0) {
        return;
    }
    if (came->epoch != link->receiver.epoch) {
        forget_queue(link);
        link->receiver.epoch = came->epoch;
        link->receiver.expected = link->receiver.taken = link->receiver.acknowledged = came->first;
    }
    if (came->is_data && came->number == link->receiver.expected) {
        assert(link->receiver.expected - link->receiver.taken < link->options.capacity);
        link->receiver.queue[came->number % link->options.capacity] = came->bytes;
        came->bytes = (sim_bytes){0};
        link->receiver.expected++;
    }
    /* Less than expected: it has come before the connection was lost. */
    assert(!came->is_data || came->number < link->receiver.expected);
    link->receiver.ended |= came->closes;
}

/* ---- the wire */

static frame *take_due(sim_link *link, wire *w)
{
    frame *first = w->head;
    if (!first || first->due > link->now) {
        return NULL;
    }
    w->head = first->next;
    w->tail = w->head ? w->tail : &w->head;
    return first;
}

void sim_link_step(sim_link *link)
{
    frame *came;
    link->now++;
    if (link->options.lose_each && sim_link_moves(link) &&
        draw(link, link->options.lose_each) == 0) {
        sim_link_lose(link);
    }
    while ((came = take_due(link, &link->there))) {
        arrive(link, came);
        drop(&came->bytes);
        free(came);
    }
    while ((came = take_due(link, &link->back))) {
        hear(link, came);
        free(came);
    }
}

bool sim_link_moves(const sim_link *link)
{
    return link->there.head || link->back.head;
}

void sim_link_lose(sim_link *link)
{
    clear(&link->there);
    clear(&link->back);
    if (link->sender.dead || link->receiver.dead) {
        return;
    }
    put_progress(link);
    if (link->sender.epoch != 0) {
        frame made = {.first = link->sender.first, .epoch = link->sender.epoch};
        (void)put(link, &link->there, &made);
    }
    for (uint64_t n = link->sender.acknowledged; n < link->sender.next; n++) {
        (void)put_data(link, n);
    }
    if (link->sender.ended) {
        put_stream(link);
    }
}

void sim_link_restart_receiver(sim_link *link)
{
    forget_queue(link);
    link->receiver.expected = link->receiver.taken = link->receiver.acknowledged;
    link->receiver.ended = false;
    sim_link_lose(link);
}

void sim_link_kill(sim_link *link, sim_side side)
{
    link->sender.dead |= side == SIM_SENDER;
    link->receiver.dead |= side == SIM_RECEIVER;
}
