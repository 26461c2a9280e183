import domain_coordinator
import pytest
from simulation_scenes import EXACT, STRAIGHT_START

from vla_simulation.environment import DockingEnv
from vla_simulation.suites import SuiteConfig


@pytest.fixture(scope="session")
def rendering_env():
    env = DockingEnv("nominal", render=True)
    yield env
    env.close()


@pytest.fixture(scope="session")
def blind_env():
    env = DockingEnv("nominal", render=False)
    yield env
    env.close()


@pytest.fixture
def exact_env():
    env = DockingEnv(SuiteConfig("exact", STRAIGHT_START, EXACT), render=False)
    env.reset(seed=1)
    yield env
    env.close()


@pytest.fixture
def domain():
    with domain_coordinator.domain_id() as number:
        yield number
