/* Lanes, queues and the critical path of a run, and the rules that make sentences of them. */
#include "profile.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { NAME_BYTES = 128, TEXT_BYTES = 512, TIMED_CALLS_MIN = 20 };

/* Parts of the run's time, of a queue's room, of a lane. */
static const double full_part = 0.5, empty_part = 0.05, busy_part = 0.6, idle_part = 0.5,
                    one_node_part = 0.6, memory_part = 0.9, overhead_part = 0.4;
static const double uneven_times = 10, uneven_ns = 1e6;

typedef struct profile_node {
    const json_t *json;
    const char *id, *type;
    size_t lane;
    bool hidden;    /* the plan's own */
    bool elsewhere; /* most of its work is not done in its calls */
    double work_ns, fill, mean;
    double way;    /* of the heaviest way from a source to here */
    size_t before; /* on that way, from 1; 0: none */
} profile_node;

typedef struct profile_lane {
    char name[NAME_BYTES];
    double work_ns;
    size_t nodes, top; /* how many, and the one that works most */
} profile_lane;

typedef struct profile {
    const json_t *run, *edges;
    double elapsed_ns;
    profile_node *nodes;
    profile_lane *lanes; /* room for one a node and one a strand */
    size_t count, lane_count;
    json_t *findings;
} profile;

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static double part_of(double value, double whole)
{
    return whole > 0 ? value / whole : 0;
}

static double percent_of(double value, double whole)
{
    double percent = part_of(value, whole) * 100;
    return percent > 100 ? 100 : percent;
}

static profile_node *find_node(const profile *p, const char *id)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->nodes[i].id, id) == 0) {
            return &p->nodes[i];
        }
    }
    return NULL;
}

/* ---- lanes */

static size_t lane_named(profile *p, const char *name)
{
    for (size_t i = 0; i < p->lane_count; i++) {
        if (strcmp(p->lanes[i].name, name) == 0) {
            return i;
        }
    }
    snprintf(p->lanes[p->lane_count].name, NAME_BYTES, "%s", name);
    return p->lane_count++;
}

static void add_work(profile *p, size_t lane, const profile_node *node, double work_ns)
{
    profile_lane *l = &p->lanes[lane];
    if (l->nodes++ == 0 || work_ns > p->nodes[l->top].work_ns) {
        l->top = (size_t)(node - p->nodes);
    }
    l->work_ns += work_ns;
}

static void place_node(profile *p, profile_node *node)
{
    char name[NAME_BYTES];
    double pending_ns = number(json_object_get(node->json, "time"), "pending_ns");
    double calls_ns = node->work_ns > pending_ns ? node->work_ns - pending_ns : 0;
    node->elsewhere = pending_ns > calls_ns;
    snprintf(name, sizeof name, "strand %.0f", number(node->json, "strand"));
    if (!node->elsewhere) {
        node->lane = lane_named(p, name);
        add_work(p, node->lane, node, node->work_ns);
        return;
    }
    p->lanes[lane_named(p, name)].work_ns += calls_ns;
    snprintf(name, sizeof name, "work of %s", node->id);
    node->lane = lane_named(p, name);
    add_work(p, node->lane, node, node->work_ns < pending_ns ? node->work_ns : pending_ns);
}

static const profile_lane *busiest_lane(const profile *p)
{
    const profile_lane *best = NULL;
    for (size_t i = 0; i < p->lane_count; i++) {
        bool busier = p->lanes[i].nodes && (!best || p->lanes[i].work_ns > best->work_ns);
        best = busier ? &p->lanes[i] : best;
    }
    return best;
}

/* ---- queues */

static double room_before(const profile *p, const char *id)
{
    double room = 0;
    for (size_t i = 0; i < json_array_size(p->edges); i++) {
        const json_t *edge = json_array_get(p->edges, i);
        room += strcmp(text(edge, "to"), id) == 0 ? number(edge, "capacity") : 0;
    }
    return room;
}

static void measure_queues(const profile *p, profile_node *node)
{
    double wait_ns = number(json_object_get(node->json, "waiting"), "sum_ns");
    node->mean = part_of(wait_ns, p->elapsed_ns);
    double fill = part_of(node->mean, room_before(p, node->id));
    node->fill = fill > 1 ? 1 : fill;
}

static const char *state_of(const json_t *edge, const profile_node *to)
{
    if (to->fill >= full_part) {
        return "full";
    }
    if (to->fill > empty_part) {
        return "busy";
    }
    return json_is_true(json_object_get(edge, "link")) || to->elsewhere ? "empty" : "direct";
}

/* ---- the critical path */

static void lead_on(const profile *p, const profile_node *from, profile_node *to)
{
    if (from->way > to->way || !to->before) {
        to->way = from->way;
        to->before = (size_t)(from - p->nodes) + 1;
    }
}

/* Nodes come in an order in which each edge leads on. */
static size_t walk(const profile *p)
{
    size_t last = 0;
    for (size_t i = 0; i < p->count; i++) {
        profile_node *node = &p->nodes[i];
        for (size_t e = 0; e < json_array_size(p->edges); e++) {
            const json_t *edge = json_array_get(p->edges, e);
            const profile_node *from = find_node(p, text(edge, "from"));
            if (strcmp(text(edge, "to"), node->id) == 0 && from && from < node) {
                lead_on(p, from, node);
            }
        }
        node->way += part_of(node->work_ns, p->elapsed_ns) + node->fill;
        last = node->way >= p->nodes[last].way ? i : last;
    }
    return last;
}

static json_t *path_json(const profile *p)
{
    json_t *path = json_array();
    for (size_t at = p->count ? walk(p) + 1 : 0; at; at = p->nodes[at - 1].before) {
        if (!p->nodes[at - 1].hidden) {
            json_array_insert_new(path, 0, json_string(p->nodes[at - 1].id));
        }
    }
    return path;
}

/* ---- findings */

/* Returns it, borrowed, so that it can be told what it is about. */
static json_t *find(profile *p, const char *rule, const char *format, ...) RM_PRINTF(3, 4);
static json_t *find(profile *p, const char *rule, const char *format, ...)
{
    char sentence[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    json_t *finding = json_pack("{s:s, s:o}", "rule", rule, "text", cli_text_json(sentence));
    json_array_append_new(p->findings, finding);
    return finding;
}

static void find_of_node(json_t *finding, const profile_node *node)
{
    json_object_set_new(finding, "node", json_string(node->id));
}

static const char *queue_words(const profile *p, const profile_node *node, char *buffer,
                               size_t size)
{
    double room = room_before(p, node->id);
    if (node->fill >= full_part) {
        snprintf(buffer, size,
                 " and the queue before it is full (%.1f of %.0f packets, on average)", node->mean,
                 room);
    } else {
        buffer[0] = '\0';
    }
    return buffer;
}

static const char *advice_for(const profile *p, const profile_node *node, char *buffer, size_t size)
{
    const char *cheaper = text(node->json, "cheaper");
    const profile_lane *lane = &p->lanes[node->lane];
    if (*cheaper) {
        snprintf(buffer, size, "a lower %s makes it faster (--set %s.%s=...)", cheaper, node->id,
                 cheaper);
    } else if (strchr(node->type, ':') && lane->nodes == 1 && node->elsewhere) {
        snprintf(buffer, size,
                 "it takes one item at a time: give it more an item, or write its loop natively");
    } else if (lane->nodes > 1) {
        snprintf(buffer, size,
                 "%zu other nodes wait for the same thread: a type that is declared heavy gets one "
                 "of its own",
                 lane->nodes - 1);
    } else {
        snprintf(buffer, size, "only less work an item in it makes the run faster");
    }
    return buffer;
}

static void find_bottleneck(profile *p, const profile_lane *lane)
{
    char queue[160], advice[256];
    const profile_node *top = &p->nodes[lane->top];
    if (part_of(top->work_ns, lane->work_ns) < one_node_part) {
        json_t *finding =
            find(p, "shared lane",
                 "%s works %.0f %% of the time, and %zu nodes share it, '%s' with the largest part "
                 "(%.0f %%): the run gains by moving work to another thread, not by one node",
                 lane->name, percent_of(lane->work_ns, p->elapsed_ns), lane->nodes, top->id,
                 percent_of(top->work_ns, lane->work_ns));
        json_object_set_new(finding, "lane", json_string(lane->name));
        return;
    }
    json_t *finding =
        find(p, "bottleneck", "'%s' works %.0f %% of the time %s%s: it is the bottleneck; %s",
             top->id, percent_of(top->work_ns, p->elapsed_ns),
             top->elsewhere ? "outside its strand" : "on its thread",
             queue_words(p, top, queue, sizeof queue), advice_for(p, top, advice, sizeof advice));
    find_of_node(finding, top);
}

static double work_of_all(const profile *p)
{
    double sum_ns = 0;
    for (size_t i = 0; i < p->count; i++) {
        sum_ns += p->nodes[i].work_ns;
    }
    return sum_ns;
}

static void find_outside(profile *p, double busy)
{
    double cpu_ns = number(p->run, "cpu_ns"), media_ns = number(p->run, "media_ns");
    double speed = part_of(media_ns, p->elapsed_ns), rest_ns = cpu_ns - work_of_all(p);
    const char *why = "the threads slept: the sources are slow, or start and end take long";
    if (speed > 0.9 && speed < 1.1) {
        why = "it keeps pace with its source, which is paced or live, and nothing here holds it up";
    } else if (part_of(rest_ns, p->elapsed_ns) > overhead_part) {
        why = "the processor works all the same, on start, end and what is between the nodes: "
              "a longer run, or larger packets, would make it less";
    }
    find(p, "outside", "most time is outside nodes (%.0f %%): %s",
         100 - percent_of(busy * p->elapsed_ns, p->elapsed_ns), why);
}

static void find_held(profile *p, const profile_lane *lane)
{
    for (size_t i = 0; i < p->count; i++) {
        const profile_node *node = &p->nodes[i];
        if (node->fill < full_part || node->hidden || (lane && i == lane->top)) {
            continue;
        }
        const profile_lane *its = &p->lanes[node->lane];
        find_of_node(
            find(p, "full queue",
                 "the queue before '%s' is full (%.1f of %.0f packets, on average), so that what "
                 "feeds it is held: it works %.0f %% of the time, %s %.0f %%",
                 node->id, node->mean, room_before(p, node->id),
                 percent_of(node->work_ns, p->elapsed_ns), its->name,
                 percent_of(its->work_ns, p->elapsed_ns)),
            node);
    }
}

static void find_drops(profile *p)
{
    for (size_t i = 0; i < json_array_size(p->edges); i++) {
        const json_t *edge = json_array_get(p->edges, i);
        double full = number(json_object_get(edge, "dropped"), "full");
        if (full <= 0) {
            continue;
        }
        json_t *finding = find(
            p, "drops",
            "%.0f of %.0f packets from '%s' to '%s' were dropped for the queue was full: '%s' is "
            "too slow for them",
            full, number(edge, "packets"), text(edge, "from"), text(edge, "to"), text(edge, "to"));
        json_object_set(finding, "from", json_object_get(edge, "from"));
        json_object_set(finding, "to", json_object_get(edge, "to"));
    }
}

static void find_trouble(profile *p, const profile_node *node)
{
    double errors = number(node->json, "errors"), retries = number(node->json, "retries");
    const json_t *time = json_object_get(node->json, "time");
    double p50_ns = number(time, "p50_ns"), p99_ns = number(time, "p99_ns");
    char half[32], slow[32];
    if (errors > 0) {
        find_of_node(find(p, "errors",
                          "'%s' failed %.0f times and was tried again %.0f times: "
                          "that time is counted as its work",
                          node->id, errors, retries),
                     node);
    }
    if (number(node->json, "late") > 0) {
        find_of_node(find(p, "late", "%.0f items came to '%s' after its deadline",
                          number(node->json, "late"), node->id),
                     node);
    }
    if (number(time, "timed_calls") >= TIMED_CALLS_MIN && p99_ns > uneven_ns &&
        p99_ns > uneven_times * p50_ns) {
        find_of_node(find(p, "uneven",
                          "calls of '%s' differ: half of them take up to %s, one in a hundred %s "
                          "or more; what follows needs a queue that is as deep",
                          node->id, cli_duration(p50_ns, half, sizeof half),
                          cli_duration(p99_ns, slow, sizeof slow)),
                     node);
    }
}

static void find_memory(profile *p)
{
    const json_t *memory = json_object_get(p->run, "memory");
    double peak = number(memory, "bytes_peak"), max = number(memory, "bytes_max");
    if (part_of(peak, max) >= memory_part) {
        find(p, "memory",
             "buffers took up to %.0f %% of the session's memory: sources wait for it; shorter "
             "queues or more memory",
             percent_of(peak, max));
    }
}

/* The lane of the node that works most: its calls and its work elsewhere are never at once, so that
 * it may be busy where neither its strand nor its own lane is. NULL: there is no node. */
static const profile_lane *lane_of_top(const profile *p)
{
    const profile_node *top = NULL;
    for (size_t i = 0; i < p->count; i++) {
        top = !top || p->nodes[i].work_ns > top->work_ns ? &p->nodes[i] : top;
    }
    bool busy = top && part_of(top->work_ns, p->elapsed_ns) >= busy_part;
    return busy ? &p->lanes[top->lane] : NULL;
}

static void find_all(profile *p)
{
    const profile_lane *of_top = lane_of_top(p);
    const profile_lane *lane = of_top ? of_top : busiest_lane(p);
    double busy = lane ? part_of(lane->work_ns, p->elapsed_ns) : 0;
    bool bound = of_top || busy >= busy_part;
    if (bound) {
        find_bottleneck(p, lane);
    } else if (busy < idle_part && p->elapsed_ns > 0) {
        find_outside(p, busy);
    }
    find_held(p, bound ? lane : NULL);
    find_drops(p);
    for (size_t i = 0; i < p->count; i++) {
        if (!p->nodes[i].hidden) {
            find_trouble(p, &p->nodes[i]);
        }
    }
    find_memory(p);
    if (json_array_size(p->findings) == 0) {
        find(p, "even",
             "no node and no queue stands out: the busiest, %s, works %.0f %% of the "
             "time",
             lane ? lane->name : "none", busy * 100);
    }
}

/* ---- the report */

static json_t *node_json(const profile *p, const profile_node *node, double total_ns)
{
    const json_t *waiting = json_object_get(node->json, "waiting");
    double items = number(node->json, "items");
    items = items > 0 ? items : number(node->json, "emitted");
    return json_pack(
        "{s:s, s:s, s:i, s:s, s:b, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "id", node->id, "type",
        node->type, "strand", (int)number(node->json, "strand"), "lane", p->lanes[node->lane].name,
        "elsewhere", node->elsewhere, "items", (json_int_t)items, "work_ns", node->work_ns, "work",
        part_of(node->work_ns, p->elapsed_ns), "share", part_of(node->work_ns, total_ns), "item_ns",
        part_of(node->work_ns, items), "wait_ns",
        part_of(number(waiting, "sum_ns"), number(waiting, "packets")), "fill", node->fill);
}

static json_t *queue_json(const profile *p, const json_t *edge)
{
    const profile_node *from = find_node(p, text(edge, "from")),
                       *to = find_node(p, text(edge, "to"));
    if (!from || !to || from->hidden || to->hidden) {
        return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:f, s:f, s:I, s:I, s:I}", "from", from->id, "to", to->id,
                     "state", state_of(edge, to), "mean", to->mean, "fill", to->fill, "capacity",
                     (json_int_t)number(edge, "capacity"), "packets",
                     (json_int_t)number(edge, "packets"), "drops",
                     (json_int_t)number(edge, "drops"));
}

static json_t *lane_json(const profile *p, size_t lane)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < p->count; i++) {
        if (p->nodes[i].lane == lane && !p->nodes[i].hidden) {
            json_array_append_new(ids, json_string(p->nodes[i].id));
        }
    }
    return json_pack("{s:s, s:f, s:f, s:o}", "name", p->lanes[lane].name, "busy",
                     part_of(p->lanes[lane].work_ns, p->elapsed_ns), "work_ns",
                     p->lanes[lane].work_ns, "nodes", ids);
}

/* Puts it where its `work_ns` belongs, the largest first. */
static void insert_by_work(json_t *list, json_t *takes_one)
{
    size_t at = 0;
    while (at < json_array_size(list) &&
           number(json_array_get(list, at), "work_ns") >= number(takes_one, "work_ns")) {
        at++;
    }
    json_array_insert_new(list, at, takes_one);
}

static json_t *report_json(profile *p)
{
    json_t *nodes = json_array(), *queues = json_array(), *lanes = json_array();
    double total_ns = 0, media_ns = number(p->run, "media_ns");
    for (size_t i = 0; i < p->count; i++) {
        total_ns += p->nodes[i].hidden ? 0 : p->nodes[i].work_ns;
    }
    for (size_t i = 0; i < p->count; i++) {
        if (!p->nodes[i].hidden) {
            insert_by_work(nodes, node_json(p, &p->nodes[i], total_ns));
        }
    }
    for (size_t i = 0; i < json_array_size(p->edges); i++) {
        json_t *queue = queue_json(p, json_array_get(p->edges, i));
        if (queue) {
            json_array_append_new(queues, queue);
        }
    }
    for (size_t i = 0; i < p->lane_count; i++) {
        insert_by_work(lanes, lane_json(p, i));
    }
    return json_pack("{s:O*, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:O}", "pipeline",
                     json_object_get(p->run, "pipeline"), "elapsed_ns", p->elapsed_ns, "cpu_ns",
                     number(p->run, "cpu_ns"), "media_ns", media_ns, "speed",
                     part_of(media_ns, p->elapsed_ns), "lanes", lanes, "nodes", nodes, "queues",
                     queues, "critical_path", path_json(p), "findings", p->findings);
}

static void read_nodes(profile *p, const json_t *nodes)
{
    for (size_t i = 0; i < p->count; i++) {
        profile_node *node = &p->nodes[i];
        node->json = json_array_get(nodes, i);
        node->id = text(node->json, "id");
        node->type = text(node->json, "type");
        node->hidden = strncmp(node->type, "rm.", 3) == 0;
        node->work_ns = number(json_object_get(node->json, "time"), "sum_ns");
        measure_queues(p, node);
        place_node(p, node);
    }
}

json_t *cli_profile_report(const json_t *run)
{
    const json_t *nodes = json_object_get(run, "nodes");
    profile p = {.run = run,
                 .edges = json_object_get(run, "edges"),
                 .elapsed_ns = number(run, "elapsed_ns"),
                 .count = json_array_size(nodes),
                 .findings = json_array()};
    p.nodes = calloc(p.count + 1, sizeof *p.nodes);
    p.lanes = calloc(2 * p.count + 1, sizeof *p.lanes);
    json_t *report = NULL;
    if (p.nodes && p.lanes) {
        read_nodes(&p, nodes);
        find_all(&p);
        report = report_json(&p);
    }
    json_decref(p.findings);
    free(p.nodes);
    free(p.lanes);
    return report;
}
