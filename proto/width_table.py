#!/usr/bin/env python3
"""Writes width_table.h from Python's Unicode database. Run: python3 width_table.py > width_table.h"""
import unicodedata as u


def ranges(wanted):
    """Ranges of wanted code points; what is not assigned joins the ranges around it."""
    out, last_assigned = [], False
    for cp in range(0x110000):
        c = chr(cp)
        if u.category(c) in ("Cn", "Cs", "Co"):
            continue
        if wanted(cp, c):
            if out and last_assigned:
                out[-1][1] = cp
            else:
                out.append([cp, cp])
            last_assigned = True
        else:
            last_assigned = False
    return out


def is_zero(cp, c):
    return (u.category(c) in ("Mn", "Me") or 0x1160 <= cp <= 0x11FF or
            (u.category(c) == "Cf" and cp != 0xAD and not u.bidirectional(c) == "AN"))


def is_wide(cp, c):
    return u.east_asian_width(c) in ("W", "F") and not is_zero(cp, c)


def table(name, wanted):
    print("static const struct range %s[] = {" % name)
    rows = ["{ 0x%X, 0x%X }" % (a, b) for a, b in ranges(wanted)]
    for i in range(0, len(rows), 4):
        print("\t" + ", ".join(rows[i:i + 4]) + ",")
    print("};")


print("/* width_table.h - written by width_table.py from Unicode %s; do not edit. */" % u.unidata_version)
print("/* clang-format off */")
table("zero_wide", is_zero)
table("double_wide", is_wide)
