"""The deployment samples: they parse, and speak of settings and metrics that exist."""

import json
import re
from pathlib import Path

import yaml

from loupe.app.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def test_every_setting_that_a_sample_names_exists() -> None:
    known = {f"LOUPE_{name.upper()}" for name in Settings.model_fields} | {"LOUPE_NAME", "LOUPE_BACKUP"}
    own = {"LOUPE_COMMAND", "LOUPE_PYTHON"}  # of the script itself
    for file in (*DEPLOY.rglob("*.*"), ROOT / "Dockerfile", ROOT / "runpod_start.sh"):
        named = set(re.findall(r"LOUPE_[A-Z_]+", file.read_text()))
        assert named <= known | own, (file, named - known - own)


def test_the_dashboard_draws_metrics_that_are_served() -> None:
    served = (ROOT / "loupe/app/services/metrics.py").read_text()
    panels = json.loads((DEPLOY / "grafana/loupe.json").read_text())["panels"]
    assert len(panels) == 8
    for panel in panels:
        assert panel["targets"][0]["expr"] in served, panel["title"]


def test_the_samples_are_valid_yaml() -> None:
    for file in (*DEPLOY.rglob("*.y*ml"), ROOT / ".github/workflows/ci.yml"):
        assert yaml.safe_load(file.read_text()), file
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert services["loupe"]["read_only"] is True and "ports" not in services["loupe"]
