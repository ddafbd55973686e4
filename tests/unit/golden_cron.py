#!/usr/bin/env python3
"""Writes golden_cron.h: small zone files, and when cron expressions run in them from 2020 to 2040 (X-36).

The times are computed by Python's own zone arithmetic, minute by minute around the clock, and share
nothing with proto/cron.c and agent/tz.c. The zone files are cut down from the machine's, so that a newer
tzdata changes no result. Run: python3 golden_cron.py > golden_cron.h
"""
import datetime as dt
import io
import re
import struct
import zoneinfo

UTC = dt.timezone.utc
EPOCH = dt.datetime(1970, 1, 1)
# Zones whose tables must be kept: their future is not a rule.
TABLES = ["Africa/Cairo", "Africa/Casablanca", "America/Asuncion", "Asia/Gaza"]
ZONES = TABLES + [
    "America/Havana", "America/Los_Angeles", "America/New_York", "America/Santiago", "America/Sao_Paulo",
    "America/St_Johns", "Asia/Beirut", "Asia/Kolkata", "Asia/Tehran", "Asia/Tokyo", "Australia/Lord_Howe",
    "Australia/Sydney", "Europe/Berlin", "Europe/Dublin", "Europe/London", "Pacific/Apia", "Pacific/Auckland",
    "Pacific/Chatham"]
# text, seconds, minutes, hours, days (None: any), last year: the one for every hour has many times
EXPRESSIONS = [
    ("0 0 * * *", [0], [0], [0], None, 2041),
    ("30 2 * * *", [0], [30], [2], None, 2041),
    ("15,45 0-3 * * *", [0], [15, 45], [0, 1, 2, 3], None, 2041),
    ("5 0 3 1,31 * *", [5], [0], [3], [1, 31], 2041),
    ("*/30 * * * *", [0], [0, 30], None, None, 2024),
]


def cut_down(name):
    data = open("/usr/share/zoneinfo/" + name, "rb").read()
    counts = struct.unpack(">6l", data[20:44])
    at = 44 + counts[3] * 5 + counts[4] * 6 + counts[5] + counts[2] * 8 + counts[1] + counts[0]
    utc, std, leap, n, n_types, chars = struct.unpack(">6l", data[at + 20:at + 44])
    at += 44
    times = struct.unpack(f">{n}q", data[at:at + 8 * n])
    index = data[at + 8 * n:at + 9 * n]
    at += 9 * n
    types = data[at:at + 6 * n_types]
    footer = data[at + 6 * n_types + chars + leap * 12 + std + utc:]
    low = 1500000000
    high = 2300000000 if name in TABLES or b"," not in footer else 1640000000
    kept = [(t, i) for t, i in zip(times, index) if low <= t < high]
    earlier = [i for t, i in zip(times, index) if t < low]
    first = earlier[-1] if earlier else 0
    used = sorted({first} | {i for _, i in kept}, key=lambda i: (i != first, i))
    number = {i: k for k, i in enumerate(used)}
    body = b"".join(struct.pack(">q", t) for t, _ in kept) + bytes(number[i] for _, i in kept)
    body += b"".join(types[6 * i:6 * i + 5] + b"\0" for i in used) + b"LMT\0"
    head = b"TZif2" + bytes(15)
    return (head + struct.pack(">6l", 0, 0, 0, 0, 1, 1) + bytes(7) +
            head + struct.pack(">6l", 0, 0, 0, len(kept), len(used), 4) + body + footer)


def utc_of(zone, local, fold):
    return int(local.replace(tzinfo=zone, fold=fold).astimezone(UTC).timestamp())


def local_of(zone, utc):
    return dt.datetime.fromtimestamp(utc, UTC).astimezone(zone).replace(tzinfo=None)


def gap_end(zone, local):
    """The instant at which the clock jumped over `local`."""
    low, high = utc_of(zone, local, 1) - 90000, utc_of(zone, local, 1) + 90000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if local_of(zone, middle) < local else (low, middle)
    return high


def runs(zone, expression, start, end):
    _, seconds, minutes, hours, days, _ = expression
    found = set()
    if hours is None:  # follows the clock
        return [t for t in range(start, end, 60) if local_of(zone, t).minute in minutes and t % 60 == 0]
    day = dt.datetime(2019, 12, 30)
    while day < dt.datetime(2041, 1, 3):
        if days is None or day.day in days:
            for local in (day.replace(hour=h, minute=m, second=s) for h in hours for m in minutes for s in seconds):
                t = utc_of(zone, local, 0)
                found.add(t if local_of(zone, t) == local else gap_end(zone, local))
        day += dt.timedelta(days=1)
    return sorted(t for t in found if start <= t < end)


def fnv(times):
    h = 0xCBF29CE484222325
    for t in times:
        h = (h ^ t) * 0x100000001B3 % 2**64
    return h


def main():
    start = int((dt.datetime(2020, 1, 1) - EPOCH).total_seconds())
    print("/* golden_cron.h - written by golden_cron.py; do not edit. */\n/* clang-format off */")
    print("static const char *const golden_expressions[] = {")
    for e in EXPRESSIONS:
        print(f'\t"{e[0]}",')
    print("};\n#define GOLDEN_FROM_S %d" % start)
    print("static const int64_t golden_until_s[] = {", ", ".join(
        str(int((dt.datetime(e[5], 1, 1) - EPOCH).total_seconds())) for e in EXPRESSIONS), "};")
    print("struct golden_run { int n; uint64_t fnv; };")
    print("static const struct golden_zone { const char *name; const uint8_t *tzif; size_t len;"
          " struct golden_run runs[%d]; } golden_zones[] = {" % len(EXPRESSIONS))
    for name in ZONES:
        data = cut_down(name)
        zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(data))
        text = re.sub(r"(.{110}[^\\]{0,4})(?=\\)", r'\1"\n\t  "', "".join("\\%03o" % b for b in data))
        print(f'\t{{ "{name}", (const uint8_t *)"{text}", {len(data)}, {{')
        for e in EXPRESSIONS:
            times = runs(zone, e, start, int((dt.datetime(e[5], 1, 1) - EPOCH).total_seconds()))
            print(f"\t\t{{ {len(times)}, UINT64_C(0x{fnv(times):016x}) }},")
        print("\t} },")
    print("};")


main()
