"""Export a trained policy to a bundle: an ONNX graph with all that serving it needs.

  vla export out/training --out out/policy
  vla export out/training --variants fp16,int8-dynamic,int8-static,int8-qat --episodes 100

The graph is compared with PyTorch before the bundle is written, and refused if it differs. A
variant is kept only where it is faster on this machine and as good; the manifest has the figures.
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
    parser.add_argument(
        "--variants",
        default="",
        metavar="NAME,…",
        help="faster forms to try: fp16, int8-dynamic, int8-static, int8-qat",
    )
    parser.add_argument(
        "--episodes",
        type=int,
        default=0,
        metavar="N",
        help="compare each faster variant with the exact graph in so many simulated episodes "
        "(default: only their actions are compared)",
    )
    parser.add_argument(
        "--suite", default="nominal", metavar="NAME", help="of these episodes (default nominal)"
    )
    parser.add_argument(
        "--qat-steps",
        type=int,
        default=300,
        metavar="N",
        help="steps of fine-tuning for int8-qat (default %(default)s)",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--parity-frames",
        type=int,
        default=1000,
        metavar="N",
        help="frames to compare with PyTorch on (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    evaluation = _read_json(args.evaluation) if args.evaluation else None

    from vla_training.export import export_bundle
    from vla_training.variants.selection import VariantOptions

    names = tuple(name.strip() for name in args.variants.split(",") if name.strip())
    bundle = export_bundle(
        args.checkpoint,
        args.out,
        dataset=args.dataset,
        evaluation=evaluation,
        extra_files={"README.md": args.card} if args.card else None,
        parity_frames=args.parity_frames,
        variants=VariantOptions(
            names, args.episodes, args.suite, qat_steps=args.qat_steps, jobs=args.jobs
        ),
        progress=not args.json,
    )
    if args.json:
        print((bundle.path / "manifest.json").read_text(encoding="utf-8"), end="")
        return 0
    size = sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    print(f"{bundle.path}: {size / 1e6:.1f} MB, contract {bundle.contract.hash[:12]}")
    for name, variant in bundle.manifest.variants.items():
        if variant["kept"]:
            print(f"  {name}: kept, {variant['latency_ratio']['median']:.2f} of the time")
        else:
            print(f"  {name}: left out, {variant['reason']}")
    return 0


def _read_json(path: Path) -> dict[str, object]:
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VlaError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(figures, dict):
        raise VlaError(f"{path} holds no JSON object; expected the output of `vla evaluate --json`")
    return figures
