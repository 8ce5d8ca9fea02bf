"""Freed memory is kept, unless the user has chosen otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paddleseg_ext.cpu import memory

PROGRAM = """
import resource, runpy, sys
import numpy as np
module = runpy.run_path(sys.argv[1])
assert module["keep_freed_memory"]() == (sys.argv[2] == "kept")
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24, np.float32)  # 64 MiB
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
@pytest.mark.parametrize("variables, kept", [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)])
def test_a_large_block_is_used_again(variables: dict[str, str], kept: bool) -> None:
    arguments = [sys.executable, "-c", PROGRAM, str(Path(memory.__file__)), "kept" if kept else "given back"]
    run = subprocess.run(arguments, env=variables, capture_output=True, text=True, check=True)
    assert (int(run.stdout) < 100) == kept
