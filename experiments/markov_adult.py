"""A Markov chain of order two on the binary Adult data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/markov_adult.py --out RUN``
Cost: at most a second of training on 2 CPU cores (timed beside other work).
Published: none.
Result: -21.24 ± 0.03 nats (exact), test split of 26147 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/adult.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. The tables are counted,
not trained; chosen on validation: the strength of their prior, of six.
"""

from jaxgen.training import Experiment

experiment = Experiment(
    model="markov",
    data="npz:uci_binary/adult.npz",
    model_args={"levels": 2, "parents": 2},
    pseudo_counts=[0.1, 0.3, 1.0, 3.0, 10.0, 30.0],
)
