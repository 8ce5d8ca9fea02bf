"""Weights by address: over https alone, into a cache of our own, once; archives give the one file in them."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import pickle
import shutil
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle import nn
from paddleseg.utils import utils as paddleseg_utils

from paddleseg_ext.checkpoint import download
from paddleseg_ext.checkpoint.isolation import isolated
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.errors import UserError

WEIGHTS = pickle.dumps({"weight": np.arange(6, dtype="float32")}, 4)
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
Member = tuple[str, bytes, dict[str, Any]]


def tar(*members: Member, mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content, settings in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in settings.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def packed(*members: Member) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, _ in members:
            archive.writestr(name, content)
    return stream.getvalue()


LINK, HARD = {"type": tarfile.SYMTYPE, "linkname": "/tmp"}, {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}
MODEL = ("resnet50/model.pdparams", WEIGHTS, {})
FOLDER = ("resnet50", b"", {"type": tarfile.DIRTYPE})
GOOD = {
    "/resnet50.tar.gz": tar(FOLDER, MODEL),
    "/resnet50.tgz": tar(FOLDER, ("resnet50/note.txt", b"x", {}), MODEL),
    "/resnet50.tar": tar(MODEL, mode="w"),
    "/resnet50.zip": packed(("resnet50/", b"", {}), MODEL),
    "/other_name.zip": packed(("a/resnet50_vd.pdparams", WEIGHTS, {})),
}
BAD = {
    "/up.tar.gz": (tar(("../../written", b"x", {}), MODEL), r"'\.\./\.\./written' in it leads out of the folder"),
    "/root.tar.gz": (tar(("/tmp/written", b"x", {}), MODEL), "leads out of the folder"),
    "/link.tar.gz": (tar(("a", b"", LINK), ("a/written", b"x", {}), MODEL), "'a' in it is no regular file"),
    "/hard.tar.gz": (tar(("model.pdparams", b"", HARD)), "is no regular file"),
    "/device.tar": (tar(("model.pdparams", b"", {"type": tarfile.CHRTYPE}), mode="w"), "is no regular file"),
    "/up.zip": (packed(("../../written", b"x", {}), MODEL), "leads out of the folder"),
    "/drive.zip": (packed(("C:\\written", b"x", {}), MODEL), "leads out of the folder"),
    "/bomb.tar.gz": (tar(("a", bytes(10**8), {}), MODEL), "unpacks to far more than its own size"),
    "/bomb.zip": (packed(("a", bytes(10**8), {}), MODEL), "unpacks to far more than its own size"),
    "/two.zip": (packed(MODEL, ("b/model.pdparams", b"x", {})), "has 2 files of weights"),
    "/none.zip": (packed(("a.txt", b"x", {})), "has no file of weights"),
    "/no.tar.gz": (b"not an archive", "cannot be read as weights"),
    "/half.tar.gz": (GOOD["/resnet50.tar.gz"][:-60], "cannot be read as weights"),
}


class Answers(BaseHTTPRequestHandler):
    """A server of what the tests need; counts what it was asked for."""

    asked: list[str] = []

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.asked.append(path)
        redirects = {
            "/to_http": "http://localhost/x.pdparams",
            "/to_file": "file:///etc/passwd",
            "/to_ftp": "ftp://a/b",
        }
        redirects.update({"/around": "/around", "/moved": "/net/model.pdparams"})
        files = {**GOOD, **{name: content for name, (content, _) in BAD.items()}, "/net/model.pdparams": WEIGHTS}
        if path in redirects:
            self.send_response(302)
            self.send_header("Location", redirects[path])
            self.end_headers()
        elif path == "/endless.pdparams":
            self.send_response(200)
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(bytes(10**5))
        elif path in ("/cut.pdparams", "/huge.pdparams"):
            self.send_response(200)
            self.send_header("Content-Length", "1000" if path.startswith("/cut") else str(10**12))
            self.end_headers()
            self.wfile.write(WEIGHTS[:100])
        elif path in files:
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[path])))
            self.end_headers()
            self.wfile.write(files[path])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-nodes"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    running = ThreadingHTTPServer(("localhost", 0), Answers)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"https://localhost:{running.server_port}"
    running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
    monkeypatch.setenv(download.CACHE, str(tmp_path / "cache"))
    Answers.asked.clear()
    return tmp_path / "cache"


def files_of(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*") if path.is_file()} - {"lock"}


def test_a_file_is_fetched_once_and_its_digest_told(server: str, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        paths = [download.local_file(f"{server}/net/model.pdparams", "model.pretrained") for _ in range(2)]
    assert paths[0] == paths[1] and Path(paths[0]).read_bytes() == WEIGHTS and cache in Path(paths[0]).parents
    assert Answers.asked == ["/net/model.pdparams"]
    assert f"model.pretrained: {server}/net/model.pdparams: sha256 {DIGEST}" in caplog.messages
    assert files_of(cache) == {"model.pdparams", "model.pdparams.sha256"}


def test_a_damaged_copy_is_fetched_again(server: str) -> None:
    path = download.fetch(f"{server}/net/model.pdparams")[0]
    path.write_bytes(b"half")
    assert download.fetch(f"{server}/net/model.pdparams")[0].read_bytes() == WEIGHTS and len(Answers.asked) == 2


def test_addresses_with_the_same_end_are_kept_apart(server: str) -> None:
    assert len({download.fetch(f"{server}/net/model.pdparams{query}")[0] for query in ("", "?version=2")}) == 2


@pytest.mark.parametrize("path", GOOD)
def test_archives_give_the_weights_in_them(path: str, server: str) -> None:
    for _ in range(2):
        found = download.local_file(server + path, "model.pretrained")
    np.testing.assert_array_equal(read_weights(found)["weight"], np.arange(6))
    assert Answers.asked == [path]
    assert download.fetch(server + path)[1] == hashlib.sha256(GOOD[path]).hexdigest()  # of the archive, as after a #


@pytest.mark.parametrize("path", BAD)
def test_archives_that_could_write_elsewhere_are_refused(path: str, server: str, cache: Path) -> None:
    with pytest.raises(UserError, match=BAD[path][1]) as caught:
        download.local_file(server + path, "model.backbone.pretrained")
    text = str(caught.value)
    assert text.startswith("model.backbone.pretrained: ") and "\n" not in text
    assert files_of(cache) <= {path[1:], f"{path[1:]}.sha256"}
    assert not list(cache.parent.rglob("written*")) and not Path("/tmp/written").exists()


@pytest.mark.parametrize("known", [DIGEST, DIGEST.upper()])
def test_a_known_digest(known: str, server: str) -> None:
    assert download.fetch(f"{server}/net/model.pdparams#sha256={known}")[0].read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "source, sentence",
    [
        ("{}/net/model.pdparams#sha256=" + "0" * 64, f"its sha256 is {DIGEST}, so it is another file"),
        ("{}/net/model.pdparams#sha256=12", "after # only sha256= and the 64 digits"),
        ("{}/to_http", "leads to http://localhost/x.pdparams, and only https is allowed"),
        ("{}/to_file", "leads to file:///etc/passwd, and only https is allowed"),
        ("{}/to_ftp", "only https is allowed"),
        ("{}/around", "leads on more than 5 times"),
        ("{}/missing.pdparams", "cannot be downloaded .*404"),
        ("{}/cut.pdparams", "cannot be downloaded"),
        ("{}/huge.pdparams", "is larger than 1 MB"),
        ("{}/endless.pdparams", "is larger than 1 MB"),
        ("ftp://localhost/model.pdparams", "only https is allowed"),
        ("https://localhost:1/model.pdparams", "cannot be downloaded"),
    ],
)
def test_refusals(source: str, sentence: str, server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_SIZE", 1 << 20)
    with pytest.raises(UserError, match=sentence) as caught:
        download.local_file(source.format(server), "model.pretrained")
    assert "\n" not in str(caught.value)
    assert not any(name.endswith("~") for name in files_of(cache)) and "x.pdparams" not in files_of(cache)


@pytest.mark.slow
def test_a_name_that_unpacks_to_hundreds_of_megabytes(tmp_path: Path) -> None:
    header = tarfile.TarInfo("a")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 10**9
    with gzip.open(tmp_path / "name.tar.gz", "wb", 1) as archive:
        archive.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(1000):
            archive.write(bytes(10**6))
    with pytest.raises(UserError, match="needs more than [0-9]+ MB of memory, which its size does not explain"):
        isolated("archive", tmp_path / "name.tar.gz", lambda content: content.read())


def test_http_is_fetched_over_https(server: str) -> None:
    assert download.fetch(server.replace("https", "http") + "/net/model.pdparams")[0].read_bytes() == WEIGHTS


def test_a_redirect_over_https_is_followed(server: str) -> None:
    assert download.fetch(f"{server}/moved")[0].read_bytes() == WEIGHTS


def test_a_cache_that_cannot_be_written(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(download.CACHE, str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be kept in .*PADDLESEG_EXT_CACHE names another folder"):
        download.fetch(f"{server}/net/model.pdparams")


@pytest.mark.parametrize("address", ["dygraph/net.tar.gz", "dygraph/net/model.pdparams"])
def test_without_a_network_what_paddleseg_downloaded_is_taken(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "net" / "model.pdparams"
    kept.parent.mkdir()
    kept.write_bytes(WEIGHTS)
    monkeypatch.setattr(download.seg_env, "PRETRAINED_MODEL_HOME", str(tmp_path))
    monkeypatch.setattr(download, "_opened", _no_network)
    assert download.local_file(f"https://bj.bcebos.com/{address}", "model.pretrained") == str(kept)
    with pytest.raises(UserError, match="cannot be downloaded"):
        download.local_file(f"https://example.invalid/{address}", "model.pretrained")


def _no_network(_: str) -> None:
    raise download.requests.ConnectionError("no network")


def test_paddlesegs_own_networks_fetch_and_read_through_this(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Layer()
    net.weight = net.create_parameter([6])
    paddleseg_utils.load_pretrained_model(net, f"{server}/resnet50.tar.gz")
    np.testing.assert_array_equal(net.weight.numpy(), np.arange(6))
    with pytest.raises(UserError, match="leads out of the folder"):
        paddleseg_utils.load_entire_model(net, f"{server}/up.tar.gz")
