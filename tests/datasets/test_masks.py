"""Which pixels of a mask are defective: judged by the colours seen, in doubt by the category's other masks."""

import os

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.masks import Peers, file_threshold, parse_values, read_mask
from lvlm_ad.errors import ConfigError, DataError, ImageError

SPOT = np.zeros((40, 48), dtype=bool)
SPOT[11:25, 17:33] = True
EDGE = np.zeros_like(SPOT)
EDGE[10:26, 16:34] = True
EDGE ^= SPOT


def saved(path, values, **options):
    """Write an array or a picture as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(values) if isinstance(values, np.ndarray) else values).save(path, **options)
    return path


def grey(normal, defect, edge=None):
    """A mask of two grey levels, with a third around the defect."""
    return np.where(SPOT, defect, np.where(EDGE, normal if edge is None else edge, normal)).astype(np.uint8)


def indexed(indices, colours):
    """A palette picture."""
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def layers(colour, alpha):
    """A picture of one colour that is seen where alpha is high."""
    return np.dstack([np.full((*SPOT.shape, 3), colour, np.uint8), np.asarray(alpha, np.uint8)])


def classes(*levels):
    """A mask of several grey levels, each of which fills a square."""
    values = np.zeros((40, 12 * len(levels)), np.uint8)
    for number, level in enumerate(levels):
        values[4:12, 12 * number + 2 : 12 * number + 10] = level
    return values


@pytest.mark.parametrize(
    ("values", "expected", "threshold"),
    [
        ([0, 1, 2], [False, True, True], 0),
        ([0, 3, 200], [False, False, True], 127),
        ([0, 127, 128], [False, False, True], 127),
        ([0, 255, 255], [False, True, True], 127),
        ([0, 0, 0], [False, False, False], 0),
    ],
)
def test_the_threshold_is_chosen_from_the_values(tmp_path, values, expected, threshold):
    """A mask of small integers is defective above 0, one of grey levels above 127."""
    saved(tmp_path / "m.png", np.array([values], dtype=np.uint8))
    assert read_mask(tmp_path / "m.png").tolist() == [expected]
    assert file_threshold(tmp_path / "m.png") == threshold


def test_a_given_threshold_is_used(tmp_path):
    """A pixel is defective above the threshold, not at it."""
    Image.fromarray(np.array([[10, 11, 255]], dtype=np.uint8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", 10).tolist() == [[False, True, True]]


def test_bilevel_sixteen_bit_and_colour_masks_are_read(tmp_path):
    """One-bit, 16-bit and coloured masks mark the same pixel."""
    marked = np.array([[False, True]])
    green = np.stack([marked * 0, marked * 255, marked * 0], axis=2).astype(np.uint8)
    Image.fromarray(marked).save(tmp_path / "bits.png")
    Image.fromarray((marked * 65535).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(green).save(tmp_path / "rgb.png")
    for name in ("bits.png", "deep.png", "rgb.png"):
        assert (read_mask(tmp_path / name) == marked).all(), name


@pytest.mark.parametrize(
    ("colours", "expected", "threshold"),
    [([0, 0, 0, 128, 0, 0, 0, 64, 0], [False, True, True], 0), ([255, 255, 255, 0, 0, 0], [True, False, False], 127)],
    ids=["ids", "a packed grey picture"],
)
def test_palette_masks(tmp_path, colours, expected, threshold):
    """A palette mask's indices are defect ids; a grey picture packed with white first is read by its colours."""
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    image.putpalette(colours)
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [expected]
    assert file_threshold(tmp_path / "m.png") == threshold


@pytest.mark.parametrize(
    "picture",
    [
        grey(0, 45),
        grey(0, 1),
        (grey(0, 1).astype(np.uint16) * 900),
        SPOT.astype(np.float32),
        SPOT.astype(np.int32),
        indexed(~SPOT, [(200, 0, 0), (0, 0, 0)]),
        indexed(SPOT * 7, [(0, 0, 0)] * 7 + [(0, 0, 90)]),
        layers((255, 255, 255), SPOT * 255),
        layers((255, 40, 0), SPOT * 120),
        np.dstack([grey(0, 70), np.full(SPOT.shape, 255, np.uint8)]),
    ],
    ids=[
        *("dim grey", "one", "ids of 16 bits", "float", "integers", "palette with the defect first"),
        *("dark palette colour", "white on nothing", "half transparent red", "grey with alpha"),
    ],
)
def test_a_single_colour_on_black_is_the_defect(tmp_path, picture):
    """Whatever a file calls it, the only colour that is seen beside black marks the defect."""
    assert (read_mask(saved(tmp_path / "m.tiff", picture)) == SPOT).all()


@pytest.mark.parametrize("levels", [(1, 2, 3), (2, 20, 60), (40, 90, 130, 200), (60, 250), (5, 80, 200)])
def test_every_level_that_fills_an_area_is_a_label(tmp_path, levels):
    """Class or instance numbers mark defects, the small ones too, wherever the largest lies."""
    values = classes(*levels)
    assert (read_mask(saved(tmp_path / "m.png", values)) == (values > 0)).all()


@pytest.mark.parametrize("white", [128, 150, 255])
@pytest.mark.parametrize("quality", [60, 90, 100])
def test_compression_noise_is_no_defect(tmp_path, quality, white):
    """A JPEG mask is cut in the middle, however many dark values the compression left."""
    path = saved(tmp_path / "m.jpg", grey(0, white), quality=quality)
    assert ((np.asarray(Image.open(path)) > 0) & ~SPOT).any() or quality == 100
    assert (read_mask(path) == SPOT).all()


def test_a_background_of_noise_is_black(tmp_path):
    """A mask on 4 in place of 0 is read as one on black."""
    assert (read_mask(saved(tmp_path / "m.png", grey(4, 255))) == SPOT).all()


def test_soft_edges_are_cut_in_the_middle(tmp_path):
    """A mask that was shrunk smoothly has grey edges; what is mostly defective counts."""
    smooth = Image.fromarray(grey(0, 255)).resize((16, 13), Image.Resampling.BOX)
    assert (read_mask(saved(tmp_path / "m.png", smooth)) == (np.asarray(smooth) > 127)).all()
    unit = np.asarray(smooth).astype(np.float32) / 255
    assert (read_mask(saved(tmp_path / "m.tiff", unit)) == (unit > 0.5)).all()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (grey(0, 1, edge=255), r"has the values 1, 255 beside 0.*--mask-threshold N.*--mask-values"),
        (
            indexed(SPOT + 2 * EDGE, [(0, 0, 0), (128, 0, 0), (224, 224, 192)]),
            "(may mean|colour for) .*pixels to ignore",
        ),
        (grey(0, 3, edge=255).astype(np.uint16) * 257 // 257, "(may mean|colour for) .*pixels to ignore"),
        (indexed(SPOT, [(0, 0, 255), (255, 0, 0)]), "several colours but no black"),
        (grey(1, 2), "several colours but no black"),
        (classes(5, 200), "has the values 5, 200 beside 0"),
        (np.pad(np.arange(60, dtype=np.uint8)[:, None].repeat(9, 1), 4), "thin numbered defects or dim grey"),
        (layers((0, 0, 0), SPOT * 255), "black on transparent"),
        (grey(255, 0), "marks the corners and most.*--mask-values 0"),
        (np.where(grey(1, 2) == 2, 2, np.where(EDGE, 0, 1)).astype(np.uint8), "marks the corners and most"),
        (np.where(SPOT, np.nan, 0).astype(np.float32), "NaN or infinite"),
        (np.where(SPOT, np.inf, 0).astype(np.float32), "NaN or infinite"),
        (np.where(SPOT, -1, 0).astype(np.int32), "below 0"),
    ],
    ids=[
        *("void", "void of a palette", "void of 16 bits", "colours", "ids from 1", "dark beside bright", "thin"),
        *("black ink", "inverted", "ids with 1 for normal", "nan", "inf", "negative"),
    ],
)
def test_a_mask_that_may_mean_several_things_is_an_error(tmp_path, picture, message):
    """One line names the file, what it holds and the setting that decides."""
    with pytest.raises(
        ImageError, match=rf"^The mask \S*m\.tiff {message if message[0] == 'h' else '.*' + message}"
    ) as raised:
        read_mask(saved(tmp_path / "m.tiff", picture))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "picture"), [("1", grey(0, 1, edge=255)), ("0", grey(255, 0)), ("2,4-9", classes(1, 2, 8, 10))]
)
def test_given_values_decide(tmp_path, text, picture):
    """With values from the user nothing is judged: exactly these are defective."""
    values = parse_values(text)
    expected = np.isin(picture, [one for low, high in values for one in range(low, high + 1)])
    assert (read_mask(saved(tmp_path / "m.png", picture), values) == expected).all()


@pytest.mark.parametrize("text", ["", "x", "3-1", "-1", "1,,2", "70000", "1;2"])
def test_values_that_are_no_list_are_refused(tmp_path, text):
    """What is no list of numbers and ranges is named, before any file is read."""
    with pytest.raises(ConfigError, match="Mask values are numbers and ranges"):
        load_dataset("folder", tmp_path, mask_values=text)


def dataset(root, *masks):
    """Write a category with one good image and a defect for each mask."""
    shape = np.asarray(masks[0]).shape[:2]
    saved(root / "test" / "good" / "0.png", np.full(shape, 9, np.uint8))
    for number, mask in enumerate(masks):
        saved(root / "test" / "bad" / f"{number}.png", np.full(shape, 99 + number, np.uint8))
        saved(root / "ground_truth" / "bad" / f"{number}_mask.png", mask)
    return root


def test_values_reach_every_mask_and_the_fingerprint(tmp_path):
    """A data set that is read with other mask values is another data set; a threshold beside values is refused."""
    root = dataset(tmp_path, grey(0, 1, edge=255))
    inner, outer = load_dataset("folder", root, mask_values="1"), load_dataset("folder", root, mask_threshold=0)
    assert (inner[1].mask == SPOT).all()
    assert (outer[1].mask == SPOT | EDGE).all()
    assert inner.fingerprint != outer.fingerprint
    assert inner.notes == ("Mask values that count as defective: 1.",)
    with pytest.raises(ConfigError, match="not both"):
        load_dataset("folder", root, mask_threshold=0, mask_values="1")


def test_the_category_decides_what_faint_values_are(tmp_path):
    """Scattered small values are thin labels in a category of small values, and noise beside white masks."""
    faint = np.zeros(SPOT.shape, np.uint8)
    faint[5, 3:30], faint[6, 3:30] = 1, 2
    alone = load_dataset("folder", dataset(tmp_path / "ids", faint, classes(1, 2, 3, 4)))
    beside = load_dataset("folder", dataset(tmp_path / "white", faint, classes(255, 255, 0, 0)))
    assert (alone[1].mask == (faint > 0)).all()
    assert not beside[1].mask.any()


def test_a_large_defect_is_not_inverted_if_others_are_not(tmp_path):
    """A mask that is white around black is read as it is, if another mask of its category is black around white."""
    data = load_dataset("folder", dataset(tmp_path, grey(255, 0), grey(0, 255)))
    assert (data[1].mask == ~SPOT).all()
    with pytest.raises(ImageError, match="as all masks of its category do"):
        load_dataset("folder", dataset(tmp_path / "all", grey(255, 0), grey(255, 0)))[1].mask  # noqa: B018 - read


def test_what_is_known_of_a_category_follows_its_files(tmp_path):
    """When the other masks change, they are read again."""
    faint, other = tmp_path / "0.png", tmp_path / "1.png"
    saved(faint, np.array([[0, 1, 2]], np.uint8))
    peers = Peers((faint, saved(other, grey(0, 255))))
    assert file_threshold(faint, peers) == 127
    saved(other, grey(0, 1))
    os.utime(other, (1, 1))
    assert file_threshold(faint, peers) == 0


def test_a_black_mask_of_a_good_image_says_what_its_label_says(tmp_path):
    """Black masks of good images are accepted, in folders and lists; a mark in one is an error."""
    root = dataset(tmp_path / "data", grey(0, 255))
    saved(root / "ground_truth" / "good" / "0_mask.png", np.zeros(SPOT.shape, np.uint8))
    assert [sample.mask_path is None for sample in load_dataset("folder", root)] == [True, False]
    assert check_dataset("folder", root).ok
    saved(root / "ground_truth" / "good" / "0_mask.png", grey(0, 1))
    with pytest.raises(DataError, match="listed as good but has a mask"):
        load_dataset("folder", root)
    saved(tmp_path / "list" / "a.png", np.full(SPOT.shape, 9, np.uint8))
    saved(tmp_path / "list" / "m.png", np.zeros(SPOT.shape, np.uint8))
    (tmp_path / "list" / "data.csv").write_text("image,label,mask,split\na.png,good,m.png,test\na.png,ok,m.png,train\n")
    listed = load_dataset("folder", tmp_path / "list")
    assert ([sample.mask_path for sample in listed], len(listed.references["list"])) == ([None], 1)


@pytest.mark.parametrize(("orientation", "is_named"), [(6, True), (1, False)])
def test_a_mask_of_the_unturned_image_names_the_orientation(tmp_path, orientation, is_named):
    """A mask that fits the image only before EXIF turns it says so; other wrong sizes do not."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = np.full(SPOT.shape if orientation == 6 else SPOT.T.shape, 9, np.uint8)
    saved(tmp_path / "test" / "bad" / "0.jpg", picture, exif=exif)
    saved(tmp_path / "ground_truth" / "bad" / "0.png", grey(0, 255))
    (problem,) = [one for one in check_dataset("folder", tmp_path).problems if one.severity == "error"]
    assert "both must have the same size" in problem.message
    assert ("EXIF orientation of 0.jpg" in problem.message) == is_named
