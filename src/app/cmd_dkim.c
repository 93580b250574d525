/* cmd_dkim.c - todoke dkim keygen | sign | rotate | list */
#include "app/arguments.h"
#include "app/command.h"
#include "app/dkim_rotate.h"
#include "app/usage.h"
#include "base/file.h"
#include "base/json.h"
#include "mailauth/dkim_sign.h"
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke dkim keygen --domain DOMAIN --selector NAME [--algorithm rsa|ed25519] [--out FILE] [--json]\n"
    "       todoke dkim sign --domain DOMAIN --selector NAME --key FILE [--now N] [FILE]\n"
    "       todoke dkim rotate BRAND [--domain DOMAIN] [--selector NAME] [--dns FILE] [--json]\n"
    "       todoke dkim list [BRAND] [--json]\n"
    "\n"
    "keygen makes a key (RSA-2048 unless told otherwise), writes it to FILE (mode 0600; must not exist) or to stdout, "
    "and\n"
    "prints the DNS record to publish. sign reads a mail from FILE or stdin and writes it signed, with CRLF line "
    "ends.\n"
    "\n"
    "rotate changes the key that a brand signs with, in two steps. The first makes a key and prints its record, while "
    "the "
    "old\n"
    "key goes on signing. Given again, when that is published, it verifies a signature of the new key against the DNS "
    "and\n"
    "then signs with it, within seconds on a running server; while the DNS has not got it, or has it wrong, nothing "
    "changes "
    "and\n"
    "the exit status is 1. The old record stays published for 14 days. list shows the keys: waiting, signing, "
    "retired.\n"
    "  --domain DOMAIN  default: the domain of the brand's sender\n"
    "  --selector NAME  of the new key; default: todoke and the month, todoke202611\n"
    "  --dns FILE       answers from data instead of the DNS\n"
    "  --store URL, --key-file FILE   defaults: $TODOKE_STORE, $TODOKE_KEY_FILE, the server's settings, files here\n";

struct options {
    const char *domain, *selector, *algorithm, *out, *key, *now, *store, *key_file, *dns;
    bool is_json;
};

static bool algorithm_named(const char *name, enum dkim_algorithm *algorithm, struct fault *why)
{
    struct slice word = slice_str(name ? name : "rsa");
    *algorithm = slice_equal(word, SLICE("ed25519")) ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
    return *algorithm == DKIM_ED25519_SHA256 || slice_equal(word, SLICE("rsa")) ||
           fault_set(why, FAULT_INPUT, "--algorithm %s: rsa or ed25519", name);
}

/* Are these fit for a signature? */
static bool names_are_good(const struct options *options, struct fault *why)
{
    if (!options->domain || !options->selector)
        return fault_set(why, FAULT_INPUT, "--domain and --selector are needed");
    return dkim_names_check(slice_str(options->domain), slice_str(options->selector), why);
}

static bool write_secret(const char *path, struct slice pem, struct fault *why)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return fault_errno(why, "%s", path);
    bool is_written = write(file, pem.ptr, pem.len) == (ssize_t)pem.len && fsync(file) == 0;
    if (!is_written) {
        fault_errno(why, "%s", path);
        unlink(path); /* ours: half a key is none */
    }
    close(file);
    return is_written && file_folder_sync(path, why);
}

static void print_key(const struct options *options, struct slice pem, struct slice record)
{
    SCOPED(buf) out = BUF(1 << 16);
    struct slice domain = slice_str(options->domain), selector = slice_str(options->selector);
    if (options->is_json) {
        struct json json = {&out};
        SCOPED(buf) name = BUF(1024);
        buf_printf(&name, "%s._domainkey.%s", options->selector, options->domain);
        json_object_begin(&json);
        json_put_string(&json, "name", buf_slice(&name));
        json_put_string(&json, "record", record);
        if (!options->out)
            json_put_string(&json, "private_key", pem);
        json_end(&json);
        buf_byte(&out, '\n');
    } else {
        if (!options->out)
            buf_append(&out, pem);
        dkim_record_zone(&out, selector, domain, record);
    }
    fwrite(out.ptr, 1, out.len, stdout);
}

static bool keygen(const struct options *options, struct fault *why)
{
    enum dkim_algorithm algorithm;
    SCOPED(buf) pem = BUF(1 << 16);
    SCOPED(buf) record = BUF(1 << 14);
    if (!algorithm_named(options->algorithm, &algorithm, why) || !names_are_good(options, why))
        return false;
    struct dkim_key *key = dkim_key_generate(algorithm);
    dkim_key_write(key, &pem);
    dkim_key_record(key, &record);
    bool is_done = !options->out || write_secret(options->out, buf_slice(&pem), why);
    dkim_key_free(key);
    if (is_done)
        print_key(options, buf_slice(&pem), buf_slice(&record));
    return is_done;
}

/* CRLF for every line end: what goes on the wire is what is signed. */
static void to_wire(struct buf *wire, struct slice mail)
{
    for (size_t i = 0; i < mail.len; i++) {
        if (mail.ptr[i] == '\n' && (i == 0 || mail.ptr[i - 1] != '\r'))
            buf_byte(wire, '\r');
        buf_byte(wire, mail.ptr[i]);
    }
}

static bool sign_with(const struct options *options, const struct dkim_key *key, const char *path, struct fault *why)
{
    enum { MAIL_MAX = 256 << 20 };
    SCOPED(buf) mail = {0};
    SCOPED(buf) wire = BUF(2 * (size_t)MAIL_MAX);
    SCOPED(buf) fields = BUF(1 << 16);
    struct dkim_signer *signer;
    const struct dkim_identity identity = {slice_str(options->domain), slice_str(options->selector), key};
    int64_t now = time(NULL);
    if (options->now && !slice_to_i64(slice_str(options->now), &now))
        return fault_set(why, FAULT_INPUT, "--now %s: Unix seconds", options->now);
    if (!file_read(path, MAIL_MAX, &mail, why) || !dkim_signer_new(&identity, 1, &signer, why))
        return false;
    to_wire(&wire, buf_slice(&mail));
    bool is_signed = dkim_sign(signer, buf_slice(&wire), now, &fields, why);
    dkim_signer_free(signer);
    if (!is_signed)
        return false;
    fwrite(fields.ptr, 1, fields.len, stdout);
    fwrite(wire.ptr, 1, wire.len, stdout);
    return true;
}

static bool sign(const struct options *options, const struct arguments *arguments, struct fault *why)
{
    SCOPED(buf) pem = {0};
    struct dkim_key *key;
    const char *path = arguments->word_count > 1 ? arguments->words[1] : "-";
    if (!options->key)
        return fault_set(why, FAULT_INPUT, "--key is needed");
    if (!file_read(options->key, 1 << 16, &pem, why))
        return false;
    if (!dkim_key_read(buf_slice(&pem), &key, why))
        return fault_prefix(why, "%s: ", options->key);
    bool is_done =
        names_are_good(options, why) && sign_with(options, key, strcmp(path, "-") == 0 ? "/dev/stdin" : path, why);
    dkim_key_free(key);
    return is_done;
}

int cmd_dkim(int argc, char **argv)
{
    struct options options = {0};
    struct arguments arguments;
    struct fault why = {0};
    const struct argument table[] = {
        {"--domain", &options.domain, NULL},
        {"--selector", &options.selector, NULL},
        {"--algorithm", &options.algorithm, NULL},
        {"--out", &options.out, NULL},
        {"--key", &options.key, NULL},
        {"--now", &options.now, NULL},
        {"--store", &options.store, NULL},
        {"--key-file", &options.key_file, NULL},
        {"--dns", &options.dns, NULL},
        {"--json", NULL, &options.is_json},
        {NULL, NULL, NULL},
    };
    if (!arguments_read(argc, argv, table, &arguments, &why))
        return command_fail("dkim", &why);
    struct slice name = slice_str(arguments.word_count ? arguments.words[0] : "");
    bool is_keygen = slice_equal(name, SLICE("keygen")), is_sign = slice_equal(name, SLICE("sign"));
    bool is_rotate = slice_equal(name, SLICE("rotate")) && arguments.word_count == 2;
    bool is_list = slice_equal(name, SLICE("list")) && arguments.word_count <= 2;
    if (arguments.wants_help || (!is_keygen && !is_sign && !is_rotate && !is_list))
        return usage_tell("dkim", usage, &arguments);
    if (is_rotate || is_list) {
        const struct dkim_rotate_options how = {.store = options.store,
                                                .key_file = options.key_file,
                                                .dns = options.dns,
                                                .domain = options.domain,
                                                .selector = options.selector,
                                                .brand = arguments.word_count == 2 ? arguments.words[1] : NULL,
                                                .is_json = options.is_json};
        int status = is_rotate ? dkim_rotate(&how, &why) : dkim_list(&how, &why) ? 0 : -1;
        return status < 0 ? command_fail("dkim", &why) : status;
    }
    bool is_done = is_keygen ? keygen(&options, &why) : sign(&options, &arguments, &why);
    return is_done ? 0 : command_fail("dkim", &why);
}
