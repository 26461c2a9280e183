"""The ``vla`` command: finds the verb, runs it, and turns errors into one line each."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from types import FrameType, ModuleType
from typing import Final, NoReturn

from vla_core.errors import VlaError

# Every verb is a module of this name, with _ for -, in vla_bringup.verbs with HELP, add_arguments()
# and run().
GROUPS: Final = {
    "run": ("demo", "up", "dock", "undock", "teleop", "reset", "watch", "sim", "serve"),
    "data": (
        "collect",
        "rollout",
        "inspect",
        "view",
        "convert",
        "merge",
        "to-lerobot",
        "from-lerobot",
    ),
    "learn": (
        "pretrain",
        "train",
        "sweep",
        "dagger",
        "finetune",
        "export",
        "calibrate",
        "evaluate",
        "compare",
        "correlate",
        "attention",
    ),
    "machine": ("doctor", "bench", "faults", "fuzz"),
}
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

_REMEDIES: Final = {
    "rclpy": "this needs ROS 2: make setup, then source env.sh",
    **dict.fromkeys(
        ("vla_msgs", "vla_training", "vla_simulation", "vla_recorder", "vla_policy_node"),
        "build the workspace (make setup) and source env.sh in this shell",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vla`` with these arguments (default: the process's own).

    Returns:
        0 on success, 1 after an error, 2 after wrong usage, 130 after Ctrl-C; a verb may use
        further codes of its own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    modules = {verb: _load(verb) for verbs in GROUPS.values() for verb in verbs}
    parser = build_parser(modules)
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as ending:  # argparse's way to end after --help and after wrong usage
        return int(ending.code or 0)
    if parsed.verb is None:
        parser.print_help()
        return USAGE_ERROR
    return _run(parsed, modules[parsed.verb])


def build_parser(modules: dict[str, ModuleType]) -> argparse.ArgumentParser:
    """The argument parser with all verbs.

    Args:
        modules: by verb.
    """
    parser = argparse.ArgumentParser(
        prog="vla",
        usage="vla [-h] [--version] VERB ...",
        description="Docking of a mobile robot with a learned vision-language-action policy.",
        epilog=_verb_list(modules),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vla {_version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", help=argparse.SUPPRESS)
    for verb, module in modules.items():
        child = verbs.add_parser(
            verb,
            prog=f"vla {verb}",
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(child)
    return parser


def _load(verb: str) -> ModuleType:
    return import_module(f"vla_bringup.verbs.{verb.replace('-', '_')}")


def _verb_list(modules: dict[str, ModuleType]) -> str:
    lines = []
    for group, verbs in GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {verb:<12} {modules[verb].HELP}" for verb in verbs]
        lines.append("")
    return "\n".join([*lines, "vla VERB --help says more."])


def _version() -> str:
    try:
        return metadata.version("vla_bringup")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _run(parsed: argparse.Namespace, module: ModuleType) -> int:
    try:
        with _interruptible():
            code = module.run(parsed)
            sys.stdout.flush()
    except VlaError as error:
        return _fail(parsed.verb, str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "vla_bringup"}:
            raise  # a mistake of ours, not of the installation
        remedy = _REMEDIES.get(package, "`vla doctor` says what is missing")
        return _fail(parsed.verb, f"Python module {error.name} is not installed; {remedy}")
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, say) has left; the interpreter would complain when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return int(code)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the block with KeyboardInterrupt, whatever it surfaces as inside.

    Where it strikes in a conversion of ctypes, as in every OpenGL call, it arrives as an
    ArgumentError.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored, or somebody else's: `vla` runs inside of another program
        return
    seen = False

    def interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
        nonlocal seen
        seen = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if seen:
            raise KeyboardInterrupt from error
        raise
    finally:
        # A verb may have set a handler of its own.
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _fail(verb: str, message: str) -> int:
    print(f"vla {verb}: error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
