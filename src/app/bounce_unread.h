/* bounce_unread.h - `todoke bounce unread`: what no rule could read, the most frequent first */
#ifndef TODOKE_APP_BOUNCE_UNREAD_H
#define TODOKE_APP_BOUNCE_UNREAD_H

/* argv[0] is "unread"; the exit status. */
int bounce_unread(int argc, char **argv);

#endif
