"""PyTorch's files are read without PyTorch, without executing code and with bounded memory."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from paddle import nn

from paddleseg_ext.checkpoint.load import load_weights, read_weights
from paddleseg_ext.checkpoint.reader import read_weight_file
from paddleseg_ext.errors import UserError

pytestmark = [
    pytest.mark.usefixtures("inside"),
    pytest.mark.filterwarnings(
        "ignore:invalid escape sequence"
    ),  # of pickletools; the process of its own has -W ignore
]

resource = pytest.importorskip("resource")  # Windows cannot limit a process
DATA = Path(__file__).parents[1] / "data" / "importers"
FORMATS = ["kinds_zip.pth", "kinds_legacy.pth"]
CHECKPOINTS = ["mmseg_0x_legacy.pth", "mmseg_1x_zip.pth"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_data_type_and_view(name: str) -> None:
    weights = read_weights(DATA / name)
    numbers = np.arange(-6, 6)
    for kind in ("float32", "float64", "float16", "int64", "int32", "int16", "int8"):
        assert weights[kind].dtype == kind
        np.testing.assert_array_equal(weights[kind], numbers)
    assert weights["bfloat16"].dtype == "float32"
    np.testing.assert_array_equal(weights["bfloat16"], numbers)
    np.testing.assert_array_equal(weights["uint8"], abs(numbers))
    np.testing.assert_array_equal(weights["bool"], numbers > 0)
    table = numbers.reshape(3, 4)
    np.testing.assert_array_equal(weights["transposed"], table.T)
    np.testing.assert_array_equal(weights["window"], table[1:, 1:3])
    np.testing.assert_array_equal(weights["tied"], table)
    np.testing.assert_array_equal(weights["parameter"], table)
    assert weights["scalar"].shape == () and weights["scalar"] == 0.75
    assert weights["empty"].shape == (0, 3)
    assert "note" not in weights and "size" not in weights


def test_both_formats_of_a_checkpoint_hold_the_same() -> None:
    old, new = (read_weight_file(DATA / name) for name in CHECKPOINTS)
    assert list(old.weights) == list(new.weights) and len(old.weights) > 100
    for name, value in old.weights.items():
        np.testing.assert_array_equal(value, new.weights[name])
    assert old.meta["CLASSES"] == new.meta["dataset_meta"]["classes"] == ["road", "sky", "car"]
    assert old.meta["iter"] == new.meta["iter"] == 80000


@pytest.mark.parametrize("name", FORMATS)
def test_pth_with_names_of_this_package_is_loaded(name: str) -> None:
    net = nn.Layer()
    net.window = net.create_parameter([2, 2])
    load_weights(net, DATA / name)
    np.testing.assert_array_equal(net.window.numpy(), [[-1, 0], [3, 4]])


def damaged(content: bytes, count: int) -> list[bytes]:
    """The file truncated, with single bits flipped, and with 8 bytes overwritten."""
    generator = np.random.default_rng(0)
    results = [content[:cut] for cut in generator.integers(0, len(content), count)]
    for _ in range(3 * count):
        copy = bytearray(content)
        copy[generator.integers(min(len(copy), 4000))] ^= 1 << generator.integers(8)
        results.append(bytes(copy))
    for _ in range(count):
        copy, start = bytearray(content), generator.integers(len(content))
        copy[start : start + 8] = generator.bytes(len(copy[start : start + 8]))
        results.append(bytes(copy))
    return results


@pytest.mark.parametrize("name, count", [(FORMATS[0], 60), (FORMATS[1], 60), ("mmseg_0x_legacy.pth", 15)])
def test_damaged_files_are_user_errors(tmp_path: Path, name: str, count: int) -> None:
    path, refused = tmp_path / name, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for content in damaged((DATA / name).read_bytes(), count):
        path.write_bytes(content)
        try:
            weights = read_weights(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 500
            refused += 1
        else:
            assert all(isinstance(value, np.ndarray) for value in weights.values())
    assert refused > count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 2**10  # KiB


@pytest.mark.parametrize("name", FORMATS)
def test_every_truncation_is_detected(tmp_path: Path, name: str) -> None:
    content, path = (DATA / name).read_bytes(), tmp_path / name
    for cut in range(0, len(content) - 1, 13):
        path.write_bytes(content[:cut])
        with pytest.raises(UserError, match=name):
            read_weights(path)


def test_a_flipped_bit_in_a_storage_of_a_zip_file_is_detected(tmp_path: Path) -> None:
    content = bytearray((DATA / "kinds_zip.pth").read_bytes())
    content[content.index(struct.pack("<12f", *range(-6, 6))) + 5] ^= 1
    (tmp_path / "flipped.pth").write_bytes(content)
    with pytest.raises(UserError, match="Bad CRC-32"):
        read_weights(tmp_path / "flipped.pth")


def op(text: str, *parts: bytes) -> bytes:
    return text.encode("latin1") + b"".join(parts)


def name_of(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def pickled(body: bytes) -> bytes:
    """A dictionary with one entry, whose value the body creates."""
    return b"\x80\x02}" + word("weight") + body + b"s."


def zipped(body: bytes, storage: bytes = b"", **entry: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **entry) as archive:
        archive.writestr("a/data.pkl", pickled(body))
        archive.writestr("a/data/0", storage)
    return stream.getvalue()


def tensor(offset: int, size: tuple, stride: tuple, count: int) -> bytes:
    """A tensor of PyTorch over storage 0."""
    numbers = lambda values: b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"  # noqa: E731
    storage = b"(" + word("storage") + name_of("torch", "FloatStorage") + word("0") + word("cpu")
    storage += b"J" + struct.pack("<i", count) + b"tQ"
    arguments = b"(" + storage + b"J" + struct.pack("<i", offset) + numbers(size) + numbers(stride) + b"\x89)t"
    return name_of("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def array(shape: bytes, kind: str, data: bytes) -> bytes:
    """A NumPy array, its shape and data as pickle instructions."""
    start = name_of("numpy.core.multiarray", "_reconstruct") + name_of("numpy", "ndarray") + b"K\x00\x85" + word("b")
    dtype = (
        name_of("numpy", "dtype")
        + word(kind)
        + b"K\x00K\x01\x87R(K\x03"
        + word("<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    return start + b"\x87R(K\x01" + shape + dtype + b"\x89" + data + b"tb"


FOUR = b"J\x00\x00\x00\x40"  # 2³⁰
ATTACKS = {
    "function": (name_of("os", "system") + b"(" + word("touch ran") + b"tR", r"refers to os\.system"),
    "posix": (name_of("posix", "system") + b"(" + word("touch ran") + b"tR", r"refers to posix\.system"),
    "eval": (name_of("builtins", "eval") + b"(" + word("open('ran', 'w')") + b"tR", r"refers to builtins\.eval"),
    "getattr": (name_of("builtins", "getattr") + b"(" + word("a") + word("b") + b"tR", r"refers to builtins\.getattr"),
    "dotted": (
        b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93)R",
        r"refers to numpy\.ndarray\.__reduce__",
    ),
    "long name": (name_of("os" * 10**5, "system"), r"refers to (os){20}"),
    "nested load": (name_of("torch.storage", "_load_from_bytes") + b"C\x01a\x85R", r"torch\.storage\._load_from_bytes"),
    "whole model": (name_of("mmseg.models", "EncoderDecoder") + b")\x81", r"refers to mmseg\.models\.EncoderDecoder"),
    "instance": (b"(" + b"ios\nsystem\n", "pickle instruction INST"),
    "extension": (b"\x82\x01", "pickle instruction EXT1"),
    "text": (b"L" + b"9" * 50 + b"L\n", "pickle instruction LONG"),
    "huge text": (b"\x8d" + struct.pack("<Q", 2**60), "unicodestring8"),
    "huge bytes": (b"\x8e" + struct.pack("<Q", 2**60), "bytes8"),
    "huge bytearray": (b"\x96" + struct.pack("<Q", 2**60), "bytearray8"),
    "huge memo": (b"Nr\xff\xff\xff\xff", "stores an object under the number 4294967295"),
    "huge array": (array(b"(" + FOUR * 4 + b"t", "f4", b"C\x04aaaa"), r"an array of shape .* has 1 numbers"),
    "array of objects": (array(b"K\x01\x85", "O8", b"]N" + b"a"), "an array of type O8"),
    "array of an odd type": (array(b"K\x01\x85", "V1000000000", b"C\x01a"), "an array of"),
    "unhashable key": (b"}]Ns", "unhashable type: .list."),
    "deep key": (b"}" + b")" + b"\x85" * 100_000 + b"Ns", "a tuple that is nested too deep"),
    "deep list": (b"]" * 100_000 + b"a" * 99_999, None),
    "copies": (
        word("x" * 2**16)
        + b"q\x000"
        + (name_of("_codecs", "encode") + b"h\x00" + word("latin1") + b"\x86R0") * 2000
        + b"N",
        "copies its content over and over",
    ),
    "other text": (name_of("_codecs", "encode") + word("x") + word("zlib") + b"\x86R", "encodes text as .zlib."),
    "storage by call": (name_of("torch", "FloatStorage") + FOUR + b"\x85R", "not callable"),
    "data elsewhere": (word("0") + b"Q", "data outside the pickle"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("wrap", [pickled, zipped], ids=["plain", "zip"])
def test_malicious_pickles(tmp_path: Path, attack: str, wrap: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body, message = ATTACKS[attack]
    path = tmp_path / "attack.pth"
    path.write_bytes(wrap(body))
    if message is None:
        read_weights(path)
    else:
        with pytest.raises(
            UserError, match=r"attack\.pth .*" + ("" if wrap is zipped and attack == "data elsewhere" else message)
        ):
            read_weights(path)
    assert os.listdir(tmp_path) == ["attack.pth"]


@pytest.mark.parametrize(
    "content, message",
    [
        (zipped(tensor(0, (2**15, 2**15), (0, 0), 4), bytes(16)), "does not fit its 4 numbers"),
        (zipped(tensor(2, (3,), (1,), 4), bytes(16)), "does not fit its 4 numbers"),
        (zipped(tensor(-1, (3,), (1,), 4), bytes(16)), "does not fit its 4 numbers"),
        (zipped(tensor(3, (3,), (-1,), 4), bytes(16)), "does not fit its 4 numbers"),
        (zipped(tensor(0, (2, 2), (1,), 4), bytes(16)), "does not fit its 4 numbers"),
        (zipped(tensor(0, (4,), (1,), 2**30), bytes(16)), "a storage of 4294967296 bytes has 16"),
        (zipped(b"N", bytes(10**7), compression=zipfile.ZIP_DEFLATED), "it is compressed"),
        (zipped(b"N")[:-30], "not a zip file"),
    ],
    ids=["expanded", "beyond", "before", "backwards", "axes", "size", "bomb", "no directory"],
)
def test_sizes_are_checked(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "sizes.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_weights(path)


def test_tensors_that_share_a_storage_are_bounded(tmp_path: Path) -> None:
    tied = tensor(0, (2**16,), (1,), 2**16)
    many = b"}" + b"".join(word(f"w{i}") + tied + b"s" for i in range(200))
    for count, body in [(1, b"}" + word("w") + tied + b"s"), (200, many)]:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a/data.pkl", b"\x80\x02" + body + b".")
            archive.writestr("a/data/0", bytes(2**18))
        path = tmp_path / f"{count}.pth"
        path.write_bytes(stream.getvalue())
    assert len(read_weights(tmp_path / "1.pth")) == 1
    with pytest.raises(UserError, match="its tensors overlap"):
        read_weights(tmp_path / "200.pth")


def test_a_zip_file_of_another_kind(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(UserError, match=r"other\.pth is a zip archive, but not one of PyTorch"):
        read_weights(tmp_path / "other.pth")


def test_paddles_own_files_of_every_protocol(tmp_path: Path) -> None:
    state = {"a": np.arange(6, dtype="float32").reshape(2, 3).T, "b": np.array(True), "c": np.float64(1)}
    for protocol in (2, 3, 4, 5):
        path = tmp_path / f"{protocol}.pdparams"
        path.write_bytes(pickle.dumps(state, protocol))
        weights = read_weights(path)
        np.testing.assert_array_equal(weights["a"], state["a"])
        assert weights["b"].dtype == bool and set(weights) == {"a", "b"}


@pytest.mark.parametrize(
    "flag, expected", [(b"\x88", [[0, 2], [1, 3]]), (b"K\x01", [[0, 2], [1, 3]]), (b"K\x00", [[0, 1], [2, 3]])]
)
def test_order_of_axes_as_old_files_tell_it(tmp_path: Path, flag: bytes, expected: list) -> None:
    body = array(b"(K\x02K\x02t", "i2", b"C\x08" + struct.pack("<4h", *range(4)))
    head, tail = body.rsplit(b"\x89", 1)
    (tmp_path / "file.pdparams").write_bytes(pickled(head + flag + tail))
    np.testing.assert_array_equal(read_weights(tmp_path / "file.pdparams")["weight"], expected)


def test_numbers_in_the_other_byte_order(tmp_path: Path) -> None:
    kinds = (">f4", ">i8", ">f2", ">c8", "<f8")
    state = {kind: np.arange(6).astype(kind).reshape(2, 3) for kind in kinds} | {
        "turned": np.arange(6, dtype=">f4")[::-1]
    }
    for protocol in (2, 4, 5):
        path = tmp_path / "big.pdparams"
        path.write_bytes(pickle.dumps(state, protocol))
        found = read_weights(path)
        assert found.keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_array_equal(found[name], value)
