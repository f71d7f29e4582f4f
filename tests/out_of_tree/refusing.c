/* A module that wants none of this host. */
#include <remotemedia/module.h>

RM_EXPORT const rm_module *rm_module_entry(const rm_host *host);

RM_EXPORT const rm_module *rm_module_entry(const rm_host *host)
{
    (void)host;
    return NULL;
}
