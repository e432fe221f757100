#!/bin/sh
# Makes .venv/ from the lock file and leaves a stamp: `environment.sh LOCK STAMP`.
set -eu
lock=$1 stamp=$2
for candidate in "${PYTHON3:-python3}" python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "${python:-}" ]; then
    echo "Python 3.11 or newer is needed; install it (Debian 12 and Ubuntu 24.04 have it as python3) and try again." >&2
    exit 1
fi
# A set-up that was cut short may have left a .venv without pip.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
echo "Installing what requirements.lock names (about 7 GB with torch; once)." >&2
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --compile-bytecode -r "$lock"
rm -f .venv/.installed-*
touch "$stamp"
