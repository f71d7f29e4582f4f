/* claim.h — what a tag of msgpack says about the bytes that follow it. */
#ifndef RMI_MEDIA_CLAIM_H
#define RMI_MEDIA_CLAIM_H

#include <stdint.h>

/* Extension types of values, see <remotemedia/value.h>. */
enum {
    RMI_EXT_INT = 1,
    RMI_EXT_TUPLE = 2,
    RMI_EXT_SET = 3,
    RMI_EXT_DATETIME = 4,
    RMI_EXT_NDARRAY = 5
};

typedef struct rmi_claim {
    uint64_t values; /* that follow */
    uint64_t skip;   /* bytes to jump over */
    unsigned width;  /* bytes of a length field, big-endian: of `skip`, or of values … */
    unsigned each;   /* … so many for each one counted; 0: it counts bytes */
} rmi_claim;

/* What a tag of msgpack's specification says about what follows it. */
static inline rmi_claim rmi_claim_of(uint8_t tag)
{
    static const uint8_t number_bytes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* from 0xCA on */
    switch (tag >> 4) {
    case 0x8: return (rmi_claim){.values = 2 * (uint64_t)(tag & 15)};
    case 0x9: return (rmi_claim){.values = tag & 15};
    case 0xA:
    case 0xB: return (rmi_claim){.skip = tag & 31};
    case 0xC:
    case 0xD: break;
    default: return (rmi_claim){0};
    }
    if (tag >= 0xDC) {
        return (rmi_claim){.width = tag & 1 ? 4 : 2, .each = tag >= 0xDE ? 2 : 1};
    }
    if (tag >= 0xD9) {
        return (rmi_claim){.width = 1u << (tag - 0xD9)};
    }
    if (tag >= 0xD4) {
        return (rmi_claim){.skip = 1 + ((uint64_t)1 << (tag - 0xD4))};
    }
    if (tag >= 0xCA) {
        return (rmi_claim){.skip = number_bytes[tag - 0xCA]};
    }
    if (tag >= 0xC4) { /* bytes; from 0xC7 on extensions, with a type */
        return (rmi_claim){.width = 1u << (tag - 0xC4) % 3, .skip = tag >= 0xC7};
    }
    return (rmi_claim){0};
}

#endif
