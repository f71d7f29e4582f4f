/* The line that shows how far a run is, redrawn in place on stderr where that is a terminal:
 *
 *     0:12.3  ━━━━━━━━━━━━──────────  53 %  45.2x real time  0:11 left
 *     0:27.9  ━━━━━━━━━━━━━━━━━━━━━━ 100 %  3.1x real time  in asr for 4 s
 *
 * The run's own thread counts and draws. A node may keep that thread from it for seconds, as one in
 * Python does that holds the interpreter's lock: then a thread of the line's own draws what was
 * counted last, with the time that goes by.
 *
 * How far: the position that the session's sources have reached, and, for the part of the whole,
 * how much of the input file this process has read (/proc/self/fdinfo; without it there is no bar);
 * both less what still waits in the queues behind, which for a slow last node may be all of it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

enum { DRAW_NS = 100000000, LINE_BYTES = 2048, BAR_COLUMNS_MAX = 40, FIRST_NS = 300000000 };
enum { COUNTED_NODES_MAX = 64, COUNT_SLOW_NS = 5000000, COUNT_PART = 100, SLOW_COUNT_PART = 50 };
enum { LATE_NS = 150000000, STILL_NS = 1000000000 };

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

/* NULL: there are none. */
static json_t *take_numbers(const rm_cli_run *run)
{
    char *text = NULL;
    if (rm_plan_node_count(run->pipeline.plan) > COUNTED_NODES_MAX ||
        rm_session_metrics(run->session, &text, NULL) != RM_OK) {
        return NULL;
    }
    json_t *metrics = json_loads(text, 0, NULL);
    rm_free(text);
    return metrics;
}

/* 0 to 1: by the counts of packets, along the slowest way from a source to a sink. */
static double share_done(const json_t *metrics)
{
    json_t *shares = json_object();
    const json_t *nodes = json_object_get(metrics, "nodes");
    double least = 1;
    for (size_t i = 0; i < json_array_size(nodes); i++) { /* in the order of the flow */
        const char *id = json_string_value(json_object_get(json_array_get(nodes, i), "id"));
        double share = id ? share_at(json_object_get(metrics, "edges"), id, shares) : 1;
        json_object_set_new(shares, id ? id : "", json_real(share));
        least = share < least ? share : least;
    }
    json_decref(shares);
    return least;
}

/* Added by this program or the plan. */
static bool is_hidden(const json_t *node)
{
    const char *type = json_string_value(json_object_get(node, "type"));
    return type && strncmp(type, "rm.", 3) == 0;
}

static bool is_alone_on_strand(const json_t *nodes, const json_t *node)
{
    unsigned count = 0;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *other = json_array_get(nodes, i);
        count += !is_hidden(other) && number(other, "strand") == number(node, "strand");
    }
    return count == 1;
}

/* The id of the node whose call is under way; of several the one that took most so far. "": none
 * that can be told. A strand that does not answer says of all its nodes that they are busy. */
static void find_working(const json_t *metrics, char *id, size_t size)
{
    const json_t *nodes = json_object_get(metrics, "nodes");
    double most_ns = -1;
    id[0] = '\0';
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const char *state = json_string_value(json_object_get(node, "state"));
        bool is_busy = state && strcmp(state, "busy") == 0 && is_alone_on_strand(nodes, node);
        bool is_out = state && strcmp(state, "pending") == 0;
        double sum_ns = number(json_object_get(node, "time"), "sum_ns");
        if (!is_hidden(node) && (is_busy || is_out) && sum_ns > most_ns) {
            most_ns = sum_ns;
            snprintf(id, size, "%s", json_string_value(json_object_get(node, "id")));
        }
    }
}

/* What the run's own thread alone can tell. That thread may be kept from here at any time, so that
 * it is done as often as it may cost a hundredth of the time, or a fiftieth where it waits for the
 * calls that are running. */
static void count(rm_cli_run *run, int64_t now_ns)
{
    cli_progress *progress = &run->progress;
    json_t *metrics = take_numbers(run);
    int64_t took_ns = cli_now_ns() - now_ns;
    progress->count_ns =
        now_ns + took_ns * (took_ns > COUNT_SLOW_NS ? SLOW_COUNT_PART : COUNT_PART);
    pthread_mutex_lock(&progress->lock);
    if (metrics) {
        progress->share = share_done(metrics);
        find_working(metrics, progress->working, sizeof progress->working);
    }
    pthread_mutex_unlock(&progress->lock);
    json_decref(metrics);
}

/* How far the run is, in the media's time, RM_TIME_NONE where it has none; never back. Under the
 * lock, as all that follows. */
static int64_t look(rm_cli_run *run, int64_t now_ns)
{
    cli_progress *progress = &run->progress;
    int64_t read_ns, before_ns = progress->position_ns;
    uint64_t packets;
    progress->read = part_read(progress);
    double part = progress->read * progress->share, before = progress->part;
    rm_session_progress(run->session, &read_ns, &packets);
    if (progress->read >= 0 && part > before) {
        progress->part = part;
    }
    if (read_ns != RM_TIME_NONE && (double)read_ns * progress->share > (double)before_ns) {
        progress->position_ns = (int64_t)((double)read_ns * progress->share);
    }
    if (packets != progress->packets || progress->position_ns > before_ns ||
        progress->part > before) {
        progress->moved_ns = now_ns;
    }
    progress->packets = packets;
    return read_ns == RM_TIME_NONE ? RM_TIME_NONE : progress->position_ns;
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

/* "  0:11 left", or "  in asr for 4 s" where nothing moves. */
static void add_rest(const rm_cli_run *run, int64_t now_ns, char *text, size_t size)
{
    const cli_progress *progress = &run->progress;
    int64_t still_ns = now_ns - progress->moved_ns;
    double part = progress->part;
    size_t used = strlen(text);
    if (progress->working[0] && still_ns >= STILL_NS) {
        snprintf(text + used, size - used, "  in %s for %lld s", progress->working,
                 (long long)(still_ns / 1000000000));
    } else if (part > 0.02 && part < 0.995) {
        double left_ns = (double)(now_ns - run->begin_ns) * (1 - part) / part;
        cli_append(text, size, "  ", 2);
        add_time(text, size, (int64_t)left_ns);
        cli_append(text, size, " left", 5);
    }
}

static void describe(const rm_cli_run *run, int64_t position_ns, int64_t now_ns, char *text,
                     size_t size)
{
    char items[32];
    double speed = speed_of(run, position_ns, now_ns);
    if (speed > 0) {
        snprintf(text, size, "%.*fx real time", speed < 10 ? 1 : 0, speed);
    } else {
        snprintf(text, size, "%s items",
                 cli_count((double)run->progress.packets, items, sizeof items));
    }
    add_rest(run, now_ns, text, size);
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
    char line[LINE_BYTES] = "", words[CLI_WORDS_BYTES + 64], text[240];
    unsigned width = cli_width(STDERR_FILENO) - 1;
    int64_t position_ns = look(run, now_ns), turn = now_ns / DRAW_NS;
    describe(run, position_ns, now_ns, text, sizeof text);
    if (cli_is_utf8()) {
        cli_append(line, sizeof line, spinner[turn % 10], 1);
    } else {
        line[0] = "|/-\\"[turn % 4];
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
    progress->next_ns = now_ns + DRAW_NS;
}

/* ---- the line's own thread */

static void wait_a_while(cli_progress *progress)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += DRAW_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&progress->wake, &progress->lock, &until);
}

static void *draw_when_late(void *argument)
{
    rm_cli_run *run = argument;
    cli_progress *progress = &run->progress;
    pthread_mutex_lock(&progress->lock);
    while (!progress->stopping) {
        int64_t now_ns = cli_now_ns();
        if (now_ns >= progress->stepped_ns + LATE_NS && now_ns >= progress->next_ns) {
            draw(run, now_ns);
        }
        wait_a_while(progress);
    }
    pthread_mutex_unlock(&progress->lock);
    return NULL;
}

/* Without it the line stands still at times. No signal is for it. */
static void start_thread(rm_cli_run *run)
{
    cli_progress *progress = &run->progress;
    pthread_condattr_t monotonic;
    sigset_t all, before;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&progress->lock, NULL);
    pthread_cond_init(&progress->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    progress->ready = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    progress->thread_started = pthread_create(&progress->thread, NULL, draw_when_late, run) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
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
    progress->stepped_ns = progress->moved_ns = run->begin_ns;
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
    if (progress->wanted) {
        start_thread(run);
    }
}

void cli_progress_step(rm_cli_run *run)
{
    cli_progress *progress = &run->progress;
    if (!progress->ready) {
        return;
    }
    int64_t now_ns = cli_now_ns();
    pthread_mutex_lock(&progress->lock);
    progress->stepped_ns = now_ns;
    bool is_due = now_ns >= progress->next_ns;
    pthread_mutex_unlock(&progress->lock);
    if (now_ns >= progress->count_ns) {
        count(run, now_ns);
    }
    if (is_due) {
        pthread_mutex_lock(&progress->lock);
        draw(run, cli_now_ns());
        pthread_mutex_unlock(&progress->lock);
    }
}

/* What is printed next stands in its place until it is drawn again. */
void cli_progress_clear(rm_cli_run *run)
{
    cli_progress *progress = &run->progress;
    if (!progress->ready) {
        return;
    }
    pthread_mutex_lock(&progress->lock);
    if (progress->shown) {
        fputs(progress->two_lines ? "\r\033[K\033[A\r\033[K" : "\r\033[K", stderr);
        fflush(stderr);
        progress->shown = progress->two_lines = false;
    }
    pthread_mutex_unlock(&progress->lock);
}

void cli_progress_stop(rm_cli_run *run)
{
    cli_progress *progress = &run->progress;
    if (!progress->ready) {
        return;
    }
    if (progress->thread_started) {
        pthread_mutex_lock(&progress->lock);
        progress->stopping = true;
        pthread_cond_signal(&progress->wake);
        pthread_mutex_unlock(&progress->lock);
        pthread_join(progress->thread, NULL);
        progress->thread_started = false;
    }
    cli_progress_clear(run);
    progress->ready = false;
    pthread_cond_destroy(&progress->wake);
    pthread_mutex_destroy(&progress->lock);
}
