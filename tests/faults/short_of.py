"""The command line in a process with little patience for locked stores: ``SECONDS ARGUMENT...``."""

from __future__ import annotations

import sys

from durum.cli.main import main
from durum.stores import sqlite_file

if __name__ == "__main__":
    sqlite_file.BUSY_SECONDS = float(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
