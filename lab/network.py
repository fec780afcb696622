"""Removes what the lab's networks leave on the machine: iptables rules, bridges, veth pairs.

Rules are recognised by their content (the lab's network names, bridges and addresses, Kubernetes' chain
names), never by position. Rules of other programs stay as they are.
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

# Chains that the CNI plugins share between networks: they are removed when no network uses them.
SHARED = re.compile(r"CNI-(FORWARD|ADMIN|HOSTPORT-[A-Z]+)$")
FILTERS = {"CNI-FORWARD", "CNI-ADMIN"}
OF_ONE_CONTAINER = re.compile(r"CNI-(DN-)?[0-9a-f]+$")


@dataclass(frozen=True)
class Rule:
    """A rule as iptables-save writes it, without its -A, and its words; the first is its chain."""

    text: str
    words: list[str]

    @property
    def chain(self) -> str:
        return self.words[0]

    def after(self, option: str) -> str:
        """Return the word after an option, or "" if the rule does not have it."""
        return self.words[self.words.index(option) + 1] if option in self.words else ""

    def says(self, comment: str) -> bool:
        """Return whether a plugin wrote the rule: each plugin begins its comments in its own way."""
        return self.after("--comment").startswith((comment, f"dnat {comment}"))


def removal(saved: str, network: Network) -> str:
    """Turn iptables-save's text into iptables-restore's input that removes one network's rules.

    Returns "" if there is nothing to remove. Apply it with `iptables-restore --noflush`.
    """
    output = []
    table = ""
    chains: list[str] = []
    rules: list[Rule] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            table, chains, rules = line[1:], [], []
        elif line.startswith(":"):
            chains.append(line[1:].split()[0])
        elif line.startswith("-A"):
            rules.append(Rule(line.removeprefix("-A "), shlex.split(line)[1:]))
        elif line == "COMMIT":
            output += _table(table, chains, rules, network)
    return "".join(f"{line}\n" for line in output)


def _table(table: str, chains: list[str], rules: list[Rule], network: Network) -> list[str]:
    """Return one table's part of `removal`."""
    comment = f'name: "{network.name}" id: '
    jumps = {rule.after("-j") for rule in rules if rule.says(comment)}
    gone = {chain for chain in chains if chain in jumps and OF_ONE_CONTAINER.match(chain)}
    if network.kubernetes:
        gone |= {chain for chain in chains if chain.startswith("KUBE-")}

    def mine(rule: Rule) -> bool:
        if rule.chain in gone or rule.after("-j") in gone or rule.says(comment):
            return True
        return rule.chain == "CNI-FORWARD" and any(word.startswith(network.prefix) for word in rule.words)

    others = [chain for chain in chains if OF_ONE_CONTAINER.match(chain) and chain not in gone]
    foreign = [rule for rule in rules if rule.chain in FILTERS and rule.after("-j") not in FILTERS]
    if not others and all(mine(rule) for rule in foreign):
        gone |= {chain for chain in chains if SHARED.match(chain)}
    deleted = [rule for rule in rules if rule.chain not in gone and mine(rule)]
    if not deleted and not gone:
        return []
    return [
        f"*{table}",
        *(f"-D {rule.text}" for rule in deleted),
        *(f"-F {chain}" for chain in sorted(gone)),  # first all, since they jump to each other
        *(f"-X {chain}" for chain in sorted(gone)),
        "COMMIT",
    ]


def clean(network: Network) -> None:
    """Remove a network's rules, bridge and veth pairs. Raises LabError, which names what stays."""
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
            # A veth pair disappears soon after its namespace; then the command fails.
            subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
        if time.monotonic() > deadline:
            raise LabError(f"network link {names[0]} can't be deleted; see `ip link`")


def _links(bridge: str) -> list[str]:
    """Return the names of the links on a bridge, and then the bridge."""
    result = subprocess.run(["ip", "-json", "link", "show"], capture_output=True, text=True, check=True)
    links = json.loads(result.stdout)
    return [link["ifname"] for link in links if link.get("master") == bridge] + [
        link["ifname"] for link in links if link["ifname"] == bridge
    ]
