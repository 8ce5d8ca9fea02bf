"""How many threads a command takes: of cores, containers, launched processes and readers, unless the user says."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import cv2
import paddle
import pytest

from paddleseg_ext.cli.main import main
from paddleseg_ext.compat import environment
from paddleseg_ext.compat.paddle import threads
from paddleseg_ext.runtime import threads as module
from paddleseg_ext.runtime.device import reading_processes
from paddleseg_ext.runtime.threads import cpu_threads, leave_cores, use_threads
from tests.processes import launch_two

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """Processors, cores and control groups of a machine that is not there."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        patch.setattr(module, "CGROUPS", root / "cgroup")
        patch.setattr(module, "MEMBERSHIP", root / "membership")
        patch.setattr(module, "TOPOLOGY", str(root / "cpu{}"))
        patch.setattr(environment, "THREADS_BEFORE", {})
        for name in ("PADDLE_LOCAL_SIZE", "PADDLE_TRAINER_ID"):
            patch.delenv(name, raising=False)
        self.processors(16)

    def processors(self, count: int, threads_a_core: int = 1) -> None:
        self.patch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)
        for number in range(count):
            (self.root / f"cpu{number}").write_text(f"{number // threads_a_core}\n")

    def group(self, membership: str, **files: str) -> None:
        """A control group's files, `/` in their names being `__` and `.` being `_0_`."""
        (self.root / "membership").write_text(membership)
        for name, text in files.items():
            path = self.root / "cgroup" / name.replace("__", "/").replace("_0_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_thread_for_each_core_that_the_process_may_use(machine: Machine) -> None:
    assert cpu_threads() == 16
    machine.processors(16, threads_a_core=2)
    assert cpu_threads() == 8
    machine.patch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4})  # two of one core, one of another
    assert cpu_threads() == 2
    machine.patch.setattr(module, "TOPOLOGY", "/nowhere/{}")
    assert cpu_threads() == 3
    machine.patch.delattr(os, "sched_getaffinity")  # macOS
    machine.patch.setattr(os, "cpu_count", lambda: 10)
    assert cpu_threads() == 10


@pytest.mark.parametrize(
    "membership, files, expected",
    [
        ("0::/\n", {"cpu_0_max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu_0_max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu_0_max": "50000 100000\n"}, 1),  # half a processor
        ("0::/\n", {"cpu_0_max": "3200000 100000\n"}, 16),  # more than there are
        (
            "0::/a/b\n",
            {"a__cpu_0_max": "300000 100000\n", "a__b__cpu_0_max": "max 100000\n"},
            3,
        ),  # of the one around it
        ("0::/only/outside\n", {"cpu_0_max": "250000 100000\n"}, 2),  # a path of the host's, seen within a container
        ("0::/\n", {"cpu_0_max": "nonsense"}, 16),
        (
            "4:memory:/a\n3:cpu,cpuacct:/a\n0::/\n",
            {"cpu,cpuacct__a__cpu_0_cfs_quota_us": "500000\n", "cpu,cpuacct__a__cpu_0_cfs_period_us": "100000\n"},
            5,
        ),
        ("3:cpu:/\n", {"cpu__cpu_0_cfs_quota_us": "-1\n", "cpu__cpu_0_cfs_period_us": "100000\n"}, 16),
        ("3:cpu:/x\n", {"cpu__cpu_0_cfs_quota_us": "200000\n", "cpu__cpu_0_cfs_period_us": "100000\n"}, 2),
        ("5:memory:/\n", {"cpu__cpu_0_cfs_quota_us": "200000\n", "cpu__cpu_0_cfs_period_us": "100000\n"}, 16),
    ],
)
def test_a_container_has_no_more_than_it_is_granted(
    machine: Machine, membership: str, files: dict[str, str], expected: int
) -> None:
    machine.group(membership, **files)
    assert cpu_threads() == expected


def test_processes_of_a_launch_share_the_cores(machine: Machine) -> None:
    machine.patch.setenv("PADDLE_LOCAL_SIZE", "3")
    machine.patch.setattr(paddle.distributed, "get_world_size", lambda: 12)  # on four machines
    assert cpu_threads() == 5
    machine.patch.setenv("PADDLE_LOCAL_SIZE", "48")
    assert cpu_threads() == 1
    machine.patch.delenv("PADDLE_LOCAL_SIZE")
    assert cpu_threads() == 1


@pytest.mark.parametrize(
    "given, launched, flag, expected",
    [
        ({}, False, None, 16),
        ({"OMP_NUM_THREADS": ""}, False, None, 16),
        ({"OMP_NUM_THREADS": "1"}, False, None, None),
        ({"OMP_NUM_THREADS": "3,2"}, False, None, None),
        ({"MKL_NUM_THREADS": "2"}, False, None, None),
        ({"OMP_NUM_THREADS": "1"}, True, None, 16),  # the launcher's own
        ({"OMP_NUM_THREADS": "2"}, True, None, None),
        ({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "4"}, True, None, None),
        ({"OMP_NUM_THREADS": "3"}, False, 5, 5),
        ({}, True, 1, 1),
    ],
)
def test_what_the_user_says_holds(
    machine: Machine, given: dict[str, str], launched: bool, flag: int | None, expected: int | None
) -> None:
    """Expected is None: Paddle's number stays as it is, for it has read the same variables."""
    machine.patch.setattr(environment, "THREADS_BEFORE", given)
    machine.patch.setenv("OMP_NUM_THREADS", given.get("OMP_NUM_THREADS") or "1")
    if launched:
        machine.patch.setenv("PADDLE_TRAINER_ID", "0")
    asked: list[int] = []
    machine.patch.setattr(paddle.base.core, "set_num_threads", asked.append)
    before, opencv = threads(), cv2.getNumThreads()
    with use_threads(flag):
        assert asked == ([expected] if expected else [])
        assert threads() == (expected or before)
        assert os.environ["OMP_NUM_THREADS"] == str(expected or given.get("OMP_NUM_THREADS") or 1)
        # those who read data get their share only of a number that nobody chose
        leave_cores(6)
        assert threads() == (10 if expected == 16 else expected or before)
        leave_cores(30)
        assert threads() == (1 if expected == 16 else expected or before)
    assert (threads(), cv2.getNumThreads()) == (before, opencv)


def test_readers_that_were_asked_for_take_cores_of_the_network(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.patch.setattr(paddle, "get_device", lambda: "cpu")
    machine.processors(4)
    with use_threads(), caplog.at_level(logging.INFO, "paddleseg_ext"):
        assert reading_processes() == 0 and threads() == 4 and not caplog.messages
        assert reading_processes(3) == 3 and threads() == 1
        assert reading_processes(3) == 3
        assert caplog.messages == ["1 thread for the network, beside 3 processes that read data"]


NUMBERS = """
import sys
import cv2
from paddleseg_ext.cli import main
from paddleseg_ext.cli.commands import list as command
from paddleseg_ext.compat.paddle import threads
def run(args):
    print("threads", threads(), cv2.getNumThreads(), file=sys.stderr, flush=True)
    return 0
command.run = run
raise SystemExit(main.main(["heads", *sys.argv[2:]], command="list"))
"""


def numbers(script: Path, *arguments: str, **env: str) -> str:
    """What a command in a process of its own says of its threads; nothing else may be said."""
    script.write_text(NUMBERS)
    others = {name: value for name, value in os.environ.items() if name not in environment.THREAD_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "-", *arguments],
        env={**others, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_commands_take_all_cores_or_the_flag_without_a_warning_of_paddle(tmp_path: Path) -> None:
    assert numbers(tmp_path / "run.py") == f"threads {cpu_threads()} {cpu_threads()}\n"
    assert numbers(tmp_path / "run.py", "--threads", "2", OMP_NUM_THREADS="3") == "threads 2 2\n"


@pytest.mark.slow  # the log of a launched training tells its number in test_distributed.py
def test_launched_processes_share_what_the_launcher_would_leave_unused(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(NUMBERS)
    share = max(1, cpu_threads() // 2)
    done = launch_two(script, tmp_path)
    logs = [log.read_text() for log in (tmp_path / "log").glob("workerlog.*")]
    assert done.returncode == 0, logs
    assert len(logs) == 2 and all(f"threads {share} {share}\n" in log for log in logs), logs


@pytest.mark.parametrize("command, arguments", [("benchmark", ["heads"]), ("list", [])])
def test_subcommands_know_the_flag(command: str, arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main([command, *arguments, "--threads", "0"]) == 2
    assert "--threads" in capsys.readouterr().err
