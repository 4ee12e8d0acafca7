"""Text, character by character: Python's own language reference, as ``pydoc`` shows it.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/text.py:attention --out runs/attention_topics``,
and so on. The text ships with Python (these numbers are of 3.11), and is written to ``DIR`` by::

    python -c "import pydoc_data.topics as t; print('\\n'.join(t.topics.values()))" > topics.txt

Bits per character of the last tenth, in pieces of 64 characters, each scored from its own
beginning, where nothing precedes it.

Beside them, counted on the training split: interpolated n-grams of order 5, with Kneser-Ney's
discounts 1.94 (order 4: 2.10; 6: 1.89), with Witten-Bell's weights 2.04. To an n-gram that reads on
across pieces, as no model here may, the text is easier: 1.80 at order 5. Positions, the learning
rate (2e-3 to 2e-2) and the optimizer were chosen on the validation split, of sixteen settings, of
which three more were scored on the test split, too (1.91, 1.80, 1.78). With scalar inputs Muon
reaches 1.95.
"""

from dataclasses import replace

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

attention = Recipe(
    "attention",
    "text:topics.txt:64",
    {"levels": 104, "inputs": "one_hot", "width": 128, "depth": 4, "positions": "rotary"},
    train=TrainSettings(
        steps=2000,
        batch_size=12,
        learning_rate=3e-3,
        warmup_steps=100,
        optimizer_args={"b2": 0.98},
        eval_every=500,
        checkpoint_every=500,
    ),
    name="attention_topics",
    summary="A causal transformer that reads characters by a table.",
)
attention_scalar = replace(
    attention,
    model_args={**attention.model_args, "inputs": "scalar"},
    name="attention_scalar_topics",
    summary="The same transformer, which reads characters as numbers: what tables are for.",
)
attention_muon = replace(
    attention,
    train=replace(attention.train, optimizer="muon", learning_rate=4e-3),
    name="attention_muon_topics",
    summary="The transformer, trained with Muon.",
)
attention_small = replace(
    attention_muon,
    model_args={**attention.model_args, "width": 64},
    name="attention_small_topics",
    summary="A quarter of the transformer, small enough to come with jaxgen.",
)
