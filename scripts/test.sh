#!/usr/bin/env bash
# Sets up, builds and runs every test: unit tests of each part, exchanges under mpirun, the program on good and bad input,
# the unit tests again with sanitizers, and the fuzz targets for a short fixed time. This takes about 40 minutes on a bare
# machine with 2 cores. `test.sh quick` omits sanitizers and fuzzing.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test
. scripts/root_mpi.sh

echo "== includes follow the order of the parts"
python3 scripts/check_layers.py
echo "== format"
if clang-format --version | grep -q 'version 14\.'; then
  find lib apps tests \( -name '*.hpp' -o -name '*.cpp' -o -name '*.inl' \) -print0 | xargs -0 clang-format --dry-run -Werror
else  # every version of it has a look of its own
  echo "SKIPPED: the sources are formatted with clang-format 14, this is $(clang-format --version)"
fi
echo "== build (release)"
scripts/build.sh release
if [ "${1:-}" != quick ]; then
  echo "== build (ASan + UBSan): unit tests and fuzz targets"
  scripts/build.sh sanitize
  ctest --preset sanitize
  echo "== fuzz targets"
  scripts/fuzz.sh "${MOEMILL_FUZZ_SECONDS:-5}" 1
fi
echo "== Python packages for the tests of scripts/ (pyarrow comes from PyPI)"
scripts/tools_venv.sh || echo "SKIPPED: PyPI cannot be reached: tests of Parquet and datasets folders will be skipped"
echo "== tests"
ctest --preset release
