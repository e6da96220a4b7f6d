"""A sample run as the starter stores them: small, written by hand, in the exported form."""

from typing import Any

WORDS = [
    "Once",
    " upon",
    " a",
    " time",
    ",",
    " Mila",
    " lost",
    " her",
    " lantern",
    ".",
    "\n",
    "She",
    " <b>looked</b>",
    ".",
]


def sample_run() -> dict[str, Any]:
    """`{metadata, data}`: every position explained but the last; the first is flagged, the fifth misleads."""
    rows = [_row(position, word) for position, word in enumerate(WORDS[:-1])]
    tokens = [
        {"token_id": 100 + i, "text": word, "is_special": False, "partial": False} for i, word in enumerate(WORDS)
    ]
    return {
        "metadata": {
            "layer": 3,
            "tokens": tokens,
            "fve_denominator": {"value": 0.62, "source": "sidecar"},
            "warnings": [],
        },
        "data": rows,
    }


def _row(position: int, word: str) -> dict[str, Any]:
    fve = -0.25 if position == 4 else 0.5 + 0.03 * position
    mse = (1 - fve) * 0.62
    lines = ["Quiet story about something lost.", f'The sentence ends in "{word.strip()}".']
    rollout = {"raw_output": "", "parsed": True, "ended": "closed", "token_ids": [1], "ties": []}
    scores = {"mse_nrm": mse, "cosine": 1 - mse / 2, "fve_nrm": fve, "mse": mse * 3, "relative_rmse": mse**0.5}
    worse = scores | {"mse_nrm": mse + 0.1, "fve_nrm": fve - 0.16}
    return {
        "position": position,
        "token": word,
        "token_id": 100 + position,
        "flags": ["first_token", "early"] if position == 0 else [],
        "explanation": "\n".join(lines),
        "raw_output": "",
        "rollouts": [
            {"text": "A worse try.", "scores": worse} | rollout,
            {"text": "\n".join(lines), "scores": scores} | rollout,
        ],
        "best": 1,
        "norm": 9.5,
        "agreement": 0.71,
        **scores,
        "kl": 0.125,
        "salience": [
            {"unit": lines[0], "start": 0, "end": 10, "value": 0.02},
            {"unit": lines[1], "start": 11, "end": 20, "value": 0.3 if position != 4 else -0.1},
        ],
        "logit_lens": [
            {"token": " lantern", "token_id": 5, "probability": 0.31},
            {"token": "\n", "token_id": 6, "probability": 0.0004},
        ],
        "next_tokens": [{"token": " and", "token_id": 7, "probability": 0.5}],
    }
