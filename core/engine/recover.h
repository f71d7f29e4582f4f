/* recover.h — what follows a call that failed: the node's policy decides.
 *
 * Threads: the strand's.
 */
#ifndef RMI_ENGINE_RECOVER_H
#define RMI_ENGINE_RECOVER_H

#include "engine/node.h"

typedef struct rmi_strand rmi_strand;

/* Completes node->error: a message where there is none, the node and the item. */
void rmi_recover_describe(rmi_node *node, rm_status status);

/* True: the policy goes on as if the call had ended well. False: the node waits for its next
 * attempt, or has failed. */
bool rmi_recover(rmi_strand *strand, rmi_node *node, rm_status status);

/* The breaker is open: the error of an item that is not tried at all. */
rm_status rmi_recover_refuse(const rmi_strand *strand, rmi_node *node);

#endif
