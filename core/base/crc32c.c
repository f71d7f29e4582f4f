#include "base/crc32c.h"

enum { TABLE_BITS = 4 };

/* Remainders of the 16 values of half a byte by the reflected polynomial 0x82F63B78. */
static const uint32_t table[1 << TABLE_BITS] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};

uint32_t rmi_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        crc = crc >> TABLE_BITS ^ table[crc & 15];
        crc = crc >> TABLE_BITS ^ table[crc & 15];
    }
    return ~crc;
}
