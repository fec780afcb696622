"""Takes back what the lab's networks leave on the machine: iptables rules, bridges, veth pairs.

The rules are found by what they say (the lab's network names, bridges and addresses, Kubernetes'
chain names), never by position: other programs' rules stay as they are.
"""

import json
import re
import shlex
import subprocess
import time
from dataclasses import dataclass

from lab.errors import LabError
from lab.paths import ENGINE_BRIDGE, ENGINE_CIDR, ENGINE_NETWORK, POD_BRIDGE, POD_CIDR, POD_NETWORK


@dataclass(frozen=True)
class Network:
    """A bridge network that CNI plugins made."""

    name: str
    bridge: str
    prefix: str  # of its addresses, as text: "10.88."
    kubernetes: bool = False


ENGINE = Network(ENGINE_NETWORK, ENGINE_BRIDGE, ENGINE_CIDR.removesuffix("0.0/16"))
PODS = Network(POD_NETWORK, POD_BRIDGE, POD_CIDR.removesuffix("0.0/16"), kubernetes=True)

# Chains that the CNI plugins share between networks: they go when no network uses them any more.
SHARED = re.compile(r"CNI-(FORWARD|ADMIN|HOSTPORT-[A-Z]+)$")
OF_ONE_CONTAINER = re.compile(r"CNI-(DN-)?[0-9a-f]+$")


def removal(saved: str, network: Network) -> str:
    """Turn iptables-save's text into iptables-restore's input that removes one network's rules.

    Returns "" where there is nothing to remove. Apply it with `iptables-restore --noflush`.
    """
    output = []
    table = ""
    chains: list[str] = []
    rules: list[list[str]] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            table, chains, rules = line[1:], [], []
        elif line.startswith(":"):
            chains.append(line[1:].split()[0])
        elif line.startswith("-A"):
            rules.append(shlex.split(line)[1:])
        elif line == "COMMIT":
            output += _table(table, chains, rules, network)
    return "".join(f"{line}\n" for line in output)


def _table(table: str, chains: list[str], rules: list[list[str]], network: Network) -> list[str]:
    """One table's part of `removal`; a rule is its words, the first of which is its chain."""
    comment = f'name: "{network.name}" id: '
    jumps = {rule[rule.index("-j") + 1] for rule in rules if "-j" in rule and _says(rule, comment)}
    gone = {chain for chain in chains if chain in jumps and OF_ONE_CONTAINER.match(chain)}
    if network.kubernetes:
        gone |= {chain for chain in chains if chain.startswith("KUBE-")}

    def mine(rule: list[str]) -> bool:
        if rule[0] in gone or gone & set(rule):
            return True
        if _says(rule, comment):
            return True
        return rule[0] == "CNI-FORWARD" and any(word.startswith(network.prefix) for word in rule)

    shared = {chain for chain in chains if SHARED.match(chain)}
    others = [chain for chain in chains if OF_ONE_CONTAINER.match(chain) and chain not in gone]
    foreign = [r for r in rules if r[0] in {"CNI-FORWARD", "CNI-ADMIN"} and not mine(r) and "CNI-ADMIN" not in r]
    if not others and not foreign:
        gone |= shared
    deleted = [rule for rule in rules if rule[0] not in gone and mine(rule)]
    if not deleted and not gone:
        return []
    return [
        f"*{table}",
        *(f"-D {shlex.join(rule)}" for rule in deleted),
        *(f"-F {chain}" for chain in sorted(gone)),  # first all, since they jump to each other
        *(f"-X {chain}" for chain in sorted(gone)),
        "COMMIT",
    ]


def _says(rule: list[str], comment: str) -> bool:
    return "--comment" in rule and rule[rule.index("--comment") + 1].startswith(
        (comment, f"dnat {comment}")
    )


def clean(network: Network) -> None:
    """Remove a network's rules, bridge and veth pairs. Raises LabError with what stays."""
    for program in ("iptables", "ip6tables"):
        for attempt in range(5):
            # Another program may change the tables between the two commands, so look again.
            saved = subprocess.run([f"{program}-save"], capture_output=True, text=True, check=False).stdout
            text = removal(saved, network)
            if not text:
                break
            result = subprocess.run(
                [f"{program}-restore", "--noflush"], input=text, capture_output=True, text=True, check=False
            )
            if result.returncode and attempt == 4:
                raise LabError(f"{program}-restore could not remove the lab's rules: {result.stderr.strip()}")
    deadline = time.monotonic() + 5
    while names := _links(network.bridge):
        for name in names:
            # A veth pair goes by itself soon after its namespace: then the command fails.
            subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
        if time.monotonic() > deadline:
            raise LabError(f"network link {names[0]} does not go; see `ip link`")


def _links(bridge: str) -> list[str]:
    """The bridge and what hangs on it, those first."""
    result = subprocess.run(["ip", "-json", "link", "show"], capture_output=True, text=True, check=True)
    links = json.loads(result.stdout)
    return [link["ifname"] for link in links if link.get("master") == bridge] + [
        link["ifname"] for link in links if link["ifname"] == bridge
    ]
