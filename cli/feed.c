/* The graph's own inputs and outputs: files and stdin in, stdout out. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

enum { BLOCK_BYTES = 65536, LINE_BYTES_MAX = 16 << 20, PACKETS_A_STEP = 64 };

/* ---- which input is fed by what */

static const char *port_name(const rm_plan_node *node, json_t **ret_params)
{
    *ret_params = json_loads(node->params_json, 0, NULL);
    const char *name = json_string_value(json_object_get(*ret_params, "name"));
    return name ? name : "";
}

static const cli_feed *find_feed(const rm_cli_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->feed_count; i++) {
        if (strcmp(run->feed[i].name, name) == 0) {
            return &run->feed[i];
        }
    }
    return NULL;
}

rm_status cli_feed_add(rm_cli_run *run, const char *text, rm_error *err)
{
    char *json = NULL;
    rm_status status = rm_graph_to_json(run->pipeline.graph, &json, err);
    if (status != RM_OK) {
        return status;
    }
    json_t *manifest = json_loads(json, 0, NULL), *inputs = json_object_get(manifest, "inputs");
    rm_free(json);
    const char *equals = strchr(text, '='), *name = NULL, *file = text;
    char given[104] = "";
    if (equals && (size_t)(equals - text) < sizeof given) {
        memcpy(given, text, (size_t)(equals - text));
        if (json_object_get(inputs, given)) {
            name = given;
            file = equals + 1;
        }
    }
    if (!name && json_object_size(inputs) == 1) {
        name = json_object_iter_key(json_object_iter(inputs));
    }
    status = name ? RM_OK : RM_ENOENT;
    if (name && (run->feed_count == CLI_FEEDS_MAX || find_feed(run, name))) {
        status = rm_fail_as(err, RM_CODE_USAGE, "--input '%.80s': input '%.80s' has a file already",
                            text, name);
    } else if (name) {
        cli_feed *feed = &run->feed[run->feed_count++];
        *feed = (cli_feed){.file = file, .fd = -1};
        snprintf(feed->name, sizeof feed->name, "%s", name);
    }
    json_decref(manifest);
    return status;
}

static rm_status choose_cut(cli_feed *feed, const rm_format *format, rm_error *err)
{
    switch (format->kind) {
    case RM_KIND_ANY: feed->cut = CLI_CUT_ANY_LINES; return RM_OK;
    case RM_KIND_TEXT: feed->cut = CLI_CUT_LINES; return RM_OK;
    case RM_KIND_VALUE: feed->cut = CLI_CUT_JSON_LINES; return RM_OK;
    case RM_KIND_BYTES: feed->cut = CLI_CUT_BLOCKS; return RM_OK;
    default: break;
    }
    rm_status status =
        rm_fail_as(err, RM_CODE_USAGE,
                   "input '%s' of the pipeline takes %s, and a file gives text, values or bytes",
                   feed->name, rm_kind_name(format->kind));
    rm_error_help(err, "begin the pipeline with a node that reads files, as media.read");
    return status;
}

static rm_status open_feed(cli_feed *feed, const rm_format *format, rm_error *err)
{
    rm_status status = choose_cut(feed, format, err);
    if (status != RM_OK) {
        return status;
    }
    bool is_stdin = strcmp(feed->file, "-") == 0;
    feed->fd = is_stdin ? STDIN_FILENO : open(feed->file, O_RDONLY | O_CLOEXEC);
    if (feed->fd < 0) {
        int failed = errno;
        (void)rm_fail_os(err, failed, "--input: cannot open '%s'", feed->file);
        return failed == ENOENT ? RM_ENOENT : RM_EIO;
    }
    return RM_OK;
}

static rm_status unfed(const char *name, rm_error *err)
{
    rm_status status =
        rm_fail_as(err, RM_CODE_USAGE, "input '%.80s' of the pipeline gets nothing", name);
    rm_error_help(err, "give it a file, or - for stdin: --input %.80s=FILE", name);
    return status;
}

static const rm_format *format_out_of(const rm_plan *plan, uint32_t node)
{
    static const rm_format any = {.kind = RM_KIND_ANY};
    for (size_t i = 0; i < rm_plan_edge_count(plan); i++) {
        rm_plan_edge edge;
        rm_plan_edge_at(plan, i, &edge);
        if (edge.from_node == node) {
            return edge.format;
        }
    }
    return &any;
}

static rm_status open_port(rm_cli_run *run, const rm_plan_node *node, uint32_t index, rm_error *err)
{
    json_t *params;
    rm_status status = RM_OK;
    const char *name = port_name(node, &params);
    if (strcmp(node->type->name, "rm.output") == 0 && run->output_count < CLI_OUTPUTS_MAX) {
        snprintf(run->output[run->output_count++].name, sizeof run->output[0].name, "%s", name);
    } else if (strcmp(node->type->name, "rm.input") == 0) {
        const cli_feed *feed = find_feed(run, name);
        status = feed ? open_feed(&run->feed[feed - run->feed],
                                  format_out_of(run->pipeline.plan, index), err)
                      : unfed(name, err);
    }
    json_decref(params);
    return status;
}

rm_status cli_feeds_open(rm_cli_run *run, rm_error *err)
{
    rm_status status = RM_OK;
    for (size_t i = 0; i < rm_plan_node_count(run->pipeline.plan) && status == RM_OK; i++) {
        rm_plan_node node;
        rm_plan_node_at(run->pipeline.plan, i, &node);
        status = open_port(run, &node, (uint32_t)i, err);
    }
    return status;
}

rm_status cli_ports_find(rm_cli_run *run, rm_error *err)
{
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < run->feed_count && status == RM_OK; i++) {
        cli_feed *feed = &run->feed[i];
        status = rm_session_input(run->session, feed->name, &feed->index, err);
    }
    for (uint32_t i = 0; i < run->output_count && status == RM_OK; i++) {
        cli_output *output = &run->output[i];
        status = rm_session_output(run->session, output->name, &output->index, err);
    }
    return status;
}

void cli_feeds_close(rm_cli_run *run)
{
    for (uint32_t i = 0; i < run->feed_count; i++) {
        cli_feed *feed = &run->feed[i];
        if (feed->fd > STDIN_FILENO) {
            close(feed->fd);
        }
        feed->fd = -1;
        free(feed->data);
        feed->data = NULL;
    }
}

/* ---- reading and pushing */

static void feed_failed(rm_cli_run *run, const cli_feed *feed, const rm_error *err)
{
    if (run->error.status == RM_OK) {
        run->error = *err;
        if (feed->cut == CLI_CUT_BLOCKS) {
            rm_error_wrap(&run->error, "input '%s' from '%s'", feed->name, feed->file);
        } else {
            rm_error_wrap(&run->error, "input '%s' from '%s', line %llu", feed->name, feed->file,
                          (unsigned long long)feed->line);
        }
    }
    cli_run_cancel(run);
}

static bool make_room(rm_cli_run *run, cli_feed *feed)
{
    rm_error err = RM_ERROR_INIT;
    if (feed->begin > 0) {
        memmove(feed->data, feed->data + feed->begin, feed->end - feed->begin);
        feed->end -= feed->begin;
        feed->begin = 0;
    }
    if (feed->end < feed->capacity) {
        return true;
    }
    if (feed->capacity >= LINE_BYTES_MAX) {
        (void)rm_fail(&err, RM_ELIMIT, "a line has more than %d bytes", LINE_BYTES_MAX);
        feed_failed(run, feed, &err);
        return false;
    }
    size_t capacity = feed->capacity ? 2 * feed->capacity : BLOCK_BYTES;
    char *grown = realloc(feed->data, capacity);
    if (!grown) {
        (void)rm_fail(&err, RM_ENOMEM, "no memory for %zu bytes", capacity);
        feed_failed(run, feed, &err);
        return false;
    }
    feed->data = grown;
    feed->capacity = capacity;
    return true;
}

/* False: nothing there now, or no more. Never waits. */
static bool read_some(rm_cli_run *run, cli_feed *feed)
{
    struct pollfd ready = {feed->fd, POLLIN, 0};
    if (feed->at_end || !make_room(run, feed)) {
        return false;
    }
    feed->waits_for_input = poll(&ready, 1, 0) == 0;
    if (feed->waits_for_input) {
        return false;
    }
    ssize_t got = read(feed->fd, feed->data + feed->end, feed->capacity - feed->end);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return false;
    }
    if (got < 0) {
        rm_error err = RM_ERROR_INIT;
        (void)rm_fail_os(&err, errno, "cannot read");
        feed_failed(run, feed, &err);
        return false;
    }
    feed->at_end = got == 0;
    feed->end += (size_t)got;
    return got > 0;
}

/* All that was read. False: nothing was. */
static bool take_block(cli_feed *feed, const char **ret_item, size_t *ret_bytes)
{
    *ret_item = feed->data + feed->begin;
    *ret_bytes = feed->end - feed->begin;
    feed->begin = feed->end;
    return *ret_bytes > 0;
}

/* A line without its end, or what stands after the last one. False: no whole line is there. */
static bool take_line(cli_feed *feed, const char **ret_item, size_t *ret_bytes)
{
    const char *begin = feed->data + feed->begin;
    size_t bytes = feed->end - feed->begin;
    const char *newline = bytes ? memchr(begin, '\n', bytes) : NULL;
    if (!newline && !(feed->at_end && bytes > 0)) {
        return false;
    }
    size_t length = newline ? (size_t)(newline - begin) : bytes;
    feed->begin += length + (newline != NULL);
    feed->line++;
    *ret_item = begin;
    *ret_bytes = length - (length > 0 && begin[length - 1] == '\r');
    return true;
}

/* The next item; its bytes are in feed->data. False: not there yet, or no more. */
static bool next_item(rm_cli_run *run, cli_feed *feed, const char **ret_item, size_t *ret_bytes)
{
    bool blocks = feed->cut == CLI_CUT_BLOCKS;
    for (;;) {
        bool taken = feed->data && (blocks ? take_block : take_line)(feed, ret_item, ret_bytes);
        if (taken && (*ret_bytes > 0 || feed->cut == CLI_CUT_LINES)) {
            return true;
        }
        if (taken) {
            continue; /* an empty line is no value */
        }
        if (!read_some(run, feed) && (!feed->at_end || feed->begin == feed->end)) {
            return false;
        }
    }
}

static rm_status fill(rm_cli_run *run, rm_kind kind, const void *data, size_t bytes,
                      rm_packet **ret_packet)
{
    rm_packet *packet = NULL;
    rm_status status = rm_session_packet_new(run->session, bytes, &packet);
    if (status == RM_OK) {
        packet->header.kind = (uint8_t)kind;
        packet->header.flags = RM_FLAG_FINAL;
        if (bytes) {
            memcpy(packet->payload, data, bytes);
        }
        *ret_packet = packet;
    }
    return status;
}

static rm_status make_packet(rm_cli_run *run, const cli_feed *feed, const char *item, size_t bytes,
                             rm_packet **ret_packet, rm_error *err)
{
    if (feed->cut == CLI_CUT_LINES || feed->cut == CLI_CUT_BLOCKS) {
        rm_kind kind = feed->cut == CLI_CUT_LINES ? RM_KIND_TEXT : RM_KIND_BYTES;
        return fill(run, kind, item, bytes, ret_packet);
    }
    void *value = NULL;
    size_t value_bytes = 0;
    rm_status status = rm_value_from_json(item, bytes, &value, &value_bytes, err);
    if (status == RM_OK) {
        status = fill(run, RM_KIND_VALUE, value, value_bytes, ret_packet);
        rm_free(value);
    } else if (feed->cut == CLI_CUT_ANY_LINES && status == RM_EINVAL) {
        *err = (rm_error)RM_ERROR_INIT;
        status = fill(run, RM_KIND_TEXT, item, bytes, ret_packet);
    }
    return status;
}

/* False: nothing more can be done now. */
static bool feed_one(rm_cli_run *run, cli_feed *feed)
{
    const char *item;
    size_t bytes;
    rm_error err = RM_ERROR_INIT;
    if (!feed->held) {
        if (!next_item(run, feed, &item, &bytes)) {
            if (feed->at_end) {
                rm_session_end(run->session, feed->index);
                feed->ended = true;
            }
            return false;
        }
        rm_status status = make_packet(run, feed, item, bytes, &feed->held, &err);
        if (status == RM_EAGAIN) { /* no memory now: the same item again */
            feed->begin = (size_t)(item - feed->data);
            feed->line--;
            return false;
        }
        if (status != RM_OK) {
            if (status == RM_EDEADLOCK) {
                (void)rm_fail_as(&err, RM_CODE_MEMORY_DEADLOCK,
                                 "no memory for %zu bytes: what waits in the graph holds it all",
                                 bytes);
            } else if (err.status == RM_OK) {
                (void)rm_fail(&err, status, "%zu bytes make no packet", bytes);
            }
            feed_failed(run, feed, &err);
            return false;
        }
    }
    rm_status status = rm_session_push(run->session, feed->index, feed->held);
    if (status == RM_EAGAIN) {
        return false;
    }
    if (status != RM_OK) { /* nobody wants more */
        rm_packet_unref(feed->held);
        feed->ended = true;
    }
    feed->held = NULL;
    return status == RM_OK;
}

void cli_feeds_step(rm_cli_run *run)
{
    for (uint32_t i = 0; i < run->feed_count; i++) {
        cli_feed *feed = &run->feed[i];
        feed->waits_for_input = false;
        for (int n = 0; n < PACKETS_A_STEP && !feed->ended && !run->cancel_ns; n++) {
            if (!feed_one(run, feed)) {
                break;
            }
        }
    }
}

/* ---- outputs */

/* What has no text form: its header in a line. */
static json_t *describe(const rm_packet *packet)
{
    rm_format format;
    char text[160];
    const rm_packet_header *h = &packet->header;
    rm_format_from_line(h->kind, &h->format, &format);
    rm_format_print(&format, text, sizeof text);
    json_t *json = json_pack("{s:s, s:s, s:I}", "kind", rm_kind_name(h->kind), "format", text,
                             "bytes", (json_int_t)h->payload_bytes);
    if (h->pts_ns != RM_TIME_NONE) {
        json_object_set_new(json, "pts_ns", json_integer(h->pts_ns));
        json_object_set_new(json, "duration_ns", json_integer(h->duration_ns));
    }
    return json;
}

static json_t *packet_json(const rm_packet *packet)
{
    const rm_packet_header *h = &packet->header;
    json_t *json = NULL;
    char *text = NULL;
    if (h->kind == RM_KIND_TEXT) {
        json = json_stringn(packet->payload ? packet->payload : "", (size_t)h->payload_bytes);
    } else if (h->kind == RM_KIND_VALUE &&
               rm_value_to_json(packet->payload, (size_t)h->payload_bytes, &text, NULL) == RM_OK) {
        json = json_loads(text, JSON_DECODE_ANY, NULL);
        rm_free(text);
    }
    return json ? json : describe(packet);
}

static void print_packet(rm_cli_run *run, const cli_output *output, const rm_packet *packet)
{
    const rm_packet_header *h = &packet->header;
    size_t bytes = (size_t)h->payload_bytes;
    bool raw = !run->state->json && run->output_count == 1;
    if (raw && (h->kind == RM_KIND_TEXT || h->kind == RM_KIND_BYTES)) {
        fwrite(packet->payload ? packet->payload : "", 1, bytes, stdout);
        if (h->kind == RM_KIND_TEXT) {
            putchar('\n');
        }
        return;
    }
    json_t *json = packet_json(packet);
    if (!raw) {
        json = json_pack("{s:s, s:o}", "output", output->name, "value", json);
    }
    json_dumpf(json, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(json);
    putchar('\n');
}

/* True: something was printed. */
static bool drain(rm_cli_run *run, cli_output *output)
{
    bool any = false;
    rm_packet *packet;
    while (!output->ended && !ferror(stdout)) {
        rm_status status = rm_session_pull(run->session, output->index, &packet);
        output->ended = status == RM_DONE;
        if (status != RM_OK) {
            break;
        }
        if (!any && !run->profiled) {
            cli_progress_clear(run);
        }
        any = !run->profiled;
        if (any) {
            print_packet(run, output, packet);
        }
        rm_packet_unref(packet);
    }
    return any;
}

void cli_outputs_step(rm_cli_run *run)
{
    bool any = false;
    for (uint32_t i = 0; i < run->output_count && !run->state->out_closed; i++) {
        any |= drain(run, &run->output[i]);
    }
    if (any && (fflush(stdout) != 0 || ferror(stdout)) && !run->cancel_ns) {
        if (errno == EPIPE) {
            run->state->out_closed = true;
        } else if (run->error.status == RM_OK) {
            (void)rm_fail_os(&run->error, errno, "cannot write to stdout");
        }
        cli_run_cancel(run);
    }
}
