"""What is held out stays out of reach of whatever trains."""

import subprocess
import sys

import pytest

from vla_simulation.errors import SuiteError
from vla_simulation.held_out import first_held_out_seed
from vla_simulation.seeds import FIRST_HELD_OUT_SEED, is_held_out
from vla_simulation.suites import load_suite, parse_suite, suite_names

DRAW = """
import sys
from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.instructions import all_instructions
from vla_simulation.suites import load_suite, suite_names
all_instructions()
env = DockingEnv(render=False)
for suite in suite_names():
    if not load_suite(suite).evaluation_only:
        env.reset(seed=1, options={"suite": suite})
assert "vla_simulation.held_out" not in sys.modules
env.reset(seed=1, options={"suite": "new_station"})
assert "vla_simulation.held_out" in sys.modules
"""


def test_episodes_of_training_suites_never_load_what_is_held_out():
    result = subprocess.run(
        [sys.executable, "-c", DRAW], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


def test_the_constant_is_the_files():
    assert first_held_out_seed() == FIRST_HELD_OUT_SEED == 1_000_000
    assert not is_held_out(999_999)
    assert is_held_out(1_000_000)


def test_only_evaluation_suites_show_what_is_held_out():
    for name in suite_names():
        suite = load_suite(name)
        shows = suite.randomization.scene.held_out_looks or suite.language.held_out_phrasings
        assert shows == suite.evaluation_only
    assert load_suite("paraphrase").evaluation_only
    assert load_suite("new_station").evaluation_only


@pytest.mark.parametrize(
    "section",
    [{"scene": {"held_out_looks": True}}, {"language": {"held_out_phrasings": True}}],
)
def test_a_suite_for_training_must_not_show_what_is_held_out(section):
    with pytest.raises(SuiteError, match="expected evaluation_only: true"):
        parse_suite("leaky", {"leaky": section})
    assert parse_suite("fair", {"fair": {**section, "evaluation_only": True}}).evaluation_only
