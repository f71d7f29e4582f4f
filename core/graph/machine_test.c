/* machine_test.c — other machines are read from recorded trees; what is damaged there is unknown,
 * and this machine describes itself. */
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/test.h"
#include "graph/machine.h"

/* ---- a tree of files */

typedef struct tree {
    char root[64];
} tree;

static tree tree_new(void)
{
    tree made = {"/tmp/rm-machine-XXXXXX"};
    CHECK(mkdtemp(made.root) != NULL);
    char proc[96];
    snprintf(proc, sizeof proc, "%s/proc", made.root);
    CHECK_INT(mkdir(proc, 0700), 0);
    return made;
}

static int remove_one(const char *path, const struct stat *about, int flag, struct FTW *walk)
{
    (void)about;
    (void)flag;
    (void)walk;
    return remove(path);
}

static void tree_free(tree *used)
{
    (void)nftw(used->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void add_bytes(const tree *to, const char *path, const void *data, size_t bytes)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", to->root, path);
    for (char *slash = full + strlen(to->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    CHECK(file && fwrite(data, 1, bytes, file) == bytes);
    if (file) {
        fclose(file);
    }
}

static void add(const tree *to, const char *path, const char *text)
{
    add_bytes(to, path, text, strlen(text));
}

/* The machine of a tree as JSON; the caller releases it. */
static json_t *look(const tree *at)
{
    json_t *machine = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_machine_probe(at->root, NULL, &machine, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    return machine;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(none)";
}

static double number_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* All that is unknown, in one text. */
static const char *unknown_of(const json_t *machine, char *text, size_t size)
{
    const json_t *list = json_object_get(machine, "unknown");
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s\n", json_string_value(json_array_get(list, i)));
    }
    return text;
}

/* ---- machines */

TEST(a_server_with_two_gpus_is_read)
{
    tree t = tree_new();
    add(&t, "/proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu lm sse2 avx2\n\nprocessor\t: "
        "1\n");
    add(&t, "/proc/sys/kernel/arch", "x86_64\n");
    add(&t, "/sys/devices/system/cpu/online", "0-31,64-95\n");
    add(&t, "/proc/meminfo",
        "MemTotal:       131072000 kB\nMemFree: 1 kB\nMemAvailable:   65536000 kB\n");
    add(&t, "/proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA A10\nIRQ:   \t\t 99\n");
    add(&t, "/sys/class/drm/card0/device/vendor", "0x1002\n");
    add(&t, "/sys/class/drm/card0/device/mem_info_vram_total", "17163091968\n");
    add(&t, "/sys/class/drm/card0-HDMI-A-1/device/vendor", "0x1002\n");
    add(&t, "/sys/class/kfd/kfd/topology/generation_id", "1\n");
    add(&t, "/sys/class/net/eth0/operstate", "up\n");
    add(&t, "/sys/class/net/lo/operstate", "unknown\n");
    json_t *machine = look(&t), *cpu = json_object_get(machine, "cpu");
    json_t *gpus = json_object_get(machine, "gpu"), *network = json_object_get(machine, "network");
    CHECK_INT(number_at(cpu, "cores"), 64);
    CHECK_TEXT(text_at(cpu, "arch"), "x86_64");
    CHECK_INT(json_array_size(json_object_get(cpu, "features")), 4);
    CHECK_NEAR(number_at(machine, "memory_gb"), 134.22, 0.001);
    CHECK_NEAR(number_at(machine, "memory_available_gb"), 67.11, 0.001);
    CHECK_INT(json_array_size(gpus), 2);
    CHECK_TEXT(text_at(json_array_get(gpus, 0), "type"), "cuda");
    CHECK_TEXT(text_at(json_array_get(gpus, 0), "name"), "NVIDIA A10");
    CHECK(json_object_get(json_array_get(gpus, 0), "memory_gb") == NULL);
    CHECK_TEXT(text_at(json_array_get(gpus, 1), "type"), "rocm");
    CHECK_NEAR(number_at(json_array_get(gpus, 1), "memory_gb"), 17.16, 0.001);
    CHECK_INT(json_array_size(network), 2);
    char unknown[1024];
    CHECK_CONTAINS(unknown_of(machine, unknown, sizeof unknown), "gpu memory of NVIDIA A10");
    json_decref(machine);
    tree_free(&t);
}

TEST(a_small_board_is_read_by_what_its_cpuinfo_says)
{
    tree t = tree_new();
    add(&t, "/proc/cpuinfo",
        "processor\t: 0\nFeatures\t: fp asimd crc32\nCPU architecture: 8\nprocessor\t: 1\n"
        "processor\t: 2\nprocessor\t: 3\n");
    add(&t, "/proc/meminfo", "MemTotal: 3882000 kB\nMemAvailable: 3000000 kB\n");
    add(&t, "/sys/class/net/lo/operstate", "unknown\n");
    add(&t, "/sys/class/net/wlan0/operstate", "down\n");
    json_t *machine = look(&t), *cpu = json_object_get(machine, "cpu");
    CHECK_INT(number_at(cpu, "cores"), 4);
    CHECK_TEXT(text_at(cpu, "arch"), "aarch64");
    CHECK_INT(json_array_size(json_object_get(machine, "gpu")), 0);
    CHECK_INT(json_array_size(json_object_get(machine, "network")), 1);
    CHECK_INT(json_array_size(json_object_get(machine, "unknown")), 0);
    json_decref(machine);
    tree_free(&t);
}

TEST(a_control_group_bounds_cores_and_memory)
{
    tree t = tree_new();
    add(&t, "/sys/devices/system/cpu/online", "0-15\n");
    add(&t, "/proc/meminfo", "MemTotal: 64000000 kB\nMemAvailable: 60000000 kB\n");
    add(&t, "/sys/fs/cgroup/memory.max", "2000000000\n");
    add(&t, "/sys/fs/cgroup/cpu.max", "150000 100000\n");
    json_t *machine = look(&t);
    CHECK_INT(number_at(json_object_get(machine, "cpu"), "cores"), 2);
    CHECK_NEAR(number_at(machine, "memory_gb"), 2, 0.001);
    CHECK_NEAR(number_at(machine, "memory_available_gb"), 2, 0.001);
    json_decref(machine);
    add(&t, "/sys/fs/cgroup/memory.max", "max\n");
    add(&t, "/sys/fs/cgroup/cpu.max", "max 100000\n");
    machine = look(&t);
    CHECK_INT(number_at(json_object_get(machine, "cpu"), "cores"), 16);
    CHECK_NEAR(number_at(machine, "memory_gb"), 65.54, 0.001);
    json_decref(machine);
    tree_free(&t);
}

TEST(what_is_damaged_is_unknown_and_says_so)
{
    static const struct {
        const char *path, *text, *unknown;
    } rows[] = {
        {"/sys/devices/system/cpu/online", "7-3\n", "cpu.cores"},
        {"/sys/devices/system/cpu/online", "0-99999999999999999999\n", "cpu.cores"},
        {"/sys/devices/system/cpu/online", "0-x\n", "cpu.cores"},
        {"/sys/devices/system/cpu/online", "\n", "cpu.cores"},
        {"/proc/sys/kernel/arch", "s390x\n", "cpu.arch: one that has no name here"},
        {"/proc/cpuinfo", "processor", "cpu.arch: nothing tells it"},
        {"/proc/meminfo", "MemTotal:", "memory_gb"},
        {"/proc/meminfo", "MemTotal: -5 kB\n", "memory_gb"},
        {"/proc/meminfo", "MemTotal: 99999999999999999999999 kB\n", "memory_gb"},
        {"/proc/meminfo", "MemTotal: lots\n", "memory_gb"},
        {"/proc/meminfo", "MemTotal: 1000000 kB\n", "memory_available_gb"},
        {"/proc/meminfo", "MemTotal: 4 kB \xff\xfe", "memory_gb"},
        {"/sys/class/drm/card0/device/vendor", "0x8086\n", "gpu memory of card0 (Intel)"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        tree t = tree_new();
        char unknown[2048];
        add(&t, rows[i].path, rows[i].text);
        json_t *machine = look(&t);
        CHECK_CONTAINS(unknown_of(machine, unknown, sizeof unknown), rows[i].unknown);
        json_decref(machine);
        tree_free(&t);
    }
}

TEST(a_huge_file_is_read_up_to_a_bound)
{
    enum { BYTES = 8 << 20 };
    static const char begin[] = {'f', 'l', 'a', 'g', 's', ':', ' '};
    tree t = tree_new();
    char *text = malloc(BYTES);
    memset(text, 'a', BYTES);
    memcpy(text, begin, sizeof begin);
    add_bytes(&t, "/proc/cpuinfo", text, BYTES);
    json_t *machine = look(&t);
    CHECK(json_array_size(json_object_get(json_object_get(machine, "cpu"), "features")) <= 1024);
    json_decref(machine);
    free(text);
    tree_free(&t);
}

TEST(zero_bytes_are_no_text)
{
    tree t = tree_new();
    add_bytes(&t, "/proc/meminfo", "MemTotal: 1\0000 kB\n", 18);
    json_t *machine = look(&t);
    CHECK(json_object_get(machine, "memory_gb") == NULL);
    json_decref(machine);
    tree_free(&t);
}

TEST(a_root_without_proc_is_an_error)
{
    char *json = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_machine_probe("/nonexistent", NULL, &json, &err), RM_ENOENT);
    CHECK_CONTAINS(err.message, "/nonexistent/proc");
    CHECK(json == NULL);
}

static void show_two(void (*show)(void *context, const char *name), void *context)
{
    show(context, "opus");
    show(context, "flac");
    show(context, "opus");
}

static rm_status no_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_DONE;
}

TEST(codecs_and_features_come_from_the_registry)
{
    static const rm_node_type codec = {.struct_size = sizeof codec,
                                       .name = "test.codec",
                                       .process = no_process,
                                       .each_codec = show_two};
    static const rm_node_type older = {.struct_size = offsetof(rm_node_type, each_codec),
                                       .name = "test.older",
                                       .process = no_process,
                                       .each_codec = show_two};
    rm_registry *registry = NULL;
    char *json = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_registry_add(registry, &older, NULL), RM_OK);
    CHECK_INT(rm_machine_probe(NULL, registry, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, "\"codecs\":[]");
    rm_free(json);
    CHECK_INT(rm_registry_add(registry, &codec, NULL), RM_OK);
    CHECK_INT(rm_machine_probe("", registry, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, "\"codecs\":[\"flac\",\"opus\"]");
    CHECK_CONTAINS(json, "\"features\":[\"test.codec\",\"test.older\",\"tier.native\"]");
    rm_free(json);
    rm_registry_free(registry);
}

TEST(a_probe_survives_each_allocation_failure)
{
    for (unsigned nth = 1;; nth++) {
        char *json = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_machine_probe(NULL, NULL, &json, NULL);
        if (!rmi_alloc_fault_end()) {
            CHECK_INT(status, RM_OK);
            rm_free(json);
            return;
        }
        CHECK(status == RM_OK || status == RM_ENOMEM);
        rm_free(json);
    }
}

TEST_MAIN(T(a_server_with_two_gpus_is_read), T(a_small_board_is_read_by_what_its_cpuinfo_says),
          T(a_control_group_bounds_cores_and_memory), T(what_is_damaged_is_unknown_and_says_so),
          T(a_huge_file_is_read_up_to_a_bound), T(zero_bytes_are_no_text),
          T(a_root_without_proc_is_an_error), T(codecs_and_features_come_from_the_registry),
          T(a_probe_survives_each_allocation_failure))
