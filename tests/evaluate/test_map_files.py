"""Files of anomaly maps: what is written is what is read."""

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.evaluate.map_files import MAP_FORMATS, read_map, resize_map, write_map


@pytest.mark.parametrize("suffix", MAP_FORMATS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (61, 33)])
def test_a_written_map_is_read_back(tmp_path, suffix, shape):
    """TIFF and NumPy hold every float32 exactly, PNG to half a step; both ends of the scale survive."""
    values = np.random.default_rng(3).random(shape, dtype=np.float32)
    values.flat[0], values.flat[-1] = 0.0, 1.0
    path = tmp_path / f"map.{suffix}"
    write_map(path, values.astype(np.float64))
    back = read_map(path)
    if suffix == "png":
        assert back.dtype == np.uint16
        assert np.abs(back / 65535 - values).max() <= 0.5 / 65535 + 1e-9
    else:
        assert back.dtype == np.float32
        assert (back == values).all()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("program", ["PIL", "tifffile", "cv2"])
def test_other_programs_read_the_same_numbers(tmp_path, program):
    """Pillow, tifffile and, if it is installed, OpenCV read what was written."""
    module = pytest.importorskip(program)
    values = np.kron(np.arange(12).reshape(3, 4) / 11, np.ones((20, 20))).astype(np.float32)
    for suffix in ("tiff", "png"):
        write_map(tmp_path / f"map.{suffix}", values)
    for suffix, expected in (("tiff", values), ("png", np.rint(values * 65535.0))):
        path = tmp_path / f"map.{suffix}"
        if program == "PIL":
            assert (np.asarray(Image.open(path)) == expected).all()
        elif program == "cv2":
            assert (module.imread(str(path), module.IMREAD_UNCHANGED) == expected).all()
        elif suffix == "tiff":
            assert (module.imread(path) == expected).all()


@pytest.mark.parametrize("suffix", MAP_FORMATS)
@pytest.mark.parametrize(
    "values", [np.array([[np.nan]]), np.zeros((2, 2, 3)), np.zeros((0, 2)), np.array([[1j]])], ids=str
)
def test_what_is_no_map_is_not_written(tmp_path, suffix, values):
    """NaN, colours, nothing and complex numbers are refused, and no file appears."""
    with pytest.raises(ValueError, match=r"finite real numbers \(H, W\)"):
        write_map(tmp_path / f"map.{suffix}", values)
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    """A PNG takes scores from 0 to 1 alone; a suffix that is no map format is named."""
    with pytest.raises(ValueError, match=r"scores from 0 to 1, not 0 to 1\.5"):
        write_map(tmp_path / "map.png", np.array([[0.0, 1.5]]))
    with pytest.raises(ConfigError, match=r"tiff, png, npy, not as map\.jpg"):
        write_map(tmp_path / "map.jpg", np.zeros((2, 2)))


def test_a_map_is_stretched_with_half_pixel_centres():
    """Twice as large, borders keep their values and what lies between is weighted 3 to 1; at its own size it stays."""
    values = np.array([[0.0, 1.0]], dtype=np.float16)
    assert resize_map(values, (1, 2)) is values
    assert resize_map(values, (1, 4)) == pytest.approx(np.array([[0, 0.25, 0.75, 1]]))
    assert resize_map(np.array([[0, 255]], dtype=np.uint8), (1, 4)) == pytest.approx(
        np.array([[0, 63.75, 191.25, 255]])
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 4, 3)), r"float64 \(4, 4, 3\); it must be real numbers \(H, W\)"),
        (np.array([[1.0, np.nan]]), "contains NaN or infinite scores"),
        (np.array([[1j]]), "complex128"),
        (np.array([[{}]], dtype=object), "cannot be read"),
        (b"hello", r"cannot be read: it is damaged, or no NumPy array\."),
    ],
    ids=["colours", "nan", "complex", "pickle", "text"],
)
def test_a_map_that_is_none_is_named(tmp_path, content, message):
    """Another shape or kind of numbers, NaN, pickled objects and other files end with one line."""
    path = tmp_path / "map.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match=message) as caught:
        read_map(path)
    assert "map.npy" in str(caught.value)
    assert "\n" not in str(caught.value)
