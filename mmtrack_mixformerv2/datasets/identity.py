"""Which sample this is: kept with the packed sample, and put into words for errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.structures import BaseDataElement

from .sampler import SampleKey


def identify(data_sample: BaseDataElement, key: Sequence[int], dataset_ids: Sequence[int]) -> None:
    """Adds what names a sample to its ``metainfo``, which collating and moving it leave alone.

    - ``sample_key``: :class:`SampleKey`; ``dataset[data_sample.sample_key]`` makes the sample again
    - ``dataset_id`` and ``search_dataset_id``: indices into the ``datasets`` of the config, of the
      templates and of the search frame

    ``PackTrackInputs`` adds ``img_path``, ``frame_id``, ``video_id`` and ``video_length`` of the
    templates (lists if there are several), and the same with ``search_`` of the search frame.
    """
    data_sample.set_metainfo(
        {
            'sample_key': SampleKey(*key),
            'dataset_id': dataset_ids[0],
            'search_dataset_id': dataset_ids[-1],
        }
    )


def describe_sample(data_sample: BaseDataElement) -> str:
    """One line that names a packed sample: its key and label, datasets, videos, frames and files.

    Works for what :class:`SampledTripletDataset` gives; of other samples it names the files only.
    """
    meta = data_sample.metainfo
    words = ['sample']
    if 'sample_key' in meta:
        seed, epoch, index = meta['sample_key']
        words[0] += f' (seed {seed}, epoch {epoch}, index {index})'
    label = sample_label(data_sample)
    if label is not None:
        words.append(f'label {label}')
    words.append(f'templates: {_describe_frames(meta, "")}')
    words.append(f'search: {_describe_frames(meta, "search_")}')
    return ', '.join(words)


def sample_label(data_sample: BaseDataElement) -> int | None:
    """1 if the search shows the target of the templates, 0 if not; None if the sample has none."""
    labels = getattr(data_sample.get('search_gt_instances'), 'labels', None)
    return None if labels is None else int(labels[0])


def _describe_frames(meta: dict[str, Any], prefix: str) -> str:
    words = []
    if f'{prefix}dataset_id' in meta:
        words.append(f'dataset {meta[f"{prefix}dataset_id"]}')
        words.append(f'video {as_list(meta[f"{prefix}video_id"])[0]}')
        words.append('frame ' + ' and '.join(map(str, as_list(meta[f'{prefix}frame_id']))))
    paths = as_list(meta.get(f'{prefix}img_path', 'unknown'))
    return ', '.join([*words, ' and '.join(paths)])


def as_list(value: Any) -> list:
    """``PackTrackInputs`` gives the value itself where there is only one frame."""
    return list(value) if isinstance(value, (list, tuple)) else [value]
