/* import_columns.c - which column is what, by its name */
#include "audience/import.h"

#include "base/utf8.h"

enum column { COLUMN_EMAIL, COLUMN_NAME, COLUMN_FAMILY, COLUMN_GIVEN, COLUMN_CONSENT };

/* Lower-case, half-width, without spaces, "-", "_", "." and what stands in brackets. Earlier rows win when two columns
 * fit. */
static const struct {
    enum column column;
    struct slice name;
} names[] = {
    {COLUMN_EMAIL, SLICE_INIT("メールアドレス")},
    {COLUMN_EMAIL, SLICE_INIT("eメールアドレス")},
    {COLUMN_EMAIL, SLICE_INIT("電子メールアドレス")},
    {COLUMN_EMAIL, SLICE_INIT("emailaddress")},
    {COLUMN_EMAIL, SLICE_INIT("mailaddress")},
    {COLUMN_EMAIL, SLICE_INIT("email")},
    {COLUMN_EMAIL, SLICE_INIT("eメール")},
    {COLUMN_EMAIL, SLICE_INIT("電子メール")},
    {COLUMN_EMAIL, SLICE_INIT("メアド")},
    {COLUMN_EMAIL, SLICE_INIT("メール")},
    {COLUMN_EMAIL, SLICE_INIT("mail")},
    {COLUMN_EMAIL, SLICE_INIT("email1value")}, /* Google contacts */
    {COLUMN_EMAIL, SLICE_INIT("address")},
    {COLUMN_EMAIL, SLICE_INIT("アドレス")},
    {COLUMN_NAME, SLICE_INIT("氏名")},
    {COLUMN_NAME, SLICE_INIT("お名前")},
    {COLUMN_NAME, SLICE_INIT("名前")},
    {COLUMN_NAME, SLICE_INIT("顧客名")},
    {COLUMN_NAME, SLICE_INIT("宛名")},
    {COLUMN_NAME, SLICE_INIT("担当者名")},
    {COLUMN_NAME, SLICE_INIT("fullname")},
    {COLUMN_NAME, SLICE_INIT("displayname")},
    {COLUMN_NAME, SLICE_INIT("name")},
    {COLUMN_FAMILY, SLICE_INIT("姓")},
    {COLUMN_FAMILY, SLICE_INIT("苗字")},
    {COLUMN_FAMILY, SLICE_INIT("名字")},
    {COLUMN_FAMILY, SLICE_INIT("氏")},
    {COLUMN_FAMILY, SLICE_INIT("lastname")},
    {COLUMN_FAMILY, SLICE_INIT("familyname")},
    {COLUMN_FAMILY, SLICE_INIT("surname")},
    {COLUMN_GIVEN, SLICE_INIT("名")},
    {COLUMN_GIVEN, SLICE_INIT("firstname")},
    {COLUMN_GIVEN, SLICE_INIT("givenname")},
    {COLUMN_CONSENT, SLICE_INIT("同意")},
    {COLUMN_CONSENT, SLICE_INIT("許諾")},
    {COLUMN_CONSENT, SLICE_INIT("登録経路")},
    {COLUMN_CONSENT, SLICE_INIT("取得経路")},
    {COLUMN_CONSENT, SLICE_INIT("consent")},
    {COLUMN_CONSENT, SLICE_INIT("optin")},
};

static void normalise(struct slice header, struct buf *out)
{
    int depth = 0;
    for (int32_t c; (c = utf8_next(&header)) >= 0;) {
        if (c >= 0xff01 && c <= 0xff5e) /* full-width ASCII */
            c -= 0xfee0;
        if (c == '(' || c == '[' || c == 0x3010)
            depth++;
        else if (c == ')' || c == ']' || c == 0x3011)
            depth -= depth > 0;
        else if (depth == 0 && c != 0x3000 && c != 0xfeff &&
                 !(c < 0x80 && (ascii_is_space((char)c) || strchr("-_.*:", c))))
            utf8_append(out, c < 0x80 ? (uint32_t)ascii_lower((char)c) : (uint32_t)c);
    }
}

bool import_columns_find(const struct slice *headers, size_t count, struct import_columns *columns)
{
    int *places[] = {[COLUMN_EMAIL] = &columns->email,
                     [COLUMN_NAME] = &columns->name,
                     [COLUMN_FAMILY] = &columns->family_name,
                     [COLUMN_GIVEN] = &columns->given_name,
                     [COLUMN_CONSENT] = &columns->consent};
    size_t best[COUNT_OF(places)];
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        *places[i] = -1;
        best[i] = COUNT_OF(names);
    }
    for (size_t i = 0; i < count; i++) {
        SCOPED(buf) name = BUF(4096);
        normalise(slice_head(headers[i], 1000), &name);
        for (size_t k = 0; k < COUNT_OF(names); k++) {
            enum column column = names[k].column;
            if (k >= best[column] || !slice_equal(buf_slice(&name), names[k].name))
                continue;
            best[column] = k;
            *places[column] = (int)i;
        }
    }
    return columns->email >= 0;
}
