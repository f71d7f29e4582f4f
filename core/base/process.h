/* process.h — what the system says of this process. */
#ifndef RMI_BASE_PROCESS_H
#define RMI_BASE_PROCESS_H

#include <stdint.h>

/* Bytes of memory that are present now, and the most that ever were; 0 where it is not known.
 * Thread: any. */
void rmi_process_memory(uint64_t *ret_rss_bytes, uint64_t *ret_rss_bytes_peak);

#endif
