/* message.h — what other threads tell a strand: a stack without a lock, emptied whole.
 *
 * A message is embedded in whatever it is about, so posting needs no memory. One message is posted
 * once at a time: who may post it twice keeps a flag beside it.
 */
#ifndef RMI_ENGINE_MESSAGE_H
#define RMI_ENGINE_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct rmi_strand;

typedef struct rmi_message {
    struct rmi_message *next;
    void (*run)(struct rmi_strand *strand, struct rmi_message *message);
} rmi_message;

typedef struct rmi_mailbox {
    _Atomic(rmi_message *) head;
} rmi_mailbox;

static inline void rmi_mailbox_push(rmi_mailbox *mailbox, rmi_message *message)
{
    rmi_message *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    do {
        message->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->head, &head, message,
                                                    memory_order_release, memory_order_relaxed));
}

static inline bool rmi_mailbox_is_empty(const rmi_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->head, memory_order_relaxed) == NULL;
}

/* All messages, the oldest first. */
static inline rmi_message *rmi_mailbox_take(rmi_mailbox *mailbox)
{
    rmi_message *message = atomic_exchange_explicit(&mailbox->head, NULL, memory_order_acquire);
    rmi_message *first = NULL;
    while (message) {
        rmi_message *next = message->next;
        message->next = first;
        first = message;
        message = next;
    }
    return first;
}

#define RMI_CONTAINER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
