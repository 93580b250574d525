/* wal_vfs.h - (private to store/) SQLite's own file system, but what goes into the write-ahead log is gathered
 *
 * SQLite writes each frame of the log in two calls, a header of 24 bytes and a page. Here what follows what was written
 * last is kept, and goes to the file in pieces of 128 KB at most: before anything is read from the log, before it is
 * synced, measured, cut or closed. A commit syncs the log before other connections are told of its frames
 * (synchronous=FULL, which this needs), so nobody ever looks for what is still kept; a write that fails fails the sync,
 * and with it the commit. Every other file is SQLite's own affair. */
#ifndef TODOKE_STORE_WAL_VFS_H
#define TODOKE_STORE_WAL_VFS_H

/* The name for sqlite3_open_v2. Made at the first call, around whatever the default VFS is then; call it once before
 * threads. */
const char *wal_vfs(void);

#endif
