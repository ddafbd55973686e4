/* faulty_vfs.h - SQLite's files on a disk that fails, is full, or loses its power when told to. */
#ifndef PM_TESTS_UNIT_FAULTY_VFS_H
#define PM_TESTS_UNIT_FAULTY_VFS_H

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

enum fault {
	FAULT_NONE,
	FAULT_FULL, /* every write fails from now on: ENOSPC */
	FAULT_SYNC, /* every sync fails: EIO */
	FAULT_DIE,  /* the process ends at the countdown-th write or sync, in the middle of it */
};

static _Atomic int fault_kind;
static _Atomic int fault_countdown; /* writes and syncs until then */

struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static sqlite3_vfs faulty_vfs;
static sqlite3_vfs *real_vfs;
static sqlite3_io_methods faulty_methods;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct faulty_file *)(void *)f)->real;
}

/* Whether this write or sync is the one to go wrong. */
static bool is_due(void)
{
	int kind = atomic_load(&fault_kind);

	if (kind == FAULT_NONE)
		return false;
	return atomic_fetch_sub(&fault_countdown, 1) <= 1;
}

static int faulty_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
	if (is_due()) {
		int kind = atomic_load(&fault_kind);

		if (kind == FAULT_FULL)
			return SQLITE_FULL;
		if (kind == FAULT_DIE) {
			(void)real_of(f)->pMethods->xWrite(real_of(f), bytes, n / 2, at);
			_exit(77);
		}
	}
	return real_of(f)->pMethods->xWrite(real_of(f), bytes, n, at);
}

static int faulty_sync(sqlite3_file *f, int flags)
{
	if (is_due()) {
		int kind = atomic_load(&fault_kind);

		if (kind == FAULT_SYNC)
			return SQLITE_IOERR_FSYNC;
		if (kind == FAULT_DIE)
			_exit(77);
	}
	return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int faulty_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int faulty_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int faulty_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int faulty_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int faulty_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int faulty_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int faulty_reserved(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int faulty_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int faulty_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int faulty_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int faulty_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int faulty_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void faulty_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int faulty_shm_unmap(sqlite3_file *f, int remove)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct faulty_file *file = (struct faulty_file *)(void *)f;
	int rc;

	(void)vfs;
	file->real = (sqlite3_file *)(void *)(file + 1);
	file->base.pMethods = NULL;
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out);
	if (file->real->pMethods != NULL)
		file->base.pMethods = &faulty_methods;
	return rc;
}

/* From now on all files that SQLite opens are on this disk. */
static inline int faulty_vfs_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	if (real_vfs == NULL || real_vfs == &faulty_vfs)
		return real_vfs == NULL ? -1 : 0;
	faulty_vfs = *real_vfs;
	faulty_vfs.zName = "faulty";
	faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
	faulty_vfs.xOpen = faulty_open;
	faulty_methods = (sqlite3_io_methods){
		.iVersion = 2,
		.xClose = faulty_close,
		.xRead = faulty_read,
		.xWrite = faulty_write,
		.xTruncate = faulty_truncate,
		.xSync = faulty_sync,
		.xFileSize = faulty_size,
		.xLock = faulty_lock,
		.xUnlock = faulty_unlock,
		.xCheckReservedLock = faulty_reserved,
		.xFileControl = faulty_control,
		.xSectorSize = faulty_sector,
		.xDeviceCharacteristics = faulty_traits,
		.xShmMap = faulty_shm_map,
		.xShmLock = faulty_shm_lock,
		.xShmBarrier = faulty_shm_barrier,
		.xShmUnmap = faulty_shm_unmap,
	};
	return sqlite3_vfs_register(&faulty_vfs, 1);
}

static inline void faulty_vfs_set(enum fault kind, int countdown)
{
	atomic_store(&fault_countdown, countdown);
	atomic_store(&fault_kind, kind);
}

#endif
