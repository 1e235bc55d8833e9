"""The figures of what codes stand for: order of the columns, what becomes of rare and of unused codes."""

import numpy as np
import pytest

from w2v2_teach.analysis.codebooks import conditional
from w2v2_teach.course.plots import codebook as figures

PHONES = ["AA", "S", "sil"]
COUNTS = np.array([[0, 30, 0, 2, 20], [90, 20, 0, 0, 0], [10, 0, 0, 0, 40]])  # (phones, codes); 2 unused, 3 rare


@pytest.fixture
def picture():
    p, counts = conditional(COUNTS)
    figure = figures.phones_given_codes(p, counts, PHONES, 10, "title")
    return figure, figure.axes[0].images[0].get_array()


def test_codes_are_sorted_by_their_likeliest_phone_and_the_surest_comes_first():
    p = np.array([[0.2, 0.9, 0.6, 0.1], [0.8, 0.1, 0.4, 0.9]])
    assert figures.by_likeliest_phone(p).tolist() == [1, 2, 3, 0]


def test_an_unused_code_is_left_out_and_a_rare_one_stands_at_the_right(picture):
    _, drawn = picture
    np.testing.assert_allclose(drawn, [[0.6, 0, 1 / 3, 1], [0.4, 0.9, 0, 0], [0, 0.1, 2 / 3, 0]])


def test_the_rare_code_is_greyed_and_counted(picture):
    figure, _ = picture
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1 with fewer than 10 frames"]
    (gray,) = figure.axes[0].patches
    assert (gray.get_x(), gray.get_width()) == (2.5, 1.0)


def test_without_rare_codes_nothing_is_greyed():
    p, counts = conditional(COUNTS[:, :3])
    figure = figures.phones_given_codes(p, counts, PHONES, 10, "title")
    assert not figure.legends
    assert not figure.axes[0].patches


def test_tables_leave_out_codes_that_were_not_seen_enough():
    p = np.where(COUNTS.sum(axis=0) >= 10, conditional(COUNTS).p, np.nan)
    figure = figures.tables({"one": p, "two": p[:, :2]}, PHONES)
    assert [ax.images[0].get_array().shape for ax in figure.axes[:2]] == [(3, 3), (3, 2)]
