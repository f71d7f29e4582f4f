#include "engine/repair.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/strand.h"

rm_status rmi_repair_prepare(rmi_node *node, rm_error *err)
{
    if (node->options.pts == RMI_PTS_KEEP || node->n_out == 0) {
        return RM_OK;
    }
    node->times = rmi_calloc(node->n_out, sizeof *node->times);
    if (!node->times) {
        return rm_fail(err, RM_ENOMEM, "no memory for the output ports");
    }
    for (uint16_t p = 0; p < node->n_out; p++) {
        node->times[p].pts_ns = RM_TIME_NONE;
        node->times[p].is_kept = node->out[p].is_aside;
        node->out[p].checked = !node->times[p].is_kept;
    }
    return RM_OK;
}

static int64_t duration_of(const rm_packet_header *header)
{
    uint32_t rate_hz = header->format.audio.rate_hz;
    if (header->duration_ns == 0 && header->kind == RM_KIND_AUDIO && rate_hz) {
        return (int64_t)header->instance.audio.frames * 1000000000 / rate_hz;
    }
    return header->duration_ns > 0 ? header->duration_ns : 0;
}

static bool is_alone(const rm_packet *packet)
{
    return __atomic_load_n(&packet->host.refs, __ATOMIC_ACQUIRE) == 1;
}

static void let_go(void *packet)
{
    rm_packet_unref(packet);
}

/* A packet of the same payload that nobody else holds; takes the one given. NULL: none can be had,
 * and nothing is taken. */
static rm_packet *own_copy(rmi_strand *strand, rm_packet *packet)
{
    rm_packet *copy = NULL;
    if (packet->header.kind == RM_KIND_OBJECT ||
        rmi_pool_take(strand->pool, 0, RMI_RANK_LAST, &copy) != RM_OK) {
        return NULL;
    }
    if (packet->metadata &&
        rm_packet_set_metadata(copy, packet->metadata, packet->header.metadata_bytes) != RM_OK) {
        rmi_pool_give(strand->pool, copy);
        return NULL;
    }
    rmi_packet_set_foreign(copy, packet->payload, packet->header.payload_bytes, let_go, packet);
    copy->header = packet->header;
    return copy;
}

static void note_time(rmi_port_time *last, const rm_packet_header *header)
{
    if (header->pts_ns == RM_TIME_NONE) {
        return;
    }
    last->pts_ns = header->pts_ns;
    if (__builtin_add_overflow(header->pts_ns, duration_of(header), &last->end_ns)) {
        last->end_ns = INT64_MAX;
    }
}

/* What the packet's flags get if its time is not right; 0: it is. */
static uint32_t fault_of(rmi_pts policy, const rmi_port_time *last, int64_t pts_ns)
{
    if (policy == RMI_PTS_FILL) {
        return pts_ns == RM_TIME_NONE ? RM_FLAG_PTS_REPAIRED : 0;
    }
    bool goes_back =
        pts_ns != RM_TIME_NONE && last->pts_ns != RM_TIME_NONE && pts_ns < last->pts_ns;
    return goes_back ? RM_FLAG_PTS_REPAIRED | RM_FLAG_DISCONTINUITY : 0;
}

void rmi_repair_time(rmi_node *node, rmi_outgoing *outgoing)
{
    rmi_port_time *last = &node->times[outgoing->port - node->out];
    rm_packet *packet = outgoing->packet;
    uint32_t flags = last->is_kept ? 0 : fault_of(node->options.pts, last, packet->header.pts_ns);
    if (flags && !is_alone(packet)) {
        packet = own_copy(node->strand, packet);
        if (!packet) {
            return;
        }
        outgoing->packet = packet;
    }
    if (flags) {
        packet->header.pts_ns = last->end_ns;
        packet->header.flags |= flags;
        node->pts_repaired++;
    }
    note_time(last, &packet->header);
}
