"""What a form says when what it asks for is refused. What nobody foresaw goes to the error panel instead."""

from pydantic import ValidationError

from loupe.app.errors import AppError
from loupe.app.pages.frame import problem_html, told
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError

REFUSALS = (AppError, LoupeError, StorageError, ValidationError)


def refusal_html(error: Exception, mark: str) -> str:
    """One of REFUSALS as markup; `mark` is its test id."""
    return f'<div class="look failed" role="alert" data-testid="{mark}">{problem_html(told(error))}</div>'
