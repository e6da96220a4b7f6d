"""Small controls that several pages use: a choice among a few, and a form made from a schema."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from nicegui import html as tags
from nicegui import ui
from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Segmented:
    """A choice among a few, all of them visible. Buttons with `aria-pressed`; `on_change(value)`."""

    def __init__(
        self, options: Mapping[str, str], value: str, on_change: Callable[[str], Any], *, label: str, testid: str
    ) -> None:
        self.value = value
        self._on_change = on_change
        self._buttons: dict[str, ui.element] = {}
        self.box = ui.element("div").classes("segmented").props(f'role=group aria-label="{label}" data-testid={testid}')
        with self.box:
            for name, text in options.items():
                button = tags.button(text).props(f"type=button data-testid={testid}-{name}")
                button.on("click", lambda _, name=name: self._pick(name))
                self._buttons[name] = button
        self._mark()

    def set(self, value: str) -> None:
        """Choose without telling anybody."""
        self.value = value
        self._mark()

    def _pick(self, name: str) -> Any:
        if name == self.value:
            return None
        self.set(name)
        return self._on_change(name)

    def _mark(self) -> None:
        for name, button in self._buttons.items():
            button.props(f"aria-pressed={'true' if name == self.value else 'false'}")


def on_enter(field: ui.textarea, start: Callable[[], Any]) -> None:
    """Start on Ctrl Enter or Cmd Enter, with what is written at that moment; the field itself tells after a pause."""

    async def begin(event: Any) -> None:
        if isinstance(event.args, str):
            field.value = event.args
        result = start()
        if inspect.isawaitable(result):
            await result

    for keys in ("keydown.ctrl.enter", "keydown.meta.enter"):
        field.on(keys, begin, js_handler="(e) => emit(e.target.value)")


async def confirmed(sentence: str, yes: str, no: str) -> bool:
    """Ask before something that cannot be taken back; closing the dialog means no."""
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        dialog.props["aria-label"] = sentence
        ui.label(sentence)
        with ui.element("div").classes("actions"):
            go = ui.button(yes, on_click=lambda: dialog.submit(True), color=None).classes("go")
            go.props("unelevated no-caps data-testid=confirm-yes")
            stay = ui.button(no, on_click=lambda: dialog.submit(False), color=None).classes("quiet")
            stay.props("flat no-caps data-testid=confirm-no")
    answer = await dialog
    dialog.delete()
    return bool(answer)


class SchemaForm:
    """Controls for some fields of a pydantic model: defaults, ranges, choices and tooltips are the schema's own.

    `limits` tighten a field's largest value, `ranges` says them under each field. `values()` are those that differ from
    the default.
    """

    def __init__(
        self,
        model: type[BaseModel],
        fields: Sequence[str],
        *,
        limits: Mapping[str, float] | None = None,
        prefix: str = "",
        ranges: bool = False,
        on_change: Callable[[], Any] = lambda: None,
    ) -> None:
        self._fields = {name: model.model_fields[name] for name in fields}
        self._limits = limits or {}
        self._ranges = ranges
        self._on_change = on_change
        self.controls: dict[str, Any] = {}
        for name, field in self._fields.items():
            control = self._place(name, field)
            testid = prefix + name.replace("_", "-")
            control.props(f"data-testid={testid}")
            control.tooltip(field.description or "")
            control.on_value_change(lambda _: on_change())
            self.controls[name] = control

    def values(self) -> dict[str, Any]:
        """What was chosen, where it is not the default; numbers of the kind the schema wants."""
        found = {name: self._value(name) for name in self._fields}
        return {name: value for name, value in found.items() if value != self._fields[name].default}

    def fill(self, values: Mapping[str, Any]) -> None:
        """Show these values, defaults for those not named."""
        for name, control in self.controls.items():
            control.set_value(values.get(name, self._fields[name].default))

    def _value(self, name: str) -> Any:
        field, value = self._fields[name], self.controls[name].value
        if value is None or value == "":
            return field.default
        return int(value) if isinstance(value, float) and int in _kinds(field) else value

    def _place(self, name: str, field: FieldInfo) -> Any:
        label = field.title or name.replace("_", " ").capitalize()
        if bool in _kinds(field):
            return ui.checkbox(label, value=bool(field.default)).props("dense")
        if choices := _choices(field):
            choices = {None: "by default", **choices} if field.default is None else choices
            return ui.select(choices, value=field.default, label=label).props("dense outlined options-dense")
        low, high = _range(field)
        high = min(filter(None, (high, self._limits.get(name))), default=None)
        whole = float not in _kinds(field)
        number = ui.number(
            label, value=field.default, min=low, max=high, step=1 if whole else 0.05, precision=0 if whole else None
        )
        said = " ".join(f"{word} {end:,}" for word, end in (("from", low), ("to", high)) if end is not None)
        number.props(f'hint="{said}"' if self._ranges else "")
        return number.props("dense outlined").props('stack-label placeholder="unset"' if field.default is None else "")


def _kinds(field: FieldInfo) -> tuple[type, ...]:
    annotation = field.annotation
    return get_args(annotation) or ((annotation,) if isinstance(annotation, type) else ())


def _choices(field: FieldInfo) -> dict[Any, str]:
    literal = next(
        (kind for kind in (field.annotation, *get_args(field.annotation)) if get_origin(kind) is Literal), None
    )
    return {value: str(value) for value in get_args(literal)} if literal else {}


def _range(field: FieldInfo) -> tuple[float | None, float | None]:
    low = high = None
    for rule in field.metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", high)
    return low, high
