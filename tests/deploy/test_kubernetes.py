"""The manifests of Kubernetes, as kustomize makes them: held against schemas and our settings."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate as schemas
import pytest
import yaml

from relay.cli.tree import TREE
from tests.metrics.promql import SCRAPE
from transceiver.settings import TransceiverSettings

BASE = Path(__file__).parents[2] / "docs" / "deploy" / "kubernetes" / "base"
#: What Kubernetes knows by itself; the others come with operators.
OWN = ("v1", "apps/v1", "policy/v1", "autoscaling/v2", "networking.k8s.io/v1")
Resource = dict[str, Any]
#: What the downward API and the Secrets say, as an example.
GIVEN = {"HOST_IP": "10.0.0.1", "POD_IP": "10.0.1.1", "NODE": "node"}


def files() -> list[Resource]:
    """The resources as they are written."""
    return [
        each
        for path in sorted(BASE.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for each in yaml.safe_load_all(path.read_text("utf-8"))
    ]


def named(resource: Resource) -> str:
    return f"{resource['kind']}-{resource['metadata']['name']}"


WORKLOADS = [each for each in files() if "template" in each.get("spec", {})]
workloads = pytest.mark.parametrize("workload", WORKLOADS, ids=named)


def pod(workload: Resource) -> Resource:
    spec: Resource = workload["spec"]["template"]["spec"]
    return spec


def require_valid(resource: Resource) -> None:
    if resource["apiVersion"] in OWN:
        schemas.validate(resource, schemas.latest_version(), strict=True)


def require_kustomize() -> None:
    done = subprocess.run(["kubectl", "kustomize", "--help"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("kubectl knows no kustomize")


@pytest.mark.parametrize("resource", files(), ids=named)
def test_each_is_what_the_schemas_say(resource: Resource) -> None:
    require_valid(resource)


def test_the_schemas_refuse_a_misspelt_key() -> None:
    resource = next(each for each in files() if each["kind"] == "StatefulSet")
    resource["spec"]["template"]["spec"]["terminationGraceSeconds"] = 1
    with pytest.raises(schemas.ValidationError, match="terminationGraceSeconds"):
        require_valid(resource)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_kustomize_makes_them_into_one_valid_stream() -> None:
    require_kustomize()
    made = subprocess.run(
        ["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=True
    )
    assert made.stderr == ""
    resources = list(yaml.safe_load_all(made.stdout))
    assert len(resources) == len(files()) + 1  # with the ConfigMap
    for each in resources:
        require_valid(each)
        assert each["metadata"].get("namespace") == (
            None if each["kind"] == "Namespace" else "icelane"
        )
    images = {
        container["image"]
        for each in resources
        if "template" in each.get("spec", {})
        for container in pod(each)["containers"]
    }
    assert images == {"localhost/icelane:latest"}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_podman_gets_what_it_plays() -> None:
    require_kustomize()
    made = subprocess.run(
        ["kubectl", "kustomize", str(BASE.parent / "podman")],
        capture_output=True,
        text=True,
        check=True,
    )
    resources = list(yaml.safe_load_all(made.stdout))
    names = ["ConfigMap", *["Deployment"] * 3]
    assert sorted(each["kind"] for each in resources) == names
    for each in resources:
        require_valid(each)


@workloads
def test_the_services_take_their_settings(workload: Resource, tmp_path: Path) -> None:
    (container,) = pod(workload)["containers"]
    section, _run, *options = container["args"]
    given = {}
    for option in options:
        name, _, value = option.removeprefix("--").partition("=")
        for variable, example in GIVEN.items():
            value = value.replace(f"$({variable})", example)
        given[name.replace("-", "_")] = value
    file = BASE / Path(given.pop("config")).name
    redis = {"ICELANE_REDIS": "redis://:secret@10.0.0.5:6379/0"}
    assert {each["name"] for each in container["env"]} <= {*GIVEN, *redis}
    # This host has not the image's user.
    here = tmp_path / file.name
    here.write_text(file.read_text("utf-8").replace('user = "icelane"', 'user = "nobody"'))
    settings = TREE[section].load(given, tree=TREE, file=here, environment=redis)
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    paths = [each for each in vars(settings).values() if isinstance(each, Path)]
    assert paths
    assert all(any(each.is_relative_to(mount) for mount in mounts) for each in paths)


def test_calls_may_go_on_until_they_are_killed() -> None:
    transceiver = next(each for each in WORKLOADS if each["kind"] == "StatefulSet")
    settings = TREE["transceiver"].load(
        {"listen": "10.0.1.1:5000", "control": "10.0.1.1:9000"},
        tree=TREE,
        file=BASE / "icelane.toml",
    )
    assert isinstance(settings, TransceiverSettings)
    assert settings.drain < pod(transceiver)["terminationGracePeriodSeconds"]


@workloads
def test_a_container_has_no_more_than_it_needs(workload: Resource) -> None:
    (container,) = pod(workload)["containers"]
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert own["capabilities"]["drop"] == ["ALL"]
    if workload["kind"] != "DaemonSet":
        assert not own["allowPrivilegeEscalation"]
        assert "add" not in own["capabilities"]
        assert pod(workload)["securityContext"]["runAsNonRoot"]


@workloads
def test_probes_and_monitors_ask_ports_that_are_there(workload: Resource) -> None:
    (container,) = pod(workload)["containers"]
    ports = {each["name"] for each in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    monitor = next(
        each
        for each in files()
        if each["kind"].endswith("Monitor")
        and each["metadata"]["name"] == workload["metadata"]["name"]
    )
    spec = monitor["spec"]
    (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
    assert endpoint["port"] in ports
    (relabeling,) = endpoint["relabelings"]
    assert f"job_name: {relabeling['replacement']} " in SCRAPE.read_text("utf-8")
