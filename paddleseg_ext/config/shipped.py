"""The configurations that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from paddleseg_ext.errors import UserError
from paddleseg_ext.registry import closest

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / "configs", PACKAGE.parent / "configs")  # of an installation, of a clone
ENDINGS = (".yml", ".yaml")


def config_path(name: str | Path) -> Path:
    """The file of a configuration.

    Args:
        name: A path; or the name of a configuration that comes with the package, such as
            ``pspnet_resnet50_vd_os8_cityscapes_1024x512_80k`` or, where several share one, ``quickstart/pspnet``.

    Raises:
        UserError: There is no such file and no such configuration.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_configs()
    stem = path.with_suffix("") if path.suffix in ENDINGS else path
    found = [file for key, file in shipped.items() if key == stem.as_posix() or key.endswith(f"/{stem.as_posix()}")]
    if not found:
        names = [*shipped, *(key.rpartition("/")[2] for key in shipped)]
        raise UserError(
            f"{name}: there is no such file, and no configuration of that name comes with the package"
            f"{closest(stem.as_posix(), names)}"
        )
    if len(found) > 1:
        raise UserError(f"{name}: several configurations have that name: {', '.join(map(str, found))}")
    return found[0]


def shipped_configs() -> dict[str, Path]:
    """The configurations by their path below ``configs/`` without its ending, e.g. ``quickstart/pspnet``."""
    root = next((folder for folder in FOLDERS if (folder / "_base_").is_dir()), None)
    files = sorted(root.glob("*/*.yml")) if root else []
    return {file.relative_to(root).with_suffix("").as_posix(): file for file in files if root}
