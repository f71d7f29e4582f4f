/* example.every — lets each n-th packet through. A module outside the tree: it is built with plain
 * cc and pkg-config against the installed headers, and links to nothing of ours. */
#include <remotemedia/module.h>

struct every_params {
    int64_t n;
};

struct every {
    int64_t seen;
};

static rm_status every_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const struct every_params *params = node->params;
    struct every *every = node->state;
    (void)inputs;
    (void)err;
    return ++every->seen % params->n == 0 ? rm_forward(node, 0) : RM_OK;
}

static const rm_param every_param[] = {
    {.name = "n",
     .kind = RM_PARAM_INT,
     .flags = RM_PARAM_LIVE,
     .offset = offsetof(struct every_params, n),
     .default_json = "2",
     .min = 1,
     .max = 1000,
     .summary = "one of how many packets passes"},
    {0},
};
static const rm_port every_in[] = {{.name = "in"}, {0}};
static const rm_port every_out[] = {{.name = "out", .same_as = "in"}, {0}};

static const rm_node_type every_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "example.every",
    .summary = "Let each n-th packet through",
    .inputs = every_in,
    .outputs = every_out,
    .params = every_param,
    .params_size = sizeof(struct every_params),
    .state_size = sizeof(struct every),
    .process = every_process,
};

RM_MODULE("example.every", "1.0.0", &every_type)
