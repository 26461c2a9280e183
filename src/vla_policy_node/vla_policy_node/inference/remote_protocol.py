"""What goes over the wire between a robot and a policy server: openpi's websocket protocol.

The server speaks first: one message of metadata. Then question and answer take turns, each one
binary message of MessagePack in which arrays are maps of `dtype`, `shape` and raw bytes
(`openpi_client.msgpack_numpy`; nothing is pickled). A text message is an error. A question has an
array per stream of the contract, `valid` (S,) bool in the order of the streams, and the sentence
as `prompt`; an answer has `actions` (H, A) float32 [m/s, rad/s] and, of a calibrated policy,
`distances` (G,) float32, how far the frame is from training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt
from openpi_client import msgpack_numpy

from vla_core import keys
from vla_core.chunk_policy import check_chunk
from vla_core.contract import Contract
from vla_core.errors import PolicyError
from vla_core.frames import Frame
from vla_core.strict_yaml import describe

PROMPT: Final = "prompt"
ACTIONS: Final = "actions"
DISTANCES: Final = "distances"
CONTRACT: Final = "contract"
CONTRACT_HASH: Final = "contract_hash"
SERVER: Final = "server"
SERVER_TIMING: Final = "server_timing"
DEFAULT_PORT: Final = 8000

_ROOM_BYTES: Final = 1 << 16
_NUMBER_KINDS: Final = "biuf"
_ARRAY_KINDS: Final = _NUMBER_KINDS + "SU"
MAX_ANSWER_BYTES: Final = 1 << 20
"""No chunk is larger; a server that sends more is cut off."""


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return bytes(msgpack_numpy.packb(dict(message)))


def unpack(data: str | bytes, sender: str) -> dict[str, Any]:
    """Bytes as a message.

    Args:
        data: as received.
        sender: who sent it, for errors.

    Raises:
        PolicyError: it is an error of the other side, or no message.
    """
    if isinstance(data, str):
        # A traceback, from other servers of this protocol: its last line says what went wrong.
        lines = data.strip().splitlines()
        raise PolicyError(f"{sender}: {lines[-1] if lines else 'an error without a text'}")
    try:
        message = msgpack.unpackb(data, object_hook=_checked_array)
    except Exception as error:  # whatever msgpack and numpy raise for arbitrary bytes
        raise PolicyError(
            f"{sender}: {len(data)} bytes that are no message ({type(error).__name__}: {error}), "
            "expected MessagePack as of openpi"
        ) from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise PolicyError(
            f"{sender}: a message of type {type(message).__name__}, expected a map of names"
        )
    return message


def _checked_array(values: dict[Any, Any]) -> Any:
    """An array, if a map describes one; only of numbers, truth values and texts.

    Raises:
        ValueError: it describes one without its bytes: numpy would take memory for it, as much as
            the sender says, and leave in it what was there before.
    """
    if b"__ndarray__" in values:
        if not isinstance(values.get(b"data"), bytes):
            raise ValueError("an array without its bytes")
        if np.dtype(values.get(b"dtype")).kind not in _ARRAY_KINDS:
            raise ValueError(f"an array of dtype {values.get(b'dtype')!r}")
    return msgpack_numpy.unpack_array(values)


def describe_policy(contract: Contract, server: str) -> dict[str, Any]:
    """The metadata of a server.

    Args:
        contract: of the policy that it serves.
        server: what computes it.
    """
    return {
        SERVER: server,
        CONTRACT: contract.name,
        CONTRACT_HASH: contract.hash,
        "action_fields": list(contract.action.fields),
        "action_horizon": contract.action.chunk_length,
        "action_rate_hz": contract.action.rate_hz,
    }


def check_policy(metadata: Mapping[str, Any], contract: Contract, sender: str) -> None:
    """Make sure that a server has a policy for this contract.

    Raises:
        PolicyError: it has another, or does not say.
    """
    claimed = metadata.get(CONTRACT_HASH)
    if not isinstance(claimed, str) or claimed != contract.hash:
        serves = f"contract {describe(metadata.get(CONTRACT))} ({str(claimed)[:12]})"
        raise PolicyError(
            f"{sender}: serves a policy for "
            f"{serves if isinstance(claimed, str) else 'no contract that it names'}, expected "
            f"{contract.name!r} ({contract.hash[:12]}); serve the policy of this robot there"
        )


def question_of(frame: Frame, instruction: str) -> dict[str, Any]:
    """What a robot asks."""
    return {**frame.arrays, keys.VALID: frame.valid, PROMPT: instruction}


def max_question_bytes(contract: Contract) -> int:
    """No question about a policy of this contract is larger."""
    arrays = (np.prod(s.shape) * np.dtype(s.dtype).itemsize for s in contract.streams)
    return int(sum(arrays)) + _ROOM_BYTES


def frame_of(question: Mapping[str, Any], contract: Contract, sender: str) -> tuple[Frame, str]:
    """Frame and instruction of a question; the arrays themselves are checked by the policy.

    Raises:
        PolicyError: something is missing.
    """
    arrays = {stream.key: question.get(stream.key) for stream in contract.streams}
    valid = question.get(keys.VALID, np.ones(len(arrays), bool))
    prompt = question.get(PROMPT)
    missing = [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]
    if missing:
        raise PolicyError(f"{sender}: no array {', '.join(missing)}; {', '.join(arrays)} expected")
    if not isinstance(prompt, str):
        raise PolicyError(f"{sender}: {PROMPT} is {type(prompt).__name__}, expected a sentence")
    if not isinstance(valid, np.ndarray) or valid.dtype.kind not in _NUMBER_KINDS:
        raise PolicyError(f"{sender}: {keys.VALID} is no array of truth values")
    if valid.shape != (len(arrays),):
        raise PolicyError(f"{sender}: {keys.VALID} has no value for each of {', '.join(arrays)}")
    age_ns = np.zeros(len(arrays), np.int64)
    return Frame(0, arrays, valid.astype(bool), age_ns), prompt  # type: ignore[arg-type]


def distances_of(answer: Mapping[str, Any]) -> npt.NDArray[np.float32] | None:
    """How far the frame of an answer is from training, (G,); None if the server does not say."""
    distances = answer.get(DISTANCES)
    if not isinstance(distances, np.ndarray) or distances.dtype.kind != "f":
        return None
    return distances.astype(np.float32).reshape(-1)


def chunk_of(answer: Mapping[str, Any], contract: Contract, sender: str) -> npt.NDArray[np.float32]:
    """The chunk (H, A) float32 [m/s, rad/s] of an answer.

    Raises:
        PolicyError: there is none, or it has another shape, NaN or infinity.
    """
    actions = answer.get(ACTIONS)
    if not isinstance(actions, np.ndarray) or actions.dtype.kind not in "fiu":
        found = getattr(actions, "dtype", type(actions).__name__)
        raise PolicyError(f"{sender}: {ACTIONS} is {found}, expected an array of numbers")
    try:
        return check_chunk(contract.action, actions[None])
    except PolicyError as error:
        raise PolicyError(f"{sender}: {error}") from error
