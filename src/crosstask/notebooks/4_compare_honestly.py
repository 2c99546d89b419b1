# %% [markdown]
# # 4. Compare architectures honestly
#
# "B is better than A" needs the same data, schedule and scenes, several seeds, a control of the same cost,
# and an interval. A study does that; this notebook runs a small one and reads its table.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from crosstask.cli import main
from crosstask.experiments.comparison.table import make_table

QUICK = "CROSSTASK_QUICK" in os.environ  # sizes of a test
SEEDS = "0" if QUICK else "0,1,2"
SIZES = ["--steps", "2", "--size", "32x64", "--encoder", "test_resnet", "--width", "0.0625",
         "--train-length", "4", "--val-length", "2", "--val-every", "2", "--batch-size", "2"] if QUICK else [
         "--steps", "300", "--size", "64x128", "--encoder", "resnet10t", "--width", "0.125",
         "--train-length", "400", "--val-every", "300"]  # fmt: skip

# %% [markdown]
# ## The rows
#
# * `multi_task_matched`: DenseMTL's decoders without an exchange. What an exchange is worth is measured here.
# * `densemtl`: the same with cross-task attention.
#
# A study of yours is a function that returns rows; this one is written to a file, and named on the command
# line as `FILE.py:NAME`. Only the exchange differs: the same optimiser (`matched`), steps and scenes.

# %%
Path("honest.py").write_text(
    """
from crosstask.experiments.studies import Row, Study

TASKS = ("segmentation", "depth")


def rows(setting):
    "Does the exchange help?"
    return [
        Row(name="without", architecture="multi_task_matched", tasks=TASKS),
        Row(name="densemtl", architecture="densemtl", tasks=TASKS),
    ]


HONEST = Study(name="honest", rows=rows, optimizer="matched", baseline="without")
"""
)
study = ["study", "honest.py:HONEST", "--seeds", SEEDS, "--output", "runs/honest", "--workers", "0",
         "--difficulty", "easy", "--no-pretrained", "--quiet", *SIZES]  # fmt: skip
assert main(study) == 0

# %% [markdown]
# ## The table
#
# Means over the seeds with their spread; the gain is paired by seed, since both rows of a seed see the same
# batches in the same order. With three seeds an interval is wide, and that is the finding: a gain whose
# interval holds 0 is no gain yet.

# %%
table = make_table(["runs/honest/honest.json"], cost=not QUICK)
for row in table.rows:
    for key in ("segmentation/miou", "depth/rmse"):
        values = ", ".join(f"{metrics[key]:.3f}" for metrics in row.metrics.values())
        print(f"{row.name:<10} {key:<18} {values}")
assert main(["table", "runs/honest/honest.json", "--no-cost", "--against", "without"]) == 0

# %% [markdown]
# ## The same images, side by side
#
# Numbers hide where they come from. Look at scenes that are chosen before looking: evenly spaced ones.

# %%
assert (
    main(
        [
            "compare",
            "runs/honest/honest.json",
            "--images",
            "--samples",
            "2",
            "--output",
            "compare.png",
        ]
    )
    == 0
)
plt.figure(figsize=(10, 8))
plt.imshow(Image.open("compare.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Before you believe a gain
#
# 1. Is it larger than the spread over seeds? Take five seeds, and scenes that training never validated on
#    (`--test-length 500`).
# 2. Does a wider network without an exchange gain as much? `crosstask study exchange` has that control.
# 3. Does `linear_probe` on the same encoder come close? Then neither network has learned much.
# 4. Was anything chosen on the data that is reported? `--select best` chooses on another split.
