#include "app/bounce_print.h"

#include "base/json.h"
#include "base/utf8.h"
#include <stdio.h>

void bounce_printer_release(struct bounce_printer *printer)
{
    size_t at = 0;
    struct map_entry *entry;
    while ((entry = map_walk(&printer->words, &at))) {
        buf_release(entry->value);
        free(entry->value);
    }
    map_release(&printer->words);
}

static enum standing standing_of(const struct bounce_place *place, const struct bounce_row *row)
{
    return place->is_reply ? STANDING_OPEN : standing_of_mail(row->kind);
}

/* ,"cause":{"ja":...,"en":...},"remedy":{...} */
static struct slice words_json(struct bounce_printer *printer, const struct verdict *verdict, enum standing standing)
{
    char key[160];
    struct slice reason = reason_word(verdict->reason), action = action_word(verdict->action);
    size_t len = 0;
    key[len++] = (char)('0' + standing);
    memcpy(key + len, reason.ptr, reason.len);
    len += reason.len;
    key[len++] = '/';
    memcpy(key + len, action.ptr, action.len);
    len += action.len;
    key[len++] = '/';
    if (verdict->words.len && len + verdict->words.len < sizeof(key)) {
        memcpy(key + len, verdict->words.ptr, verdict->words.len);
        len += verdict->words.len;
    }
    struct buf *known = map_get(&printer->words, slice_of(key, len));
    if (known)
        return buf_slice(known);
    struct buf *ready = NEW(struct buf);
    buf_init(ready, 65536);
    struct explanation ja = words_standing(printer->rules, verdict, standing, LANG_JA),
                       en = words_standing(printer->rules, verdict, standing, LANG_EN);
    struct json json = {ready};
    json_object_begin(&json);
    json_put_words(&json, "cause", ja.cause, en.cause);
    json_put_words(&json, "remedy", ja.remedy, en.remedy);
    json_end(&json);
    ready->ptr[0] = ',';
    ready->len--; /* the object's own braces go */
    map_set(&printer->words, slice_of(key, len), ready);
    return buf_slice(ready);
}

static struct slice status_text(const uint16_t status[3], char text[16])
{
    if (!status[0])
        return SLICE("");
    struct buf buf = {text, 0, 16, 16, false};
    buf_u64(&buf, status[0]);
    buf_byte(&buf, '.');
    buf_u64(&buf, status[1]);
    buf_byte(&buf, '.');
    buf_u64(&buf, status[2]);
    return slice_of(text, buf.len);
}

static struct slice stage_command(enum stage stage)
{
    static const struct slice words[] = {
        [STAGE_UNKNOWN] = SLICE_INIT(""),          [STAGE_DNS] = SLICE_INIT("DNS"),
        [STAGE_CONNECT] = SLICE_INIT("CONN"),      [STAGE_EHLO] = SLICE_INIT("EHLO"),
        [STAGE_STARTTLS] = SLICE_INIT("STARTTLS"), [STAGE_AUTH] = SLICE_INIT("AUTH"),
        [STAGE_MAIL] = SLICE_INIT("MAIL"),         [STAGE_RCPT] = SLICE_INIT("RCPT"),
        [STAGE_DATA] = SLICE_INIT("DATA"),         [STAGE_DOT] = SLICE_INIT("DOT"),
        [STAGE_QUEUE] = SLICE_INIT("QUEUE"),
    };
    return (size_t)stage < COUNT_OF(words) ? words[stage] : SLICE("");
}

/* Keys are written as they stand, comma and quotes included: they are the same in every row. */
static void field_put(struct buf *out, struct slice key, struct slice value)
{
    struct json json = {out};
    buf_append(out, key);
    json_text(&json, value);
}

void bounce_print_json(struct bounce_printer *printer, struct buf *out, const struct bounce_place *place,
                       const struct bounce *bounce, const struct bounce_row *row)
{
    static const struct bounce_row nothing = {.kind = KIND_NONE};
    bool is_row = row != NULL;
    if (!row)
        row = &nothing;
    char status[16], digits[16];
    struct buf code = {digits, 0, sizeof(digits), sizeof(digits), false};
    if (row->code)
        buf_u64(&code, (uint64_t)row->code);
    struct json json = {out};
    buf_byte(out, '{');
    if (place->id.len) {
        buf_text(out, "\"id\":");
        buf_append(out, place->id);
        buf_byte(out, ',');
    }
    field_put(out, SLICE("\"file\":"), place->file);
    buf_text(out, ",\"mail\":");
    buf_u64(out, place->mail);
    buf_text(out, ",\"index\":");
    buf_u64(out, place->index);
    field_put(out, SLICE(",\"kind\":"), kind_word(row->kind));
    field_put(out, SLICE(",\"recipient\":"), row->recipient);
    field_put(out, SLICE(",\"reply_code\":"), buf_slice(&code));
    field_put(out, SLICE(",\"status\":"), status_text(row->status, status));
    field_put(out, SLICE(",\"reason\":"), is_row ? reason_word(row->verdict.reason) : SLICE(""));
    buf_append(out, row->verdict.is_permanent ? SLICE(",\"permanent\":true") : SLICE(",\"permanent\":false"));
    field_put(out, SLICE(",\"action\":"), is_row ? action_word(row->verdict.action) : SLICE(""));
    field_put(out, SLICE(",\"scope\":"), is_row ? scope_word(row->verdict.scope) : SLICE(""));
    field_put(out, SLICE(",\"authenticity\":"), is_row ? authenticity_word(bounce->authenticity) : SLICE(""));
    field_put(out, SLICE(",\"diagnostic\":"), row->diagnostic);
    field_put(out, SLICE(",\"reporting_mta\":"), row->reporting_mta);
    field_put(out, SLICE(",\"remote_mta\":"), row->remote_mta);
    field_put(out, SLICE(",\"command\":"), stage_command(row->stage));
    field_put(out, SLICE(",\"rule\":"), row->verdict.rule);
    buf_append(out, is_row ? words_json(printer, &row->verdict, standing_of(place, row))
                           : SLICE(",\"cause\":{},\"remedy\":{}"));
    buf_text(out, ",\"facts\":");
    json_object_begin(&json);
    for (unsigned i = 0; i < row->facts.count; i++) {
        json_key_slice(&json, row->facts.list[i].name);
        json_text(&json, row->facts.list[i].value);
    }
    json_end(&json);
    field_put(out, SLICE(",\"message_id\":"), bounce ? bounce->message_id : SLICE(""));
    field_put(out, SLICE(",\"feedback_type\":"), row->feedback_type);
    buf_text(out, "}\n");
}

/* ---- for people ---- */

struct wording {
    const char *to, *kind[KIND_COUNT], *what, *why, *cure, *operator, * said, *by, *evidence, *facts, *action, *nobody,
        *forged, *genuine, *backscatter;
    const char *actions[ACTION_COUNT];
    const char *over[ACTION_COUNT], *underway; /* of a mail that came back; of a notice of delay */
    const char *for_now;                       /* of a 4xx that was said to ourselves */
};

static const struct wording wordings[LANG_COUNT] = {
    [LANG_JA] = {.to = "宛先      ",
                 .kind = {"エラーメールではありません", "配信できませんでした", "まだ届いていません(再送中)",
                          "届きました", "苦情(迷惑メール報告)", "自動返信です", "レポートです"},
                 .what = "結果      ",
                 .why = "原因      ",
                 .cure = "対処      ",
                 .operator= "管理者へ  ",
                 .said = "相手の返事",
                 .by = "返事の主  ",
                 .evidence = "判断の根拠",
                 .facts = "読み取り  ",
                 .action = "次の動作  ",
                 .nobody = "(宛先は書かれていません)",
                 .forged =
                     "注意        エラーメールを装った詐欺の疑いがあります。リンクや添付ファイルは開かないでください。",
                 .genuine = "本物です    私たちが送ったメールについての知らせです。",
                 .backscatter =
                     "注意        "
                     "このメールは私たちから送ったものではありません。だれかが差出人を装って送ったメールの知らせです。",
                 .actions = {"何もしません", "この宛先への配信を止めます",
                             "エラーの回数に数え、続くようなら配信から外します", "時間をおいて再送します",
                             "送る速さを落とします", "送信ドメイン認証を直す必要があります",
                             "メールの内容を直す必要があります", "送信側の設定を直す必要があります",
                             "拒否リストからの解除を申請する必要があります", "受信者に確認する必要があります"},
                 .over = {[ACTION_RETRY_LATER] = "このメールは、もう自動では再送されません",
                          [ACTION_SLOW_DOWN] = "送る速さを落とします。このメールは、もう自動では再送されません"},
                 .for_now = "いまは受け取られませんでした",
                 .underway = "途中のサーバが送り直しています。結果の知らせを待ちます"},
    [LANG_EN] =
        {.to = "To        ",
         .kind = {"not an error mail", "could not be delivered", "not delivered yet, still being tried", "delivered",
                  "complaint (marked as spam)", "automatic reply", "report"},
         .what = "Outcome   ",
         .why = "Why       ",
         .cure = "What to do",
         .operator= "Operator  ",
         .said = "They said ",
         .by = "Said by   ",
         .evidence = "Judged by ",
         .facts = "Facts     ",
         .action = "Next      ",
         .nobody = "(no recipient is named)",
         .forged = "Beware      This looks like fraud dressed as an error mail. Do not open its links or attachments.",
         .genuine = "Genuine     It is about a mail that we really sent.",
         .backscatter = "Beware      We never sent that mail: somebody else used our name as its sender.",
         .actions = {"nothing", "stop sending to this address", "count it; stop if it goes on", "try again later",
                     "send more slowly", "mend the sender authentication", "mend the mail's content",
                     "mend the sending configuration", "ask to be taken off the blocklist",
                     "ask the recipient or their administrator"},
         .over = {[ACTION_RETRY_LATER] = "nothing: this mail is not tried again by itself",
                  [ACTION_SLOW_DOWN] = "send more slowly; this mail is not tried again by itself"},
         .for_now = "not taken for now",
         .underway = "wait for the outcome: a server on the way still tries"},
};

static void line_put(struct buf *out, const char *title, struct slice text)
{
    if (!text.len)
        return;
    buf_printf(out, "  %s  ", title);
    utf8_append_inert(out, text);
    buf_byte(out, '\n');
}

/* What comes next, by itself or by somebody's hand. */
static const char *next_of(const struct wording *w, const struct bounce_row *row, enum standing standing)
{
    enum action action = row->verdict.action;
    if (standing == STANDING_UNDERWAY)
        return w->underway;
    return standing == STANDING_RETURNED && w->over[action] ? w->over[action] : w->actions[action];
}

static struct slice head_line(struct slice text)
{
    return utf8_head(text, 400);
}

void bounce_print_text(const struct rules *rules, struct buf *out, const struct bounce_place *place,
                       const struct bounce *bounce, const struct bounce_row *row, enum lang lang, bool has_colour)
{
    const struct wording *w = &wordings[lang];
    const char *strong = has_colour ? "\033[1m" : "", *plain = has_colour ? "\033[0m" : "";
    if (!row) {
        utf8_append_inert(out, place->file);
        buf_printf(out, ": %s\n\n", w->kind[KIND_NONE]);
        return;
    }
    enum standing standing = standing_of(place, row);
    struct explanation words = words_standing(rules, &row->verdict, standing, lang);
    buf_printf(out, "%s", strong);
    utf8_append_inert(out, row->recipient.len ? row->recipient : slice_str(w->nobody));
    buf_printf(out, "%s\n", plain);
    bool is_final = row->kind == KIND_BOUNCE || row->kind == KIND_DELAY;
    bool is_for_now = place->is_reply && row->kind == KIND_BOUNCE && row->code / 100 == 4;
    buf_printf(out, "  %s  %s%s", w->what, strong, is_for_now ? w->for_now : w->kind[row->kind]);
    if (is_final || row->kind == KIND_AUTOREPLY)
        buf_printf(out, lang == LANG_JA ? "：%.*s" : ": %.*s", SLICE_ARG(words.label));
    buf_printf(out, "%s (%.*s)\n", plain, SLICE_ARG(reason_word(row->verdict.reason)));
    if (bounce->authenticity == AUTHENTICITY_FORGED)
        buf_printf(out, "  %s\n", w->forged);
    else if (bounce->authenticity == AUTHENTICITY_GENUINE)
        buf_printf(out, "  %s\n", w->genuine);
    else if (bounce->authenticity == AUTHENTICITY_BACKSCATTER)
        buf_printf(out, "  %s\n", w->backscatter);
    line_put(out, w->why, words.cause);
    line_put(out, w->cure, words.remedy);
    line_put(out, w->operator, words.operator);
    if (is_final || row->kind == KIND_COMPLAINT)
        line_put(out, w->action, slice_str(next_of(w, row, standing)));
    line_put(out, w->said, head_line(row->diagnostic));
    if (row->remote_mta.len || row->stage) {
        buf_printf(out, "  %s  ", w->by);
        utf8_append_inert(out, row->remote_mta);
        if (row->stage)
            buf_printf(out, " (%.*s)", SLICE_ARG(stage_command(row->stage)));
        buf_byte(out, '\n');
    }
    for (unsigned i = 0; i < row->facts.count; i++) {
        buf_printf(out, "  %s  %.*s = ", i ? "          " : w->facts, SLICE_ARG(row->facts.list[i].name));
        utf8_append_inert(out, row->facts.list[i].value);
        buf_byte(out, '\n');
    }
    if (row->verdict.rule.len) {
        buf_printf(out, "  %s  %.*s", w->evidence, SLICE_ARG(row->verdict.rule));
        if (row->mark.len) {
            buf_text(out, " \"");
            utf8_append_inert(out, row->mark);
            buf_byte(out, '"');
        }
        buf_byte(out, '\n');
    }
    buf_byte(out, '\n');
}
