#!/usr/bin/env bash
# Installs missing Debian packages as root or with sudo; otherwise prints the one command to give to an administrator.
# `setup.sh test` includes the packages that only the tests need. Does nothing if all are installed. Libraries may also
# come from environment modules, Spack or conda: the script succeeds if CMake finds them.
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

# Ends this script, successfully if CMake finds all libraries of the program, otherwise with advice.
without_apt() {
  local probe
  probe=$(mktemp -d)
  if cmake -S "$here/.." -B "$probe" -DMOEMILL_TESTS=OFF >"$probe/log" 2>&1; then
    rm -rf "$probe"
    echo "setup: these Debian packages are not installed, but CMake finds what it needs: ${missing[*]}" >&2
    exit 0
  fi
  echo "setup: CMake does not find all libraries:" >&2
  grep -A3 -m1 -E 'CMake Error|not found' "$probe/log" | sed 's/^/  /' >&2 || echo "  there is no cmake" >&2
  rm -rf "$probe"
  if command -v apt-get >/dev/null; then
    echo "setup: load or install the libraries of README's table, or ask an administrator for:" >&2
    echo "  apt-get install -y --no-install-recommends ${missing[*]}" >&2
  else
    echo "setup: load or install the libraries of README's table (module load, Spack, conda), then try again" >&2
  fi
  exit 2
}
command -v apt-get >/dev/null || without_apt
if [ "$(id -u)" = 0 ]; then as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo)
elif command -v sudo >/dev/null && [ -t 0 ]; then as_root=(sudo)
else without_apt
fi
echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq || { [ "$(id -u)" = 0 ] || without_apt; exit 1; }
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
