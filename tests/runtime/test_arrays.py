"""Arrays over the memory of tensors, and back; memory that is no longer used is given back."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.layers.functional import resize_bilinear
from paddleseg_ext.runtime.arrays import to_array, to_tensor


def test_arrays_share_memory_with_tensors_and_survive_them() -> None:
    tensor = paddle.arange(24, dtype="float32").reshape([4, 6])
    expected = tensor.numpy()
    transposed = to_array(tensor.transpose([1, 0])[1:])
    array = to_array(tensor)
    back = to_tensor(array[:, ::-1])
    del tensor
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(transposed, expected.T[1:])
    np.testing.assert_array_equal(back.numpy(), expected[:, ::-1])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("shape", [[], [3], [2, 0, 3], [2, 3]])
def test_any_type_and_shape(dtype: str, shape: list[int]) -> None:
    tensor = paddle.ones(shape, dtype)
    array = to_array(tensor)
    assert array.dtype == np.dtype(dtype) and list(array.shape) == shape
    np.testing.assert_array_equal(array, tensor.numpy())


def test_what_is_written_is_in_the_tensor() -> None:
    tensor = paddle.zeros([2, 3])
    to_array(tensor)[1] = 5
    assert tensor.numpy().sum() == 15


def test_bfloat16_is_refused() -> None:
    with pytest.raises(TypeError):
        to_array(paddle.zeros([2], "bfloat16"))


def resident_mebibytes() -> float:
    status = Path("/proc/self/status").read_text("utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="tells memory on Linux alone")
@pytest.mark.parametrize(
    "convert",
    [
        lambda x: to_tensor(to_array(x)),
        lambda x: to_tensor(to_array(to_tensor(to_array(x)))),
        lambda x: to_array(resize_bilinear(x, [512, 512], False)),
        lambda x: F.softmax(to_tensor(to_array(resize_bilinear(x, [512, 512], False))), axis=1),
    ],
)
def test_memory_is_given_back(convert: Callable[[paddle.Tensor], object]) -> None:
    x = paddle.ones([1, 4, 511, 512])  # 4 MiB
    convert(x)
    before = resident_mebibytes()
    for _ in range(30):
        convert(x)
    assert resident_mebibytes() - before < 40
