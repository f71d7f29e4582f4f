/* Where the program was built without libcurl's headers. */
#include "otlp.h"

const char *cli_otlp_missing(void)
{
    return "build it where libcurl4-openssl-dev is installed, with -Dotlp=enabled";
}

rm_status cli_otlp_start(const char *url, const char *pipeline, cli_otlp **ret_otlp, rm_error *err)
{
    (void)url;
    (void)pipeline;
    (void)ret_otlp;
    rm_status status = rm_fail_as(err, RM_CODE_DEPENDENCY_MISSING,
                                  "--otlp: this program was built without libcurl");
    rm_error_help(err, "%s", cli_otlp_missing());
    return status;
}

bool cli_otlp_is_due(cli_otlp *otlp)
{
    (void)otlp;
    return false;
}

void cli_otlp_send(cli_otlp *otlp, const json_t *spans, const json_t *metrics)
{
    (void)otlp;
    (void)spans;
    (void)metrics;
}

bool cli_otlp_finish(cli_otlp *otlp, const json_t *spans, const json_t *metrics,
                     const rm_error *error, rm_error *ret_problem)
{
    (void)otlp;
    (void)spans;
    (void)metrics;
    (void)error;
    (void)ret_problem;
    return true;
}
