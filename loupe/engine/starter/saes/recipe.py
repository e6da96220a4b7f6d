"""What the starter's SAEs are and how long they are trained: two on the residual stream, a transcoder for every MLP."""

from __future__ import annotations

from dataclasses import dataclass, replace

from loupe.engine.models.hooks import HookPoint, Site
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.kinds import Architecture
from loupe.engine.sae.plan import SAERun, TrainingPlan


@dataclass(frozen=True, slots=True)
class SAERecipe:
    """Sizes and budgets: residual SAEs at `layers`, transcoders at every MLP, `tokens` of training for all at once."""

    layers: tuple[int, ...] = (2, 3)
    d_sae: int = 2048
    k: int = 32
    d_transcoder: int = 1024
    k_transcoder: int = 24
    first_document: int = 200_000_000  # neither the language model nor the NLA has seen these
    documents: int = 20_000
    tokens: int = 2_000_000
    batch_rows: int = 1024
    lr: float = 3e-3
    census_documents: int = 800  # whose tokens tell which latents died
    settling_documents: int = 4000  # whose tokens settle the thresholds of what was written
    judged_documents: int = 400
    seed: int = 41

    @property
    def buffer_rows(self) -> int:
        """Tokens shuffled together: twelve hook points of them are in memory at once."""
        return min(16_384, max(2048, self.tokens))

    @property
    def census(self) -> range:
        """Documents after those of the training."""
        first = self.first_document + self.documents
        return range(first, first + self.census_documents)

    @property
    def settling(self) -> range:
        """Documents after those of the census."""
        return range(self.census.stop, self.census.stop + self.settling_documents)

    def scaled(self, scale: float) -> SAERecipe:
        """For tests and trials."""
        return replace(
            self,
            documents=max(40, int(self.documents * scale)),
            tokens=max(4 * self.batch_rows, int(self.tokens * scale)),
            census_documents=max(20, int(self.census_documents * scale)),
            settling_documents=max(20, int(self.settling_documents * scale)),
            judged_documents=max(8, int(self.judged_documents * scale)),
        )


def training_plan(recipe: SAERecipe, lm: LanguageModel) -> TrainingPlan:
    """Every SAE of the starter in one job."""
    residual = SAEConfig(Architecture.BATCHTOPK, lm.d_model, recipe.d_sae, recipe.k)
    transcoder = SAEConfig(Architecture.TRANSCODER, lm.d_model, recipe.d_transcoder, recipe.k_transcoder)
    runs = [_run(HookPoint(layer), HookPoint(layer), residual) for layer in recipe.layers]
    runs += [
        _run(HookPoint(layer, Site.MLP_IN), HookPoint(layer, Site.MLP_OUT), transcoder) for layer in range(lm.n_layers)
    ]
    training = TrainingConfig(
        steps=recipe.tokens // recipe.batch_rows,
        batch_rows=recipe.batch_rows,
        lr=recipe.lr,
        dead_tokens=max(1, min(200_000, recipe.tokens // 10)),
        initial_rows=recipe.buffer_rows,
        threshold_rows=min(1 << 18, recipe.tokens),
        checkpoint_interval=200,
        seed=recipe.seed,
    )
    return TrainingPlan(tuple(runs), training)


def folder_of(run: SAERun) -> str:
    """The hook point that is reconstructed: `blocks.3.resid_post`, `blocks.0.mlp_out`."""
    return str(run.writes[0])


def _run(reads: HookPoint, writes: HookPoint, sae: SAEConfig) -> SAERun:
    return SAERun(str(writes), sae, (reads,), (writes,))
