"""Crops that are cut out on the device of the network, from one upload of each frame.

Their bytes are those of :func:`~mmtrack_mixformerv2.tracking.region.crop_region`, on x86 CPUs.
OpenCV resizes 8-bit images in fixed point: weights of 11 bits, first along the rows, then along
the columns, with four bits dropped between and the rest rounded at the end. All of this is
integer arithmetic, and so are the operations here. Its special ways to copy a square or to halve
it give the same as the general one. Padding has weight zero, which is black.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..tracking.crops import each
from ..tracking.region import CropWindow, crop_window
from .cuda_graphs import Step, StepCache, check_cuda, on

_ONE = np.float32(1 << 11)  # OpenCV's fixed-point 1
_MAX_STEPS = 8
# A view of more memory than this many times its own size is copied before it is uploaded.
_MAX_SPREAD = 2


class DeviceFrame(NamedTuple):
    """A frame on the device, as its memory was on the host.

    Attributes:
        memory: All of its bytes, uint8 ``(bytes,)``.
        size: Height and width in pixels.
        origin: Where in the memory the first channel of the top left pixel is.
        strides: Bytes from a row, a column and a channel to the next; may be zero or negative.
    """

    memory: Tensor
    size: tuple[int, int]
    origin: int
    strides: tuple[int, int, int]


class DeviceCrops:
    """Cuts, pads and resizes on a device; see :class:`~mmtrack_mixformerv2.tracking.crops.Crops`.

    Crops are uint8 tensors ``(size, size, 3)`` there. On a GPU, nothing waits for it; a step for
    each number of boxes, size of crops and magnitude of frames is captured as a CUDA graph.
    Threads take turns, and must work on one CUDA stream, as they do unless told otherwise.

    Args:
        device: Where crops are needed.
        graph: Whether to capture CUDA graphs; None for yes on a GPU.

    Raises:
        RuntimeError: If it is a GPU that torch cannot use.
    """

    def __init__(self, device: torch.device | str, *, graph: bool | None = None) -> None:
        self.device = torch.device(device)
        self._on_gpu = self.device.type == 'cuda'
        if self._on_gpu:
            check_cuda(self.device, 'crops')
        self.graph = self._on_gpu if graph is None else graph
        self._steps = StepCache(_MAX_STEPS)
        self._lock = threading.Lock()

    @torch.inference_mode()
    def load(self, frame: np.ndarray) -> DeviceFrame:
        """Upload a frame as it is in memory; mirrored and grey views are not copied before.

        Args:
            frame: uint8 ``(height, width, 3)``, any strides.
        """
        bytes_, origin = _memory_of(frame)
        if bytes_.size > _MAX_SPREAD * frame.nbytes:
            frame = np.ascontiguousarray(frame)
            bytes_, origin = _memory_of(frame)
        # torch hands a pinned block out again only after the upload from it has ended.
        with on(self.device):
            staged = torch.empty(bytes_.size, dtype=torch.uint8, pin_memory=self._on_gpu)
            if bytes_.flags.writeable:
                staged.copy_(torch.from_numpy(bytes_))  # by several threads
            else:
                staged.numpy()[:] = bytes_
            memory = staged.to(self.device, non_blocking=True)
        return DeviceFrame(memory, frame.shape[:2], origin, frame.strides)

    def cut(
        self, frame: DeviceFrame, box_xywh: Sequence[float], factor: float, size: int
    ) -> tuple[Tensor, float]:
        """As :func:`~mmtrack_mixformerv2.tracking.region.crop_region`; raises the same."""
        return self.cut_all(frame, [box_xywh], factor, size)[0]

    @torch.inference_mode()
    def cut_all(
        self,
        frame: DeviceFrame,
        boxes_xywh: Sequence[Sequence[float]],
        factor: float | Sequence[float],
        size: int,
    ) -> list[tuple[Tensor, float]]:
        """:meth:`cut` for several boxes, by as many operations as for one."""
        pairs = zip(boxes_xywh, each(factor, boxes_xywh))
        windows = [crop_window(*pair, *frame.size) for pair in pairs]
        if not windows:
            return []
        table = torch.from_numpy(_table(windows, frame, size))
        capacity = 1 << (frame.memory.numel() - 1).bit_length()
        with self._lock, on(self.device):
            key = (len(windows), size, capacity)
            step = self._steps.get(key, partial(self._make_step, *key))
            memory, static_table = step.inputs
            memory[: frame.memory.numel()].copy_(frame.memory)
            static_table.copy_(table.pin_memory() if self._on_gpu else table, non_blocking=True)
            crops = step.run().clone()
        return [(crop, size / window.side) for crop, window in zip(crops, windows)]

    def _make_step(self, count: int, size: int, capacity: int) -> Step:
        memory = torch.zeros(capacity, dtype=torch.uint8, device=self.device)
        table = torch.zeros(count * 8 * size + 3, dtype=torch.int32, device=self.device)
        return Step(partial(_resample, count, size), (memory, table), graph=self.graph)


def _memory_of(frame: np.ndarray) -> tuple[np.ndarray, int]:
    """A view ``(bytes,)`` from the lowest to the highest byte of an array, and where it begins."""
    forward = frame[tuple(slice(None, None, -1 if step < 0 else 1) for step in frame.strides)]
    reach = [(length - 1) * step for length, step in zip(frame.shape, frame.strides)]
    bytes_ = np.lib.stride_tricks.as_strided(forward, (1 + sum(map(abs, reach)),), (1,))
    return bytes_, -sum(min(0, one) for one in reach)


def _table(windows: Sequence[CropWindow], frame: DeviceFrame, size: int) -> np.ndarray:
    """Which bytes of a frame make up crops, and with which weights.

    Returns:
        int32 of ``N * 2 * 2 * 2 * size + 3`` numbers: for each crop, for rows then columns, the
        offsets of two neighbours then their weights in 1/2048, at each pixel of the crop; at the
        end the offsets of the channels.
    """
    side = np.array([window.side for window in windows])[:, None]
    # As OpenCV: positions in float64, rounded to float32, whose arithmetic goes on from there.
    centres = (np.arange(size) + 0.5) * (1 / (size / side)) - 0.5
    centres = centres.astype(np.float32)
    lower = np.floor(centres)
    fraction = centres - lower
    # Beyond the border both neighbours are the same pixel.
    weights = np.rint(np.stack([1 - fraction, fraction], axis=1) * _ONE).astype(np.int32)
    neighbours = np.stack([lower, lower + 1], axis=1)[:, None]  # (N, 1, 2, size)
    neighbours = np.clip(neighbours, 0, side[:, None, None] - 1).astype(np.int32)

    start, first, stop = np.array(
        [[(w.top, w.left), (w.y_start, w.x_start), (w.y_stop, w.x_stop)] for w in windows],
        np.int32,
    ).transpose(1, 0, 2)[..., None, None]  # (N, 2, 1, 1) each
    positions = start + neighbours
    inside = (positions >= first) & (positions < stop)
    offsets = np.where(inside, positions, 0)
    offsets *= np.array(frame.strides[:2], np.int32)[:, None, None]
    offsets[:, 0] += frame.origin
    table = np.stack([offsets, weights[:, None] * inside], axis=2)  # (N, 2, 2, 2, size)
    return np.append(table, np.arange(3, dtype=np.int32) * np.int32(frame.strides[2]))


def _resample(count: int, size: int, memory: Tensor, table: Tensor) -> Tensor:
    """Crops ``(N, size, size, 3)`` uint8 of a frame's memory, with the table of :func:`_table`."""
    channels = table[-3:]
    rows, columns = table[:-3].view(count, 2, 2, 2, size).unbind(1)  # (N, 2, 2, size) each
    index = (
        rows[:, 0, :, :, None, None, None] + columns[:, 0, None, None, :, :, None] + channels
    )  # (N, 2, size, 2, size, 3): two rows of two columns for each pixel
    pixels = memory.index_select(0, index.flatten()).view(index.shape)
    left, right = (pixels * columns[:, 1, None, None, :, :, None]).unbind(3)
    lines = ((left + right) >> 4) * rows[:, 1, :, :, None, None]  # (N, 2, size, size, 3)
    upper, lower = (lines >> 16).unbind(1)
    return ((upper + lower + 2) >> 2).to(torch.uint8)
