"""From the names of a request to folders: which model, verbalizer, reconstructor and donor it means, at which layer."""

from functools import partial

from loupe.app.errors import Conflict, NotReady
from loupe.app.services.catalogue import STARTER, Catalogue, PairSpec
from loupe.app.services.groups import Groups, Pair
from loupe.app.services.options import AnalysisOptions, GenerationOptions
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption


def spec_of(
    options: AnalysisOptions | GenerationOptions,
    settings: Settings,
    catalogue: Catalogue,
    groups: Groups,
    *,
    paths_allowed: bool,
) -> PairSpec:
    """The folders that the options name. Raises NotFound, Forbidden, NotReady, Conflict, or BadOption when half a
    pair is missing."""
    model = options.model or groups.default
    verbalizer, reconstructor = options.verbalizer, options.reconstructor
    donor, layer = options.donor, getattr(options, "layer", None)
    if model == STARTER and not catalogue.has_starter:
        raise NotReady("The starter is not there. Build it with `loupe starter build`, or name another model.")
    pair = groups.find_pair(model)
    if pair is not None:
        if pair.problem and not (verbalizer and reconstructor):
            raise Conflict(f"The pair {pair.id} cannot be used yet: {pair.problem}")
        if layer is None and not verbalizer:
            layer = _own_layer(pair, catalogue)
        model = pair.model
        verbalizer, reconstructor = verbalizer or pair.verbalizer, reconstructor or pair.reconstructor
        donor = donor or pair.donor
    folder = partial(catalogue.folder, paths_allowed=paths_allowed)
    model_folder = folder(model)
    if not verbalizer or not reconstructor:
        missing = "verbalizer" if not verbalizer else "reconstructor"
        raise BadOption(f"{model} needs an NLA pair to be explained: name its {missing} (--{missing}).")
    return PairSpec(
        model=model_folder,
        verbalizer=folder(verbalizer),
        reconstructor=folder(reconstructor),
        layer=layer,
        donor=folder(donor) if donor else None,
        dtype=options.dtype or settings.dtype,
    )


def _own_layer(pair: Pair, catalogue: Catalogue) -> int | None:
    """The pair's layer where its verbalizer does not name it already: the same parts must stay the same parts."""
    named = next((entry.layer for entry in catalogue.entries() if entry.id == pair.verbalizer), None)
    return pair.layer if pair.layer != named else None
