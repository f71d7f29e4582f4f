/* A module whose node type lacks process(). */
#include <remotemedia/module.h>

static const rm_node_type broken_type = {.struct_size = sizeof(rm_node_type),
                                         .name = "example.broken",
                                         .summary = "Lack what is required"};

RM_MODULE("example.broken", "1.0.0", &broken_type)
