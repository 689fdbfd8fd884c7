"""``lvlm-ad methods``: what is installed, and a method's options."""

import json


def test_a_method_is_described_with_its_options(lvlm_ad_command):
    """Its places, its prompt, and each option with its default and its meaning."""
    told = json.loads(lvlm_ad_command("methods", "boxes", "--json").stdout)
    assert (told["places"], told["needs_regions"], told["prompt"], told["image_size"]) == ("boxes", False, "boxes", 896)
    (scored,) = told["options"]
    assert (scored["name"], scored["value"], scored["type"]) == ("scored", False, "bool")
    assert "Ask for a score" in scored["about"]
    shown = " ".join(lvlm_ad_command("methods", "score").stdout.split())
    assert "It gives no anomaly map. Images are not divided." in shown
    assert "The method has no options." in shown


def test_an_unknown_method_gets_the_nearest_name(lvlm_ad_command):
    """The message also says how to give a method of one's own."""
    done = lvlm_ad_command("methods", "boxs")
    assert done.returncode == 2
    assert "There is no method 'boxs' installed. Did you mean 'boxes'" in done.stderr
