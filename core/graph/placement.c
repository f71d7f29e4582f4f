#include "graph/placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/machine.h"
#include "graph/needs.h"

enum { NEEDS_MAX = 17, TEXT_BYTES = 320 };

/* ---- what a node wishes */

typedef enum side { SIDE_NONE = 0, SIDE_HERE, SIDE_AWAY } side;

typedef struct where_row {
    const char *name;
    side first, then;
} where_row;

static const where_row where_rows[] = {{"auto", SIDE_HERE, SIDE_AWAY},
                                       {"prefer_local", SIDE_HERE, SIDE_AWAY},
                                       {"local", SIDE_HERE, SIDE_NONE},
                                       {"remote", SIDE_AWAY, SIDE_NONE},
                                       {"prefer_remote", SIDE_AWAY, SIDE_HERE}};

/* Tiers that a manifest or the environment may name. What cannot be had falls to another one, but
 * never out of a sandbox. */
static const struct {
    const char *name, *in_environment[2], *falls_to;
} tier_rows[] = {{"native", {NULL, NULL}, NULL},
                 {"cpython", {"cpython", "python"}, NULL},
                 {"rust_python", {"rustpython", "rust"}, "cpython"},
                 {"wasm", {NULL, NULL}, NULL},
                 {"cpython_wasm", {"cpython_wasm", "wasm"}, NULL}};

typedef struct wishes {
    side first, then;
    const char *where, *where_from; /* as written, and the field; NULL: nothing is said */
    const char *tier, *tier_from;
    const char *needs_from;
    const json_t *needs[NEEDS_MAX];
    size_t needs_count;
    bool where_binds, needs_bind; /* false: as 0.1 wrote it, which held nobody to it */
    bool may_fall_back;
    bool has_limits;
} wishes;

/* REMOTEMEDIA_ENABLE_FALLBACK; on where nothing is said. */
static bool fallback_is_on(void)
{
    static const char *const off[] = {"0", "false", "no", "off"};
    const char *value = getenv("REMOTEMEDIA_ENABLE_FALLBACK");
    for (size_t i = 0; value && i < RMI_COUNT(off); i++) {
        if (strcasecmp(value, off[i]) == 0) {
            return false;
        }
    }
    return true;
}

static const char *runtime_of_environment(void)
{
    const char *value = getenv("REMOTEMEDIA_PYTHON_RUNTIME");
    for (size_t i = 0; value && i < RMI_COUNT(tier_rows); i++) {
        for (size_t k = 0; k < 2; k++) {
            const char *name = tier_rows[i].in_environment[k];
            if (name && strcasecmp(value, name) == 0) {
                return tier_rows[i].name;
            }
        }
    }
    return NULL;
}

static const char *falls_to(const char *tier)
{
    for (size_t i = 0; i < RMI_COUNT(tier_rows); i++) {
        if (strcmp(tier_rows[i].name, tier) == 0) {
            return tier_rows[i].falls_to;
        }
    }
    return NULL;
}

static void set_where(wishes *w, const char *name, const char *from)
{
    for (size_t i = 0; i < RMI_COUNT(where_rows); i++) {
        if (strcmp(where_rows[i].name, name) == 0) {
            w->first = where_rows[i].first;
            w->then = where_rows[i].then;
            w->where = where_rows[i].name;
            w->where_from = from;
        }
    }
}

static void read_where(wishes *w, const json_t *node)
{
    const json_t *placement = json_object_get(node, "placement");
    const json_t *execution = json_object_get(node, "execution");
    const char *ours = json_string_value(json_object_get(placement, "where"));
    const char *older = json_string_value(json_object_get(execution, "placement"));
    set_where(w, "auto", NULL);
    w->where_binds = ours != NULL;
    if (ours) {
        set_where(w, ours, "placement.where");
    } else if (older) {
        set_where(w, older, "execution.placement");
    } else if (json_object_get(node, "host")) {
        set_where(w, "prefer_remote", "host");
    }
    const json_t *fallback = json_object_get(placement, "fallback");
    fallback = fallback ? fallback : json_object_get(execution, "fallback");
    bool wanted = json_is_boolean(fallback) ? json_is_true(fallback) : w->then != SIDE_NONE;
    w->may_fall_back = wanted && fallback_is_on();
    if (w->first == SIDE_AWAY) {
        bool stays = w->then == SIDE_HERE && !json_is_false(fallback);
        w->then = stays || (json_is_true(fallback) && w->may_fall_back) ? SIDE_HERE : SIDE_NONE;
    }
}

static void read_tier(wishes *w, const json_t *node)
{
    const char *tier = json_string_value(json_object_get(node, "tier"));
    const char *hint = json_string_value(json_object_get(node, "runtime_hint"));
    if (tier && strcmp(tier, "auto") != 0) {
        w->tier = tier;
        w->tier_from = "tier";
    } else if (hint && strcmp(hint, "auto") != 0) {
        w->tier = hint;
        w->tier_from = "runtime_hint";
    } else if (!tier && !hint && (w->tier = runtime_of_environment())) {
        w->tier_from = "REMOTEMEDIA_PYTHON_RUNTIME";
    }
}

static void read_needs(wishes *w, const json_t *node)
{
    const json_t *first = json_object_get(node, "capabilities");
    const json_t *list = json_object_get(node, "requirements");
    if (json_object_size(first) > 0) {
        w->needs[w->needs_count++] = first;
    }
    for (size_t i = 0; i < json_array_size(list) && w->needs_count < NEEDS_MAX; i++) {
        w->needs[w->needs_count++] = json_array_get(list, i);
    }
    w->has_limits = json_object_size(json_object_get(node, "limits")) > 0;
    w->needs_bind = json_array_size(list) > 0;
    w->needs_from = w->needs_bind ? "requirements" : "capabilities";
}

/* ---- choosing */

typedef struct choosing {
    rmi_placer *placer;
    const rmi_graph_node *node;
    rm_node_spec spec;
    wishes wishes;
    json_t *refused;          /* rows for explain */
    unsigned refused_by_wish; /* … of those that other code would not mend */
    rm_error no_code;         /* what the registry or a tier says */
} choosing;

/* What one place comes to. */
typedef struct offer {
    const rm_place_type *place;
    rmi_made_type made;
    const char *tier;
    char note[TEXT_BYTES];
} offer;

__attribute__((format(printf, 4, 5))) static void
refuse(choosing *c, const char *what, const char *change, const char *format, ...)
{
    char reason[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    json_array_append_new(
        c->refused, json_pack("{s:s, s:s, s:s}", "what", what, "reason", reason, "change", change));
}

__attribute__((format(printf, 2, 3))) static void note(offer *o, const char *format, ...)
{
    size_t used = strlen(o->note);
    va_list arguments;
    if (used) {
        snprintf(o->note + used, sizeof o->note - used, "; ");
        used = strlen(o->note);
    }
    va_start(arguments, format);
    vsnprintf(o->note + used, sizeof o->note - used, format, arguments);
    va_end(arguments);
}

static side side_of(const rm_place_type *place)
{
    return place->make_type ? SIDE_AWAY : SIDE_HERE;
}

/* ---- its machine */

static rm_status look_here(const choosing *c, json_t **ret_machine, rm_error *err)
{
    rmi_placer *placer = c->placer;
    if (placer->machine_json) {
        *ret_machine = json_loads(placer->machine_json, 0, NULL);
        return *ret_machine ? RM_OK
                            : rm_fail(err, RM_EINVAL, "the machine's capabilities are not JSON");
    }
    (void)rm_registry_load_all(placer->registry, NULL, NULL);
    return rmi_machine_probe(NULL, placer->registry, ret_machine, err);
}

static rm_status machine_of(const choosing *c, size_t place, const json_t **ret_machine,
                            rm_error *err)
{
    json_t **known = &c->placer->machines[place];
    const rm_place_type *row = rmi_registry_place_at(c->placer->registry, place);
    char *text = NULL;
    rm_status status = RM_OK;
    if (!*known && side_of(row) == SIDE_HERE) {
        status = look_here(c, known, err);
    } else if (!*known && row->describe) {
        status = row->describe(row->context, &text, err);
        *known = status == RM_OK ? json_loads(text, 0, NULL) : NULL;
        rm_free(text);
    }
    if (status == RM_OK && !*known) {
        *known = json_object();
    }
    *ret_machine = *known;
    return status;
}

/* The first of its needs that the place meets. */
static bool meets_needs(choosing *c, size_t place, offer *o)
{
    const wishes *w = &c->wishes;
    const json_t *machine = NULL;
    rm_error err = RM_ERROR_INIT;
    rmi_needs_answer answer;
    if (w->needs_count == 0) {
        return true;
    }
    if (machine_of(c, place, &machine, &err) != RM_OK) {
        refuse(c, o->place->name, "", "its machine cannot be looked at: %.200s", err.message);
        c->refused_by_wish++;
        return false;
    }
    for (size_t i = 0; i < w->needs_count; i++) {
        char what[96];
        bool met = rmi_needs_are_met(w->needs[i], machine, &answer);
        snprintf(what, sizeof what, "%s, alternative %zu", o->place->name, i + 1);
        if (met && (i > 0 || answer.reason[0])) {
            note(o, "it meets alternative %zu of %s%s%s", i + 1, w->needs_from,
                 answer.reason[0] ? ": " : "", answer.reason);
        }
        if (met) {
            return true;
        }
        refuse(c, w->needs_count > 1 ? what : o->place->name, answer.change, "%s", answer.reason);
    }
    c->refused_by_wish++;
    return false;
}

/* ---- code here: native, or one of the tiers */

static void refuse_tier(choosing *c, const char *tier, const char *change, const char *reason)
{
    char what[80];
    snprintf(what, sizeof what, "tier %.60s", tier);
    refuse(c, what, change, "%s", reason);
}

/* What must be held to limits is not run without them: no hint and no wish lowers that. */
static bool limits_allow(choosing *c, const char *tier, uint32_t flags)
{
    if (!c->wishes.has_limits || flags & RM_TIER_LIMITS) {
        return true;
    }
    refuse_tier(c, tier, "a tier that holds code to its limits, or no limits",
                "the node has limits, and this does not hold code to them");
    c->refused_by_wish++;
    return false;
}

static uint32_t tier_flags(const rm_tier_type *tier)
{
    bool has = tier->struct_size >= offsetof(rm_tier_type, flags) + sizeof tier->flags;
    return has ? tier->flags : 0;
}

static bool tier_may(const choosing *c, const rm_tier_type *tier, rm_error *why)
{
    bool has = tier->struct_size >= offsetof(rm_tier_type, can) + sizeof tier->can && tier->can;
    return !has || tier->can(tier->context, &c->spec, why) == RM_OK;
}

/* RM_ENOENT: none of the tiers (or not the wanted one) hosts it. */
static rm_status ask_tiers(choosing *c, const char *wanted, offer *o, rm_error *err)
{
    const rm_registry *registry = c->placer->registry;
    for (size_t i = 0; i < rmi_registry_tier_count(registry); i++) {
        const rm_tier_type *tier = rmi_registry_tier_at(registry, i);
        rm_error why = RM_ERROR_INIT;
        if (wanted && strcmp(wanted, tier->name) != 0) {
            char reason[128];
            snprintf(reason, sizeof reason, "%s is %.40s", c->wishes.tier_from, wanted);
            refuse_tier(c, tier->name, "another tier asked for", reason);
            continue;
        }
        if (!limits_allow(c, tier->name, tier_flags(tier))) {
            continue;
        }
        if (!tier_may(c, tier, &why)) {
            refuse_tier(c, tier->name, why.help, why.message);
            continue;
        }
        rm_status status = tier->make_type(tier->context, &c->spec, &o->made.type, err);
        if (status == RM_OK) {
            o->made.release = tier->release_type;
            o->made.context = tier->context;
            o->tier = tier->name;
        }
        if (status != RM_ENOENT) {
            return status;
        }
    }
    return RM_ENOENT;
}

static bool is_code(const rmi_graph_node *node)
{
    return strchr(node->node_type, ':') || json_object_get(node->json, "code");
}

/* RM_ENOENT: there is none, or another tier is asked for. */
static rm_status find_native(choosing *c, offer *o, rm_error *err)
{
    const wishes *w = &c->wishes;
    if (is_code(c->node)) {
        return RM_ENOENT;
    }
    rm_status status =
        rm_registry_find(c->placer->registry, c->node->node_type, &o->made.type, err);
    if (status == RM_OK && !limits_allow(c, "native", 0)) {
        o->made.type = NULL;
        return RM_ENOENT;
    }
    if (status != RM_OK || !w->tier || strcmp(w->tier, "native") == 0) {
        return status;
    }
    if (strcmp(w->tier_from, "tier") == 0) {
        char reason[96];
        snprintf(reason, sizeof reason, "tier is %.40s", w->tier);
        refuse_tier(c, "native", "\"tier\": \"native\"", reason);
        c->refused_by_wish++;
        o->made.type = NULL;
        return RM_ENOENT;
    }
    if (strcmp(w->tier_from, "runtime_hint") == 0) {
        note(o, "runtime_hint is for Python code, and this is native");
    }
    return RM_OK;
}

static void list_tiers(const rm_registry *registry, char *text, size_t size)
{
    snprintf(text, size, "native");
    for (size_t i = 0; i < rmi_registry_tier_count(registry); i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, ", %.40s", rmi_registry_tier_at(registry, i)->name);
    }
}

static rm_status wanted_tier_is_missing(choosing *c, rm_error *err)
{
    const wishes *w = &c->wishes;
    char there[160];
    list_tiers(c->placer->registry, there, sizeof there);
    c->refused_by_wish++;
    rm_status status = rm_fail_as(err, RM_CODE_PLACEMENT,
                                  "the tier %.40s (%s) does not host it here; this program has %s",
                                  w->tier, w->tier_from, there);
    rm_error_help(err, "set %s to auto, or to one that can", w->tier_from);
    return status;
}

static rm_status find_by_tier(choosing *c, offer *o, rm_error *err)
{
    const char *wanted = c->wishes.tier, *other = wanted ? falls_to(wanted) : NULL;
    const char *asked = getenv("REMOTEMEDIA_PYTHON_RUNTIME");
    if (!wanted && asked && strcasecmp(asked, "auto") != 0 && !runtime_of_environment()) {
        note(o, "REMOTEMEDIA_PYTHON_RUNTIME is '%.40s', which names no runtime", asked);
    }
    rm_status status = ask_tiers(c, wanted, o, err);
    if (status == RM_ENOENT && other && fallback_is_on()) {
        status = ask_tiers(c, other, o, err);
        note(o, "%s asks for %s, which is not here: %s takes its place", c->wishes.tier_from,
             wanted, other);
    }
    return status;
}

static rm_status find_here(choosing *c, offer *o, rm_error *err)
{
    const rmi_graph_node *node = c->node;
    rm_error unknown = RM_ERROR_INIT, asked = RM_ERROR_INIT;
    o->tier = "native";
    rm_status status = find_native(c, o, &unknown);
    if (status == RM_OK) {
        return RM_OK;
    }
    *err = unknown;
    if (status != RM_ENOENT) {
        return status;
    }
    status = find_by_tier(c, o, &asked);
    if (status != RM_ENOENT) {
        *err = asked;
        return status;
    }
    if (c->wishes.tier && (unknown.code == RM_CODE_NONE || is_code(node))) {
        return wanted_tier_is_missing(c, err);
    }
    if (c->wishes.has_limits && err->code == RM_CODE_NONE) {
        return rm_fail(err, RM_ENOENT, "no tier here may host it");
    }
    if (is_code(node)) {
        status = rm_fail_as(err, RM_CODE_TIER_MISSING,
                            "node '%s' is Python code (%s), and this program cannot run Python "
                            "nodes",
                            node->id, node->node_type);
        rm_error_help(err, "run it with the `remotemedia` command of the Python wheel");
    }
    return status;
}

/* ---- code elsewhere */

static rm_status find_away(choosing *c, offer *o, rm_error *err)
{
    const rm_place_type *place = o->place;
    o->tier = "remote";
    rm_status status = place->can ? place->can(place->context, &c->spec, err) : RM_OK;
    if (status == RM_OK) {
        status = place->make_type(place->context, &c->spec, &o->made.type, err);
        o->made.release = place->release_type;
        o->made.context = place->context;
    }
    if (status == RM_ENOENT && err->code == RM_CODE_NONE) {
        (void)rm_fail(err, RM_ENOENT, "it has no node type '%.64s'", c->node->node_type);
    }
    return status;
}

/* RM_OK: *o is an offer. RM_ENOENT: the reasons are in `refused`. Else: nothing can go on. */
static rm_status try_place(choosing *c, size_t index, offer *o)
{
    rm_error err = RM_ERROR_INIT;
    memset(o, 0, sizeof *o);
    o->place = rmi_registry_place_at(c->placer->registry, index);
    if (!meets_needs(c, index, o)) {
        return RM_ENOENT;
    }
    bool here = side_of(o->place) == SIDE_HERE;
    rm_status status = here ? find_here(c, o, &err) : find_away(c, o, &err);
    if (status == RM_OK || status == RM_ENOMEM) {
        c->no_code = status == RM_OK ? c->no_code : err;
        return status;
    }
    refuse(c, o->place->name, err.help, "%.300s", err.message);
    if (here) {
        c->no_code = err;
    }
    return RM_ENOENT;
}

static void refuse_unseen(choosing *c, const rm_place_type *chosen)
{
    const wishes *w = &c->wishes;
    const rm_registry *registry = c->placer->registry;
    unsigned away = 0;
    for (size_t i = 0; i < rmi_registry_place_count(registry); i++) {
        const rm_place_type *place = rmi_registry_place_at(registry, i);
        side where = side_of(place);
        away += where == SIDE_AWAY;
        if (where != w->first && where != w->then) {
            refuse(c, place->name, "\"placement\": {\"where\": \"auto\"}", "%s is %s",
                   w->where_from ? w->where_from : "where", w->where);
        } else if (chosen && where != w->first && side_of(chosen) == w->first) {
            refuse(c, place->name,
                   where == SIDE_AWAY ? "\"placement\": {\"where\": \"prefer_remote\"}"
                                      : "\"placement\": {\"where\": \"prefer_local\"}",
                   "%s comes first, and can run it", chosen->name);
        }
    }
    if (!away && (w->first == SIDE_AWAY || w->then == SIDE_AWAY)) {
        refuse(c, "remote", "a transport that reaches one", "this program has no remote place");
    }
}

/* The first place of a side that takes it. */
static rm_status try_side(choosing *c, side which, offer *o)
{
    rm_status status = RM_ENOENT;
    for (size_t i = 0; i < rmi_registry_place_count(c->placer->registry); i++) {
        const rm_place_type *place = rmi_registry_place_at(c->placer->registry, i);
        if (which != SIDE_NONE && side_of(place) == which && status == RM_ENOENT) {
            status = try_place(c, i, o);
        }
    }
    return status;
}

static rm_status try_all(choosing *c, offer *o, offer *other)
{
    const wishes *w = &c->wishes;
    rm_status status = try_side(c, w->first, o);
    if (status == RM_ENOENT) {
        return try_side(c, w->then, o);
    }
    bool wanted = status == RM_OK && side_of(o->place) == SIDE_AWAY && w->may_fall_back;
    if (wanted && try_side(c, SIDE_HERE, other) == RM_ENOMEM) {
        status = RM_ENOMEM;
    }
    return status;
}

/* ---- what is told */

/* `what` begins the message. */
static rm_status cannot_place(const choosing *c, const char *what, rm_error *err)
{
    char text[RM_ERROR_MESSAGE_MAX - 100] = "", help[RM_ERROR_HELP_MAX] = "";
    if (!c->refused_by_wish && c->no_code.code && !c->wishes.where_binds) {
        if (err) {
            *err = c->no_code;
        }
        return c->no_code.status;
    }
    for (size_t i = 0; i < json_array_size(c->refused); i++) {
        const json_t *row = json_array_get(c->refused, i);
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s: %s", used ? "; " : "",
                 json_string_value(json_object_get(row, "what")),
                 json_string_value(json_object_get(row, "reason")));
        const char *change = json_string_value(json_object_get(row, "change"));
        if (!help[0] && change[0]) {
            snprintf(help, sizeof help, "it would take: %s", change);
        }
    }
    rm_status status = rm_fail_as(err, RM_CODE_PLACEMENT, "%s '%s': %s", what, c->node->id, text);
    rm_error_help(err, "%s", help);
    return status;
}

static json_t *tell(const choosing *c, const offer *o, const offer *other)
{
    const wishes *w = &c->wishes;
    char reason[2 * TEXT_BYTES];
    if (w->where_from) {
        snprintf(reason, sizeof reason, "%s is %s", w->where_from, w->where);
    } else {
        snprintf(reason, sizeof reason, "%s",
                 side_of(o->place) == SIDE_HERE ? "local comes first" : "nothing here can run it");
    }
    size_t used = strlen(reason);
    snprintf(reason + used, sizeof reason - used, "%s%s", o->note[0] ? "; " : "", o->note);
    return json_pack("{s:s, s:s, s:s, s:s?, s:b, s:O}", "place", o->place->name, "tier", o->tier,
                     "reason", reason, "fallback", other->place ? other->place->name : NULL,
                     "wished", w->where_from || w->tier || w->needs_count || o->note[0], "refused",
                     c->refused);
}

/* What 0.1 wrote and held nobody to is dropped; what it would have refused is the warning. */
static rm_status relax(choosing *c, offer *o, offer *other, rm_error *ret_warning, rm_error *err)
{
    wishes *w = &c->wishes;
    static const char nothing[] = "nothing can run node";
    bool softer = (!w->where_binds && w->where_from) || (!w->needs_bind && w->needs_count);
    refuse_unseen(c, NULL);
    rm_status status = cannot_place(c, nothing, err);
    if (!softer) {
        return status;
    }
    (void)cannot_place(c, "against its entry, this machine runs node", ret_warning);
    w->needs_count = w->needs_bind ? w->needs_count : 0;
    if (!w->where_binds) {
        set_where(w, "auto", NULL);
    }
    status = try_all(c, o, other);
    return status == RM_ENOENT ? cannot_place(c, nothing, err) : status;
}

static rm_status choose(choosing *c, rmi_placement *ret_placement, rm_error *err)
{
    rmi_placement made = {.warning = RM_ERROR_INIT};
    offer chosen, other = {0};
    rm_status status = try_all(c, &chosen, &other);
    if (status == RM_OK) {
        refuse_unseen(c, other.place ? NULL : chosen.place);
    } else if (status == RM_ENOENT) {
        status = relax(c, &chosen, &other, &made.warning, err);
        if (status == RM_OK) {
            note(&chosen, "%s", "what 0.1 wrote is followed where it can be");
        }
    } else {
        return rm_fail(err, status, "no memory to place node '%s'", c->node->id);
    }
    if (status != RM_OK) {
        return status;
    }
    made.place = chosen.place;
    made.tier = chosen.tier;
    made.made = chosen.made;
    made.fallback = other.made;
    made.told = tell(c, &chosen, &other);
    *ret_placement = made;
    return RM_OK;
}

/* ---- the whole */

static uint64_t python_instance(const json_t *node)
{
    const json_t *code = json_object_get(node, "code");
    return (uint64_t)json_integer_value(json_object_get(code, "$python"));
}

rm_status rmi_place_node(rmi_placer *placer, const rmi_graph_node *node, const char *node_json,
                         rmi_placement *ret_placement, rm_error *err)
{
    choosing c = {.placer = placer, .node = node, .no_code = RM_ERROR_INIT};
    c.spec = (rm_node_spec){.struct_size = sizeof c.spec,
                            .id = node->id,
                            .node_type = node->node_type,
                            .code = json_string_value(json_object_get(node->json, "code")),
                            .params_json = node->params_json,
                            .node_json = node_json,
                            .instance = python_instance(node->json)};
    c.refused = json_array();
    if (!c.refused) {
        return rm_fail(err, RM_ENOMEM, "no memory to place node '%s'", node->id);
    }
    read_where(&c.wishes, node->json);
    read_tier(&c.wishes, node->json);
    read_needs(&c.wishes, node->json);
    rm_status status = choose(&c, ret_placement, err);
    json_decref(c.refused);
    return status;
}

void rmi_made_type_release(rmi_made_type *made)
{
    if (made->type && made->release) {
        made->release(made->context, made->type);
    }
    made->type = NULL;
}

void rmi_placement_fini(rmi_placement *placement)
{
    rmi_made_type_release(&placement->made);
    rmi_made_type_release(&placement->fallback);
    json_decref(placement->told);
    placement->told = NULL;
}

void rmi_placer_fini(rmi_placer *placer)
{
    for (size_t i = 0; i < RMI_PLACES_MAX; i++) {
        json_decref(placer->machines[i]);
        placer->machines[i] = NULL;
    }
}
