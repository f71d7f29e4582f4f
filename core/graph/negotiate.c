/* Formats on edges, in two passes without backtracking.
 *
 *   backward  what consumers take moves up through ports that are `same_as` an input
 *   forward   in rank order each output port takes its first alternative that most consumers
 * accept; where one does not, the cheapest converter is inserted
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/plan.h"

/* ---- backward */

static uint32_t input_index(const rm_node_type *type, const char *name)
{
    for (uint32_t i = 0; type->inputs && type->inputs[i].name; i++) {
        if (strcmp(type->inputs[i].name, name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* All meetings of two lists of alternatives; `a` stays where there is none. */
static void meet_lists(rm_formats *a, const rm_formats *b)
{
    rm_formats met = {0};
    if (b->count == 0) {
        return;
    }
    if (a->count == 0) {
        *a = *b;
        return;
    }
    for (uint32_t j = 0; j < b->count; j++) {
        for (uint32_t i = 0; i < a->count && met.count < RM_FORMAT_ALTERNATIVES_MAX; i++) {
            rm_format common;
            if (rm_format_meet(&b->alternative[j], &a->alternative[i], &common, NULL) == RM_OK) {
                met.alternative[met.count++] = common;
            }
        }
    }
    if (met.count) {
        *a = met;
    }
}

static void pass_backward(rm_plan *plan)
{
    for (size_t e = plan->edge_count; e-- > 0;) {
        const rm_plan_edge *edge = &plan->edges[e].pub;
        rmi_plan_node *from = plan->nodes[edge->from_node], *to = plan->nodes[edge->to_node];
        const char *same_as = from->pub.type->outputs[edge->from_port].same_as;
        if (from->pub.type == &rmi_gather_type) {
            continue; /* marks come to it: what converts stands behind */
        }
        uint32_t input = same_as ? input_index(from->pub.type, same_as) : UINT32_MAX;
        if (input != UINT32_MAX) {
            meet_lists(&from->want[input], &to->want[edge->to_port]);
        }
    }
}

/* ---- forward */

typedef struct forward {
    rm_plan *plan;
    rmi_findings *findings;
    rmi_edge_index outgoing, incoming; /* edges of the graph; converters add more behind */
    uint32_t *last;                    /* of each edge of the graph: what feeds its consumer now */
} forward;

static void input_formats(const forward *f, uint32_t node, rm_format *in)
{
    for (uint32_t i = 0; i < RM_PORTS_MAX; i++) {
        in[i] = (rm_format){.kind = RM_KIND_ANY};
    }
    for (uint32_t i = f->incoming.start[node]; i < f->incoming.start[node + 1]; i++) {
        const rmi_plan_edge *edge = &f->plan->edges[f->last[f->incoming.edge[i]]];
        if (in[edge->pub.to_port].kind == RM_KIND_ANY) {
            in[edge->pub.to_port] = edge->format;
        }
    }
}

/* The alternatives of one output port, before anybody chose. */
static rm_status output_formats(const forward *f, uint32_t node, uint32_t port, rm_formats *ret_out,
                                rm_error *err)
{
    const rm_node_type *type = f->plan->nodes[node]->pub.type;
    rm_format in[RM_PORTS_MAX], out[RM_PORTS_MAX];
    rm_formats formats = {0};
    input_formats(f, node, in);
    for (uint32_t p = 0; type->outputs[p].name; p++) {
        rm_formats listed = {0};
        rm_status status = rm_formats_parse(type->outputs[p].formats, &listed, err);
        if (status != RM_OK) {
            return status;
        }
        uint32_t input =
            type->outputs[p].same_as ? input_index(type, type->outputs[p].same_as) : UINT32_MAX;
        out[p] = input != UINT32_MAX ? in[input]
                 : listed.count      ? listed.alternative[0]
                                     : (rm_format){.kind = RM_KIND_ANY};
        if (p == port) {
            formats = listed;
        }
    }
    if (type->plan) {
        rm_status status = type->plan(f->plan->nodes[node]->params, in, out, err);
        if (status != RM_OK) {
            return status;
        }
    }
    if (type->plan || type->outputs[port].same_as || formats.count == 0) {
        formats.count = 1;
        formats.alternative[0] = out[port];
    }
    *ret_out = formats;
    return RM_OK;
}

/* The first of what the consumer takes that meets the format. */
static bool consumer_meets(const rmi_plan_node *to, uint32_t port, const rm_format *format,
                           rm_format *ret_common)
{
    const rm_formats *want = &to->want[port];
    if (want->count == 0) {
        *ret_common = *format;
        return true;
    }
    for (uint32_t i = 0; i < want->count; i++) {
        if (rm_format_meet(format, &want->alternative[i], ret_common, NULL) == RM_OK) {
            return true;
        }
    }
    return false;
}

/* The alternative that most consumers accept, narrowed by those that do, and fixed. */
static rm_format choose(const forward *f, uint32_t node, uint32_t port, const rm_formats *out)
{
    unsigned best_count = 0;
    rm_format best = out->alternative[0], common;
    for (uint32_t a = 0; a < out->count; a++) {
        unsigned count = 0;
        for (uint32_t i = f->outgoing.start[node]; i < f->outgoing.start[node + 1]; i++) {
            const rm_plan_edge *edge = &f->plan->edges[f->outgoing.edge[i]].pub;
            if (edge->from_port == port) {
                count += consumer_meets(f->plan->nodes[edge->to_node], edge->to_port,
                                        &out->alternative[a], &common);
            }
        }
        if (a == 0 || count > best_count) {
            best_count = count;
            best = out->alternative[a];
        }
    }
    for (uint32_t i = f->outgoing.start[node]; i < f->outgoing.start[node + 1]; i++) {
        const rm_plan_edge *edge = &f->plan->edges[f->outgoing.edge[i]].pub;
        if (edge->from_port != port ||
            !consumer_meets(f->plan->nodes[edge->to_node], edge->to_port, &best, &common)) {
            continue;
        }
        /* What the producer does not know before it runs, it cannot be asked for. */
        for (uint32_t k = 0; k < RM_FIELD_COUNT && best.kind == common.kind; k++) {
            if (best.field[k].mode != RM_FIELD_ANY) {
                best.field[k] = common.field[k];
            }
        }
    }
    rm_format_fix(&best);
    return best;
}

/* ---- converters */

typedef struct converter {
    uint8_t kind;
    const char *node_type;
    const char *fields[5]; /* what it can change */
} converter;

/* In the order in which they are put on an edge: the down-mix makes the resampler cheaper. */
static const converter converters[] = {
    {RM_KIND_AUDIO, "audio.convert", {"channels", "sample_format", "planar"}},
    {RM_KIND_AUDIO, "audio.resample", {"rate_hz"}},
    {RM_KIND_VIDEO, "video.scale", {"fourcc", "width", "height"}},
};

static bool is_fixed_to(const rm_field *have, const rm_field *want)
{
    return want->mode == RM_FIELD_ANY ||
           (have->mode == RM_FIELD_SET && have->count == 1 && want->mode == RM_FIELD_SET &&
            want->count == 1 && have->value[0] == want->value[0]);
}

/* What each field has to become for this alternative of the consumer: "any" where it can stay. */
static rm_format target_of(const rm_format *have, const rm_format *want)
{
    rm_format target = *want;
    for (uint32_t i = 0; i < RM_FIELD_COUNT; i++) {
        rm_format one = {.kind = have->kind}, other = {.kind = have->kind}, common;
        one.field[i] = have->field[i];
        other.field[i] = want->field[i];
        bool known = have->field[i].mode == RM_FIELD_SET;
        if (known && rm_format_meet(&one, &other, &common, NULL) == RM_OK) {
            target.field[i].mode = RM_FIELD_ANY;
        }
    }
    rm_format_fix(&target);
    return target;
}

static size_t print_param(char *text, size_t size, const char *name, int64_t value)
{
    if (strcmp(name, "sample_format") == 0) {
        return (size_t)snprintf(text, size, "\"%s\":\"%s\"", name,
                                rm_sample_format_name((uint8_t)value));
    }
    if (strcmp(name, "planar") == 0) {
        return (size_t)snprintf(text, size, "\"layout\":\"%s\"", value ? "planar" : "interleaved");
    }
    if (strcmp(name, "fourcc") == 0) {
        return (size_t)snprintf(text, size, "\"%s\":\"%c%c%c%c\"", name, (int)(value & 255),
                                (int)(value >> 8 & 255), (int)(value >> 16 & 255),
                                (int)(value >> 24 & 255));
    }
    return (size_t)snprintf(text, size, "\"%s\":%lld", name, (long long)value);
}

/* Parameters for a converter, "" where it has nothing to do; what it makes of `now`. */
static void converter_params(const converter *c, rm_format *now, const rm_format *target,
                             char *text, size_t size)
{
    size_t used = 0;
    for (uint32_t i = 0; rm_format_field_name(c->kind, i); i++) {
        const char *name = rm_format_field_name(c->kind, i);
        bool mine = false;
        for (size_t k = 0; k < RMI_COUNT(c->fields) && c->fields[k]; k++) {
            mine |= strcmp(c->fields[k], name) == 0;
        }
        if (mine && target->field[i].mode != RM_FIELD_ANY &&
            !is_fixed_to(&now->field[i], &target->field[i])) {
            used += (size_t)snprintf(text + used, size - used, used ? "," : "{");
            used += print_param(text + used, size - used, name, target->field[i].value[0]);
            now->field[i] = target->field[i];
        }
    }
    snprintf(text + used, size - used, "%s", used ? "}" : "");
}

static rm_status insert_converter(forward *f, size_t edge_index, const converter *c,
                                  const char *params, const rm_format *after)
{
    rm_plan *plan = f->plan;
    const rm_node_type *type;
    char id[128];
    rmi_plan_node *node;
    rmi_plan_edge *second;
    const char *to_id = plan->nodes[plan->edges[edge_index].pub.to_node]->id;
    const char *dot = strchr(c->node_type, '.');
    snprintf(id, sizeof id, "%.80s%s%zu", to_id, dot, edge_index);
    rm_status status = rm_registry_find(plan->registry, c->node_type, &type, f->findings->err);
    if (status == RM_OK) {
        status = rmi_plan_add_node(plan, type, id, params, &node, f->findings->err);
    }
    if (status == RM_OK) {
        status = rmi_plan_add_edge(plan, &second, f->findings->err);
    }
    if (status != RM_OK) {
        return status;
    }
    rmi_plan_edge *first = &plan->edges[edge_index];
    uint32_t index = (uint32_t)plan->node_count - 1;
    node->pub.inserted = 1;
    snprintf(node->reason, sizeof node->reason, "converts for '%.80s': %.120s", to_id, params);
    *second = *first;
    first->pub.to_node = index;
    first->pub.to_port = 0;
    second->pub.from_node = index;
    second->pub.from_port = 0;
    second->pub.when_json = NULL; /* the producer has asked it */
    second->format = *after;
    snprintf(second->reason, sizeof second->reason, "made by %s", c->node_type);
    return RM_OK;
}

static void mismatch(forward *f, const rmi_plan_edge *edge, const rm_format *have,
                     const rm_formats *want)
{
    const rmi_plan_node *from = f->plan->nodes[edge->pub.from_node];
    const rmi_plan_node *to = f->plan->nodes[edge->pub.to_node];
    char gives[200], takes[400];
    uint32_t field = RM_FIELD_COUNT;
    (void)rm_format_meet(have, &want->alternative[0], NULL, &field);
    const char *name = rm_format_field_name(have->kind, field);
    rm_format_print(have, gives, sizeof gives);
    rm_formats_print(want, takes, sizeof takes);
    rm_error error = RM_ERROR_INIT;
    char pointer[48] = "";
    (void)rm_fail_as(&error, RM_CODE_FORMAT_MISMATCH,
                     "%s.%s gives %s, %s.%s takes %s: %s differs, and no converter is there",
                     from->id, from->pub.type->outputs[edge->pub.from_port].name, gives, to->id,
                     to->pub.type->inputs[edge->pub.to_port].name, takes,
                     name && field < RM_FIELD_COUNT ? name : "kind");
    if (to->manifest_index != SIZE_MAX) {
        snprintf(pointer, sizeof pointer, "/nodes/%zu", to->manifest_index);
    }
    rmi_findings_add(f->findings, RM_SEVERITY_ERROR, pointer, &error);
}

/* True: nothing needs to be done; an "any" of the producer is enough only where the consumer has no
 * wish. */
static bool fits_as_it_is(const rm_format *have, const rm_formats *want)
{
    for (uint32_t a = 0; a < want->count; a++) {
        rm_format target = target_of(have, &want->alternative[a]);
        bool fits = have->kind == want->alternative[a].kind ||
                    want->alternative[a].kind == RM_KIND_ANY || have->kind == RM_KIND_ANY;
        for (uint32_t i = 0; fits && i < RM_FIELD_COUNT && have->kind == target.kind; i++) {
            fits = target.field[i].mode == RM_FIELD_ANY;
        }
        if (fits) {
            return true;
        }
    }
    return want->count == 0;
}

static rm_status bridge(forward *f, size_t edge_index, const rm_format *have)
{
    size_t graph_edge = edge_index;
    const rmi_plan_edge *edge = &f->plan->edges[edge_index];
    const rm_formats *want = &f->plan->nodes[edge->pub.to_node]->want[edge->pub.to_port];
    rmi_plan_edge before = *edge;
    const rm_format *wanted = NULL;
    for (uint32_t a = 0; a < want->count && !wanted; a++) {
        wanted = want->alternative[a].kind == have->kind ? &want->alternative[a] : NULL;
    }
    rm_format now = *have;
    rm_format target = wanted ? target_of(have, wanted) : *have;
    bool converted = false;
    for (size_t c = 0; c < RMI_COUNT(converters) && wanted; c++) {
        char params[160];
        if (converters[c].kind != have->kind) {
            continue;
        }
        converter_params(&converters[c], &now, &target, params, sizeof params);
        if (!params[0]) {
            continue;
        }
        rm_error ignored = RM_ERROR_INIT, *err = f->findings->err;
        f->findings->err = &ignored;
        rm_status status = insert_converter(f, edge_index, &converters[c], params, &now);
        f->findings->err = err;
        if (status == RM_ENOMEM) {
            return rm_fail(err, RM_ENOMEM, "no memory for a plan");
        }
        if (status != RM_OK) {
            break;
        }
        converted = true;
        edge_index = f->plan->edge_count - 1;
        f->last[graph_edge] = (uint32_t)edge_index;
    }
    if (!converted || !fits_as_it_is(&now, want)) {
        mismatch(f, &before, have, want);
    }
    return RM_OK;
}

static rm_status settle_port(forward *f, uint32_t node, uint32_t port)
{
    rm_formats out;
    rm_error err = RM_ERROR_INIT;
    rm_status status = output_formats(f, node, port, &out, &err);
    if (status != RM_OK) {
        char pointer[48] = "";
        if (f->plan->nodes[node]->manifest_index != SIZE_MAX) {
            snprintf(pointer, sizeof pointer, "/nodes/%zu", f->plan->nodes[node]->manifest_index);
        }
        rm_error_wrap(&err, "node '%s'", f->plan->nodes[node]->id);
        rmi_findings_add(f->findings, RM_SEVERITY_ERROR, pointer, &err);
        return status == RM_ENOMEM ? status : RM_OK;
    }
    rm_format format = choose(f, node, port, &out);
    for (uint32_t i = f->outgoing.start[node]; i < f->outgoing.start[node + 1] && status == RM_OK;
         i++) {
        uint32_t e = f->outgoing.edge[i];
        rmi_plan_edge *edge = &f->plan->edges[e];
        if (edge->pub.from_port != port) {
            continue;
        }
        const rmi_plan_node *to = f->plan->nodes[edge->pub.to_node];
        edge->format = format;
        snprintf(edge->reason, sizeof edge->reason, "%s",
                 format.kind == RM_KIND_ANY          ? "not known before it runs"
                 : to->want[edge->pub.to_port].count ? "what both ports can"
                                                     : "what the producer gives");
        if (!fits_as_it_is(&format, &to->want[edge->pub.to_port])) {
            status = bridge(f, e, &format);
        }
    }
    return status;
}

static rm_status settle_all(forward *f, size_t nodes)
{
    for (uint32_t n = 0; n < nodes; n++) {
        const rm_port *outputs = f->plan->nodes[n]->pub.type->outputs;
        for (uint32_t p = 0; outputs && outputs[p].name; p++) {
            rm_status status = settle_port(f, n, p);
            if (status != RM_OK) {
                return status;
            }
        }
    }
    return RM_OK;
}

rm_status rmi_plan_negotiate(rm_plan *plan, rmi_findings *findings)
{
    RMI_AUTO_EDGE_INDEX outgoing = {0}, incoming = {0};
    RMI_AUTO_MEMORY uint32_t *last = rmi_calloc(plan->edge_count, sizeof *last);
    if (!last) {
        return rm_fail(findings->err, RM_ENOMEM, "no memory for a plan");
    }
    for (uint32_t e = 0; e < plan->edge_count; e++) {
        last[e] = e;
    }
    rm_status status = rmi_plan_outgoing(plan, &outgoing, findings->err);
    if (status == RM_OK) {
        status = rmi_plan_incoming(plan, &incoming, findings->err);
    }
    if (status != RM_OK) {
        return status;
    }
    forward f = {plan, findings, outgoing, incoming, last};
    pass_backward(plan);
    return settle_all(&f, plan->node_count);
}
