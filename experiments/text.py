"""Text, character by character: Python's own language reference, as ``pydoc`` shows it.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/text.py:attention --out runs/attention_topics``,
or ``:attention_scalar``. The text ships with Python, and is written to ``DIR`` by::

    python -c "import pydoc_data.topics as t; print('\\n'.join(t.topics.values()))" > topics.txt

Pieces of 64 characters, each scored from its own beginning, where nothing precedes it.
"""

from dataclasses import replace

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

attention = Recipe(
    "attention",
    "text:topics.txt:64",
    {
        "levels": 104,
        "inputs": "one_hot",
        "width": 128,
        "depth": 4,
        "heads": 4,
        "positions": "rotary",
    },
    train=TrainSettings(
        steps=2000,
        batch_size=12,
        learning_rate=4e-3,
        warmup_steps=100,
        optimizer="muon",
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
