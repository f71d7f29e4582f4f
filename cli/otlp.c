#include "otlp.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

enum { EACH_S = 5, CONNECT_S_MAX = 2, REQUEST_S_MAX = 5, URL_BYTES_MAX = 2000 };
enum { TRACES, METRICS, BODIES };

/* clang-format off: it has no stable form for this */
#define FUNCTIONS(X)      \
    X(curl_easy_init)     \
    X(curl_easy_setopt)   \
    X(curl_easy_perform)  \
    X(curl_easy_getinfo)  \
    X(curl_easy_cleanup)  \
    X(curl_easy_strerror) \
    X(curl_slist_append)  \
    X(curl_slist_free_all)
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
static const cli_library library = {CLI_CURL_LIBRARY, "--otlp", "apt-get install libcurl4",
                                    functions, sizeof functions / sizeof functions[0]};

struct cli_otlp {
    http http;
    CURL *curl;
    struct curl_slist *headers;
    char *url[BODIES];
    char *pipeline;
    json_t *resource;
    int64_t due_ns;
    bool thread_started;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* Protected by lock. */
    char *body[BODIES]; /* to be sent; NULL: not */
    bool sending, stopping;
    char problem[256]; /* the first; "": all was sent */
};

/* ---- the thread that sends */

static size_t ignore_answer(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static void note_problem(cli_otlp *o, const char *url, const char *what, long code)
{
    pthread_mutex_lock(&o->lock);
    if (!o->problem[0] && code) {
        snprintf(o->problem, sizeof o->problem, "%.150s answered %ld", url, code);
    } else if (!o->problem[0]) {
        snprintf(o->problem, sizeof o->problem, "%.150s: %.90s", url, what);
    }
    pthread_mutex_unlock(&o->lock);
}

static void post(cli_otlp *o, const char *url, const char *body)
{
    const http *h = &o->http;
    long code = 0;
    h->curl_easy_setopt(o->curl, CURLOPT_URL, url);
    h->curl_easy_setopt(o->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    h->curl_easy_setopt(o->curl, CURLOPT_POSTFIELDS, body);
    CURLcode failed = h->curl_easy_perform(o->curl);
    if (failed) {
        note_problem(o, url, h->curl_easy_strerror(failed), 0);
        return;
    }
    h->curl_easy_getinfo(o->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200 || code > 299) {
        note_problem(o, url, "", code);
    }
}

static void *send_all(void *context)
{
    cli_otlp *o = context;
    pthread_mutex_lock(&o->lock);
    for (;;) {
        while (!o->body[TRACES] && !o->body[METRICS] && !o->stopping) {
            pthread_cond_wait(&o->changed, &o->lock);
        }
        if (!o->body[TRACES] && !o->body[METRICS]) {
            break;
        }
        int which = o->body[TRACES] ? TRACES : METRICS;
        char *body = o->body[which];
        o->body[which] = NULL;
        o->sending = true;
        pthread_cond_broadcast(&o->changed);
        pthread_mutex_unlock(&o->lock);
        post(o, o->url[which], body);
        free(body);
        pthread_mutex_lock(&o->lock);
        o->sending = false;
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- beginning */

const char *cli_otlp_missing(void)
{
    return cli_library_missing(&library);
}

static char *join_url(const char *base, const char *path)
{
    size_t length = strlen(base), size = length + strlen(path) + 1;
    char *url = malloc(size);
    while (length > 0 && base[length - 1] == '/') {
        length--;
    }
    if (url) {
        snprintf(url, size, "%.*s%s", (int)length, base, path);
    }
    return url;
}

/* "key=value,key=value", as every exporter reads it. */
static void add_own_headers(cli_otlp *o)
{
    const char *text = getenv("OTEL_EXPORTER_OTLP_HEADERS");
    char *copy = text ? strdup(text) : NULL, *rest = NULL, line[1024];
    for (char *pair = copy ? strtok_r(copy, ",", &rest) : NULL; pair;
         pair = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(pair, '=');
        if (equals) {
            snprintf(line, sizeof line, "%.*s: %s", (int)(equals - pair), pair, equals + 1);
            o->headers = o->http.curl_slist_append(o->headers, line);
        }
    }
    free(copy);
}

static rm_status set_up(cli_otlp *o, rm_error *err)
{
    const http *h = &o->http;
    o->curl = h->curl_easy_init();
    o->headers = h->curl_slist_append(NULL, "Content-Type: application/json");
    if (!o->curl || !o->headers || !o->url[TRACES] || !o->url[METRICS] || !o->resource ||
        !o->pipeline) {
        return rm_fail(err, RM_ENOMEM, "no memory for --otlp");
    }
    add_own_headers(o);
    h->curl_easy_setopt(o->curl, CURLOPT_HTTPHEADER, o->headers);
    h->curl_easy_setopt(o->curl, CURLOPT_WRITEFUNCTION, ignore_answer);
    h->curl_easy_setopt(o->curl, CURLOPT_NOSIGNAL, 1L);
    h->curl_easy_setopt(o->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S_MAX);
    h->curl_easy_setopt(o->curl, CURLOPT_TIMEOUT, (long)REQUEST_S_MAX);
    int failed = pthread_create(&o->thread, NULL, send_all, o);
    o->thread_started = !failed;
    return failed ? rm_fail_os(err, failed, "--otlp: no thread") : RM_OK;
}

static void otlp_free(cli_otlp *o)
{
    if (o->curl) {
        o->http.curl_easy_cleanup(o->curl);
    }
    if (o->headers) {
        o->http.curl_slist_free_all(o->headers);
    }
    for (int i = 0; i < BODIES; i++) {
        free(o->url[i]);
        free(o->body[i]);
    }
    free(o->pipeline);
    json_decref(o->resource);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->lock);
    free(o); /* the library stays: what it uses may keep threads of its own */
}

rm_status cli_otlp_start(const char *url, const char *pipeline, cli_otlp **ret_otlp, rm_error *err)
{
    bool is_url = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    if (!is_url || strlen(url) > URL_BYTES_MAX) {
        return rm_fail_as(err, RM_CODE_USAGE, "--otlp is '%.80s', want http://HOST:PORT", url);
    }
    cli_otlp *o = calloc(1, sizeof *o);
    if (!o) {
        return rm_fail(err, RM_ENOMEM, "no memory for --otlp");
    }
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->changed, NULL);
    o->url[TRACES] = join_url(url, "/v1/traces");
    o->url[METRICS] = join_url(url, "/v1/metrics");
    o->pipeline = strdup(pipeline);
    o->resource = cli_otlp_resource(pipeline);
    o->due_ns = cli_now_ns() + EACH_S * (int64_t)1000000000;
    rm_status status = cli_library_load(&library, &o->http, &o->http.library, err);
    if (status == RM_OK) {
        status = set_up(o, err);
    }
    if (status != RM_OK) {
        otlp_free(o);
        return status;
    }
    *ret_otlp = o;
    return RM_OK;
}

/* ---- the run's thread */

/* Nothing waits to be sent. */
static bool is_free(cli_otlp *o)
{
    pthread_mutex_lock(&o->lock);
    bool waits = o->body[TRACES] || o->body[METRICS] || o->sending;
    pthread_mutex_unlock(&o->lock);
    return !waits;
}

bool cli_otlp_is_due(cli_otlp *o)
{
    return o && cli_now_ns() >= o->due_ns && is_free(o);
}

/* What was handed over before goes first. */
static void hand_over(cli_otlp *o, const cli_otlp_run *run)
{
    char *bodies[BODIES] = {cli_otlp_traces(run), run->metrics ? cli_otlp_metrics(run) : NULL};
    pthread_mutex_lock(&o->lock);
    while (o->body[TRACES] || o->body[METRICS]) {
        pthread_cond_wait(&o->changed, &o->lock);
    }
    for (int i = 0; i < BODIES; i++) {
        o->body[i] = bodies[i];
    }
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

void cli_otlp_send(cli_otlp *o, const json_t *spans, const json_t *metrics)
{
    o->due_ns = cli_now_ns() + EACH_S * (int64_t)1000000000;
    cli_otlp_run run = {
        .resource = o->resource, .pipeline = o->pipeline, .spans = spans, .metrics = metrics};
    if (spans) {
        hand_over(o, &run);
    }
}

bool cli_otlp_finish(cli_otlp *o, const json_t *spans, const json_t *metrics, const rm_error *error,
                     rm_error *ret_problem)
{
    if (!o) {
        return true;
    }
    cli_otlp_run run = {.resource = o->resource,
                        .pipeline = o->pipeline,
                        .spans = spans,
                        .metrics = metrics,
                        .ended = true,
                        .error = error};
    if (spans) {
        hand_over(o, &run);
    }
    pthread_mutex_lock(&o->lock);
    o->stopping = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    bool sent = !o->problem[0];
    if (!sent) {
        (void)rm_fail(ret_problem, RM_EIO, "--otlp: %s", o->problem);
    }
    otlp_free(o);
    return sent;
}
