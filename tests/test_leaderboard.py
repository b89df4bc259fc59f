"""The leaderboard: what is compared, what is ranked, what is refused, and what the files say."""

import csv
import html
import importlib
import io
import json
import math
import os
import re
import runpy
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from memgym.core.result import TaskRow, find_bundles, write_bundle
from memgym.errors import DependencyMissing, ResultInvalid, ResultMismatch
from memgym.leaderboard.build import build_site
from memgym.leaderboard.exports import to_csv, to_json
from memgym.leaderboard.formats import bytes_text, csv_cell, https_url, inline_json, plain, score_text
from memgym.leaderboard.page import render_pages

SYNTHETIC = runpy.run_path(str(Path(__file__).with_name("synthetic_board.py")))
aggregate = SYNTHETIC["aggregate"]
make_bundle, make_episode = SYNTHETIC["make_bundle"], SYNTHETIC["make_episode"]
realistic_bundles = SYNTHETIC["realistic_bundles"]

HOSTILE = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>"
MAZE, DIALOGUE, LOCOMO = "t-maze-n3", "dialogue", "locomo"


def scale(*tasks):
    """The two references: random scores 0.2 everywhere, the oracle 0.8."""
    return [
        make_bundle("random", {task: [0.2, 0.2] for task in tasks}, kind="reference"),
        make_bundle("oracle", {task: [0.8, 0.8] for task in tasks}, kind="reference", privileged=True),
    ]


def agent(board, name):
    return next(one for one in board.agents if one.name == name)


def render_page(board, checked):
    """All pages of a site in one text."""
    return "\n".join(render_pages(board, checked).values())


def status(board, value="claimed"):
    return {one.name: value for one in board.agents}


@pytest.fixture(scope="module")
def realistic():
    return aggregate(realistic_bundles())


# ---- scores ----------------------------------------------------------------------------------------------


def test_score_is_the_mean_over_episodes_inside_its_interval():
    result = agent(aggregate([make_bundle("a", {MAZE: [0.0, 1.0, 1.0, 1.0]})]), "a").tasks[MAZE]
    assert (result.score.mean, result.score.runs) == (0.75, 4)
    # percentiles of three drawn of four are 1/3 and 1; Student's t of 3 degrees of freedom moves the ends apart
    assert result.score.low == pytest.approx(0.75 - (0.75 - 1 / 3) * 3.182 / 1.96, abs=1e-3)
    assert result.score.high == 1.0


def test_one_episode_has_no_interval():
    score = agent(aggregate([make_bundle("a", {MAZE: [0.5]})]), "a").tasks[MAZE].score
    assert (score.mean, score.low, score.high) == (0.5, None, None)


@pytest.mark.parametrize(
    ("score", "normalised"), [(0.2, 0.0), (0.5, 0.5), (0.8, 1.0), (0.9, 1.0), (0.05, -0.25)]
)
def test_normalised_score_lies_between_random_and_oracle(score, normalised):
    board = aggregate([*scale(MAZE), make_bundle("a", {MAZE: [score, score]})])
    estimate = agent(board, "a").tasks[MAZE].normalised
    assert normalised == pytest.approx(estimate.mean)
    assert normalised == pytest.approx(estimate.low)


@pytest.mark.parametrize("missing", ["random", "oracle"])
def test_without_a_reference_nothing_is_normalised_and_the_page_says_so(missing):
    references = [bundle for bundle in scale(MAZE) if bundle.header["agent"]["name"] != missing]
    board = aggregate([*references, make_bundle("a", {MAZE: [0.5, 0.5]})])
    assert agent(board, "a").tasks[MAZE].normalised is None
    assert agent(board, "a").overall.score is None
    assert agent(board, "a").tasks[MAZE].rank == 1
    assert "No normalised score" in render_page(board, status(board))


def test_an_oracle_below_random_gives_no_scale():
    random, oracle = make_bundle("random", {MAZE: [0.8, 0.8]}), make_bundle("oracle", {MAZE: [0.2, 0.2]})
    assert agent(aggregate([random, oracle]), "random").tasks[MAZE].normalised is None


def test_overall_is_the_mean_over_families_of_the_mean_over_tasks():
    bundle = make_bundle("a", {MAZE: [0.8, 0.8], DIALOGUE: [0.2, 0.2], LOCOMO: [0.5, 0.5]})
    result = agent(aggregate([*scale(MAZE, DIALOGUE, LOCOMO), bundle]), "a")
    assert pytest.approx(result.families["control"].score.mean) == 1.0
    assert pytest.approx(result.families["text"].score.mean) == 0.25
    assert pytest.approx(result.overall.score.mean) == 0.625


def test_memory_is_the_peak_of_bank_and_agent_together():
    episodes = [
        make_episode(MAZE, i, 0.5, bank_bytes=bank, agent_bytes=own)
        for i, (bank, own) in enumerate([(10, 1), (30, 2)])
    ]
    result = agent(aggregate([make_bundle("a", episodes=episodes)]), "a").tasks[MAZE]
    assert (result.memory_mean, result.memory_max) == (21.5, 32)


def test_steps_operations_refusals_and_errors_are_counted():
    episodes = [make_episode(MAZE, i, 0.5, refused=3, error="crash" if i else None) for i in range(2)]
    result = agent(aggregate([make_bundle("a", episodes=episodes)]), "a").tasks[MAZE]
    assert (result.steps, result.ops, result.refused, result.errors) == (20, {"ADD": 4, "NOOP": 2}, 6, 1)


def question(kind, score, **rates):
    return {"type": kind, "score": score, "is_correct": score == 1, **rates}


def test_types_are_means_over_questions_with_episodes_as_clusters():
    asked = [
        [question("single-hop", 1.0), question("single-hop", 0.0), question("temporal", 0.5)],
        [question("single-hop", 1.0)],
    ]
    episodes = [make_episode(DIALOGUE, i, 0.5, questions=questions) for i, questions in enumerate(asked)]
    types = agent(aggregate([make_bundle("a", episodes=episodes)]), "a").tasks[DIALOGUE].types
    assert (pytest.approx(2 / 3), 3, 2) == (
        types["single-hop"].score.mean,
        types["single-hop"].questions,
        types["single-hop"].score.runs,
    )
    assert (types["temporal"].score.mean, types["temporal"].score.low) == (0.5, None)


def test_questions_that_a_crashed_agent_never_answered_count_as_zero():
    whole = [make_episode(DIALOGUE, 0, 0.5, questions=[question("temporal", 1.0), question("temporal", 0.0)])]
    broken = [make_episode(DIALOGUE, 0, 0.0, questions=[question("temporal", 1.0)], error="crash")]
    board = aggregate([make_bundle("whole", episodes=whole), make_bundle("broken", episodes=broken)])
    of_broken = agent(board, "broken").tasks[DIALOGUE].types["temporal"]
    assert (of_broken.score.mean, of_broken.questions) == (0.5, 2)


def test_rates_are_means_over_the_questions_that_have_them():
    questions = [
        question("temporal", 0.0, abstained=1.0, evidence_recall=0.5),
        question("temporal", 1.0, abstained=0.0),
    ]
    board = aggregate([make_bundle("a", episodes=[make_episode(DIALOGUE, 0, 0.5, questions=questions)])])
    assert agent(board, "a").tasks[DIALOGUE].rates == {"evidence_recall": 0.5, "abstained": 0.5}


def test_front_holds_the_ranked_agents_that_nobody_beats_with_less_memory(realistic):
    on_front = {
        one.name for one in realistic.agents if DIALOGUE in one.tasks and one.tasks[DIALOGUE].on_front
    }
    assert {"closed-book", "rules"} == on_front


# ---- ranks -----------------------------------------------------------------------------------------------


def test_incomplete_agents_are_never_ranked_on_a_subset():
    board = aggregate(
        [
            *scale(MAZE, DIALOGUE, LOCOMO),
            make_bundle("all", {MAZE: [0.3, 0.3], DIALOGUE: [0.3, 0.3], LOCOMO: [0.3, 0.3]}),
            make_bundle("half", {MAZE: [0.8, 0.8], DIALOGUE: [0.8, 0.8]}),
        ]
    )
    half = agent(board, "half")
    assert (half.overall.score, half.overall.place, half.overall.played) == (None, None, 2)
    assert (half.families["text"].score, half.families["text"].place) == (None, None)
    assert half.families["text"].played == 1
    assert half.families["control"].place == 1
    assert (agent(board, "all").overall.place, agent(board, "all").families["control"].place) == (1, 2)
    assert "played 2 of 3" in render_page(board, status(board))


def test_privileged_agents_and_the_scale_are_shown_but_never_ranked():
    cheat = make_bundle("cheat", {MAZE: [0.8, 0.8]}, privileged=True)
    board = aggregate([*scale(MAZE), cheat, make_bundle("honest", {MAZE: [0.3, 0.3]})])
    places = {
        one.name: (one.overall.place, one.families["control"].place, one.tasks[MAZE].rank)
        for one in board.agents
    }
    assert places == {"random": (None,) * 3, "oracle": (None,) * 3, "cheat": (None,) * 3, "honest": (1, 1, 1)}
    assert not agent(board, "cheat").tasks[MAZE].on_front
    assert "cheat" in render_page(board, status(board))


def test_equal_scores_share_a_rank():
    scores = {"a": 0.5, "b": 0.7, "c": 0.5, "d": 0.3}
    board = aggregate([*scale(MAZE), *(make_bundle(name, {MAZE: [s, s]}) for name, s in scores.items())])
    assert {name: agent(board, name).overall.place for name in scores} == {"a": 2, "b": 1, "c": 2, "d": 4}


def test_order_of_the_bundles_does_not_matter(realistic):
    assert realistic == aggregate(realistic_bundles()[::-1])


# ---- beside the headline ---------------------------------------------------------------------------------


def many_runs(name, mean, tasks=(MAZE,), seeds=5, **fields):
    """Ten episodes of each seed, which score around `mean`."""
    noise = np.random.default_rng(list(name.encode())).normal(0, 0.05, (len(tasks), seeds, 10))
    episodes = [
        make_episode(task, e, float(np.clip(mean + noise[t, s, e], 0, 1)), seed=s, **fields)
        for t, task in enumerate(tasks)
        for s in range(seeds)
        for e in range(10)
    ]
    return make_bundle(name, episodes=episodes)


def board_of_runs(**means):
    references = [many_runs("random", 0.2), many_runs("oracle", 0.9)]
    return aggregate([*references, *(many_runs(name, mean) for name, mean in means.items())])


def test_a_run_is_a_seed_or_a_block_of_episodes_where_seeds_are_few():
    (task,) = board_of_runs(a=0.5).tasks
    assert (task.runs, task.unit, task.episodes) == (5, "seed", 50)
    (task,) = aggregate([make_bundle("a", {MAZE: [0.5] * 25})]).tasks
    assert (task.runs, task.unit) == (10, "block")


def test_ranks_are_the_places_that_the_paired_tests_leave_open():
    board = board_of_runs(best=0.8, middle=0.5, meddle=0.501, worst=0.3)
    (task,) = board.tasks
    assert task.unit == "seed"
    # five runs can be flipped in 2^5 ways: no pair of four passes the correction
    assert {agent(board, name).overall.rank for name in ("best", "worst")} == {(1, 4)}
    references = [make_bundle(n, {MAZE: [v] * 40}) for n, v in (("random", 0.2), ("oracle", 0.9))]
    rng = np.random.default_rng(0)
    agents = [
        make_bundle(name, {MAZE: np.clip(mean + rng.normal(0, 0.02, 40), 0, 1).tolist()})
        for name, mean in (("best", 0.8), ("middle", 0.5), ("meddle", 0.501), ("worst", 0.3))
    ]
    board = aggregate([*references, *agents])
    ranks = {one.name: one.overall.rank for one in board.agents if one.overall.rank}
    assert ranks == {"best": (1, 1), "middle": (2, 3), "meddle": (2, 3), "worst": (4, 4)}
    places = {one.name: one.overall.place for one in board.agents if one.overall.rank}
    assert set(places.values()) == {1, 2, 3, 4}


def test_comparison_holds_every_pair_of_ranked_agents_best_first():
    comparison = board_of_runs(a=0.4, b=0.6, c=0.5).overall
    assert comparison.agents == ("b", "c", "a")
    assert all(difference > 0 for difference in comparison.difference)
    assert len(comparison.p_holm) == 3
    assert all(raw <= corrected for raw, corrected in zip(comparison.p_value, comparison.p_holm, strict=True))
    assert all(value > 0.9 for value in comparison.improvement)
    assert 0 < comparison.gap < 0.2


def test_gap_of_two_agents_is_half_the_width_of_students_paired_interval():
    def runs(name, mean):
        rows = many_runs(name, mean).episodes
        return np.array([np.mean([row["score"] for row in rows if row["seed"] == s]) for s in range(5)])

    board = board_of_runs(a=0.5, b=0.52)
    (task,) = board.tasks
    paired = stats.ttest_rel(runs("b", 0.52), runs("a", 0.5)).confidence_interval(0.95)
    width = (paired.high - paired.low) / 2 / (task.ceiling - task.floor)
    assert board.overall.gap == pytest.approx(width, rel=0.01)


def test_tasks_that_differ_in_bytes_alone_are_points_of_one_curve():
    def budgets(name, small, large, held):
        episodes = [
            make_episode(task, e, score, seed=s, bank_bytes=bank, agent_bytes=0)
            for task, score, bank in ((MAZE, small, held[0]), ("t-maze-wide", large, held[1]))
            for s in range(3)
            for e in range(2)
        ]
        return make_bundle(name, episodes=episodes)

    board = aggregate(
        [
            budgets("random", 0.0, 0.0, (64, 64)),
            budgets("oracle", 1.0, 1.0, (64, 2**30)),
            budgets("thrifty", 1.0, 1.0, (2**12, 2**18)),
            budgets("greedy", 0.0, 1.0, (2**12, 2**18)),
        ]
    )
    auc = {one.name: one.overall.budget_auc.mean for one in board.agents}
    assert auc["oracle"] == 1.0
    assert auc["thrifty"] == pytest.approx(18 / 24)  # full from 2^12 on
    assert auc["greedy"] == pytest.approx((6 / 2 + 12) / 24)  # rises over six doublings, then full
    assert [agent(board, "thrifty").overall.on_front, agent(board, "greedy").overall.on_front] == [
        True,
        False,
    ]
    assert agent(board, "thrifty").overall.front_probability == 1.0


def test_profile_falls_from_all_runs_to_none():
    standing = agent(board_of_runs(a=0.5), "a").overall
    above = [value for value, _, _ in standing.profile]
    assert len(above) == 51
    assert above == sorted(above, reverse=True)
    assert (above[0], above[-1]) == (1.0, 0.0)
    assert all(low <= value <= high for value, low, high in standing.profile)


def test_iqm_and_optimality_gap_are_those_of_the_runs():
    board = board_of_runs(a=0.5)
    standing = agent(board, "a").overall
    (task,) = board.tasks
    rows = many_runs("a", 0.5).episodes
    runs = [np.mean([row["score"] for row in rows if row["seed"] == s]) for s in range(5)]
    values = (np.array(runs) - task.floor) / (task.ceiling - task.floor)
    assert standing.iqm.mean == pytest.approx(np.sort(values)[1:4].mean(), abs=1e-5)
    assert standing.optimality_gap.mean == pytest.approx((1 - values).mean(), abs=1e-5)
    for one in (standing.score, standing.iqm, standing.optimality_gap, standing.budget_auc):
        assert one.low < one.mean < one.high


def test_what_families_drew_is_what_all_of_their_tasks_together_draw(monkeypatch):
    means = {"random": 0.2, "oracle": 0.9, "a": 0.5, "b": 0.6}
    bundles = [many_runs(name, mean, (MAZE, DIALOGUE, LOCOMO)) for name, mean in means.items()]
    drawn_by_family = aggregate(bundles)
    module = importlib.import_module("memgym.leaderboard.aggregate")
    standings = module.standings
    monkeypatch.setattr(module, "standings", lambda tasks, names, ranked, *_: standings(tasks, names, ranked))
    drawn_anew = aggregate(bundles)
    for name in means:
        mine, anew = agent(drawn_by_family, name).overall, agent(drawn_anew, name).overall
        for one, other in (
            (mine.score, anew.score),
            (mine.optimality_gap, anew.optimality_gap),
            (mine.budget_auc, anew.budget_auc),
        ):
            assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-5)


def test_abilities_are_normalised_by_type_and_need_every_task_that_shows_them():
    def asked(name, right):
        questions = [question("single-hop", right), question("deletion", 0.5), question("colour", 0.5)]
        episodes = [make_episode(DIALOGUE, i, 0.5, questions=questions) for i in range(4)]
        return make_bundle(name, episodes=episodes)

    agents = [asked("random", 0.2), asked("oracle", 1.0), asked("a", 0.6)]
    board = aggregate(agents)
    assert board.abilities == {"retention": ("dialogue/single-hop",), "forgetting": ("dialogue/deletion",)}
    found = agent(board, "a").abilities
    assert found["retention"].mean == pytest.approx(0.5)
    assert "forgetting" not in found  # the oracle is not above the random agent there


def judged(name, maze, dialogue):
    bundle = make_bundle(name, {MAZE: maze, DIALOGUE: dialogue})
    bundle.header["tasks"][1]["metric"] = "judge:gpt"
    return bundle


def test_the_word_of_a_language_model_enters_no_ranked_number():
    def board(of_a, of_b):
        return aggregate(
            [
                judged("random", [0.2] * 3, [0.0] * 3),
                judged("oracle", [0.8] * 3, [1.0] * 3),
                judged("a", [0.4, 0.5, 0.6], of_a),
                judged("b", [0.3, 0.4, 0.5], of_b),
            ]
        )

    high, low = board([1.0] * 3, [0.0] * 3), board([0.0] * 3, [1.0] * 3)
    for name in ("a", "b"):
        one, other = agent(high, name), agent(low, name)
        assert (one.overall, one.families, one.abilities) == (other.overall, other.families, other.abilities)
        assert one.tasks[DIALOGUE].rank is None
        assert not one.tasks[DIALOGUE].on_front
        assert one.tasks[DIALOGUE].score != other.tasks[DIALOGUE].score  # it is shown
    assert (high.overall, high.comparisons) == (low.overall, low.comparisons)
    assert high.families == ("control",)
    fair = aggregate(
        [make_bundle(n, {MAZE: [v] * 2, DIALOGUE: [v] * 2}) for n, v in (("a", 0.1), ("b", 0.9))]
    )
    assert agent(fair, "b").tasks[DIALOGUE].rank == 1  # the same task is ranked where code scores it


# ---- what is refused -------------------------------------------------------------------------------------


def test_two_bundles_of_one_name_are_refused_with_both_paths():
    twins = [make_bundle("a", {MAZE: [1.0]}, path=path) for path in ("one/a", "two/a")]
    with pytest.raises(ResultInvalid, match=r"one/a and two/a"):
        aggregate(twins)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.01, True, "1", None])
def test_scores_that_are_not_numbers_from_0_to_1_are_refused(value):
    with pytest.raises(ResultInvalid, match=r"results/a: episode line 1: 'score'"):
        aggregate([make_bundle("a", episodes=[make_episode(MAZE, 0, 0.5, score=value)])])


@pytest.mark.parametrize("field", ["bank_bytes", "agent_bytes", "length", "refused", "seed", "episode"])
@pytest.mark.parametrize("value", [-1, 1.5, math.nan, True, 2**70])
def test_counts_that_are_not_whole_numbers_from_0_are_refused(field, value):
    with pytest.raises(ResultInvalid, match=field):
        aggregate([make_bundle("a", episodes=[make_episode(MAZE, 0, 0.5, **{field: value})])])


@pytest.mark.parametrize(
    "fields",
    [
        {"return": math.inf},
        {"ops": {"ADD": -1}},
        {"questions": [{"type": "temporal", "score": 2.0}]},
        {"questions": [{"type": "", "score": 1.0}]},
        {"questions": [question("temporal", 1.0, stale=math.nan)]},
    ],
)
def test_other_numbers_out_of_range_are_refused(fields):
    with pytest.raises(ResultInvalid, match="results/a"):
        aggregate([make_bundle("a", episodes=[make_episode(MAZE, 0, 0.5, **fields)])])


def test_a_missing_field_is_refused():
    episode = make_episode(MAZE, 0, 0.5)
    del episode["agent_bytes"]
    with pytest.raises(ResultInvalid, match="'agent_bytes' is missing"):
        aggregate([make_bundle("a", episodes=[episode])])


def test_an_episode_twice_is_refused():
    with pytest.raises(ResultInvalid, match="seed 1000, episode 0 is there twice"):
        aggregate([make_bundle("a", episodes=[make_episode(MAZE, 0, 0.5)] * 2)])


def test_agents_that_played_different_episodes_are_not_compared():
    few, many = make_bundle("few", {MAZE: [1.0]}), make_bundle("many", {MAZE: [1.0, 0.0]})
    with pytest.raises(
        ResultInvalid, match=r"episodes of 't-maze-n3' differs between results/few and results/many"
    ):
        aggregate([few, many])


def test_agents_of_different_task_arguments_are_not_compared():
    easy, hard = make_bundle("easy", {MAZE: [1.0]}), make_bundle("hard", {MAZE: [1.0]})
    hard.header["tasks"][0]["kwargs"] = {"corridors": 9}
    with pytest.raises(ResultInvalid, match="kwargs of task 't-maze-n3'"):
        aggregate([easy, hard])


def test_different_protocols_are_not_compared():
    old, new = make_bundle("old", {MAZE: [1.0]}), make_bundle("new", {MAZE: [1.0]})
    new.header["protocol"] = "2027.1"
    with pytest.raises(ResultInvalid, match="protocol"):
        aggregate([old, new])


def test_a_task_without_episodes_needs_a_reason():
    bundle = make_bundle("a", {MAZE: [1.0], DIALOGUE: [1.0]})
    silent = replace(bundle, episodes=bundle.episodes[:1])
    with pytest.raises(ResultInvalid, match="no episode of 'dialogue'"):
        aggregate([silent])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\u202eb"),
        ("name", "a" * 81),
        ("kind", "best"),
        ("setting", "other"),
        ("privileged", "no"),
        ("parameters", -1),
        ("authors", "me"),
        ("config", []),
    ],
)
def test_cards_with_odd_fields_are_refused(field, value):
    bundle = make_bundle("a", {MAZE: [1.0]})
    bundle.header["agent"][field] = value
    with pytest.raises(ResultInvalid, match=f"card's '{field}'"):
        aggregate([bundle])


# ---- the files -------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Tags with their attributes, and the text outside of script and style."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def hostile():
    bundle = make_bundle(
        HOSTILE,
        episodes=[
            make_episode(DIALOGUE, i, 0.5, questions=[question(HOSTILE, 0.5)], ops={HOSTILE: 1})
            for i in (0, 1)
        ],
        skipped={MAZE: HOSTILE},
        description=HOSTILE + "\u202e\u2028</script>",
        url="javascript:alert(1)",
        licence=HOSTILE,
        authors=(HOSTILE,),
        config={HOSTILE: HOSTILE},
        extra={"note": HOSTILE, "training_curve": [[1, 0.0], [2, HOSTILE]]},
    )
    bundle.header["tasks"][0]["title"] = HOSTILE
    return aggregate([bundle])


def test_text_of_strangers_is_escaped_everywhere(hostile):
    page = Elements(render_page(hostile, status(hostile)))
    assert {"script", "img"} & {tag for tag, _ in page.tags} == {"script"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert HOSTILE in "".join(page.text)


def test_only_https_becomes_a_link(hostile):
    page = Elements(render_page(hostile, status(hostile)))
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert not [href for href in links if href.startswith("javascript")]


@pytest.mark.parametrize(
    "url",
    [
        "http://a.org",
        "javascript:alert(1)",
        "data:text/html,x",
        "//a.org",
        "https:",
        "https://u@a.org",
        "https://a b",
    ],
)
def test_other_addresses_are_no_links(url):
    assert https_url(url) == ""


def test_inline_data_cannot_end_its_element():
    text = inline_json({"a": "</script><!--\u2028&"})
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == {"a": "</script><!--\u2028&"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", " =1", "\t=1"])
def test_csv_cells_that_look_like_formulas_get_a_quote(text):
    assert "'" + text == csv_cell(text)


def test_csv_has_a_line_for_each_agent_and_task(realistic):
    rows = list(csv.DictReader(io.StringIO(to_csv(realistic, status(realistic)))))
    assert sum(len(one.tasks) for one in realistic.agents) == len(rows)
    row = next(row for row in rows if (row["agent"], row["task"]) == ("rules", DIALOGUE))
    assert agent(realistic, "rules").tasks[DIALOGUE].score.mean == float(row["score"])
    assert row["overall_score"] == ""


def test_json_holds_the_whole_board(realistic):
    value = json.loads(to_json(realistic, status(realistic, "replayed")))
    assert [one.name for one in realistic.agents] == [one["name"] for one in value["agents"]]
    assert value["agents"][0]["status"] == "replayed"


def test_pages_load_nothing(realistic):
    for page in render_pages(realistic, status(realistic)).values():
        loaded = [attrs for tag, attrs in Elements(page).tags if "src" in attrs or tag == "link"]
        assert [attrs["href"].startswith("data:") for attrs in loaded] == [True]


def test_links_of_the_pages_lead_somewhere(realistic):
    pages = render_pages(realistic, status(realistic))
    for name, page in pages.items():
        folder = Path(name).parent
        for tag, attrs in Elements(page).tags:
            href = attrs.get("href", "") if tag == "a" else ""
            if href and not href.startswith(("#", "https:")):
                target = os.path.normpath(folder / href)
                assert target in pages or target in ("results.csv", "results.json"), (name, href)


def test_index_of_thirty_agents_and_forty_tasks_is_at_most_250_kb():
    rng = np.random.default_rng(0)
    board = aggregate(
        [large_bundle(name, rng) for name in ("random", "oracle", *(f"agent-{i:02}" for i in range(28)))]
    )
    pages = render_pages(board, status(board))
    assert len(pages["index.html"].encode()) <= 250_000
    assert len(pages) == 2 + 30 + 40
    assert max(len(page.encode()) for page in pages.values()) <= 250_000


def large_bundle(name, rng):
    skill = {"random": 0.1, "oracle": 0.95}.get(name, 0.5)
    tasks = [f"task-{t:02}" for t in range(40)]
    episodes = [
        make_episode(task, 0, float(np.clip(skill + rng.normal(0, 0.05), 0, 1)), seed=s)
        for task in tasks
        for s in range(5)
    ]
    bundle = make_bundle(name, episodes=episodes, privileged=name == "oracle")
    for t, task in enumerate(bundle.header["tasks"]):
        task["title"], task["family"] = f"A task with a title, {t}", ("control", "text")[t % 2]
    return bundle


def test_page_without_its_script_shows_every_number_of_the_tables(realistic):
    text = " ".join(Elements(render_page(realistic, status(realistic))).text)
    for one in realistic.agents:
        for result in one.tasks.values():
            assert score_text(result.score.mean) in text
            assert bytes_text(result.memory_mean) in text


@pytest.mark.parametrize(("name", "typed"), [("recency", "recency"), ("my agent", "'path/to/my agent'")])
def test_the_command_of_a_resized_suite_names_its_numbers(name, typed):
    bundle = make_bundle(name, {MAZE: [1.0]})
    bundle.header["suite"] = "quickstart+episodes=2+budget=64"
    board = aggregate([bundle])
    command = f"memgym evaluate --agent {typed} --suite quickstart --episodes 2 --budget 64 --out results"
    assert command in "".join(Elements(render_page(board, status(board))).text)


def test_long_and_odd_text_is_cut_and_cleaned():
    assert plain("a\u202e\n\n b") == "a b"
    assert len(plain("x" * 100_000)) == 600


def test_without_jinja2_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "memgym.leaderboard.page")
    with pytest.raises(DependencyMissing, match=r"memgym\[leaderboard\]"):
        importlib.import_module("memgym.leaderboard.page")


# ---- building --------------------------------------------------------------------------------------------


def write(root, bundle):
    header = bundle.header
    folder = root / header["agent"]["name"]
    tasks = [TaskRow.model_validate(task) for task in header["tasks"]]
    traces = {
        task.name: [
            {"seed": row["seed"], "episode": row["episode"], "actions": []}
            for row in bundle.episodes
            if row["task"] == task.name
        ]
        for task in tasks
    }
    kept = {
        name: header[name]
        for name in ("protocol", "suite", "created", "agent", "versions", "skipped", "summary")
    }
    write_bundle(folder, **kept, tasks=tasks, episodes=bundle.episodes, traces=traces)
    return folder


@pytest.fixture
def results(tmp_path):
    for bundle in realistic_bundles(num_episodes=4):
        write(tmp_path / "results", bundle)
    return tmp_path / "results"


def test_same_results_give_the_same_bytes(results, tmp_path):
    sites = [build_site(results, tmp_path / name).parent for name in ("one", "two")]
    build_site(results, tmp_path / "two")
    for name in ("index.html", "compare.html", "agents/rules.html", "results.csv", "results.json"):
        assert (sites[0] / name).read_bytes() == (sites[1] / name).read_bytes()
    names = {"index.html", "compare.html", "results.csv", "results.json", "agents", "tasks"}
    assert names == {path.name for path in sites[1].iterdir()}


def test_every_bundle_is_verified_before_anything_is_written(results, tmp_path):
    seen = []

    def verify(folder):
        seen.append(folder.name)
        if folder.name == "rules":
            raise ResultMismatch("rules: episode 3 does not replay.")

    with pytest.raises(ResultMismatch, match="episode 3"):
        build_site(results, tmp_path / "site", verify)
    assert "oracle" in seen
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(("verify", "shown"), [(None, "claimed"), (lambda folder: None, "replayed")])
def test_agents_are_shown_as_replayed_only_after_a_replay(results, tmp_path, verify, shown):
    page = build_site(results, tmp_path / "site", verify)
    value = json.loads((page.parent / "results.json").read_text())
    assert {shown} == {one["status"] for one in value["agents"]}


def test_a_changed_bundle_stops_the_build(results, tmp_path):
    file = results / "rules" / "episodes.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ResultInvalid, match="episodes"):
        build_site(results, tmp_path / "site")


def test_a_folder_without_bundles_is_an_error(tmp_path):
    with pytest.raises(ResultInvalid, match="no result bundle"):
        build_site(tmp_path, tmp_path / "site")
    with pytest.raises(ResultInvalid, match="not a folder"):
        build_site(tmp_path / "nowhere", tmp_path / "site")


def test_links_out_of_the_results_are_refused_and_links_within_are_not_followed(results, tmp_path):
    (results / "latest").symlink_to(results / "rules")
    assert len(find_bundles(results)) == 10
    (tmp_path / "elsewhere").mkdir()
    (results / "outside").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResultInvalid, match="leads outside"):
        find_bundles(results)


def test_task_that_nobody_played_is_named_with_its_reason():
    why = "the dataset 'locomo10' is not on this machine"
    board = aggregate([make_bundle("a", {MAZE: [1.0, 0.5]}, skipped={"locomo-256k": why})])
    page = html.unescape(render_page(board, status(board)))
    assert f"played by nobody here: locomo-256k ({why})" in page
    board = aggregate([make_bundle("a", {MAZE: [1.0, 0.5]})])
    assert "played by nobody here" not in render_page(board, status(board))
