"""The tracker that mmtrack trains and tests: a backbone with cached templates, and heads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from mmtrack.models.sot.base import BaseSingleObjectTracker
from mmtrack.registry import MODELS
from torch import Tensor

from ..structures import BoxPrediction, Features, TemplateCache
from ..tracking import (
    SequenceState,
    SequenceTracker,
    TrackingSettings,
    TrackResult,
)
from .inference import InferenceNetwork
from .part_checks import check_losses, check_parts, gives_score
from .torch_predictor import TorchPredictor


@MODELS.register_module()
class TemplateSearchTracker(BaseSingleObjectTracker):
    """Single object tracker of a backbone that never shows the search region to the templates.

    Args:
        backbone: A :class:`TemplateSearchBackbone`, as :class:`PMAMViT`.
        box_head: Features to :class:`BoxPrediction`.
        score_head: Features, and boxes if it ``reads_boxes``, to logits ``(B,)``. Without scores
            the templates are never refreshed.
        losses: Losses of ``loss_iou`` and ``loss_l1`` (boxes against targets) and, optionally,
            ``loss_edge`` (edge logits against targets), all in [0, 1] of the search region, or
            ``loss_cls`` (score map against targets that may reach out of the region).
            ``loss_score`` (score logits against labels 1 and 0) comes alone: its negative samples
            have no true box.
        auxiliary: Module used in training only, as :class:`DenseGuidance`.
        trainable: Names of the parts that train, as ``['score_head']``; the others need no
            gradient and stay in evaluation mode, so they come out bit for bit as they went in.
            None for all.
        test_cfg: Constants of the tracking loop, see :class:`TrackingSettings`, and
            ``test_mode='OPE'``.
        train_cfg: Unused; mmtrack's models have it.
        data_preprocessor: A :class:`CropDataPreprocessor`.
        init_cfg: As in mmengine.
        neck: Features to features, between backbone and heads, as :class:`PixelCorrelationNeck`.

    Raises:
        ValueError: If the parts do not fit each other, or ``test_cfg`` has a value out of range.
    """

    def __init__(
        self,
        backbone: dict,
        box_head: dict,
        score_head: dict | None = None,
        losses: dict | None = None,
        auxiliary: dict | None = None,
        trainable: Sequence[str] | None = None,
        test_cfg: dict | None = None,
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        neck: dict | None = None,
    ) -> None:
        if data_preprocessor is not None:
            # The base class would look in mmengine's registry, and needs the default scope for it.
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else None
        self.box_head = MODELS.build(box_head)
        self.score_head = MODELS.build(score_head) if score_head else None
        self.losses = torch.nn.ModuleDict(
            {name: MODELS.build(loss) for name, loss in (losses or {}).items()}
        )
        self.auxiliary = MODELS.build(auxiliary) if auxiliary else None
        self.trainable = trainable
        # Whether a training step needs the output of every block, for the templates too.
        self.keep_search_layers = self.auxiliary is not None
        self.keep_template_layers = False
        settings = dict(test_cfg or {})
        self.test_cfg = dict(test_mode=settings.pop('test_mode', 'OPE'))
        settings = TrackingSettings(**settings)
        check_parts(self, settings)
        check_losses(self)
        self._freeze()
        if any(getattr(part, 'reads_template', False) for part in (self.neck, *self.heads)):
            self.backbone.keep_template_output = True
        self.loop = SequenceTracker(TorchPredictor(InferenceNetwork.of(self)), settings)
        self._running: dict[int, SequenceState] = {}  # by video; see predict_ope

    @property
    def heads(self) -> list[torch.nn.Module]:
        """The heads that there are, the box head first."""
        return [head for head in (self.box_head, self.score_head) if head is not None]

    @property
    def has_score(self) -> bool:
        """Whether predictions have a score, of the score head or of the box head itself."""
        return self.score_head is not None or gives_score(self.box_head)

    def _freeze(self) -> None:
        for name, child in self.named_children():
            if self.trainable is not None and name not in self.trainable:
                child.requires_grad_(False)

    def train(self, mode: bool = True) -> TemplateSearchTracker:
        """Training or evaluation mode; parts that do not train are always in evaluation mode."""
        super().train(mode)
        for name, child in self.named_children():
            if self.trainable is not None and name not in self.trainable:
                child.eval()
        return self

    def remove_layers(self, layers: Sequence[int]) -> None:
        """Make the running model shallower, see :meth:`TemplateSearchBackbone.remove_blocks`."""
        self.backbone.remove_blocks(layers)

    def check_removal(self, layers: Sequence[int]) -> None:
        """Raise a ValueError if these layers cannot be removed from the running model."""
        self.backbone.check_removal(layers)

    @property
    def tokens_only(self) -> bool:
        """Whether nothing reads the search tokens, so that they need not be finished."""
        readers = [*self.heads, *filter(None, [self.neck])]
        return not any(getattr(reader, 'reads_search', True) for reader in readers)

    def predict_boxes(self, search: Tensor, cache: TemplateCache) -> BoxPrediction:
        """Heads on the search regions ``(B, 3, S, S)``, normalised, given their templates."""
        features = self.backbone.encode_search(search, cache, tokens_only=self.tokens_only)
        return self.apply_heads(features)

    def apply_heads(self, features: Features, *, tracking: bool = False) -> BoxPrediction:
        """What neck, box head and, if there is one, score head say about features.

        Args:
            features: Of the backbone.
            tracking: Whether the target is expected in the middle: heads with a window use it.
        """
        features = features if self.neck is None else self.neck(features)
        windowed = tracking and getattr(self.box_head, 'windowed', False)
        prediction = self.box_head(features, window=True) if windowed else self.box_head(features)
        if self.score_head is None:
            return prediction
        return replace(prediction, score_logits=self.score_head(features, prediction.boxes))

    def _forward(self, inputs: dict[str, Tensor], data_samples=None, **kwargs) -> BoxPrediction:
        """``mode='tensor'``: ``img`` ``(N, T, 3, h, w)`` and ``search_img`` ``(N, 1, 3, H, W)``."""
        cache = self.backbone.encode_template(inputs['img'])
        return self.predict_boxes(inputs['search_img'][:, 0], cache)

    def loss(self, inputs: dict[str, Tensor], data_samples: list, **kwargs) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs: ``img`` ``(N, T, 3, h, w)`` and ``search_img`` ``(N, 1, 3, H, W)``.
            data_samples: With the target in ``search_gt_instances``: ``bboxes`` (xyxy, pixels of
                the crop), or ``labels`` for ``loss_score``.
        """
        search = inputs['search_img'][:, 0]
        cache = self.backbone.encode_template(inputs['img'], out_layers=self.keep_template_layers)
        features = self.backbone.encode_search(search, cache, out_layers=self.keep_search_layers)
        if self.neck is not None:
            features = self.neck(features)
        if 'loss_score' in self.losses:
            return self._score_losses(features, data_samples)
        targets = _targets(data_samples, search, self.backbone.search_size)
        prediction = self.box_head(features)
        return self._box_losses(inputs, cache, features, prediction, targets)

    def _score_losses(self, features: Features, data_samples: list) -> dict[str, Tensor]:
        boxes = None
        if getattr(self.score_head, 'reads_boxes', False):  # the true ones, as published
            boxes = _targets(data_samples, features.search, self.backbone.search_size).clamp(0, 1)
        logits = self.score_head(features, boxes)
        labels = torch.stack([sample.search_gt_instances.labels[0] for sample in data_samples])
        labels = labels.to(logits.device)
        # Logged, not minimised.
        accuracy = ((logits.detach() > 0) == (labels > 0)).float().mean()
        return dict(loss_score=self.losses['loss_score'](logits, labels), accuracy=accuracy)

    def _box_losses(
        self,
        inputs: dict[str, Tensor],
        cache: TemplateCache,
        features: Features,
        prediction: BoxPrediction,
        targets: Tensor,
    ) -> dict[str, Tensor]:
        """Losses for ``(N, 4)`` xyxy targets, [0, 1] being the search region."""
        if self.score_head is not None:
            warnings.warn(
                'these losses do not train the score head; train with score_head=None unless its '
                'weights were loaded.',
                stacklevel=2,
            )
        inside = targets.clamp(0, 1)
        compared = {
            'loss_edge': (prediction.edge_logits, inside),
            'loss_cls': (prediction.score_map, targets),
        }
        losses = {
            name: loss(*compared.get(name, (prediction.boxes, inside)))
            for name, loss in self.losses.items()
        }
        overlap = bbox_overlaps(prediction.boxes.detach(), inside, is_aligned=True)
        losses['iou'] = overlap.mean()  # logged, not minimised
        if self.auxiliary is not None:
            losses.update(self.auxiliary(self.backbone, cache, features, inside))
        return losses

    def init(self, frame: np.ndarray, box_xywh) -> SequenceState:
        """Start a sequence: RGB uint8 ``(height, width, 3)`` and x, y, width, height in pixels."""
        return self.loop.init(frame, box_xywh)

    def track(self, frame: np.ndarray, state: SequenceState) -> TrackResult:
        """Find the target of ``state`` in the next frame."""
        return self.loop.track(frame, state)

    def predict_ope(self, inputs: dict, data_samples: list) -> list[InstanceData]:
        """One frame of mmtrack's test loop; frame 0 starts its sequence.

        mmtrack hands over frames, and nothing that could carry a state from one to the next, so
        the running sequences are kept here, told apart by the ``video_id`` of the sample: frames
        of several videos may alternate. The state of a video is dropped after its last frame.
        Samples without ``video_id``, as those of ``inference_sot``, are all of one video; to
        alternate there, use :meth:`init` and :meth:`track`, which keep nothing.

        Raises:
            ValueError: If a batch has several samples, or a video does not begin at frame 0.
        """
        if len(data_samples) != 1:
            raise ValueError(
                f'got {len(data_samples)} frames at once, expected 1: set batch_size=1'
            )
        sample = data_samples[0]
        video, frame_id = sample.metainfo.get('video_id', 0), sample.metainfo.get('frame_id', -1)
        frame = self._rgb_frame(inputs['img'][0])
        if frame_id == 0:
            first = np.asarray(sample.gt_instances.bboxes[0].cpu(), np.float64)
            box_xywh = np.concatenate([first[:2], first[2:] - first[:2]])
            self._running[video] = self.init(frame, box_xywh)
            score = -1.0
        else:
            if video not in self._running:
                raise ValueError(
                    f'frame {frame_id} of video {video} came before its frame 0; feed each video '
                    'from its first frame, which brings the box of the target.'
                )
            result = self.track(frame, self._running[video])
            box_xywh, score = result.box_xywh, -1.0 if result.score is None else result.score
        if frame_id + 1 == sample.metainfo.get('video_length'):
            del self._running[video]
        box = torch.tensor([[*box_xywh[:2], *(box_xywh[:2] + box_xywh[2:])]], dtype=torch.float32)
        return [InstanceData(bboxes=box, scores=torch.tensor([score]))]

    def _rgb_frame(self, image: Tensor) -> np.ndarray:
        """View ``(height, width, 3)`` of a ``(1, 3, height, width)`` frame, in RGB order."""
        frame = image[0].permute(1, 2, 0).cpu().numpy()
        if frame.dtype == np.float32:
            frame = _undo_float(frame)
        return frame[..., 2::-1] if self.data_preprocessor.channel_conversion else frame


def _targets(data_samples: list, like: Tensor, size: int) -> Tensor:
    """Boxes ``(N, 4)`` xyxy in units of the search region; they may reach out of it."""
    targets = torch.stack([sample.search_gt_instances.bboxes[0] for sample in data_samples])
    return targets.to(like) / size


def _undo_float(frame: np.ndarray) -> np.ndarray:
    """The uint8 frame that ``mmtrack.apis.inference_sot`` has turned into float32."""
    whole = frame.astype(np.uint8)
    if not np.array_equal(whole, frame):
        raise TypeError(
            f'the frame is float32 from {frame.min()} to {frame.max()}, expected uint8 or float32 '
            'with whole numbers from 0 to 255; pass the frame as it was decoded.'
        )
    return whole
