# %% [markdown]
# # 2. Your data
#
# From a folder of images and labels to a trained network. Labels may be missing for any image and any task:
# each loss counts its own labelled pixels only.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import crosstask
from crosstask.cli import main
from crosstask.data import ProceduralStreets

QUICK = "CROSSTASK_QUICK" in os.environ  # sizes of a test
STEPS, IMAGES = (2, 6) if QUICK else (300, 80)

# %% [markdown]
# ## The tree
#
# `images/NAME.png`, and for each label that you have a folder named as its task: class ids as PNG, depth as
# 16-bit PNG in millimetres. Here it is written from rendered streets; yours comes from a camera. Every
# third image has no depth, as after a sensor that was not always there.

# %%
ROOT = Path("mine")
streets = ProceduralStreets("train", ("segmentation", "depth"), size=(64, 128), length=IMAGES)
for folder in ("images", "segmentation", "depth"):
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
for index in range(IMAGES):
    sample, name = streets[index], f"{index:03d}.png"
    pixels = (255 * sample["image"].permute(1, 2, 0)).round().to("cpu").numpy().astype(np.uint8)
    Image.fromarray(pixels).save(ROOT / "images" / name)
    Image.fromarray(sample["segmentation"].numpy().astype(np.uint8)).save(
        ROOT / "segmentation" / name
    )
    if index % 3:
        millimetres = (1000 * sample["depth"][0]).clamp(0, 65535).numpy().astype(np.uint16)
        Image.fromarray(millimetres).save(ROOT / "depth" / name)
(ROOT / "classes.txt").write_text("\n".join(streets.classes.names))

# %% [markdown]
# ## Look before training
#
# `data check` reads every file and says by which rule; what is wrong with labels is cheap to find here and
# dear to find after a training. `data preview` draws samples with their holes.

# %%
assert main(["data", "check", "folder", "--root", str(ROOT)]) == 0

# %%
assert main(["data", "preview", "folder", "--root", str(ROOT), "--split", "train", "--count", "3",
             "--output", "preview"]) == 0  # fmt: skip
plt.figure(figsize=(9, 6))
plt.imshow(Image.open(next(Path("preview").glob("*.png"))))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Train, score, predict
#
# The same as `crosstask train folder.supervised --root mine --run runs/mine ...`. For photographs leave
# `encoder` and `pretrained` out: the pretrained encoder of `crosstask[weights]` is worth more than any
# number of steps.

# %%
options = {"encoder": "test_resnet" if QUICK else "resnet10t", "pretrained": False, "width": 0.125}
scores = crosstask.train(
    "folder.supervised", run="runs/mine", root=str(ROOT), tasks="segmentation,depth", size="64x128",
    architecture="densemtl", steps=STEPS, workers=0, progress=False, **options,
)  # fmt: skip
for key in ("segmentation/miou", "depth/abs_rel"):
    print(f"{key:<20} {scores[key]:.3f}   constant prediction: {scores[f'trivial/{key}']:.3f}")

# %%
plt.figure(figsize=(12, 6))
plt.imshow(Image.open("runs/mine/panel.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# A number means something beside a simpler predictor only: the table gives the constant one, `--architecture
# linear_probe` the one that a frozen encoder allows. Notebook 4 compares networks.
