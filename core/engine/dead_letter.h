/* dead_letter.h — an item that a node could not do, on its way to whoever looks after such items.
 *
 * Threads: the strand's.
 */
#ifndef RMI_ENGINE_DEAD_LETTER_H
#define RMI_ENGINE_DEAD_LETTER_H

#include <stdbool.h>

#include <remotemedia/error.h>
#include <remotemedia/packet.h>

/* Writes {"error": {"node", "code", "message", "item", "attempts"}} into the packet's metadata, in
 * place of an older error there; what else the metadata has stays. A packet that others hold too,
 * one whose metadata is no map, or without memory, stays as it is, false: the item matters more. */
bool rmi_dead_letter_mark(rm_packet *packet, const rm_error *error, uint32_t attempts);

#endif
