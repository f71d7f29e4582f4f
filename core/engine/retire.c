/* What changes took out of a session, and when it is freed.
 *
 *     change k ─▶ retired, closed ─▶ change k+1: all strands stand still ─▶ freed
 *
 * A message about a node or a link may be on its way as that goes: an interrupt, that a node is
 * ready. It was posted before the node was closed, thus before the next change asked the strand to
 * stand still, and a strand takes its messages in the order in which they were posted.
 */
#include "engine/session.h"
#include "graph/plan.h"

void rmi_session_retire_node(rm_session *session, rmi_node *node)
{
    node->state = RMI_NODE_CLOSED;
    node->next_retired = session->retired.nodes;
    session->retired.nodes = node;
}

void rmi_session_retire_link(rm_session *session, rmi_link *link)
{
    link->next_retired = session->retired.links;
    session->retired.links = link;
}

void rmi_session_retire_plan(rm_session *session, rm_plan *plan)
{
    plan->next = session->retired.plans;
    session->retired.plans = plan;
}

/* A strand that nobody steps was not asked to stand still, and may have taken no message since; one
 * that has stopped may be taking its last ones. */
static bool may_hear_of_retired(rm_session *session)
{
    bool may = false;
    pthread_mutex_lock(&session->lock);
    for (uint32_t i = 0; i < session->strand_count; i++) {
        rmi_strand *strand = session->strands[i];
        bool was_asked = !session->simulated && !rmi_session_is_direct(session, strand);
        may |=
            session->threads[i].stopped || (!was_asked && !rmi_mailbox_is_empty(&strand->mailbox));
    }
    pthread_mutex_unlock(&session->lock);
    return may;
}

static void free_nodes(rm_session *session)
{
    rmi_retired *retired = &session->retired;
    for (rmi_link *link = retired->links, *next; link; link = next) {
        next = link->next_retired;
        rmi_session_free_edge(session, link->sending);
    }
    for (rmi_node *node = retired->nodes, *next; node; node = next) {
        next = node->next_retired;
        rmi_node_free(node);
    }
    retired->links = NULL;
    retired->nodes = NULL;
}

static bool is_in_use(const rm_session *session, const rm_plan *plan)
{
    bool used = plan == session->plan;
    for (uint32_t i = 0; i < session->node_count && !used; i++) {
        used = session->nodes[i]->made_by == plan;
    }
    return used;
}

void rmi_session_release_retired(rm_session *session)
{
    if (may_hear_of_retired(session)) {
        return;
    }
    free_nodes(session);
    for (rm_plan **at = &session->retired.plans; *at;) {
        rm_plan *plan = *at;
        if (is_in_use(session, plan)) {
            at = &plan->next;
        } else {
            *at = plan->next;
            rm_plan_free(plan);
        }
    }
}

void rmi_session_free_retired(rm_session *session)
{
    free_nodes(session);
    for (rm_plan *plan = session->retired.plans, *next; plan; plan = next) {
        next = plan->next;
        rm_plan_free(plan);
    }
}
