"""The shell scripts: what they install, when they have nothing to do, and what they say when they cannot go on.

A stand-in takes Python's place: it logs how it is called and fails where a test wants it to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = "awk bash cat cksum cp df dirname flock grep head ls mkdir rm sed tail uname".split()
STAND_IN = r"""#!/usr/bin/env bash
echo "${PYTHONPATH-isolated} $*" >>"$CALLS"
case "$*" in
  *ensurepip*) echo "$0" ;;
  '-m venv '*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && : >"$4/pyvenv.cfg" ;;
  *'from importlib.metadata import version'*) echo 4.5.5.64 ;;
  *--quiet\ paddlepaddle-gpu) [ -n "${GPU_WHEEL-}" ] || exit 1 ;;
esac
if [ -n "${FAIL_AT-}" ]; then
  case "$*" in *"$FAIL_AT"*) echo "$FAIL_WITH" >&2 && exit 3 ;; esac
fi
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")


class Machine:
    """A machine that has nothing but a few commands and the stand-in for Python."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.venv, self.calls = folder, folder / "bin", folder / "venv", folder / "calls"
        self.bin.mkdir()
        self.calls.touch()
        for command in COMMANDS:
            if path := shutil.which(command):
                (self.bin / command).symlink_to(path)
        self.command("python3.11", STAND_IN)

    def command(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, script: str | Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script from a folder of its own; `calls` then holds what this run asked of Python."""
        self.calls.write_text("")
        base = {"PATH": str(self.bin), "CALLS": str(self.calls), "PADDLESEG_EXT_VENV": str(self.venv)}
        return subprocess.run(
            ["bash", str(ROOT / script), *args],
            cwd=self.folder,
            env={**base, "HOME": str(self.folder), "PYTHONPATH": "leaks", **env},
            capture_output=True,
            text=True,
        )

    def asked(self, what: str) -> bool:
        return what in self.calls.read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def assert_fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode not in (0, 127), done.stdout + done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("error: "), done.stderr
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    "script",
    [f"tools/{name}.sh" for name in ("_env", "lint", "test", "quickstart", "gpu_check", "camvid")] + [".ci/run"],
)
def test_syntax(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)


def test_installs_once_and_passes_arguments_on(machine: Machine) -> None:
    first = machine.run("tools/test.sh", "tests/layers", "-k", "a b")
    assert first.returncode == 0, first.stderr
    assert machine.asked("isolated -m venv --clear")
    assert machine.asked("isolated -m pip install pip>=22.3 -e .[cpu,test]")
    assert machine.asked("isolated -m pytest -q --durations=10 -m not slow tests/layers -k a b")
    second = machine.run("tools/test.sh")
    assert second.returncode == 0 and not machine.asked("-m pip") and machine.asked("-m pytest")


def test_installs_again_when_the_requirements_changed(machine: Machine) -> None:
    machine.run("tools/test.sh")
    (machine.venv / "installed-test").write_text("of other requirements")
    machine.run("tools/test.sh")
    assert machine.asked("-m pip install") and not machine.asked("-m venv")


def test_repairs_an_interrupted_environment(machine: Machine) -> None:
    assert_fails(machine.run("tools/test.sh", FAIL_AT="-m pip install", FAIL_WITH="killed"), "install.log")
    assert machine.run("tools/test.sh").returncode == 0 and machine.asked("-m pip install")
    (machine.venv / "bin" / "python").unlink()
    assert machine.run("tools/test.sh").returncode == 0 and machine.asked("-m venv --clear")


def test_status_of_the_tests_is_that_of_the_script(machine: Machine) -> None:
    for script in ("tools/test.sh", ".ci/run"):
        assert machine.run(script, FAIL_AT="-m pytest", FAIL_WITH="1 failed").returncode == 3


def test_a_gpu_wheel_is_kept(machine: Machine) -> None:
    machine.run("tools/test.sh", GPU_WHEEL="yes")
    assert machine.asked("-m pip install pip>=22.3 -e .[test]")


def test_a_relative_place_is_the_callers(machine: Machine) -> None:
    assert machine.run("tools/test.sh", PADDLESEG_EXT_VENV="here/venv").returncode == 0
    assert (machine.folder / "here" / "venv" / "pyvenv.cfg").exists()


def test_no_libgl(machine: Machine) -> None:
    missing = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    machine.run("tools/test.sh", FAIL_AT="import cv2", FAIL_WITH=missing)
    assert machine.asked("-m pip install --no-deps --force-reinstall opencv-python-headless==4.5.5.64")


def test_a_missing_system_library(machine: Machine) -> None:
    missing = "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory"
    done = machine.run("tools/test.sh", FAIL_AT="import paddleseg_ext", FAIL_WITH=missing)
    assert_fails(done, "lacks the system library libgomp.so.1", "apt-get install libgomp1")


def test_a_broken_installation(machine: Machine) -> None:
    done = machine.run("tools/test.sh", FAIL_AT="import paddleseg_ext", FAIL_WITH="ImportError: half of it is gone")
    assert_fails(done, "reason above", str(machine.venv))
    assert "half of it is gone" in done.stderr


def test_no_python(machine: Machine) -> None:
    (machine.bin / "python3.11").unlink()
    assert_fails(machine.run("tools/test.sh"), "3.9, 3.10, 3.11 or 3.12", "PYTHON=")


def test_a_python_that_will_not_do(machine: Machine) -> None:
    machine.command("python3.13", "#!/usr/bin/env bash\nexit 1\n")
    assert_fails(machine.run("tools/test.sh", PYTHON="python3.13"), "PYTHON=python3.13")


def test_no_disk(machine: Machine) -> None:
    machine.command("df", "#!/usr/bin/env bash\necho header\necho /dev/x 9000000 8488000 512000 95% /\n")
    assert_fails(machine.run("tools/test.sh"), "500 MB free", "PADDLESEG_EXT_VENV")
    assert not machine.venv.exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Retrying: NewConnectionError('Failed to establish a new connection')", ["network", "PIP_INDEX_URL"]),
        ("ERROR: [Errno 28] No space left on device", ["disk filled up"]),
        ("ERROR: No matching distribution found for paddlepaddle", ["pip could not install", "install.log"]),
    ],
)
def test_pip_fails(machine: Machine, said: str, words: list[str]) -> None:
    done = machine.run("tools/test.sh", FAIL_AT="-m pip install", FAIL_WITH=said)
    assert_fails(done, *words)
    assert said in done.stderr
    assert not (machine.venv / "installed-test").exists()


def test_other_peoples_folders_are_left_alone(machine: Machine) -> None:
    machine.venv.mkdir()
    (machine.venv / "thesis.tex").touch()
    assert_fails(machine.run("tools/test.sh"), str(machine.venv), "other things in it")
    assert os.listdir(machine.venv) == ["thesis.tex"]


def test_an_unknown_network(machine: Machine) -> None:
    assert_fails(machine.run("tools/quickstart.sh", "unet"), "'unet'", "pspnet", "--from_noise")
    assert not machine.calls.read_text()


@pytest.mark.parametrize(
    "arguments, config",
    [
        ([], "fastfcn"),
        (["ccnet"], "ccnet"),
        (["--from_noise"], "fastfcn_from_noise"),
        (["--from_noise", "dmnet"], "dmnet_from_noise"),
        (["dmnet", "--from_noise"], "dmnet_from_noise"),
    ],
)
def test_the_quick_start_trains_and_evaluates_what_is_asked_for(
    machine: Machine, arguments: list[str], config: str
) -> None:
    shutil.copytree(ROOT / "tools", machine.folder / "clone" / "tools")  # the script empties its output
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, machine.folder / "clone")
    (machine.folder / "clone" / "paddleseg_ext").mkdir()
    shutil.copy(ROOT / "paddleseg_ext" / "__init__.py", machine.folder / "clone" / "paddleseg_ext")
    done = machine.run(machine.folder / "clone" / "tools" / "quickstart.sh", *arguments)
    assert done.returncode == 0, done.stderr
    assert machine.asked("-e .[cpu,demo]")
    for tool in ("train", "val"):
        assert machine.asked(f"tools/{tool}.py --config configs/quickstart/{config}.yml ")
    assert (ROOT / "configs" / "quickstart" / f"{config}.yml").is_file()


def test_all_runs_what_is_slow_too(machine: Machine) -> None:
    assert machine.run("tools/test.sh", "--all", "tests/cli").returncode == 0
    assert machine.asked("isolated -m pytest -q --durations=10 tests/cli")


@pytest.mark.parametrize("check", ["-m ruff check", "-m ruff format", "importlinter", "-m mypy"])
def test_lint_fails_where_a_check_does(machine: Machine, check: str) -> None:
    assert machine.run("tools/lint.sh").returncode == 0 and machine.asked(check)
    assert machine.run("tools/lint.sh", FAIL_AT=check, FAIL_WITH="1 error").returncode == 3
    assert machine.run(".ci/run", FAIL_AT=check, FAIL_WITH="1 error").returncode == 3 and not machine.asked("-m pytest")


def test_the_suite_runs_once_more_without_kernels(machine: Machine) -> None:
    assert machine.run(".ci/run").returncode == 0
    assert machine.asked("-m pytest -q --durations=10 -m not slow\n") and machine.asked(
        "not slow tests/heads tests/layers"
    )


def test_the_gpu_check_is_walked_through(machine: Machine) -> None:
    assert machine.run("tools/gpu_check.sh", "5").returncode == 0 and machine.asked("-m benchmarks.gpu_check 5\n")
    assert machine.asked("pip install pip>=22.3 -e .[cpu,test]") and not machine.asked("-m pytest")
    assert machine.run(".ci/run").returncode == 0 and machine.asked("-m benchmarks.gpu_check --device cpu\n")
    for script, status in (("tools/gpu_check.sh", 3), (".ci/run", 3)):
        assert machine.run(script, FAIL_AT="benchmarks.gpu_check", FAIL_WITH="1 failed").returncode == status


def test_camvid_installs_the_weights_and_reads_folders_from_where_it_is_called(machine: Machine) -> None:
    assert machine.run("tools/camvid.sh", "data", "--status").returncode == 0
    assert machine.asked("-e .[cpu,demo]")
    assert machine.asked(f"{ROOT} -m benchmarks.camvid data --status")
