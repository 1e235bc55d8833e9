"""What the Gumbel explorer sends to the browser; what it does there is tested there."""

import numpy as np
import torch

from w2v2_teach.course.widgets.gumbel import DRAWS, LOGITS, GumbelExplorer, draws_of_noise


def test_it_sends_its_noise():
    noise = np.frombuffer(GumbelExplorer().noise, "<f4").reshape(DRAWS, len(LOGITS))
    assert torch.equal(torch.from_numpy(noise.copy()), draws_of_noise())


def test_the_counted_shares_are_close_to_the_softmax():
    logits, noise = torch.tensor(LOGITS), draws_of_noise()
    shares = torch.bincount((logits + noise).argmax(1), minlength=len(LOGITS)) / DRAWS
    torch.testing.assert_close(shares, logits.softmax(0), atol=0.05, rtol=0)


def test_the_static_figure_says_what_is_chosen_how_softly_and_how_often():
    alt = GumbelExplorer().alt
    assert alt.startswith("Draw 1 chooses entry ")
    softmax = torch.tensor(LOGITS).softmax(0)
    assert all(f"({p:.1%})" in alt for p in softmax.tolist())
