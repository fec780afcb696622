"""Builds the Dagger and Kubernetes programs from Go modules into the state's bin folder."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.paths import BIN, DAGGER_VERSION, HERE, KUBERNETES_VERSION, STATE, files_below, fingerprint, write
from lab.steps import run, temporary, timed

_CONFIG = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
# Go's caches and counters stay out of the user's home; the user's own Go settings are used.
GO = {
    "CGO_ENABLED": "0",
    "GOENV": os.environ.get("GOENV") or str(_CONFIG / "go" / "env"),
    "GOPATH": str(STATE / "go"),
    "GOCACHE": str(STATE / "go" / "build"),
    "GOMODCACHE": str(STATE / "go" / "mod"),
    "XDG_CONFIG_HOME": str(STATE / "go" / "config"),
}
TAGS = "-tags=dfexcludepatterns,dfparents"  # as in BuildKit's own build
CRDS = STATE / "crds"
ROLLOUTS = "github.com/argoproj/argo-rollouts"


@dataclass(frozen=True)
class Module:
    """A Go module; the `tool` lines of its go.mod name the programs to build."""

    name: str
    programs: tuple[str, ...]
    values: tuple[str, ...]  # name=value, for the linker

    @property
    def folder(self) -> Path:
        return HERE / "go" / self.name

    @property
    def version(self) -> str:
        """Return a digest of everything that affects the build."""
        return fingerprint(self.folder, files_below(self.folder), TAGS, *self.values)

    @property
    def stamp(self) -> Path:
        return STATE / "built" / self.name

    @property
    def built(self) -> bool:
        """Return whether all programs of this version are built; the stamp is written last."""
        return (
            self.stamp.exists()
            and self.stamp.read_text() == self.version
            and all((BIN / program).exists() for program in self.programs)
        )


_DAGGER = "github.com/dagger/dagger/engine"
_KUBERNETES = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")

ENGINE = Module(
    "engine",
    ("codegen", "dagger", "dnsname", "engine", "init"),
    (f"{_DAGGER}.Version={DAGGER_VERSION}", f"{_DAGGER}.Tag={DAGGER_VERSION}"),
)
CLUSTER = Module(
    "cluster",
    (
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
        "pause",
        "rollouts-controller",
    ),
    (
        f"{_KUBERNETES}.gitVersion={KUBERNETES_VERSION}",
        f"{_KUBERNETES}.gitMajor={_MAJOR}",
        f"{_KUBERNETES}.gitMinor={_MINOR}",
    ),
)


def build(module: Module) -> None:
    """Build a module's programs unless they are built; Go's cache keeps the work of a killed build."""
    if module.built:
        return
    flags = ["-v", "-mod=readonly", "-modcacherw", "-buildvcs=false", TAGS]
    flags.append("-ldflags=-s -w " + " ".join(f"-X {value}" for value in module.values))
    with timed(f"building the {module.name} programs, minutes the first time"), temporary("build") as made:
        run(
            ["go", "build", "-C", module.folder, *flags, "-o", f"{made}/", "tool"],
            log=f"build-{module.name}", what=f"go build of the {module.name} programs",
            env=GO | {"GOTMPDIR": str(made)},
        )  # fmt: skip
        lacking = [program for program in module.programs if not (made / program).exists()]
        if lacking:
            raise LabError(f"{module.folder}/go.mod names no tool that builds {', '.join(lacking)}; add it")
        BIN.mkdir(parents=True, exist_ok=True)
        for program in module.programs:
            (made / program).replace(BIN / program)
        if module is CLUSTER:
            _take_crds(made)
    write(module.stamp, module.version)


def _take_crds(made: Path) -> None:
    """Copy Argo Rollouts' resource definitions from Go's cache, so that Go is not needed again."""
    command = ["go", "list", "-C", str(CLUSTER.folder), "-m", "-f", "{{.Dir}}", ROLLOUTS]
    listed = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if listed.returncode:
        raise LabError(f"go list of {ROLLOUTS} failed: {listed.stderr.strip()}")
    crds = made / "crds"
    crds.mkdir()
    for path in Path(listed.stdout.strip(), "manifests", "crds").glob("*-crd.yaml"):
        shutil.copy(path, crds / path.name)
    if CRDS.exists():
        shutil.rmtree(CRDS)
    crds.replace(CRDS)


def forget_sources() -> None:
    """Delete Go's caches (8 GB) when everything is built; another version is then built from nothing."""
    if ENGINE.built and CLUSTER.built:
        shutil.rmtree(STATE / "go", ignore_errors=True)


def go_root() -> Path:
    """Return the folder of this machine's Go."""
    return Path(subprocess.check_output(["go", "env", "GOROOT"], env=_environment(), text=True).strip())


def _environment() -> dict[str, str]:
    return os.environ | GO
