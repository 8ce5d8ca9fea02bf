"""What is imported when it is used, with a package that counts its imports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from paddleseg_ext.compat.deferred import deferred


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of one with two modules, ``used`` and ``other``."""
    folder = tmp_path / "large_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name in ("used", "other"):
        (folder / f"{name}.py").write_text(f"VALUE = '{name}'")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_it_is_imported_at_its_first_use(package: str) -> None:
    with deferred(f"{package}.used"):
        import large_package.used as module
    assert package not in sys.modules and f"{package}.used" not in sys.modules
    assert module.VALUE == "used" and sys.modules[package].used.VALUE == "used"
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        module.missing  # noqa: B018


def test_another_module_of_it_is_imported_as_ever(package: str) -> None:
    with deferred(f"{package}.used"):
        import large_package.used as module
        from large_package.other import VALUE
    assert VALUE == "other" and module.VALUE == "used"
    assert sys.modules[package].other.VALUE == "other" and sys.modules[package].__file__


def test_what_is_there_already_stays(package: str) -> None:
    import large_package.used as before

    with deferred(f"{package}.used"):
        import large_package.used as module
    assert module is before is sys.modules[f"{package}.used"]


def test_a_package_that_is_missing_is_told_at_its_use() -> None:
    with deferred("missing_package.used"):
        import missing_package.used as module
    with pytest.raises(ModuleNotFoundError, match="missing_package"):
        module.VALUE  # noqa: B018
