#include "library.h"

#include <dlfcn.h>
#include <string.h>

/* table NULL: only whether they are there. */
static bool look_up(const cli_library *library, void *handle, void *table)
{
    bool whole = handle != NULL;
    for (size_t i = 0; i < library->function_count && whole; i++) {
        void *found = dlsym(handle, library->functions[i].name);
        whole = found != NULL;
        if (table) {
            memcpy((char *)table + library->functions[i].offset, &found, sizeof found);
        }
    }
    return whole;
}

rm_status cli_library_load(const cli_library *library, void *table, void **ret_handle,
                           rm_error *err)
{
    *ret_handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (look_up(library, *ret_handle, table)) {
        return RM_OK;
    }
    rm_status status =
        rm_fail_as(err, RM_CODE_DEPENDENCY_MISSING, "%s needs %s, which is not there",
                   library->option, library->file);
    rm_error_help(err, "%s", library->install);
    return status;
}

const char *cli_library_missing(const cli_library *library)
{
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    bool whole = look_up(library, handle, NULL);
    if (handle) {
        dlclose(handle);
    }
    return whole ? NULL : library->install;
}
