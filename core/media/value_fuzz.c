/* value_fuzz.c — any bytes as msgpack: refused, or printed as JSON that reads back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <remotemedia/value.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *json = NULL;
    if (rm_value_to_json(data, bytes, &json, NULL) != RM_OK) {
        return 0;
    }
    void *again = NULL;
    size_t again_bytes = 0;
    rm_status status = rm_value_from_json(json, strlen(json), &again, &again_bytes, NULL);
    if (status != RM_OK && status != RM_EINVAL && status != RM_ELIMIT) {
        abort();
    }
    rm_free(again);
    rm_free(json);
    return 0;
}
