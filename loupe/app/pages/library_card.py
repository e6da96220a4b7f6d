"""An SAE's evaluation card as markup: every number with what it means, the three cross-entropies, the densities."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from loupe.app.pages.library_html import text
from loupe.app.pages.numbers import show
from loupe.app.pages.training_charts import LOW, STEP

SCORES = (
    ("explained_variance", "explained variance", "of the activations; 1 is all of it, the mean predictor has 0"),
    ("l0", "L0", "latents active on a token, on average"),
    ("ce_recovered", "CE recovered", "share of what zeroing the activation costs that the SAE keeps"),
    ("kl_recovered", "KL recovered", "the same, for the whole distribution of the next token"),
    ("dead_share", "dead share", "latents that fired on none of the tokens"),
    ("above_1_percent", "above 1 %", "share of latents that fire on more than one token in a hundred"),
    ("above_10_percent", "above 10 %", "share of latents that fire on more than one token in ten"),
    ("shrinkage", "shrinkage", "length of the reconstruction along the activation; 1 is unbiased, less is too short"),
    ("norm_ratio", "norm ratio", "norm of the reconstruction over that of the activation"),
    ("mse", "mean squared error", "summed over dimensions"),
)
LOSSES = (
    ("clean", "the model as it is", "ce_clean", None),
    ("sae", "with the reconstruction in its place", "ce_sae", "kl_sae"),
    ("zero", "with nothing in its place", "ce_zero", "kl_zero"),
)
WIDTH, HEIGHT, GAP, EDGE = 22, 96, 3, 8


def card_html(card: Mapping[str, Any] | None, judged_on: str = "") -> str:
    """The whole card, or that there is none yet."""
    if not card:
        return (
            '<p class="soft" data-testid="sae-card-empty">Not judged yet. “Evaluate” measures it on token rows it was '
            "not trained on.</p>"
        )
    on = f" of {text(judged_on, 80)}" if judged_on else ""
    counted = f"{card['tokens']:,} held-out tokens{on}; {card['predictions']:,} predictions"
    return (
        f'<div class="soft small">Measured on {counted}.</div><div class="card-grid">{_scores_html(card)}'
        f"<div>{_losses_html(card)}{density_html(card.get('density') or ())}</div></div>"
    )


def _scores_html(card: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td>{name}</td><td class="num" data-measure="{key}">{show(float(card[key]))}</td>'
        f'<td class="soft">{html.escape(about)}</td></tr>'
        for key, name, about in SCORES
        if card.get(key) is not None
    )
    return f'<div class="scroll"><table class="plain-table card-table"><tbody>{rows}</tbody></table></div>'


def _losses_html(card: Mapping[str, Any]) -> str:
    most = max((float(card[ce]) for _, _, ce, _ in LOSSES), default=0.0) or 1.0
    rows = "".join(
        f'<tr data-testid="card-{key}"><td>{name}</td><td class="num">{show(float(card[ce]))}</td>'
        f'<td class="num">{show(float(card[kl])) if kl else "–"}</td>'
        f'<td class="bar-cell"><i style="width:{100 * float(card[ce]) / most:.1f}%"></i></td></tr>'
        for key, name, ce, kl in LOSSES
    )
    heads = '<th>Loss of the next token</th><th class="num">CE</th><th class="num">KL from clean</th><th></th>'
    return (
        f'<div class="scroll"><table class="plain-table card-table"><thead><tr>{heads}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="soft small">In nats per token.</p>'
    )


def density_html(density: Sequence[int]) -> str:
    """How many latents fire how often: never, then by powers of ten; empty bins at both ends are left out."""
    used = [place for place, count in enumerate(density) if count]
    if not used:
        return ""
    inner = [place for place in used if place]
    shown = [0, *(range(inner[0], inner[-1] + 1) if inner else ())]
    most = max(density[place] for place in shown)
    bars = "".join(_bar(n, place, density[place], most) for n, place in enumerate(shown))
    width = len(shown) * (WIDTH + GAP) + EDGE
    never, firing = density[0], sum(density) - density[0]
    told = f"{firing:,} latents fire, {never:,} never do; most fire on {_name(max(used, key=lambda p: density[p]))}"
    return (
        f'<figure class="densities" data-testid="sae-density"><figcaption>How often latents fire: share of tokens, '
        f'latents above each bar</figcaption><div class="scroll" tabindex="0"><svg role="img" aria-label="{told}" '
        f'viewBox="{-EDGE} 0 {width} {HEIGHT + 34}" width="{width}" height="{HEIGHT + 34}">{bars}</svg></div></figure>'
    )


def _bar(n: int, place: int, count: int, most: int) -> str:
    x, height = n * (WIDTH + GAP), HEIGHT * count / most
    labelled = place == 0 or (place - 1) * STEP % 1 == 0
    name = f'<text class="axis" x="{x + WIDTH / 2}" y="{HEIGHT + 30}">{_short(place)}</text>' if labelled else ""
    number = f'<text x="{x + WIDTH / 2}" y="{HEIGHT + 10 - height:.1f}">{count}</text>' if count else ""
    return (
        f"<g><title>{_name(place)}: {count:,} latents</title>"
        f'<rect class="{"never" if place == 0 else ""}" x="{x}" y="{HEIGHT + 14 - height:.1f}" width="{WIDTH}" '
        f'height="{height:.1f}"></rect>{number}{name}</g>'
    )


def _short(place: int) -> str:
    return "never" if place == 0 else f"1e{LOW + (place - 1) * STEP:.0f}"


def _name(place: int) -> str:
    if place == 0:
        return "no token"
    low = 10 ** (LOW + (place - 1) * STEP)
    return f"{show(low, 2)} to {show(low * 10**STEP, 2)} of tokens"
