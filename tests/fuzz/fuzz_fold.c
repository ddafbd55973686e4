/* fuzz_fold.c - answers of hosts as they come: the groups and their account always sum up. */
#include <stdlib.h>
#include <string.h>

#include "cli/fold.h"
#include "proto/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cut at newlines; the first byte of each piece says what it is. */
static void add_all(struct fold *f, char *text)
{
	struct pm_error err;

	while (text != NULL) {
		char *piece = strsep(&text, "\n");
		char host[2] = { piece[0] == '\0' ? 'x' : piece[0], '\0' };

		if (fold_add(f, host, (enum fold_result)((unsigned char)host[0] % FOLD_RESULTS),
		             PM_FAILED, piece, &err) < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fold_group *groups;
	struct pm_error err;
	struct fold *f;
	PM_BUF out = { 0 };
	char text[2048];
	size_t n, sum = 0;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (fold_diff(text, text + size / 2, &out, &err) < 0 || fold_create(&f, &err) < 0)
		abort();
	pm_buf_reset(&out);
	if (fold_diff(text, text, &out, &err) < 0 || out.len != 0)
		abort();
	add_all(f, text);
	if (fold_groups(f, &groups, &n, &err) < 0)
		abort();
	for (size_t i = 0; i < n; i++)
		sum += groups[i].n;
	if (sum != fold_count(f))
		abort();
	fold_destroy(f);
	return 0;
}
