"""Runtimes that compute a policy, by the name that the `runtime` parameter gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vla_policy_node.errors import ParameterError
from vla_policy_node.inference.runtimes.protocol import Runtime

if TYPE_CHECKING:
    from vla_policy_node.inference.worker import WorkerSpec

RUNTIMES: Final = ("onnx", "torch", "remote")


def load_runtime(spec: WorkerSpec) -> Runtime:
    """Make a runtime and load the policy into it.

    Args:
        spec: which runtime, which policy.

    Raises:
        ParameterError: there is no runtime of that name, or what it needs is not installed.
        VlaError: it cannot load the policy.
    """
    # Imported on demand: a robot installs only the runtime that it uses.
    if spec.runtime == "onnx":
        from vla_policy_node.inference.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(spec.bundle, spec.threads, spec.variant)
    if spec.runtime == "torch":
        from vla_policy_node.inference.runtimes.pytorch import TorchRuntime

        return TorchRuntime(spec.bundle, spec.threads, spec.device)
    if spec.runtime == "remote":
        from vla_policy_node.inference.runtimes.remote import RemoteRuntime

        return RemoteRuntime(spec.bundle, spec.remote_uri, spec.timeout_s)
    raise ParameterError(f"runtime is '{spec.runtime}', expected one of {', '.join(RUNTIMES)}")


__all__ = ["RUNTIMES", "Runtime", "load_runtime"]
