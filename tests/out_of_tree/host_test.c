/* A program outside the tree: it runs a graph with a module of its own on the installed library,
 * and gets an error by name from each file that is not a module of this version. Prints TAP.
 *
 * usage: host_test FOLDER_OF_MODULES, with REMOTEMEDIA_MODULE_PATH set to it. */
#include <stdio.h>
#include <string.h>

#include <remotemedia/remotemedia.h>

static const char manifest[] =
    "{\"version\": \"v1\", \"nodes\": [{\"id\": \"every\", \"node_type\": \"example.every\","
    " \"params\": {\"n\": 3}}], \"connections\": [],"
    " \"inputs\": {\"in\": {\"node\": \"every\"}}, \"outputs\": {\"out\": {\"node\": \"every\"}}}";

static int count;

static void ok(int good, const char *name, const char *detail)
{
    printf("%s %d %s\n", good ? "ok" : "not ok", ++count, name);
    if (!good) {
        printf("# %s\n", detail);
    }
}

/* Pushes 30 packets, gives back how many come out. */
static int pass_packets(rm_session *session)
{
    int pulled = 0, pushed = 0;
    for (rm_status status = RM_MORE; status == RM_MORE || status == RM_PENDING;) {
        rm_packet *packet = NULL;
        if (pushed < 30 && rm_session_packet_new(session, 4, &packet) == RM_OK) {
            packet->header.kind = RM_KIND_BYTES;
            if (rm_session_push(session, 0, packet) == RM_OK) {
                pushed++;
            } else {
                rm_packet_unref(packet);
            }
        } else {
            rm_session_end(session, 0);
        }
        status = rm_session_step(session, 0, 100, NULL);
        while (rm_session_pull(session, 0, &packet) == RM_OK) {
            pulled++;
            rm_packet_unref(packet);
        }
    }
    return pulled;
}

static void run_graph(void)
{
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_session *session = NULL;
    rm_error err = RM_ERROR_INIT;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    int pulled = -1;
    if (rm_registry_new(&registry, &err) == RM_OK &&
        rm_graph_parse(manifest, sizeof manifest - 1, &graph, NULL, &err) == RM_OK &&
        rm_graph_plan(graph, registry, NULL, &plan, NULL, &err) == RM_OK &&
        rm_session_open(plan, &options, &session, &err) == RM_OK) {
        pulled = pass_packets(session);
    }
    ok(pulled == 10, "a graph runs with a module from outside the tree", err.message);
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
}

static void refuse(const char *folder, const char *file, rm_code code, const char *words)
{
    char path[4096], name[128];
    rm_registry *registry = NULL;
    const rm_node_type *type = NULL;
    rm_error err = RM_ERROR_INIT;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    snprintf(name, sizeof name, "%s is refused by name", file);
    int good = rm_registry_new(&registry, &err) == RM_OK &&
               rm_registry_load(registry, path, &err) < 0 && err.code == code &&
               strstr(err.message, file) && strstr(err.message, words);
    ok(good, name, err.message);
    good = rm_registry_find(registry, "example.every", &type, &err) == RM_OK;
    ok(good, "and the next module loads", err.message);
    rm_registry_free(registry);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : ".";
    run_graph();
    refuse(folder, "wrong_abi.so", RM_CODE_MODULE_ABI, "was built for ABI");
    refuse(folder, "refusing.so", RM_CODE_MODULE_ABI, "refuses this library");
    refuse(folder, "no_entry.so", RM_CODE_MODULE_LOAD, "no rm_module_entry");
    refuse(folder, "not_a_module.so", RM_CODE_MODULE_LOAD, "cannot load module");
    refuse(folder, "absent.so", RM_CODE_MODULE_LOAD, "cannot load module");
    refuse(folder, "broken_type.so", RM_CODE_INVALID, "process");
    printf("1..%d\n", count);
    return 0;
}
