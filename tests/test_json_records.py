"""Reading a JSON list record by record, with every fault named and nothing large read to its end."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.datasets import json_records
from memgym.datasets.json_records import RecordLimits, iter_records
from memgym.errors import DatasetCorrupt

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), max_size=5)


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@settings(max_examples=50)
@given(records=RECORDS, indent=st.sampled_from([None, 0, 3]), ascii=st.booleans(), block=st.integers(1, 40))
def test_records_and_their_places_are_those_of_the_json_module(
    folder: Path, records: list[Any], indent: int | None, ascii: bool, block: int
) -> None:
    path = put(folder / "list.json", f" {json.dumps(records, indent=indent, ensure_ascii=ascii)}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "BLOCK", block)  # so that every token is cut somewhere
        found = list(iter_records(path))
    whole = path.read_bytes()
    assert [json.loads(data) for _, data in found] == records
    assert [whole[start : start + len(data)] for start, data in found] == [data for _, data in found]


@settings(max_examples=50)
@given(records=RECORDS, share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(folder: Path, records: list[Any], share: float) -> None:
    text = json.dumps(records)
    path = put(folder / "cut.json", text[: int(share * len(text))])
    with pytest.raises(DatasetCorrupt, match=r"cut\.json"):
        list(iter_records(path))


RECORD = '{"question_id": "q7", "text": "abc"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a JSON list"),
        ('{"a": 1}', "is not a JSON list"),
        ("[1]", "record 0: expected an object"),
        (f"[{RECORD}, 3]", "record 1: expected an object"),
        (f"[{RECORD} {RECORD}]", "record 1 .*expected ','"),
        (f"[{RECORD},]", "record 1: expected an object"),
        (f"[{RECORD}] x", "something follows the list"),
        (f"[{RECORD}, {RECORD[:-3]}", r"record 1 \(q7\) does not end; the file is cut off"),
        (f"[{RECORD}, {RECORD[:-1]}", r"record 1 \(q7\) does not end; the file is cut off"),
        (f"[{RECORD}", "record 1: expected ',' or ']'"),
        ('[{"a": ' + "[" * 70 + "]" * 70 + "}]", "record 0 nests deeper than 64"),
        (
            f'[{RECORD[:-1]}, "x": "{"y" * 500}"}}]',
            r"record 0 \(q7\): a string in it has more than 400 bytes",
        ),
        (f'[{RECORD[:-1]}, "x": [{"1," * 1000}1]}}]', r"record 0 \(q7\): it has more than 1,000 bytes"),
    ],
)
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_what_is_wrong_is_named_with_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str, block: int
) -> None:
    monkeypatch.setattr(json_records, "BLOCK", block)
    path = put(tmp_path / "mine.json", text)
    with pytest.raises(DatasetCorrupt, match=rf"mine\.json.*{message}"):
        list(iter_records(path, "question_id", RecordLimits(record=1000, string=400)))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (f'[{RECORD[:-1]}, "x": "', r"record 0 \(q7\): a string in it has more than 4,194,304 bytes"),
        (f'[{RECORD[:-1]}, "x": ', r"record 0 \(q7\): it has more than 8,388,608 bytes"),
    ],
)
def test_a_gigabyte_in_one_place_is_refused_after_its_first_megabytes(
    tmp_path: Path, start: str, message: str
) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.write(start.encode())
        file.truncate(1 << 30)  # sparse: takes no room
    tracemalloc.start()
    with pytest.raises(DatasetCorrupt, match=message):
        list(iter_records(path, "question_id", RecordLimits(record=8 << 20)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_memory_is_that_of_one_record(tmp_path: Path) -> None:
    record = json.dumps({"text": ["words " * 1000] * 100})  # 600 kB
    path = put(tmp_path / "long.json", "[" + ",".join([record] * 60) + "]")  # 36 MB
    tracemalloc.start()
    count = sum(1 for _ in iter_records(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60
    assert peak < 8e6
