"""Message definitions and type hashes (REP-2011) for the bags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rosbags.interfaces import Nodetype, Qos
from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vla_recorder.errors import RecorderError
from vla_recorder.header_stamps import starts_with_header


@dataclass(frozen=True)
class MessageDefinition:
    """What a bag has to say about a message type.

    Attributes:
        type: such as "sensor_msgs/msg/Image".
        text: the definition with everything it refers to, in the .msg notation.
        type_hash: "RIHS01_…".
        has_header: whether the message starts with a std_msgs/Header.
    """

    type: str
    text: str
    type_hash: str
    has_header: bool


@dataclass(frozen=True)
class RecordedTopic:
    """One topic of a bag.

    Attributes:
        name: absolute topic name.
        definition: of its message type.
        qos: offered by its publishers.
    """

    name: str
    definition: MessageDefinition
    qos: tuple[Qos, ...] = ()


class MessageDefinitions:
    """Finds the definition of a message type, first among the standard ones.

    Types that are not part of ROS, or that the running ROS release defines otherwise, are read
    from the .msg files of the installed packages.
    """

    def __init__(self) -> None:
        self._standard = get_typestore(Stores.ROS2_JAZZY)
        self._installed = get_typestore(Stores.EMPTY)

    def find(self, message_type: str, published_hash: str = "") -> MessageDefinition:
        """Return the definition of a message type.

        Args:
            message_type: such as "geometry_msgs/msg/Twist".
            published_hash: hash that the publisher announces; empty if it announces none.

        Raises:
            RecorderError: the type is not known here, or the publisher's differs from it.
        """
        found: list[MessageDefinition] = []
        if message_type in self._standard.fielddefs:
            found.append(_definition(self._standard, message_type))
        if not found or published_hash not in ("", found[0].type_hash):
            self._load_installed(message_type, required=not found)
            if message_type in self._installed.fielddefs:
                found.append(_definition(self._installed, message_type))
        for definition in found:
            if published_hash in ("", definition.type_hash):
                return definition
        raise RecorderError(
            f"the publisher's definition of {message_type} ({published_hash}) differs from the "
            f"one installed here ({found[-1].type_hash}); build both from the same interfaces"
        )

    def _load_installed(self, message_type: str, *, required: bool) -> None:
        types: Typesdict = {}
        pending = [message_type]
        while pending:
            name = pending.pop()
            if name in types or name in self._installed.fielddefs:
                continue
            text = _installed_text(name)
            if text is None:
                if required:
                    raise RecorderError(
                        f"no definition of {name} (needed for {message_type}): "
                        f"its package is not installed here or was not sourced"
                    )
                return
            try:
                types.update(get_types_from_msg(text, name))
            except TypesysError as error:
                raise RecorderError(f"cannot parse the definition of {name}: {error}") from error
            pending += _referenced_types(types, name)
        self._installed.register(types)


def _definition(store: Typestore, message_type: str) -> MessageDefinition:
    text, _ = store.generate_msgdef(message_type, ros_version=2)
    return MessageDefinition(
        message_type,
        text,
        store.hash_rihs01(message_type),
        starts_with_header(store, message_type),
    )


def _installed_text(message_type: str) -> str | None:
    package, _, name = message_type.partition("/msg/")
    try:
        path = Path(get_package_share_directory(package)) / "msg" / f"{name}.msg"
        return path.read_text(encoding="utf-8")
    except (PackageNotFoundError, ValueError, FileNotFoundError):
        return None


def _referenced_types(types: Typesdict, name: str) -> list[str]:
    referenced = []
    for _, field in types[name][1]:
        element = field[1][0] if field[0] in (Nodetype.ARRAY, Nodetype.SEQUENCE) else field
        if element[0] == Nodetype.NAME:
            referenced.append(str(element[1]))
    return referenced
