"""A Markov chain of order two on the binary DNA data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/markov_dna.py --out RUN``
Cost: at most a second of training on 2 CPU cores (timed beside other work).
Published: none.
Result: -81.99 ± 0.08 nats (exact), test split of 1186 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/dna.npz`` with the
arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. The tables are counted, not
trained; chosen on validation: the strength of their prior, of six.
"""

from jaxgen.training import Experiment

experiment = Experiment(
    model="markov",
    data="npz:uci_binary/dna.npz",
    model_args={"levels": 2, "parents": 2},
    pseudo_counts=[0.1, 0.3, 1.0, 3.0, 10.0, 30.0],
)
