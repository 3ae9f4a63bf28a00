#!/usr/bin/env bash
# Makes build/tools-venv with what scripts/*.py need (tools-requirements.txt), once. Fails where PyPI is out of reach.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/tools-venv
stamp=$venv/made-from
cmp -s scripts/tools-requirements.txt "$stamp" 2>/dev/null && exit 0
mkdir -p build
/usr/bin/python3 -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 60 -r scripts/tools-requirements.txt
cp scripts/tools-requirements.txt "$stamp"
