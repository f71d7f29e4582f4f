/* machine.h — what a machine can do, in the words in which nodes say what they need.
 *
 *     /proc /sys ──▶ rm_machine_probe() ──▶ capabilities (schemas/capabilities.v1.json)
 *     node types ──▶                              │
 *                                                 ▼
 *                       rm_graph_plan(): a node's `requirements` against the places there are
 *
 * Ownership: the caller frees the text. Threads: that of the registry.
 */
#ifndef REMOTEMEDIA_MACHINE_H
#define REMOTEMEDIA_MACHINE_H

#include "registry.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Describes a machine as a JSON object: cpu (cores, arch, features), memory_gb and
 * memory_available_gb (10^9 bytes), gpu (a list), network ("loopback", "network"), codecs and
 * features (node types and tiers, as far as the registry has loaded them), and `unknown`: a
 * sentence for each thing that could not be read.
 *
 * root: the folder that holds the machine's proc and sys; NULL or "" for this machine's own. Of a
 * file 256 KiB are read; what is damaged there makes a value unknown and is no error. registry:
 * NULL leaves codecs and features out. The caller frees *ret_json by rm_free(). RM_ENOENT, RM_EIO:
 * there is no <root>/proc. */
RM_API RM_MUST_USE rm_status rm_machine_probe(const char *root, const rm_registry *registry,
                                              char **ret_json, rm_error *err);

#ifdef __cplusplus
}
#endif
#endif
