#!/bin/sh
# Installs the system's part of the environment: Python and the libraries that Qt and OpenGL load (`install`), or prints
# what is missing (`missing`). Through apt when it may; otherwise it prints the one line to run and touches nothing.
set -eu
here=$(dirname "$0")

missing() {
    # A package may go by another name on a newer release (libglib2.0-0t64): "Provides" covers that.
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' 2>/dev/null | sed -n 's/^installed //p' |
        tr ',' '\n' | sed 's/^ *//; s/ .*//; s/:.*//' | sort -u)
    while read -r package; do
        printf '%s\n' "$installed" | grep -qx "$package" || printf '%s ' "$package"
    done <"$here/packages"
}

if ! command -v dpkg-query >/dev/null; then
    [ "${1:-}" = missing ] || echo "This is no Debian or Ubuntu: install Python 3.11 or newer and the libraries that .ci/packages names." >&2
    exit 0
fi
lacking=$(missing)
if [ "${1:-}" = missing ]; then
    echo "$lacking"
    exit 0
fi
[ -n "$lacking" ] || exit 0
line="apt-get update && apt-get install -y --no-install-recommends $lacking"
export DEBIAN_FRONTEND=noninteractive
if [ "$(id -u)" = 0 ]; then
    sh -c "$line" >&2
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n sh -c "$line" >&2
else
    echo "Some system packages are missing; install them with this line, then try again:" >&2
    echo "  sudo sh -c '$line'" >&2
    exit 1
fi
