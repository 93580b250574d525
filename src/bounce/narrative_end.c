/* narrative_end.c - where what happened ends, and the mail that it happened to is quoted */
#include "bounce/narrative.h"

#include "bounce/phrase.h"

static bool is_field(struct slice line, const char *name)
{
    struct slice with = slice_str(name);
    return slice_starts_caseless(line, with) && line.len > with.len && line.ptr[with.len] == ':';
}

bool narrative_begins_original(struct slice line)
{
    size_t indent = 0;
    while (indent < line.len && indent < 4 && (line.ptr[indent] == ' ' || line.ptr[indent] == '|'))
        indent++;
    line = slice_from(line, indent);
    static const bool opens[256] = {['R'] = true, ['r'] = true, ['D'] = true, ['d'] = true, ['A'] = true,
                                    ['a'] = true, ['X'] = true, ['x'] = true, ['M'] = true, ['m'] = true};
    if (line.len < 8 || !opens[(unsigned char)line.ptr[0]])
        return false;
    return is_field(line, "Received") || is_field(line, "Return-Path") || is_field(line, "DKIM-Signature") ||
           is_field(line, "Delivered-To") || is_field(line, "ARC-Seal") || is_field(line, "X-Received") ||
           is_field(line, "X-Google-Smtp-Source") || is_field(line, "MIME-Version") ||
           is_field(line, "X-Originating-IP");
}

bool narrative_is_rule(char c)
{
    static const bool chars[256] = {
        ['-'] = true, ['='] = true, ['_'] = true, ['*'] = true, ['|'] = true, ['#'] = true, ['+'] = true};
    return chars[(unsigned char)c];
}

bool narrative_announces_original(struct slice line)
{
    enum { ANYHOW = 1, TITLE }; /* a TITLE alone on its line: a sentence may begin with the same words */
    static const struct phrase rows[] = {
        {SLICE_INIT("this is a copy of"), ANYHOW},
        {SLICE_INIT("below this line is a copy"), ANYHOW},
        {SLICE_INIT("copy of the original message"), ANYHOW},
        {SLICE_INIT("copy of the message header"), ANYHOW},
        {SLICE_INIT("copy of your message"), ANYHOW},
        {SLICE_INIT("copy of the first part of the message"), ANYHOW},
        {SLICE_INIT("original message follow"), ANYHOW},
        {SLICE_INIT("original message header"), ANYHOW},
        {SLICE_INIT("original message -"), ANYHOW},
        {SLICE_INIT("original message:"), ANYHOW},
        {SLICE_INIT("original mail info"), ANYHOW},
        {SLICE_INIT("original mail -"), ANYHOW},
        {SLICE_INIT("original mail as follows"), ANYHOW},
        {SLICE_INIT("message headers follow"), ANYHOW},
        {SLICE_INIT("message header follow"), ANYHOW},
        {SLICE_INIT("message text follow"), ANYHOW},
        {SLICE_INIT("message header:"), ANYHOW},
        {SLICE_INIT("unsent message"), ANYHOW},
        {SLICE_INIT("returned message"), ANYHOW},
        {SLICE_INIT("header of the original message"), ANYHOW},
        {SLICE_INIT("headers of the original message"), ANYHOW},
        {SLICE_INIT("header of original message"), ANYHOW},
        {SLICE_INIT("bounced e-mail"), ANYHOW},
        {SLICE_INIT("bounced email"), ANYHOW},
        {SLICE_INIT("start of original message"), ANYHOW},
        {SLICE_INIT("start of forwarded message"), ANYHOW},
        {SLICE_INIT("rejected message"), ANYHOW},
        {SLICE_INIT("forwarded message"), ANYHOW},
        {SLICE_INIT("ursprüngliche nachricht"), TITLE},
        {SLICE_INIT("message d'origine"), TITLE},
        {SLICE_INIT("mensaje original"), TITLE},
        {SLICE_INIT("исходное сообщение"), TITLE},
        {SLICE_INIT("元のメッセージ"), TITLE},
        {SLICE_INIT("元のメール"), TITLE},
        {SLICE_INIT("原始邮件"), TITLE},
        {SLICE_INIT("原始郵件"), TITLE},
        {SLICE_INIT("원본 메시지"), TITLE},
        {SLICE_INIT("messaggio originale"), TITLE},
        {SLICE_INIT("mensagem original"), TITLE},
    };
    static struct phrases set = PHRASES(rows);
    if (line.len < 12 || line.len > 120)
        return false;
    struct slice bare = line; /* it is a title: it begins with a rule, or ends like one */
    while (bare.len && (ascii_is_space(bare.ptr[0]) || narrative_is_rule(bare.ptr[0]) || bare.ptr[0] == '>'))
        bare = slice_from(bare, 1);
    if (!bare.len)
        return false;
    bool has_rule = bare.ptr > line.ptr && narrative_is_rule(bare.ptr[-1]);
    has_rule = has_rule || (bare.ptr - line.ptr >= 2 && narrative_is_rule(bare.ptr[-2]));
    struct slice whole = slice_trim(line);
    char last = whole.ptr[whole.len - 1];
    if (has_rule || last == ':' || (narrative_is_rule(last) && last != '+'))
        return scan_any(bare, &set);
    size_t row = scan_front(bare, &set);
    return row < set.count && (rows[row].value == ANYHOW || bare.len - rows[row].text.len <= 4);
}
