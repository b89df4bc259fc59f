"""The relations of FactConsolidation's facts: how a fact states one, and which words of a question call for it."""

import re
from typing import NamedTuple

__all__ = ["RELATIONS", "TEMPLATES", "Relation"]


class Relation(NamedTuple):
    """One relation.

    Attributes:
        templates: regular expressions of a sentence with the groups ``s`` and ``o``.
        cues: what calls for it in a lower-cased question, the most telling first.
        weight: how sure a cue is; below 1 where the words often mean another relation.
    """

    templates: tuple[str, ...]
    cues: tuple["re.Pattern[str]", ...]
    weight: float = 1.0


SUBJECT, OBJECT = r"(?P<s>.+)", r"(?P<o>.+)"


def _of(name: str) -> str:
    return rf"The {name} {SUBJECT} is {OBJECT}"


def _is(words: str) -> str:
    return rf"{SUBJECT} {words} {OBJECT}"


def _relation(template: str, *cues: str, weight: float = 1.0) -> Relation:
    return Relation((template,), tuple(re.compile(rf"\b(?:{cue})") for cue in cues), weight)


RELATIONS: dict[str, Relation] = {
    "author": _relation(_of("author of"), "author", "wrote", "writer", "written by", "penned"),
    "citizen": _relation(
        _is("is a citizen of"), r"(?:country of )?citizenship", "citizen", "nationality", "country"
    ),
    "religion": _relation(
        _is("is affiliated with the religion of"), "religion", "religious", "faith", "belie"
    ),
    "sport": _relation(_is("is associated with the sport of"), "sport"),
    "speaks": _relation(_is("speaks the language of"), "speak", "spoken", "language", weight=0.9),
    "creator": _relation(_is("was created by"), "creator", "created by", "who created", "creat"),
    "origin": _relation(
        _is("was created in the country of"),
        "country of origin",
        "origin",
        "created in",
        "(?:came|come|comes) from",
        "birthplace",
        "created",
        "country",
        "derived",
        "hail",
        "come into",
        "born",
    ),
    "spouse": _relation(_is("is married to"), "spouse", "married", "husband", "wife", "partner"),
    "founder": _relation(
        _is("was founded by"), "founder", "who founded", "founded", "establish", "creator", "created"
    ),
    "founded in": _relation(
        _is("was founded in the city of"),
        "founded",
        "formation",
        "formed",
        "come into existence",
        "place of origin",
        "origin",
        "establish",
        "came",
        "city",
    ),
    "born": _relation(_is("was born in the city of"), "birthplace", "birth", "born"),
    "headquarters": _relation(
        _of("headquarters of").replace(f"is {OBJECT}", f"is located in the city of {OBJECT}"),
        "headquarter",
        "located",
        "based",
        "location",
    ),
    "educated": _relation(
        _of("univeristy where").replace(f"{SUBJECT} is", f"{SUBJECT} was educated is"),
        "educat",
        "university",
        "alma mater",
        "institution",
        "studied",
        "attended",
    ),
    "developer": _relation(_is("was developed by"), "develop"),
    "died": _relation(_is("died in the city of"), "death", "die", "pass(?:ed)? away"),
    "employer": _relation(_is("is employed by"), "employ", "works? for"),
    "performer": _relation(_is("was performed by"), "perform", "singer", "artist"),
    "producer": _relation(_of("company that produced"), "produc", "manufactur", "made by", "maker"),
    "broadcaster": _relation(_of("origianl broadcaster of"), "broadcast", "aired", "network"),
    "worked in": _relation(_is("worked in the city of"), "work(?:ed|s)?", "location of work"),
    "continent": _relation(_is("is located in the continent of"), "continent"),
    "famous for": _relation(_is("is famous for"), "famous", "notable", "known for", "renowned", "best known"),
    "official language": _relation(_of("official language of"), "official", "language"),
    "capital": _relation(_of("capital of"), "capital"),
    "written in": _relation(_is("was written in the language of"), "written", "language", "wrote"),
    "head of government": _relation(
        rf"The name of the current head of the {SUBJECT} government is {OBJECT}",
        "head of (?:the )?(?:.+ )?government",
        "prime minister",
        "government",
        "leader",
    ),
    "head of state": _relation(
        _of("name of the current head of state in"), "head of state", "president", "leader"
    ),
    "chairperson": _relation(_of("chairperson of"), "chair"),
    "music": _relation(
        _of("type of music that").replace(f"{SUBJECT} is", f"{SUBJECT} plays is"),
        "type of music",
        "genre",
        "music",
    ),
    "chief executive": _relation(_of("chief executive officer of"), "chief executive", "ceo"),
    "head coach": _relation(_of("head coach of"), "head coach", "coach"),
    "position": _relation(_is("plays the position of"), "position", "special", "role"),
    "field": _relation(_is("works in the field of"), "field", "occupation", "profession", "job", "work"),
    "child": _relation(rf"{SUBJECT}'s child is {OBJECT}", "child", "son", "daughter"),
    "director": _relation(_of("director of"), "director", "manager"),
    "original language": _relation(_of("original language of"), "original language", "language"),
}

TEMPLATES: list[tuple[str, "re.Pattern[str]"]] = [
    (name, re.compile(template)) for name, relation in RELATIONS.items() for template in relation.templates
]
