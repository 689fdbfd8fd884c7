"""Pictures are drawn once: they are looked up, found damaged, deleted when they are too many, and always the same."""

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

import numpy as np
import PIL
import pytest
from PIL import features

from lvlm_ad.backend import Answer, Picture
from lvlm_ad.conventions import load_convention
from lvlm_ad.datasets import load_dataset
from lvlm_ad.engines import LocalEngine
from lvlm_ad.errors import CacheError
from lvlm_ad.evaluate import RunConfig, dry_run, resolve
from lvlm_ad.evaluate.conversation import Talk
from lvlm_ad.evaluate.drawn_pictures import DrawnPictures
from lvlm_ad.evaluate.kept_pictures import KeptPictures, key_of
from lvlm_ad.evaluate.session import Session
from lvlm_ad.evaluate.views import Views
from lvlm_ad.methods import AskedModel
from lvlm_ad.prompts.drawing import DRAWING_VERSION, WHOLE, ImageFile
from lvlm_ad.regions import divide
from lvlm_ad.store import open_cache
from lvlm_ad.workers import Workers

SIDE = 96
PICTURE = Picture.from_pixels(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
OTHERS = [Picture.from_pixels(np.full((20, 30, 3), shade, np.uint8)) for shade in range(12)]


@pytest.fixture
def database(tmp_path):
    """A new cache."""
    cache = open_cache(tmp_path / "cache.sqlite")
    yield cache
    cache.close()


@pytest.fixture
def drawn(caplog):
    """Return how many pictures have been drawn since the last call."""
    caplog.set_level(logging.INFO, logger="lvlm_ad")

    def count():
        found = sum(one.facts["pictures"] for one in caplog.records if one.getMessage() == "drawn")
        caplog.clear()
        return found

    return count


def files(folder):
    """The kept files, by their digest."""
    return {path.stem: path for path in folder.glob("*/*.png")}


def test_a_picture_is_found_with_its_size_and_read_unchanged(database, tmp_path):
    """What is not kept is not found; another command finds the same."""
    kept = KeptPictures(database, tmp_path / "pictures", 10**6)
    assert kept.find("key") is None
    kept.keep("key", PICTURE)
    for again in (kept, KeptPictures(database, tmp_path / "pictures", 10**6)):
        assert (again.find("key").digest, again.find("key").size) == (PICTURE.digest, (30, 20))
        assert again.read(PICTURE.digest) == PICTURE.data
    assert list(files(tmp_path / "pictures")) == [PICTURE.digest]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda data: data[:-1], lambda data: data[:-1] + b"x", None])
def test_a_damaged_or_missing_file_counts_as_not_kept(database, tmp_path, damage):
    """Emptied, cut off, changed in one byte, deleted: the digest is known, the file is not."""
    kept = KeptPictures(database, tmp_path / "pictures", 10**6)
    kept.keep("key", PICTURE)
    path = files(tmp_path / "pictures")[PICTURE.digest]
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(PICTURE.data))
    assert kept.read(PICTURE.digest) is None
    assert kept.find("key").digest == PICTURE.digest
    kept.keep("key", PICTURE)
    assert kept.read(PICTURE.digest) == PICTURE.data


def test_the_least_recently_used_files_go(database, tmp_path):
    """All files together stay below the limit; one that was read lately stays, and every digest does."""
    limit = 6 * len(OTHERS[0].data)
    kept = KeptPictures(database, tmp_path / "pictures", limit)
    for age, picture in enumerate(OTHERS):
        kept.keep(picture.digest, picture)
        os.utime(files(tmp_path / "pictures")[picture.digest], (1000 + age, 1000 + age))
        # The first is used all the time.
        assert kept.read(OTHERS[0].digest) is not None
        assert sum(path.stat().st_size for path in files(tmp_path / "pictures").values()) <= limit
    left = files(tmp_path / "pictures")
    assert OTHERS[0].digest in left
    assert OTHERS[-1].digest in left
    assert OTHERS[1].digest not in left
    assert all(kept.find(picture.digest).digest == picture.digest for picture in OTHERS)


def test_without_room_digests_alone_are_kept(database, tmp_path):
    """With a limit of 0, or one that a picture exceeds, nothing is written."""
    for limit in (0, 10):
        kept = KeptPictures(database, tmp_path / "pictures", limit)
        kept.keep("key", PICTURE)
        assert kept.find("key").digest == PICTURE.digest
        assert kept.read(PICTURE.digest) is None
    assert not (tmp_path / "pictures").exists()


def test_files_of_older_commands_count(database, tmp_path):
    """A smaller limit deletes what a larger one kept, 0 everything; what is no kept picture or behind a link stays."""
    folder = tmp_path / "pictures"
    kept = KeptPictures(database, folder, 10**6)
    for picture in OTHERS:
        kept.keep(picture.digest, picture)
    own = folder / "ab" / "part.png"
    own.parent.mkdir(exist_ok=True)
    own.write_bytes(PICTURE.data)
    (own.parent / f".{'ab' * 32}.png.x1").write_bytes(b"half-written")
    KeptPictures(database, folder, 3 * len(OTHERS[0].data)).trim()
    assert 1 <= len(files(folder).keys() - {"part"}) <= 3
    (tmp_path / "link").symlink_to(folder)
    KeptPictures(database, tmp_path / "link", 0).trim()
    assert len(files(folder)) > 1
    KeptPictures(database, folder, 0).trim()
    assert [path for path in folder.rglob("*") if path.is_file()] == [own]


def test_threads_that_exceed_the_limit_together_go_on(database, tmp_path):
    """A thread that makes room may delete what another is writing: that one is not kept, later ones are."""
    notes = []
    kept = [KeptPictures(database, tmp_path / "pictures", 2 * len(OTHERS[0].data), notes.append) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: kept[n % 4].keep(OTHERS[n % 12].digest, OTHERS[n % 12]), range(400)))
    kept[0].keep("key", OTHERS[0])
    assert kept[0].read(OTHERS[0].digest) == OTHERS[0].data
    assert notes == []


def test_pictures_leave_room_on_the_disk(database, tmp_path):
    """On a disk that is nearly full nothing is written, so that answers find room; a note says so."""
    notes = []
    kept = KeptPictures(database, tmp_path / "pictures", 10**6, notes.append, spare=1 << 62)
    kept.keep("key", PICTURE)
    assert kept.find("key").digest == PICTURE.digest
    assert files(tmp_path / "pictures") == {}
    assert "bytes are free on the disk" in notes[0]


def test_links_are_not_followed(database, tmp_path):
    """A folder of unknown origin could lead the writing elsewhere: then nothing is kept, and a note says so once."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pictures").symlink_to(tmp_path / "elsewhere")
    notes = []
    kept = KeptPictures(database, tmp_path / "pictures", 10**6, notes.append)
    for picture in OTHERS[:3]:
        kept.keep(picture.digest, picture)
        assert kept.find(picture.digest).digest == picture.digest
    assert len(notes) == 1
    assert notes[0] == f"Pictures are not kept from here on: the folder is a link ({tmp_path / 'pictures'})."
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_key_names_all_that_pixels_depend_on():
    """Another image, another drawing: another key."""
    keys = {key_of({"file": file}, {"drawing": drawing}) for file in "ab" for drawing in "xy"}
    assert len(keys) == 4


def test_a_key_depends_on_what_draws():
    """The versions of Pillow, which stretches images, and of FreeType, which writes numbers, are part of a key."""
    code = [DRAWING_VERSION, PIL.__version__, features.version("freetype2")]
    asked = json.dumps({"code": code, "image": {"file": "a"}, "drawing": {"drawing": "x"}}, sort_keys=True)
    assert key_of({"file": "a"}, {"drawing": "x"}) == hashlib.sha256(asked.encode()).hexdigest()
    assert features.version("freetype2")


@contextmanager
def opened(out, data, method, settings):
    """A session with its stores, and what makes views of it for a model that writes coordinates."""
    config = RunConfig("gpt-4o", method=method, settings=settings, reference_rows=False, out=out)
    with ExitStack() as stack:
        workers = stack.enter_context(closing(Workers(seconds_here=60)))
        session = Session(resolve(config, data), LocalEngine(workers))
        session.open_stores(stack)
        model = AskedModel("gpt-4o", convention=load_convention("sent_pixels"))
        yield session, Views(session, session.plan.models[0], model)


def asked(method, view):
    """Every picture of a conversation in which the first region is suspicious."""
    with Talk(method, view) as talk:
        pictures = []
        while talk.finding is None:
            pictures += [picture for request in talk.requests for picture in request.images]
            talk.go_on([Answer("image anomaly score: 0.8; region 1: 0.9; region 2: 0.5.")] * len(talk.requests))
        return pictures


SETTINGS = {"image_size": SIDE, "division": "grid", "grid_rows": 2, "grid_columns": 2, "min_area": 0}
LOOKS = {
    "default": {},
    "two pictures": {"visual": "image+marked", "shots": 1},
    "marks on black": {"visual": "image+marks", "border_width": 0, "number_size": 9},
    "grey": {"number_style": "grey", "border_width": 3, "image_size": 128, "shots": 2},
}
METHODS = {
    "regions": {},
    "zoom": {"zoom_budget": 2, "zoom_pieces": 2},
    "each": {"each_size": 64},
    "votes": {"vary": "renumber"},
    "pairs": {"pair_shots": 2},
    "cells": {"marks": True},
    "boxes": {},
    "score": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_picture_is_the_same_however_it_comes(tmp_path, kept_data, drawn, method, look):
    """Drawn from arrays, drawn and kept, looked up, and drawn again after its file is lost: same pixels, same key."""
    data, settings = load_dataset("folder", kept_data), {**SETTINGS, **LOOKS[look], **METHODS[method]}
    sample = data[4]
    with opened(tmp_path, data, method, settings) as (session, views):
        side = settings["image_size"]
        regions = divide(np.zeros((side, side, 3), np.uint8), "grid", grid_rows=2, grid_columns=2, min_area=0)
        # Replacing reads the arrays and leaves the kept pictures out.
        plain = replace(views.view(sample, regions))
        expected = [(one.digest, one.data, one.size) for one in asked(session.plan.method, plain)]
        drawn()
        cold = asked(session.plan.method, views.view(sample, regions))
        assert [(one.digest, one.data, one.size) for one in cold] == expected
        assert drawn()
    with opened(tmp_path, data, method, settings) as (session, views):
        warm = asked(session.plan.method, views.view(sample, regions))
        assert [(one.digest, one.data, one.size) for one in warm] == expected
        assert drawn() == 0
        for path in files(tmp_path / "pictures").values():
            path.unlink()
        again = asked(session.plan.method, views.view(sample, regions))
        assert [(one.digest, one.data, one.size) for one in again] == expected
        assert drawn()


def test_a_digest_that_is_not_the_pictures_is_a_damaged_cache(tmp_path, kept_data):
    """A question is stored under its pictures' digests: another picture must not be sent under them."""
    data = load_dataset("folder", kept_data)
    with opened(tmp_path, data, "score", SETTINGS) as (session, views):
        assert asked(session.plan.method, views.view(data[0], None))[0].digest
        with session.cache.transaction(durable=False) as database:
            database.execute("UPDATE drawings SET digest = ?", (PICTURE.digest,))
        picture = asked(session.plan.method, views.view(data[0], None))[0]
        assert picture.digest == PICTURE.digest
        with pytest.raises(CacheError, match="Delete the cache"):
            _ = picture.data


def test_a_repeat_a_second_model_and_a_dry_run_draw_nothing(bench, drawn, kept_data, out, endpoint, grid):
    """The first model's pictures serve everybody; with digests alone, whatever is stored is found without drawing."""
    bench(categories=("bolt",))
    assert drawn() == 6
    bench(categories=("bolt",))
    bench(categories=("bolt",), models="gpt-4o", settings={"image_tokens": "none"})
    settings = {**grid, "base_url": endpoint.url, "temperature": 1}
    config = RunConfig("gpt-4v", data=kept_data, categories=("bolt",), settings=settings, out=out, reference_rows=False)
    (forecast,) = dry_run(config)
    assert forecast["to_ask"] == 6
    assert drawn() == 0
    bench(keep_pictures=0)
    assert drawn() == 6, "those of the other category"
    bench(keep_pictures=0)
    assert drawn() == 0
    assert files(out / "pictures") == {}


def test_a_picture_drawn_while_another_thread_looks_for_it_stays_known(database, tmp_path):
    """A thread that found nothing does not forget what another one drew in the meantime."""
    path = tmp_path / "part.png"
    path.write_bytes(PICTURE.data)

    class DrawnMeanwhile(KeptPictures):
        """A store in which every first search ends after another thread has drawn the picture."""

        looked_for = False

        def find(self, key):
            found = super().find(key)
            if not self.looked_for:
                self.looked_for = True
                with ThreadPoolExecutor(1) as other:
                    assert other.submit(lambda: picture.data).result()
            return found

    workers = Workers(seconds_here=60)
    kept = DrawnMeanwhile(database, tmp_path / "pictures", 10**6)
    picture = DrawnPictures(ImageFile(path, None, SIDE, database), kept, workers).picture(WHOLE)
    assert picture.size == (SIDE, SIDE)
    workers.close()
