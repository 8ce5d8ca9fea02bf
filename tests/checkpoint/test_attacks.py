"""Files that were made to exhaust memory, time or the stack end in one sentence, soon and in little memory."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext.checkpoint import isolation
from paddleseg_ext.checkpoint.isolated.main import limit
from paddleseg_ext.checkpoint.isolated.torch_files import LEGACY
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.errors import UserError
from tests.checkpoint.forked import Readers, peak
from tests.checkpoint.test_reader import array, name_of, pickled, tensor, word, zipped

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system does not limit memory")
SECONDS, MOST = 10, (1 << 20) - 450 * 2**10  # KiB: a process with Paddle has the rest
BILLION = b"J" + struct.pack("<i", 2**30)
BYTES = b"C\x04aaaa"


def binary(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def called(module: str, name: str, *arguments: bytes) -> bytes:
    return name_of(module, name) + b"(" + b"".join(arguments) + b"tR"


def doubled(times: int) -> bytes:
    """A list with two references to one with two references to one …"""
    return b"]q\x00" + b"0]h\x00ah\x00aq\x00" * times


def doubled_tuple(times: int) -> bytes:
    return b")q\x00" + b"0h\x00h\x00\x86q\x00" * times


def deep_tuple(depth: int) -> bytes:
    return b")" + b"\x85" * depth


def view(offset: bytes, size: bytes, stride: bytes) -> bytes:
    """A tensor whose numbers are instructions."""
    start = tensor(0, (), (), 4)
    head = start[: start.index(b"Q") + 1]
    return head + offset + size + stride + b"\x89)tR"


NUMPY = array(binary(4) + b"\x85", "i8", b"B" + struct.pack("<i", 32) + bytes(32))
REPEATED = {
    "tuple of a bytearray": called("builtins", "tuple", b"\x96" + struct.pack("<Q", 10**6) + bytes(10**6) + b"q\x00"),
    "list of text": called("builtins", "list", word("x" * 10**6) + b"q\x00"),
    "set of a list": called("builtins", "set", b"](" + b"K\x01" * 10**5 + b"eq\x00"),
}
PLAIN: dict[str, Callable[[], bytes]] = {
    # Sizes that are no whole numbers, or too large.
    "text times a length": lambda: array(b"(" + word("A") + BILLION * 2 + b"t", "f4", BYTES),
    "truth values and lengths": lambda: array(b"(\x88" + BILLION * 4 + b"t", "f4", BYTES),
    "a list for a shape": lambda: array(b"](" + word("A") + BILLION + b"e", "f4", BYTES),
    "a thousand axes": lambda: array(b"(" + b"K\x02" * 1000 + b"t", "f4", BYTES),
    "a number without end": lambda: array(b"(\x8a\xff" + b"\x7f" * 255 + b"t", "f4", BYTES),
    # Copies of the same content, over and over.
    **{
        f"{name}, repeated": lambda name=name: (
            REPEATED[name] + b"0" + called("builtins", name.split()[0], b"h\x00") * 200 + b"0" * 199
        )
        for name in REPEATED
    },
    "encoded text, repeated": lambda: (
        word("x" * 2**20) + b"q\x000" + (called("_codecs", "encode", b"h\x00", word("latin1")) + b"0") * 2000 + b"N"
    ),
    # Tuples that the hash or the text of would never end, or exhaust the stack.
    "name of a deep tuple": lambda: word("builtins") + deep_tuple(100_000) + b"\x93",
    "name of a doubled tuple": lambda: doubled_tuple(40) + word("list") + b"\x93",
    "name of a doubled list": lambda: word("builtins") + doubled(40) + b"\x93",
    "deep key": lambda: b"}" + deep_tuple(100_000) + b"Ns",
    "doubled key": lambda: b"}" + doubled_tuple(40) + b"Ns",
    "doubled member of a set": lambda: b"\x8f(" + doubled_tuple(40) + b"\x90",
    # Doubled content where a message would tell it.
    "doubled encoding": lambda: called("_codecs", "encode", word("x"), doubled(40)),
    "doubled key of a list": lambda: b"}" + doubled(40) + b"Ns",
    "doubled method": lambda: called("builtins", "getattr", BYTES, doubled(40)),
    "doubled type": lambda: called("numpy", "dtype", doubled(40)),
    # Very many instructions.
    "marks": lambda: b"(" * 20_000_000,
    "lists": lambda: b"]" * 20_000_000,
    "memo": lambda: b"N" + b"\x94" * 20_000_000,
    "pops": lambda: b"N0" * 10_000_000,
    # Objects of the reader's own, changed or made another way.
    "attributes of a function": lambda: name_of("_codecs", "encode") + b"}" + word("a") + b"Nsb",
    "attributes of a class": lambda: name_of("argparse", "Namespace") + b"N}" + word("a") + b"Ns\x86b",
}
ZIPPED: dict[str, Callable[[], bytes]] = {
    # Sizes and steps as arrays, which NumPy would broadcast.
    "sizes of an array": lambda: view(b"K\x00", NUMPY, b"(K\x01t"),
    "steps of an array": lambda: view(b"K\x00", b"(K\x01t", NUMPY),
    "offset of an array": lambda: view(NUMPY, b"(K\x01t", b"(K\x01t"),
    "text times a size": lambda: view(b"K\x00", b"(" + word("A") + BILLION + b"t", b"(K\x00K\x00t"),
    "a size without end": lambda: view(b"K\x00", b"(" + BILLION * 40 + b"t", b"(" + b"K\x00" * 40 + b"t"),
    "attributes of a tensor": lambda: tensor(0, (), (), 4) + b"}" + word("offset") + BILLION + b"sb",
    "doubled id": lambda: doubled(40) + b"Q",
    "id of a deep tuple": lambda: deep_tuple(100_000) + b"Q",
    "storage of a doubled key": lambda: (
        b"(" + word("storage") + name_of("torch", "FloatStorage") + doubled_tuple(40) + word("cpu") + b"K\x04tQ"
    ),
}


def legacy(version: bytes, content: bytes = b"}", keys: bytes = b"]") -> bytes:
    parts = (version, b"}", content, keys)
    return LEGACY + b"".join(b"\x80\x02" + part + b"." for part in parts)


def many_entries() -> bytes:
    """An archive with as many entries as its size allows."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"a/{number}", b"")
    return stream.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    **{name: lambda body=body: pickled(body()) for name, body in PLAIN.items()},
    **{f"{name} in PyTorch's": lambda body=body: zipped(body(), bytes(16)) for name, body in ZIPPED.items()},
    "doubled version": lambda: legacy(doubled(40)),
    "doubled keys": lambda: legacy(b"M\xe9\x03", keys=doubled(40)),
    "doubled shape of slices": lambda: pickled(
        b"Ns" + word("UnpackBigParamInfor@@") + b"}" + word("w") + b"}" + word("slices") + b"]s"
        + word("OriginShape") + doubled(40) + b"ss"
    ),  # fmt: skip
    "many entries": many_entries,
}  # fmt: skip


HARMLESS: dict[str, Callable[[], bytes]] = {
    "deep key by Size": lambda: pickled(
        b"})" + (b"q\x000" + called("torch", "Size", b"h\x00") + b"\x85") * 5_000 + b"Ns"
    ),
    "doubled lists": lambda: pickled(doubled(40)),
    "deep lists": lambda: pickled(b"]" * 100_000 + b"a" * 99_999),
    "many names of one dictionary": lambda: (
        b"\x80\x02}(" + word("a") + b"}(" + b"".join(word(f"{n}") + b"N" for n in range(30_000)) + b"uq\x00"
        + b"".join(word(f"b{n}") + b"h\x00" for n in range(30_000)) + b"u."
    ),
}  # fmt: skip
"""Nothing in them is a weight, and nothing is done with them."""


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers() as started:
        yield started


SLOW = ("lists", "memo", "pops")  # of the millions of instructions those that are allowed are looked at


@pytest.mark.parametrize("attack", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in FILES])
def test_attack(attack: str, readers: Readers, tmp_path: Path) -> None:
    path = tmp_path / "attack.pth"
    path.write_bytes(FILES[attack]())
    answer = readers.read(path)
    assert answer.keys() >= {"sentence", "seconds"}, answer
    assert answer["sentence"].startswith(str(path)) and answer["sentence"].isprintable()
    assert len(answer["sentence"]) < 1000
    print(f"{answer['seconds']:.1f} s, {answer['memory'] >> 10} MiB, {answer['sentence'][len(str(path)) :]}")
    assert answer["seconds"] < SECONDS and answer["memory"] < MOST


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(name: str, readers: Readers, tmp_path: Path) -> None:
    path = tmp_path / "harmless.pth"
    path.write_bytes(HARMLESS[name]())
    answer = readers.read(path)
    assert answer["weights"] == [] and answer["seconds"] < SECONDS and answer["memory"] < MOST


def header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "long header": lambda: header('{"a":' + " " * 2**24 + "{}}"),
    "deep header": lambda: header('{"a":' + "[" * 10**6 + "]" * 10**6 + "}"),
    "many lists": lambda: header('{"a":[' + ",".join(["[]"] * 10**6) + "]}"),
    "a number without end": lambda: header('{"a":{"dtype":"F32","shape":[' + "9" * 10**6 + '],"data_offsets":[0,4]}}'),
    "overlapping": lambda: (
        header("{" + ",".join(f'"{n}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' for n in range(9)) + "}")
        + bytes(4)
    ),
    "more than there is": lambda: header(
        '{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    ),
    "a line in a name": lambda: header('{"a\\nb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}') + bytes(4),
}


@pytest.mark.parametrize("attack", SAFETENSORS)
def test_safetensors(attack: str, readers: Readers, tmp_path: Path) -> None:
    path = tmp_path / "attack.safetensors"
    path.write_bytes(SAFETENSORS[attack]())
    answer = readers.read(path)
    assert answer["sentence"].startswith(str(path)) and answer["sentence"].isprintable(), answer
    assert answer["seconds"] < SECONDS and answer["memory"] < MOST


def test_a_hole_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "hole.safetensors"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="hole.safetensors cannot be read as safetensors"):
        read_weights(path)


def test_the_process_imports_little_and_starts_at_once(tmp_path: Path) -> None:
    code = isolation.START.replace("main()", "print(*sorted(sys.modules))")
    start = time.monotonic()
    folders = [str(isolation.ROOT), str(Path(np.__file__).parents[1])]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, "{}", *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 2  # 0.1 s where the machine has nothing else to do
    modules = done.stdout.split()
    assert not {"numpy", "paddle", "paddleseg", "cv2", "requests"} & set(modules) and len(modules) < 150


@pytest.mark.parametrize(
    "main, sentence",
    [
        pytest.param("x = [bytes(10**7) for _ in range(200)]", "MemoryError", marks=LINUX),
        ("while True: pass", "takes more than 1 s"),
        ("os.kill(os.getpid(), 11)", "crashes the process that reads it"),
        ("open('written', 'w').write('x')", "its header cannot have 0 bytes"),
        ("raise OSError('of its own')", "of its own"),
    ],
)
def test_limits_hold_where_the_scan_would_not(
    main: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in for a hole in the scan, in the process itself."""
    path, before = tmp_path / "file.pth", peak()
    path.write_bytes(pickle.dumps({}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(isolation, "SECONDS", 1)
    limits = "import os, json; from paddleseg_ext.checkpoint.isolated.main import limit; r = json.loads(sys.argv[1]); "
    start = isolation.START.split("from paddleseg_ext")[0] + limits + "limit(r['memory'], r['seconds'])\n"
    monkeypatch.setattr(isolation, "START", start + main)
    with pytest.raises(UserError, match=sentence) as caught:
        read_weights(path)
    assert str(path) in str(caught.value) and str(caught.value).isprintable()
    assert not (tmp_path / "written").exists() or not (tmp_path / "written").stat().st_size
    assert peak() - before < 450 * 2**10


def test_a_system_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    limit(1 << 40, 1)


def test_a_process_that_cannot_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(pickle.dumps({"a": np.ones(3)}))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="the process for it does not start"):
        read_weights(path)
