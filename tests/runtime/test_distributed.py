"""Two processes of b images train, evaluate and stop as one process of 2b."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.cli.main import main
from paddleseg_ext.runtime.threads import count_of, cpu_threads
from tests.processes import launch_two
from tests.tiny_run import CLASSES, write_config, write_samples

SCRIPT = Path(__file__).parent / "two_processes.py"
FLAGS = ["--iters", "4", "--seed", "3", "--do_eval", "--save_interval", "2", "--log_iters", "1", "--use_ema"]


@pytest.mark.skipif(sys.platform != "linux", reason="gloo")
def test_two_processes_equal_one_of_twice_the_batch(tmp_path: Path) -> None:
    write_samples(tmp_path)
    config = write_config(tmp_path, model={"type": "TwoOutputs", "num_classes": CLASSES, "plain": True})
    two, one = tmp_path / "two", tmp_path / "one"
    done = launch_two(SCRIPT, tmp_path, *FLAGS, "--save_dir", str(two), "--batch_size", "1", "--accumulate", "2")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    share = count_of(max(1, cpu_threads() // 2), "thread")  # the launcher's own number is 1
    assert f"computing on cpu; {share} on the processor" in (tmp_path / "log" / "workerlog.0").read_text("utf-8")
    assert main(["train", "--config", str(config), *FLAGS, "--save_dir", str(one), "--batch_size", "4"]) == 0
    a, b = (checkpoint.load_checkpoint(path / "iter_4") for path in (two, one))
    assert a.record["position"] == b.record["position"] == 16
    for name in b.weights:
        np.testing.assert_allclose(a.weights[name], b.weights[name], atol=1e-5, err_msg=name)
    records = [[json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (two, one)]
    assert [r["iter"] for r in records[0]] == [r["iter"] for r in records[1]] == [1, 2, 2, 3, 4, 4]  # written once
    for one_record, other in zip(*records):
        for key in ("loss", "miou"):
            if key in other:
                assert one_record[key] == pytest.approx(other[key], abs=1e-4)


OWN_FOLDERS = """
import os, sys
from pathlib import Path
from paddleseg_ext.cli.main import main
from tests import tiny_run
root, rank = Path(sys.argv[1]), os.environ["PADDLE_TRAINER_ID"]
arguments = [*sys.argv[2:], "--save_dir", str(root / f"node{rank}")]
sys.exit(main(["train", "--config", str(root / "config.yml"), *arguments]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="gloo")
def test_nodes_that_find_different_checkpoints_stop(tmp_path: Path) -> None:
    """Without a shared disk only process 0's node has the files; the others would begin anew, and all would hang."""
    config = write_config(write_samples(tmp_path))
    assert main(["train", "--config", str(config), "--iters", "2", "--save_dir", str(tmp_path / "node0")]) == 0
    (tmp_path / "run.py").write_text(OWN_FOLDERS)
    done = launch_two(tmp_path / "run.py", tmp_path, "--resume", "auto", "--device", "cpu", "--resume_anyway")
    assert done.returncode != 0
    for log in sorted((tmp_path / "log").glob("workerlog.*")):
        assert "the processes would start from different iterations, 0 to 2" in log.read_text("utf-8")
