"""Checkpoints on disk: tensors in a safetensors file, everything else in a JSON file beside it.

Both are read as data, and written beside their place and then renamed. The JSON file names the digest of the other,
so that a truncated or exchanged file is found before anything is built from it. Where a run was killed between the
two renamings, the JSON file that belongs to the new tensors still lies beside its place, and is read.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memgym.agents.weights_io import WeightsInvalid
from memgym.errors import DependencyMissing

__all__ = ["Checkpoint", "read_checkpoint", "stem_of", "write_checkpoint"]

FORMAT = "memgym-ppo-1"
MAX_BYTES = 4 << 30
MAX_JSON_BYTES = 16 << 20
SUFFIXES = (".json", ".safetensors", ".zip")  # the last is what Stable-Baselines3's callbacks ask for
PART = ".part"
COMPLEX = "complex:"


class Checkpoint(NamedTuple):
    """What was read.

    Attributes:
        content: of the JSON file; a dict, of which nothing but the format and the digest has been checked.
        tensors: by name.
        files: the two files.
    """

    content: dict[str, Any]
    tensors: dict[str, Tensor]
    files: tuple[Path, Path]


def stem_of(path: str | Path) -> Path:
    """The common name of both files, given it or either of them."""
    path = Path(path)
    return path.with_suffix("") if path.suffix in SUFFIXES else path


def write_checkpoint(path: str | Path, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write ``path.safetensors`` and ``path.json``, each whole or not at all.

    Args:
        path: where, without a suffix.
        content: JSON-like values.
        tensors: of any real or complex type.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise DependencyMissing.for_extra("safetensors", "agents", "saving a checkpoint") from error
    stem = stem_of(path)
    blob = save(dict(_real(name, tensor) for name, tensor in tensors.items()))
    whole = {"format": FORMAT, **content, "sha256": hashlib.sha256(blob).hexdigest()}
    text = (json.dumps(whole, indent=2, allow_nan=False) + "\n").encode()
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = [stem.with_name(stem.name + suffix) for suffix in (".safetensors", ".json")]
    _finish_renaming(*files)
    try:
        for file, data in zip(files, (blob, text), strict=True):
            file.with_name(file.name + PART).write_bytes(data)
    except BaseException:
        for file in files:
            file.with_name(file.name + PART).unlink(missing_ok=True)
        raise
    for file in files:
        file.with_name(file.name + PART).replace(file)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        WeightsInvalid: a file is missing, too large, truncated, not what it should be, or of another checkpoint.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise DependencyMissing.for_extra("safetensors", "agents", "loading a checkpoint") from error
    stem = stem_of(path)
    if not stem.name:
        raise WeightsInvalid(f"{str(path)!r} names no checkpoint.")
    files = (stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".safetensors"))
    content = _read_json(files[0])
    blob = _read_bytes(files[1], MAX_BYTES)
    digest = hashlib.sha256(blob).hexdigest()
    beside = files[0].with_name(files[0].name + PART)
    if content.get("sha256") != digest and beside.is_file():
        content = _read_json(beside)
    if content.get("sha256") != digest:
        raise WeightsInvalid(
            f"{files[1].name} is truncated or damaged, or not the one that {files[0].name} names."
        )
    try:
        tensors = load(blob)
    except SafetensorError as error:
        raise WeightsInvalid(f"{files[1].name} is not a safetensors file: {error}.") from error
    return Checkpoint(content, dict(_restored(name, tensor) for name, tensor in tensors.items()), files)


def _finish_renaming(tensors: Path, content: Path) -> None:
    """After a kill between the two renamings, the one JSON file that fits the tensors is yet to be renamed."""
    beside = content.with_name(content.name + PART)
    if not beside.is_file():
        return
    try:
        digest = hashlib.sha256(_read_bytes(tensors, MAX_BYTES)).hexdigest()
        is_pending = _read_json(beside).get("sha256") == digest
    except WeightsInvalid:  # cut off before either was renamed: what lies there fits as it is
        return
    if is_pending:
        beside.replace(content)


def _real(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Complex numbers as real pairs, which every version of safetensors can hold."""
    tensor = tensor.detach().cpu()
    if tensor.is_complex():
        name, tensor = COMPLEX + name, torch.view_as_real(tensor.resolve_conj())
    return name, tensor.clone(memory_format=torch.contiguous_format)


def _restored(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    if not name.startswith(COMPLEX):
        return name, tensor
    if tensor.shape[-1:] != (2,) or not tensor.is_floating_point():
        raise WeightsInvalid(f"{name!r} is not a tensor of complex numbers.")
    return name.removeprefix(COMPLEX), torch.view_as_complex(tensor)


def _read_bytes(file: Path, limit: int) -> bytes:
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= limit else b""
    except OSError as error:
        raise WeightsInvalid(f"cannot read {file}: {error.strerror}.") from error
    except ValueError as error:  # a null byte in its name
        raise WeightsInvalid(f"cannot read {str(file)!r}: {error}.") from error
    if size > limit:
        raise WeightsInvalid(f"{file.name} is larger than {limit} bytes.")
    return data


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_bytes(file, MAX_JSON_BYTES))
    except WeightsInvalid:
        raise
    except (ValueError, RecursionError) as error:
        raise WeightsInvalid(f"{file.name} is not JSON: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WeightsInvalid(f"{file.name} is not the JSON file of a {FORMAT} checkpoint.")
    return content
