"""What a tracker attends to in one frame, as arrays; NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..tracking.sequence_tracker import EdgeDistributions

EDGES = ('left', 'top', 'right', 'bottom')


@dataclass(frozen=True)
class FrameExplanation:
    """What a tracker attends to in one frame.

    A query is a token that asks: a prediction token, of which MixFormerV2 has one for each edge.
    Attention is the mean over the heads of a block. What one query gives to the search region, to
    all templates and to the prediction tokens sums to 1.

    Attributes:
        crop: Search region as the network sees it, RGB uint8 ``(S, S, 3)``.
        region_xywh: Where that is in the frame, image pixels; may reach over the border.
        templates: Crops of the templates, RGB uint8 ``(h, w, 3)``, the static one first.
        search_attention: ``(layers, queries, Hs, Ws)``, float32, one number per patch.
        template_attention: ``(layers, queries, T, Ht, Wt)``, float32.
        similarity: ``(Hs, Ws)``, float32, how much each patch of the search region resembles the
            target in the templates: a cosine in [-1, 1], see :func:`target_similarity`. It is that
            of the features after the last layer but one, which the last block reads; with
            prediction tokens, nothing reads the search tokens after that.
        layer_similarity: The same after every layer, ``(layers, Hs, Ws)``.
        token_attention: ``(layers, queries, P)``, to the prediction tokens themselves.
        queries: Name of each query; left, top, right, bottom for four prediction tokens.
        layers: Number of the block of each layer, 0-based. Blocks that have faded out are skipped,
            here as in the network.
        box_norm: Predicted box, xyxy in [0, 1] of the search region.
        edges: ``(4, bins)`` probabilities in the order left, top, right, bottom; bin ``i`` stands
            for ``i / bins`` of the search region. None without distributions.
        score: In [0, 1], or None without a score head.
    """

    crop: np.ndarray
    region_xywh: tuple[float, float, float, float]
    templates: list[np.ndarray]
    search_attention: np.ndarray
    template_attention: np.ndarray
    similarity: np.ndarray
    layer_similarity: np.ndarray | None = None
    token_attention: np.ndarray | None = None
    queries: tuple[str, ...] = EDGES
    layers: tuple[int, ...] | None = None
    box_norm: np.ndarray | None = None
    edges: np.ndarray | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        if self.layers is None:
            object.__setattr__(self, 'layers', tuple(range(len(self.search_attention))))

    def layer_index(self, layer: int) -> int:
        """Place in the arrays of block ``layer``; negative numbers count from the last one.

        Raises:
            ValueError: If it is not there.
        """
        if -len(self.layers) <= layer < 0:
            return layer % len(self.layers)
        if layer not in self.layers:
            raise ValueError(
                f'there is no layer {layer}; expected one of '
                f'{", ".join(map(str, self.layers))}, or -1 for the last one.'
            )
        return self.layers.index(layer)

    @property
    def box_xywh(self) -> np.ndarray | None:
        """Predicted box in image pixels, not clipped to the frame, ``(4,)``."""
        if self.box_norm is None:
            return None
        x, y, side, _ = self.region_xywh
        corners = np.asarray(self.box_norm, np.float64) * side + [x, y, x, y]
        return np.concatenate([corners[:2], corners[2:] - corners[:2]])

    @property
    def edge_distributions(self) -> EdgeDistributions | None:
        """The edge distributions with the places of their bins in the image."""
        if self.edges is None:
            return None
        x, y, side, _ = self.region_xywh
        bins = np.arange(self.edges.shape[1]) / self.edges.shape[1] * side
        return EdgeDistributions(self.edges, np.array([[x], [y], [x], [y]]) + bins)
