"""Tests of lvlm_ad.deferred: fields that are worked out when they are first used."""

import pickle
from dataclasses import dataclass, replace
from functools import partial

import pytest

from lvlm_ad.deferred import deferrable, deferred, is_deferred


@deferrable("pixels")
@dataclass(frozen=True)
class Photo:
    """A photo whose pixels may be read later."""

    name: str
    pixels: list


def test_a_deferred_field_is_worked_out_once_and_then_kept():
    """The function is called at the first use and never again."""
    calls = []
    photo = Photo("a", deferred(lambda: calls.append(1) or [255]))
    assert is_deferred(photo, "pixels")
    assert calls == []
    assert photo.pixels is photo.pixels
    assert (calls, is_deferred(photo, "pixels")) == ([1], False)


def test_what_the_function_raises_the_reader_gets_each_time():
    """A field that could not be read stays deferred: the next reader tries again."""
    photo = Photo("a", deferred(partial(int, "x")))
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            _ = photo.pixels


def test_values_replace_and_pickles_work_as_in_any_dataclass():
    """A field given as a value is that value; replacing reads; a pickle holds the function if nothing read it."""
    photo = Photo("a", [1])
    assert photo == Photo("a", deferred(lambda: [1]))
    assert replace(Photo("a", deferred(lambda: [1])), name="b") == Photo("b", [1])
    again = pickle.loads(pickle.dumps(Photo("a", deferred(partial(list, "xy")))))
    assert is_deferred(again, "pixels")
    assert again.pixels == ["x", "y"]
    with pytest.raises(AttributeError):
        photo.pixels = [2]
