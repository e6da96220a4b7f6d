"""The recipes that Loupe brings: ready to be trained on any model, one of them is that of the starter's own SAEs.

Hook points that a recipe leaves out are those of the model's middle block, so that it fits whatever the model.
"""

from dataclasses import dataclass

from loupe.app.services.training_request import Recipe, SAERequest

STARTER_LAYERS, STARTER_BLOCKS = (2, 3), 5  # of engine/starter/saes/recipe.py, which would bring in torch


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A template that ships."""

    id: str
    name: str
    about: str
    recipe: Recipe


def _first_look() -> Recipe:
    sae = SAERequest(d_sae=512, options={"k": 16})
    return Recipe(
        saes=(sae,), buffer_rows=16_384,
        training={"steps": 500, "batch_rows": 1024, "initial_rows": 16_384, "log_interval": 10,
                  "evaluation_interval": 250, "checkpoint_interval": 250, "threshold_rows": 65_536},
    )  # fmt: skip


def _thorough() -> Recipe:
    return Recipe(saes=(SAERequest(d_sae=8192, options={"k": 32}),), training={"steps": 20_000})


def _sparsities() -> Recipe:
    saes = tuple(SAERequest(d_sae=2048, options={"k": k}) for k in (8, 16, 32, 64))
    return Recipe(saes=saes, training={"steps": 5000, "batch_rows": 2048})


def _architectures() -> Recipe:
    k_sparse = [SAERequest(architecture=kind, d_sae=2048, options={"k": 32}) for kind in ("topk", "batchtopk")]
    k_sparse.append(SAERequest(architecture="matryoshka", d_sae=2048, options={"k": 32}))
    steered = [
        SAERequest(architecture=kind, d_sae=2048, changes={"l0_target": 32.0})
        for kind in ("standard", "gated", "jumprelu")
    ]
    return Recipe(saes=(*k_sparse, *steered), training={"steps": 5000, "batch_rows": 2048})


def _jumprelu() -> Recipe:
    sae = SAERequest(architecture="jumprelu", d_sae=4096, changes={"l0_target": 32.0})
    return Recipe(saes=(sae,), training={"steps": 20_000})


def _transcoder() -> Recipe:
    return Recipe(
        saes=(SAERequest(architecture="transcoder", d_sae=4096, options={"k": 32}),), training={"steps": 10_000}
    )


def _starter() -> Recipe:
    residual = [SAERequest(d_sae=2048, options={"k": 32}, reads=(f"blocks.{i}.resid_post",)) for i in STARTER_LAYERS]
    transcoders = [
        SAERequest(
            architecture="transcoder", d_sae=1024, options={"k": 24},
            reads=(f"blocks.{i}.mlp_in",), writes=(f"blocks.{i}.mlp_out",),
        )
        for i in range(STARTER_BLOCKS)
    ]  # fmt: skip
    training = {
        "steps": 1953, "batch_rows": 1024, "lr": 3e-3, "dead_tokens": 200_000, "initial_rows": 16_384,
        "threshold_rows": 1 << 18, "checkpoint_interval": 200, "seed": 41,
    }  # fmt: skip
    return Recipe(saes=(*residual, *transcoders), training=training, buffer_rows=16_384)


BUILT_IN = tuple(
    BuiltIn(id, name, about, recipe)
    for id, name, about, recipe in (
        ("first-look", "First look", "512 features in half a million tokens: minutes on a laptop.", _first_look()),
        ("thorough", "BatchTopK, thorough", "8 192 features at k = 32, 80 million tokens.", _thorough()),
        ("sparsities", "Four sparsities", "k = 8, 16, 32, 64 from one pass over the model.", _sparsities()),
        ("architectures", "Six architectures", "Alike in width, all at 32 active features: compare them.",
         _architectures()),
        ("jumprelu", "JumpReLU with a target", "Anthropic's recipe, steered to 32 active features.", _jumprelu()),
        ("transcoder", "Transcoder", "What the middle MLP computes, in features.", _transcoder()),
        ("starter", "The starter's SAEs", "How those that ship are made: two SAEs, five transcoders.", _starter()),
    )
)  # fmt: skip
