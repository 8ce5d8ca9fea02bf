"""Weights that a configuration names by an address: fetched once, over https, into a cache of this package.

    <cache>/pretrained/<of the address>/<name>           the file of weights
    <cache>/pretrained/<of the address>/<name>.sha256    its digest when it was fetched

PaddleSeg's own downloader unpacks any archive wherever its members say, and takes http. Here an archive gives the one
file of weights in it, which a process of its own takes out (`isolated.archive`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urljoin, urlparse

import requests
from filelock import FileLock
from paddleseg.utils import seg_env

from paddleseg_ext.checkpoint.atomic import digest, write_file
from paddleseg_ext.checkpoint.isolation import isolated
from paddleseg_ext.checkpoint.packaged import weight_file
from paddleseg_ext.errors import UserError, reason

logger = logging.getLogger(__name__)

CACHE = "PADDLESEG_EXT_CACHE"  # environment variable: another folder
MAX_SIZE = 4 << 30  # bytes; the largest network of PaddleSeg's has 1.2 GB
MAX_REDIRECTS = 5
TIMEOUT = (15, 60)  # seconds: until a connection is there, and between two pieces
BLOCK = 1 << 20
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
RECORD = ".sha256"
CHECKSUM = "sha256="  # what may follow an address after a #


def local_file(source: str, key: str) -> str:
    """The path of weights named by a path, an address, or a name of `packaged`.

    What was downloaded before is not downloaded again.

    Args:
        source: A path; an address, after which ``#sha256=…`` may stand; or a name.
        key: Of the configuration, for messages.

    Raises:
        UserError: The address is none of https, the download fails or is too large, the digest is another, or the
            package of that name is not installed.
    """
    if Path(source).is_file():
        return source
    if not urlparse(source).netloc:
        return weight_file(source, key)
    try:
        file, found = fetch(source)
    except UserError as error:
        if (kept := _kept_by_paddleseg(source)) is None or not isinstance(error.__cause__, requests.RequestException):
            raise UserError(f"{key}: {error}") from error
        logger.warning(f"{key}: {error.__cause__.__class__.__name__}, so what PaddleSeg downloaded before is taken")
        file, found = kept, digest(kept)
    logger.info(f"{key}: {source}: sha256 {found}")
    return str(file)


def fetch(source: str) -> tuple[Path, str]:
    """As `local_file`, for an address; the file, and the digest of what was downloaded.

    Raises:
        UserError: The address is not of https, nothing can be fetched from it or kept, or the digest is another.
    """
    address, _, fragment = source.partition("#")
    if urlparse(address).scheme == "http":
        address = "https" + address[len("http") :]
    if urlparse(address).scheme != "https":
        raise UserError(f"{source} is not fetched: only https is allowed. {_advice()}")
    expected = fragment[len(CHECKSUM) :].lower() if fragment.startswith(CHECKSUM) else None
    if fragment and not re.fullmatch(r"[0-9a-f]{64}", expected or ""):
        raise UserError(f"{source}: after # only {CHECKSUM} and the 64 digits of the file's digest are allowed.")
    name = re.sub(r"[^\w.+-]", "_", unquote(urlparse(address).path).rsplit("/", 1)[-1])[-100:].lstrip(".") or "weights"
    folder = cache_folder() / hashlib.sha256(address.encode()).hexdigest()[:20]
    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):  # several processes of one training come here at a time
            if not (found := _recorded(file)):
                _download(address, file)
                found = _record(file)
            if expected and found != expected:
                file.unlink()
                raise UserError(f"{source}: its sha256 is {found}, so it is another file or a damaged one.")
            return _weights(file), found
    except OSError as error:
        raise UserError(
            f"{address} cannot be kept in {folder} ({reason(error)}); {CACHE} names another folder."
        ) from error


def _kept_by_paddleseg(source: str) -> Path | None:
    """Where PaddleSeg's downloader has put its own weights, for machines without a network."""
    address = urlparse(source)
    *folders, name = unquote(address.path).split("/")
    if not (address.hostname or "").endswith("bcebos.com") or ".." in folders or not folders or address.fragment:
        return None
    place = (name.split(".")[0], "model.pdparams") if name.endswith(ARCHIVES) else (folders[-1], name)
    kept = Path(seg_env.PRETRAINED_MODEL_HOME, *place)
    return kept if kept.is_file() else None


def cache_folder() -> Path:
    """Where downloads are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(home) / "paddleseg_ext") / "pretrained"


def _record(file: Path) -> str:
    """Write a file's digest beside it, and return it."""
    found = digest(file)
    write_file(file.with_name(file.name + RECORD), lambda path: path.write_text(found, encoding="ascii"))
    return found


def _recorded(file: Path) -> str | None:
    """The digest beside a file, if both are there and agree."""
    record = file.with_name(file.name + RECORD)
    if not file.is_file() or not record.is_file():
        return None
    found = digest(file)
    return found if record.read_text("ascii", "replace").strip() == found else None


def _weights(file: Path) -> Path:
    """The file itself, or the weights taken out of it where it is an archive."""
    if not file.name.lower().endswith(ARCHIVES):
        return file
    weights = file.parent / "model.pdparams"
    if not _recorded(weights):
        write_file(weights, lambda path: isolated("archive", file, lambda content: _copy(content, path)))
        _record(weights)
    return weights


def _copy(content: IO[bytes], path: Path) -> None:
    with open(path, "wb") as sink:
        shutil.copyfileobj(content, sink, BLOCK)


def _download(address: str, file: Path) -> None:
    try:
        with _opened(address) as response:
            logger.info(f"downloading {address}")
            write_file(file, lambda path: _receive(response, path))
    except requests.RequestException as error:
        raise UserError(f"{address} cannot be downloaded ({reason(error)}). {_advice()}") from error


@contextmanager
def _opened(address: str) -> Iterator[requests.Response]:
    """The answer that has the file; each redirect is looked at before it is followed."""
    with requests.Session() as session:
        for _ in range(MAX_REDIRECTS + 1):
            with session.get(
                address, stream=True, allow_redirects=False, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
            ) as response:
                if not response.is_redirect:
                    response.raise_for_status()
                    yield response
                    return
                target = urljoin(address, response.headers["location"])
            if urlparse(target).scheme != "https":
                raise UserError(f"{address} is not fetched: it leads to {target:.200}, and only https is allowed.")
            address = target
    raise UserError(f"{address} is not fetched: it leads on more than {MAX_REDIRECTS} times.")


def _receive(response: requests.Response, path: Path) -> None:
    stated = response.headers.get("content-length", "")
    size, done = int(stated) if stated.isdigit() else None, 0
    with open(path, "wb") as sink:
        if size is None or size <= MAX_SIZE:
            for block in response.iter_content(BLOCK):
                done += len(block)
                if done > MAX_SIZE:
                    break
                sink.write(block)
    if max(size or 0, done) > MAX_SIZE:
        raise UserError(f"{response.url} is not fetched: it is larger than {MAX_SIZE >> 20} MB.")
    if size is not None and done != size:
        raise requests.ConnectionError(f"it ended after {done} of {size} bytes")


def _advice() -> str:
    return "Fetch it elsewhere and give the file's path, or nothing to train from scratch."
