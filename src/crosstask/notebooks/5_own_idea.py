# %% [markdown]
# # 5. From an own idea to a table
#
# `idea.py`, which `crosstask notebook` puts beside this notebook, holds an own task (corners of cards as a heat
# map), dataset, exchange, recipe and study. The page "From an own idea to a table" of the documentation
# explains it part by part; here it runs.

# %%
import os

import idea
import matplotlib.pyplot as plt
from PIL import Image

from crosstask.cli import main
from crosstask.tasks import Segmentation

QUICK = "CROSSTASK_QUICK" in os.environ  # sizes of a test
SIZES = ["--steps", "2", "--encoder", "test_resnet", "--width", "0.0625"] if QUICK else []

idea.draw("cards", (("train", 6), ("val", 2)) if QUICK else (("train", 200), ("val", 40)))
assert main(["data", "check", "idea.py:Cards", "--root", "cards"]) == 0

# %% [markdown]
# A sample as the network gets it: the image, the classes, the heat map.

# %%
sample = idea.Cards("cards", "train", ("segmentation", "corners"))[0]
classes, corners = (
    Segmentation(sample_classes := idea.Cards("cards", "train").classes),
    idea.Corners(),
)
shown = (
    sample["image"],
    classes.colorize(sample["segmentation"]),
    corners.colorize(sample["corners"]),
)
figure, axes = plt.subplots(1, 3, figsize=(12, 3))
for axis, image in zip(axes, shown, strict=True):
    axis.imshow(image.permute(1, 2, 0))
    axis.axis("off")
plt.show()
print("classes:", ", ".join(sample_classes.names))

# %% [markdown]
# The study: no exchange, cross-task attention, and the own exchange, the same otherwise. Interrupted, it
# continues where it was.

# %%
assert (
    main(["study", "idea.py:IDEA", "--seeds", "0", "--output", "runs/idea", "--quiet", *SIZES]) == 0
)
assert main(["table", "runs/idea/idea.json", "--trust"]) == 0

# %%
compare = [
    "compare",
    "runs/idea/idea.json",
    "--images",
    "--samples",
    "2",
    "--output",
    "idea.png",
    "--trust",
]
assert main(compare) == 0
plt.figure(figsize=(10, 6))
plt.imshow(Image.open("idea.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# What each direction of the own exchange is worth: cut it, and measure (`knockout`).

# %%
assert main(["knockout", "runs/idea/gates.S-Corners.seed0", "--trust"]) == 0
