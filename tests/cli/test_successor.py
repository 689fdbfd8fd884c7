"""A bench whose preset names a model that its provider has removed."""

import json


def test_a_bench_asks_the_successor(quick_bench, endpoint, tmp_path):
    """A preset whose day has passed asks the other one's model, says so first, and its row names that model."""
    new, old = tmp_path / "new.toml", tmp_path / "old.toml"
    common = f'backend = "openai"\nbase_url = "{endpoint.url}"\napi_key_env = ""\n'
    new.write_text(f'{common}model = "young"\n')
    old.write_text(f'{common}model = "aged"\nend_of_life = "2026-01-31"\nsuccessor = "{new}"\n')
    done = quick_bench("--model", str(old), "--limit", "1", "--json", "--concurrency", "1")
    assert f"old: asks young at {endpoint.url}; the provider removed aged on 2026-01-31 (its stored" in done.stderr
    assert {body["model"] for body in endpoint.asked} == {"young"}
    (run,) = json.loads(done.stdout)["runs"]
    assert run["model"] == "old (young)"
