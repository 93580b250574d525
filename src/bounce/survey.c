#include "bounce/survey.h"

#include "bounce/dsn.h"
#include "bounce/phrase.h"
#include "bounce/scan.h"

static const struct phrase bounce_titles[] = {
    {SLICE_INIT("undeliver"), 1},
    {SLICE_INIT("returned mail"), 1},
    {SLICE_INIT("returned to sender"), 1},
    {SLICE_INIT("returning message"), 1},
    {SLICE_INIT("returning to sender"), 1},
    {SLICE_INIT("delivery status notification"), 1},
    {SLICE_INIT("delivery notification"), 1},
    {SLICE_INIT("delivery failure"), 1},
    {SLICE_INIT("delivery failed"), 1},
    {SLICE_INIT("delivery has failed"), 1},
    {SLICE_INIT("delivery report"), 1},
    {SLICE_INIT("delivery problem"), 1},
    {SLICE_INIT("delivery error"), 1},
    {SLICE_INIT("delivery delayed"), 1},
    {SLICE_INIT("delivery incomplete"), 1},
    {SLICE_INIT("delayed mail"), 1},
    {SLICE_INIT("mail delayed"), 1},
    {SLICE_INIT("delayed 24 hours"), 1},
    {SLICE_INIT("warning: message"), 1},
    {SLICE_INIT("warning: could not send"), 1},
    {SLICE_INIT("failure notice"), 1},
    {SLICE_INIT("failure delivery"), 1},
    {SLICE_INIT("failed delivery"), 1},
    {SLICE_INIT("failed mail"), 1},
    {SLICE_INIT("failed to deliver"), 1},
    {SLICE_INIT("mail failed"), 1},
    {SLICE_INIT("mail failure"), 1},
    {SLICE_INIT("mail error"), 1},
    {SLICE_INIT("mail system error"), 1},
    {SLICE_INIT("mail could not be delivered"), 1},
    {SLICE_INIT("could not be delivered"), 1},
    {SLICE_INIT("couldn't be delivered"), 1},
    {SLICE_INIT("could not deliver"), 1},
    {SLICE_INIT("not delivered"), 1},
    {SLICE_INIT("unable to deliver"), 1},
    {SLICE_INIT("message status"), 1},
    {SLICE_INIT("message rejected"), 1},
    {SLICE_INIT("error sending your mail"), 1},
    {SLICE_INIT("email bounce"), 1},
    {SLICE_INIT("bounced mail"), 1},
    {SLICE_INIT("bounce notification"), 1},
    {SLICE_INIT("nondeliverable"), 1},
    {SLICE_INIT("non-deliver"), 1},
    {SLICE_INIT("non deliver"), 1},
    {SLICE_INIT("ndn:"), 1},
    {SLICE_INIT("ndr"), 1},
    {SLICE_INIT("rejected mail"), 1},
    {SLICE_INIT("smtp server: errors"), 1},
    {SLICE_INIT("user unknown"), 1},
    {SLICE_INIT("are not member"), 1},
    {SLICE_INIT("loop alert"), 1},
    {SLICE_INIT("unzustellbar"), 1},
    {SLICE_INIT("nicht zugestellt"), 1},
    {SLICE_INIT("non remis"), 1},
    {SLICE_INIT("échec de la remise"), 1},
    {SLICE_INIT("non distribué"), 1},
    {SLICE_INIT("no se puede entregar"), 1},
    {SLICE_INIT("no entregado"), 1},
    {SLICE_INIT("não entregue"), 1},
    {SLICE_INIT("não é possível entregar"), 1},
    {SLICE_INIT("mancato recapito"), 1},
    {SLICE_INIT("non recapitabile"), 1},
    {SLICE_INIT("onbestelbaar"), 1},
    {SLICE_INIT("недоставлен"), 1},
    {SLICE_INIT("не доставлено"), 1},
    {SLICE_INIT("配信不能"), 1},
    {SLICE_INIT("配信できませんでした"), 1},
    {SLICE_INIT("配信エラー"), 1},
    {SLICE_INIT("配達不能"), 1},
    {SLICE_INIT("送信できませんでした"), 1},
    {SLICE_INIT("送信エラー"), 1},
    {SLICE_INIT("エラーメール"), 1},
    {SLICE_INIT("未送達"), 1},
    {SLICE_INIT("zustellfehler"), 1},
    {SLICE_INIT("nachricht verzögert"), 1},
    {SLICE_INIT("message retardé"), 1},
    {SLICE_INIT("niedostarczon"), 1},
    {SLICE_INIT("falha na entrega"), 1},
    {SLICE_INIT("配信が遅延"), 1},
    {SLICE_INIT("受信拒否のお知らせ"), 1},
    {SLICE_INIT("投递失败"), 1},
    {SLICE_INIT("退信"), 1},
    {SLICE_INIT("无法送达"), 1},
    {SLICE_INIT("無法傳遞"), 1},
    {SLICE_INIT("배달되지"), 1},
    {SLICE_INIT("반송"), 1},
    {SLICE_INIT("발송실패"), 1},
    {SLICE_INIT("발송 실패"), 1},
    {SLICE_INIT("전송되지 못"), 1},
    {SLICE_INIT("전송 실패"), 1},
    {SLICE_INIT("配信エラー通知"), 1},
    {SLICE_INIT("配送エラー"), 1},
    {SLICE_INIT("配送できませんでした"), 1},
    {SLICE_INIT("unzustellbare"), 1},
    {SLICE_INIT("zustellung fehlgeschlagen"), 1},
    {SLICE_INIT("wurde abgewiesen"), 1},
    {SLICE_INIT("avis de non-remise"), 1},
    {SLICE_INIT("message bloqué"), 1},
    {SLICE_INIT("message rejeté"), 1},
    {SLICE_INIT("no se pudo entregar"), 1},
    {SLICE_INIT("no se ha podido entregar"), 1},
    {SLICE_INIT("mensaje rechazado"), 1},
    {SLICE_INIT("mensaje devuelto"), 1},
    {SLICE_INIT("mensagem devolvida"), 1},
    {SLICE_INIT("mensagem rejeitada"), 1},
    {SLICE_INIT("messaggio respinto"), 1},
    {SLICE_INIT("messaggio non consegnato"), 1},
    {SLICE_INIT("kan inte levereras"), 1},
    {SLICE_INIT("kunne ikke leveres"), 1},
    {SLICE_INIT("не может быть доставлено"), 1},
    {SLICE_INIT("сообщение отклонено"), 1},
    {SLICE_INIT("退信通知"), 1},
    {SLICE_INIT("郵件退回"), 1},
    {SLICE_INIT("邮件退回"), 1},
    {SLICE_INIT("投遞失敗"), 1},
};
static struct phrases bounce_titles_set = PHRASES(bounce_titles);

/* 1: nobody else writes that; 2: so do shops, couriers and people, and the text must say the same */
static const struct phrase auto_titles[] = {
    {SLICE_INIT("automatic reply"), 1},
    {SLICE_INIT("auto reply"), 1},
    {SLICE_INIT("auto-reply"), 1},
    {SLICE_INIT("autoreply"), 1},
    {SLICE_INIT("autoresp"), 1},
    {SLICE_INIT("auto response"), 1},
    {SLICE_INIT("out of office"), 1},
    {SLICE_INIT("out of the office"), 1},
    {SLICE_INIT("automatische antwort"), 1},
    {SLICE_INIT("réponse automatique"), 1},
    {SLICE_INIT("respuesta automática"), 1},
    {SLICE_INIT("resposta automática"), 1},
    {SLICE_INIT("risposta automatica"), 1},
    {SLICE_INIT("fuori sede"), 1},
    {SLICE_INIT("automatisch antwoord"), 1},
    {SLICE_INIT("автоответ"), 1},
    {SLICE_INIT("自動返信"), 1},
    {SLICE_INIT("自動応答"), 1},
    {SLICE_INIT("自动回复"), 1},
    {SLICE_INIT("自動回覆"), 1},
    {SLICE_INIT("자동 회신"), 1},
    {SLICE_INIT("자동회신"), 1},
    {SLICE_INIT("자동 응답"), 1},
    {SLICE_INIT("自动答复"), 1},
    {SLICE_INIT("自動答覆"), 1},
    {SLICE_INIT("autosvar"), 1},
    {SLICE_INIT("automatiskt svar"), 1},
    {SLICE_INIT("automatisk svar"), 1},
    {SLICE_INIT("automaattinen vastaus"), 1},
    {SLICE_INIT("automatyczna odpowiedź"), 1},
    {SLICE_INIT("odpowiedź automatyczna"), 1},
    {SLICE_INIT("automatická odpověď"), 1},
    {SLICE_INIT("otomatik yanıt"), 1},
    {SLICE_INIT("автоматический ответ"), 1},
    {SLICE_INIT("auto risposta"), 1},
    {SLICE_INIT("auto:"), 2},
    {SLICE_INIT("vacation"), 2},
    {SLICE_INIT("on holiday"), 2},
    {SLICE_INIT("away from"), 2},
    {SLICE_INIT("abwesen"), 2},
    {SLICE_INIT("absence"), 2},
    {SLICE_INIT("fuera de"), 2},
    {SLICE_INIT("不在"), 2},
    {SLICE_INIT("休暇"), 2},
    {SLICE_INIT("부재"), 2},
    {SLICE_INIT("休假"), 2},
    {SLICE_INIT("出差"), 2},
    {SLICE_INIT("frånvaro"), 2},
    {SLICE_INIT("ausencia"), 2},
    {SLICE_INIT("fora do escritório"), 2},
};
static struct phrases auto_titles_set = PHRASES(auto_titles);

static bool name_is_daemon(struct slice name)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("mail delivery"), 1},        {SLICE_INIT("mail deliver"), 1},
        {SLICE_INIT("mailer-daemon"), 1},        {SLICE_INIT("mailer daemon"), 1},
        {SLICE_INIT("mail.delivery.system"), 1}, {SLICE_INIT("postmaster"), 1},
        {SLICE_INIT("delivery subsystem"), 1},   {SLICE_INIT("mail administrator"), 1},
        {SLICE_INIT("ndr administrator"), 1},    {SLICE_INIT("internet mail delivery"), 1},
        {SLICE_INIT("system administrator"), 1}, {SLICE_INIT("microsoft outlook"), 1},
        {SLICE_INIT("mail subsystem"), 1},       {SLICE_INIT("double-bounce"), 1},
        {SLICE_INIT("e-mail interconnect"), 1},
    };
    static struct phrases set = PHRASES(rows);
    return scan_any(name, &set);
}

static bool address_is_daemon(struct slice address)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("mailer-daemon"), 1},     {SLICE_INIT("mailerdaemon"), 1},         {SLICE_INIT("postmaster"), 1},
        {SLICE_INIT("mdaemon"), 1},           {SLICE_INIT("mail-daemon"), 1},          {SLICE_INIT("post_master"), 1},
        {SLICE_INIT("double-bounce"), 1},     {SLICE_INIT("mail.delivery.system"), 1}, {SLICE_INIT("mailer_daemon"), 1},
        {SLICE_INIT("microsoftexchange"), 1}, {SLICE_INIT("mail-deamon"), 1},
    };
    static struct phrases set = PHRASES(rows);
    return scan_any(slice_head(address, 40), &set);
}

/* What stands outside every attached message: depth counts only message parts above. */
static bool is_ours(const struct mime_mail *mail, unsigned index)
{
    while (index) {
        if (mail->parts[index].is_message)
            return false;
        index = mail->parts[index].parent;
    }
    return true;
}

static bool begins_status(struct slice body)
{
    body = slice_head(body, 512);
    while (body.len && ascii_is_space(body.ptr[0]))
        body = slice_from(body, 1);
    return dsn_begins(body);
}

static void parts_survey(struct survey *s)
{
    const struct mime_mail *mail = s->mail;
    s->status_part = s->feedback_part = s->text_part = s->html_part = s->message_part = s->headers_part = PART_NONE;
    for (unsigned i = 0; i < mail->part_count; i++) {
        const struct mime_part *part = &mail->parts[i];
        int index = (int)i;
        if (part->is_message && i) {
            if (s->message_part == PART_NONE && is_ours(mail, part->parent))
                s->message_part = index;
            i = part->end - 1; /* whatever is inside is not ours to read */
            continue;
        }
        char first = ascii_lower(part->type.len ? part->type.ptr[0] : 't');
        if (first == 'm' && slice_equal_caseless(part->type, SLICE("message"))) {
            if (s->status_part == PART_NONE && (slice_equal_caseless(part->subtype, SLICE("delivery-status")) ||
                                                slice_equal_caseless(part->subtype, SLICE("global-delivery-status"))))
                s->status_part = index;
            else if (s->feedback_part == PART_NONE && slice_equal_caseless(part->subtype, SLICE("feedback-report")))
                s->feedback_part = index;
            else if (s->headers_part == PART_NONE && (slice_equal_caseless(part->subtype, SLICE("global-headers")) ||
                                                      slice_equal_caseless(part->subtype, SLICE("rfc822-headers")) ||
                                                      slice_equal_caseless(part->subtype, SLICE("partial")) ||
                                                      slice_equal_caseless(part->subtype, SLICE("rfc822")) ||
                                                      slice_equal_caseless(part->subtype, SLICE("global"))))
                s->headers_part = part->boundary.len || part->end > i + 1 ? s->headers_part : index;
        } else if (first == 't' && slice_equal_caseless(part->type, SLICE("text"))) {
            if (slice_equal_caseless(part->subtype, SLICE("rfc822-headers")) ||
                slice_equal_caseless(part->subtype, SLICE("rfc822"))) {
                if (s->headers_part == PART_NONE)
                    s->headers_part = index;
            } else if (slice_equal_caseless(part->subtype, SLICE("html"))) {
                if (s->html_part == PART_NONE)
                    s->html_part = index;
            } else if (s->text_part == PART_NONE) {
                s->text_part = index;
            } else if (s->status_part == PART_NONE && begins_status(part->body)) {
                s->status_part = index; /* its type was forgotten */
            } else if (s->headers_part == PART_NONE &&
                       slice_find(slice_head(part->body, 4096), SLICE("\nReceived:")) >= 0) {
                s->headers_part = index;
            }
        }
    }
}

void survey_take(const struct mime_mail *mail, struct arena *arena, struct survey *s)
{
    *s = (struct survey){.mail = mail, .arena = arena};
    parts_survey(s);
    struct slice from = mime_header(mail, 0, SLICE("From"));
    struct slice address[1];
    if (mime_addresses(from, address, 1))
        s->from_address = address[0];
    s->from_name = from.ptr ? mime_text(from, arena) : SLICE("");
    if (mime_addresses(mime_header(mail, 0, SLICE("To")), address, 1))
        s->to_address = address[0];
    s->subject = mime_text(mime_header(mail, 0, SLICE("Subject")), arena);
    struct slice path = mime_header(mail, 0, SLICE("Return-Path"));
    if (path.ptr) {
        struct slice inner = mime_angle(path);
        s->has_null_path = !inner.len || (slice_starts_caseless(inner, SLICE("MAILER-DAEMON")));
    }
    s->is_daemon = name_is_daemon(s->from_name) || address_is_daemon(s->from_address) ||
                   (from.ptr && !slice_trim(from).len) || slice_equal(from, SLICE("<>"));
    static const struct phrase answers[] = {{SLICE_INIT("re:"), 1}, {SLICE_INIT("fw:"), 1}, {SLICE_INIT("fwd:"), 1},
                                            {SLICE_INIT("aw:"), 1}, {SLICE_INIT("wg:"), 1}, {SLICE_INIT("tr:"), 1},
                                            {SLICE_INIT("sv:"), 1}};
    static struct phrases answers_set = PHRASES(answers);
    s->is_answer = scan_any(slice_head(s->subject, 4), &answers_set);
    s->is_bounce_title = scan_any(s->subject, &bounce_titles_set);
    int auto_title = scan_phrase(s->subject, &auto_titles_set, 0);
    s->is_auto_title = auto_title > 0;
    s->is_auto_title_sure = auto_title == 1;
    struct slice submitted = mime_header(mail, 0, SLICE("Auto-Submitted"));
    s->is_auto = (submitted.ptr && !slice_starts_caseless(submitted, SLICE("no"))) ||
                 mime_header(mail, 0, SLICE("X-Autoreply")).ptr || mime_header(mail, 0, SLICE("X-Autorespond")).ptr ||
                 slice_equal_caseless(mime_header(mail, 0, SLICE("Precedence")), SLICE("auto_reply"));
    s->has_failed_recipients = mime_header(mail, 0, SLICE("X-Failed-Recipients")).ptr != NULL;
    const struct mime_part *top = &mail->parts[0];
    s->report_type = SLICE("");
    if (mime_is(top, "multipart", "report"))
        s->report_type = mime_param(mime_header(mail, 0, SLICE("Content-Type")), SLICE("report-type"), arena);
}

struct slice survey_text(const struct survey *s, size_t limit)
{
    struct slice text = SLICE("");
    if (s->mail->part_count == 1 && s->text_part == PART_NONE &&
        s->html_part == PART_NONE) /* a multipart without parts */
        text = mime_body_text(&s->mail->parts[0], limit, s->arena);
    else if (s->text_part != PART_NONE)
        text = mime_body_text(&s->mail->parts[s->text_part], limit, s->arena);
    if (slice_trim(slice_head(text, 512)).len < 8 && s->html_part != PART_NONE)
        text = scan_html(mime_body_text(&s->mail->parts[s->html_part], limit, s->arena), s->arena);
    return text;
}
