"""Images of every mode and format become RGB, masks become defective pixels; damaged or too large files are errors."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lvlm_ad.datasets.images import (
    as_rgb,
    image_size,
    read_image,
    resize_image,
    resize_mask,
    shown,
)
from lvlm_ad.datasets.masks import read_mask
from lvlm_ad.errors import ImageError

RNG = np.random.default_rng(7)


def bomb(path, width=50_000, height=50_000):
    """Write a PNG whose header claims a size that its few bytes do not have."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def half_pixel_bilinear(image, size):
    """Interpolate between the four nearest pixel centres, edges repeated, in float64."""
    height, width = image.shape[:2]
    ys = (np.arange(size[0]) + 0.5) * height / size[0] - 0.5
    xs = (np.arange(size[1]) + 0.5) * width / size[1] - 0.5
    top, left = np.floor(ys).astype(int), np.floor(xs).astype(int)
    fy, fx = (ys - top)[:, None, None], (xs - left)[None, :, None]

    def at(rows, columns):
        return image[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))].astype(float)

    upper = (1 - fx) * at(top, left) + fx * at(top, left + 1)
    lower = (1 - fx) * at(top + 1, left) + fx * at(top + 1, left + 1)
    return (1 - fy) * upper + fy * lower


def palette(values, colours):
    """A palette image of one row."""
    image = Image.fromarray(np.array([values], dtype=np.uint8), mode="P")
    image.putpalette(colours)
    return image


def array(values, dtype=np.uint8):
    """An image of one row."""
    return Image.fromarray(np.array([values], dtype=dtype))


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (array([0, 7, 255]), {}, [0, 7, 255]),
        (array([False, True], bool), {}, [0, 255]),
        (array([0, 32768, 40000, 65535], np.uint16), {}, [0, 128, 156, 255]),
        (palette([0, 1], [10, 20, 30, 40, 50, 60]), {}, [[10, 20, 30], [40, 50, 60]]),
        (palette([0, 1], [255, 255, 255, 40, 50, 60]), {"transparency": 0}, [[0, 0, 0], [40, 50, 60]]),
        (array([[255, 255, 255, 128], [9, 8, 7, 255]]), {}, [[128, 128, 128], [9, 8, 7]]),
    ],
    ids=["grey", "one bit", "16 bits, by the range of the type", "palette", "palette over black", "alpha over black"],
)
def test_every_mode_is_read_as_rgb(tmp_path, image, options, expected):
    """Grey, one-bit, 16-bit, palette and transparent images become RGB bytes."""
    image.save(tmp_path / "a.png", **options)
    pixels = read_image(tmp_path / "a.png")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, len(expected), 3)
    assert pixels[0].tolist() == [[value] * 3 if isinstance(value, int) else value for value in expected]


def test_cmyk_jpeg_keeps_its_colour(tmp_path):
    """A CMYK JPEG of pure magenta is read as magenta, not inverted."""
    Image.new("CMYK", (16, 16), (0, 255, 0, 0)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - [255, 0, 255]).max() <= 3


def test_tiff_of_floats_or_several_frames(tmp_path):
    """A float TIFF in [0, 1] covers black to white; of several frames the first is read."""
    array([0.0, 0.5, 1.0], np.float32).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]
    frames = [Image.new("L", (4, 4), 100), Image.new("L", (4, 4), 200)]
    frames[0].save(tmp_path / "b.tiff", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "b.tiff") == 100).all()


def test_not_a_number_is_black_without_a_warning():
    """Pixels that are not a number, even all of them, become black."""
    assert as_rgb(np.array([[np.nan, 1.0]]))[0, :, 0].tolist() == [0, 255]
    assert not as_rgb(np.full((2, 2), np.nan)).any()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_turned_image_is_read_upright(tmp_path, suffix, orientation):
    """The size read from the header agrees with the pixels read, for each EXIF orientation and format."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (20, 10)).save(tmp_path / f"a.{suffix}", exif=exif)
    expected = (20, 10) if orientation >= 5 else (10, 20)
    assert read_image(tmp_path / f"a.{suffix}").shape == (*expected, 3)
    assert image_size(tmp_path / f"a.{suffix}") == expected


def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path):
    """Size and pixels agree though the EXIF chunk stands behind the pixels, where the format allows it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    Image.new("RGB", (20, 10)).save(data, "PNG", exif=exif)
    content = data.getvalue()
    start, end = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    last = content.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(content[:start] + content[end:last] + content[start:end] + content[last:])
    assert image_size(tmp_path / "a.png") == read_image(tmp_path / "a.png").shape[:2] == (20, 10)


@pytest.mark.parametrize("zipped", [True, False])
def test_an_orientation_in_a_text_of_a_png_counts(tmp_path, zipped):
    """EXIF as other programs write it into PNG, as hexadecimal text, turns both the size and the pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes()
    texts = PngInfo()
    texts.add_text("Comment", "x" * 100)
    texts.add_text("Raw profile type exif", f"\nexif\n{len(content):8}\n{content.hex()}\n", zip=zipped)
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png", pnginfo=texts)
    assert image_size(tmp_path / "a.png") == read_image(tmp_path / "a.png").shape[:2] == (20, 10)


def test_orientation_six_turns_clockwise(tmp_path):
    """EXIF orientation 6 turns the stored picture by a quarter clockwise: its left end comes to the top."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.array([[10, 20, 30]], dtype=np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png")[:, 0, 0].tolist() == [10, 20, 30]


def test_orientation_that_does_not_exist_is_ignored(tmp_path):
    """An EXIF orientation of 9 turns nothing, neither the pixels nor the size."""
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png", exif=exif)
    assert image_size(tmp_path / "a.png") == read_image(tmp_path / "a.png").shape[:2] == (10, 20)


def test_decompression_bombs_are_refused_before_decoding(tmp_path):
    """A file that claims more pixels than any camera has is refused by the reader and by the size alike."""
    for side in (12_000, 50_000):
        path = bomb(tmp_path / f"{side}.png", side, side)
        for read in (read_image, image_size, read_mask):
            with pytest.raises(ImageError, match="decompression bomb"):
                read(path)


def test_large_line_scan_has_a_size_without_a_warning(tmp_path):
    """A file of 100 million pixels, above Pillow's warning and below our limit, has its size read, from threads too."""
    path = bomb(tmp_path / "a.png", 10_000, 10_000)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(image_size, [path] * 40)) == {(10_000, 10_000)}


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif"])
def test_truncated_file_is_an_image_error(tmp_path, suffix):
    """Half a file is an error that names it, never half an image."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=rf"a\.{suffix} is (damaged|not an image)"):
        read_image(path)


def test_file_that_is_not_an_image_is_an_image_error(tmp_path):
    """Text, an empty file or a Git LFS pointer in place of an image is an error that names it."""
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    for content, what in ((b"not a picture", "not"), (b"", "empty, not"), (pointer, "a Git LFS pointer, not")):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageError, match=f"is {what} an image file"):
            read_image(tmp_path / "a.png")


def test_postscript_is_never_run(tmp_path):
    """A PostScript file named .png is refused at its header: Pillow would hand it to an interpreter."""
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, "EPS")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    with pytest.raises(ImageError, match="not an image file"):
        read_image(tmp_path / "a.png")


def test_absent_file_and_folder_are_image_errors(tmp_path):
    """A missing file and a folder named like an image have other messages than a damaged file."""
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ImageError, match="cannot be read"):
        image_size(tmp_path / "b.png")


def test_damaged_files_give_image_errors_alone(tmp_path):
    """Whatever bytes are changed, reading gives an image or an ImageError of one line."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.img"
    picture = Image.fromarray(rng.integers(0, 256, (16, 21, 3), dtype=np.uint8))
    messages = []
    for kind in ("PNG", "JPEG", "BMP", "WEBP"):
        data = io.BytesIO()
        picture.save(data, kind)
        for _ in range(60):
            damaged = np.frombuffer(data.getvalue(), dtype=np.uint8).copy()
            damaged[rng.integers(0, min(len(damaged), 120), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes()[: rng.integers(1, len(damaged) + 1)])
            for read in (read_image, image_size):
                try:
                    read(path)
                except ImageError as error:
                    messages.append(str(error))
    assert len(messages) > 100
    assert not any("\n" in message for message in messages)


def test_control_characters_are_shown_escaped():
    """A path with a newline is quoted and escaped; one with spaces and accents is left as it is."""
    assert shown("a b/é.png") == "a b/é.png"
    assert shown("a\nb.png") == "'a\\nb.png'"


@pytest.mark.parametrize(
    ("shape", "size"), [((37, 53), (90, 101)), ((90, 101), (37, 53)), ((50, 50), (20, 130)), ((1, 7), (5, 3))]
)
def test_resized_image_is_bilinear_between_pixel_centres(shape, size):
    """Resizing equals half-pixel-centre interpolation, rounded: within one grey level, and not darker on average."""
    # Of its own seed: what other tests drew before must not decide.
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    difference = resize_image(image, size) - half_pixel_bilinear(image, size)
    assert np.abs(difference).max() <= 0.51
    assert abs(difference.mean()) < 0.2


def test_resizing_to_the_same_size_changes_nothing():
    """An image that already has the size is returned as it is."""
    image = np.zeros((5, 6, 3), np.uint8)
    assert resize_image(image, (5, 6)) is image


@pytest.mark.parametrize(("shape", "size"), [((10, 7), (4, 5)), ((4, 5), (11, 23)), ((1, 3), (2, 2)), ((4, 5), (4, 5))])
def test_a_resized_mask_takes_the_pixel_at_the_floor(shape, size):
    """A mask's pixel i comes from floor(i * source / target), as OpenCV's nearest-neighbour resizing has it."""
    mask = np.random.default_rng(7).random(shape) > 0.5
    expected = [
        [mask[i * shape[0] // size[0], j * shape[1] // size[1]] for j in range(size[1])] for i in range(size[0])
    ]
    assert resize_mask(mask, size).tolist() == expected
