/* test.pass: the same packet comes out, and nothing is allocated for it. */
#include "../node_test.h"

#include "base/alloc.h"

TEST(the_same_packet_comes_out)
{
    rm_harness *harness = harness_of("test.pass", NULL);
    rm_packet *in = NULL, *out;
    CHECK_INT(rm_harness_packet_new(harness, 3, &in), RM_OK);
    in->header.kind = RM_KIND_BYTES;
    in->header.pts_ns = 42;
    memcpy(in->payload, "abc", 3);
    CHECK_INT(rm_harness_push(harness, 0, in), RM_OK);
    out = pull(harness, 0);
    CHECK(out == in);
    CHECK_INT(out->header.pts_ns, 42);
    rm_packet_unref(out);
    rm_harness_end(harness, 0);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(a_steady_stream_allocates_nothing)
{
    rm_harness *harness = harness_of("test.pass", NULL);
    uint64_t allocations = 0;
    for (int i = 0; i < 100; i++) {
        rm_packet *packet = NULL;
        allocations = i == 10 ? rmi_alloc_count() : allocations;
        CHECK_INT(rm_harness_packet_new(harness, 100, &packet), RM_OK);
        CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
        rm_packet_unref(pull(harness, 0));
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

TEST_MAIN(T(the_same_packet_comes_out), T(a_steady_stream_allocates_nothing))
