"""Training dialogues in other words, so that a manager learns what all wordings have in common and none by heart."""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from memgym.baselines.manager.dialogues import Asked, Dialogue, Turn
from memgym.memory.lexical import STOP_WORDS, stem, stems
from memgym.rng import CounterRNG
from memgym.worlds.dialogue import lexicon, texts

__all__ = ["BENT", "BESIDE", "ECHOED", "ELSEWHERE", "LONGER", "varied"]

# share of a turn's words that may be replaced, those that are kept aside: what asks to forget is soon no longer known
MOST_LOST = {"new fact": 0.75, "changed fact": 0.75, "forget request": 0.5, "small talk": 1.0}
MADE_UP = 0.5  # of the words that come in others' places
ALIKE = 0.5  # of these are like a word that questions ask by
BENT = 0.1  # of the words that questions ask by have another ending
BESIDE = 0.25  # of small talk becomes a statement about what no question is about
ELSEWHERE = 0.25  # of small talk becomes any other sentence of the training split
MOST_WORDS = 16  # of such a sentence
ECHOED = 0.1  # of small talk has a word of what its speaker has told
LONGER = 0.5  # of turns have more words in one place
MORE = 4  # most of these
PLAIN = 0.75  # of these are function words: a reader may take others for an answer
FUNCTION_WORDS = sorted(STOP_WORDS)
ENDINGS = ("s", "ed", "ing")
ENDING = re.compile(r"(?:e|s|ed|ing)$")
WORD = re.compile(r"\w+")
PLACE = re.compile(r"\{[^}]*\}")  # of a template, where a value goes
LETTERS = re.compile(r"[A-Za-z]{4,}")


def varied(dialogue: Dialogue, rng: CounterRNG) -> Dialogue:
    """The same dialogue with other words: for its people, the last word of each value, and some of the words said.

    A training split has few names and wordings, and a model could learn them by heart instead of what all have in
    common. In the place of a function word comes another one, in some dialogues more often than in others; for any
    other there comes a word of the whole training split, or one made up of two: a tokenizer has pieces that these
    dialogues never use, and what their embeddings are like is left to chance until they stand somewhere. Half of the
    turns have more words somewhere, so that none is known by where its words stand. What the questions ask by stays,
    since the reader finds answers by it, or has another ending that search takes for the same: what is true of the
    dialogue stays true.

    Some small talk gives way to what is worded like a fact, a change or a request to forget, but about something that
    no question is ever about: how a sentence is built does not tell a fact, what it is about does. Some gives way to
    whatever else is said in the training split: there is more small talk than these dialogues have. Other small talk
    has a word that its speaker has told something with, and so an entry in sight that it changes nothing about.
    """
    words = _OtherWords(dialogue, rng)
    turns = tuple(
        turn._replace(
            speaker=words.of(turn.speaker),
            said=words.said(turn),
            outdated=turn.outdated and (words.of(turn.outdated[0]), words.of(turn.outdated[1])),
        )
        for turn in dialogue.turns
    )
    asked = tuple(Asked(words.of(a.text), a.type, words.of(a.answer)) for a in dialogue.asked)
    return Dialogue(
        turns, asked, tuple((words.of(person), words.of(value)) for person, value in dialogue.facts)
    )


class _OtherWords:
    """The other words of one dialogue, turn by turn.

    Args:
        dialogue: as it was.
        rng: which words.
    """

    def __init__(self, dialogue: Dialogue, rng: CounterRNG) -> None:
        self.rng = rng
        self.share, self.of_function_words = rng.random(), rng.random()  # that are lost
        self.names: dict[str, str] = {}
        for old in (
            *(turn.speaker for turn in dialogue.turns),
            *(value.split()[-1] for _, value in dialogue.facts),
        ):
            self.names.setdefault(old, _cased(_made_up(rng), old))
        self.asked = frozenset[str]().union(*(stems(one.text) for one in dialogue.asked))
        facts = (self.of(" ".join(fact)).lower() for fact in dialogue.facts)
        self.facts = frozenset(word for fact in facts for word in WORD.findall(fact))
        self.told: dict[str, list[str]] = defaultdict(list)  # what each has told something with so far

    def of(self, text: str) -> str:
        """The text with other names and values."""
        for old, made in self.names.items():
            text = text.replace(old, made).replace(old.capitalize(), made.capitalize())
        return text

    def said(self, turn: Turn) -> str:
        """What is said in the turn; turns come in their order."""
        is_small_talk = turn.situation == "small talk"
        lost = self.share * MOST_LOST[turn.situation]
        drawn = self.rng.random() if is_small_talk else 1.0
        beside = drawn < BESIDE
        if drawn < BESIDE + ELSEWHERE:
            said = _about_nothing(_fact_wordings() if beside else _other_wordings(), self.rng)
        else:
            said = self.of(turn.said)
        text = WORD.sub(lambda word: self._instead(word[0], lost), said)
        if self.rng.random() < LONGER:
            text = self._longer(text)
        told = self.told[turn.speaker]
        if not is_small_talk:
            told += [word for word in WORD.findall(text) if word.lower() not in STOP_WORDS]
        elif told and not beside and self.rng.random() < ECHOED:
            text = _echoed(text, self.rng.choice(told), self.rng)
        return text

    def _instead(self, word: str, lost: float) -> str:
        """The word, or with this probability another one; what facts and questions say stays, or is bent."""
        plain, rng = word.lower(), self.rng
        is_function_word = plain in STOP_WORDS
        if plain in self.facts:
            return word
        if stem(plain) in self.asked:
            return _bent(word, rng) if rng.random() < BENT else word
        if rng.random() >= lost * (self.of_function_words if is_function_word else 1):
            return word
        return _cased(self._other(is_function_word), word)

    def _longer(self, text: str) -> str:
        """The text with more words before its first one or after any, but not in the midst of what a fact says."""
        rng, words = self.rng, list(WORD.finditer(text))
        known = [word[0].lower() in self.facts for word in words]
        after = [*known[1:], False]
        place = rng.choice(
            [0, *(word.end() for word, *both in zip(words, known, after, strict=True) if not all(both))]
        )
        more = " ".join(self._other(rng.random() < PLAIN) for _ in range(rng.integer(1, MORE)))
        if place:
            return f"{text[:place]} {more}{text[place:]}"
        first = text[0] if known[0] or words[0][0] == "I" else text[0].lower()
        return f"{more.capitalize()} {first}{text[1:]}"

    def _other(self, is_function_word: bool) -> str:
        """Any function word, or any other one."""
        if is_function_word:
            return self.rng.choice(FUNCTION_WORDS)
        if self.rng.random() >= MADE_UP:
            return self.rng.choice(_training_words())
        return _alike(self.rng) if self.rng.random() < ALIKE else _made_up(self.rng)


def _cased(word: str, other: str) -> str:
    """The word, with a capital where the other has one."""
    return word.capitalize() if other[0].isupper() else word


def _made_up(rng: CounterRNG) -> str:
    """The beginning of a word and the end of another."""
    return _joined(rng.choice(_training_words()), rng.choice(_training_words()), rng)


def _alike(rng: CounterRNG) -> str:
    """One half of a word that questions ask by, and another half: "lift" begins like "living".

    A tokenizer has the same piece for both, and none but such words would begin or end with it.
    """
    subject, other = rng.choice(_subject_words()), rng.choice(_training_words())
    both = (subject, other) if rng.random() < 0.5 else (other, subject)
    word = _joined(*both, rng)
    return word if stem(word) not in _subjects() else other


def _joined(one: str, other: str, rng: CounterRNG) -> str:
    """The beginning of a word and the end of another."""
    return one[: rng.integer(2, len(one))] + other[-rng.integer(2, len(other)) :]


def _bent(word: str, rng: CounterRNG) -> str:
    """The word with another ending, where search takes both for the same."""
    bent = ENDING.sub("", word) + rng.choice(ENDINGS)
    return bent if stem(bent.lower()) == stem(word.lower()) else word


def _echoed(said: str, word: str, rng: CounterRNG) -> str:
    """What is said with the word in the place of one of its own."""
    found = [found for found in WORD.finditer(said) if found[0].lower() not in STOP_WORDS]
    place = rng.choice(found or list(WORD.finditer(said)))
    return said[: place.start()] + _cased(word, place[0]) + said[place.end() :]


def _about_nothing(wordings: Sequence[str], rng: CounterRNG) -> str:
    """One of these sentences, with other words where it says what it is about."""
    said = PLACE.sub(_made_up(rng), rng.choice(wordings))
    return WORD.sub(lambda word: _made_up(rng) if stem(word[0].lower()) in _subjects() else word[0], said)


@cache
def _fact_wordings() -> tuple[str, ...]:
    """How the training split tells facts and changes and asks to forget."""
    return _wordings("assert", "update", "forget")


@cache
def _other_wordings() -> tuple[str, ...]:
    """What else is said in the training split, in sentences that are not long."""
    others = {name: part for name, part in lexicon("train").words.items() if name != "slots"}
    return tuple(
        text for text in texts(others) if text.endswith((".", "!")) and len(text.split()) <= MOST_WORDS
    )


@cache
def _subjects() -> frozenset[str]:
    """Stems of what the training split asks about."""
    return frozenset[str]().union(*(stems(PLACE.sub(" ", text)) for text in _wordings("question")))


def _wordings(*kinds: str) -> tuple[str, ...]:
    slots = lexicon("train").words["slots"].values()
    return tuple(text for slot in slots for kind in kinds for text in slot[kind])


@cache
def _training_texts() -> tuple[str, ...]:
    """All that the training split says, without the places where values go."""
    return tuple(PLACE.sub(" ", text) for text in texts(lexicon("train").words))


@cache
def _subject_words() -> tuple[str, ...]:
    """Words of at least three letters that questions ask by, in lower case, as the training split has them."""
    found = {word.lower() for text in _training_texts() for word in WORD.findall(text) if len(word) > 2}
    return tuple(sorted(word for word in found if stem(word) in _subjects()))


@cache
def _training_words() -> tuple[str, ...]:
    """Words of at least four letters in the whole training split, in lower case; none that questions ask by."""
    found = {word.lower() for text in _training_texts() for word in LETTERS.findall(text)} - STOP_WORDS
    return tuple(sorted(word for word in found if stem(word) not in _subjects()))
