"""SAEs of this and other libraries on disk. `read_sae` reads them all; `write_saelens` writes what most can read."""

from loupe.engine.sae.formats.detect import find_saes, read_sae
from loupe.engine.sae.formats.loaded import LoadedSAE, for_model
from loupe.engine.sae.formats.saelens import ModelFacts, facts_of, sae_lens_reads, write_saelens

__all__ = [
    "LoadedSAE",
    "ModelFacts",
    "facts_of",
    "find_saes",
    "for_model",
    "read_sae",
    "sae_lens_reads",
    "write_saelens",
]
