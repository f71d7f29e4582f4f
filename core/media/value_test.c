/* value_test.c — a value goes from JSON to msgpack and back unchanged; damaged bytes are refused.
 */
#include <remotemedia/value.h>

#include "base/alloc.h"
#include "base/test.h"

static void check_round(const char *json)
{
    void *data = NULL;
    size_t bytes = 0;
    char *back = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_value_from_json(json, strlen(json), &data, &bytes, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    if (data) {
        CHECK_INT(rm_value_to_json(data, bytes, &back, &err), RM_OK);
        CHECK_TEXT(back, json);
    }
    rm_free(data);
    rm_free(back);
}

TEST(values_go_round)
{
    check_round("null");
    check_round("true");
    check_round("-9223372036854775808");
    check_round("9223372036854775807");
    check_round("0.1");
    check_round("1.0");
    check_round("-1e+300");
    check_round("0.30000000000000004");
    check_round("\"\"");
    check_round("\"quote \\\" back \\\\ line \\u000a euro \xE2\x82\xAC nul \\u0000\"");
    check_round("[]");
    check_round("{\"words\":[{\"word\":\"hello\",\"start\":0.31,\"end\":0.5}],\"text\":\"hello\"}");
    check_round("{\"$bytes\":\"\"}");
    check_round("{\"$bytes\":\"AAEC/w==\"}");
    check_round("{\"$bytes\":\"AAEC\"}");
    check_round("{\"$float\":\"nan\"}");
    check_round("{\"$float\":\"-inf\"}");
    check_round("{\"$int\":\"123456789012345678901234567890\"}");
    check_round("{\"$tuple\":[1,[2],{\"$tuple\":[]}]}");
    check_round("{\"$set\":[1,2]}");
    check_round("{\"$datetime\":\"2026-11-24T10:00:00Z\"}");
    check_round("{\"$map\":[[1,\"one\"],[{\"$tuple\":[1,2]},null]]}");
    check_round("{\"$ndarray\":[\"f32\",[1],{\"$bytes\":\"AACAPw==\"}]}");
    check_round("{\"$ext\":[77,\"AAEC\"]}");
    check_round("{\"$$bytes\":1}");
}

TEST(wrong_json_is_refused_by_name)
{
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{", "line 1"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{\"$bytes\":\"AAE\"}", "base64"},
        {"{\"$bytes\":\"A=EC\"}", "base64"},
        {"{\"$bytes\":\"====\"}", "base64"},
        {"{\"$float\":\"many\"}", "many"},
        {"{\"$int\":\"-\"}", "decimal"},
        {"{\"$int\":\"1x\"}", "1x"},
        {"{\"$map\":[[1]]}", "entry 0"},
        {"{\"$what\":1}", "$what"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        void *data = NULL;
        size_t bytes = 0;
        rm_error err = RM_ERROR_INIT;
        CHECK(rm_value_from_json(rows[i].json, strlen(rows[i].json), &data, &bytes, &err) < 0);
        CHECK(data == NULL);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST(a_value_is_at_most_thirty_levels_deep)
{
    char json[128] = "", tuples[30 * 13 + 1] = "";
    for (unsigned depth = 29; depth <= 31; depth++) {
        void *data = NULL;
        size_t bytes = 0;
        memset(json, '[', depth);
        memset(json + depth, ']', depth);
        json[2 * depth] = '\0';
        rm_status status = rm_value_from_json(json, 2 * depth, &data, &bytes, NULL);
        CHECK_INT(status, RM_OK);
        if (status == RM_OK) {
            char *back = NULL;
            CHECK_INT(rm_value_to_json(data, bytes, &back, NULL), RM_OK);
            CHECK_TEXT(back, json);
            rm_free(back);
        }
        rm_free(data);
    }
    for (unsigned depth = 0; depth < 30; depth++) { /* a tuple is one level, as a list is */
        memcpy(tuples + 11 * depth, "{\"$tuple\":[", 11);
        memcpy(tuples + 11 * 30 + 2 * depth, "]}", 2);
    }
    check_round(tuples);
    memset(json, '[', 40);
    memset(json + 40, ']', 40);
    void *data = NULL;
    size_t bytes = 0;
    CHECK_INT(rm_value_from_json(json, 80, &data, &bytes, NULL), RM_ELIMIT);
}

TEST(damaged_msgpack_is_refused)
{
    static const struct {
        const char *data;
        size_t bytes;
    } rows[] = {
        {"", 0},
        {"\xC1", 1},                     /* a tag that is none */
        {"\x01\x02", 2},                 /* two values */
        {"\x92\x01", 2},                 /* an array cut short */
        {"\xDD\xFF\xFF\xFF\xFF", 5},     /* claims four billion */
        {"\xDF\xFF\xFF\xFF\xFF\x01", 6}, /* claims a map of as many */
        {"\xDB\x00\x00\x00\x09x", 6},    /* a text cut short */
        {"\xC6\xFF\xFF\xFF\xFF", 5},
        {"\xA1\xFF", 2},         /* not UTF-8 */
        {"\xA3\xED\xA0\x80", 4}, /* a surrogate */
        {"\xA2\xC0\x80", 3},     /* too long a form */
        {"\xC7\x01\x02\x92", 4}, /* a tuple whose inside is cut short */
        {"\xCF\x01", 2},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        char *json = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rm_value_to_json(rows[i].data, rows[i].bytes, &json, &err), RM_EINVAL);
        CHECK(json == NULL);
        CHECK_CONTAINS(err.message, "msgpack");
    }
    char nested[200];
    memset(nested, '\x91', sizeof nested);
    nested[sizeof nested - 1] = 1;
    char *json = NULL;
    CHECK(rm_value_to_json(nested, sizeof nested, &json, NULL) < 0);
}

TEST(each_failed_allocation_is_an_error)
{
    static const char json[] = "{\"$tuple\":[{\"$bytes\":\"AAEC\"},\"x\"]}";
    for (unsigned nth = 1;; nth++) {
        void *data = NULL;
        size_t bytes = 0;
        char *back = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_value_from_json(json, strlen(json), &data, &bytes, NULL);
        if (status == RM_OK) {
            status = rm_value_to_json(data, bytes, &back, NULL);
        }
        bool struck = rmi_alloc_fault_end();
        CHECK_INT(status, struck ? RM_ENOMEM : RM_OK);
        rm_free(data);
        rm_free(back);
        if (!struck) {
            CHECK(nth > 3);
            return;
        }
    }
}

TEST_MAIN(T(values_go_round), T(wrong_json_is_refused_by_name),
          T(a_value_is_at_most_thirty_levels_deep), T(damaged_msgpack_is_refused),
          T(each_failed_allocation_is_an_error))
