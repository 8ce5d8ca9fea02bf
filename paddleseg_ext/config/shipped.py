"""The configurations that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from paddleseg_ext.errors import UserError
from paddleseg_ext.registry import closest

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / "configs", PACKAGE.parent / "configs")  # of an installation, of a clone
ENDINGS = (".yml", ".yaml")
PIECES = "_base_/"  # below it lies what configurations are made of


def config_path(name: str | Path) -> Path:
    """The file of a configuration.

    Args:
        name: A path; or the name of a configuration that comes with the package, such as
            ``pspnet_resnet50_vd_os8_cityscapes_1024x512_80k`` or, with its folder, ``quickstart/pspnet``.

    Raises:
        UserError: There is no such file and no such configuration, or several.
    """
    path = Path(name)
    if path.is_file():
        return path
    told = "it is a folder, not a YAML file" if path.is_dir() else "there is no such file"
    return _shipped(str(name), f"{name}: {told}", shipped_configs())


def base_path(file: Path, base: str) -> Path:
    """The file that an entry of ``_base_`` names: a path relative to the file that has it, or a name as above.

    Args:
        file: The file with the entry.
        base: The entry. By name it may also be a piece of configurations, such as ``_base_/models/dmnet``.

    Raises:
        UserError: As `config_path`.
    """
    path = file.parent / base
    if path.is_file():
        return path
    told = "is not a file" if path.exists() else "does not exist"
    return _shipped(base, f"{file}: its _base_ file {path} {told}", shipped_configs(with_pieces=True))


def shipped_configs(with_pieces: bool = False) -> dict[str, Path]:
    """The configurations by their path below ``configs/`` without its ending, e.g. ``quickstart/pspnet``.

    Args:
        with_pieces: Also what they are made of, e.g. ``_base_/models/dmnet``.
    """
    root = next((folder for folder in FOLDERS if (folder / PIECES).is_dir()), None)
    files = sorted(root.rglob("*.yml")) if root else []
    found = {file.relative_to(root).with_suffix("").as_posix(): file for file in files if root}
    return {key: file for key, file in found.items() if with_pieces or not key.startswith(PIECES)}


def _shipped(name: str, told: str, known: dict[str, Path]) -> Path:
    """The configuration of a name, among those known.

    A name with an ending is meant as a path, of which a wrong one must not lead to some other file: it has to be whole,
    as ``configs/quickstart/pspnet.yml`` is.
    """
    path = Path(name)
    whole = path.suffix in ENDINGS
    stem = (path.with_suffix("") if whole else path).as_posix().removeprefix("configs/")
    found = [key for key in known if key == stem or not (whole or key.startswith(PIECES)) and key.endswith(f"/{stem}")]
    if len(found) > 1:
        raise UserError(f"{name}: several configurations have that name: {', '.join(found)}")
    if not found:
        names = [*known, *(key.rpartition("/")[2] for key in known if not key.startswith(PIECES))]
        raise UserError(f"{told}, and no configuration of that name comes with the package{closest(stem, names)}")
    return known[found[0]]
