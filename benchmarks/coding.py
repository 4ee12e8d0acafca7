"""Files of compressed data beside the bits that models state, and beside codecs for anything.

    python benchmarks/coding.py RUN [RUN ...] [--num N] [--out sizes.json]

The first ``N`` test examples of every run are encoded and decoded by its model; what comes back is
compared. Beside the sizes stand those of PNG, WebP without loss, JPEG XL (where Pillow has a
plug-in for it) and LZMA, each given all images side by side in one file. Without a run, a MADE is
trained on the digits for a moment.
"""

import argparse
import dataclasses
import importlib.util
import io
import json
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from PIL import Image

from jaxgen import zoo
from jaxgen.compression import measure
from jaxgen.data import Dataset, load
from jaxgen.models import Model
from jaxgen.runs import Run
from jaxgen.training import TrainSettings, fit

FORMS: dict[str, dict[str, Any]] = {
    "PNG": {"optimize": True},
    "WebP": {"lossless": True, "quality": 100},
    "JXL": {"lossless": True, "effort": 9},
}


def codecs(x: np.ndarray, levels: int) -> dict[str, int]:
    """Bytes of all examples together, by the name of the codec."""
    sizes = {"LZMA": len(lzma.compress(x.astype(np.uint8).tobytes(), preset=9))}
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        return sizes
    if importlib.util.find_spec("pillow_jxl") is not None:
        importlib.import_module("pillow_jxl")  # which makes itself known to Pillow
    picture = Image.fromarray(side_by_side(x))
    if levels == 2:
        picture = picture.point(lambda value: 255 * value).convert("1")
    for form, options in FORMS.items():
        if form == "JXL" and importlib.util.find_spec("pillow_jxl") is None:
            continue
        buffer = io.BytesIO()
        drawn = picture.convert("L") if form == "JXL" and picture.mode == "1" else picture
        drawn.save(buffer, form, **options)
        sizes[form] = len(buffer.getvalue())
    return sizes


def side_by_side(x: np.ndarray) -> np.ndarray:
    """Images ``(n, H, W, C)`` in nearly a square, blank where there are too few."""
    n, height, width, channels = x.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    tiles = np.zeros((rows * columns, height, width, channels), np.uint8)
    tiles[:n] = x
    tiles = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = tiles.reshape(rows * height, columns * width, channels)
    return picture[..., 0] if channels == 1 else picture


def compare(name: str, model: Model, data: Dataset, num: int | None) -> dict[str, Any]:
    x = data.x[:num]
    labels = None if model.context_shape is None else data.y
    found = measure(model, x, None if labels is None else labels[:num])
    sizes = codecs(x, data.levels or 2)
    print(f"{name}, {len(x)} of {data.name}: {found}")
    print("  " + ", ".join(f"{codec} {size} bytes" for codec, size in sizes.items()), flush=True)
    return {"run": name, "data": data.name, **dataclasses.asdict(found), "codecs": sizes}


def small() -> tuple[Model, Dataset]:
    train, test = load("digits"), load("digits", "test")
    model = zoo.made((8, 8, 1), levels=17, hidden=(64,), rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=200, batch_size=100, learning_rate=5e-3)
    return fit(model, train, settings=settings, progress=False).model, test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", type=Path)
    parser.add_argument("--num", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for path in options.runs:
        run = Run.read(path)
        rows.append(compare(run.name, run.load(), run.load_data("test"), options.num))
    if not options.runs:
        rows.append(compare("made", *small(), options.num))
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
