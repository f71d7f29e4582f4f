/* traceparent.h — W3C Trace Context in a packet's metadata.
 *
 *     metadata {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
 *                               ver   trace id, 16 bytes           span id, 8      flags
 *
 * Source: W3C Recommendation "Trace Context", 23 November 2021, section 3.2.
 *
 * Threads: any; a packet is its one holder's.
 */
#ifndef RMI_MEDIA_TRACEPARENT_H
#define RMI_MEDIA_TRACEPARENT_H

#include <stdbool.h>

#include <remotemedia/packet.h>

enum { RMI_TRACEPARENT_BYTES = 55, RMI_TRACE_SAMPLED = 1 };

typedef struct rmi_context {
    uint8_t trace_id[16], span_id[8]; /* neither all zero */
    uint8_t flags;                    /* RMI_TRACE_SAMPLED: it is recorded */
} rmi_context;

/* False: it is not one. A version above 00 is read as far as this one goes. */
bool rmi_context_parse(const char *text, size_t bytes, rmi_context *ret_context);
void rmi_context_print(const rmi_context *context, char ret_text[RMI_TRACEPARENT_BYTES + 1]);

/* False: the packet has none. */
bool rmi_context_of(const rm_packet *packet, rmi_context *ret_context);

/* Adds it to the metadata of a packet that has none. False: no memory, the metadata is no map or
 * has no room; they stay as they were. */
bool rmi_context_put(rm_packet *packet, const rmi_context *context);

#endif
