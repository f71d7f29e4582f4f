/* events_test.c — the owner hears of what happens to a session and its nodes: all of it, in order,
 * once, and of no more than it asked for. */
#include "engine/events.h"

#include "base/alloc.h"
#include "engine/testnodes.h"

enum { HEARD_MAX = 1024 };

typedef struct heard {
    rm_event_kind kind;
    char node[32], to[32], reason[16];
    uint64_t count, total, lost;
    rm_status status;
} heard;

/* What an owner was told. Written by the thread of the home strand. */
typedef struct listener {
    heard list[HEARD_MAX];
    uint32_t count;
} listener;

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static void listen(void *context, const rm_event *event)
{
    listener *l = context;
    if (l->count == HEARD_MAX) {
        return;
    }
    heard *one = &l->list[l->count++];
    *one = (heard){.kind = event->kind,
                   .count = event->count,
                   .total = event->total,
                   .lost = event->lost,
                   .status = event->status};
    copy(one->node, sizeof one->node, event->node);
    copy(one->to, sizeof one->to, event->to);
    copy(one->reason, sizeof one->reason, event->reason);
}

static rm_session *session_with(listener *l, uint32_t strands, rm_driver driver, uint64_t events)
{
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = driver,
                                  .on_event = listen,
                                  .event_context = l,
                                  .events = events};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, strands, &session, NULL), RM_OK);
    return session;
}

/* The nth (from 0) of a kind about a node ("": any); NULL: there is none. */
static const heard *find(const listener *l, rm_event_kind kind, const char *node, uint32_t nth)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const heard *one = &l->list[i];
        if (one->kind == kind && (!*node || strcmp(one->node, node) == 0) && nth-- == 0) {
            return one;
        }
    }
    return NULL;
}

static uint32_t count_of(const listener *l, rm_event_kind kind)
{
    uint32_t count = 0;
    while (find(l, kind, "", count)) {
        count++;
    }
    return count;
}

/* source -> middle -> sink, driven to its end. */
static rm_status run_chain(rm_session *session, const rm_node_type *middle, const char *options,
                           uint32_t packets)
{
    probe a = {.left = packets}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    uint32_t x = add(session, &source, "source", 0), y = add_with(session, middle, "mid", options);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    rm_status status = drive(session, 100);
    rm_session_free(session);
    return status;
}

static int order_of(const listener *l, rm_event_kind kind, const char *node)
{
    const heard *one = find(l, kind, node, 0);
    return one ? (int)(one - l->list) : -1;
}

TEST(a_run_tells_of_its_start_of_first_packets_and_of_ends)
{
    for (uint32_t swallow = 0; swallow < 40; swallow += 13) { /* the first comes late, too */
        listener l = {0};
        probe p = {.swallow = swallow};
        rm_node_type type = node_type(&p, swallow_process);
        rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, RM_EVENTS_ALL);
        CHECK_INT(run_chain(session, &type, NULL, 100), RM_DONE);
        CHECK_INT(l.count, 8);
        CHECK_INT(order_of(&l, RM_EVENT_STARTED, ""), 0);
        CHECK_INT(order_of(&l, RM_EVENT_FIRST_PACKET, "source"), 1);
        CHECK_INT(order_of(&l, RM_EVENT_FIRST_PACKET, "mid"), 2);
        CHECK_INT(order_of(&l, RM_EVENT_FIRST_PACKET, "sink"), 3);
        CHECK_INT(order_of(&l, RM_EVENT_ENDED, ""), 7);
        const heard *source = find(&l, RM_EVENT_END_OF_STREAM, "source", 0);
        const heard *sink = find(&l, RM_EVENT_END_OF_STREAM, "sink", 0);
        CHECK_INT(source ? source->total : 0, 100);
        CHECK_INT(sink ? sink->total : 0, 100 - swallow);
    }
}

TEST(without_metrics_first_packets_are_found_as_well)
{
    listener l = {0};
    probe p = {.swallow = 50};
    rm_node_type type = node_type(&p, swallow_process);
    rm_session_options options = {.struct_size = sizeof options,
                                  .on_event = listen,
                                  .event_context = &l,
                                  .metrics_off = 1,
                                  .events = RM_EVENTS_ALL};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, 1, &session, NULL), RM_OK);
    CHECK_INT(run_chain(session, &type, NULL, 100), RM_DONE);
    CHECK_INT(count_of(&l, RM_EVENT_FIRST_PACKET), 3);
}

TEST(what_work_that_was_out_gives_is_a_first_packet_too)
{
    listener l = {0};
    probe p = {.released = true};
    rm_node_type type = node_type(&p, async_process);
    type.cancel = async_cancel;
    rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, RM_EVENTS_ALL);
    CHECK_INT(run_chain(session, &type, NULL, 3), RM_DONE);
    CHECK_INT(find(&l, RM_EVENT_FIRST_PACKET, "mid", 0) != NULL, 1);
    CHECK_INT(count_of(&l, RM_EVENT_FIRST_PACKET), 3);
}

TEST(an_owner_who_asks_for_none_hears_what_it_always_did)
{
    listener l = {0};
    probe p = {.fail_item = 3, .failures = 1, .fail_with = RM_EFAIL};
    rm_node_type type = node_type(&p, faulty_process);
    rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, 0);
    CHECK_INT(run_chain(session, &type, "{\"on_error\": \"skip\"}", 10), RM_DONE);
    CHECK_INT(l.count, 2);
    CHECK_INT(l.list[0].kind, RM_EVENT_ERROR);
    CHECK_INT(l.list[1].kind, RM_EVENT_ENDED);
}

TEST(each_policy_tells_what_it_did)
{
    static const struct {
        const char *options, *reason;
        rm_event_kind kind;
        rm_status fail_with, result;
        uint32_t failures, events;
    } rows[] = {
        {"{\"on_error\": \"skip\"}", "skip", RM_EVENT_SKIPPED, RM_EFAIL, RM_DONE, 1, 1},
        {"{\"on_error\": \"bypass\"}", "bypass", RM_EVENT_SKIPPED, RM_EFAIL, RM_DONE, 1, 1},
        {"{\"on_error\": {\"policy\": \"retry\", \"attempts\": 5, \"backoff_ms\": 0}}", "",
         RM_EVENT_RETRY, RM_ETRANSIENT, RM_DONE, 3, 3},
        {NULL, "", RM_EVENT_FAILED, RM_EFAIL, RM_EFAIL, 1, 1},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        listener l = {0};
        probe p = {.fail_item = 3, .failures = rows[i].failures, .fail_with = rows[i].fail_with};
        rm_node_type type = node_type(&p, faulty_process);
        rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, RM_EVENT_BIT(rows[i].kind));
        CHECK_INT(run_chain(session, &type, rows[i].options, 10), rows[i].result);
        CHECK_INT(count_of(&l, rows[i].kind), rows[i].events);
        const heard *last = find(&l, rows[i].kind, "mid", rows[i].events - 1);
        CHECK_TEXT(last ? last->reason : "none", rows[i].reason);
        CHECK_INT(last ? last->status : RM_OK, rows[i].fail_with);
        if (rows[i].kind != RM_EVENT_FAILED) {
            CHECK_INT(last ? last->total : 0, rows[i].events);
        }
    }
}

/* A source of bursts over an edge that drops; on two strands over a link. */
static uint64_t run_dropping(listener *l, uint32_t strands, uint32_t packets, uint64_t *ret_drops)
{
    probe a = {.left = packets, .burst = 8}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_with(l, strands, RM_DRIVER_CALLER, RM_EVENTS_ALL);
    rmi_edge_spec spec = {.from = add(session, &source, "source", 0),
                          .to = add(session, &sink, "sink", strands - 1),
                          .capacity = 2,
                          .policy = RMI_POLICY_DROP_OLDEST};
    CHECK_INT(rmi_session_connect(session, &spec, NULL), RM_OK);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    *ret_drops = rmi_edge_drops(session->edges[0]);
    rm_session_free(session);
    uint64_t told = 0;
    for (uint32_t i = 0; find(l, RM_EVENT_DROP, "source", i); i++) {
        told += find(l, RM_EVENT_DROP, "source", i)->count;
    }
    return told;
}

TEST(drops_are_told_at_once_then_together_and_none_is_left_out)
{
    for (uint32_t strands = 1; strands <= 2; strands++) {
        listener l = {0};
        uint64_t drops = 0, told = run_dropping(&l, strands, 8000, &drops);
        CHECK_INT(drops > 100, 1);
        CHECK_INT(told, drops);
        CHECK_INT(count_of(&l, RM_EVENT_DROP) <= 20, 1);
        const heard *first = find(&l, RM_EVENT_DROP, "source", 0);
        CHECK_INT(first ? first->count : 0, 1);
        CHECK_TEXT(first ? first->to : "", "sink");
        CHECK_TEXT(first ? first->reason : "", "full");
    }
}

TEST(late_items_are_told_at_once_then_together)
{
    listener l = {0};
    probe a = {.left = 64}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), middle = node_type(&b, pass_process);
    rm_node_type sink = sink_type(&c);
    rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, RM_EVENT_BIT(RM_EVENT_LATE));
    uint32_t x = add(session, &source, "source", 0), y = add(session, &middle, "middle", 0);
    uint32_t z = add_with(session, &sink, "sink", "{\"deadline_ms\": 5, \"late\": \"drop\"}");
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    int64_t now_ns = 1000000, next_ns;
    while (rm_session_step(session, now_ns, 1, &next_ns) == RM_MORE) {
        now_ns += 10000000; /* of each packet's way a call is a step */
    }
    uint64_t told = 0;
    for (uint32_t i = 0; find(&l, RM_EVENT_LATE, "sink", i); i++) {
        told += find(&l, RM_EVENT_LATE, "sink", i)->count;
    }
    const heard *first = find(&l, RM_EVENT_LATE, "sink", 0);
    CHECK_INT(first ? first->count : 0, 1);
    CHECK_TEXT(first ? first->reason : "", "drop");
    CHECK_INT(told > 1, 1);
    CHECK_INT(told + c.seen, 64);
    CHECK_INT(count_of(&l, RM_EVENT_LATE) < told, 1);
    rm_session_free(session);
}

TEST(a_breaker_tells_each_change_of_its_state)
{
    listener l = {0};
    probe a = {.left = 40}, b = {.fail_item = 3, .failures = 1, .fail_with = RM_EFAIL}, c = {0};
    rm_node_type source = source_type(&a), bad = node_type(&b, faulty_process);
    rm_node_type sink = sink_type(&c);
    rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, RM_EVENT_BIT(RM_EVENT_BREAKER));
    uint32_t x = add(session, &source, "source", 0);
    uint32_t y = add_with(session, &bad, "bad",
                          "{\"on_error\": {\"policy\": \"skip\","
                          " \"breaker\": {\"failures\": 1, \"open_ms\": 20}}}");
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    int64_t now_ns = 1000000, next_ns;
    while (rm_session_step(session, now_ns, 1, &next_ns) == RM_MORE) {
        now_ns += 5000000;
    }
    static const char *const states[] = {"open", "half_open", "closed"};
    CHECK_INT(count_of(&l, RM_EVENT_BREAKER), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const heard *one = find(&l, RM_EVENT_BREAKER, "bad", i);
        CHECK_TEXT(one ? one->reason : "", states[i]);
        CHECK_INT(one ? one->total : 0, 1);
    }
    rm_session_free(session);
}

TEST(events_that_find_no_room_are_counted_and_told)
{
    listener l = {0};
    probe a = {.left = 1}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, RM_EVENT_BIT(RM_EVENT_CHANGED));
    uint32_t x = add(session, &source, "source", 0);
    join(session, x, add(session, &sink, "sink", 0), 4);
    start(session);
    for (int i = 0; i < RMI_EVENTS_QUEUED_MAX + 7; i++) { /* nobody steps meanwhile */
        rmi_event_tell(session,
                       &(rmi_happening){.kind = RM_EVENT_CHANGED, .node = session->nodes[0]});
    }
    CHECK_INT(drive(session, 100), RM_DONE);
    rm_session_free(session);
    CHECK_INT(count_of(&l, RM_EVENT_CHANGED), RMI_EVENTS_QUEUED_MAX);
    const heard *ended = find(&l, RM_EVENT_ENDED, "", 0);
    CHECK_INT(ended ? ended->lost : 0, 7);
}

TEST(a_swap_is_told_to_who_asks_while_it_runs)
{
    listener l = {0};
    probe a = {.left = 1000}, p = {0}, q = {0}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_node_type old = node_type(&p, pass_process), fresh = node_type(&q, pass_process);
    rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, 0);
    uint32_t x = add(session, &source, "source", 0), y = add(session, &old, "mid", 0);
    join(session, x, y, 4);
    join(session, y, add(session, &sink, "sink", 0), 4);
    start(session);
    int64_t next_ns;
    CHECK_INT(rm_session_step(session, 0, 10, &next_ns), RM_MORE);
    rm_session_set_events(session, RM_EVENTS_ALL);
    CHECK_INT(rm_session_swap(session, "mid", &fresh, NULL, NULL), RM_OK);
    CHECK_INT(drive(session, 100), RM_DONE);
    rm_session_free(session);
    const heard *changed = find(&l, RM_EVENT_CHANGED, "mid", 0);
    CHECK_TEXT(changed ? changed->reason : "", "swap");
    CHECK_INT(count_of(&l, RM_EVENT_STARTED) + count_of(&l, RM_EVENT_FIRST_PACKET), 0);
    CHECK_INT(count_of(&l, RM_EVENT_END_OF_STREAM), 3);
}

TEST(an_event_without_memory_is_lost_and_told_as_such)
{
    listener l = {0};
    probe a = {.left = 1}, c = {0};
    rm_node_type source = source_type(&a), sink = sink_type(&c);
    rm_session *session = session_with(&l, 1, RM_DRIVER_CALLER, RM_EVENT_BIT(RM_EVENT_FAILED));
    uint32_t x = add(session, &source, "source", 0);
    join(session, x, add(session, &sink, "sink", 0), 4);
    start(session);
    rm_error error = RM_ERROR_INIT;
    rmi_happening what = {.kind = RM_EVENT_FAILED, .node = session->nodes[0], .error = &error};
    for (unsigned nth = 1; nth <= 2; nth++) {
        rmi_alloc_fault_begin(nth);
        rmi_event_tell(session, &what);
        CHECK_INT(rmi_alloc_fault_end(), 1);
    }
    rmi_event_tell(session, &what);
    CHECK_INT(drive(session, 100), RM_DONE);
    rm_session_free(session);
    const heard *failed = find(&l, RM_EVENT_FAILED, "source", 0);
    CHECK_INT(failed ? failed->lost : 0, 2);
}

TEST_MAIN(T(a_run_tells_of_its_start_of_first_packets_and_of_ends),
          T(without_metrics_first_packets_are_found_as_well),
          T(what_work_that_was_out_gives_is_a_first_packet_too),
          T(an_owner_who_asks_for_none_hears_what_it_always_did), T(each_policy_tells_what_it_did),
          T(drops_are_told_at_once_then_together_and_none_is_left_out),
          T(late_items_are_told_at_once_then_together), T(a_breaker_tells_each_change_of_its_state),
          T(events_that_find_no_room_are_counted_and_told),
          T(a_swap_is_told_to_who_asks_while_it_runs),
          T(an_event_without_memory_is_lost_and_told_as_such))
