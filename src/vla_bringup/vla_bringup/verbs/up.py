"""Start a node graph and keep it running until Ctrl-C.

The same graphs, arguments and defaults as `ros2 launch vla_bringup GRAPH.launch.py`, without
needing `launch`:

  vla up dock instruction:="dock at the orange charger"
  vla up record driver:=none record_directory:=~/bags
  vla up dock --show-args
"""

from __future__ import annotations

import argparse
import json

from vla_bringup.graph import GRAPHS, GraphKind
from vla_bringup.graph_arguments import GraphError

HELP = "start simulator, policy, recorder ... as one graph"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    graphs = "; ".join(f"{kind.name}: {kind.summary}" for kind in GRAPHS.values())
    parser.add_argument("graph", choices=GRAPHS, help=graphs)
    parser.add_argument(
        "arguments", nargs="*", metavar="NAME:=VALUE", help="launch arguments, see --show-args"
    )
    parser.add_argument("--show-args", action="store_true", help="list the launch arguments")
    parser.add_argument(
        "--check", action="store_true", help="run the checks before the start, and start nothing"
    )
    parser.add_argument("--json", action="store_true", help="--show-args as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    kind = GRAPHS[args.graph]
    if args.show_args:
        _show(kind, as_json=args.json)
        return 0
    graph, options = kind.from_values(_parse(args.arguments))

    from vla_bringup.graph_restarts import run_with_restarts
    from vla_bringup.preflight import check_graph
    from vla_bringup.process_manager import run_graph

    check_graph(graph, options)
    if args.check:
        print(f"ready to start: {', '.join(spec.full_name for spec in graph.nodes)}")
        return 0
    if options.on_failure == "restart":
        return run_with_restarts(graph, run_graph)
    return run_graph(graph)


def _parse(texts: list[str]) -> dict[str, str]:
    values = {}
    for text in texts:
        name, separator, value = text.partition(":=")
        if not separator or not name:
            raise GraphError(f"argument '{text}' is malformed; expected NAME:=VALUE")
        values[name] = value
    return values


def _show(kind: GraphKind, *, as_json: bool) -> None:
    if as_json:
        table = [
            {
                "name": argument.name,
                "default": argument.default,
                "choices": list(argument.choices),
                "description": argument.description,
            }
            for argument in kind.arguments
        ]
        print(json.dumps(table, indent=2))
        return
    for argument in kind.arguments:
        print(f"{argument.name}:={argument.default or repr('')}")
        print(f"    {argument.description}")
        if argument.choices:
            print(f"    one of: {', '.join(argument.choices)}")
