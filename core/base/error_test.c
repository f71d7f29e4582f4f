/* error_test.c — an error keeps its text whole, wraps outwards, and is cut where a character ends.
 */
#include <errno.h>
#include <string.h>

#include <remotemedia/error.h>

#include "base/test.h"

TEST(fail_sets_status_code_and_text)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_fail(&err, RM_EINVAL, "gain_db is %d, want -96 to +48", 60), RM_EINVAL);
    CHECK_INT(err.status, RM_EINVAL);
    CHECK_INT(err.code, RM_CODE_INVALID);
    CHECK_TEXT(err.message, "gain_db is 60, want -96 to +48");
    CHECK_INT(rm_fail(NULL, RM_ENOMEM, "nobody listens"), RM_ENOMEM);
}

TEST(fail_as_takes_the_status_of_its_code)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_fail_as(&err, RM_CODE_NODE_TYPE_UNKNOWN, "no node type '%s'", "x"), RM_ENOENT);
    CHECK_INT(err.code, 301);
}

TEST(fail_os_adds_the_reason)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_fail_os(&err, ENOENT, "cannot open '%s'", "a.wav"), RM_ENOENT);
    CHECK_TEXT(err.message, "cannot open 'a.wav': No such file or directory");
    CHECK_INT(rm_fail_os(&err, ENOSPC, "cannot write"), RM_EIO);
}

TEST(wrap_puts_the_context_before)
{
    rm_error err = RM_ERROR_INIT;
    rm_error_wrap(&err, "nothing is set");
    CHECK_TEXT(err.message, "");
    (void)rm_fail(&err, RM_EFAIL, "no device");
    rm_error_wrap(&err, "node '%s'", "mic");
    CHECK_TEXT(err.message, "node 'mic': no device");
    rm_error_wrap(NULL, "nobody listens");
}

TEST(a_long_text_is_cut_where_a_character_ends)
{
    char text[2 * RM_ERROR_MESSAGE_MAX];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xE2\x82\xAC", 4); /* the euro sign: three bytes */
        }
        rm_error err = RM_ERROR_INIT;
        (void)rm_fail(&err, RM_EFAIL, "%s", text);
        CHECK_INT((strlen(err.message) - shift) % 3, 0);
        CHECK(strlen(err.message) > RM_ERROR_MESSAGE_MAX - 5);
    }
}

TEST(every_code_has_a_meaning)
{
#define CHECK_CODE(number, name, status, meaning)         \
    CHECK_TEXT(rm_code_meaning(RM_CODE_##name), meaning); \
    CHECK_INT(rm_code_status(RM_CODE_##name), status);
    RM_ERROR_CODES(CHECK_CODE)
#undef CHECK_CODE
    CHECK_TEXT(rm_code_meaning((rm_code)999), "");
}

TEST_MAIN(T(fail_sets_status_code_and_text), T(fail_as_takes_the_status_of_its_code),
          T(fail_os_adds_the_reason), T(wrap_puts_the_context_before),
          T(a_long_text_is_cut_where_a_character_ends), T(every_code_has_a_meaning))
