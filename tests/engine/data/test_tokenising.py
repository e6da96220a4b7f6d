"""Cutting documents into token rows, by hand and as a job."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loupe.engine.context import JobContext
from loupe.engine.data.cutting import Bos, CutOptions, Cutter, Encoded, Mode, Separator, encode_documents
from loupe.engine.data.rows import TokenFlag
from loupe.engine.data.texts import StoryTexts
from loupe.engine.data.tokenising import Tokenise, open_rows, preview_rows, tokenizer_fingerprint
from loupe.engine.errors import BadInput, BadOption, CorruptFile, DatasetTooLarge, NoUsableRows
from tests.engine.data.sample import Drafts, finish, tokenizer_of

S, E, U, A = 0, 1, 2, 3  # <s>, </s> and the two roles


class Docs:
    """A few documents in memory."""

    is_chat = False
    fingerprint = "docs"

    def __init__(self, *documents: Any) -> None:
        self.documents = documents

    def __len__(self) -> int:
        return len(self.documents)

    def document(self, index: int) -> Any:
        return self.documents[index]


def rows(options: CutOptions, *documents: list[int]) -> list[tuple[list[int], list[int], int]]:
    cutter = Cutter(options, S, E)
    cut = [row for index, ids in enumerate(documents) for row in cutter.add(index, Encoded(ids, [0] * len(ids)))]
    return [tuple(row) for row in (*cut, *cutter.finish())]  # type: ignore[misc]


def test_packing_fills_rows_across_documents_with_a_separator() -> None:
    options = CutOptions(max_tokens=4, bos=Bos.NONE, separator=Separator.EOS)
    assert rows(options, [5, 6], [7, 8, 9]) == [([5, 6, E, 7], [0, 0, 1, 0], 0), ([8, 9, E], [0, 0, 1], 1)]


def test_bos_stands_at_every_row_or_every_document() -> None:
    each_row = CutOptions(max_tokens=3, bos=Bos.ROW, separator=Separator.NONE)
    assert [ids for ids, _, _ in rows(each_row, [5, 6, 7], [8])] == [[S, 5, 6], [S, 7, 8]]
    each_document = CutOptions(max_tokens=4, bos=Bos.DOCUMENT, separator=Separator.NONE)
    assert [ids for ids, _, _ in rows(each_document, [5, 6], [7])] == [[S, 5, 6, S]]
    assert rows(each_document, [5, 6], [7])[0][1] == [1, 0, 0, 1]


def test_windows_keep_documents_apart_and_repeat_context() -> None:
    options = CutOptions(Mode.WINDOW, max_tokens=4, overlap=2, bos=Bos.NONE)
    found = rows(options, [5, 6, 7, 8, 9, 10, 11], [12, 13])
    assert [ids for ids, _, _ in found] == [[5, 6, 7, 8], [7, 8, 9, 10], [9, 10, 11], [12, 13]]
    overlap = int(TokenFlag.OVERLAP)
    assert found[1][1] == [overlap, overlap, 0, 0] and [document for *_, document in found] == [0, 0, 0, 1]
    own = [token for ids, flags, _ in found for token, flag in zip(ids, flags, strict=True) if not flag]
    assert own == [5, 6, 7, 8, 9, 10, 11, 12, 13]


def test_rows_too_short_are_dropped_and_counted() -> None:
    cutter = Cutter(CutOptions(Mode.WINDOW, max_tokens=4, min_tokens=3, bos=Bos.NONE), S, E)
    assert list(cutter.add(0, Encoded([5, 6], [0, 0]))) == [] and cutter.dropped == 1


def test_a_document_that_is_all_row_starts_makes_no_row_of_its_own() -> None:
    assert rows(CutOptions(max_tokens=3, bos=Bos.ROW, separator=Separator.NONE), [5, 6]) == [([S, 5, 6], [1, 0, 0], 0)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_tokens": 1}, "at least 2"),
        ({"overlap": 5}, "no overlap"),
        ({"mode": "window", "max_tokens": 8, "overlap": 7}, "leave room"),
        ({"min_tokens": 0}, "min_tokens = 0"),
        ({"mode": "sideways"}, "sideways"),
        ({"stride": 3}, "stride is no option"),
        ({"max_tokens": "x"}, "no way to cut"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadOption, match=sentence):
        CutOptions.from_dict(options)


def test_options_are_settled_by_what_the_tokenizer_has() -> None:
    settled = CutOptions().settled(tokenizer_of())
    assert (settled.bos, settled.separator) == (Bos.NONE, Separator.EOS)  # it does not put <s> before texts itself
    assert CutOptions.from_dict(json.loads(json.dumps(settled.to_dict()))) == settled
    bare = tokenizer_of(bos_token=None, eos_token=None)
    assert CutOptions().settled(bare).separator is Separator.NONE
    for wrong in (CutOptions(bos=Bos.ROW), CutOptions(separator=Separator.EOS), CutOptions(separator=Separator.BOS)):
        with pytest.raises(BadOption, match="This tokenizer has no"):
            wrong.settled(bare)
    with pytest.raises(BadOption, match="reads at most 64"):
        CutOptions(max_tokens=128).settled(tokenizer_of(), model_max=64)


def test_a_chat_goes_through_the_template_and_its_frame_is_flagged() -> None:
    chat = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "hello"}]
    encoded = encode_documents(tokenizer_of(), [chat, "the mat"])
    assert encoded[0].ids == [U, 5, 6, A, 13]
    frame = int(TokenFlag.SPECIAL | TokenFlag.TEMPLATE)
    assert encoded[0].flags == [frame, 0, 0, frame, 0] and encoded[1] == ([5, 10], [0, 0])
    with pytest.raises(BadOption, match="no chat template"):
        encode_documents(tokenizer_of(chat_template=None), [chat])


def test_a_tokenisation_is_written_and_read_back(tmp_path: Path) -> None:
    drafts, texts = Drafts(tmp_path), Docs("the cat sat", "a dog ran", "on the mat")
    options = CutOptions(max_tokens=4, bos=Bos.ROW)
    made, said = finish(Tokenise(texts, tokenizer_of(), options, "4"), drafts)
    back = open_rows(tmp_path / made.artefact_id)
    assert [back.ids(i).tolist() for i in range(len(back))] == [
        [S, 5, 6, 7],
        [S, E, 9, 11],
        [S, 12, E, 8],
        [S, 5, 10, E],
    ]
    assert back.flags_of(1).tolist() == [1, 1, 0, 0] and back.document.tolist() == [0, 0, 1, 2]
    assert back.tokens.dtype == np.uint16 and back.fingerprint == made.fingerprint
    assert (made.rows, made.tokens, said[-1].done, said[-1].total) == (4, 16, 3, 3)
    statistics = made.statistics
    assert statistics["vocabulary_used"] == 10 and statistics["special_tokens"] == 7
    assert statistics["tokens_per_document"]["mean"] == 3 and statistics["most_frequent"][0] == [S, 4]
    part = back.part(1, 3)
    assert part.ids(0).tolist() == back.ids(1).tolist() and part.fingerprint.endswith("[1:3]")
    with pytest.raises(BadInput, match="there are 4"):
        back.part(3, 9)


def test_the_same_text_and_options_have_the_same_fingerprint(tmp_path: Path) -> None:
    def fingerprint(options: CutOptions) -> str:
        return finish(Tokenise(Docs("the cat sat on a mat"), tokenizer_of(), options, "x"), Drafts(tmp_path))[
            0
        ].fingerprint

    first = fingerprint(CutOptions(max_tokens=4))
    (tmp_path / "tokenisation-0").rename(tmp_path / "old")
    assert fingerprint(CutOptions(max_tokens=4)) == first
    (tmp_path / "tokenisation-0").rename(tmp_path / "older")
    assert fingerprint(CutOptions(max_tokens=3)) != first
    assert tokenizer_fingerprint(tokenizer_of()) == tokenizer_fingerprint(tokenizer_of())
    assert tokenizer_fingerprint(tokenizer_of(chat_template=None)) != tokenizer_fingerprint(tokenizer_of())


def test_text_without_two_tokens_in_a_row_is_refused(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    for options in (CutOptions(Mode.WINDOW), CutOptions(Mode.WINDOW, min_tokens=1)):
        with pytest.raises(NoUsableRows, match="no row has two tokens: 2 documents"):
            finish(Tokenise(Docs("cat", "dog"), tokenizer_of(), options, "x"), drafts)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_and_a_cancelled_job_leave_nothing(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    job = Tokenise(Docs("the cat"), tokenizer_of(), CutOptions(), "x", characters=10**12, free=lambda _: 10**9)
    with pytest.raises(DatasetTooLarge, match="Tokenise fewer documents"):
        finish(job, drafts)
    steps = Tokenise(Docs("the cat"), tokenizer_of(), CutOptions(), "x").run(JobContext(writer=drafts))
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_damaged_rows_are_told_from_whole_ones(tmp_path: Path) -> None:
    made, _ = finish(Tokenise(Docs("the cat sat"), tokenizer_of(), CutOptions(), "x"), Drafts(tmp_path))
    (tmp_path / made.artefact_id / "flags.bin").write_bytes(b"\0")
    with pytest.raises(CorruptFile, match="different lengths"):
        open_rows(tmp_path / made.artefact_id)


def test_a_preview_shows_tokens_with_their_flags() -> None:
    shown = preview_rows(tokenizer_of(), "the cat sat on a mat", CutOptions(Mode.WINDOW, max_tokens=4, overlap=1))
    assert [view.text for view, _ in shown[0]][:2] == ["the", "cat"]
    assert [flag for _, flag in shown[1]][:2] == [int(TokenFlag.OVERLAP), 0]


def test_a_job_reads_as_many_documents_as_asked(tmp_path: Path) -> None:
    job = Tokenise(StoryTexts(1000), tokenizer_of(), CutOptions(max_tokens=16), "x", documents=70)
    made, said = finish(job, Drafts(tmp_path))
    assert made.statistics["documents"] == 70 and len(said) == 2
