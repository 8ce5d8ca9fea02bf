#!/usr/bin/env bash
# Runs the test suite in an environment of its own (see _env.sh). Arguments go to pytest; paths are relative to the
# repository root:
#
#   bash tools/test.sh
#   bash tools/test.sh --all                     with what is marked slow
#   bash tools/test.sh tests/layers -k aspp
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
source tools/_env.sh

use_environment test
steady_mkl
if [ "${1-}" = --all ]; then
  shift
else
  set -- -m 'not slow' "$@"
fi
exec "$venv_python" -m pytest -q --durations=10 "$@"
