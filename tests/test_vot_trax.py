"""TraX messages and regions: read, written, and what is refused."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from mmtrack_mixformerv2.vot import (
    Message,
    format_filled_box,
    format_mask,
    format_message,
    format_rectangle,
    parse_message,
    region_to_box,
)

ROOT = Path(__file__).resolve().parents[1]

# What vot-toolkit 0.7.4 sent, recorded; shorter paths.
INITIALIZE = (
    '@@TRAX:initialize "file:///data/dummy/color/00000001.jpg" '
    '"397.0000,183.0000,100.0000,113.0000" \n'
)
INITIALIZE_MASK = '@@TRAX:initialize "file:///d/00000001.jpg" "mask:397,183,100,113,0,11300" \n'
FRAME = '@@TRAX:frame "file:///data/dummy/color/00000002.jpg" \n'
QUIT = '@@TRAX:quit \n'


def test_recorded_messages_of_the_toolkit_are_read():
    image = 'file:///data/dummy/color/0000000{}.jpg'
    assert parse_message(INITIALIZE) == Message(
        'initialize', (image.format(1), '397.0000,183.0000,100.0000,113.0000'), {}
    )
    assert parse_message(FRAME) == Message('frame', (image.format(2),), {})
    assert parse_message(QUIT) == Message('quit', (), {})
    box = [397, 183, 100, 113]
    for line in (INITIALIZE, INITIALIZE_MASK):
        assert region_to_box(parse_message(line).arguments[1]).tolist() == box


@pytest.mark.parametrize(
    'text',
    ['plain', 'two words', 'a "quote"', 'back\\slash', 'new\nline', 'a=b', '', '\\n', 'ends\\'],
)
def test_any_text_survives_a_message(text):
    message = Message('initialize', (text, '1,2,3,4'), {'trax.reason': text, 'a_b.1': 'x'})
    line = format_message(message)
    assert line.count('\n') == 1 and line.endswith('\n')
    assert parse_message(line) == message


def test_values_need_no_quotes_and_a_path_may_look_like_a_property():
    line = '@@TRAX:frame file:///data/a=b.jpg "time=3 s" key="4"'
    with pytest.raises(ValueError, match='cannot be read from character'):
        parse_message(line)  # a quote inside of a value
    message = parse_message(line.replace('"4"', '4'))
    assert message == Message('frame', ('file:///data/a=b.jpg',), {'time': '3 s', 'key': '4'})


def test_lines_of_others_are_no_messages():
    for line in ('', 'loading weights\n', ' @@TRAX:quit', 'x @@TRAX:quit'):
        assert parse_message(line) is None


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('@@TRAX:select "1"', "got the TraX message 'select', expected one of hello, initialize"),
        ('@@TRAX:', "got the TraX message ''"),
        ('@@TRAX:initialize "1,2,3,4"', "'initialize' has 1 arguments, expected 2"),
        ('@@TRAX:frame "open', 'cannot be read from character 0'),
        ('@@TRAX:frame "a" "b"', "'b' after its 1 arguments, expected KEY=VALUE"),
        ('@@TRAX:quit "a key=1"', 'letters, digits, dots'),
        (f'@@TRAX:quit "{"k" * 65}=1"', 'KEY=VALUE'),
    ],
)
def test_broken_messages_are_refused(line, message):
    with pytest.raises(ValueError, match=message):
        parse_message(line)


def test_messages_that_the_protocol_does_not_allow_are_not_written():
    with pytest.raises(ValueError, match="'state' got 0 arguments, expected 1"):
        format_message(Message('state'))
    with pytest.raises(ValueError, match="property is called 'a b'"):
        format_message(Message('quit', (), {'a b': '1'}))


def test_polygons_become_the_box_around_them():
    assert region_to_box('10,20,40,25.5,30,60').tolist() == [10, 20, 30, 40]
    assert region_to_box('1.5,2,0,-4').tolist() == [1.5, 2, 0, -4]  # judged by the tracker


@pytest.mark.parametrize('prefix', ['mask:', 'm'])
def test_the_box_of_a_mask_is_that_of_its_pixels(prefix):
    random = np.random.default_rng(0)
    for _ in range(200):
        mask = random.random(random.integers(1, 7, 2)) < random.uniform(0.05, 1)
        if not mask.any():
            continue
        rows, columns = np.nonzero(mask)
        box = [
            columns.min(),
            rows.min(),
            columns.max() - columns.min() + 1,
            rows.max() - rows.min() + 1,
        ]
        assert region_to_box(format_mask(mask, prefix)).tolist() == box


def test_masks_may_be_larger_than_their_target_and_end_early():
    # A window of 4 x 3 at (10, 20): one pixel in its second row, the rest is left out.
    assert region_to_box('mask:10,20,4,3,6,1').tolist() == [12, 21, 1, 1]
    assert region_to_box('m-2,-3,4,3,0,4,2,1').tolist() == [-2, -3, 4, 2]
    assert region_to_box('mask:0,0,100000,100000,3,2').tolist() == [3, 0, 2, 1]


def test_a_mask_is_written_as_the_toolkit_does():
    mask = np.zeros((5, 6), bool)
    mask[1, 2:4] = mask[3, 3] = True
    assert format_mask(mask, 'm') == 'm2,1,2,3,0,2,3,1'


@pytest.mark.parametrize(
    ('region', 'message'),
    [
        ('0', '1 numbers, expected a rectangle'),
        ('1,2', '2 numbers'),
        ('1,2,3,4,5', '5 numbers'),
        ('', 'cannot be read'),
        ('1,2,nan,4', 'cannot be read'),
        ('left,2,3,4', 'cannot be read'),
        ('mask:0,0,2,2', 'has no pixel'),
        ('mask:0,0,2,2,4', 'has no pixel'),
        ('mask:0,0,2,2,0,0,4', 'has no pixel'),
        ('mask:0,0,2,2,0,5', 'is not valid'),
        ('mask:0,0,2,2,3,-1', 'is not valid'),
        ('mask:0,0,0,2,0,1', 'is not valid'),
        ('mask:1,2', 'is not valid'),
        ('mask:0,0,2.5,2,0,1', 'cannot be read'),
        ('mask:', 'cannot be read'),
    ],
)
def test_unusable_regions_are_refused(region, message):
    with pytest.raises(ValueError, match=message):
        region_to_box(region)


def test_boxes_are_written_as_rectangles_and_as_filled_masks():
    box = np.array([10.4, 20.5, 30.2, 9.75])
    assert format_rectangle(box) == '10.4000,20.5000,30.2000,9.7500'
    # Edges 10.4, 20.5, 40.6, 30.25, rounded half to even.
    assert format_filled_box(box, 100, 200) == 'mask:10,20,31,10,0,310'
    assert format_filled_box([-5, -5, 20, 10], 4, 12) == 'mask:0,0,12,4,0,48'
    assert region_to_box(format_filled_box(box, 100, 200)).tolist() == [10, 20, 31, 10]
    for outside in ([200, 0, 5, 5], [-9, 0, 9, 9], [3, 3, 0.2, 5]):
        with pytest.raises(ValueError, match='no whole pixel in the image of 200 x 100'):
            format_filled_box(outside, 100, 200)


def test_nothing_of_the_toolkit_is_imported():
    """The toolkit is under the GPL and stays in its own process."""
    for folder in ('mmtrack_mixformerv2', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                assert not {name.split('.')[0] for name in names} & {'vot', 'trax'}, path
