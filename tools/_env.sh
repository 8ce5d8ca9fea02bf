# shellcheck shell=bash
# Shared by the shell scripts in this folder; sourced, not run.
#
#   use_environment test         leaves in $venv_python a Python with paddleseg_ext and the extra `test` installed
#
# The environment is `.venv` in the repository root, or $PADDLESEG_EXT_VENV. It is made once, repaired when it is
# broken or half made, and brought up to date when the requirements change; nothing outside it is written, apart from
# pip's download cache. Works with the bash 3.2 of macOS. Windows is not covered (its Subsystem for Linux is).
#
# Read: PADDLESEG_EXT_VENV, PYTHON (the interpreter to build the environment with), and pip's own PIP_… variables.

readonly needed_megabytes=3000

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# What the user's shell may hold and what would leak into, or out of, the environment.
isolate() {
  unset PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_ROOT
  export PYTHONNOUSERSITE=1 PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
}

# Has MKL sum alike on each run (paddleseg_ext/compat/environment.py tells why); tests may load Paddle before the package
# that sets it.
steady_mkl() {
  if grep -qs AuthenticAMD /proc/cpuinfo; then export MKL_DEBUG_CPU_TYPE="${MKL_DEBUG_CPU_TYPE:-5}"; fi
}

# Prints the path of a Python that Paddle has wheels for and that can make environments.
find_python() {
  local probe name
  probe='import ensurepip, sys, venv; (3, 9) <= sys.version_info[:2] <= (3, 12) or sys.exit(1); print(sys.executable)'
  for name in ${PYTHON:+"$PYTHON"} python3.12 python3.11 python3.10 python3.9 python3 python; do
    if "$name" -c "$probe" 2>/dev/null; then return; fi
    if [ "$name" = "${PYTHON:-}" ]; then
      fail "PYTHON=$PYTHON is not a Python 3.9, 3.10, 3.11 or 3.12 with the modules venv and ensurepip."
    fi
  done
  fail "found no Python 3.9, 3.10, 3.11 or 3.12 with the modules venv and ensurepip; install one (on Debian or" \
    "Ubuntu: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3.12 bash $0"
}

check_disk() { # folder
  local folder=$1 free
  while [ ! -d "$folder" ]; do folder=$(dirname -- "$folder"); done
  free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024) }')
  if [ "$free" -lt "$needed_megabytes" ]; then
    fail "$folder has $free MB free, and the environment needs $needed_megabytes MB; make room or name another" \
      "place: PADDLESEG_EXT_VENV=/path/with/room bash $0"
  fi
}

# An environment whose own pip answers is whole; anything else there is made anew.
make_venv() {
  local python
  if [ -e "$venv/pyvenv.cfg" ] && "$venv_python" -m pip --version >/dev/null 2>&1; then return; fi
  if [ "$venv" != "$repository/.venv" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
    fail "PADDLESEG_EXT_VENV=$venv is a folder with other things in it; name a new or empty one."
  fi
  python=$(find_python)
  check_disk "$venv"
  echo "Making the environment $venv with $python"
  "$python" -m venv --clear "$venv" || fail "$python could not make the environment $venv; its message is above."
}

# Runs pip in the environment: the whole output goes to a log, the steps to the screen, a failure into a sentence.
pip_install() {
  local log="$venv/install.log" line
  if "$venv_python" -m pip install "$@" 2>&1 | while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    case $line in Collecting* | Installing\ collected*) printf '  %.110s\n' "${line%% (from*}" ;; esac
  done; then return; fi
  grep -E '^ *ERROR' "$log" | tail -n 3 >&2 || tail -n 3 "$log" >&2
  if grep -qi 'no space left' "$log"; then
    fail "the disk filled up while pip was installing into $venv; make room and run this again."
  elif grep -qE 'ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Max retries|Connection broken' "$log"; then
    fail "pip could not reach the package index; check the network, or name a mirror:" \
      "PIP_INDEX_URL=https://…/simple bash $0 (pip's output: $log)"
  fi
  fail "pip could not install what is needed; pip's output is in $log"
}

# opencv-python needs a desktop's libraries (libGL, glib). Where they are missing, its headless build of the same
# version takes its place: the same module, less the windows that nothing here opens.
ensure_opencv() {
  local message version
  message=$("$venv_python" -c 'import cv2' 2>&1) && return
  case $message in
    *libGL* | *libgthread* | *libglib* | *libX* | *libSM* | *libICE*)
      version=$("$venv_python" -c 'from importlib.metadata import version; print(version("opencv-python"))')
      echo "This machine lacks a library for windows (${message##*ImportError: }); installing OpenCV without windows"
      pip_install --no-deps --force-reinstall "opencv-python-headless==$version"
      ;;
  esac
}

check_import() {
  local message library
  message=$("$venv_python" -W ignore -c 'import paddleseg_ext' 2>&1) && return
  library=$(sed -n 's/.*[ (]\(lib[^ :]*\): cannot open shared object file.*/\1/p' <<<"$message" | head -n 1)
  if [ -n "$library" ]; then
    fail "this machine lacks the system library $library, which Paddle needs; on Debian or Ubuntu:" \
      "apt-get install libgomp1"
  fi
  printf '%s\n' "$message" >&2
  fail "the installed paddleseg_ext cannot be imported for the reason above; if it persists after removing $venv and" \
    "running this again, it is a bug worth reporting."
}

# What the installed state depends on: a stamp equal to this means there is nothing to do.
fingerprint() {
  {
    cat setup.py pyproject.toml
    grep '^__version__' paddleseg_ext/__init__.py
    echo "$repository"
    "$venv_python" --version
  } 2>&1 | cksum
}

# The CPU wheel of Paddle is the default. A GPU wheel that the user put there stays: the CPU's would overwrite its files.
install_extension() { # extra, or ''
  local extras=cpu${1:+,$1}
  if "$venv_python" -m pip show --quiet paddlepaddle-gpu 2>/dev/null; then extras=$1; fi
  echo "Installing paddleseg_ext and what it needs into $venv (a few minutes the first time)"
  : >"$venv/install.log"
  pip_install 'pip>=22.3' -e ".${extras:+[$extras]}"
  ensure_opencv
  check_import
}

use_environment() { # extra, or ''
  local stamp
  case $(uname -s) in
    MINGW* | MSYS* | CYGWIN*) fail "this script does not cover Windows; run it in the Windows Subsystem for Linux." ;;
  esac
  repository=$(pwd -P)
  venv=${PADDLESEG_EXT_VENV:-$repository/.venv}
  case $venv in /*) ;; *) venv=$OLDPWD/$venv ;; esac # relative to the folder that the script was called from
  venv_python=$venv/bin/python
  stamp="$venv/installed${1:+-$1}"
  isolate

  exec 9<setup.py # one installation at a time: a lock on a file that is always there
  if command -v flock >/dev/null && ! flock -n 9; then
    echo "Waiting for another installation to finish"
    flock 9
  fi
  if [ ! -x "$venv_python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$(fingerprint)" ]; then
    make_venv
    rm -f "$stamp" # an interruption from here on must not pass for a whole environment
    install_extension "$1"
    fingerprint >"$stamp"
  fi
  exec 9<&-
}
