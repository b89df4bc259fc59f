"""Readers: how a question asks, how dates are told, what of a text is an answer."""

import re
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.errors import UnknownName
from memgym.memory.lexical import stems
from memgym.memory.ops import dump_attrs
from memgym.readers import READERS, make_reader
from memgym.readers.choice import choice_reader
from memgym.readers.dates import asks_when, find_dates, resolve_date, told
from memgym.readers.extractive import extractive_reader
from memgym.readers.spans import is_list_question, is_yes_no, news, numbers
from memgym.readers.statements import stated
from memgym.stream import UNKNOWN, format_date

THURSDAY = date(2023, 8, 17)


def entry(text: str, time: str = "2023-08-17T10:00") -> dict[str, Any]:
    return {"id": "m1", "text": text, "attrs": dump_attrs({"time": time})}


def read(question: str, *texts: str) -> str:
    return extractive_reader(question, [entry(text) for text in texts])


# ---------------------------------------------------------------------- every reader


@pytest.mark.parametrize("name", READERS)
def test_a_reader_goes_by_name(name: str) -> None:
    assert callable(make_reader(name))


def test_an_unknown_reader_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'extractive'"):
        make_reader("extractor")


@given(
    st.text(max_size=60),
    st.lists(st.text(max_size=80), max_size=4),
    st.lists(st.text(max_size=8), max_size=3),
)
def test_a_reader_answers_whatever_it_is_given(question: str, texts: list[str], choices: list[str]) -> None:
    answer = extractive_reader(question, [{"text": text, "attrs": ""} for text in texts], choices)
    assert answer in choices if choices else isinstance(answer, str) and answer


# ---------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("I did it today", ["17 August 2023"]),
        ("last night was fun", ["16 August 2023"]),
        ("the day before yesterday", ["15 August 2023"]),
        ("a couple of days ago", ["15 August 2023"]),
        ("two weeks ago", ["3 August 2023"]),
        ("see you in 3 days", ["20 August 2023"]),
        ("last Friday", ["11 August 2023"]),
        ("on Thursday", ["10 August 2023"]),  # not today
        ("next Monday", ["21 August 2023"]),
        ("Last week", ["the week before 17 August 2023"]),
        ("next weekend", ["the weekend after 17 August 2023"]),
        ("last month", ["July 2023"]),
        ("six months ago", ["February 2023"]),
        ("nine months ago", ["November 2022"]),
        ("next month", ["September 2023"]),
        ("last year", ["2022"]),
        ("a decade ago", ["2013"]),
        ("I've had it for 3 years", ["2020"]),
        ("last summer", ["summer 2022"]),  # this one is not over
        ("last winter", ["winter 2022"]),
        ("in May", ["May 2023"]),
        ("in December", ["December 2022"]),
        ("last August", ["August 2022"]),
        ("May 7th, 2021", ["7 May 2021"]),
        ("the 7th of May 2021", ["7 May 2021"]),
        ("on 2021-05-07", ["7 May 2021"]),
        ("August 20", ["20 August 2023"]),
        ("in March 2019", ["March 2019"]),
        ("since 2016", ["2016"]),
        ("on the 15th", ["15 August 2023"]),
        ("on the 25th", ["25 July 2023"]),
        ("yesterday and last month", ["16 August 2023", "July 2023"]),
        ("march with me, I may come", []),
        ("31 June", []),
        ("in five thousand years ago", []),
        ("it takes a week", []),
    ],
)
def test_words_for_dates_mean_what_they_say(text: str, dates: list[str]) -> None:
    assert [when.text for when in find_dates(text, THURSDAY)] == dates


@given(st.dates(date(1950, 1, 1), date(2099, 12, 31)), st.dates(date(1950, 1, 1), date(2099, 12, 31)))
def test_a_date_in_full_is_itself_whenever_it_is_said(day: date, written: date) -> None:
    assert resolve_date(f"It was on {format_date(day)}.", written) == day


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)), st.integers(1, 300))
def test_days_ago_count_back(written: date, days: int) -> None:
    assert resolve_date(f"{days} days ago", written) == written - timedelta(days=days)


@given(st.text(max_size=80), st.dates())
def test_no_text_breaks_the_resolver(text: str, written: date) -> None:
    assert all(0 <= when.place <= len(text) for when in find_dates(text, written))


WORDS = (
    "day yesterday tonight last this next in on for of the may sept fall friday weeks ago 7 2021 tea".split()
)


@given(st.lists(st.sampled_from(WORDS)))
def test_a_text_without_a_word_for_a_time_is_skipped_and_no_other(words: list[str]) -> None:
    text = " ".join(words)
    found = find_dates(text, THURSDAY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memgym.readers.dates.HINT", re.compile(""))
        assert find_dates(text, THURSDAY) == found


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When was it?", "15 August 2023"),
        ("In which month was it?", "August 2023"),
        ("What year was it?", "2023"),
        ("On which day of the month was it?", "15 August 2023"),
    ],
)
def test_a_date_is_told_as_finely_as_it_is_asked_for(question: str, answer: str) -> None:
    (when,) = find_dates("two days ago", THURSDAY)
    assert asks_when(question)
    assert told(when, question) == answer


@pytest.mark.parametrize(
    "question", ["Whenever you like?", "What did she do last month?", "Which days' work?"]
)
def test_not_everything_with_a_date_in_it_asks_for_one(question: str) -> None:
    assert not asks_when(question)


def test_the_date_nearest_to_what_is_asked_is_told() -> None:
    text = (
        "Ann: Yesterday I baked bread, it was fun. Two weeks ago I sold the old piano to a neighbour of mine."
    )
    assert read("When did Ann bake bread?", text) == "16 August 2023"
    assert read("When did Ann sell the piano?", text) == "3 August 2023"


# ---------------------------------------------------------------------- spans


@pytest.mark.parametrize(
    ("clause", "asked", "answer"),
    [
        ("I really love The Lord of the Rings", {"lov"}, "Lord of the Rings"),
        ("I live in Oslo these days", {"liv"}, "Oslo"),
        ("Thanks, that is so great!", set(), ""),
        ("the dog of my neighbour", set(), "dog neighbour"),
    ],
)
def test_news_is_what_neither_grammar_nor_the_question_says(
    clause: str, asked: set[str], answer: str
) -> None:
    assert news(clause, asked) == answer


@pytest.mark.parametrize(
    ("text", "asked", "answer"),
    [
        ("I changed my car, it is a Volvo now", {"car", "drive"}, "Volvo"),
        ("The gift on my list is a scarf.", {"gift", "want"}, "scarf"),
        ("You should meet my pet, Biscuit.", {"pet", "name"}, "Biscuit"),
        ("Judo has become my hobby.", {"hobby"}, "Judo"),
        ("A tent would be the perfect gift for me.", {"gift"}, "tent"),
        ("We have lived in Turin for years.", {"live"}, "Turin"),
        ("I picked up a new hobby, archery.", {"hobby"}, "archery"),
        ("Good to see you", {"see"}, ""),
    ],
)
def test_a_short_statement_says_one_thing(text: str, asked: set[str], answer: str) -> None:
    assert stated(text, stems(" ".join(asked))) == answer


def test_numbers_are_found_in_digits_and_words() -> None:
    assert numbers("Two dogs, 1,500 bees, 3.5 % and $20.") == ["Two", "1,500", "3.5", "$20"]


@pytest.mark.parametrize(
    ("question", "is_list"),
    [
        ("What books has Ann read?", True),
        ("Which countries did she visit?", True),
        ("What kind of music does she like?", True),
        ("What does Ann drive?", False),
        ("What was her reason?", False),
        ("Which city is it?", False),
    ],
)
def test_a_question_for_several_things_is_recognised(question: str, is_list: bool) -> None:
    assert is_list_question(question) == is_list


@pytest.mark.parametrize(("question", "expected"), [("Does Ann ski?", True), ("What does Ann do?", False)])
def test_a_yes_no_question_is_recognised(question: str, expected: bool) -> None:
    assert is_yes_no(question) == expected


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("question", "texts", "answer"),
    [
        ("Where does Ann live?", ["Ann: I live in Oslo these days."], "Oslo"),
        ("How many cats does Ann have?", ["Ann: I have two dogs and three cats."], "three"),
        ("How long has Ann skied?", ["Ann: I have skied for four years now."], "four years"),
        ("How often does Ann swim?", ["Ann: I swim twice a week."], "twice a week"),
        ("Does Ann like tea?", ["Ann: I like tea."], "Yes"),
        ("Does Ann like tea?", ["Ann: I don't like tea."], "No"),
        ("Which fruits has Ann bought?", ["Ann: I bought pears.", "Ann: I bought figs."], "pears, figs"),
        ("Where does Ann live?", ["Ann: A good day to all.", "Ann: I live in Oslo."], "Oslo"),
        ("Where does Ann live?", [], UNKNOWN),
        ("Where does Ann live?", ["Ann: The soup was cold."], UNKNOWN),
    ],
)
def test_questions_are_answered_by_kind(question: str, texts: list[str], answer: str) -> None:
    assert read(question, *texts) == answer


def test_of_equal_matches_the_newest_counts() -> None:
    entries = [entry("Ann: I live in Rome.", "2023-01-01"), entry("Ann: I live in Oslo.", "2023-05-01")]
    for order in (entries, entries[::-1]):
        assert extractive_reader("Where does Ann live?", order) == "Oslo"


def test_what_another_person_said_is_no_answer() -> None:
    texts = ["Ben: I moved to a cabin in Bergen.", "Ann: The cabin was cold."]
    assert read("Where did Ann move to a cabin?", *texts) == UNKNOWN
    # the controls: the same of the right person, and without what the other one said
    assert read("Where did Ben move to a cabin?", *texts) == "Bergen"
    assert read("Where did Ann move to a cabin?", texts[1]) == "cold"


def test_an_entry_without_a_date_dates_nothing() -> None:
    answer = extractive_reader("When did Ann ski?", [{"text": "Ann: I ski.", "attrs": ""}])
    assert answer == UNKNOWN


# ---------------------------------------------------------------------- choices


@pytest.mark.parametrize(
    ("question", "choices", "answer"),
    [
        ("Where does Ann live?", ("Rome", "Oslo", UNKNOWN), "Oslo"),
        ("Where does Ann live?", ("Rome", UNKNOWN, "Bergen"), UNKNOWN),
        ("Where does Ann live?", ("Rome", "Bergen"), "Bergen"),  # without a way to abstain, the last
        ("When did Ann move?", ("17 August 2023", "16 August 2023", UNKNOWN), "16 August 2023"),
        ("Where does Ben live?", ("Rome", "Oslo", UNKNOWN), "Oslo"),  # nobody called Ben speaks
    ],
)
def test_a_choice_is_the_one_that_the_best_entry_names(
    question: str, choices: tuple[str, ...], answer: str
) -> None:
    entries = [entry("Ann: I live in Oslo since yesterday, when I moved.")]
    assert choice_reader(question, entries, choices) == answer
    assert extractive_reader(question, entries, choices) == answer


def test_the_choice_reader_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs choices"):
        choice_reader("Where?", [])


def test_no_rule_names_a_person_or_a_place() -> None:
    """General English only: no capitalised word that is not a month or a weekday stands in the word lists."""
    from memgym.readers import spans, statements

    words = [*spans.FILLERS, *spans.JOINS, *spans.NUMBER_WORDS, *statements.COPULAS, *statements.NAMING]
    assert not [word for word in words if re.search("[A-Z]", word)]
