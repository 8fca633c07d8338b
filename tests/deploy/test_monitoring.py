"""The rules for Prometheus and the dashboard for Grafana speak of metrics that exist, and each rule
has a test that makes it fire and a section in the runbook."""

import json
import re
import shutil
import subprocess
from importlib import import_module
from itertools import combinations
from typing import Any

import pytest

from tests.support.builders import created
from tests.support.commands import ROOT
from tests.support.service import Service
from tests.test_readme import anchors

PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOK = ROOT / "docs" / "operate" / "alerts.md"
PROMTOOL = shutil.which("promtool")


def yaml_of(name: str) -> Any:
    return import_module("yaml").safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))


RULES: list[dict[str, Any]] = [
    rule for group in yaml_of("alerts.yaml")["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8")
)


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:likeperson|process)_\w+", expression))


async def metrics_of(service: Service) -> set[str]:
    """Returns the names of all series, those of histograms and counters as they are asked for."""
    await service.tell(created("Kari"))
    await service.deliver(created("Kari"), webhook_signature="v1,AAAA")
    await service.data("query Viewer { viewer { accessLevel } }")
    await service.deliver({"type": "role-updated", "timestamp": "?"})
    await service.data("{ syncHealth { healthy } }")
    page = (await service.http.get(f"{service.url}/metrics")).text
    return set(re.findall(r"^([a-z]\w+)[ {]", page, re.MULTILINE))


async def test_every_metric_of_rules_and_dashboard_exists(service: Service) -> None:
    exist = await metrics_of(service)

    for expression in [
        *(rule["expr"] for rule in RULES),
        *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    ]:
        named = metrics_in(expression)
        assert named or "up{" in expression, expression
        assert named <= exist, expression


async def test_every_route_and_label_that_a_rule_names_is_one_that_is_told(
    service: Service,
) -> None:
    await metrics_of(service)
    page = (await service.http.get(f"{service.url}/metrics")).text
    routes = set(re.findall(r'route="([^"]+)"', page))

    for rule in RULES:
        assert set(re.findall(r'route="([^"]+)"', rule["expr"])) <= routes, rule["alert"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_rule_says_what_is_wrong_and_where_the_runbook_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert ROOT / page == RUNBOOK
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(RUNBOOK)


def test_every_rule_is_made_to_fire() -> None:
    fired = {
        case["alertname"]
        for test in yaml_of("alerts.test.yaml")["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.child_process
@pytest.mark.parametrize("arguments", [("check", "alerts.yaml"), ("test", "alerts.test.yaml")])
def test_promtool_agrees(arguments: tuple[str, str]) -> None:
    if PROMTOOL is None:
        pytest.skip("promtool is not installed: it is in Debian's package prometheus")
    verb, file = arguments

    done = subprocess.run(  # noqa: S603 -- a program of Debian
        [PROMTOOL, verb, "rules", file], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_are_described_and_do_not_cover_each_other() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"], panel
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_variables_that_panels_use_are_there() -> None:
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    known |= {"__rate_interval"}

    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) <= known
