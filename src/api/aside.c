#include "api/aside.h"

struct aside {
    struct api *api;  /* the api's own thread's */
    struct api *here; /* this thread's */
    struct loop *loop;
    struct mailbox mailbox;
    pthread_t thread;
};

/* One request on its way there and back. */
struct errand {
    struct mail_item item;
    struct http_later later;
    struct aside *aside;
    api_handler *handler;
    struct http_request copy;
    struct http_aside answer;
    struct caller caller; /* as it was when it was admitted */
    aside_then *then;     /* NULL: it was answered there */
    struct slice text;
};
#define ERRAND_OF(ptr, member) ((struct errand *)(void *)((char *)(ptr)-offsetof(struct errand, member)))

bool may_read_aside(api_handler *handler)
{
    static api_handler *const readers[] = {
        api_contact_list, api_error_list, api_delivery_list, api_message_list, api_suppression_list, api_queue_show,
        api_queue_audit,  api_event_list, api_list_list,     api_content_list, api_explain_queue,
    };
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        if (readers[i] == handler)
            return true;
    return false;
}

/* ── there ── */

static void errands_came(struct mailbox *mailbox, struct mail_item *batch)
{
    struct aside *aside = mailbox->owner;
    for (struct mail_item *item = batch, *next; item; item = next) {
        next = item->next;
        struct errand *errand = ERRAND_OF(item, item);
        errand->handler(aside->here, &errand->copy);
        http_resume(&errand->later);
    }
}

static void *aside_main(void *context)
{
    loop_run(((struct aside *)context)->loop);
    return NULL;
}

/* ── here ── */

static void errand_back(struct http_later *later, struct http_request *request)
{
    struct errand *errand = ERRAND_OF(later, later);
    errand->aside->api->writes--;
    if (request && errand->then) {
        request->user = &errand->caller;
        errand->then(errand->aside->api, request, errand->text);
    } else if (request) {
        http_respond_as(request, &errand->answer);
    }
    http_aside_release(&errand->answer);
    arena_release(&errand->copy.arena);
    free(errand);
}

void aside_go_on(struct http_request *copy, aside_then *then, struct slice text)
{
    struct errand *errand = ERRAND_OF(copy, copy);
    errand->then = then;
    errand->text = arena_copy(&copy->arena, text);
}

void aside_handle(struct aside *aside, struct http_request *request, api_handler *handler)
{
    struct errand *errand = NEW(struct errand);
    errand->aside = aside;
    errand->handler = handler;
    errand->caller = *api_caller(request);
    http_request_copy(request, &errand->copy, &errand->answer);
    errand->copy.user = &errand->caller;
    aside->api->writes++;
    http_suspend(request, &errand->later, errand_back);
    mailbox_post(&aside->mailbox, &errand->item);
}

struct aside *aside_start(struct api *api, struct fault *why)
{
    struct aside *aside = NEW(struct aside);
    aside->api = api;
    aside->here = NEW(struct api);
    aside->here->options = api->options;
    aside->here->db = store_reader_open(api->options.store, why);
    aside->loop = loop_new(api->options.world);
    aside->here->loop = aside->loop;
    mailbox_init(&aside->mailbox, aside->loop, errands_came, aside);
    if (aside->here->db && pthread_create(&aside->thread, NULL, aside_main, aside) == 0)
        return aside;
    if (aside->here->db)
        fault_set(why, FAULT_WORLD, "no thread for reading");
    db_free(aside->here->db);
    mailbox_release(&aside->mailbox);
    loop_free(aside->loop);
    free(aside->here);
    free(aside);
    return NULL;
}

void aside_stop(struct aside *aside)
{
    if (!aside)
        return;
    loop_stop(aside->loop);
    pthread_join(aside->thread, NULL);
    mailbox_release(&aside->mailbox);
    loop_free(aside->loop);
    senders_release(&aside->here->senders);
    db_free(aside->here->db);
    free(aside->here);
    free(aside);
}
