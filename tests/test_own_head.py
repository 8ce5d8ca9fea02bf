"""The head of one's own that the README shows, outside the repository in two files, trains as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("readme", ["README.md", "README_CN.md"])
def test_the_readmes_two_files_train(readme: str, tmp_path: Path) -> None:
    text = (ROOT / readme).read_text("utf-8")
    module = re.search(r"```python\n# my_heads\.py\n(.*?)```", text, re.S)
    config = re.search(r"```yaml\n# my\.yml\n(.*?)```", text, re.S)
    (tmp_path / "my_heads.py").write_text(module[1], encoding="utf-8")
    assert "path/to/clone" in config[1]
    (tmp_path / "my.yml").write_text(config[1].replace("path/to/clone", str(ROOT)), encoding="utf-8")
    few = ["train_dataset.train_images=4", "train_dataset.val_images=1"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/train.py"), "--config", "my.yml", "--iters", "1", "--opts", *few],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "output" / "iter_1" / "model.pdparams").is_file()
