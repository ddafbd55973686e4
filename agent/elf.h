/* elf.h - can a library be preloaded into a program? */
#ifndef PM_AGENT_ELF_H
#define PM_AGENT_ELF_H

#include <stdbool.h>

/*
 * Is the program linked statically, so that LD_PRELOAD means nothing to it? Of a script its
 * interpreter counts (the #! line).
 *
 * returns  false also for what cannot be read or is of an unknown kind
 * source   elf(5): PT_INTERP names the dynamic linker
 */
bool elf_is_static(const char *path);

#endif
