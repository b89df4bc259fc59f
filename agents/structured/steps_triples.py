"""Steps of systems that keep facts as (subject, relation, object)."""

import re
from collections.abc import Iterator

from memgym.agents.structured.steps_facts import CUES, ENDED, PACKAGE, SENTENCE, Said
from memgym.llm import Step, StepModel, load_prompt
from memgym.memory.lexical import content_words, stem, stems

__all__ = [
    "EXTRACT_TRIPLES",
    "FORGOTTEN",
    "KnownTriple",
    "Requested",
    "Triple",
    "Triples",
    "asks_to_forget",
    "relation_key",
    "same_thing",
    "statements",
    "topic_words",
]

# words that ask for the same relation, by their stems; the first names it
SAME_RELATION = (
    "live move relocate reside settle dwell home house address city town",
    "job profession occupation career",
    "car drive vehicle",
    "name call rename nickname",
    "spouse wife husband marry",
    "email mail",
    "phone telephone mobile",
    "pet cat dog",
    "like love enjoy adore",
)
CANONICAL = {stem(word): stem(words.split()[0]) for words in SAME_RELATION for word in words.split()}
PLACED = frozenset(map(stem, ("live", "car", "name", "spouse")))  # a preposition changes nothing about these
STATES = frozenset(map(stem, "live job car name spouse study prefer weigh cost own".split()))
PREPOSITION = r"in|at|to|as|for|with|on|from|into|by|of|about"
TRAILING = re.compile(
    r"[\s,]*\b(?:now|these days|nowadays|currently|instead|again|too|as well|at the moment|today|any ?more"
    r"|for now|lately|in \d{4}|since \w+(?: \d{4})?|(?:last|this|next) \w+|(?:\w+ ){1,2}ago|yesterday)\s*$",
    re.IGNORECASE,
)
LEADING = re.compile(
    rf"^(?:(?:a|an|the|my|our|his|her|their|now|still|called|named|{PREPOSITION})\s+)+", re.IGNORECASE
)
ADVERB = r"(?:(?:now|also|still|just|really|currently|recently|finally|always|often|usually|only|\w+ly) )*"
AUXILIARY = (
    r"(?:(?:(?:have|had|has)(?= \w+(?:ed|en|wn)\b)|(?:am|was|were)(?= \w+ing\b)"
    r"|will|would|can|could|should|must|may|might|did|do|not|used to"
    r"|no longer|don['’]t|do not)\s)*"
)
WHAT = r"(?P<what>(?:[\w'’]+ ){0,3}?[\w'’]+)"
OBJECT = r"(?P<object>[^,.;:!?]+)"
OWNER = r"(?P<owner>my|our|[A-Z]\w+['’]s)"
IS = r"(?:is|are|was|were|will be|goes by|is known as)"
PATTERNS = (  # the first that matches a clause counts
    re.compile(rf"\bthe (?P<what>\w+) (?:that |which )?I (?:\w+ ){{1,2}}{IS} {ADVERB}{OBJECT}", re.I),
    re.compile(rf"\ban? (?P<what>\w+),? (?:and )?(?:named|called) (?:it |him |her )?{OBJECT}", re.I),
    re.compile(
        rf"\b{OWNER} {WHAT},? (?:it |which |who |he |she )?{IS} {ADVERB}(?:called |named )?{OBJECT}", re.I
    ),
    re.compile(
        rf"(?:^|[,:] ?|\bthat ){OBJECT} (?:{IS}|became|remains) {ADVERB}{OWNER} {WHAT}(?=$|[,.;!])", re.I
    ),
    re.compile(rf"\b(?i:{OWNER}) {WHAT}, (?P<object>[A-Z]\w+)"),
    re.compile(
        rf"\b(?P<self>I|we)(?:'ve|'m|'d|'ll|’ve|’m|’d|’ll)? {AUXILIARY}{ADVERB}(?P<verb>[a-z]+)"
        rf"(?: (?P<prep>{PREPOSITION}))?(?:$|(?=[.!])| {OBJECT})",
        re.I,
    ),
    re.compile(
        rf"\b{OWNER} (?P<what>[\w'’]+) (?P<verb>\w+(?:s|ed))(?: (?P<prep>{PREPOSITION}))? {OBJECT}", re.I
    ),
    re.compile(
        rf"(?:^|[,;:] )(?P<name>[A-Z][\w-]+(?: [A-Z][\w-]+)*) {ADVERB}"
        rf"(?:(?:is|was|has|had) (?=\w+(?:ed|n)\b))?(?P<verb>\w+(?:s|ed|rn)|has|had)"
        rf"(?: (?P<prep>{PREPOSITION}))? {OBJECT}"
    ),
)
HAS = re.compile(rf"(?:an?|one) {WHAT} (?:to|called|named|of) {OBJECT}", re.I)
AND_ALSO = re.compile(
    rf"^(?P<object>.+?) and (?P<verb>[a-z]+)(?: (?P<prep>{PREPOSITION}))? (?P<more>(?:a|an|the|my|our|[A-Z]).*)$"
)
CLAUSE = re.compile(r"[,;]\s+(?:and |but |so )?(?=(?:i|my|we|our)\b)", re.IGNORECASE)
ASKS = re.compile(
    r"(?:and |but |so |oh,? |well,? )*(?:who|whom|whose|what|which|when|where|why|how|is|are|am|was|were|do|does|did"
    r"|have|has|had|can|could|will|would|shall|should|may|might|any|you)\b",
    re.IGNORECASE,
)
NO_OBJECT = frozenset("it this that he she they there here what which who ago".split())
REQUEST = re.compile(r"(?:^|[.,;:!] ?|\b(?:please|you|to|and|just) )(?:forget|delete|erase)\b", re.IGNORECASE)
HAVE = frozenset(("have", "has", "had", "got"))


class Triple(StepModel):
    """A fact.

    Attributes:
        subject: who or what it is about, by name.
        relation: an attribute or a verb phrase, as short as it can be.
        object: a name or a value.
        fact: the sentence that says it.
        single: whether a subject has one object at a time in this relation.
        ended: whether the sentence says that it does not hold any more.
    """

    subject: str
    relation: str
    object: str
    fact: str
    single: bool = False
    ended: bool = False


class Triples(StepModel):
    """Facts, in the order in which they are said; none for small talk."""

    triples: tuple[Triple, ...]


class KnownTriple(StepModel):
    """A fact in memory, by its number."""

    number: int
    subject: str
    relation: str
    object: str


class Requested(StepModel):
    """A request to forget something, who makes it, and the facts that may be meant."""

    text: str
    speaker: str = ""
    known: tuple[KnownTriple, ...] = ()


class Forgotten(StepModel):
    """Numbers of the facts that are to be forgotten."""

    numbers: tuple[int, ...]


def statements(x: Said) -> Triples:
    """By the forms of English sentences: "my A is B", "B is my A", "I V (in) B", "my A Vs B", "Name Vs B".

    Nothing is taken of a question; a question mark after a statement does not make it one.
    """
    found = []
    for sentence in SENTENCE.split(x.text.strip()):
        if not (sentence.endswith("?") and ASKS.match(sentence)):
            for clause in CLAUSE.split(sentence):
                found += _of_clause(clause, sentence, x.speaker or "I")
    return Triples(triples=tuple(found))


def _of_clause(clause: str, sentence: str, speaker: str) -> Iterator[Triple]:
    match = next((match for pattern in PATTERNS if (match := pattern.search(clause))), None)
    if match is None:
        return
    groups = match.groupdict()
    if (groups.get("name") or "").lower() in NO_OBJECT:
        return
    subject = _subject(groups, speaker)
    relation, object_ = groups.get("what") or "", groups.get("object") or ""
    if verb := groups.get("verb"):
        if relation:
            subject = f"{subject}'s {relation}"
        relation = " ".join(filter(None, (verb.lower(), (groups.get("prep") or "").lower())))
        both = AND_ALSO.match(object_)
        if both is not None:
            object_ = both["object"]
            second = " ".join(filter(None, (both["verb"], both["prep"])))
            yield from _triple(subject, second, both["more"], sentence)
        if verb.lower() in HAVE and (has := HAS.match(object_)):
            relation, object_ = has["what"], has["object"]
    yield from _triple(subject, relation, object_, sentence)


def _subject(groups: dict[str, str | None], speaker: str) -> str:
    owner, name = groups.get("owner"), groups.get("name")
    if name:
        return name
    if owner and owner.lower() not in ("my", "our"):
        return owner[:-2]
    return speaker


def _triple(subject: str, relation: str, object_: str, sentence: str) -> Iterator[Triple]:
    relation = LEADING.sub("", relation)
    previous = None
    while previous != object_:
        previous, object_ = object_, LEADING.sub("", TRAILING.sub("", object_)).strip()
    if not object_ or object_.lower() in NO_OBJECT or not content_words(relation):
        return
    key = relation_key(relation)
    noun = not re.fullmatch(rf"[a-z]+(?: (?:{PREPOSITION}))?", relation) or key in STATES
    single = (
        key.split()[0] in STATES or (noun and not relation.endswith("s")) or _is_attribute(sentence, relation)
    )
    yield Triple(
        subject=subject,
        relation=relation,
        object=object_,
        fact=sentence,
        single=single,
        ended=ENDED.search(sentence) is not None and not re.search(r"\b(?:now|instead)\b", sentence, re.I),
    )


def _is_attribute(sentence: str, relation: str) -> bool:
    """Whether the relation is a noun that somebody has one of: "my job"."""
    return (
        not relation.endswith("s")
        and re.search(rf"\b(?:my|our|s) {re.escape(relation)}\b", sentence) is not None
    )


def relation_key(relation: str) -> str:
    """What relations of the same meaning have in common.

    >>> relation_key("moved to") == relation_key("live in"), relation_key("work as") == relation_key("work for")
    (True, False)
    """
    words = [CANONICAL.get(stem(word), stem(word)) for word in content_words(relation)]
    prepositions = re.findall(rf"\b(?:{PREPOSITION})\b", relation)
    if words == [stem("work")] and prepositions == ["as"]:
        return stem("job")
    if words and words[0] in PLACED:
        return words[0]
    return " ".join([*words, *prepositions])


def topic_words(text: str) -> frozenset[str]:
    """The stems of a text's content words, one for all that mean the same relation."""
    return frozenset(CANONICAL.get(word, word) for word in stems(text))


def same_thing(a: str, b: str) -> bool:
    """Whether two objects are the same, by their content words."""
    return topic_words(a) == topic_words(b)


def asks_to_forget(text: str) -> bool:
    """Whether a message asks to forget something.

    >>> asks_to_forget("Please forget where I live."), asks_to_forget("I forget my keys all the time.")
    (True, False)
    """
    return REQUEST.search(text) is not None


def most_shared(x: Requested) -> Forgotten:
    """Of the speaker's facts those that share most words with the request, if any."""
    asked = topic_words(x.text) - CUES
    shared = {
        fact.number: len(asked & topic_words(f"{fact.relation} {fact.object}"))
        for fact in x.known
        if not x.speaker or fact.subject.startswith(x.speaker)
    }
    most = max(shared.values(), default=0)
    return Forgotten(numbers=tuple(number for number, count in shared.items() if count and count == most))


def _known(x: Requested, output: Forgotten) -> str:
    strange = set(output.numbers) - {fact.number for fact in x.known}
    return f"{min(strange)} is none of the facts shown." if strange else ""


EXTRACT_TRIPLES = Step(
    "extract_triples",
    Said,
    Triples,
    load_prompt("extract_triples", PACKAGE),
    rule=statements,
    fallback=lambda x: Triples(triples=()),
    max_tokens=1024,
)
FORGOTTEN = Step(
    "forgotten",
    Requested,
    Forgotten,
    load_prompt("forgotten", PACKAGE),
    rule=most_shared,
    fallback=lambda x: Forgotten(numbers=()),
    check=_known,
)
