#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remotemedia/memory.h>

static _Thread_local uint64_t allocations;
static _Thread_local unsigned fault_in; /* 0: disarmed */
static _Thread_local bool fault_struck;

static bool strikes(void)
{
    allocations++;
    if (RMI_LIKELY(fault_in == 0) || --fault_in != 0) {
        return false;
    }
    fault_struck = true;
    return true;
}

void *rmi_calloc(size_t count, size_t size)
{
    return strikes() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *rmi_aligned_calloc(size_t alignment, size_t bytes)
{
    if (strikes() || bytes > SIZE_MAX - alignment) {
        return NULL;
    }
    size_t rounded = (bytes + alignment - 1) & ~(alignment - 1);
    void *memory = aligned_alloc(alignment, rounded ? rounded : alignment);
    if (memory) {
        memset(memory, 0, rounded);
    }
    return memory;
}

void *rmi_realloc(void *memory, size_t bytes)
{
    return strikes() ? NULL : realloc(memory, bytes ? bytes : 1);
}

char *rmi_strdup(const char *text)
{
    return rmi_strndup(text, strlen(text));
}

char *rmi_strndup(const char *text, size_t bytes)
{
    char *copy = rmi_calloc(bytes + 1, 1);
    if (copy) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

char *rmi_asprintf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : rmi_calloc((size_t)length + 1, 1);
    if (text) {
        va_start(arguments, format);
        vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    return text;
}

void rmi_free(void *memory)
{
    free(memory);
}

void rmi_alloc_fault_begin(unsigned nth)
{
    fault_in = nth;
    fault_struck = false;
}

bool rmi_alloc_fault_end(void)
{
    bool struck = fault_struck;
    fault_in = 0;
    fault_struck = false;
    return struck;
}

uint64_t rmi_alloc_count(void)
{
    return allocations;
}

void *rm_alloc(size_t bytes)
{
    return rmi_calloc(1, bytes);
}

void rm_free(void *memory)
{
    rmi_free(memory);
}
