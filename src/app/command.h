/* command.h - the commands of `todoke`, one cmd_*.c each, listed in commands.def
 *
 * A command gets its own name as argv[0] and gives the exit status of CLI.md: 0 done, 1 done and the answer is no, 2
 * wrong usage or bad input, 3 the world failed. --help of each prints its page and gives 0. */
#ifndef TODOKE_APP_COMMAND_H
#define TODOKE_APP_COMMAND_H

#include "base/fault.h"

#define COMMAND(name, function, summary) int function(int argc, char **argv);
#include "app/commands.def"
#undef COMMAND

/* Print "todoke <command>: <why>" as one line on stderr and give its exit status. */
int command_fail(const char *command, const struct fault *why);

#endif
