"""Reading in this process what is otherwise read in another one, for tests of what is read rather than of limits."""

from __future__ import annotations

import io
import json
import subprocess
from typing import Any

import pytest

from paddleseg_ext.checkpoint import isolation
from paddleseg_ext.checkpoint.isolated.main import run


class Inside:
    """Stands in for `subprocess.Popen`."""

    def __init__(self, command: list[str], stdin: io.BufferedReader, **_: Any) -> None:
        out, errors = _Kept(), io.StringIO()
        self.status = run(json.loads(command[-3]), stdin, out, errors)
        self.stdout, self.stderr = io.BytesIO(out.getvalue()), io.BytesIO(errors.getvalue().encode())

    def wait(self) -> int:
        return self.status

    def kill(self) -> None: ...


class _Kept(io.BytesIO):
    def close(self) -> None: ...


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "subprocess", type("subprocess", (), {"Popen": Inside, "PIPE": subprocess.PIPE}))
