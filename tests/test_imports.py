"""What importing and using the package loads, seen from a fresh interpreter."""

import json
import subprocess
import sys

HEAVY = (
    "distrax",
    "tensorflow_probability",
    "tensorflow_datasets",
    "tensorflow",
    "sklearn",
    "matplotlib",
    "orbax",
    "array_record",
    "constriction",
)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_jaxgen_costs_little_more_than_its_foundations():
    """Third-party packages that ``import jaxgen`` loads beyond jax, Flax and optax: none."""
    loaded = json.loads(
        run(
            "import sys, json\n"
            "import jax, flax.nnx, optax\n"
            "before = set(sys.modules)\n"
            "import jaxgen\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "import jaxgen.zoo, jaxgen.training, jaxgen.evaluation, jaxgen.data, jaxgen.cli\n"
            "import jaxgen.compression\n"
            "print(json.dumps([sorted(new), sorted(sys.modules)]))"
        )
    )
    new, everything = loaded
    assert "jaxgen" in new
    assert [name for name in new if name != "jaxgen" and name not in sys.stdlib_module_names] == []
    # Not even all of its own packages together load one of these.
    packages = {name.partition(".")[0] for name in everything}
    assert packages.isdisjoint(HEAVY)


def test_training_and_sampling_need_no_distrax():
    output = run(
        "import sys\n"
        "for name in ('distrax', 'tensorflow_probability', 'tensorflow_datasets'):\n"
        "    sys.modules[name] = None  # importing it raises ImportError\n"
        "import jax, numpy as np\n"
        "from flax import nnx\n"
        "from jaxgen import zoo\n"
        "from jaxgen.training import TrainSettings, fit\n"
        "settings = TrainSettings(steps=1, batch_size=4, steps_per_dispatch=1)\n"
        "x = np.random.default_rng(0).integers(0, 2, (8, 3))\n"
        "made = zoo.made((3,), hidden=(4,), rngs=nnx.Rngs(0))\n"
        "maf = zoo.maf((3,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))\n"
        "for model, data in ((made, x), (maf, x.astype(np.float32))):\n"
        "    model = fit(model, data, None, settings, progress=False).model\n"
        "    sample = jax.jit(type(model).sample, static_argnums=2)\n"
        "    assert sample(model, jax.random.key(0), 5).shape == (5, 3)\n"
        "try:\n"
        "    import distrax\n"
        "except ImportError:\n"
        "    print('blocked')\n"
    )
    assert output.split() == ["blocked"]
