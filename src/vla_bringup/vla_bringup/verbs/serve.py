"""Serve a policy to robots over the network: the far end of the policy node's runtime `remote`.

  vla serve out/policy
  vla serve out/training --device cuda --host 10.0.0.5

The protocol is openpi's (websocket, MessagePack). Nothing is encrypted and nobody is asked for a
password: listen where only robots are, or on the loopback with a tunnel. On the robot:
-p runtime:=remote -p remote_uri:=ws://10.0.0.5:8000, with a bundle of the same contract as policy.
"""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from vla_bringup.resources import default_policy

HELP = "serve a policy to robots from a GPU server"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "policy",
        nargs="?",
        type=Path,
        default=default_policy(),
        metavar="POLICY",
        help="bundle, or checkpoint of a training (default: shipped bundle)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default %(default)s: this host)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="0 for any that is free (default %(default)s)"
    )
    parser.add_argument(
        "--variant", default="", metavar="NAME", help="of the bundle's graph, such as int8-static"
    )
    parser.add_argument(
        "--device", default="cpu", help="of a checkpoint: cpu, cuda, cuda:1 (default %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of one inference (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_policy_node.inference.policy_server import PolicyServer
    from vla_policy_node.inference.runtimes import load_runtime
    from vla_policy_node.inference.worker import WorkerSpec

    is_checkpoint = args.policy.suffix == ".pt" or (args.policy / "checkpoint.pt").is_file()
    spec = WorkerSpec(
        args.policy,
        "torch" if is_checkpoint else "onnx",
        args.threads,
        args.variant,
        device=args.device,
    )
    runtime = load_runtime(spec)
    server = PolicyServer(runtime, args.host, args.port, _print)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serving = threading.Thread(target=server.serve_forever, name="server")
    serving.start()
    contract = runtime.bundle.contract
    _print(f"serving {args.policy} ({runtime.name}, contract {contract.name}) on {server.uri}")
    # Not one long wait: a signal that the kernel gives to another thread does not interrupt it.
    while not stop.wait(0.2) and serving.is_alive():
        pass
    server.close()
    serving.join()
    runtime.close()
    return 0


def _print(line: str) -> None:
    print(line, flush=True)
