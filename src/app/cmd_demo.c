/* cmd_demo.c - `todoke demo`: the whole story on one machine, with simulated receivers, and nothing leaves it
 *
 * With --once it ends there: prints the report, holds what Todoke understood against what the receivers really did, and
 * exits 0 when everything agrees. */
#include "app/arguments.h"
#include "app/command.h"
#include "app/demo.h"
#include "app/usage.h"

#include "base/log.h"
#include "receive/record.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke demo [--once] [--lang ja|en] [--dir DIR] [--store URL] [--http ADDRESS:PORT] [--mail-in "
    "ADDRESS:PORT]\n"
    "\n"
    "Simulated receivers on 127.25.x.y, their DNS, 10,000 invented contacts: sends a campaign over real SMTP, reads "
    "what comes back,\n"
    "excludes the dead addresses, and sends a second campaign that leaves them out. Nothing can leave this machine.\n"
    "  --once        tell the story, check it against what the receivers did, exit (0: everything agrees)\n"
    "  --dir DIR     where its files go; default: a new directory in the temporary directory, removed at the end\n"
    "  --store URL   instead of SQLite in DIR: postgres://... (an empty database)\n"
    "  --http A:P    console and API; default 127.0.0.1:8025; port 0: any\n"
    "  --mail-in A:P where error mail comes back; default 127.25.0.1:2525\n";

void demo_tell(const struct demo *demo, const char *ja, const char *en, ...)
{
    va_list args;
    va_start(args, en);
    if (demo->lang == LANG_JA)
        vprintf(ja, args);
    else
        vprintf(en, args);
    va_end(args);
    fflush(stdout);
}

bool demo_is_stopped(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

static void print_welcome(struct demo *demo)
{
    char at[ENDPOINT_TEXT_ROOM];
    struct endpoint http = service_http(demo->service);
    demo_tell(demo, "Todoke 届け — この機械の中だけで動く見本です。何も外へは出ません。\n画面: http://%s/#token=%.*s\n",
              "Todoke 届け - a playground on this machine only; nothing leaves it.\nConsole: http://%s/#token=%.*s\n",
              endpoint_text(&http, at), (int)demo->secret.len, demo->secret.ptr);
}

static bool run(struct demo *demo, bool *all_is_well, struct fault *why)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    log_setup(LOG_WARN, false);
    if (!demo_start(demo, why))
        return false;
    print_welcome(demo);
    if (!demo_story(demo, all_is_well, why))
        return false;
    if (!demo->is_once && !demo_is_stopped()) {
        demo_tell(demo, "\n画面で続きを見られます。終えるには Ctrl-C を押してください。\n",
                  "\nThe console goes on. Ctrl-C ends it.\n");
        int signal_number;
        sigwait(&stop, &signal_number);
    }
    return true;
}

int cmd_demo(int argc, char **argv)
{
    static struct demo demo = {.dkim_record = BUF(4096), .secret = BUF(256)};
    const struct argument table[] = {
        {"--once", NULL, &demo.is_once},
        {"--lang", &demo.lang_given, NULL},
        {"--dir", &demo.dir, NULL},
        {"--store", &demo.store_url, NULL},
        {"--http", &demo.http, NULL},
        {"--mail-in", &demo.mail_in, NULL},
        {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why) || !arguments_lang(demo.lang_given, &demo.lang, &why))
        return command_fail("demo", &why);
    if (words.wants_help || words.word_count)
        return usage_tell("demo", usage, &words);
    demo.is_tty = isatty(STDOUT_FILENO);
    demo.jail = jail_start(&record_work, 0, &why);
    bool all_is_well = true, ok = demo.jail && jail_no_exec(&why) && run(&demo, &all_is_well, &why);
    bool was_stopped = !demo.is_once && demo_is_stopped(); /* Ctrl-C is how it ends */
    demo_end(&demo);
    if (!ok)
        return command_fail("demo", &why);
    return all_is_well || was_stopped ? 0 : 1;
}
