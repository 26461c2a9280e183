"""The processes that train one policy together; one process is a special case.

`torchrun` and `accelerate launch` start them and say who is who in the environment. Accelerate
makes the process group, chooses the device and wraps the module for DDP. Sharding is PyTorch's own
`fully_shard`, because Accelerate offers it on accelerators only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from vla_training.errors import TrainingError
from vla_training.training_config import TrainingConfig

_SMALLEST_UNIT = 1 << 12
"""Numbers below which a block is not worth a message of its own."""


class Processes:
    """This process among those that train together.

    Args:
        config: Of the run; `accelerate launch --use_fsdp` has the same effect as its strategy.

    Attributes:
        count: How many there are.
        rank: Number of this one, from 0.
        device: That this one trains on.
        sharded: Whether each holds only a part of the state.
    """

    def __init__(self, config: TrainingConfig) -> None:
        # CUDA's matrix products repeat their bits only with this, read when it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        several = process_count() > 1
        self._accelerator = Accelerator(
            cpu=several and not torch.cuda.is_available(), mixed_precision="no"
        )
        self.count = self._accelerator.num_processes
        self.rank = self._accelerator.process_index
        self.device = self._accelerator.device
        wanted = config.strategy == "fsdp" or os.environ.get("ACCELERATE_USE_FSDP") == "true"
        self.sharded = wanted and self.count > 1
        if self.device.type == "cuda":
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.backends.cudnn.benchmark = False

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def place(self, module: nn.Module) -> nn.Module:
        """Bring a module to the device, sharded if that is the strategy; in place."""
        module.to(self.device)
        if self.sharded:
            mesh = init_device_mesh(self.device.type, (self.count,))
            for unit in blocks(module):
                if sum(parameter.numel() for parameter in unit.parameters()) >= _SMALLEST_UNIT:
                    fully_shard(unit, mesh=mesh)
            fully_shard(module, mesh=mesh)
        return module

    def share(self, module: nn.Module) -> nn.Module:
        """The module to call in a step: its backward pass takes the mean over the processes."""
        if self.sharded or self.count == 1:
            return module
        return self._accelerator.prepare_model(module)

    @contextmanager
    def gradients(self, module: nn.Module, complete: bool) -> Iterator[None]:
        """Around forward and backward pass of a micro-batch.

        Args:
            module: What `share` gave.
            complete: Whether it is the last of the step, after which gradients are exchanged.
        """
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(complete)
        with nullcontext() if complete else self._accelerator.no_sync(module):
            yield

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of figures over the processes; every process has to call it."""
        if self.count == 1:
            return dict(values)
        numbers = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        mean = self._accelerator.reduce(numbers, "mean")
        return dict(zip(values, mean.tolist(), strict=True))

    def from_main(self, value: bool) -> bool:
        """What the main process says; the others wait for it."""
        if self.count == 1:
            return value
        said = torch.tensor([value and self.is_main], dtype=torch.int64, device=self.device)
        return bool(self._accelerator.reduce(said, "sum").item())

    def free(self) -> None:
        """Forget the modules that were shared."""
        self._accelerator.free_memory()


def process_count() -> int:
    """How many processes were started to train together, by what the launcher has said."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the one that prints and writes, by what the launcher has said."""
    return int(os.environ.get("RANK", "0")) == 0


def start_processes(count: int, program: Sequence[str]) -> int:
    """Run a Python program in processes that train together on this machine, by torchrun.

    Args:
        count: How many.
        program: What follows `python`, such as "-m", a module and its arguments.

    Returns:
        The exit status.

    Raises:
        TrainingError: If the count is not at least 1, or more than one process a GPU.
    """
    gpus = torch.cuda.device_count()
    if count < 1 or 0 < gpus < count:
        most = f" and at most {gpus}, one for each GPU" if gpus else ""
        raise TrainingError(f"--processes is {count}, expected at least 1{most}")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, (cores or 1) // count))
    return subprocess.run(
        [*launcher, f"--nproc-per-node={count}", *program],
        env={"OMP_NUM_THREADS": threads, **os.environ},
        check=False,
    ).returncode


def blocks(module: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network, outermost first: the members of its module lists.

    Each is called as a whole, so that it can be a unit of sharding and of recomputing.
    """
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            found.extend(child)
        else:
            found.extend(blocks(child))
    return found


def whole(tensor: Tensor) -> Tensor:
    """A copy on the CPU of all of a tensor that may be sharded; every process has to call it."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu().clone()


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, laid out as another one of equal shape."""
    if isinstance(like, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    # In the same memory format: fused optimizers go through weights and moments side by side.
    return torch.empty_like(like).copy_(value)
