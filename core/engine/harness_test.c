/* harness_test.c — the harness itself: what it refuses, and that its clock moves by hand only. */
#include "engine/testnodes.h"

#include <remotemedia/harness.h>

TEST(parameters_that_are_no_object_are_named)
{
    static const struct {
        const char *params, *part;
    } rows[] = {{"[1]", "not a JSON object: a list"},
                {"7", "not a JSON object: "},
                {"{", "not a JSON object: "}};
    probe p = {0};
    rm_node_type type = type_of("t.pass", &p);
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_harness *harness = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rm_harness_new(&type, rows[i].params, &harness, &err), RM_EINVAL);
        CHECK_INT(err.code, RM_CODE_PARAM_TYPE);
        CHECK_CONTAINS(err.message, rows[i].part);
        CHECK(harness == NULL);
    }
}

/* A source that speaks once a second. */
static rm_status clock_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)inputs;
    (void)err;
    int64_t due_ns = (int64_t)p->seen * 1000000000;
    if (rm_node_now(node) < due_ns) {
        rm_node_wake_at(node, due_ns);
        return RM_EAGAIN;
    }
    return send_number(node, 0, p->seen++);
}

TEST(time_passes_by_hand_only)
{
    probe p = {0};
    rm_node_type type = source_type(&p);
    rm_harness *harness = NULL;
    rm_packet *packet = NULL;
    type.process = clock_process;
    CHECK_INT(rm_harness_new(&type, NULL, &harness, NULL), RM_OK);
    for (uint32_t second = 0; second < 3; second++) {
        CHECK_INT(rm_harness_run(harness, NULL), RM_PENDING);
        CHECK_INT(rm_harness_pull(harness, 0, &packet), RM_OK);
        CHECK_INT(packet->header.stream_id, second);
        rm_packet_unref(packet);
        CHECK_INT(rm_harness_run(harness, NULL), RM_PENDING);
        CHECK_INT(rm_harness_pull(harness, 0, &packet), RM_EAGAIN);
        rm_harness_advance(harness, 999999999);
        CHECK_INT(rm_harness_run(harness, NULL), RM_PENDING);
        CHECK_INT(rm_harness_pull(harness, 0, &packet), RM_EAGAIN);
        rm_harness_advance(harness, 1);
    }
    rm_harness_free(harness);
    CHECK_INT(p.closed, 1);
}

TEST_MAIN(T(parameters_that_are_no_object_are_named), T(time_passes_by_hand_only))
