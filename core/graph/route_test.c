/* route_test.c — which packets a condition takes, and which conditions are refused. */
#include "graph/route.h"

#include "base/alloc.h"
#include "base/test.h"

static rmi_route *route_of(const char *when)
{
    rmi_route *route = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_route_parse(when, &route, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    return route;
}

/* A packet of this value, with {"lang": "fr"} as metadata. */
static bool takes(const char *when, const char *value_json)
{
    void *value = NULL, *metadata = NULL;
    size_t bytes = 0, metadata_bytes = 0;
    CHECK_INT(rm_value_from_json(value_json, strlen(value_json), &value, &bytes, NULL), RM_OK);
    CHECK_INT(rm_value_from_json("{\"lang\":\"fr\"}", 13, &metadata, &metadata_bytes, NULL), RM_OK);
    rm_packet packet = {.header = {.kind = RM_KIND_VALUE,
                                   .stream_id = 7,
                                   .flags = RM_FLAG_FINAL,
                                   .payload_bytes = bytes,
                                   .metadata_bytes = (uint32_t)metadata_bytes},
                        .payload = value,
                        .metadata = metadata};
    rmi_route *route = route_of(when);
    bool result = route && rmi_route_takes(route, &packet, NULL);
    rmi_route_free(route);
    rm_free(value);
    rm_free(metadata);
    return result;
}

TEST(each_comparison_holds_or_not)
{
    static const struct {
        const char *when, *value;
        bool want;
    } rows[] = {
        {"{\"field\":\"metadata.lang\",\"equals\":\"fr\"}", "0", true},
        {"{\"field\":\"metadata.lang\",\"equals\":\"de\"}", "0", false},
        {"{\"field\":\"metadata.lang\",\"not_equals\":\"de\"}", "0", true},
        {"{\"field\":\"metadata.lang\",\"not_equals\":\"fr\"}", "0", false},
        {"{\"field\":\"metadata.rate\",\"not_equals\":\"fr\"}", "0", false}, /* is not there */
        {"{\"field\":\"metadata.lang\",\"in\":[\"de\",\"fr\"]}", "0", true},
        {"{\"field\":\"metadata.lang\",\"in\":[\"de\",1,null]}", "0", false},
        {"{\"field\":\"metadata.lang\",\"exists\":true}", "0", true},
        {"{\"field\":\"metadata.lang\",\"exists\":false}", "0", false},
        {"{\"field\":\"metadata.rate\",\"exists\":false}", "0", true},
        {"{\"field\":\"metadata.rate\",\"exists\":true}", "0", false},
        {"{\"field\":\"value.score\",\"above\":0.5}", "{\"score\":0.75}", true},
        {"{\"field\":\"value.score\",\"above\":0.75}", "{\"score\":0.75}", false},
        {"{\"field\":\"value.score\",\"below\":1,\"above\":0.5}", "{\"score\":0.75}", true},
        {"{\"field\":\"value.score\",\"below\":0.75}", "{\"score\":0.75}", false},
        {"{\"field\":\"value.score\",\"below\":1}", "{\"score\":\"0\"}", false},
        {"{\"field\":\"value.score\",\"below\":1}", "{}", false},
        {"{\"field\":\"value.score\",\"equals\":1}", "{\"score\":1.0}", true},
        {"{\"field\":\"value.score\",\"equals\":1}", "{\"score\":true}", false},
        {"{\"field\":\"value.score\",\"equals\":true}", "{\"score\":true}", true},
        {"{\"field\":\"value.score\",\"equals\":null}", "{\"score\":null}", true},
        {"{\"field\":\"value.score\",\"equals\":9007199254740993}", "{\"score\":9007199254740992}",
         false},
        {"{\"field\":\"value\",\"above\":3}", "4", true},
        {"{\"field\":\"value\",\"equals\":\"yes\"}", "\"yes\"", true},
        {"{\"field\":\"value\",\"above\":3}", "{\"$float\":\"nan\"}", false},
        {"{\"field\":\"text\",\"equals\":\"yes\"}", "\"yes\"", true}, /* a value that is text */
        {"{\"field\":\"text\",\"exists\":true}", "5", false},
        {"{\"field\":\"kind\",\"equals\":\"value\"}", "5", true},
        {"{\"field\":\"kind\",\"in\":[\"audio\",\"text\"]}", "5", false},
        {"{\"field\":\"stream_id\",\"equals\":7}", "5", true},
        {"{\"field\":\"stream_id\",\"above\":7}", "5", false},
        {"{\"field\":\"final\",\"equals\":true}", "5", true},
        {"{\"field\":\"final\",\"equals\":false}", "5", false},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        bool got = takes(rows[i].when, rows[i].value);
        if (got != rows[i].want) {
            RMI_TEST_FAIL("%s takes %s: %d", rows[i].when, rows[i].value, got);
        }
    }
}

TEST(text_and_packets_without_a_value_are_asked_too)
{
    char text[] = "hello";
    rm_packet packet = {.header = {.kind = RM_KIND_TEXT, .payload_bytes = 5}, .payload = text};
    rmi_route *hello = route_of("{\"field\":\"text\",\"equals\":\"hello\"}");
    rmi_route *value = route_of("{\"field\":\"value\",\"equals\":\"hello\"}");
    rmi_route *name = route_of("{\"field\":\"value.name\",\"exists\":false}");
    CHECK(rmi_route_takes(hello, &packet, NULL));
    CHECK(rmi_route_takes(value, &packet, NULL));
    CHECK(rmi_route_takes(name, &packet, NULL));
    packet.header.kind = RM_KIND_BYTES;
    CHECK(!rmi_route_takes(hello, &packet, NULL));
    CHECK(rmi_route_takes(name, &packet, NULL));
    packet.header.kind = RM_KIND_VALUE; /* and the bytes are not one */
    CHECK(rmi_route_takes(name, &packet, NULL));
    rmi_route_free(hello);
    rmi_route_free(value);
    rmi_route_free(name);
}

static void read_lang(void *owner, const char *path,
                      void (*found)(void *context, const rm_leaf *leaf), void *context)
{
    const char *lang = owner;
    if (strcmp(path, "metadata.lang") == 0 || strcmp(path, "lang") == 0) {
        found(context, &(rm_leaf){RM_LEAF_TEXT, .text = lang, .text_bytes = strlen(lang)});
    }
}

TEST(a_live_object_is_looked_into_by_its_owner)
{
    char lang[] = "fr";
    rm_packet packet = {.header = {.kind = RM_KIND_OBJECT}, .host = {.owner = lang}};
    rmi_route *value = route_of("{\"field\":\"value.lang\",\"equals\":\"fr\"}");
    rmi_route *metadata = route_of("{\"field\":\"metadata.lang\",\"equals\":\"fr\"}");
    rmi_route *other = route_of("{\"field\":\"value.rate\",\"exists\":true}");
    CHECK(rmi_route_takes(value, &packet, read_lang));
    CHECK(rmi_route_takes(metadata, &packet, read_lang));
    CHECK(!rmi_route_takes(other, &packet, read_lang));
    CHECK(!rmi_route_takes(value, &packet, NULL));
    lang[0] = 'g';
    CHECK(!rmi_route_takes(value, &packet, read_lang));
    rmi_route_free(value);
    rmi_route_free(metadata);
    rmi_route_free(other);
}

TEST(what_can_never_hold_is_refused)
{
    static const struct {
        const char *when, *part;
    } rows[] = {
        {"{\"field\":\"size\",\"equals\":1}", "field is 'size', want text, kind"},
        {"{\"field\":\"value\"}", "compares with nothing"},
        {"{\"field\":\"text\",\"above\":1}", "'text' is no number: above can never hold"},
        {"{\"field\":\"kind\",\"equals\":\"adio\"}", "'adio', which is no kind"},
        {"{\"field\":\"kind\",\"in\":[\"audio\",7]}", "which is no kind"},
        {"{\"field\":\"value.a\",\"exists\":false,\"equals\":1}", "can never hold"},
        {"{\"field\":\"value.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q\",\"equals\":1}", "17 names"},
        {"{\"field\":7}", "not JSON with a field"},
        {"[", "not JSON with a field"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rmi_route *route = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rmi_route_parse(rows[i].when, &route, &err), RM_EINVAL);
        CHECK_CONTAINS(err.message, rows[i].part);
        CHECK(route == NULL);
    }
}

TEST_MAIN(T(each_comparison_holds_or_not), T(text_and_packets_without_a_value_are_asked_too),
          T(a_live_object_is_looked_into_by_its_owner), T(what_can_never_hold_is_refused))
