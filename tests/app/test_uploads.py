"""Files sent in pieces: room is asked for, breaks do no harm, nobody else's are touched, nothing stays for ever."""

import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from loupe.app.api.application import build_api
from loupe.app.cli.client import Client, Refused
from loupe.app.cli.sending import SMALLEST_BYTES, TRIES, send_file
from loupe.app.errors import ConfirmationNeeded, Conflict, Forbidden, ServerUnreachable, UploadBusy
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.storage.errors import NotFound
from tests.app.sample import sample_run
from tests.storage.faults import Failing

BODY = b"The fox lost her lantern.\n\nThe owl found it.\n"
UPLOADS = "/api/v1/uploads"


async def begun(api: httpx.AsyncClient, size: int = len(BODY), **more: Any) -> dict[str, Any]:
    answer = await api.post(UPLOADS, json={"file": "fox.txt", "size": size} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


async def put(api: httpx.AsyncClient, id: str, data: bytes, offset: int, checksum: str = "") -> httpx.Response:
    told = checksum or f"sha256:{hashlib.sha256(data).hexdigest()}"
    return await api.put(f"{UPLOADS}/{id}", content=data, params={"offset": offset, "checksum": told})


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_file_sent_in_pieces_is_there_as_it_was(far_api: httpx.AsyncClient, workspace: Workspace) -> None:
    upload = await begun(far_api)
    assert (upload["state"], upload["received"]) == ("receiving", 0)
    assert (await put(far_api, upload["id"], BODY[:10], 0)).json()["data"]["received"] == 10
    last = await put(far_api, upload["id"], BODY[10:], 10, f"crc32:{zlib.crc32(BODY[10:]):08x}")
    assert last.json()["data"]["state"] == "complete"
    assert (await workspace.uploads.path(upload["id"])).read_bytes() == BODY
    listed = (await far_api.get(UPLOADS)).json()["data"]
    assert [(each["id"], each["received"]) for each in listed] == [(upload["id"], len(BODY))]


async def test_runs_in_pieces_become_runs_by_a_job_that_they_name_or_none_of_them_does(
    far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    good = json.dumps(sample_run()).encode()
    for content, state, count in ((good + b"\n" + good, "done", 2), (good + b"\n{", "failed", 0)):
        id = (await begun(far_api, len(content), file="C:\\mine\\run.jsonl"))["id"]
        unfinished = await far_api.post("/api/v1/runs/imports", json={"upload": id})
        assert unfinished.status_code == 409
        await put(far_api, id, content, 0)
        accepted = await far_api.post("/api/v1/runs/imports", json={"upload": id})
        assert accepted.status_code == 202, accepted.text
        job = await workspace.jobs.wait(accepted.json()["data"]["job_id"])
        assert job.state == state, job
        rows = (await far_api.get("/api/v1/runs")).json()["data"]
        assert [row["origin"]["file"] for row in rows if row["origin"]["job"] == job.id] == ["run.jsonl"] * count
        told = (await far_api.get(f"/api/v1/jobs/{job.id}")).json()["data"]
        assert state == "done" or told["error"]["details"]["lines"][0]["line"] == 2
    assert [r.id for r in await workspace.uploads.records()] == [id], "what was taken in is gone, what was not stays"


async def test_a_broken_piece_does_not_count_and_the_answer_says_where_to_go_on(far_api: httpx.AsyncClient) -> None:
    id = (await begun(far_api))["id"]
    damaged = await put(far_api, id, BODY, 0, "crc32:00000000")
    assert damaged.status_code == 409 and damaged.json()["error"]["code"] == "wrong_checksum"
    assert damaged.json()["error"]["retryable"] is True
    await put(far_api, id, BODY[:7], 0)
    elsewhere = await put(far_api, id, BODY, 0)
    assert elsewhere.status_code == 409 and elsewhere.json()["error"]["code"] == "wrong_offset"
    assert elsewhere.json()["error"]["details"]["received"] == 7


@pytest.mark.parametrize("checksum", ["sha256:", "crc32:zzzzzzzz"])
async def test_a_checksum_of_another_kind_is_refused(far_api: httpx.AsyncClient, checksum: str) -> None:
    id = (await begun(far_api))["id"]
    assert (await put(far_api, id, BODY, 0, checksum)).status_code == 400


async def test_who_comes_back_with_the_same_file_goes_on_after_a_restart(
    make_settings: Callable[..., Settings],
) -> None:
    wanted = {"file": "fox.txt", "size": len(BODY), "fingerprint": "as of Monday"}
    ids = []
    for start in (0, 20):
        async with open_workspace(make_settings()) as workspace:
            record = await workspace.uploads.begin(**wanted)
            ids.append(record.id)
            assert record.received == start
            piece = BODY[start : start + 20]
            await workspace.uploads.append(record.id, start, None, pieces(piece[:5], piece[5:]))
    assert ids[0] == ids[1]


async def test_room_is_asked_for_before_a_byte_is_sent(make_settings: Callable[..., Settings]) -> None:
    limits = {"max_upload_mb": 1, "upload_quota_mb": 1.5, "upload_piece_mb": 0.001}
    async with open_workspace(make_settings(**limits)) as workspace:
        transport = httpx.ASGITransport(build_api(workspace))
        async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
            told = {"file": "fox.txt", "size": 2 << 20}
            large = await api.post(UPLOADS, json=told)
            assert (large.status_code, large.json()["error"]["code"]) == (413, "file_too_large")
            first = await begun(api, size=1 << 20)
            second = await api.post(UPLOADS, json=told | {"size": 1 << 20})
            assert (second.status_code, second.json()["error"]["code"]) == (413, "upload_quota")
            assert first["largest_piece"] == 1048
            piece = await put(api, first["id"], bytes(2000), 0)
            assert (piece.status_code, piece.json()["error"]["code"]) == (413, "file_too_large")
            assert (await api.get(f"{UPLOADS}/{first['id']}")).json()["data"]["received"] == 0


async def test_a_file_that_the_disk_has_no_room_for_is_refused_with_numbers(
    far_api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace.uploads.files, "free_bytes", lambda: 300 << 20)
    answer = await far_api.post(UPLOADS, json={"file": "fox.txt", "size": 100 << 20})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "store_full")
    assert str(100 << 20) in answer.json()["error"]["message"]
    assert (await begun(far_api, size=10 << 20))["received"] == 0
    both = await far_api.post(UPLOADS, json={"file": "owl.txt", "size": 40 << 20})
    assert both.status_code == 507, "what other uploads still need counts too"


async def test_a_disk_that_fills_up_meanwhile_loses_nothing_that_had_arrived(workspace: Workspace) -> None:
    uploads = workspace.uploads
    id = (await uploads.begin("fox.txt", len(BODY))).id
    await uploads.append(id, 0, None, pieces(BODY[:9]))
    uploads.files._fs = Failing(2, lasting=True)
    with pytest.raises(Exception, match="no space left"):
        await uploads.append(id, 9, None, pieces(BODY[9:]))
    assert (await uploads.get(id)).received == 9


async def test_another_persons_upload_is_not_written_to_and_deleted_only_when_that_is_meant(
    workspace: Workspace,
) -> None:
    uploads = workspace.uploads
    id = (await uploads.begin("fox.txt", len(BODY), author="Ada")).id
    with pytest.raises(Forbidden):
        await uploads.append(id, 0, None, pieces(BODY), by="Bea")
    with pytest.raises(ConfirmationNeeded, match="Ada"):
        await uploads.remove(id, by="Bea")
    assert (await uploads.remove(id, by="Bea", confirm=True)).id == id
    with pytest.raises(NotFound):
        await uploads.get(id)


async def test_one_piece_at_a_time(workspace: Workspace) -> None:
    uploads = workspace.uploads
    id = (await uploads.begin("fox.txt", len(BODY))).id

    async def meeting() -> AsyncIterator[bytes]:
        yield BODY[:3]
        with pytest.raises(UploadBusy):
            await uploads.append(id, 0, None, pieces(BODY))
        with pytest.raises(UploadBusy):
            await uploads.remove(id)
        yield BODY[3:]

    assert (await uploads.append(id, 0, None, meeting())).is_complete


async def test_an_upload_of_which_something_is_missing_is_of_no_use_yet(workspace: Workspace) -> None:
    id = (await workspace.uploads.begin("fox.txt", len(BODY))).id
    with pytest.raises(Conflict, match="still to come"):
        await workspace.uploads.path(id)


async def dataset_job(far_api: httpx.AsyncClient, workspace: Workspace, upload: str, **more: Any) -> Any:
    answer = await far_api.post("/api/v1/datasets", json={"name": "foxes", "upload": upload} | more)
    assert answer.status_code == 202, answer.text
    return await workspace.jobs.wait(answer.json()["data"]["job_id"])


async def test_an_uploaded_file_becomes_a_dataset_and_is_then_gone(
    far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    id = (await begun(far_api))["id"]
    early = await far_api.post("/api/v1/datasets", json={"name": "foxes", "upload": id})
    assert early.status_code == 409
    await put(far_api, id, BODY, 0)
    looked = await far_api.post("/api/v1/datasets/preview", json={"name": "foxes", "upload": id})
    assert looked.json()["data"]["columns"]
    assert (await dataset_job(far_api, workspace, id)).state == "done"
    made = (await far_api.get("/api/v1/datasets", params={"search": "foxes"})).json()["data"][0]
    assert (made["documents"], made["source"], made["details"]["file"]) == (2, "file", "fox.txt")
    assert (await far_api.get(UPLOADS)).json()["data"] == []


async def test_a_file_of_which_nothing_could_be_made_stays_for_another_attempt(
    far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = b'{"text": "The fox."}\n{"text": "The owl."}\n'
    id = (await begun(far_api, size=len(rows), file="foxes.jsonl"))["id"]
    await put(far_api, id, rows, 0)
    assert (await dataset_job(far_api, workspace, id, column="nothing")).state == "failed"
    assert (await dataset_job(far_api, workspace, id, column="text")).state == "done"


async def test_a_file_in_one_body_becomes_a_dataset_too_and_half_of_one_leaves_nothing(
    far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    told = {"name": "foxes", "file": "fox.txt"}
    answer = await far_api.post("/api/v1/datasets/upload", params=told, content=BODY)
    assert answer.status_code == 202, answer.text
    assert (await workspace.jobs.wait(answer.json()["data"]["job_id"])).state == "done"
    with pytest.raises(Conflict, match="9 came"):
        await workspace.uploads.take("fox.txt", len(BODY), pieces(BODY[:9]))
    unknown = await far_api.post("/api/v1/datasets/upload", params=told, content=pieces(BODY))
    assert unknown.status_code == 400 and "Content-Length" in unknown.json()["error"]["message"]
    assert await workspace.uploads.records() == []


async def test_what_nobody_came_back_to_is_cleared_away(workspace: Workspace) -> None:
    uploads, days = workspace.uploads, workspace.settings.upload_days
    id = (await uploads.begin("fox.txt", len(BODY))).id
    assert await uploads.sweep(datetime.now(UTC) + timedelta(days=days - 1)) == 0
    assert await uploads.sweep(datetime.now(UTC) + timedelta(days=days + 1)) == 1
    with pytest.raises(NotFound):
        await uploads.get(id)


# The sender.


class Line:
    """A server that takes pieces, on a line that fails as told: once for every entry of `faults`, then no more."""

    def __init__(self, *faults: Exception | str) -> None:
        self.faults = list(faults)
        self.kept = b""
        self.sizes: list[int] = []
        self.waits: list[float] = []

    def client(self) -> Client:
        return Client(self.answer, remote=True, far=True)

    def answer(self, method: str, path: str, **asked: Any) -> httpx.Response:
        if method == "PUT":
            self.sizes.append(len(asked["content"]))
            fault = self.faults.pop(0) if self.faults else None
            if isinstance(fault, Exception):
                raise fault
            if fault == "proxy":
                return httpx.Response(524, text="<html>timeout</html>")
            if fault == "busy":
                error = {"code": "rate_limited", "message": "slower", "details": {}, "retryable": True}
                return httpx.Response(429, json={"error": error}, headers={"Retry-After": "7"})
            if fault == "refused":
                error = {"code": "forbidden", "message": "no", "details": {}, "retryable": False}
                return httpx.Response(403, json={"error": error})
            assert asked["params"]["offset"] == len(self.kept)
            self.kept += asked["content"]
            if fault == "arrived":  # but the answer does not
                raise httpx.ReadTimeout("nothing comes back")
        told = {"id": "7f3a", "received": len(self.kept), "largest_piece": 1 << 20}
        return httpx.Response(200, json={"data": told})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fox.bin"
    path.write_bytes(bytes(range(256)) * 10_000)
    return path


def test_a_file_is_sent_whatever_happens_on_the_way(file: Path) -> None:
    line = Line(httpx.ConnectError("gone"), "arrived", "proxy", "busy")
    assert send_file(line.client(), file, quiet=True, pause=line.waits.append) == "7f3a"
    assert line.kept == file.read_bytes()
    assert line.waits[-1] == 7, "what the server asks for is waited"


def test_where_pieces_do_not_get_through_smaller_ones_are_tried(file: Path) -> None:
    line = Line("proxy", "proxy", "proxy", "proxy")
    send_file(line.client(), file, quiet=True, pause=line.waits.append)
    assert line.sizes[:5] == [1 << 20, 1 << 19, SMALLEST_BYTES, SMALLEST_BYTES, SMALLEST_BYTES]
    assert line.kept == file.read_bytes()


def test_a_sender_gives_up_when_nothing_gets_through_and_goes_on_when_asked_again(file: Path) -> None:
    line = Line(*["arrived"], *["proxy"] * (TRIES + 1))
    with pytest.raises(ServerUnreachable):
        send_file(line.client(), file, quiet=True, pause=line.waits.append)
    arrived, line.faults = len(line.kept), []
    assert arrived == 1 << 20
    send_file(line.client(), file, quiet=True, pause=line.waits.append)
    assert line.kept == file.read_bytes()


def test_a_refusal_that_will_not_pass_is_told_at_once(file: Path) -> None:
    line = Line("refused")
    with pytest.raises(Refused, match="no"):
        send_file(line.client(), file, quiet=True, pause=line.waits.append)
    assert line.waits == []
