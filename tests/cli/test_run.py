"""`paddleseg-ext run` behaves as Python would, with the extension imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from paddleseg_ext.cli.main import main

SCRIPT = """
import argparse, json, sys
import helper  # beside the script
from paddleseg.cvlibs import manager
from paddleseg.core import train

parser = argparse.ArgumentParser()
parser.add_argument("--config")
parser.add_argument("-v", action="store_true")
parser.add_argument("rest", nargs="*")
args = parser.parse_args()
assert __name__ == "__main__" and sys.modules["__main__"].args is args
with open(helper.PATH, "w") as file:
    json.dump({"argv": sys.argv, "args": vars(args), "head": "EncoderDecoder" in manager.MODELS.components_dict,
               "train": train.__code__.co_filename}, file)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text(f"PATH = {str(tmp_path / 'said.json')!r}\n")
    path = tmp_path / "stock.py"
    path.write_text(SCRIPT)
    return path


def _said(script: Path) -> dict:
    return json.loads((script.parent / "said.json").read_text())


def test_the_script_gets_its_own_arguments(script: Path) -> None:
    argv, path = sys.argv, list(sys.path)
    assert main(["run", str(script), "--config", "a.yml", "-v", "x", "--", "-y"]) == 0
    said = _said(script)
    assert said["argv"] == [str(script), "--config", "a.yml", "-v", "x", "--", "-y"]
    assert said["args"] == {"config": "a.yml", "v": True, "rest": ["x", "-y"]}
    assert said["head"]
    assert sys.argv is argv and sys.path == path
    sys.modules.pop("helper")


def test_the_script_keeps_its_exit_status_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "ends.py"
    path.write_text("import sys\nsys.exit(7) if len(sys.argv) > 1 else 1 / 0\n")
    with pytest.raises(SystemExit) as status:
        main(["run", str(path), "--help"])  # the script's --help, not ours
    assert status.value.code == 7
    with pytest.raises(ZeroDivisionError):
        main(["run", str(path)])


@pytest.mark.parametrize("name", ["absent.py", "."])
def test_a_missing_script_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", str(tmp_path / name), "--x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and str(tmp_path) in error and error.count("\n") == 1


def test_from_a_shell(script: Path) -> None:
    command = "import sys; from paddleseg_ext.cli.main import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", command, "run", str(script), "--config", "b.yml"], check=True)
    assert _said(script)["args"]["config"] == "b.yml"


@pytest.mark.parametrize("flag", ["--config {}", "--config={}"])
def test_modules_that_the_configuration_names_are_imported_first(
    script: Path, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = script.parent
    (folder / "mine_alone.py").write_text("LOADED = True\n")
    (folder / "a.yml").write_text("imports: [mine_alone]\n")
    script.write_text("import sys\nsys.exit(0 if 'mine_alone' in sys.modules else 3)\n")
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as status:
        main(["run", str(script), *flag.format(folder / "a.yml").split()])
    assert status.value.code == 0 and sys.modules.pop("mine_alone").LOADED
