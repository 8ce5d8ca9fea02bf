"""What an installation holds: every file, the version, the command, and a requirement for each import."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import paddleseg_ext

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "paddleseg_ext"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `lib`, what pip would install, and `info`, its metadata; the working tree stays as it is."""
    copy = tmp_path_factory.mktemp("source")
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, copy)
    shutil.copytree(PACKAGE, copy / PACKAGE.name)
    (copy / "info").mkdir()
    for command in (["build", "--build-lib", "lib"], ["egg_info", "--egg-base", "info"]):
        done = subprocess.run([sys.executable, "setup.py", "-q", *command], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return copy


def info(built: Path, name: str) -> str:
    return next((built / "info").glob("*.egg-info")).joinpath(name).read_text("utf-8")


def test_version_is_the_packages_own(built: Path) -> None:
    assert f"\nVersion: {paddleseg_ext.__version__}\n" in info(built, "PKG-INFO")


def test_every_file_is_installed(built: Path) -> None:
    def files(package: Path) -> set[Path]:
        return {p.relative_to(package) for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}

    expected = files(PACKAGE)
    assert any(path.suffix != ".py" for path in expected)
    assert files(built / "lib" / PACKAGE.name) == expected
    assert not list((built / "lib").rglob("*.pyc"))


def test_console_script_has_a_target(built: Path) -> None:
    target = re.search(r"^paddleseg-ext = (\S+):(\S+)$", info(built, "entry_points.txt"), re.M)
    assert target is not None
    assert callable(getattr(import_module(target.group(1)), target.group(2)))


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("2.7.0", False), ("2.0.0", False), ("2.8.0", True), ("2.8.1", True), ("2.9.0", True), ("2.9.1", True),
     ("2.10", True), ("2.10.0", True), ("0.0.0.dev0", True), ("3.0.0", False)],
)  # fmt: skip
def test_pip_leaves_every_supported_paddleseg_alone(version: str, accepted: bool, built: Path) -> None:
    lines = re.findall(r"^paddleseg[^-\w].*$", info(built, "requires.txt"), re.M)
    assert len(lines) == 1
    assert Requirement(lines[0]).specifier.contains(version) is accepted


def test_pillow_reads_webp_without_the_hole_of_2023(built: Path) -> None:
    """CVE-2023-4863; OpenCV's copy of libwebp, which has it, is not asked (`data.image_decoding`)."""
    line = next(line for line in info(built, "requires.txt").splitlines() if line.startswith("pillow"))
    assert Requirement(line).specifier.contains("10.0.1") and not Requirement(line).specifier.contains("10.0.0")


# Required without being imported in the package: what Paddle imports without requiring it.
NOT_IMPORTED = {"setuptools"}


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the standard library lists its modules from 3.10 on")
def test_every_requirement_is_imported(built: Path) -> None:
    text = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", text, re.M))
    distributions = metadata.packages_distributions()
    owners = {name.lower() for module in imported for name in distributions.get(module, [])}
    required = info(built, "requires.txt").split("\n[")[0]  # the extras follow
    names = {name.lower() for name in re.findall(r"^[A-Za-z][\w-]*", required, re.M)}
    assert names - NOT_IMPORTED - {"opencv-python"} <= owners
    assert "cv2" in imported  # of opencv-python or its headless build


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the standard library lists its modules from 3.10 on")
def test_every_import_is_required(built: Path) -> None:
    distributions = metadata.packages_distributions()
    required = {name.lower() for name in re.findall(r"^[A-Za-z][\w-]*", info(built, "requires.txt"), re.M)}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in {name.split(".")[0] for name in modules} - {PACKAGE.name} - sys.stdlib_module_names:
                owners = {name.lower() for name in distributions.get(module, [module])}
                assert owners & required, f"{path.relative_to(ROOT)} imports {module}, which setup.py does not require"
