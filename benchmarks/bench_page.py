"""What the analysis page costs the event loop: 2 000 tokens drawn, one more result, a card, a table page of 60 rows.

The naive way is measured in the same run: an element for every token, as NiceGUI would be used without thinking.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from loupe.app.pages import run_view
from loupe.app.pages.card import Look, card_html
from loupe.app.pages.run_view import RunView
from loupe.app.pages.scales import salience_scale, scale_of
from loupe.app.pages.strip import Paint, State, row_html, rows_of
from loupe.app.pages.table import DEFAULT, PAGE_ROWS, ResultTable
from loupe.app.settings import Settings, starter_folder

TOKENS = 2000


def long_run() -> RunView:
    """The starter's first sample, repeated to the length."""
    file = sorted((starter_folder(Settings()) / "runs").glob("*.json"))[0]
    sample: dict[str, Any] = json.loads(file.read_text())
    rows, tokens = sample["data"], sample["metadata"]["tokens"]
    data = [rows[i % len(rows)] | {"position": i} for i in range(TOKENS)]
    listed = [tokens[i % len(tokens)] for i in range(TOKENS)]
    return run_view.read({"metadata": sample["metadata"] | {"tokens": listed}, "data": data})


def milliseconds(work: Callable[[], object], times: int) -> float:
    """The median of several runs, in processor time, which a busy machine changes least."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return round(sorted(taken)[times // 2] * 1000, 2)


def main() -> dict[str, Any]:
    """Measure, print as JSON, return."""
    from nicegui import Client, ui
    from nicegui.page import page

    view = long_run()
    scale, salience = scale_of("fve_nrm", view.values("fve_nrm")), salience_scale(view.saliences())
    paint = Paint(lambda _: State.DONE, "fve_nrm", scale)
    rows = rows_of(len(view.tokens), view.turns)
    look = Look(salience=salience, scale=scale)

    def naive() -> None:
        with Client(page("")), ui.element("div"):
            for token in view.tokens:
                ui.label(token.text).classes("tok done").tooltip("0.5")

    def table() -> int:
        with Client(page("")) as client:
            placed = ResultTable(DEFAULT, lambda _: None)
            without = len(client.elements)
            placed.show(view, look, "fve_nrm", scale, None)
            return len(client.elements) - without

    strip = milliseconds(lambda: [row_html(view, role, where, paint) for role, where in rows], 7)
    each = milliseconds(naive, 3)
    found = {
        "tokens": TOKENS,
        "elements": len(rows),
        "strip_ms": strip,
        "strip_bytes": sum(len(row_html(view, role, where, paint).encode()) for role, where in rows),
        "one_more_result_ms": milliseconds(lambda: row_html(view, *rows[3], paint), 21),
        "card_ms": milliseconds(lambda: card_html(view, 144, look), 21),
        "scales_ms": milliseconds(lambda: salience_scale(view.saliences()), 21),
        "table_rows": PAGE_ROWS,
        "table_elements": table(),
        "table_ms": milliseconds(table, 3),
        "element_per_token_ms": each,
        "times_faster": round(each / max(strip, 0.01), 1),
    }
    print(json.dumps(found, indent=2))
    return found


if __name__ == "__main__":
    main()
