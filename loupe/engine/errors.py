"""Everything that can go wrong in the engine, as one tree.

    LoupeError
    ├── BadInput (also a ValueError)
    │   ├── EmptyText
    │   ├── BrokenText
    │   ├── TextTooLong
    │   ├── BadPositions
    │   ├── LayerOutOfRange
    │   ├── BadOption
    │   ├── WidthMismatch
    │   └── DatasetError
    │       ├── NotADataset
    │       ├── WrongColumn
    │       ├── EmptyDataset
    │       ├── BrokenEncoding
    │       ├── RaggedTable
    │       ├── NoUsableRows
    │       └── DatasetTooLarge
    ├── UnsafeFile
    ├── CorruptFile
    ├── UnknownFormat
    ├── SidecarError
    │   ├── SidecarMissing
    │   ├── SidecarUnreadable
    │   ├── ScaleMissing
    │   └── SidecarDrift
    │       ├── WrongRole
    │       ├── TokenizerDrift
    │       ├── PromptDrift
    │       └── DepthDrift
    ├── ModelError
    │   ├── UnsupportedModel
    │   ├── CertificationFailed
    │   └── InterventionDidNotFire
    └── DeviceError
        ├── OutOfDeviceMemory
        ├── Cancelled
        └── DeviceClosed

A message says what was got, what was expected and what to do. `code` is the stable name a program may branch on;
`retryable` says whether the same request can succeed later without being changed.
"""

from typing import ClassVar


class LoupeError(Exception):
    """The root: anything the engine refuses or fails to do, with a sentence for a person."""

    code: ClassVar[str] = "engine_error"
    retryable: ClassVar[bool] = False


class BadInput(LoupeError, ValueError):
    """What was asked for makes no sense for this model or this pair."""

    code = "bad_input"


class EmptyText(BadInput):
    """There is no token to look at."""

    code = "empty_text"


class BrokenText(BadInput):
    """The text holds half of a surrogate pair, which no file or tokenizer can represent."""

    code = "broken_text"


class TextTooLong(BadInput):
    """The text has more tokens or characters than the model or a limit allows."""

    code = "text_too_long"


class BadPositions(BadInput):
    """A chosen position does not exist in the text."""

    code = "bad_positions"


class LayerOutOfRange(BadInput):
    """The model has no such block."""

    code = "layer_out_of_range"


class BadOption(BadInput):
    """An option has a value outside its documented range."""

    code = "bad_option"


class WidthMismatch(BadInput):
    """Two parts that must share d_model do not."""

    code = "width_mismatch"


class DatasetError(BadInput):
    """A dataset cannot be made, or not in this way."""

    code = "dataset_error"


class NotADataset(DatasetError):
    """Nothing in this file or folder is text in a format that is read as a dataset."""

    code = "not_a_dataset"


class WrongColumn(DatasetError):
    """The chosen column does not exist, or holds neither text nor a chat."""

    code = "wrong_column"


class EmptyDataset(DatasetError):
    """There is no text in it."""

    code = "empty_dataset"


class BrokenEncoding(DatasetError):
    """The file is not UTF-8."""

    code = "broken_encoding"


class RaggedTable(DatasetError):
    """A row of a table has more or fewer cells than its head."""

    code = "ragged_table"


class NoUsableRows(DatasetError):
    """Tokenised this way, no row has two tokens."""

    code = "no_usable_rows"


class DatasetTooLarge(DatasetError):
    """It does not fit on the disk."""

    code = "dataset_too_large"


class UnsafeFile(LoupeError):
    """Opening this file could run code; it is refused and `loupe convert` is named."""

    code = "unsafe_file"


class CorruptFile(LoupeError):
    """A file of a known format is truncated or contradicts itself."""

    code = "corrupt_file"


class UnknownFormat(LoupeError):
    """Nothing here is a format Loupe reads."""

    code = "unknown_format"


class SidecarError(LoupeError):
    """The sidecar that describes an NLA checkpoint cannot be used."""

    code = "sidecar_error"


class SidecarMissing(SidecarError):
    """There is no sidecar beside the checkpoint."""

    code = "sidecar_missing"


class SidecarUnreadable(SidecarError):
    """The sidecar is not YAML, not of a known kind or version, or lacks a required entry."""

    code = "sidecar_unreadable"


class ScaleMissing(SidecarError):
    """The sidecar gives no number for a norm that is needed, and none was given instead."""

    code = "scale_missing"


class SidecarDrift(SidecarError):
    """The sidecar and the checkpoint, or the two sidecars of a pair, contradict each other."""

    code = "sidecar_drift"


class WrongRole(SidecarDrift):
    """A verbalizer was given where a reconstructor belongs, or the reverse."""

    code = "wrong_role"


class TokenizerDrift(SidecarDrift):
    """The tokenizer beside a checkpoint no longer produces the ids that the sidecar recorded."""

    code = "tokenizer_drift"


class PromptDrift(SidecarDrift):
    """The rendered prompt does not hold the injection slot where the sidecar says it is."""

    code = "prompt_drift"


class DepthDrift(SidecarDrift):
    """Layer indices contradict each other, or a reconstructor does not have one block more than its layer index."""

    code = "depth_drift"


class ModelError(LoupeError):
    """The model itself cannot be used as asked."""

    code = "model_error"


class UnsupportedModel(ModelError):
    """Blocks, norms or head of this architecture could not be found."""

    code = "unsupported_model"


class CertificationFailed(ModelError):
    """The hook points of a model disagree with its own hidden states."""

    code = "certification_failed"


class InterventionDidNotFire(ModelError):
    """An intervention was set up, but the forward pass never came by."""

    code = "intervention_did_not_fire"


class DeviceError(LoupeError):
    """Work on the device could not be done or was not finished."""

    code = "device_error"


class OutOfDeviceMemory(DeviceError):
    """The work does not fit; carries the numbers (bytes, where known) and what to change."""

    code = "out_of_device_memory"

    def __init__(
        self,
        message: str,
        *,
        advice: str,
        needed: int | None = None,
        available: int | None = None,
        holdings: dict[str, int] | None = None,
    ):
        super().__init__(f"{message} {advice}")
        self.advice = advice
        self.needed = needed
        self.available = available
        self.holdings = holdings or {}

    @property
    def details(self) -> dict[str, object]:
        """The numbers, for programs."""
        known = {"needed_bytes": self.needed, "available_bytes": self.available, "holdings": self.holdings or None}
        return {name: value for name, value in known.items() if value is not None}


class Cancelled(DeviceError):
    """The job was cancelled before it had a result."""

    code = "cancelled"


class DeviceClosed(DeviceError):
    """The device thread has been shut down and takes no more work."""

    code = "device_closed"
    retryable = True
