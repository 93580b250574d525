/* thread.h - what a thread asks of the kernel's scheduler */
#ifndef TODOKE_BASE_THREAD_H
#define TODOKE_BASE_THREAD_H

/* The calling thread works for moments and is waited for (a commit, a conversation): it takes short turns, and in
 * return need not wait until a thread that computes (a signature) has had its whole turn. Its share of the processor
 * stays what it was. Linux 6.12 and later; without effect before. */
void thread_takes_short_turns(void);

#endif
