/* follow.h - programs that follow the events live (private to api/) */
#ifndef TODOKE_API_FOLLOW_H
#define TODOKE_API_FOLLOW_H

struct api;
void followers_changed(struct api *api); /* something happened */
void followers_look(struct api *api);    /* may they still? */
void followers_end(struct api *api);

#endif
