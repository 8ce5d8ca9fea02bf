"""Writing an exported network: Paddle's own format, and ONNX made from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import paddle
from paddle import nn

from paddleseg_ext.compat.paddleseg import quiet
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.export.wrapper import Colors, Exportable, input_spec

ONNX_NAME = "model.onnx"
ONNX_PACKAGES = ("paddle2onnx", "onnx", "onnxruntime")
OPSETS = range(11, 20)
# As `python -m` would, but without this package, which the converter does not need and which takes seconds to import.
ONNX_WORKER = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


def save_paddle(
    model: nn.Layer, folder: Path, output_op: str, shape: Sequence[int | None], colors: Colors | None
) -> tuple[Path, Path]:
    """Trace a model and write ``model.json`` (before Paddle 3 ``model.pdmodel``) and ``model.pdiparams``.

    Args:
        model: In evaluation mode; it stays untraced.
        folder: Exists and is empty.
        output_op: See `Exportable`.
        shape: (N, C, H, W) with None for what stays free.
        colors: See `Exportable`.

    Returns:
        The graph's file and the weights'.

    Raises:
        UserError: The model cannot be traced.
    """
    wrapped = Exportable(model, output_op, colors)
    wrapped.eval()
    try:
        trace(wrapped, input_spec(shape, colors is not None), folder)
    except UserError as error:
        raise UserError(f"{type(model).__name__} cannot be traced with the input {list(shape)}: {error}") from error
    for by_product in folder.glob("*.info"):
        by_product.unlink()
    return graph_file(folder), folder / "model.pdiparams"


def trace(layer: nn.Layer, spec: paddle.static.InputSpec, folder: Path) -> None:
    """Trace a layer, which stays traced, and write its graph and weights as ``model.*``.

    Raises:
        UserError: It cannot be traced; the message is the reason alone.
    """
    try:
        with _silent_stderr(), quiet():
            traced = paddle.jit.to_static(layer, input_spec=[spec], full_graph=True)
            paddle.jit.save(traced, str(folder / "model"))
    except Exception as error:  # tracing runs any code at all
        raise UserError(reason(error)) from error


def graph_file(folder: Path) -> Path:
    """The file of the graph in a folder of Paddle's format.

    Raises:
        UserError: There is none.
    """
    for name in ("model.json", "model.pdmodel"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: there is neither model.json nor model.pdmodel")


def check_onnx_packages() -> dict[str, str]:
    """Versions of what makes and runs ONNX files.

    Raises:
        UserError: One is missing or does not go with this Paddle; the message holds the command that installs it.
    """
    old = int(paddle.__version__.split(".")[0]) == 2
    # numpy is named so that pip keeps it below 2, which PaddleSeg's OpenCV needs.
    line = f"pip install 'paddle2onnx=={'1.3.1' if old else '2.1.0'}' 'onnx<1.18' 'onnxruntime<2' 'numpy<2'"
    found = {}
    for name in ONNX_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            raise UserError(f"`format` onnx needs {name}, which is not installed: {line}") from None
    if found["paddle2onnx"].split(".")[0] != ("1" if old else "2"):
        raise UserError(
            f"`format` onnx: paddle2onnx {found['paddle2onnx']} does not go with paddlepaddle {paddle.__version__}: "
            f"{line}"
        )
    return found


def save_onnx(graph: Path, weights: Path, target: Path, opset: int) -> None:
    """Convert a model in Paddle's format to an ONNX file.

    In a process of its own: the converter writes to the terminal, and what it cannot convert may end its process.

    Args:
        graph: File of the graph.
        weights: File of the weights.
        target: The ONNX file.
        opset: Version of ONNX's operators.

    Raises:
        UserError: It cannot be converted; the message ends with what the converter said last.
    """
    worker = [sys.executable, "-W", "ignore", "-c", ONNX_WORKER, str(Path(__file__).with_name("onnx_worker.py"))]
    done = subprocess.run(
        [*worker, str(graph), str(weights), str(target), str(opset)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode or not target.is_file():
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        words = ("[error]", "not support", "error")  # the more telling first
        cause = next((line for word in words for line in said if word in line.lower()), f"exit {done.returncode}")
        target.unlink(missing_ok=True)
        raise UserError(f"`format` onnx, `opset` {opset}: Paddle2ONNX cannot convert this model: {cause}")


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Silence while tracing: Paddle's C++ code warns of its own doings, and what fails is told by an exception."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
