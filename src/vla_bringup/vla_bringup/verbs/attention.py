"""Show where a policy looks while it drives, and measure how much of it is the named station.

  vla attention --policy out/training --suite nominal clutter --episodes 50 --out out/attention

For each reader of the image (TokenLearner's maps, keypoints, a ViT's roll-out) and for the
gradients of the predicted chunk (saliency of the pixels, Grad-CAM of the feature maps): its share
of attention on the station that the sentence names against that station's share of the pixels,
while approaching. A checkpoint is needed: an exported graph does not say what it looks at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "where a policy looks: pictures, and the share on the named station"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--policy",
        type=Path,
        required=True,
        metavar="CHECKPOINT",
        help="checkpoint, or output folder of `vla train`",
    )
    parser.add_argument(
        "--suite",
        nargs="+",
        default=["nominal"],
        metavar="NAME",
        help="one or more (default nominal)",
    )
    parser.add_argument(
        "--episodes", type=int, default=20, metavar="N", help="per suite (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=1_000_000, metavar="S", help="first one (default %(default)s)"
    )
    parser.add_argument(
        "--drawn",
        type=int,
        default=3,
        metavar="N",
        help="episodes per suite of which video and images are kept (default %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/attention"),
        metavar="DIR",
        help="folder for figures, videos and images (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    import json

    from vla_training.attention.measure import attention_rows, measure_attention

    report = measure_attention(
        args.policy,
        args.suite,
        args.episodes,
        args.out,
        seed=args.seed,
        drawn=args.drawn,
        progress=not args.json,
    )
    if args.json:
        print(json.dumps(report, indent=1))
        return 0
    for suite, figures in report["suites"].items():
        print(suite)
        for name, text in attention_rows(figures):
            print(f"  {name:<22} {text}")
    print(f"pictures and figures are in {args.out}")
    return 0
