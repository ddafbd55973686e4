/* shim.c - the functions that stand before libc's. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/shim/shim_int.h"

/* Under names of our own, because libc declares the others in ways of its own. */
#define STANDS_BEFORE(name) __asm__(#name) __attribute__((visibility("default")))

int shim_bind(int fd, const struct sockaddr *addr, socklen_t len) STANDS_BEFORE(bind);
int shim_listen(int fd, int backlog) STANDS_BEFORE(listen);
int shim_connect(int fd, const struct sockaddr *addr, socklen_t len) STANDS_BEFORE(connect);
int shim_shutdown(int fd, int how) STANDS_BEFORE(shutdown);
int shim_unlink(const char *path) STANDS_BEFORE(unlink);
int shim_unlinkat(int dir, const char *path, int flags) STANDS_BEFORE(unlinkat);
int shim_remove(const char *path) STANDS_BEFORE(remove);

static struct {
	int (*bind)(int, const struct sockaddr *, socklen_t);
	int (*listen)(int, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	int (*shutdown)(int, int);
	int (*unlink)(const char *);
	int (*unlinkat)(int, const char *, int);
	int (*remove)(const char *);
} next;

static void look_up(const char *name, void *to)
{
	void *found = dlsym(RTLD_NEXT, name);

	memcpy(to, &found, sizeof(found));
}

/* Before main, and before any thread. What a constructor of another library calls before is not
 * shared, but works (NEXT). */
__attribute__((constructor)) static void start(void)
{
	look_up("bind", &next.bind);
	look_up("listen", &next.listen);
	look_up("connect", &next.connect);
	look_up("shutdown", &next.shutdown);
	look_up("unlink", &next.unlink);
	look_up("unlinkat", &next.unlinkat);
	look_up("remove", &next.remove);
	shim_policy_init(getenv(SHIM_ENV_EXCLUDE));
	shim_ask_init(getenv(SHIM_ENV_FD));
}

#define NEXT(name, ...) \
	(next.name != NULL ? next.name(__VA_ARGS__) : (int)syscall(SYS_##name, __VA_ARGS__))

static int next_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	return NEXT(bind, fd, addr, len);
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static void tell(struct shim_request *r, enum shim_op op)
{
	r->op = (uint16_t)op;
	shim_tell(r);
}

/* Ask for the socket and put it in the place of fd. Returns as shim_ask(). */
static int obtain(int fd, struct shim_request *r, const struct note *note)
{
	int from, error;

	r->op = SHIM_SOCKET;
	error = shim_ask(r, &from);
	if (error == 0)
		error = from < 0 ? SHIM_OWN : shim_install(fd, from);
	if (error == 0)
		(void)shim_note_put(shim_inode(fd), fd, note);
	return error;
}

static bool copy_note(struct note *note, const struct sockaddr *addr, socklen_t len)
{
	memset(note, 0, sizeof(*note));
	if (addr == NULL || len < sizeof(sa_family_t) || len > sizeof(note->addr))
		return false;
	memcpy(&note->addr, addr, len);
	note->len = len;
	return true;
}

/* A second bind is an error, whatever the address, and must not change the socket. */
static bool is_bound(int fd)
{
	union shim_addr addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getsockname(fd, &addr.any, &len) < 0)
		return true;
	if (addr.any.sa_family == AF_INET)
		return addr.in.sin_port != 0;
	if (addr.any.sa_family == AF_INET6)
		return addr.in6.sin6_port != 0;
	return len > sizeof(sa_family_t);
}

int shim_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int before = errno, error = SHIM_OWN;
	struct shim_request r;
	struct note note;

	if (shim_is_on() && copy_note(&note, addr, len) && shim_is_shared(fd, &note, &r) &&
	    !is_bound(fd))
		error = obtain(fd, &r, &note);
	if (error > 0)
		return fail(error);
	errno = before;
	if (error == SHIM_OWN)
		return NEXT(bind, fd, addr, len);
	if (r.dgram != 0)
		tell(&r, SHIM_LISTENING);
	errno = before;
	return 0;
}

int shim_listen(int fd, int backlog)
{
	int before = errno, rc;
	struct shim_request r;
	struct note note;
	bool ours = shim_note_get(shim_inode(fd), &note);

	errno = before;
	/* One of pmd's listens already: this sets the length of its queue. */
	rc = NEXT(listen, fd, backlog);
	if (rc == 0 && ours && shim_is_shared(fd, &note, &r))
		tell(&r, SHIM_LISTENING);
	if (rc == 0)
		errno = before;
	return rc;
}

/* The socket is a client's after all. */
int shim_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int before = errno, error, none;
	struct shim_request r;
	struct note note;

	if (shim_note_get(shim_inode(fd), &note) && shim_is_shared(fd, &note, &r)) {
		r.op = SHIM_RELEASE;
		(void)shim_ask(&r, &none); /* pmd keeps it where somebody listens */
		error = shim_give_back(fd, &note, next_bind);
		if (error != 0)
			return fail(error);
	}
	errno = before;
	return NEXT(connect, fd, addr, len);
}

/* On a listening socket it would end the listening of every process, and lose what waits. */
int shim_shutdown(int fd, int how)
{
	int before = errno;
	struct note note;

	if (shim_note_get(shim_inode(fd), &note) && how != SHUT_WR) {
		int error = shim_retire(fd);

		if (error != 0)
			return fail(error);
		errno = before;
		return 0;
	}
	errno = before;
	return NEXT(shutdown, fd, how);
}

/*
 * Programs remove the path before they bind and after they close; to the clients of the other
 * workers it must stay.
 *
 * returns  1 when libc is to go on, else what the function returns
 */
static int keep_path(const char *path)
{
	int before = errno, fd;
	struct shim_request r = { .magic = SHIM_MAGIC,
		                  .version = SHIM_VERSION,
		                  .op = SHIM_KEEP_PATH,
		                  .family = SHIM_UNIX };
	struct stat st;
	bool kept = false;

	if (path == NULL || !shim_is_on())
		return 1;
	/* Not there is the answer: another worker may bind it at this moment. */
	if (lstat(path, &st) < 0)
		return -1;
	if (S_ISSOCK(st.st_mode) && shim_absolute(path, strlen(path), r.path)) {
		kept = shim_ask(&r, &fd) == 0;
		if (fd >= 0)
			(void)syscall(SYS_close, fd);
	}
	errno = before;
	return kept ? 0 : 1;
}

int shim_unlink(const char *path)
{
	int rc = keep_path(path);

	if (rc != 1)
		return rc;
	return next.unlink != NULL ? next.unlink(path)
	                           : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int shim_unlinkat(int dir, const char *path, int flags)
{
	int rc = 1;

	if (flags == 0 && path != NULL && (dir == AT_FDCWD || path[0] == '/'))
		rc = keep_path(path);
	return rc != 1 ? rc : NEXT(unlinkat, dir, path, flags);
}

int shim_remove(const char *path)
{
	int rc = keep_path(path);

	if (rc != 1)
		return rc;
	if (next.remove != NULL)
		return next.remove(path);
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
