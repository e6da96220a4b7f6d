"""Training: sparse autoencoders and NLA pairs of one's own. Says what is coming; nothing here pretends to work."""

from fastapi import FastAPI
from nicegui import ui

from loupe.app.pages.frame import PATIENCE_S, frame, workspace_of
from loupe.app.pages.outlook import outlook
from loupe.app.pages.states import Way

COMING = (
    ("Datasets", "Text from files, the model hub or pasted, cut into tokens, searched and previewed."),
    (
        "Sparse autoencoders",
        "Standard, gated, TopK, BatchTopK, JumpReLU, Matryoshka, transcoders and crosscoders, from any hook point.",
    ),
    ("Before the start", "Whether it fits: memory, disk and time, measured by a short probe."),
    ("While it runs", "Loss, L0, explained variance, dead features and cross-entropy recovered, as live curves."),
    ("NLA pairs", "A verbalizer and a reconstructor for a model of your own."),
)
TODAY = (
    Way("Read the starter's explanations", "/", "a pair trained by this code, with its held-out scores"),
    Way("Models and pairs you have", "/library", "their layers, licences and where they came from"),
)


def register(api: FastAPI) -> None:
    """Add the page."""

    @ui.page("/training", response_timeout=PATIENCE_S)
    async def training() -> None:
        with frame(workspace_of(api), "training", "Training"):
            outlook("Training", "Find the parts a model is made of, by training dictionaries on it.", COMING, TODAY)
