#include "exporter.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "library.h"

enum { CONNECTIONS_MAX = 16, CONNECTION_S_MAX = 5, ANSWER_MS_MAX = 1000 };

/* clang-format off: it has no stable form for this */
#define FUNCTIONS(X)                   \
    X(MHD_start_daemon)                \
    X(MHD_stop_daemon)                 \
    X(MHD_get_daemon_info)             \
    X(MHD_create_response_from_buffer) \
    X(MHD_add_response_header)         \
    X(MHD_queue_response)              \
    X(MHD_destroy_response)
/* clang-format on */

typedef struct http {
    void *library;
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} http;

#define ROW(name) {#name, offsetof(http, name)},
static const cli_function functions[] = {FUNCTIONS(ROW)};
#undef ROW
static const cli_library library = {CLI_HTTP_LIBRARY, "--metrics-port",
                                    "apt-get install libmicrohttpd12", functions,
                                    sizeof functions / sizeof functions[0]};

struct cli_exporter {
    http http;
    struct MHD_Daemon *daemon;
    unsigned port;
    void (*wake)(void);
    _Atomic bool ready;
    _Atomic bool wanted; /* the HTTP thread waits for an answer */

    pthread_mutex_t lock;
    pthread_cond_t answered;
    /* Protected by lock. */
    json_t *answer; /* NULL: none yet */
};

/* ---- the HTTP thread */

static struct timespec deadline(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_MS_MAX / 1000;
    return until;
}

/* What the run tells now; NULL: it does not answer. */
static json_t *ask(cli_exporter *e)
{
    struct timespec until = deadline();
    pthread_mutex_lock(&e->lock);
    json_decref(e->answer); /* of one who did not wait so long */
    e->answer = NULL;
    atomic_store(&e->wanted, true);
    e->wake();
    int timed_out = 0;
    while (!e->answer && !timed_out) {
        timed_out = pthread_cond_timedwait(&e->answered, &e->lock, &until);
    }
    atomic_store(&e->wanted, false);
    json_t *answer = e->answer;
    e->answer = NULL;
    pthread_mutex_unlock(&e->lock);
    return answer;
}

/* Takes the text, which is the heap's. */
static enum MHD_Result reply(const cli_exporter *e, struct MHD_Connection *connection,
                             unsigned code, const char *type, char *takes_text)
{
    if (!takes_text) {
        return MHD_NO;
    }
    struct MHD_Response *response = e->http.MHD_create_response_from_buffer(
        strlen(takes_text), takes_text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(takes_text);
        return MHD_NO;
    }
    (void)e->http.MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result queued = e->http.MHD_queue_response(connection, code, response);
    e->http.MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result say(const cli_exporter *e, struct MHD_Connection *connection, unsigned code,
                           const char *text)
{
    return reply(e, connection, code, "text/plain; charset=utf-8", strdup(text));
}

static enum MHD_Result send_metrics(cli_exporter *e, struct MHD_Connection *connection)
{
    json_t *told = atomic_load(&e->ready) ? ask(e) : NULL;
    if (!told) {
        return say(e, connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                   "the run does not answer: its nodes are being opened, or one is in a call that "
                   "lasts\n");
    }
    char *text = cli_prometheus_text(told);
    json_decref(told);
    return reply(e, connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text);
}

/* The library's callback has eight parameters; an answer to GET needs none of these. */
#define WHAT_A_POST_BRINGS \
    const char *version, const char *upload, size_t *upload_bytes, void **request

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, WHAT_A_POST_BRINGS)
{
    cli_exporter *e = context;
    (void)version;
    (void)upload;
    (void)request;
    *upload_bytes = 0;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        return say(e, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    }
    if (strcmp(url, "/metrics") == 0) {
        return send_metrics(e, connection);
    }
    if (strcmp(url, "/healthz") == 0) {
        return say(e, connection, MHD_HTTP_OK, "ok\n");
    }
    if (strcmp(url, "/readyz") == 0) {
        bool ready = atomic_load(&e->ready);
        return say(e, connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                   ready ? "ready\n" : "not ready\n");
    }
    return say(e, connection, MHD_HTTP_NOT_FOUND, "/metrics, /healthz, /readyz\n");
}

/* ---- the run's thread */

const char *cli_exporter_missing(void)
{
    return cli_library_missing(&library);
}

static rm_status parse_port(const char *text, uint16_t *ret_port, rm_error *err)
{
    char *end;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || port > UINT16_MAX) {
        return rm_fail_as(err, RM_CODE_USAGE, "--metrics-port is '%.20s', want 0 to 65535", text);
    }
    *ret_port = (uint16_t)port;
    return RM_OK;
}

static rm_status listen_on(cli_exporter *e, uint16_t port, rm_error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    errno = 0;
    e->daemon = e->http.MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, port, NULL,
                                         NULL, handle, e, MHD_OPTION_SOCK_ADDR,
                                         (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT,
                                         (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                         (unsigned)CONNECTION_S_MAX, MHD_OPTION_END);
    if (!e->daemon) {
        return rm_fail_os(err, errno ? errno : EADDRINUSE,
                          "--metrics-port: cannot listen on 127.0.0.1:%u", (unsigned)port);
    }
    const union MHD_DaemonInfo *bound =
        e->http.MHD_get_daemon_info(e->daemon, MHD_DAEMON_INFO_BIND_PORT);
    e->port = bound ? bound->port : port;
    return RM_OK;
}

rm_status cli_exporter_start(const char *port_text, void (*wake)(void), cli_exporter **ret_exporter,
                             rm_error *err)
{
    uint16_t port = 0;
    rm_status status = parse_port(port_text, &port, err);
    if (status != RM_OK) {
        return status;
    }
    cli_exporter *e = calloc(1, sizeof *e);
    if (!e) {
        return rm_fail(err, RM_ENOMEM, "no memory for --metrics-port");
    }
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->answered, NULL);
    e->wake = wake;
    status = cli_library_load(&library, &e->http, &e->http.library, err);
    if (status == RM_OK) {
        status = listen_on(e, port, err);
    }
    if (status != RM_OK) {
        cli_exporter_stop(e);
        return status;
    }
    *ret_exporter = e;
    return RM_OK;
}

unsigned cli_exporter_port(const cli_exporter *exporter)
{
    return exporter->port;
}

void cli_exporter_stop(cli_exporter *e)
{
    if (!e) {
        return;
    }
    if (e->daemon) {
        e->http.MHD_stop_daemon(e->daemon);
    }
    if (e->http.library) {
        dlclose(e->http.library);
    }
    json_decref(e->answer);
    pthread_cond_destroy(&e->answered);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void cli_exporter_set_ready(cli_exporter *e, bool ready)
{
    if (e) {
        atomic_store(&e->ready, ready);
    }
}

void cli_exporter_step(cli_exporter *e, json_t *(*make)(void *context), void *context)
{
    if (!e || !atomic_load(&e->wanted)) {
        return;
    }
    json_t *answer = make(context);
    pthread_mutex_lock(&e->lock);
    json_t *late = e->answer;
    e->answer = answer;
    atomic_store(&e->wanted, false);
    pthread_cond_signal(&e->answered);
    pthread_mutex_unlock(&e->lock);
    json_decref(late);
}
