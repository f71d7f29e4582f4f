/* find_test.c — a place of a value is found, whatever stands before it; damaged bytes are not. */
#include "media/find.h"

#include "base/alloc.h"
#include "base/test.h"

static const char value_json[] =
    "{\"skip\":[1,{\"a\":[]},\"longer than thirty-one bytes of text, so that it has a length\"],"
    "\"lang\":\"fr\",\"deep\":{\"list\":[10,-200,70000,{\"x\":1.5}]},"
    "\"yes\":true,\"no\":false,\"nothing\":null,\"pair\":{\"$tuple\":[\"a\",7]},"
    "\"bytes\":{\"$bytes\":\"AAAA\"},\"\":3}";

static rm_leaf find(const char *path, bool *ret_found)
{
    void *data = NULL;
    size_t bytes = 0;
    rm_leaf leaf = {0};
    CHECK_INT(rm_value_from_json(value_json, strlen(value_json), &data, &bytes, NULL), RM_OK);
    *ret_found = rmi_value_find(data, bytes, path, &leaf);
    if (leaf.kind == RM_LEAF_TEXT) {
        leaf.integer = leaf.text_bytes == 2 && memcmp(leaf.text, "fr", 2) == 0;
    }
    rm_free(data);
    return leaf;
}

static void check_number(const char *path, double want)
{
    bool found;
    rm_leaf leaf = find(path, &found);
    CHECK(found);
    CHECK(leaf.kind == RM_LEAF_INTEGER || leaf.kind == RM_LEAF_REAL);
    CHECK((leaf.kind == RM_LEAF_INTEGER ? (double)leaf.integer : leaf.real) == want);
}

static void check_kind(const char *path, rm_leaf_kind want, int64_t integer)
{
    bool found;
    rm_leaf leaf = find(path, &found);
    CHECK(found);
    CHECK_INT(leaf.kind, want);
    CHECK_INT(leaf.integer, integer);
}

TEST(what_is_there_is_found)
{
    check_number("deep.list.0", 10);
    check_number("deep.list.1", -200);
    check_number("deep.list.2", 70000);
    check_number("deep.list.3.x", 1.5);
    check_number("skip.0", 1);
    check_number("pair.1", 7);
    check_kind("lang", RM_LEAF_TEXT, 1);
    check_kind("yes", RM_LEAF_BOOL, 1);
    check_kind("no", RM_LEAF_BOOL, 0);
    check_kind("nothing", RM_LEAF_NULL, 0);
    check_kind("bytes", RM_LEAF_OTHER, 0);
    check_kind("skip", RM_LEAF_OTHER, 0);
    check_kind("", RM_LEAF_OTHER, 0);
}

TEST(what_is_not_there_is_not_found)
{
    static const char *const paths[] = {"lan",
                                        "langs",
                                        "lang.x",
                                        "deep.list.4",
                                        "deep.x",
                                        "deep.list.x",
                                        "deep.list.-1",
                                        "yes.0",
                                        "pair.2",
                                        "bytes.0",
                                        "skip.99999999999999999999"};
    for (size_t i = 0; i < RMI_COUNT(paths); i++) {
        bool found;
        (void)find(paths[i], &found);
        CHECK(!found);
    }
}

TEST(each_form_of_a_number_is_read)
{
    static const struct {
        uint8_t bytes[9];
        size_t count;
        double want;
    } rows[] = {
        {{0x7F}, 1, 127},
        {{0xE0}, 1, -32},
        {{0xCC, 0xFF}, 2, 255},
        {{0xCD, 1, 0}, 3, 256},
        {{0xCE, 1, 0, 0, 0}, 5, 16777216},
        {{0xCF, 0, 0, 0, 1, 0, 0, 0, 0}, 9, 4294967296.0},
        {{0xCF, 0xFF, 0, 0, 0, 0, 0, 0, 0}, 9, 18374686479671623680.0},
        {{0xD0, 0xFF}, 2, -1},
        {{0xD1, 0xFF, 0}, 3, -256},
        {{0xD2, 0xFF, 0, 0, 0}, 5, -16777216},
        {{0xD3, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}, 9, -4294967296.0},
        {{0xCA, 0x3F, 0xC0, 0, 0}, 5, 1.5},
        {{0xCB, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0}, 9, 1.5},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_leaf leaf = {0};
        CHECK(rmi_value_find(rows[i].bytes, rows[i].count, "", &leaf));
        CHECK((leaf.kind == RM_LEAF_INTEGER ? (double)leaf.integer : leaf.real) == rows[i].want);
        CHECK(!rmi_value_find(rows[i].bytes, rows[i].count - 1, "", &leaf));
    }
}

TEST(bytes_that_end_too_early_hold_nothing)
{
    void *data = NULL;
    size_t bytes = 0;
    static const char json[] = "[[1,2,{\"a\":\"text\"}],\"last\"]";
    CHECK_INT(rm_value_from_json(json, strlen(json), &data, &bytes, NULL), RM_OK);
    for (size_t cut = 0; cut < bytes; cut++) {
        void *copy = rmi_calloc(cut ? cut : 1, 1); /* so that a sanitizer sees each byte beyond */
        rm_leaf leaf;
        memcpy(copy, data, cut);
        CHECK(!rmi_value_find(copy, cut, "1", &leaf));
        rmi_free(copy);
    }
    rm_free(data);
}

TEST_MAIN(T(what_is_there_is_found), T(what_is_not_there_is_not_found),
          T(each_form_of_a_number_is_read), T(bytes_that_end_too_early_hold_nothing))
