/* route_fuzz.c — any text as a condition (up to the first NUL), then any bytes as a packet's value
 * and metadata: refused, or an answer. What exists is the opposite of what does not. */
#include <stdlib.h>
#include <string.h>

#include "graph/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The answer to {"field": FIELD, "exists": …}; -1: no such field. */
static int exists(const char *field, bool wanted, const rm_packet *packet)
{
    RMI_AUTO(rmi_route) route = NULL;
    json_t *when = json_pack("{s:s, s:b}", "field", field, "exists", wanted);
    rm_status status = when ? rmi_route_new(when, &route, NULL) : RM_EINVAL;
    json_decref(when);
    return status == RM_OK ? rmi_route_takes(route, packet, NULL) : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = bytes ? memchr(data, 0, bytes) : NULL;
    if (!end) {
        return 0;
    }
    size_t rest = bytes - (size_t)(end - data) - 1;
    void *value = malloc(rest ? rest : 1); /* so that a sanitizer sees a byte beyond */
    if (!value) {
        abort();
    }
    memcpy(value, end + 1, rest);
    rm_packet packet = {
        .header = {.kind = RM_KIND_VALUE, .payload_bytes = rest, .metadata_bytes = (uint32_t)rest},
        .payload = value,
        .metadata = value};
    const char *text = (const char *)data;
    RMI_AUTO(rmi_route) route = NULL;
    if (rmi_route_parse(text, &route, NULL) == RM_OK) {
        (void)rmi_route_takes(route, &packet, NULL);
    }
    int there = exists(text, true, &packet), missing = exists(text, false, &packet);
    if (there == missing && there != -1) {
        abort();
    }
    free(value);
    return 0;
}
