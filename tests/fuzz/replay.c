/* replay.c - runs a fuzz target over the files of its corpus, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *dir, const char *name)
{
	char path[4096];
	uint8_t *bytes;
	size_t len;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (f == NULL)
		return -1;
	bytes = malloc(1 << 20);
	if (bytes == NULL) {
		(void)fclose(f);
		return -1;
	}
	len = fread(bytes, 1, 1 << 20, f);
	(void)fclose(f);
	(void)LLVMFuzzerTestOneInput(bytes, len);
	free(bytes);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return 2;
	}
	dir = opendir(argv[1]);
	if (dir == NULL) {
		(void)fprintf(stderr, "%s: no corpus in %s\n", argv[0], argv[1]);
		return 1;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && replay_file(argv[1], entry->d_name) == 0)
			n++;
	(void)closedir(dir);
	(void)printf("%d inputs replayed\n", n);
	return n > 0 ? 0 : 1;
}
