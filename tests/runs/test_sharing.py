"""Runs to share: exported, on a stand-in of the Hugging Face Hub, and back, to the bit."""

import base64
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save

import jaxgen
from jaxgen import zoo
from jaxgen.cli import main
from jaxgen.runs import Recipe, RunError, evaluate_run, export_run, load, push, train
from jaxgen.runs.hub import located
from jaxgen.training import TrainSettings, fit

RECIPE = Recipe(
    "realnvp",
    "toy:two_moons",
    {"steps": 2, "hidden": [8]},
    train=TrainSettings(steps=4, batch_size=64, steps_per_dispatch=2),
    name="small_two_moons",
    summary="A small RealNVP.",
)
FILES = [
    "README.md",
    "config.json",
    "model.safetensors",
    "record.json",
    "samples.png",
    "splits.json",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    train(RECIPE, folder, progress=False)
    return folder


@pytest.fixture
def exported(run, tmp_path):
    folder = tmp_path / "small"
    export_run(run, folder, license="apache-2.0")
    return folder


def same(a, b) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


def test_an_exported_run_is_the_same_model_and_evaluates_to_its_record(run, exported):
    assert sorted(path.name for path in exported.iterdir()) == FILES
    assert same(load(run), load(exported))
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1
    before = (exported / "record.json").read_bytes()
    record = evaluate_run(exported)
    assert record.value == json.loads(before)["value"]
    evaluate_run(exported, split="valid")
    assert sorted(path.name for path in exported.iterdir()) == FILES  # nothing is written there
    assert (exported / "record.json").read_bytes() == before


def test_commands_take_an_exported_run(exported, tmp_path, capsys):
    out = tmp_path / "drawn.png"
    assert main(["sample", str(exported), "--num", "4", "--out", str(out), "--no-cache"]) == 0
    assert out.exists()
    assert main(["train", "nowhere.py", "--out", str(exported), "--no-cache"]) == 1
    capsys.readouterr()
    with pytest.raises(RunError, match="holds a saved model"):
        train(RECIPE, exported, progress=False)


def test_the_card_has_the_hubs_metadata_and_the_records_number(exported, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    card = exported / "README.md"
    metadata = hub.metadata_load(card)
    assert metadata["library_name"] == "jaxgen"
    assert metadata["license"] == "apache-2.0"
    (found,) = hub.ModelCard.load(card).data.eval_results
    record = json.loads((exported / "record.json").read_text())
    assert found.metric_value == record["value"]
    assert found.dataset_name == "toy:two_moons"
    text = card.read_text()
    assert f"{record['value']:.4f} ± {record['standard_error']:.4f} nats" in text
    assert '"model": "realnvp"' in text
    for path in exported.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_what_fit_and_save_wrote_is_exported_too(tmp_path):
    flow = zoo.maf((2,), layers=1, hidden=(8,), rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    fit(
        flow,
        x,
        settings=TrainSettings(steps=2, batch_size=32),
        out=tmp_path / "fit",
        progress=False,
    )
    jaxgen.save(flow, tmp_path / "save")
    for name in ("fit", "save"):
        export_run(tmp_path / name, tmp_path / f"{name} exported")
        assert same(load(tmp_path / name), load(tmp_path / f"{name} exported"))
        assert "# " in (tmp_path / f"{name} exported" / "README.md").read_text()


def snippet(folder):
    """The lines that a model card shows, run where the folder is."""
    text = (folder / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    names = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("kind", ["plain", "labels", "text"])
def test_the_lines_of_a_card_run(kind, tmp_path, monkeypatch):
    settings = TrainSettings(steps=1, batch_size=4)
    if kind == "text":
        (tmp_path / "abc.txt").write_text("abcab" * 40)
        spec, others = f"text:{tmp_path}/abc.txt:4", {"model_args": {"levels": 4, "hidden": [4]}}
    else:
        spec, others = "digits", {"model_args": {"levels": 17, "hidden": [4]}}
    labels = {"class_features": 2} if kind == "labels" else {}
    train(
        Recipe("made", spec, **others, **labels, train=settings), tmp_path / "run", progress=False
    )
    export_run(tmp_path / "run", tmp_path / "shared")
    monkeypatch.chdir(tmp_path)
    names = snippet(tmp_path / "shared")
    if kind == "text":
        assert [len(text) for text in names["texts"]] == [4] * 4
    else:
        shape = (4, 10, 8, 8, 1) if kind == "labels" else (4, 8, 8, 1)
        assert names["samples"].shape == shape


def damage(how):
    def done(folder: Path) -> None:
        path = folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        if how == "cut":
            content = content[:-7]
        elif how == "bit":
            content[-1] ^= 1
        elif how == "more":
            content = save({**load_arrays(bytes(content)), "more": np.zeros(3, np.float32)})
        else:
            content = b"something else"
        path.write_bytes(content)

    return done


def change(**values):
    def done(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return done


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage("cut"), "model.safetensors is damaged"),
        (damage("bit"), "is damaged: expected the sha256"),
        (damage("other"), "model.safetensors is damaged"),
        (damage("more"), "belongs to another model than config.json beside it says"),
        (change(version=99), "by a newer jaxgen, in format 99.*pip install --upgrade jaxgen"),
        (change(version="x"), "is damaged: TypeError: version: expected int, got 'x'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no checkpoint has been written"),
        (lambda folder: (folder / "config.json").unlink(), "is not a run directory"),
    ],
)
def test_what_is_damaged_or_newer_is_one_clear_error(exported, harm, said):
    harm(exported)
    with pytest.raises(RunError, match=said):
        load(exported)


def test_a_newer_saved_model_is_refused_too(tmp_path):
    jaxgen.save(zoo.maf((2,), layers=1, hidden=(8,), rngs=nnx.Rngs(0)), tmp_path / "maf")
    change(version=2)(tmp_path / "maf")
    with pytest.raises(RunError, match="in format 2, and this one reads formats up to 1"):
        load(tmp_path / "maf")


def test_folders_that_cannot_be(run, exported, tmp_path):
    with pytest.raises(RunError, match="expected a new or empty folder"):
        export_run(run, exported)
    with pytest.raises(RunError, match="is not a run directory"):
        export_run(tmp_path, tmp_path / "new")
    with pytest.raises(RunError, match=r"without config\.json and model\.safetensors"):
        push(tmp_path, "owner/name")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        export_run(run, tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf://", "expected hf://OWNER/NAME"),
        ("hf://name", "expected hf://OWNER/NAME"),
        ("hf://a/b/c", "expected hf://OWNER/NAME"),
        ("hf://a/b@", "expected hf://OWNER/NAME"),
    ],
)
def test_addresses_that_are_none(address, said):
    with pytest.raises(RunError, match=said):
        load(address)


def test_without_the_extra_it_says_what_to_install(exported, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: load("hf://owner/name"), lambda: push(exported, "owner/name")):
        with pytest.raises(ImportError, match=r'pip install "jaxgen\[hub\]"'):
            call()
    assert main(["evaluate", "hf://owner/name", "--no-cache"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_may_be_called_like_an_address():
    assert located(Path("hf://owner/name")) == Path("hf:/owner/name")


# The Hub, as far as a model of a few files needs it.


class Hub(http.server.BaseHTTPRequestHandler):
    """Repositories in memory, each its files by name; every commit replaces what it names."""

    repositories: dict[str, dict[str, bytes]]
    commit = "a" * 40

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/api/repos/create":
            if "Bearer hf_right" not in (self.headers.get("authorization") or ""):
                return self.answer({"error": "who are you?"}, status=401)
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.repositories.setdefault(name, {})
            return self.answer({"url": f"http://{self.headers['host']}/{name}", "id": name})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        name, action = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(\w+)/main", self.path).groups()
        if action == "preupload":
            files = [f["path"] for f in json.loads(body)["files"]]
            how = {"uploadMode": "regular", "shouldIgnore": False}
            return self.answer({"files": [{"path": path, **how} for path in files]})
        lines = [json.loads(line) for line in body.splitlines()]
        for line in lines:
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.repositories[name][line["value"]["path"]] = content
        url = f"http://{self.headers['host']}/{name}/commit/{self.commit}"
        return self.answer({"commitUrl": url, "commitOid": self.commit, "success": True})

    def do_GET(self):
        path = self.path.partition("?")[0]
        if (match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(\w+)/.*)?", path)) is None:
            return self.file(path)
        name, what = match.groups()
        if name not in self.repositories:
            headers = {"x-error-code": "RepoNotFound"}
            return self.answer({"error": "not found"}, status=404, headers=headers)
        files = self.repositories[name]
        if what == "tree":
            return self.answer(
                [
                    {"type": "file", "path": f, "size": len(c), "oid": "b" * 40}
                    for f, c in files.items()
                ]
            )
        siblings = [{"rfilename": file} for file in files]
        return self.answer({"id": name, "sha": self.commit, "siblings": siblings})

    def do_HEAD(self):
        self.do_GET()

    def file(self, path):
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.*)", path)
        if match is None:
            return self.answer({})
        name, file = match.groups()
        content = self.repositories[name][file]
        etag = {"etag": f'"{len(content):040x}"', "x-repo-commit": self.commit}
        return self.answer(content, headers=etag)

    def answer(self, what, *, status=200, headers=()):
        content = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        for key, value in {"content-length": str(len(content)), **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path):
    pytest.importorskip("huggingface_hub")
    handler = type("OwnHub", (Hub,), {"repositories": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_TOKEN": "hf_right",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "JAXGEN_CACHE": "",
    }
    yield handler, environment
    server.shutdown()
    server.server_close()


def python(*arguments, env) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


SCORED = """
import sys, jaxgen, numpy as np
model = jaxgen.load(sys.argv[1])
print(np.asarray(model.log_prob(np.linspace(-1, 1, 10, dtype=np.float32).reshape(5, 2))).tolist())
"""


def test_pushed_and_loaded_in_fresh_processes_it_is_the_same_to_the_bit(run, exported, hub):
    handler, env = hub
    pushed = python("-m", "jaxgen", "push", exported, "owner/small", env=env)
    assert pushed.stdout == "hf://owner/small\n", pushed.stderr
    assert sorted(handler.repositories["owner/small"]) == FILES
    here, there = (python("-c", SCORED, where, env=env) for where in (run, "hf://owner/small"))
    assert there.returncode == 0, there.stderr
    assert here.stdout == there.stdout != ""
    shutil.rmtree(exported)
    handler.repositories.clear()
    offline = env | {"HF_HUB_OFFLINE": "1"}
    again = python("-c", SCORED, "hf://owner/small", env=offline)  # from the cache
    assert again.stdout == here.stdout, again.stderr


def test_what_the_hub_refuses_is_one_line(exported, hub):
    handler, env = hub
    missing = python("-m", "jaxgen", "evaluate", "hf://owner/nothing", env=env)
    assert missing.returncode == 1
    assert "jaxgen: hf://owner/nothing: " in missing.stderr
    assert "Traceback" not in missing.stderr
    wrong = python("-m", "jaxgen", "push", exported, "owner/x", env=env | {"HF_TOKEN": "hf_no"})
    assert wrong.returncode == 1
    assert "jaxgen: hf://owner/x: " in wrong.stderr
    assert "Traceback" not in wrong.stderr
    handler.repositories["owner/other"] = {"README.md": b"no model"}
    other = python("-m", "jaxgen", "evaluate", "hf://owner/other", env=env)
    assert "expected a model that jaxgen exported, found no config.json" in other.stderr
