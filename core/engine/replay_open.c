/* From a file to a replay, and its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/alloc.h"
#include "engine/arrivals.h"
#include "engine/clock.h"
#include "engine/replay.h"

#define MEMORY_BYTES ((uint64_t)4 << 30)
#define GRACE_NS ((int64_t)2000000000)

/* ---- the graph */

static rm_status read_graph(rmi_record_reader *reader, rmi_record_entry *entry, json_t **ret_json,
                            rm_error *err)
{
    rm_status status = rmi_record_next(reader, entry, err);
    if (status < 0) {
        return status;
    }
    const rmi_record_piece *piece = &entry->piece[0];
    json_t *json = status == RM_OK && entry->kind == RMI_RECORD_GRAPH
                       ? json_loadb(piece->data, piece->bytes, 0, NULL)
                       : NULL;
    if (!json_is_object(json_object_get(json, "manifest"))) {
        json_decref(json);
        return rm_fail_as(err, RM_CODE_RECORD_BAD, "it does not begin with a graph");
    }
    *ret_json = json;
    return RM_OK;
}

static rm_status parse_graph(const json_t *json, rm_graph **ret_graph, rm_error *err)
{
    char *text = json_dumps(json_object_get(json, "manifest"), JSON_COMPACT);
    rm_status status = text ? rm_graph_parse(text, strlen(text), ret_graph, NULL, err)
                            : rm_fail(err, RM_ENOMEM, "no memory for a manifest");
    free(text);
    return status;
}

static rm_status plan_graph(rm_replay *replay, const json_t *json, rm_error *err)
{
    rm_plan_options options = {.struct_size = sizeof options,
                               .python_host = replay->options.python_host};
    rm_status status = parse_graph(json, &replay->graph, err);
    return status == RM_OK
               ? rm_graph_plan(replay->graph, replay->registry, &options, &replay->plan, NULL, err)
               : status;
}

static bool is_same_node(const json_t *recorded, const rm_plan_node *planned)
{
    const char *id = json_string_value(json_array_get(recorded, 0));
    const char *type = json_string_value(json_array_get(recorded, 1));
    return id && type && strcmp(id, planned->id) == 0 && strcmp(type, planned->type->name) == 0;
}

static bool is_same_edge(const json_t *recorded, const rm_plan_edge *planned)
{
    const uint32_t ends[] = {planned->from_node, planned->from_port, planned->to_node,
                             planned->to_port};
    for (size_t i = 0; i < RMI_COUNT(ends); i++) {
        if (json_integer_value(json_array_get(recorded, i)) != ends[i]) {
            return false;
        }
    }
    return true;
}

/* Entries name nodes and edges by number. */
static rm_status check_plan(const rm_replay *replay, const json_t *json, rm_error *err)
{
    const json_t *nodes = json_object_get(json, "nodes"), *edges = json_object_get(json, "edges");
    bool fits = json_array_size(nodes) == rm_plan_node_count(replay->plan) &&
                json_array_size(edges) == rm_plan_edge_count(replay->plan);
    for (size_t i = 0; fits && i < json_array_size(nodes); i++) {
        rm_plan_node planned;
        rm_plan_node_at(replay->plan, i, &planned);
        fits = is_same_node(json_array_get(nodes, i), &planned);
    }
    for (size_t i = 0; fits && i < json_array_size(edges); i++) {
        rm_plan_edge planned;
        rm_plan_edge_at(replay->plan, i, &planned);
        fits = is_same_edge(json_array_get(edges, i), &planned);
    }
    return fits ? RM_OK
                : rm_fail_as(err, RM_CODE_RECORD_BAD,
                             "its graph is planned otherwise here: other "
                             "nodes are installed than where it was made");
}

/* ---- the session */

/* The parameters with a file in the folder of the replay. NULL: they name none. */
static rm_status move_path(const rm_replay *replay, const char *params_json, char **ret_json,
                           rm_error *err)
{
    json_t *params = json_loads(params_json ? params_json : "{}", 0, NULL);
    const char *path = json_string_value(json_object_get(params, "path"));
    *ret_json = NULL;
    if (!path || strcmp(path, "-") == 0) {
        json_decref(params);
        return RM_OK;
    }
    const char *slash = strrchr(path, '/');
    RMI_AUTO_MEMORY char *moved =
        rmi_asprintf("%s/%s", replay->options.folder, slash ? slash + 1 : path);
    rm_status status = moved ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for a path");
    if (status == RM_OK && access(moved, F_OK) == 0) {
        status = rm_fail_as(err, RM_CODE_MEDIA_WRITE, "'%.300s' is there already", moved);
        rm_error_help(err, "name another folder, or remove it");
    }
    if (status == RM_OK) {
        json_object_set_new(params, "path", json_string(moved));
        *ret_json = json_dumps(params, JSON_COMPACT);
        status = *ret_json ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for a path");
    }
    json_decref(params);
    return status;
}

static bool has_outputs(const rm_node_type *type)
{
    return type->outputs && type->outputs[0].name;
}

static rm_status add_node(rm_replay *replay, size_t index, rm_error *err)
{
    uint32_t number;
    char *moved = NULL;
    rmi_node_spec spec = rmi_node_spec_of(replay->plan, index);
    spec.strand = 0;
    rm_status status = RM_OK;
    if (replay->options.with_sinks && !has_outputs(spec.type) && spec.type != &rmi_output_type) {
        status = move_path(replay, spec.params_json, &moved, err);
        spec.params_json = moved ? moved : spec.params_json;
    }
    if (status == RM_OK) {
        status = rmi_session_add(replay->session, &spec, &number, err);
    }
    free(moved);
    return status;
}

static rm_status build(rm_replay *replay, const rm_session_options *options, rm_error *err)
{
    rm_status status = rmi_session_new(options, 1, &replay->session, err);
    if (status == RM_OK) {
        replay->session->replay = replay;
    }
    for (size_t i = 0; i < rm_plan_node_count(replay->plan) && status == RM_OK; i++) {
        status = add_node(replay, i, err);
    }
    for (size_t i = 0; i < rm_plan_edge_count(replay->plan) && status == RM_OK; i++) {
        rmi_edge_spec spec = rmi_edge_spec_of(replay->plan, i);
        status = rmi_session_connect(replay->session, &spec, err);
    }
    if (status != RM_OK) {
        return status;
    }
    rm_session *session = replay->session;
    replay->node_count = session->node_count;
    replay->nodes = rmi_calloc(session->node_count + 1, sizeof *replay->nodes);
    replay->queues = rmi_calloc(session->edge_count + 1, sizeof *replay->queues);
    return replay->nodes && replay->queues
               ? rmi_session_lay_out(session->strands[0], err)
               : rm_fail(err, RM_ENOMEM, "no memory for a replay of %u nodes", session->node_count);
}

/* A node that ends the graph. */
static bool is_to_run(const rm_replay *replay, const rm_node_type *type)
{
    return replay->options.with_sinks || (replay->is_session && type->flags & RM_NODE_PYTHON);
}

static rm_status open_nodes(rm_replay *replay, rm_error *err)
{
    rm_session *session = replay->session;
    rm_status status = RM_OK;
    atomic_store(&session->strands[0]->thread, rmi_thread_self());
    session->strands[0]->parking.wake = session->options.wake;
    session->strands[0]->parking.context = session->options.wake_context;
    for (uint32_t i = 0; i < session->node_count && status == RM_OK; i++) {
        rmi_node *node = session->nodes[i];
        rmi_replay_node *of = &replay->nodes[i];
        of->node = node;
        of->is_output = node->pub.type == &rmi_output_type;
        of->is_idle = of->is_output || (node->is_source && replay->has_payloads) ||
                      (node->n_out == 0 && !is_to_run(replay, node->pub.type));
        of->is_loose = !of->is_idle && node->pub.type->flags & RM_NODE_PYTHON;
        of->over = of->is_loose;
        node->stays_closed = of->is_idle;
        node->state = RMI_NODE_IDLE;
        rmi_replay_listen(node);
        status = rmi_session_open_node(node, err);
        if (status == RM_OK) {
            node->opened = !of->is_idle;
            session->opened = i + 1;
        }
    }
    return status;
}

static rm_status check_options(const rm_replay *replay, rm_error *err)
{
    const char *folder = replay->options.folder;
    if (!replay->options.with_sinks) {
        return RM_OK;
    }
    if (!folder || !*folder) {
        return rm_fail(err, RM_EINVAL, "a replay with sinks needs a folder for what they write");
    }
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        return rm_fail_os(err, errno, "cannot make the folder '%.300s'", folder);
    }
    return RM_OK;
}

static rm_status fill(rm_replay *replay, const rm_session_options *options, rm_error *err)
{
    json_t *json = NULL;
    rm_status status = read_graph(&replay->reader, &replay->entry, &json, err);
    if (status == RM_OK) {
        json_t *payloads = json_object_get(json, "payloads");
        replay->has_payloads = !payloads || json_is_true(payloads);
        status = replay->plan ? RM_OK : plan_graph(replay, json, err);
    }
    if (status == RM_OK) {
        status = check_plan(replay, json, err);
    }
    json_decref(json);
    if (status == RM_OK) {
        status = check_options(replay, err);
    }
    if (status == RM_OK) {
        status = build(replay, options, err);
    }
    return status == RM_OK ? open_nodes(replay, err) : status;
}

static rm_replay *replay_new(rm_registry *registry, const rm_replay_options *options)
{
    rm_replay *replay = RMI_NEW(rm_replay);
    if (!replay) {
        return NULL;
    }
    if (options) {
        size_t size =
            options->struct_size < sizeof *options ? options->struct_size : sizeof *options;
        memcpy(&replay->options, options, size);
    }
    if (replay->options.memory_bytes_max == 0) {
        replay->options.memory_bytes_max = MEMORY_BYTES;
    }
    replay->registry = registry;
    replay->status = RM_MORE;
    replay->error = (rm_error)RM_ERROR_INIT;
    return replay;
}

rm_status rmi_replay_of(const void *data, size_t bytes, rm_registry *registry,
                        const rm_replay_options *options, rm_replay **ret_replay, rm_error *err)
{
    RMI_AUTO(rm_replay) replay = replay_new(registry, options);
    if (!replay) {
        return rm_fail(err, RM_ENOMEM, "no memory for a replay");
    }
    rm_session_options session = {.struct_size = sizeof session,
                                  .metrics_off = 1,
                                  .wake = replay->options.wake,
                                  .wake_context = replay->options.context,
                                  .memory_bytes_max = replay->options.memory_bytes_max};
    rm_status status = rmi_record_read(&replay->reader, data, bytes, err);
    if (status == RM_OK) {
        status = fill(replay, &session, err);
    }
    replay->options.folder = NULL;
    if (status == RM_OK) {
        *ret_replay = RMI_TAKE(replay);
    }
    return status;
}

/* NULL: errno says why, 0: it is empty. */
static void *map_file(const char *path, size_t *ret_bytes)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    void *file = NULL;
    errno = 0;
    if (fstat(fd, &about) == 0 && about.st_size > 0) {
        file = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        file = file == MAP_FAILED ? NULL : file;
        *ret_bytes = (size_t)about.st_size;
    }
    int os_errno = errno;
    close(fd);
    errno = os_errno;
    return file;
}

static rm_status no_file(const char *path, rm_error *err)
{
    return errno ? rm_fail_os(err, errno, "cannot read the record '%.300s'", path)
                 : rm_fail_as(err, RM_CODE_RECORD_BAD, "record '%.300s': it is empty", path);
}

rm_status rm_replay_open(const char *path, rm_registry *registry, const rm_replay_options *options,
                         rm_replay **ret_replay, rm_error *err)
{
    size_t bytes = 0;
    rm_replay *replay = NULL;
    void *file = map_file(path, &bytes);
    if (!file) {
        return no_file(path, err);
    }
    rm_status status = rmi_replay_of(file, bytes, registry, options, &replay, err);
    if (status != RM_OK) {
        (void)munmap(file, bytes);
        rm_error_wrap(err, "record '%.300s'", path);
        return status;
    }
    replay->file = file;
    replay->file_bytes = bytes;
    *ret_replay = replay;
    return RM_OK;
}

rm_status rm_replay_read_graph(const char *path, rm_graph **ret_graph, rm_error *err)
{
    size_t bytes = 0;
    json_t *json = NULL;
    rmi_record_reader reader;
    rmi_record_entry entry;
    void *file = map_file(path, &bytes);
    if (!file) {
        return no_file(path, err);
    }
    rm_status status = rmi_record_read(&reader, file, bytes, err);
    if (status == RM_OK) {
        status = read_graph(&reader, &entry, &json, err);
    }
    if (status == RM_OK) {
        status = parse_graph(json, ret_graph, err);
    }
    json_decref(json);
    (void)munmap(file, bytes);
    if (status != RM_OK) {
        rm_error_wrap(err, "record '%.300s'", path);
    }
    return status;
}

const rm_replay *rm_session_replay(const rm_session *session)
{
    return session->replay;
}

static rm_status fill_session(rm_replay *replay, const rm_plan *plan,
                              const rm_session_options *given, rm_error *err)
{
    rm_session_options options = *given;
    replay->is_session = true;
    replay->plan = (rm_plan *)(uintptr_t)plan; /* it is not freed */
    replay->file = map_file(given->replay_path, &replay->file_bytes);
    if (!replay->file) {
        return errno ? rm_fail_os(err, errno, "it cannot be read")
                     : rm_fail_as(err, RM_CODE_RECORD_BAD, "it is empty");
    }
    options.record_path = options.replay_path = options.checkpoint_folder = NULL;
    options.trace_spans_max = options.spans_max = 0;
    rm_status status = rmi_record_read(&replay->reader, replay->file, replay->file_bytes, err);
    return status == RM_OK ? fill(replay, &options, err) : status;
}

rm_status rmi_replay_session(const rm_plan *plan, const rm_session_options *options,
                             rm_session **ret_session, rm_error *err)
{
    if (options->driver != RM_DRIVER_CALLER) {
        return rm_fail(err, RM_EINVAL, "a session that replays a record is stepped by its owner");
    }
    RMI_AUTO(rm_replay) replay = replay_new(NULL, NULL);
    if (!replay) {
        return rm_fail(err, RM_ENOMEM, "no memory for a replay");
    }
    rm_status status = fill_session(replay, plan, options, err);
    if (status != RM_OK) {
        rm_error_wrap(err, "record '%.300s'", options->replay_path);
        return status;
    }
    *ret_session = RMI_TAKE(replay)->session;
    return RM_OK;
}

/* ---- the end */

static bool is_out(const rm_replay *replay)
{
    bool found = false;
    for (uint32_t i = 0; replay->nodes && i < replay->session->opened; i++) {
        found |= replay->nodes[i].out;
    }
    return found;
}

bool rmi_replay_waits_for_work(rm_replay *replay)
{
    for (uint32_t i = 0; is_out(replay) && !replay->ending && i < replay->session->opened; i++) {
        rmi_node *node = replay->session->nodes[i];
        if (replay->nodes[i].out && node->pub.type->cancel) {
            node->pub.type->cancel(&node->pub);
        }
    }
    replay->ending = true;
    rmi_arrivals_drain_mailbox(replay->session->strands[0]);
    return is_out(replay);
}

/* Work that does not end keeps what it uses. */
static void end_work(rm_replay *replay)
{
    rmi_strand *strand = replay->session->strands[0];
    int64_t until_ns = rmi_clock_ns() + GRACE_NS;
    strand->parking.wake = NULL;
    (void)rmi_replay_waits_for_work(replay);
    while (is_out(replay) && rmi_clock_ns() < until_ns) {
        rmi_parking_prepare(&strand->parking);
        if (rmi_mailbox_is_empty(&strand->mailbox)) {
            rmi_parking_wait(&strand->parking, until_ns - rmi_clock_ns());
        }
        rmi_parking_leave(&strand->parking);
        rmi_arrivals_drain_mailbox(strand);
    }
    for (uint32_t i = 0; is_out(replay) && i < replay->session->node_count; i++) {
        replay->session->nodes[i]->abandoned = replay->nodes[i].out;
    }
}

static void drop_queues(rm_replay *replay)
{
    for (uint32_t i = 0; replay->queues && i < replay->session->edge_count; i++) {
        rm_packet *packet;
        while (rmi_replay_take(&replay->queues[i], &packet)) {
            rm_packet_unref(packet);
        }
        rmi_free(replay->queues[i].ring);
    }
}

static void free_nodes(rm_replay *replay)
{
    for (uint32_t i = 0; replay->nodes && i < replay->node_count; i++) {
        rmi_replay_loose_drop(&replay->nodes[i]);
        rmi_free(replay->nodes[i].given);
    }
    rmi_free(replay->nodes);
}

void rm_replay_free(rm_replay *replay)
{
    if (!replay) {
        return;
    }
    bool left_behind = false;
    if (replay->session) {
        end_work(replay);
        left_behind = is_out(replay);
        drop_queues(replay);
        replay->session->replay = left_behind ? replay : NULL;
        rmi_session_free(replay->session);
    }
    if (left_behind) {
        return; /* its work may still post, and the plan has its type */
    }
    rmi_free(replay->queues);
    free_nodes(replay);
    rm_plan_free(replay->is_session ? NULL : replay->plan);
    rm_graph_free(replay->graph);
    if (replay->file) {
        (void)munmap(replay->file, replay->file_bytes);
    }
    rmi_free(replay);
}
