/* alloc.h — the library's allocator, with fault injection for tests.
 *
 * Every allocation of the library goes through here, so that a test can make the n-th one fail.
 * Threads: any; a fault is armed for the calling thread only.
 */
#ifndef RMI_BASE_ALLOC_H
#define RMI_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* Zeroed; NULL without memory, on overflow of count × size, or where a fault is armed. */
void *rmi_calloc(size_t count, size_t size);
/* Zeroed, aligned to a power of two ≥ sizeof(void *). Release by rmi_free(). */
void *rmi_aligned_calloc(size_t alignment, size_t bytes);
/* As realloc(); new bytes are not cleared. The old memory stays on failure. */
void *rmi_realloc(void *memory, size_t bytes);
char *rmi_strdup(const char *text);
char *rmi_strndup(const char *text, size_t bytes);
/* Formats into new memory; NULL without memory. */
char *rmi_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void rmi_free(void *memory);

#define RMI_NEW(type) ((type *)rmi_calloc(1, sizeof(type)))

static inline __attribute__((unused)) void rmi_auto_memory(void *pointer)
{
    rmi_free(*(void **)pointer);
}

/* Makes the nth allocation (from 1) of this thread fail, once; 0 disarms. */
void rmi_alloc_fault_begin(unsigned nth);
/* Disarms; true where the fault struck. */
bool rmi_alloc_fault_end(void);
/* Allocations that this thread has made since it began. */
uint64_t rmi_alloc_count(void);

#endif
