/* A place that refuses a node as a session opens: another type takes the node over, before anything
 * has run. */
#include "base/alloc.h"
#include "engine/events.h"
#include "engine/session.h"

rm_status rmi_node_fall_back(rmi_node *node, rm_error *why)
{
    rmi_node_spec spec = {
        .type = node->fallback, .id = node->pub.id, .params_json = node->pub.params_json};
    rmi_node *fresh = NULL;
    char *reason = rmi_strdup(why->message);
    if (!reason) {
        return rm_fail(why, RM_ENOMEM, "no memory to fall back");
    }
    rm_error refusal = *why;
    *why = (rm_error)RM_ERROR_INIT;
    rm_status status = rmi_node_new(&spec, &fresh, why);
    if (status == RM_OK) {
        status = rmi_node_reserve_outbox(node, fresh->outbox_max + 1 + node->n_out, why);
    }
    if (status != RM_OK) {
        rmi_free(reason);
        rmi_node_free(fresh);
        return status;
    }
    rmi_node_exchange_code(node, fresh);
    rmi_node_free(fresh); /* with the code that was refused; it was not opened */
    node->place = "local";
    node->fell_back = reason;
    status = node->pub.type->open ? node->pub.type->open(&node->pub, why) : RM_OK;
    if (status >= 0) {
        rmi_event_tell(
            node->strand->session,
            &(rmi_happening){.kind = RM_EVENT_FELL_BACK, .node = node, .error = &refusal});
    }
    return status;
}
