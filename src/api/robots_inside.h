/* robots_inside.h - the rows from the inside, for robots.c and robots_file.c only */
#ifndef TODOKE_API_ROBOTS_INSIDE_H
#define TODOKE_API_ROBOTS_INSIDE_H

#include "api/robots.h"

enum {
    ROBOT_FILES_MOST = 200,
    ROBOT_NETWORKS_MOST = 100000,
    ROBOT_STATES_MOST = 60000, /* octets of all parts together */
    ROBOT_PART_MOST = 200,
    ROBOT_AGENT_MOST = 512, /* looked at, of what a request says */
};

struct robot_agent {
    struct slice text; /* lower-case */
    bool is_whole;
    enum event_origin who;
    unsigned line;
};
struct robot_network {
    struct ip prefix;
    unsigned bits;
    enum event_origin who;
};
struct robot_example {
    struct slice agent;
    struct ip ip; /* family 0: none */
    enum event_origin who;
    unsigned line;
};
struct robot_file {
    const char *path;
    struct slice name;
    struct robot_agent *agents;
    struct robot_network *networks;
    struct robot_example *examples;
    size_t agent_count, network_count, example_count;
};

/* Networks of one length: sorted by their octets. */
struct robot_table {
    uint8_t family;
    unsigned bits;
    struct robot_network *networks;
    size_t count;
};

struct robots {
    struct arena arena;
    struct robot_file files[ROBOT_FILES_MOST];
    size_t file_count;
    /* all parts as one machine (Aho and Corasick 1975), every move already made: next[state * classes + class] */
    uint8_t class_of[256];
    unsigned classes, states;
    uint16_t *next;
    const struct robot_agent **ends; /* by state: the longest part that ends here */
    const struct robot_agent **wholes;
    size_t whole_count;
    struct robot_table *tables; /* longest first */
    size_t table_count;
};

#endif
