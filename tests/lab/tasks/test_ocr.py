"""The images of strings."""

import numpy as np
import pytest

from lab.tasks import ocr
from tests.tiny import recipe

pytestmark = pytest.mark.slow


def test_rendered_strings():
    task = recipe("ocr", noise=0, shear=0.2)
    x, y = task.examples(np.random.default_rng(0), 30, "train")
    assert x.shape == (30, ocr.HEIGHT, ocr.WIDTH) and x.dtype == "uint8"
    lengths = (y > 0).sum(1) - 1
    assert set(lengths) <= set(range(3, 9))
    assert (x.max((1, 2)) > 120).all()
    # Nothing is cut off: next to no ink at the rim.
    rim = np.concatenate([x[:, [0, -1]].reshape(30, -1), x[:, :, [0, -1]].reshape(30, -1)], 1)
    assert (rim > 60).mean() < 0.01
    ink = (x > 60).any(1).sum(1)
    assert np.corrcoef(ink, lengths)[0, 1] > 0.8
    assert not set(ocr.UNSEEN) & set(ocr.FONTS)
    # What is too wide is made to fit.
    font, rng = ocr.font("DejaVuSans-Bold", ocr.SCALE * max(ocr.SIZES)), np.random.default_rng(0)
    for _ in range(200):
        image = ocr.render("wmwmwmwm", font, rng, shear=0.99, stretch=0.99, bold=0.5, noise=0)
        assert (image[:, [0, -1]] > 60).mean() < 0.05
