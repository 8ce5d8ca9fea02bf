#!/usr/bin/env bash
# Trains our six heads and PaddleSeg's six networks on CamVid from ImageNet weights, one after the other, in an environment
# of its own (see _env.sh). Interrupted or killed it goes on where it was when it is called again:
#
#   bash tools/camvid.sh DATA_ROOT               into output/camvid: runs/, and in results/ tables, curves, logs
#   bash tools/camvid.sh DATA_ROOT OUTPUT        into another folder
#   bash tools/camvid.sh DATA_ROOT --status      what is done, without training
#
# DATA_ROOT is laid out as configs/camvid/README.md says. On two cores all of it takes most of a day.
set -euo pipefail
unset CDPATH
start=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
source tools/_env.sh

use_environment demo
cd -- "$start" # which the folders are relative to
PYTHONPATH=$repository exec "$venv_python" -m benchmarks.camvid "$@"
