"""Domain randomisation keeps labels true and changes the image only where it says."""

import torch

from crosstask.data import ProceduralStreets
from crosstask.data.streets import Street
from crosstask.data.transforms.domain_randomization import (
    BareBranches,
    Clutter,
    Foliage,
    RaggedRegions,
    RegionTextures,
    Sensor,
    fractal_noise,
    randomized,
)
from crosstask.data.transforms.tensor_types import unwrap, wrap
from crosstask.geometry.pinhole import edges_from_labels

BEHIND = (Street.BUILDING, Street.SKY)


def scene(index=0, size=(48, 96)):
    return ProceduralStreets("train", size=size, difficulty="hard", length=8, antialias=False)[
        index
    ]


def test_noise_has_zero_mean_and_unit_spread():
    torch.manual_seed(0)
    for roughness in (0.0, 0.5, 1.0):
        noise = fractal_noise(2, (40, 72), roughness)
        assert noise.shape == (2, 40, 72)
        torch.testing.assert_close(noise.mean((1, 2)), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(noise.std((1, 2)), torch.ones(2), atol=1e-4, rtol=0)
    torch.manual_seed(1)
    smooth = fractal_noise(1, (64, 64), 0.0)
    torch.manual_seed(1)
    rough = fractal_noise(1, (64, 64), 1.0)
    assert rough.diff().abs().mean() > 1.5 * smooth.diff().abs().mean()


def test_a_displaced_pixel_keeps_all_of_its_values_together():
    """Every map is set to one number a pixel, so that what belongs together can be seen."""
    sample = scene()
    number = torch.arange(48 * 96).view(1, 48, 96).float() + 1
    segmentation = torch.full((48, 96), int(Street.BUILDING))
    segmentation[10:30, 30:60] = Street.TREE
    segmentation[:, 90:] = segmentation[:, 60:64] = Street.CAR
    sample |= {"image": number.expand(3, -1, -1) / number.max(), "depth": number}
    sample |= {"segmentation": segmentation, "edges": edges_from_labels(segmentation[None])[0]}
    torch.manual_seed(0)
    step = RaggedRegions((Street.TREE,), BEHIND, reach=0.2, probability=1.0)
    moved = unwrap(step(wrap(sample)))
    torch.testing.assert_close(moved["image"][0] * number.max(), moved["depth"][0])
    origin = (moved["depth"][0] - 1).long()
    assert torch.equal(moved["segmentation"], segmentation.flatten()[origin])
    assert torch.equal(moved["edges"], edges_from_labels(moved["segmentation"][None])[0])
    assert not torch.equal(moved["segmentation"], segmentation), "the outline is another one"
    cars = segmentation == Street.CAR
    assert torch.equal(moved["segmentation"] == Street.CAR, cars), "a car keeps its shape"
    assert torch.equal(moved["depth"][0][cars], number[0][cars])
    assert torch.equal(moved["depth"][0, :, 70:], number[0, :, 70:]), (
        "nothing far from a tree moves"
    )


def test_without_such_a_region_nothing_happens():
    sample = wrap(scene())
    assert RaggedRegions((99,), BEHIND, probability=1.0)(sample) is sample
    assert RaggedRegions((Street.TREE,), BEHIND, probability=0.0)(sample) is sample


def test_textures_change_the_image_only():
    sample = scene()
    torch.manual_seed(0)
    changed = unwrap(RegionTextures(share=1.0)(wrap(sample)))
    assert not torch.equal(changed["image"], sample["image"])
    assert float(changed["image"].min()) >= 0 and float(changed["image"].max()) <= 1
    assert all(
        torch.equal(changed[k], v) for k, v in sample.items() if torch.is_tensor(v) and k != "image"
    )
    torch.manual_seed(0)
    assert torch.equal(unwrap(RegionTextures(share=0.0)(wrap(sample)))["image"], sample["image"])


def test_bare_branches_and_clutter_stay_within_their_classes():
    sample = scene()
    sample["segmentation"] = torch.full((48, 96), int(Street.BUILDING))
    sample["segmentation"][10:30, 30:60] = Street.TREE
    for step, label in (
        (BareBranches((Street.TREE,), Street.SKY, probability=1.0), Street.TREE),
        (Clutter((Street.BUILDING,), most=12), Street.BUILDING),
    ):
        torch.manual_seed(1)
        changed = unwrap(step(wrap(sample)))
        differs = (changed["image"] != sample["image"]).any(0)
        assert differs.any() and bool((sample["segmentation"][differs] == label).all())
        assert all(torch.equal(changed[k], sample[k]) for k in ("segmentation", "depth", "normals"))
    assert Clutter((Street.BUILDING,), most=0)(wrap(sample))["image"].equal(sample["image"])


def test_further_crowns_have_a_label_and_no_distance():
    sample = scene()
    torch.manual_seed(0)
    changed = unwrap(Foliage(Street.TREE, BEHIND, probability=1.0)(wrap(sample)))
    new = changed["segmentation"] != sample["segmentation"]
    assert new.any() and bool((changed["segmentation"][new] == Street.TREE).all())
    assert bool(torch.isin(sample["segmentation"][new], torch.tensor(BEHIND)).all())
    assert not changed["depth"][0][new].any() and not changed["normals"][:, new].any()
    assert torch.equal(changed["depth"][0][~new], sample["depth"][0][~new])
    assert torch.equal(changed["edges"], edges_from_labels(changed["segmentation"][None])[0])


def test_the_sensor_gives_an_image_in_range():
    for seed in range(6):
        torch.manual_seed(seed)
        image = Sensor()(wrap(scene()))["image"]
        assert image.dtype == torch.float32 and image.shape == (3, 48, 96)
        assert float(image.min()) >= 0 and float(image.max()) <= 1


def test_the_whole_chain_is_a_function_of_the_seed_and_moves_the_camera():
    transform = randomized(
        (32, 48),
        (Street.TREE,),
        BEHIND,
        (Street.BUILDING,),
        (Street.ROAD,),
        Street.SKY,
        scale=(2.0, 2.0),
    )
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(transform(scene()))
    assert all(torch.equal(results[0][k], v) for k, v in results[1].items() if torch.is_tensor(v))
    sample = results[0]
    assert sample["image"].shape == (3, 32, 48) and sample["depth"].shape == (1, 32, 48)
    grown = float(sample["intrinsics"][0, 0] / scene()["intrinsics"][0, 0])
    assert abs(grown - 2 * 32 / 48) < 0.05, "zoom 2 of the smallest size that covers the window"
