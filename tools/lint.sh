#!/usr/bin/env bash
# Checks the style (ruff), the rooms and what they import (import-linter) and the types (mypy), in an environment of its
# own (see _env.sh):
#
#   bash tools/lint.sh
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
source tools/_env.sh

use_environment dev
"$venv_python" -m ruff check .
"$venv_python" -m ruff format --check .
"$venv_python" -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-cache
"$venv_python" -m mypy
