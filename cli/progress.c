/* The line that shows how far a run is, redrawn in place on stderr where that is a terminal:
 *
 *     0:12.3  ━━━━━━━━━━━━──────────  53 %  45.2x real time  0:11 left
 *
 * How far: the position that the session's sources have reached, and, for the part of the whole,
 * how much of the input file this process has read (/proc/self/fdinfo; without it there is no bar);
 * both less what still waits in the queues behind, which for a slow last node may be all of it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

enum { DRAW_NS = 100000000, LINE_BYTES = 2048, BAR_COLUMNS_MAX = 40, FIRST_NS = 300000000 };
enum { COUNTED_NODES_MAX = 64, COUNT_SLOW_NS = 5000000 };

/* ---- how much of the input file was read */

static const char *path_of(const rm_plan_node *node, json_t **ret_params)
{
    *ret_params = json_loads(node->params_json, 0, NULL);
    return json_string_value(json_object_get(*ret_params, "path"));
}

static bool has_inputs(const rm_plan_node *node)
{
    return node->type->inputs && node->type->inputs[0].name;
}

static void choose_media(cli_progress *progress, const char *path)
{
    struct stat about;
    char *real = path && !progress->media[0] ? realpath(path, NULL) : NULL;
    if (real && stat(real, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 &&
        strlen(real) < sizeof progress->media) {
        snprintf(progress->media, sizeof progress->media, "%s", real);
        progress->media_bytes = (uint64_t)about.st_size;
    }
    free(real);
}

/* The descriptor under which a node of this process has the file open; -1: none. */
static int find_descriptor(const char *file)
{
    DIR *folder = opendir("/proc/self/fd");
    int found = -1;
    for (const struct dirent *entry; folder && found < 0 && (entry = readdir(folder));) {
        char target[512], link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%.20s", entry->d_name);
        ssize_t length = readlink(link, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strcmp(target, file) == 0) {
            found = (int)strtol(entry->d_name, NULL, 10);
        }
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}

/* By its number only: another thread may close the descriptor at any time. */
static double part_read(cli_progress *progress)
{
    char name[64], text[128] = "";
    unsigned long long position = 0;
    if (!progress->media[0]) {
        return -1;
    }
    if (progress->media_fd < 0) {
        progress->media_fd = find_descriptor(progress->media);
    }
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", progress->media_fd);
    int fd = progress->media_fd < 0 ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return progress->read; /* closed: as far as it was */
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    if (sscanf(text, "pos: %llu", &position) != 1) {
        return progress->read;
    }
    double part = (double)position / (double)progress->media_bytes;
    return part > 1 ? 1 : part;
}

/* ---- how much of what was read has gone through */

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Of what came over the edges to this node, the share that it has taken, at its slowest input. */
static double share_at(const json_t *edges, const char *id, const json_t *shares)
{
    double least = 1;
    for (size_t i = 0; i < json_array_size(edges); i++) {
        const json_t *edge = json_array_get(edges, i);
        const char *to = json_string_value(json_object_get(edge, "to"));
        if (!to || strcmp(to, id) != 0) {
            continue;
        }
        double packets = number(edge, "packets"), queued = number(edge, "queued");
        const json_t *before =
            json_object_get(shares, json_string_value(json_object_get(edge, "from")));
        double share = before ? json_number_value(before) : 1;
        share *= packets > 0 && queued < packets ? 1 - queued / packets : packets > 0 ? 0 : 1;
        least = share < least ? share : least;
    }
    return least;
}

/* 0 to 1: by the counts of packets, along the slowest way from a source to a sink. To take the
 * numbers waits for the calls that are running: where they take long it is seldom asked. */
static double share_done(rm_cli_run *run, int64_t now_ns)
{
    cli_progress *progress = &run->progress;
    char *text = NULL;
    if (now_ns < progress->count_ns || rm_plan_node_count(run->pipeline.plan) > COUNTED_NODES_MAX ||
        rm_session_metrics(run->session, &text, NULL) != RM_OK) {
        return progress->share;
    }
    int64_t took_ns = cli_now_ns() - now_ns;
    progress->count_ns = took_ns > COUNT_SLOW_NS ? now_ns + 50 * took_ns : 0;
    json_t *metrics = json_loads(text, 0, NULL), *shares = json_object();
    rm_free(text);
    const json_t *nodes = json_object_get(metrics, "nodes");
    double least = 1;
    for (size_t i = 0; i < json_array_size(nodes); i++) { /* in the order of the flow */
        const char *id = json_string_value(json_object_get(json_array_get(nodes, i), "id"));
        double share = id ? share_at(json_object_get(metrics, "edges"), id, shares) : 1;
        json_object_set_new(shares, id ? id : "", json_real(share));
        least = share < least ? share : least;
    }
    json_decref(shares);
    json_decref(metrics);
    return least;
}

/* How far the run is, in the media's time; RM_TIME_NONE where it has none. Never back. */
static int64_t position_of(rm_cli_run *run, uint64_t *ret_packets)
{
    int64_t read_ns;
    rm_session_progress(run->session, &read_ns, ret_packets);
    if (read_ns == RM_TIME_NONE) {
        return RM_TIME_NONE;
    }
    int64_t done_ns = (int64_t)((double)read_ns * run->progress.share);
    if (done_ns > run->progress.position_ns) {
        run->progress.position_ns = done_ns;
    }
    return run->progress.position_ns;
}

/* ---- the line */

static void add_time(char *line, size_t size, int64_t ns)
{
    int64_t tenths = ns / 100000000;
    char text[40];
    if (tenths >= 36000) {
        snprintf(text, sizeof text, "%lld:%02lld:%02lld", (long long)(tenths / 36000),
                 (long long)(tenths / 600 % 60), (long long)(tenths / 10 % 60));
    } else {
        snprintf(text, sizeof text, "%lld:%02lld.%lld", (long long)(tenths / 600),
                 (long long)(tenths / 10 % 60), (long long)(tenths % 10));
    }
    cli_append(line, size, text, 40);
}

static void add_bar(char *line, size_t size, const rm_cli_run *run, unsigned columns)
{
    bool utf8 = cli_is_utf8(), color = run->state->color_err;
    unsigned full = (unsigned)(run->progress.part * columns + 0.5);
    size_t used = strlen(line);
    snprintf(line + used, size - used, "%s", cli_paint(color, CLI_CYAN));
    for (unsigned i = 0; i < columns; i++) {
        used = strlen(line);
        const char *rest = i == full ? cli_paint(color, CLI_DIM) : "";
        const char *end = i == full && color ? cli_reset(color) : "";
        const char *mark = i < full ? (utf8 ? "━" : "=") : (utf8 ? "─" : "-");
        snprintf(line + used, size - used, "%s%s%s", end, rest, mark);
    }
    used = strlen(line);
    snprintf(line + used, size - used, "%s  %3.0f %%", cli_reset(color), run->progress.part * 100);
}

static double speed_of(const rm_cli_run *run, int64_t position_ns, int64_t now_ns)
{
    int64_t elapsed_ns = now_ns - run->begin_ns;
    return position_ns > 0 && elapsed_ns > 0 ? (double)position_ns / (double)elapsed_ns : 0;
}

static void describe(rm_cli_run *run, int64_t now_ns, char *text, size_t size)
{
    uint64_t packets;
    char count[32];
    double part = run->progress.part;
    int64_t position_ns = position_of(run, &packets);
    double speed = speed_of(run, position_ns, now_ns);
    size_t used = 0;
    text[0] = '\0';
    if (speed > 0) {
        used += (size_t)snprintf(text, size, "%.*fx real time", speed < 10 ? 1 : 0, speed);
    } else {
        used += (size_t)snprintf(text, size, "%s items", cli_count((double)packets, count, 32));
    }
    if (part > 0.02 && part < 0.995) {
        double left_ns = (double)(now_ns - run->begin_ns) * (1 - part) / part;
        used += (size_t)snprintf(text + used, size - used, "  ");
        add_time(text, size, (int64_t)left_ns);
        used = strlen(text);
        snprintf(text + used, size - used, " left");
    }
}

/* A line of their own below: the newest ones where not all have room. "": there are none. */
static void write_words(rm_cli_run *run, unsigned width, char *line, size_t size)
{
    bool color = run->state->color_err;
    char cut[CLI_WORDS_BYTES] = "";
    const char *words = cli_words_text(run);
    line[0] = '\0';
    while (strlen(words) > width - 2 && strchr(words, ' ')) { /* from the left, by whole words */
        words = strchr(words, ' ') + 1;
    }
    if (words[0]) {
        cli_append(cut, sizeof cut, words, width - 2);
        snprintf(line, size, "\n  %s%s%s\033[K", cli_paint(color, CLI_DIM), cut, cli_reset(color));
    }
}

static void draw(rm_cli_run *run, int64_t now_ns)
{
    static const char *const spinner[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    cli_progress *progress = &run->progress;
    char line[LINE_BYTES] = "", words[CLI_WORDS_BYTES + 64], text[160];
    unsigned width = cli_width(STDERR_FILENO) - 1;
    double read = progress->read = part_read(progress);
    progress->share = share_done(run, now_ns);
    if (read >= 0 && read * progress->share > progress->part) {
        progress->part = read * progress->share;
    }
    int64_t position_ns = position_of(run, NULL);
    describe(run, now_ns, text, sizeof text);
    if (cli_is_utf8()) {
        cli_append(line, sizeof line, spinner[progress->turn++ % 10], 1);
    } else {
        line[0] = "|/-\\"[progress->turn++ % 4];
    }
    cli_append(line, sizeof line, " ", 1);
    add_time(line, sizeof line, position_ns > 0 ? position_ns : now_ns - run->begin_ns);
    cli_append(line, sizeof line, "  ", 2);
    unsigned used = 12 + (unsigned)strlen(text);
    if (progress->read >= 0 && width > used + 18) {
        unsigned columns = width - used - 10;
        columns = columns > BAR_COLUMNS_MAX ? BAR_COLUMNS_MAX : columns;
        add_bar(line, sizeof line, run, columns);
        cli_append(line, sizeof line, "  ", 2);
    }
    cli_append(line, sizeof line, text, width);
    write_words(run, width, words, sizeof words);
    /* In one piece over what stands there, so that nothing flickers. */
    fprintf(stderr, "\r%s%s\033[K%s", progress->two_lines ? "\033[A" : "", line,
            words[0] ? words : "\033[J");
    fflush(stderr);
    progress->two_lines = words[0] != '\0';
    progress->shown = true;
}

/* ---- for the run */

/* A node that prints to the terminal shows by itself how far it is. */
static bool prints_to_terminal(const rm_cli_run *run)
{
    bool found = false;
    for (size_t i = 0; isatty(STDOUT_FILENO) && i < rm_plan_node_count(run->pipeline.plan); i++) {
        rm_plan_node node;
        json_t *params;
        rm_plan_node_at(run->pipeline.plan, i, &node);
        const char *path = path_of(&node, &params);
        found |= path && strcmp(path, "-") == 0 && has_inputs(&node);
        json_decref(params);
    }
    return found;
}

bool cli_progress_is_wanted(const rm_cli_run *run)
{
    const char *term = getenv("TERM");
    bool dumb = !term || strcmp(term, "dumb") == 0;
    return isatty(STDERR_FILENO) && !dumb && !cli_has(run->arguments, "quiet") &&
           !prints_to_terminal(run);
}

void cli_progress_start(rm_cli_run *run)
{
    cli_progress *progress = &run->progress;
    progress->media_fd = -1;
    progress->read = -1;
    progress->part = 0;
    progress->share = 1;
    progress->next_ns = run->begin_ns + FIRST_NS;
    for (size_t i = 0; progress->wanted && i < rm_plan_node_count(run->pipeline.plan); i++) {
        rm_plan_node node;
        json_t *params;
        rm_plan_node_at(run->pipeline.plan, i, &node);
        const char *path = path_of(&node, &params);
        choose_media(progress, has_inputs(&node) ? NULL : path);
        json_decref(params);
    }
    for (uint32_t i = 0; progress->wanted && i < run->feed_count; i++) {
        choose_media(progress, run->feed[i].file);
    }
}

void cli_progress_step(rm_cli_run *run)
{
    cli_progress *progress = &run->progress;
    int64_t now_ns = progress->wanted ? cli_now_ns() : 0;
    if (progress->wanted && now_ns >= progress->next_ns) {
        progress->next_ns = now_ns + DRAW_NS;
        draw(run, now_ns);
    }
}

void cli_progress_clear(rm_cli_run *run)
{
    if (run->progress.shown) {
        fputs(run->progress.two_lines ? "\r\033[K\033[A\r\033[K" : "\r\033[K", stderr);
        fflush(stderr);
        run->progress.shown = run->progress.two_lines = false;
    }
}
