"""What docs/scale.md shows runs, parses, and names what there is."""

import ast
import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from jaxgen.cli.commands import REQUEUE
from jaxgen.cli.parser import parser
from jaxgen.runs import load_recipe
from jaxgen.training import TrainSettings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
TEXT = PAGE.read_text()


def blocks(language: str) -> list[tuple[int, str]]:
    """Each block of a language, with the line that it starts in."""
    fence = rf"^```{language}\n(.*?)^```"
    return [
        (TEXT[: match.start(1)].count("\n") + 1, match[1])
        for match in re.finditer(fence, TEXT, re.MULTILINE | re.DOTALL)
    ]


def batch_script() -> str:
    (script,) = (block for _, block in blocks("bash") if "#SBATCH" in block)
    return script


def manifest() -> dict[str, dict]:
    """The Kubernetes objects by their kind."""
    ((_, block),) = blocks("yaml")
    return {each["kind"]: each for each in yaml.safe_load_all(block)}


def commands() -> list[list[str]]:
    """The arguments of every ``jaxgen train`` that is shown."""
    lines = "\n".join(block for _, block in blocks("bash")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line.partition("||")[0], comments=True) for line in lines]
    (container,) = manifest()["Job"]["spec"]["template"]["spec"]["containers"]
    found.append(container["command"])
    return [words[words.index("jaxgen") + 1 :] for words in found if "jaxgen" in words]


COMMANDS = commands()


def test_python_runs_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("python")
    assert len(found) >= 5
    names = {"__name__": "__main__"}
    for line, block in found:
        # As many empty lines in front as put the lines of the page into a traceback.
        exec(compile("\n" * (line - 1) + block, str(PAGE), "exec"), names)
    assert names["result"].history
    assert (tmp_path / "run" / "checkpoints").is_dir()
    assert list((tmp_path / "logs").rglob("*.xplane.pb"))


def test_commands_are_found():
    assert len(COMMANDS) >= 6
    assert sum("--distributed" in words for words in COMMANDS) >= 4


@pytest.mark.parametrize("words", COMMANDS, ids=range(len(COMMANDS)))
def test_a_command_parses_and_its_settings_are_ones(words):
    options = parser().parse_args(words)
    recipe, file = load_recipe(ROOT / options.experiment)
    assert recipe.override(options.assignments, file.functions).model == "glow"
    assert options.distributed or options.coordinator is None


def test_settings_in_the_tables_are_ones_and_take_these_values():
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    found = re.findall(r"`(\w+)=([^`]*)`", "\n".join(rows))
    known = {field.name for field in dataclasses.fields(TrainSettings)}
    assert {name for name, _ in found} <= known
    for name, value in found:
        assert TrainSettings(**{name: ast.literal_eval(value)})
    assert {"sharding", "accumulate_steps", "remat", "compute_dtype"} <= {name for name, _ in found}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_batch_script_is_one():
    script = batch_script()
    assert script.startswith("#!/bin/bash\n#SBATCH")
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    options = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+=\S+", line) for line in options)
    given = dict(line.removeprefix("#SBATCH --").split("=", 1) for line in options)
    assert given["signal"].startswith("TERM@")
    assert given["gres"] == f"gpu:{given['ntasks-per-node']}"  # JAX gives a task one of them
    assert f'"$status" -eq {REQUEUE} ' in script


def test_the_manifest_has_what_jax_asks_for():
    """See ``jax/_src/clusters/k8s_cluster.py``."""
    objects = manifest()
    job, service = objects["Job"], objects["Service"]
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert job["apiVersion"] == "batch/v1"
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] > 1
    assert job["metadata"]["labels"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    account = objects["ServiceAccount"]["metadata"]["name"]
    assert pod["serviceAccountName"] == account
    (subject,) = objects["RoleBinding"]["subjects"]
    assert (subject["kind"], subject["name"]) == ("ServiceAccount", account)
    assert subject["namespace"]
    assert objects["RoleBinding"]["roleRef"]["name"] == objects["Role"]["metadata"]["name"]
    allowed = {
        (group, resource, verb)
        for rule in objects["Role"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {("", "pods", "list"), ("batch", "jobs", "get")} <= allowed


def test_the_manifest_takes_a_saved_training_for_no_failure():
    spec = manifest()["Job"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["restartPolicy"] == "Never"  # which a policy of failures needs
    assert all(rule["action"] == "Ignore" for rule in spec["podFailurePolicy"]["rules"])
    codes = spec["podFailurePolicy"]["rules"][0]["onExitCodes"]
    assert codes == {"containerName": container["name"], "operator": "In", "values": [REQUEUE]}
    (mount,) = container["volumeMounts"]
    options = parser().parse_args(container["command"][1:])
    assert Path(mount["mountPath"]) in Path(options.out).parents
    assert [volume["name"] for volume in pod["volumes"]] == [mount["name"]]
