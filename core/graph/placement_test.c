/* placement_test.c — for each node the place and the tier that its entry, the machine and the
 * environment lead to, and the reason; what nothing can run is refused by a sentence. */
#include <stdlib.h>

#include <remotemedia/graph.h>

#include "base/test.h"
#include "graph/needs.h"
#include "graph/plan.h"

RMI_DEFINE_AUTO(rm_report)

/* ---- a registry with two tiers and a place */

static rm_status no_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_DONE;
}

static const rm_node_type native_type = {
    .struct_size = sizeof(rm_node_type), .name = "test.native", .process = no_process};
static const rm_node_type code_type = {
    .struct_size = sizeof(rm_node_type), .name = "test.code", .process = no_process};
static const rm_node_type away_type = {
    .struct_size = sizeof(rm_node_type), .name = "test.native", .process = no_process};

static unsigned released;

static rm_status host_code(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err)
{
    (void)context;
    (void)err;
    if (!spec->code && !strchr(spec->node_type, ':')) {
        return RM_ENOENT;
    }
    *ret_type = &code_type;
    return RM_OK;
}

static void count_release(void *context, const rm_node_type *type)
{
    (void)context;
    (void)type;
    released++;
}

/* As a tier with an interpreter of its own will: no GPU. */
static rm_status without_gpu(void *context, const rm_node_spec *spec, rm_error *why)
{
    (void)context;
    if (!strstr(spec->node_json, "\"gpu\"")) {
        return RM_OK;
    }
    rm_status status = rm_fail(why, RM_EUNSUPPORTED, "it has no way to a GPU");
    rm_error_help(why, "a node without one");
    return status;
}

static const rm_tier_type small_tier = {.struct_size = sizeof(rm_tier_type),
                                        .name = "rust_python",
                                        .make_type = host_code,
                                        .release_type = count_release,
                                        .can = without_gpu};
/* A table from before `can` was there. */
static const rm_tier_type large_tier = {.struct_size = offsetof(rm_tier_type, can),
                                        .name = "cpython",
                                        .make_type = host_code,
                                        .release_type = count_release,
                                        .can = without_gpu};

static rm_status describe_away(void *context, char **ret_json, rm_error *err)
{
    (void)context;
    static const char json[] = "{\"gpu\":[{\"type\":\"cuda\",\"memory_gb\":24}],\"memory_gb\":64,"
                               "\"cpu\":{\"cores\":32,\"arch\":\"x86_64\"}}";
    char *copy = rm_alloc(sizeof json);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory");
    }
    memcpy(copy, json, sizeof json);
    *ret_json = copy;
    return RM_OK;
}

static rm_status make_away(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err)
{
    (void)context;
    (void)err;
    if (strcmp(spec->node_type, "test.native") != 0 && strcmp(spec->node_type, "test.far") != 0) {
        return RM_ENOENT;
    }
    *ret_type = &away_type;
    return RM_OK;
}

static const rm_place_type away = {.struct_size = sizeof(rm_place_type),
                                   .name = "away",
                                   .describe = describe_away,
                                   .make_type = make_away,
                                   .release_type = count_release};

static const rm_tier_type sandbox_tier = {.struct_size = sizeof(rm_tier_type),
                                          .name = "cpython_wasm",
                                          .make_type = host_code,
                                          .release_type = count_release,
                                          .flags = RM_TIER_LIMITS};

enum { WITH_SMALL = 1, WITH_LARGE = 2, WITH_AWAY = 4, WITH_SANDBOX = 8 };

static rm_registry *registry_with(unsigned rows)
{
    rm_registry *registry = NULL;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_registry_add(registry, &native_type, NULL), RM_OK);
    if (rows & WITH_SMALL) {
        CHECK_INT(rm_registry_add_tier(registry, &small_tier, NULL), RM_OK);
    }
    if (rows & WITH_LARGE) {
        CHECK_INT(rm_registry_add_tier(registry, &large_tier, NULL), RM_OK);
    }
    if (rows & WITH_SANDBOX) {
        CHECK_INT(rm_registry_add_tier(registry, &sandbox_tier, NULL), RM_OK);
    }
    if (rows & WITH_AWAY) {
        CHECK_INT(rm_registry_add_place(registry, &away, NULL), RM_OK);
    }
    return registry;
}

/* ---- cases */

#define MACHINE                                                                           \
    "{\"cpu\":{\"cores\":4,\"arch\":\"x86_64\",\"features\":[\"avx2\"]},\"memory_gb\":8," \
    "\"gpu\":[],\"network\":[\"loopback\"],\"codecs\":[\"flac\"],\"features\":[\"test.native\"]}"

#define CUDA(gb) "{\"gpu\":{\"type\":\"cuda\",\"min_memory_gb\":" #gb "}}"

#define LIMITS ",\"limits\":{\"memory_bytes\":1000000}"

typedef struct placing {
    unsigned rows;
    const char *type, *fields;      /* of the node; the fields begin with ',' */
    const char *runtime, *fallback; /* of the environment */
    const char *place, *tier;       /* place NULL: E0202 or another error */
    const char *part;               /* of the plan's JSON, or of the error */
} placing;

static const placing placings[] = {
    /* nothing is said: here first */
    {WITH_AWAY, "test.native", "", 0, 0, "local", "native", "local comes first, and can run it"},
    {WITH_AWAY, "test.far", "", 0, 0, "away", "remote", "nothing here can run it"},
    {WITH_LARGE, "m:C", "", 0, 0, "local", "cpython", "local comes first"},
    {0, "test.nativ", "", 0, 0, NULL, NULL, "no module provides node type 'test.nativ'"},
    {0, "m:C", "", 0, 0, NULL, NULL, "cannot run Python nodes"},
    /* where */
    {WITH_AWAY, "test.native", ",\"placement\":{\"where\":\"local\"}", 0, 0, "local", "native",
     "placement.where is local"},
    {WITH_AWAY, "test.native", ",\"placement\":{\"where\":\"remote\"}", 0, 0, "away", "remote",
     "placement.where is remote"},
    {WITH_AWAY, "test.native", ",\"placement\":{\"where\":\"prefer_remote\"}", 0, 0, "away",
     "remote", "\"fallback\": \"local\""},
    {WITH_AWAY, "test.native", ",\"placement\":{\"where\":\"prefer_remote\",\"fallback\":false}", 0,
     0, "away", "remote", "\"fallback\": null"},
    {WITH_AWAY, "test.native", ",\"placement\":{\"where\":\"prefer_remote\"}", 0, "0", "away",
     "remote", "\"fallback\": null"},
    {WITH_AWAY, "test.native", ",\"placement\":{\"where\":\"remote\",\"fallback\":true}", 0, 0,
     "away", "remote", "\"fallback\": \"local\""},
    {0, "test.native", ",\"placement\":{\"where\":\"prefer_remote\"}", 0, 0, "local", "native",
     "this program has no remote place"},
    {0, "test.native", ",\"placement\":{\"where\":\"remote\"}", 0, 0, NULL, NULL,
     "nothing can run node 'n': local: placement.where is remote; remote: this program has no "
     "remote place"},
    {0, "test.native", ",\"placement\":{\"where\":\"remote\",\"fallback\":true}", 0, 0, "local",
     "native", ""},
    {0, "test.native", ",\"placement\":{\"where\":\"remote\",\"fallback\":true}", 0, "no", NULL,
     NULL, "nothing can run node 'n'"},
    {WITH_AWAY, "test.far", ",\"placement\":{\"where\":\"local\"}", 0, 0, NULL, NULL,
     "no module provides node type 'test.far'"},
    /* as 0.1 wrote it: followed where it can be */
    {WITH_AWAY, "test.native", ",\"execution\":{\"placement\":\"remote\"}", 0, 0, "away", "remote",
     "execution.placement is remote"},
    {0, "test.native", ",\"execution\":{\"placement\":\"remote\"}", 0, 0, "local", "native",
     "what 0.1 wrote is followed where it can be"},
    {WITH_AWAY, "test.native", ",\"host\":\"there:50052\"", 0, 0, "away", "remote",
     "host is prefer_remote"},
    {0, "test.native", ",\"host\":\"there:50052\"", 0, 0, "local", "native", ""},
    {0, "test.native", ",\"capabilities\":" CUDA(8), 0, 0, "local", "native",
     "what 0.1 wrote is followed where it can be"},
    {WITH_AWAY, "test.native", ",\"capabilities\":" CUDA(8), 0, 0, "away", "remote",
     "wants a cuda GPU with 8 GB, this machine has none"},
    {0, "test.native", ",\"capabilities\":" CUDA(8) ",\"placement\":{\"where\":\"remote\"}", 0, 0,
     NULL, NULL, "placement.where is remote"},
    /* requirements: the first alternative that is met */
    {WITH_AWAY, "test.native", ",\"requirements\":[" CUDA(8) "]", 0, 0, "away", "remote",
     "wants a cuda GPU with 8 GB, this machine has none"},
    {WITH_AWAY, "test.native", ",\"requirements\":[" CUDA(80) "]", 0, 0, NULL, NULL,
     "away: wants a cuda GPU with 80 GB, this machine has cuda with 24 GB"},
    {WITH_AWAY, "test.native", ",\"requirements\":[" CUDA(8) ",{\"memory_gb\":6}]", 0, 0, "local",
     "native", "it meets alternative 2 of requirements"},
    {0, "test.native", ",\"requirements\":[" CUDA(8) ",{\"memory_gb\":16}]", 0, 0, NULL, NULL,
     "local, alternative 2: wants 16 GB of memory, there are 8"},
    {0, "test.native", ",\"capabilities\":{\"memory_gb\":4},\"requirements\":[" CUDA(8) "]", 0, 0,
     "local", "native", ""},
    {0, "test.native", ",\"requirements\":[{\"gpu\":{\"type\":\"any\",\"required\":false}}]", 0, 0,
     "local", "native", "goes without a GPU, slower"},
    /* tiers */
    {WITH_SMALL | WITH_LARGE, "m:C", "", 0, 0, "local", "rust_python", ""},
    {WITH_SMALL | WITH_LARGE, "m:C", ",\"tier\":\"cpython\"", 0, 0, "local", "cpython",
     "tier is cpython"},
    {WITH_SMALL | WITH_LARGE, "m:C", ",\"runtime_hint\":\"cpython\"", 0, 0, "local", "cpython",
     "runtime_hint is cpython"},
    {WITH_SMALL | WITH_LARGE, "m:C", ",\"tier\":\"auto\",\"runtime_hint\":\"cpython\"", 0, 0,
     "local", "cpython", ""},
    {WITH_SMALL | WITH_LARGE, "m:C",
     ",\"capabilities\":{\"gpu\":{\"type\":\"any\",\"required\":"
     "false}}",
     0, 0, "local", "cpython", "it has no way to a GPU"},
    {WITH_SMALL | WITH_LARGE, "m:C", "", "python", 0, "local", "cpython",
     "REMOTEMEDIA_PYTHON_RUNTIME is cpython"},
    {WITH_SMALL | WITH_LARGE, "m:C", "", "rust", 0, "local", "rust_python", ""},
    {WITH_SMALL | WITH_LARGE, "m:C", "", "cpyton", 0, "local", "rust_python",
     "REMOTEMEDIA_PYTHON_RUNTIME is 'cpyton', which names no runtime"},
    {WITH_SMALL | WITH_LARGE, "m:C", "", "auto", 0, "local", "rust_python", ""},
    {WITH_SMALL | WITH_LARGE, "m:C", ",\"runtime_hint\":\"rust_python\"", "cpython", 0, "local",
     "rust_python", ""},
    {WITH_LARGE, "m:C", ",\"runtime_hint\":\"rust_python\"", 0, 0, "local", "cpython",
     "runtime_hint asks for rust_python, which is not here: cpython takes its place"},
    {WITH_LARGE, "m:C", ",\"runtime_hint\":\"rust_python\"", 0, "false", NULL, NULL,
     "the tier rust_python (runtime_hint) does not host it here; this program has native, cpython"},
    {WITH_LARGE, "m:C", ",\"tier\":\"cpython_wasm\"", 0, 0, NULL, NULL,
     "the tier cpython_wasm (tier) does not host it here"},
    {WITH_LARGE, "m:C", "", "wasm", 0, NULL, NULL,
     "the tier cpython_wasm (REMOTEMEDIA_PYTHON_RUNTIME) does not host it here"},
    {WITH_LARGE, "m:C", ",\"tier\":\"native\"", 0, 0, NULL, NULL,
     "the tier native (tier) does not host it here"},
    {WITH_LARGE, "test.native", ",\"tier\":\"cpython\"", 0, 0, NULL, NULL,
     "tier native: tier is cpython"},
    {WITH_LARGE, "test.native", ",\"runtime_hint\":\"cpython\"", 0, 0, "local", "native",
     "runtime_hint is for Python code"},
    {WITH_LARGE, "test.native", "", "cpython", 0, "local", "native", ""},
    /* limits: where they are held to, or not at all */
    {WITH_SMALL | WITH_LARGE | WITH_SANDBOX, "m:C", LIMITS, 0, 0, "local", "cpython_wasm",
     "does not hold code to them"},
    {WITH_LARGE | WITH_SANDBOX, "m:C", LIMITS ",\"tier\":\"cpython\"", 0, 0, NULL, NULL,
     "tier cpython: the node has limits, and this does not hold code to them"},
    {WITH_LARGE, "m:C", LIMITS, 0, 0, NULL, NULL,
     "nothing can run node 'n': tier cpython: the node "
     "has limits"},
    {0, "test.native", LIMITS, 0, 0, NULL, NULL, "tier native: the node has limits"},
    {WITH_LARGE, "test.native", ",\"limits\":{}", 0, 0, "local", "native", ""},
};

static void set_environment(const char *name, const char *value)
{
    CHECK_INT(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static rm_status plan_case(const placing *each, rm_registry *registry, rm_plan **ret_plan,
                           rm_error *err)
{
    char json[1024];
    RMI_AUTO(rm_graph) graph = NULL;
    rm_plan_options options = {.struct_size = sizeof options, .machine_json = MACHINE};
    snprintf(json, sizeof json,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"n\",\"node_type\":\"%s\"%s}]}", each->type,
             each->fields);
    rm_status status = rm_graph_parse(json, strlen(json), &graph, NULL, err);
    CHECK_INT(status, RM_OK);
    return status == RM_OK ? rm_graph_plan(graph, registry, &options, ret_plan, NULL, err) : status;
}

static void check_case(const placing *each)
{
    RMI_AUTO(rm_registry) registry = registry_with(each->rows);
    RMI_AUTO(rm_plan) plan = NULL;
    rm_error err = RM_ERROR_INIT;
    set_environment("REMOTEMEDIA_PYTHON_RUNTIME", each->runtime);
    set_environment("REMOTEMEDIA_ENABLE_FALLBACK", each->fallback);
    rm_status status = plan_case(each, registry, &plan, &err);
    set_environment("REMOTEMEDIA_PYTHON_RUNTIME", NULL);
    set_environment("REMOTEMEDIA_ENABLE_FALLBACK", NULL);
    CHECK_INT(status == RM_OK, each->place != NULL);
    if (status != RM_OK) {
        CHECK_CONTAINS(err.message, each->part);
        return;
    }
    rm_plan_node node;
    char *json = NULL;
    rm_plan_node_at(plan, 0, &node);
    CHECK_TEXT(node.place, each->place);
    CHECK_TEXT(node.tier, each->tier);
    CHECK_INT(rm_plan_to_json(plan, &json, NULL), RM_OK);
    CHECK_CONTAINS(json, each->part);
    rm_free(json);
}

TEST(each_node_is_placed_by_its_entry_the_machine_and_the_environment)
{
    for (size_t i = 0; i < RMI_COUNT(placings); i++) {
        unsigned before = rmi_test_failures;
        check_case(&placings[i]);
        if (rmi_test_failures != before) {
            printf("# case %zu: %s%s\n", i, placings[i].type, placings[i].fields);
        }
    }
}

TEST(what_nothing_can_run_is_an_error_with_its_place_and_what_would_mend_it)
{
    static const placing each = {.type = "test.native",
                                 .fields = ",\"requirements\":[" CUDA(8) "]"};
    RMI_AUTO(rm_registry) registry = registry_with(0);
    RMI_AUTO(rm_plan) plan = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(plan_case(&each, registry, &plan, &err), RM_EUNSUPPORTED);
    CHECK_INT(err.code, RM_CODE_PLACEMENT);
    CHECK_CONTAINS(err.message, "line 1, column");
    CHECK_TEXT(err.help, "it would take: a machine with a cuda GPU with 8 GB");
}

TEST(an_unmet_wish_of_0_1_is_a_warning)
{
    static const char json[] = "{\"version\":\"v1\",\"nodes\":[{\"id\":\"n\",\"node_type\":"
                               "\"test.native\",\"capabilities\":" CUDA(8) "}]}";
    RMI_AUTO(rm_registry) registry = registry_with(0);
    RMI_AUTO(rm_report) report = NULL;
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_plan) plan = NULL;
    rm_plan_options options = {.struct_size = sizeof options, .machine_json = MACHINE};
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK_INT(rm_graph_parse(json, strlen(json), &graph, report, NULL), RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, &options, &plan, report, NULL), RM_OK);
    CHECK_INT(rm_report_count(report), 1);
    CHECK_INT(rm_report_at(report, 0)->severity, RM_SEVERITY_WARNING);
    CHECK_CONTAINS(rm_report_at(report, 0)->message,
                   "against its entry, this machine runs node 'n': local: wants a cuda GPU");
}

TEST(what_wants_a_transport_between_machines_is_a_warning)
{
    static const char json[] = "{\"version\":\"v1\",\"nodes\":[{\"id\":\"n\",\"node_type\":"
                               "\"test.native\",\"placement\":{\"where\":\"local\",\"with\":\"m\","
                               "\"transports\":[\"grpc\"]}}]}";
    RMI_AUTO(rm_registry) registry = registry_with(0);
    RMI_AUTO(rm_report) report = NULL;
    RMI_AUTO(rm_graph) graph = NULL;
    RMI_AUTO(rm_plan) plan = NULL;
    rm_plan_options options = {.struct_size = sizeof options, .machine_json = MACHINE};
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    CHECK_INT(rm_graph_parse(json, strlen(json), &graph, report, NULL), RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, &options, &plan, report, NULL), RM_OK);
    CHECK_INT(rm_report_count(report), 2);
    CHECK_INT(rm_report_at(report, 0)->severity, RM_SEVERITY_WARNING);
    CHECK_TEXT(rm_report_at(report, 0)->pointer, "/nodes/0/placement/with");
    CHECK_CONTAINS(rm_report_at(report, 0)->message, "placement.with of node 'n' is ignored");
    CHECK_INT(rm_report_at(report, 1)->severity, RM_SEVERITY_WARNING);
    CHECK_TEXT(rm_report_at(report, 1)->pointer, "/nodes/0/placement/transports");
    CHECK_CONTAINS(rm_report_at(report, 1)->message, "placement.transports of node 'n' is ignored");
}

TEST(types_go_back_to_whoever_made_them)
{
    static const placing both = {WITH_LARGE | WITH_AWAY,
                                 "test.native",
                                 ",\"placement\":{\"where\":\"prefer_remote\"}",
                                 0,
                                 0,
                                 0,
                                 0,
                                 0};
    static const placing code = {WITH_LARGE, "m:C", "", 0, 0, 0, 0, 0};
    const placing *each[] = {&both, &code};
    for (size_t i = 0; i < RMI_COUNT(each); i++) {
        rm_registry *registry = registry_with(each[i]->rows);
        rm_plan *plan = NULL;
        released = 0;
        CHECK_INT(plan_case(each[i], registry, &plan, NULL), RM_OK);
        CHECK_INT(released, 0);
        rm_plan_free(plan);
        CHECK_INT(released, 1);
        rm_registry_free(registry);
    }
}

/* ---- needs alone */

static const struct {
    const char *needs, *machine;
    bool met;
    const char *reason;
} needs[] = {
    {"{}", "{}", true, ""},
    {"{\"gpu\":null,\"cpu\":null,\"memory_gb\":null}", "{}", true, ""},
    {"{\"gpu\":{\"type\":\"any\"}}", "{}", false, "wants a GPU, this machine has none"},
    {"{\"gpu\":{\"type\":\"rocm\"}}", "{\"gpu\":[{\"type\":\"cuda\"}]}", false,
     "wants a rocm GPU, this machine has cuda"},
    {CUDA(8), "{\"gpu\":[{\"type\":\"cuda\",\"memory_gb\":4},{\"type\":\"cuda\",\"memory_gb\":8}]}",
     true, ""},
    {CUDA(8), "{\"gpu\":[{\"type\":\"cuda\"}]}", true, "is not known, and taken to be enough"},
    {"{\"cpu\":{\"cores\":5}}", MACHINE, false, "wants 5 cores, there are 4"},
    {"{\"cpu\":{\"cores\":4,\"arch\":\"x86_64\",\"features\":[\"avx2\"]}}", MACHINE, true, ""},
    {"{\"cpu\":{\"cores\":1}}", "{}", false, "how many there are is not known"},
    {"{\"cpu\":{\"arch\":\"aarch64\"}}", MACHINE, false,
     "wants a processor of kind aarch64, this is x86_64"},
    {"{\"cpu\":{\"arch\":\"any\"}}", "{}", true, ""},
    {"{\"cpu\":{\"features\":[\"amx\"]}}", MACHINE, false, "wants a processor with amx"},
    {"{\"memory_gb\":8.5}", MACHINE, false, "wants 8.5 GB of memory, there are 8"},
    {"{\"memory_gb\":1}", "{}", false, "how much there is is not known"},
    {"{\"codecs\":[\"flac\"]}", MACHINE, true, ""},
    {"{\"codecs\":[\"flac\",\"prores\"]}", MACHINE, false, "wants the codec prores"},
    {"{\"features\":[\"video.scale\"]}", MACHINE, false, "wants the feature video.scale"},
    {"{\"network\":[\"localhost\",\"127.0.0.1\"]}", MACHINE, true, ""},
    {"{\"network\":[\"api.example.com\"]}", MACHINE, false,
     "wants to reach api.example.com, and no network is up"},
    {"{\"gpu\":[]}", "{}", true, ""},
    {"{\"gpu\":{}}", "{\"gpu\":[7]}", true, ""},
};

TEST(each_kind_of_need_is_met_or_refused_by_a_sentence)
{
    for (size_t i = 0; i < RMI_COUNT(needs); i++) {
        rmi_needs_answer answer;
        json_t *wanted = json_loads(needs[i].needs, 0, NULL);
        json_t *machine = json_loads(needs[i].machine, 0, NULL);
        CHECK_INT(rmi_needs_are_met(wanted, machine, &answer), needs[i].met);
        CHECK_CONTAINS(answer.reason, needs[i].reason);
        CHECK_INT(answer.change[0] != '\0', !needs[i].met);
        json_decref(wanted);
        json_decref(machine);
    }
}

TEST(a_place_that_lacks_a_member_is_refused)
{
    rm_place_type lame = away;
    rm_error err = RM_ERROR_INIT;
    RMI_AUTO(rm_registry) registry = registry_with(0);
    lame.make_type = NULL;
    CHECK_INT(rm_registry_add_place(registry, &lame, &err), RM_EINVAL);
    CHECK_TEXT(err.message, "a place lacks its name, make_type or release_type");
    for (unsigned i = 1; i < RMI_PLACES_MAX; i++) {
        CHECK_INT(rm_registry_add_place(registry, &away, NULL), RM_OK);
    }
    CHECK_INT(rm_registry_add_place(registry, &away, NULL), RM_ELIMIT);
}

TEST_MAIN(T(each_node_is_placed_by_its_entry_the_machine_and_the_environment),
          T(what_nothing_can_run_is_an_error_with_its_place_and_what_would_mend_it),
          T(an_unmet_wish_of_0_1_is_a_warning),
          T(what_wants_a_transport_between_machines_is_a_warning),
          T(types_go_back_to_whoever_made_them),
          T(each_kind_of_need_is_met_or_refused_by_a_sentence),
          T(a_place_that_lacks_a_member_is_refused))
