#include "graph/needs.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- telling */

__attribute__((format(printf, 3, 4))) static void say(char *text, const char *between,
                                                      const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    if (used) {
        snprintf(text + used, RMI_NEEDS_TEXT_BYTES - used, "%s", between);
        used = strlen(text);
    }
    va_start(arguments, format);
    vsnprintf(text + used, RMI_NEEDS_TEXT_BYTES - used, format, arguments);
    va_end(arguments);
}

/* ---- one kind each: false where it is not met, with reason and change */

static bool has_word(const json_t *list, const char *word)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *each = json_string_value(json_array_get(list, i));
        if (each && strcmp(each, word) == 0) {
            return true;
        }
    }
    return false;
}

static bool needs_cores(const json_t *cpu, const json_t *machine, rmi_needs_answer *answer)
{
    long long wanted = json_integer_value(json_object_get(cpu, "cores"));
    const json_t *there = json_object_get(json_object_get(machine, "cpu"), "cores");
    if (wanted <= 0 || (there && json_integer_value(there) >= wanted)) {
        return true;
    }
    if (there) {
        snprintf(answer->reason, sizeof answer->reason, "wants %lld cores, there are %lld", wanted,
                 (long long)json_integer_value(there));
    } else {
        snprintf(answer->reason, sizeof answer->reason,
                 "wants %lld cores, and how many there are "
                 "is not known",
                 wanted);
    }
    snprintf(answer->change, sizeof answer->change, "a machine with %lld cores", wanted);
    return false;
}

static bool needs_arch(const json_t *cpu, const json_t *machine, rmi_needs_answer *answer)
{
    const char *wanted = json_string_value(json_object_get(cpu, "arch"));
    const char *there = json_string_value(json_object_get(json_object_get(machine, "cpu"), "arch"));
    if (!wanted || strcmp(wanted, "any") == 0 || (there && strcmp(there, wanted) == 0)) {
        return true;
    }
    snprintf(answer->reason, sizeof answer->reason,
             "wants a processor of kind %.40s, this is %.40s", wanted,
             there ? there : "of a kind that is not known");
    snprintf(answer->change, sizeof answer->change, "a machine with %.40s", wanted);
    return false;
}

static bool needs_cpu(const json_t *needs, const json_t *machine, rmi_needs_answer *answer)
{
    const json_t *cpu = json_object_get(needs, "cpu"), *list = json_object_get(cpu, "features");
    const json_t *there = json_object_get(json_object_get(machine, "cpu"), "features");
    if (!needs_cores(cpu, machine, answer) || !needs_arch(cpu, machine, answer)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *wanted = json_string_value(json_array_get(list, i));
        if (!has_word(there, wanted)) {
            snprintf(answer->reason, sizeof answer->reason,
                     "wants a processor with %.60s, this one has it not", wanted);
            snprintf(answer->change, sizeof answer->change, "a processor with %.60s", wanted);
            return false;
        }
    }
    return true;
}

static bool needs_memory(const json_t *needs, const json_t *machine, rmi_needs_answer *answer)
{
    double wanted = json_number_value(json_object_get(needs, "memory_gb"));
    const json_t *there = json_object_get(machine, "memory_gb");
    if (wanted <= 0 || (there && json_number_value(there) >= wanted)) {
        return true;
    }
    if (there) {
        snprintf(answer->reason, sizeof answer->reason, "wants %g GB of memory, there are %g",
                 wanted, json_number_value(there));
    } else {
        snprintf(answer->reason, sizeof answer->reason,
                 "wants %g GB of memory, and how much there is is not known", wanted);
    }
    snprintf(answer->change, sizeof answer->change, "a machine with %g GB of memory", wanted);
    return false;
}

/* "a cuda GPU with 8 GB" */
static void name_gpu(const json_t *gpu, const char *kind, char *text, size_t size)
{
    double memory = json_number_value(json_object_get(gpu, "min_memory_gb"));
    bool any = strcmp(kind, "any") == 0;
    snprintf(text, size, "a %.20s%sGPU", any ? "" : kind, any ? "" : " ");
    if (memory > 0) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, " with %g GB", memory);
    }
}

static bool gpu_fits(const json_t *wanted, const char *kind, const json_t *there,
                     rmi_needs_answer *answer)
{
    const char *type = json_string_value(json_object_get(there, "type"));
    const json_t *memory = json_object_get(there, "memory_gb");
    double least = json_number_value(json_object_get(wanted, "min_memory_gb"));
    if (strcmp(kind, "any") != 0 && (!type || strcmp(kind, type) != 0)) {
        return false;
    }
    if (!memory && least > 0) {
        snprintf(answer->reason, sizeof answer->reason,
                 "the memory of its GPU is not known, and taken to be enough");
        return true;
    }
    return json_number_value(memory) >= least;
}

static void name_gpus(const json_t *list, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *gpu = json_array_get(list, i);
        const char *type = json_string_value(json_object_get(gpu, "type"));
        say(text, ", ", "%.20s", type ? type : "one of unknown kind");
        if (json_object_get(gpu, "memory_gb")) {
            say(text, " ", "with %g GB", json_number_value(json_object_get(gpu, "memory_gb")));
        }
    }
}

static bool needs_gpu(const json_t *needs, const json_t *machine, rmi_needs_answer *answer)
{
    const json_t *wanted = json_object_get(needs, "gpu"), *list = json_object_get(machine, "gpu");
    if (!json_is_object(wanted)) {
        return true;
    }
    const char *kind = json_string_value(json_object_get(wanted, "type"));
    char name[64], there[RMI_NEEDS_TEXT_BYTES];
    kind = kind ? kind : "any";
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (gpu_fits(wanted, kind, json_array_get(list, i), answer)) {
            return true;
        }
    }
    name_gpu(wanted, kind, name, sizeof name);
    name_gpus(list, there);
    if (json_is_false(json_object_get(wanted, "required"))) {
        snprintf(answer->reason, sizeof answer->reason, "goes without %s, slower", name);
        return true;
    }
    snprintf(answer->reason, sizeof answer->reason, "wants %s, this machine has %.150s", name,
             there[0] ? there : "none");
    snprintf(answer->change, sizeof answer->change, "a machine with %s", name);
    return false;
}

/* A host by any name is behind the network, but for this one. */
static const char *network_word(const char *host)
{
    static const char *const own[] = {"loopback", "localhost", "127.0.0.1", "::1"};
    for (size_t i = 0; i < RMI_COUNT(own); i++) {
        if (strcmp(own[i], host) == 0) {
            return "loopback";
        }
    }
    return "network";
}

static bool needs_network(const json_t *needs, const json_t *machine, rmi_needs_answer *answer)
{
    const json_t *list = json_object_get(needs, "network");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *host = json_string_value(json_array_get(list, i));
        const char *word = network_word(host);
        if (!has_word(json_object_get(machine, "network"), word)) {
            snprintf(answer->reason, sizeof answer->reason, "wants to reach %.80s, and no %s is up",
                     host, word);
            snprintf(answer->change, sizeof answer->change, "a machine with a %s", word);
            return false;
        }
    }
    return true;
}

static bool needs_list(const json_t *needs, const json_t *machine, const char *key,
                       const char *noun, rmi_needs_answer *answer)
{
    const json_t *list = json_object_get(needs, key), *there = json_object_get(machine, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *wanted = json_string_value(json_array_get(list, i));
        if (!has_word(there, wanted)) {
            snprintf(answer->reason, sizeof answer->reason, "wants the %s %.80s, which is not here",
                     noun, wanted);
            snprintf(answer->change, sizeof answer->change, "a machine with the %s %.80s", noun,
                     wanted);
            return false;
        }
    }
    return true;
}

static bool needs_codecs(const json_t *needs, const json_t *machine, rmi_needs_answer *answer)
{
    return needs_list(needs, machine, "codecs", "codec", answer);
}

static bool needs_features(const json_t *needs, const json_t *machine, rmi_needs_answer *answer)
{
    return needs_list(needs, machine, "features", "feature", answer);
}

/* ---- the whole */

bool rmi_needs_are_met(const json_t *needs, const json_t *machine, rmi_needs_answer *ret_answer)
{
    static bool (*const checks[])(const json_t *, const json_t *, rmi_needs_answer *) = {
        needs_gpu, needs_cpu, needs_memory, needs_codecs, needs_network, needs_features};
    memset(ret_answer, 0, sizeof *ret_answer);
    for (size_t i = 0; i < RMI_COUNT(checks); i++) {
        if (!checks[i](needs, machine, ret_answer)) {
            return false;
        }
    }
    return true;
}

bool rmi_needs_ask_for_modules(const json_t *needs)
{
    return json_array_size(json_object_get(needs, "codecs")) > 0 ||
           json_array_size(json_object_get(needs, "features")) > 0;
}
