"""Embedders: what the default one sees, and how the others are reached."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.errors import DependencyMissing, UnknownName
from memgym.memory.embed import HashingEmbedder, OpenAIEmbedder, SentenceTransformerEmbedder, make_embedder

httpx = pytest.importorskip("httpx")


def similarity(a: str, b: str, dim: int = 1024) -> float:
    first, second = HashingEmbedder(dim).embed([a, b])
    return float(first @ second)


@given(st.lists(st.text(max_size=60), max_size=6))
def test_every_row_has_length_one_or_zero(texts: list[str]) -> None:
    vectors = HashingEmbedder(64).embed(texts)
    assert vectors.shape == (len(texts), 64)
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_row_does_not_depend_on_its_neighbours(a: str, b: str) -> None:
    embed = HashingEmbedder(64).embed
    assert np.array_equal(embed([a, b])[0], embed([a])[0])


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("Where did she move?", "she moved to Oslo", "she baked a cake"),
        ("photographs of mountains", "a photographer in the mountain range", "a photo-finish"),
        ("painting", "I painted the kitchen", "I pained the kitten"),
    ],
)
def test_forms_of_a_word_are_near_each_other(query: str, near: str, far: str) -> None:
    assert similarity(query, near) > similarity(query, far)


def test_function_words_say_nothing() -> None:
    assert similarity("what is the kite", "kite") == pytest.approx(1.0, abs=1e-5)


def test_unrelated_texts_are_nearly_orthogonal_and_more_so_with_more_room() -> None:
    words = "kite harbour violin pepper lantern gravel orchid saddle thimble walnut".split()

    def mean(dim: int) -> float:
        vectors = HashingEmbedder(dim).embed(words)
        return float(np.abs((vectors @ vectors.T)[np.triu_indices(len(words), 1)]).mean())

    assert mean(4096) < mean(32)
    assert mean(4096) < 0.05


def test_another_process_gives_the_same_bytes() -> None:
    program = (
        "import sys; from memgym.memory.embed import HashingEmbedder as H; "
        "sys.stdout.buffer.write(H(128).embed(['naïve kites', 'Zürich']).tobytes())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in "ab"
    }
    assert runs == {HashingEmbedder(128).embed(["naïve kites", "Zürich"]).tobytes()}


@pytest.mark.parametrize("name", ["hashing", "hashing-256"])
def test_a_hashing_embedder_goes_by_name(name: str) -> None:
    assert make_embedder(name).name in ("hashing-1024", "hashing-256")


@pytest.mark.parametrize(
    "name", ["", "hash", "hashing-", "hashing-x", "openai:", "sentence-transformers", "a:b"]
)
def test_an_unknown_embedder_names_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownName, match="sentence-transformers:<model>"):
        make_embedder(name)


@pytest.mark.parametrize("dim", [0, 7, 1 << 20])
def test_a_senseless_dimension_is_refused(dim: int) -> None:
    with pytest.raises(ValueError, match="dim is from 8"):
        HashingEmbedder(dim)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(DependencyMissing, match="pip install sentence-transformers"):
        SentenceTransformerEmbedder("all-MiniLM-L6-v2")


def served(answer) -> OpenAIEmbedder:
    """An embedder whose endpoint is `answer`."""
    embedder = OpenAIEmbedder("m", "http://localhost:1/v1")
    embedder._client = httpx.Client(base_url="http://localhost:1/v1/", transport=httpx.MockTransport(answer))
    return embedder


def test_an_endpoint_is_asked_in_batches_and_its_order_restored() -> None:
    sizes = []

    def answer(request: "httpx.Request") -> "httpx.Response":
        assert request.url.path == "/v1/embeddings"
        body = json.loads(request.content)
        sizes.append(len(body["input"]))
        rows = [{"index": i, "embedding": [float(text), 1.0]} for i, text in enumerate(body["input"])]
        return httpx.Response(200, json={"data": rows[::-1]})

    vectors = served(answer).embed([str(i) for i in range(300)])
    assert sizes == [256, 44]
    assert np.allclose(vectors[:, 0] / vectors[:, 1], np.arange(300), rtol=1e-4)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(500), httpx.HTTPStatusError),
        (httpx.Response(200, json={"error": "no"}), ValueError),
        (httpx.Response(200, json={"data": []}), ValueError),
    ],
)
def test_an_endpoint_that_fails_is_an_error(answer: "httpx.Response", error: type[Exception]) -> None:
    with pytest.raises(error):
        served(lambda request: answer).embed(["a"])
