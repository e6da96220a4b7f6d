"""Explaining every token of a text: Loupe against the plain ways, measured in one run, printed as JSON.

    python benchmarks/bench_nla.py                a random 100 M-parameter Llama (prompt of 125 tokens,
                                                  slot 16 from the end), and the starter where it is built
    python benchmarks/bench_nla.py --quick        a small random model only, in about a minute
    python benchmarks/bench_nla.py --pair FOLDER  a pair on disk: FOLDER/{model,nla/av,nla/ar} or FOLDER/{base,av,ar}

Ways, each in a process of its own so that its peak memory is its own:

- `loupe`       an `AnalysisJob` without KL: shared beginning, continuous batching, packed reconstruction.
- `one_by_one`  (a) what the public client does: one `generate` per vector and rollout, one reconstruction per text.
- `plain`       (b) batched `generate` from the whole prompt, batched full-length reconstruction of every text.
- `kl_loupe`, `kl_plain`  replacement KL: one partial forward, against two whole forwards per position.

All ways sample with the same options and score every rollout; salience by line (the best rollout without each line
in turn). Slow ways may do a part of the work (`share`), scaled up by counts; `seconds` is then the scaled time. The
limit of a way is its own token-forwards (2 FLOP per weight and token, head included where it runs) at the rate of a
large matrix product measured in the same process. Wall-clock ratios on a busy machine wander: `cpu_seconds` stands
beside them. `--out FILE` is rewritten after every process, so that a run that is cut loses one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from loupe.engine.context import JobContext
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.extraction import extract
from loupe.engine.nla.metrics import score
from loupe.engine.nla.pair import NLAPair, load_pair
from loupe.engine.nla.reconstructor import HEAD_NAME
from loupe.engine.nla.replacement import kl_of_replacement, naive_kl
from loupe.engine.nla.salience import Unit, without_each

SIGN = "㈎"
TEXT_TOKENS = 48
STARTER = Path(__file__).parents[1] / "assets" / "starter"


@dataclass(frozen=True)
class Shape:
    """The size of the random model."""

    d_model: int
    layers: int
    heads: int
    inner: int
    vocab: int


SIZES = {
    "100M": Shape(d_model=768, layers=12, heads=12, inner=2048, vocab=16_000),
    "quick": Shape(d_model=128, layers=6, heads=4, inner=344, vocab=2_000),
}


@dataclass
class Measured:
    """What one way cost. `seconds` and `cpu_seconds` are for the whole task, `share` of which was really done."""

    way: str
    rollouts: int
    seconds: float
    cpu_seconds: float
    share: float
    limit_seconds: float
    matmul_gflops: float
    peak_mib: float


# --- a random pair in the public format -------------------------------------------------------------------------------


def write_random_pair(folder: Path, shape: Shape) -> None:
    """base and av are one random model; ar is its first two thirds with a random head. Prompt: slot 16 from the end."""
    torch.manual_seed(0)
    tokenizer = random_tokenizer(shape.vocab)
    layer = 2 * shape.layers // 3 - 1
    template = " w" * 107 + "<concept>{injection_char}</concept>" + " w" * 13
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": template.replace("{injection_char}", SIGN)}],
        add_generation_prompt=True,
        return_dict=False,
    )
    slot = prompt.index(tokenizer.convert_tokens_to_ids(SIGN))
    meta = {
        "kind": "nla_model",
        "schema_version": 2,
        "d_model": shape.d_model,
        "extraction_layer_index": layer,
        "tokens": {
            "injection_char": SIGN,
            "injection_token_id": prompt[slot],
            "injection_left_neighbor_id": prompt[slot - 1],
            "injection_right_neighbor_id": prompt[slot + 1],
        },
        "prompt_templates": {"av": template, "ar": " w w w w<text>{explanation}</text><summary>"},
    }
    model = LlamaForCausalLM(_config(shape, shape.layers)).eval()
    save(folder / "av", model, tokenizer, meta | {"role": "av", "extraction": {"injection_scale": 30.0}})
    (folder / "base").symlink_to(folder / "av")
    trunk = LlamaForCausalLM(_config(shape, layer + 1)).eval()
    save(folder / "ar", trunk, tokenizer, meta | {"role": "ar", "extraction": {}})
    from safetensors.torch import save_file

    save_file({"weight": torch.randn(shape.d_model, shape.d_model) / shape.d_model**0.5}, folder / "ar" / HEAD_NAME)


def random_tokenizer(vocab: int) -> PreTrainedTokenizerFast:
    """Every id is one made-up word; one word in twelve is a line break, so that outputs have lines."""
    specials = ["<pad>", "<eos>", SIGN, "<concept>", "</concept>", "<text>", "</text>", "<summary>", "<unk>", " w"]
    words = specials + [f"\nn{i}" if i % 12 == 0 else f" w{i}" for i in range(vocab - len(specials))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[ \n][^ \n]*"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in specials[2:8]])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    fast.chat_template = "{% for m in messages %} w{{ m['content'] }} w{% endfor %}"
    return fast


def save(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, meta: dict[str, Any]) -> None:
    import yaml

    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "nla_meta.yaml").write_text(yaml.safe_dump(meta, allow_unicode=True))


def _config(shape: Shape, layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.d_model,
        intermediate_size=shape.inner,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )


# --- the ways ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """All positions of one text, k rollouts of a fixed number of tokens each."""

    model: LanguageModel
    pair: NLAPair
    ids: tuple[int, ...]
    vectors: Tensor
    rollouts: int
    new_tokens: int


def loupe(task: Task) -> tuple[float, float]:
    """All of it, and how many token-forwards of verbalizer and reconstructor it took."""
    request = AnalysisRequest(
        token_ids=task.ids,
        best_of=task.rollouts,
        max_new_tokens=task.new_tokens,
        kl=False,
        salience="line",
        logit_lens_k=0,
        next_token_k=0,
    )
    steps = AnalysisJob(task.model, task.pair, request).run(JobContext(slice_budget_s=3600.0))
    trunk_tokens = _count_tokens(task.pair)
    found = finish(steps)
    verbalizer = task.pair.verbalizer
    made = sum(len(rollout.token_ids) - 1 for row in found.positions for rollout in row.rollouts)
    prompt = verbalizer.prompt.slot + len(task.ids) * verbalizer.suffix_length
    return 1.0, flops(task, prompt + made, len(task.ids) + made, sum(trunk_tokens))


def one_by_one(task: Task, share: float) -> tuple[float, float]:
    """(a) One `generate` and one reconstruction at a time; only every nth position when `share` is below 1."""
    chosen = range(0, len(task.ids), max(1, round(1 / share)))
    tokens = made = 0
    for position in chosen:
        gold = task.vectors[position : position + 1]
        rollouts = [_generate(task, gold) for _ in range(task.rollouts)]
        made += sum(count for _, count in rollouts)
        texts = [text for rows, _ in rollouts for text in rows]
        found = [_reconstruct(task, [text]) for text in texts]
        tokens += sum(count for _, count in found)
        scores = [score(rebuilt, gold)[0].mse_nrm for rebuilt, _ in found]
        for variant in without_each(texts[scores.index(min(scores))], Unit.LINE):
            tokens += _reconstruct(task, [variant])[1]
    return _plain_cost(task, len(chosen), made, tokens)


def plain(task: Task, share: float, batch: int) -> tuple[float, float]:
    """(b) Batched `generate` from whole prompts, batched full-length reconstructions, right-padded."""
    count = max(1, round(len(task.ids) * share))
    positions = torch.linspace(0, len(task.ids) - 1, count).long().tolist()
    gold = task.vectors[positions].repeat_interleave(task.rollouts, 0)
    batches = [_generate(task, rows) for rows in gold.split(batch)]
    texts, made = [text for rows, _ in batches for text in rows], sum(tokens for _, tokens in batches)
    rebuilt, tokens = _reconstruct_all(task, texts, batch)
    errors = torch.tensor([scores.mse_nrm for scores in score(rebuilt, gold)]).view(count, task.rollouts)
    winners = [texts[row * task.rollouts + int(best)] for row, best in enumerate(errors.argmin(1))]
    variants = [variant for text in winners for variant in without_each(text, Unit.LINE)]
    tokens += _reconstruct_all(task, variants, batch)[1]
    return _plain_cost(task, count, made, tokens)


def kl_loupe(task: Task) -> tuple[float, float]:
    vectors = task.vectors
    for _ in range(3):
        kl_of_replacement(task.model, task.ids, task.pair.layer, vectors.flip(0))
    model, count = task.model, len(task.ids)
    above = 1 - (task.pair.layer + 1) / model.n_layers
    work = 2.0 * (weights(model.blocks) * count * (1 + above) + model.vocab_size * model.d_model * 2 * count)
    return 3.0, 3 * work


def kl_plain(task: Task, share: float) -> tuple[float, float]:
    vectors = task.vectors
    positions = range(0, len(task.ids), max(1, round(1 / share)))
    for position in positions:
        naive_kl(task.model, task.ids, task.pair.layer, position, vectors[position], vectors[-1 - position])
    model, tokens = task.model, 2 * len(positions) * len(task.ids)
    work = 2.0 * tokens * (weights(model.blocks) + model.vocab_size * model.d_model)
    return len(positions) / len(task.ids), work


@torch.no_grad()
def _generate(task: Task, vectors: Tensor) -> tuple[list[str], int]:
    """One batch to its end; the texts, and how many tokens were decoded (rows that ended early wait for the last)."""
    verbalizer = task.pair.verbalizer
    lm, prompt = verbalizer.lm, verbalizer.prompt
    embeds = lm.embed(torch.tensor([prompt.ids])).repeat(len(vectors), 1, 1)
    embeds[:, prompt.slot] = vectors * (verbalizer.injection_scale / vectors.norm(dim=-1, keepdim=True))
    ids = lm.model.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
        max_new_tokens=task.new_tokens,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        pad_token_id=0,
    )
    return [str(verbalizer.tokenizer.decode(row, skip_special_tokens=True)) for row in ids], ids.numel()


@torch.no_grad()
def _reconstruct(task: Task, texts: Sequence[str]) -> tuple[Tensor, int]:
    """Right-padded, whole, through all K + 1 blocks."""
    reconstructor = task.pair.reconstructor
    rows = [torch.tensor(reconstructor.token_ids(text)) for text in texts]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    hidden = reconstructor.trunk.forward(ids, attention_mask=mask).last_hidden_state
    last = torch.tensor([len(row) - 1 for row in rows])
    return hidden[torch.arange(len(rows)), last] @ reconstructor.value_head.T, ids.numel()


def _reconstruct_all(task: Task, texts: Sequence[str], batch: int) -> tuple[Tensor, int]:
    done = [_reconstruct(task, texts[start : start + batch]) for start in range(0, len(texts), batch)]
    return torch.cat([rebuilt for rebuilt, _ in done]), sum(tokens for _, tokens in done)


def _count_tokens(pair: NLAPair) -> list[int]:
    """A list that grows with the token count of every packed forward of the reconstructor."""
    counted: list[int] = []
    steps = pair.reconstructor.reconstruct_steps

    def counting(texts: Sequence[str], size: Callable[[], int]) -> Any:
        inner = steps(texts, size)
        while True:
            try:
                counted.append(next(inner))
            except StopIteration as finished:
                return finished.value
            yield counted[-1]

    pair.reconstructor.reconstruct_steps = counting  # pyright: ignore[reportAttributeAccessIssue] - counts only
    return counted


def _plain_cost(task: Task, positions: int, made: int, trunk_tokens: int) -> tuple[float, float]:
    prompts = positions * task.rollouts * (len(task.pair.verbalizer.prompt.ids) - 1)
    return positions / len(task.ids), flops(task, prompts + made, made, trunk_tokens)


def flops(task: Task, verbalizer_tokens: int, head_tokens: int, trunk_tokens: int) -> float:
    """2 FLOP per weight and token-forward; attention itself is not counted."""
    lm, trunk = task.pair.verbalizer.lm, task.pair.reconstructor.trunk
    head = lm.vocab_size * lm.d_model
    return 2.0 * (weights(lm.blocks) * verbalizer_tokens + head * head_tokens + weights(trunk.blocks) * trunk_tokens)


def weights(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def finish(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


# --- measuring --------------------------------------------------------------------------------------------------------


def matmul_rate(width: int) -> float:
    """GFLOP/s of a large matrix product, the best of several."""
    left, right = torch.randn(512, width), torch.randn(width, 4 * width)
    best = math.inf
    for _ in range(8):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * 512 * width * 4 * width / best / 1e9


def measure(way: str, task: Task, share: float, batch: int) -> Measured:
    """Run one way once in this process, after a small run that warms caches and allocators."""
    ways: dict[str, Callable[[Task], tuple[float, float]]] = {
        "loupe": loupe,
        "one_by_one": lambda task: one_by_one(task, share),
        "plain": lambda task: plain(task, share, batch),
        "kl_loupe": kl_loupe,
        "kl_plain": lambda task: kl_plain(task, share),
    }
    small = Task(task.model, task.pair, task.ids[:2], task.vectors[:2], 1, 2)
    if way.startswith("kl"):
        ways[way](small)
    else:
        _generate(small, small.vectors)
    rate = matmul_rate(task.model.d_model)
    start, cpu = time.perf_counter(), time.process_time()
    done, work = ways[way](task)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    limit = work / done / (max(rate, matmul_rate(task.model.d_model)) * 1e9)
    return Measured(way, task.rollouts, seconds / done, cpu / done, done, limit, rate, peak_mib())


def peak_mib() -> float:
    """Of this process at its highest; `ru_maxrss` would begin at the peak of the process that started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def load_task(folder: Path, rollouts: int, new_tokens: int) -> Task:
    places = (("model", "nla/av", "nla/ar"), ("base", "av", "ar"))
    base, av, ar = next(names for names in places if (folder / names[0]).exists())
    model = load_model(folder / base, dtype="fp32")
    pair = load_pair(model, folder / av, folder / ar, dtype="fp32")
    ids = text_of(folder, model)
    return Task(model, pair, ids, extract(model, ids, pair.layer), rollouts, new_tokens)


def text_of(folder: Path, model: LanguageModel) -> tuple[int, ...]:
    """48 tokens: the beginning of a stored sample run where the folder has one, else random ones."""
    for run in sorted(folder.glob("runs/*.json")):
        ids = json.loads(run.read_text())["metadata"]["request"]["token_ids"]
        if len(ids) >= TEXT_TOKENS:
            return tuple(ids[:TEXT_TOKENS])
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randint(10, model.vocab_size, (TEXT_TOKENS,), generator=generator).tolist())


def in_own_process(way: str, folder: Path, rollouts: int, options: argparse.Namespace, share: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--way", way, "--pair", str(folder), "--rollouts", str(rollouts)]
    command += ["--new-tokens", str(options.new_tokens), "--share", str(share), "--batch", str(options.batch)]
    began = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this very script
    print(f"{way}, k = {rollouts}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, options: argparse.Namespace, results: dict[str, Any], keep: Callable[[], None]) -> None:
    """All ways on one pair, and the ratios between them; `keep` is called whenever there is more."""
    quick = options.quick
    for rollouts in (1, 8):
        shares = {"one_by_one": (0.25 if quick else 0.125) / rollouts**0.5, "plain": 1.0 if rollouts == 1 else 0.34}
        ways = results.setdefault(f"k={rollouts}", {"ways": {}})["ways"]
        for way in _WAYS:
            ways[way] = in_own_process(way, folder, rollouts, options, shares.get(way, 1.0))
            keep()
        results[f"k={rollouts}"]["ratios"] = _ratios(ways)
    kl = {way: in_own_process(way, folder, 1, options, 0.25) for way in ("kl_loupe", "kl_plain")}
    results["kl"] = {"ways": kl, "ratio": _over(kl, "seconds"), "ratio_cpu": _over(kl, "cpu_seconds")}
    keep()


def _over(kl: dict[str, dict[str, Any]], clock: str) -> float:
    return round(kl["kl_plain"][clock] / kl["kl_loupe"][clock], 1)


_WAYS = ("loupe", "one_by_one", "plain")


def _ratios(ways: dict[str, dict[str, Any]]) -> dict[str, float]:
    ours = ways["loupe"]
    ratios = {
        f"over_{way}{suffix}": round(ways[way][clock] / ours[clock], 2)
        for way in ("one_by_one", "plain")
        for suffix, clock in (("", "seconds"), ("_cpu", "cpu_seconds"))
    }
    ratios["of_limit"] = round(ours["limit_seconds"] / ours["seconds"], 2)
    ratios["memory_of_plain"] = round(ours["peak_mib"] / ways["plain"]["peak_mib"], 2)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description="Explaining every token, against the plain ways.")
    parser.add_argument("--quick", action="store_true", help="a small random model")
    parser.add_argument("--pair", type=Path, help="a pair on disk instead of a random one")
    parser.add_argument("--new-tokens", type=int, default=48, help="tokens of every rollout")
    parser.add_argument("--batch", type=int, default=64, help="rows of a plain batch")
    parser.add_argument("--out", type=Path, help="a file that is rewritten after every process")
    parser.add_argument("--rollouts", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        task = load_task(options.pair, options.rollouts, options.new_tokens)
        print(json.dumps(asdict(measure(options.way, task, options.share, options.batch))))
        return
    results: dict[str, Any] = {"benchmark": "nla", "text_tokens": TEXT_TOKENS, "new_tokens": options.new_tokens}
    results |= {"threads": torch.get_num_threads(), "plain_batch": options.batch, "load": os.getloadavg(), "pairs": {}}

    def keep() -> None:
        if options.out:
            options.out.write_text(json.dumps(results, indent=2))

    with tempfile.TemporaryDirectory() as temporary:
        pairs = {str(options.pair): options.pair.resolve()} if options.pair else _pairs(Path(temporary), options.quick)
        for name, folder in pairs.items():
            compare(folder, options, results["pairs"].setdefault(name, {}), keep)
    print(json.dumps(results, indent=2))


def _pairs(folder: Path, quick: bool) -> dict[str, Path]:
    """The random pair of the wanted size, and the starter where it is built."""
    size = "quick" if quick else "100M"
    write_random_pair(folder, SIZES[size])
    found = {f"random {size}": folder}
    if not quick and (STARTER / "nla" / "av").is_dir():
        found["starter"] = STARTER
    return found


if __name__ == "__main__":
    main()
