#include <fnmatch.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <remotemedia/log.h>

#include "base/cleanup.h"
#include "base/log.h"

enum { RULES_MAX = 16, TOPIC_MAX = 48, LINE_MAX_BYTES = 1024 };

typedef struct log_rule {
    char topic[TOPIC_MAX]; /* fnmatch() pattern */
    int level;             /* messages up to this one; 0: none */
} log_rule;

typedef struct log_filter {
    unsigned count;
    log_rule rule[RULES_MAX]; /* the last that matches decides */
} log_filter;

static const char *const level_names[] = {"off", "error", "warning", "info", "debug", "trace"};

static rm_log_sink the_sink;
static void *sink_context;
static log_filter filter = {1, {{"*", RM_LOG_WARNING}}};

/* The most talkative level of any rule: most messages end at this one comparison. */
static _Atomic int level_max = RM_LOG_WARNING;

void rm_log_set_sink(rm_log_sink sink, void *context)
{
    sink_context = context;
    the_sink = sink;
}

static int level_of(const char *name, size_t length)
{
    for (int level = 0; level < (int)RMI_COUNT(level_names); level++) {
        if (strlen(level_names[level]) == length && memcmp(level_names[level], name, length) == 0) {
            return level;
        }
    }
    return -1;
}

/* "level" or "topic:level". */
static rm_status parse_rule(const char *text, size_t length, log_rule *ret_rule, rm_error *err)
{
    const char *colon = memchr(text, ':', length);
    size_t topic_length = colon ? (size_t)(colon - text) : 0;
    const char *name = colon ? colon + 1 : text;
    size_t name_length = length - (size_t)(name - text);
    int level = level_of(name, name_length);
    if (level < 0) {
        return rm_fail(
            err, RM_EINVAL,
            "log filter: '%.*s' is not a level, want off, error, warning, info, debug or "
            "trace",
            (int)name_length, name);
    }
    if (topic_length >= TOPIC_MAX) {
        return rm_fail(err, RM_EINVAL, "log filter: topic '%.*s' is longer than %d",
                       (int)topic_length, text, TOPIC_MAX - 1);
    }
    *ret_rule = (log_rule){.level = level};
    memcpy(ret_rule->topic, colon ? text : "*", colon ? topic_length : 1);
    return RM_OK;
}

rm_status rm_log_set_filter(const char *text, rm_error *err)
{
    log_filter parsed = {0};
    int most = 0;
    while (text && *text) {
        size_t length = strcspn(text, ",");
        if (parsed.count == RULES_MAX) {
            return rm_fail(err, RM_EINVAL, "log filter: more than %d patterns", RULES_MAX);
        }
        log_rule *rule = &parsed.rule[parsed.count];
        rm_status status = parse_rule(text, length, rule, err);
        if (status != RM_OK) {
            return status;
        }
        most = rule->level > most ? rule->level : most;
        parsed.count++;
        text += length + (text[length] == ',');
    }
    filter = parsed;
    atomic_store_explicit(&level_max, most, memory_order_release);
    return RM_OK;
}

static bool wanted(rm_log_level level, const char *topic)
{
    for (unsigned i = filter.count; i-- > 0;) {
        if (fnmatch(filter.rule[i].topic, topic, 0) == 0) {
            return (int)level <= filter.rule[i].level;
        }
    }
    return false;
}

bool rmi_log_wants(rm_log_level level, const char *topic)
{
    return (int)level <= atomic_load_explicit(&level_max, memory_order_acquire) && the_sink &&
           wanted(level, topic);
}

void rm_log(rm_log_level level, const char *topic, const char *format, ...)
{
    if (!rmi_log_wants(level, topic)) {
        return;
    }
    char line[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    the_sink(sink_context, level, topic, line);
}
