#!/bin/sh
# Sets up what is missing and prints the path of the environment's Python on stdout; everything else goes to stderr.
# Takes the first of $DURUM_PYTHON, python3, python3.13, python3.12 and python3.11 that runs and is 3.11 or newer.
set -eu
unset PYTHONHOME PYTHONPATH
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
probe='import sqlite3, ssl, sys; sys.exit(sys.version_info < (3, 11))'

for python in "${DURUM_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$python" ] || continue
    if "$python" -I -c "$probe" >/dev/null 2>&1; then
        exec "$python" -I "$here/setup.py"
    fi
    [ "$python" != "${DURUM_PYTHON:-}" ] || echo "durum: DURUM_PYTHON=$python is not a working Python 3.11 or newer; looking on" >&2
done
echo "durum: no working Python 3.11 or newer (with sqlite3 and ssl) among python3, python3.13, python3.12, python3.11;" \
    "install one or set DURUM_PYTHON=/path/to/python3" >&2
exit 1
