"""Reads a dialogue by its templates alone: what a text says, without the log that it was written from.

It knows the word lists and the rules of the game, and nothing of an episode but the turns that it is given.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any, NamedTuple

from memgym.readers.dates import resolve_date
from memgym.stream import UNKNOWN, Item, Question, format_date
from memgym.worlds.dialogue import CONFLICT, lexicon


class Said(NamedTuple):
    """One statement: its form, its fields, who made it on which day."""

    form: str
    slot: str
    fields: dict[str, str]
    speaker: str
    day: date
    text: str


def pattern(template: str, /, **pools: Sequence[str]) -> re.Pattern[str]:
    """A regular expression for a template; its fields are groups, of the pool's values where there is one."""
    parts, seen = [], set()
    for literal, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", template):
        parts.append(re.escape(literal))
        if name:
            values = sorted(pools.get(name, ()), key=len, reverse=True)
            one_of = "|".join(map(re.escape, values)) or ".+?"
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{one_of})")
            seen.add(name)
    return re.compile("".join(parts), re.IGNORECASE)


@cache
def forms(split: str) -> list[tuple[str, str, re.Pattern[str]]]:
    """(form, slot, pattern) of every statement."""
    words, found = lexicon(split), []

    def add(form: str, slot: str, templates: Sequence[str], /, **pools: Sequence[str]) -> None:
        found.extend((form, slot, pattern(t, **pools)) for t in templates)

    speech, chain = words["speech"], words["chain"]
    for slot, group in words["slots"].items():
        values = group["values"]
        for op in ("assert", "update", "forget"):
            add(op, slot, group[op], **({} if op == "forget" else {"v": values}))
        for form in ("claim", "inject", "bystander"):
            add(form, slot, [t.replace("{third}", group["third"]) for t in speech[form]], v=values)
        add("secret", slot, [t.replace("{first}", group["first"]) for t in speech["secret"]], v=values)
        add("prompt", slot, [group["prompt"]])
        for op in ("assert", "update"):
            add(f"answer_{op}", slot, [t.replace("{V}", "{v}") for t in speech[f"answer_{op}"]], v=values)
    for slot, group in words["dependents"].items():
        add("dependent", slot, group["assert"], v=group["values"])
    told = [phrase for phrase, _ in words["events"]["phrases"]]
    add("happening", "", [t.replace("{When}", "{when}") for t in words["events"]["assert"]], v=told)
    friends = words["people"]["contacts"]
    add("link1", "", chain["link1"], slot=chain["relations"], v=friends)
    add("link2", "", chain["link2"], s=friends, v=chain["orgs"])
    add("link3", "", chain["link3"], s=chain["orgs"], v=chain["towns"])
    add("link4", "", chain["link4"], s=chain["towns"], v=chain["landmarks"])
    pieces = words["collection"]
    add("collect", "", pieces["assert"], slot=pieces["nouns"], v=pieces["kinds"])
    things = [item for group in words["preference"]["groups"].values() for item in group]
    for form in ("like", "dislike"):
        add(form, "", words["preference"][form], v=things)
    people = [*words["names"], *friends]
    for form in ("own", "reported"):
        add(form, "", words["opinion"][form], v=words["opinion"]["clauses"], s=people)
    rule = words["rule"]
    add("rule", "", rule["assert"], s=rule["materials"], v=rule["values"], other=rule["values"])
    add("mention", "", words["topic"]["mention"], v=words["topic"]["values"])
    return found


def read(items: Sequence[Item], split: str) -> list[Said]:
    """What the turns say, small talk left out; an answer is about what the turn before it asked."""
    speech, said = lexicon(split)["speech"], []
    asked = ""
    for item in items:
        text = item.text
        for sentence in speech["before"]:
            text = text.removeprefix(f"{sentence} ")
        for sentence in speech["after"]:
            text = text.removesuffix(f" {sentence}")
        day = date.fromisoformat(item.time[:10])
        found = [
            Said(form, slot, fields, item.speaker, day, text)
            for form, slot, fields in _readings(text, split)
            if not form.startswith("answer") or slot == asked
        ]
        assert len(found) <= 1, f"{item.text!r} can be read as {found}"
        asked = found[0].slot if found and found[0].form == "prompt" else ""
        said += [one._replace(form=one.form.removeprefix("answer_")) for one in found]
    return said


@cache
def _readings(text: str, split: str) -> list[tuple[str, str, dict[str, str]]]:
    found = [
        (f, slot, match.groupdict()) for f, slot, regex in forms(split) if (match := regex.fullmatch(text))
    ]
    return list({str(reading): reading for reading in found}.values())


class Query(NamedTuple):
    """One question: its form, slot and fields."""

    form: str
    slot: str
    fields: dict[str, str]
    asker: str = ""
    previous: bool = False


@cache
def question_forms(split: str) -> list[tuple[str, str, re.Pattern[str]]]:
    """(form, slot, pattern) of every question."""
    words = lexicon(split)
    groups: list[tuple[str, str, Sequence[str]]] = []
    groups += [("value", slot, group["question"]) for slot, group in words["slots"].items()]
    groups += [("dependent", slot, group["question"]) for slot, group in words["dependents"].items()]
    groups += [("when", "", words["events"]["question"])]
    groups += [("chain", str(hops), words["chain"][f"question{hops}"]) for hops in (2, 3, 4)]
    groups += [
        (name, "", words[name]["question"]) for name in ("collection", "preference", "opinion", "topic")
    ]
    groups += [("rule", which, words["rule"][which]) for which in ("whole", "broken")]
    groups += [(name, "", words["ask"][name]) for name in ("changes", "pair", "first", "between")]
    topics = list(words["topics"].values())
    phrases = [asked for _, asked in words["events"]["phrases"]]
    pools = {
        "when": {"v": phrases},
        "chain": {"slot": words["chain"]["relations"]},
        "collection": {"slot": words["collection"]["nouns"]},
        "rule": {"s": words["rule"]["materials"]},
        "changes": {"topic": topics},
        "pair": {"topic": topics, "topic2": topics},
    }
    return [
        (form, slot, pattern(t, **pools.get(form, {}))) for form, slot, templates in groups for t in templates
    ]


def parse(text: str, split: str) -> Query:
    """Which question a text asks."""
    words, asker, previous = lexicon(split), "", False
    if match := pattern(words["speech"]["asker"]).fullmatch(text):
        asker, text = match["asker"], match["question"]
    for wrap in words["ask"]["previous"]:
        if match := pattern(wrap).fullmatch(text):
            previous, text = True, match["question"]
    found = [
        Query(f, slot, m.groupdict(), asker, previous)
        for f, slot, r in question_forms(split)
        if (m := r.fullmatch(text))
    ]
    assert len(found) == 1, f"{text!r} can be read as {found}"
    return found[0]


def solve(question: Question, items: Sequence[Item], split: str) -> str:
    """The answer to a question's text, from `items` alone."""
    query, said = parse(question.text, split), read(items, split)
    return str(SOLVERS[query.form](query, said, split))


def _value(query: Query, said: list[Said], split: str) -> str:
    name = query.fields["name"]
    about = [one for one in said if one.slot == query.slot]
    if query.asker:
        for one in about:
            if one.form == "secret" and one.speaker == name:
                return one.fields["v"] if query.asker in (name, one.fields["other"]) else UNKNOWN
        return UNKNOWN
    own = [one for one in about if one.speaker == name and one.form in ("assert", "update", "forget")]
    if own:
        if own[-1].form == "forget":
            return UNKNOWN
        return own[-2 if query.previous else -1].fields["v"]
    mine = {
        one.fields["v"].lower(): one.fields["v"]
        for one in about
        if one.form == "claim" and one.fields["name"] == name
    }
    if len(mine) > 1:
        return CONFLICT
    return next(iter(mine.values()), UNKNOWN)


def _dependent(query: Query, said: list[Said], split: str) -> str:
    base, answer = lexicon(split)["dependents"][query.slot]["base"], UNKNOWN
    for one in said:
        if one.speaker == query.fields["name"]:
            if (one.form, one.slot) == ("dependent", query.slot):
                answer = one.fields["v"]
            elif (one.form, one.slot) == ("update", base):
                answer = UNKNOWN
    return answer


def _happenings(said: list[Said], split: str) -> dict[tuple[str, str], date]:
    asked = {told.lower(): asked for told, asked in lexicon(split)["events"]["phrases"]}
    return {
        (one.speaker, asked[one.fields["v"].lower()]): resolve_date(one.fields["when"], one.day)
        for one in said
        if one.form == "happening"
    }


def _when(query: Query, said: list[Said], split: str) -> str:
    day = _happenings(said, split).get((query.fields["name"], query.fields["v"]))
    return format_date(day) if day else UNKNOWN


def _named(said: list[Said], split: str) -> dict[str, date]:
    did = lexicon(split)["ask"]["did"]
    return {did.format(name=name, v=v): day for (name, v), day in _happenings(said, split).items()}


def _first(query: Query, said: list[Said], split: str) -> str:
    days = {name: day for name, day in _named(said, split).items() if name in query.fields["options"]}
    return min(days, key=lambda name: days[name], default=UNKNOWN)


def _between(query: Query, said: list[Said], split: str) -> str:
    days = _named(said, split)
    pair = [days.get(query.fields[which]) for which in ("a", "b")]
    if None in pair:
        return UNKNOWN
    one, two = pair
    return f"{abs((one - two).days)} days" if one and two else UNKNOWN


def _chain(query: Query, said: list[Said], split: str) -> str:
    node = ""
    for one in said:
        if one.form == "link1" and (one.speaker, one.fields["slot"]) == (
            query.fields["name"],
            query.fields["slot"],
        ):
            node = one.fields["v"]
    for hop in range(2, int(query.slot) + 1):
        nexts = {one.fields["s"].lower(): one.fields["v"] for one in said if one.form == f"link{hop}"}
        node = nexts.get(node.lower(), "")
    return node or UNKNOWN


def _collection(query: Query, said: list[Said], split: str) -> str:
    key = (query.fields["name"], query.fields["slot"])
    count = sum(one.form == "collect" and (one.speaker, one.fields["slot"]) == key for one in said)
    return str(count) if count else UNKNOWN


def _preference(query: Query, said: list[Said], split: str) -> str:
    groups = lexicon(split)["preference"]["groups"]
    kind = {item.lower(): name for name, items in groups.items() for item in items}
    mine = [one for one in said if one.speaker == query.fields["name"]]
    liked = {kind[one.fields["v"].lower()] for one in mine if one.form == "like"}
    named = re.split(r", | or ", query.fields["options"])
    return next((option for option in named if kind[option.lower()] in liked), UNKNOWN)


def _opinion(query: Query, said: list[Said], split: str) -> str:
    for one in said:
        if one.form in ("own", "reported") and one.fields["v"].lower() == query.fields["v"].lower():
            return one.fields["s"] if one.form == "reported" else one.speaker
    return UNKNOWN


def _rule(query: Query, said: list[Said], split: str) -> str:
    for one in said:
        if one.form == "rule" and one.fields["s"].lower() == query.fields["s"].lower():
            return one.fields["v" if query.slot == "whole" else "other"]
    return UNKNOWN


def _topic(query: Query, said: list[Said], split: str) -> str:
    mine = [one for one in said if one.form == "mention" and one.speaker == query.fields["name"]]
    counts = Counter(one.fields["v"].lower() for one in mine)
    return counts.most_common(1)[0][0] if counts else UNKNOWN


def _changes(query: Query, said: list[Said], split: str) -> str:
    topics = {topic.lower(): slot for slot, topic in lexicon(split)["topics"].items()}
    slot = topics[query.fields["topic"].lower()]
    mine = [one for one in said if one.speaker == query.fields["name"] and one.slot == slot]
    return str(sum(one.form == "update" for one in mine))


def _pair(query: Query, said: list[Said], split: str) -> str:
    topics = {topic.lower(): slot for slot, topic in lexicon(split)["topics"].items()}
    slots = (topics[query.fields[which].lower()] for which in ("topic", "topic2"))
    values = [_value(Query("value", slot, {"name": query.fields["name"]}), said, split) for slot in slots]
    return " and ".join(values)


SOLVERS: dict[str, Any] = {
    "value": _value,
    "dependent": _dependent,
    "when": _when,
    "first": _first,
    "between": _between,
    "chain": _chain,
    "collection": _collection,
    "preference": _preference,
    "opinion": _opinion,
    "rule": _rule,
    "topic": _topic,
    "changes": _changes,
    "pair": _pair,
}
