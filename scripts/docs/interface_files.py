"""Every message, service and action of `vla_msgs` as a page, from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markdown_text import code, table
from rosidl_adapter.parser import parse_action_file, parse_message_file, parse_service_file

PACKAGE = "vla_msgs"
FOLDER = Path(__file__).resolve().parents[2] / "src" / PACKAGE

_INTRODUCTION = """# Messages, services, actions

Made from the files of `vla_msgs`: what `ros2 interface show` prints. How the nodes use them is in
[Interfaces](../interfaces.md). Names end in their unit; a field without a default is zero, empty or
false.
"""


def page() -> str:
    """The page, Markdown."""
    parts = [_INTRODUCTION]
    for kind, title in (("msg", "Messages"), ("srv", "Services"), ("action", "Actions")):
        parts.append(f"## {title}\n")
        for path in sorted((FOLDER / kind).glob(f"*.{kind}")):
            parts += [f"### {path.stem}\n", f"{code(f'{PACKAGE}/{kind}/{path.stem}')}\n"]
            parts += [_message(name, message) for name, message in _read(kind, path)]
    return "\n".join(parts)


def _read(kind: str, path: Path) -> list[tuple[str, Any]]:
    """The messages that an interface consists of, each with what it is in it."""
    if kind == "msg":
        return [("", parse_message_file(PACKAGE, str(path)))]
    if kind == "srv":
        service = parse_service_file(PACKAGE, str(path))
        return [("Request", service.request), ("Response", service.response)]
    action = parse_action_file(PACKAGE, str(path))
    return [("Goal", action.goal), ("Result", action.result), ("Feedback", action.feedback)]


def _message(name: str, message: Any) -> str:
    comment = " ".join(message.annotations.get("comment", [])).strip()
    if comment == name:
        comment = ""
    parts = []
    if name:
        parts.append(f"**{name}**" + (f": {comment}" if comment else "") + "\n")
    elif comment:
        parts.append(f"{comment}\n")
    rows = [
        (code(field.name), code(field.type), code(_default(field)), _comment(field))
        for field in message.fields
    ]
    if rows:
        parts.append(table(("field", "type", "default", "meaning"), rows))
    constants = [
        (code(constant.name), code(constant.type), str(constant.value), _comment(constant))
        for constant in message.constants
    ]
    if constants:
        parts.append(table(("constant", "type", "value", "meaning"), constants))
    if not rows and not constants:
        parts.append("Empty.\n")
    return "\n".join(parts)


def _default(field: Any) -> str:
    if field.default_value is None:
        return ""
    value = field.default_value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _comment(element: Any) -> str:
    text = " ".join(element.annotations.get("comment", []))
    unit = element.annotations.get("unit")
    return " ".join(filter(None, (text, f"[{unit}]" if unit else "")))
