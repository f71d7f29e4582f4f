/* intake_test.c — which packets make a set: by turns, by priority, by time; and what is too old. */
#include "engine/testnodes.h"

enum { SETS_MAX = 256, STREAM_MAX = 40, STREAMS = 3 };
#define MS ((int64_t)1000000)

static const rm_port three_in[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {0}};

/* What arrived: of each set the number of each input's packet, 0 where there is none. */
typedef struct sets {
    uint32_t count;
    uint32_t set[SETS_MAX][STREAMS];
} sets;

static sets seen;

static rm_status note_set(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    if (seen.count == SETS_MAX) {
        return rm_fail(err, RM_ELIMIT, "too many sets");
    }
    for (uint32_t i = 0; i < inputs->count; i++) {
        const rm_packet *packet = inputs->packet[i];
        seen.set[seen.count][i] = packet ? packet->header.stream_id : 0;
    }
    seen.count++;
    return RM_OK;
}

/* A stream: the times of its packets, which are numbered from 1. */
typedef struct stream {
    int64_t pts_ns[STREAM_MAX];
    uint32_t count, sent;
    bool stays_open; /* after its last packet it waits */
} stream;

static rm_status stream_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    stream *s = node->type->user;
    rm_packet *packet = NULL;
    (void)inputs;
    (void)err;
    if (s->sent == s->count) {
        return s->stays_open ? RM_EAGAIN : RM_DONE;
    }
    rm_status status = rm_packet_new(node, 8, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.pts_ns = s->pts_ns[s->sent];
    packet->header.stream_id = ++s->sent;
    return rm_emit(node, 0, packet);
}

/* stream ─┐
 * stream ─┼─▶ sink      each stream on a strand of its own where `own` says so */
static rm_session *gather(stream *streams, const char *options, bool own,
                          rm_status (*process)(rm_node *, const rm_inputs *, rm_error *))
{
    static rm_node_type source[STREAMS], sink;
    rm_session *session = session_of(own ? STREAMS + 1 : 1, RM_DRIVER_CALLER);
    uint32_t from[STREAMS];
    memset(&seen, 0, sizeof seen);
    for (uint32_t i = 0; i < STREAMS; i++) {
        source[i] = (rm_node_type){.struct_size = sizeof source[i],
                                   .name = "t.stream",
                                   .outputs = many_out,
                                   .process = stream_process,
                                   .user = &streams[i]};
        from[i] = add(session, &source[i], "stream", own ? i + 1 : 0);
    }
    sink = (rm_node_type){
        .struct_size = sizeof sink, .name = "t.sets", .inputs = three_in, .process = process};
    uint32_t to = add_with(session, &sink, "sink", options);
    for (uint32_t i = STREAMS; i-- > 0;) { /* the order of connecting is not that of the ports */
        join_ports(session, from[i], 0, to, i, 4);
    }
    start(session);
    return session;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void make_stream(stream *s, uint32_t *random)
{
    *s = (stream){.count = next_random(random) % STREAM_MAX};
    int64_t at_ns = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        at_ns += next_random(random) % 40 * MS;
        s->pts_ns[i] = next_random(random) % 16 ? at_ns : RM_TIME_NONE;
    }
}

/* What the streams make of the documented rule, by their times alone. */
static sets expected_sets(const stream *streams, int64_t tolerance_ns)
{
    sets want = {0};
    uint32_t at[STREAMS] = {0};
    for (;;) {
        int64_t earliest_ns = INT64_MAX;
        bool any = false;
        for (uint32_t i = 0; i < STREAMS; i++) {
            int64_t pts_ns = at[i] < streams[i].count ? streams[i].pts_ns[at[i]] : RM_TIME_NONE;
            any |= at[i] < streams[i].count;
            if (pts_ns != RM_TIME_NONE && pts_ns < earliest_ns) {
                earliest_ns = pts_ns;
            }
        }
        if (!any) {
            return want;
        }
        for (uint32_t i = 0; i < STREAMS; i++) {
            int64_t pts_ns = at[i] < streams[i].count ? streams[i].pts_ns[at[i]] : 0;
            if (at[i] < streams[i].count &&
                (pts_ns == RM_TIME_NONE || pts_ns <= earliest_ns + tolerance_ns)) {
                want.set[want.count][i] = ++at[i];
            }
        }
        want.count++;
    }
}

TEST(sync_takes_those_of_one_time_and_loses_none)
{
    uint32_t random = 1;
    for (uint32_t round = 0; round < 120; round++) {
        stream streams[STREAMS];
        for (uint32_t i = 0; i < STREAMS; i++) {
            make_stream(&streams[i], &random);
        }
        sets want = expected_sets(streams, 15 * MS);
        rm_session *session = gather(
            streams, "{\"merge\":{\"policy\":\"sync\",\"tolerance_ms\":15}}", round & 1, note_set);
        CHECK_INT(drive(session, 7), RM_DONE);
        CHECK_INT(seen.count, want.count);
        CHECK(memcmp(&seen, &want, sizeof want) == 0);
        rm_session_free(session);
    }
}

static void step_to(rm_session *session, int64_t now_ns)
{
    int64_t next_ns;
    while (rm_session_step(session, now_ns, 100, &next_ns) == RM_MORE) {
    }
}

TEST(sync_waits_no_longer_than_it_may)
{
    stream streams[STREAMS] = {{.pts_ns = {0, 20 * MS}, .count = 2},
                               {.pts_ns = {0}, .count = 1, .stays_open = true},
                               {.count = 0}};
    rm_session *session =
        gather(streams, "{\"merge\":{\"policy\":\"sync\",\"wait_ms_max\":50}}", false, note_set);
    step_to(session, 0);
    CHECK_INT(seen.count, 1); /* the third has ended, so the first set is whole */
    step_to(session, 49 * MS);
    CHECK_INT(seen.count, 1);
    step_to(session, 50 * MS);
    CHECK_INT(seen.count, 2);
    CHECK_INT(seen.set[1][0], 2);
    CHECK_INT(seen.set[1][1], 0);
    rm_session_cancel(session);
    CHECK_INT(drive(session, 10), RM_ECANCELED);
    rm_session_free(session);
}

/* Two streams into port a, one into port b. */
static void check_crowded_port(const char *options, uint32_t count_of_sets, uint32_t of_first)
{
    stream streams[STREAMS] = {{.pts_ns = {1, 2, 3}, .count = 3},
                               {.pts_ns = {1, 2, 3}, .count = 3},
                               {.pts_ns = {1, 2, 3, 4, 5, 6, 7}, .count = 7}};
    rm_node_type source[STREAMS],
        sink = {
            .struct_size = sizeof sink, .name = "t.sets", .inputs = two_in, .process = note_set};
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    memset(&seen, 0, sizeof seen);
    uint32_t from[STREAMS];
    for (uint32_t i = 0; i < STREAMS; i++) {
        source[i] = (rm_node_type){.struct_size = sizeof source[i],
                                   .name = "t.stream",
                                   .outputs = many_out,
                                   .process = stream_process,
                                   .user = &streams[i]};
        from[i] = add(session, &source[i], "stream", 0);
    }
    uint32_t to = add_with(session, &sink, "sink", options);
    for (uint32_t i = 0; i < STREAMS; i++) {
        join_ports(session, from[i], 0, to, i / 2, 4);
    }
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(seen.count, count_of_sets);
    uint32_t count[2] = {0};
    for (uint32_t i = 0; i < seen.count; i++) {
        count[0] += seen.set[i][0] > 0;
        count[1] += seen.set[i][1] > 0;
    }
    CHECK_INT(count[0], of_first);
    CHECK_INT(rmi_pool_out(session->strands[0]->pool), 0); /* nothing was taken and forgotten */
    rm_session_free(session);
}

TEST(the_connections_of_one_port_take_turns_in_a_set)
{
    check_crowded_port("{\"merge\":\"zip\"}", 6, 6);
    check_crowded_port("{\"merge\":{\"policy\":\"sync\",\"tolerance_ms\":1}}", 7, 6);
}

/* Holds its first item until 100 ms have passed. */
static rm_status slow_start(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    if (rm_node_now(node) < 100 * MS) {
        rm_node_wake_at(node, 100 * MS);
        return RM_EAGAIN;
    }
    return note_set(node, inputs, err);
}

TEST(priority_takes_of_the_first_port_that_has_something)
{
    stream streams[STREAMS] = {{.pts_ns = {1, 2, 3}, .count = 3},
                               {.pts_ns = {1, 2}, .count = 2},
                               {.pts_ns = {1, 2}, .count = 2}};
    rm_session *session = gather(streams, "{\"merge\":\"priority\"}", false, slow_start);
    step_to(session, 0); /* one is held; the others are all queued */
    step_to(session, 100 * MS);
    CHECK_INT(seen.count, 7);
    uint32_t before = 0;
    for (uint32_t i = 1; i < seen.count; i++) {
        const uint32_t *set = seen.set[i];
        uint32_t port = set[0] ? 0 : set[1] ? 1 : 2;
        CHECK(port >= before);
        before = port;
    }
    CHECK_INT(before, 2);
    CHECK_INT(drive(session, 100), RM_DONE);
    rm_session_free(session);
}

static void run_late(const char *options, uint32_t arrive, uint64_t late, uint64_t drops)
{
    stream s = {.pts_ns = {0, 1, 2, 3, 4, 5}, .count = 6};
    rm_node_type source = {.struct_size = sizeof source,
                           .name = "t.stream",
                           .outputs = many_out,
                           .process = stream_process,
                           .user = &s};
    rm_node_type sink = {
        .struct_size = sizeof sink, .name = "t.slow", .inputs = one_in, .process = slow_start};
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    memset(&seen, 0, sizeof seen);
    uint32_t x = add(session, &source, "source", 0), y = add_with(session, &sink, "slow", options);
    join(session, x, y, 3);
    start(session);
    step_to(session, 0);        /* one is held, three are queued */
    step_to(session, 100 * MS); /* … and are 100 ms old when it goes on; two enter now */
    CHECK_INT(seen.count, arrive);
    CHECK_INT(session->nodes[y]->late, late);
    CHECK_INT(session->nodes[y]->late_drops, drops);
    CHECK_INT(session->nodes[y]->items, arrive);
    rm_session_free(session);
}

TEST(an_item_beyond_the_deadline_is_dropped_or_counted)
{
    run_late("{}", 6, 0, 0);
    run_late("{\"deadline_ms\":100}", 6, 0, 0);
    run_late("{\"deadline_ms\":99}", 3, 3, 3);
    run_late("{\"deadline_ms\":99,\"late\":\"pass\"}", 6, 3, 0);
}

/* Asks to be called at 10 ms, and waits for sets meanwhile. */
static rm_status alarm_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    if (inputs->packet[0] || inputs->packet[1]) {
        rm_node_wake_at(node, 60 * MS);
        return note_set(node, inputs, err);
    }
    probe_of(node)->seen++;
    return RM_OK;
}

TEST(a_set_that_waits_costs_the_node_no_timer_of_its_own)
{
    probe p = {0};
    stream a = {.pts_ns = {0, 20 * MS}, .count = 2, .stays_open = true};
    stream b = {.pts_ns = {0}, .count = 1, .stays_open = true};
    rm_node_type first = {.struct_size = sizeof first,
                          .name = "t.stream",
                          .outputs = many_out,
                          .process = stream_process,
                          .user = &a};
    rm_node_type second = first;
    second.user = &b;
    rm_node_type sink = {.struct_size = sizeof sink,
                         .name = "t.alarm",
                         .flags = RM_NODE_UNPROMPTED,
                         .inputs = two_in,
                         .process = alarm_process,
                         .user = &p};
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    memset(&seen, 0, sizeof seen);
    uint32_t x = add(session, &first, "a", 0), y = add(session, &second, "b", 0);
    uint32_t z =
        add_with(session, &sink, "alarm", "{\"merge\":{\"policy\":\"sync\",\"wait_ms_max\":30}}");
    join_ports(session, x, 0, z, 0, 4);
    join_ports(session, y, 0, z, 1, 4);
    start(session);
    step_to(session, 0);
    CHECK_INT(seen.count, 1);
    step_to(session, 30 * MS); /* the second set goes on alone */
    CHECK_INT(seen.count, 2);
    CHECK_INT(p.seen, 0);
    step_to(session, 60 * MS);
    CHECK_INT(p.seen, 1);
    rm_session_cancel(session);
    CHECK_INT(drive(session, 10), RM_ECANCELED);
    rm_session_free(session);
}

TEST_MAIN(T(sync_takes_those_of_one_time_and_loses_none),
          T(the_connections_of_one_port_take_turns_in_a_set), T(sync_waits_no_longer_than_it_may),
          T(priority_takes_of_the_first_port_that_has_something),
          T(an_item_beyond_the_deadline_is_dropped_or_counted),
          T(a_set_that_waits_costs_the_node_no_timer_of_its_own))
