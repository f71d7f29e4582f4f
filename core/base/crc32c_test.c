/* crc32c_test.c — the checksum is that of RFC 3720, whole or in pieces. */
#include "base/crc32c.h"

#include "base/test.h"

TEST(the_values_of_rfc_3720)
{
    uint8_t bytes[32] = {0};
    CHECK_INT(rmi_crc32c(0, bytes, sizeof bytes), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    CHECK_INT(rmi_crc32c(0, bytes, sizeof bytes), 0x62A8AB43);
    for (uint8_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = i;
    }
    CHECK_INT(rmi_crc32c(0, bytes, sizeof bytes), 0x46DD794E);
}

TEST(pieces_give_what_the_whole_gives)
{
    uint32_t whole = rmi_crc32c(0, "123456789", 9);
    CHECK_INT(whole, 0xE3069283);
    CHECK_INT(rmi_crc32c(rmi_crc32c(0, "1234", 4), "56789", 5), whole);
    CHECK_INT(rmi_crc32c(7, "", 0), 7);
}

/* Bit by bit, as the polynomial is defined. */
static uint32_t by_bits(const uint8_t *data, size_t bytes)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < 8 * bytes; i++) {
        uint32_t bit = (crc ^ data[i / 8] >> i % 8) & 1;
        crc = crc >> 1 ^ (0x82F63B78 & (0 - bit));
    }
    return ~crc;
}

TEST(any_length_from_any_address_is_right)
{
    uint8_t bytes[80];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t begin = 0; begin < 9; begin++) {
        for (size_t count = 0; begin + count <= sizeof bytes; count++) {
            CHECK_INT(rmi_crc32c(0, bytes + begin, count), by_bits(bytes + begin, count));
        }
    }
}

TEST_MAIN(T(the_values_of_rfc_3720), T(any_length_from_any_address_is_right),
          T(pieces_give_what_the_whole_gives))
