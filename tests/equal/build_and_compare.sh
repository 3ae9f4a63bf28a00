#!/usr/bin/env bash
# Builds a commit in a worktree of its own and compares its answers with those of a program:
#   build_and_compare.sh COMMIT [NEW_PROGRAM] [words of compare_commits.py...]
# NEW_PROGRAM defaults to this tree's build/bin/moemill. The worktree is removed at the end.
set -euo pipefail
if [ $# -lt 1 ]; then sed -n '2,4s/^# //p' "$0"; exit 2; fi
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
commit=$(git -C "$source" rev-parse --verify "$1^{commit}")
shift
new=$source/build/bin/moemill
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then new=$(realpath "$1"); shift; fi
[ -x "$new" ] || { echo "$new is not there: scripts/build.sh release moemill"; exit 2; }

folder=$(mktemp -d "${TMPDIR:-/tmp}/moemill-equal.XXXXXX")
trap 'git -C "$source" worktree remove --force "$folder/source" || true; rm -rf "$folder"' EXIT
git -C "$source" worktree add --quiet --detach "$folder/source" "$commit"
cd "$folder/source"
cmake --preset release > "$folder/build.log"
cmake --build --preset release --target moemill >> "$folder/build.log" || { tail -50 "$folder/build.log"; exit 1; }
echo "$commit against $new"
/usr/bin/python3 "$here/compare_commits.py" build/bin/moemill "$new" "$folder/work" "$@"
