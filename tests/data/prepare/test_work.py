"""Many files at once: order, the first problems, killed processes, and files written whole or not at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext.data.prepare.work import for_all, kept, write_label, write_text
from paddleseg_ext.errors import UserError


def square(number: int) -> int:
    if number % 10 == 7:
        raise UserError(f"{number} will not do")
    return number * number


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers: int) -> None:
    assert for_all(square, range(6), workers, "number") == [0, 1, 4, 9, 16, 25]
    assert for_all(square, [], workers, "number") == []


@pytest.mark.parametrize("workers", [0, 3])
def test_the_first_problems_are_named(workers: int) -> None:
    with pytest.raises(UserError, match=r"^7 will not do$"):
        for_all(square, range(10), workers, "number")
    with pytest.raises(UserError, match=r"^7 files cannot be used: 7 will not do; .*; 47 will not do; …$"):
        for_all(square, range(70), workers, "number")


def test_a_killed_process_is_told() -> None:
    with pytest.raises(UserError, match="was killed.*lower `num_workers`"):
        for_all(die, range(4), 2, "number")


def test_a_number_of_processes() -> None:
    with pytest.raises(UserError, match="`num_workers` -1"):
        for_all(square, [1], -1, "number")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match=r"a: it cannot be written"):
        write_text(tmp_path / "a", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_kept(tmp_path: Path) -> None:
    label, source = tmp_path / "label.png", tmp_path / "source"
    source.touch()
    assert kept(label, [source]) is None
    write_label(label, np.zeros((2, 3), np.uint8))
    os.utime(source, ns=(0, 0))
    assert kept(label, [source]).shape == (2, 3) and kept(label, [source], (3, 2)) is None
    os.utime(source, ns=(2**62, 2**62))
    assert kept(label, [source]) is None
