#include "changes.h"

#include <stdio.h>
#include <string.h>

#include <remotemedia/change.h>

#include "graph/plan.h"

enum { CHANGES_MAX = 25, NODES_MAX = 80, WORDS_MAX = 3, LOOK_AHEAD_MAX = 64 };

static uint32_t draw(changes *c, uint32_t bound)
{
    c->random = c->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(c->random >> 33) % bound;
}

/* The type is `name`, or its twin that has a strand of its own. */
static bool is_type(const rm_node_type *type, const char *name)
{
    size_t length = strlen(name);
    return strncmp(type->name, name, length) == 0 &&
           (!type->name[length] || strcmp(type->name + length, ".own") == 0);
}

static bool passes_on(const rm_node_type *type)
{
    return is_type(type, "rg.pass") || is_type(type, "rg.late") || is_type(type, "rg.async");
}

/* A node that passes numbers on, without an id where `id` is NULL. */
static json_t *draw_passing(changes *c, const char *id)
{
    static const char *const types[] = {"rg.pass", "rg.pass.own", "rg.late", "rg.late.own",
                                        "rg.async"};
    const char *type = types[draw(c, c->threads ? 4 : 5)];
    return json_pack("{s:s*, s:s, s:{s:i, s:b}}", "id", id, "node_type", type, "params", "size",
                     (int)(1 + draw(c, LOOK_AHEAD_MAX)), "one_by_one", (int)draw(c, 2));
}

/* Of a node that runs in several copies they all have one id. */
static const char *id_of(const rm_plan *plan, uint32_t index)
{
    const rmi_plan_node *node = plan->nodes[index];
    return node->pub.part_of ? node->pub.part_of : node->id;
}

static rm_status say_insert(changes *c, rm_change *change)
{
    const rm_plan *plan = c->session->plan;
    const rm_plan_edge *edge = &plan->edges[draw(c, (uint32_t)plan->edge_count)].pub;
    char id[24];
    snprintf(id, sizeof id, "new%u", c->next_id++);
    json_t *node = draw_passing(c, id);
    char *text = json_dumps(node, JSON_COMPACT);
    uint32_t side = draw(c, 3);
    rm_status status =
        rm_change_insert(change, text, side == 1 ? NULL : id_of(plan, edge->from_node),
                         side == 2 ? NULL : id_of(plan, edge->to_node), NULL);
    free(text);
    json_decref(node);
    return status;
}

/* One that passes on by any other such; any node by one of its type, that gets its state. */
static rm_status say_replace(changes *c, rm_change *change, const rmi_plan_node *old)
{
    json_t *node;
    if (passes_on(old->pub.type) && draw(c, 2)) {
        node = draw_passing(c, NULL);
    } else {
        node = json_deep_copy(c->session->plan->graph->nodes[old->manifest_index].json);
        json_object_set_new(node, "x-turn", json_integer(c->next_id++));
    }
    char *text = json_dumps(node, JSON_COMPACT);
    rm_status status = rm_change_replace(change, old->id, text, NULL);
    free(text);
    json_decref(node);
    return status;
}

/* It has a fallback, or is one. */
static bool falls_back(const rmi_plan_node *node)
{
    bool found = node->pub.copies > 0;
    for (const rm_port *port = node->pub.type->outputs; port && port->name; port++) {
        found |= strcmp(port->name, RM_FALLBACK_PORT) == 0;
    }
    return found;
}

/* Some cannot be said: an input that is not the only one, a node that has gone by then. */
static void say_one(changes *c, rm_change *change)
{
    const rm_plan *plan = c->session->plan;
    const rmi_plan_node *node = plan->nodes[draw(c, (uint32_t)plan->node_count)];
    uint32_t how = draw(c, 3);
    bool stays = node->pub.part_of || falls_back(node) ||
                 (c->threads && is_type(node->pub.type, "rg.async"));
    if (how == 0 && plan->edge_count > 0 && plan->node_count < NODES_MAX) {
        (void)!say_insert(c, change);
    } else if (how == 1 && !stays && passes_on(node->pub.type)) {
        (void)!rm_change_remove(change, node->id, NULL);
    } else if (how == 2 && !stays) {
        (void)!say_replace(c, change, node);
    }
}

void changes_make_one(changes *c)
{
    rm_change *change = NULL;
    rm_error error = RM_ERROR_INIT;
    if (c->tried++ == CHANGES_MAX) {
        c->tried--;
        return;
    }
    rm_status status = rm_change_new(c->session, &change, &error);
    for (uint32_t i = 0; status == RM_OK && i <= draw(c, WORDS_MAX); i++) {
        say_one(c, change);
    }
    if (status == RM_OK) {
        status = rm_change_commit(change, NULL, &error);
    }
    c->made += status == RM_OK;
    if (status != RM_OK && status != RM_EAGAIN) {
        json_array_append_new(c->refused, json_string(error.message));
    }
    rm_change_free(change);
}
