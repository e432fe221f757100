#!/bin/sh
# Runs a command with a screen of its own, so that tests do not depend on the one that is there (or not).
set -eu
export QT_QPA_PLATFORM=xcb
exec xvfb-run -a -s "-screen 0 1600x900x24" "$@"
