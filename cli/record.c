/* `remotemedia record PIPELINE -o FILE`: a run whose manifest says that it is kept. */
#include <errno.h>
#include <stdlib.h>

#include "run.h"

enum { RECORD_BYTES_MIN = 4096 };

static rm_status read_bytes_max(const char *text, json_int_t *ret_bytes, rm_error *err)
{
    char *end = NULL;
    errno = 0;
    *ret_bytes = strtoll(text, &end, 10);
    if (*text == '\0' || *end || errno || *ret_bytes < RECORD_BYTES_MIN) {
        return rm_fail_as(err, RM_CODE_USAGE, "--bytes-max is '%.40s', want %d or more", text,
                          RECORD_BYTES_MIN);
    }
    return RM_OK;
}

rm_status cli_pipeline_record(cli_pipeline *pipeline, const cli_arguments *arguments, rm_error *err)
{
    const char *file = cli_value_at(arguments, "output", 0);
    const char *bytes_max = cli_value_at(arguments, "bytes-max", 0);
    json_int_t bytes = 0;
    if (!file) {
        return RM_OK;
    }
    rm_status status = bytes_max ? read_bytes_max(bytes_max, &bytes, err) : RM_OK;
    if (status != RM_OK) {
        return status;
    }
    json_t *said =
        json_pack("{s:s, s:b}", "file", file, "payloads", !cli_has(arguments, "without-payloads"));
    if (said && bytes) {
        json_object_set_new(said, "bytes_max", json_integer(bytes));
    }
    return cli_pipeline_say(pipeline, "record", said, err);
}

int cli_record(cli *state, const cli_arguments *arguments)
{
    if (!cli_value_at(arguments, "output", 0)) {
        return cli_fail_usage(state, "-o run.rmrec", "`record` needs --output FILE");
    }
    return cli_run_once(state, arguments, false);
}
