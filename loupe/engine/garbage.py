"""Keep Python's garbage collector from walking, again and again, through what lives as long as the process.

Torch, transformers and a server are most of a million objects. A full collection walks through all of them with the
interpreter's lock held: half a second in which no page answers and no kernel is started (seen on two cores), eight
times while everything is imported, and later whenever enough new objects have come. Twenty open pages are 200,000 more:
what survives is looked through seldom, and the young often enough that a look takes some twenty milliseconds.
"""

import gc

AFTER = (2_000, 20, 50)  # new objects, young collections, older collections


def hold() -> None:
    """Collect nothing until `settle`: what is imported or loaded now is there to stay."""
    gc.disable()


def settle() -> None:
    """After `hold`: collect again from now on, but leave out all that is there already."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(*AFTER)
        gc.enable()


def collect() -> None:
    """Collect everything, what was left out included: for when something large was let go."""
    settled = gc.get_freeze_count() > 0
    gc.unfreeze()
    gc.collect()
    if settled:
        gc.freeze()
