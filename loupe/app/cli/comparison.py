"""A comparison of two runs for a terminal: the verdict, what was asked differently, the means, and every place."""

from typing import Any

from rich.text import Text

from loupe.app.cli.output import out, print_table
from loupe.app.plain import plain
from loupe.app.services.comparison import MEANING, VERDICTS, Kind, Verdict

LOOKS = {"same": "", "lost": "red strike", "gained": "green bold"}
MARKS = {"same": "", "lost": "-", "gained": "+"}  # colour is never the only carrier


def print_comparison(found: dict[str, Any]) -> None:
    """What `GET /runs/compare` answers."""
    out.print(VERDICTS[Verdict(found["verdict"])], style="bold")
    counts = [f"{count} {MEANING[Kind(kind)]}" for kind, count in found["counts"].items()]
    out.print("; ".join(counts) + "." if counts else "Nothing is explained in either.")
    if found["setup"]:
        rows = [(each["name"], _short(each.get("a")), _short(each.get("b"))) for each in found["setup"]]
        print_table(("asked differently", "A", "B"), rows, empty="")
    if found["means"]:
        rows = [
            (name, f"{m['a']:.4g}", f"{m['b']:.4g}", f"{m['difference']:+.3g}", m["places"])
            for name, m in found["means"].items()
        ]
        print_table(("mean of", "A", "B", "B - A", "places"), rows, empty="")
    for place in found["places"]:
        if place["kind"] != Kind.EQUAL:
            _print_place(place)


def _print_place(place: dict[str, Any]) -> None:
    where = f"{place.get('a', '')}".rjust(4) + f"{place.get('b', '')}".rjust(5)
    token = plain(repr(place.get("token_a", place.get("token_b", ""))))
    moved = (place.get("scores") or {}).get("fve_nrm", {}).get("difference")
    change = "" if moved is None else f"  fve_nrm {moved:+.3g}"
    out.print(Text(f"{where}  {token}  {MEANING[Kind(place['kind'])]}{change}"))
    if words := place.get("words"):
        out.print(Text.assemble("           ", *(_piece(kind, text) for kind, text in words)))


def _piece(kind: str, text: str) -> tuple[str, str]:
    mark = MARKS[kind]
    said = plain(text) if text.strip() else " "
    return (f"[{mark}{said}{mark}]" if mark else f"{said} ", LOOKS[kind])


def _short(value: Any) -> str:
    told = "" if value is None else plain(str(value))
    return told if len(told) <= 44 else told[:41] + "…"
