"""The bridge: newest value wins, at most one delivery per interval and key, always on the loop."""

import asyncio
import threading

from loupe.app.bridge import Bridge


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_value_published_from_a_thread_arrives_on_the_loop() -> None:
    bridge, seen, arrived = Bridge(), [], asyncio.Event()
    bridge.attach()

    def receive(value: object) -> None:
        seen.append((value, threading.current_thread() is threading.main_thread()))
        arrived.set()

    bridge.subscribe("run", receive)
    threading.Thread(target=bridge.publish, args=("run", 7)).start()
    await asyncio.wait_for(arrived.wait(), 5)
    assert seen == [(7, True)]


async def test_many_values_become_one_delivery_of_the_newest() -> None:
    bridge, seen = Bridge(), []
    bridge.attach()
    bridge.subscribe("run", seen.append)
    for value in range(100):
        bridge.publish("run", value)
    await settle()
    assert seen == [99]


async def test_the_second_delivery_waits_for_the_interval() -> None:
    now = [100.0]
    bridge, seen = Bridge(interval_s=0.05, clock=lambda: now[0]), []
    bridge.attach()
    done = asyncio.Event()
    bridge.subscribe("run", seen.append)
    bridge.publish("run", 1)
    await settle()
    bridge.publish("run", 2)
    await settle()
    assert seen == [1], "delivered before the interval was over"
    bridge.subscribe("run", lambda _: done.set())
    await asyncio.wait_for(done.wait(), 5)
    assert seen == [1, 2]


async def test_keys_do_not_hold_each_other_up() -> None:
    bridge, seen = Bridge(interval_s=60), []
    bridge.attach()
    for key in ("a", "b"):
        bridge.subscribe(key, lambda value, key=key: seen.append((key, value)))
        bridge.publish(key, 1)
    await settle()
    assert sorted(seen) == [("a", 1), ("b", 1)]


async def test_what_was_published_before_the_loop_ran_is_not_lost() -> None:
    bridge, seen = Bridge(), []
    bridge.subscribe("engine", seen.append)
    bridge.publish("engine", "loading")
    bridge.publish("engine", "ready")
    bridge.attach()
    await settle()
    assert seen == ["ready"]


async def test_after_unsubscribing_nothing_arrives_and_nothing_is_kept() -> None:
    bridge, seen = Bridge(), []
    bridge.attach()
    stop = bridge.subscribe("run", seen.append)
    stop()
    stop()
    bridge.publish("run", 1)
    await settle()
    assert seen == [] and bridge._subscribers == {}


async def test_subscribers_are_told_in_turns_of_the_loop_so_that_other_work_gets_between() -> None:
    bridge, seen = Bridge(), []
    bridge.attach()

    def begin_other_work(_: object) -> None:
        asyncio.get_running_loop().call_soon(seen.append, "other work")

    for number in range(3):
        bridge.subscribe("run", lambda _, number=number: seen.append(number))
        bridge.subscribe("run", begin_other_work)
    bridge.publish("run")
    for _ in range(12):
        await asyncio.sleep(0)
    assert [each for each in seen if each != "other work"] == [0, 1, 2]
    assert seen.index("other work") < seen.index(2)


async def test_who_leaves_while_others_are_told_is_not_told() -> None:
    bridge, seen = Bridge(), []
    bridge.attach()
    bridge.subscribe("run", lambda _: stop())
    stop = bridge.subscribe("run", seen.append)
    bridge.publish("run", 1)
    await settle()
    assert seen == []
