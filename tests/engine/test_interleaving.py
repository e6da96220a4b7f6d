"""Between slices every shared object is as it was: any two kinds of job, taken apart slice by slice and run in turn on
the same model, leave what each leaves alone, bit by bit.

A new kind of job is one line in `JOBS`: how to make it from the shared model and pair, and what of its result counts.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch

from loupe.engine.context import JobContext
from loupe.engine.jobs import Job, JobState
from loupe.engine.models.certify import CertifyJob, count_hooks
from loupe.engine.models.generate import GenerateOptions
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.reply import ReplyJob
from loupe.engine.nla.analysis import AnalysisJob
from loupe.engine.nla.batching import VerbalizerBatch
from loupe.engine.nla.load_job import LoadJob, LoadPart, Role
from loupe.engine.nla.pair import NLAPair
from loupe.engine.nla.request import AnalysisRequest
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.plan import SAERun, TrainingPlan
from loupe.engine.sae.stream import MemoryRows
from loupe.engine.sae.trainer import TrainingJob
from loupe.engine.task import Task
from tests.engine.nla.tiny_pairs import PairFolders, write_pair

TEXT = "The quick brown fox crossed the wide river at dawn."
SEED = 7


class Shared(NamedTuple):
    """What all jobs of a test use at once."""

    folders: PairFolders
    model: LanguageModel
    pair: NLAPair


@dataclass(frozen=True)
class Maker:
    """A kind of job: `make` a fresh one, and `bits` is what must be the same of its result."""

    make: Callable[[Shared], Job[Any]]
    bits: Callable[[Any], Any]


def _standing() -> float:
    return 0.0


def _analysis(shared: Shared) -> AnalysisJob:
    request = AnalysisRequest(text=TEXT, max_new_tokens=6, best_of=2, temperature=1.0, seed=SEED, positions=(2, 5, 9))
    # a batch of its own: with the shared one, how rows are packed, and so rounding, depends on who decodes beside
    batch = VerbalizerBatch(shared.pair.verbalizer, clock=_standing)
    return AnalysisJob(shared.model, shared.pair, request, batch=batch)


def _reply(shared: Shared) -> ReplyJob:
    return ReplyJob(shared.model, range(5, 12), GenerateOptions(12, 1.0, 0.9, SEED))


def _load(shared: Shared) -> LoadJob:
    return LoadJob([LoadPart(Role.MODEL, shared.folders.base, "model tiny", dtype="fp32")])


def _training(shared: Shared) -> TrainingJob:
    rows = torch.randn(200, 8, generator=torch.Generator().manual_seed(SEED))
    stream = MemoryRows(rows)
    config = SAEConfig.from_dict({"architecture": "topk", "d_in": 8, "d_sae": 20, "k": 3, "d_out": None})
    options = {"steps": 6, "batch_rows": 32, "log_interval": 2, "micro_rows": 8, "lr": 1e-3, "initial_rows": 64}
    runs = (SAERun("it", config, tuple(stream.points), (), {}),)
    return TrainingJob(TrainingPlan(runs, TrainingConfig.from_dict(options)), stream)


def _weights(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in model.state_dict().items()}


def _rows(result: Any) -> list[Any]:
    return result.to_json()["data"]


JOBS = {
    "analysis": Maker(_analysis, _rows),
    "generation": Maker(_reply, lambda reply: (reply.token_ids, reply.text, reply.finish)),
    "certification": Maker(lambda shared: CertifyJob(shared.model), lambda certificate: certificate.checks),
    "model load": Maker(_load, lambda parts: [_weights(part.model) for part in parts.values()]),
    "training": Maker(_training, lambda result: _weights(result.saes[0].sae)),
}
PAIRS = list(itertools.combinations_with_replacement(JOBS, 2))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folders = write_pair(tmp_path_factory.mktemp("interleaved"), "llama")
    return Shared(folders, *folders.load())


def in_turn(*jobs: Job[Any]) -> list[Any]:
    """The results of jobs that are resumed in turn, for the shortest slice there is, as the device thread does."""
    # the clock stands still: how much is packed into one step follows from measured time, and rounding from that
    tasks = [Task(job, JobContext(seed=SEED, slice_budget_s=0, clock=_standing)) for job in jobs]
    ended: dict[int, Any] = {}
    slices = [0] * len(tasks)
    while len(ended) < len(tasks):
        for number, task in enumerate(tasks):
            if number in ended:
                continue
            slices[number] += 1
            if (outcome := task.run_slice()) is not None:
                assert outcome.state is JobState.DONE, outcome.error
                ended[number] = outcome.result
    assert len(jobs) == 1 or min(slices) > 1, f"nothing was interleaved: {slices} slices"
    return [ended[number] for number in range(len(tasks))]


@pytest.fixture(scope="module")
def alone(shared: Shared) -> dict[str, Any]:
    """What each kind of job leaves when nothing else runs."""
    return {name: maker.bits(in_turn(maker.make(shared))[0]) for name, maker in JOBS.items()}


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[" + ".join(pair) for pair in PAIRS])
def test_two_jobs_in_turn_leave_what_each_leaves_alone(
    shared: Shared, alone: dict[str, Any], one: str, other: str
) -> None:
    before = _weights(shared.model.model)
    results = in_turn(JOBS[one].make(shared), JOBS[other].make(shared))
    for name, result in zip((one, other), results, strict=True):
        assert JOBS[name].bits(result) == alone[name], f"{name} beside {other if name == one else one} is different"
    assert _weights(shared.model.model) == before, "the shared model was changed"
    assert count_hooks(shared.model.model) == 0


def test_a_job_that_yields_with_the_model_patched_is_found(shared: Shared, alone: dict[str, Any]) -> None:
    class Patches:
        """Breaks the rule: scales a weight of the shared model, and puts it back only after a yield."""

        name = "patches"
        priority = CertifyJob(shared.model).priority

        def run(self, ctx: JobContext) -> Any:
            from loupe.engine.jobs import Progress

            weight = next(shared.model.model.parameters())
            kept = weight.detach().clone()
            with torch.no_grad():
                weight.mul_(1.5)
            for step in range(40):
                yield Progress(step)
            with torch.no_grad():
                weight.copy_(kept)

    _, result = in_turn(Patches(), JOBS["analysis"].make(shared))
    assert JOBS["analysis"].bits(result) != alone["analysis"], "the test would not notice a broken rule"
