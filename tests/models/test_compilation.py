"""What needs a process of its own: hash seeds, and compilation without the annotation checks."""

import os
import subprocess
import sys

HASHES = """
import hashlib, torch
from crosstask.models import create_model, list_models
torch.set_num_threads(1)
tasks = {"segmentation": 5, "depth": 1, "normals": 3, "edges": 2}
for name in list_models():
    torch.manual_seed(0)
    model = create_model(name, tasks, "test_resnet.r160_in1k", pretrained=False, width=0.125).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "alpha" in key:
                parameter.fill_(0.5)
        outputs = model(torch.rand(1, 3, 32, 32))
    text = repr([(t, [x.tolist() for x in outputs[t]]) for t in outputs if t in tasks])
    print(name, hashlib.sha256((text + repr(list(model.state_dict()))).encode()).hexdigest())
"""

COMPILED = """
import torch
from crosstask.models.exchanges.mteb import TaskExchange
from crosstask.models.exchanges.linear import LinearExchange
from crosstask.models.exchanges.n_to_one import NToOneExchange
from crosstask.models.networks.network import Network
from crosstask.models.decoders.densemtl import Decoder
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.exchanges.window import WindowExchange
torch.set_num_threads(1)

class Taps(torch.nn.Module):
    def forward(self, image):
        return [image[:, :, ::4, ::4], image[:, :, ::16, ::16]]

tasks = ("a", "b", "c")
kinds = {3: WindowExchange, 2: NToOneExchange, 1: TaskExchange, 0: LinearExchange}
encoder = Encoder(Taps(), (3, 3), (4, 16))
decoders = {t: Decoder((3, 3), (4, 16), 2, width=0.0625) for t in tasks}
exchanges = {level: kind(tasks, decoders["a"].widths[level], 4) for level, kind in kinds.items()}
model = Network(encoder, decoders, exchanges).eval()
compiled = torch.compile(model, fullgraph=True, backend="eager")
image = torch.rand(2, 3, 40, 56)
ours, truth = compiled(image), model(image)
assert all(torch.allclose(a, b, atol=1e-5) for t in tasks for a, b in zip(ours[t], truth[t]))
print("compiled")
"""


def start(code, **environment):
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=settings, stdout=subprocess.PIPE, text=True
    )


def test_equal_outputs_under_three_hash_seeds():
    processes = [start(HASHES, PYTHONHASHSEED=seed) for seed in ("0", "1", "2")]
    printed = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert printed[0].count("\n") >= 10
    assert printed[0] == printed[1] == printed[2]


def test_the_network_compiles_without_graph_breaks():
    process = start(COMPILED)
    printed = process.communicate()[0]
    assert process.returncode == 0
    assert "compiled" in printed
