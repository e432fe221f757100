"""Sheets of captioned tiles: where tiles lie, that text is ink on white, that nothing is cut off."""

import numpy as np

from viewers.sheet import Strip, Tile, compose_sheet, text_picture


def tile(width: int, height: int, value: int, caption: str = "") -> Tile:
    return Tile(np.full((height, width, 3), value, np.uint8), caption)


def test_tiles_keep_their_pixels_side_by_side_and_stand_on_one_line() -> None:
    sheet = compose_sheet("", "", [Strip("", [tile(50, 30, 10), tile(20, 60, 90)])])
    first, second = (np.nonzero((sheet == value).all(axis=-1)) for value in (10, 90))
    assert len(first[0]) == 50 * 30
    assert len(second[0]) == 20 * 60
    assert first[1].max() < second[1].min()
    assert first[0].max() == second[0].max()


def test_the_widest_strip_makes_the_width() -> None:
    narrow = compose_sheet("", "", [Strip("", [tile(50, 30, 10)])])
    wide = compose_sheet("", "", [Strip("", [tile(50, 30, 10)]), Strip("", [tile(300, 30, 10)])])
    assert wide.shape[1] - narrow.shape[1] == 250
    assert wide.shape[0] > narrow.shape[0]


def test_headings_and_captions_are_ink_where_they_belong() -> None:
    plain = compose_sheet("", "", [Strip("", [tile(120, 30, 10)])])
    named = compose_sheet("", "", [Strip("", [tile(120, 30, 10, "caption")])])
    below = named[np.nonzero((named == 10).all(axis=-1))[0].max() + 1 :]
    assert (below < 200).any()
    assert not (plain[np.nonzero((plain == 10).all(axis=-1))[0].max() + 1 :] < 200).any()
    headed = compose_sheet("Title", "", [Strip("Heading", [tile(120, 30, 10)])])
    assert headed.shape[0] > plain.shape[0]
    assert (headed[: np.nonzero((headed == 10).all(axis=-1))[0].min()] < 100).any()


def test_text_grows_with_its_letters_and_its_height() -> None:
    short, long, tall = (
        text_picture("ab", 13, (0, 0, 0)),
        text_picture("abab", 13, (0, 0, 0)),
        text_picture("ab", 26, (0, 0, 0)),
    )
    assert short.shape[1] < long.shape[1]
    assert short.shape[0] < tall.shape[0]
    assert short.min() < 60
    assert text_picture(" ", 13, (0, 0, 0)).shape[1] == 0


def test_a_caption_that_is_too_long_is_cut_at_its_tile() -> None:
    sheet = compose_sheet("", "", [Strip("", [tile(30, 30, 10, "a very long caption indeed"), tile(200, 30, 90)])])
    under_second = sheet[np.nonzero((sheet == 90).all(axis=-1))[0].max() + 1 :, 24 + 30 + 6 :]
    assert (under_second == 255).all()
