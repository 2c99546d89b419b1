"""Stored features: found by what they were computed from, whole or absent, shared by processes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from crosstask.data.features import (
    FEATURES,
    PRESENT,
    FeatureStore,
    StoredFeatures,
    encoder_digest,
)
from crosstask.data.sample import DataError
from crosstask.models import create_encoder, create_model
from crosstask.models.encoders.encoder import Encoder
from fakes.scenes import Scenes

MAPS = [torch.arange(24).reshape(2, 3, 4).half(), torch.ones(1, 1, 2).half()]
IMAGE = torch.linspace(0, 1, 3 * 32 * 64).reshape(3, 32, 64)


def encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return create_encoder("resnet10t", pretrained=False)


def filled(folder: Path, module: nn.Module | None = None) -> tuple[FeatureStore, str]:
    store = FeatureStore(folder, module or encoder())
    key = store.key(IMAGE)
    store.write(key, MAPS)
    return store, key


def same(found: list[Tensor] | None) -> bool:
    return found is not None and all(map(torch.equal, found, MAPS))


def test_what_was_written_is_read_by_another_process_with_the_same_weights(tmp_path: Path) -> None:
    store, key = filled(tmp_path / "new/folder")
    other = FeatureStore(tmp_path / "new/folder", encoder())
    assert same(other.read(key)) and other.count(store.size(MAPS)) == 1
    assert store.path(key).stat().st_size == store.size(MAPS)


@pytest.mark.parametrize("where", [0, 60, -200, -1])
def test_any_flipped_byte_or_cut_makes_a_file_absent(tmp_path: Path, where: int) -> None:
    """Bytes that no reader looks at may flip; then the content is still the same."""
    store, key = filled(tmp_path)
    path = store.path(key)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[where] ^= 0xFF
    path.write_bytes(damaged)
    assert store.read(key) is None or same(store.read(key))
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert store.read(key) is None


def test_a_damaged_value_is_noticed(tmp_path: Path) -> None:
    store, key = filled(tmp_path)
    content = bytearray(store.path(key).read_bytes())
    place = bytes(content).find(MAPS[0].numpy().tobytes())
    content[place + 5] ^= 1
    store.path(key).write_bytes(content)
    assert store.read(key) is None


def test_other_weights_never_share_a_file(tmp_path: Path) -> None:
    store, key = filled(tmp_path)
    other = FeatureStore(tmp_path, encoder(1))
    assert other.read(key) is None and other.others() == 1
    other.path(key).write_bytes(store.path(key).read_bytes())  # copied by hand
    assert other.read(key) is None


def test_a_file_under_another_images_name_is_not_read(tmp_path: Path) -> None:
    store, key = filled(tmp_path)
    moved = store.key(IMAGE + 0.001)
    store.path(key).rename(store.path(moved))
    assert store.read(moved) is None and store.read(key) is None


def test_the_digest_is_of_all_that_decides_the_features() -> None:
    first = encoder()
    digests = {encoder_digest(first), encoder_digest(encoder(1))}
    first.normalize_with("released")
    digests.add(encoder_digest(first))
    torch.manual_seed(0)
    dilated = create_encoder("resnet10t", pretrained=False, output_stride=32)
    digests.add(encoder_digest(dilated))
    assert len(digests) == 4
    assert encoder_digest(encoder()) == encoder_digest(encoder())


def test_the_pyramid_of_a_plain_transformer_is_not_part_of_it() -> None:
    plain = create_encoder("vit_tiny_patch16_224", pretrained=False)
    before, image = encoder_digest(plain), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = plain.pretrained_maps(image)
        plain.backbone.pyramid.norms[0].bias += 1  # type: ignore[union-attr,index]
        plain.eval()
        expected = plain(image)
    assert encoder_digest(plain) == before
    assert all(map(torch.equal, plain.from_pretrained(maps), expected))


@pytest.mark.parametrize("name", ["densemtl", "single_task_matched", "mti_net", "linear_probe"])
def test_the_halves_of_a_network_are_the_network(name: str) -> None:
    tasks = {"segmentation": 3, "depth": 1}
    net = create_model(name, tasks, encoder="resnet10t", pretrained=False, width=0.34).eval()
    image = torch.rand(1, 3, 40, 72)
    with torch.no_grad():
        whole, halves = net(image), net.decode_frozen(net.encode_frozen(image), (40, 72))
    assert all(map(torch.equal, whole["depth"], halves["depth"]))


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(DataError, match="neither empty nor a folder of stored features"):
        FeatureStore(tmp_path, encoder())
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/features.json").write_text('{"format": 0}')
    with pytest.raises(DataError, match="another version"):
        FeatureStore(tmp_path / "cache", encoder())


def test_samples_say_whether_their_features_were_there(tmp_path: Path) -> None:
    scenes = Scenes(3)
    store = FeatureStore(tmp_path, encoder())
    store.write(store.key(scenes[1]["image"]), MAPS)
    data = StoredFeatures(scenes, store, [x.shape for x in MAPS], until=10)
    assert [data[i][PRESENT] for i in range(3)] == [False, True, False]
    assert same(data.at(9, 1)[FEATURES]) and not data[0][FEATURES][0].any()
    assert FEATURES not in data.at(10, 1)
