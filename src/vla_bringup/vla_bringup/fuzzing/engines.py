"""Where inputs come from: guided by the coverage of the code, or by what it answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from vla_bringup.fuzzing.drawing import Draw
from vla_bringup.fuzzing.errors import FuzzingError
from vla_bringup.fuzzing.execution import Execution
from vla_bringup.fuzzing.subject import Subject

ATHERIS: Final = "atheris"
ANSWERS: Final = "answers"
ENGINES: Final = (ATHERIS, ANSWERS)

_KEPT: Final = 2000
_LARGER: Final = 2
_LEAST_BYTES: Final = 4096
_ROUNDS: Final = (1, 1, 1, 2, 2, 4)
# Libfuzzer would end the process by itself at a slow, large or broken run.
_LIBFUZZER: Final = (
    "-rss_limit_mb=0",
    "-timeout=1000000",
    "-handle_abrt=0",
    "-handle_bus=0",
    "-handle_fpe=0",
    "-handle_ill=0",
    "-handle_int=0",
    "-handle_segv=0",
    "-handle_term=0",
    "-handle_xfsz=0",
    "-print_final_stats=1",
)


def check_engine(name: str) -> None:
    """Make sure that an engine can be used.

    Raises:
        FuzzingError: what it needs is not installed.
    """
    if name != ATHERIS:
        return
    try:
        import atheris  # noqa: F401
    except ImportError as error:
        raise FuzzingError(
            "engine atheris needs the package atheris, which is not installed; run `pip install "
            f"-r requirements/fuzzing.txt`, or choose --engine {ANSWERS}, which knows no coverage"
        ) from error


@contextmanager
def instrumented(engine: str, packages: Sequence[str]) -> Iterator[None]:
    """Modules of these packages that are imported in this context tell their coverage."""
    if engine != ATHERIS:
        yield
        return
    import atheris

    with atheris.instrument_imports(include=list(packages)):
        yield


def run_answers(execute: Execution, subject: Subject, seed: int, deadline_s: float) -> None:
    """Change inputs at random; those that lead to an answer not yet heard are changed further.

    Args:
        execute: tries them.
        subject: gives the first ones, and says how they are built.
        seed: of all that is drawn.
        deadline_s: monotonic time of the end.
    """
    draw = Draw(seed)
    seeds = subject.seeds()
    inputs = list(seeds)
    heard: set[str] = set()
    for data in seeds:
        heard.add(execute(data).answer)
    while time.monotonic() < deadline_s:
        base = draw.one_of(seeds if draw.chance(0.5) else inputs)
        data = changed(base, subject, draw, seeds)
        answer = execute(data).answer
        if answer not in heard and len(inputs) < _KEPT:
            heard.add(answer)
            inputs.append(data)


def changed(
    data: bytes,
    subject: Subject,
    draw: Draw,
    seeds: Sequence[bytes],
    plain: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """An input after one to four changes; `plain` changes bytes of which nothing is known."""
    for _ in range(draw.one_of(_ROUNDS)):
        data = subject.format.change(
            data, draw, plain or (lambda inner: draw.damaged_bytes(inner, seeds))
        )
    return data


def run_atheris(
    execute: Execution, subject: Subject, seed: int, seconds: float, corpus: Path
) -> NoReturn:
    """Let libFuzzer choose what to change further: inputs that reach code not yet seen.

    Args:
        execute: tries them.
        subject: gives the first ones, and says how they are built.
        seed: of all that is drawn.
        seconds: to go on for.
        corpus: folder of the inputs that are worth changing; grows.
    """
    import atheris

    seeds = subject.seeds()
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds):
        (corpus / f"seed_{number:03}").write_bytes(data)
    longest = _LARGER * max([_LEAST_BYTES, *map(len, seeds)])
    draw = Draw(seed)

    def plain(data: bytes) -> bytes:
        if draw.chance(0.5):
            return draw.damaged_bytes(data, seeds)
        return bytes(atheris.Mutate(data, len(data) + 64))

    def change(data: bytes, max_size: int, round_seed: int) -> bytes:
        draw.random.seed(round_seed)
        result = changed(bytes(data), subject, draw, seeds, plain)
        return result if len(result) <= max_size else bytes(data)

    arguments: list[Any] = [
        sys.argv[0],
        *_LIBFUZZER,
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={longest}",
        f"-seed={seed % (1 << 31) or 1}",
        f"-artifact_prefix={corpus.parent}/",
        str(corpus),
    ]

    def run_one(data: bytes) -> None:
        execute(bytes(data))

    atheris.Setup(arguments, run_one, custom_mutator=change)
    atheris.Fuzz()
    raise SystemExit(0)
