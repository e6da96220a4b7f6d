"""Two runs side by side: which tokens belong together, and what differs there, in words and in numbers.

Runs of the same tokens are compared position by position, others along a diff of their tokens. A difference that
rounding explains is told apart from one that it does not: the sampler marks every step at which another token was
equally likely up to rounding (`ties`), and an explanation that departs at such a step is a tie, not a change.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from loupe.app.services.alignment import Pair, align, side_by_side
from loupe.app.services.run_files.document import SCORES, Document, Row
from loupe.app.services.run_setup import Differing, differing, fingerprints

WORD = re.compile(r"\w+[^\S\n]*|[^\w\s][^\S\n]*|\s")  # a word with the space after it, so that blanks are no matches
ROUNDING = 1e-3  # relative difference of a score that another order of additions can make in 16 bits


class Kind(StrEnum):
    """How the results at two positions that belong together differ."""

    EQUAL = "equal"
    ROUNDING = "rounding"
    SCORES = "scores"
    TIE = "tie"
    CHANGED = "changed"
    ONLY_A = "only_a"
    ONLY_B = "only_b"
    NEITHER = "neither"


MEANING = {
    Kind.EQUAL: "equal to the last bit",
    Kind.ROUNDING: "the same words, scores equal up to rounding",
    Kind.SCORES: "the same words, other scores",
    Kind.TIE: "other words from a step at which two tokens were equally likely up to rounding",
    Kind.CHANGED: "other words",
    Kind.ONLY_A: "explained in A only",
    Kind.ONLY_B: "explained in B only",
    Kind.NEITHER: "explained in neither",
}


class Verdict(StrEnum):
    """What a comparison comes to, the worst difference deciding."""

    EQUAL = "equal"
    ROUNDING = "rounding"
    TIES = "ties"
    CHANGED = "changed"
    OTHER_TEXT = "other_text"


VERDICTS = {
    Verdict.EQUAL: "Equal to the last bit.",
    Verdict.ROUNDING: "The same words everywhere; scores differ by rounding only.",
    Verdict.TIES: "Different only where two tokens were equally likely up to rounding.",
    Verdict.CHANGED: "The results differ.",
    Verdict.OTHER_TEXT: "The texts differ; tokens that both have are laid beside each other.",
}


class Piece(NamedTuple):
    """Some words of an explanation: in both (`same`), in A only (`lost`) or in B only (`gained`)."""

    kind: str
    text: str


class Scored(NamedTuple):
    """One score at both positions; the difference is b - a."""

    a: float
    b: float
    difference: float


@dataclass(frozen=True, slots=True)
class Place:
    """Two positions that belong together (or one without counterpart), and how they differ."""

    a: int | None
    b: int | None
    token_a: str | None
    token_b: str | None
    same_token: bool
    kind: Kind
    reliable: bool
    words: tuple[Piece, ...]
    scores: Mapping[str, Scored]


class Mean(NamedTuple):
    """The means of a score over the reliable places that have it in both runs."""

    a: float
    b: float
    difference: float
    places: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything about two runs beside each other."""

    verdict: Verdict
    places: tuple[Place, ...]
    counts: Mapping[Kind, int]
    means: Mapping[str, Mean]
    setup: tuple[Differing, ...]
    same_tokens: bool
    is_repeat: bool

    def to_json(self, *, changed_only: bool = False) -> dict[str, Any]:
        """For programs; absent values are left out."""
        places = [place for place in self.places if not changed_only or place.kind is not Kind.EQUAL]
        return {
            "verdict": self.verdict.value,
            "is_repeat": self.is_repeat,
            "same_tokens": self.same_tokens,
            "setup": [{k: v for k, v in each._asdict().items() if v is not None} for each in self.setup],
            "counts": {kind.value: count for kind, count in self.counts.items()},
            "means": {name: mean._asdict() for name, mean in self.means.items()},
            "places": [_place_json(place) for place in places if place.kind is not Kind.NEITHER],
        }


def compare(a: Document, b: Document) -> Comparison:
    """Lay two runs beside each other. Takes up to a second for long ones, so call it from a thread."""
    tokens = _tokens(a), _tokens(b)
    rows = {row["position"]: row for row in a.data}, {row["position"]: row for row in b.data}
    same_tokens = _same(a, b, tokens)
    pairs = [Pair(i, i) for i in range(len(tokens[0]))] if same_tokens else _aligned(a, b, tokens)
    places = tuple(_place(pair, tokens, rows) for pair in pairs)
    counts = Counter(place.kind for place in places if place.kind is not Kind.NEITHER)
    return Comparison(
        verdict=_verdict(counts, same_tokens),
        places=places,
        counts={kind: counts[kind] for kind in Kind if counts[kind]},
        means=_means(places),
        setup=differing(a, b),
        same_tokens=same_tokens,
        is_repeat=bool(a.run.get("id")) and b.run.get("repeat_of") == a.run.get("id"),
    )


def word_diff(a: str, b: str) -> tuple[Piece, ...]:
    """What two explanations share and what they do not, in words; what was lost stands before what was gained."""
    words = WORD.findall(a), WORD.findall(b)
    pieces: list[Piece] = []
    same = lost = gained = ""
    for i, j in (*align(*words), Pair(-1, -1)):
        if i is not None and j is not None:
            changed = [Piece("lost", lost), Piece("gained", gained)]
            if lost or gained or i < 0:
                pieces += [Piece("same", same), *changed]
                same = lost = gained = ""
            same += words[1][j] if j >= 0 else ""
        else:
            lost += "" if i is None else words[0][i]
            gained += "" if j is None else words[1][j]
    return tuple(piece for piece in pieces if piece.text)


def _tokens(document: Document) -> list[str]:
    written = document.metadata.get("tokens")
    if written:
        return [token if isinstance(token, str) else str(token.get("text", "")) for token in written]
    rows = {row["position"]: row for row in document.data}
    return [str(rows[i].get("token", "")) if i in rows else "" for i in range(max(rows, default=-1) + 1)]


def _ids(document: Document) -> list[int] | None:
    asked = document.metadata.get("request")
    found = document.run.get("token_ids") or (asked or {}).get("token_ids")
    return list(found) if found else None


def _same(a: Document, b: Document, tokens: tuple[list[str], list[str]]) -> bool:
    """Whether position N means the same token in both. Without ids on both sides the texts decide."""
    ids = _ids(a), _ids(b)
    return tokens[0] == tokens[1] and (None in ids or ids[0] == ids[1])


def _aligned(a: Document, b: Document, tokens: tuple[list[str], list[str]]) -> list[Pair]:
    """Along the ids where both come from one tokenizer, else along the texts: ids of two vocabularies say nothing."""
    ids, models = (_ids(a), _ids(b)), (fingerprints(a).get("model"), fingerprints(b).get("model"))
    one_vocabulary = models[0] is not None and models[0] == models[1]
    if ids[0] and ids[1] and one_vocabulary and len(ids[0]) == len(tokens[0]) and len(ids[1]) == len(tokens[1]):
        return side_by_side(align(ids[0], ids[1]))
    return side_by_side(align(*tokens))


def _place(pair: Pair, tokens: tuple[list[str], list[str]], rows: tuple[dict[int, Row], dict[int, Row]]) -> Place:
    row_a = None if pair.a is None else rows[0].get(pair.a)
    row_b = None if pair.b is None else rows[1].get(pair.b)
    token_a = None if pair.a is None else tokens[0][pair.a]
    token_b = None if pair.b is None else tokens[1][pair.b]
    kind = kind_of(row_a, row_b)
    return Place(
        a=pair.a,
        b=pair.b,
        token_a=token_a,
        token_b=token_b,
        same_token=token_a == token_b,
        kind=kind,
        reliable=bool(row_a and row_b) and not (row_a or {}).get("flags") and not (row_b or {}).get("flags"),
        words=word_diff(_said(row_a), _said(row_b)) if kind in (Kind.TIE, Kind.CHANGED) else (),
        scores=_scores(row_a, row_b) if row_a and row_b else {},
    )


def kind_of(a: Row | None, b: Row | None) -> Kind:
    """How two rows differ, wherever in the text they stand; None where a position was not explained."""
    if a is None or b is None:
        return Kind.NEITHER if a is b else Kind.ONLY_B if a is None else Kind.ONLY_A
    if a | {"position": 0} == b | {"position": 0}:
        return Kind.EQUAL
    if _said(a) != _said(b):
        return Kind.TIE if _parted_at_ties(a, b) else Kind.CHANGED
    close = all(abs(s.difference) <= ROUNDING * max(abs(s.a), abs(s.b), 1e-3) for s in _scores(a, b).values())
    return Kind.ROUNDING if close else Kind.SCORES


def _parted_at_ties(a: Row, b: Row) -> bool:
    """Whether rounding may have decided: each rollout that differs departs at a tie, or only another one is best."""
    pairs = list(zip(a.get("rollouts") or (), b.get("rollouts") or (), strict=False))
    if not pairs or len(a["rollouts"]) != len(b["rollouts"]):
        return False
    parted = [(x, y) for x, y in pairs if x.get("token_ids") != y.get("token_ids")]
    return all(_parted_at_tie(x, y) for x, y in parted) and (bool(parted) or a.get("best") != b.get("best"))


def _parted_at_tie(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    ids = a.get("token_ids") or [], b.get("token_ids") or []
    if not ids[0] or not ids[1]:
        return False
    length = min(map(len, ids))
    step = next((i for i in range(length) if ids[0][i] != ids[1][i]), length)
    return step in {*(a.get("ties") or ()), *(b.get("ties") or ())}


def _said(row: Row | None) -> str:
    return str((row or {}).get("explanation") or "")


def _scores(a: Row, b: Row) -> dict[str, Scored]:
    return {
        name: Scored(a[name], b[name], b[name] - a[name])
        for name in (*SCORES, "agreement")
        if a.get(name) is not None and b.get(name) is not None
    }


def _means(places: Sequence[Place]) -> dict[str, Mean]:
    found = {}
    counted = [place for place in places if place.reliable and place.same_token]
    for name in (*SCORES, "agreement"):
        scored = [place.scores[name] for place in counted if name in place.scores]
        if scored:
            n = len(scored)
            a, b = sum(s.a for s in scored) / n, sum(s.b for s in scored) / n
            found[name] = Mean(a, b, sum(s.difference for s in scored) / n, n)
    return found


def _verdict(counts: Mapping[Kind, int], same_tokens: bool) -> Verdict:
    if not same_tokens:
        return Verdict.OTHER_TEXT
    kinds = set(kind for kind, count in counts.items() if count)
    for verdict, allowed in (
        (Verdict.EQUAL, {Kind.EQUAL}),
        (Verdict.ROUNDING, {Kind.EQUAL, Kind.ROUNDING}),
        (Verdict.TIES, {Kind.EQUAL, Kind.ROUNDING, Kind.TIE}),
    ):
        if kinds <= allowed:
            return verdict
    return Verdict.CHANGED


def _place_json(place: Place) -> dict[str, Any]:
    known = {
        "a": place.a,
        "b": place.b,
        "token_a": place.token_a,
        "token_b": place.token_b,
        "same_token": place.same_token,
        "kind": place.kind.value,
        "reliable": place.reliable,
        "words": [list(piece) for piece in place.words] or None,
        "scores": {name: scored._asdict() for name, scored in place.scores.items()} or None,
    }
    return {name: value for name, value in known.items() if value is not None}
