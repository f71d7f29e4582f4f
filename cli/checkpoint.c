/* `--checkpoint FOLDER` and `--checkpoint-interval MS`, and what `record` asks for: as the
 * manifest's `session` says it, so that every driver of a session does it. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { INTERVAL_MS_MAX = 86400000 };

static rm_status read_interval(const char *text, long *ret_ms, rm_error *err)
{
    char *end = NULL;
    *ret_ms = strtol(text, &end, 10);
    if (*text == '\0' || *end || *ret_ms < 1 || *ret_ms > INTERVAL_MS_MAX) {
        return rm_fail_as(err, RM_CODE_USAGE,
                          "--checkpoint-interval is '%.40s', want 1 to %d milliseconds", text,
                          INTERVAL_MS_MAX);
    }
    return RM_OK;
}

/* Takes the value. What the manifest says besides, stays. */
static bool set_member(json_t *manifest, const char *key, json_t *value)
{
    json_t *session = json_object_get(manifest, "session");
    if (!session) {
        session = json_object();
        if (json_object_set_new(manifest, "session", session) != 0) {
            json_decref(value);
            return false;
        }
    }
    return value && json_object_set_new(session, key, value) == 0;
}

static rm_status replace_graph(cli_pipeline *pipeline, const json_t *manifest, rm_error *err)
{
    rm_graph *graph = NULL;
    char *text = json_dumps(manifest, 0);
    rm_status status = text ? rm_graph_parse(text, strlen(text), &graph, NULL, err)
                            : rm_fail(err, RM_ENOMEM, "no memory for a manifest");
    free(text);
    if (status == RM_OK) {
        rm_graph_free(pipeline->graph);
        pipeline->graph = graph;
    }
    return status;
}

rm_status cli_pipeline_say(cli_pipeline *pipeline, const char *key, json_t *value, rm_error *err)
{
    char *text = NULL;
    rm_status status = rm_graph_to_json(pipeline->graph, &text, err);
    if (status != RM_OK) {
        json_decref(value);
        return status;
    }
    json_t *manifest = json_loads(text, 0, NULL);
    rm_free(text);
    if (set_member(manifest, key, value)) {
        status = replace_graph(pipeline, manifest, err);
    } else {
        status = rm_fail_as(err, RM_CODE_USAGE, "a name of a file is not UTF-8");
    }
    json_decref(manifest);
    return status;
}

rm_status cli_pipeline_checkpoint(cli_pipeline *pipeline, const char *folder, const char *interval,
                                  rm_error *err)
{
    long interval_ms = 1000;
    if (!folder) {
        return interval ? rm_fail_as(err, RM_CODE_USAGE,
                                     "--checkpoint-interval needs --checkpoint FOLDER")
                        : RM_OK;
    }
    rm_status status = interval ? read_interval(interval, &interval_ms, err) : RM_OK;
    return status == RM_OK ? cli_pipeline_say(pipeline, "checkpoint",
                                              json_pack("{s:s, s:I}", "folder", folder,
                                                        "interval_ms", (json_int_t)interval_ms),
                                              err)
                           : status;
}
