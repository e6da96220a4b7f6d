"""`runpod_start.sh` for real: a volume, a server, the pod stopped, killed and moved to another machine."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loupe.app.older_variables import translate
from tests.app.conftest import lay_out_starter

SCRIPT = Path(__file__).parents[2] / "runpod_start.sh"
LOUPE = Path(sys.executable).with_name("loupe")
SERVES = re.compile(r"Loupe serves (http://\S+)")


class Pod:
    """The script as a process; its output is read line by line, which is also how tests wait."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.home = Path(environment["LOUPE_HOME"])
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            ["bash", str(SCRIPT), *arguments],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def until(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """The next line that matches; fails with everything said when the script ends before."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern} was never said:\n" + "\n".join(self.lines))

    def end(self) -> tuple[int, str]:
        """Wait for the end; exit code and everything said."""
        rest, _ = self.process.communicate(timeout=60)
        self.lines += rest.splitlines()
        return self.process.returncode, "\n".join(self.lines)

    def ask(self, path: str, key: str = "k" * 20, body: dict | None = None) -> dict:
        """Call the API of the server that runs."""
        holder = json.loads((self.home / "holder.json").read_text())
        request = urllib.request.Request(  # noqa: S310 - our own server on loopback
            holder["url"] + path,
            data=json.dumps(body).encode() if body else None,
            headers={"X-API-Key": key, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            return json.load(answer)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Pod]]:
    """Start the script on machine `home` with one volume; what still runs at the end is ended."""
    (tmp_path / "volume").mkdir()
    starter = lay_out_starter(tmp_path / "starter")
    pods: list[Pod] = []

    def run(*arguments: str, home: str = "machine", **more: str) -> Pod:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LOUPE_")}
        environment = ours | {
            "VOLUME": str(tmp_path / "volume"),
            "LOUPE_HOME": str(tmp_path / home),
            "LOUPE_COMMAND": str(LOUPE),
            "LOUPE_STARTER_DIR": str(starter),
            "LOUPE_HOST": "127.0.0.1",
            "LOUPE_PORT": "0",
            "LOUPE_API_KEY": "k" * 20,
            "LOUPE_PRELOAD": "false",
            "LOCK_WAIT_S": "0",
            "BACKOFF_S": "0",
            **more,
        }
        pods.append(Pod({name: value for name, value in environment.items() if value != "-"}, *arguments))
        return pods[-1]

    yield run
    for pod in pods:
        if pod.process.poll() is None:
            pod.process.terminate()
            pod.end()


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(start, tmp_path: Path) -> None:
    code, said = start("--dry-run", API_KEY="from-before", GLOBAL_SEED="1", LOUPE_API_KEY="-").end()
    assert code == 0
    assert "would lock" in said and "would serve" in said and "GLOBAL_SEED has no effect" in said
    assert "from-before" not in said
    assert list((tmp_path / "volume").iterdir()) == [] and not (tmp_path / "machine").exists()


def test_a_machine_without_a_volume_is_refused(start) -> None:
    code, said = start("--dry-run", VOLUME="/nowhere").end()
    assert code == 2 and "no writable volume" in said


def test_a_password_is_made_once_kept_private_and_never_shown_again(start, tmp_path: Path) -> None:
    pod = start(LOUPE_API_KEY="-")
    shown = pod.until(r"not be shown again: (\S+)")[1]
    pod.until(SERVES)
    pod.process.terminate()
    pod.end()
    kept = tmp_path / "volume/loupe/password"
    assert kept.read_text().strip() == shown and kept.stat().st_mode & 0o777 == 0o600
    second = start(LOUPE_API_KEY="-")
    second.until(SERVES)
    second.process.terminate()
    _, said = second.end()
    assert shown not in said and str(kept) in said
    assert shown not in (tmp_path / "volume/loupe/loupe.log").read_text()


def test_what_was_recorded_follows_to_another_machine(start) -> None:
    first = start()
    first.until(SERVES)
    made = first.ask("/api/v1/analyses", body={"text": "a fox", "max_new_tokens": 2})["data"]
    first.process.terminate()
    code, said = first.end()
    assert code == 0 and "the last backup" in said
    second = start(home="another")
    second.until(SERVES)
    assert second.ask(f"/api/v1/runs/{made['id']}")["data"]["text"] == "a fox"


def test_a_server_that_dies_is_started_again_and_given_up_after_too_many_failures(start) -> None:
    pod = start(MOST_FAILURES="2")
    for _ in range(2):
        pod.until(SERVES)
        os.kill(json.loads((pod.home / "holder.json").read_text())["pid"], signal.SIGKILL)
    code, said = pod.end()
    assert code == 1 and "code 137" in said and "gave up after 2 failures" in said


def test_two_pods_never_share_a_volume(start) -> None:
    start().until(SERVES)
    code, said = start(home="another").end()
    assert code == 2 and "another pod" in said


def test_older_variables_are_translated_or_named() -> None:
    told = translate(
        {
            "ALLOWED_ORIGINS": "https://a.example, https://b.example",
            "MAX_QUEUE_SIZE": "7",
            "LAZY_LOAD_MODEL": "true",
            "DEVICES": "cuda:1,cuda:2",
            "LOG_LEVEL": "warning",
            "API_KEY": "old",
            "LOUPE_API_KEY": "new",
            "GLOBAL_THING": "1",
        }
    )
    assert told.exports == {
        "LOUPE_ALLOWED_ORIGINS": '["https://a.example", "https://b.example"]',
        "LOUPE_QUEUE_LIMIT": "7",
        "LOUPE_PRELOAD": "false",
        "LOUPE_DEVICE": "cuda:1",
        "LOUPE_LOG_LEVEL": "WARNING",
    }
    assert [sentence.split()[0] for sentence in told.unused] == ["API_KEY", "DEVICES", "GLOBAL_THING"]


def test_every_translation_names_a_setting_that_exists() -> None:
    told = translate({name: "1" for name in ("MAX_TEXT_LENGTH", "REQUEST_TIMEOUT", "RATE_LIMIT_PER_MINUTE")})
    assert len(told.exports) == 3 and told.unused == ()
