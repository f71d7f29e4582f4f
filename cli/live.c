#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ENTRIES_MAX = 1024, ANSWER_BYTES_MAX = 16 << 20, BLOCK_BYTES = 65536 };

/* ---- the folder */

static bool is_ours_alone(const char *folder)
{
    struct stat is;
    return lstat(folder, &is) == 0 && S_ISDIR(is.st_mode) && is.st_uid == geteuid() &&
           (is.st_mode & 077) == 0;
}

/* False: there is none that can be trusted. */
static bool find_folder(char *folder, size_t size, bool make)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length = runtime && *runtime == '/'
                     ? snprintf(folder, size, "%s/remotemedia", runtime)
                     : snprintf(folder, size, "/tmp/remotemedia-%u", (unsigned)geteuid());
    if (length < 0 || (size_t)length + sizeof "/2147483647.python.sock" > size) {
        return false;
    }
    if (make) {
        (void)mkdir(folder, 0700);
    }
    return is_ours_alone(folder);
}

/* The process whose socket this is; 0: it is none. */
static pid_t pid_of(const char *name)
{
    char *end;
    long pid = strtol(name, &end, 10);
    bool known = strcmp(end, ".sock") == 0 || strcmp(end, ".python.sock") == 0;
    return *name >= '1' && *name <= '9' && known && pid <= INT_MAX ? (pid_t)pid : 0;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

/* A socket that is connected; -1 where nobody listens. One whose process is dead is removed. */
static int ask(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        return fd;
    }
    if (errno == ECONNREFUSED) {
        (void)unlink(path);
    }
    close(fd);
    return -1;
}

/* Calls visit(context, pid, path) for each socket of the folder. */
static void each_socket(const char *folder, void (*visit)(void *context, pid_t pid, const char *),
                        void *context)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    for (int i = 0; list && i < ENTRIES_MAX && (entry = readdir(list)); i++) {
        char path[CLI_LIVE_PATH_MAX];
        pid_t pid = pid_of(entry->d_name);
        if (pid &&
            (size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < sizeof path) {
            visit(context, pid, path);
        }
    }
    if (list) {
        closedir(list);
    }
}

static void remove_stale(void *context, pid_t pid, const char *path)
{
    (void)context;
    if (kill(pid, 0) != 0 && errno == ESRCH) { /* or a process of another namespace */
        int fd = ask(path);
        if (fd >= 0) {
            close(fd);
        }
    }
}

/* ---- answering */

/* Under its name once it listens: one that does not is taken for a dead process's. */
static bool bind_and_listen(int fd, const char *fresh, const char *path)
{
    struct sockaddr_un address = address_of(fresh);
    (void)unlink(fresh);
    bool listens = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                   listen(fd, CLI_LIVE_CLIENTS_MAX) == 0 && rename(fresh, path) == 0;
    if (!listens) {
        (void)unlink(fresh);
    }
    return listens;
}

int rm_cli_live_listen(const char *suffix, char *ret_path, size_t size)
{
    char folder[CLI_LIVE_PATH_MAX], fresh[CLI_LIVE_PATH_MAX];
    if (!find_folder(folder, sizeof folder, true)) {
        return -1;
    }
    each_socket(folder, remove_stale, NULL);
    int length = snprintf(ret_path, size, "%s/%d%s.sock", folder, (int)getpid(), suffix);
    snprintf(fresh, sizeof fresh, "%.80s/%d%.8s.new", folder, (int)getpid(), suffix);
    if (length < 0 || (size_t)length >= size) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && !bind_and_listen(fd, fresh, ret_path)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void cli_live_start(cli_live *live)
{
    live->fd = rm_cli_live_listen("", live->path, sizeof live->path);
    live->listens = live->fd >= 0;
}

static void drop_client(cli_live *live, unsigned index)
{
    close(live->client[index].fd);
    free(live->client[index].text);
    live->client[index] = live->client[--live->client_count];
}

void cli_live_stop(cli_live *live)
{
    while (live->client_count) {
        drop_client(live, live->client_count - 1);
    }
    if (live->listens) {
        close(live->fd);
        (void)unlink(live->path);
        live->listens = false;
    }
}

/* False: it is over, well or not. */
static bool send_some(cli_live_client *client)
{
    while (client->at < client->bytes) {
        ssize_t sent = send(client->fd, client->text + client->at, client->bytes - client->at,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0) {
            return sent < 0 && (errno == EAGAIN || errno == EINTR);
        }
        client->at += (size_t)sent;
    }
    return false;
}

static void take_client(cli_live *live, int fd, json_t *takes_answer)
{
    char *text = takes_answer ? json_dumps(takes_answer, JSON_COMPACT) : NULL;
    json_decref(takes_answer);
    if (!text) {
        close(fd);
        return;
    }
    live->client[live->client_count++] =
        (cli_live_client){.fd = fd, .text = text, .bytes = strlen(text)};
}

void cli_live_step(cli_live *live, json_t *(*make)(void *context), void *context)
{
    while (live->listens && live->client_count < CLI_LIVE_CLIENTS_MAX) {
        int fd = accept4(live->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            break;
        }
        take_client(live, fd, make(context));
    }
    for (unsigned i = live->client_count; i-- > 0;) {
        if (!send_some(&live->client[i])) {
            drop_client(live, i);
        }
    }
}

unsigned cli_live_poll(const cli_live *live, struct pollfd *ret_wanted)
{
    unsigned count = 0;
    if (live->listens && live->client_count < CLI_LIVE_CLIENTS_MAX) {
        ret_wanted[count++] = (struct pollfd){live->fd, POLLIN, 0};
    }
    for (unsigned i = 0; i < live->client_count; i++) {
        ret_wanted[count++] = (struct pollfd){live->client[i].fd, POLLOUT, 0};
    }
    return count;
}

/* ---- asking */

typedef struct asked_run {
    pid_t pid;
    int fd; /* -1: it has answered, or hung up */
    char *text;
    size_t bytes;
} asked_run;

typedef struct asked_runs {
    unsigned count;
    asked_run run[CLI_LIVE_RUNS_MAX];
} asked_runs;

static void ask_one(void *context, pid_t pid, const char *path)
{
    asked_runs *all = context;
    int fd = all->count < CLI_LIVE_RUNS_MAX ? ask(path) : -1;
    if (fd >= 0) {
        all->run[all->count++] = (asked_run){.pid = pid, .fd = fd};
    }
}

/* False: nothing more will come. */
static bool receive_some(asked_run *run)
{
    for (;;) {
        char *grown = realloc(run->text, run->bytes + BLOCK_BYTES);
        if (!grown || run->bytes > ANSWER_BYTES_MAX) {
            free(grown ? grown : run->text);
            *run = (asked_run){.pid = run->pid, .fd = run->fd};
            return false;
        }
        run->text = grown;
        ssize_t got = recv(run->fd, run->text + run->bytes, BLOCK_BYTES, 0);
        if (got <= 0) {
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        }
        run->bytes += (size_t)got;
    }
}

static void receive(asked_runs *all, int64_t until_ns)
{
    struct pollfd wanted[CLI_LIVE_RUNS_MAX];
    for (;;) {
        unsigned open = 0;
        for (unsigned i = 0; i < all->count; i++) {
            wanted[i] = (struct pollfd){all->run[i].fd, POLLIN, 0};
            open += all->run[i].fd >= 0;
        }
        int64_t left_ns = until_ns - cli_now_ns();
        if (open == 0 || left_ns <= 0 ||
            poll(wanted, all->count, (int)(left_ns / 1000000) + 1) < 0) {
            return;
        }
        for (unsigned i = 0; i < all->count; i++) {
            if (wanted[i].revents && !receive_some(&all->run[i])) {
                close(all->run[i].fd);
                all->run[i].fd = -1;
            }
        }
    }
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const asked_run *)a)->pid, y = ((const asked_run *)b)->pid;
    return (x > y) - (x < y);
}

/* NULL: it ended while it was asked. */
static json_t *answer_of(const asked_run *run)
{
    if (run->fd >= 0) {
        return json_pack("{s:i, s:s}", "pid", (int)run->pid, "state", "busy");
    }
    json_t *answer = run->bytes ? json_loadb(run->text, run->bytes, 0, NULL) : NULL;
    if (!json_is_object(answer)) {
        json_decref(answer);
        return NULL;
    }
    return answer;
}

/* A process that runs several pipelines answers for all of them. */
static void append_runs(json_t *answers, json_t *takes_answer)
{
    const json_t *runs = json_object_get(takes_answer, "runs");
    if (!runs) {
        json_array_append_new(answers, takes_answer);
        return;
    }
    for (size_t i = 0; i < json_array_size(runs); i++) {
        json_t *run = json_array_get(runs, i);
        if (json_is_object(run)) {
            json_object_set(run, "pid", json_object_get(takes_answer, "pid"));
            json_array_append(answers, run);
        }
    }
    json_decref(takes_answer);
}

json_t *cli_live_ask_all(int timeout_ms)
{
    char folder[CLI_LIVE_PATH_MAX];
    asked_runs all = {0};
    json_t *answers = json_array();
    if (!find_folder(folder, sizeof folder, false)) {
        return answers;
    }
    each_socket(folder, ask_one, &all);
    receive(&all, cli_now_ns() + timeout_ms * (int64_t)1000000);
    qsort(all.run, all.count, sizeof all.run[0], by_pid);
    for (unsigned i = 0; i < all.count; i++) {
        json_t *answer = answer_of(&all.run[i]);
        if (answer) {
            append_runs(answers, answer);
        }
        if (all.run[i].fd >= 0) {
            close(all.run[i].fd);
        }
        free(all.run[i].text);
    }
    return answers;
}
