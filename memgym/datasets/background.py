"""Background text for haystacks: sentences of a file, or made ones, one after the other without end."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from memgym.datasets.base import check_size, read_as_it_is
from memgym.errors import DatasetCorrupt, DatasetMissing
from memgym.rng import CounterRNG, draw

__all__ = ["load_background", "made_sentences", "read_sentences"]

MAX_BYTES = 64 << 20  # of a background file: a shelf of books
MAX_SENTENCE = 2000  # characters; a longer stretch without a full stop is cut there
END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")
SPACE = re.compile(r"\S")

# Tides, stone, trade and weather: nothing that moves about a house, is carried, or has a bAbI name.
WHO = """the harbour pilots|the keeper of the light|an old survey|the dredging company|a party of geologists
the council of the port|the spring tide|the coal merchants|a schooner from the north|the eastern breakwater
the charts of that year|the customs house|the fishing fleet|a long winter|the rope makers|the salt works
the company's engineers|the river pilots|two rival shipyards|the tide gauge|the quarry above the bay
the insurance clerks|a retired admiral|the ferry service""".replace("\n", "|").split("|")
DID = """slowly reshaped|had always depended on|wrote at length about|was measured against|brought ruin to
recorded every change in|paid dearly for|once supplied|never again trusted|rose together with|was blamed for
lent its name to|drew sailors towards|kept careful accounts of|outlived|was built from the profits of
quietly replaced|argued for decades over|was shaped by|could not compete with|paid little heed to
drained the wealth of|set the rhythm of|was painted in the colours of""".replace("\n", "|").split("|")
WHAT = """the shallow northern channel|the price of timber|the granite piers|a fleet of whaling ships
the shifting sandbanks|the autumn storms|the trade in salted herring|the limestone ridge|the great barometer
the new steam engines|the estuary and its mud|the treaty of that summer|the slate roofs of the town
the wages of the dockers|the lead mines inland|the currents off the cape|the bell of the chapel
the maps of the admiralty|the cargo of oranges|the lock gates|the copper sheathing of hulls
the long peace|the grain from the south|the fog signals""".replace("\n", "|").split("|")
WHEN = """until the war was over|for most of a century|in the years of the drought|without much success
long before the railway came|as the ledgers show|to the surprise of nobody|between two hard winters
while the currency fell|and the debts remained|according to the parish register|in spite of every warning
when the ice broke late|under a new charter|after the fire in the warehouses|with the help of foreign loans
year after year|at the turn of the century|before steam replaced sail|once the lighthouse was lit
during the long strike|though few remembered why|as far as anyone can tell|on the advice of the bank""".replace(
    "\n", "|"
).split("|")


def made_sentences(key: int) -> Iterator[str]:
    """Made sentences without end; sentence i is a function of `key` and i alone.

    They speak of ports and tides, with no name, place or thing of bAbI's.
    """
    i = 0
    while True:
        bits = draw(key, i)
        who = WHO[bits % len(WHO)]
        did, what, when = DID[(bits >> 12) % 24], WHAT[(bits >> 24) % 24], WHEN[(bits >> 36) % 24]
        yield f"{who[0].upper()}{who[1:]} {did} {what} {when}."
        i += 1


def read_sentences(text: str, key: int) -> Iterator[str]:
    """The sentences of `text` without end, from a place that `key` chooses; after the last comes the first."""
    place = CounterRNG(key).integer(0, len(text) - 1)
    place = found.end() if (found := END.search(text, place)) else 0
    while True:
        begin = SPACE.search(text, place)
        if begin is None:
            place = 0
            continue
        first = begin.start()
        found = END.search(text, first, first + MAX_SENTENCE)
        place = found.end() if found else first + MAX_SENTENCE
        yield " ".join(text[first:place].split())


def load_background(path: str | os.PathLike[str]) -> str:
    """The text of a background file.

    Raises:
        DatasetMissing: there is no such file.
        DatasetCorrupt: too large, not UTF-8, or without a word.
        DatasetError: it cannot be read.
    """
    found = Path(path)
    if not found.is_file():
        raise DatasetMissing(f"there is no background text at {found}.")
    return read_as_it_is(found, _load)


@lru_cache(maxsize=2)
def _load(path: Path, nbytes: int, mtime_ns: int) -> str:
    check_size(path, nbytes, MAX_BYTES)
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise DatasetCorrupt(f"{path} is not UTF-8: {error}.") from None
    if not text.strip():
        raise DatasetCorrupt(f"{path} has no words.")
    return text
