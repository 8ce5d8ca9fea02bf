"""What an installation holds: every file, the version, the command, and a requirement for each import."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import paddleseg_ext
from paddleseg_ext.config import shipped
from paddleseg_ext.config.files import read_files
from paddleseg_ext.config.shipped import shipped_configs

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "paddleseg_ext"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `lib`, what pip would install, and `info`, its metadata; the working tree stays as it is."""
    copy = copied(tmp_path_factory.mktemp("source"))
    (copy / "info").mkdir()
    for command in (["build", "--build-lib", "lib"], ["egg_info", "--egg-base", "info"]):
        run([sys.executable, "setup.py", "-q", *command], copy)
    return copy


def copied(folder: Path) -> Path:
    """The tree as a clone has it, in another place."""
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    for name in (PACKAGE.name, "configs", "tools"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("tests", "benchmarks"):  # which stay out of a wheel
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    return folder


def run(command: list[str], cwd: Path, **keywords: Any) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def info(built: Path, name: str) -> str:
    return next((built / "info").glob("*.egg-info")).joinpath(name).read_text("utf-8")


def test_version_is_the_packages_own(built: Path) -> None:
    assert f"\nVersion: {paddleseg_ext.__version__}\n" in info(built, "PKG-INFO")


def files(package: Path) -> set[Path]:
    return {p.relative_to(package) for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def expected_files() -> set[Path]:
    """What an installation holds below the package's folder."""
    own = files(PACKAGE)
    assert any(path.suffix != ".py" for path in own)
    configs = {Path("configs", path) for path in files(ROOT / "configs") if path.suffix == ".yml"}
    assert len(configs) > 100 and Path("configs/_base_/models/pspnet.yml") in configs
    return own | configs


def test_every_file_is_installed_and_nothing_else(built: Path) -> None:
    assert [path.name for path in (built / "lib").iterdir()] == [PACKAGE.name]
    assert files(built / "lib" / PACKAGE.name) == expected_files()
    assert not list((built / "lib").rglob("*.pyc"))


def test_an_installation_from_the_sources_archive_is_the_same(built: Path, tmp_path: Path) -> None:
    run([sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(tmp_path)], built)
    archive = next(tmp_path.glob("*.tar.gz"))
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (source,) = (tmp_path / "unpacked").iterdir()
    old = tmp_path / "lib" / PACKAGE.name / "configs" / "of_an_earlier_build.yml"
    old.parent.mkdir(parents=True)
    old.touch()
    run([sys.executable, "setup.py", "-q", "build", "--build-lib", str(tmp_path / "lib")], source)
    assert files(tmp_path / "lib" / PACKAGE.name) == expected_files()


def test_configurations_of_an_installation_are_complete(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = shipped_configs(with_pieces=True)
    folder = built / "lib" / PACKAGE.name / "configs"
    monkeypatch.setattr(shipped, "FOLDERS", (folder,))
    there = shipped_configs(with_pieces=True)
    assert {key: path.read_bytes() for key, path in there.items()} == {k: path.read_bytes() for k, path in here.items()}
    files_read = [path for path, _ in read_files(there["quickstart/pspnet"]).files]
    assert len(files_read) > 3 and all(path.resolve().is_relative_to(folder) for path in files_read)


@pytest.mark.slow
def test_a_wheel_trains_evaluates_and_predicts_elsewhere(tmp_path: Path) -> None:
    """In an environment that has the wheel, from pip, and beside it the packages that it requires."""
    pip = [sys.executable, "-m", "pip"]
    source, wheels, venv, work = (tmp_path / name for name in ("source", "wheels", "venv", "work"))
    for folder in (source, work):
        folder.mkdir()
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    run([*pip, "wheel", "-q", "--no-deps", "-w", str(wheels), str(copied(source))], tmp_path, env=env)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        inside = {Path(name) for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert inside == {Path(PACKAGE.name, path) for path in expected_files()}
    run([sys.executable, "-m", "venv", "--without-pip", str(venv)], tmp_path, env=env)
    run([*pip, "--python", str(venv / "bin" / "python"), "install", "-q", "--no-deps", "--no-index", str(wheel)],
        tmp_path, env=env)  # fmt: skip
    site = next(venv.glob("lib/python*/site-packages"))
    # A path in a .pth file comes after this folder, and .pth files there, of an editable installation, are not read.
    (site / "requirements.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")

    def command(*arguments: str) -> str:
        return run([str(venv / "bin" / "paddleseg-ext"), *arguments], work, env=env)

    where = run(
        [str(venv / "bin" / "python"), "-c", "import paddleseg_ext; print(paddleseg_ext.__file__)"], work, env=env
    )
    assert Path(where.splitlines()[-1]).is_relative_to(site)
    assert command("--version").startswith(f"paddleseg-ext {paddleseg_ext.__version__}, ")
    flags = ["--config", "quickstart/pspnet", "--device", "cpu"]
    train = ["--iters", "6", "--save_interval", "6", "--do_eval", "--save_dir", "run"]
    opts = [
        "--opts",
        *(f"{split}_dataset.{count}" for split in ("train", "val") for count in ("train_images=12", "val_images=4")),
    ]
    command("train", *flags, *opts, *train)
    model = ["--model_path", "run/best_model"]
    command("val", *flags, *opts, *model, "--json", "scores.json")
    assert 0 < json.loads((work / "scores.json").read_text())["miou"] <= 1
    image = next((work / "data").rglob("*_leftImg8bit.png"))
    command("predict", *flags, *model, "--image_path", str(image), "--save_dir", "predictions")
    assert list((work / "predictions" / "overlay").iterdir())
    command("init", "ccnet_resnet50_vd_os8_cityscapes_1024x512_80k")
    assert (work / "ccnet_resnet50_vd_os8_cityscapes_1024x512_80k.yml").is_file()


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
