"""Twenty who come at once go on one at a time, and the loop does other things in between."""

import asyncio
import itertools

from loupe.app.turnstile import Turnstile


async def test_between_two_that_pass_the_loop_does_what_else_is_due() -> None:
    turnstile, seen = Turnstile(), []

    async def comes(who: str) -> None:
        await turnstile.passed()
        seen.append(who)

    async def beats() -> None:
        while len([each for each in seen if each != "beat"]) < 3:
            seen.append("beat")
            await asyncio.sleep(0)

    await asyncio.gather(comes("a"), comes("b"), comes("c"), beats())
    places = [seen.index(who) for who in "abc"]
    assert places == sorted(places)
    assert all("beat" in seen[before:after] for before, after in itertools.pairwise(places)), seen


async def test_one_that_is_cancelled_while_it_waits_holds_up_nobody() -> None:
    turnstile = Turnstile()
    waiting = [asyncio.create_task(turnstile.passed()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(waiting[0], waiting[2])
