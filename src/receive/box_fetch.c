/* box_fetch.c - IMAP (RFC 9051, 3501) and POP3 (RFC 1939) by libcurl, one connection a round
 *
 *   IMAP   STATUS -> UIDVALIDITY; UID SEARCH UID last+1:*; UID FETCH each; kept; with `deletes`: UID SEARCH UID 1:last,
 *          then UID STORE \Deleted and UID EXPUNGE of these but for what was left - all others are kept, those of a
 *          round that was interrupted too
 *   POP3   UIDL -> numbers and ids; RETR each that is new; kept; with `deletes`: DELE each that is kept, QUIT
 *
 * TLS is verified, and never given up once asked for. POP3's numbers belong to a connection: when libcurl had to make
 * another one in mid-round, the round ends there. */
#include "base/memory.h"
#include "receive/box_inside.h"

#include "base/arena.h"
#include "base/log.h"
#include "net/curl.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_S = 20,
    SILENCE_S = 60,
    LISTING_MAX = 16 << 20,
    STATUS_TRIES = 4,
    STATUS_PAUSE_MS = 250,
    MAILS_A_ROUND = 100000,
    IMAP_UID_MAX = 0xffffffffu, /* RFC 9051 9: nz-number */
    SET_MAX = 4096,             /* RFC 7162 4: a command line of 8,192 octets is safe */
};

struct visit {
    struct box *box;
    const struct box_owner *owner;
    const struct network *network;
    CURL *curl;
    struct buf in;
    struct arena arena;
    char error[CURL_ERROR_SIZE];
    char base[BOX_TEXT_MAX + 64]; /* imaps://host:993 */
    struct curl_guard guard;
    bool is_connected;
};

/* ── libcurl's callbacks ── */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *self)
{
    struct visit *visit = self;
    buf_append(&visit->in, slice_of(bytes, size * count));
    return buf_ok(&visit->in) ? size * count : 0;
}

static int on_progress(void *self, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    const struct visit *visit = self;
    return visit->owner && *visit->owner->is_stopping;
}

/* The operator names his servers himself, on private addresses too; in the playground nothing leaves the machine. */
static bool may_connect(const void *owner, const struct ip *address, struct fault *why)
{
    const struct visit *visit = owner;
    return visit->network->mode != NETWORK_LOOPBACK || network_permits(visit->network, address, why);
}

/* ── a visit ── */

static bool is_input(CURLcode code)
{
    return code == CURLE_LOGIN_DENIED || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_QUOTE_ERROR;
}

/* One exchange; what came is in visit->in. custom NULL: fetch. */
static CURLcode ask(struct visit *visit, struct slice path, const char *custom, bool has_no_body, size_t most)
{
    struct slice url = arena_printf(&visit->arena, "%s/%.*s", visit->base, SLICE_ARG(path));
    buf_release(&visit->in);
    buf_init(&visit->in, most);
    visit->error[0] = 0;
    curl_easy_setopt(visit->curl, CURLOPT_URL, url.ptr);
    curl_easy_setopt(visit->curl, CURLOPT_CUSTOMREQUEST, custom);
    curl_easy_setopt(visit->curl, CURLOPT_NOBODY, has_no_body ? 1L : 0L);
    return curl_easy_perform(visit->curl);
}

static bool failed(struct visit *visit, CURLcode code, const char *what, struct fault *why)
{
    if (visit->guard.was_refused)
        return fault_set(why, FAULT_WORLD, "mailbox %s: this address is not reached from the playground",
                         visit->box->name);
    return fault_set(why, is_input(code) ? FAULT_INPUT : FAULT_WORLD, "mailbox %s: %s: %s", visit->box->name, what,
                     visit->error[0] ? visit->error : curl_easy_strerror(code));
}

/* No second connection in a round. */
static bool is_same_connection(struct visit *visit, struct fault *why)
{
    long made = 0;
    curl_easy_getinfo(visit->curl, CURLINFO_NUM_CONNECTS, &made);
    bool is_again = made > 0 && visit->is_connected;
    visit->is_connected = true;
    return !is_again ||
           fault_set(why, FAULT_WORLD, "mailbox %s: the connection was lost; the rest comes with the next round",
                     visit->box->name);
}

static void visit_begin(struct visit *visit, const char *password)
{
    static const char *const schemes[2][2] = {{"imap", "imaps"}, {"pop3", "pop3s"}};
    const struct box *box = visit->box;
    visit->guard = (struct curl_guard){.permits = may_connect, .owner = visit};
    visit->curl = curl_guarded(&visit->guard);
    snprintf(visit->base, sizeof(visit->base), "%s://%s:%u", schemes[box->kind == BOX_POP3][box->tls == BOX_TLS_WHOLE],
             box->host, box->port);
    curl_easy_setopt(visit->curl, CURLOPT_PROTOCOLS_STR, "imap,imaps,pop3,pop3s");
    curl_easy_setopt(visit->curl, CURLOPT_USERNAME, box->user);
    curl_easy_setopt(visit->curl, CURLOPT_PASSWORD, password);
    curl_easy_setopt(visit->curl, CURLOPT_USE_SSL,
                     box->tls == BOX_TLS_NONE ? (long)CURLUSESSL_NONE : (long)CURLUSESSL_ALL);
    if (box->ca_file[0]) {
        curl_easy_setopt(visit->curl, CURLOPT_CAINFO, box->ca_file);
        curl_easy_setopt(visit->curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(visit->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(visit->curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)SILENCE_S);
    curl_easy_setopt(visit->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(visit->curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    curl_easy_setopt(visit->curl, CURLOPT_ERRORBUFFER, visit->error);
    curl_easy_setopt(visit->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(visit->curl, CURLOPT_WRITEDATA, visit);
    curl_easy_setopt(visit->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(visit->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(visit->curl, CURLOPT_XFERINFODATA, visit);
}

/* Fetch one and have it kept. */
static bool mail_take(struct visit *visit, struct slice path, struct box_mail *mail, struct fault *why)
{
    CURLcode code = ask(visit, path, NULL, false, BOX_MAIL_MAX);
    mail->is_too_large = code == CURLE_WRITE_ERROR && !buf_ok(&visit->in);
    if (code != CURLE_OK && !mail->is_too_large)
        return failed(visit, code, "a mail cannot be fetched", why);
    if (!mail->is_too_large && !is_same_connection(visit, why))
        return false;
    mail->bytes = mail->is_too_large ? SLICE("") : buf_slice(&visit->in);
    if (!visit->owner->keep(visit->owner->self, visit->box, mail, why))
        return false;
    return !mail->is_too_large || fault_set(why, FAULT_WORLD,
                                            "mailbox %s: a mail of more than %d MB is not fetched; the rest comes with "
                                            "the next round",
                                            visit->box->name, BOX_MAIL_MAX >> 20);
}

/* ── IMAP ── */

/* The number behind a word in a response; 0: it is not there. */
static uint64_t number_behind(struct slice text, struct slice word)
{
    ptrdiff_t at = slice_find_caseless(text, word);
    uint64_t number = 0;
    struct slice rest = at >= 0 ? slice_from(text, (size_t)at + word.len) : SLICE("");
    while (rest.len && rest.ptr[0] == ' ')
        rest = slice_from(rest, 1);
    for (size_t i = 0; i < rest.len && i < 19 && ascii_is_digit(rest.ptr[i]); i++)
        number = number * 10 + (uint64_t)(rest.ptr[i] - '0');
    return number;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* "* SEARCH 4 7 9" lines: the UIDs of first to last, ascending, not more than `room` of them. */
static size_t uids_read(struct visit *visit, uint64_t first, uint64_t last, size_t room, uint64_t **uids)
{
    struct slice rest = buf_slice(&visit->in), line, word;
    size_t count = 0;
    room = room < visit->in.len / 2 + 1 ? room : visit->in.len / 2 + 1;
    *uids = ARENA_ARRAY(&visit->arena, uint64_t, room);
    while (slice_line(&rest, &line)) {
        if (!slice_starts_caseless(line, SLICE("* SEARCH")))
            continue;
        line = slice_from(line, 8);
        uint64_t uid;
        while (count < room && slice_split(&line, ' ', &word))
            if (slice_to_u64(slice_trim(word), &uid) && uid >= first && uid <= last)
                (*uids)[count++] = uid;
    }
    qsort(*uids, count, sizeof(**uids), by_number);
    return count;
}

/* A folder's name as a quoted string, and as a part of a URL. */
static struct slice quoted(struct visit *visit, const char *text)
{
    SCOPED(buf) out = BUF(2 * BOX_TEXT_MAX + 2);
    buf_byte(&out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_byte(&out, '\\');
        buf_byte(&out, *text);
    }
    buf_byte(&out, '"');
    return arena_copy(&visit->arena, buf_slice(&out));
}

static struct slice folder_url(struct visit *visit)
{
    char *escaped = curl_easy_escape(visit->curl, visit->box->folder, 0);
    if (!escaped)
        memory_gone("libcurl");
    struct slice url = arena_copy(&visit->arena, slice_str(escaped));
    curl_free(escaped);
    /* libcurl compares it when the folder is opened: numbers of another counting are never fetched, or deleted */
    return arena_printf(&visit->arena, "%.*s;UIDVALIDITY=%llu", SLICE_ARG(url),
                        (unsigned long long)visit->box->uid_validity);
}

static struct slice left_name(struct visit *visit, uint64_t uid)
{
    return arena_printf(&visit->arena, "%llu.%llu", (unsigned long long)visit->box->uid_validity,
                        (unsigned long long)uid);
}

/* "1:4,6:9": all from the first to the last that is there, but for those that were left. */
static bool set_of_kept(struct visit *visit, struct buf *set, struct fault *why)
{
    uint64_t *uids, first = 0, last = 0;
    size_t count = uids_read(visit, 1, visit->box->last_uid, SIZE_MAX, &uids);
    struct slice *names = ARENA_ARRAY(&visit->arena, struct slice, count + 1);
    enum box_mark *marks = ARENA_ARRAY(&visit->arena, enum box_mark, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = left_name(visit, uids[i]);
    if (!visit->owner->listed(visit->owner->self, names, count, marks, why))
        return false;
    for (size_t i = 0; i <= count; i++) {
        bool ends = i == count || marks[i] == BOX_LEFT;
        if (ends && first)
            buf_printf(set, "%s%llu:%llu", set->len ? "," : "", (unsigned long long)first, (unsigned long long)last);
        first = ends ? 0 : first ? first : uids[i];
        last = ends ? 0 : uids[i];
    }
    return true;
}

static bool imap_delete(struct visit *visit, struct slice folder, struct fault *why)
{
    SCOPED(buf) set = BUF(SET_MAX);
    if (!visit->box->last_uid)
        return true;
    struct slice search =
        arena_printf(&visit->arena, "UID SEARCH UID 1:%llu", (unsigned long long)visit->box->last_uid);
    CURLcode code = ask(visit, folder, search.ptr, false, LISTING_MAX);
    if (code != CURLE_OK)
        return failed(visit, code, "the folder cannot be listed", why);
    if (!set_of_kept(visit, &set, why))
        return false;
    if (!buf_ok(&set))
        return fault_set(why, FAULT_WORLD,
                         "mailbox %s: so many large mails are left that what was fetched is not deleted",
                         visit->box->name);
    if (!set.len)
        return true;
    struct slice store =
        arena_printf(&visit->arena, "UID STORE %.*s +FLAGS.SILENT (\\Deleted)", SLICE_ARG(buf_slice(&set)));
    code = ask(visit, folder, store.ptr, false, LISTING_MAX);
    struct slice expunge = arena_printf(&visit->arena, "UID EXPUNGE %.*s", SLICE_ARG(buf_slice(&set)));
    if (code == CURLE_OK)
        code = ask(visit, folder, expunge.ptr, false, LISTING_MAX);
    return code == CURLE_OK || failed(visit, code, "what was fetched cannot be deleted", why);
}

/* A folder that another session opens for the first time just now may have no UIDVALIDITY yet: it is asked again. */
static bool imap_status(struct visit *visit, uint64_t *validity, uint64_t *messages, struct fault *why)
{
    const struct box *box = visit->box;
    struct slice status =
        arena_printf(&visit->arena, "STATUS %.*s (UIDVALIDITY MESSAGES)", SLICE_ARG(quoted(visit, box->folder)));
    const struct timespec pause = {.tv_nsec = STATUS_PAUSE_MS * 1000000};
    for (int tries = 0; tries < STATUS_TRIES; tries++) {
        if (tries)
            nanosleep(&pause, NULL);
        CURLcode code = ask(visit, SLICE(""), status.ptr, false, LISTING_MAX);
        if (code != CURLE_OK)
            return failed(visit, code, "the folder cannot be looked at", why);
        *validity = number_behind(buf_slice(&visit->in), SLICE("UIDVALIDITY"));
        *messages = number_behind(buf_slice(&visit->in), SLICE("MESSAGES"));
        if (*validity)
            return true;
    }
    return fault_set(why, FAULT_WORLD, "mailbox %s: the server does not say the folder's UIDVALIDITY", box->name);
}

static bool imap_collect(struct visit *visit, uint64_t *count, struct fault *why)
{
    struct box *box = visit->box;
    uint64_t validity = 0, messages = 0; /* gcc at -O3 does not see that they are set */
    if (!imap_status(visit, &validity, &messages, why))
        return false;
    if (!visit->owner) {
        *count = messages;
        return true;
    }
    if (box->uid_validity != validity) {
        if (box->uid_validity)
            log_warn("receive", "mailbox %s: the server counts anew (UIDVALIDITY); the whole folder is read",
                     box->name);
        box->uid_validity = validity;
        box->last_uid = 0;
    }
    struct slice folder = folder_url(visit);
    if (messages) {
        struct slice search =
            arena_printf(&visit->arena, "UID SEARCH UID %llu:*", (unsigned long long)box->last_uid + 1);
        CURLcode code = ask(visit, folder, search.ptr, false, LISTING_MAX);
        if (code != CURLE_OK)
            return failed(visit, code, "the folder cannot be listed", why);
        uint64_t *uids;
        size_t found = uids_read(visit, box->last_uid + 1, IMAP_UID_MAX, MAILS_A_ROUND, &uids);
        for (size_t i = 0; i < found && !*visit->owner->is_stopping; i++) {
            struct box_mail mail = {.number = uids[i], .uid = left_name(visit, uids[i])};
            struct slice path =
                arena_printf(&visit->arena, "%.*s/;UID=%llu", SLICE_ARG(folder), (unsigned long long)uids[i]);
            visit->is_connected = false; /* UIDs hold over connections */
            if (!mail_take(visit, path, &mail, why))
                return false;
            box->last_uid = uids[i];
            ++*count;
        }
    }
    return !box->deletes || !messages || imap_delete(visit, folder, why);
}

/* ── POP3 ── */

struct pop3_listing {
    struct slice *uids;
    uint64_t *numbers;
    size_t count;
};

/* "7 QhdPYR:00WBw1Ph7x7" lines. */
static void listing_read(struct visit *visit, struct pop3_listing *listing)
{
    struct slice rest = arena_copy(&visit->arena, buf_slice(&visit->in)), line, word;
    size_t room = visit->in.len / 4 + 1;
    room = room < MAILS_A_ROUND ? room : MAILS_A_ROUND;
    listing->uids = ARENA_ARRAY(&visit->arena, struct slice, room);
    listing->numbers = ARENA_ARRAY(&visit->arena, uint64_t, room);
    while (listing->count < room && slice_line(&rest, &line)) {
        uint64_t number;
        if (!slice_split(&line, ' ', &word) || !slice_to_u64(word, &number) || !line.ptr || !slice_trim(line).len)
            continue;
        listing->numbers[listing->count] = number;
        listing->uids[listing->count++] = slice_head(slice_trim(line), BOX_TEXT_MAX);
    }
}

static bool pop3_collect(struct visit *visit, uint64_t *count, struct fault *why)
{
    struct box *box = visit->box;
    struct pop3_listing listing = {0};
    CURLcode code = ask(visit, SLICE(""), "UIDL", false, LISTING_MAX);
    if (code != CURLE_OK)
        return failed(visit, code, "the mailbox cannot be listed", why);
    if (!is_same_connection(visit, why))
        return false;
    listing_read(visit, &listing);
    if (!visit->owner) {
        *count = listing.count;
        return true;
    }
    enum box_mark *marks = ARENA_ARRAY(&visit->arena, enum box_mark, listing.count + 1);
    if (!visit->owner->listed(visit->owner->self, listing.uids, listing.count, marks, why))
        return false;
    for (size_t i = 0; i < listing.count && !*visit->owner->is_stopping; i++) {
        struct box_mail mail = {.uid = listing.uids[i]};
        struct slice path = arena_printf(&visit->arena, "%llu", (unsigned long long)listing.numbers[i]);
        if (marks[i] == BOX_NEW && !mail_take(visit, path, &mail, why))
            return false;
        *count += marks[i] == BOX_NEW;
        if (!box->deletes || marks[i] == BOX_LEFT)
            continue;
        code = ask(visit, path, "DELE", true, LISTING_MAX);
        if (code != CURLE_OK)
            return failed(visit, code, "what was fetched cannot be deleted", why);
        if (!is_same_connection(visit, why))
            return false;
    }
    return true;
}

bool box_collect(struct box *box, const char *password, const struct network *network, const struct box_owner *owner,
                 uint64_t *count, struct fault *why)
{
    *count = 0;
    if (box->kind == BOX_MAILDIR)
        return maildir_collect(box, owner, count, why);
    struct visit visit = {.box = box, .owner = owner, .network = network, .in = BUF(1)};
    visit_begin(&visit, password);
    bool ok = box->kind == BOX_IMAP ? imap_collect(&visit, count, why) : pop3_collect(&visit, count, why);
    curl_easy_cleanup(visit.curl); /* LOGOUT; QUIT, which makes DELE true */
    buf_release(&visit.in);
    arena_release(&visit.arena);
    return ok;
}
