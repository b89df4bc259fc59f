"""Finding, checking and fetching a dataset's file."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from memgym.errors import DatasetCorrupt, DatasetError, DatasetMissing, DependencyMissing

if TYPE_CHECKING:
    import httpx

__all__ = ["DatasetInfo", "cache_dir", "check_size", "download", "import_file", "read_as_it_is", "verify"]

T = TypeVar("T")

ATTEMPTS = 4
BACKOFF_S = 0.5  # before the second attempt; doubled before each further one
TIMEOUT_S = 30.0
BUSY = (408, 425, 429)  # the client errors that another attempt may mend

Progress = Callable[[int, int], None]
"""(bytes on this machine, bytes in all)."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A dataset: what it is, where it comes from, and how to know that it is the right one.

    Most are one file. One of several files has an empty `file`, stands for its folder, and names them in `parts`.

    Attributes:
        name: registered name; also the name of its folder.
        file: file name inside that folder; ``""`` for the folder.
        url: where `download` gets it.
        revision: version of the origin, e.g. a commit.
        sha256: checksum, as hexadecimal digits; of a folder, that of its lines ``"FILE SHA256"`` in order of the
            names, joined by line feeds.
        nbytes: size of the file, or of all of them.
        licence: of the data.
        citation: the paper, in one line.
        description: one line.
        home: page for people.
        parts: the files of a folder, each under the folder's name.
    """

    name: str
    file: str
    url: str
    revision: str
    sha256: str
    nbytes: int
    licence: str
    citation: str
    description: str
    home: str
    parts: "tuple[DatasetInfo, ...]" = ()

    def cached(self, cache: Path | None = None) -> Path:
        """Where the file, or the folder, stands in the cache, whether it is there or not."""
        return (cache or cache_dir()) / "datasets" / self.name / self.file

    def find(self, path: str | os.PathLike[str] | None = None) -> Path:
        """The file or folder on this machine: `path`, else ``$MEMGYM_DATA/<name>/<file>``, else the cache.

        Raises:
            DatasetMissing: it is in none of the three. A `path` that is given is the only place looked at.
        """
        if path is not None:
            places = [Path(path)]
        else:
            data = os.environ.get("MEMGYM_DATA")
            places = [Path(data) / self.name / self.file] if data else []
            places.append(self.cached())
        for place in places:
            if place.is_dir() if self.parts else place.is_file():
                return place
        raise DatasetMissing(self._how_to_get(places))

    def _how_to_get(self, looked_at: list[Path]) -> str:
        places = " and ".join(map(str, looked_at))
        copy = "FOLDER    (with its files" if self.parts else f"FILE    (a copy of {self.file}"
        where = f"FOLDER/{self.name}" + ("" if self.parts else f"/{self.file}")
        kind = "folder" if self.parts else "file"
        return (
            f"the dataset {self.name!r} is not on this machine; looked for {places}.\n"
            f"Any of these brings it:\n"
            f"  memgym data get {self.name}\n"
            f"  memgym data get {self.name} --from {copy} that you have)\n"
            f"  MEMGYM_DATA=FOLDER, where {where} is the {kind}\n"
            f"  path={kind.upper()}, the argument of the environment and of the loader\n"
            f"Its home is {self.home} (licence: {self.licence})."
        )


def cache_dir() -> Path:
    """``$MEMGYM_CACHE``, else the platform's folder for caches, e.g. ``~/.cache/memgym``."""
    if chosen := os.environ.get("MEMGYM_CACHE"):
        return Path(chosen)
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "memgym"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "memgym"
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the XDG specification: a relative path is to be ignored
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "memgym"


def read_as_it_is(path: Path, read: Callable[[Path, int, int], T]) -> T:
    """What ``read(path, nbytes, mtime_ns)`` gives. A `read` that remembers what it gave for these three reads a file
    again once its size or time of change differs.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        stat = path.stat()
        return read(path, stat.st_size, stat.st_mtime_ns)
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error


def check_size(path: Path, nbytes: int, most: int) -> None:
    """Refuse a file that is too large to be read at once.

    Raises:
        DatasetCorrupt: it has more than `most` bytes.
    """
    if nbytes > most:
        raise DatasetCorrupt(f"{path} has {nbytes:,} bytes; more than {most:,} are not read.")


@lru_cache(maxsize=64)
def _digest(path: Path, nbytes: int, mtime_ns: int) -> str:
    """The sha256 of a file; computed again once its size or time of change differs."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def verify(info: DatasetInfo, path: Path) -> None:
    """Check that `path` holds the very bytes that `info` describes; of a folder, that each part does.

    Raises:
        DatasetCorrupt: another size or checksum; names what was expected and what was found.
        DatasetMissing: a file of a folder is not there.
        DatasetError: the file cannot be read.
    """
    if info.parts:
        for part in info.parts:
            verify(part, part.find(path / part.file))
        return

    def measure(path: Path, nbytes: int, mtime_ns: int) -> tuple[int, str]:
        # a file of the wrong size is not read, whatever its size
        return nbytes, _digest(path, nbytes, mtime_ns) if nbytes == info.nbytes else "not computed"

    nbytes, found = read_as_it_is(path, measure)
    if found != info.sha256:
        raise DatasetCorrupt(
            f"{path} is not the {info.name} of revision {info.revision}: "
            f"expected {info.nbytes:,} bytes with sha256 {info.sha256}, "
            f"found {nbytes:,} bytes with sha256 {found}. Get it anew: memgym data get {info.name}"
        )


def import_file(info: DatasetInfo, source: Path, cache: Path | None = None) -> Path:
    """Copy a checked local file, or the files of a folder, into the cache; return where it is now.

    Raises:
        DatasetMissing: there is no such file.
        DatasetCorrupt: it is not the dataset.
    """
    source, target = info.find(source), info.cached(cache)
    verify(info, source)
    if info.parts:
        for part in info.parts:
            import_file(part, source / part.file, cache)
        return target
    if target.exists() and target.samefile(source):
        return target
    copy = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, copy)
            verify(info, copy)
            copy.replace(target)
        finally:
            copy.unlink(missing_ok=True)
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"cannot write {target}: {error}.") from error
    return target


def download(info: DatasetInfo, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch the file, or each of a folder, and return where it is in the cache; a checked one there stays.

    The bytes go to a ``.part`` file beside the target, which takes its place once its checksum is right. An
    interrupted download goes on where it stopped, now or at the next call.

    Args:
        info: the dataset.
        cache: root of the cache; `cache_dir()` where None.
        progress: called after every chunk with the bytes on this machine and the bytes in all.

    Raises:
        DependencyMissing: httpx is not installed.
        DatasetMissing: the server refuses, or cannot be reached after several attempts.
        DatasetCorrupt: the server sends something else; nothing of it is kept.
        DatasetError: the cache cannot be written.
    """
    target, before = info.cached(cache), 0
    if info.parts:
        for each in info.parts:
            download(each, cache, progress and partial(_add_up, progress, before, info.nbytes))
            before += each.nbytes
        return target
    try:
        if target.is_file():
            try:
                verify(info, target)
            except DatasetCorrupt:
                pass  # fetched anew below; the damaged file stands until then
            else:
                return target
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        _fetch(info, part, progress)
        part.replace(target)
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"cannot write {target}: {error}.") from error
    return target


def _add_up(progress: Progress, before: int, total: int, done: int, of_part: int) -> None:
    """Report a part's progress as the whole's."""
    progress(before + done, total)


class _Interrupted(Exception):
    """The transfer stopped early; another attempt goes on from there."""


def _fetch(info: DatasetInfo, part: Path, progress: Progress | None) -> None:
    """Bring `part` to the whole, checked file, in a few attempts."""
    try:
        import httpx
    except ImportError:
        raise DependencyMissing.for_extra("httpx", "data", "Downloading a dataset") from None

    # identity: a range of a compressed answer would be a range of the compressed bytes.
    # The attempts below stand in for httpx's transport retries: a transport of our own would ignore proxies.
    options = {"headers": {"Accept-Encoding": "identity"}, "follow_redirects": True, "timeout": TIMEOUT_S}
    failure: Exception | None = None
    with httpx.Client(**options) as client:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(BACKOFF_S * 2 ** (attempt - 1))
            resumed = part.is_file() and part.stat().st_size > 0
            try:
                _transfer(client, info, part, progress)
                _digest.cache_clear()  # a file rewritten within one tick of the clock looks unchanged
                verify(info, part)
            except DatasetCorrupt as error:
                part.unlink(missing_ok=True)
                if not resumed:
                    raise DatasetCorrupt(_refusal(info, f"{error}")) from None
                failure = error  # what stood here before may have been the wrong part: start afresh
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                if status < 500 and status not in BUSY:
                    raise DatasetMissing(_refusal(info, f"HTTP status {status}")) from error
                failure = error
            except (httpx.HTTPError, httpx.InvalidURL, _Interrupted) as error:
                failure = error
            else:
                return
    raise DatasetMissing(_refusal(info, f"{failure} ({ATTEMPTS} attempts)")) from failure


def _transfer(client: "httpx.Client", info: DatasetInfo, part: Path, progress: Progress | None) -> None:
    """One request: add what is missing to `part`, or write it from the start if the server sends it all."""
    have = part.stat().st_size if part.is_file() else 0
    if have > info.nbytes:
        have = 0
    elif have == info.nbytes:
        return
    wanted = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", info.url, headers=wanted) as response:
        status = response.status_code
        if have and status == 416:
            part.unlink()
            raise _Interrupted(f"the server cannot go on from byte {have:,}")
        response.raise_for_status()
        if status != 206:
            have = 0  # the server ignores ranges; one that sends another range fails the checksum
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and have + int(length) != info.nbytes:
            raise DatasetCorrupt(f"expected {info.nbytes:,} bytes, the server has {have + int(length):,}.")
        with part.open("ab" if have else "wb") as file:
            for chunk in response.iter_bytes():  # of no fixed size, which would lose the last, cut-off chunk
                have += len(chunk)
                if have > info.nbytes:
                    raise DatasetCorrupt(f"expected {info.nbytes:,} bytes, the server sends more.")
                file.write(chunk)
                if progress:
                    progress(have, info.nbytes)
    if have < info.nbytes:
        raise _Interrupted(f"the connection closed after {have:,} of {info.nbytes:,} bytes")


def _refusal(info: DatasetInfo, why: str) -> str:
    return (
        f"cannot download {info.name!r} from {info.url}: {why}\n"
        f"Get {info.file} from {info.home} by hand, then: memgym data get {info.name} --from FILE"
    )
