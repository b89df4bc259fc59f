"""The text of a turn, written from its event and its own random numbers, without the turns before it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from memgym.rng import CounterRNG
from memgym.stream import Item
from memgym.worlds.dialogue.config import DialogueConfig
from memgym.worlds.dialogue.lexicon import CONFLICT, WEEKDAYS, Lexicon
from memgym.worlds.dialogue.log import Event, Log
from memgym.worlds.dialogue.plan import Cast

__all__ = ["Paraphrase", "Writer", "capitalised"]

Paraphrase = Callable[[str, Sequence[str]], str]
"""(text, strings that have to stay in it) -> the same in other words."""

WRAPPED = 0.5  # of the statements at paraphrase level 2 that come with a sentence around them
SESSION_MINUTES = 170  # of a day, from at most 20:00, so that questions at 23:00 come after
UNWRAPPED = ("inject", "ground")
# what may be put in other words by others: its meaning is in strings that can be checked, and in who says it
REWORDED = ("assert", "update", "happening", "claim", "secret", "link", "collect", "opinion", "mention")


def capitalised(text: str) -> str:
    """`text` with a capital letter first."""
    return text[:1].upper() + text[1:]


@dataclass
class Writer:
    """Writes the turns of the sessions that are told.

    Attributes:
        rng: of the episode's text.
        days: date of each session.
        paraphrase: puts a statement in other words, or None.
        rejections: paraphrases not taken, since they lost what has to stay or named another value.
    """

    rng: CounterRNG
    words: Lexicon
    config: DialogueConfig
    cast: Cast
    log: Log
    days: Sequence[date]
    paraphrase: Paraphrase | None = None
    rejections: int = 0
    _session: tuple[int, CounterRNG, int, str] = field(
        default=(-1, CounterRNG(0), 0, ""), init=False, repr=False
    )

    def item(self, session: int, turn: int) -> Item:
        """One turn."""
        layout = self.log.layout(session)
        if self._session[0] != session:  # what its turns have in common
            hour = self.rng.fork(1, session).integer(8, 20)
            self._session = session, self.rng.fork(2, session), hour, self.days[session].isoformat()
        draw = self._session[1].fork(turn)
        told, prompts = ({}, {}) if self.config.canary else (layout.events, layout.prompts)
        event = told.get(turn)
        if event is not None:
            prompted = prompts.get(turn - 1) is event
            speaker, text = event.speaker, self._reworded(event, self.statement(event, draw, prompted))
        elif turn in prompts:
            asked = prompts[turn]
            speaker = draw.choice([p for p in self.cast.speakers if p != asked.speaker])
            text = self.words["slots"][asked.slot]["prompt"].format(name=asked.speaker)
        else:
            speaker, text = self._filler(told.get(turn - 1), draw)
        _, _, hour, day = self._session
        minute = 60 * hour + turn * SESSION_MINUTES // max(SESSION_MINUTES, layout.num_turns)
        time = f"{day}T{minute // 60:02d}:{minute % 60:02d}"
        return Item(f"s{session + 1}t{turn + 1}", text, speaker, time)

    def _filler(self, before: Event | None, draw: CounterRNG) -> tuple[str, str]:
        """Small talk, or a fact about somebody who matters to no question; a reply comes from a listener."""
        speaker = draw.choice([p for p in self.cast.speakers if before is None or p != before.speaker])
        if self.config.distractor_ratio and draw.random() < self.config.distractor_ratio:
            return speaker, self.bystander(draw)
        return speaker, draw.choice(self.words["replies" if before else "smalltalk"])

    def bystander(self, draw: CounterRNG) -> str:
        """A statement about a stranger, of the same kind as those that matter."""
        slot = draw.choice(self.words.slots)
        number = draw.integer(0, self.words.num_strangers // 2 - 1)
        name = self.words.stranger(2 * number + 1, 0)  # guests of the filler have even numbers
        value = draw.choice(self.words["slots"][slot]["values"])
        return self._said("bystander", draw, third=self._third(slot, name, value))

    # ------------------------------------------------------------------ statements

    def statement(self, event: Event, draw: CounterRNG, prompted: bool = False) -> str:
        """What an event says."""
        text = capitalised(self._plain(event, draw, prompted))
        if self.config.paraphrase_level >= 2 and event.op not in UNWRAPPED and draw.random() < WRAPPED:
            if draw.random() < 0.5:
                return f"{draw.choice(self.words['speech']['before'])} {text}"
            return f"{text} {draw.choice(self.words['speech']['after'])}"
        return text

    def _plain(self, event: Event, draw: CounterRNG, prompted: bool) -> str:
        words, op, v = self.words, event.op, event.value
        if op == "happening":
            when = self.when(event)
            return self._pick(words["events"]["assert"], draw, v=v, when=when, When=capitalised(when))
        if op in ("claim", "inject"):
            return self._said(op, draw, name=event.subject, third=self._third(event.slot, event.subject, v))
        if op == "secret":
            first = words["slots"][event.slot]["first"].format(v=v)
            return self._said(op, draw, other=event.other, first=first)
        if op == "link":
            form = event.slot if event.slot.startswith("link") else "link1"
            return self._pick(words["chain"][form], draw, s=event.subject, slot=event.slot, v=v)
        if op == "collect":
            return self._pick(words["collection"]["assert"], draw, slot=event.slot, v=v)
        if op in ("like", "dislike"):
            return self._pick(words["preference"][op], draw, v=v)
        if op == "opinion":
            form = "own" if event.subject == event.speaker else "reported"
            return self._pick(words["opinion"][form], draw, s=event.subject, v=v)
        if op == "rule":
            return self._pick(words["rule"]["assert"], draw, s=event.subject, v=v, other=event.other)
        if op == "mention":
            return self._pick(words["topic"]["mention"], draw, v=v)
        if op == "ground":
            return words["ground"][event.slot].format(conflict=CONFLICT.lower())
        if prompted:
            return self._said(f"answer_{op}", draw, v=v, V=capitalised(v))
        group = words["slots"].get(event.slot) or words["dependents"][event.slot]
        return self._pick(group[op], draw, v=v)

    def _said(self, form: str, draw: CounterRNG, **values: str) -> str:
        return self._pick(self.words["speech"][form], draw, **values)

    def _pick(self, templates: Sequence[str], draw: CounterRNG, **values: str) -> str:
        template = draw.choice(templates) if self.config.paraphrase_level else templates[0]
        return template.format(**values)

    def _third(self, slot: str, name: str, value: str) -> str:
        return self.words["slots"][slot]["third"].format(name=name, v=value)

    def when(self, event: Event) -> str:
        """The relative date of a happening, as it is said on its session's day."""
        phrase, ago = event.when
        if phrase != "weekday":
            return phrase
        return f"last {WEEKDAYS[(self.days[event.session] - timedelta(days=ago)).weekday()]}"

    # ------------------------------------------------------------------ paraphrases by others

    def _reworded(self, event: Event, text: str) -> str:
        """The paraphrase of `text`, where it keeps all that matters and names no other value."""
        if self.paraphrase is None or event.op not in REWORDED:
            return text
        plain = text.lower()
        protected = [event.value, event.other, self.when(event) if event.op == "happening" else ""]
        protected += [event.subject, event.slot]
        protected = [part for part in dict.fromkeys(protected) if part and part.lower() in plain]
        new = self.paraphrase(text, tuple(protected))
        slot = self.words["slots"].get(event.slot, {"values": ()})
        foreign = [value for value in slot["values"] if value.lower() not in plain]
        said = new.lower() if isinstance(new, str) else ""
        if all(part.lower() in said for part in protected) and not any(v.lower() in said for v in foreign):
            return new
        self.rejections += 1
        return text
