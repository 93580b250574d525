/* command.h - the arguments of SMTP commands, as values (RFC 5321 4.1.1, RFC 1870, 3030, 3461, 4954, 6152, 6531)
 *
 * Syntax only. Each reader gives NULL when all is well, or the whole reply that refuses the command. */
#ifndef TODOKE_SMTP_COMMAND_H
#define TODOKE_SMTP_COMMAND_H

#include "smtp/server.h"

/* "FROM:<path> params" behind MAIL, "TO:<path> params" behind RCPT. */
const char *smtp_mail_read(struct slice args, const struct smtp_server_settings *settings, bool is_esmtp,
                           struct smtp_path *path, struct smtp_params *params);
const char *smtp_rcpt_read(struct slice args, const struct smtp_server_settings *settings, bool is_esmtp,
                           bool has_smtputf8, struct smtp_path *path, struct smtp_params *params);

/* "1000" or "1000 LAST". */
NODISCARD bool smtp_bdat_read(struct slice args, uint64_t *size, bool *is_last);

/* What a client may call itself: a domain name or address literal; lenient: any printable word. */
bool smtp_helo_is_valid(struct slice name, bool is_lenient);

#endif
