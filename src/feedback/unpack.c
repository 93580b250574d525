#include "feedback/unpack.h"

#include "base/memory.h"
#include "feedback/feedback.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <zlib.h>

enum { CHUNK = 64 << 10, RATIO_FREE = 64 << 10 };

static bool is_gzip(struct slice bytes)
{
    return slice_starts(bytes, SLICE("\x1f\x8b"));
}

static bool is_zip(struct slice bytes)
{
    return slice_starts(bytes, SLICE("PK\3\4")) || slice_starts(bytes, SLICE("PK\5\6"));
}

/* What else people pack with: named, so that nobody wonders. */
static bool is_foreign(struct slice bytes)
{
    return slice_starts(bytes, SLICE("7z\xbc\xaf\x27\x1c")) || slice_starts(bytes, SLICE("Rar!")) ||
           slice_starts(bytes, SLICE("BZh")) ||
           slice_starts(bytes, SLICE("\xfd"
                                     "7zXZ"));
}

bool unpack_is_packed(struct slice bytes)
{
    return is_gzip(bytes) || is_zip(bytes);
}

/* Is there still room for what came out of `packed` bytes? */
static bool has_room(const struct buf *out, size_t packed, struct fault *why)
{
    if (!buf_ok(out) || out->len > FEEDBACK_INFLATED_MAX)
        return fault_set(why, FAULT_LIMIT, "the archive holds more than %d MB", FEEDBACK_INFLATED_MAX >> 20);
    if (out->len > RATIO_FREE && out->len / FEEDBACK_RATIO_MAX > packed)
        return fault_set(why, FAULT_LIMIT, "the archive unpacks to more than %d times its size", FEEDBACK_RATIO_MAX);
    return true;
}

static bool give(const struct buf *out, struct slice *content, struct fault *why)
{
    struct slice bytes = buf_slice(out);
    if (unpack_is_packed(bytes) || is_foreign(bytes))
        return fault_set(why, FAULT_INPUT, "an archive inside an archive is not opened");
    if (!bytes.len)
        return fault_set(why, FAULT_INPUT, "the archive holds an empty file");
    *content = bytes;
    return true;
}

/* Several members one after another are one file (RFC 1952 2.2). */
static bool gzip_open(struct slice bytes, struct buf *out, struct slice *content, struct fault *why)
{
    z_stream z = {0};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        memory_gone("zlib");
    z.next_in = (Bytef *)(uintptr_t)bytes.ptr;
    z.avail_in = (uInt)bytes.len;
    bool ok = true, is_over = false;
    while (ok && !is_over) {
        z.next_out = (Bytef *)buf_reserve(out, CHUNK);
        z.avail_out = CHUNK;
        bool has_place = z.next_out != NULL; /* has_room says why not */
        int said = has_place ? inflate(&z, Z_NO_FLUSH) : Z_OK;
        if (has_place)
            buf_advance(out, CHUNK - z.avail_out);
        if (said == Z_MEM_ERROR) { /* it would say so for ever */
            memory_gone("zlib");
        } else if (said == Z_STREAM_END) {
            is_over = !is_gzip(slice_of(z.next_in, z.avail_in));
            ok = is_over || inflateReset(&z) == Z_OK;
        } else if (said != Z_OK) {
            ok = fault_set(why, FAULT_INPUT, z.avail_in ? "the gzip data is broken" : "the gzip data ends too early");
        }
        ok = ok && has_room(out, bytes.len, why);
    }
    inflateEnd(&z);
    return ok && give(out, content, why);
}

static bool zip_broken(struct archive *zip, struct fault *why)
{
    const char *reason = archive_error_string(zip);
    if (!reason)
        reason = "no reason given";
    /* inflateInit2 fails for want of memory alone */
    if (archive_errno(zip) == ENOMEM || slice_starts(slice_str(reason), SLICE("Can't initialize")))
        memory_gone("libarchive");
    return fault_set(why, FAULT_INPUT, "the zip file is broken: %s", reason);
}

/* One file of a zip. */
static bool entry_read(struct archive *zip, size_t packed, struct buf *out, struct fault *why)
{
    buf_reset(out);
    for (;;) {
        char *room = buf_reserve(out, CHUNK);
        la_ssize_t got = room ? archive_read_data(zip, room, CHUNK) : 0;
        if (got < 0)
            return zip_broken(zip, why);
        if (room)
            buf_advance(out, (size_t)got);
        if (!has_room(out, packed, why))
            return false;
        if (got == 0)
            return true;
    }
}

static bool looks_like_report(struct slice bytes)
{
    while (bytes.len && (ascii_is_space(bytes.ptr[0]) || (unsigned char)bytes.ptr[0] >= 0x80))
        bytes = slice_from(bytes, 1);
    return bytes.len && (bytes.ptr[0] == '<' || bytes.ptr[0] == '{');
}

/* Whatever fails here fails for want of memory: no byte of the file has been looked at. libarchive does not ask whether
 * there was room for its own entry, nor for the callback data when archive_read_open_memory sets them. */
static struct archive *zip_new(struct slice bytes, struct archive_entry **entry)
{
    struct archive *zip = archive_read_new();
    *entry = archive_entry_new();
    if (!zip || !*entry || archive_read_support_format_zip(zip) != ARCHIVE_OK ||
        archive_read_set_callback_data(zip, NULL) != ARCHIVE_OK ||
        archive_read_open_memory(zip, bytes.ptr, bytes.len) != ARCHIVE_OK)
        memory_gone("libarchive");
    return zip;
}

static bool zip_open(struct slice bytes, struct buf *out, struct slice *content, struct fault *why)
{
    struct archive_entry *entry;
    struct archive *zip = zip_new(bytes, &entry);
    bool ok = true, is_found = false;
    struct slice nested = {0};
    for (unsigned i = 0; ok && !is_found && i < UNPACK_ENTRIES_MAX; i++) {
        int said = archive_read_next_header2(zip, entry);
        if (said == ARCHIVE_EOF)
            break;
        if (said < ARCHIVE_WARN) {
            ok = zip_broken(zip, why);
        } else if (archive_entry_is_encrypted(entry)) {
            ok = fault_set(why, FAULT_INPUT, "the zip file is locked with a password");
        } else if (archive_entry_filetype(entry) == AE_IFREG) {
            ok = entry_read(zip, bytes.len, out, why);
            is_found = ok && looks_like_report(buf_slice(out));
            if (ok && unpack_is_packed(buf_slice(out)))
                nested = SLICE("an archive inside an archive is not opened");
        }
    }
    archive_entry_free(entry);
    archive_read_free(zip);
    if (ok && !is_found)
        ok = fault_set(why, FAULT_INPUT, "%s", nested.len ? nested.ptr : "there is no report in the zip file");
    return ok && give(out, content, why);
}

bool unpack(struct slice bytes, struct buf *out, struct slice *content, struct fault *why)
{
    *content = bytes;
    buf_init(out, (size_t)FEEDBACK_INFLATED_MAX + CHUNK);
    if (bytes.len > FEEDBACK_INFLATED_MAX)
        return fault_set(why, FAULT_LIMIT, "the file is larger than %d MB", FEEDBACK_INFLATED_MAX >> 20);
    if (is_gzip(bytes))
        return gzip_open(bytes, out, content, why);
    if (is_zip(bytes))
        return zip_open(bytes, out, content, why);
    if (is_foreign(bytes))
        return fault_set(why, FAULT_INPUT, "this kind of archive is not opened; reports come as gz or zip");
    return true;
}
