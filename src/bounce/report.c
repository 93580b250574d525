/* report.c - mail that reports on mail: DMARC and TLS reports (feedback/ reads what is in them) */
#include "bounce/phrase.h"
#include "bounce/read_private.h"

bool report_read(struct reading *r)
{
    const struct survey *s = &r->survey;
    static const struct phrase titles[] = {{SLICE_INIT("report domain:"), 1},
                                           {SLICE_INIT("dmarc aggregate report"), 1},
                                           {SLICE_INIT("dmarc report"), 1},
                                           {SLICE_INIT("tls report"), 1},
                                           {SLICE_INIT("tlsrpt"), 1}};
    static struct phrases titles_set = PHRASES(titles);
    bool is_report = slice_equal_caseless(s->report_type, SLICE("tlsrpt")) ||
                     mime_header(r->mail, 0, SLICE("TLS-Report-Domain")).ptr;
    bool has_title = !s->is_answer && scan_any(s->subject, &titles_set);
    for (unsigned i = 0; i < r->mail->part_count && has_title && !is_report; i++) {
        const struct mime_part *part = &r->mail->parts[i];
        is_report =
            slice_equal_caseless(part->type, SLICE("application")) &&
            (slice_equal_caseless(part->subtype, SLICE("zip")) || slice_equal_caseless(part->subtype, SLICE("gzip")) ||
             slice_equal_caseless(part->subtype, SLICE("x-zip-compressed")) ||
             slice_equal_caseless(part->subtype, SLICE("x-gzip")) ||
             slice_equal_caseless(part->subtype, SLICE("xml")) ||
             slice_equal_caseless(part->subtype, SLICE("octet-stream")));
    }
    struct bounce_row *row = is_report ? row_add(r, KIND_REPORT) : NULL;
    if (row)
        rules_verdict_of_reason(r->rules, REASON_UNDEFINED, false, &row->verdict);
    return row != NULL;
}
