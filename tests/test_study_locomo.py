"""LoCoMo without a language model: retrieval and ceilings equal independent measurements, and the committed file."""

import json
from pathlib import Path

import pytest

from memgym.baselines import study_locomo
from memgym.baselines.retrievers import RETRIEVERS, fuse
from memgym.datasets.locomo import Conversation

EXPECTED = json.loads(
    (Path(__file__).parents[1] / "baselines" / "expected" / "locomo.json").read_text("utf-8")
)


@pytest.mark.parametrize(
    ("name", "recalls", "overall"),
    [  # recall@10 by category, and over categories 1 to 4, as measured apart from this code
        ("bm25s, stop words", (20.3, 59.1, 24.4, 60.3, 58.7), 50.6),
        ("bm25s, stop words and stems", (26.9, 64.7, 27.6, 64.1, 64.5), 55.2),
        ("TF-IDF, words", (23.0, 59.2, 25.4, 57.8, 56.8), 49.8),
        ("TF-IDF, characters 3-5", (29.4, 65.5, 31.6, 65.6, 68.4), 56.9),
        ("FTS5 unicode61", (20.8, 59.6, 26.0, 61.1, 62.9), 51.3),
        ("FTS5 porter", (26.4, 66.1, 26.2, 63.5, 66.3), 55.0),
        ("RRF60 (bm25s stems, TF-IDF characters)", (29.1, 65.5, 29.3, 67.0, 68.2), 57.5),
    ],
)
def test_evidence_recall_equals_the_independent_measurement(
    conversations: list[Conversation], name: str, recalls: tuple[float, ...], overall: float
) -> None:
    if name not in ("FTS5 unicode61", "FTS5 porter"):
        pytest.importorskip("bm25s")
        pytest.importorskip("sklearn")
    row = study_locomo.retrieval(conversations, RETRIEVERS[name])
    assert row["1-4 R@10"] == pytest.approx(overall, abs=0.2)
    assert [row[f"{c} R@10"] for c in range(1, 6)] == pytest.approx(recalls, abs=0.4)
    assert row == pytest.approx(EXPECTED["retrieval"][name], abs=0.05)


@pytest.mark.parametrize("name", ["always abstaining", "best turn verbatim", "extractive reader"])
def test_reader_scores_are_those_of_the_committed_file(conversations: list[Conversation], name: str) -> None:
    assert study_locomo.read(conversations, *study_locomo.READERS[name]) == pytest.approx(
        EXPECTED["readers"][name], abs=0.05
    )


def test_the_extractive_reader_is_above_its_first_version() -> None:
    row = EXPECTED["readers"]["extractive reader"]
    assert row["1-4"] >= 13.8
    assert row["2"] >= 42.3
    assert row["1-5"] > EXPECTED["readers"]["always abstaining"]["1-5"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dates", "scores"),
    [
        ("", {"1": 70.4, "2": 23.4, "3": 21.6, "4": 86.4, "1-4": 66.3}),
        ("session", {"1": 71.3, "2": 63.1, "3": 21.6, "4": 86.4, "1-4": 74.7}),
        ("resolved", {"1": 71.4, "2": 77.5, "3": 21.6, "4": 86.4, "1-4": 77.8}),
    ],
)
def test_the_ceiling_of_extraction_equals_the_independent_measurement(
    conversations: list[Conversation], dates: str, scores: dict[str, float]
) -> None:
    """The resolver here knows more words for dates than the one measured: up to 2 points more on category 2."""
    row = study_locomo.read(conversations, lambda q, e: study_locomo.best_span(q, e, dates=dates), "gold")
    assert {name: row[name] for name in ("1", "3", "4")} == pytest.approx(
        {name: scores[name] for name in ("1", "3", "4")}, abs=0.1
    )
    assert row["2"] == pytest.approx(scores["2"], abs=2)
    assert row["1-4"] == pytest.approx(scores["1-4"], abs=0.5)


def test_fusion_with_itself_changes_nothing(conversations: list[Conversation]) -> None:
    porter = RETRIEVERS["FTS5 porter"]
    one, both = (
        study_locomo.rank(conversations[0], conversations[0].questions[:20], ranker, 10)
        for ranker in (porter, fuse(porter, porter))
    )
    assert all(alone == fused[: len(alone)] for alone, fused in zip(one, both, strict=True))


def test_every_table_of_the_committed_file_is_complete() -> None:
    assert list(EXPECTED["retrieval"]) == list(RETRIEVERS)
    assert list(EXPECTED["readers"]) == list(study_locomo.READERS)
    assert EXPECTED["command"] == study_locomo.COMMAND
