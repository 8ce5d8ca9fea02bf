"""Loading of weight files: counts, names of mismatches, and no execution of code in a file."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from safetensors.numpy import save_file

from paddleseg_ext.checkpoint.load import load_weights, not_finite, read_weights
from paddleseg_ext.errors import UserError

pytestmark = pytest.mark.usefixtures("inside")


def network(width: int = 4) -> nn.Layer:
    return nn.Sequential(nn.Conv2D(3, width, 3), nn.BatchNorm2D(width))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[nn.Layer, Path]:
    net = network()
    path = tmp_path / "model.pdparams"
    paddle.save(net.state_dict(), str(path))
    return net, path


def test_round_trip(saved: tuple[nn.Layer, Path]) -> None:
    net, path = saved
    other = network()
    report = load_weights(other, path)
    assert len(report.matching) == 6
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy())


def test_safetensors(saved: tuple[nn.Layer, Path], tmp_path: Path) -> None:
    net, _ = saved
    path = tmp_path / "model.safetensors"
    save_file({name: value.numpy() for name, value in net.state_dict().items()}, path)
    load_weights(network(), path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_of_paddle_save(saved: tuple[nn.Layer, Path], tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "old.pdparams"
    paddle.save(saved[0].state_dict(), str(path), protocol=protocol)
    assert len(read_weights(path)) == 6


def test_slices_of_large_tensors_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "large.pdparams"
    note = {"weight": {"OriginShape": (2, 3), "slices": ["weight@@.0", "weight@@.1"]}}
    pieces = {"weight@@.0": np.arange(4.0), "weight@@.1": np.arange(4.0, 6.0), "UnpackBigParamInfor@@": note}
    path.write_bytes(pickle.dumps(pieces, 2))
    np.testing.assert_array_equal(read_weights(path)["weight"], [[0, 1, 2], [3, 4, 5]])


def test_pairs_of_older_files(tmp_path: Path) -> None:
    path = tmp_path / "pairs.pdparams"
    path.write_bytes(pickle.dumps({"a": ("linear_0.w_0", np.ones(3))}))
    np.testing.assert_array_equal(read_weights(path)["a"], np.ones(3))


def test_code_in_a_file_is_not_executed(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "attack.pdparams"
    path.write_bytes(pickle.dumps({"weight": Attack()}))
    with pytest.raises(UserError, match=r"attack\.pdparams .* refers to (posix|nt)\.system"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("cut", [0, 1, 10, 100, 300])
def test_truncated_file(saved: tuple[nn.Layer, Path], cut: int) -> None:
    path = saved[1]
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"model\.pdparams"):
        read_weights(path)


def test_flipped_bits_raise_at_most_a_user_error(saved: tuple[nn.Layer, Path]) -> None:
    path = saved[1]
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(content)
        damaged[generator.integers(len(content))] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            weights = read_weights(path)
        except UserError:
            continue
        assert all(isinstance(value, np.ndarray) for value in weights.values())


@pytest.mark.parametrize(
    "content, message",
    [(b"PK\x05\x06" + bytes(18), "zip archive"), (pickle.dumps([1]), "holds a list"), (b"", "cannot be read")],
)
def test_files_of_other_formats(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.pdparams"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_weights(path)


def test_a_folder_stands_for_the_weights_in_it(saved: tuple[nn.Layer, Path], tmp_path: Path) -> None:
    tensors = {name: value.numpy() for name, value in saved[0].state_dict().items()}
    expected = tensors["0.weight"].copy()
    np.testing.assert_array_equal(read_weights(tmp_path)["0.weight"], expected)
    tensors["0.weight"] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read_weights(tmp_path)["0.weight"], expected + 1)
    other = network()
    load_weights(other, tmp_path)
    np.testing.assert_array_equal(other[0].weight.numpy(), expected + 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"folder .*empty has no model\.safetensors and no model\.pdparams"):
        read_weights(tmp_path / "empty")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("complete", [True, False])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, number: float, complete: bool) -> None:
    net = network()
    before = net[0].weight.numpy()
    tensors = {name: np.array(value.numpy()) for name, value in net.state_dict().items()}
    tensors["0.weight"][0, 1, 2, 0] = number
    tensors["1._mean"][:2] = number
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"weight 0\.weight has 1 numbers that are not finite .* and so have 1 others"):
        load_weights(net, tmp_path / "model.safetensors", complete=complete)
    np.testing.assert_array_equal(net[0].weight.numpy(), before)


@pytest.mark.parametrize("kind, number", [("float32", 3e38), ("float16", 6e4), ("float64", 1e308)])
def test_large_numbers_are_finite(kind: str, number: float) -> None:
    assert not_finite({"weight": np.full(100, number, kind)}) == []
    assert not_finite({"weight": np.array([number, -np.inf, np.inf], kind), "count": np.arange(3)}) == ["weight"]


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pdparams")
    with pytest.raises(UserError, match=r"pipe\.pdparams is not a file"):
        read_weights(tmp_path / "pipe.pdparams")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.pdparams is not a file"):
        load_weights(network(), tmp_path / "nothing.pdparams")


def test_no_matching_name(saved: tuple[nn.Layer, Path]) -> None:
    with pytest.raises(UserError, match="none of its 6 names .* is one of the model's"):
        load_weights(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))), saved[1])


def test_partial_match(saved: tuple[nn.Layer, Path]) -> None:
    net = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.Conv2D(4, 2, 1))
    before = net[0].weight.numpy().copy()
    with pytest.raises(UserError, match=r"2 missing \(2\.weight, 2\.bias\)"):
        load_weights(net, saved[1])
    np.testing.assert_array_equal(net[0].weight.numpy(), before)
    report = load_weights(net, saved[1], complete=False)
    assert report.missing == ["2.weight", "2.bias"]
    np.testing.assert_array_equal(net[0].weight.numpy(), saved[0][0].weight.numpy())


def test_other_shape_is_named(saved: tuple[nn.Layer, Path]) -> None:
    net = nn.Sequential(nn.Conv2D(3, 4, 5), nn.BatchNorm2D(4))
    with pytest.raises(UserError, match=r"0\.weight: file \[4, 3, 3, 3\], model \[4, 3, 5, 5\]"):
        load_weights(net, saved[1])
