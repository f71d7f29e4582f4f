/* Modules: shared objects named after their node type, found on the module path. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <remotemedia/module.h>

#include "base/alloc.h"
#include "graph/registry.h"
#include "module/host.h"

enum { PATH_BYTES_MAX = 4096, FOLDERS_MAX = 16 };

/* ---- the module path */

typedef struct module_path {
    unsigned count;
    char folder[FOLDERS_MAX][PATH_BYTES_MAX];
} module_path;

static void add_folder(module_path *path, const char *folder, size_t length, const char *tail)
{
    if (length > 0 && path->count < FOLDERS_MAX && length + strlen(tail) < PATH_BYTES_MAX) {
        snprintf(path->folder[path->count++], PATH_BYTES_MAX, "%.*s%s", (int)length, folder, tail);
    }
}

/* The folders of REMOTEMEDIA_MODULE_PATH, then those beside the file that holds this function: the
 * library, or a program that the library is linked into. */
static void module_path_make(module_path *path)
{
    path->count = 0;
    const char *listed = getenv("REMOTEMEDIA_MODULE_PATH");
    while (listed && *listed) {
        size_t length = strcspn(listed, ":");
        add_folder(path, listed, length, "");
        listed += length + (listed[length] == ':');
    }
    Dl_info info;
    char self[PATH_BYTES_MAX];
    if (dladdr((void *)(uintptr_t)rm_registry_load, &info) == 0 || !info.dli_fname ||
        !realpath(info.dli_fname, self)) {
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        self[length > 0 ? length : 0] = '\0';
    }
    const char *slash = strrchr(self, '/');
    size_t length = slash ? (size_t)(slash - self) : 0;
    add_folder(path, self, length, "/remotemedia/modules");
    add_folder(path, self, length, "/modules");
    add_folder(path, self, length, "/../lib/remotemedia/modules");
    add_folder(path, RMI_MODULE_DIR, strlen(RMI_MODULE_DIR), "");
}

void rm_module_path_each(void (*show)(void *context, const char *folder), void *context)
{
    RMI_AUTO_MEMORY module_path *path = rmi_calloc(1, sizeof *path);
    if (!path) {
        return;
    }
    module_path_make(path);
    for (unsigned i = 0; i < path->count; i++) {
        show(context, path->folder[i]);
    }
}

/* ---- loading one file */

static rm_status check_module(const rm_module *module, const char *path, rm_error *err)
{
    if (!module) {
        return rm_fail_as(err, RM_CODE_MODULE_ABI, "module '%s' refuses this library (ABI %u.%u)",
                          path, RM_ABI >> 16, RM_ABI & 0xFFFF);
    }
    if (module->struct_size < sizeof *module || module->abi >> 16 != RM_ABI >> 16 ||
        (module->abi & 0xFFFF) > (RM_ABI & 0xFFFF)) {
        return rm_fail_as(err, RM_CODE_MODULE_ABI,
                          "module '%s' was built for ABI %u.%u, this library has %u.%u", path,
                          module->abi >> 16, module->abi & 0xFFFF, RM_ABI >> 16, RM_ABI & 0xFFFF);
    }
    if (!module->types || !module->types[0]) {
        return rm_fail_as(err, RM_CODE_MODULE_LOAD, "module '%s' holds no node type", path);
    }
    return RM_OK;
}

/* Modules stay loaded: their types, and code that still runs, may be used until the process ends.
 */
rm_status rm_registry_load(rm_registry *registry, const char *path, rm_error *err)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        return rm_fail_as(err, RM_CODE_MODULE_LOAD, "cannot load module '%s': %s", path, dlerror());
    }
    rm_module_entry_fn entry;
    void *symbol = dlsym(handle, "rm_module_entry");
    memcpy(&entry, &symbol, sizeof entry); /* POSIX: how a function comes out of dlsym() */
    rm_status status = symbol
                           ? check_module(entry(rmi_host()), path, err)
                           : rm_fail_as(err, RM_CODE_MODULE_LOAD,
                                        "'%s' is not a module: it has no rm_module_entry()", path);
    if (status == RM_OK) {
        const rm_module *module = entry(rmi_host());
        for (size_t i = 0; module->types[i] && status == RM_OK; i++) {
            status = rmi_registry_add_from(registry, module->types[i], path, err);
        }
        for (size_t i = 0; module->tiers && module->tiers[i] && status == RM_OK; i++) {
            status = rm_registry_add_tier(registry, module->tiers[i], err);
        }
        if (status != RM_OK) {
            rm_error_wrap(err, "loading module '%s'", path);
        }
    }
    dlclose(handle); /* RTLD_NODELETE keeps it */
    return status;
}

static rm_status load_type(rm_registry *registry, const char *name, rm_error *err)
{
    RMI_AUTO_MEMORY module_path *path = rmi_calloc(1, sizeof *path);
    if (!path) {
        return rm_fail(err, RM_ENOMEM, "no memory to look for a module");
    }
    module_path_make(path);
    for (unsigned i = 0; i < path->count; i++) {
        char file[PATH_BYTES_MAX + 80];
        snprintf(file, sizeof file, "%s/%s.so", path->folder[i], name);
        if (access(file, R_OK) == 0) {
            rm_status status = rm_registry_load(registry, file, err);
            if (status == RM_ENOENT) { /* it is there, and broken: not to be taken for unknown */
                status = RM_EFAIL;
                rm_error_help(err, "`remotemedia doctor` looks at all modules");
            }
            return status;
        }
    }
    return RM_ENOENT;
}

/* ---- all that there are */

typedef void (*each_file)(void *context, const char *folder, const char *name);

static void walk(each_file visit, void *context)
{
    RMI_AUTO_MEMORY module_path *path = rmi_calloc(1, sizeof *path);
    if (!path) {
        return;
    }
    module_path_make(path);
    for (unsigned i = 0; i < path->count; i++) {
        DIR *folder = opendir(path->folder[i]);
        const struct dirent *entry;
        while (folder && (entry = readdir(folder))) {
            size_t length = strlen(entry->d_name);
            if (length > 3 && length < 68 && strcmp(entry->d_name + length - 3, ".so") == 0) {
                char name[72];
                snprintf(name, sizeof name, "%.*s", (int)length - 3, entry->d_name);
                visit(context, path->folder[i], name);
            }
        }
        if (folder) {
            closedir(folder);
        }
    }
}

typedef struct name_visit {
    void (*show)(void *context, const char *name);
    void *context;
} name_visit;

static void show_name(void *context, const char *folder, const char *name)
{
    const name_visit *visit = context;
    (void)folder;
    visit->show(visit->context, name);
}

static void each_name(rm_registry *registry, void (*show)(void *context, const char *name),
                      void *context)
{
    (void)registry;
    name_visit visit = {show, context};
    walk(show_name, &visit);
}

typedef struct load_visit {
    rm_registry *registry;
    void (*failed)(void *context, const char *path, const rm_error *why);
    void *context;
    size_t loaded;
} load_visit;

static void load_file(void *context, const char *folder, const char *name)
{
    load_visit *visit = context;
    const rm_node_type *type;
    char file[PATH_BYTES_MAX + 80];
    rm_error err = RM_ERROR_INIT;
    for (size_t i = 0; i < rm_registry_count(visit->registry); i++) {
        if (strcmp(rm_registry_at(visit->registry, i)->name, name) == 0) {
            visit->loaded++; /* an earlier folder of the path has it */
            return;
        }
    }
    snprintf(file, sizeof file, "%s/%s.so", folder, name);
    rm_status status = rm_registry_load(visit->registry, file, &err);
    if (status == RM_OK && rm_registry_find(visit->registry, name, &type, &err) == RM_OK) {
        visit->loaded++;
    } else if (visit->failed) {
        visit->failed(visit->context, file, &err);
    }
}

size_t rm_registry_load_all(rm_registry *registry,
                            void (*failed)(void *context, const char *path, const rm_error *why),
                            void *context)
{
    load_visit visit = {registry, failed, context, 0};
    walk(load_file, &visit);
    return visit.loaded;
}

const rmi_registry_loader rmi_registry_loader_modules = {load_type, each_name};
