#!/usr/bin/env bash
# Finds out on a GPU what only a GPU can tell, in an environment of its own (see _env.sh), and ends within 20 minutes:
#
#   bash tools/gpu_check.sh                 or another number of MINUTES, from 2 on
#   bash tools/gpu_check.sh --device cpu    walks through it in small, within 4 minutes on two cores
#
# Leaves output/gpu_check/, which every run empties first: report.md, tables for benchmarks/results/, all logs. Exit
# status: 0 if no step failed, 1 if one did, 2 for bad arguments. Paddle for GPUs must be in the environment before:
# Paddle's install page has the command; run it with .venv/bin/python -m pip after a first run with --device cpu.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
source tools/_env.sh

use_environment test
steady_mkl
exec "$venv_python" -m benchmarks.gpu_check "$@"
