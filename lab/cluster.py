"""Kubernetes: etcd, the control plane, one node, and Argo Rollouts' controller."""

import http.client
import shutil
import subprocess

from lab import certificates, cgroups, checks, images, network, packages, paths, tools
from lab.errors import LabError
from lab.paths import BIN, CNI, HERE, PKI, POD_CIDR, SERVICE_CIDR, STATE, render
from lab.processes import Service, current, start, stop, wait_until
from lab.steps import say

NODE = "lab"
ETCD_URL = "http://127.0.0.1:2379"
ROLLOUTS_NAMESPACE = "argo-rollouts"
VERSION = tools.CLUSTER.version
ADMIN = str(certificates.ADMIN_CONFIG)
# Services in containerd's namespaces end with it.
ON_NODE = ["kube-proxy", "kubelet", "containerd"]
CONTROL_PLANE = ["rollouts-controller", "kube-scheduler", "kube-controller-manager", "kube-apiserver"]

ETCD = Service(
    "etcd",
    (
        "/usr/bin/etcd", "--data-dir", f"{STATE}/etcd",
        "--listen-client-urls", ETCD_URL, "--advertise-client-urls", ETCD_URL,
        "--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn",
    ),
)  # fmt: skip
APISERVER = Service(
    "kube-apiserver",
    (
        f"{BIN}/kube-apiserver", f"--etcd-servers={ETCD_URL}", f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--tls-cert-file={PKI}/apiserver.crt", f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt", f"--cert-dir={STATE}/kube-apiserver",
        f"--service-account-key-file={PKI}/sa.key", f"--service-account-signing-key-file={PKI}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC", "--allow-privileged",
        f"--kubelet-client-certificate={PKI}/admin.crt", f"--kubelet-client-key={PKI}/admin.key",
        "--kubelet-preferred-address-types=InternalIP",
    ),
    version=VERSION,
)  # fmt: skip
CONTROLLERS = Service(
    "kube-controller-manager",
    (
        f"{BIN}/kube-controller-manager", f"--kubeconfig={ADMIN}", "--leader-elect=false",
        f"--service-account-private-key-file={PKI}/sa.key", f"--root-ca-file={PKI}/ca.crt",
    ),
    version=VERSION,
)  # fmt: skip
SCHEDULER = Service(
    "kube-scheduler",
    (f"{BIN}/kube-scheduler", f"--kubeconfig={ADMIN}", "--leader-elect=false"),
    version=VERSION,
)
PROXY = Service(
    "kube-proxy",
    (
        f"{BIN}/kube-proxy", f"--kubeconfig={ADMIN}", f"--cluster-cidr={POD_CIDR}",
        f"--hostname-override={NODE}", "--proxy-mode=iptables",
    ),
    inside="containerd",
    version=VERSION,
)  # fmt: skip
ROLLOUTS = Service(
    "rollouts-controller",
    (
        # Its default ports, 8080 and 8090, are often used by programs that people try out.
        f"{BIN}/rollouts-controller", f"--kubeconfig={ADMIN}", f"--namespace={ROLLOUTS_NAMESPACE}",
        "--leader-elect=false", "--healthzPort=18080", "--metricsPort=18090",
    ),
    version=VERSION,
)  # fmt: skip

PORTS = {
    "etcd": (2379, 2380),
    "kube-apiserver": (6443,),
    "kube-controller-manager": (10257,),
    "kube-scheduler": (10259,),
    "kubelet": (10248, 10250),
    "kube-proxy": (10249, 10256),
    "rollouts-controller": (18080, 18090),
}


def start_cluster() -> None:
    """Start the services that do not run; return when the node is ready and Rollouts can be applied."""
    names = {process.service for process in current()}
    for name, ports in PORTS.items():
        if name not in names:
            for port in ports:
                checks.port(port, name)
    images.push_pause()
    if certificates.make():
        stop([*ON_NODE, *CONTROL_PLANE])  # they use the old certificate authority
    _start_control_plane()
    _start_node()
    _apply_rollouts()
    if start(ROLLOUTS):
        say("Argo Rollouts")


def kubectl(*words: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl as the administrator; the caller checks the exit code."""
    command = [str(BIN / "kubectl"), "--kubeconfig", ADMIN, "--cache-dir", f"{STATE}/client/kube", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _start_control_plane() -> None:
    start(ETCD)
    if start(APISERVER):
        say(f"Kubernetes {paths.KUBERNETES_VERSION} on localhost:6443")
    wait_until("the API server", lambda: kubectl("get", "--raw", "/readyz").returncode == 0, APISERVER)
    start(CONTROLLERS)
    start(SCHEDULER)


def _start_node() -> None:
    containerd, kubelet = _containerd(), _kubelet()
    if start(containerd, _clear_node):
        say("containerd")
    # Its socket answers before its services for kubelet do, and kubelet asks once and gives up. These write
    # "successfully booted", recover what was left behind, and then write this line.
    serving = "Start streaming server"
    wait_until("containerd", lambda: serving in containerd.log.read_text(errors="replace"), containerd)
    fresh = start(kubelet)
    if start(PROXY) or fresh:
        say(f"node {NODE}")
    wait_until("kubelet", kubelet_answers, kubelet)
    ready = ("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=5s")
    wait_until("the node", lambda: kubectl(*ready).returncode == 0, kubelet)


def _clear_node() -> None:
    """Remove all traces of pods, as a reboot does: none of them survives containerd's namespace."""
    network.clean(network.PODS)
    cgroups.make()
    shutil.rmtree(STATE / "containerd" / "state", ignore_errors=True)


def _containerd() -> Service:
    config = render("containerd.toml", STATE / "containerd.toml")
    conflist = CNI / "conf" / "10-lab.conflist"
    paths.write(conflist, (HERE / "config" / "cni.conflist").read_text())
    command = (str(packages.program("containerd")), "--config", str(config))
    return Service("containerd", command, isolation={"private": ["/run", "/var"]}, files=(config, conflist))


def _kubelet() -> Service:
    config = render("kubelet.yaml", STATE / "kubelet.yaml")
    command = (
        f"{BIN}/kubelet", f"--config={config}", f"--kubeconfig={certificates.KUBELET_CONFIG}",
        f"--hostname-override={NODE}", f"--root-dir={STATE}/kubelet", f"--cert-dir={STATE}/kubelet/pki",
    )  # fmt: skip
    return Service("kubelet", command, inside="containerd", files=(config,), version=VERSION)


def kubelet_answers() -> bool:
    """Return whether kubelet is healthy. (The API server notices a dead one only after a while.)"""
    connection = http.client.HTTPConnection("127.0.0.1:10248", timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _apply_rollouts() -> None:
    """Apply Argo Rollouts' resource definitions. The namespace is created last: if it exists, all do."""
    if kubectl("get", "namespace", ROLLOUTS_NAMESPACE, "-o", "name").returncode == 0:
        return
    commands = (
        ("apply", "--server-side", "-f", str(tools.CRDS)),
        ("create", "namespace", ROLLOUTS_NAMESPACE),
    )
    for words in commands:
        result = kubectl(*words)
        if result.returncode:
            raise LabError(f"kubectl {' '.join(words)} failed: {result.stderr.strip()}")
