/* find.h — one place of a msgpack value, found without unpacking the rest. */
#ifndef RMI_MEDIA_FIND_H
#define RMI_MEDIA_FIND_H

#include <stdbool.h>

#include <remotemedia/value.h>

/* What stands at `path`: keys of maps and numbers of list or tuple entries (from 0), joined by '.';
 * "": the value itself. False: nothing is there, or the bytes are no value up to that place. The
 * text of *ret_leaf points into `data`. Never looks at a byte twice; no memory. Thread: any. */
bool rmi_value_find(const void *data, size_t bytes, const char *path, rm_leaf *ret_leaf);

#endif
