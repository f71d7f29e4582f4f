/* cleanup.h — release by scope, for the library's own code.
 *
 *     RMI_AUTO(rmi_queue) queue = RMI_NEW(rmi_queue);   // rmi_queue_free() on each return
 *     …
 *     *ret_queue = RMI_TAKE(queue);                     // hands it over
 *
 * A type that RMI_AUTO is to release says so once, behind its declarations:
 * RMI_DEFINE_AUTO(rmi_queue).
 */
#ifndef RMI_BASE_CLEANUP_H
#define RMI_BASE_CLEANUP_H

#include <stddef.h>

/* type##_free() must accept NULL. */
#define RMI_DEFINE_AUTO(type)                                                 \
    static inline __attribute__((unused)) void rmi_auto_##type(type **object) \
    {                                                                         \
        type##_free(*object);                                                 \
    }
#define RMI_AUTO(type) __attribute__((cleanup(rmi_auto_##type))) type *

/* Memory of rmi_alloc() and a FILE. */
#define RMI_AUTO_MEMORY __attribute__((cleanup(rmi_auto_memory)))

#define RMI_TAKE(pointer)                       \
    __extension__({                             \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    })

#define RMI_COUNT(array) (sizeof(array) / sizeof(array)[0])
#define RMI_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define RMI_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
