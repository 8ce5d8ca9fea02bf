# %% [markdown]
# # Compose, train for a minute, predict
#
# A notebook in plain Python: cells begin with `# %%`, which VS Code, PyCharm and Jupyter (with jupytext) show as such.
# As a script: `python examples/compose.py`. It needs `pip install "paddleseg-ext[cpu,demo]"` and draws its own data.

# %%
from pathlib import Path

import paddleseg_ext
from paddleseg_ext.training.build import build_trainer, run_config
from paddleseg_ext.visualization.draw import save_color

ITERS = 40  # about a minute on two cores
FOLDER = Path("output/compose")

# %% [markdown]
# One file describes the run: here the quick start's, with another head. JPU makes a map of stride 8 from a backbone of
# stride 32, and criss-cross attention works on that. Channels are not written: the heads take them from the backbone.

# %%
FOLDER.mkdir(parents=True, exist_ok=True)
(FOLDER / "ours.yml").write_text(
    """
_base_: quickstart/deeplabv3plus

model:
  backbone: {output_stride: 32}
  decode_head:
    _inherited_: False
    type: FastFCNHead
    jpu_channels: 64
    head: {type: CCHead, channels: 128}
"""
)
train = {"do_eval": True, "save_interval": ITERS, "log_iters": 10, "seed": 1}
config = paddleseg_ext.load_config(FOLDER / "ours.yml", iters=ITERS, train=train)

# %% [markdown]
# The same objects that `tools/train.py` uses. Checkpoints, `curve.png` and the log are below `FOLDER / "run"`.

# %%
build_trainer(config, run_config(config, FOLDER / "run")).run()

# %% [markdown]
# Three lines for whoever gets the result. In a notebook `pred` and `picture` show themselves.

# %%
model = paddleseg_ext.load(FOLDER / "run" / "best_model")
street = sorted(Path("data/streets/leftImg8bit/val").rglob("*.png"))[0]
pred = model.predict(street)  # (H, W) class ids
picture = model.overlay(street, legend=True)  # (H', W, 3) RGB
save_color(FOLDER / "prediction.png", pred, model.palette)

# %%
share = {name: round(100 * float((pred == i).mean()), 1) for i, name in enumerate(model.classes) if (pred == i).any()}
print("percent of the picture:", share)
