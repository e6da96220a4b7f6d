"""The starter's tokenizer: byte-level BPE learnt from the story world, a chat template and the NLA's marker tokens.

A word always has the same token: a space is put before the text and every name follows one, so that ` Mia` is one token
wherever it stands. Every word of the world's lexicon is a single token.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

VOCABULARY = 2304
TURNS = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
MARKERS = ("㈎", "<concept>", "</concept>", "<explanation>", "</explanation>", "<text>", "</text>", "<summary>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<|{{ message['role'] }}|> {{ message['content'] | trim }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(texts: Iterable[str], words: Iterable[str], folder: Path) -> None:
    """Learn the BPE merges from `texts` and write a Hugging Face tokenizer folder. `words` become single tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(MARKERS),
        special_tokens=list(TURNS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    emphasis = " ".join(word for word in words for _ in range(3000))
    tokenizer.train_from_iterator([*texts, emphasis], trainer)
    tokenizer.add_tokens([AddedToken(marker, normalized=False, special=False) for marker in MARKERS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",  # noqa: S106 - a token of text
        pad_token="<|pad|>",  # noqa: S106
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
