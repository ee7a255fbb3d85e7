"""The network as a tracker runs it: uint8 crops in, boxes out."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import torch
from mmcv.cnn import fuse_conv_bn
from torch import Tensor, nn

from ..structures import BoxPrediction, Features, TemplateCache

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


class InferenceNetwork(nn.Module):
    """Backbone and heads of a tracker behind the scaling of the crops.

    Made by :meth:`of` it is a view, with the weights, the device and the mode of the model at every
    call. :meth:`frozen` gives a copy that can be compiled or exported.

    Args:
        model: A :class:`~.tracker.TemplateSearchTracker`.
        scaled: Whether the backbone reads crops as they are, since its weights scale them.
        dtype: Key of ``DTYPES``: what the products of the backbone are computed in. The sums
            between its blocks and the heads stay in float32: a 16-bit expectation over bins is
            off by pixels.
    """

    def __init__(self, model: nn.Module, *, scaled: bool = False, dtype: str = 'float32') -> None:
        super().__init__()
        self.model = model
        self.scaled = scaled
        self.dtype = dtype

    @classmethod
    def of(cls, model: nn.Module) -> InferenceNetwork:
        """A view of a running model."""
        return cls(model)

    @property
    def search_size(self) -> int:
        """Side of the search crop in pixels."""
        return self.model.backbone.search_size

    @property
    def template_size(self) -> int:
        """Side of the template crops in pixels."""
        return self.model.backbone.template_size

    @property
    def has_score(self) -> bool:
        """Whether predictions have a score."""
        return self.model.has_score

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.data_preprocessor.mean.device

    def frozen(self, dtype: str = 'float32', *, compile: bool = False) -> InferenceNetwork:
        """A copy for inference alone, of the weights as they are now.

        Convolutions take over the batch norm behind them, the box head is fused if it has ``fuse``,
        and in float32 the backbone takes over the scaling of the crops, if it has ``fold_scaling``.

        Args:
            dtype: What the products of the backbone are computed in.
            compile: Compile :meth:`predict`, when it is called first with a batch size and a number
                of templates.

        Raises:
            ValueError: If it is no key of ``DTYPES``, or this network is such a copy already.
        """
        if dtype not in DTYPES:
            raise ValueError(
                f'dtype is {dtype!r}, expected one of {", ".join(DTYPES)} for the backend torch; '
                'int8 models are exported for onnxruntime and openvino: tools/deployment/export.py'
            )
        if self.scaled or self.dtype != 'float32':
            raise ValueError(
                f'this network is frozen already, in {self.dtype}, and its weights are not those '
                'of the model any more; freeze a view of the model: InferenceNetwork.of(model)'
            )
        model = copy.deepcopy(self.model).eval().requires_grad_(False)
        model.losses, model.auxiliary = nn.ModuleDict(), None
        fuse_conv_bn(model)
        if hasattr(model.box_head, 'fuse'):
            model.box_head.fuse()
        if self.device.type == 'cpu':  # maps of tokens have their channels last already
            model.to(memory_format=torch.channels_last)
        scaled = dtype == 'float32' and hasattr(model.backbone, 'fold_scaling')
        if scaled:
            preprocessor = model.data_preprocessor
            model.backbone.fold_scaling(preprocessor.mean.flatten(), preprocessor.std.flatten())
        if dtype != 'float32':
            warn_of_emulation(dtype, self.device)
            for module in model.backbone.modules():
                if isinstance(module, nn.Linear):
                    module.to(DTYPES[dtype])
        network = InferenceNetwork(model, scaled=scaled, dtype=dtype)
        if compile:
            network.predict = torch.compile(network.predict)
        return network

    def encode_templates(self, crops: Tensor) -> TemplateCache:
        """What is kept of RGB uint8 crops ``(B, T, h, w, 3)``, the static template first."""
        templates = self.scale(crops.flatten(0, 1)).unflatten(0, crops.shape[:2])
        with self.autocast():
            cache = self.model.backbone.encode_template(templates)
        return replace(cache, maker=self.model)

    def predict(self, crops: Tensor, cache: TemplateCache) -> BoxPrediction:
        """Boxes, edge distributions and scores of RGB uint8 search crops ``(B, S, S, 3)``.

        Args:
            crops: The search regions.
            cache: Of as many sequences, from :meth:`encode_templates`.
        """
        model = self.model
        search = self.scale(crops)
        with self.autocast():
            features = model.backbone.encode_search(search, cache, tokens_only=model.tokens_only)
        return self.apply_heads(features)

    def apply_heads(self, features: Features) -> BoxPrediction:
        """What neck and heads say in float32 about features of the backbone."""
        if self.dtype != 'float32':
            parts = (features.search, features.tokens, features.template)
            search, tokens, template = (part if part is None else part.float() for part in parts)
            features = Features(search, tokens, template=template)
        return self.model.apply_heads(features, tracking=True)

    def scale(self, crops: Tensor) -> Tensor:
        """``(B, h, w, 3)`` to what the backbone reads, ``(B, 3, h, w)``."""
        images = crops.permute(0, 3, 1, 2)
        return images if self.scaled else self.model.data_preprocessor.scale(images)

    def autocast(self) -> torch.autocast:
        """The context in which the backbone runs."""
        enabled = self.dtype != 'float32'
        return torch.autocast(self.device.type, DTYPES[self.dtype], enabled=enabled)


def warn_of_emulation(dtype: str, device: torch.device) -> None:
    """Warn if a CPU has no instructions for a 16-bit type: what was to be faster is slower."""
    needed = {'bfloat16': ('avx512_bf16', 'amx_bf16'), 'float16': ('avx512_fp16', 'amx_fp16')}
    capabilities = getattr(torch.cpu, 'get_capabilities', dict)()
    known = [name for name in needed[dtype] if name in capabilities]
    if device.type == 'cpu' and known and not any(capabilities[name] for name in known):
        warnings.warn(
            f'this CPU has no instructions for {dtype} ({", ".join(needed[dtype])}): torch '
            "computes it in a slower way than float32, and less exactly; use dtype='float32'.",
            RuntimeWarning,
            stacklevel=3,
        )
