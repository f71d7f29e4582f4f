/* profile_test.c — the rules of `remotemedia profile` on numbers that are given. */
#include <stdarg.h>
#include <stdlib.h>

#include "base/test.h"
#include "profile.h"

/* A node that worked so many ms of a run of 1 s; its packets waited so many ms in all. */
typedef struct given_node {
    const char *id, *type;
    int strand;
    double work_ms, pending_ms, wait_ms;
    const char *cheaper;
} given_node;

typedef struct given_edge {
    const char *from, *to;
    double full_drops;
    bool link;
} given_edge;

static json_t *run_of(const given_node *nodes, const given_edge *edges)
{
    json_t *run = json_pack("{s:f, s:s, s:[], s:[]}", "elapsed_ns", 1e9, "pipeline", "given",
                            "nodes", "edges");
    for (; nodes->id; nodes++) {
        json_t *node =
            json_pack("{s:s, s:s, s:i, s:i, s:{s:f, s:f}, s:{s:f, s:f}}", "id", nodes->id, "type",
                      nodes->type, "strand", nodes->strand, "items", 100, "time", "sum_ns",
                      nodes->work_ms * 1e6, "pending_ns", nodes->pending_ms * 1e6, "waiting",
                      "sum_ns", nodes->wait_ms * 1e6, "packets", 100.0);
        if (nodes->cheaper) {
            json_object_set_new(node, "cheaper", json_string(nodes->cheaper));
        }
        json_array_append_new(json_object_get(run, "nodes"), node);
    }
    for (; edges->from; edges++) {
        json_array_append_new(json_object_get(run, "edges"),
                              json_pack("{s:s, s:s, s:i, s:i, s:{s:f}, s:b}", "from", edges->from,
                                        "to", edges->to, "capacity", 16, "packets", 100, "dropped",
                                        "full", edges->full_drops, "link", (int)edges->link));
    }
    return run;
}

static json_t *report_of(const given_node *nodes, const given_edge *edges)
{
    json_t *run = run_of(nodes, edges), *report = cli_profile_report(run);
    json_decref(run);
    return report;
}

/* The text of the finding by that rule; NULL: there is none. */
static const char *found(const json_t *report, const char *rule)
{
    const json_t *findings = json_object_get(report, "findings");
    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *finding = json_array_get(findings, i);
        if (strcmp(json_string_value(json_object_get(finding, "rule")), rule) == 0) {
            return json_string_value(json_object_get(finding, "text"));
        }
    }
    return NULL;
}

static void check_found(const json_t *report, const char *rule, const char *part)
{
    const char *is = found(report, rule);
    if (!is || !strstr(is, part)) {
        RMI_TEST_FAIL("'%s' says '%s', want '%s'", rule, is ? is : "nothing", part);
    }
}

static void check_path(const json_t *report, const char *wanted)
{
    char path[256] = "";
    const json_t *ids = json_object_get(report, "critical_path");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        size_t length = strlen(path);
        snprintf(path + length, sizeof path - length, "%s%s", i ? " " : "",
                 json_string_value(json_array_get(ids, i)));
    }
    CHECK_TEXT(path, wanted);
}

static const char *queue_state(const json_t *report, size_t index)
{
    const json_t *queue = json_array_get(json_object_get(report, "queues"), index);
    return json_string_value(json_object_get(queue, "state"));
}

TEST(a_node_that_works_all_the_time_behind_a_full_queue_is_the_bottleneck)
{
    json_t *report = report_of(
        (given_node[]){{"read", "media.read", 0, 50, 0, 0, NULL},
                       {"resample", "audio.resample", 1, 920, 0, 15000, "quality"},
                       {"write", "wav.write", 0, 30, 0, 1, NULL},
                       {0}},
        (given_edge[]){{"read", "resample", 0, true}, {"resample", "write", 0, true}, {0}});
    check_found(report, "bottleneck",
                "'resample' works 92 % of the time on its thread and the queue "
                "before it is full (15.0 of 16 packets");
    check_found(report, "bottleneck", "a lower quality makes it faster (--set resample.quality=");
    check_path(report, "read resample write");
    CHECK_TEXT(queue_state(report, 0), "full");
    CHECK_TEXT(queue_state(report, 1), "empty");
    CHECK(!found(report, "outside"));
    CHECK(!found(report, "full queue"));
    json_decref(report);
}

TEST(work_beside_the_strand_is_a_lane_of_its_own)
{
    json_t *report = report_of((given_node[]){{"tone", "test.tone", 0, 10, 0, 0, NULL},
                                              {"slow", "app:Slow", 0, 960, 950, 14000, NULL},
                                              {0}},
                               (given_edge[]){{"tone", "slow", 0, false}, {0}});
    check_found(report, "bottleneck", "'slow' works 96 % of the time outside its strand");
    check_found(report, "bottleneck", "it takes one item at a time");
    const json_t *lane = json_array_get(json_object_get(report, "lanes"), 0);
    CHECK_TEXT(json_string_value(json_object_get(lane, "name")), "work of slow");
    json_decref(report);
}

TEST(a_node_that_works_here_and_elsewhere_is_as_busy_as_both_together)
{
    json_t *report = report_of((given_node[]){{"tone", "test.tone", 0, 10, 0, 0, NULL},
                                              {"slow", "app:Slow", 0, 950, 550, 9000, NULL},
                                              {0}},
                               (given_edge[]){{"tone", "slow", 0, false}, {0}});
    check_found(report, "bottleneck", "'slow' works 95 % of the time");
    CHECK(!found(report, "full queue"));
    json_decref(report);
}

TEST(nodes_that_share_a_busy_thread_are_told_of_together)
{
    json_t *report = report_of((given_node[]){{"a", "test.a", 0, 330, 0, 0, NULL},
                                              {"b", "test.b", 0, 320, 0, 0, NULL},
                                              {"c", "test.c", 0, 310, 0, 0, NULL},
                                              {0}},
                               (given_edge[]){{"a", "b", 0, false}, {"b", "c", 0, false}, {0}});
    check_found(report, "shared lane", "strand 0 works 96 % of the time, and 3 nodes share it");
    CHECK(!found(report, "bottleneck"));
    CHECK_TEXT(queue_state(report, 0), "direct");
    json_decref(report);
}

TEST(a_run_whose_nodes_do_little_is_told_so_and_why)
{
    static const given_node nodes[] = {{"a", "test.a", 0, 100, 0, 0, NULL}, {0}};
    static const given_edge none[] = {{0}};
    json_t *report = report_of(nodes, none);
    check_found(report, "outside", "most time is outside nodes (90 %): the threads slept");
    json_decref(report);

    json_t *run = run_of(nodes, none);
    json_object_set_new(run, "cpu_ns", json_real(0.95e9));
    report = cli_profile_report(run);
    check_found(report, "outside", "the processor works all the same");
    json_decref(report);

    json_object_set_new(run, "media_ns", json_real(1.01e9));
    report = cli_profile_report(run);
    check_found(report, "outside", "it keeps pace with its source");
    json_decref(report);
    json_decref(run);
}

TEST(the_critical_path_takes_the_heavier_branch)
{
    json_t *report = report_of((given_node[]){{"in", "test.a", 0, 10, 0, 0, NULL},
                                              {"light", "test.b", 0, 20, 0, 0, NULL},
                                              {"heavy", "test.c", 1, 500, 0, 9000, NULL},
                                              {"out", "test.d", 0, 10, 0, 0, NULL},
                                              {0}},
                               (given_edge[]){{"in", "light", 0, false},
                                              {"in", "heavy", 0, true},
                                              {"light", "out", 0, false},
                                              {"heavy", "out", 0, true},
                                              {0}});
    check_path(report, "in heavy out");
    check_found(report, "full queue", "the queue before 'heavy' is full (9.0 of 16");
    json_decref(report);
}

TEST(drops_errors_and_lateness_are_told)
{
    json_t *run = run_of((given_node[]){{"a", "test.a", 0, 550, 0, 0, NULL},
                                        {"b", "test.b", 0, 10, 0, 0, NULL},
                                        {0}},
                         (given_edge[]){{"a", "b", 7, false}, {0}});
    json_t *b = json_array_get(json_object_get(run, "nodes"), 1);
    json_object_set_new(b, "errors", json_integer(3));
    json_object_set_new(b, "retries", json_integer(2));
    json_object_set_new(b, "late", json_integer(4));
    json_t *time = json_object_get(b, "time");
    json_object_set_new(time, "timed_calls", json_integer(100));
    json_object_set_new(time, "p50_ns", json_real(1e5));
    json_object_set_new(time, "p99_ns", json_real(5e7));
    json_t *memory = json_pack("{s:i, s:i}", "bytes_peak", 95, "bytes_max", 100);
    json_object_set_new(run, "memory", memory);
    json_t *report = cli_profile_report(run);
    check_found(report, "drops", "7 of 100 packets from 'a' to 'b' were dropped");
    check_found(report, "errors", "'b' failed 3 times and was tried again 2 times");
    check_found(report, "late", "4 items came to 'b'");
    check_found(report, "uneven", "half of them take up to 100 us, one in a hundred 50");
    check_found(report, "memory", "up to 95 %");
    json_decref(report);
    json_decref(run);
}

TEST(nothing_at_all_makes_a_report_too)
{
    json_t *empty = json_object(), *report = cli_profile_report(empty);
    CHECK(report != NULL);
    check_found(report, "even", "no node and no queue stands out");
    check_path(report, "");
    json_decref(report);
    json_decref(empty);
}

TEST_MAIN(T(a_node_that_works_all_the_time_behind_a_full_queue_is_the_bottleneck),
          T(work_beside_the_strand_is_a_lane_of_its_own),
          T(a_node_that_works_here_and_elsewhere_is_as_busy_as_both_together),
          T(nodes_that_share_a_busy_thread_are_told_of_together),
          T(a_run_whose_nodes_do_little_is_told_so_and_why),
          T(the_critical_path_takes_the_heavier_branch), T(drops_errors_and_lateness_are_told),
          T(nothing_at_all_makes_a_report_too))
