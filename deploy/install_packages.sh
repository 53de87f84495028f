#!/bin/sh
# Debian packages that Cellwright needs. Installs them as root or with sudo; else names them.
#   libgl1 libglib2.0-0   opencv-python's wheel
#   libzbar0              pyzbar, the confirming symbol reader
#   python3-venv          the virtual environment
#   tmux chromium         the tests use a real terminal and a real browser
set -eu
packages="libgl1 libglib2.0-0 libzbar0 python3-venv tmux chromium"

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "These Debian packages are missing:$missing" >&2
    echo "Ask an administrator to run: apt-get install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086  # the list is meant to be split
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
