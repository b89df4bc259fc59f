"""What retrieval, readers and constants reach on LoCoMo without a language model, and what no extractive reader can.

::

    python -m memgym.baselines.study_locomo

It prints two tables; ``--out FILE`` writes them as JSON
(`baselines/expected/locomo.json` is what it wrote). All numbers are percent and keyed by category number: papers
give the same names to different categories. "1-5" holds 22 % of questions on which always abstaining scores 100, so
read it beside the row of that constant.

The extractive reader was written with sight of conversations 26 to 43; rows that end in "held out" are over the other
five, 44 to 50.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from memgym.baselines.reference import as_markdown
from memgym.baselines.retrievers import RETRIEVERS, Ranker
from memgym.core.lines import write_atomically
from memgym.datasets.locomo import INFO, Conversation, LoCoMoQuestion, load_locomo
from memgym.memory.ops import dump_attrs
from memgym.readers.dates import find_dates
from memgym.readers.evidence import said
from memgym.readers.extractive import extractive_reader
from memgym.scoring.locomo import locomo_score, locomo_stems, scored_gold
from memgym.scoring.overlap import bleu_1, set_f1_amem
from memgym.scoring.retrieval import recall_any_at_k, recall_at_k
from memgym.stream import UNKNOWN, format_date

COMMAND = "python -m memgym.baselines.study_locomo --out baselines/expected/locomo.json"
DEPTHS = (1, 5, 10, 20, 50)
READ = "FTS5 porter, content words"  # the retriever whose ten best turns the readers get
HELD_OUT = ("conv-44", "conv-47", "conv-48", "conv-49", "conv-50")
GROUPS = {"1": (1,), "2": (2,), "3": (3,), "4": (4,), "5": (5,), "1-4": (1, 2, 3, 4), "1-5": (1, 2, 3, 4, 5)}

Entry = dict[str, Any]
Answerer = Callable[[LoCoMoQuestion, Sequence[Entry]], str]


def entries_of(conversation: Conversation) -> dict[str, Entry]:
    """The turns by id, as a bank shows what an agent that stores everything has stored."""
    return {
        turn.id: {
            "id": turn.id,
            "text": f"{turn.speaker}: {turn.shown_text}",
            "attrs": dump_attrs({"time": session.time}),
        }
        for session in conversation.sessions
        for turn in session.turns
    }


def rank(
    conversation: Conversation, questions: Sequence[LoCoMoQuestion], ranker: Ranker, k: int
) -> list[list[str]]:
    """Ids of the `k` best turns for each question."""
    entries = entries_of(conversation)
    scores = ranker([entry["text"] for entry in entries.values()], [question.text for question in questions])
    ids = list(entries)
    return [[ids[i] for i in np.argsort(-row, kind="stable")[:k] if row[i] > -np.inf] for row in scores]


# ---------------------------------------------------------------------- retrieval


def retrieval(conversations: Sequence[Conversation], ranker: Ranker) -> dict[str, float]:
    """Mean evidence recall@10 by category, recall@k and hit@10 over categories 1 to 4; questions with evidence."""
    found: list[tuple[LoCoMoQuestion, list[str]]] = []
    for conversation in conversations:
        asked = [question for question in conversation.questions if question.evidence]
        found += zip(asked, rank(conversation, asked, ranker, max(DEPTHS)), strict=True)

    def mean(score: Callable[..., float], categories: Sequence[int], k: int) -> float:
        rows = [
            score(ids, question.evidence, k) for question, ids in found if question.category in categories
        ]
        return percent(rows)

    row = {f"{category} R@10": mean(recall_at_k, (category,), 10) for category in range(1, 6)}
    row |= {f"1-4 R@{k}": mean(recall_at_k, GROUPS["1-4"], k) for k in DEPTHS}
    return row | {"1-4 hit@10": mean(recall_any_at_k, GROUPS["1-4"], 10)}


# ---------------------------------------------------------------------- readers


def abstain(question: LoCoMoQuestion, entries: Sequence[Entry]) -> str:
    """The constant."""
    return UNKNOWN


def verbatim(question: LoCoMoQuestion, entries: Sequence[Entry]) -> str:
    """The best turn as it stands."""
    return said(entries[0]) if entries else UNKNOWN


def extract(question: LoCoMoQuestion, entries: Sequence[Entry]) -> str:
    """`memgym.readers.extractive`."""
    return extractive_reader(question.text, entries)


def best_span(question: LoCoMoQuestion, entries: Sequence[Entry], *, dates: str = "") -> str:
    """The ceiling of extraction: of all stretches of words in `entries` those that score best against the gold.

    Args:
        question: with its gold answer, which this looks at.
        entries: what may be quoted.
        dates: ``"session"`` also offers the day of each entry, ``"resolved"`` also what its words for dates mean.
    """
    if question.category == 5:
        return UNKNOWN
    texts = [part for entry in entries for part in _quotable(entry, dates)]
    gold = scored_gold(question.category, question.answer)
    parts = gold.split(",") if question.category == 1 else [gold]
    return ",".join(_best(part, texts).replace(",", " ") for part in parts)


def _quotable(entry: Entry, dates: str) -> Iterable[str]:
    yield said(entry)
    day = date.fromisoformat(json.loads(entry["attrs"])["time"][:10])
    if dates:
        yield format_date(day)
    if dates == "resolved":
        for when in find_dates(said(entry), day):
            yield when.text
            yield format_date(when.day)


def _best(gold: str, texts: Iterable[str]) -> str:
    """The stretch of whole words with the best F1 against one gold part."""
    wanted = locomo_stems(gold)
    best, best_f1 = "", 0.0
    for text in texts:
        words = text.split()
        stems = [locomo_stems(word) for word in words]
        for start in range(len(words)):
            seen: Counter[str] = Counter()
            size = overlap = 0
            for end in range(start, len(words)):
                for stem in stems[end].elements():
                    size += 1
                    overlap += seen[stem] < wanted[stem]
                    seen[stem] += 1
                f1 = 2 * overlap / (size + wanted.total()) if overlap else 0.0
                if f1 > best_f1:
                    best, best_f1 = " ".join(words[start : end + 1]), f1
    return best


def read(
    conversations: Sequence[Conversation], answer: Answerer, source: str, only: Sequence[str] = ()
) -> dict[str, float]:
    """Mean official F1 by group of categories; over 1 to 4 also two other scores that papers call F1 and BLEU-1.

    Args:
        conversations: all of them.
        answer: the reader.
        source: ``"retrieved"``: the ten best turns of `READ`; ``"gold"``: the evidence.
        only: ids of the conversations that count; all where it is empty.
    """
    rows: list[tuple[LoCoMoQuestion, str]] = []
    for conversation in conversations:
        if only and conversation.id not in only:
            continue
        entries = entries_of(conversation)
        asked = conversation.questions
        if source == "gold":
            ids = [list(question.evidence) for question in asked]
        else:
            ids = rank(conversation, asked, RETRIEVERS[READ], 10)
        rows += [(q, answer(q, [entries[id] for id in found])) for q, found in zip(asked, ids, strict=True)]
    row = {
        name: percent([locomo_score(q.category, said, q.answer) for q, said in rows if q.category in group])
        for name, group in GROUPS.items()
    }
    open_rows = [(said, q.answer) for q, said in rows if q.category != 5]
    return row | {
        "1-4 A-Mem set-F1": percent([set_f1_amem(said, gold) for said, gold in open_rows]),
        "1-4 BLEU-1": percent([bleu_1(said, gold) for said, gold in open_rows]),
    }


def session_span(question: LoCoMoQuestion, entries: Sequence[Entry]) -> str:
    """`best_span` with the day of each entry."""
    return best_span(question, entries, dates="session")


def resolved_span(question: LoCoMoQuestion, entries: Sequence[Entry]) -> str:
    """`best_span` with what the words for dates mean."""
    return best_span(question, entries, dates="resolved")


READERS: dict[str, tuple[Answerer, str, Sequence[str]]] = {
    "always abstaining": (abstain, "gold", ()),
    "best turn verbatim": (verbatim, "retrieved", ()),
    "extractive reader": (extract, "retrieved", ()),
    "extractive reader, held out": (extract, "retrieved", HELD_OUT),
    "extractive reader, gold turns": (extract, "gold", ()),
    "extractive reader, gold turns, held out": (extract, "gold", HELD_OUT),
    "ceiling: best span of the ten turns, dates resolved": (resolved_span, "retrieved", ()),
    "ceiling: best span of the gold turns": (best_span, "gold", ()),
    "ceiling: best span of the gold turns, or their day": (session_span, "gold", ()),
    "ceiling: best span of the gold turns, dates resolved": (resolved_span, "gold", ()),
}


def percent(values: Sequence[float]) -> float:
    """A mean in percent, to two digits."""
    return round(100 * float(np.mean(values)), 2)


def markdown(title: str, rows: dict[str, dict[str, float]]) -> str:
    """A table of the rows."""
    columns = list(next(iter(rows.values())))
    return as_markdown(
        [title, *columns], [[name, *(f"{row[c]:.1f}" for c in columns)] for name, row in rows.items()]
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--path", help="the LoCoMo file; by default looked for in $MEMGYM_DATA and the cache")
    parser.add_argument("--out", type=Path, help="write both tables as JSON to this file")
    args = parser.parse_args(arguments)
    conversations = load_locomo(args.path)
    tables = {
        "retrieval": {name: retrieval(conversations, ranker) for name, ranker in RETRIEVERS.items()},
        "readers": {name: read(conversations, *how) for name, how in READERS.items()},
    }
    print(markdown("retriever, evidence recall in %", tables["retrieval"]))
    print()
    print(markdown("reader, LoCoMo's F1 in %", tables["readers"]))
    if args.out:
        content = {"command": COMMAND, "dataset": {"name": INFO.name, "sha256": INFO.sha256}, **tables}
        write_atomically(args.out, (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
