"""Masks are found where users keep them, never taken for images, and told where they belong to none."""

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.mask_files import candidate_images, is_named_after_masks
from lvlm_ad.errors import DataError

SPOT = np.zeros((20, 24), dtype=bool)
SPOT[4:9, 6:15] = True
OTHER = np.zeros_like(SPOT)
OTHER[12:18, 3:9] = True


def photo(path):
    """Write a noisy picture, of its own for each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()))
    Image.fromarray(rng.integers(40, 220, SPOT.shape, dtype=np.uint8)).save(path)
    return path


def mask(path, marked=SPOT):
    """Write a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(marked.astype(np.uint8) * 255).save(path)
    return path


def gears(root, *masks, stem="07"):
    """Write a category with a good image, one defect and masks of it."""
    photo(root / "test" / "good" / "00.png")
    photo(root / "test" / "worn" / f"{stem}.png")
    for name in masks:
        mask(root / name)
    return root


@pytest.mark.parametrize(
    "name",
    [
        "ground_truth/worn/07_mask.png",
        "Ground_Truth/worn/07_mask.PNG",
        "GT/worn/07.bmp",
        "mask/worn/07.png",
        "Masks/Worn/07.png",
        "label/worn/07_label.png",
        "labels/07.png",
        "groundtruth/07_GT.TIF",
        "annotations/worn/07-mask.png",
        "SegmentationClass/07.png",
        "defect_masks/test/worn/07.png",
        "masks/worn/07/0.png",
        "masks/07/0.png",
        "masks/worn/mask_07.png",
        "masks/worn/07.png_mask.png",
        "test/mask/07.png",
        "test/ground_truth/worn/07_mask.png",
        "test/Labels/worn/07.png",
        "test/worn/gt/07.png",
        "test/worn/Mask/07_mask.png",
        "test/worn/07_mask.png",
        "test/worn/07_GT.bmp",
    ],
)
def test_a_mask_is_found_wherever_a_folder_or_a_name_says_mask(tmp_path, name):
    """Any usual name of folder and file will do; the mask is never an image itself, and nothing is left over."""
    data = load_dataset("folder", gears(tmp_path / "gear", name))
    assert [sample.id for sample in data] == ["gear/good/00", "gear/worn/07"]
    assert (data[1].mask == SPOT).all()
    assert data.remarks == ()


@pytest.mark.parametrize("name", ["mask/worn/07.png", "GT/07_GT.png", "label/07.png"])
def test_masks_beside_kinds_without_a_test_folder(tmp_path, name):
    """Where good/ lies beside the kinds of defect, a folder of masks is no kind."""
    photo(tmp_path / "good" / "00.png")
    photo(tmp_path / "worn" / "07.png")
    mask(tmp_path / name)
    data = load_dataset("folder", tmp_path)
    assert {sample.defect for sample in data} == {"good", "worn"}
    assert (data[1].mask == SPOT).all()


@pytest.mark.parametrize("name", ["ground_truth/gear/worn/07.png", "masks/gear/test/worn/07_mask.png"])
def test_masks_of_categories_in_a_tree_of_their_own(tmp_path, name):
    """Masks may lie beside the categories, in folders of the categories' names."""
    gears(tmp_path / "gear")
    gears(tmp_path / "nut")
    mask(tmp_path / name)
    data = load_dataset("folder", tmp_path)
    assert [(sample.id, sample.mask_path is None) for sample in data if sample.label] == [
        ("gear/worn/07", False),
        ("nut/worn/07", True),
    ]


def test_images_and_masks_in_parallel_trees(tmp_path):
    """Of images/test and masks/test, the latter holds masks and is no category."""
    gears(tmp_path / "images")
    mask(tmp_path / "masks" / "test" / "worn" / "07.png")
    data = load_dataset("folder", tmp_path)
    assert data.categories == ("images",)
    assert (data[1].mask == SPOT).all()


@pytest.mark.parametrize(
    "names", [("07/0.png", "07/1.png"), ("07_mask_1.png", "07_mask_2.png"), ("07_gt1.png", "07_gt2.png")]
)
def test_several_files_of_an_image_are_one_mask(tmp_path, names):
    """The parts of an image's mask are merged, and each decides the data set's fingerprint."""
    root = gears(tmp_path)
    mask(root / "ground_truth" / "worn" / names[0], SPOT)
    mask(root / "ground_truth" / "worn" / names[1], OTHER)
    data = load_dataset("folder", root)
    assert (data[1].mask == SPOT | OTHER).all()
    before = data.fingerprint
    mask(root / "ground_truth" / "worn" / names[1], SPOT)
    assert load_dataset("folder", root).fingerprint != before
    assert check_dataset("folder", root).ok


@pytest.mark.parametrize("part", ["0.png", "1.png"])
def test_a_part_of_another_size_is_an_error(tmp_path, part):
    """Each of several files has the size of the image."""
    root = gears(tmp_path, "masks/worn/07/0.png", "masks/worn/07/1.png")
    mask(root / "masks" / "worn" / "07" / part, SPOT[:10])
    (error,) = [one.message for one in check_dataset("folder", root).problems if one.severity == "error"]
    assert f"07/{part} has 24 x 10 pixels" in error


@pytest.mark.parametrize("kind", ["label", "mask_shift", "missing label", "annotated"])
def test_a_kind_of_defect_may_be_named_like_masks(tmp_path, kind):
    """Photographs are images, whatever their folder is called."""
    root = gears(tmp_path / "bottle")
    photo(root / "test" / kind / "09.png")
    mask(root / "ground_truth" / kind / "09_mask.png")
    data = load_dataset("folder", root)
    assert kind in data.defects["bottle"]
    assert all((sample.mask == SPOT).all() for sample in data if sample.defect == kind)


def test_a_category_may_be_named_like_masks(tmp_path):
    """A product that is called mask is a category if it has photographs."""
    gears(tmp_path / "mask", "ground_truth/worn/07_mask.png")
    gears(tmp_path / "gear")
    assert load_dataset("folder", tmp_path).categories == ("gear", "mask")


def test_masks_among_photographs_are_an_error(tmp_path):
    """A folder that is named after masks and holds masks and photographs is refused, and both are named."""
    root = gears(tmp_path, "test/labels/07.png")
    photo(root / "test" / "labels" / "08.png")
    with pytest.raises(DataError, match=r"labels is named like .* holds some, such as 07\.png, but also .* 08\.png"):
        load_dataset("folder", root)


def test_a_kind_that_may_be_masks_is_an_error(tmp_path):
    """Among the kinds of defect, masks that belong to no image may be a kind of dark pictures: neither is assumed."""
    root = gears(tmp_path, "test/mask_scratch/99.png")
    with pytest.raises(DataError, match=r"mask_scratch is named like .* none has the name of an image; rename"):
        load_dataset("folder", root)


def test_a_mask_of_one_of_several_kinds_is_an_error(tmp_path):
    """A mask that names no kind and fits images of two is given to neither."""
    root = gears(tmp_path, "masks/07.png")
    photo(root / "test" / "bent" / "07.png")
    with pytest.raises(DataError, match=r"masks/07\.png may be the mask of .*bent/07\.png or .*worn/07\.png"):
        load_dataset("folder", root)


@pytest.mark.parametrize("names", [("test/bent_mask", "test/worn_mask"), ("masks/bent_gt", "masks/worn_gt")])
def test_a_folder_may_say_both_kind_and_mask(tmp_path, names):
    """The masks in crack_mask/ are those of crack/, though other kinds have images of the same names."""
    root = gears(tmp_path, f"{names[1]}/07.png")
    photo(root / "test" / "bent" / "07.png")
    mask(root / names[0] / "07.png", OTHER)
    marked = {sample.defect: sample.mask for sample in load_dataset("folder", root) if sample.label}
    assert (marked["bent"] == OTHER).all()
    assert (marked["worn"] == SPOT).all()


def test_a_mask_without_a_kind_is_the_defects(tmp_path):
    """Where a good image has the same name as a defect, the mask belongs to the defect."""
    root = gears(tmp_path, "test/mask/07.png")
    photo(root / "test" / "good" / "07.png")
    assert [sample.mask_path is None for sample in load_dataset("folder", root)] == [True, True, False]


@pytest.mark.parametrize(
    "name", ["masks/worn/99.png", "masks/bent/07.png", "masks/worn/07x/0.png", "GT/worn/a/b/07.png"]
)
def test_masks_that_belong_to_no_image_are_told(tmp_path, name):
    """A mask that is left over is named when the data is loaded, not only when it is checked; it is never guessed."""
    root = gears(tmp_path, name)
    data = load_dataset("folder", root)
    assert data[1].mask is None
    assert any("1 mask is not used" in remark and name in remark for remark in data.remarks)
    assert any(name in one.message for one in check_dataset("folder", root).problems if one.severity == "warning")


def test_the_likelier_of_two_names_is_the_mask(tmp_path):
    """Of 07_mask and 07 the first is the mask, as always; the other is told, and that the image has one."""
    root = gears(tmp_path, "ground_truth/worn/07_mask.png", "masks/worn/07.png")
    data = load_dataset("folder", root)
    assert data[1].mask_path.name == "07_mask.png"
    assert any("masks/worn/07.png is not the mask of" in remark for remark in data.remarks)


def test_a_category_of_deeper_pictures_says_where_they_lie(tmp_path):
    """If all pictures lie one folder too deep, the error names one of them and what to do."""
    photo(tmp_path / "test" / "good" / "rgb" / "00.png")
    mask(tmp_path / "test" / "worn" / "gt" / "00.png")
    with pytest.raises(DataError, match=r"pictures in deeper folders, such as .*test/good/rgb/00\.png; move them up"):
        load_dataset("folder", tmp_path)


def test_pictures_in_inner_folders_are_told(tmp_path):
    """Pictures deeper than their kind's folder are left out aloud; masks there are no such pictures."""
    root = gears(tmp_path, "test/worn/gt/07.png")
    for name in ("a.png", "b.png"):
        photo(root / "test" / "worn" / "line 2" / name)
    data = load_dataset("folder", root)
    assert len(data) == 2
    (remark,) = data.remarks
    assert "Left out: 2 pictures in folders inside" in remark
    assert "(line 2)" in remark


@pytest.mark.parametrize(
    ("name", "stems"),
    [
        ("007", ["007"]),
        ("007_mask", ["007"]),
        ("007_Seg_GT", ["007_Seg_GT", "007"]),
        ("007gt", ["007gt", "007"]),
        ("weight", ["weight"]),
        ("GT-007", ["GT-007", "007"]),
        ("007.bmp", ["007.bmp", "007"]),
        ("mask", ["mask"]),
    ],
)
def test_which_image_a_name_means(name, stems):
    """The words for masks are taken off a name, before or after it, but never from inside a word."""
    assert set(stems) <= {one.stem for one in candidate_images(name)} <= {*stems, name}


@pytest.mark.parametrize("name", ["weight", "bent", "good", "length", "right_gtx"])
def test_other_words_are_no_masks(name):
    """A name in which the letters occur by chance is no folder of masks."""
    assert not is_named_after_masks(name)


def test_an_image_of_few_colours_is_no_mask_without_the_word(tmp_path):
    """Beside an image, only a name with a word for masks makes a picture its mask; a second suffix does not."""
    root = gears(tmp_path, "test/worn/07.png.png", "test/worn/07_b.png")
    assert [sample.id.rpartition("/")[2] for sample in load_dataset("folder", root)] == ["00", "07", "07.png", "07_b"]


@pytest.mark.parametrize(
    "name", ["test/masque/07.png", "test/worn/07_bin.bmp", "test/worn/m07.png", "test/good/00(x).png"]
)
def test_pictures_that_look_like_masks_under_other_names_are_told(tmp_path, name):
    """No word for masks stands in the name, so they count as images, but every command names one of them."""
    data = load_dataset("folder", gears(tmp_path, name))
    assert any(f"{name} looks like a mask, but counts as an image" in remark for remark in data.remarks)


def test_photographs_of_few_colours_are_not_called_masks(tmp_path):
    """Where a good image has few colours too, a defect's says nothing."""
    root = gears(tmp_path, "test/good/00.png", "test/torn/07.png")
    assert not any("looks like a mask" in remark for remark in load_dataset("folder", root).remarks)


def test_names_that_differ_in_case_alone_have_masks_of_their_own(tmp_path):
    """Of A.png and a.png, each has the mask with exactly its name."""
    root = gears(tmp_path, "masks/worn/A.png")
    mask(root / "masks" / "worn" / "a.png", OTHER)
    for name in ("A", "a"):
        photo(root / "test" / "worn" / f"{name}.png")
    marked = {sample.image_path.stem: sample.mask for sample in load_dataset("folder", root) if sample.mask_path}
    assert np.array_equal(marked["A"], SPOT)
    assert np.array_equal(marked["a"], OTHER)


def test_masks_beside_the_root_are_told(tmp_path):
    """If a data set has no masks, a folder of masks beside it is named."""
    gears(tmp_path / "images")
    mask(tmp_path / "Masks" / "worn" / "07.png")
    (remark,) = load_dataset("folder", tmp_path / "images").remarks
    assert remark.startswith(f"{tmp_path / 'Masks'} is not read.")


def test_folders_of_pictures_beside_test_are_told(tmp_path):
    """A folder of masks with an unusual name is not passed over; where masks were found, nothing is told."""
    root = gears(tmp_path, "drawn/worn/07.png")
    assert (
        "Ignored folders beside test/: drawn. If one holds masks, call it masks."
        in load_dataset("folder", root).remarks
    )
    mask(root / "masks" / "worn" / "07.png")
    assert load_dataset("folder", root).remarks == ()


def test_the_hint_at_deeper_pictures_names_no_mask(tmp_path):
    """Of rgb/ and gt/ inside each kind, the pictures are to be moved up."""
    for kind in ("good", "worn"):
        mask(tmp_path / "test" / kind / "gt" / "00.png")
        photo(tmp_path / "test" / kind / "rgb" / "00.png")
    with pytest.raises(DataError, match=r"such as .*test/good/rgb/00\.png; move them up"):
        load_dataset("folder", tmp_path)
