"""``tfds:NAME``: data sets that TensorFlow Datasets has prepared, read as tfds data sources.

Reading needs ``tensorflow-datasets`` and ``array_record``, not TensorFlow; *preparing* most data
sets needs TensorFlow, once. Nothing is ever downloaded here: a data set that is not prepared is an
error that says what to run. As for tfds itself, the environment variable TFDS_DATA_DIR names the
folder.

x is the feature ``image``, or the only array among the features; y is ``label`` if there is one.
The split ``valid`` is tfds's ``validation``, or the last tenth of its ``train`` (train is then the
rest). Dtypes are converted as ``jaxgen.data.arrays`` says. Images of bytes, and floats, that would
take more than 2 GiB of memory stay on disk and are read when they are needed
(``jaxgen.data.stored``); their labels are read once, at the start.
"""

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import unknown
from jaxgen.data.arrays import Loaded, as_events
from jaxgen.data.splits import last_tenth
from jaxgen.data.stored import entries

# NAME, NAME/CONFIG, NAME:1.2.3. A namespace (huggingface:NAME) would send tfds to the network.
_NAME = re.compile(r"\w+(/[\w.-]+)?(:[\d.*]+)?")

_IN_MEMORY = 2**31  # bytes; what takes more stays on disk


def load_tfds(name: str, split: str) -> Loaded:
    """One split of a prepared data set.

    Args:
        name: tfds's name, ``NAME``, ``NAME/CONFIG`` or ``NAME:VERSION``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x (n, *event_shape), stored if it is large; y (n,) or None; levels or None.

    Raises:
        ImportError: tensorflow-datasets or array_record is not installed, or the data set's
            features need TensorFlow.
        FileNotFoundError: the data set is not prepared.
        ValueError: the name is unknown, or the data set has no such split, no usable feature, or a
            file format without random access.

    >>> load_tfds("hub:mnist", "train")
    Traceback (most recent call last):
    ...
    ValueError: expected tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION, got 'tfds:hub:mnist'
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"expected tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION, got 'tfds:{name}'"
        )
    builder = _builder(name)
    x_key, y_key = _array_feature(builder, name), _label_feature(builder)
    sources = _sources(builder, split)
    if split not in sources:
        raise ValueError(
            f"tfds:{name}: expected a split {split!r}, got {', '.join(builder.info.splits)}; "
            "load a split that the data set has"
        )
    if _is_large(builder, x_key, sources[split][0]):
        return _stored(builder, name, *sources[split], x_key, y_key)
    # uint8 and bool say themselves how many levels there are; of other integers, all splits do.
    dtype = np.dtype(builder.info.features[x_key].np_dtype)
    needed = list(sources) if dtype.kind in "iu" and dtype != np.uint8 else [split]
    examples = {s: _read(builder, name, *sources[s], x_key, y_key) for s in needed}
    x, levels = as_events({s: x for s, (x, _) in examples.items()}, f"tfds:{name}")
    return x[split], examples[split][1], levels


def _builder(name: str) -> Any:
    """The builder of a data set that is prepared, or an error that says how to prepare it."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"the data set 'tfds:{name}' needs tensorflow-datasets, which is not installed; "
            "run: pip install tensorflow-datasets array_record"
        ) from error
    # Read now and given explicitly: tfds reads the variable only once, when it is imported.
    data_dir = os.environ.get("TFDS_DATA_DIR")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise unknown(
            "tfds data set",
            name,
            # Community data sets would be listed from the network.
            [*_folders(data_dir), *tfds.list_builders(with_community_datasets=False)],
            "https://www.tensorflow.org/datasets/catalog/overview, and what you prepared yourself "
            f"in {data_dir or tfds.core.constants.DATA_DIR} (environment variable TFDS_DATA_DIR)",
        ) from None  # tfds's own error lists some 200 names
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ImportError(
            f"the features of 'tfds:{name}' cannot be read without TensorFlow; "
            "run: pip install tensorflow"
        ) from error
    if not builder.info.splits:
        raise FileNotFoundError(
            f"tfds:{name}: expected a prepared data set in {builder.data_path}, found none, and "
            f"jaxgen downloads nothing by itself; run: {_how_to_prepare(name)}"
        )
    return builder


def _folders(data_dir: str | None) -> list[str]:
    if data_dir is None or not Path(data_dir).is_dir():
        return []
    return [path.name for path in Path(data_dir).iterdir() if path.is_dir()]


def _how_to_prepare(name: str) -> str:
    return (
        'pip install tensorflow && python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder('{name}', file_format='array_record').download_and_prepare()\""
    )


def _array_feature(builder: Any, name: str) -> str:
    features = builder.info.features
    if "image" in features:
        return "image"
    arrays = sorted(key for key, feature in features.items() if _is_array(feature))
    if len(arrays) != 1:
        raise ValueError(
            f"tfds:{name}: expected a feature 'image' or exactly one array feature, got "
            f"{', '.join(arrays) or 'none'} among {', '.join(sorted(features))}; "
            "store the one you want as an npz file and load npz:PATH"
        )
    return arrays[0]


def _is_array(feature: Any) -> bool:
    # Features that nest others have a dict of shapes; text has an object dtype.
    shape = feature.shape
    return isinstance(shape, tuple) and len(shape) > 0 and np.dtype(feature.np_dtype).kind in "biuf"


def _label_feature(builder: Any) -> str | None:
    features = builder.info.features
    return "label" if "label" in features and features["label"].shape == () else None


def _sources(builder: Any, split: str) -> dict[str, tuple[str, slice]]:
    """Where each split that can be had comes from: tfds's split, and the rows of it."""
    ours = {"train": "train", "valid": "validation", "test": "test"}
    found = {s: (t, slice(None)) for s, t in ours.items() if t in builder.info.splits}
    if "train" in found and "valid" not in found:
        num = builder.info.splits["train"].num_examples
        found["train"] = ("train", last_tenth(num, "train"))
        if split == "valid" or num >= 10:  # too few rows are an error only for who asks for them
            found["valid"] = ("train", last_tenth(num, "valid"))
    return found


def _is_large(builder: Any, x_key: str, tfds_split: str) -> bool:
    """Whether examples that can be read one by one take more memory than they should."""
    feature = builder.info.features[x_key]
    dtype = np.dtype(feature.np_dtype)
    if None in feature.shape or not (dtype.kind == "f" or dtype == np.uint8):
        return False
    each = math.prod(feature.shape) * dtype.itemsize
    return builder.info.splits[tfds_split].num_examples * each > _IN_MEMORY


def _stored(
    builder: Any, name: str, tfds_split: str, rows: slice, x_key: str, y_key: str | None
) -> Loaded:
    """Examples that stay on disk, and their labels, which are not read with every example."""
    import tensorflow_datasets as tfds

    x = entries(_opened(builder, name, tfds_split), x_key).at(rows)
    levels = 256 if x.dtype == np.uint8 else None
    if levels is not None and x.ndim == 3:
        x = x.reshaped((*x.shape[1:], 1))
    labels = None
    if y_key is not None:
        known = _opened(builder, name, tfds_split, decoders={x_key: tfds.decode.SkipDecoding()})
        labels = np.asarray([known[row][y_key] for row in range(len(known))[rows]])
    return x, labels, levels  # type: ignore[return-value]


def _opened(builder: Any, name: str, tfds_split: str, **options: Any) -> Any:
    """A data source of one of tfds's splits."""
    try:
        return builder.as_data_source(tfds_split, **options)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "array_record":
            raise
        raise ImportError(
            f"the files of 'tfds:{name}' are read with array_record, which is not installed; "
            "run: pip install array_record"
        ) from error
    except NotImplementedError as error:
        raise ValueError(
            f"tfds:{name}: expected files in the format array_record, got "
            f"{builder.info.file_format.value} in {builder.data_path}; move that folder away, "
            f"then run: {_how_to_prepare(name)}"
        ) from error


def _read(
    builder: Any, name: str, tfds_split: str, rows: slice, x_key: str, y_key: str | None
) -> tuple[np.ndarray, np.ndarray | None]:
    source = _opened(builder, name, tfds_split)
    examples = [source[row] for row in range(len(source))[rows]]
    images = [np.asarray(example[x_key]) for example in examples]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise ValueError(
            f"tfds:{name}: expected every {x_key!r} of one shape, got {len(shapes)} shapes such as "
            f"{shapes[0]} and {shapes[-1]}; resize them and store them as an npz file"
        )
    labels = None if y_key is None else np.asarray([example[y_key] for example in examples])
    return np.stack(images), labels
