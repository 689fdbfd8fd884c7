"""What the tests of the CLIP baselines share."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest


@pytest.fixture(scope="session")
def check_drawn(shared):
    """A function that skips the test if this torch draws other random weights than the reference cases have.

    ``weights_hash`` covers more than weights; the cases name the hash of the names and values alone.
    """
    with np.load(shared / "cases" / "winclip.npz") as file:
        wanted = str(file["weights_sha256"])

    def check(clip):
        digest = hashlib.sha256()
        for name, value in sorted(clip._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
        if digest.hexdigest() != wanted:
            pytest.skip("this torch draws other random weights than the cases were made with")

    return check
