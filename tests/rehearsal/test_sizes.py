"""A recipe at a handful of items: numbers are capped where they stand, nothing is added, what means none stays none."""

from __future__ import annotations

import pytest

from rba import config
from rba.recipe import Recipe, load_recipe
from rba.rehearsal.sizes import capped, small


def test_numbers_are_capped_where_they_are():
    most = {"steps": 2, "sample": {"max_new_tokens": 6}, "every": 1}
    tree = {"steps": 600, "sample": {"max_new_tokens": 64, "top_p": 1.0}, "lr": 1e-4}
    assert capped(tree, most) == {"steps": 2, "sample": {"max_new_tokens": 6, "top_p": 1.0}, "lr": 1e-4}
    assert capped({"every": 0}, most) == {"every": 0}


def test_variants_are_made_small_and_keep_what_they_change(tmp_path):
    (tmp_path / "mine.yaml").write_text("align: {variants: {long: {method: dpo, steps: 900, answers: 4, beta: 0.5}}}")
    tree = small(config.to_tree(load_recipe(tmp_path / "mine.yaml")))
    assert tree["align"]["variants"]["long"] == {"method": "dpo", "steps": 2, "answers": 2, "beta": 0.5}


def test_what_several_processes_need_stays_and_the_cluster_is_on_this_machine(tmp_path):
    asked = (
        "align: {sharding: fsdp, checkpoint: sharded, rollout_server: 'openai:http://h/v1#m', mix: [a, b]}\n"
        "executor: ray\nray: {address: 'head:6379', synthesis: {gpus: 1, count: 16}}"
    )
    (tmp_path / "mine.yaml").write_text(asked)
    tiny = config.build(Recipe, small(config.to_tree(load_recipe(tmp_path / "mine.yaml"))))
    align, workers = tiny.align, tiny.ray.synthesis
    assert (align.sharding, align.checkpoint, align.mix) == ("fsdp", "sharded", ("a", "b"))
    assert (tiny.executor, tiny.ray.address, workers.count, workers.gpus) == ("ray", "local", 2, 0)
    assert tiny.synthesis.shard_size == 2 * tiny.synthesis.batch  # a batch for each worker
    assert align.checkpoint_minutes == 0  # a state is written


@pytest.mark.parametrize("name", ["paper", "tiny", "translate", "qa", "evidence-long", "ablations", "connector"])
def test_every_recipe_is_one_when_it_is_small(name):
    recipe = load_recipe(f"recipes/{name}.yaml")
    tiny = config.build(Recipe, small(config.to_tree(recipe)))
    assert tiny.synthesis.wanted <= 10 and tiny.align.steps == 2
    assert tiny.align.methods == recipe.align.methods and tiny.align.lora == recipe.align.lora
