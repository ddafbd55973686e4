#include "agent/shim/shim_int.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

/* Enough for the listeners of any program; what is over it is shared, but not known as such. */
#define NOTES_MAX 256

enum {
	NOTE_FREE,
	NOTE_BUSY, /* someone is writing it */
	NOTE_VALID
};

static struct {
	_Atomic uint64_t inode;
	_Atomic int state;
	int fd; /* where it was seen: to tell whether it is still there */
	struct note note;
} notes[NOTES_MAX];

uint64_t shim_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

static int find(uint64_t inode)
{
	for (int i = 0; i < NOTES_MAX; i++)
		if (atomic_load_explicit(&notes[i].inode, memory_order_acquire) == inode &&
		    atomic_load_explicit(&notes[i].state, memory_order_acquire) == NOTE_VALID)
			return i;
	return -1;
}

static bool claim(int i, int from)
{
	return atomic_compare_exchange_strong(&notes[i].state, &from, NOTE_BUSY);
}

/* The note of the same socket, a free place, or one whose socket is no longer where it was. */
static int take_place(uint64_t inode)
{
	int same = find(inode);

	if (same >= 0 && claim(same, NOTE_VALID))
		return same;
	for (int i = 0; i < NOTES_MAX; i++)
		if (claim(i, NOTE_FREE))
			return i;
	for (int i = 0; i < NOTES_MAX; i++)
		if (shim_inode(notes[i].fd) != notes[i].inode && claim(i, NOTE_VALID))
			return i;
	return -1;
}

bool shim_note_put(uint64_t inode, int fd, const struct note *note)
{
	int i = take_place(inode);

	if (i < 0)
		return false;
	notes[i].fd = fd;
	notes[i].note = *note;
	atomic_store_explicit(&notes[i].inode, inode, memory_order_release);
	atomic_store_explicit(&notes[i].state, NOTE_VALID, memory_order_release);
	return true;
}

bool shim_note_get(uint64_t inode, struct note *out)
{
	int i = inode == 0 ? -1 : find(inode);

	if (i < 0)
		return false;
	*out = notes[i].note;
	/* Written over meanwhile: the program closed the socket while it used it. */
	return atomic_load_explicit(&notes[i].inode, memory_order_acquire) == inode &&
	       atomic_load_explicit(&notes[i].state, memory_order_acquire) == NOTE_VALID;
}
