#!/bin/sh
# Install the browser that the page tests drive, Chromium without windows, or all of Chromium where
# there is no such package; where nothing can be installed, say what is missing.
set -eu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install="apt-get install -y -qq --no-install-recommends"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    $install chromium-headless-shell || command -v chromium >/dev/null || $install chromium
elif ! command -v chromium >/dev/null; then
    echo "make test: no program '$CHROMIUM' found. Install it (Debian: sudo apt-get install" >&2
    echo "chromium-headless-shell), or name yours: make test CHROMIUM=google-chrome" >&2
    exit 1
fi
