"""The registry and the Dagger engine."""

import http.client
import os
import subprocess
from pathlib import Path

from lab import checks, images, network, packages, paths, tools
from lab.paths import BIN, CNI, ENGINE_CIDR, ENGINE_NETWORK, ENGINE_SOCKET, REGISTRY, STATE, install, render
from lab.processes import Service, running, start, stop, wait_until
from lab.steps import say

PLUGINS = ("bridge", "loopback", "firewall", "host-local", "portmap")
GPU = STATE / "gpu"
WRAPPERS = STATE / "wrappers"
# Without this option the engine's name server would listen on port 53 of every address of the machine.
DNSMASQ_SCRIPT = """\
#!/bin/sh
exec @DNSMASQ@ --bind-dynamic "$@"
"""
SWITCH = "_EXPERIMENTAL_DAGGER_GPU_SUPPORT"
# The engine calls this path, which is built in, before it starts a container that asked for GPUs.
HOOK = Path("/usr/bin/nvidia-container-runtime-hook")
HOOK_SCRIPT = """\
#!/bin/sh
# Notes which GPUs a container asked for: that proves the request, and nothing more.
bundle=$(sed -n 's/.*"bundle":"\\([^"]*\\)".*/\\1/p')
grep -o 'NVIDIA_VISIBLE_DEVICES=[^"]*' "$bundle/config.json" >> @LOG@
exit 0
"""


def client_variables() -> dict[str, str]:
    """Return the environment variables that `dagger` and `kubectl` need, except PATH."""
    return {
        "_EXPERIMENTAL_DAGGER_RUNNER_HOST": f"unix://{ENGINE_SOCKET}",
        "DO_NOT_TRACK": "1",
        "DAGGER_NO_NAG": "1",
        "KUBECONFIG": str(paths.KUBECONFIG),
        # Otherwise these clients would write to the user's home.
        "KUBECACHEDIR": str(STATE / "client" / "kube"),
        "XDG_STATE_HOME": str(STATE / "client" / "state"),
    }


def start_registry() -> None:
    """Start the registry and make sure that it has the base images."""
    config = render("registry.yml", STATE / "registry.yml")
    service = Service(
        "registry", (str(packages.program("docker-registry")), "serve", str(config)), files=(config,)
    )
    if not running(service):
        checks.port(5000, "the registry")
    if start(service):
        say(f"registry on {REGISTRY}")
    wait_until("the registry", registry_answers, service)
    images.push_python()


def registry_answers() -> bool:
    """Return whether the registry answers."""
    connection = http.client.HTTPConnection(REGISTRY, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start_engine(*, gpu_recorder: bool) -> None:
    """Start the engine. An engine with the recorder keeps it until `down`."""
    _install_programs()
    content = images.sdk_content()
    plain, recording = _service(content, gpu_recorder=False), _service(content, gpu_recorder=True)
    now = {process.settings for process in running(plain)}
    if gpu_recorder and now == {plain.settings}:
        say("the engine runs without the GPU recorder: it is started again, and calls in progress end")
        stop([plain.name])
    service = recording if gpu_recorder or now == {recording.settings} else plain

    def prepare() -> None:
        images.use_content(content)
        ENGINE_SOCKET.unlink(missing_ok=True)
        network.clean(network.ENGINE)

    if start(service, prepare):
        say(f"engine {paths.DAGGER_VERSION}{' with the GPU recorder' if service is recording else ''}")
    wait_until("the engine", engine_answers, service)


def engine_answers() -> bool:
    """Return whether a client can open a session."""
    command = [str(BIN / "dagger"), "--progress=plain", "core", "version"]
    environment = os.environ | client_variables()
    return subprocess.run(command, capture_output=True, env=environment, cwd="/", check=False).returncode == 0


def _service(content: Path, *, gpu_recorder: bool) -> Service:
    config = render("engine.toml", STATE / "engine.toml")
    # The engine needs a cgroup v2 tree, and rewrites /etc/resolv.conf for its containers.
    isolation: dict[str, object] = {"private": ["/etc", "/run", "/var"], "cgroup2": True}
    if images.CERTIFICATES.exists():  # the images have them; the engine would add them to every container
        isolation["hidden"] = [str(images.CERTIFICATES)]
    env = images.sdk_variables(content)
    # A third of the engine's processor time is garbage collection otherwise; the limit is for small machines.
    env |= {"GOGC": "400", "GOMEMLIMIT": "2GiB"}
    if gpu_recorder:
        folder = GPU / "hook"
        script = HOOK_SCRIPT.replace("@LOG@", str(GPU / "requests.log"))
        paths.write(folder / HOOK.name, script, mode=0o755)
        isolation["over"] = {str(folder): str(HOOK.parent)}
        env[SWITCH] = "1"
    command = (
        str(BIN / "engine"), "--config", str(config), "--root", str(STATE / "engine"),
        "--oci-cni-binary-dir", str(CNI / "bin"),
        "--network-name", ENGINE_NETWORK, "--network-cidr", ENGINE_CIDR,
    )  # fmt: skip
    dnsmasq = DNSMASQ_SCRIPT.replace("@DNSMASQ@", str(packages.program("dnsmasq")))
    return Service(
        "engine",
        command,
        env=env,
        isolation=isolation,
        programs=str(WRAPPERS),
        files=(config, paths.write(WRAPPERS / "dnsmasq", dnsmasq, mode=0o755)),
        version=tools.ENGINE.version,
    )


def _install_programs() -> None:
    """Install the CNI plugins, and the programs that the engine calls by fixed paths (go/engine/consts)."""
    install(packages.program("runc"), BIN / "runc")
    install(BIN / "init", BIN / "dagger-init")
    for plugin in PLUGINS:
        install(Path("/usr/lib/cni") / plugin, CNI / "bin" / plugin)
    install(BIN / "dnsname", CNI / "bin" / "dnsname")
