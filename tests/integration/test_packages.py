"""What is shipped beside the program: alert rules, dashboard, systemd unit, manifests, compose files.

No container engine, no Kubernetes and no Grafana run here: their files are checked against schemas, against the
program's own routes, settings and metric names, and by the tools that can be had.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from proxy import events
from proxy.admin.gauges import StateCollector
from proxy.admin.guard import check_exposure
from proxy.config.file import read
from proxy.metrics import MetricsSubscriber
from tests.conftest import integration_is_required
from tests.fakes.busy_day import tell
from tests.fakes.controls import FakeControls

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus" / "rules.yml"
DASHBOARD = ROOT / "config" / "grafana" / "dashboard.json"
UNIT = ROOT / "config" / "systemd" / "orthanc-proxy.service"
MANIFESTS = ROOT / "config" / "kubernetes" / "orthanc-proxy.yml"
COMPOSE = ROOT / "docker" / "compose.yml"
MONITORING = ROOT / "docker" / "compose.monitoring.yml"

# ---- Prometheus and Grafana


def tool(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed (apt-get install {package})"
        pytest.fail(reason, pytrace=False) if integration_is_required() else pytest.skip(reason)
    return str(path)


def promtool(*arguments: object) -> None:
    program = tool("promtool", "prometheus")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """Every series name that the program can expose, with the names of its labels."""
    registry = CollectorRegistry()
    metrics = MetricsSubscriber(registry)
    registry.register(StateCollector(FakeControls()))  # type: ignore[arg-type]

    class Both:
        def __call__(self, event: events.Event) -> None:
            metrics(event)

        def tick(self, *_: object) -> None: ...

    tell(Both(), 1_700_000_000.0)
    metrics(events.OrthancCalled(backend="orthanc", method="GET", endpoint="/system", status=200, duration=0.1))
    metrics(events.Forwarded(pipeline="p", target="orthanc", outcome="delivered", bytes=1))
    names: dict[str, set[str]] = {"up": {"job", "instance"}}
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names


def expressions() -> list[tuple[str, str]]:
    found = []
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        found += [(rule["alert"], rule["expr"]) for rule in group["rules"]]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    return found


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_every_query_names_series_and_labels_that_exist(
    exposed: dict[str, set[str]], where: str, expression: str
) -> None:
    series = re.findall(r"\b(up|orthanc_proxy_\w+)\b(?:\{([^}]*)\})?", expression)
    assert series, where
    for name, matchers in series:
        assert name in exposed, f"{where}: nothing exposes {name}"
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            assert label in exposed[name] | {"instance", "job"}, f"{where}: {name} has no label {label}"
    known = set().union(*(exposed[name] for name, _ in series)) | {"instance", "job", "le"}
    for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        for label in labels.split(","):
            assert label.strip() in known, f"{where}: no series of it has a label {label.strip()}"


def test_legends_and_annotations_name_labels_that_their_query_keeps() -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            kept = {
                label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")
            }
            if kept:
                assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_promtool_accepts_rules_their_tests_and_the_configuration() -> None:
    folder = RULES.parent
    promtool("check", "rules", RULES)
    promtool("test", "rules", folder / "rules_test.yml")
    promtool("check", "config", folder / "prometheus.yml")


def test_promtool_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for number, (_, expression) in enumerate(expressions())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_promtool_finds_no_fault_with_the_metrics_themselves() -> None:
    metrics = MetricsSubscriber()
    metrics.registry.register(StateCollector(FakeControls()))  # type: ignore[arg-type]
    program = tool("promtool", "prometheus")
    done = subprocess.run([program, "check", "metrics"], input=metrics.exposition()[0], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == b""


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


# ---- systemd


def unit(tmp_path: Path) -> Path:
    """The unit as installed where the program is some other one: its path is not there on this machine."""
    text = UNIT.read_text().replace("/opt/orthanc-proxy/bin/orthanc-proxy", "/bin/true")
    assert "/bin/true serve --config" in text
    (tmp_path / UNIT.name).write_text(text)
    return tmp_path / UNIT.name


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    program = tool("systemd-analyze", "systemd")
    done = subprocess.run([program, "verify", unit(tmp_path)], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "orthanc-proxy" in line]
    assert done.returncode == 0, done.stderr
    assert ours == []


def test_systemd_calls_the_unit_well_hardened(tmp_path: Path) -> None:
    program = tool("systemd-analyze", "systemd")
    command = [program, "security", "--offline=true", "--threshold=20", unit(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-500:]


def test_the_unit_gives_the_drain_the_time_that_it_takes() -> None:
    from proxy.config.process import ProxySettings

    seconds = int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)[1])  # type: ignore[index]
    assert seconds > ProxySettings().drain_timeout


# ---- Kubernetes


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict]:
    found = {}
    for one in yaml.safe_load_all(MANIFESTS.read_text()):
        found[f"{one['kind']}/{one['metadata']['name']}"] = one
    return found


def test_the_manifests_are_what_kubernetes_says_they_must_be(manifests: dict[str, dict]) -> None:
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_manifests_fit_together(manifests: dict[str, dict]) -> None:
    pod = manifests["StatefulSet/orthanc-proxy"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name in ("Service/orthanc-proxy", "Service/orthanc-proxy-admin"):
        service = manifests[name]["spec"]
        assert service["selector"].items() <= pod["metadata"]["labels"].items()
        assert all(port["targetPort"] in ports for port in service["ports"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
        assert container[probe]["httpGet"]["path"] in ("/livez", "/readyz")
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claims = {
        claim["metadata"]["name"] for claim in manifests["StatefulSet/orthanc-proxy"]["spec"]["volumeClaimTemplates"]
    }
    assert mounted == claims | {volume["name"] for volume in pod["spec"]["volumes"]}
    assert manifests["StatefulSet/orthanc-proxy"]["spec"]["serviceName"] == "orthanc-proxy-admin"


def test_the_configuration_in_the_manifests_is_valid_and_its_ports_are_those_of_the_pod(
    manifests: dict[str, dict], tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(manifests["ConfigMap/orthanc-proxy"]["data"]["config.toml"])
    secret = manifests["Secret/orthanc-proxy"]["stringData"]
    settings = read(file, secret).settings
    [container] = manifests["StatefulSet/orthanc-proxy"]["spec"]["template"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [
        settings.listener.bind_port,
        settings.admin.bind_port,
    ]
    check_exposure(settings.admin)
    assert settings.admin.tokens
    assert settings.backends["orthanc"].secret() == "change-me"
    grace = manifests["StatefulSet/orthanc-proxy"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings.proxy.drain_timeout + 5
    data = next(mount for mount in container["volumeMounts"] if mount["name"] == "data")
    assert str(settings.storage.path) == data["mountPath"]


# ---- compose


def test_the_monitoring_services_mount_what_is_there() -> None:
    services = yaml.safe_load(MONITORING.read_text())["services"]
    for service in services.values():
        assert service["profiles"] == ["monitoring"]
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (MONITORING.parent / source).exists(), source


def test_prometheus_asks_the_proxy_where_compose_runs_it() -> None:
    target = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())["scrape_configs"][0]
    [[address]] = [config["targets"] for config in target["static_configs"]]
    name, port = address.split(":")
    service = yaml.safe_load(COMPOSE.read_text())["services"][name]
    assert any(mapping.endswith(f":{port}") for mapping in service["ports"])
    assert target["job_name"] == "orthanc-proxy"


def test_compose_itself_reads_both_files_together() -> None:
    program = tool("docker-compose", "docker-compose")
    command = [program, "-f", COMPOSE, "-f", MONITORING, "--profile", "monitoring", "config"]
    environment = {"PATH": "/usr/bin:/bin", "ORTHANC_PASSWORD": "x", "ADMIN_TOKEN": "x", "ADMIN_PASSWORD_HASH": "x"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) >= {"orthanc", "proxy", "prometheus", "grafana"}


def test_the_proxy_in_compose_starts_with_a_door_that_is_not_open(tmp_path: Path) -> None:
    environment = yaml.safe_load(COMPOSE.read_text())["services"]["proxy"]["environment"]
    filled = {key: re.sub(r"\$\{\w+:[?-][^}]*\}", "filled-in", str(value)) for key, value in environment.items()}
    file = tmp_path / "config.toml"
    file.write_text("")
    check_exposure(read(file, filled).settings.admin)
