"""Embedders: texts to unit vectors, for dense search.

The default needs numpy alone and no model: it hashes pieces of words, so it matches spelling, not meaning. Any
sentence-transformers model and any OpenAI-compatible endpoint plugs in by name.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memgym.errors import DependencyMissing, UnknownName
from memgym.memory.lexical import content_words, stem

__all__ = ["Embedder", "HashingEmbedder", "OpenAIEmbedder", "SentenceTransformerEmbedder", "make_embedder"]

SHORTEST, LONGEST = 3, 5  # characters of a piece
STEM_WEIGHT = 2.0  # of a whole stem against one of its pieces
MIX = 0xFF51AFD7ED558CCD  # the odd constant of MurmurHash3's finaliser
MAX_BATCH = 256  # texts in one request to an endpoint


class Embedder(Protocol):
    """Anything that turns texts into vectors.

    Attributes:
        name: what a result says it was, e.g. ``"hashing-1024"``.
    """

    name: str

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, each of length 1, or 0 where a text has nothing to go by."""
        ...


class HashingEmbedder:
    """Feature hashing (Weinberger et al., 2009) of word stems and their character 3- to 5-grams.

    Function words are left out. The same text gives the same vector in any process and on any platform.

    Args:
        dim: length of the vectors; with fewer, different pieces share a place more often.

    >>> a, b, c = HashingEmbedder().embed(["she moved to Oslo", "moving to Oslo", "a blue kite"])
    >>> bool(a @ b > 0.5 > a @ c)
    True
    """

    def __init__(self, dim: int = 1024) -> None:
        if not 8 <= dim <= 1 << 16:
            raise ValueError(f"dim is from 8 to {1 << 16}, not {dim}.")
        self.dim = dim
        self.name = f"hashing-{dim}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, float32."""
        out = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(out, texts, strict=True):
            words = [_places(word, self.dim) for word in content_words(text)]
            if words:
                places, weights = (np.concatenate(parts) for parts in zip(*words, strict=True))
                # whole numbers, so their order does not matter
                row[:] = np.bincount(places, weights, self.dim)
        return _unit(out)


class SentenceTransformerEmbedder:
    """A model of the sentence-transformers library, by its name or folder.

    Raises:
        DependencyMissing: sentence-transformers is not installed.
    """

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise DependencyMissing(
                f"the embedder {model!r} needs 'sentence-transformers'. "
                "Install it with: pip install sentence-transformers"
            ) from None
        self.name = f"sentence-transformers:{model}"
        self._model: Any = SentenceTransformer(model)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, float32."""
        return _unit(np.asarray(self._model.encode(list(texts), show_progress_bar=False), np.float32))


class OpenAIEmbedder:
    """A model behind an endpoint that speaks OpenAI's ``/embeddings``.

    Args:
        model: its name there.
        base_url: of the endpoint; None: ``$OPENAI_BASE_URL``, otherwise OpenAI's own. The key is
            ``$OPENAI_API_KEY``.

    Raises:
        DependencyMissing: httpx is not installed.
    """

    def __init__(self, model: str, base_url: str | None = None) -> None:
        try:
            import httpx
        except ImportError:
            raise DependencyMissing.for_extra("httpx", "data", f"the embedder {model!r}") from None
        url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        key = os.environ.get("OPENAI_API_KEY", "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.name = f"openai:{model}"
        self._model = model
        self._client = httpx.Client(base_url=url.rstrip("/") + "/", headers=headers, timeout=60)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, float32.

        Raises:
            httpx.HTTPError: the endpoint cannot be reached or refuses.
            ValueError: its answer does not hold one vector a text.
        """
        rows: list[list[float]] = []
        for start in range(0, len(texts), MAX_BATCH):
            batch = list(texts[start : start + MAX_BATCH])
            response = self._client.post("embeddings", json={"model": self._model, "input": batch})
            response.raise_for_status()
            try:
                found = sorted(response.json()["data"], key=lambda each: each["index"])
                rows += [each["embedding"] for each in found]
            except (KeyError, TypeError) as error:
                raise ValueError(f"{self.name}: the endpoint's answer has no embeddings.") from error
            if len(found) != len(batch):
                raise ValueError(f"{self.name}: {len(found)} vectors for {len(batch)} texts.")
        return _unit(np.asarray(rows, np.float32).reshape(len(texts), -1))


def make_embedder(name: str = "hashing") -> Embedder:
    """An embedder by name: ``"hashing"``, ``"hashing-4096"``, ``"sentence-transformers:MODEL"``, ``"openai:MODEL"``.

    Raises:
        UnknownName: none of these.
        DependencyMissing: it needs a package that is not installed.

    >>> make_embedder("hashing-256").name
    'hashing-256'
    """
    kind, _, model = name.partition(":")
    size = kind.removeprefix("hashing-")
    if name == "hashing":
        return HashingEmbedder()
    if not model and size != kind and size.isdecimal():
        return HashingEmbedder(int(size))
    if model and kind == "sentence-transformers":
        return SentenceTransformerEmbedder(model)
    if model and kind == "openai":
        return OpenAIEmbedder(model)
    raise UnknownName(
        f"no embedder named {name!r}. Known: 'hashing', 'hashing-<dim>', 'sentence-transformers:<model>', "
        "'openai:<model>'."
    )


@lru_cache(maxsize=1 << 14)
def _places(word: str, dim: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Where in a vector a word's stem and the n-grams of the word between two blanks count, and how much."""
    padded = f" {word} "
    pieces = [
        padded[i : i + n] for n in range(SHORTEST, LONGEST + 1) for i in range(max(1, len(padded) - n + 1))
    ]
    pieces = [f"={stem(word)}", *dict.fromkeys(pieces)]
    hashes = np.array([_hash(piece) for piece in pieces], np.uint64)
    # the top bit is the sign, so that what shares a place by chance cancels out on average
    weights = np.where(hashes >> np.uint64(63), 1.0, -1.0)  # a long word, which is rarer, has more pieces
    weights[0] *= STEM_WEIGHT
    return (hashes % np.uint64(dim)).astype(np.intp), weights


def _hash(text: str) -> int:
    """FNV-1a with 64 bits, mixed once more: its high bits alone are poor on short texts."""
    value = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "surrogatepass"):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    value ^= value >> 33
    value = (value * MIX) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 33)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
