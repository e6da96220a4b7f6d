"""The kinds of SAEs, of codes, of recipes: the choices that configs offer."""

from enum import StrEnum


class Architecture(StrEnum):
    """How codes are made sparse, and what is reconstructed from them."""

    STANDARD = "standard"
    GATED = "gated"
    TOPK = "topk"
    BATCHTOPK = "batchtopk"
    JUMPRELU = "jumprelu"
    MATRYOSHKA = "matryoshka"
    TRANSCODER = "transcoder"
    SKIP_TRANSCODER = "skip_transcoder"
    CROSSCODER = "crosscoder"


class Activation(StrEnum):
    """How pre-activations become feature_acts."""

    RELU = "relu"
    GATED = "gated"
    TOPK = "topk"
    BATCHTOPK = "batchtopk"
    JUMPRELU = "jumprelu"


class JumpReLURecipe(StrEnum):
    """Anthropic's (tanh penalty, gradients also to the pre-activations) or DeepMind's (L0, rectangle kernel)."""

    ANTHROPIC = "anthropic"
    DEEPMIND = "deepmind"


class Centring(StrEnum):
    """What `b_dec` starts as."""

    MEAN = "mean"
    GEOMETRIC_MEDIAN = "geometric_median"
    ZERO = "zero"


class Precision(StrEnum):
    """What the large products are computed in; weights and moments stay fp32."""

    FP32 = "fp32"
    BF16 = "bf16"
