#!/usr/bin/env bash
# Makes build/tools-venv with what scripts/*.py need (tools-requirements.txt), once, and says where its
# Python is. Fails where PyPI is out of reach.
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
