"""Steps of a tracker on buffers of their own, which a GPU replays as one CUDA graph.

Without a graph a step runs operation by operation on the same buffers, on any device.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache

import torch
from torch import Tensor

# The precision of float32 is one for all threads. Captures share a stream, and so the workspace of
# its matrix products, which the graphs then go on using: a replay must not meet a capture.
_ALONE = threading.RLock()
_WARM_UP_RUNS = 3


class Step:
    """A function of tensors whose shapes, and whose places in memory, never change.

    Write to ``inputs``, call :meth:`run`, and read the output before the next run overwrites it.

    Args:
        function: Takes the inputs and gives one tensor. It must not wait for the GPU.
        inputs: Its arguments, all on one device.
        graph: Whether to capture a CUDA graph.
    """

    def __init__(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], *, graph: bool
    ) -> None:
        self.inputs = inputs
        self._function = function
        self._graph, self._output = _capture(function, inputs) if graph else (None, None)

    def run(self) -> Tensor:
        """The output for what ``inputs`` hold now, always the same tensor."""
        if self._graph is not None:
            with _ALONE:
                self._graph.replay()
            return self._output
        with full_float32(self.inputs[0].device):
            output = self._function(*self.inputs)
        if self._output is None:
            self._output = torch.empty_like(output)
        return self._output.copy_(output)


class StepCache:
    """The most recently used steps.

    Args:
        max_steps: How many are kept; each holds memory for all that it computes.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps
        self._steps: OrderedDict[Hashable, Step] = OrderedDict()

    def __len__(self) -> int:
        return len(self._steps)

    def get(self, key: Hashable, make: Callable[[], Step]) -> Step:
        """The step of a key; it is made if there is none, and the one not used longest goes."""
        if key not in self._steps:
            self._steps[key] = make()  # a capture waits for the GPU: nothing uses the one that goes
            if len(self._steps) > self.max_steps:
                self._steps.popitem(last=False)
        self._steps.move_to_end(key)
        return self._steps[key]


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Compute float32 products in float32, not in TF32, on a GPU; nothing changes on a CPU.

    It counts when kernels are chosen: a captured graph keeps what it was captured with. The
    settings are those of the whole process; they are put back at the end.
    """
    if device.type != 'cuda':
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, 'fp32_precision'):  # torch 2.9 and later
        owners, name, exact = (matmul, cudnn.conv), 'fp32_precision', 'ieee'
    else:
        owners, name, exact = (matmul, cudnn), 'allow_tf32', False
    with _ALONE, ExitStack() as ends:
        if name == 'allow_tf32':  # to which 'medium' is 'high'
            precision = torch.get_float32_matmul_precision()
            ends.callback(torch.set_float32_matmul_precision, precision)
        for owner in owners:
            ends.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, exact)
        yield


def on(device: torch.device) -> AbstractContextManager:
    """Makes a GPU the current one, for streams and events."""
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()


def check_cuda(device: torch.device, purpose: str) -> None:
    """Check that a device is a GPU that torch can use.

    Raises:
        ValueError: If the device is not a GPU.
        RuntimeError: If torch has no support for CUDA, or sees no such GPU.
    """
    if device.type != 'cuda':
        raise ValueError(
            f"{purpose} on device '{device}', expected 'cuda'; move the model to the GPU before: "
            "model.to('cuda')."
        )
    if not torch.backends.cuda.is_built():
        raise RuntimeError(
            f'{purpose}: torch {torch.__version__} is built without CUDA; install a build for your '
            'driver as https://pytorch.org/get-started/locally says.'
        )
    if (device.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(
            f"{purpose} on device '{device}', but torch sees {torch.cuda.device_count()} GPUs; "
            'check nvidia-smi and the environment variable CUDA_VISIBLE_DEVICES.'
        )


def _capture(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    device = inputs[0].device
    with on(device), full_float32(device):
        # First runs choose kernels and make handles, which a capture must not.
        side, main = _capture_stream(device), torch.cuda.current_stream()
        side.wait_stream(main)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_RUNS):
                function(*inputs)
        main.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on allocating memory.
        with torch.cuda.graph(graph, stream=side, capture_error_mode='thread_local'):
            output = function(*inputs)
    return graph, output


@cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures on a GPU: torch keeps a workspace for each stream ever used."""
    return torch.cuda.Stream(device)
