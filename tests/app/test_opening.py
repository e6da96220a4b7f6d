"""The walls around an open pickle, tried with code that is already inside: nothing that it wants may happen."""

import json
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
KERNEL = "from loupe.app.opening.kernel import raise_kernel_walls as r; stands = r(folder)"
PYTHON = "from loupe.app.opening.walls import raise_python_walls as r; attempts = r(folder)"
EFFECTS = {
    "write": "open(outside, 'w')",
    "append": "open(__file__ if '__file__' in globals() else outside, 'ab')",
    "low-level write": "os.open(outside, os.O_WRONLY | os.O_CREAT)",
    "write by a relative path": "os.open('canary', os.O_WRONLY | os.O_CREAT, dir_fd=os.open('/tmp', 0))",
    "climb out": "open(folder / '../canary', 'w')",
    "remove": "os.remove(precious)",
    "rename": "os.rename(precious, outside)",
    "mkdir": "os.mkdir(outside)",
    "link": "os.symlink(precious, outside)",
    "truncate": "os.truncate(precious, 0)",
    "os.system": "os.system(f'touch {outside}')",
    "exec": "os.execv('/bin/touch', ['touch', str(outside)])",
    "subprocess": "subprocess.run(['/bin/touch', str(outside)], check=True)",
    "spawn": "os.posix_spawn('/bin/touch', ['touch', str(outside)], {})",
    "fork": "os.fork()",
    "signal": "os.kill(os.getppid(), 0)",
    "tcp": "socket.create_connection(('127.0.0.1', port), timeout=5)",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "name look-up": "socket.getaddrinfo('localhost', 80)",
    "ctypes": "ctypes.CDLL(None).getpid()",
    "database": "sqlite3.connect(outside)",
}
KERNEL_ALONE = (
    "write",
    "low-level write",
    "climb out",
    "remove",
    "rename",
    "mkdir",
    "truncate",
    "exec",
    "subprocess",
    "tcp",
)


def inside(walls: str, effect: str, folder: Path, port: int = 9) -> tuple[str, list[str]]:
    """Try an effect in a fresh interpreter behind walls; what came of it, and what the walls say."""
    code = f"""
import ctypes, json, os, pathlib, pickle, socket, sqlite3, subprocess, sys
sys.path.append({ROOT!r})
folder, port = pathlib.Path({str(folder)!r}) / "inside", {port}
outside, precious = folder.parent / "canary", folder.parent / "precious"
stands = attempts = ()
{walls}
try:
    {effect}
    came = "done"
except BaseException as error:
    came = type(error).__name__
print(json.dumps([came, list(stands) + list(attempts)]))
"""
    (folder / "inside").mkdir()
    (folder / "precious").write_text("kept")
    ran = subprocess.run(
        [sys.executable, "-I", "-B", "-c", code], capture_output=True, text=True, cwd=folder, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    came, walled = json.loads(ran.stdout)
    return came, walled


def untouched(folder: Path) -> bool:
    return not (folder / "canary").exists() and (folder / "precious").read_text() == "kept"


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_walls_inside_python_refuse_it_and_remember(effect: str, tmp_path: Path) -> None:
    came, attempts = inside(PYTHON, EFFECTS[effect], tmp_path)
    assert came == "Walled" and len(attempts) == 1 and untouched(tmp_path)


@pytest.mark.parametrize("effect", KERNEL_ALONE)
def test_the_kernel_refuses_it_too(effect: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        came, walls = inside(KERNEL, EFFECTS[effect], tmp_path, server.getsockname()[1])
    if "landlock" not in walls:
        pytest.skip("this kernel has no Landlock, or the container refuses it")
    assert came in ("PermissionError", "OSError") and untouched(tmp_path)


def test_without_walls_the_same_code_does_its_harm(tmp_path: Path) -> None:
    assert inside("", EFFECTS["write"], tmp_path) == ("done", [])
    assert (tmp_path / "canary").exists()


def test_the_result_may_be_written_and_anything_read(tmp_path: Path) -> None:
    effect = "print(end=precious.read_text()[4:]); (folder / 'tensors').write_bytes(b'x')"
    came, walls = inside(f"{KERNEL}\n{PYTHON}", effect, tmp_path)
    assert came == "done" and (tmp_path / "inside/tensors").read_bytes() == b"x"
    assert set(walls) <= {"network_namespace", "landlock"}


@pytest.mark.parametrize(
    "attack", ["open(outside, 'w')", "import socket; socket.create_connection(('127.0.0.1', port), 5)"]
)
def test_a_pickle_that_runs_its_payload_after_all_achieves_nothing(attack: str, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self):
            return exec, (attack, {"outside": str(tmp_path / "canary"), "port": server.getsockname()[1]})

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        came, walls = inside(f"{KERNEL}\n{PYTHON}", f"pickle.loads({pickle.dumps(Payload())!r})", tmp_path)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert came == "Walled" and walls and untouched(tmp_path)


def test_too_much_memory_and_too_large_a_file_are_refused(tmp_path: Path) -> None:
    most = "memory_bytes=1 << 27, cpu_seconds=30, file_bytes=1 << 20"
    limits = f"from loupe.app.opening.walls import limit_resources as l; l({most})"
    assert inside(limits, "bytearray(1 << 30)", tmp_path)[0] == "MemoryError"
    other = tmp_path / "other"
    other.mkdir()
    assert inside(limits, "outside.write_bytes(bytes(1 << 21))", other)[0] == "OSError"
