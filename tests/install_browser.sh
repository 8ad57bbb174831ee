#!/bin/sh
# Install Chromium, which the page tests drive; where that is impossible, say what is missing.
set -eu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
else
    echo "make test: no program 'chromium' found. Install it: sudo apt-get install chromium" >&2
    exit 1
fi
