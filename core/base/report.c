#include <stdbool.h>
#include <stdint.h>

#include <remotemedia/report.h>

#include "base/alloc.h"
#include "base/report.h"

struct rm_report {
    rm_finding *findings; /* its texts are owned */
    size_t count, capacity;
    size_t errors; /* also those that were not kept */
};

rm_status rm_report_new(rm_report **ret_report, rm_error *err)
{
    rm_report *report = RMI_NEW(rm_report);
    if (!report) {
        return rm_fail(err, RM_ENOMEM, "no memory for a report");
    }
    *ret_report = report;
    return RM_OK;
}

/* Texts were const only for the readers. */
static void free_text(const char *text)
{
    rmi_free((void *)(uintptr_t)text);
}

static void free_texts(const rm_finding *finding)
{
    free_text(finding->pointer);
    free_text(finding->message);
    free_text(finding->help);
}

void rm_report_clear(rm_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free_texts(&report->findings[i]);
    }
    report->count = 0;
    report->errors = 0;
}

void rm_report_free(rm_report *report)
{
    if (report) {
        rm_report_clear(report);
        rmi_free(report->findings);
        rmi_free(report);
    }
}

static bool make_room(rm_report *report)
{
    if (report->count < report->capacity || report->count == RMI_REPORT_FINDINGS_MAX) {
        return report->count < RMI_REPORT_FINDINGS_MAX;
    }
    size_t capacity = report->capacity ? 2 * report->capacity : 8;
    rm_finding *findings = rmi_realloc(report->findings, capacity * sizeof *findings);
    if (!findings) {
        return false;
    }
    report->findings = findings;
    report->capacity = capacity;
    return true;
}

void rm_report_add(rm_report *report, const rm_finding *finding)
{
    if (!report) {
        return;
    }
    report->errors += finding->severity == RM_SEVERITY_ERROR;
    if (!make_room(report)) {
        return;
    }
    rm_finding copy = *finding;
    copy.pointer = rmi_strdup(finding->pointer ? finding->pointer : "");
    copy.message = rmi_strdup(finding->message ? finding->message : "");
    copy.help = rmi_strdup(finding->help ? finding->help : "");
    if (!copy.pointer || !copy.message || !copy.help) {
        free_texts(&copy);
        return;
    }
    report->findings[report->count++] = copy;
}

size_t rm_report_count(const rm_report *report)
{
    return report->count;
}

size_t rm_report_error_count(const rm_report *report)
{
    return report->errors;
}

const rm_finding *rm_report_at(const rm_report *report, size_t index)
{
    return index < report->count ? &report->findings[index] : NULL;
}
