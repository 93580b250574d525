#include "report/tls_report.h"

#include "base/base64.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/percent.h"
#include "mail/address.h"
#include <zlib.h>

enum { JITTER_MS = 4 * 3600 * 1000, AFTER_MIDNIGHT_MS = 600000, AGAIN_MS = 3600000 };

/* ── where to ── */

/* "v=TLSRPTv1" and then ";" or its end: other text is not for us (3). */
static bool is_record(struct slice text)
{
    struct slice rest = slice_trim(text), version;
    return slice_split(&rest, ';', &version) && slice_equal(slice_trim(version), SLICE("v=TLSRPTv1"));
}

static bool mail_read(struct slice rest, struct arena *arena, struct tls_report_uri *uri)
{
    char decoded[TLS_REPORT_URI_MAX];
    struct slice path;
    size_t len;
    struct address address;
    struct fault ignored;
    if (!slice_split(&rest, '?', &path) || path.len > sizeof(decoded) || !percent_decode(path, false, decoded, &len) ||
        !address_parse(slice_trim(slice_of(decoded, len)), arena, &address, &ignored))
        return false;
    uri->address = arena_copy(arena, slice_trim(slice_of(decoded, len)));
    return true;
}

static bool https_read(struct slice rest, struct arena *arena, struct tls_report_uri *uri)
{
    struct slice authority = rest, host;
    ptrdiff_t slash = slice_find_byte(rest, '/');
    struct fault ignored;
    if (slash >= 0)
        authority = slice_head(rest, (size_t)slash);
    struct slice port = authority;
    if (slice_find_byte(authority, '@') >= 0 || !slice_split(&port, ':', &host) ||
        (port.ptr && !slice_equal(port, SLICE("443"))) || !domain_normalise(host, arena, &uri->host, &ignored) ||
        slice_find_byte(uri->host, '[') >= 0)
        return false;
    uri->path = slash >= 0 ? arena_copy(arena, slice_from(rest, (size_t)slash)) : SLICE("/");
    for (size_t i = 0; i < uri->path.len; i++) /* it becomes part of a request's first line */
        if ((unsigned char)uri->path.ptr[i] <= 0x20 || (unsigned char)uri->path.ptr[i] >= 0x7f)
            return false;
    return true;
}

static bool uri_read(struct slice text, struct arena *arena, struct tls_report_uri *uri)
{
    *uri = (struct tls_report_uri){.text = arena_copy(arena, text)};
    if (!text.len || text.len > TLS_REPORT_URI_MAX)
        return false;
    if (slice_starts_caseless(text, SLICE("mailto:")))
        return mail_read(slice_from(text, 7), arena, uri);
    return slice_starts_caseless(text, SLICE("https://")) && https_read(slice_from(text, 8), arena, uri);
}

bool tls_report_uris(const struct slice *records, size_t count, struct arena *arena,
                     struct tls_report_uri uris[TLS_REPORT_URIS_MOST], size_t *found)
{
    struct slice record = {0}, field, uri;
    size_t ours = 0;
    *found = 0;
    for (size_t i = 0; i < count; i++)
        if (is_record(records[i])) {
            record = records[i];
            ours++;
        }
    if (ours != 1)
        return false;
    bool has_rua = false;
    for (struct slice rest = record; rest.ptr && slice_split(&rest, ';', &field);) {
        field = slice_trim(field);
        if (!slice_starts(field, SLICE("rua=")) || has_rua)
            continue;
        has_rua = true;
        for (struct slice list = slice_from(field, 4); list.ptr && slice_split(&list, ',', &uri);)
            if (*found < TLS_REPORT_URIS_MOST && uri_read(slice_trim(uri), arena, &uris[*found]))
                ++*found;
    }
    return has_rua;
}

/* ── as what ── */

void tls_report_pack(struct slice json, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)json.ptr, .avail_in = (uInt)json.len};
    unsigned char piece[16384];
    int state = Z_OK;
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16 /* gzip */, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        memory_gone("zlib");
    while (state == Z_OK) {
        z.next_out = piece;
        z.avail_out = sizeof(piece);
        state = deflate(&z, Z_FINISH);
        buf_append(out, slice_of(piece, sizeof(piece) - z.avail_out));
    }
    deflateEnd(&z);
}

static struct slice domain_of(struct slice address)
{
    ptrdiff_t at = -1;
    for (size_t i = 0; i < address.len; i++)
        if (address.ptr[i] == '@')
            at = (ptrdiff_t)i;
    return slice_from(address, (size_t)(at + 1));
}

bool tls_report_mail(const struct tls_report_letter *letter, struct buf *out, struct fault *why)
{
    SCOPED(buf) instant = BUF(64);
    struct slice submitter = domain_of(letter->from);
    uint64_t mark = hash_bytes(letter->report_id, 7);
    time_ms begin;
    buf_printf(&instant, "%.*sT00:00:00Z", SLICE_ARG(slice_head(letter->day, 20)));
    if (!time_parse_rfc3339(buf_slice(&instant), &begin))
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is no day", SLICE_ARG(slice_head(letter->day, 40)));
    buf_printf(out,
               "From: <%.*s>\r\nTo: <%.*s>\r\nSubject: Report Domain: %.*s\r\n Submitter: %.*s\r\n Report-ID: "
               "<%.*s>\r\nTLS-Report-Domain: %.*s\r\nTLS-Report-Submitter: %.*s\r\nTLS-Required: No\r\n"
               "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
               "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"tlsrpt-%016llx\"\r\n\r\n",
               SLICE_ARG(letter->from), SLICE_ARG(letter->to), SLICE_ARG(letter->domain), SLICE_ARG(submitter),
               SLICE_ARG(letter->report_id), SLICE_ARG(letter->domain), SLICE_ARG(submitter), (unsigned long long)mark);
    buf_printf(out,
               "--tlsrpt-%016llx\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
               "This is an aggregate TLS report (RFC 8460) from %.*s\r\nabout mail to %.*s on %.*s (UTC).\r\n\r\n",
               (unsigned long long)mark, SLICE_ARG(submitter), SLICE_ARG(letter->domain), SLICE_ARG(letter->day));
    buf_printf(out,
               "--tlsrpt-%016llx\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
               "Content-Disposition: attachment;\r\n filename=\"%.*s!%.*s!%lld!%lld.json.gz\"\r\n\r\n",
               (unsigned long long)mark, SLICE_ARG(submitter), SLICE_ARG(letter->domain), (long long)(begin / 1000),
               (long long)(begin / 1000 + 86399));
    base64_encode_lines(out, letter->packed);
    buf_printf(out, "--tlsrpt-%016llx--\r\n", (unsigned long long)mark);
    return buf_ok(out) || fault_set(why, FAULT_INPUT, "the report is too large");
}

/* ── what became of it ── */

static void day_print(time_ms at, struct buf *out)
{
    SCOPED(buf) text = BUF(64);
    time_rfc3339(&text, at);
    buf_append(out, slice_head(buf_slice(&text), 10));
}

/* Its hour: not all of a day's reports at once. */
static bool has_its_hour(struct slice day, struct slice domain, time_ms now, double scale)
{
    SCOPED(buf) instant = BUF(64);
    time_ms midnight;
    buf_printf(&instant, "%.*sT00:00:00Z", SLICE_ARG(day));
    if (!time_parse_rfc3339(buf_slice(&instant), &midnight))
        return false;
    double wait = AFTER_MIDNIGHT_MS + (double)(hash_bytes(domain, hash_bytes(day, 8)) % JITTER_MS);
    return now >= midnight + DAYS_MS(1) + (time_ms)(wait * scale);
}

static bool fresh_read(struct db *db, struct fault *why, time_ms now, double scale, size_t most, struct arena *arena,
                       struct tls_report_row *rows_out, size_t *count)
{
    SCOPED(buf) first = BUF(16);
    SCOPED(buf) today = BUF(16);
    SCOPED(rows) rows = {0};
    day_print(now - DAYS_MS(TLS_REPORT_DAYS), &first);
    day_print(now, &today);
    if (!db_query(db, why, &rows,
                  "SELECT DISTINCT c.day, c.domain FROM tls_count c WHERE c.day >= $1 AND c.day < $2 AND NOT EXISTS "
                  "(SELECT 1 FROM tls_report r WHERE r.day = c.day AND r.domain = c.domain)",
                  VALUES(V_TEXT(buf_slice(&first)), V_TEXT(buf_slice(&today)))))
        return false;
    while (*count < most && rows_next(&rows))
        if (has_its_hour(rows_text(&rows, 0), rows_text(&rows, 1), now, scale))
            rows_out[(*count)++] = (struct tls_report_row){.day = arena_copy(arena, rows_text(&rows, 0)),
                                                           .domain = arena_copy(arena, rows_text(&rows, 1)),
                                                           .state = SLICE("waiting")};
    return rows_end(&rows);
}

bool tls_report_due(struct db *db, struct fault *why, time_ms now, double scale, size_t most, struct arena *arena,
                    struct tls_report_row **rows_out, size_t *count)
{
    *rows_out = ARENA_ARRAY(arena, struct tls_report_row, most);
    *count = 0;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT day, domain, rua, attempts FROM tls_report WHERE state = 'waiting' AND next_ms <= $1 "
                      "ORDER BY next_ms LIMIT $2",
                      VALUES(V_INT(now), V_INT((int64_t)most))))
            return false;
        while (*count < most && rows_next(&rows))
            (*rows_out)[(*count)++] = (struct tls_report_row){.day = arena_copy(arena, rows_text(&rows, 0)),
                                                              .domain = arena_copy(arena, rows_text(&rows, 1)),
                                                              .rua = arena_copy(arena, rows_text(&rows, 2)),
                                                              .attempts = rows_int(&rows, 3),
                                                              .state = SLICE("waiting")};
        if (!rows_end(&rows))
            return false;
    }
    return fresh_read(db, why, now, scale, most, arena, *rows_out, count);
}

bool tls_report_set(struct db *db, struct fault *why, const struct tls_report_row *row, time_ms now)
{
    bool is_again = slice_equal(row->state, SLICE("waiting"));
    bool is_last = is_again && row->attempts + 1 >= TLS_REPORT_TRIES_MOST;
    return db_do(db, why,
                 "INSERT INTO tls_report (day, domain, rua, state, attempts, at_ms, next_ms, why) VALUES ($1, $2, $3, "
                 "$4, $5, $6, $7, $8) ON CONFLICT (day, domain, rua) DO UPDATE SET state = excluded.state, attempts = "
                 "excluded.attempts, at_ms = excluded.at_ms, next_ms = excluded.next_ms, why = excluded.why",
                 VALUES(V_TEXT(row->day), V_TEXT(row->domain), V_TEXT(row->rua),
                        V_TEXT(is_last ? SLICE("failed") : row->state), V_INT(row->attempts + 1), V_INT(now),
                        V_INT(is_again ? (row->next ? row->next : now + AGAIN_MS) : 0), V_TEXT(row->why)),
                 NULL);
}

bool tls_report_found(struct db *db, struct fault *why, const struct tls_report_row *row,
                      const struct tls_report_uri *uris, size_t count, time_ms now)
{
    struct tls_report_row asked = *row;
    asked.state = SLICE("none");
    asked.why = count ? SLICE("") : SLICE("nobody wants it");
    if (!tls_report_set(db, why, &asked, now))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!db_do(db, why,
                   "INSERT INTO tls_report (day, domain, rua, state, at_ms, next_ms) VALUES ($1, $2, $3, 'waiting', "
                   "$4, $4) ON CONFLICT (day, domain, rua) DO NOTHING",
                   VALUES(V_TEXT(row->day), V_TEXT(row->domain), V_TEXT(uris[i].text), V_INT(now)), NULL))
            return false;
    return true;
}

bool tls_report_list(struct db *db, struct fault *why, size_t most, struct arena *arena,
                     struct tls_report_row **rows_out, size_t *count)
{
    SCOPED(rows) rows = {0};
    *rows_out = ARENA_ARRAY(arena, struct tls_report_row, most + 1);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT day, domain, rua, state, attempts, at_ms, next_ms, why FROM tls_report WHERE rua <> '' OR "
                  "state <> 'none' OR why <> '' ORDER BY day DESC, domain, rua LIMIT $1",
                  VALUES(V_INT((int64_t)most))))
        return false;
    while (*count < most && rows_next(&rows))
        (*rows_out)[(*count)++] = (struct tls_report_row){.day = arena_copy(arena, rows_text(&rows, 0)),
                                                          .domain = arena_copy(arena, rows_text(&rows, 1)),
                                                          .rua = arena_copy(arena, rows_text(&rows, 2)),
                                                          .state = arena_copy(arena, rows_text(&rows, 3)),
                                                          .attempts = rows_int(&rows, 4),
                                                          .at = rows_int(&rows, 5),
                                                          .next = rows_int(&rows, 6),
                                                          .why = arena_copy(arena, rows_text(&rows, 7))};
    return rows_end(&rows);
}
