"""A disk that is full, and a limit of the shell on files: told with status 2, and gone on from after room was made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paddleseg_ext.checkpoint.save import list_checkpoints, load_checkpoint
from tests.tiny_run import assert_same, write_config, write_samples

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "--save_interval 5 --log_iters 1 --do_eval --use_ema --seed 3 --keep_checkpoint_max 0 --resume auto"
pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return write_config(write_samples(tmp_path / "data"), imports=["tests.tiny_run"])


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def train(config: Path, folder: Path, *more: str, limit: str = "unlimited") -> subprocess.CompletedProcess:
    """`tools/train.py` in a shell with a limit on the size of files, in blocks of 1024 bytes as bash counts."""
    arguments = [sys.executable, str(ROOT / "tools" / "train.py"), "--config", str(config), "--save_dir", str(folder)]
    return subprocess.run(
        ["bash", "-c", f'ulimit -S -f {limit}; exec "$@"', "bash", *arguments, *FLAGS.split(), *more],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def assert_goes_on(config: Path, folder: Path, tmp_path: Path) -> None:
    assert train(config, folder).returncode == 0
    assert train(config, tmp_path / "straight").returncode == 0
    a, b = (load_checkpoint(path / "iter_20") for path in (folder, tmp_path / "straight"))
    assert_same(a.weights, b.weights)
    assert_same(a.arrays, b.arrays)
    assert a.record == b.record


def halve(folder: Path) -> None:
    """Leave what was there after ten of the twenty iterations."""
    for name in ("iter_15", "iter_20"):
        shutil.rmtree(folder / name)


def sentence(run: subprocess.CompletedProcess) -> str:
    """The one line that an error is told in."""
    assert run.returncode == 2 and "Traceback" not in run.stderr, run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("left", [24, 40, 64])
def test_a_full_disk(data: Path, small_disk: Path, tmp_path: Path, left: int) -> None:
    """With so many KiB left, it is full while a checkpoint, the best model or something else is written."""
    folder = small_disk / "run"
    assert train(data, folder).returncode == 0
    halve(folder)
    state = os.statvfs(small_disk)
    (small_disk / "others.bin").write_bytes(bytes(state.f_bavail * state.f_bsize - left * 1024))
    told = sentence(train(data, folder))
    assert f"--save_dir {folder}" in told and "No space left on device); make room on the disk" in told, told
    assert told.endswith("by --resume auto") and [path.name for path in list_checkpoints(folder)][:2] == [
        "iter_5",
        "iter_10",
    ]
    assert not list(folder.glob(".*~"))
    (small_disk / "others.bin").unlink()
    assert_goes_on(data, folder, tmp_path)


def test_a_disk_that_is_full_at_the_start(data: Path, small_disk: Path) -> None:
    state = os.statvfs(small_disk)
    (small_disk / "others.bin").write_bytes(bytes(state.f_bavail * state.f_bsize - 4096))
    assert "make room on the disk" in sentence(train(data, small_disk / "run"))


def test_a_limit_on_files(data: Path, tmp_path: Path) -> None:
    """Which the weights pass and the file of the training state, three times as large, does not."""
    folder = tmp_path / "run"
    assert train(data, folder).returncode == 0
    halve(folder)
    told = sentence(train(data, folder, limit="5"))
    assert "(File too large); raise the limit on the size of files (ulimit -f)" in told
    assert [path.name for path in list_checkpoints(folder)] == ["iter_5", "iter_10"]
    assert_goes_on(data, folder, tmp_path)


def test_a_limit_that_no_checkpoint_fits(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", limit="1")
    assert "files may have" in sentence(run) and "iter 1/" not in run.stderr + run.stdout
