/* `remotemedia version`. */
#include <remotemedia/module.h>

#include "cli.h"

int cli_version(cli *state, const cli_arguments *arguments)
{
    (void)arguments;
    const char *suffix = state->host ? state->host->version_suffix : NULL;
    if (state->json) {
        json_t *json = json_pack("{s:s, s:{s:i, s:i}}", "version", rm_version(), "abi", "major",
                                 RM_ABI >> 16, "minor", RM_ABI & 0xFFFF);
        json_object_set_new(json, "host", suffix ? json_string(suffix) : json_null());
        return cli_print_json(json, 2);
    }
    printf("remotemedia %s%s%s%s\n", rm_version(), suffix ? " (" : "", suffix ? suffix : "",
           suffix ? ")" : "");
    return CLI_OK;
}
