import core_builders
import pytest
from hypothesis import settings

from vla_core.contract import Contract

# A loaded machine is slow now and then; a time limit per example would make tests flaky.
settings.register_profile("vla", deadline=None, max_examples=150)
settings.load_profile("vla")


@pytest.fixture
def contract_dict():
    return core_builders.contract_dict()


@pytest.fixture
def contract(contract_dict) -> Contract:
    return Contract.from_dict(contract_dict)
