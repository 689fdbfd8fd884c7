"""Methods of inspection are found by name, file or class, and built with their settings."""

import json
import sys

import pytest

from lvlm_ad.errors import ConfigError, PluginError
from lvlm_ad.evaluate import RunConfig, resolve
from lvlm_ad.plugins import load_method, method_names
from lvlm_ad.plugins.methods import as_method

OWN = '''
from lvlm_ad.backend import Picture, Request
from lvlm_ad.methods import Finding, Method, MethodOptions
from lvlm_ad.text2seg import read


class Options(MethodOptions):
    strictness: float = 1.0
    """How strictly it looks."""


class Strict(Method):
    """Asks once."""

    Options = Options
    needs_regions, places = False, ""

    def inspect(self, view):
        answer = yield Request((Picture.from_pixels(view.image),), view.text())
        return Finding.of(read(answer, 0))
'''


@pytest.mark.parametrize("name", ["own.py", "own.py:Strict", "own:Strict", "strict"])
def test_a_method_is_found_and_takes_its_settings(write, install, name):
    """By file, by module and by entry point; settings of something else are left out."""
    write("own.py", OWN)
    install("of-x", "methods", "strict = of_x_strict:Strict", OWN)
    method, known = load_method(name, {"strictness": "2.5", "temperature": "1"})
    assert (method.options.strictness, known) == (2.5, {"strictness"})
    assert method.implementation.__name__ == "Strict"
    assert method.most_questions(None) == 1


def test_an_edited_method_is_another(write):
    """Its identity holds the hash of its code, wherever the file stands."""
    write("own.py", OWN)
    write("elsewhere/own.py", OWN)
    identity = load_method("own.py", {})[0].identity()
    assert set(identity) == {"source", "strictness"}
    assert load_method("elsewhere/own.py", {})[0].identity() == identity
    write("own.py", OWN.replace("Asks once", "Asks again"))
    assert load_method("own.py", {})[0].identity() != identity


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (("", ""), "boxs", "There is no method 'boxs' installed. Did you mean 'boxes'.*FILE.py or module:Class"),
        (("", ""), "absent.py", "There is no file absent.py"),
        (("(Method)", ""), "own.py", "must contain one class derived from lvlm_ad.methods.Method; it contains none"),
        (("(Method)", ""), "own.py:Strict", "own.py:Strict is no class derived from lvlm_ad.methods.Method"),
        (("def inspect", "def look"), "own.py", "own.py has no inspect"),
        (('places = False, ""', 'places = False, "rows"'), "own.py", "places is 'rows'; it must be one of 'regions'"),
        (("Options = Options", "Options = dict"), "own.py", "a class derived from MethodOptions"),
        (("strictness:", "shots:"), "own.py", "every bench has a setting 'shots'; give your option another name"),
        (("strictness:", "convention:"), "own.py", "every bench has a setting 'convention'"),
        (("class Options", "1 / 0\nclass Options"), "own.py", "own.py cannot be loaded: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_method_is_one_line(write, change, name, message):
    """The message names what was given, the fault, and what to do."""
    write("own.py", OWN.replace(*change))
    with pytest.raises(PluginError, match=message):
        load_method(name, {})


def test_a_wrong_value_of_an_option_is_named(write):
    """With the method and the setting."""
    write("own.py", OWN)
    with pytest.raises(ConfigError, match=r"method own\.py, setting strictness must be a finite number"):
        load_method("own.py", {"strictness": "nan"})


def test_a_broken_package_is_named(install):
    """The message names the method, its package, and the cause."""
    install("of-x", "methods", "strict = of_x_strict:Nothing", OWN)
    with pytest.raises(PluginError, match=r"The method 'strict' of of-x 1\.5 cannot be loaded.*no attribute 'Nothing'"):
        load_method("strict", {})
    sys.modules.pop("of_x_strict")


def test_a_method_with_a_required_option_is_described(write, lvlm_ad_command):
    """Its options are listed without a value; without one it cannot be built."""
    write("own.py", OWN.replace("strictness: float = 1.0", "strictness: float"))
    (told,) = json.loads(lvlm_ad_command("methods", "own.py", "--json").stdout)["options"]
    assert (told["name"], told["required"]) == ("strictness", True)
    with pytest.raises(ConfigError, match="lacks the setting 'strictness'; give it with --set strictness=VALUE"):
        load_method("own.py", {})


def test_the_doctor_names_a_broken_method(install, lvlm_ad_command):
    """With its package."""
    install("of-x", "methods", "strict = of_x_strict:Nothing", OWN)
    findings = json.loads(lvlm_ad_command("doctor", "--json").stdout)["findings"]
    (found,) = [one for one in findings if one["name"] == "method strict"]
    assert found["state"] == "problem"
    assert "of-x 1.5 cannot be loaded" in found["text"]


def test_installed_methods_are_listed():
    """Those of lvlm-ad are among them, by the names that ``--method`` takes."""
    ours = {"regions", "boxes", "points", "cells", "masks", "score", "yes-no", "zoom", "votes", "pairs", "each"}
    assert ours <= set(method_names())


def test_only_a_class_can_be_a_method():
    """An object is refused."""
    with pytest.raises(PluginError, match="is no class derived"):
        as_method(3, "three")


def test_without_a_best_finding_there_is_no_row_oracle(write, kept_data):
    """The reference row is left out, the others stay; asking for it is an error."""
    write("own.py", OWN)

    def rows(**config):
        plan = resolve(RunConfig(data=kept_data, limit=1, **config))
        return [model.preset.name for model in plan.models]

    assert rows(method="own.py") == ["contrast", "chance"]
    assert rows() == ["contrast", "chance", "oracle"]
    with pytest.raises(ConfigError, match="The method own defines no best_finding, so it has no row oracle"):
        rows(method="own.py", models=["oracle"])
