"""Export a trained policy to a bundle: an ONNX graph with all that serving it needs.

  vla export out/training --out out/policy

The graph is compared with PyTorch before the bundle is written, and refused if it differs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vla_core.errors import VlaError

HELP = "a trained policy to a bundle that robots load"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path, help="folder from `vla train`, or its checkpoint")
    parser.add_argument(
        "--out", type=Path, default=Path("out/policy"), help="folder (default %(default)s)"
    )
    parser.add_argument(
        "--dataset", type=Path, help="frames to compare on (default: those trained on)"
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="JSON", help="figures to store, from `vla evaluate`"
    )
    parser.add_argument("--card", type=Path, metavar="MD", help="model card to put into the bundle")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    evaluation = _read_json(args.evaluation) if args.evaluation else None

    from vla_training.export import export_bundle

    bundle = export_bundle(
        args.checkpoint,
        args.out,
        dataset=args.dataset,
        evaluation=evaluation,
        extra_files={"README.md": args.card} if args.card else None,
    )
    if args.json:
        print((bundle.path / "manifest.json").read_text(encoding="utf-8"), end="")
        return 0
    size = sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    print(f"{bundle.path}: {size / 1e6:.1f} MB, contract {bundle.contract.hash[:12]}")
    return 0


def _read_json(path: Path) -> dict[str, object]:
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VlaError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(figures, dict):
        raise VlaError(f"{path} holds no JSON object; expected the output of `vla evaluate --json`")
    return figures
