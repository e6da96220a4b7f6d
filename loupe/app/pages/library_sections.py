"""What the library lists: one section a noun, each a function from the workspace to rows.

A room that comes later adds its noun with `add_section` when its page is registered; everything it must give is a
`Section` (`library_entry.py`): its rows, what can be done with one of them, and where an entry's own page is.
"""

from loupe.app.pages.library_datasets import act_on_dataset, dataset_rows
from loupe.app.pages.library_deleted import act_on_deleted, deleted_rows
from loupe.app.pages.library_entry import Entry, Said, Section
from loupe.app.pages.library_models import act_on_model, checkpoint_rows, donor_rows, model_rows
from loupe.app.pages.library_pairs import act_on_group, act_on_pair, group_rows, pair_rows
from loupe.app.pages.library_saes import SAE_COLUMNS, act_on_sae, sae_rows

__all__ = ["SECTIONS", "Entry", "Said", "Section", "add_section"]

SECTIONS: list[Section] = [
    Section(
        "models",
        "Models",
        "Language models whose activations are read. Load one ahead of its first use, or let the first request do it.",
        model_rows,
        act_on_model,
    ),
    Section(
        "pairs",
        "NLA pairs",
        "A verbalizer and a reconstructor for one layer of one model. Pairs of one base share it in memory.",
        pair_rows,
        act_on_pair,
    ),
    Section(
        "groups",
        "Model groups",
        "One base model, its pairs and its donors; switching between the pairs of a group leaves the base in place.",
        group_rows,
        act_on_group,
    ),
    Section(
        "donors",
        "Donors and adapters",
        "Fine-tunes and PEFT adapters whose activations are read through their base model's pair.",
        donor_rows,
        act_on_model,
        "No donor yet. Add a fine-tune or an adapter as a model, and attach it to a group or name it in a request.",
    ),
    Section(
        "checkpoints",
        "Verbalizers and reconstructors",
        "The folders that pairs are made of.",
        checkpoint_rows,
        act_on_model,
    ),
    Section(
        "saes",
        "Sparse autoencoders",
        "Trained here, shipped, imported or downloaded; each with what it explains on held-out text.",
        sae_rows,
        act_on_sae,
        "No sparse autoencoder yet. Train one, or add one from the hub or a folder.",
        SAE_COLUMNS,
        (("Train one", "/training/new", "train-sae"),),
    ),
    Section(
        "datasets",
        "Datasets",
        "Texts to train on, and the token rows they were cut into.",
        dataset_rows,
        act_on_dataset,
        "No dataset yet.",
        ("Source", "#Documents", "#Characters", "Token rows"),
        (("Make or fetch one", "/training/datasets", "make-dataset"),),
    ),
    Section(
        "deleted",
        "Deleted",
        "What can still be brought back.",
        deleted_rows,
        act_on_deleted,
        "Nothing was deleted.",
    ),
]


def add_section(section: Section, before: str = "deleted") -> None:
    """List another noun, ahead of the one named."""
    place = next((n for n, known in enumerate(SECTIONS) if known.noun == before), len(SECTIONS))
    SECTIONS.insert(place, section)
