"""The device thread: order, slices, levers."""

import threading
import weakref

import pytest

from loupe.engine.device import DeviceThread
from loupe.engine.errors import Cancelled, DeviceClosed
from loupe.engine.jobs import Checkpoint, JobState, Priority, Progress
from tests.engine.jobs_for_tests import TIMEOUT, Count, Fails, ManualClock, held


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def thread(clock: ManualClock):
    with DeviceThread(slice_budget_s=0.1, clock=clock) as thread:
        yield thread


def test_the_result_of_a_job_comes_back_through_its_future(thread):
    handle = thread.submit(Count(3))
    assert handle.future.result(TIMEOUT) == 3
    assert handle.state is JobState.DONE
    assert handle.progress == Progress(3, 3)


def test_events_reach_the_observer_in_order_on_the_device_thread(thread):
    seen = []
    thread.submit(Count(3), on_event=lambda event: seen.append((event.done, thread.is_current()))).result(TIMEOUT)
    assert seen == [(1, True), (2, True), (3, True)]


def test_a_short_function_runs_as_one_slice(thread):
    assert thread.call(thread.is_current).result(TIMEOUT) is True
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 / 0).result(TIMEOUT)


def test_a_slice_ends_before_the_step_that_would_cross_the_budget(thread, clock):
    handle = thread.submit(Count(7, on_step=lambda step: clock.advance(0.03)))
    handle.result(TIMEOUT)
    (stats,) = [row for row in thread.stats().slices if row.name == "count"]
    assert stats.count == 3  # three steps of 30 ms fit 100 ms; a fourth would not
    assert stats.longest_s == pytest.approx(0.09)
    assert stats.p50_s == pytest.approx(0.09)
    assert stats.total_s == pytest.approx(0.21) == handle.device_seconds
    assert stats.overruns == 0


def test_a_step_that_cannot_keep_the_budget_is_counted_and_shown(thread, clock):
    thread.submit(Count(2, name="greedy", on_step=lambda step: clock.advance(0.5))).result(TIMEOUT)
    assert [(row.name, row.overruns, row.longest_s) for row in thread.stats().slices] == [("greedy", 2, 0.5)]


def test_the_most_urgent_job_goes_first_whatever_the_order_of_arrival(thread):
    order = []
    with held(thread):
        handles = [
            thread.submit(Count(1, priority=priority, on_step=lambda step, p=priority: order.append(p)))
            for priority in (Priority.TRAINING, Priority.BATCH, Priority.INTERACTIVE)
        ]
    for handle in handles:
        handle.result(TIMEOUT)
    assert order == [Priority.INTERACTIVE, Priority.BATCH, Priority.TRAINING]


def test_an_interactive_job_waits_for_one_step_of_a_training_job_not_for_its_slice(thread):
    order = []

    def train(step: int) -> None:
        order.append("train")
        if step == 1:
            click = Count(1, priority=Priority.INTERACTIVE, on_step=lambda _: order.append("click"))
            thread.submit(click)

    thread.submit(Count(4, priority=Priority.TRAINING, on_step=train)).result(TIMEOUT)
    assert order == ["train", "train", "click", "train", "train"]


def test_a_long_step_sees_that_something_more_urgent_waits(thread):
    polled = []

    class Tiles:
        name, priority = "tiles", Priority.TRAINING

        def run(self, ctx):
            polled.append(ctx.out_of_time())
            thread.submit(Count(1, priority=Priority.INTERACTIVE))
            polled.append(ctx.out_of_time())
            yield Progress(1)

    thread.submit(Tiles()).result(TIMEOUT)
    assert polled == [False, True]


def test_a_long_step_sees_that_its_budget_is_used(thread, clock):
    class Tiles:
        name, priority = "tiles", Priority.TRAINING

        def run(self, ctx):
            tiles = 0
            while not ctx.out_of_time():
                clock.advance(0.04)
                tiles += 1
            yield Progress(tiles)
            return tiles

    assert thread.submit(Tiles()).result(TIMEOUT) == 3


def test_jobs_of_one_priority_take_turns(thread, clock):
    order = []

    def step_of(name: str):
        return lambda step: (order.append(name), clock.advance(0.1))

    with held(thread):
        handles = [thread.submit(Count(3, on_step=step_of(name))) for name in "abc"]
    for handle in handles:
        handle.result(TIMEOUT)
    assert "".join(order) == "abcabcabc"


def test_an_owner_with_many_jobs_does_not_delay_an_owner_with_one(thread, clock):
    order = []

    def step_of(name: str):
        return lambda step: (order.append(name), clock.advance(0.1))

    with held(thread):
        greedy = [thread.submit(Count(2, on_step=step_of("g")), owner="greedy") for _ in range(10)]
        modest = thread.submit(Count(2, on_step=step_of("m")), owner="modest")
    for handle in [*greedy, modest]:
        handle.result(TIMEOUT)
    assert "".join(order[:4]) == "gmgm"


def test_a_paused_job_is_not_resumed_until_told_and_then_ends_as_if_never_paused(thread):
    steps, paused = [], threading.Event()

    def pause_at_two(step: int) -> None:
        steps.append(step)
        if step == 2:
            handle.pause()
            paused.set()

    with held(thread):
        handle = thread.submit(Count(5, on_step=pause_at_two))
    assert paused.wait(TIMEOUT)
    thread.call(lambda: None).result(TIMEOUT)  # a whole slice passes
    assert (steps, handle.state, thread.stats().paused) == ([0, 1, 2], JobState.PAUSED, 1)
    handle.resume()
    assert handle.result(TIMEOUT) == 5
    assert steps == [0, 1, 2, 3, 4]


def test_a_job_paused_before_it_began_does_not_begin(thread):
    steps = []
    with held(thread):
        handle = thread.submit(Count(2, on_step=steps.append))
        handle.pause()
        assert handle.state is JobState.PAUSED
    thread.call(lambda: None).result(TIMEOUT)
    assert steps == []
    handle.resume()
    assert handle.result(TIMEOUT) == 2


def test_pausing_and_resuming_within_one_step_changes_nothing(thread):
    def twitch(step: int) -> None:
        handle.pause()
        handle.resume()

    with held(thread):
        handle = thread.submit(Count(3, on_step=twitch))
    assert handle.result(TIMEOUT) == 3


def test_a_cancelled_job_ends_within_the_step_and_cleans_up_on_the_device_thread(thread):
    cleaned_on_device, steps = [], []

    class Careful(Count):
        def run(self, ctx):
            try:
                return (yield from super().run(ctx))
            finally:
                cleaned_on_device.append(thread.is_current())

    def cancel_at_one(step: int) -> None:
        steps.append(step)
        if step == 1:
            handle.cancel()

    with held(thread):
        handle = thread.submit(Careful(100, on_step=cancel_at_one))
    with pytest.raises(Cancelled, match="count was cancelled"):
        handle.result(TIMEOUT)
    assert (steps, cleaned_on_device, handle.state) == ([0, 1], [True], JobState.CANCELLED)


def test_a_job_cancelled_while_it_waits_never_begins(thread):
    steps = []
    with held(thread):
        handle = thread.submit(Count(2, on_step=steps.append))
        handle.cancel()
        handle.cancel()
    with pytest.raises(Cancelled):
        handle.result(TIMEOUT)
    assert steps == []


def test_a_paused_job_can_be_cancelled(thread):
    with held(thread):
        handle = thread.submit(Count(2))
        handle.pause()
        handle.cancel()
        handle.pause()
        handle.resume()
    with pytest.raises(Cancelled):
        handle.result(TIMEOUT)


def test_cancelling_or_pausing_a_finished_job_changes_nothing(thread):
    handle = thread.submit(Count(1))
    assert handle.result(TIMEOUT) == 1
    handle.cancel()
    handle.pause()
    handle.resume()
    assert (handle.state, handle.result(TIMEOUT)) == (JobState.DONE, 1)


def test_nobody_who_stops_waiting_stops_the_work(thread):
    with held(thread):
        handle = thread.submit(Count(2))
        assert handle.future.cancel() is False
    assert handle.result(TIMEOUT) == 2


def test_a_clean_up_that_fails_is_a_failure_not_a_cancellation(thread):
    class Careless(Count):
        def run(self, ctx):
            try:
                yield Progress(1)
                handle.pause()
                yield Progress(2)
            finally:
                raise OSError("the disk went away")

    with held(thread):
        handle = thread.submit(Careless(1))
    thread.call(lambda: None).result(TIMEOUT)
    handle.cancel()
    with pytest.raises(OSError, match="went away"):
        handle.result(TIMEOUT)
    assert handle.state is JobState.FAILED
    assert thread.call(lambda: 1).result(TIMEOUT) == 1


def test_a_job_that_refuses_to_be_closed_does_not_end_the_thread(thread):
    class Stubborn(Count):
        def run(self, ctx):
            while True:
                try:
                    yield Progress(1)
                    handle.cancel()
                except GeneratorExit:
                    yield Progress(2)

    with held(thread):
        handle = thread.submit(Stubborn(1))
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        handle.result(TIMEOUT)
    assert thread.call(lambda: 1).result(TIMEOUT) == 1


def test_an_observer_that_fails_on_progress_does_not_end_the_job(thread, caplog):
    def broken(event):
        raise RuntimeError("this tab is gone")

    assert thread.submit(Count(2), on_event=broken).result(TIMEOUT) == 2
    assert "this tab is gone" in caplog.text


def test_a_checkpoint_that_nobody_could_keep_fails_the_job(thread):
    class Saves(Count):
        def run(self, ctx):
            yield Checkpoint("state")

    def full(event):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        thread.submit(Saves(1), on_event=full).result(TIMEOUT)


def test_waiting_for_another_job_on_the_device_thread_is_refused_at_once(thread):
    class Waits(Count):
        def run(self, ctx):
            thread.submit(Count(1)).result()
            yield Progress(1)

    with pytest.raises(AssertionError, match="waits for ever"):
        thread.submit(Waits(1)).result(TIMEOUT)


def test_closing_cancels_what_is_left_and_refuses_what_comes(clock):
    thread = DeviceThread(clock=clock)
    begun = threading.Event()

    def step(number: int) -> None:
        begun.set()
        assert closing.wait(TIMEOUT)

    closing = threading.Event()
    running = thread.submit(Count(1000, on_step=step))
    assert begun.wait(TIMEOUT)
    waiting, paused = thread.submit(Count(1)), thread.submit(Count(1))
    paused.pause()
    with pytest.raises(TimeoutError, match="did not end within"):
        thread.close(timeout=0.01)
    closing.set()
    thread.close()
    for handle in (running, waiting, paused):
        with pytest.raises(Cancelled):
            handle.result(TIMEOUT)
    with pytest.raises(DeviceClosed, match="count was not accepted"):
        thread.submit(Count(1))


def test_draining_finishes_what_was_accepted_and_cancels_what_is_paused(clock):
    thread = DeviceThread(clock=clock)
    with held(thread):
        accepted = [thread.submit(Count(5)) for _ in range(3)]
        paused = thread.submit(Count(5))
        paused.pause()
    thread.close(drain=True)
    assert [handle.result(TIMEOUT) for handle in accepted] == [5, 5, 5]
    with pytest.raises(Cancelled):
        paused.result(TIMEOUT)


def test_a_job_that_pauses_itself_while_the_thread_drains_is_cancelled(clock):
    thread = DeviceThread(clock=clock)
    begun, closed = threading.Event(), threading.Event()

    def pause_and_wait(step: int) -> None:
        handle.pause()
        begun.set()
        assert closed.wait(TIMEOUT)

    with held(thread):
        handle = thread.submit(Count(3, on_step=pause_and_wait))
    assert begun.wait(TIMEOUT)
    with pytest.raises(TimeoutError):
        thread.close(drain=True, timeout=0.01)
    closed.set()
    thread.close(drain=True)
    with pytest.raises(Cancelled):
        handle.result(TIMEOUT)


def test_statistics_say_who_runs_and_how_many_wait(thread):
    with held(thread):
        waiting = [thread.submit(Count(1)) for _ in range(3)]
        waiting[0].pause()
        stats = thread.stats()
        assert (stats.running, stats.waiting, stats.paused, stats.device) == ("hold", 2, 1, "cpu")
        waiting[0].cancel()
    for handle in waiting[1:]:
        handle.result(TIMEOUT)


def test_an_idle_thread_keeps_nothing_of_a_finished_job_alive(thread):
    job = Count(1)
    handle = thread.submit(job)
    handle.result(TIMEOUT)
    thread.call(lambda: None).result(TIMEOUT)
    gone = weakref.ref(job)
    del job
    assert gone() is None
    assert handle.state is JobState.DONE


def test_every_job_of_many_impatient_clients_reaches_an_end(thread):
    handles, lock = [], threading.Lock()

    def client(number: int) -> None:
        for turn in range(25):
            job = Fails(ValueError("no")) if turn % 10 == 9 else Count(3)
            handle = thread.submit(job, owner=str(number))
            with lock:
                handles.append(handle)
            if turn % 3 == 0:
                handle.pause()
                handle.resume()
            if turn % 5 == 0:
                handle.cancel()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(TIMEOUT)
    for handle in handles:
        handle.future.exception(TIMEOUT)
    assert len(handles) == 200
    assert all(handle.state.is_final for handle in handles)
    assert (thread.stats().waiting, thread.stats().paused) == (0, 0)
