/* report.h — how many findings a report keeps; further errors are counted. */
#ifndef RMI_BASE_REPORT_H
#define RMI_BASE_REPORT_H

enum { RMI_REPORT_FINDINGS_MAX = 1000 };

#endif
