/* recover_test.c — what follows where an item is not tried again, dead letters, the circuit
 * breaker. */
#include <msgpack.h>

#include "engine/dead_letter.h"
#include "engine/testnodes.h"

#define MS ((int64_t)1000000)

/* source ─▶ faulty ─┬─▶ sink
 *                   └─▶ letters       (where it has that port) */
typedef struct line {
    probe source, faulty, sink, letters;
    rm_node_type types[4];
    rm_session *session;
    rmi_node *node;
} line;

static const rm_port with_letters[] = {
    {.name = "out", .emit_max = 8}, {.name = RM_DEAD_LETTER_PORT}, {0}};

static void open_line(line *l, const char *options,
                      rm_status (*process)(rm_node *, const rm_inputs *, rm_error *))
{
    bool letters = strstr(options, RM_DEAD_LETTER_PORT);
    l->types[0] = source_type(&l->source);
    l->types[1] = node_type(&l->faulty, process);
    l->types[2] = sink_type(&l->sink);
    l->types[3] = sink_type(&l->letters);
    l->types[1].outputs = letters ? with_letters : many_out;
    l->session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(l->session, &l->types[0], "source", 0);
    uint32_t y = add_with(l->session, &l->types[1], "faulty", options);
    uint32_t z = add(l->session, &l->types[2], "sink", 0);
    join(l->session, x, y, 2);
    join(l->session, y, z, 2);
    if (letters) {
        join_ports(l->session, y, 1, add(l->session, &l->types[3], "letters", 0), 0, 2);
    }
    l->node = l->session->nodes[y];
    start(l->session);
}

/* One item fails so many times; then the sum of what arrives, and how often the node was called. */
static void check_then(const char *options, uint32_t failures, uint32_t sum, uint32_t calls)
{
    line l = {.source = {.left = 10},
              .faulty = {.fail_item = 7, .failures = failures, .fail_with = RM_ETRANSIENT}};
    open_line(&l, options, faulty_process);
    CHECK_INT(drive(l.session, 100), RM_DONE);
    CHECK_INT(l.sink.sum, sum);
    CHECK_INT(l.faulty.seen, calls);
    rm_session_free(l.session);
}

TEST(an_item_that_is_not_tried_again_goes_the_way_of_then)
{
    check_then("{\"on_error\":{\"policy\":\"retry\",\"attempts\":2,\"then\":\"skip\"}}", 2,
               sum_to(10), 12);
    check_then("{\"on_error\":{\"policy\":\"retry\",\"attempts\":2,\"then\":\"skip\"}}", 3,
               sum_to(10) - 7, 12);
    check_then("{\"on_error\":{\"policy\":\"retry\",\"attempts\":2,\"then\":\"bypass\"}}", 3,
               sum_to(10), 12);
}

TEST(no_try_begins_after_the_time_for_retries)
{
    line l = {.source = {.left = 1},
              .faulty = {.fail_item = 1, .failures = 1000, .fail_with = RM_ETRANSIENT}};
    open_line(&l,
              "{\"on_error\":{\"policy\":\"retry\",\"attempts\":100,\"backoff_ms\":20,"
              "\"within_ms\":200,\"then\":\"skip\"}}",
              faulty_process);
    int64_t now_ns = 0, next_ns = 0;
    rm_status status;
    while ((status = rm_session_step(l.session, now_ns, 100, &next_ns)) == RM_PENDING) {
        CHECK(next_ns <= 200 * MS);
        now_ns = next_ns;
    }
    CHECK_INT(status, RM_DONE);
    CHECK(l.faulty.seen > 1 && l.faulty.seen < 50);
    CHECK_INT(l.node->skipped, 1);
    rm_session_free(l.session);
}

static rm_error letter_error;

/* Reads what a dead letter says of itself. */
static rm_status read_letter(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    const rm_packet *packet = inputs->packet[0];
    msgpack_unpacked all;
    msgpack_unpacked_init(&all);
    note(probe_of(node), packet->header.stream_id);
    CHECK_INT(msgpack_unpack_next(&all, packet->metadata, packet->header.metadata_bytes, NULL),
              MSGPACK_UNPACK_SUCCESS);
    char text[512];
    msgpack_object_print_buffer(text, sizeof text, all.data);
    CHECK_CONTAINS(text, "\"node\"=>\"faulty\"");
    CHECK_CONTAINS(text, "\"message\"=>\"item 7 is bad\"");
    CHECK_CONTAINS(text, "\"item\"=>7");
    CHECK_CONTAINS(text, "\"attempts\"=>3");
    msgpack_unpacked_destroy(&all);
    letter_error.item = packet->header.stream_id;
    return RM_OK;
}

TEST(a_dead_letter_is_the_input_with_its_error)
{
    line l = {.source = {.left = 10},
              .faulty = {.fail_item = 7, .failures = 3, .fail_with = RM_ETRANSIENT}};
    letter_error.item = 0;
    l.types[3] = sink_type(&l.letters);
    open_line(&l, "{\"on_error\":{\"policy\":\"retry\",\"attempts\":2,\"then\":\"dead_letter\"}}",
              faulty_process);
    l.types[3].process = read_letter;
    CHECK_INT(drive(l.session, 100), RM_DONE);
    CHECK_INT(l.sink.sum, sum_to(10) - 7);
    CHECK_INT(l.letters.seen, 1);
    CHECK_INT(letter_error.item, 7);
    CHECK_INT(l.node->dead_letters, 1);
    rm_session_free(l.session);
}

TEST(what_metadata_was_there_stays_beside_the_error)
{
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    rm_packet *packet = NULL;
    rm_error error = {.code = RM_CODE_NODE_FAILED, .message = "no", .node = "n", .item = 3};
    static const char *const older[] = {"\x82\xa1k\x2a\xa5\x65rror\xa3old", "\x2a", ""};
    static const char *const want[] = {"{\"k\"=>42, \"error\"=>{", "42", "{\"error\"=>{"};
    for (size_t i = 0; i < RMI_COUNT(older); i++) {
        char text[512];
        msgpack_unpacked all;
        msgpack_unpacked_init(&all);
        CHECK_INT(rm_session_packet_new(session, 8, &packet), RM_OK);
        CHECK_INT(rm_packet_set_metadata(packet, older[i], strlen(older[i])), RM_OK);
        CHECK_INT(rmi_dead_letter_mark(packet, &error, 1), i != 1); /* a number is no map */
        CHECK_INT(msgpack_unpack_next(&all, packet->metadata, packet->header.metadata_bytes, NULL),
                  MSGPACK_UNPACK_SUCCESS);
        msgpack_object_print_buffer(text, sizeof text, all.data);
        CHECK_CONTAINS(text, want[i]);
        rm_packet_ref(packet);
        CHECK(!rmi_dead_letter_mark(packet, &error, 1)); /* another one reads it */
        rm_packet_unref(packet);
        rm_packet_unref(packet);
        msgpack_unpacked_destroy(&all);
    }
    rm_session_free(session);
}

TEST(a_breaker_opens_tries_once_and_closes)
{
    rmi_breaker b = {0};
    rmi_breaker_options options = {.failures = 3, .open_ns = 100};
    rmi_breaker_failed(&b, &options, 1, 0);
    rmi_breaker_failed(&b, &options, 2, 0);
    rmi_breaker_failed(&b, &options, 4, 0); /* call 3 went well */
    CHECK(rmi_breaker_allows(&b, 4, 0));
    rmi_breaker_failed(&b, &options, 5, 0);
    rmi_breaker_failed(&b, &options, 6, 10);
    CHECK_INT(b.state, RMI_BREAKER_OPEN);
    CHECK(!rmi_breaker_allows(&b, 6, 109));
    CHECK(rmi_breaker_allows(&b, 6, 110));
    CHECK_INT(b.state, RMI_BREAKER_HALF_OPEN);
    rmi_breaker_failed(&b, &options, 7, 120); /* one failure is enough now */
    CHECK(!rmi_breaker_allows(&b, 7, 219));
    CHECK(rmi_breaker_allows(&b, 7, 220));
    CHECK(rmi_breaker_allows(&b, 8, 230)); /* call 8 went well */
    CHECK_INT(b.state, RMI_BREAKER_CLOSED);
    CHECK_INT(b.opened, 2);
    CHECK_INT(b.refused, 2);
    rmi_breaker none = {0};
    for (uint64_t call = 1; call < 50; call++) {
        rmi_breaker_failed(&none, &(rmi_breaker_options){0}, call, 0);
        CHECK(rmi_breaker_allows(&none, call, 0));
    }
}

/* Fails while it is told to. */
static rm_status moody_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    p->seen++;
    return p->failures ? rm_fail(err, RM_ETRANSIENT, "out of order")
                       : send_number(node, 0, inputs->packet[0]->header.stream_id);
}

/* Gives a number at each millisecond. */
static rm_status clock_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)inputs;
    (void)err;
    if (p->left == 0) {
        return RM_DONE;
    }
    if (rm_node_now(node) < p->seen * MS) {
        rm_node_wake_at(node, p->seen * MS);
        return RM_EAGAIN;
    }
    p->left--;
    return send_number(node, 0, ++p->seen);
}

static void run_until(rm_session *session, int64_t *now_ns, int64_t end_ns)
{
    for (; *now_ns <= end_ns; *now_ns += MS) {
        while (rm_session_step(session, *now_ns, 100, NULL) == RM_MORE) {
        }
    }
}

TEST(a_node_that_fails_again_and_again_is_left_alone_for_a_while)
{
    line l = {.source = {.left = 100}, .faulty = {.failures = 1}};
    l.types[0] = source_type(&l.source);
    open_line(&l,
              "{\"on_error\":{\"policy\":\"bypass\",\"breaker\":{\"failures\":4,\"open_ms\":20}}}",
              moody_process);
    l.types[0].process = clock_process;
    int64_t now_ns = 0;
    run_until(l.session, &now_ns, 19 * MS);
    CHECK_INT(l.faulty.seen, 4);
    CHECK_INT(l.node->breaker.state, RMI_BREAKER_OPEN);
    run_until(l.session, &now_ns, 30 * MS); /* one try, which fails */
    CHECK_INT(l.faulty.seen, 5);
    l.faulty.failures = 0;
    run_until(l.session, &now_ns, 99 * MS);
    CHECK_INT(drive(l.session, 100), RM_DONE);
    CHECK_INT(l.node->breaker.state, RMI_BREAKER_CLOSED);
    CHECK_INT(l.node->breaker.opened, 2);
    CHECK_INT(l.node->errors, 5);
    CHECK_INT(l.node->breaker.refused + l.faulty.seen, 100);
    CHECK_INT(l.sink.sum, sum_to(100)); /* what was refused was passed on */
    CHECK(!l.sink.out_of_order);
    rm_session_free(l.session);
}

TEST(wrong_policies_are_named)
{
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{\"on_error\":{\"policy\":\"retry\",\"then\":\"retry it\"}}", "then is 'retry it'"},
        {"{\"on_error\":{\"policy\":\"retry\",\"within_ms\":-5}}", "within_ms is -5"},
        {"{\"on_error\":{\"policy\":\"fail\",\"breaker\":{}}}", "its first error ends the run"},
        {"{\"on_error\":{\"policy\":\"retry\",\"breaker\":{}}}", "its first error ends the run"},
        {"{\"on_error\":{\"policy\":\"skip\",\"breaker\":{\"failures\":0}}}", "failures is 0"},
        {"{\"late\":\"never\"}", "late is 'never'"},
        {"{\"deadline_ms\":-1}", "deadline_ms is -1"},
        {"{\"merge\":{\"policy\":\"sync\",\"tolerance_ms\":-1}}", "tolerance_ms is -1"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rmi_node_options options;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rmi_node_options_parse(rows[i].json, &options, &err), RM_EINVAL);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
    probe p = {0};
    rm_node_type type = node_type(&p, pass_process);
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    rmi_node_spec spec = {.type = &type, .id = "x", .node_json = "{\"on_error\":\"dead_letter\"}"};
    uint32_t node;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_session_add(session, &spec, &node, &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "the last output is 'out'");
    rm_session_free(session);
}

/* ---- a format that a node does not take at once */

static unsigned refusals;

static rm_status refuse_format(rm_node *node, const rm_control *control, rm_error *err)
{
    if (control->op == RM_CONTROL_FORMAT && refusals > 0) {
        refusals--;
        return rm_fail(err, RM_ETRANSIENT, "not now");
    }
    probe_of(node)->formats += control->op == RM_CONTROL_FORMAT;
    return RM_OK;
}

static rm_status pass_known_format(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    return probe_of(node)->formats ? pass_process(node, inputs, err)
                                   : rm_fail(err, RM_EFAIL, "its format is not known");
}

static void refuse_twice(const char *options, uint32_t sink_seen)
{
    probe a = {.left = 10}, b = {0}, c = {0};
    rm_node_type source = source_type(&a), picky = node_type(&b, pass_known_format),
                 sink = sink_type(&c);
    picky.control = refuse_format;
    refusals = 2;
    rm_session *session = session_of(1, RM_DRIVER_CALLER);
    uint32_t x = add(session, &source, "source", 0);
    uint32_t y = add_with(session, &picky, "picky", options), z = add(session, &sink, "sink", 0);
    join(session, x, y, 4);
    join(session, y, z, 4);
    start(session);
    CHECK_INT(drive(session, 100), RM_DONE);
    CHECK_INT(c.seen, sink_seen);
    CHECK_INT(b.formats, 1);
    rm_session_free(session);
}

TEST(a_format_that_a_node_refused_is_told_again)
{
    refuse_twice("{\"on_error\":\"skip\"}", 8);
    refuse_twice("{\"on_error\":{\"policy\":\"retry\",\"attempts\":3,\"backoff_ms\":0}}", 10);
}

TEST_MAIN(T(a_format_that_a_node_refused_is_told_again),
          T(an_item_that_is_not_tried_again_goes_the_way_of_then),
          T(no_try_begins_after_the_time_for_retries), T(a_dead_letter_is_the_input_with_its_error),
          T(what_metadata_was_there_stays_beside_the_error),
          T(a_breaker_opens_tries_once_and_closes),
          T(a_node_that_fails_again_and_again_is_left_alone_for_a_while),
          T(wrong_policies_are_named))
