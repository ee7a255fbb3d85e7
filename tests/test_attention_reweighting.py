"""The neck that weights search tokens by the attention of the template."""

from __future__ import annotations

import torch

from mmtrack_mixformerv2.models import AttentionReweightingNeck
from mmtrack_mixformerv2.structures import Features


def test_tokens_like_the_template_gain_what_others_lose():
    template = torch.tensor([[[2.0, 0, 0, 0], [4.0, 0, 0, 0]]])  # its mean is 3 along the first
    search = torch.eye(4)[None]
    neck = AttentionReweightingNeck(in_channels=4)
    weights = neck(Features(search, template=template)).search[0].diagonal()
    expected = torch.tensor([3 / 2, 0, 0, 0]).softmax(0) * 4  # the products times 4 ** -0.5
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))


def test_nothing_changes_where_no_token_stands_out():
    search = torch.randn(1, 1, 8).expand(2, 9, 8)
    features = Features(search, template=torch.randn(2, 4, 8))
    torch.testing.assert_close(AttentionReweightingNeck(in_channels=8)(features).search, search)
