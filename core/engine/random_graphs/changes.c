#include "changes.h"

#include <stdio.h>
#include <string.h>

#include <remotemedia/change.h>

#include "graph/plan.h"

enum {
    CHANGES_MAX = 25,
    NODES_MAX = 80,
    WORDS_MAX = 3,
    LOOK_AHEAD_MAX = 64,
    COPIES_MAX = 4,
    GIVE_UP_EACH = 30,
    RESTS_MAX = 300
};

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
    const char *id = old->pub.part_of ? old->pub.part_of : old->id;
    rm_status status = rm_change_replace(change, id, text, NULL);
    free(text);
    json_decref(node);
    return status;
}

/* Keeps nothing from item to item, so that it may run in copies; nor does it end the run. */
static bool may_have_copies(const rmi_plan_node *node)
{
    const rm_node_type *type = node->pub.type;
    const char *entry = node->pub.node_json ? node->pub.node_json : "";
    return type->flags & RM_NODE_PURE && type->inputs && type->outputs &&
           (!is_type(type, "rg.fail") || strstr(entry, "on_error"));
}

/* Another number of copies, one among them; of one in copies also the same number, made anew. */
static rm_status say_copies(changes *c, rm_change *change, const rmi_plan_node *old)
{
    json_t *node = json_deep_copy(c->session->plan->graph->nodes[old->manifest_index].json);
    uint32_t copies = 1 + draw(c, COPIES_MAX);
    json_object_set_new(node, "parallel", json_integer(copies));
    c->is_of_copies |= copies != (old->pub.copies ? old->pub.copies : 1);
    json_object_set_new(node, "x-turn", json_integer(c->next_id++));
    char *text = json_dumps(node, JSON_COMPACT);
    rm_status status =
        rm_change_replace(change, json_string_value(json_object_get(node, "id")), text, NULL);
    free(text);
    json_decref(node);
    return status;
}

/* It has a fallback, or is one. */
static bool falls_back(const rmi_plan_node *node)
{
    bool found = node->pub.copies == 1;
    for (const rm_port *port = node->pub.type->outputs; port && port->name; port++) {
        found |= strcmp(port->name, RM_FALLBACK_PORT) == 0;
    }
    return found;
}

/* Work is out that nobody ends while a change is made, and copies come to rest once it is in. */
static bool may_stand_still(const changes *c)
{
    const rm_plan *plan = c->session->plan;
    bool waits = false;
    for (size_t i = 0; i < plan->node_count && c->threads; i++) {
        waits |= is_type(plan->nodes[i]->pub.type, "rg.async");
    }
    return waits;
}

static bool is_copy(const rmi_plan_node *node)
{
    return node->pub.copies > 1 && node->pub.copy > 0;
}

/* Nothing is said of it, but what comes beside it. */
static bool stays(const changes *c, const rmi_plan_node *node, bool of_copies)
{
    return (node->pub.part_of && !is_copy(node)) || falls_back(node) ||
           ((is_copy(node) || of_copies) && may_stand_still(c)) ||
           (c->threads && is_type(node->pub.type, "rg.async"));
}

/* Some cannot be said: an input that is not the only one, a node that has gone by then. */
static void say_one(changes *c, rm_change *change)
{
    const rm_plan *plan = c->session->plan;
    uint32_t index = draw(c, (uint32_t)plan->node_count);
    const rmi_plan_node *node = plan->nodes[index];
    uint32_t how = draw(c, 4);
    bool has_room = plan->node_count < NODES_MAX;
    if (how == 0 && plan->edge_count > 0 && has_room) {
        (void)!say_insert(c, change);
    }
    if (how == 0 || stays(c, node, how == 3)) {
        return;
    }
    if (how == 1 && passes_on(node->pub.type)) {
        (void)!rm_change_remove(change, id_of(plan, index), NULL);
    } else if (how == 2) {
        (void)!say_replace(c, change, node);
    } else if (how == 3 && may_have_copies(node) && has_room) {
        (void)!say_copies(c, change, node);
    }
}

static rm_status commit(changes *c)
{
    rm_error error = RM_ERROR_INIT;
    rm_status status = rm_change_commit(c->waiting, NULL, &error);
    c->made += status == RM_OK;
    c->late += status == RM_OK && c->waits > 0;
    c->of_copies += status == RM_OK && c->is_of_copies;
    if (status != RM_OK && status != RM_EAGAIN) {
        json_array_append_new(c->refused, json_string(error.message));
    }
    if (status == RM_EAGAIN) {
        c->waits++;
        snprintf(c->why, sizeof c->why, "%.250s", error.message);
    } else {
        changes_give_up(c);
    }
    return status;
}

static void begin(changes *c)
{
    if (c->tried == CHANGES_MAX) {
        return;
    }
    c->tried++;
    c->waits = c->rests = 0;
    c->is_of_copies = false;
    if (rm_change_new(c->session, &c->waiting, NULL) != RM_OK) {
        c->waiting = NULL;
        return;
    }
    for (uint32_t i = 0; i <= draw(c, WORDS_MAX); i++) {
        say_one(c, c->waiting);
    }
}

void changes_make_one(changes *c)
{
    bool is_new = !c->waiting;
    if (is_new) {
        begin(c);
    }
    if (c->waiting && commit(c) == RM_EAGAIN &&
        (c->threads || draw(c, is_new ? 4 : GIVE_UP_EACH) == 0)) {
        changes_give_up(c); /* on threads the commit itself has tried for 2 s */
    }
}

bool changes_go_on(changes *c)
{
    if (!c->waiting) {
        return false;
    }
    if (commit(c) == RM_EAGAIN && ++c->rests == RESTS_MAX) { /* it is never made */
        char text[400];
        snprintf(text, sizeof text, "it waits for nothing: %s", c->why);
        json_array_append_new(c->refused, json_string(text));
        changes_give_up(c);
    }
    return true;
}

void changes_give_up(changes *c)
{
    rm_change_free(c->waiting);
    c->waiting = NULL;
}
