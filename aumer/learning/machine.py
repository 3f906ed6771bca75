"""Device, precision and processes of training."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import count

import torch
from torch import Tensor, distributed, nn

from aumer.errors import UsageError

#: Timeout, since the first process may measure the features of all videos while the others wait.
_PATIENCE = timedelta(days=7)
_groups = count()


def is_first() -> bool:
    """Whether this process writes and reports: the first of ``torchrun``'s, or the only one."""
    return int(os.environ.get("WORLD_SIZE", "1")) < 2 or os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def torchrun(device: str | torch.device = "cpu") -> Iterator[torch.device]:
    """Join the processes of ``torchrun``; does nothing for a single process or if already joined.

    Yields:
        this process's device: its own GPU if `device` is "cuda".

    Raises:
        UsageError: as `device_of`.
    """
    own = device_of(device)
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield own
        return
    if own.type == "cuda":
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
    if distributed.is_initialized():
        yield own
        return
    # Not every build of torch has these.
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://", timeout=_PATIENCE))
    # Remove data of an earlier group of these processes from the store.
    distributed.init_process_group(
        "nccl" if own.type == "cuda" else "gloo",
        store=PrefixStore(f"aumer-{next(_groups)}", store),
        rank=rank,
        world_size=world,
        timeout=_PATIENCE,
    )
    try:
        yield own
    finally:
        distributed.destroy_process_group()


def device_named(device: str | torch.device) -> torch.device:
    """The torch device of that name, which may be unavailable.

    Raises:
        UsageError: torch knows no such device, or it is a second CPU (cpu:1).
    """
    try:
        own = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise _useless(device, str(error)) from error
    if own.type == "cpu" and own.index:  # torch accepts any index for the same CPU
        raise _useless(device, "the CPU is one device, whatever its cores: 'cpu'")
    return own


def device_of(device: str | torch.device) -> torch.device:
    """The available device of that name; "auto" is the first GPU, or the CPU if there is none.

    Raises:
        UsageError: the device is unavailable, or stores no data.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    own = device_named(device)
    try:
        torch.zeros(1, device=own).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise _useless(device, str(error)) from error
    return own


def _useless(device: str | torch.device, why: str) -> UsageError:
    reason = why.splitlines()[0].split(". ")[0]  # torch may go on for a thousand words
    return UsageError(
        f"device {str(device)!r} cannot be used here ({reason}); give "
        "`device='cpu'` or `device='auto'`"
    )


class Machine:
    """A device, and the rank of this process in a distributed training (`torchrun`).

    Each process takes its share of every batch and gradients are summed, so that a step equals that
    of the whole batch, except for batch norm and dropout.

    Attributes:
        rank, count: rank of this process, and number of processes.
    """

    def __init__(
        self, device: str | torch.device = "cpu", *, mixed_precision: bool = False
    ) -> None:
        self.device, self._mixed = torch.device(device), mixed_precision
        joined = distributed.is_available() and distributed.is_initialized()
        self.count = distributed.get_world_size() if joined else 1
        self.rank = distributed.get_rank() if joined else 0

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process runs the block first, then the others."""
        if self.rank:
            self.total(torch.zeros(()))
        yield
        if not self.rank:
            self.total(torch.zeros(()))

    @property
    def share(self) -> slice:
        """This process's share of a batch; may be empty for a small batch."""
        return slice(self.rank, None, self.count)

    def forward(self, net: nn.Module, *inputs: Tensor, **named: Tensor) -> Tensor:
        """The output of `net`, converted to 32 bits."""
        some = [x.to(self.device, non_blocking=True) for x in inputs]
        others = {name: x.to(self.device, non_blocking=True) for name, x in named.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            found: Tensor = net(*some, **others)
        return found.float()

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes; without gradient if there are several."""
        if self.count == 1:
            return value
        total = value.detach().to(self.device, copy=True)  # NCCL only supports GPU tensors
        distributed.all_reduce(total)
        return total.to(value.device)

    def totals(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """The sums of named numbers over all processes."""
        if not values:
            return {}
        numbers = torch.stack([v.detach().to("cpu", torch.float64) for v in values.values()])
        return dict(zip(values, self.total(numbers).tolist(), strict=True))

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """The means of named numbers over all processes, so that rounding does not make them
        diverge.
        """
        found = self.totals({k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()})
        return {name: value / self.count for name, value in found.items()}

    def add_gradients(self, net: nn.Module) -> None:
        """Sum the gradients over all processes."""
        if self.count == 1:
            return
        parameters = [p for p in net.parameters() if p.requires_grad]
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [p.numel() for p in parameters])
        for p, part in zip(parameters, parts, strict=True):
            p.grad = part.view_as(p)

    def agree(self, net: nn.Module) -> None:
        """Average the running statistics of batch norms over all processes."""
        if self.count == 1:
            return
        for norm in batch_norms(net):
            for seen in (norm.running_mean, norm.running_var):
                if seen is not None:
                    distributed.all_reduce(seen)
                    seen /= self.count


def batch_norms(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """All batch-norm layers of a network."""
    return [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
