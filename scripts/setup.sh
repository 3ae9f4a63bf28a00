#!/usr/bin/env bash
# Installs the Debian packages that are missing: as root or through sudo; otherwise prints the one line to ask an
# administrator for. `setup.sh test` adds what only the tests need. Does nothing when all are there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
wanted="build"
[ "${1:-}" = test ] && wanted="test"

missing=()
while read -r package note; do
  case "$package" in ""|"#"*) continue ;; esac
  case "$note" in test:*) [ "$wanted" = test ] || continue ;; esac
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done < "$here/packages.txt"
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "setup: these Debian packages are missing, and this system has no apt-get: ${missing[*]}" >&2
  exit 2
fi
ask() {
  echo "setup: packages are missing. Ask an administrator for:" >&2
  echo "  apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 2
}
if [ "$(id -u)" = 0 ]; then as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo)
elif command -v sudo >/dev/null && [ -t 0 ]; then as_root=(sudo)
else ask
fi
echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq || { [ "$(id -u)" = 0 ] || ask; exit 1; }
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
