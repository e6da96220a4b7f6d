"""Datasets from files, pasted text and fetched files: what comes in, what is refused, what is found again."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from loupe.engine.context import JobContext
from loupe.engine.data.columns import ALPACA_COLUMN, preview
from loupe.engine.data.making import DescribeTexts, MakeDataset
from loupe.engine.data.sources import FetchedFiles, LocalFiles, PastedText
from loupe.engine.data.statistics import spread
from loupe.engine.data.tables import Split, read_rows
from loupe.engine.data.texts import StoredTexts, StoryTexts, open_texts, passages
from loupe.engine.errors import (
    BadPositions,
    BrokenEncoding,
    BrokenText,
    CorruptFile,
    DatasetTooLarge,
    EmptyDataset,
    NotADataset,
    RaggedTable,
    WrongColumn,
)
from tests.engine.data.sample import Drafts, finish

TALES = ["Once a cat\nsat on a mat.", 'Then a "dog" ran, fast.', "Ünïcode and 🐈 too."]


def write(kind: str, file: Path) -> Path:
    """The three tales as a file of that kind."""
    if kind == "txt":
        file.write_text("\n\n".join(TALES), encoding="utf-8")
    elif kind == "jsonl":
        file.write_text("".join(json.dumps({"text": tale, "n": 1}) + "\n" for tale in TALES), encoding="utf-8")
    elif kind == "json":
        file.write_text(json.dumps([{"text": tale} for tale in TALES]), encoding="utf-8")
    elif kind == "jsonl.gz":
        file.write_bytes(gzip.compress("".join(json.dumps(tale) + "\n" for tale in TALES).encode()))
    elif kind == "parquet":
        pd.DataFrame({"text": TALES, "n": [1, 2, 3]}).to_parquet(file)
    else:
        with file.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, delimiter="\t" if kind == "tsv" else ",")
            table.writerows([["n", "text"], *([1, tale] for tale in TALES)])
    return file


def made(source: Any, tmp_path: Path, **options: Any) -> tuple[StoredTexts, Any]:
    drafts = Drafts(tmp_path / "artefacts")
    result, _ = finish(MakeDataset(source, "tales", **options), drafts)
    return StoredTexts(drafts.root / result.artefact_id), result


@pytest.mark.parametrize("kind", ["txt", "jsonl", "json", "jsonl.gz", "csv", "tsv", "parquet"])
def test_every_kind_of_file_gives_the_same_documents(kind: str, tmp_path: Path) -> None:
    texts, result = made(LocalFiles.at(write(kind, tmp_path / f"tales.{kind}")), tmp_path)
    assert [texts.document(i) for i in range(len(texts))] == TALES
    assert (result.documents, result.characters, result.column) == (3, sum(map(len, TALES)), "text")
    same, _ = made(PastedText("\n\n".join(TALES)), tmp_path / "again")
    assert same.fingerprint == texts.fingerprint


def test_a_text_file_is_cut_at_blank_lines_lines_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\ufeffone\ntwo\r\n\n\n \nthree\n", encoding="utf-8")

    def documents(split: Split) -> list[str]:
        return [row.values["text"] for row in read_rows(file, split)]

    assert documents(Split.BLANK_LINE) == ["one\ntwo", "three"]
    assert documents(Split.LINE) == ["one", "two", " ", "three"]
    assert len(documents(Split.FILE)) == 1


def test_a_folder_of_files_is_one_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for index in range(3):
        write("jsonl", folder / f"{index}.jsonl")
    (folder / "README").write_text("about")
    assert len(made(LocalFiles.at(folder), tmp_path)[0]) == 9
    write("csv", folder / "x.csv")
    with pytest.raises(NotADataset, match="several kinds"):
        LocalFiles.at(folder)


CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
SHAPES: dict[str, tuple[str, Any]] = {
    "openai": ("messages", CHAT),
    "sharegpt": ("conversations", [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]),
    "list": ("dialog", ["hi", "ho"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_chats_of_every_shape_become_messages(shape: str, tmp_path: Path) -> None:
    column, value = SHAPES[shape]
    (tmp_path / "chats.jsonl").write_text(json.dumps({column: value, "id": "a"}) + "\n")
    texts, result = made(LocalFiles.at(tmp_path / "chats.jsonl"), tmp_path)
    assert texts.document(0) == CHAT and result.chat and result.column == column
    assert list(passages(texts, [0])) == [(0, "user: hi\n\nassistant: ho")]


def test_alpaca_columns_become_a_chat(tmp_path: Path) -> None:
    rows = [{"instruction": "hi", "input": "", "output": "ho"}, {"instruction": "a", "input": "b", "output": "c"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    texts, result = made(LocalFiles.at(tmp_path / "a.json"), tmp_path)
    assert result.column == ALPACA_COLUMN and texts.document(0) == CHAT
    assert texts.document(1)[0]["content"] == "a\n\nb"  # type: ignore[index]  # a chat


def test_a_preview_shows_columns_and_which_would_be_taken(tmp_path: Path) -> None:
    seen = preview(read_rows(write("parquet", tmp_path / "a.parquet")))
    assert [(each.name, each.kind) for each in seen.columns] == [("text", "text"), ("n", "other")]
    assert seen.chosen == "text" and seen.columns[0].examples[0].startswith("Once")


def bytes_of(text: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(text) and None


BAD: dict[str, tuple[str, Callable[[Path], Any], dict[str, Any], type[Exception], str]] = {
    "wrong column": ("a.jsonl", bytes_of(b'{"text": "a"}\n'), {"column": "texts"}, WrongColumn, "it has text"),
    "not text": ("a.jsonl", bytes_of(b'{"n": 1, "text": "a"}\n'), {"column": "n"}, WrongColumn, "holds a int in row 1"),
    "no clear column": ("a.csv", bytes_of(b"a,b\nx,y\n"), {}, WrongColumn, "choose one"),
    "a later row": ("a.jsonl", bytes_of(b'"a"\n{"text": 3}\n'), {}, WrongColumn, "in row 2 of a.jsonl"),
    "empty": ("a.txt", bytes_of(b""), {}, EmptyDataset, "no text"),
    "only blanks": ("a.jsonl", bytes_of(b'{"text": ""}\n{"text": "  "}\n'), {"column": "text"}, EmptyDataset, "2 rows"),
    "only a head": ("a.csv", bytes_of(b"text\n"), {}, EmptyDataset, "no text"),
    "broken UTF-8": ("a.txt", bytes_of(b"fine\n\xff\xfe bad\n"), {}, BrokenEncoding, "0xff in line 2"),
    "half a pair": ("a.jsonl", bytes_of(b'{"text": "a\\ud800"}\n'), {}, BrokenText, "Row 1 of a.jsonl"),
    "ragged": ("a.csv", bytes_of(b"text,b\nx,y\nz\n"), {}, RaggedTable, "Row 3 of a.csv"),
    "open quote": ("a.csv", bytes_of(b'text\n"x\n'), {}, RaggedTable, "breaks off"),
    "two heads": ("a.csv", bytes_of(b"text,text\nx,y\n"), {}, RaggedTable, "same name"),
    "no JSON": ("a.jsonl", bytes_of(b'{"text": "a"}\n{oops\n'), {}, NotADataset, "Line 2 of a.jsonl"),
    "numbers": ("a.jsonl", bytes_of(b"1\n"), {}, NotADataset, "holds a int"),
    "a chat without roles": ("a.jsonl", bytes_of(b'{"messages": [{"x": 1}]}\n'), {}, WrongColumn, "with role None"),
    "cut parquet": ("a.parquet", bytes_of(b"PAR1abc"), {}, CorruptFile, "no whole parquet"),
    "cut gzip": ("a.jsonl.gz", bytes_of(gzip.compress(b'"aaaa"\n' * 99)[:24]), {}, CorruptFile, "cut-off gzip"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_its_place_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    name, fill, options, error, sentence = BAD[case]
    fill(tmp_path / name)
    drafts = Drafts(tmp_path / "artefacts")
    with pytest.raises(error, match=sentence):
        finish(MakeDataset(LocalFiles.at(tmp_path / name), "x", **options), drafts)
    assert drafts.made == [] and list(drafts.root.iterdir()) == []


@pytest.mark.parametrize("name", ["photo.png", "model.safetensors", "noextension"])
def test_what_is_no_dataset_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(NotADataset, match="expected txt, jsonl"):
        LocalFiles.at(tmp_path / name)
    with pytest.raises(NotADataset, match="neither a file nor a folder"):
        LocalFiles.at(tmp_path / "absent")
    with pytest.raises(EmptyDataset):
        PastedText(" \n ")


def test_a_dataset_larger_than_the_disk_is_refused_before_and_while_it_is_written(tmp_path: Path) -> None:
    source = LocalFiles.at(write("jsonl", tmp_path / "a.jsonl"))
    drafts = Drafts(tmp_path / "artefacts")
    with pytest.raises(DatasetTooLarge, match="255 MiB are free"):
        finish(MakeDataset(source, "x", free=lambda _: 255 << 20), drafts)
    left = iter([10 << 30, 10 << 20])
    large = FetchedFiles({"a": 1}, lambda _: iter([bulk(tmp_path)]), {})
    with pytest.raises(DatasetTooLarge, match="10 MiB are free"):
        finish(MakeDataset(large, "x", free=lambda _: next(left)), drafts)
    assert list(drafts.root.iterdir()) == []


def bulk(tmp_path: Path) -> Path:
    file = tmp_path / "bulk.jsonl"
    line = json.dumps("word " * 200_000)
    file.write_text((line + "\n") * 70)
    return file


def test_fetched_files_are_let_go_one_after_the_other_also_when_the_job_is_cancelled(tmp_path: Path) -> None:
    held: list[str] = []

    def fetch(name: str) -> Iterator[Path]:
        folder = tmp_path / "incoming" / name
        folder.mkdir(parents=True)
        held.append(name)
        assert len(list((tmp_path / "incoming").iterdir())) == 1
        try:
            yield write("jsonl", folder / "part.jsonl")
        finally:
            shutil.rmtree(folder)

    source = FetchedFiles({"0": 10, "1": 10}, fetch, {"repo": "o/n", "revision": "abc"})
    texts, _ = made(source, tmp_path)
    assert len(texts) == 6 and held == ["0", "1"]
    drafts = Drafts(tmp_path / "cancelled")
    out_of_time = JobContext(writer=drafts, slice_budget_s=0.0)
    steps = MakeDataset(source, "x").run(out_of_time)
    next(steps)
    steps.close()
    assert list(drafts.root.iterdir()) == [] and list((tmp_path / "incoming").iterdir()) == []


def test_progress_is_told_and_ends_at_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "word"}\n' * 1000)
    _, said = finish(MakeDataset(LocalFiles.at(file), "x"), Drafts(tmp_path / "artefacts"))
    assert len(said) >= 5 and said[-1].done == said[-1].total == file.stat().st_size
    assert said[-1].message == "1,000 documents"
    limited, _ = finish(MakeDataset(LocalFiles.at(file), "x", limit=7), Drafts(tmp_path / "few"))
    assert limited.documents == 7


def test_statistics_count_duplicates_and_lengths(tmp_path: Path) -> None:
    _, result = made(PastedText("aa\n\nbbbb\n\naa\n\nc"), tmp_path)
    assert result.statistics["duplicates"] == 1 and result.statistics["documents"] == 4
    assert result.statistics["characters_per_document"] == {
        "min": 1,
        "median": 2.0,
        "mean": 2.25,
        "p95": pytest.approx(3.7),
        "max": 4,
        "histogram": [[1, 1, 1], [2, 3, 2], [4, 7, 1]],
    }
    assert spread(np.array([], dtype=np.int64)) == {}


def test_documents_are_found_by_any_part_of_their_text_page_by_page(tmp_path: Path) -> None:
    texts, _ = made(PastedText("A cat sat.\n\nNothing.\n\nThe CAT ran.\n\nConcatenate 🐈"), tmp_path)
    assert texts.find("cat") == ((0, 2, 3), None)
    assert texts.find("cat", limit=2) == ((0, 2), 3) and texts.find("cat", start=3) == ((3,), None)
    assert texts.find("🐈").documents == (3,) and texts.find("zebra") == ((), None)
    assert texts.find("sat.nothing") == ((), None)  # the end of one document and the beginning of the next
    assert texts.find("", limit=3) == ((0, 1, 2), 3)


def test_a_search_may_stop_and_go_on_where_it_was(tmp_path: Path) -> None:
    filler = "x" * (3 << 20)
    texts, _ = made(PastedText("\n\n".join([filler] * 5 + ["needle"])), tmp_path)
    found = texts.find("needle", most_bytes=1)
    assert found.documents == () and found.next is not None
    assert texts.find("needle", start=found.next) == ((5,), None)


def test_a_chat_is_searched_by_what_was_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": 'say "ü"\nnow'}]}) + "\n")
    texts, _ = made(LocalFiles.at(tmp_path / "a.jsonl"), tmp_path)
    assert texts.find('"ü"\nnow').documents == (0,)


def test_the_story_world_is_a_dataset_without_bytes() -> None:
    stories = StoryTexts(50, first_seed=10)
    assert len(stories) == 50 and stories.document(3) == StoryTexts(5, first_seed=13).document(0)
    word = stories.document(30).split()[2]
    assert 30 in stories.find(word).documents
    assert stories.fingerprint != StoryTexts(51, first_seed=10).fingerprint
    assert stories.find("no such words here", most=20) == ((), 20)
    with pytest.raises(BadPositions, match="0 to 49"):
        stories.document(50)
    again = open_texts("starter", stories.describe(), None)
    assert again.fingerprint == stories.fingerprint
    counted, _ = finish(DescribeTexts(StoryTexts(5)), Drafts(Path("unused")))
    assert counted["characters"] == sum(len(StoryTexts(5).document(index)) for index in range(5))


def test_a_damaged_dataset_is_told_from_a_whole_one(tmp_path: Path) -> None:
    texts, _ = made(PastedText("abc"), tmp_path)
    (texts.folder / "texts.bin").write_bytes(b"ab")
    with pytest.raises(CorruptFile, match="not as long"):
        StoredTexts(texts.folder)
