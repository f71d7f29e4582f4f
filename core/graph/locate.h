/* locate.h — where in a JSON text a JSON Pointer points.
 *
 * The parser keeps no positions; when something is to be said about a value, the text, which is
 * known to be valid, is walked to find it. Values are mostly asked for in the order of the text: so
 * a locator remembers the way to the last one, and to ask for a thousand costs about one walk.
 *
 * Ownership: the text is borrowed. Threads: one at a time.
 */
#ifndef RMI_GRAPH_LOCATE_H
#define RMI_GRAPH_LOCATE_H

#include <stddef.h>
#include <stdint.h>

enum { RMI_LOCATE_LEVELS = 8 };

/* A place in the text. */
typedef struct rmi_place {
    const char *at;
    uint32_t line, column; /* from 1; columns count characters */
} rmi_place;

typedef struct rmi_locator {
    const char *json, *end;
    /* The child of each container on the way to the last value: of an object the key of the member,
     * of a list the element. */
    struct rmi_located {
        const char *container; /* NULL: nothing is known of this level */
        rmi_place child;
        unsigned long index; /* list */
    } level[RMI_LOCATE_LEVELS];
} rmi_locator;

/* text NULL: every place is line 0. */
void rmi_locator_init(rmi_locator *locator, const char *json, size_t bytes);

/* Line and column of the value at `pointer` (RFC 6901), or of the nearest parent that is there. */
void rmi_locate(rmi_locator *locator, const char *pointer, uint32_t *ret_line,
                uint32_t *ret_column);

#endif
