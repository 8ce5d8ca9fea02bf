#!/usr/bin/env bash
# Runs the test suite in a fresh environment for each combination of Paddle, PaddleSeg and Python, goes on after one that
# fails, prints a table at the end, and exits with 1 if one of them failed (docs/compatibility.md holds such tables):
#
#   bash tools/test_matrix.sh                                   Paddle 2.6.2, 3.0.0 and 3.3.1, PaddleSeg 2.8.0, each Python
#   bash tools/test_matrix.sh --paddleseg 2.8.0 --paddleseg path/to/PaddleSeg --python python3.11
#   bash tools/test_matrix.sh --paddle 3.3.1 -- tests/compat    what follows -- goes to pytest (otherwise -m 'not slow')
#
# --paddle VERSION, --paddleseg VERSION|FOLDER and --python COMMAND may be given several times. With a folder, a checkout
# of PaddleSeg, that PaddleSeg is installed from a copy, and its own scripts are among the tests. Environments (2 GB each)
# are made in --folder FOLDER (a temporary one) and removed when they are done with; the logs stay.
set -euo pipefail
unset CDPATH
called_from=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
source tools/_env.sh

absolute() {
  case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$called_from/$1" ;; esac
}

# All Pythons of PATH that Paddle has wheels for.
available_pythons() {
  local name
  for name in python3.9 python3.10 python3.11 python3.12; do
    if "$name" -c 'import ensurepip, venv' 2>/dev/null; then echo "$name"; fi
  done
}

version_of() { # package: its version, and the folder that it was installed from
  "$venv_python" - "$1" <<'PYTHON'
import sys
from importlib.metadata import distribution
found = distribution(sys.argv[1])
print(found.version, (found.read_text("direct_url.json") or "").strip())
PYTHON
}

# Makes $venv with one combination; what it says of a failure is the last line of the log.
prepare() { # paddle, paddleseg, python
  local source=$2 onnx=() before
  "$3" -m venv --clear "$venv" || return
  case $1 in 2.*) onnx=(paddle2onnx==1.3.1) ;; esac # its version 2 is for Paddle 3
  # Paddle and PaddleSeg first, as users have them when this package comes.
  : >"$venv/install.log"
  if [ -d "$2" ]; then # a copy, for building writes into the folder; 2.8 and 2.9 import themselves in setup.py
    source=$venv/PaddleSeg
    mkdir "$source" && cp -R "$2"/setup.py "$2"/requirements.txt "$2"/README* "$2"/paddleseg "$source" || return
    (
      pip_install 'pip>=22.3' setuptools wheel "paddlepaddle==$1" -r "$source/requirements.txt" 'numpy<2' &&
        ensure_opencv && pip_install --no-build-isolation --no-deps "$source"
    ) || return
  else
    (pip_install 'pip>=22.3' "paddlepaddle==$1" "paddleseg==$2" 'numpy<2') || return
  fi
  before=$(version_of paddleseg)
  (pip_install -e '.[test]' ${onnx[@]+"${onnx[@]}"} && ensure_opencv && check_import) || return
  if [ "$before" != "$(version_of paddleseg)" ]; then
    echo "error: pip replaced PaddleSeg $before by $(version_of paddleseg)"
    return 1
  fi
}

run_suite() { # paddleseg
  if [ -d "$1" ]; then export PADDLESEG_EXT_CHECKOUT=$1; else unset PADDLESEG_EXT_CHECKOUT; fi
  "$venv_python" -m pytest -q -p no:cacheprovider "${pytest_arguments[@]}"
}

paddles=() paddlesegs=() pythons=() folder='' pytest_arguments=(-m 'not slow')
while [ $# -gt 0 ]; do
  case $1 in
    --) shift && pytest_arguments=("$@") && break ;;
    --paddle | --paddleseg | --python | --folder) [ $# -gt 1 ] || fail "$1 needs a value" ;;
    *) fail "unknown argument $1; there are --paddle, --paddleseg, --python, --folder and -- with pytest's own" ;;
  esac
  case $1 in
    --paddle) paddles+=("$2") ;;
    --paddleseg) if [[ $2 =~ ^[0-9.]+$ ]]; then paddlesegs+=("$2"); else paddlesegs+=("$(absolute "$2")"); fi ;;
    --python) pythons+=("$2") ;;
    --folder) folder=$(absolute "$2") ;;
  esac
  shift 2
done
[ ${#paddles[@]} -gt 0 ] || paddles=(2.6.2 3.0.0 3.3.1)
[ ${#paddlesegs[@]} -gt 0 ] || paddlesegs=(2.8.0)
[ ${#pythons[@]} -gt 0 ] || while read -r name; do pythons+=("$name"); done < <(available_pythons)
[ ${#pythons[@]} -gt 0 ] || fail "found no Python 3.9, 3.10, 3.11 or 3.12; name one: --python /path/to/python3.12"
for name in "${pythons[@]}"; do
  "$name" -c 'import ensurepip, venv' 2>/dev/null || fail "--python $name is no Python with the modules venv and ensurepip"
done
for name in "${paddlesegs[@]}"; do
  case $name in /*) [ -f "$name/paddleseg/__init__.py" ] || fail "--paddleseg $name is no checkout of PaddleSeg" ;; esac
done
folder=${folder:-$(mktemp -d)}
mkdir -p "$folder"
repository=$(pwd -P)
isolate
steady_mkl

failed=0 rows=()
for python in "${pythons[@]}"; do
  for paddleseg in "${paddlesegs[@]}"; do
    for paddle in "${paddles[@]}"; do
      name="paddle-$paddle paddleseg-$(basename -- "$paddleseg") $(basename -- "$python")"
      venv="$folder/${name// /_}" log="$folder/${name// /_}.log" venv_python="$folder/${name// /_}/bin/python"
      echo "$name: $log"
      began=$SECONDS versions="$paddle | $(basename -- "$paddleseg") | $python"
      check_disk "$folder"
      if prepare "$paddle" "$paddleseg" "$python" >"$log" 2>&1; then
        said=$(version_of paddleseg)
        versions="$paddle | ${said%% *} | $("$venv_python" -c 'import platform; print(platform.python_version())')"
        run_suite "$paddleseg" >>"$log" 2>&1 && outcome=passed || outcome=FAILED
        outcome="$outcome: $(tail -n 1 "$log")"
      else
        outcome="FAILED to install: $(grep -iE '^ *error' "$log" | head -n 1)"
        cat "$venv/install.log" >>"$log" 2>/dev/null || true # its folder goes
      fi
      [ "${outcome%%:*}" = passed ] || failed=1
      echo "  $outcome"
      rows+=("| $versions | $outcome | $(((SECONDS - began) / 60)) min |")
      rm -rf "$venv"
    done
  done
done

printf '\n%s\n\n| Paddle | PaddleSeg | Python | result | with installation |\n|---|---|---|---|---|\n' "$(date +%Y-%m-%d)"
printf '%s\n' "${rows[@]}"
exit "$failed"
