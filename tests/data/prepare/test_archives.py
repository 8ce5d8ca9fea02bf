"""Zip files: what leads out of the folder, is too large or damaged is refused before anything is written."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from paddleseg_ext.data.prepare import archives
from paddleseg_ext.data.prepare.archives import unpack
from paddleseg_ext.errors import UserError


def pack(path: Path, *members: str | zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member, b"content " * 100)
    return path


def test_wanted_files_are_unpacked_and_kept(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", "a/1.png", "a/2.png", "b/3.txt")
    assert unpack(archive, tmp_path / "out", lambda name: name.endswith(".png")) == 2
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.name for path in files] == ["1.png", "2.png"] and files[0].read_bytes() == b"content " * 100
    inode = files[0].stat().st_ino
    files[1].write_bytes(b"half")
    unpack(archive, tmp_path / "out", lambda name: name.endswith(".png"))
    assert files[0].stat().st_ino == inode and files[1].read_bytes() == b"content " * 100


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "..\\x", "C:/x", "."])
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "a.zip", "good", name)
    with pytest.raises(UserError, match=r"a\.zip: it is not unpacked, for '.*' in it leads out"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "x").exists()


def test_links(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="'link' in it is a symbolic link"):
        unpack(pack(tmp_path / "a.zip", link), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_that_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a link leads out"):
        unpack(pack(tmp_path / "a.zip", "a/1"), tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="at most 0 are allowed"):
        unpack(pack(tmp_path / "a.zip", "1"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_larger_than_declared(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", "1")
    declared = (800).to_bytes(4, "little")
    content = archive.read_bytes()
    assert content.count(declared) == 2
    archive.write_bytes(content.replace(declared, (80).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"a\.zip: it cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("damage", [lambda c: b"no zip", lambda c: c[:40] + b"\xff" * 8 + c[48:], lambda c: c[:-30]])
def test_damaged_archives(tmp_path: Path, damage) -> None:
    archive = pack(tmp_path / "a.zip", "1")
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(UserError, match=r"a\.zip: it cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
