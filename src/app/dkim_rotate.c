#include "app/dkim_rotate.h"
#include "app/desk.h"

#include "app/arguments.h"
#include "app/change.h"
#include "app/mailer.h"
#include "app/names.h"
#include "base/json.h"
#include "campaign/brand.h"
#include "mailauth/dkim_sign.h"
#include "mailauth/dkim_verify.h"
#include "net/world.h"
#include <stdio.h>
#include <time.h>

enum { ROOM = 16384 };

struct rotation {
    const struct dkim_rotate_options *options;
    struct seal_key seal;
    struct arena arena;
    struct brand brand;
    struct slice domain, selector;
    time_ms now;
    struct buf record;
    struct dkim_key *fresh; /* NULL: not needed */
    struct {
        uint64_t id;
        struct slice selector, record;
        struct dkim_key *key;
    } waiting;            /* id 0: there is none */
    struct slice retired; /* the selector that signed until now */
};

/* ── what there is ── */

static bool waiting_find(struct rotation *rotation, struct db *db, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT id, domain, selector, private_sealed, public_record FROM dkim_key WHERE brand_id = $1 AND "
                  "domain = $2 AND is_active = 0 AND retired_ms = 0 ORDER BY id DESC LIMIT 1",
                  VALUES(V_INT((int64_t)rotation->brand.id), V_TEXT(rotation->domain))))
        return false;
    if (rows_next(&rows)) {
        rotation->waiting.id = (uint64_t)rows_int(&rows, 0);
        rotation->waiting.selector = arena_copy(&rotation->arena, rows_text(&rows, 2));
        rotation->waiting.record = arena_copy(&rotation->arena, rows_text(&rows, 4));
        if (!mailer_key_open(&rotation->seal, &rows, &rotation->waiting.key, why))
            return false;
    }
    return rows_end(&rows);
}

static bool rotation_find(struct rotation *rotation, struct db *db, struct fault *why)
{
    const struct dkim_rotate_options *options = rotation->options;
    int64_t count;
    if (!brand_find(db, why, slice_str(options->brand), &rotation->arena, &rotation->brand))
        return false;
    rotation->domain = options->domain ? slice_str(options->domain) : brand_domain(&rotation->brand);
    if (!db_query_ints(db, why, "SELECT COUNT(*) FROM dkim_key WHERE brand_id = $1 AND domain = $2 AND is_active = 1",
                       VALUES(V_INT((int64_t)rotation->brand.id), V_TEXT(rotation->domain)), &count, 1, NULL))
        return false;
    if (!count)
        return fault_set(why, FAULT_INPUT, "%s signs nothing for %.*s; `todoke dkim list` says what it signs for",
                         options->brand, SLICE_ARG(rotation->domain));
    return waiting_find(rotation, db, why);
}

/* ── a new one ── */

/* "todoke202611": with a letter behind it when there is such a one. */
static bool selector_choose(struct rotation *rotation, struct db *db, struct fault *why)
{
    struct tm day;
    time_t seconds = rotation->now / 1000;
    gmtime_r(&seconds, &day);
    for (char more = 'a' - 1; more <= 'z'; more++) {
        bool found;
        int64_t one;
        rotation->selector = rotation->options->selector
                                 ? slice_str(rotation->options->selector)
                                 : arena_printf(&rotation->arena, "todoke%04d%02d%.*s", day.tm_year + 1900,
                                                day.tm_mon + 1, more >= 'a', &more);
        if (!db_query_ints(db, why, "SELECT 1 FROM dkim_key WHERE domain = $1 AND selector = $2",
                           VALUES(V_TEXT(rotation->domain), V_TEXT(rotation->selector)), &one, 1, &found))
            return false;
        if (!found)
            return true;
        if (rotation->options->selector)
            break;
    }
    return fault_set(why, FAULT_INPUT, "the selector %.*s is taken; --selector gives another",
                     SLICE_ARG(rotation->selector));
}

static bool make_run(struct db *db, struct fault *why, void *context)
{
    struct rotation *rotation = context;
    return selector_choose(rotation, db, why) &&
           db_do(db, why, "DELETE FROM dkim_key WHERE retired_ms > 0 AND retired_ms < $1",
                 VALUES(V_INT(rotation->now - DAYS_MS(DKIM_KEEP_DAYS))), NULL) &&
           mailer_key_store(db, why, &rotation->seal, rotation->brand.id, rotation->domain, rotation->selector,
                            rotation->fresh, rotation->now, &rotation->record) &&
           db_do(db, why, "UPDATE dkim_key SET is_active = 0 WHERE domain = $1 AND selector = $2",
                 VALUES(V_TEXT(rotation->domain), V_TEXT(rotation->selector)), NULL);
}

/* ── is it in the DNS? ── */

static bool key_verifies(struct rotation *rotation, bool *is_good, const char **said, struct fault *why)
{
    SCOPED(buf) fields = BUF(ROOM);
    SCOPED(buf) mail = BUF(ROOM);
    SCOPED(buf) whole = BUF(2 * ROOM);
    SCOPED(arena) arena = {0};
    struct dkim_signer *signer;
    const struct dkim_identity identity = {rotation->domain, rotation->waiting.selector, rotation->waiting.key};
    struct lookup lookup = {.arena = &arena};
    struct dkim_claims *claims = ARENA_NEW(&arena, struct dkim_claims);
    struct dkim_outcome outcomes[DKIM_CLAIMS_MAX];
    struct names *names = names_new();
    bool ok =
        rotation->options->dns ? names_from_file(names, rotation->options->dns, why) : names_from(names, NULL, why);
    ok = ok && dkim_signer_new(&identity, 1, &signer, why);
    if (ok) {
        buf_printf(&mail, "From: a@%.*s\r\nTo: b@example.com\r\nSubject: is this key published?\r\n\r\nyes\r\n",
                   SLICE_ARG(rotation->domain));
        ok = dkim_sign(signer, buf_slice(&mail), rotation->now / 1000, &fields, why);
        dkim_signer_free(signer);
    }
    if (ok) {
        buf_append(&whole, buf_slice(&fields));
        buf_append(&whole, buf_slice(&mail));
        dkim_claims_read(buf_slice(&whole), rotation->now / 1000, claims);
        while (!dkim_verify(&lookup, claims, outcomes))
            names_answer(names, &lookup);
        *is_good = claims->count == 1 && outcomes[0].result == DKIM_PASS;
        *said = claims->count == 1 ? arena_str(&rotation->arena, slice_str(outcomes[0].reason)) : "";
        if (claims->count == 1 && outcomes[0].result == DKIM_TEMPERROR)
            ok = fault_set(why, FAULT_WORLD, "the DNS does not answer: %s", *said);
    }
    names_free(names);
    return ok;
}

static bool switch_run(struct db *db, struct fault *why, void *context)
{
    struct rotation *rotation = context;
    SCOPED(rows) rows = {0};
    if (!db_query(
            db, why, &rows,
            "SELECT selector FROM dkim_key WHERE brand_id = $1 AND domain = $2 AND is_active = 1 ORDER BY id DESC "
            "LIMIT 1",
            VALUES(V_INT((int64_t)rotation->brand.id), V_TEXT(rotation->domain))))
        return false;
    if (rows_next(&rows))
        rotation->retired = arena_copy(&rotation->arena, rows_text(&rows, 0));
    int64_t begun;
    return rows_end(&rows) &&
           db_do(db, why,
                 "UPDATE dkim_key SET is_active = 0, retired_ms = $3 WHERE brand_id = $1 AND domain = $2 AND is_active "
                 "= 1",
                 VALUES(V_INT((int64_t)rotation->brand.id), V_TEXT(rotation->domain), V_INT(rotation->now)), NULL) &&
           db_do(db, why, "UPDATE dkim_key SET is_active = 1 WHERE id = $1 AND is_active = 0 AND retired_ms = 0",
                 VALUES(V_INT((int64_t)rotation->waiting.id)), &begun) &&
           (begun || fault_set(why, FAULT_INPUT, "somebody else has just changed this key"));
}

/* ── telling ── */

static void record_print(struct slice selector, struct slice domain, struct slice record)
{
    SCOPED(buf) out = BUF(ROOM);
    dkim_record_zone(&out, selector, domain, record);
    fwrite(out.ptr, 1, out.len, stdout);
}

static void tell(const struct rotation *rotation, const char *state, struct slice selector, struct slice record,
                 const char *reason)
{
    SCOPED(buf) out = BUF(2 * ROOM);
    SCOPED(buf) until = BUF(40);
    time_rfc3339(&until, rotation->now + DAYS_MS(DKIM_KEEP_DAYS));
    if (rotation->options->is_json) {
        struct json json = {&out};
        SCOPED(buf) name = BUF(1024);
        buf_printf(&name, "%.*s._domainkey.%.*s", SLICE_ARG(selector), SLICE_ARG(rotation->domain));
        json_object_begin(&json);
        json_put_string(&json, "state", slice_str(state));
        json_put_string(&json, "domain", rotation->domain);
        json_put_string(&json, "selector", selector);
        json_put_string(&json, "name", buf_slice(&name));
        json_put_string(&json, "record", record);
        json_put_string(&json, "reason", slice_str(reason));
        json_put_string(&json, "retired", rotation->retired);
        json_end(&json);
        printf("%s\n", buf_cstr(&out));
    } else if (strcmp(state, "signing") == 0) {
        printf("%.*s signs with the selector %.*s now.\n", SLICE_ARG(rotation->domain), SLICE_ARG(selector));
        if (rotation->retired.len)
            printf("Leave the record %.*s._domainkey.%.*s where it is until %.10s: mail under way is signed with it.\n",
                   SLICE_ARG(rotation->retired), SLICE_ARG(rotation->domain), buf_cstr(&until));
    } else {
        if (*reason)
            printf("; not used yet: %s\n", reason);
        printf("; publish this, then give the same command again; until then the key of now goes on signing\n");
        record_print(selector, rotation->domain, record);
    }
}

static int rotate_with(struct rotation *rotation, struct store *store, struct fault *why)
{
    struct db *reader = store_reader_open(store, why);
    bool is_found = reader && rotation_find(rotation, reader, why), is_good;
    const char *said = "";
    db_free(reader);
    if (!is_found)
        return -1;
    if (!rotation->waiting.id) {
        rotation->fresh = dkim_key_generate(DKIM_RSA_SHA256);
        if (!store_change(store, make_run, rotation, why))
            return -1;
        tell(rotation, "waiting", rotation->selector, buf_slice(&rotation->record), "");
        return 0;
    }
    if (!key_verifies(rotation, &is_good, &said, why))
        return -1;
    if (!is_good) {
        tell(rotation, "waiting", rotation->waiting.selector, rotation->waiting.record, said);
        return 1;
    }
    if (!store_change(store, switch_run, rotation, why))
        return -1;
    tell(rotation, "signing", rotation->waiting.selector, rotation->waiting.record, "");
    return 0;
}

int dkim_rotate(const struct dkim_rotate_options *options, struct fault *why)
{
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct rotation rotation = {.options = options, .now = world_wall(&world), .record = BUF(ROOM)};
    struct store *store = NULL;
    int status = -1;
    if (seal_key_load(&rotation.seal, arguments_key_file(options->key_file), why) &&
        (store = desk_store(options->store, why)))
        status = rotate_with(&rotation, store, why);
    if (store)
        store_close(store);
    seal_key_release(&rotation.seal);
    dkim_key_free(rotation.waiting.key);
    dkim_key_free(rotation.fresh);
    buf_release(&rotation.record);
    arena_release(&rotation.arena);
    return status;
}

/* ── the list ── */

static void row_print(const struct rows *row, bool is_json, time_ms now)
{
    SCOPED(buf) out = BUF(ROOM);
    SCOPED(buf) date = BUF(40);
    bool is_active = rows_int(row, 3) != 0;
    time_ms retired = rows_int(row, 4), over = retired + DAYS_MS(DKIM_KEEP_DAYS);
    const char *state = is_active ? "signing" : retired ? "retired" : "waiting";
    if (retired)
        time_rfc3339(&date, over);
    if (!is_json) {
        buf_printf(&out, "%-8s  %.*s  %.*s._domainkey.%.*s", state, SLICE_ARG(rows_text(row, 0)),
                   SLICE_ARG(rows_text(row, 2)), SLICE_ARG(rows_text(row, 1)));
        if (retired)
            buf_printf(&out, over > now ? "  (its record stays until %.10s)" : "  (its record may go)",
                       buf_cstr(&date));
    } else {
        struct json json = {&out};
        json_object_begin(&json);
        json_put_string(&json, "state", slice_str(state));
        json_put_string(&json, "brand", rows_text(row, 0));
        json_put_string(&json, "domain", rows_text(row, 1));
        json_put_string(&json, "selector", rows_text(row, 2));
        json_put_string(&json, "record", rows_text(row, 5));
        json_put_time(&json, "record_stays_until", retired ? over : 0);
        json_end(&json);
    }
    printf("%s\n", buf_cstr(&out));
}

bool dkim_list(const struct dkim_rotate_options *options, struct fault *why)
{
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct store *store = desk_store(options->store, why);
    struct db *reader = store ? store_reader_open(store, why) : NULL;
    SCOPED(rows) rows = {0};
    bool ok = reader && db_query(reader, why, &rows,
                                 "SELECT b.name, k.domain, k.selector, k.is_active, k.retired_ms, k.public_record FROM "
                                 "dkim_key k JOIN brand b ON b.id = k.brand_id ORDER BY b.name, k.domain, k.id",
                                 NO_VALUES);
    while (ok && rows_next(&rows))
        if (!options->brand || slice_equal(rows_text(&rows, 0), slice_str(options->brand)))
            row_print(&rows, options->is_json, world_wall(&world));
    ok = ok && rows_end(&rows);
    rows_release(&rows);
    db_free(reader);
    if (store)
        store_close(store);
    return ok;
}
