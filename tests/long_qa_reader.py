"""A reader for LongHorizonQA that knows its templates and nothing of the world that wrote the text."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from memgym.stream import MONTHS
from memgym.worlds.long_qa.words import lexicon

ANY = r"\w[^.:;,?!\n]*?"
SLOTS = {"v": r"[a-z]+-\d+|" + ANY, "n": r"[\w ]+?", "d": r"\w+ \w+ \w+ \w+", "l": r".+?"}


def matcher(template: str, **parts: str) -> str:
    """A pattern for what a template writes; ``parts`` are patterns of some of its slots."""
    pattern = re.escape(template)
    for slot in set(re.findall(r"\\\{(\w+)\\\}", pattern)):
        part = parts.get(slot, f"(?P<{slot}>{SLOTS.get(slot, ANY)})")
        pattern = pattern.replace(rf"\{{{slot}\}}", part, 1).replace(rf"\{{{slot}\}}", f"(?P={slot})")
    return pattern


class Reader:
    """What a text says, and answers from it.

    Args:
        split: whose templates are used.
        texts: in the order of the stream.
    """

    def __init__(self, split: str, texts: Sequence[str]) -> None:
        self.words = lexicon(split)
        self.text = "\n".join(texts)
        self.previous: dict[str, Any] = {}
        self.last_answer = ""

    def said(self, table: str, form: str = "tell", **parts: str) -> Iterator[dict[str, str]]:
        """Every statement of a kind, in order."""
        templates = self.words[table][form]
        found = [m for t in templates for m in re.finditer("(?i:" + matcher(t, **parts) + ")", self.text)]
        for match in sorted(found, key=lambda m: m.start()):
            yield match.groupdict()

    def asked(self, table: str, form: str, question: str) -> dict[str, str] | None:
        """The slots of a question of one form; None where it is of another."""
        for template in self.words[table][form]:
            capital = template[0].upper() + template[1:]
            if match := re.fullmatch(matcher(capital), question):
                return match.groupdict()
        return None

    def answer(self, question: str) -> str:
        """The answer to a question; an earlier one may have said what it is about."""
        readers = (self.retrieval, self.conflict, self.learning, self.understanding, self.strings)
        for reader in readers:
            answer = reader(question)
            if answer is not None:
                self.last_answer = answer
                return answer
        return ""

    # ------------------------------------------------------------------ one ability after the other

    def retrieval(self, question: str) -> str | None:
        told = {(s["e"], s["a"]): s["v"] for s in self.said("retrieval", v=r"(?P<v>[a-z]{3}-\d{3})")}
        if two := self.asked("retrieval", "ask_two", question):
            keys = [(two["e"], two["a"]), (two["f"], two["b"])]
            return ", ".join(told.get(key, "") for key in keys)
        if one := self.asked("retrieval", "ask", question):
            self.previous = one
        else:
            forms = ("then_entity", "then_attribute")
            asked = [self.asked("retrieval", form, question) for form in forms]
            changed = asked[0] or asked[1]
            if changed is None:
                return None
            self.previous = self.previous | changed
        return told.get((self.previous.get("e", ""), self.previous.get("a", "")), "")

    def conflict(self, question: str) -> str | None:
        words = self.words["conflict"]
        asked = self.asked("conflict", "ask", question) or self.asked("conflict", "then", question)
        if asked is None:
            return None
        if not any(re.fullmatch(matcher(phrase), asked["p"]) for phrase in words["relations"]):
            return None
        stamps = {"stamp_number": r"(?P<n>\d+)", "stamp_date": r"(?P<n>\d+ \w+ \d+)"}
        newest: dict[tuple[int, str], tuple[Any, str]] = {}
        for kind, stamped in stamps.items():
            for relation, phrase in enumerate(words["relations"]):
                for template in words["tell"]:
                    pattern = matcher(words[kind] + " ", n=stamped) + matcher(template, r=matcher(phrase))
                    for match in re.finditer(pattern, self.text):
                        key, stamp = (relation, match["x"]), self.stamp(match["n"])
                        if key not in newest or stamp > newest[key][0]:
                            newest[key] = stamp, match["y"]
        return self.resolve(asked["p"], newest)

    @staticmethod
    def stamp(written: str) -> tuple[int, ...]:
        if written.isdecimal():
            return (int(written),)
        day, month, year = written.split()
        return int(year), MONTHS.index(month), int(day)

    def resolve(self, phrase: str, newest: dict[tuple[int, str], tuple[Any, str]]) -> str:
        for relation, template in enumerate(self.words["conflict"]["relations"]):
            if match := re.fullmatch(matcher(template), phrase):
                inner = self.resolve(match["x"], newest)
                return newest.get((relation, inner), (0, ""))[1]
        return self.last_answer if phrase == self.words["conflict"]["previous"] else phrase

    def learning(self, question: str) -> str | None:
        if one := self.asked("learning", "ask", question):
            self.previous = {"thing": one["d"].split()}
        elif other := self.asked("learning", "then", question):
            at = next(i for i, some in enumerate(self.words["learning"]["features"]) if other["v"] in some)
            thing = list(self.previous.get("thing", [""] * 4))
            thing[at] = other["v"]
            self.previous = {"thing": thing}
        else:
            return None
        examples = [(s["d"].split(), s["c"]) for s in self.said("learning", o=r"(?P<o>\w+)")]
        for features in [(i,) for i in range(4)] + list(combinations(range(4), 2)):
            leads: dict[tuple[str, ...], str] = {}
            keyed = [(tuple(thing[i] for i in features), label) for thing, label in examples]
            if keyed and all(leads.setdefault(key, label) == label for key, label in keyed):
                key = tuple(self.previous["thing"][i] for i in features)
                if key in leads:
                    return leads[key]
        return ""

    def understanding(self, question: str) -> str | None:
        for kind in (self.counting, self.ordering, self.topics, self.key_points):
            if (answer := kind(question)) is not None:
                return answer
        return None

    def counting(self, question: str) -> str | None:
        if one := self.asked("counting", "ask", question):
            self.previous = one
        elif other := self.asked("counting", "then", question):
            self.previous = self.previous | other
        else:
            return None
        calls = Counter((s["s"], s["p"]) for s in self.said("counting"))
        return str(calls[self.previous["s"], self.previous.get("p", "")])

    def ordering(self, question: str) -> str | None:
        if one := self.asked("ordering", "ask", question):
            self.previous = one
        elif other := self.asked("ordering", "then", question):
            self.previous = self.previous | other
        else:
            return None
        listed = self.previous.get("l", "").split("; ")
        told = [s["e"] for s in self.said("ordering") if s["e"] in listed]
        nth = self.words["ordinals"].index(self.previous["n"])
        return told[nth] if nth < len(told) else ""

    def topics(self, question: str) -> str | None:
        parts = {int(s["n"]): s["t"] for s in self.said("chapters", n=r"(?P<n>\d+)")}
        if one := self.asked("chapters", "ask", question):
            return parts.get(int(one["n"]), "")
        one = self.asked("chapters", "ask_next", question)
        if one is None and self.asked("chapters", "then", question) is None:
            return None
        topic = one["t"] if one else self.last_answer
        after = [n + 1 for n, told in parts.items() if told == topic]
        return parts.get(after[0], "") if after else ""

    def key_points(self, question: str) -> str | None:
        one = self.asked("key_points", "ask", question) or self.asked("key_points", "then", question)
        if one is None:
            return None
        aims = {s["n"]: s["v"] for s in self.said("key_points", n=r"(?P<n>\w+)") if s["w"] == one["w"]}
        return "; ".join(aims.get(numeral, "") for numeral in self.words["key_points"]["numerals"])

    def strings(self, question: str) -> str | None:
        letters = {slot: rf"(?P<{slot}>[a-z]{{8,9}})" for slot in ("k", "v")}
        record = {s["k"]: s["v"] for s in self.said("strings", "record", **letters)}
        assigned = {s["k"]: s["v"] for s in self.said("strings", "assign", **letters)}
        copied = {s["k"]: s["v"] for s in self.said("strings", "assign_from", **letters)}
        if one := self.asked("strings", "ask_record", question):
            return record.get(one["k"], "")
        if self.asked("strings", "then_record", question) is not None:
            return record.get(self.last_answer, "")
        if one := self.asked("strings", "ask_word", question):
            words = [s["v"] for s in self.said("strings", "word", **letters)]
            return next((w for w in words if w.startswith(one["a"]) and w.endswith(one["b"])), "")
        if one := self.asked("strings", "ask_from", question):
            return copied.get(one["k"], "")
        if self.asked("strings", "then_from", question) is not None:
            return copied.get(self.last_answer, "")
        if one := self.asked("strings", "ask_value", question):
            at = one["k"]
            while at in copied:
                at = copied[at]
            return assigned.get(at, "")
        if self.asked("strings", "then_value", question) is not None:
            return assigned.get(self.last_answer, "")
        return None
