import inspect

import pytest

from vla_core import errors


def test_every_error_is_one_line_and_has_the_same_root():
    classes = [
        item
        for _, item in inspect.getmembers(errors, inspect.isclass)
        if item.__module__ == errors.__name__
    ]
    assert len(classes) >= 5
    for error_class in classes:
        assert issubclass(error_class, errors.VlaError)
        assert str(error_class("first\nsecond\t third ")) == "first second third"


def test_contract_error_keeps_the_mistakes():
    with pytest.raises(errors.ContractError) as caught:
        raise errors.ContractError("two", ["a", "b"])
    assert caught.value.mistakes == ("a", "b")
