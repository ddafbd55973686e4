"""Numbered lines: what the writers of tests/ print, and the check that a log holds each once and whole.

A line is WRITER:NUMBER:LENGTH:PADDING; where NUMBER counts from 0 in ten digits, LENGTH is that of the padding
in five digits, and the padding is one letter that goes round the alphabet with the number. So a line that is
missing, doubled, cut, glued to another or out of order is told from a good one by itself.
"""

import glob
import gzip
import os
import re
import struct
import subprocess

LINE = re.compile(rb"([A-Za-z0-9_.-]+):(\d{10}):(\d{5}):([a-z]*);")


def line(writer, number, length=20):
    """The line with this number, without its newline."""
    return f"{writer}:{number:010d}:{length:05d}:{chr(97 + number % 26) * length};"


def _read(path):
    if path.endswith(".gz"):
        with gzip.open(path, "rb") as file:
            return file.read()
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    with open(path, "rb") as file:
        return file.read()


def read_log(path):
    """The bytes of a log file, compressed or not, or compressed since its name was listed: the twin is there before it goes."""
    try:
        return _read(path)
    except FileNotFoundError:
        twin = next((path + ext for ext in (".gz", ".zst") if os.path.exists(path + ext)), None)
        if twin is None:
            raise
        return _read(twin)


def rotated(path):
    """All generations of a log file, oldest first, the current one last.

    pmd's own are STEM__YYYY-MM-DD_HH-MM-SS[-N].log, with .gz or .zst behind when compressed; of a plain and a
    compressed one with the same name only the compressed one counts (it is put in place whole, then the other goes).
    What an outside rotation left (FILE.1, FILE.2.gz) is older the higher its number, and older than ours.
    """
    stem, ext = os.path.splitext(path)
    ours = re.compile(re.escape(stem) + r"__([\d-]{10}_[\d-]{8})(?:-(\d+))?" + re.escape(ext) + r"(\.gz|\.zst)?")
    outside = re.compile(re.escape(path) + r"\.(\d+)(\.gz|\.zst)?")
    found = {}
    for file in sorted(glob.glob(glob.escape(stem) + "*")):  # the compressed one comes after its twin
        if match := ours.fullmatch(file):
            found[1, match[1], int(match[2] or 0)] = file
        elif match := outside.fullmatch(file):
            found[0, "", -int(match[1])] = file
    return [found[key] for key in sorted(found)] + ([path] if os.path.exists(path) else [])


def _check_line(text, where, last, problems, message):
    body = message(text) if message else text
    found = LINE.fullmatch(body) if body is not None else None
    if found is None:
        problems.append(f"{where}: damaged: {text[:200]!r}{'...' if len(text) > 200 else ''}")
        return
    writer, number, length, padding = found[1].decode(), int(found[2]), int(found[3]), found[4]
    want = bytes([97 + number % 26]) * length
    if padding != want:
        problems.append(f"{where}: damaged padding in {writer}:{number}: {len(padding)} of {length} bytes")
    before = last.get(writer, -1)
    if number > before + 1:
        problems.append(f"{where}: {writer}: {before + 1} to {number - 1} missing")
    elif number <= before:
        problems.append(f"{where}: {writer}: {number} again after {before}")
    last[writer] = max(before, number)


def check_lines(files, counts=None, message=None, split_ok=False, most=20):
    """Reads `files` (in order, oldest first) as one log and returns {writer: lines}.

    counts    {writer: lines written} or {writer: (least, most)} that must have arrived; every writer must be there
    message   takes the line as bytes and gives the text the app wrote, or None when the line is damaged; for
              logs with a time or in JSON
    split_ok  a line may go on in the next file
    Raises AssertionError naming the first `most` problems.
    """
    problems, last, rest = [], {}, b""
    for path in files:
        data = rest + read_log(path)
        lines = data.split(b"\n")
        rest = lines.pop()
        if rest and not split_ok:
            problems.append(f"{path}: ends within a line: {rest[-120:]!r}")
            rest = b""
        for at, text in enumerate(lines, 1):
            _check_line(text, f"{path}:{at}", last, problems, message)
    if rest:
        problems.append(f"{files[-1]}: ends within a line: {rest[-120:]!r}")
    got = {writer: number + 1 for writer, number in last.items()}
    for writer, want in (counts or {}).items():
        least, most_lines = want if isinstance(want, tuple) else (want, want)
        if not least <= got.get(writer, 0) <= most_lines:
            problems.append(f"{writer}: {got.get(writer, 0)} lines arrived of {want} written")
    if problems:
        more = f"\n... and {len(problems) - most} more" if len(problems) > most else ""
        raise AssertionError(f"{len(problems)} problems in {len(files)} files:\n" + "\n".join(problems[:most]) + more)
    return got


def written(directory):
    """What each `lines -c directory` has written: {writer: (least, most)}; equal unless it was killed while writing."""
    out = {}
    for name in os.listdir(directory):
        if name.endswith(".count"):
            with open(os.path.join(directory, name), "rb") as file:
                done, begun = struct.unpack("=QQ", file.read(16))
            out[name.removesuffix(".count")] = (done, begun)
    return out
