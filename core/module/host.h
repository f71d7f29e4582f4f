/* host.h — the functions that a module gets, as one table. */
#ifndef RMI_MODULE_HOST_H
#define RMI_MODULE_HOST_H

#include <remotemedia/module.h>

/* Lives as long as the process. Thread: any. */
const rm_host *rmi_host(void);

#endif
