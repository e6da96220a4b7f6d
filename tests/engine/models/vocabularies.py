"""Small real tokenizers of each kind, trained or written down on the spot."""

from functools import lru_cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_TEXTS = ["The quick brown fox crossed the wide river.", "Der Fluß war breit, 狐 und 🦊 auch."] * 4
_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


@lru_cache
def byte_level() -> PreTrainedTokenizerFast:
    """Like GPT-2, Llama 3 and Qwen."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    inner.train_from_iterator(_TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


@lru_cache
def sentencepiece(*, invents_a_space: bool = True) -> PreTrainedTokenizerFast:
    """Like Llama 2 (a space put before every text) or Gemma (none)."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    pieces += [*"Theqickbrownfxsdwlv.,D", "▁T", "▁Th", "▁The", "▁q", "▁f", "▁fo", "▁fox"]
    merges = [("▁", "T"), ("▁T", "h"), ("▁Th", "e"), ("▁", "q"), ("▁", "f"), ("▁f", "o"), ("▁fo", "x")]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replace = normalizers.Replace(" ", "▁")
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if invents_a_space:
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace])
        back.append(decoders.Strip(" ", 1, 0))
    else:
        inner.normalizer = replace
    inner.decoder = decoders.Sequence(back)
    inner.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL.values()])
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, **_SPECIAL)


@lru_cache
def metaspace() -> PreTrainedTokenizerFast:
    """Like T5's: the space before the text comes from the pre-tokenizer."""
    inner = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁the", -1.0), ("▁fox", -1.0), ("▁", -2.0), ("x", -3.0)], 0))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")


@lru_cache
def word_piece() -> PreTrainedTokenizerFast:
    """Like BERT's."""
    vocabulary = {"[UNK]": 0, "the": 1, "fox": 2, "##es": 3}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
