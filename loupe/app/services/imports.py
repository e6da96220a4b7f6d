"""From an uploaded file to runs: what kind of file it is, every run in it, or every reason why not.

Nothing of a file with a mistake in it is taken in. A mistake is told with its line, as many as one can use at once.
"""

from collections.abc import Iterator

from loupe.app.errors import ImportRefused
from loupe.app.services.exports import Format
from loupe.app.services.run_files import comma, json_text, parquet
from loupe.app.services.run_files.document import Document, Problem

TOLD = 20
MAX_RUNS = 500


def read_runs(content: bytes) -> tuple[Format, tuple[Document, ...]]:
    """Every run in a file, and the format it was in; the content decides, not the name. Raises ImportRefused.

    Takes seconds for a large file, so call it from a thread.
    """
    kind = format_of(content)
    found: list[Document] = []
    problems: list[Problem] = []
    for each in _read(content, kind):
        if isinstance(each, Problem):
            problems.append(each)
        else:
            found.append(each)
        if len(problems) > TOLD or len(found) > MAX_RUNS:
            break
    if len(found) > MAX_RUNS:
        problems.append(Problem(f"There are more than {MAX_RUNS} runs in this file. Import it in parts."))
    if problems:
        raise ImportRefused(_told(problems), [{"line": p.line, "problem": str(p)} for p in problems[:TOLD]])
    if not found:
        raise ImportRefused("There is no run in this file.", [])
    return kind, tuple(found)


def format_of(content: bytes) -> Format:
    """What the beginning of a file says it is; whatever begins like no other is read as CSV."""
    start = content[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(parquet.MAGIC):
        return Format.PARQUET
    if start[:1] in (b"{", b"["):
        return Format.JSON if content.count(b"\n", 0, -1) == 0 else Format.JSONL
    return Format.HTML if start[:1] == b"<" else Format.CSV


def _read(content: bytes, kind: Format) -> Iterator[Document | Problem]:
    if kind is Format.HTML:
        yield Problem("This is a page to read. Export the run as JSON, JSONL, CSV or Parquet to import it.")
        return
    try:
        if kind is Format.PARQUET:
            yield parquet.read(content)
            return
        text = content.decode("utf-8-sig")
        if kind is Format.CSV:
            yield comma.read(text)
        else:
            yield from json_text.read(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        yield Problem(f"Byte {error.start} is not UTF-8. Save the file as UTF-8.", line)
    except Problem as problem:
        yield problem
    except RecursionError:
        yield Problem("Something in this file is nested too deeply.")


def _told(problems: list[Problem]) -> str:
    first = problems[0]
    where = f"Line {first.line}: " if first.line else ""
    more = len(problems) - 1
    rest = f" {more if len(problems) <= TOLD else 'Many'} more like this." if more else ""
    return f"{where}{first}{rest} Nothing was imported."
