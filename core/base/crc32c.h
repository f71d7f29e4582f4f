/* crc32c.h — the checksum of what is kept on disk: CRC-32C (Castagnoli), RFC 3720 appendix B.4.
 *
 * Threads: any.
 */
#ifndef RMI_BASE_CRC32C_H
#define RMI_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of `data` behind what `crc` is the checksum of; 0 for nothing before it. */
uint32_t rmi_crc32c(uint32_t crc, const void *data, size_t bytes);

#endif
