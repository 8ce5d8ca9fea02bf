"""What is set before Paddle is loaded, and what the user chose."""

from __future__ import annotations

import os
import sys

import pytest

from paddleseg_ext.compat import environment


@pytest.fixture
def before_paddle(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in a process that has not imported Paddle and whose user set nothing."""
    monkeypatch.delitem(sys.modules, "paddle")
    for name in ("KMP_BLOCKTIME", "OMP_WAIT_POLICY", "KMP_LIBRARY", "MKL_DEBUG_CPU_TYPE"):
        monkeypatch.setenv(name, "")  # so that whatever a test leaves is undone
        monkeypatch.delenv(name)
    return monkeypatch


def value(name: str) -> str | None:
    return os.environ.get(name)


def test_openmp_sleeps_soon(before_paddle: pytest.MonkeyPatch) -> None:
    environment.tune_openmp()
    assert value("KMP_BLOCKTIME") == "1"


@pytest.mark.parametrize("name, chosen", [("KMP_BLOCKTIME", "200"), ("OMP_WAIT_POLICY", "ACTIVE")])
def test_the_users_way_of_waiting_is_kept(name: str, chosen: str, before_paddle: pytest.MonkeyPatch) -> None:
    before_paddle.setenv(name, chosen)
    environment.tune_openmp()
    assert value("KMP_BLOCKTIME") == (chosen if name == "KMP_BLOCKTIME" else None)


@pytest.mark.parametrize("vendor, expected", [("AuthenticAMD", "5"), ("GenuineIntel", None)])
def test_mkl_is_tuned_on_amd_alone(vendor: str, expected: str | None, before_paddle: pytest.MonkeyPatch) -> None:
    before_paddle.setattr(environment, "processor_vendor", lambda: vendor)
    environment.tune_mkl()
    assert value("MKL_DEBUG_CPU_TYPE") == expected


def test_nothing_is_set_when_paddle_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMP_BLOCKTIME", "")
    monkeypatch.delenv("KMP_BLOCKTIME")
    environment.tune_openmp()
    assert value("KMP_BLOCKTIME") is None
