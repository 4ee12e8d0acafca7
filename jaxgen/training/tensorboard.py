"""What is logged, for TensorBoard: by tensorboardX, which needs no TensorFlow."""

import numbers
from pathlib import Path
from typing import Any

import numpy as np


class TensorBoard:
    """A callback of :func:`~jaxgen.training.fit` that writes every number of a row.

    ``tensorboard --logdir FOLDER`` shows them. A training that goes on writes into another file of
    the folder; steps that it takes again are written again.

    Args:
        folder: made if need be.

    Raises:
        ImportError: if tensorboardX is not installed.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with TensorBoard(folder) as board:
    ...     board({"step": 1, "loss": 2.5})
    >>> [path.name.split(".")[1] for path in folder.iterdir()]
    ['out']
    """

    def __init__(self, folder: Path | str):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                'TensorBoard needs tensorboardX, which is not installed; run: pip install "jaxgen'
                '[tensorboard]"'
            ) from error
        self._writer = SummaryWriter(str(folder))

    def __call__(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step" and isinstance(value, numbers.Real):
                self._writer.add_scalar(name, float(value), row["step"])

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """Writes a picture ``(height, width, channels)`` of uint8."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._writer.close()
