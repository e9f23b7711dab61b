"""The host's firewall: what drops by default is told, with the rules that help."""

import subprocess
import sys

import pytest

WARN = "from relay.run import firewall; print(firewall.warning(['iif lo', 'udp dport 3478']))"
CHAIN = """
nft add table inet f
nft add chain inet f i "{{ type filter hook {hook} priority 0; policy {policy}; }}"
"""

pytestmark = pytest.mark.netns


def warned(prepare: str, path: str = "$PATH") -> str:
    """What is said in a network namespace of its own."""
    script = f'{prepare}\nPATH={path} "$@"'
    command = ["unshare", "--net", "sh", "-ec", script, "sh", sys.executable, "-c", WARN]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_chain_that_drops_by_default_is_named_with_its_rules() -> None:
    assert warned(CHAIN.format(hook="input", policy="drop")) == (
        "This host's firewall drops what no rule accepts (chain inet f i): if calls do not "
        "connect, `nft add rule inet f i iif lo accept` and "
        "`nft add rule inet f i udp dport 3478 accept`"
    )


def test_the_rules_that_are_advised_can_be_added() -> None:
    advised = "nft add rule inet f i udp dport { 3478, 10000-29999 } accept"
    assert warned(f"{CHAIN.format(hook='input', policy='accept')}\n{advised}") == "None"


@pytest.mark.parametrize(("hook", "policy"), [("input", "accept"), ("forward", "drop")])
def test_others_are_no_matter(hook: str, policy: str) -> None:
    assert warned(CHAIN.format(hook=hook, policy=policy)) == "None"


def test_without_nft_nothing_is_said() -> None:
    assert warned(CHAIN.format(hook="input", policy="drop"), path="/nowhere") == "None"
