/* The command inside a host, as the Python wheel runs it: the host's types, its driver, its end. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <remotemedia/cli.h>
#include <remotemedia/remotemedia.h>

#include "base/test.h"

static int wake_pipe[2];
static unsigned ticks, fail_at; /* the item that host.upper fails on; 0: none */
static int raise_at_tick;       /* SIGTERM once so many ticks have been */

/* ---- a node type of the host */

static rm_status upper(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const rm_packet *in = inputs->packet[0];
    rm_packet *out = NULL;
    if (in->header.sequence == fail_at) {
        return rm_fail(err, RM_EFAIL, "no letter '%c' here", *(const char *)in->payload);
    }
    rm_status status = rm_packet_new(node, in->header.payload_bytes, &out);
    if (status != RM_OK) {
        return status;
    }
    out->header.kind = RM_KIND_TEXT;
    for (size_t i = 0; i < in->header.payload_bytes; i++) {
        char c = ((const char *)in->payload)[i];
        ((char *)out->payload)[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    return rm_emit(node, 0, out);
}

static const rm_port text_in[] = {{.name = "in", .formats = "text"}, {0}},
                     text_out[] = {{.name = "out", .formats = "text"}, {0}};
static const rm_node_type upper_type = {.struct_size = sizeof upper_type,
                                        .name = "host.upper",
                                        .summary = "Capital letters",
                                        .flags = RM_NODE_PYTHON,
                                        .inputs = text_in,
                                        .outputs = text_out,
                                        .process = upper};

static _Atomic bool gate_open;

/* Asks for the live graph, then for the end, and does not see to either. */
static rm_status stuck(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    struct stat about;
    (void)node;
    (void)inputs;
    (void)err;
    raise(SIGUSR1);
    while (fstat(STDERR_FILENO, &about) == 0 && about.st_size == 0 && !gate_open) {
        sched_yield();
    }
    raise(SIGTERM);
    while (!gate_open) {
        sched_yield();
    }
    return RM_DONE;
}

static const rm_node_type stuck_type = {.struct_size = sizeof stuck_type,
                                        .name = "host.stuck",
                                        .summary = "Does not return",
                                        .flags = RM_NODE_BLOCKS,
                                        .process = stuck};

static _Atomic bool words_seen;

/* Says on its second output what it is not sure of yet, and ends once that was seen. */
static rm_status hear(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    static const char words[] = "rather cold";
    int64_t *deadline_ns = node->state;
    (void)inputs;
    (void)err;
    if (*deadline_ns) {
        rm_node_wake_at(node, rm_node_now(node) + 10000000);
        return words_seen || rm_node_now(node) > *deadline_ns ? RM_DONE : RM_EAGAIN;
    }
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, sizeof words - 1, &packet);
    if (status != RM_OK) {
        return status;
    }
    *deadline_ns = rm_node_now(node) + 20000000000;
    packet->header.kind = RM_KIND_TEXT;
    memcpy(packet->payload, words, sizeof words - 1);
    return rm_emit(node, 1, packet);
}

static rm_status swallow(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_OK;
}

static const rm_port hear_out[] = {
    {.name = "text", .formats = "text"}, {.name = "partial", .formats = "text"}, {0}};
static const rm_node_type hear_type = {.struct_size = sizeof hear_type,
                                       .name = "host.hear",
                                       .summary = "Says what it hears",
                                       .flags = RM_NODE_PYTHON,
                                       .outputs = hear_out,
                                       .state_size = sizeof(int64_t),
                                       .process = hear};
static const rm_node_type sink_type = {.struct_size = sizeof sink_type,
                                       .name = "host.sink",
                                       .summary = "Takes words",
                                       .inputs = text_in,
                                       .process = swallow};

static rm_status setup(void *context, rm_registry *registry, rm_error *err)
{
    static const rm_node_type *const types[] = {&upper_type, &stuck_type, &hear_type, &sink_type};
    rm_status status = RM_OK;
    (void)context;
    for (size_t i = 0; i < RMI_COUNT(types) && status == RM_OK; i++) {
        status = rm_registry_add(registry, types[i], err);
    }
    return status;
}

/* ---- a driver as a host writes it */

static void wake(void *context)
{
    (void)context;
    ssize_t ignored = write(wake_pipe[1], "", 1);
    (void)ignored;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static rm_status drive(void *context, const rm_plan *plan, rm_cli_run *run, rm_error *err)
{
    (void)context;
    rm_session_options options = {
        .struct_size = sizeof options, .driver = RM_DRIVER_CALLER, .wake = wake};
    rm_session *session = NULL;
    rm_status status = rm_session_open(plan, &options, &session, err);
    if (status != RM_OK) {
        return status;
    }
    rm_cli_run_opened(run, session);
    int64_t next_ns;
    while ((status = rm_session_step(session, now_ns(), 64, &next_ns)) == RM_MORE ||
           status == RM_PENDING) {
        struct pollfd wanted = {wake_pipe[0], POLLIN, 0};
        char byte[64];
        rm_cli_run_tick(run);
        if (++ticks == (unsigned)raise_at_tick) {
            raise(SIGTERM);
        }
        if (status == RM_PENDING && poll(&wanted, 1, 50) == 1) {
            ssize_t ignored = read(wake_pipe[0], byte, sizeof byte);
            (void)ignored;
        }
    }
    rm_cli_run_ended(run);
    if (status < 0) {
        (void)rm_session_error(session, err);
    }
    rm_session_free(session);
    return status;
}

static const rm_cli_host host = {
    .struct_size = sizeof host, .version_suffix = "a host", .setup_registry = setup, .run = drive};

/* One that leaves the driving to the command. */
static const rm_cli_host guest = {.struct_size = sizeof guest, .setup_registry = setup};

/* ---- running the command with its output in files */

static char out_text[8192], err_text[8192];

static void read_back(int fd, char *text, size_t size)
{
    ssize_t got = pread(fd, text, size - 1, 0);
    text[got > 0 ? got : 0] = '\0';
}

static int run_as(const rm_cli_host *who, const char *const *words)
{
    char *argv[16] = {0};
    int argc = 0, before[2] = {dup(1), dup(2)};
    for (; words[argc]; argc++) {
        argv[argc] = strdup(words[argc]);
    }
    FILE *out = tmpfile(), *err = tmpfile();
    fflush(stdout);
    dup2(fileno(out), 1);
    dup2(fileno(err), 2);
    ticks = 0;
    int code = rm_cli_main(who, argc, argv);
    fflush(stdout);
    dup2(before[0], 1);
    dup2(before[1], 2);
    close(before[0]);
    close(before[1]);
    read_back(fileno(out), out_text, sizeof out_text);
    read_back(fileno(err), err_text, sizeof err_text);
    fclose(out);
    fclose(err);
    for (int i = 0; i < argc; i++) {
        free(argv[i]);
    }
    return code;
}

static int run_words(const char *const *words)
{
    return run_as(&host, words);
}

static const char *write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    CHECK(file && fputs(text, file) >= 0);
    fclose(file);
    return name;
}

static const char manifest[] =
    "{\"version\": \"v1\", \"nodes\": [{\"id\": \"up\", \"node_type\": \"host.upper\"}],"
    " \"connections\": [], \"inputs\": {\"in\": {\"node\": \"up\"}},"
    " \"outputs\": {\"out\": {\"node\": \"up\"}}}";

static void in_folder(char *folder)
{
    CHECK(mkdtemp(folder) != NULL);
    CHECK_INT(chdir(folder), 0);
    write_file("p.json", manifest);
    write_file("words.txt", "one\ntwo\nthree\n");
    fail_at = 0;
    raise_at_tick = -1;
    CHECK_INT(pipe(wake_pipe), 0);
}

static void leave_folder(const char *folder)
{
    unlink("p.json");
    unlink("words.txt");
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(rmdir(folder), 0);
    close(wake_pipe[0]);
    close(wake_pipe[1]);
}

TEST(a_host_runs_its_own_node_type_on_its_own_thread)
{
    char folder[] = "/tmp/rm-host-XXXXXX";
    in_folder(folder);
    const char *words[] = {"remotemedia", "run", "p.json", "-i", "words.txt", NULL};
    CHECK_INT(run_words(words), 0);
    CHECK_TEXT(out_text, "ONE\nTWO\nTHREE\n");
    CHECK_CONTAINS(err_text, "3 items in");
    CHECK_CONTAINS(err_text, "host.upper");
    CHECK(ticks > 0);
    leave_folder(folder);
}

TEST(a_failed_node_is_told_with_its_id_and_item)
{
    char folder[] = "/tmp/rm-host-XXXXXX";
    in_folder(folder);
    fail_at = 2;
    const char *words[] = {"remotemedia", "run", "p.json", "-i", "words.txt", "-q", NULL};
    CHECK_INT(run_words(words), 1);
    CHECK_CONTAINS(err_text, "no letter 't' here");
    CHECK_CONTAINS(err_text, "node 'up', item 2");
    const char *json[] = {"remotemedia", "run", "p.json", "-i", "words.txt", "--json", NULL};
    CHECK_INT(run_words(json), 1);
    CHECK_CONTAINS(out_text, "\"node\":\"up\",\"item\":2");
    CHECK_CONTAINS(out_text, "\"ok\":false");
    leave_folder(folder);
}

TEST(sigterm_ends_a_hosted_run)
{
    char folder[] = "/tmp/rm-host-XXXXXX";
    in_folder(folder);
    raise_at_tick = 1;
    int ends[2], before = dup(0); /* stdin stays open, so that nothing else ends the run */
    CHECK_INT(pipe(ends), 0);
    dup2(ends[0], 0);
    const char *words[] = {"remotemedia", "run", "p.json", "-i", "-", NULL};
    CHECK_INT(run_words(words), 1);
    CHECK_CONTAINS(err_text, "the run was ended by SIGTERM");
    dup2(before, 0);
    close(before);
    close(ends[0]);
    close(ends[1]);
    leave_folder(folder);
}

TEST(the_other_commands_know_the_hosts_types)
{
    const char *version[] = {"remotemedia", "version", NULL};
    CHECK_INT(run_words(version), 0);
    CHECK_CONTAINS(out_text, "(a host)");
    const char *nodes[] = {"remotemedia", "nodes", "host.upper", NULL};
    CHECK_INT(run_words(nodes), 0);
    CHECK_CONTAINS(out_text, "Capital letters");
    const char *doctor[] = {"remotemedia", "doctor", NULL};
    CHECK(run_words(doctor) <= 1);
    CHECK_CONTAINS(out_text, "run in this process");
}

TEST(a_node_that_does_not_return_is_shown_and_left_behind)
{
    const char *words[] = {"remotemedia", "run", "host.stuck", "-q", NULL};
    CHECK_INT(run_as(&guest, words), 1);
    CHECK_CONTAINS(err_text, "host.stuck           busy");
    CHECK_CONTAINS(err_text, "a node did not return from its call within");
    gate_open = true;
}

/* ---- on a terminal */

typedef struct screen {
    int master;
    char text[16384];
} screen;

/* Reads the terminal until its other end is closed, and lets the node end once its words came. */
static void *watch(void *argument)
{
    screen *s = argument;
    size_t used = 0;
    for (;;) {
        ssize_t got = read(s->master, s->text + used, sizeof s->text - 1 - used);
        if (got <= 0) {
            return NULL;
        }
        used += (size_t)got;
        s->text[used] = '\0';
        words_seen = words_seen || strstr(s->text, "rather cold") || used == sizeof s->text - 1;
    }
}

TEST(what_a_recogniser_is_not_sure_of_yet_is_shown)
{
    static screen s;
    pthread_t watcher;
    int before = dup(STDERR_FILENO);
    s.master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(s.master >= 0 && grantpt(s.master) == 0 && unlockpt(s.master) == 0);
    int slave = open(ptsname(s.master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    CHECK_INT(setenv("TERM", "xterm", 1), 0);
    CHECK_INT(pthread_create(&watcher, NULL, watch, &s), 0);
    dup2(slave, STDERR_FILENO);
    close(slave);
    char *argv[] = {"remotemedia", "run", "host.hear ! host.sink", NULL};
    int code = rm_cli_main(&host, 3, argv);
    dup2(before, STDERR_FILENO); /* closes the terminal's last end */
    close(before);
    pthread_join(watcher, NULL);
    close(s.master);
    CHECK_INT(code, 0);
    CHECK_CONTAINS(s.text, "rather cold");
    CHECK(strstr(s.text, "rm-words") == NULL);
}

TEST_MAIN(T(what_a_recogniser_is_not_sure_of_yet_is_shown),
          T(a_host_runs_its_own_node_type_on_its_own_thread),
          T(a_failed_node_is_told_with_its_id_and_item), T(sigterm_ends_a_hosted_run),
          T(the_other_commands_know_the_hosts_types),
          T(a_node_that_does_not_return_is_shown_and_left_behind))
