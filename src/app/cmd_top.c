/* cmd_top.c - `todoke top`: what goes on now, on one screen
 *
 *     sample --a second--> sample --the difference--> a frame --> ...        q, SIGINT, SIGTERM: the terminal as it was
 *
 * From the store alone: the counters, and the board (deliver/board.h) on which every node writes while somebody
 * asks. */
#include "app/arguments.h"
#include "app/command.h"
#include "app/explain_site.h"
#include "app/usage.h"

#include "alarm/alarm.h"
#include "base/utf8.h"
#include "event/reader.h"
#include "report/report.h"
#include "report/site_story.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke top [--once] [--json] [--lang ja|en] [--store URL]\n"
    "\n"
    "What goes on now, refreshed each second: mails accepted, delivered, deferred and refused a second, what is owed "
    "by "
    "state, the busiest\n"
    "sites with their pace and what binds there (`todoke explain site` tells more), and alarms. q ends it. All nodes "
    "of "
    "the store together.\n"
    "  --once        one frame, without control characters; so too when the output is no terminal\n"
    "  --json        one frame, as JSON\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

enum {
    SECOND_MS = 1000,
    WISH_EVERY = 5 /* frames */,
    COLUMNS = 80,
    COLUMNS_UNCUT = 1000,
    LINES = 24,
    LINES_MOST = 200,
    ALARMS_SHOWN = 5
};
#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

struct sample {
    struct arena arena;
    time_ms at; /* monotonic */
    struct board board;
    struct report_totals totals;
    struct alarm_row *alarms;
    size_t alarm_count;
    uint64_t lag;
};

struct rates {
    double accepted, delivered, deferred, refused;
};

static bool sample_take(struct desk *desk, bool asks, struct sample *sample, struct fault *why)
{
    arena_reset(&sample->arena);
    struct desk here = *desk; /* what is read lives in the sample's arena */
    here.arena = sample->arena;
    bool ok = asks ? desk_board_glance(&here, &sample->board, why)
                   : board_read(desk->reader, why, world_wall(&desk->world), &here.arena, &sample->board);
    sample->arena = here.arena;
    sample->at = world_monotonic(&desk->world);
    return ok && report_totals(desk->reader, why, 0, &sample->totals) &&
           event_reader_lag(desk->reader, why, REPORT_READER, &sample->lag) &&
           alarm_list(desk->reader, why, true, world_wall(&desk->world), ALARMS_SHOWN, &sample->arena, &sample->alarms,
                      &sample->alarm_count);
}

/* Of a node that is in both: what it did between its two answers. */
static void node_rates(const struct board_node *before, const struct board_node *now, struct rates *rates)
{
    double seconds = (double)(now->at - before->at) / 1000;
    if (seconds <= 0 || now->figures.delivered < before->figures.delivered) /* it began anew */
        return;
    rates->delivered += (double)(now->figures.delivered - before->figures.delivered) / seconds;
    rates->deferred += (double)(now->figures.deferred - before->figures.deferred) / seconds;
    rates->refused += (double)(now->figures.refused - before->figures.refused) / seconds;
}

static struct rates rates_of(const struct sample *before, const struct sample *now)
{
    struct rates rates = {0};
    double seconds = (double)(now->at - before->at) / 1000;
    if (seconds > 0 && now->totals.accepted > before->totals.accepted)
        rates.accepted = (double)(now->totals.accepted - before->totals.accepted) / seconds;
    for (size_t i = 0; i < now->board.node_count; i++)
        for (size_t j = 0; j < before->board.node_count; j++)
            if (before->board.nodes[j].node == now->board.nodes[i].node)
                node_rates(&before->board.nodes[j], &now->board.nodes[i], &rates);
    return rates;
}

static struct board_figures figures_of(const struct board *board)
{
    struct board_figures sum = {0};
    for (size_t i = 0; i < board->node_count; i++) {
        sum.open_connections += board->nodes[i].figures.open_connections;
        sum.claimed += board->nodes[i].figures.claimed;
    }
    return sum;
}

/* ── a frame: lines, each cut to the screen ── */

struct frame {
    struct arena *arena;
    struct slice lines[LINES_MOST];
    size_t count, most, columns;
};

/* What strangers say stands in it: no control character reaches the terminal. */
static void frame_line(struct frame *frame, struct slice text)
{
    SCOPED(buf) clean = BUF(4096);
    if (frame->count >= frame->most)
        return;
    for (size_t i = 0; i < text.len; i++)
        buf_byte(&clean, (unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? ' ' : text.ptr[i]);
    struct slice shown = buf_slice(&clean);
    while (utf8_columns(shown) > frame->columns)
        shown = utf8_head(shown, shown.len - 1);
    frame->lines[frame->count++] = arena_copy(frame->arena, shown);
}

/* The text in so many columns, to its right a space. */
static void cell(struct buf *line, struct slice text, size_t columns)
{
    while (utf8_columns(text) > columns)
        text = utf8_head(text, text.len - 1);
    buf_append(line, text);
    for (size_t i = utf8_columns(text); i <= columns; i++)
        buf_byte(line, ' ');
}

static void rate_cell(struct buf *line, double rate)
{
    if (rate <= 0)
        buf_printf(line, "%9s ", "-");
    else if (rate < 0.5)
        buf_printf(line, "%5.1f/min ", rate * 60);
    else
        buf_printf(line, rate >= 100 ? "%7.0f/s " : "%7.1f/s ", rate);
}

static double rate_allowed(const struct busy_site *site)
{
    double sum = 0;
    for (size_t i = 0; i < site->way_count; i++) {
        if (site->ways[i]->rate_allowed <= 0 && site->ways[i]->is_usable)
            return 0;
        sum += site->ways[i]->rate_allowed;
    }
    return sum;
}

static void site_line(struct frame *frame, const struct busy_site *site, time_ms now, enum lang lang)
{
    SCOPED(buf) line = BUF(8192);
    int64_t allowed = 0;
    for (size_t i = 0; i < site->way_count; i++)
        allowed += site->ways[i]->connections_allowed;
    cell(&line, site->best->label.len ? site->best->label : site->best->site, 20);
    rate_cell(&line, site->rate);
    rate_cell(&line, rate_allowed(site));
    buf_printf(&line, "%3lld/%-3lld %6lld  ", (long long)site->connections, (long long)allowed,
               (long long)site->in_memory);
    buf_append(&line, way_binding_text(site->best, now, lang, frame->arena));
    frame_line(frame, buf_slice(&line));
}

static void sites_lines(struct frame *frame, const struct sample *sample, time_ms now, enum lang lang)
{
    struct busy_site *sites;
    size_t count;
    sites_busy(&sample->board, frame->arena, &sites, &count);
    frame_line(frame, SLICE(""));
    frame_line(frame, slice_str(SAY(lang, "受信先                  いまの速度  上限    接続  メモリ  いまの制限",
                                    "SITE                   RATE NOW   ALLOWED   CONN  MEMORY  BINDS")));
    for (size_t i = 0; i < count; i++)
        site_line(frame, &sites[i], now, lang);
    if (!count)
        frame_line(frame, slice_str(SAY(lang, "送信中の受信先はありません", "no site is busy")));
}

static void alarms_lines(struct frame *frame, const struct sample *sample, enum lang lang)
{
    for (size_t i = 0; i < sample->alarm_count; i++) {
        const struct alarm_row *row = &sample->alarms[i];
        struct alarm_words words =
            lang == LANG_JA ? alarm_words_ja(row, frame->arena) : alarm_words_en(row, frame->arena);
        frame_line(frame, arena_printf(frame->arena, "! %.*s", SLICE_ARG(words.title)));
    }
}

static void frame_make(struct frame *frame, const struct sample *sample, const struct rates *rates, time_ms now,
                       enum lang lang)
{
    struct board_figures figures = figures_of(&sample->board);
    const int64_t *states = sample->totals.states;
    SCOPED(buf) time = BUF(64);
    time_rfc3339(&time, now);
    struct slice nodes = sample->board.node_count ? arena_printf(frame->arena, SAY(lang, "ノード %zu", "nodes %zu"),
                                                                 sample->board.node_count)
                                                  : slice_str(SAY(lang, "サーバは動いていません", "no server runs"));
    frame_line(frame, arena_printf(frame->arena,
                                   SAY(lang, "Todoke  %.*s UTC  %.*s  接続 %lld  メモリ内 %lld",
                                       "Todoke  %.*s UTC  %.*s  connections %lld  in memory %lld"),
                                   SLICE_ARG(slice_head(buf_slice(&time), 19)), SLICE_ARG(nodes),
                                   (long long)figures.open_connections, (long long)figures.claimed));
    frame_line(frame, arena_printf(frame->arena,
                                   SAY(lang, "毎秒: 受付 %.1f  配信 %.1f  保留へ %.1f  エラー %.1f",
                                       "a second: accepted %.1f  delivered %.1f  deferred %.1f  refused %.1f"),
                                   rates->accepted, rates->delivered, rates->deferred, rates->refused));
    frame_line(frame,
               arena_printf(frame->arena,
                            SAY(lang, "未完了: 待機中 %lld  保留(再送待ち) %lld  停止中 %lld  届いたか確認中 %lld",
                                "owed: waiting %lld  deferred %lld  held %lld  in doubt %lld"),
                            (long long)states[DELIVERY_WAITING], (long long)states[DELIVERY_DEFERRED],
                            (long long)states[DELIVERY_HELD], (long long)states[DELIVERY_IN_DOUBT]));
    frame_line(frame,
               arena_printf(frame->arena,
                            SAY(lang, "完了: 配信済み %lld  エラー %lld  期限切れ %lld  (集計の遅れ %llu 件)",
                                "ended: delivered %lld  bounced %lld  expired %lld  (counters %llu events behind)"),
                            (long long)states[DELIVERY_DELIVERED], (long long)states[DELIVERY_BOUNCED],
                            (long long)states[DELIVERY_EXPIRED], (unsigned long long)sample->lag));
    alarms_lines(frame, sample, lang);
    sites_lines(frame, sample, now, lang);
}

static void print_json(struct desk *desk, const struct sample *sample, const struct rates *rates)
{
    SCOPED(buf) out = BUF(8 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_time(&json, "at", world_wall(&desk->world));
    json_put_int(&json, "nodes", (int64_t)sample->board.node_count);
    json_put_object(&json, "a_second");
    json_put_double(&json, "accepted", rates->accepted);
    json_put_double(&json, "delivered", rates->delivered);
    json_put_double(&json, "deferred", rates->deferred);
    json_put_double(&json, "refused", rates->refused);
    json_end(&json);
    json_put_object(&json, "states");
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
        json_key_slice(&json, delivery_word((enum delivery_state)state));
        json_int(&json, sample->totals.states[state]);
    }
    json_end(&json);
    json_put_int(&json, "lag", (int64_t)sample->lag);
    json_put_int(&json, "alarms", (int64_t)sample->alarm_count);
    json_put_object(&json, "sites");
    sites_json(&json, &sample->board, world_wall(&desk->world), &desk->arena);
    json_end(&json);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

/* ── the terminal ── */

struct screen {
    struct termios before;
    int signals; /* a descriptor */
};

/* Those that end it; blocked before any thread begins, so that they come by a descriptor and the terminal is left in
 * order. */
static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

static bool screen_open(struct screen *screen, struct fault *why)
{
    struct termios raw;
    const sigset_t set = ending_signals();
    if (tcgetattr(STDIN_FILENO, &screen->before) != 0)
        return fault_set(why, FAULT_WORLD, "the input is no terminal: use --once");
    raw = screen->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    screen->signals = signalfd(-1, &set, SFD_CLOEXEC);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\x1b[?1049h\x1b[?25l", stdout); /* the other screen, no cursor */
    return true;
}

static void screen_close(struct screen *screen)
{
    fputs("\x1b[?25h\x1b[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
    close(screen->signals);
}

static void screen_show(const struct frame *frame)
{
    fputs("\x1b[H", stdout);
    for (size_t i = 0; i < frame->count; i++)
        printf("%s%.*s\x1b[K", i ? "\n" : "", SLICE_ARG(frame->lines[i]));
    fputs("\x1b[J", stdout);
    fflush(stdout);
}

/* False: it is to end. */
static bool screen_wait(struct screen *screen, int wait_ms)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = screen->signals, .events = POLLIN}};
    char key = 0;
    if (poll(fds, COUNT_OF(fds), wait_ms) <= 0)
        return true;
    if (fds[1].revents)
        return false;
    if (read(STDIN_FILENO, &key, 1) != 1)
        return false;
    return key != 'q' && key != 'Q';
}

static void screen_size(struct frame *frame)
{
    struct winsize size = {0};
    frame->columns = COLUMNS;
    frame->most = LINES;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
        frame->columns = size.ws_col;
        frame->most = size.ws_row < LINES_MOST ? size.ws_row : LINES_MOST;
    }
}

static bool live(struct desk *desk, enum lang lang, struct fault *why)
{
    struct sample samples[2] = {{{0}}, {{0}}};
    struct screen screen;
    bool ok = sample_take(desk, true, &samples[0], why) && screen_open(&screen, why);
    if (!ok)
        return false;
    for (unsigned n = 1; ok && screen_wait(&screen, SECOND_MS); n++) {
        struct sample *before = &samples[(n - 1) % 2], *now = &samples[n % 2];
        struct frame frame = {.arena = &desk->arena};
        ok = sample_take(desk, n % WISH_EVERY == 0, now, why);
        if (!ok)
            break;
        struct rates rates = rates_of(before, now);
        screen_size(&frame);
        frame_make(&frame, now, &rates, world_wall(&desk->world), lang);
        screen_show(&frame);
        arena_reset(&desk->arena);
    }
    screen_close(&screen);
    arena_release(&samples[0].arena);
    arena_release(&samples[1].arena);
    return ok;
}

static bool once(struct desk *desk, enum lang lang, bool is_json, struct fault *why)
{
    struct sample samples[2] = {{{0}}, {{0}}};
    struct frame frame = {.arena = &desk->arena, .columns = COLUMNS_UNCUT, .most = LINES_MOST}; /* for scripts: whole */
    if (isatty(STDOUT_FILENO)) {
        screen_size(&frame);
        frame.most = LINES_MOST;
    }
    bool ok = sample_take(desk, true, &samples[0], why);
    if (ok) {
        world_pause(&desk->world, SECOND_MS);
        ok = sample_take(desk, true, &samples[1], why);
    }
    struct rates rates = rates_of(&samples[0], &samples[1]);
    if (ok && is_json) {
        print_json(desk, &samples[1], &rates);
    } else if (ok) {
        frame_make(&frame, &samples[1], &rates, world_wall(&desk->world), lang);
        for (size_t i = 0; i < frame.count; i++)
            printf("%.*s\n", SLICE_ARG(frame.lines[i]));
    }
    arena_release(&samples[0].arena);
    arena_release(&samples[1].arena);
    return ok;
}

int cmd_top(int argc, char **argv)
{
    const char *store = NULL, *lang_name = NULL;
    bool is_once = false, is_json = false;
    enum lang lang;
    struct arguments words;
    const struct argument table[] = {{"--store", &store, NULL},
                                     {"--lang", &lang_name, NULL},
                                     {"--once", NULL, &is_once},
                                     {"--json", NULL, &is_json},
                                     {NULL, NULL, NULL}};
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why) || !arguments_lang(lang_name, &lang, &why))
        return command_fail("top", &why);
    if (words.wants_help || words.word_count)
        return usage_tell("top", usage, &words);
    bool is_live = !is_once && !is_json && isatty(STDOUT_FILENO);
    const sigset_t ending = ending_signals();
    if (is_live)
        sigprocmask(SIG_BLOCK, &ending, NULL);
    SCOPED(desk) desk = {0};
    bool ok = desk_look(&desk, store, &why);
    if (ok)
        ok = is_live ? live(&desk, lang, &why) : once(&desk, lang, is_json, &why);
    return ok ? 0 : command_fail("top", &why);
}
