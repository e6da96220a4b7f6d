"""Jobs driven by hand: no thread, no sleep."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loupe.engine.context import JobContext
from loupe.engine.errors import OutOfDeviceMemory
from loupe.engine.jobs import Checkpoint, Job, JobState, Priority, Progress
from loupe.engine.ready import ReadyQueue
from loupe.engine.task import Task, run_here
from tests.engine.jobs_for_tests import Count, Draws, Fails, ManualClock


def test_a_job_is_whatever_has_a_name_a_priority_and_steps():
    assert isinstance(Count(1), Job)
    assert not isinstance(object(), Job)


def test_priorities_are_ordered_by_urgency():
    assert sorted(Priority) == [Priority.INTERACTIVE, Priority.BATCH, Priority.TRAINING]


def test_only_the_last_three_states_are_final():
    assert [state for state in JobState if state.is_final] == [JobState.DONE, JobState.FAILED, JobState.CANCELLED]


def test_running_here_gives_the_result_and_the_events():
    events = []
    assert run_here(Count(2), on_event=events.append) == 2
    assert events == [Progress(1, 2), Progress(2, 2)]


def test_running_here_raises_what_the_job_raised():
    with pytest.raises(ZeroDivisionError):
        run_here(Fails(ZeroDivisionError()))
    with pytest.raises(OutOfDeviceMemory):
        run_here(Fails(MemoryError()))


def test_an_observer_that_fails_here_fails_here():
    def broken(event):
        raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="terminal"):
        run_here(Count(1), on_event=broken)


def test_a_closed_task_runs_its_clean_up_once_and_cannot_be_resumed():
    job = Count(3)
    task = Task(job, JobContext())
    assert task.run_slice(is_stopped=lambda: True) is None
    assert task.is_started
    assert not job.ended.is_set()
    assert task.close().state is JobState.CANCELLED
    assert job.ended.is_set()
    outcome = task.run_slice()
    assert outcome.state is JobState.FAILED
    assert "cannot be resumed" in str(outcome.error)


@given(cut=st.integers(0, 9), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=25)
def test_a_job_started_again_from_its_last_checkpoint_ends_as_if_never_interrupted(cut, seed):
    checkpoints = []
    whole = run_here(Draws(10, "a"), seed=seed, on_event=checkpoints.append)
    start, total = checkpoints[cut].state
    assert isinstance(checkpoints[cut], Checkpoint)
    assert run_here(Draws(10, "a", start=start, total=total), seed=seed) == whole


@given(turns=st.lists(st.integers(0, 3), max_size=60), seed=st.integers(0, 2**31))
@settings(max_examples=25)
def test_jobs_interleaved_in_any_order_give_what_they_give_alone(turns, seed):
    jobs = [Draws(8, key) for key in "abcd"]
    alone = [run_here(job, seed=seed) for job in jobs]
    tasks = [Task(job, JobContext(seed=seed)) for job in jobs]
    results: list[float | None] = [None] * 4
    for turn in [*turns, *([0, 1, 2, 3] * 9)]:
        if results[turn] is None and (outcome := tasks[turn].run_slice(is_stopped=lambda: True)) is not None:
            results[turn] = outcome.result
    assert results == alone


def test_the_budget_is_counted_from_the_start_of_each_slice():
    clock = ManualClock()
    context = JobContext(clock=clock, slice_budget_s=0.1)
    clock.advance(0.06)
    assert not context.out_of_time()
    clock.advance(0.06)
    assert context.out_of_time()
    context.begin_slice()
    assert not context.out_of_time()
    assert context.slice_seconds() == 0


entries = st.tuples(st.sampled_from(list(Priority)), st.sampled_from("xyz"))


@given(st.lists(entries, max_size=40))
def test_the_queue_gives_every_entry_back_once_and_the_most_urgent_first(pushed):
    queue: ReadyQueue[int] = ReadyQueue()
    for number, (priority, owner) in enumerate(pushed):
        queue.push(number, priority, owner)
    assert sorted(queue) == list(range(len(pushed)))
    popped = [queue.pop() for _ in pushed]
    assert sorted(popped) == list(range(len(pushed)))
    assert [pushed[number][0] for number in popped] == sorted(priority for priority, _ in pushed)
    assert (queue.pop(), len(queue), queue.most_urgent) == (None, 0, None)


@given(st.lists(st.sampled_from("xyz"), min_size=1, max_size=40))
def test_no_owner_gets_a_second_turn_while_another_still_waits_for_its_first(owners):
    queue: ReadyQueue[int] = ReadyQueue()
    for number, owner in enumerate(owners):
        queue.push(number, Priority.BATCH, owner)
    popped = [owners[queue.pop()] for _ in owners]
    left = {owner: owners.count(owner) for owner in owners}
    had = dict.fromkeys(left, 0)
    for owner in popped:
        had[owner] += 1
        left[owner] -= 1
        assert all(had[owner] - had[other] <= 1 for other in left if left[other])


@given(st.lists(entries, max_size=20), st.data())
def test_an_entry_taken_out_of_turn_is_gone_and_the_others_keep_their_order(pushed, data):
    queue, twin = ReadyQueue(), ReadyQueue()
    removed = data.draw(st.sets(st.integers(0, max(0, len(pushed) - 1)))) if pushed else set()
    for number, (priority, owner) in enumerate(pushed):
        queue.push(number, priority, owner)
    for number in removed:
        assert queue.remove(number, *pushed[number])
        assert not queue.remove(number, *pushed[number])
    assert sorted(queue) == [number for number in range(len(pushed)) if number not in removed]
    assert len(twin) == 0
