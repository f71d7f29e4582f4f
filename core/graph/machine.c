/* What a machine can do, read from its /proc and /sys.
 *
 * Nothing there is trusted: a file is read up to a bound, a number is checked, and what does not
 * make sense is unknown. */
#include "graph/machine.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "graph/registry.h"

enum { FILE_BYTES_MAX = 256 << 10, PATH_BYTES = 512, CORES_MAX = 65536, FOLDER_ENTRIES_MAX = 256 };

#define MEMORY_BYTES_MAX 1e18
#define BYTES_OF_GB 1e9

typedef struct probe {
    const char *root; /* "" for this machine */
    json_t *machine, *unknown;
} probe;

/* ---- reading */

__attribute__((format(printf, 2, 3))) static void not_known(probe *p, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(p->unknown, json_string(text));
}

/* The file's text up to the bound; NULL: it cannot be read, or holds bytes that are no text. */
static char *read_text(const probe *p, const char *path)
{
    char full[PATH_BYTES];
    if ((size_t)snprintf(full, sizeof full, "%s%s", p->root, path) >= sizeof full) {
        return NULL;
    }
    FILE *file = fopen(full, "re");
    RMI_AUTO_MEMORY char *text = file ? rmi_calloc(1, FILE_BYTES_MAX + 1) : NULL;
    size_t bytes = text ? fread(text, 1, FILE_BYTES_MAX, file) : 0;
    if (file) {
        fclose(file);
    }
    bool good = bytes > 0 && !memchr(text, '\0', bytes);
    for (size_t i = 0; good && i < bytes; i++) {
        good = (unsigned char)text[i] < 0x80; /* what the kernel writes */
    }
    return good ? RMI_TAKE(text) : NULL;
}

/* The rest of the first line that begins with `key`, then blanks and ':'. Copied into `value`. */
static bool find_field(const char *text, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);
    for (const char *line = text; line && *line;) {
        const char *end = strchr(line, '\n');
        const char *at = line + length;
        if (strncmp(line, key, length) == 0) {
            at += strspn(at, " \t");
            if (*at == ':') {
                at += 1 + strspn(at + 1, " \t");
                size_t bytes = end && end >= at ? (size_t)(end - at) : strcspn(at, "\n");
                snprintf(value, size, "%.*s", (int)(bytes < size ? bytes : size - 1), at);
                return true;
            }
        }
        line = end ? end + 1 : NULL;
    }
    return false;
}

/* A count of bytes that begins the text, in `unit` bytes; below 0: it is none. */
static double read_bytes(const char *text, double unit)
{
    char *end;
    if (!text || *text < '0' || *text > '9') {
        return -1;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    double bytes = (double)number * unit;
    return errno || bytes > MEMORY_BYTES_MAX ? -1 : bytes;
}

/* Calls `see` for the names in a folder, sorted, without "." and "..". */
static void each_entry(probe *p, const char *path, void (*see)(probe *p, const char *name))
{
    char full[PATH_BYTES];
    struct dirent **list = NULL;
    if ((size_t)snprintf(full, sizeof full, "%s%s", p->root, path) >= sizeof full) {
        return;
    }
    int count = scandir(full, &list, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (list[i]->d_name[0] != '.' && i < FOLDER_ENTRIES_MAX) {
            see(p, list[i]->d_name);
        }
        free(list[i]);
    }
    free(list);
}

static bool exists(const probe *p, const char *path)
{
    char full[PATH_BYTES];
    struct stat about;
    return (size_t)snprintf(full, sizeof full, "%s%s", p->root, path) < sizeof full &&
           stat(full, &about) == 0;
}

/* ---- processor */

/* "0-3,8" has 5; 0: it is not well formed. */
static unsigned count_cores(const char *list)
{
    unsigned count = 0;
    while (*list >= '0' && *list <= '9') {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (*end == '-') {
            last = strtoul(end + 1, &end, 10);
        }
        if (last < first || last >= CORES_MAX) {
            return 0;
        }
        count += (unsigned)(last - first) + 1;
        list = *end == ',' ? end + 1 : end;
    }
    return *list == '\0' || *list == '\n' ? count : 0;
}

static unsigned count_processors(const char *cpuinfo)
{
    unsigned count = 0;
    for (const char *at = cpuinfo; at && count < CORES_MAX; at = strchr(at, '\n')) {
        at += *at == '\n';
        count += strncmp(at, "processor", 9) == 0;
    }
    return count;
}

/* What a control group leaves of them: "150000 100000" is one and a half, so two. */
static unsigned limit_cores(const probe *p, unsigned cores)
{
    RMI_AUTO_MEMORY char *text = read_text(p, "/sys/fs/cgroup/cpu.max");
    unsigned long quota = 0, period = 0;
    char *end;
    if (text && *text >= '0' && *text <= '9') {
        quota = strtoul(text, &end, 10);
        period = *end == ' ' ? strtoul(end + 1, NULL, 10) : 0;
    }
    unsigned long whole = period ? quota / period + (quota % period != 0) : 0;
    return whole && whole < cores ? (unsigned)whole : cores;
}

static void probe_cores(probe *p, json_t *cpu, const char *cpuinfo)
{
    RMI_AUTO_MEMORY char *online = read_text(p, "/sys/devices/system/cpu/online");
    unsigned cores = online ? count_cores(online) : 0;
    if (!cores && cpuinfo) {
        cores = count_processors(cpuinfo);
    }
    if (cores) {
        json_object_set_new(cpu, "cores", json_integer(limit_cores(p, cores)));
    } else {
        not_known(p, "cpu.cores: neither /sys/devices/system/cpu/online nor /proc/cpuinfo says");
    }
}

/* In the words of the schema; NULL: another one. */
static const char *known_arch(const char *name)
{
    static const struct {
        const char *name, *arch;
    } rows[] = {{"x86_64", "x86_64"}, {"aarch64", "aarch64"}, {"armv6l", "arm"},
                {"armv7l", "arm"},    {"armv8l", "arm"},      {"arm", "arm"}};
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        size_t length = strlen(rows[i].name);
        if (strncmp(name, rows[i].name, length) == 0 && strspn(name + length, "\n") > 0) {
            return rows[i].arch;
        }
        if (strcmp(name, rows[i].name) == 0) {
            return rows[i].arch;
        }
    }
    return NULL;
}

/* Of a kernel before 6.1 what else stands in cpuinfo tells. */
static const char *guess_arch(const probe *p, const char *cpuinfo)
{
    struct utsname own;
    char field[32];
    if (!p->root[0] && uname(&own) == 0) {
        return known_arch(own.machine);
    }
    if (cpuinfo && find_field(cpuinfo, "vendor_id", field, sizeof field)) {
        return strstr(cpuinfo, " lm ") ? "x86_64" : NULL;
    }
    if (cpuinfo && find_field(cpuinfo, "CPU architecture", field, sizeof field)) {
        return strcmp(field, "8") == 0 ? "aarch64" : "arm";
    }
    return NULL;
}

static void probe_arch(probe *p, json_t *cpu, const char *cpuinfo)
{
    RMI_AUTO_MEMORY char *kernel = read_text(p, "/proc/sys/kernel/arch");
    const char *arch = kernel ? known_arch(kernel) : guess_arch(p, cpuinfo);
    if (arch) {
        json_object_set_new(cpu, "arch", json_string(arch));
    } else {
        not_known(p, "cpu.arch: %s", kernel ? "one that has no name here" : "nothing tells it");
    }
}

static void probe_cpu_features(json_t *cpu, const char *cpuinfo)
{
    RMI_AUTO_MEMORY char *words = rmi_calloc(1, 8192);
    json_t *list = json_array();
    if (words && cpuinfo &&
        (find_field(cpuinfo, "flags", words, 8192) ||
         find_field(cpuinfo, "Features", words, 8192))) {
        char *rest = words;
        for (char *word; (word = strsep(&rest, " \t"));) {
            if (*word && json_array_size(list) < 1024) {
                json_array_append_new(list, json_string(word));
            }
        }
    }
    json_object_set_new(cpu, "features", list);
}

static void probe_cpu(probe *p)
{
    RMI_AUTO_MEMORY char *cpuinfo = read_text(p, "/proc/cpuinfo");
    json_t *cpu = json_object();
    probe_cores(p, cpu, cpuinfo);
    probe_arch(p, cpu, cpuinfo);
    probe_cpu_features(cpu, cpuinfo);
    json_object_set_new(p->machine, "cpu", cpu);
}

/* ---- memory */

/* GB, rounded to 0.01. */
static json_t *gigabytes(double bytes)
{
    long long hundredths = (long long)(bytes / BYTES_OF_GB * 100 + 0.5);
    return json_real((double)hundredths / 100);
}

static double meminfo_bytes(const char *meminfo, const char *key)
{
    char field[64];
    bool found = meminfo && find_field(meminfo, key, field, sizeof field);
    return found ? read_bytes(field, 1024) : -1;
}

static void probe_memory(probe *p)
{
    RMI_AUTO_MEMORY char *meminfo = read_text(p, "/proc/meminfo");
    RMI_AUTO_MEMORY char *group = read_text(p, "/sys/fs/cgroup/memory.max");
    double total = meminfo_bytes(meminfo, "MemTotal");
    double available = meminfo_bytes(meminfo, "MemAvailable");
    double limit = read_bytes(group, 1);
    if (total <= 0) {
        not_known(p, "memory_gb: /proc/meminfo has no MemTotal that is a number");
        return;
    }
    total = limit > 0 && limit < total ? limit : total;
    json_object_set_new(p->machine, "memory_gb", gigabytes(total));
    if (available >= 0) {
        available = available < total ? available : total;
        json_object_set_new(p->machine, "memory_available_gb", gigabytes(available));
    } else {
        not_known(p, "memory_available_gb: /proc/meminfo has no MemAvailable that is a number");
    }
}

/* ---- graphics */

static json_t *add_gpu(probe *p, const char *type, const char *name)
{
    json_t *gpu = json_pack("{s:s, s:s}", "type", type, "name", name);
    json_array_append_new(json_object_get(p->machine, "gpu"), gpu);
    return gpu;
}

/* A folder of NVIDIA's driver; it does not tell the memory. */
static void see_nvidia(probe *p, const char *name)
{
    char path[PATH_BYTES], model[96] = "NVIDIA";
    snprintf(path, sizeof path, "/proc/driver/nvidia/gpus/%.64s/information", name);
    RMI_AUTO_MEMORY char *text = read_text(p, path);
    if (text) {
        (void)find_field(text, "Model", model, sizeof model);
    }
    add_gpu(p, "cuda", model);
    not_known(p, "gpu memory of %s: NVIDIA's driver has no file that tells it", model);
}

/* "card0", not "card0-HDMI-A-1". */
static bool is_card(const char *name)
{
    return strncmp(name, "card", 4) == 0 && name[4] &&
           strspn(name + 4, "0123456789") == strlen(name + 4);
}

static void see_card(probe *p, const char *name)
{
    char path[PATH_BYTES];
    if (!is_card(name)) {
        return;
    }
    snprintf(path, sizeof path, "/sys/class/drm/%.32s/device/vendor", name);
    RMI_AUTO_MEMORY char *vendor = read_text(p, path);
    bool amd = vendor && strncmp(vendor, "0x1002", 6) == 0;
    bool intel = vendor && strncmp(vendor, "0x8086", 6) == 0;
    if (!amd && !intel) {
        return; /* NVIDIA's are seen by their driver; what a virtual machine draws on is none */
    }
    bool computes = amd && exists(p, "/sys/class/kfd/kfd/topology");
    json_t *gpu = add_gpu(p, computes ? "rocm" : "any", amd ? "AMD" : "Intel");
    snprintf(path, sizeof path, "/sys/class/drm/%.32s/device/mem_info_vram_total", name);
    RMI_AUTO_MEMORY char *text = read_text(p, path);
    double bytes = read_bytes(text, 1);
    if (bytes > 0) {
        json_object_set_new(gpu, "memory_gb", gigabytes(bytes));
    } else {
        not_known(p, "gpu memory of %s (%s): %s", name, amd ? "AMD" : "Intel",
                  text ? "mem_info_vram_total is not a number" : "its driver does not tell");
    }
}

/* ---- network */

static bool has_text(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0) {
            return true;
        }
    }
    return false;
}

/* One that is up, or says no more than that it may be. */
static void see_interface(probe *p, const char *name)
{
    char path[PATH_BYTES];
    json_t *list = json_object_get(p->machine, "network");
    const char *word = strcmp(name, "lo") == 0 ? "loopback" : "network";
    snprintf(path, sizeof path, "/sys/class/net/%.32s/operstate", name);
    RMI_AUTO_MEMORY char *state = read_text(p, path);
    bool up = state && (strncmp(state, "up", 2) == 0 || strncmp(state, "unknown", 7) == 0);
    if (up && !has_text(list, word)) {
        json_array_append_new(list, json_string(word));
    }
}

/* ---- node types and tiers */

static void see_codec(void *context, const char *name)
{
    json_object_set_new(context, name, json_true()); /* a set */
}

/* The keys, sorted. */
static json_t *sorted_names(const json_t *set)
{
    size_t count = json_object_size(set), i = 0;
    const char *name;
    json_t *ignored, *list = json_array();
    RMI_AUTO_MEMORY const char **names = rmi_calloc(count + 1, sizeof(const char *));
    json_object_foreach((json_t *)(uintptr_t)set, name, ignored)
    {
        if (names) {
            size_t at = i++;
            for (; at > 0 && strcmp(names[at - 1], name) > 0; at--) {
                names[at] = names[at - 1];
            }
            names[at] = name;
        }
    }
    for (size_t k = 0; k < i; k++) {
        json_array_append_new(list, json_string(names[k]));
    }
    return list;
}

static bool has_codecs(const rm_node_type *type)
{
    size_t needed = offsetof(rm_node_type, each_codec) + sizeof type->each_codec;
    return type->struct_size >= needed && type->each_codec;
}

static void probe_registry(probe *p, const rm_registry *registry)
{
    json_t *codecs = json_object(), *features = json_object();
    for (size_t i = 0; i < rm_registry_count(registry); i++) {
        const rm_node_type *type = rm_registry_at(registry, i);
        if (strncmp(type->name, "rm.", 3) != 0) {
            json_object_set_new(features, type->name, json_true());
        }
        if (has_codecs(type)) {
            type->each_codec(see_codec, codecs);
        }
    }
    json_object_set_new(features, "tier.native", json_true());
    for (size_t i = 0; i < rmi_registry_tier_count(registry); i++) {
        char name[80];
        snprintf(name, sizeof name, "tier.%.64s", rmi_registry_tier_at(registry, i)->name);
        json_object_set_new(features, name, json_true());
    }
    json_object_set_new(p->machine, "codecs", sorted_names(codecs));
    json_object_set_new(p->machine, "features", sorted_names(features));
    json_decref(codecs);
    json_decref(features);
}

/* ---- the whole */

static rm_status check_root(const char *root, rm_error *err)
{
    char path[PATH_BYTES];
    struct stat about;
    if ((size_t)snprintf(path, sizeof path, "%s/proc", root) >= sizeof path) {
        return rm_fail(err, RM_EINVAL, "a machine's root has %zu characters, want fewer than %d",
                       strlen(root), PATH_BYTES);
    }
    if (stat(path, &about) != 0) {
        return rm_fail_os(err, errno, "cannot look at the machine in '%s'", path);
    }
    return S_ISDIR(about.st_mode) ? RM_OK : rm_fail(err, RM_EIO, "'%s' is not a folder", path);
}

rm_status rmi_machine_probe(const char *root, const rm_registry *registry, json_t **ret_machine,
                            rm_error *err)
{
    probe p = {.root = root ? root : ""};
    rm_status status = check_root(p.root, err);
    if (status != RM_OK) {
        return status;
    }
    p.unknown = json_array();
    p.machine = json_pack("{s:[], s:[]}", "gpu", "network");
    if (!p.machine || !p.unknown) {
        json_decref(p.machine);
        json_decref(p.unknown);
        return rm_fail(err, RM_ENOMEM, "no memory to describe a machine");
    }
    probe_cpu(&p);
    probe_memory(&p);
    each_entry(&p, "/proc/driver/nvidia/gpus", see_nvidia);
    each_entry(&p, "/sys/class/drm", see_card);
    each_entry(&p, "/sys/class/net", see_interface);
    if (registry) {
        probe_registry(&p, registry);
    }
    json_object_set_new(p.machine, "unknown", p.unknown);
    *ret_machine = p.machine;
    return RM_OK;
}

rm_status rm_machine_probe(const char *root, const rm_registry *registry, char **ret_json,
                           rm_error *err)
{
    json_t *machine = NULL;
    rm_status status = rmi_machine_probe(root, registry, &machine, err);
    if (status != RM_OK) {
        return status;
    }
    char *dump = json_dumps(machine, JSON_COMPACT);
    char *copy = dump ? rmi_strdup(dump) : NULL;
    free(dump);
    json_decref(machine);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory to describe a machine");
    }
    *ret_json = copy;
    return RM_OK;
}
