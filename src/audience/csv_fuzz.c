/* Any bytes as CSV, in every encoding: no crash, no endless loop; lines go up, a second reading gives the same; what is
 * written comes back (without its apostrophe). */
#include "audience/csv.h"

#include <assert.h>

static uint64_t read_all(struct csv *csv)
{
    struct fault why;
    struct csv_record record;
    uint64_t sum = 0, line = 0;
    while (csv_next(csv, &record, &why)) {
        assert(record.line > line && record.count > 0);
        line = record.line;
        for (size_t i = 0; i < record.count; i++)
            for (size_t k = 0; k < record.fields[i].len; k++)
                sum = sum * 31 + (unsigned char)record.fields[i].ptr[k];
    }
    return sum + (uint64_t)why.kind;
}

static void write_and_read(struct slice field)
{
    struct fault why;
    SCOPED(buf) out = BUF(1 << 20);
    buf_text(&out, "h,h,h\na,");
    csv_put(&out, field);
    buf_text(&out, ",z\n");
    struct csv *csv = csv_open(buf_slice(&out), "fuzz", SLICE("utf-8"), &why);
    struct csv_record record;
    if (csv && csv_next(csv, &record, &why) && csv_next(csv, &record, &why) && !record.is_broken)
        assert(record.count == 3 && slice_ends(record.fields[1], field));
    csv_free(csv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const encodings[] = {"auto", "utf-8", "cp932", "euc-jp", "iso-2022-jp", "utf-16le", "utf-16be"};
    for (size_t i = 0; i < COUNT_OF(encodings); i++) {
        struct fault why;
        struct csv *csv = csv_open(slice_of(data, size), "fuzz", slice_str(encodings[i]), &why);
        if (!csv)
            continue;
        uint64_t first = read_all(csv);
        csv_rewind(csv);
        uint64_t second = read_all(csv);
        assert(first == second);
        csv_free(csv);
    }
    if (size < 10000)
        write_and_read(slice_of(data, size));
    return 0;
}
