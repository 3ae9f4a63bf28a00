#!/usr/bin/env bash
# Makes build/tools-venv once, with the packages that scripts/*.py need (tools-requirements.txt), and prints the path of its
# Python. Fails if PyPI cannot be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/tools-venv
stamp=$venv/made-from
tell() {
  printf '%s\n' "Python for scripts/*.py: $venv/bin/python" "  $venv/bin/python scripts/prompts.py --help"
}
if cmp -s scripts/tools-requirements.txt "$stamp" 2>/dev/null && [ -x "$venv/bin/python" ]; then
  tell
  exit 0
fi
mkdir -p build
/usr/bin/python3 -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 60 -r scripts/tools-requirements.txt
cp scripts/tools-requirements.txt "$stamp"
tell
