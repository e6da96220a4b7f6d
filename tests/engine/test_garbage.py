"""What is settled is not walked through again, and still collected once it is asked for."""

import gc
import weakref

import pytest

from loupe.engine import garbage


class Ring:
    """Garbage that only a collector finds."""

    def __init__(self) -> None:
        self.me = self


pytestmark = pytest.mark.usefixtures("collector_as_before")


def test_what_is_settled_is_left_out_until_everything_is_collected() -> None:
    garbage.hold()
    assert not gc.isenabled()
    old = weakref.ref(Ring())
    garbage.settle()
    assert gc.isenabled() and gc.get_freeze_count() > 0
    new = weakref.ref(Ring())
    gc.collect()
    assert old() is not None and new() is None
    garbage.collect()
    assert old() is None and gc.get_freeze_count() > 0


def test_a_program_that_never_held_is_left_as_it_is() -> None:
    garbage.settle()
    garbage.collect()
    assert gc.isenabled() and gc.get_freeze_count() == 0
