/* report_kept.h - `todoke report list` and `report sources`: the reports that came in (receive/kept_report.h) */
#ifndef TODOKE_APP_REPORT_KEPT_H
#define TODOKE_APP_REPORT_KEPT_H

struct report_kept_arguments {
    const char *store, *kind, *domain, *limit, *days;
    int is_json;
    int wants_sources;
};
/* The exit status. */
int report_kept(const struct report_kept_arguments *given);

#endif
