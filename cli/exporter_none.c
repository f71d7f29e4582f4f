/* Where the program was built without libmicrohttpd's headers. */
#include "exporter.h"

const char *cli_exporter_missing(void)
{
    return "build it where libmicrohttpd-dev is installed, with -Dhttp=enabled";
}

rm_status cli_exporter_start(const char *port, void (*wake)(void), cli_exporter **ret_exporter,
                             rm_error *err)
{
    (void)port;
    (void)wake;
    (void)ret_exporter;
    rm_status status = rm_fail_as(err, RM_CODE_DEPENDENCY_MISSING,
                                  "--metrics-port: this program was built without libmicrohttpd");
    rm_error_help(err, "%s", cli_exporter_missing());
    return status;
}

unsigned cli_exporter_port(const cli_exporter *exporter)
{
    (void)exporter;
    return 0;
}

void cli_exporter_stop(cli_exporter *exporter)
{
    (void)exporter;
}

void cli_exporter_set_ready(cli_exporter *exporter, bool ready)
{
    (void)exporter;
    (void)ready;
}

void cli_exporter_step(cli_exporter *exporter, json_t *(*make)(void *context), void *context)
{
    (void)exporter;
    (void)make;
    (void)context;
}
