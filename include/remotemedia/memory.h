/* memory.h — memory that crosses the API: what the library hands out is freed by rm_free(). */
#ifndef REMOTEMEDIA_MEMORY_H
#define REMOTEMEDIA_MEMORY_H

#include <stddef.h>

#include "macros.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed memory, NULL where there is none. Thread: any. */
RM_API void *rm_alloc(size_t bytes);
/* NULL is fine. Thread: any. */
RM_API void rm_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
