#!/bin/sh
# Install Chromium, which the page tests drive; where that is impossible, say what is missing.
set -eu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
else
    echo "make test: no program '$CHROMIUM' found. Install it (Debian: sudo apt-get install chromium)," >&2
    echo "or name yours: make test CHROMIUM=google-chrome" >&2
    exit 1
fi
