"""kill -9 at every phase of stepping and of saving: what is resumed continues as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch

from loupe.engine.context import JobContext
from loupe.engine.jobs import Checkpoint
from loupe.engine.sae.checkpoint import newest_usable
from loupe.engine.sae.measures import Measures
from loupe.engine.sae.trainer import TrainingJob
from loupe.engine.sae.warming import kernels_ready
from loupe.storage.artefacts import ArtefactStore
from tests.engine.sae.test_trainer import TIMES, plan, stream
from tests.storage.faults import ALWAYS, Dying

# One process imports torch and the kernels, then forks a child per life, so that each life can be killed cheaply, and
# spends its events on training.
LIVES = """
import json, os, signal, sys
from pathlib import Path
import torch
from loupe.engine.sae.warming import kernels_ready
from tests.engine.sae.test_killed_training import one_life

torch.set_num_threads(1)
list(kernels_ready())
for home, at_event, at_effect, beside in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        one_life(Path(home), at_event, at_effect, beside)
    status = os.waitpid(child, 0)[1]
    print(json.dumps(os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), flush=True)
"""


def small():
    return plan("matryoshka", steps=6, log_interval=2, checkpoint_interval=2, threshold_rows=64, micro_rows=16)


def one_life(home: Path, at_event: int, at_effect: int, beside: bool) -> None:
    """Train from the last checkpoint on; die at the Nth event, at the Nth effect on the disk, or finish."""
    try:
        home.mkdir(exist_ok=True)
        store = ArtefactStore(home / "artefacts", fs=Dying(at_effect or ALWAYS))
        state, options = last_state(home), {"saves_beside": beside}
        job = TrainingJob.resumed(state, stream(), **options) if state else TrainingJob(small(), stream(), **options)
        steps = job.run(JobContext(writer=store.write))
        for number in range(1, 100_000):
            event = next(steps)
            if number == at_event:
                os.kill(os.getpid(), signal.SIGKILL)
            record(home, event)
    except StopIteration as stop:
        torch.save(stop.value.saes[0].sae.state_dict(), home / "result.pt")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def record(home: Path, event) -> None:
    """What a service keeps: every point of the curves, and which checkpoints are complete."""
    line = None
    if isinstance(event, Checkpoint):
        line = {"checkpoint": event.state["artefact"]}
    elif isinstance(event.item, Measures):
        line = {"point": {key: value for key, value in event.item.to_dict().items() if key not in TIMES}}
    if line is not None:
        with (home / "events.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def events(home: Path) -> list[dict]:
    file = home / "events.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def last_state(home: Path):
    known = [event["checkpoint"] for event in events(home) if "checkpoint" in event]
    state, refused = newest_usable([home / "artefacts" / id for id in reversed(known)])
    assert refused == []
    return state


def live(*lives) -> list[int]:
    """Run lives (home, event, effect, beside) one after the other; 9 for each that was killed, 0 if it finished."""
    arguments = json.dumps([[str(home), *rest] for home, *rest in lives])
    done = subprocess.run([sys.executable, "-c", LIVES, arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def curve(home: Path) -> dict[int, dict]:
    """One point per step; a step that was done again must have given the same numbers."""
    points: dict[int, dict] = {}
    for event in events(home):
        if "point" in event:
            point = event["point"]
            assert points.setdefault(point["step"], point) == point
    return points


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("training") / "whole"
    assert live((home, 0, 0, False)) == [0]
    return home


def assert_same(home: Path, undisturbed: Path) -> None:
    left = torch.load(home / "result.pt", weights_only=True)
    right = torch.load(undisturbed / "result.pt", weights_only=True)
    assert all(torch.equal(left[name], right[name]) for name in right)
    assert curve(home) == curve(undisturbed)
    assert list(curve(home)) == [2, 4, 6]


def assert_recovers(tmp_path: Path, undisturbed: Path, deaths: list[tuple[int, int, bool]]) -> None:
    """After each of these deaths, a second life ends as the undisturbed one did."""
    homes = [tmp_path / str(number) for number in range(len(deaths))]
    lives = [life for home, death in zip(homes, deaths, strict=True) for life in ((home, *death), (home, 0, 0, False))]
    assert live(*lives) == [9, 0] * len(deaths)
    for home in homes:
        assert_same(home, undisturbed)


def test_killed_between_pieces_of_a_step_it_goes_on_from_the_last_checkpoint(tmp_path, undisturbed):
    list(kernels_ready())
    total = sum(1 for _ in TrainingJob(small(), stream()).run(JobContext()))
    assert total > 30
    assert_recovers(tmp_path, undisturbed, [(at, 0, False) for at in range(1, total, 3)])


def test_killed_at_any_effect_of_saving_it_goes_on_from_what_was_complete(tmp_path, undisturbed):
    assert_recovers(tmp_path, undisturbed, [(0, at, False) for at in range(1, 44, 3)])


def test_killed_while_a_checkpoint_is_written_beside_the_training(tmp_path, undisturbed):
    assert_recovers(tmp_path, undisturbed, [(0, at, True) for at in range(6, 40, 5)])


def test_dying_again_and_again_it_still_arrives(tmp_path, undisturbed):
    home = tmp_path / "often"
    fates = live(*((home, 30, 0, False) for _ in range(5)), (home, 0, 0, False))
    assert fates[0] == 9
    assert fates[-1] == 0
    assert_same(home, undisturbed)
