"""No two of our objects may define the same global name: within a static library the linker takes either, silently."""

import glob
import os
import subprocess
import unittest

from pmdtest import BUILD, require


class Symbols(unittest.TestCase):
    def test_no_global_name_is_defined_twice(self):
        libraries = glob.glob(os.path.join(BUILD, "*", "libpm_*.a"))
        self.assertGreaterEqual(len(libraries), 4, libraries)
        listing = subprocess.run([require("nm"), "-A", "--defined-only", *libraries], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
        where = {}
        for line in listing.splitlines():
            place, kind, name = line.split()[-3:] if len(line.split()) == 3 else (None, None, None)
            if kind in ("T", "D", "B", "R", "C"):
                where.setdefault(name, []).append(place.rsplit(":", 1)[0])
        self.assertIn("agent_main", where)
        twice = {name: places for name, places in where.items()
                 if len(places) > 1 and not name.startswith("__")}
        self.assertEqual(twice, {})


if __name__ == "__main__":
    unittest.main()
