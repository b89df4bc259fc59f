"""JSON lines, packed: how the files of a result are written, and how those of a stranger are read.

Text is parsed as data within limits of size, depth and number of values; nothing is evaluated or imported.
"""

import gzip
import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from memgym.errors import ResultInvalid

__all__ = [
    "as_lines",
    "canonical_json",
    "pack",
    "parse_json",
    "sha256_file",
    "sha256_unpacked",
    "unpack_lines",
    "write_atomically",
]

MAX_FILE_BYTES = 256 << 20  # of one file, unpacked
MAX_LINE_BYTES = 16 << 20  # unpacked; the longest of a real LoCoMo conversation is half a MiB
MAX_VALUES = 1 << 20  # in one JSON text: a value takes up to a hundred times the memory of its text
MAX_DEPTH = 64


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


DECODER = json.JSONDecoder(parse_constant=_refuse)  # making one takes longer than reading a line


def canonical_json(value: Any) -> bytes:
    """The one JSON form that is hashed: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def as_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as canonical JSON lines."""
    return b"".join(canonical_json(row) + b"\n" for row in rows)


def pack(data: bytes) -> bytes:
    """Gzip; equal data give equal bytes."""
    packed = gzip.compress(data, mtime=0)
    # byte 9 is the operating system, which versions of Python fill differently
    return packed[:9] + b"\xff" + packed[10:]


def parse_json(data: bytes) -> Any:
    """Parse a stranger's JSON into values that can be written again, hashed and compared.

    Raises:
        ValueError: not UTF-8, not JSON, NaN, an infinity (``1e999`` is one), an integer beyond 64 bits, half
            of a surrogate pair, nested too deeply, or too many values.
        RecursionError: nested too deeply even for the parser.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    value = DECODER.decode(data.decode())
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for part in level:
            kind = type(part)  # a parser gives no subclasses
            if kind is int:  # most of it are actions
                if not -(2**63) < part < 2**63:
                    raise ValueError("an integer is beyond 64 bits")
            elif kind is str:
                part.encode()  # half of a surrogate pair raises
            elif kind is float:
                if not math.isfinite(part):
                    raise ValueError("a number is not finite")
            elif kind is dict:
                below += part
                below += part.values()
            elif kind is list:
                below += part
        if not below:
            return value
        level = below
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def unpack_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a gzipped JSON-lines file, one at a time.

    Raises:
        ResultInvalid: missing, not gzip, not JSON, or too large; names file and line.
    """
    number = total = 0
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                total += len(line)
                if len(line) > MAX_LINE_BYTES or total > MAX_FILE_BYTES:
                    raise ResultInvalid(f"{path.name}, line {number}: larger than a result may be.")
                row = parse_json(line)
                if not isinstance(row, dict):
                    raise ResultInvalid(f"{path.name}, line {number}: not a JSON object.")
                yield row
    except (OSError, EOFError, zlib.error) as error:
        raise ResultInvalid(f"{path.name} cannot be read: {error}.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ResultInvalid):
            raise
        raise ResultInvalid(f"{path.name}, line {number}: not JSON of a result: {error}.") from error


def sha256_unpacked(path: Path) -> str:
    """sha256 of what a gzipped file holds, which is the same whatever compressed it.

    Raises:
        ResultInvalid: not gzip, or too large.
    """
    digest, total = hashlib.sha256(), 0
    try:
        with gzip.open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                total += len(chunk)
                if total > MAX_FILE_BYTES:
                    raise ResultInvalid(f"{path.name}: larger than a result may be.")
                digest.update(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise ResultInvalid(f"{path.name} cannot be read: {error}.") from error
    return digest.hexdigest()
