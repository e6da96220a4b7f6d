"""Steering: what a part does, by changing it. Says what is coming; nothing here pretends to work."""

from fastapi import FastAPI

from loupe.app.pages.frame import frame
from loupe.app.pages.outlook import outlook
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.states import Way

COMING = (
    ("Interventions", "Add, clamp, floor, ablate, multiply, orthogonal part, projection cap, swap; several at once."),
    ("Side by side", "Clean, steered and prompted continuations, streamed, coloured by how far they moved."),
    ("Strength", "In fractions of the residual norm, swept in one click, with a recommended range."),
    ("Live lab", "The next tokens of both runs, before and after, while you move a slider."),
    ("Patches", "Edits kept as exact low-rank weight changes: stacked, exported, taken back to the bit."),
)
TODAY = (
    Way("Let the model write", "/?reply=1", "a reply with its own temperature and seed, read token by token"),
    Way("Put an explanation back", "/", "the KL score measures what the model loses with words for an activation"),
)


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/steering")
    async def steering() -> None:
        with frame(workspace_of(api), "steering", "Steering"):
            outlook("Steering", "Change one thing inside and see what the model does.", COMING, TODAY)
