"""What is particular to single datasets: their traps, one by one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fakes.bsds500
import fakes.camvid
import fakes.cityscapes
import fakes.folder
import fakes.nyudv2
import fakes.pascal_context
import fakes.sevenscenes
import fakes.synthia
import fakes.vkitti2
from crosstask import data, geometry
from crosstask.data import transforms
from crosstask.data.files import read_image, read_png
from crosstask.data.sample import DataError
from fakes.png import write_png


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.cityscapes.write(tmp_path_factory.mktemp("cityscapes"))


# Files ----------------------------------------------------------------------------------------


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    """Pillow drops the low byte of 16-bit colour without a word; values below 256 become 0."""
    stored = np.array([[[3, 200, 0], [65535, 1, 256]]], dtype=np.uint16)
    path = tmp_path / "a.png"
    write_png(path, stored)
    assert np.array_equal(read_png(path, 16, (3,)).permute(1, 2, 0).numpy(), stored)
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(DataError, match="8 bits a channel; expected 16"):
        read_png(path, 16, (3,))


def test_wide_images_become_bytes(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.full((4, 5, 3), 40_000, dtype=np.uint16))
    image = read_image(tmp_path / "a.png")
    assert image.dtype == torch.uint8
    assert int(image[0, 0, 0]) == 40_000 >> 8


# Cityscapes -----------------------------------------------------------------------------------


def test_cityscapes_depth_by_hand(cityscapes: Path) -> None:
    """p = 2561 is d = 10 px; at full width 0.209313 * 2262.52 / 10 = 47.357 m."""
    dataset = data.Cityscapes(cityscapes, modalities=("depth",), mask_sky=False, mask_ego=False)
    frame = dataset.frames[0]
    stored = np.full((4, 2048), 2561, dtype=np.uint16)
    stored[0, :2] = 0, 1
    path = cityscapes / "full_disparity.png"
    write_png(path, stored)
    depth = dataset.load_depth(data.Frame(frame.name, {**frame.files, "depth": path}))
    assert depth[0, 1, 0].item() == pytest.approx(0.209313 * 2262.52 / 10)
    assert depth[0, 0, :3].tolist() == [0, 0, depth[0, 1, 0].item()]
    assert bool(torch.isfinite(depth).all())


def test_cityscapes_takes_each_frame_s_camera(cityscapes: Path) -> None:
    dataset = data.Cityscapes(cityscapes)
    by_city = {s["name"].split("_")[0]: s for s in (dataset[i] for i in range(len(dataset)))}
    scale = 128 / 2048
    assert by_city["aachen"]["intrinsics"][0, 0].item() == pytest.approx(2262.52 * scale)
    assert by_city["hamburg"]["intrinsics"][0, 0].item() == pytest.approx(2268.36 * scale)
    # integer coordinates at pixel centres: (519.277 + 0.5) / 16 - 0.5
    assert by_city["hamburg"]["intrinsics"][1, 2].item() == pytest.approx(31.98606, abs=1e-4)


def test_cityscapes_masks(cityscapes: Path) -> None:
    def depth(**options: object) -> torch.Tensor:
        return data.Cityscapes(cityscapes, modalities=("segmentation", "depth"), **options)[0][
            "depth"
        ]

    sky = data.Cityscapes(cityscapes, classes=19)[0]["segmentation"] == 10
    assert sky.any()
    assert not (depth()[0][sky] > 0).any()
    assert (depth(mask_sky=False)[0][sky] > 60).all()  # stereo's nonsense
    assert (depth(protocol="released")[0][sky] > 60).all()
    assert not (depth()[0, -3:, 2:] > 0).any()
    assert (depth(mask_ego=False)[0, -3:, 2:] > 0).all()
    assert float(depth(far=8.0).max()) <= 8.0


def test_cityscapes_small_fits_labels(tmp_path: Path) -> None:
    root = fakes.cityscapes.write(tmp_path, small=True)
    sample = data.Cityscapes(root, modalities=("segmentation", "depth", "neighbours"))[0]
    assert sample["segmentation"].shape == (32, 64)
    assert sample["neighbours"].shape == (2, 3, 32, 64)
    assert sample["intrinsics"][0, 0].item() == pytest.approx(2262.52 / 32)
    full = fakes.cityscapes.scene_of("aachen", 0, (64, 128))
    assert float(sample["depth"].max()) == pytest.approx(float(full.depth.max()), rel=0.02)


def test_cityscapes_neighbours(cityscapes: Path) -> None:
    dropped = data.Cityscapes(cityscapes, modalities=("neighbours",))
    assert [f.name for f in dropped.frames] == [f"aachen_{i:06d}_000019" for i in (0, 2)] + [
        "hamburg_000003_000019"
    ]
    kept = data.Cityscapes(cityscapes, modalities=("neighbours",), missing_neighbours="repeat")
    assert len(kept) == 4
    sample = next(kept[i] for i in range(4) if kept.frames[i].name.startswith("hamburg_000001"))
    assert torch.equal(sample["neighbours"][1], sample["image"])  # no successor
    assert torch.equal(sample["neighbours"][0], sample["image"].roll(-1, -1))


def test_cityscapes_with_only_some_archives(tmp_path: Path) -> None:
    root = fakes.cityscapes.write(tmp_path, sequences=False)
    shutil.rmtree(root / "disparity")
    assert data.Cityscapes(root).modalities == ("segmentation", "edges")
    with pytest.raises(DataError, match="disparity_trainvaltest"):
        data.Cityscapes(root, modalities=("depth",))
    with pytest.raises(DataError, match="leftImg8bit_sequence"):
        data.Cityscapes(root, modalities=("neighbours",))
    shutil.rmtree(root / "camera")
    assert float(data.Cityscapes(root)[0]["intrinsics"][0, 0]) == 0  # unknown, not guessed


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"extrinsic": {"baseline": 0.2}}', '{"extrinsic": 3}']
)
def test_cityscapes_malformed_camera(tmp_path: Path, content: str) -> None:
    root = fakes.cityscapes.write(tmp_path, train=1, val=0)
    path = next((root / "camera" / "train").rglob("*.json"))
    path.write_text(content)
    with pytest.raises(DataError, match=f"{path.name} is not a camera file"):
        data.Cityscapes(root)[0]
    good = {"extrinsic": {"baseline": 0}, "intrinsic": {"fx": 1, "fy": 1, "u0": 0, "v0": 0}}
    path.write_text(json.dumps(good))
    with pytest.raises(DataError, match="not above 0"):
        data.Cityscapes(root)[0]


def test_label_of_another_size_is_named(tmp_path: Path) -> None:
    root = fakes.cityscapes.write(tmp_path, train=1, val=0)
    path = next((root / "gtFine" / "train").rglob("*labelIds.png"))
    write_png(path, np.full((30, 128), 7, dtype=np.uint8))
    with pytest.raises(DataError, match=r"labelIds.png is 30x128, but .*leftImg8bit.png is 64x128"):
        data.Cityscapes(root, modalities=("segmentation",))[0]


# NYUDv2 ---------------------------------------------------------------------------------------


def test_nyu_editions_agree(tmp_path: Path) -> None:
    first = data.NYUDv2(fakes.nyudv2.write(tmp_path / "a", edition="NYUDv2"))[0]
    second = data.NYUDv2(fakes.nyudv2.write(tmp_path / "b", edition="NYUD_MT"))[0]
    for name in ("segmentation", "depth", "edges"):
        assert torch.equal(first[name], second[name])
    assert torch.allclose(first["normals"], second["normals"], atol=0.01)
    assert bool((first["normals"][:, :4] == 0).all())  # grey 127 is "none", not a direction


def test_nyu_camera_by_hand() -> None:
    """Crop (45, 40) of 480x640: the principal point moves to 285.58245, 208.73617."""
    from crosstask.data.datasets.nyudv2 import camera_of

    expected = torch.tensor([[518.8579, 0, 285.58245], [0, 519.46961, 208.73617], [0, 0, 1]])
    assert torch.allclose(camera_of((425, 560)), expected)
    assert float(camera_of((480, 640))[0, 2]) == pytest.approx(325.58245)
    assert float(camera_of((240, 320))[0, 0]) == pytest.approx(518.8579 / 2)


@pytest.mark.parametrize(("axes", "stored"), [("nyud", (0, -1, -1)), ("eigen", (0, -1, 1)), ("ladicky", (-1, -1, 0)), ("camera", (0, -1, -1))])  # fmt: skip
def test_axis_conventions_by_hand(axes: str, stored: tuple[int, int, int]) -> None:
    """A slope that faces up and to the camera, and what each package would have stored."""
    from crosstask.data.axes import to_camera_axes

    ours = {"nyud": (0, 1, 1), "eigen": (0, -1, -1), "ladicky": (0, -1, -1), "camera": (0, -1, -1)}[
        axes
    ]
    unit = torch.tensor(stored, dtype=torch.float32).view(3, 1, 1) / 2**0.5
    result = to_camera_axes(unit, axes).flatten() * 2**0.5
    assert torch.allclose(result, torch.tensor(ours, dtype=torch.float32))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, 0.2])
def test_stored_vectors_that_are_no_directions_are_unknown(value: float) -> None:
    from crosstask.data.axes import to_camera_axes

    stored = torch.zeros(3, 1, 2)
    stored[2], stored[2, 0, 1] = -3.0, value
    assert to_camera_axes(stored, "camera")[:, 0].tolist() == [[0, 0], [0, 0], [-1, 0]]


@pytest.mark.parametrize("axes", ["eigen", "ladicky", "camera"])
def test_wrong_axes_are_found(tmp_path: Path, axes: str) -> None:
    from crosstask.data.axes import CONVENTIONS
    from crosstask.data.tools.findings import Findings
    from crosstask.data.tools.inspection import compare_normals, inspect

    root = fakes.nyudv2.write(tmp_path, train=3)
    for given in (axes, "nyud"):
        dataset = data.NYUDv2(root, axes=given)
        total = Findings()
        for part in inspect(dataset, range(3)):
            total.add(part)
        report = compare_normals(dataset, total)
        assert report is not None
        assert report.best == CONVENTIONS["nyud"]
        assert report.wrong == (given != "nyud")
        assert report.best_angle < 3


def test_nyu_normals_and_edges_without_files(tmp_path: Path) -> None:
    root = fakes.nyudv2.write(tmp_path)
    stored = data.NYUDv2(root)[0]
    computed = data.NYUDv2(root, normals="depth", edges="labels", smoothing=0)[0]
    both = (stored["normals"].norm(dim=0) > 0) & (computed["normals"].norm(dim=0) > 0)
    cosine = (stored["normals"] * computed["normals"]).sum(0)[both]
    assert float(cosine.median()) > 0.999
    assert float((computed["edges"] == 1).float().mean()) > 0.01
    shutil.rmtree(root / "normals")
    assert torch.equal(data.NYUDv2(root, smoothing=0)[0]["normals"], computed["normals"])
    with pytest.raises(DataError, match="normals"):
        data.NYUDv2(root, normals="file", modalities=("normals",))


def test_nyu_margins_are_closed_for_edges_alone(tmp_path: Path) -> None:
    """Void three pixels wide along every boundary, as in the official labels."""
    root = fakes.nyudv2.write(tmp_path)
    shutil.rmtree(root / "edge")
    whole = data.NYUDv2(root)[0]["edges"]
    path = root / "segmentation" / f"{data.NYUDv2(root).frames[0].name}.png"
    ids = np.array(Image.open(path))
    beside = geometry.edges_from_labels(torch.from_numpy(ids.astype(np.int64)), void=-1)
    grown = torch.nn.functional.max_pool2d(beside, 3, 1, 1)[0].bool().numpy()
    ids[grown & (np.arange(len(ids)) > 3)[:, None]] = 0
    Image.fromarray(ids).save(path)
    lost, closed = data.NYUDv2(root, margin=0)[0], data.NYUDv2(root)[0]
    count = [int((edges == 1).sum()) for edges in (whole, lost["edges"], closed["edges"])]
    assert count[1] < 0.2 * count[0] and 0.8 * count[0] < count[2] < 1.1 * count[0]
    assert torch.equal(closed["segmentation"], lost["segmentation"])
    assert bool((closed["segmentation"].numpy()[4:][grown[4:]] == 255).all())
    halved = data.NYUDv2(root, transform=transforms.evaluation((42, 56)))[0]
    assert set(halved) == set(closed)
    assert bool((halved["edges"] == 1).any())


# SYNTHIA and Virtual KITTI 2 --------------------------------------------------------------------


def test_synthia_label_formats_agree(tmp_path: Path) -> None:
    first = data.Synthia(fakes.synthia.write(tmp_path / "a"), "all")
    second = data.Synthia(fakes.synthia.write(tmp_path / "b", labels="grey8"), "all")
    assert torch.equal(first[0]["segmentation"], second[0]["segmentation"])
    path = first.frames[0].files["segmentation"]
    Image.open(path).convert("RGB").save(path)  # what saving with Pillow leaves
    with pytest.raises(DataError, match=r"8 bits and 3 channels.*drops 16 bits"):
        first[0]


def test_synthia_splits_are_disjoint(tmp_path: Path) -> None:
    root = fakes.synthia.write(tmp_path, train=8, val=2)
    names = [
        {f.name for f in data.Synthia(root, split).frames} for split in ("train", "val", "all")
    ]
    assert not names[0] & names[1]
    assert names[0] | names[1] == names[2]
    assert len(names[0]) == 8


@pytest.mark.parametrize("channel", [0, 2])
def test_synthia_depth_in_any_channel(tmp_path: Path, channel: int) -> None:
    root = fakes.synthia.write(tmp_path, train=1, val=1)
    dataset = data.Synthia(root, "all")
    path = dataset.frames[0].files["depth"]
    stored = np.zeros((76, 128, 3), dtype=np.uint16)
    stored[..., channel] = 1234
    stored[0, 0, channel] = 65535
    write_png(path, stored)
    depth = dataset[0]["depth"]
    assert depth[0, 1, 1].item() == pytest.approx(12.34)
    assert depth[0, 0, 0].item() == 0
    released = data.Synthia(root, "all", protocol="released")[0]["depth"]
    assert released[0, 0, 0].item() == pytest.approx(655.35)


def test_vkitti2_sky(tmp_path: Path) -> None:
    root = fakes.vkitti2.write(tmp_path)
    sky = data.VirtualKITTI2(root)[0]["segmentation"] == 1
    assert sky.any()
    assert not (data.VirtualKITTI2(root)[0]["depth"][0][sky] > 0).any()
    released = data.VirtualKITTI2(root, protocol="released", far=80.0)[0]["depth"][0][sky]
    assert torch.allclose(released, torch.tensor(655.35))


def test_vkitti2_variations_stay_on_one_side(tmp_path: Path) -> None:
    root = fakes.vkitti2.write(
        tmp_path, train=20, val=20, variations=("15-deg-left", "fog"), cameras=(0, 1)
    )
    options = {"variations": ("15-deg-left", "fog"), "cameras": (0, 1)}
    for split_by in ("frame", "block", "scene"):
        moments = [
            {
                f.info["moment"]
                for f in data.VirtualKITTI2(root, split, split_by=split_by, **options).frames
            }
            for split in ("train", "val")
        ]
        assert not moments[0] & moments[1]
    assert len(data.VirtualKITTI2(root, "all", **options)) == 160
    assert len(data.VirtualKITTI2(root, "all")) == 40  # the paper's subset
    with pytest.raises(DataError, match="snow"):
        data.VirtualKITTI2(root, variations=("snow",))
    alone = data.VirtualKITTI2(root, "all", variations="fog", cameras=1)
    assert {(f.info["variation"], f.info["camera"]) for f in alone.frames} == {("fog", 1)}


def test_vkitti2_of_another_variation(tmp_path: Path) -> None:
    root = fakes.vkitti2.write(tmp_path, train=2, val=2, variations=("clone",))
    told = (
        r"no frames of 15-deg-left.*found: clone \(cameras 0\); give `variations`.*variations=clone"
    )
    with pytest.raises(DataError, match=told):
        data.VirtualKITTI2(root)
    assert len(data.VirtualKITTI2(root, "all", variations="clone")) == 4


@pytest.mark.parametrize("inverted", [False, True])
def test_vkitti2_poses(tmp_path: Path, inverted: bool) -> None:
    """A world point seen from both frames; also when the file holds camera to world."""
    root = fakes.vkitti2.write(tmp_path)
    if inverted:
        for path in root.rglob("extrinsic.txt"):
            lines = path.read_text().splitlines()
            rows = [line.split() for line in lines[1:]]
            turned = [np.linalg.inv(np.array(r[2:], float).reshape(4, 4)).flatten() for r in rows]
            body = [
                f"{r[0]} {r[1]} " + " ".join(f"{v:.9g}" for v in m)
                for r, m in zip(rows, turned, strict=True)
            ]
            path.write_text("\n".join([lines[0], *body]))
    dataset = data.VirtualKITTI2(root, "all", modalities=("neighbours", "poses"))
    sample = dataset[1]
    number = dataset.frames[1].info["number"]
    point = np.array([0.5, 0.2, 20.0, 1.0])
    here = fakes.vkitti2.world_to_camera(number, 0) @ point
    for k, offset in enumerate((-1, 1)):
        there = fakes.vkitti2.world_to_camera(number + offset, 0) @ point
        assert np.allclose(sample["poses"][k].numpy() @ here, there, atol=1e-4)


def test_vkitti2_labels_lie_elsewhere(tmp_path: Path) -> None:
    root = fakes.vkitti2.write(tmp_path, side_by_side=True)
    shutil.rmtree(root / "vkitti_2.0.3_classSegmentation")
    assert data.VirtualKITTI2(root).modalities == ("depth", "normals")
    with pytest.raises(DataError, match="classSegmentation"):
        data.VirtualKITTI2(root, modalities=("segmentation",))


# PASCAL-Context, 7-Scenes, BSDS500, folders ------------------------------------------------------


def test_human_parts(tmp_path: Path) -> None:
    root = fakes.pascal_context.write(tmp_path)
    dataset = data.PascalContext(
        root, "train", modalities=("segmentation", "human_parts", "saliency")
    )
    sample = dataset[0]
    person = sample["segmentation"] == 15
    assert set(sample["human_parts"][person].tolist()) <= {1, 2}  # hair is head, torso
    assert set(sample["human_parts"].unique().tolist()) == {0, 1, 2}
    assert torch.equal(sample["saliency"][0] == 1, sample["human_parts"] > 0)
    nobody = data.PascalContext(root, "val", modalities=("human_parts",))[1]
    assert bool((nobody["human_parts"] == 255).all())


def test_pascal_normals_of_some_classes(tmp_path: Path) -> None:
    root = fakes.pascal_context.write(tmp_path)
    kept = fakes.pascal_context.LABEL_MAP[2]  # the left wall
    normals = data.PascalContext(root, normal_ids=[int(kept)])[0]["normals"]
    labelled = normals.norm(dim=0) > 0
    scene = fakes.pascal_context.scene_of(0)
    assert torch.equal(labelled, torch.from_numpy(scene.regions == 2))
    assert torch.allclose(normals[:, labelled].T, torch.tensor([1.0, 0.0, 0.0]), atol=0.01)


def test_sevenscenes_is_split_by_time(tmp_path: Path) -> None:
    root = fakes.sevenscenes.write(tmp_path, train=15, val=5)
    train = [f.name for f in data.SevenScenes(root, "train", gap=2).frames]
    val = [f.name for f in data.SevenScenes(root, "val", gap=2).frames]
    assert max(train) < min(val)
    assert (len(train), len(val)) == (14, 4)
    with pytest.raises(DataError, match="no test"):
        data.SevenScenes(root, "test")


def test_sevenscenes_poses(tmp_path: Path) -> None:
    root = fakes.sevenscenes.write(tmp_path)
    sample = data.SevenScenes(root, gap=1, modalities=("neighbours", "poses"))[0]
    point = np.array([0.3, -0.2, 3.0, 1.0])
    world = fakes.sevenscenes.camera_to_world(1) @ point
    expected = np.linalg.inv(fakes.sevenscenes.camera_to_world(2)) @ world
    assert np.allclose(sample["poses"][1].numpy() @ point, expected, atol=1e-5)


def test_bsds500_annotators(tmp_path: Path) -> None:
    root = fakes.bsds500.write(tmp_path)
    dataset = data.BSDS500(root)
    drawn = fakes.bsds500.annotators(fakes.bsds500.scene_of(0))
    lines = np.stack([fakes.bsds500.lines(regions) for regions in drawn])
    assert np.array_equal(dataset.load_annotations(dataset.frames[0]).numpy(), lines)
    everyone = torch.stack([data.BSDS500(root, annotator=k)[0]["edges"][0] for k in range(3)])
    assert bool((everyone.sum((1, 2)).numpy() > 1.5 * lines.sum((1, 2))).all())  # two pixels wide
    share = everyone.mean(0)
    strict = data.BSDS500(root, consensus=1.0)[0]["edges"][0]
    assert torch.equal(strict == 1, share == 1)
    assert torch.equal(strict == 255, (share > 0) & (share < 1))
    assert torch.equal(strict == 0, share == 0)
    anyone = data.BSDS500(root, consensus=0.01)[0]["edges"][0]
    assert torch.equal(anyone == 1, share > 0)


def test_bsds500_lines_are_the_files_own(tmp_path: Path) -> None:
    from scipy.io import savemat

    dataset = data.BSDS500(fakes.bsds500.write(tmp_path))
    frame = dataset.frames[0]
    entry = np.zeros((1, 1), dtype=[("Segmentation", object)])
    entry[0, 0] = (fakes.bsds500.annotators(fakes.bsds500.scene_of(0))[0],)
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = entry
    savemat(frame.files["edges"], {"groundTruth": cell})
    assert bool((dataset[0]["edges"] == 1).any())
    with pytest.raises(DataError, match="`groundTruth` with `Boundaries`"):
        dataset.load_annotations(frame)


def test_smoothing_leaves_planes_alone() -> None:
    """A plane with millimetre steps: its normal gets clearly better, its depth stays."""
    from crosstask.data.derive import depth_to_normals, smooth_depth
    from crosstask.data.sample import intrinsics_matrix

    camera = intrinsics_matrix(300.0, 300.0, 40.0, 30.0)
    rays = geometry.unproject(torch.ones(1, 1, 60, 80), camera[None])[0]
    normal = torch.tensor([0.6, 0.0, -0.8])
    exact = -2.0 / (normal.view(3, 1, 1) * rays).sum(0, keepdim=True)
    stepped = (exact * 1000).round() / 1000
    errors = []
    for radius in (0, 2):
        smooth = smooth_depth(stepped, radius)
        assert torch.allclose(smooth, exact, atol=0.002)
        normals = depth_to_normals(smooth, camera, (60, 80))
        inner = normals[:, 5:-5, 5:-5].reshape(3, -1)
        errors.append(float((normal @ inner).clamp(max=1).acos().rad2deg().mean()))
    assert errors[1] < 0.35 * errors[0]
    assert errors[1] < 1.0


def test_folder_of_partial_labels(tmp_path: Path) -> None:
    root = fakes.folder.write(tmp_path)
    dataset = data.FolderDataset(root, "all")
    assert dataset.modalities == ("segmentation", "depth", "normals", "edges")
    assert dataset.classes is not None
    assert dataset.classes.names[2] == "left wall"
    assert dataset.classes.colors[2] == (80, 175, 90)
    for index in range(len(dataset)):
        sample = dataset[index]
        assert bool((sample["segmentation"] != 255).any()) == (index % 2 == 0)
        assert bool((sample["depth"] > 0).any()) == (index % 3 != 0)
    truth = fakes.folder.scene_of(1).depth
    assert np.allclose(dataset[1]["depth"][0].numpy(), truth, atol=1e-6)
    assert np.allclose(dataset[2]["depth"][0].numpy(), fakes.folder.scene_of(2).depth, atol=6e-4)
    assert float(dataset[0]["intrinsics"][1, 1]) == 58.0


def test_folder_errors(tmp_path: Path) -> None:
    root = fakes.folder.write(tmp_path)
    write_png(root / "segmentation" / "nobody.png", np.zeros((48, 64), np.uint8))
    with pytest.raises(DataError, match=r"nobody.png has no image"):
        data.FolderDataset(root)
    (root / "segmentation" / "nobody.png").unlink()
    (root / "depth" / "photo_01.txt").write_text("1")
    with pytest.raises(DataError, match=r"suffix '.txt'; expected .npy or "):
        data.FolderDataset(root)
    (root / "depth" / "photo_01.txt").unlink()
    write_png(root / "segmentation" / "photo_00.png", np.full((48, 64), 6, np.uint8))
    with pytest.raises(DataError, match=r"photo_00.png holds the label value 6"):
        data.FolderDataset(root, "all")[0]
    (root / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt"):
        data.FolderDataset(root)
    (root / "intrinsics.txt").write_text("60 58 30")
    with pytest.raises(DataError, match="expected fx fy cx cy"):
        data.FolderDataset(root, modalities=("depth",))[0]


def test_folder_splits(tmp_path: Path) -> None:
    root = fakes.folder.write(tmp_path)
    train = {f.name for f in data.FolderDataset(root).frames}
    val = {f.name for f in data.FolderDataset(root, "val").frames}
    assert (len(train), len(val)) == (8, 2)
    assert not train & val
    (root / "splits").mkdir()
    (root / "splits" / "train.txt").write_text("photo_03\nphoto_01\n")
    assert [f.name for f in data.FolderDataset(root).frames] == ["photo_01", "photo_03"]
    with pytest.raises(DataError, match=r"needs .*val.txt"):
        data.FolderDataset(root, "val")
    (root / "splits" / "val.txt").write_text("photo_99\n")
    with pytest.raises(DataError, match="photo_99"):
        data.FolderDataset(root, "val")
