"""The command line finds its commands and turns mistakes into one sentence and a status."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import paddle
import pytest

from paddleseg_ext import __version__
from paddleseg_ext.cli import main
from paddleseg_ext.errors import UserError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Make `train` a command that does what is given."""

    def install(run) -> None:
        module = SimpleNamespace(
            __doc__="A command.", run=run, add_arguments=lambda p: p.add_argument("--number", type=int)
        )
        monkeypatch.setitem(sys.modules, "paddleseg_ext.cli.commands.train", module)

    return install


def raiser(error: BaseException):
    def run(_: object) -> int:
        raise error

    return run


def test_arguments_reach_the_command_and_its_status_comes_back(command) -> None:
    command(lambda args: args.number)
    assert main.main(["train", "--number", "7"]) == 7
    assert main.main(["--number", "7"], command="train") == 7


def test_bad_input_is_one_sentence(command, capsys: pytest.CaptureFixture) -> None:
    command(raiser(UserError("x.yml: no such file")))
    assert main.main(["train"]) == 2
    assert capsys.readouterr().err == "error: x.yml: no such file\n"


def test_interruption_is_quiet(command, capsys: pytest.CaptureFixture) -> None:
    command(raiser(KeyboardInterrupt()))
    assert main.main(["train"]) == 130
    assert capsys.readouterr().err == ""


def test_what_nobody_thought_of_is_called_a_bug_and_keeps_its_traceback(command, capsys: pytest.CaptureFixture) -> None:
    command(raiser(ZeroDivisionError("of nothing")))
    assert main.main(["train"]) == 1
    told = capsys.readouterr().err
    file = Path(re.search(r"report it with (\S+\.txt),", told)[1])
    assert told.startswith("error: ZeroDivisionError: of nothing; this is a bug") and told.count("\n") == 1
    text = file.read_text()
    assert text.startswith("train\n") and "Traceback" in text and "ZeroDivisionError: of nothing" in text
    file.unlink()
    command(raiser(MemoryError()))
    assert main.main(["train"]) == 1 and "not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--nonsense"], ["nonsense"], ["train", "--number", "x"], ["train", "--unknown"]])
def test_arguments_that_do_not_parse_exit_with_2(command, argv: list[str], capsys: pytest.CaptureFixture) -> None:
    command(lambda args: 0)
    assert main.main(argv) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_help_lists_every_command(argv: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main.main(argv)
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())  # argparse breaks lines
    assert all(name in text and help_ in text for name, help_ in main.COMMANDS.items())


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main.main([name, "--help"])
    assert exit_.value.code == 0
    assert f"paddleseg-ext {name}" in capsys.readouterr().out


def test_versions_in_one_line(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main.main(["--version"])
    assert exit_.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"paddleseg-ext {__version__}, paddlepaddle {paddle.__version__}, paddleseg ")
    assert told.count("\n") == 1


def test_the_package_is_run_as_the_command_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["__main__.py", "nonsense"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("paddleseg_ext", run_name="__main__")
    assert exit_.value.code == 2 and "'nonsense'" in capsys.readouterr().err


def test_arguments_in_a_sentence_are_shown_as_flags(command, capsys: pytest.CaptureFixture) -> None:
    command(raiser(UserError("`number` 3: it is even, and `letter` is not there")))
    assert main.main(["train"]) == 2
    assert capsys.readouterr().err == "error: --number 3: it is even, and letter is not there\n"


@pytest.mark.parametrize("words", ["list backbones --json", "train --help"])
def test_a_reader_that_leaves_is_no_bug(words: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m paddleseg_ext {words} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert done.returncode in (0, 141) and "Traceback" not in done.stderr and "bug" not in done.stderr
    assert not list(tmp_path.iterdir())
