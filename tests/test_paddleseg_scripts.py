"""PaddleSeg's own six scripts under ``paddleseg-ext run``: a configuration of ours from training to deployment.

Needs a checkout of PaddleSeg and what its requirements name: PADDLESEG_EXT_CHECKOUT=path/to/PaddleSeg.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from paddleseg_ext.export.formats import graph_file, save_onnx

ROOT = Path(__file__).resolve().parents[1]
CHECKOUT = os.environ.get("PADDLESEG_EXT_CHECKOUT", "")
COMMAND = "import sys; from paddleseg_ext.cli.main import main; sys.exit(main())"
MEAN = STD = [0.5, 0.5, 0.5]  # infer_onnx.py reads no deploy.yaml and has these
pytestmark = [
    pytest.mark.checkout,
    pytest.mark.skipif(not CHECKOUT, reason="PADDLESEG_EXT_CHECKOUT names no checkout of PaddleSeg"),
]


def extension(*arguments: str | Path, cwd: Path) -> str:
    """What the command ``paddleseg-ext`` says; PaddleSeg's package is the checkout's, like the scripts."""
    paths = [str(ROOT), CHECKOUT, os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMAND, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def script(name: str, *arguments: str | Path, cwd: Path) -> str:
    return extension("run", Path(CHECKOUT, name), *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, its data, and weights that tools/train.py made of them."""
    folder = tmp_path_factory.mktemp("stock")
    normalize = {"type": "Normalize", "mean": MEAN, "std": STD}
    crop = {"type": "ScaleCropFlip", "crop_size": [128, 64]}
    data = {"dataset_root": "streets", "train_images": 8, "val_images": 2}
    config = {
        "_base_": str(ROOT / "configs" / "quickstart" / "pspnet_from_noise.yml"),
        "train_dataset": {**data, "transforms": [crop, normalize]},
        "val_dataset": {**data, "transforms": [normalize]},
        "lr_scheduler": {"learning_rate": 0.05},
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    options = "--save_dir output --iters 80 --save_interval 80 --log_iters 40 --do_eval --seed 1".split()
    said = script("tools/train.py", "--config", "config.yml", *options, "--device", "cpu", cwd=folder)
    assert "iter: 80/80" in said and "mIoU" in said
    return folder


def weights(trained: Path) -> list[str]:
    return ["--config", "config.yml", "--model_path", str(trained / "output" / "iter_80" / "model.pdparams")]


def picture(trained: Path) -> Path:
    return sorted((trained / "streets" / "leftImg8bit" / "val").rglob("*.png"))[0]


def ids(folder: Path, trained: Path) -> np.ndarray:
    """Class ids of the one picture that a script drew in a palette of 256 colors."""
    found = list(folder.rglob(f"{picture(trained).stem}.png"))
    assert len(found) == 1
    return np.asarray(Image.open(found[0]))


@pytest.fixture(scope="module")
def predicted(trained: Path) -> np.ndarray:
    """What tools/predict.py says of the picture: (H, W) class ids."""
    options = ["--image_path", picture(trained), "--save_dir", "predicted", "--device", "cpu"]
    script("tools/predict.py", *weights(trained), *options, cwd=trained)
    found = ids(trained / "predicted" / "pseudo_color_prediction", trained)
    assert found.shape == (128, 256) and len(np.unique(found)) > 1
    return found


@pytest.fixture(scope="module", params=["ours", "theirs"])
def exported(request: pytest.FixtureRequest, trained: Path) -> Path:
    """The network as ``paddleseg-ext export`` or as tools/export.py writes it, with model.onnx beside."""
    folder = trained / request.param
    if request.param == "ours":
        extension("export", *weights(trained), "--save_dir", folder, "--format", "both", cwd=trained)
    else:
        script("tools/export.py", *weights(trained), "--save_dir", folder, cwd=trained)
        save_onnx(graph_file(folder), folder / "model.pdiparams", folder / "model.onnx", 17)
    return folder


def test_val_says_what_training_did(trained: Path) -> None:
    assert "mIoU" in script("tools/val.py", *weights(trained), "--device", "cpu", cwd=trained)


def test_deploy_yaml_speaks_of_what_paddleseg_knows(exported: Path) -> None:
    deploy = yaml.safe_load((exported / "deploy.yaml").read_text())["Deploy"]
    assert [transform["type"] for transform in deploy["transforms"]] == ["Normalize"]


def test_infer(exported: Path, trained: Path, predicted: np.ndarray, tmp_path: Path) -> None:
    files = ["--config", exported / "deploy.yaml", "--image_path", picture(trained), "--save_dir", tmp_path]
    assert "Finish" in script("deploy/python/infer.py", *files, "--device", "cpu", cwd=trained)
    assert (ids(tmp_path, trained) == predicted).mean() > 0.9999


def test_infer_onnx(exported: Path, trained: Path, predicted: np.ndarray, tmp_path: Path) -> None:
    files = ["--onnx_file", exported / "model.onnx", "--img_path", picture(trained), "--save_dir", tmp_path]
    script("deploy/python/infer_onnx.py", *files, cwd=trained)
    assert (ids(tmp_path, trained) == predicted).mean() > 0.9999
