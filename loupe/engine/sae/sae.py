"""A sparse autoencoder, transcoder or crosscoder as it is used: raw activations in, feature_acts, reconstruction out.

    f = activation((x - b_dec) W_enc + b_enc)        x_hat = f W_dec + b_dec (+ x W_skip^T)

- Names and layouts are the field's: W_enc [d_in, d_sae], W_dec [d_sae, d_out]. Transcoders do not subtract b_dec.
- W_enc is stored by latent (the transpose of a row-major [d_sae, d_in]), as the sparse kernels read it.
- BatchTopK codes are those above a fixed threshold outside of training, so that a token's code does not depend on its
  neighbours; TopK keeps the k largest of each token. Gates are strict: what equals its threshold is silent.
- A crosscoder sees its hook points side by side: d_in is the sum of their widths.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loupe.engine.errors import WidthMismatch
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.kernels import sparse_decode, topk_encode
from loupe.engine.sae.kinds import Activation
from loupe.engine.sae.topk import SparseActs, packed, topk_of_rows


class SAE(nn.Module):
    """Weights and the two maps. Made with zeros; `initial.py` gives starting values, `formats` reads finished ones.

    Gated SAEs have b_gate, b_mag and r_mag in place of b_enc; BatchTopK and JumpReLU codes have a threshold per latent.
    """

    def __init__(
        self, config: SAEConfig, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.config = config
        d_in, d_sae, d_out = config.d_in, config.d_sae, config.d_out
        assert d_out is not None

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape, dtype=dtype, device=device))

        self.W_enc = nn.Parameter(torch.zeros(d_sae, d_in, dtype=dtype, device=device).t())
        self.W_dec = zeros(d_sae, d_out)
        self.b_dec = zeros(d_out)
        if config.activation is Activation.GATED:
            self.b_gate, self.b_mag, self.r_mag = zeros(d_sae), zeros(d_sae), zeros(d_sae)
        else:
            self.b_enc = zeros(d_sae)
        if config.has_skip:
            self.W_skip = zeros(d_out, d_in)
        if config.activation is Activation.JUMPRELU:  # in fp32 always: bf16 cannot follow its small steps
            self.threshold = nn.Parameter(torch.zeros(d_sae, device=device))
        elif config.activation is Activation.BATCHTOPK:
            self.register_buffer("threshold", torch.zeros(d_sae, device=device))

    @property
    def d_in(self) -> int:
        return self.config.d_in

    @property
    def d_sae(self) -> int:
        return self.config.d_sae

    @property
    def d_out(self) -> int:
        assert self.config.d_out is not None
        return self.config.d_out

    def centred(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        """What the encoder sees. Raises WidthMismatch."""
        if x.shape[-1] != self.d_in:
            raise WidthMismatch(
                f"These activations are {x.shape[-1]} wide, but this {self.config.architecture} reads {self.d_in}: "
                "it was trained on another hook point or another model."
            )
        x = x.to(self.W_enc.dtype)
        return x - self.b_dec if self.config.apply_b_dec_to_input else x

    def pre_activations(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_sae"]:
        """Before the activation function; the gate's side for a gated SAE."""
        bias = self.b_gate if self.config.activation is Activation.GATED else self.b_enc
        return self.centred(x) @ self.W_enc + bias

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_sae"]:
        """feature_acts, zeros included."""
        pre = self.pre_activations(x)
        match self.config.activation:
            case Activation.GATED:
                magnitude = torch.relu((pre - self.b_gate) * self.r_mag.exp() + self.b_mag)
                return magnitude * (pre > 0)
            case Activation.TOPK:
                assert self.config.k is not None
                flat = pre.reshape(-1, self.d_sae)
                return topk_of_rows(flat, self.config.k).dense(self.d_sae).view(pre.shape)
            case Activation.BATCHTOPK | Activation.JUMPRELU:
                return torch.relu(pre) * (pre > self.threshold)
        return torch.relu(pre)

    def decode(self, feature_acts: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_out"]:
        """The reconstruction from a code; a skip transcoder's linear path is not in it."""
        return feature_acts.to(self.W_dec.dtype) @ self.W_dec + self.b_dec

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The reconstruction of x, or of what a transcoder predicts from it."""
        decoded = self.decode(self.encode(x))
        return decoded + self.skip(x) if self.config.has_skip else decoded

    def skip(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The linear path past the codes of a skip transcoder."""
        return x.to(self.W_skip.dtype) @ self.W_skip.t()

    def encode_sparse(self, x: Float[Tensor, "batch d_in"]) -> SparseActs:
        """The active latents of every row: as many slots as the fullest row needs, k for TopK."""
        if self.config.activation is Activation.TOPK:
            assert self.config.k is not None
            return topk_encode(self.centred(x), self.W_enc, self.b_enc, self.config.k)
        acts = self.encode(x)
        width = max(1, int((acts > 0).sum(1).max())) if len(acts) else 1
        return packed(topk_of_rows(acts, width))

    def decode_sparse(self, acts: SparseActs) -> Float[Tensor, "batch d_out"]:
        """`decode` for a sparse code."""
        return sparse_decode(acts.values, acts.indices, self.W_dec) + self.b_dec

    @property
    def decoder_norms(self) -> Float[Tensor, " d_sae"]:
        """The length of every decoder direction; the sum over the hook points of a crosscoder."""
        return decoder_norms(self.W_dec, self.config.parts)


def decoder_norms(W_dec: Float[Tensor, "d_sae d_out"], parts: int = 1) -> Float[Tensor, " d_sae"]:
    """Row norms; for `parts` hook points side by side, the sum of theirs (Anthropic, crosscoders, October 2024)."""
    return W_dec.view(len(W_dec), parts, -1).norm(dim=-1).sum(-1)
