"""The chip in the header: which device, its memory, what runs on it now, and how many wait."""

import html
from typing import NamedTuple

import psutil
from nicegui import ui

from loupe.app.pages.links import link
from loupe.app.services.engine import EngineState
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace

NEWS = ("engine", "models", "queue")
SEPARATOR = " · "
REFRESH_S = 4.0  # memory changes without anybody saying so


class DeviceState(NamedTuple):
    """What the chip shows: a look (`ready`, `busy`, `failed` or none), a short text, and all of it in words."""

    look: str
    text: str
    detail: str


def device_chip(workspace: Workspace) -> None:
    """Place the chip; it follows the bridge, and looks at memory every few seconds."""
    chip = ui.html("", sanitize=False).props("data-testid=device-chip role=status").classes("device-holder")

    def show(_: object = None) -> None:
        chip.set_content(chip_html(device_state(workspace)))

    show()
    stops = [workspace.bridge.subscribe(key, show) for key in NEWS]
    ui.context.client.on_delete(lambda: [stop() for stop in stops])
    ui.timer(REFRESH_S, show, immediate=False)


def chip_html(state: DeviceState) -> str:
    """The chip as markup; everything is escaped."""
    detail = html.escape(state.detail, quote=True)
    return (
        f'<a class="chip {state.look}" href="{link("/system")}" title="{detail}"><span class="dot"></span>'
        f'<span class="num">{_parts_html(state.text)}</span></a>'
    )


def _parts_html(text: str) -> str:
    first, *rest = text.split(SEPARATOR)
    return html.escape(first) + "".join(f'<span class="wide">{SEPARATOR}{html.escape(part)}</span>' for part in rest)


def device_state(workspace: Workspace) -> DeviceState:
    """Read the state of the engine, its queue and its memory now."""
    engine = workspace.engine
    if engine.state is EngineState.FAILED:
        return DeviceState("failed", "engine failed", "The engine could not start; the log says why.")
    if engine.state is EngineState.LOADING:
        return DeviceState("busy", "engine starting", "PyTorch is being loaded.")
    device = engine.running
    if device is None:
        return DeviceState("", "engine idle", "PyTorch is loaded when it is first needed.")
    stats = device.stats()
    waiting = max(stats.waiting, sum(live.busy for live in workspace.analyses.live) - bool(stats.running))
    doing = f"loading {workspace.models.loading}" if workspace.models.loading else stats.running
    parts = [device.device.type.upper(), _memory(device.device.type), doing or ("starting" if waiting > 0 else "ready")]
    if waiting > 0:
        parts.append(f"{waiting} waiting")
    detail = f"{stats.device}: {doing or 'nothing'} runs now, {max(0, waiting)} wait, {stats.paused} paused."
    return DeviceState("busy" if doing or waiting > 0 else "ready", SEPARATOR.join(parts), detail)


def _memory(kind: str) -> str:
    if kind == "cuda":
        from loupe.engine.memory import read_memory

        found = read_memory("cuda")
        return f"{size_text(found.used)} of {size_text(found.total)}"
    return size_text(psutil.Process().memory_info().rss)
