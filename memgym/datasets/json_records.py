"""Reading a JSON list of objects one by one: a file of gigabytes in the memory of its largest record."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memgym.errors import DatasetCorrupt

__all__ = ["RecordLimits", "iter_records"]

BLOCK = 1 << 20  # bytes read at a time
MAX_DEPTH = 64
BACKSLASH = ord("\\")
MARK = re.compile(rb'["{}\[\]]')
BETWEEN = re.compile(rb"\s*,\s*")
SPACE = re.compile(rb"\s*")


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """What is refused without being read to its end.

    Attributes:
        record: bytes of one record.
        string: bytes of one string in it.
    """

    record: int = 64 << 20
    string: int = 4 << 20


def iter_records(
    path: Path, id_key: str = "", limits: RecordLimits | None = None
) -> Iterator[tuple[int, bytes]]:
    """The objects of a file that is one JSON list, each with the byte it begins at, as unparsed JSON.

    No more of the file is held than the current record and a block of a megabyte.

    Args:
        path: the file.
        id_key: the key whose text names a record in messages.
        limits: of sizes.

    Raises:
        DatasetCorrupt: not a list of objects, cut off, or something in it is larger than the limits; names the
            record by its number from 0, and by its id where that has been read.
    """
    with path.open("rb") as file:
        yield from _Reader(file, str(path), id_key, limits or RecordLimits()).records()


class _Reader:
    def __init__(self, file: BinaryIO, source: str, id_key: str, limits: RecordLimits) -> None:
        self.file, self.source, self.limits = file, source, limits
        self.id = re.compile(rb'"%s"\s*:\s*"([^"\\]{1,64})"' % re.escape(id_key.encode())) if id_key else None
        self.buffer = bytearray()
        self.start = 0  # byte of the file that the buffer begins at
        self.number = 0  # of the record

    def records(self) -> Iterator[tuple[int, bytes]]:
        place = self._skip(SPACE, 0)
        if self.buffer[place : place + 1] != b"[":
            raise DatasetCorrupt(f"{self.source} is not a JSON list.")
        place = self._skip(SPACE, place + 1)
        while self.buffer[place : place + 1] != b"]":
            if self.number:
                between = BETWEEN.match(self.buffer, place)
                if between is None:
                    raise DatasetCorrupt(
                        f"{self._where()}: expected ',' or ']' before it; the file is cut off."
                    )
                place = self._skip(BETWEEN, place)
            if self.buffer[place : place + 1] != b"{":
                raise DatasetCorrupt(f"{self._record}: expected an object.")
            self._drop(place)
            end = self._end()
            yield self.start, bytes(self.buffer[:end])
            self.number += 1
            place = self._skip(SPACE, end)
        if self._skip(SPACE, place + 1) < len(self.buffer):
            raise DatasetCorrupt(f"{self.source}: something follows the list.")

    def _end(self) -> int:
        """Where the record that the buffer begins with ends."""
        place = depth = 0
        while True:
            found = MARK.search(self.buffer, place)
            if found is None:
                place = len(self.buffer)
                self._more()
                continue
            place = found.end()
            mark = found[0]
            if mark == b'"':
                place = self._string_end(place)
            elif mark in b"{[":
                depth += 1
                if depth > MAX_DEPTH:
                    raise DatasetCorrupt(f"{self._where()} nests deeper than {MAX_DEPTH}.")
            else:
                depth -= 1
                if depth == 0:
                    if place > self.limits.record:
                        raise self._too_large("it", self.limits.record)
                    return place

    def _string_end(self, begin: int) -> int:
        """Behind the closing mark of the string that begins at `begin`."""
        place = begin
        while True:
            end = self.buffer.find(b'"', place)
            if (len(self.buffer) if end < 0 else end) - begin > self.limits.string:
                raise self._too_large("a string in it", self.limits.string)
            if end < 0:
                place = len(self.buffer)
                self._more()
                continue
            before = end
            while self.buffer[before - 1] == BACKSLASH:
                before -= 1
            if (end - before) % 2 == 0:  # an even number of backslashes escape one another, not the mark
                return end + 1
            place = end + 1

    def _more(self) -> None:
        """Read on within a record."""
        if len(self.buffer) > self.limits.record:
            raise self._too_large("it", self.limits.record)
        if not self._read():
            raise DatasetCorrupt(f"{self._where()} does not end; the file is cut off.")

    def _read(self) -> bool:
        block = self.file.read(BLOCK)
        self.buffer += block
        return bool(block)

    def _drop(self, place: int) -> None:
        del self.buffer[:place]
        self.start += place

    def _skip(self, pattern: re.Pattern[bytes], place: int) -> int:
        """Past what `pattern` matches, with at least one byte read beyond it unless the file ends there."""
        while True:
            match = pattern.match(self.buffer, place)
            end = match.end() if match else place
            if end < len(self.buffer):
                return end
            if pattern is SPACE:  # megabytes of spaces are not kept
                self._drop(end)
                place = end = 0
            elif len(self.buffer) > self.limits.record:
                raise DatasetCorrupt(f"{self._record}: megabytes of space stand before it.")
            if not self._read():
                return end

    @property
    def _record(self) -> str:
        return f"{self.source}, record {self.number}"

    def _where(self) -> str:
        """Name of the record that the buffer begins with."""
        found = self.id.search(self.buffer) if self.id else None
        name = f" ({found[1].decode(errors='replace')})" if found else ""
        return self._record + name

    def _too_large(self, what: str, most: int) -> DatasetCorrupt:
        return DatasetCorrupt(f"{self._where()}: {what} has more than {most:,} bytes, which are not read.")
