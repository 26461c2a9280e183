"""Runtimes that compute a policy, by the name that the `runtime` parameter gives them."""

from __future__ import annotations

from pathlib import Path

from vla_core import keys
from vla_policy_node.errors import ParameterError
from vla_policy_node.runtimes.protocol import Runtime

RUNTIMES = ("onnx",)


def create_runtime(
    name: str, model_path: Path, threads: int, output: str = keys.MODEL_OUTPUT
) -> Runtime:
    """Make a runtime and load the model into it.

    Args:
        name: one of `RUNTIMES`.
        model_path: the bundle's graph.
        threads: for one inference.
        output: of the graph that is computed.

    Raises:
        ParameterError: there is no runtime of that name.
        BundleError: it cannot load the model.
    """
    # Imported on demand: a robot installs only the runtime that it uses.
    if name == "onnx":
        from vla_policy_node.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(model_path, threads, output)
    raise ParameterError(f"runtime is '{name}', expected one of {', '.join(RUNTIMES)}")


__all__ = ["RUNTIMES", "Runtime", "create_runtime"]
