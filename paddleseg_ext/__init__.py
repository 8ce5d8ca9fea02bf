"""Context heads for PaddleSeg: DeepLabV3+, PSPNet, DMNet, FastFCN, EncNet and CCNet on any backbone.

`load` gives a trained network for images, `build_model` the network of a configuration, and `EncoderDecoder` puts any
head of `paddleseg_ext.heads` on any backbone. `paddleseg_ext.registry` has the decorators for components of your own.

Importing the package repairs PaddleSeg where the installed Paddle breaks it (`compat`) and registers
heads, model and data sets in PaddleSeg's component manager, so that a YAML file can name them.
"""

from __future__ import annotations

__version__ = "0.1.0"

import importlib  # noqa: E402
import warnings  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from paddleseg_ext.compat.deferred import deferred  # noqa: E402
from paddleseg_ext.compat.environment import (  # noqa: E402
    interruptible,
    keeping_sigterm,
    quiet_about_threads,
    raise_opencv_limit,
    tune_mkl,
    tune_openmp,
)

tune_mkl()  # these count only before Paddle is loaded, and the last before OpenCV is
tune_openmp()
raise_opencv_limit()

try:
    import cv2  # noqa: F401  # before Paddle: the other order crashes Paddle 2.6 in zlib's inflateReset2
except ImportError as error:
    raise ImportError(
        f"paddleseg_ext needs OpenCV, which could not be imported ({error}). On a machine without a desktop, "
        "'pip install opencv-python-headless==4.5.5.64' takes its place."
    ) from error

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No ccache found")  # concerns those who compile operators
    try:
        with interruptible("PaddlePaddle"), keeping_sigterm(), quiet_about_threads():
            import paddle  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"paddleseg_ext needs PaddlePaddle, which could not be imported ({error}). For a CPU: pip install "
            "'paddleseg-ext[cpu]'; for a GPU install the paddlepaddle-gpu wheel of your CUDA version (see README)."
        ) from error

with deferred("sklearn.metrics"):
    from paddleseg_ext.compat import paddleseg as compat

compat.repair()

import paddleseg_ext.backbones  # noqa: E402, F401  # importing registers them, as the next three
import paddleseg_ext.data.datasets  # noqa: E402, F401
import paddleseg_ext.data.transforms  # noqa: E402, F401
import paddleseg_ext.heads  # noqa: E402, F401
from paddleseg_ext import cpu  # noqa: E402
from paddleseg_ext.builder import Builder, build_model, load_config  # noqa: E402
from paddleseg_ext.checkpoint.download import local_file  # noqa: E402
from paddleseg_ext.checkpoint.load import load_weights, read_weights  # noqa: E402
from paddleseg_ext.compat.normalize import speed_up_normalize  # noqa: E402
from paddleseg_ext.compat.readers import read_files_by, read_weights_by  # noqa: E402
from paddleseg_ext.data.image_io import read_image  # noqa: E402
from paddleseg_ext.data.label_io import check_pair, read_label  # noqa: E402
from paddleseg_ext.errors import UserError  # noqa: E402
from paddleseg_ext.segmentor import EncoderDecoder  # noqa: E402

cpu.install()
speed_up_normalize()
read_files_by(read_image, read_label, check_pair)
read_weights_by(read_weights, local_file)

if TYPE_CHECKING:
    from paddleseg_ext.api import load
    from paddleseg_ext.inference import Segmentor

__all__ = ["Builder", "EncoderDecoder", "Segmentor", "UserError", "build_model", "load", "load_config", "load_weights"]

LATER = {"load": "api", "Segmentor": "inference"}  # with what they draw and export by, they take time to import


def __getattr__(name: str) -> Any:
    if name in LATER:
        return getattr(importlib.import_module(f"paddleseg_ext.{LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER})
