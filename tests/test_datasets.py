"""Finding, checking and importing dataset files."""

from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from memgym.datasets import DATASETS, DatasetInfo, base, get_dataset
from memgym.datasets.base import cache_dir, import_file, verify
from memgym.errors import DatasetCorrupt, DatasetError, DatasetMissing, UnknownName

DATA = Random(7).randbytes(300_000)


def small_info() -> DatasetInfo:
    return DatasetInfo(
        name="small",
        file="small.bin",
        url="https://example.org/small.bin",
        revision="r1",
        sha256=sha256(DATA).hexdigest(),
        nbytes=len(DATA),
        licence="CC0",
        citation="Nobody, 2020",
        description="random bytes",
        home="https://example.org/small",
    )


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data folder, an empty cache."""
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))


# ---------------------------------------------------------------------- finding


def put(path: Path, data: bytes = DATA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_path_comes_before_the_data_folder_and_that_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = small_info()
    cached = put(tmp_path / "cache" / "datasets" / "small" / "small.bin")
    assert cached == info.find()
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path / "data"))
    assert cached == info.find()  # the folder is set, but has no such file
    placed = put(tmp_path / "data" / "small" / "small.bin")
    assert placed == info.find()
    given = put(tmp_path / "mine.bin")
    assert given == info.find(given)
    assert given == info.find(str(given))


def test_a_path_that_is_given_is_the_only_place_looked_at(tmp_path: Path) -> None:
    put(small_info().cached())
    with pytest.raises(DatasetMissing, match=r"mine\.bin"):
        small_info().find(tmp_path / "mine.bin")


@pytest.mark.parametrize(
    "way",
    [
        "memgym data get small\n",
        "memgym data get small --from FILE",
        "MEMGYM_DATA=FOLDER, where FOLDER/small/small.bin",
        "path=FILE",
        "https://example.org/small",
        "CC0",
        "cache/datasets/small/small.bin",
    ],
)
def test_a_missing_dataset_says_how_to_get_it(way: str) -> None:
    with pytest.raises(DatasetMissing) as caught:
        small_info().find()
    assert way in str(caught.value)


def test_the_cache_follows_the_xdg_variable_unless_it_is_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMGYM_CACHE")
    monkeypatch.setattr(base.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/xdg")
    assert Path("/var/tmp/xdg/memgym") == cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "xdg")
    assert Path.home() / ".cache" / "memgym" == cache_dir()


# ---------------------------------------------------------------------- checking


def test_a_changed_byte_is_found_and_both_checksums_are_named(tmp_path: Path) -> None:
    path, changed = tmp_path / "small.bin", b"x" + DATA[1:]
    path.write_bytes(DATA)
    verify(small_info(), path)
    path.write_bytes(changed)  # same path, same size: only the time of change differs
    with pytest.raises(DatasetCorrupt) as caught:
        verify(small_info(), path)
    assert sha256(DATA).hexdigest() in str(caught.value)
    assert sha256(changed).hexdigest() in str(caught.value)


def test_a_file_of_another_size_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(DatasetCorrupt, match=r"expected 300,000 bytes .* found 5 bytes"):
        verify(small_info(), put(tmp_path / "small.bin", b"short"))


def test_a_second_check_of_an_unchanged_file_does_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "small.bin")
    verify(small_info(), path)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the file was read again"))
    verify(small_info(), path)


# ---------------------------------------------------------------------- importing a local copy


def test_an_imported_file_is_found_afterwards(tmp_path: Path) -> None:
    target = import_file(small_info(), put(tmp_path / "mine.bin"))
    assert target == small_info().find()
    assert target.read_bytes() == DATA
    assert target == import_file(small_info(), target)  # onto itself: stays as it is
    assert target.read_bytes() == DATA


def test_a_wrong_file_is_not_imported(tmp_path: Path) -> None:
    with pytest.raises(DatasetCorrupt):
        import_file(small_info(), put(tmp_path / "mine.bin", b"x" * len(DATA)))
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_a_named_error(tmp_path: Path) -> None:
    put(tmp_path / "cache", b"a file where the folder should be")
    with pytest.raises(DatasetError, match="cannot write"):
        import_file(small_info(), put(tmp_path / "mine.bin"))


# ---------------------------------------------------------------------- registry


@pytest.mark.parametrize("name", DATASETS)
def test_every_registered_dataset_is_complete(name: str) -> None:
    info = get_dataset(name)
    assert name == info.name
    assert len(info.sha256) == 64
    assert info.url.startswith("https://")
    assert info.nbytes > 0
    assert all((info.licence, info.citation, info.description, info.home, info.revision))


def test_an_unknown_dataset_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'locomo10'"):
        get_dataset("locomo")
    with pytest.raises(UnknownName, match="not a DatasetInfo"):
        get_dataset("memgym.datasets.locomo:MONTHS")
