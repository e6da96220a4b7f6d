"""The table of errors: every error of all three houses has a row, a sentence and an exit code."""

import pytest

from loupe.app import errors
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError


def leaves(root: type[Exception]) -> list[type[Exception]]:
    return [root] + [leaf for child in root.__subclasses__() for leaf in leaves(child)]


KNOWN = [kind for root in (errors.AppError, LoupeError, StorageError) for kind in leaves(root)]


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.__name__)
def test_every_error_has_an_answer_and_a_stable_code(kind: type[Exception]) -> None:
    answer = errors._row(kind)
    assert answer is not errors.UNEXPECTED and 400 <= answer.status < 600
    assert answer.sentence.endswith(".") and errors.exit_code(answer.status) != 0
    assert kind.__dict__.get("code") or kind in (errors.PublicWithoutGuard,), f"{kind.__name__} has no code of its own"


def test_codes_are_not_shared_by_errors_with_different_answers() -> None:
    answers: dict[str, errors.Answer] = {}
    for kind in KNOWN:
        code = kind.code  # type: ignore[attr-defined]  # every listed root has one
        assert answers.setdefault(code, errors._row(kind)).status == errors._row(kind).status, code


def test_an_unexpected_error_tells_nothing_of_itself() -> None:
    told = errors.describe(ValueError("/home/me/secret"))
    assert told["code"] == "internal_error" and "secret" not in str(told)
