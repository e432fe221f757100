"""Who is drawn, and who is held out."""

from __future__ import annotations

import numpy as np

from annotator.batches import Draws, Pool, held_out

KEYS = [f"lab/{number}" for number in range(2000)]
ROWS = np.arange(0, 2000, 2)


def test_the_share_held_out_is_about_what_was_asked_for_and_nobody_else() -> None:
    held = held_out(KEYS, ROWS, share=0.2, seed=1)
    assert 150 < len(held) < 250
    assert set(held.tolist()) <= set(ROWS.tolist())
    assert not np.array_equal(held, held_out(KEYS, ROWS, share=0.2, seed=2))


def test_a_person_is_held_out_by_his_key_whoever_else_is_there() -> None:
    held = {KEYS[row] for row in held_out(KEYS, ROWS, share=0.2, seed=1).tolist()}
    fewer = KEYS[1000:]
    again = {fewer[row] for row in held_out(fewer, np.arange(len(fewer)), share=0.2, seed=1).tolist()}
    assert held & {KEYS[row] for row in range(1000, 2000, 2)} == again & {KEYS[row] for row in range(1000, 2000, 2)}


def test_nobody_is_held_out_by_default_and_never_everybody() -> None:
    assert len(held_out(KEYS, ROWS, share=0.0, seed=1)) == 0
    for seed in range(20):
        assert len(held_out(KEYS, np.array([3]), share=0.5, seed=seed)) == 0


def test_each_epoch_draws_everybody_once() -> None:
    draws = Draws(np.array([5, 7, 9, 11]), seed=1, stream=0)
    drawn = np.concatenate([draws.take(step, 2) for step in range(4)])
    assert sorted(drawn[:4]) == sorted(drawn[4:]) == [5, 7, 9, 11]


def test_every_table_of_a_pool_is_drawn_in_proportion_to_its_size() -> None:
    """An epoch is everybody once; who may not be drawn never is."""
    rows = [np.array([4, 9]), np.array([0, 1, 2, 7, 8, 30])]
    pool = Pool(rows, seed=5, stream=1)
    drawn = [(number, row) for step in range(4) for number, some in pool.take(step, 4) for row in some.tolist()]
    everybody = [(number, int(row)) for number, some in enumerate(rows) for row in some]
    assert pool.size == 8
    assert sorted(drawn[:8]) == sorted(drawn[8:]) == everybody
    assert drawn[:8] != drawn[8:]
