# %% [markdown]
# # 1. Predict and look
#
# One image in; classes, depth, surface normals and edges out, with `streets`, the model that comes with
# crosstask. Seconds on a CPU; no training, no download.

# %%
import matplotlib.pyplot as plt
import torch

import crosstask
from crosstask.data import ProceduralStreets
from crosstask.predict.views import point_cloud, read_pixel, save_cloud, task_image

model = crosstask.load("streets")
print("tasks:", [task.name for task in model.tasks], "- camera-aware:", model.camera_aware)

# %% [markdown]
# An image to start with: a rendered street that the model has never seen. Put the path of a photograph of
# yours in `PHOTO` instead, with its horizontal field of view in degrees (a phone held upright has about 50,
# held across about 65).

# %%
PHOTO, FIELD_OF_VIEW = None, 65.0

if PHOTO is None:
    sample = ProceduralStreets("test", ("depth",), size=(192, 384), difficulty="hard", length=4)[2]
    scene = model.predict(sample["image"], sample["intrinsics"])
else:
    scene = model.predict(PHOTO, fov=FIELD_OF_VIEW)

# %%
figure, axes = plt.subplots(1, 1 + len(model.tasks), figsize=(18, 3))
axes[0].imshow(scene.image.permute(1, 2, 0))
axes[0].set_title("image")
for axis, task in zip(axes[1:], model.tasks, strict=True):
    axis.imshow(task_image(scene, task).permute(1, 2, 0))
    axis.set_title(f"{task.name} {scene.kind(task)}")
for axis in axes:
    axis.axis("off")
plt.tight_layout()
plt.show()

# %% [markdown]
# Every value has a unit. `kind` says in which sense depth is metric: a known focal length makes it metres.

# %%
height, width = scene.image.shape[-2:]
for reading in read_pixel(scene, model.tasks, row=3 * height // 4, column=width // 2):
    print(f"{reading.task:>13}: {reading.text}")
print("depth is", scene.depth_kind, "- focal length from", scene.camera_source or "nowhere")

# %% [markdown]
# Where the truth is known, an error can be looked at rather than summed up: how far off is each pixel?

# %%
if PHOTO is None:
    truth, found = sample["depth"][0], scene["depth"][0]
    error = torch.where(truth > 0, (found - truth).abs() / truth.clamp(min=1e-3), torch.nan)
    plt.figure(figsize=(7, 3))
    plt.imshow(error, cmap="magma", vmin=0, vmax=0.5)
    plt.colorbar(label="relative error of depth")
    plt.axis("off")
    plt.show()
    print(f"median {100 * error.nanmedian():.1f} % (a rendered street is easier than a photograph)")

# %% [markdown]
# The scene in space: `street.ply` opens in MeshLab, Blender or CloudCompare; `crosstask serve` turns it in
# the browser.

# %%
print(save_cloud("street.ply", point_cloud(scene, model.tasks)), "points in street.ply")
