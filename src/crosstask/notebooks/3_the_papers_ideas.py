# %% [markdown]
# # 3. The papers' ideas, made visible
#
# DenseMTL lets the decoders of several tasks read each other's features: a target task attends to each
# source task (xTAM), and a learned scale alpha for each channel, 0 at first, decides how much of it is
# added. This notebook trains such a network in a plain PyTorch loop, and looks inside.

# %%
import os

import matplotlib.pyplot as plt
import torch
from torch.utils.data import DataLoader

import crosstask
from crosstask.data import ProceduralStreets
from crosstask.data.streets import STREET_CLASSES
from crosstask.models.flops import count_macs
from crosstask.predict.attention import AttentionReader
from crosstask.tasks import Depth, Segmentation

QUICK = "CROSSTASK_QUICK" in os.environ  # sizes of a test
STEPS, SIZE = (2, (32, 64)) if QUICK else (300, (96, 192))
ENCODER = "test_resnet" if QUICK else "resnet10t"

torch.manual_seed(0)
tasks = (Segmentation(STREET_CLASSES), Depth())
names = [task.name for task in tasks]
net = crosstask.create_model("densemtl", tasks, encoder=ENCODER, pretrained=False, width=0.25)
(level, exchange), *_ = [(int(key), block) for key, block in net.exchanges.items()]
print(
    f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M parameters, exchange at stride {2**level}"
)

# %% [markdown]
# ## Alpha over training
#
# The network begins as one without an exchange, because alpha is 0. If a direction helps, its alpha leaves 0.

# %%
streets = ProceduralStreets("train", tuple(names), size=SIZE, length=8 if QUICK else 400)
loader = DataLoader(streets, batch_size=4, shuffle=True)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
net.train()
history, step = [], 0
while step < STEPS:
    for batch in loader:
        outputs = net(batch["image"])
        loss = sum(
            task.loss(output, batch[task.name], batch["intrinsics"])
            for task in tasks
            for output in outputs[task.name]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append({d: float(alpha.abs().mean()) for d, alpha in exchange.alphas().items()})
        step += 1
        if step == STEPS:
            break

# %%
plt.figure(figsize=(7, 3))
for source, target in history[0]:
    plt.plot([alphas[source, target] for alphas in history], label=f"{target} reads {source}")
plt.xlabel("step")
plt.ylabel("mean |alpha|")
plt.legend()
plt.show()

# %% [markdown]
# ## Features before and after the exchange
#
# Channels are shown by their three main components as red, green and blue; the components are those of
# both images together, so that equal colours mean equal features. The difference is what was read.

# %%
seen = {}


def note(module, given, result):
    seen["before"], seen["after"] = given[0], result


net.eval()
sample = ProceduralStreets("val", tuple(names), size=SIZE, length=4)[1]
handle = exchange.register_forward_hook(note)
with torch.no_grad():
    plain = net(sample["image"][None])
handle.remove()


def as_colours(*features):
    """(C,H,W) features as (H,W,3) images of their three main components together."""
    flat = torch.cat([f.flatten(1).T for f in features])
    flat = flat - flat.mean(0)
    _, _, axes = torch.pca_lowrank(flat, q=3)
    shown = flat @ axes
    low, high = shown.quantile(0.02, 0), shown.quantile(0.98, 0)
    shown = ((shown - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    sizes = [f[0].numel() for f in features]
    return [s.view(*f.shape[1:], 3) for s, f in zip(shown.split(sizes), features, strict=True)]


figure, axes = plt.subplots(len(tasks), 3, figsize=(12, 2.2 * len(tasks)))
for row, name in zip(axes, names, strict=True):
    before, after = seen["before"][name][0], seen["after"][name][0]
    change = (after - before).norm(dim=0) / before.norm(dim=0).mean()
    images = (*as_colours(before, after), change)
    titles = (f"{name}: before", "after", f"change (at most {change.max():.2f} of the norm)")
    for axis, image, title in zip(row, images, titles, strict=True):
        axis.imshow(image)
        axis.set_title(title)
        axis.axis("off")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## Attention of a pixel between tasks
#
# Where does one task, at one pixel, read the other's features? The weights over all positions sum to 1.

# %%
row, column = SIZE[0] * 2 // 3, SIZE[1] // 2
reader = AttentionReader(net, sample["image"])
maps = reader.read(row, column)
figure, axes = plt.subplots(1, 1 + len(maps), figsize=(14, 2.6))
axes[0].imshow(sample["image"].permute(1, 2, 0))
axes[0].plot(column, row, "r+", markersize=14, markeredgewidth=2)
axes[0].set_title("the pixel")
for axis, found in zip(axes[1:], maps, strict=True):
    half, cells = found.cells_of_half
    axis.imshow(found.weights, cmap="magma")
    axis.set_title(f"{found.target} reads {found.source}\nhalf of it from {half} of {cells} cells")
for axis in axes:
    axis.axis("off")
plt.show()

# %% [markdown]
# Half of the weight on half of the cells means that attention is even: an average of the image, not a choice.
# That is what it often is after a short training, and a reason to distrust a beautiful map of one pixel.

# %% [markdown]
# ## Cutting one direction
#
# What was a direction worth? Put its mean in the place of what is read, and measure again. On all of the
# validation data `crosstask knockout RUN` does this.

# %%
validation = ProceduralStreets("val", tuple(names), size=SIZE, length=2 if QUICK else 32)
batch = next(iter(DataLoader(validation, batch_size=len(validation))))


@torch.no_grad()
def scores():
    outputs, found = net(batch["image"]), {}
    for task in tasks:
        metric = task.metric()
        metric.update(task.decode(outputs[task.name][-1], batch["intrinsics"]), batch[task.name])
        found[task.name] = float(metric.compute()[task.headline])
    return found


whole = scores()
with exchange.record_means():
    scores()
print(f"{'nothing cut':<34}", {name: round(value, 4) for name, value in whole.items()})
for source, target in exchange.alphas():
    with exchange.cut(source, target):
        cut = scores()
    print(f"{f'{target} no longer reads {source}':<34}", {k: round(v, 4) for k, v in cut.items()})

# %% [markdown]
# One network of one seed: a change of the last digit says nothing. `crosstask study exchange` asks over
# seeds, against a network of the same cost without an exchange.

# %% [markdown]
# ## What linear attention changes
#
# Attention of every task to every other costs the square of the tasks, and of the positions. `densemtl_linear`
# lets all tasks write to one common bus and read from it: its cost grows linearly with the tasks.

# %%
wide = {"a": 8, "b": 8, "c": 8, "d": 8, "e": 8, "f": 8}
for name in ("multi_task_matched", "densemtl", "densemtl_linear"):
    costs = []
    for number in (2, 4, 6):
        some = dict(list(wide.items())[:number])
        model = crosstask.create_model(name, some, encoder=ENCODER, pretrained=False, width=0.25)
        costs.append(count_macs(model, SIZE)["total"]["macs"] / 1e9)
    plt.plot((2, 4, 6), costs, marker="o", label=name)
plt.xlabel("tasks")
plt.ylabel("GMACs")
plt.legend()
plt.show()
