/* main.c - find the command and run it */
#include "app/arguments.h"
#include "app/command.h"
#include "app/inert.h"
#include "app/libraries.h"

#include <malloc.h>
#include <stdio.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
#define COMMAND(name, function, summary) {#name, function, summary},
#include "app/commands.def"
#undef COMMAND
    {NULL, NULL, NULL},
};

/* They tell people what strangers said (app/inert.h); bounce, event and mime do it line by line. */
static const char *const telling[] = {"alarm", "explain", "guard", "queue"};

int command_fail(const char *command, const struct fault *why)
{
    fprintf(stderr, "todoke %s: %s\n", command, why->text);
    return fault_exit_status(why);
}

static int help(FILE *to, int status)
{
    fputs(
        "todoke - send mail, read every error that comes back, say what to do\n\nusage: todoke COMMAND [ARGUMENTS]     "
        "(todoke COMMAND --help explains each)\n\n",
        to);
    for (size_t i = 0; commands[i].name; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return help(stderr, 2);
    /* mails come and go by the thousand: memory that is handed back to the kernel each time costs more than it saves */
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    libraries_use_our_memory();
    struct slice word = slice_str(argv[1]);
    if (slice_equal(word, SLICE("help")) || slice_equal(word, SLICE("--help")) || slice_equal(word, SLICE("-h")))
        return help(stdout, 0);
    if (slice_equal(word, SLICE("--version"))) {
        puts("todoke " TODOKE_VERSION);
        return 0;
    }
    if (!slice_equal(word, SLICE("serve"))) /* it reads its settings itself, all of them, in its own time */
        arguments_from_settings();
    for (size_t i = 0; i < COUNT_OF(telling); i++)
        if (slice_equal(word, slice_str(telling[i])))
            inert_stdout();
    for (size_t i = 0; commands[i].name; i++)
        if (slice_equal(word, slice_str(commands[i].name)))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "todoke: there is no command \"%s\"; `todoke help` lists them\n", argv[1]);
    return 2;
}
