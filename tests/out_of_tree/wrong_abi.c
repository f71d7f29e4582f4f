/* A module that says it was built for the next major version of the interface. */
#include <remotemedia/module.h>

RM_EXPORT const rm_module *rm_module_entry(const rm_host *host);

RM_EXPORT const rm_module *rm_module_entry(const rm_host *host)
{
    static const rm_module module = {
        .struct_size = sizeof(rm_module), .abi = RM_ABI + (1 << 16), .name = "wrong_abi"};
    (void)host;
    return &module;
}
