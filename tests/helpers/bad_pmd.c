/*
 * bad_pmd.c - a program that is put in pmd's place and breaks in one of the ways that an upgrade
 * has to survive. The file `mode` beside it says which, and after a space where the real pmd is:
 *
 * crash       dies at once, whatever is asked of it
 * keeper      passes the self-check and dies as the new keeper
 * supervisor  its keeper is the real one; each supervisor dies at once
 * hang        the same, but its supervisors neither answer nor end
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool has(int argc, char **argv, const char *word)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], word) == 0)
			return true;
	return false;
}

static bool read_mode(char mode[32], char pmd[3072])
{
	char path[4096 + sizeof("mode")];
	ssize_t n = readlink("/proc/self/exe", path, 4096);
	FILE *file;
	bool ok;

	if (n <= 0)
		return false;
	path[n] = '\0';
	(void)memcpy(strrchr(path, '/') + 1, "mode", sizeof("mode"));
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	ok = fscanf(file, "%31s %3071s", mode, pmd) == 2;
	(void)fclose(file);
	return ok;
}

int main(int argc, char **argv)
{
	char mode[32], pmd[3072];

	if (!read_mode(mode, pmd))
		return 99;
	if (strcmp(mode, "crash") == 0)
		(void)kill(getpid(), SIGKILL);
	if (has(argc, argv, "--self-check"))
		return 0;
	if (strcmp(mode, "keeper") == 0)
		(void)kill(getpid(), SIGKILL);
	if (has(argc, argv, "--supervisor")) {
		if (strcmp(mode, "hang") == 0)
			for (;;)
				(void)pause();
		return 98;
	}
	(void)execv(pmd, argv);
	return 97;
}
