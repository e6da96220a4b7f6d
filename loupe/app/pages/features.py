"""Features: what a model is made of. Says what is coming; nothing here pretends to work."""

from fastapi import FastAPI

from loupe.app.pages.frame import frame
from loupe.app.pages.outlook import outlook
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.states import Way

COMING = (
    ("Browser", "Search by label, by token, by meaning, or by what fires on a text you paste."),
    ("Feature page", "Examples with a heat map, histogram, logits, neighbours, measured effect of removing it."),
    ("Labels", "By hand, by the verbalizer or by a model, each with a score and its chance line, or unverified."),
    ("Map", "Two dimensions, linked to the table."),
    ("Influence", "Which features drive which, on a prompt and across layers."),
)
TODAY = (
    Way("What is active at a token, in words", "/", "explanations, lenses and next-token probabilities"),
    Way("Saved runs", "/history", "search what explanations said before"),
)


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/features")
    async def features() -> None:
        with frame(workspace_of(api), "features", "Features"):
            outlook("Features", "The directions a model computes with: found, named, and tested.", COMING, TODAY)
