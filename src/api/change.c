#include "api/change.h"
#include "api/visitor.h"

#include <stdio.h>

#define CHANGE_OF(ptr, member) ((struct change *)(void *)((char *)(ptr)-offsetof(struct change, member)))

void change_free(struct change *change)
{
    buf_release(&change->answer);
    json_decref(change->free_json);
    arena_release(&change->arena);
    arena_release(&change->work);
    free(change);
}

bool key_who(struct db *db, uint64_t key_id, struct arena *arena, struct slice *who, struct fault *why)
{
    struct key key;
    bool found;
    if (!key_by_id(db, why, key_id, arena, &key, &found))
        return false;
    *who = found ? arena_printf(arena, "key %.*s", SLICE_ARG(key.name)) : SLICE("a key");
    return true;
}

bool change_refuse(struct change *change, int status, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(change->problem, sizeof(change->problem), format, args);
    va_end(args);
    snprintf(change->field, sizeof(change->field), "%s", field);
    change->status = status;
    return false;
}

static bool change_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct change *change = CHANGE_OF(job, job);
    arena_reset(&change->work);
    buf_reset(&change->answer);
    change->status = 200;
    change->news_count = 0;
    if (!repeat_find(&change->repeat, db, change->now, &change->repeated, &change->status, &change->answer, why))
        return false;
    if (change->repeated != REPEAT_NEW)
        return true;
    change->json = (struct json){&change->answer};
    if (change->run(change, db, why))
        return repeat_keep(&change->repeat, db, change->now, change->status, buf_slice(&change->answer), why);
    if (change->status >= 400) /* nothing of it is written */
        fault_set(why, FAULT_INPUT, "refused");
    return false;
}

static void change_done(struct write_job *job, const struct fault *why)
{
    struct change *change = CHANGE_OF(job, job);
    const struct api_options *options = &change->api->options;
    if (why)
        change->why = *why;
    else if (change->changes_holds && options->holds_changed)
        options->holds_changed(options->owner);
    if (!why && change->news_count && options->submitted)
        options->submitted(options->owner, change->news, change->news_count);
    http_resume(&change->later);
}

static void change_resumed(struct http_later *later, struct http_request *request)
{
    struct change *change = CHANGE_OF(later, later);
    struct api *api = change->api;
    api->writes--;
    if (change->forget_key) {
        caller_forget(&api->callers, change->forget_key);
        visitors_look(api);
    }
    if (!request) { /* the client has gone */
    } else if (change->why.kind == FAULT_INPUT && change->status >= 400) {
        answer_problem(request, change->status, change->field, "%s", change->problem);
    } else if (change->why.kind != FAULT_NONE) {
        answer_fault(request, &change->why, 400);
    } else if (change->repeated == REPEAT_OTHER) {
        answer_problem(request, 409, "Idempotency-Key",
                       "this Idempotency-Key was used for another request; take a new one");
    } else if (change->status == 204) {
        answer_nothing(request);
    } else {
        if (change->repeated == REPEAT_KNOWN)
            http_set(request, "Idempotent-Replayed", SLICE("true"));
        http_respond(request, change->status, "application/json", buf_slice(&change->answer));
    }
    change_free(change);
    api_changed(api);
}

struct change *change_make(struct api *api, struct http_request *request, size_t data_size,
                           bool (*run)(struct change *change, struct db *db, struct fault *why))
{
    struct change *change = NEW(struct change);
    const struct caller *caller = api_caller(request);
    change->job = (struct write_job){.run = change_run, .done = change_done, .rows = 4, .fails_fast = true};
    change->api = api;
    change->rights = caller->key.rights;
    change->key_id = caller->key.id;
    change->now = api_now(api);
    change->run = run;
    change->data = arena_zero(&change->arena, data_size);
    buf_init(&change->answer, ANSWER_MAX);
    return change;
}

void change_begin(struct change *change, struct http_request *request)
{
    if (!repeat_read(request, change->key_id, &change->arena, &change->repeat)) {
        change_free(change);
        return;
    }
    if (change->has_secret && change->repeat.token.len) {
        change_free(change);
        answer_problem(request, 400, "Idempotency-Key",
                       "this answer holds a secret and is not kept, so it cannot be "
                       "given again; leave the Idempotency-Key out");
        return;
    }
    change->api->writes++;
    http_suspend(request, &change->later, change_resumed);
    store_write(change->api->options.store, &change->job);
}
