"""Corruptions: graded, reproducible, on the pixels as they are."""

import hashlib

import numpy as np
import pytest
from skimage import data

from lvlm_ad.errors import ConfigError
from lvlm_ad.studies.corruptions import CORRUPTIONS, SEVERITIES, corrupt


@pytest.fixture(scope="module")
def photograph():
    """A photograph, 512 x 400 pixels."""
    return np.ascontiguousarray(data.astronaut()[:400])


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_each_severity_changes_more_than_the_one_before(photograph, kind):
    """Severity 1 is slight, 5 is strong; size and type stay, and 0 is the image itself."""
    assert corrupt(photograph, kind, 0) is photograph
    before = 0.0
    for severity in SEVERITIES:
        changed = corrupt(photograph, kind, severity, "bolt/good/001")
        assert (changed.shape, changed.dtype) == (photograph.shape, np.uint8)
        error = float(np.sqrt(((changed.astype(float) - photograph) ** 2).mean()))
        assert error > 1.1 * before
        before = error
    assert before > 12


@pytest.mark.parametrize(("kind", "severity", "expected"), [("dark", 1, 75), ("dark", 5, 15), ("blur", 5, 100)])
def test_an_even_area_is_darkened_alone(kind, severity, expected):
    """Darkness multiplies; blur leaves an even area as it is, at its edges, too."""
    assert (corrupt(np.full((9, 7, 3), 100, np.uint8), kind, severity) == expected).all()


def test_noise_follows_from_the_image_id():
    """The same id has the same noise on every machine, another id has other noise; its spread is as documented."""
    grey = np.full((200, 200, 3), 128, np.uint8)
    first = corrupt(grey, "noise", 3, "bolt/good/001")
    assert np.array_equal(first, corrupt(grey, "noise", 3, "bolt/good/001"))
    assert not np.array_equal(first, corrupt(grey, "noise", 3, "bolt/good/002"))
    assert first.std() == pytest.approx(26, rel=0.02)
    assert first.mean() == pytest.approx(128, abs=0.3)
    small = corrupt(np.full((64, 64, 3), 100, np.uint8), "noise", 3, "x")
    digest = "c6012371023e0931730a03bff6d90caf40c95ea87a8a4053e0eece1e3b7100a7"
    assert hashlib.sha256(small.tobytes()).hexdigest() == digest


def test_blur_has_the_documented_width():
    """A white point becomes a Gaussian: its standard deviation at severity 4 is 5 pixels."""
    point = np.zeros((101, 101, 3), np.uint8)
    point[48:53, 48:53] = 255
    spread = corrupt(point, "blur", 4)[:, :, 0].astype(float).sum(axis=0)
    places = np.arange(101) - 50
    # The square itself has a variance of 2.
    assert float(np.sqrt((spread * places**2).sum() / spread.sum() - 2)) == pytest.approx(5, rel=0.05)


def test_downscaling_removes_what_is_smaller_than_a_pixel():
    """A pattern of single pixels becomes grey when each side is halved."""
    board = np.indices((32, 32)).sum(axis=0) % 2 * 200
    shrunk = corrupt(np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8), "downscale", 1)
    assert np.ptp(shrunk) <= 1


def test_a_wrong_kind_or_severity_is_refused():
    """Mistakes are named, with the nearest right name."""
    with pytest.raises(ConfigError, match=r"no corruption 'blurr'.*blur"):
        corrupt(np.zeros((2, 2, 3), np.uint8), "blurr", 1)
    with pytest.raises(ConfigError, match="from 0 to 5; got 6"):
        corrupt(np.zeros((2, 2, 3), np.uint8), "blur", 6)
