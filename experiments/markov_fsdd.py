"""A homogeneous Markov chain of order two on spoken digits, counted: the baseline of WaveNet.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/markov_fsdd.py --out RUN``
Cost: at most 43 seconds of training on 2 CPU cores (timed beside other work).
Published: none for this data set.
Result: 5.11 ± 0.07 bits/dim (exact), test split of 300 examples.

The data and the value are those of ``wavenet_fsdd.py``, without the digit: bits per dimension
(sample) of whole clips. The table of 257^2 pasts (256 codes, or none before the clip) times 256
codes is the same at every position. It is counted, not trained, and backs off to the nearer sample
alone and to none; the strength of the prior is the one of six that scores best on the validation
split. The number of parameters is that of the table's cells, most of which were never seen.
"""

from jaxgen.training import Experiment

experiment = Experiment(
    model="markov",
    data="audio:fsdd.npz",
    model_args={"levels": 256, "parents": 2, "shared": True},
    pseudo_counts=[3.0, 10.0, 30.0, 100.0, 300.0, 1000.0],
)
