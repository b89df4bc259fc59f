"""What the hash of an episode is made of."""

import hashlib
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.core.trace import MAX_KEPT, _feed

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def hashed(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, value)
    return digest.hexdigest()


@given(TEXTS, TEXTS, TEXTS, st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_an_entry_in_view_counts_as_any_mapping_does(id: str, text: str, attrs: str, score: float) -> None:
    entry = {"id": id, "text": text, "attrs": attrs, "score": np.array(score, np.float32)}
    assert hashed((entry,)) == hashed((MappingProxyType(entry),))  # which takes the general way
    assert hashed(entry) != hashed({**entry, "text": text + "!"})
    assert hashed(entry) != hashed({**entry, "score": np.nextafter(entry["score"], np.float32(np.inf))})


@pytest.mark.parametrize(
    "other",
    [
        {"score": np.array(0.0)},  # float64
        {"score": np.zeros(1, np.float32)},
        {"score": 0.0},
        {"text": 5},
        {"text": "x" * (MAX_KEPT + 1)},
    ],
)
def test_what_only_looks_like_an_entry_is_hashed_as_it_is(other: dict[str, Any]) -> None:
    entry = {"id": "m1", "text": "x", "attrs": "{}", "score": np.zeros((), np.float32)}
    assert hashed(entry | other) == hashed(MappingProxyType(entry | other)) != hashed(entry)
