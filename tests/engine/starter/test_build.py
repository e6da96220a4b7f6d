"""`loupe starter build`, whole, at a five-hundredth of its size: every stage, every file, and going on where it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loupe.engine.models.lens import TunedLens
from loupe.engine.starter import build
from loupe.engine.starter.build import Plan, build_starter, finish_stage
from loupe.engine.starter.explanations import Slots
from loupe.engine.starter.score import name_scores, slot_agreement
from loupe.engine.starter.stages import GateFailed, StageProgress, Workshop

SCRIPT = """
import json, sys
from pathlib import Path
from loupe.engine.starter.build import build_starter
if __name__ == "__main__":
    seen = []
    build_starter(Path(sys.argv[1]), Path(sys.argv[2]), scale=0.002, on_progress=lambda p: seen.append(p.stage))
    print(json.dumps(sorted(set(seen))))
"""


def _build(target: Path, work: Path) -> set[str]:
    """In a process of its own, as the command does it: without the type checks of this suite, which slow text down."""
    script = work.with_name("build.py")
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, target, work], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, set[str]]:
    folder = tmp_path_factory.mktemp("build")
    stages = _build(folder / "starter", folder / "work")
    return folder / "starter", folder / "work", stages


def test_a_build_leaves_public_folders_scores_samples_and_a_card(built):
    starter, _, stages = built
    for place in ("model", "nla/av", "nla/ar", "nla/ar2"):
        assert (starter / place / "model.safetensors").is_file()
        assert (starter / place / "tokenizer.json").is_file()
    for place in ("blocks.2.resid_post", "blocks.3.resid_post", *(f"blocks.{layer}.mlp_out" for layer in range(5))):
        assert {file.name for file in (starter / "saes" / place).iterdir()} >= {"cfg.json", "evals.json"}
    assert len(list((starter / "runs").glob("*.json"))) == 3
    scores = json.loads((starter / "scores.json").read_text())
    assert set(scores) >= {"language_model", "binding", "reconstructor", "teacher_forced_loss", "greedy", "best_of_8"}
    assert len(scores["saes"]["cards"]) == 7
    assert f"{scores['greedy']['fve_nrm']:.3f}" in (starter / "README.md").read_text()
    assert {
        "tokenizer",
        "binding_model",
        "language_model",
        "lens",
        "examples",
        "reconstructor",
        "verbalizer",
        "improvement",
    } <= stages


def test_the_tuned_lens_ships_with_its_scores_in_the_card(built):
    starter, _, _ = built
    card = json.loads((starter / "lens/lens.json").read_text())
    assert TunedLens.load(starter / "lens").layers == (0, 1, 2, 3)
    assert f"| 2 | {card['scores'][2]['kl_logit_lens']:.3f} |" in (starter / "README.md").read_text()
    run = json.loads(next((starter / "runs").glob("*.json")).read_text())
    assert all(len(row["tuned_lens"]) == len(row["logit_lens"]) == 5 for row in run["data"])


def test_sample_runs_explain_every_token_of_a_held_out_story(built):
    starter, _, _ = built
    for file in (starter / "runs").glob("*.json"):
        run = json.loads(file.read_text())
        assert [row["position"] for row in run["data"]] == list(range(len(run["data"])))
        assert all("explanation" in row and len(row["rollouts"]) == 4 for row in run["data"])


def test_building_again_repeats_no_finished_stage(built):
    _, work, _ = built
    again: list[StageProgress] = []
    for name in (
        "tokenizer",
        "binding_model",
        "language_model",
        "examples",
        "reconstructor",
        "verbalizer",
        "refinement",
        "spelling",
        "improvement",
    ):
        finish_stage(name, Workshop(work), Plan().scaled(0.002), again.append)
    assert again == []


def test_a_model_that_does_not_bind_is_stopped_at_the_gate(built, tmp_path: Path):
    from dataclasses import replace

    _, work, _ = built
    for name in ("tokenizer", "binding_model"):
        (tmp_path / name).symlink_to(work / name)
    plan = replace(Plan().scaled(0.0003), gated=True)
    with pytest.raises(GateFailed, match="does not bind"):
        finish_stage("language_model", Workshop(tmp_path), plan, lambda progress: None)
    assert not (tmp_path / "language_model").exists()


def test_a_lane_that_fails_ends_the_build_with_its_reason(tmp_path: Path):
    with pytest.raises(RuntimeError, match="reconstructor"):
        build._side_by_side((("reconstructor",),), Workshop(tmp_path), Plan(), lambda progress: None)


def test_another_seed_trains_on_other_documents_and_never_on_held_out_ones(tmp_path: Path):
    first, second = Plan(), Plan().seeded(1)
    last = first.language_model.first_document + first.language_model.documents
    for name in ("binding_model", "language_model"):
        assert getattr(second, name).first_document >= last
        assert getattr(second, name).seed != getattr(first, name).seed
    with pytest.raises(ValueError, match="held-out"):
        build_starter(tmp_path / "a", tmp_path / "b", seed=90)


def test_agreement_counts_recall_over_the_known_and_precision_over_the_stated():
    truth = [Slots("Mia", "kite", None, None, "kite", "."), Slots("Tom", None, None, None, "a", "b")]
    texts = [
        "A story about Mia; the drum.\n… x … is about a loss.\nLast token: kite (a thing). Next, surely: full stop.",
        "nothing",
    ]
    agreement = slot_agreement(texts, truth)
    assert agreement["who"] == {"recall": 0.5, "precision": 1.0, "known": 2, "stated": 1}
    assert agreement["thing"]["recall"] == 0.0 and agreement["thing"]["stated"] == 1
    assert agreement["event"]["known"] == 0 and agreement["event"]["stated"] == 1


def test_an_invented_name_is_counted_as_invented():
    scores = name_scores(["A story about Mia, with Tom."], [("Mia",)])
    assert scores == {"in_text_so_far": 0.5, "mentioned": 2}
