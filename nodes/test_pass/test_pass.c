/* test.pass — hands each packet on, untouched. */
#include <remotemedia/module.h>

static rm_status pass_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

static const rm_port pass_inputs[] = {{.name = "in", .summary = "anything"}, {0}};
static const rm_port pass_outputs[] = {
    {.name = "out", .same_as = "in", .summary = "the same packets"}, {0}};

static const rm_node_type pass_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "test.pass",
    .summary = "Hand each packet on, untouched",
    .example = "test.tone ! test.pass ! audio.level ! json.write path=-",
    .flags = RM_NODE_PURE,
    .inputs = pass_inputs,
    .outputs = pass_outputs,
    .process = pass_process,
};

RM_MODULE("test.pass", RM_VERSION, &pass_type)
