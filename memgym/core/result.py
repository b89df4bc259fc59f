"""The result bundle: a folder that says what an agent did, episode by episode, so that anyone can check it.

::

    submission.json       header: agent card, versions, tasks with their exact arguments and seeds, summary,
                          a sha256 of every other file as it lies there ("manifest") and of its unpacked lines
                          ("content"), and a seal of each of its own sections
    episodes.jsonl.gz     one line an episode: what happened, as raw numbers
    traces/<task>.jsonl.gz   one line an episode: every action
    timings.jsonl.gz      one line an episode: CPU seconds; not part of the digest

A bundle may be kept *abridged*, without the folder `traces`: it compares like any other, and cannot be replayed.

Everything in it is a stranger's data: it is parsed by a strict schema, sizes are limited, and no path in it
is ever followed.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from memgym.core.lines import (
    MAX_FILE_BYTES,
    as_lines,
    canonical_json,
    pack,
    parse_json,
    sha256_file,
    sha256_unpacked,
    unpack_lines,
    write_atomically,
)
from memgym.core.suites import MAX_EPISODES, MAX_SEEDS
from memgym.errors import DependencyMissing, ResultInvalid

try:
    from pydantic import BaseModel, ConfigDict, Field, ValidationError
except ImportError:
    raise DependencyMissing.for_extra("pydantic", "cli", "Reading and writing results") from None

__all__ = [
    "SCHEMA",
    "Bundle",
    "EpisodeRow",
    "Header",
    "TaskRow",
    "TimingRow",
    "canonical_json",
    "check_files",
    "find_bundles",
    "is_abridged",
    "read_bundle",
    "read_timings",
    "read_traces",
    "seal",
    "sha256_file",
    "write_atomically",
    "write_bundle",
]

SCHEMA = "memgym-result/1"
HEADER_FILE, EPISODES_FILE, TIMINGS_FILE = "submission.json", "episodes.jsonl.gz", "timings.jsonl.gz"
TRACES = "traces"
MAX_HEADER_BYTES = 2 << 20
MAX_SECONDS = 366 * 24 * 3600.0  # of one episode
SECTIONS = ("agent", "versions", "tasks", "skipped", "summary", "manifest", "content")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Size = Annotated[int, Field(ge=0, lt=2**53)]  # a float holds it exactly
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Strict(BaseModel):
    """Unknown fields, values of another type (a bool for an int), NaN and infinities are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class TaskRow(Strict):
    """One task of a suite: an environment with exact arguments, and the episodes that were played."""

    name: str = Field(pattern=NAME)
    title: str = Field(max_length=200)
    env_id: str = Field(max_length=200)
    kwargs: dict[str, Any]
    family: Literal["control", "text"]
    metric: str = Field(max_length=64)
    episodes: int = Field(ge=1, le=MAX_EPISODES)
    seeds: list[Seed] = Field(min_length=1, max_length=MAX_SEEDS)


class EpisodeRow(Strict):
    """What happened in one episode. `bank_bytes` and `agent_bytes` are peaks."""

    task: str
    seed: Seed
    episode: Size
    # "return" is a Python keyword
    ret: float = Field(alias="return")
    length: Size
    terminated: bool
    truncated: bool
    score: float
    success: bool
    metrics: dict[str, float]
    bank_bytes: Size
    agent_bytes: Size
    ops: dict[str, Size]
    refused: Size
    questions: list[dict[str, bool | float | str]]
    error: str | None
    hash: str

    @property
    def key(self) -> tuple[str, int, int]:
        """What identifies the episode."""
        return self.task, self.seed, self.episode


class TimingRow(Strict):
    """What an episode took, on whatever machine; `usage` is that of language models, of an agent that counts it."""

    task: str
    seed: Seed
    episode: Size
    cpu_s: float = Field(ge=0, le=MAX_SECONDS)
    wall_s: float = Field(ge=0, le=MAX_SECONDS)
    usage: dict[str, Size] = {}


class Header(Strict):
    """`submission.json`."""

    schema_: Literal["memgym-result/1"] = Field(alias="schema")
    protocol: str
    suite: str
    created: str
    agent: dict[str, Any]
    versions: dict[str, str]
    tasks: list[TaskRow]
    skipped: list[dict[str, str]]
    summary: dict[str, Any]
    manifest: dict[str, str]
    content: dict[str, str]
    digest: str
    seals: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and is well formed; `memgym.core.verify` says whether it is true.

    Attributes:
        path: its folder.
        header: `submission.json`.
        episodes: the lines of `episodes.jsonl.gz`.
    """

    path: Path
    header: dict[str, Any]
    episodes: list[dict[str, Any]]


def seal(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_of(header: Mapping[str, Any]) -> str:
    """What two runs that did the same have in common: everything but versions, dates and times."""
    return seal([header[name] for name in ("protocol", "suite", "agent", "tasks", "content")])


def write_bundle(
    folder: Path,
    *,
    protocol: str,
    suite: str,
    created: str,
    agent: Mapping[str, Any],
    versions: Mapping[str, str],
    tasks: Sequence[TaskRow],
    skipped: Sequence[Mapping[str, str]],
    summary: Mapping[str, Any],
    episodes: Sequence[Mapping[str, Any]],
    traces: Mapping[str, Sequence[Mapping[str, Any]]],
    timings: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Write a bundle, the header last, and return the header."""
    lines = {EPISODES_FILE: as_lines(episodes), TIMINGS_FILE: as_lines(timings)}
    lines |= {f"{TRACES}/{task}.jsonl.gz": as_lines(rows) for task, rows in traces.items()}
    content = {
        name: hashlib.sha256(data).hexdigest() for name, data in sorted(lines.items()) if name != TIMINGS_FILE
    }
    files = {name: pack(data) for name, data in lines.items()}
    for name, data in files.items():
        write_atomically(folder / name, data)
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "protocol": protocol,
        "suite": suite,
        "created": created,
        "agent": dict(agent),
        "versions": dict(versions),
        "tasks": [task.model_dump() for task in tasks],
        "skipped": [dict(row) for row in skipped],
        "summary": dict(summary),
        "manifest": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
        "content": content,
    }
    header = json.loads(canonical_json(header))  # tuples become lists, as a reader will see them
    header["digest"] = digest_of(header)
    header["seals"] = {name: seal(header[name]) for name in SECTIONS} | {
        "header": seal([header[name] for name in ("schema", "protocol", "suite", "created", "digest")])
    }
    write_atomically(folder / HEADER_FILE, json.dumps(header, indent=1, ensure_ascii=False).encode() + b"\n")
    return header


def is_abridged(folder: Path) -> bool:
    """Whether the actions of a bundle were left out, the whole folder of them."""
    return not os.path.lexists(folder / TRACES)


def read_bundle(folder: Path, *, abridged: bool = False) -> Bundle:
    """Read a bundle and check its form: schema, sizes, checksums and seals. It does not replay.

    Args:
        folder: with `submission.json`.
        abridged: take one whose actions were left out (`is_abridged`).

    Raises:
        ResultInvalid: names the file and what is wrong with it.
    """
    header = check_files(folder, abridged=abridged)
    for name in _present(folder, header["content"], abridged):
        if sha256_unpacked(folder / name) != header["content"][name]:
            raise ResultInvalid(f"{name}: its content is not the one that {HEADER_FILE} names.")
    for _ in read_timings(folder):
        pass  # nothing follows from times, but they are as well formed as the rest
    episodes = []
    for number, row in enumerate(unpack_lines(folder / EPISODES_FILE), 1):
        try:
            EpisodeRow.model_validate(row)
        except ValidationError as error:
            raise ResultInvalid(f"{EPISODES_FILE}, line {number}: {_first(error)}") from None
        episodes.append(row)
    return Bundle(folder, header, episodes)


def check_files(folder: Path, *, abridged: bool = False) -> dict[str, Any]:
    """The header of a bundle whose seals hold and whose files have the checksums that it names.

    Nothing is unpacked: whoever read these very bytes before knows what is in them.

    Args:
        folder: with `submission.json`.
        abridged: see `read_bundle`.

    Raises:
        ResultInvalid: names the file and what is wrong with it.
    """
    header = read_header(folder)
    for name in SECTIONS:
        if seal(header[name]) != header["seals"].get(name):
            raise ResultInvalid(f"{HEADER_FILE}: section {name!r} was changed after it was written.")
    top = [header[name] for name in ("schema", "protocol", "suite", "created", "digest")]
    if seal(top) != header["seals"].get("header"):
        raise ResultInvalid(f"{HEADER_FILE}: schema, protocol, suite, created or digest was changed.")
    if header["digest"] != digest_of(header):
        raise ResultInvalid(f"{HEADER_FILE}: the digest is not that of its content.")
    expected = {EPISODES_FILE, TIMINGS_FILE} | {f"{TRACES}/{t['name']}.jsonl.gz" for t in header["tasks"]}
    if set(header["manifest"]) != expected:
        odd = sorted(set(header["manifest"]) ^ expected)[0]
        raise ResultInvalid(f"{HEADER_FILE}: the manifest and the tasks disagree about {odd!r}.")
    if set(header["content"]) != expected - {TIMINGS_FILE}:
        odd = sorted(set(header["content"]) ^ (expected - {TIMINGS_FILE}))[0]
        raise ResultInvalid(f"{HEADER_FILE}: the content and the tasks disagree about {odd!r}.")
    for name in _present(folder, header["manifest"], abridged):
        _check_file(folder / name, name, header)
    return header


def _present(folder: Path, names: Mapping[str, str], abridged: bool) -> list[str]:
    """The files that have to be there: all, or all but the actions where they may be left out and were."""
    left_out = abridged and is_abridged(folder)
    return [name for name in names if not (left_out and name.startswith(f"{TRACES}/"))]


def read_timings(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of `timings.jsonl.gz`: task, seed, episode, and the seconds that the episode took.

    Raises:
        ResultInvalid: a line that is not of this form, or seconds that cannot be.
    """
    for number, row in enumerate(unpack_lines(folder / TIMINGS_FILE), 1):
        try:
            TimingRow.model_validate(row)
        except ValidationError as error:
            raise ResultInvalid(f"{TIMINGS_FILE}, line {number}: {_first(error)}") from None
        yield row


def _check_file(path: Path, name: str, header: Mapping[str, Any]) -> None:
    if not path.is_file() or path.is_symlink():
        raise ResultInvalid(f"{name} is missing.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ResultInvalid(f"{name}: larger than a result may be.")
    if sha256_file(path) != header["manifest"][name]:
        raise ResultInvalid(f"{name} was changed: its checksum is not the one in {HEADER_FILE}.")


def find_bundles(folder: Path) -> list[Path]:
    """Every folder in `folder`, itself included, that holds a `submission.json`, in alphabetical order.

    Links are not followed, and one that leads outside is an error.

    Raises:
        ResultInvalid: not a folder, no bundle in it, or such a link.
    """
    if not folder.is_dir():
        raise ResultInvalid(f"{folder} is not a folder of result bundles.")
    root = folder.resolve()
    found = []
    for parent, folders, files in os.walk(folder, followlinks=False):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink():
                if not path.resolve().is_relative_to(root):
                    raise ResultInvalid(f"{path} is a link that leads outside {folder}.")
            elif path.name == HEADER_FILE and path.is_file():
                found.append(path.parent)
    if not found:
        raise ResultInvalid(f"no result bundle under {folder}: a bundle is a folder with a {HEADER_FILE}.")
    return sorted(found)


def read_header(folder: Path) -> dict[str, Any]:
    """`submission.json`, checked against the schema.

    Raises:
        ResultInvalid: missing, too large, not JSON, or another schema.
    """
    path = folder / HEADER_FILE
    try:
        if path.stat().st_size > MAX_HEADER_BYTES:
            raise ResultInvalid(f"{path} is larger than {MAX_HEADER_BYTES} bytes.")
        header = parse_json(path.read_bytes())
        Header.model_validate(header)
    except FileNotFoundError:
        raise ResultInvalid(f"{folder} is not a result bundle: it has no {HEADER_FILE}.") from None
    except ValidationError as error:
        raise ResultInvalid(f"{path}: {_first(error)}") from None
    except (ValueError, RecursionError, OSError) as error:
        if isinstance(error, ResultInvalid):
            raise
        raise ResultInvalid(f"{path} is not JSON of a result: {error}.") from None
    return header


def read_traces(folder: Path, task: str) -> Iterator[tuple[tuple[int, int], list[Any]]]:
    """The actions of one task, an episode at a time, in the order of the file: ((seed, episode), actions).

    Raises:
        ResultInvalid: a line without the expected fields.
    """
    name = f"{TRACES}/{task}.jsonl.gz"
    for number, row in enumerate(unpack_lines(folder / name), 1):
        kinds = {key: type(value) for key, value in row.items()}
        if kinds != {"seed": int, "episode": int, "actions": list}:
            raise ResultInvalid(f"{name}, line {number}: expected seed, episode and actions.")
        yield (row["seed"], row["episode"]), row["actions"]


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ascii(".".join(str(part) for part in first["loc"]))[1:-1]  # names in it are a stranger's
    return f"{where[:200]}: {first['msg']}."
