"""The memory line: numbers, refusals, and who holds what."""

import psutil
import pytest

from loupe.engine.errors import OutOfDeviceMemory
from loupe.engine.memory import DeviceMemory, MemoryBudget, _within_container, read_memory

GIB = 2**30


def budget(total: int, used: int) -> MemoryBudget:
    return MemoryBudget(read=lambda device: DeviceMemory(total, used))


def test_work_that_fits_under_the_line_is_let_through():
    budget(10 * GIB, 4 * GIB).require(5 * GIB, "a cache")


def test_work_that_would_cross_ninety_percent_is_refused_with_the_numbers():
    with pytest.raises(OutOfDeviceMemory) as caught:
        budget(10 * GIB, 4 * GIB).require(5 * GIB + 1, "The key-value cache of 64 rows")
    error = caught.value
    assert (error.needed, error.available, error.code) == (5 * GIB + 1, 5 * GIB, "out_of_device_memory")
    assert str(error).startswith(
        "The key-value cache of 64 rows needs 5.00 GiB, but only 5.00 GiB may be taken on cpu: "
        "4.00 GiB of 10.00 GiB are in use and 90% is the limit."
    )
    assert str(error).endswith(error.advice)


def test_a_device_that_is_over_the_line_already_has_nothing_left():
    assert budget(10 * GIB, 10 * GIB).available() == 0


def test_the_cpu_is_measured():
    memory = read_memory("cpu")
    assert 0 < memory.used < memory.total <= psutil.virtual_memory().total
    assert MemoryBudget().available() < memory.total


def test_a_container_with_less_memory_than_its_machine_counts(tmp_path):
    machine = DeviceMemory(64 * GIB, 4 * GIB)
    (tmp_path / "memory.max").write_text(f"{8 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {GIB}\ninactive_file {GIB}\n")
    assert _within_container(machine, tmp_path) == DeviceMemory(8 * GIB, 2 * GIB)
    (tmp_path / "memory.stat").write_text("anon 1\n")
    assert _within_container(machine, tmp_path) == DeviceMemory(8 * GIB, 3 * GIB)


@pytest.mark.parametrize("limit", ["max\n", f"{500 * GIB}\n", None])
def test_a_container_without_a_tighter_limit_does_not_count(tmp_path, limit):
    machine = DeviceMemory(64 * GIB, 4 * GIB)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("0\n")
        (tmp_path / "memory.stat").write_text("")
    assert _within_container(machine, tmp_path) == machine


def test_the_ledger_names_the_largest_holder_first():
    ledger = MemoryBudget()
    ledger.hold("model", 5)
    ledger.hold("cache", 9)
    ledger.hold("model", 7)
    assert list(ledger.holdings().items()) == [("cache", 9), ("model", 7)]
    ledger.release("cache")
    ledger.release("cache")
    assert ledger.holdings() == {"model": 7}


def test_small_sizes_are_told_in_mebibytes():
    with pytest.raises(OutOfDeviceMemory, match=r"needs 1\.5 MiB, but only 0\.0 MiB"):
        budget(GIB, GIB).require(3 * 2**19, "it")


def test_a_refusal_names_who_holds_what():
    full = budget(10 * GIB, 8 * GIB)
    full.hold("model gemma", 5 * GIB)
    full.hold("verbalizer gemma-av", 2 * GIB)
    with pytest.raises(
        OutOfDeviceMemory, match=r"Held by model gemma 5\.00 GiB, verbalizer gemma-av 2\.00 GiB"
    ) as caught:
        full.require(2 * GIB, "Loading a third")
    assert caught.value.holdings == {"model gemma": 5 * GIB, "verbalizer gemma-av": 2 * GIB}


def test_a_profile_of_eight_gigabytes_counts_only_what_this_process_takes():
    own = [3 * GIB]
    small = MemoryBudget(limit=8 * GIB, read=lambda _: DeviceMemory(64 * GIB, 30 * GIB), own=lambda _: own[0])
    assert small.memory() == DeviceMemory(8 * GIB, 3 * GIB)
    own[0] = 20 * GIB
    assert small.available() == 0


def test_a_profile_never_promises_more_than_the_machine_has_free():
    tight = MemoryBudget(limit=8 * GIB, read=lambda _: DeviceMemory(64 * GIB, 63 * GIB), own=lambda _: 0)
    assert tight.memory() == DeviceMemory(8 * GIB, 7 * GIB)
    wide = MemoryBudget(limit=80 * GIB, read=lambda _: DeviceMemory(64 * GIB, 0), own=lambda _: 0)
    assert wide.memory().total == 64 * GIB
