/* traceparent_test.c — what the Recommendation says is a trace context is read as one, anything
 * else is not; and metadata keep what they had when they get one. */
#include "media/traceparent.h"

#include <remotemedia/value.h>

#include "base/test.h"
#include "media/pool.h"

static const char example[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static bool parses(const char *text)
{
    rmi_context context;
    return rmi_context_parse(text, strlen(text), &context);
}

TEST(a_context_is_read_and_written)
{
    rmi_context context = {0};
    char text[RMI_TRACEPARENT_BYTES + 1];
    CHECK(rmi_context_parse(example, strlen(example), &context));
    CHECK_INT(context.trace_id[0], 0x4b);
    CHECK_INT(context.trace_id[15], 0x36);
    CHECK_INT(context.span_id[7], 0xb7);
    CHECK_INT(context.flags, RMI_TRACE_SAMPLED);
    rmi_context_print(&context, text);
    CHECK_TEXT(text, example);
}

TEST(what_is_no_context_is_refused)
{
    CHECK(!parses(""));
    CHECK(!parses("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"));
    CHECK(!parses("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"));
    CHECK(!parses("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    CHECK(!parses("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
    CHECK(!parses("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"));
    CHECK(!parses("00x4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    CHECK(!parses("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    CHECK(!parses("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"));
    CHECK(parses("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
}

static rmi_budget *budget;

/* A packet with the metadata of this JSON object; NULL: none. */
static rm_packet *packet_with(rmi_pool *pool, const char *json)
{
    rm_packet *packet = NULL;
    CHECK_INT(rmi_pool_take(pool, 64, 0, &packet), RM_OK);
    if (json) {
        void *data = NULL;
        size_t bytes = 0;
        CHECK_INT(rm_value_from_json(json, strlen(json), &data, &bytes, NULL), RM_OK);
        CHECK_INT(rm_packet_set_metadata(packet, data, bytes), RM_OK);
        rm_free(data);
    }
    return packet;
}

/* `json` with the context has `want`. */
static void check_put(const char *json, const char *want)
{
    rmi_pool *pool = NULL;
    CHECK_INT(rmi_budget_new(1 << 20, &budget, NULL), RM_OK);
    CHECK_INT(rmi_pool_new(budget, &pool, NULL), RM_OK);
    rm_packet *packet = packet_with(pool, json);
    rmi_context context, again = {0};
    CHECK(rmi_context_parse(example, strlen(example), &context));
    CHECK(!rmi_context_of(packet, &again));
    CHECK(rmi_context_put(packet, &context));
    CHECK(rmi_context_of(packet, &again));
    CHECK(memcmp(&again, &context, sizeof context) == 0);
    char *text = NULL;
    CHECK_INT(rm_value_to_json(packet->metadata, packet->header.metadata_bytes, &text, NULL),
              RM_OK);
    CHECK_TEXT(text, want);
    rm_free(text);
    rm_packet_unref(packet);
    rmi_pool_free(pool);
    rmi_budget_free(budget);
}

#define ENTRY "\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\""

TEST(metadata_keep_what_they_had)
{
    check_put(NULL, "{" ENTRY "}");
    check_put("{}", "{" ENTRY "}");
    check_put("{\"a\":1}", "{\"a\":1," ENTRY "}");
    char many[256] = "{", want[400];
    for (int i = 0; i < 15; i++) {
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s\"k%d\":%d", i ? "," : "", i,
                 i);
    }
    snprintf(want, sizeof want, "%s," ENTRY "}", many);
    snprintf(many + strlen(many), sizeof many - strlen(many), "}");
    check_put(many, want);
}

TEST(metadata_that_are_no_map_are_left_alone)
{
    rm_packet packet = {.header = {.metadata_bytes = 1}, .metadata = (char[]){1}};
    rmi_context context;
    CHECK(rmi_context_parse(example, strlen(example), &context));
    CHECK(!rmi_context_put(&packet, &context));
    CHECK_INT(packet.header.metadata_bytes, 1);
}

TEST_MAIN(T(a_context_is_read_and_written), T(what_is_no_context_is_refused),
          T(metadata_keep_what_they_had), T(metadata_that_are_no_map_are_left_alone))
