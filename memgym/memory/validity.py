"""When something holds in the world, as against when it was written down (Snodgrass & Ahn, 1985)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.entry import MemoryEntry

__all__ = ["check_validity", "parse_time", "version_seen"]


@lru_cache(maxsize=1 << 12)
def parse_time(text: str) -> datetime:
    """A date or a time in ISO 8601; a date is its first moment, and without a zone it is UTC.

    Raises:
        InvalidOperation: neither.
    """
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidOperation(f"a time is ISO 8601, e.g. '2023-05-08T13:56', not {text[:40]!r}.") from None


def check_validity(attrs: Mapping[str, Any]) -> None:
    """Check ``valid_from`` and ``valid_to``.

    Raises:
        InvalidOperation: no times, or nothing between them.
    """
    ends = [attrs.get(name, "") for name in ("valid_from", "valid_to")]
    if not all(isinstance(end, str) for end in ends):
        raise InvalidOperation("valid_from and valid_to are text: ISO 8601 or empty.")
    since, until = (_end(end) for end in ends)
    if any(end and time is None for end, time in zip(ends, (since, until), strict=True)):
        raise InvalidOperation("valid_from and valid_to are ISO 8601, e.g. '2023-05-08T13:56'.")
    if since and until and since >= until:
        raise InvalidOperation("valid_from is before valid_to.")


def version_seen(
    versions: Sequence[MemoryEntry], as_of: int | None, valid_at: datetime | None
) -> MemoryEntry | None:
    """The newest version that was written by operation `as_of` and holds at `valid_at`, if there is any.

    None where the entry was not to be found at `as_of`.
    """
    written = [version for version in versions if as_of is None or version.seq <= as_of]
    if not written or not written[-1].is_found:
        return None
    if valid_at is None:
        return written[-1]
    return next((v for v in reversed(written) if v.is_found and v.text and _holds(v, valid_at)), None)


def _holds(entry: MemoryEntry, when: datetime) -> bool:
    """Whether `when` is in an entry's interval; ends that are no times, in a plain bank, are open."""
    since, until = _end(entry.valid_from), _end(entry.valid_to)
    return (since is None or since <= when) and (until is None or when < until)


def _end(value: Any) -> datetime | None:
    try:
        return parse_time(value) if value and isinstance(value, str) else None
    except InvalidOperation:
        return None
