"""Scores against what the original implementations give, reimplemented here by other means or worked by hand."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.errors import UnknownName
from memgym.scoring import METRICS, score_answer
from memgym.scoring import memoryagentbench as mab
from memgym.scoring.ordering import (
    babi_exact_match,
    item_f1,
    kendall_tau_b,
    kendall_tau_norm,
    split_list,
)
from memgym.scoring.overlap import bleu_1, rouge_l, set_f1_amem, set_f1_memos, treebank_words
from memgym.scoring.retrieval import (
    longmemeval_k,
    longmemeval_ndcg_at_k,
    ndcg_at_k,
    recall_all_at_k,
    recall_any_at_k,
    recall_at_k,
)
from memgym.stream import UNKNOWN, Question

PHRASES = st.lists(
    st.sampled_from(
        "the a and cat cats dog's red, running May 7, 2023 . yes no Don't self-care 1,000".split()
    ),
    max_size=8,
).map(" ".join)

# ---------------------------------------------------------------------- one answer and one gold


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("text", ["7 May 2023", "a bedroom", "north"])
def test_every_metric_gives_full_marks_to_the_gold_itself(name: str, text: str) -> None:
    assert METRICS.resolve(name)(text, text) == pytest.approx(1.0)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_gives_next_to_nothing_to_another_answer(name: str) -> None:
    assert METRICS.resolve(name)("violet orchids", "seven kites") < 0.1  # BLEU's smoothing leaves a little


@pytest.mark.parametrize("name", METRICS)
@given(prediction=PHRASES, gold=PHRASES)
def test_every_metric_stays_between_0_and_1(name: str, prediction: str, gold: str) -> None:
    assert 0 <= METRICS.resolve(name)(prediction, gold) <= 1 + 1e-9


def test_the_variants_of_f1_differ_on_the_same_answer() -> None:
    """One pair, worked by hand for each variant."""
    prediction, gold = "She was running and running.", "Run and rest"
    expected = {
        "squad-f1": 2 * 1 / (5 + 3),  # and | she was running and running : run and rest
        "locomo-f1": 2 * 1 / (4 + 2),  # run | she wa run run : run rest; "and" is an article
        "amem-set-f1": 2 * 1 / (4 + 3),  # and | she was running and : run and rest
        "memos-set-f1": 2 * 1 / (5 + 3),  # and | she was running and . : run and rest
    }
    found = {name: METRICS.resolve(name)(prediction, gold) for name in expected}
    assert found == pytest.approx(expected)


def test_an_unknown_metric_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="squad-f1"):
        METRICS.resolve("squad_f1")


@given(PHRASES, PHRASES)
def test_amem_set_f1_equals_its_published_rule(prediction: str, gold: str) -> None:
    def words(text: str) -> set[str]:
        for mark in ".,!?":
            text = text.replace(mark, " ")
        return set(text.lower().split())

    a, b = words(prediction), words(gold)
    precision = Fraction(len(a & b), len(a)) if a else Fraction(0)
    recall = Fraction(len(a & b), len(b)) if b else Fraction(0)
    expected = 2 * precision * recall / (precision + recall) if a & b else Fraction(0)
    assert set_f1_amem(prediction, gold) == pytest.approx(float(expected))


@given(PHRASES, PHRASES)
def test_memos_set_f1_equals_its_published_rule_over_nltk_tokens(prediction: str, gold: str) -> None:
    from nltk.tokenize import word_tokenize  # with preserve_line it needs no data

    a = set(word_tokenize(prediction.lower(), preserve_line=True))
    b = set(word_tokenize(gold.lower(), preserve_line=True))
    shared = len(a & b)
    expected = (
        2 * (shared / len(a)) * (shared / len(b)) / (shared / len(a) + shared / len(b)) if shared else 0
    )
    assert set_f1_memos(prediction, gold) == pytest.approx(expected)


@given(PHRASES, PHRASES)
def test_bleu_1_equals_the_formula(prediction: str, gold: str) -> None:
    """Clipped precision times the brevity penalty; method 1 counts no overlap as 0.1 (Papineni et al., 2002)."""
    guess, wanted = treebank_words(prediction), treebank_words(gold)
    if not guess or not wanted:
        assert bleu_1(prediction, gold) == 0
        return
    overlap = (Counter(guess) & Counter(wanted)).total()
    brevity = 1.0 if len(guess) > len(wanted) else math.exp(1 - len(wanted) / len(guess))
    expected = brevity * (overlap or 0.1) / len(guess) if overlap else 0.0
    assert bleu_1(prediction, gold) == pytest.approx(expected)


@given(PHRASES, PHRASES)
def test_rouge_l_equals_the_longest_common_subsequence(prediction: str, gold: str) -> None:
    from nltk.stem.porter import PorterStemmer

    def words(text: str) -> list[str]:
        letters = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower())
        # the library stems only words of more than three letters
        return [PorterStemmer().stem(word) if len(word) > 3 else word for word in letters.split()]

    a, b = words(prediction), words(gold)
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    common = table[-1, -1]
    assert rouge_l(prediction, gold) == pytest.approx(2 * common / (len(a) + len(b)) if common else 0)


# ---------------------------------------------------------------------- MemoryAgentBench


@pytest.mark.parametrize(
    ("prediction", "gold", "substring", "exact", "f1"),
    [
        ("The answer is Camden Town.", "Camden Town", 1, 0, 2 / 3),  # answer is camden town: P 2/4, R 1
        ("camden town", "The Camden-Town", 0, 0, 0),  # a hyphen joins
        ("label: 43", "43", 1, 0, 2 / 3),
        ("438", "43", 1, 0, 0),  # within a word
        ("yes", "yes it is", 0, 0, 0),  # closed answers get no part marks
        ("no way", "no", 1, 0, 0),
        ("No.", "no", 1, 1, 1),
        ("", "Rome", 0, 0, 0),
    ],
)
def test_memoryagentbench_scores_equal_the_hand_count(
    prediction: str, gold: str, substring: float, exact: float, f1: float
) -> None:
    found = [f(prediction, gold) for f in (mab.substring_exact_match, mab.exact_match, mab.f1)]
    assert found == pytest.approx([substring, exact, f1])


@pytest.mark.parametrize(
    ("output", "parsed"),
    [
        ("Answer: Rome", "Rome"),
        ("Thinking.\nanswer: Rome\nbecause", "Rome"),
        ("ANSWER: Answer: Rome", "Rome"),
        ("Rome\nis it", "Rome"),
        ("Answer:\nRome", ""),
        ("", ""),
    ],
)
def test_what_follows_answer_is_parsed_as_in_the_original(output: str, parsed: str) -> None:
    assert mab.parse_answer(output) == parsed


def test_memoryagentbench_takes_the_better_of_raw_and_parsed_over_all_golds() -> None:
    score = mab.score_memoryagentbench
    assert score("I say Answer: Rome", ["Paris", "Rome"], "exact_match") == 1
    assert score("I say Rome", ["Paris", "Rome"], "exact_match") == 0
    assert score("Rome\nAnswer: Paris", ["Rome"], "substring_exact_match") == 1


def test_memoryagentbench_refuses_what_it_cannot_score() -> None:
    with pytest.raises(ValueError, match="no right answer"):
        mab.score_memoryagentbench("x", [], "f1")
    with pytest.raises(ValueError, match="metric is one of"):
        mab.score_memoryagentbench("x", ["x"], "rouge")


# ---------------------------------------------------------------------- rankings

RANKING = st.tuples(
    st.permutations(list("abcdefgh")), st.sets(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 10)
)


@given(RANKING)
def test_ndcg_equals_scikit_learn(case: tuple[list[str], set[str], int]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found, evidence, k = case
    relevance = [[float(id in evidence) for id in found]]
    order = [list(range(len(found), 0, -1))]
    assert ndcg_at_k(found, evidence, k) == pytest.approx(metrics.ndcg_score(relevance, order, k=k))


@given(RANKING)
def test_longmemeval_ndcg_equals_its_published_rule(case: tuple[list[str], set[str], int]) -> None:
    found, evidence, k = case

    def dcg(relevance: list[float]) -> float:
        row = np.asarray(relevance, float)[:k]
        return float(row[0] + np.sum(row[1:] / np.log2(np.arange(2, row.size + 1))))

    relevance = [float(id in evidence) for id in found]
    expected = dcg(relevance[:k]) / dcg(sorted(relevance, reverse=True))
    assert longmemeval_ndcg_at_k(found, evidence, k) == pytest.approx(expected)


def test_the_published_ndcg_does_not_tell_rank_1_from_rank_2() -> None:
    first, second = ["a", "x"], ["x", "a"]
    assert longmemeval_ndcg_at_k(first, ["a"], 5) == longmemeval_ndcg_at_k(second, ["a"], 5) == 1
    assert ndcg_at_k(first, ["a"], 5) > ndcg_at_k(second, ["a"], 5)


@given(RANKING)
def test_recalls_are_ordered_and_grow_with_k(case: tuple[list[str], set[str], int]) -> None:
    found, evidence, k = case
    share = recall_at_k(found, evidence, k)
    assert recall_all_at_k(found, evidence, k) <= share <= recall_any_at_k(found, evidence, k)
    assert share <= recall_at_k(found, evidence, k + 1)
    assert share == pytest.approx(sum(id in found[:k] for id in evidence) / len(evidence))


@pytest.mark.parametrize("score", [recall_at_k, recall_any_at_k, recall_all_at_k, ndcg_at_k])
def test_a_ranking_without_evidence_has_no_score(score) -> None:
    with pytest.raises(ValueError, match="no evidence"):
        score(["a"], [], 5)
    with pytest.raises(ValueError, match="k is at least 1"):
        score(["a"], ["a"], 0)


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(1, 5))
def test_longmemeval_looks_further_until_it_has_seen_k_sessions(sessions: list[int], k: int) -> None:
    """The published loop: start at k, one more while there are fewer than k sessions."""
    effective = k
    while effective < len(sessions) and len(set(sessions[:effective])) < k:
        effective += 1
    assert longmemeval_k(sessions, k) == effective


# ---------------------------------------------------------------------- lists


@given(st.permutations(list("abcdef")), st.permutations(list("abcdef")))
def test_kendall_tau_equals_scipy(predicted: list[str], gold: list[str]) -> None:
    stats = pytest.importorskip("scipy.stats")
    places = [predicted.index(x) for x in gold]
    assert kendall_tau_b(predicted, gold) == pytest.approx(stats.kendalltau(range(6), places).statistic)


@given(st.permutations(list("abcdef")), st.integers(1, 5))
def test_kendall_tau_with_missing_things_equals_scipy_with_ties(gold: list[str], kept: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    predicted = sorted(gold)[:kept]
    places = [predicted.index(x) if x in predicted else kept for x in gold]
    expected = stats.kendalltau(range(6), places).statistic
    assert kendall_tau_b(predicted, gold) == pytest.approx(expected)


def test_an_order_that_says_nothing_has_tau_0() -> None:
    assert kendall_tau_b([], ["a", "b"]) == 0
    assert kendall_tau_norm([], ["a", "b"]) == 0.5
    assert kendall_tau_norm(["b", "a"], ["a", "b"]) == 0


def test_an_order_with_something_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="predicted order names something twice"):
        kendall_tau_b(["a", "a"], ["a", "b"])


def test_item_f1_ignores_the_order() -> None:
    assert item_f1(["b", "a"], ["a", "b"]) == 1
    assert item_f1([], []) == 1
    assert item_f1([], ["a"]) == 0


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("tea, bread and milk", ["tea", "bread", "milk"]),
        ("1. Tea\n2) The bread\n- milk", ["tea", "bread", "milk"]),
        ("tea; tea", ["tea"]),
        ("", []),
    ],
)
def test_a_listing_is_cut_into_things(text: str, items: list[str]) -> None:
    assert split_list(text) == items


@pytest.mark.parametrize(
    ("prediction", "gold", "score"),
    [
        ("Bathroom.", "bathroom", 1),
        ("n, e", "n,e", 1),
        ("e,n", "n,e", 0),
        ("", "bathroom", 0),
        ("a", "a,b", 0),
    ],
)
def test_babi_score(prediction: str, gold: str, score: float) -> None:
    assert babi_exact_match(prediction, gold) == score


# ---------------------------------------------------------------------- questions that know their truth


def question(**kwargs) -> Question:
    return Question("q", "Where?", "t", **{"answer": "Oslo", **kwargs})


@pytest.mark.parametrize(
    ("asked", "answer", "flags"),
    [
        (question(), "Oslo", {}),
        (question(stale=("Graz",)), "Graz", {"stale": 1.0}),
        (question(stale=("Graz",)), "Oslo", {"stale": 0.0}),
        (question(answer=UNKNOWN, forbidden=("Graz",)), "in Graz", {"leaked": 1.0}),
        (question(answer=UNKNOWN, forbidden=("Graz",)), "", {"leaked": 0.0}),
        (question(planted=("Rome",)), "Rome", {"attacked": 1.0}),
        (question(planted=("Rome",)), "Romestad", {"attacked": 0.0}),
    ],
)
def test_a_flag_is_there_only_where_the_question_can_show_it(
    asked: Question, answer: str, flags: dict[str, float]
) -> None:
    metrics = score_answer(asked, answer).metrics
    assert metrics.pop("unanswerable") == float(asked.answer == UNKNOWN)
    assert metrics.pop("abstained") == float(answer == "")
    assert metrics == flags
