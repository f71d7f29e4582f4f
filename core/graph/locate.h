/* locate.h — where in a JSON text a JSON Pointer points.
 *
 * The parser keeps no positions; when something is to be said about a value, the text, which is
 * known to be valid, is walked once to find it.
 */
#ifndef RMI_GRAPH_LOCATE_H
#define RMI_GRAPH_LOCATE_H

#include <stddef.h>
#include <stdint.h>

/* Line and column, from 1, of the value at `pointer` (RFC 6901), or of the nearest parent that is
 * there. Columns count characters. */
void rmi_locate(const char *json, size_t bytes, const char *pointer, uint32_t *ret_line,
                uint32_t *ret_column);

#endif
