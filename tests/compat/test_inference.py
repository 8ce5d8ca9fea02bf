"""Graphs of any Paddle run under Paddle Predictor as PaddleSeg's scripts set it up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import inference, nn

from paddleseg_ext.cli.main import main
from paddleseg_ext.compat.inference import Config, repaired_inference
from paddleseg_ext.export.formats import graph_file, save_paddle


class Resized(nn.Layer):
    """Bilinear resizing and argmax, as every head ends."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 3, stride=2, padding=1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [nn.functional.interpolate(self.conv(x), paddle.shape(x)[2:], mode="bilinear")]


@pytest.fixture(scope="module")
def model() -> Resized:
    return Resized()


@pytest.fixture(scope="module")
def folder(model: Resized, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("graph")
    save_paddle(model, made, "argmax", (None, 3, None, None), None)
    return made


def predicted(config: inference.Config, images: np.ndarray) -> np.ndarray:
    predictor = inference.create_predictor(config)
    handle = predictor.get_input_handle(predictor.get_input_names()[0])
    handle.reshape(images.shape)
    handle.copy_from_cpu(images)
    predictor.run()
    return predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()


IMAGES = np.random.default_rng(0).normal(size=(2, 3, 9, 14)).astype("float32")


@pytest.mark.parametrize("saves_memory", [None, True, False])
@pytest.mark.parametrize("name", ["own", "model.pdmodel"])
def test_as_infer_py_sets_it_up(name: str, saves_memory: bool | None, folder: Path, model: Resized) -> None:
    graph = graph_file(folder) if name == "own" else folder / name  # deploy.yaml names the second on any Paddle
    config = Config(str(graph), str(folder / "model.pdiparams"))
    config.disable_glog_info()
    config.enable_memory_optim() if saves_memory is None else config.enable_memory_optim(saves_memory)
    config.switch_ir_optim(True)
    config.disable_gpu()
    expected = model(paddle.to_tensor(IMAGES))[0].argmax(1)
    np.testing.assert_array_equal(predicted(config, IMAGES), expected.numpy())


def test_a_missing_graph_is_still_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"absent\.pdmodel"):
        config = Config(str(tmp_path / "absent.pdmodel"), str(tmp_path / "absent.pdiparams"))
        inference.create_predictor(config)  # Paddle 2 looks no earlier


def test_only_scripts_see_it(tmp_path: Path) -> None:
    own = inference.Config
    path = tmp_path / "script.py"
    path.write_text("import sys\nfrom paddle.inference import Config\nsys.exit(Config.__module__)\n")
    with pytest.raises(SystemExit, match=r"paddleseg_ext\.compat\.inference"):
        main(["run", str(path)])
    assert inference.Config is own
    with repaired_inference():
        assert inference.Config is Config
    assert inference.Config is own
