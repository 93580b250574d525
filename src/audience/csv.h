/* csv.h - CSV as people really have it (RFC 4180, and what Excel makes of it)
 *
 * Encodings: UTF-8 with or without BOM, CP932 (Shift_JIS), EUC-JP, ISO-2022-JP, UTF-16 with or without BOM,
 * Windows-1252. Delimiters: comma, semicolon, TAB (the most frequent in the header line, or Excel's "sep=;" line before
 * it). Lines end with CRLF, LF or CR. Fields may be quoted; a quoted field may hold delimiters, line breaks and "" for
 * a quote; a quote inside an unquoted field means itself. Empty lines are skipped. Linear and bounded. A quote that is
 * never closed, text behind a closing quote, and a record of more than CSV_RECORD_MAX bytes are faults INPUT that name
 * the line and the cure. */
#ifndef TODOKE_AUDIENCE_CSV_H
#define TODOKE_AUDIENCE_CSV_H

#include "base/buf.h"
#include "base/fault.h"

enum { CSV_RECORD_MAX = 1 << 20, CSV_COLUMNS_MAX = 1000 };

struct csv_record {
    uint64_t line;        /* where it begins, from 1 */
    struct slice *fields; /* UTF-8; live until the next csv_next */
    size_t count;
    bool is_broken; /* has bytes that are no characters in the file's encoding; they became U+FFFD */
};

struct csv;
/* Read from bytes that the caller keeps until csv_free (a mapped file). `name` is for faults. encoding "" or "auto":
 * detected. INPUT: an encoding that does not exist, or bytes that are no text at all (an Excel workbook, say), with the
 * cure. */
struct csv *csv_open(struct slice bytes, const char *name, struct slice encoding, struct fault *why);
void csv_free(struct csv *csv);
/* The next record. False with kind NONE: the end. */
NODISCARD bool csv_next(struct csv *csv, struct csv_record *record, struct fault *why);
/* The bytes it has not come to yet. */
struct slice csv_ahead(const struct csv *csv);
/* Start again from the first record. */
void csv_rewind(struct csv *csv);

struct slice csv_encoding(const struct csv *csv); /* "utf-8", "cp932", "euc-jp", "iso-2022-jp", "utf-16le", ... */
bool csv_has_bom(const struct csv *csv);
char csv_delimiter(const struct csv *csv);

/* What the bytes are written in: as csv_encoding. *bom_len: bytes to skip. */
struct slice csv_detect(struct slice bytes, size_t *bom_len);

/* Write one field, quoted where it must be. What a spreadsheet would take for a formula (= + - @ TAB CR at the front)
 * gets an apostrophe before it (X10). */
void csv_put(struct buf *out, struct slice field);

#endif
