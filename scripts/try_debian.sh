#!/usr/bin/env bash
# try_debian.sh RELEASE [gcc|clang] [FOLDER]: builds the committed state of this checkout on another Debian release, such
# as `trixie` (13) or `bookworm` (12), in a folder made by debootstrap, and runs `scripts/test.sh quick` there. Needs root
# and about 4 GB. The folder (default build/debian/RELEASE) is kept, so a second try is fast.
set -euo pipefail
cd "$(dirname "$0")/.."
release=${1:?which Debian: bookworm (12), trixie (13), ...} compiler=${2:-gcc}
root=${3:-build/debian/$release}
[ "$(id -u)" = 0 ] || { echo "try_debian.sh: debootstrap and chroot need root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "try_debian.sh: needs debootstrap: apt-get install debootstrap" >&2; exit 2; }
case "$compiler" in
  gcc) choose="" ;;
  clang) choose="export CC=clang CXX=clang++" ;;
  *) echo "try_debian.sh: the compiler is gcc or clang, not $compiler" >&2; exit 2 ;;
esac

if [ ! -e "$root/etc/debian_version" ]; then
  mkdir -p "$root"
  debootstrap --variant=minbase "$release" "$root"
fi
root=$(cd "$root" && pwd)
# Makes a fresh clone each time. The build folder is kept as long as the compiler is the same.
work=$root/root/moemill-$compiler
mkdir -p "$work"
git archive HEAD | tar -x -C "$work"

mounted=()
leave() { for place in ${mounted[@]+"${mounted[@]}"}; do umount -l "$place"; done; }
trap leave EXIT
for kind in proc sysfs devpts tmpfs; do
  case $kind in proc) place=proc ;; sysfs) place=sys ;; devpts) place=dev/pts ;; tmpfs) place=dev/shm ;; esac
  mkdir -p "$root/$place"
  mount -t "$kind" "$kind" "$root/$place"
  mounted=("$root/$place" ${mounted[@]+"${mounted[@]}"})
done
[ -e "$root/etc/resolv.conf" ] || cp /etc/resolv.conf "$root/etc/resolv.conf"
cat > "$work/try.sh" <<END
set -euo pipefail
cd /root/moemill-$compiler
export LANG=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive
scripts/setup.sh test
$choose
exec scripts/test.sh quick
END
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" chroot "$root" bash "/root/moemill-$compiler/try.sh"
