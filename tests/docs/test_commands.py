"""Every command of the pages is one that the command line accepts, and every flag that they name is one's."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import paddleseg_ext
from paddleseg_ext.cli import main
from paddleseg_ext.config.shipped import config_path
from tests.docs.commands import LAUNCHER_FLAGS, OTHERS, OVERVIEW, all_commands, parser_of
from tests.docs.pages import PAGES, ROOT, Page

FLAG = re.compile(r"(?<![\w-])--[a-z]\w[\w-]*")
FOREIGN_FLAGS = {  # of scripts and programs that are not ours
    *("--paddle", "--paddleseg", "--python"),  # tools/test_matrix.sh
    "--from_noise",  # tools/quickstart.sh
    *("--enable_mkldnn", "--all", "--no-build-isolation", "--no-index", "--find-links", "--no-deps", "--version"),
    *(
        "--force-reinstall",
        "--index-url",
        "--shm-size",
        "--help",
        "--no-binary",
        "--python-version",
        "--only-binary",
        "--platform",
    ),
}
everywhere = pytest.mark.parametrize("page", PAGES, ids=repr)


@everywhere
def test_commands_are_accepted(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in all_commands(page):
        where = f"{page}, line {command.line}: {' '.join(command.words)}"
        if command.own:
            name, arguments = command.own
            assert name in main.COMMANDS, where
            try:
                args = parser_of(name).parse_args(arguments)
            except Exception as error:
                pytest.fail(f"{where}: {error}")
            _check_files(vars(args), where)
        elif command.words[0] == "pip" or command.words[:3] == ("python", "-m", "pip"):
            _check_pip(command.words, where)
        elif command.words[0] == "bash":
            assert (ROOT / command.words[1]).is_file(), where
        elif command.words[0] == "paddleseg-ext":
            assert set(command.words[1:]) <= OVERVIEW, where
        elif command.words[:2] == ("python", "-m"):
            assert importlib.util.find_spec(command.words[2]), where
        elif command.words[:2] == ("python", "-c"):
            compile(command.words[2], where, "exec")
        else:
            assert command.words[0] in OTHERS or command.words[0] == "python" and command.words[1].endswith(".py"), (
                where
            )


@everywhere
def test_flags_are_known(page: Page) -> None:
    """Flags in backquotes: those behind a command's name are its own, the others some command's."""
    flags = {name: set(FLAG.findall(parser_of(name).format_help())) | _of_subcommands(name) for name in main.COMMANDS}
    known = set.union(*flags.values(), FOREIGN_FLAGS, LAUNCHER_FLAGS)
    for code in page.inline:
        first = code.removeprefix("paddleseg-ext ").removeprefix("python tools/").replace(".py", "").split(" ")[0]
        for flag in FLAG.findall(code):
            assert flag in (flags.get(first, known) | FOREIGN_FLAGS), f"{page}: `{code}`"


@everywhere
def test_paths_of_the_repository_exist(page: Page) -> None:
    for code in page.inline:
        if re.fullmatch(r"(configs|tools|tests|benchmarks|paddleseg_ext|docs)/[\w./-]+", code):
            assert (ROOT / code).exists(), f"{page}: `{code}`"


def _check_files(given: dict, where: str) -> None:
    config = given.get("config")
    if config and "…" not in config and (config.startswith("configs/") or not config.endswith((".yml", ".yaml"))):
        assert config_path(config).is_file(), where


def _check_pip(words: tuple[str, ...], where: str) -> None:
    setup = (ROOT / "setup.py").read_text("utf-8")
    for word in words:
        for extra in re.findall(r"(?:^\.|paddleseg[-_]ext|\.whl)\[([\w,]+)\]$", word):
            for name in extra.split(","):
                assert f'"{name}": ' in setup, f"{where}: no extra {name}"
        if wheel := re.search(r"paddleseg_ext-([\d.]+)-py3-none-any\.whl", word):
            assert wheel[1] == paddleseg_ext.__version__, where


def _of_subcommands(name: str) -> set[str]:
    return {flag for flag in parser_of(name).flags.values() if flag.startswith("--")}
