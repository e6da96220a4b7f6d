"""Training as a job: it learns, may be interrupted anywhere, is resumed bit by bit, stopped and forked."""

import math
from dataclasses import replace

import pytest
import torch

from loupe.engine.context import JobContext
from loupe.engine.errors import BadInput, BadOption, CorruptFile, WidthMismatch
from loupe.engine.jobs import Checkpoint, Progress
from loupe.engine.models.hooks import HookPoint, Site
from loupe.engine.sae.checkpoint import newest_usable, read_checkpoint
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.measures import Measures
from loupe.engine.sae.plan import SAERun, TrainingPlan, one_sae
from loupe.engine.sae.stream import ActivationStream, MemoryRows
from loupe.engine.sae.trainer import TrainingJob, WatchedText, checkpointed_sae
from loupe.engine.task import run_here
from loupe.storage.artefacts import ArtefactStore
from tests.engine.models.zoo import lm_of
from tests.engine.sae.samples import CASES, configs, run
from tests.engine.sae.test_stream import stories

IN, OUT = HookPoint(1, Site.MLP_IN), HookPoint(1, Site.MLP_OUT)
TIMES = {"tokens_per_s", "memory"}


def world(rows: int = 600, d: int = 8, seed: int = 0) -> torch.Tensor:
    """Rows made of a few of twelve directions, off centre."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(12, d, generator=generator)
    amounts = torch.rand(rows, 12, generator=generator) * (torch.rand(rows, 12, generator=generator) < 0.2)
    return 5 * amounts @ directions + 2


def stream(seed: int = 0) -> MemoryRows:
    x = world()
    return MemoryRows({IN: x, OUT: torch.tanh(x)}, seed=seed)


def plan(case: str = "batchtopk", **training) -> TrainingPlan:
    shape, changes = CASES[case]
    sae = {"architecture": case.split()[0], "d_in": 8, "d_sae": 20, **shape, "d_out": None}
    config = SAEConfig.from_dict(sae if config_parts(case) == 1 else sae | {"d_in": 16})
    reads, writes = (IN,), (OUT,) if config.is_transcoder else ()
    if config.parts == 2:
        reads = (IN, OUT)
    options = {"steps": 12, "batch_rows": 32, "log_interval": 4, "checkpoint_interval": 5, "micro_rows": 8, "lr": 1e-3}
    options |= {"dead_tokens": 96, "dead_refresh": 2, "threshold_rows": 512, "initial_rows": 64}
    return TrainingPlan((SAERun("it", config, reads, writes, changes),), TrainingConfig.from_dict(options | training))


def config_parts(case: str) -> int:
    return CASES[case][0].get("parts", 1)


def train(job, store=None, seed: int = 0):
    """Run to the end; returns (result, curves, checkpoint references)."""
    points, saved = [], []

    def observe(event):
        if isinstance(event, Checkpoint):
            saved.append(event.state)
        elif isinstance(event.item, Measures):
            points.append({k: v for k, v in event.item.to_dict().items() if k not in TIMES})

    return run_here(job, seed=seed, on_event=observe, writer=store.write if store else None), points, saved


def same(left, right) -> bool:
    states = [result.saes[0].sae.state_dict() for result in (left, right)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("case", CASES)
def test_every_architecture_trains_and_explains_more_than_at_the_start(case):
    result, points, _ = train(TrainingJob(plan(case, steps=60, log_interval=20), stream()))
    assert [point["step"] for point in points] == [20, 40, 60]
    assert points[-1]["tokens"] == 60 * 32
    assert all(math.isfinite(point["loss"]) for point in points)
    assert points[-1]["reconstruction"] < points[0]["reconstruction"] or points[-1]["l0"] < points[0]["l0"]
    assert sum(points[-1]["density"]) == 20
    assert result.saes[0].sae.decoder_norms.shape == (20,)


@pytest.mark.parametrize("case", CASES)
def test_resuming_from_a_checkpoint_gives_the_bits_of_never_having_stopped(case, tmp_path):
    whole, points, _ = train(TrainingJob(plan(case), stream()))
    store = ArtefactStore(tmp_path / "artefacts")
    _, _, saved = train(TrainingJob(plan(case), stream()), store)
    assert [each["step"] for each in saved] == [5, 10, 12]
    for each in saved:
        state = read_checkpoint(store.open(each["artefact"]).folder)
        again, later, _ = train(TrainingJob.resumed(state, stream()))
        assert same(whole, again)
        assert later == [point for point in points if point["step"] > each["step"]]


@pytest.mark.parametrize("case", ["batchtopk", "jumprelu", "matryoshka"])
def test_work_of_others_between_any_two_pieces_changes_nothing(case):
    alone, points, _ = train(TrainingJob(plan(case), stream()))
    job, other = TrainingJob(plan(case), stream()), TrainingJob(plan("gated"), stream())
    steps, others, seen = job.run(JobContext()), other.run(JobContext()), []
    pieces = 0
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            result = stop.value
            break
        pieces += 1
        torch.manual_seed(pieces)
        next(others, None)
        if isinstance(event, Progress) and isinstance(event.item, Measures):
            seen.append({k: v for k, v in event.item.to_dict().items() if k not in TIMES})
    assert pieces >= 12 * 4
    assert same(alone, result)
    assert seen == points


def test_several_saes_train_on_one_stream_as_each_would_alone():
    kinds = ("batchtopk", "transcoder", "standard")
    runs = []
    for kind in kinds:
        config, _ = configs(kind)
        config = SAEConfig.from_dict(config.to_dict() | {"d_out": None})
        runs.append(SAERun(kind, config, (IN,), (OUT,) if config.is_transcoder else ()))
    common = plan().training
    together, points, _ = train(TrainingJob(TrainingPlan(tuple(runs), common), stream()))
    assert {point["name"] for point in points} == set(kinds)
    alone, _, _ = train(TrainingJob(TrainingPlan((runs[2],), common), stream()))  # has no threshold pass
    assert torch.equal(together.saes[2].sae.W_dec, alone.saes[0].sae.W_dec)


def test_several_saes_are_resumed_each_as_itself(tmp_path):
    config = plan("topk").runs[0].sae
    names = ["z", "a", *(f"m{number}" for number in range(9))]  # neither in alphabetical order nor fewer than ten
    many = TrainingPlan(tuple(SAERun(name, config, (IN,)) for name in names), plan().training)
    store = ArtefactStore(tmp_path / "artefacts")
    whole, points, saved = train(TrainingJob(many, stream()), store)
    state = read_checkpoint(store.open(saved[0]["artefact"]).folder)
    again, later, _ = train(TrainingJob.resumed(state, stream()))
    assert [each.run.name for each in again.saes] == names
    for left, right in zip(whole.saes, again.saes, strict=True):
        assert torch.equal(left.sae.W_dec, right.sae.W_dec)
    assert later == [point for point in points if point["step"] > saved[0]["step"]]


def test_stopping_keeps_what_was_trained(tmp_path):
    store = ArtefactStore(tmp_path / "artefacts")
    job, saved = TrainingJob(plan(steps=1000), stream(), saves_beside=False), []

    def observe(event):
        if isinstance(event, Progress) and event.done == 7:
            job.stop()
        if isinstance(event, Checkpoint):
            saved.append(event.state["step"])

    result = run_here(job, on_event=observe, writer=store.write)
    assert result.stopped
    assert saved == [5, result.step]
    assert 7 <= result.step <= 8
    l0 = (result.saes[0].sae.encode(world()) > 0).sum(1).double().mean()
    assert abs(float(l0) / 3 - 1) < 0.1


def test_a_checkpoint_can_be_asked_for_at_any_time(tmp_path):
    store = ArtefactStore(tmp_path / "artefacts")
    job, saved = TrainingJob(plan(checkpoint_interval=0), stream()), []

    def observe(event):
        if isinstance(event, Progress) and event.done == 3:
            job.save_now()
        if isinstance(event, Checkpoint):
            saved.append(event.state["step"])

    run_here(job, on_event=observe, writer=store.write)
    assert saved[0] in (3, 4)


def test_a_fork_goes_on_from_a_checkpoint_with_other_options(tmp_path):
    store = ArtefactStore(tmp_path / "artefacts")
    first, _, saved = train(TrainingJob(plan(), stream()), store)
    state = read_checkpoint(store.open(saved[0]["artefact"]).folder)
    fork = state.plan.forked({"steps": 20}, {"it": {"lr": 5e-4}})
    result, points, _ = train(TrainingJob.resumed(state, stream(), plan=fork))
    assert [point["step"] for point in points] == [8, 12, 16, 20]
    assert not same(first, result)
    with pytest.raises(BadOption, match="no SAE named other"):
        state.plan.forked(changes={"other": {}})


def test_running_out_of_memory_halves_what_is_computed_at_once_and_says_so(monkeypatch):
    from loupe.engine.sae import architectures

    original = architectures.ksparse._topk_tile

    def short_of_memory(sae, seen, k, **options):
        if len(seen) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(sae, seen, k, **options)

    monkeypatch.setattr(architectures, "can_be_compiled", lambda *weights: False)  # as on a GPU
    small, _, _ = train(TrainingJob(plan(micro_rows=2), stream()))
    monkeypatch.setattr(architectures.ksparse, "_topk_tile", short_of_memory)
    said = []
    job = TrainingJob(plan(), stream())
    result = run_here(job, on_event=lambda event: said.append(getattr(event, "message", "")))
    notices = [text for text in said if "out of memory" in text]
    assert [text.split(": ")[1].split()[0] for text in notices] == ["4", "2"]
    assert "batch stays 32" in notices[0]
    assert same(small, result)


def test_one_row_that_does_not_fit_is_an_error(monkeypatch):
    from loupe.engine.errors import OutOfDeviceMemory
    from loupe.engine.sae import architectures

    def no_memory(sae, seen, k, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(architectures, "can_be_compiled", lambda *weights: False)
    monkeypatch.setattr(architectures.ksparse, "_topk_tile", no_memory)
    with pytest.raises(OutOfDeviceMemory):
        run_here(TrainingJob(plan(), stream()))


def test_activations_that_are_not_numbers_are_refused_with_where():
    rows = world()
    rows[17] = math.nan
    with pytest.raises(BadInput, match=r"not finite|NaN"):
        run_here(TrainingJob(one_sae("topk", HookPoint(0), 8, 16, k=2), MemoryRows(rows)))


def test_a_learning_rate_that_blows_up_is_named():
    rows = world()
    job = TrainingJob(
        one_sae(
            "standard", HookPoint(0), 8, 16, training=TrainingConfig(steps=200, batch_rows=64, grad_clip=0, lr=0.1)
        ),
        MemoryRows(rows),
    )
    job.run(JobContext())
    learner_breaks = TrainingJob(job.plan, MemoryRows(rows))

    def observe(event):
        if event.done == 3:
            learner_breaks._learners[0].sae.W_dec.fill_(math.inf)

    with pytest.raises(BadOption, match="learning rate"):
        run_here(learner_breaks, on_event=observe)


def test_what_does_not_fit_is_refused_before_anything_runs():
    with pytest.raises(WidthMismatch, match="d_in = 9"):
        TrainingJob(one_sae("topk", HookPoint(0), 9, 16, k=2), MemoryRows(world()))
    with pytest.raises(BadOption, match=r"blocks\.7\.resid_post is needed"):
        TrainingJob(one_sae("topk", HookPoint(7), 8, 16, k=2), MemoryRows(world()))
    with pytest.raises(BadOption, match=r"k = 17 is above d_sae = 16"):
        one_sae("topk", HookPoint(0), 8, 16, k=17)
    with pytest.raises(BadOption, match="lr = 3"):
        one_sae("topk", HookPoint(0), 8, 16, lr=3.0)
    with pytest.raises(BadOption, match="name of its own"):
        TrainingPlan(one_sae("topk", HookPoint(0), 8, 16).runs * 2)
    with pytest.raises(BadOption, match="belong to the whole job"):
        one_sae("topk", HookPoint(0), 8, 16, steps=3)
    with pytest.raises(BadOption, match="has its L0 from k"):
        one_sae("topk", HookPoint(0), 8, 16, l0_target=3)
    with pytest.raises(BadInput):
        MemoryRows(torch.zeros(0, 8))


def test_a_damaged_checkpoint_is_refused_and_the_one_before_used(tmp_path):
    store = ArtefactStore(tmp_path / "artefacts")
    _, _, saved = train(TrainingJob(plan(), stream()), store)
    folders = [store.root / each["artefact"] for each in reversed(saved)]
    state, refused = newest_usable(folders)
    assert (state.step, refused) == (12, [])
    weights = folders[0] / "sae_0.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    text = (folders[1] / "state.json").read_text()
    (folders[1] / "state.json").write_text(text.replace('\\"step\\": 10', '\\"step\\": 11'))
    state, refused = newest_usable(folders)
    assert state.step == 5
    assert len(refused) == 2
    (folders[2] / "state.json").write_text(text[:100])
    with pytest.raises(CorruptFile):
        read_checkpoint(folders[2])
    assert newest_usable(folders)[0] is None


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    store = ArtefactStore(tmp_path / "artefacts")
    _, _, saved = train(TrainingJob(plan(), stream()), store)
    state = read_checkpoint(store.open(saved[0]["artefact"]).folder)
    with pytest.raises(BadOption, match="another stream"):
        run_here(TrainingJob.resumed(state, stream(seed=1)))
    other = SAERun("it", SAEConfig.from_dict(state.plan.runs[0].sae.to_dict() | {"d_sae": 24}), (IN,))
    with pytest.raises(BadOption, match="other shapes"):
        run_here(TrainingJob.resumed(state, stream(), plan=TrainingPlan((other,), state.plan.training)))


def test_watched_text_shows_its_strongest_features():
    text = WatchedText(("a", "b", "c"), {IN: world()[:3], OUT: world()[:3]})
    strips = []

    def observe(event):
        if isinstance(event, Progress) and isinstance(event.item, Measures):
            strips.append(event.item.strip)

    run_here(TrainingJob(plan(), stream(), watched=[text]), on_event=observe)
    assert len(strips) == 3
    assert strips[-1].tokens == ("a", "b", "c")
    assert strips[-1].latents
    assert len(strips[-1].acts) == len(strips[-1].latents)
    peaks = [max(row) for row in strips[-1].acts]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[-1] > 0


def test_the_sae_of_a_checkpoint_can_be_used_as_it_is(tmp_path):
    store = ArtefactStore(tmp_path / "artefacts")
    result, _, saved = train(TrainingJob(plan("topk"), stream()), store)
    state = read_checkpoint(store.open(saved[-1]["artefact"]).folder)
    assert same(result, replace(result, saes=(replace(result.saes[0], sae=checkpointed_sae(state, "it")),)))
    with pytest.raises(BadOption, match="no SAE named other"):
        checkpointed_sae(state, "other")


def test_a_plan_says_what_it_needs_and_a_probe_how_long_it_takes():
    from loupe.engine.sae.fit import needs_of, probe

    small, large = needs_of(plan("topk")), needs_of(plan("topk", batch_rows=64))
    weights = sum(weight.numel() for weight in train(TrainingJob(plan("topk"), stream()))[0].saes[0].sae.parameters())
    assert small.result >= 4 * weights
    assert small.memory < large.memory
    rows = stream()
    rows.restore({"kind": "memory", "seed": 0, "block": 0, "offset": 100})
    pace, yields = run(probe(plan("topk"), rows, JobContext()))
    assert yields > 3
    assert pace.rows_per_s > 0
    assert pace.seconds == pytest.approx(12 * 32 / pace.rows_per_s)
    again = stream()
    again.restore({"kind": "memory", "seed": 0, "block": 0, "offset": 100})
    left, right = (run(each.next_batch(5))[0][IN] for each in (rows, again))
    assert torch.equal(left, right)


def test_while_the_first_buffer_fills_the_training_says_how_far_it_is() -> None:
    lm = lm_of("llama")
    training = TrainingConfig.from_dict({"steps": 2, "batch_rows": 16, "initial_rows": 32, "threshold_rows": 16})
    rows = ActivationStream(lm, stories(), [HookPoint(1)], buffer_rows=96, forward_tokens=16)
    job = TrainingJob(one_sae("topk", HookPoint(1), lm.d_model, 24, k=3, training=training), rows)
    said: list[str] = []
    run_here(job, on_event=lambda event: said.append(event.message))
    filling = [message for message in said if message.startswith("reading the first rows")]
    counts = [int(message.split(": ")[1].split(" of ")[0]) for message in filling]
    assert counts == sorted(counts) and 0 < counts[-1] <= 96 and len(set(counts)) > 2
    assert all(message.endswith(" of 96") for message in filling)
