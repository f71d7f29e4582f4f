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

TEST_MAIN(T(the_values_of_rfc_3720), T(pieces_give_what_the_whole_gives))
