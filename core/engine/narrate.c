/* What the log says of a node at debug, on the topic of its type: how it was opened, and what it
 * has done when it is closed. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine/session.h"

enum { LINE_BYTES = 400 };

static void append(char *line, const char *text)
{
    size_t length = strlen(line);
    snprintf(line + length, LINE_BYTES - length, "%s", text);
}

static void append_inputs(char *line, const rmi_node *node)
{
    for (uint16_t i = 0; i < node->n_current; i++) {
        rm_format format;
        char text[120];
        rm_node_input_format(&node->pub, i, &format);
        (void)rm_format_print(&format, text, sizeof text);
        append(line, i ? ", " : ", takes ");
        append(line, text);
    }
}

void rmi_node_log_opened(const rmi_node *node)
{
    const char *topic = node->pub.type->name;
    if (!rmi_log_wants(RM_LOG_DEBUG, topic)) {
        return;
    }
    char line[LINE_BYTES] = "";
    append_inputs(line, node);
    rm_log(RM_LOG_DEBUG, topic, "%s: opened on strand %u%s", node->pub.id,
           (unsigned)node->strand->index, line);
}

void rmi_node_log_closed(const rmi_node *node)
{
    rm_log(RM_LOG_DEBUG, node->pub.type->name, "%s: closed; items: %llu, packets given: %llu",
           node->pub.id, (unsigned long long)node->items, (unsigned long long)node->emitted);
}
