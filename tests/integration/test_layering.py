"""The borders inside the source: who may include whom, and what nobody may call. Reads files, runs nothing."""

import os
import re
import unittest

SOURCE = os.environ.get("PMD_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

# part -> the parts it may include besides itself. A new part is an error until it has a row here.
ARROWS = {"proto": (), "agent": ("proto",), "coordinator": ("proto",), "cli": ("proto",),
          "tests": ("proto", "agent", "coordinator", "cli")}
PRODUCT = tuple(part for part in ARROWS if part != "tests")
# pmd's main() picks the part to be, so it sees these two headers, and nothing else of them.
PARTS_OF_PMD = ("agent/agent.h", "coordinator/coordinator.h")
LINES_MAX = 700
TEST_LINES_MAX = 900  # a table of cases has no second owner to part from

UNSAFE = r"strcpy|strcat|stpcpy|sprintf|vsprintf|gets|system|popen|strtok|alloca|tmpnam|mktemp|atoi|atol|longjmp"
ALLOC = r"malloc|calloc|realloc|reallocarray|strdup|strndup"
# A pure module decides from what it is given: no loop, no transport, no clock, no file, no process, no environment.
IMPURE_HEADERS = r"uv\.h|nng/.*|sys/socket\.h|sys/stat\.h|sys/wait\.h|fcntl\.h|dirent\.h|poll\.h"
IMPURE_CALLS = (r"uv_\w+|nng_\w+|pm_now_ms|pm_wall_ms|clock_gettime|clock|gettimeofday|time|localtime|open|openat|fopen"
                r"|read|write|pread|pwrite|stat|lstat|fstat|unlink|rename|mkdir|fork|kill|waitpid|getenv|setenv|rand"
                r"|getpid|printf|puts|pm_log")


def without_comments(text):
    """The code with comments and the contents of strings blanked, line by line as before."""
    def blank(match):
        token = match[0]
        if token[0] in "\"'":
            return token[0] * 2
        return "\n" * token.count("\n") or " "
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def includes(text):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^">]+)[">]', text, flags=re.M)


def calls(text, names):
    """(line number, name) of each call of one of the names; members and longer names do not count."""
    out = []
    for number, code in enumerate(without_comments(text).split("\n"), 1):
        out += [(number, m[1]) for m in re.finditer(rf"(?<![\w.>])({names})\s*\(", code)]
    return out


def part_of(path):
    return path.split("/")[0]


def wrong_arrows(path, text):
    part = part_of(path)
    if part not in ARROWS:
        return [f"{path}: {part}/ is a new part: give it a row in ARROWS"]
    out = []
    for name in includes(text):
        target = part_of(name)
        if "/" not in name or target not in ARROWS or target == part or target in ARROWS[part]:
            continue
        if path == "cli/pmd.c" and name in PARTS_OF_PMD:
            continue
        out.append(f"{path}: may not include {name}")
    return out


def unsafe_calls(path, text):
    names = UNSAFE
    if part_of(path) in PRODUCT and path != "proto/base.c":
        names += "|" + ALLOC
    if part_of(path) == "tests":
        names = names.replace("|system", "").replace("|atoi|atol|longjmp", "")  # a test may clean up by a shell
    return [f"{path}:{line}: calls {name}()" for line, name in calls(text, names)]


def too_long(path, text):
    lines, most = text.count("\n"), TEST_LINES_MAX if part_of(path) == "tests" else LINES_MAX
    return [f"{path}: {lines} lines, at most {most}"] if lines > most else []


def wrong_guard(path, text):
    if not path.endswith(".h") or part_of(path) not in PRODUCT or "do not edit" in text.split("\n", 1)[0]:
        return []  # a generated table is the inside of the one file that includes it
    guard = "PM_" + re.sub(r"\W", "_", path).upper()
    found = re.search(r"^#ifndef (\w+)\n#define (\w+)$", text, flags=re.M)
    if found is None or found[1] != guard or found[2] != guard:
        return [f"{path}: its guard is {found[1] if found else 'missing'}, not {guard}"]
    return []


def is_pure(header):
    """Whether a header's opening comment says so: "Pure." as a sentence of its own."""
    opening = re.match(r"/\*.*?\*/", header, flags=re.S)
    return opening is not None and re.search(r"(?<!\w )\bPure\.", opening[0]) is not None


def impurities(path, text):
    out = [f"{path}: is pure, yet includes {name}" for name in includes(text) if re.fullmatch(IMPURE_HEADERS, name)]
    return out + [f"{path}:{line}: is pure, yet calls {name}()" for line, name in calls(text, IMPURE_CALLS)]


def sources():
    """{path below the source directory: text} of every C file of ours."""
    out = {}
    for top in sorted(os.listdir(SOURCE)):
        if top.startswith(".") or top == "build" or not os.path.isdir(os.path.join(SOURCE, top)):
            continue
        for where, dirs, names in os.walk(os.path.join(SOURCE, top)):
            dirs[:] = [d for d in dirs if d != "node_modules" and not d.startswith(".")]
            for name in names:
                if name.endswith((".c", ".h", ".py")):
                    path = os.path.join(where, name)
                    with open(path, encoding="utf-8") as file:
                        out[os.path.relpath(path, SOURCE)] = file.read()
    return out


class Layering(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = sources()
        cls.code = {path: text for path, text in cls.files.items() if not path.endswith(".py")}

    def each(self, rule, files):
        problems = [problem for path, text in files.items() for problem in rule(path, text)]
        self.assertEqual(problems, [], "\n" + "\n".join(problems))

    def test_the_source_is_found(self):
        self.assertIn("proto/base.h", self.code)
        self.assertIn("cli/pmd.c", self.code)

    def test_every_include_follows_an_allowed_arrow(self):
        self.each(wrong_arrows, self.code)

    def test_nobody_calls_an_unsafe_function_or_allocates_behind_pm_calloc(self):
        self.each(unsafe_calls, self.code)

    def test_no_file_is_longer_than_the_ceiling(self):
        self.each(too_long, self.files)

    def test_every_header_has_a_guard_spelled_after_its_path(self):
        self.each(wrong_guard, self.code)

    def test_pure_modules_touch_no_loop_clock_file_or_process(self):
        pure = [path[:-2] for path, text in self.code.items()
                if path.endswith(".h") and part_of(path) in PRODUCT and is_pure(text)]
        self.assertTrue(pure, "no header says Pure.")
        self.each(impurities, {p: t for p, t in self.code.items() if p[:-2] in pure})

    def test_each_rule_catches_what_it_is_for(self):
        good = '/* x.h - adds. Pure. */\n#ifndef PM_CLI_X_H\n#define PM_CLI_X_H\n#include "proto/base.h"\n' \
               '/* no system() here */ static const char *s = "popen(";\n#endif\n'
        for rule in (wrong_arrows, unsafe_calls, too_long, wrong_guard, impurities):
            self.assertEqual(rule("cli/x.h", good), [], rule.__name__)
        self.assertTrue(is_pure(good))
        for rule, path, text in (
                (wrong_arrows, "proto/a.c", '#include "agent/agent.h"'),
                (wrong_arrows, "cli/list.c", '#include "agent/agent.h"'),
                (wrong_arrows, "cli/pmd.c", '# include "agent/life.h"'),
                (wrong_arrows, "agent/a.c", '#include <cli/main.h>'),
                (wrong_arrows, "extra/a.c", ""),
                (unsafe_calls, "agent/a.c", "\tsprintf (b, f);"),
                (unsafe_calls, "cli/a.c", "x = system(c);"),
                (unsafe_calls, "tests/a.c", "f = popen(c, r);"),
                (unsafe_calls, "agent/a.c", "p = malloc(3);"),
                (too_long, "agent/a.c", "\n" * 701),
                (wrong_guard, "agent/a.h", "#ifndef PM_A_H\n#define PM_A_H\n"),
                (wrong_guard, "agent/a.h", "#pragma once\n"),
                (impurities, "agent/a.c", "\tt = time(NULL);"),
                (impurities, "agent/a.c", "#include <uv.h>")):
            self.assertEqual(len(rule(path, text)), 1, f"{rule.__name__}: {text[:60]}")


if __name__ == "__main__":
    unittest.main()
