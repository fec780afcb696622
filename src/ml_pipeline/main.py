"""The functions that `dagger call` offers; each is one short step into the room that does the work."""

from functools import partial
from typing import Annotated

import dagger
from dagger import DefaultPath, Doc, Ignore, check, function, object_type

from ml_pipeline import pipeline
from ml_pipeline.checks import stages as checks
from ml_pipeline.cluster.access import Cluster
from ml_pipeline.data import stages as data
from ml_pipeline.engine import sources
from ml_pipeline.engine.environments import Environments
from ml_pipeline.engine.run import Run, side_by_side
from ml_pipeline.errors import ConfigError
from ml_pipeline.project import config
from ml_pipeline.publishing import stages as publishing
from ml_pipeline.publishing.stages import Registry
from ml_pipeline.release import stages as release
from ml_pipeline.serving import stages as serving
from ml_pipeline.tracking import stages as tracking
from ml_pipeline.tracking.stages import Tracker
from ml_pipeline.training import nodes as training_nodes
from ml_pipeline.training import stages as training

Source = Annotated[
    dagger.Directory,
    DefaultPath("/"),
    Ignore(
        [
            "**/__pycache__", "**/*.pyc", "**/.venv*", "**/venv", "**/.tox", "**/.nox", "**/node_modules",
            "**/.mypy_cache", "**/.pytest_cache", "**/.ruff_cache", "**/.hypothesis", "**/.ipynb_checkpoints",
            "**/mlruns",
            ".git/*", "!.git/HEAD", "!.git/packed-refs", "!.git/refs",
        ]
    ),
    Doc("The project's folder"),
]  # fmt: skip
RegistryAddress = Annotated[str | None, Doc("Where the image goes, as HOST[:PORT][/PATH]; absent: nowhere")]
Username = Annotated[str | None, Doc("Who pushes to the registry")]
Password = Annotated[dagger.Secret | None, Doc("The password or token of --registry-username")]
Kubeconfig = Annotated[dagger.Secret, Doc("A kubeconfig with a current context, as file:// or env://")]
OptionalKubeconfig = Annotated[dagger.Secret | None, Doc("Which cluster; absent: none")]
KubeApi = Annotated[
    dagger.Service | None, Doc("The API server where only this machine reaches it, as tcp://localhost:6443")
]
Reproducible = Annotated[
    bool,
    Doc(
        "Push without the engine, so that the same source has the same digest; the registry (http://HOST "
        "where it is no https) must be reachable from the engine's containers"
    ),
]
NodeCount = Annotated[
    int, Doc("How many nodes of the cluster train together; 1: the engine trains, whatever else is given")
]
Baseline = Annotated[
    dagger.Container | None, Doc("The image to compare with; absent: what the cluster runs, or none")
]


@object_type
class MlPipeline:
    """Test, train, judge and ship a model: one call from source to a served model."""

    gpu: Annotated[
        str, Doc("auto: use a GPU where the engine has one; on: require it; off: train on the CPU")
    ] = "auto"
    python_image: Annotated[str, Doc("Base image of every stage but training, and of what is served")] = (
        "python:3.13-slim"
    )
    training_image: Annotated[str, Doc("CUDA PyTorch image that training runs in")] = (
        "pytorch/pytorch:2.9.0-cuda12.8-cudnn9-runtime"
    )
    package_index: Annotated[str | None, Doc("Package index in the place of PyPI")] = None
    extra_index: Annotated[
        dagger.Secret | None,
        Doc(
            "An index that is asked first, such as one of CPU wheels: its URL, credentials included, as env://"
        ),
    ] = None

    data_credentials: Annotated[
        dagger.Secret | None,
        Doc(
            "What data in s3:// is read with: a file as ~/.aws/credentials, as file:// or env://; "
            "its [default] may name region and endpoint_url too"
        ),
    ] = None

    tracking_uri: Annotated[
        str | None, Doc("The MLflow server that runs are tracked on, as http://HOST:PORT; absent: none")
    ] = None
    tracking_username: Annotated[
        str | None, Doc("Who tracks; absent: --tracking-password is a token, or there is none")
    ] = None
    tracking_password: Annotated[dagger.Secret | None, Doc("The password of --tracking-username")] = None
    tracking_server: Annotated[
        dagger.Service | None,
        Doc("The server of --tracking-uri where only this machine reaches it, as tcp://localhost:5000"),
    ] = None

    @function
    @check
    async def lint(self, source: Source) -> str:
        """Check style, formatting and types."""
        return await (await checks.lint(await self._run(source))).text()

    @function
    @check
    async def test(
        self,
        source: Source,
        python_versions: Annotated[
            list[str] | None, Doc("Python versions, as 3.12; absent: the base image's")
        ] = None,
    ) -> str:
        """Run the project's tests."""
        run = await self._run(source)
        images = [f"python:{version}-slim" for version in python_versions or []] or [self.python_image]
        finished = await side_by_side(*(partial(checks.test, run, image) for image in images))
        return "\n".join([await stage.text() for stage in finished])

    @function(cache="session")  # type: ignore[call-overload, untyped-decorator]
    async def validate_data(
        self,
        source: Source,
        baseline: Baseline = None,
        schema: Annotated[bool, Doc("Return the columns' tables for the configuration instead")] = False,
    ) -> str:
        """Check the data: schema, quality, leakage, drift."""
        run = await self._run(source)
        if schema:
            return await data.schema(run)
        compared = await pipeline.find_baseline(run, baseline, None)
        return await (await data.validate(run, compared.record if compared else None)).text()

    @function(cache="session")  # type: ignore[call-overload, untyped-decorator]
    async def train(
        self,
        source: Source,
        nodes: NodeCount = 1,
        kubeconfig: OptionalKubeconfig = None,
        kube_api: KubeApi = None,
        registry: Annotated[str | None, Doc("Where the nodes find the training image, rows included")] = None,
        registry_username: Username = None,
        registry_password: Password = None,
    ) -> dagger.Directory:
        """Train the model; return its folder: model, signature, metrics, history."""
        target = Registry(registry, registry_username, registry_password) if registry else None
        cluster = Cluster(kubeconfig, kube_api) if kubeconfig else None
        together = training_nodes.chosen(nodes, cluster, target)
        run, tracker = await self._run(source), self._tracker()
        async with pipeline.tracked(run, tracker):
            return await (await training.train(run, together)).folder.sync()

    @function(cache="session")  # type: ignore[call-overload, untyped-decorator]
    async def build_image(self, source: Source) -> dagger.Container:
        """Train the model and build its serving image."""
        run = await self._run(source)
        return await serving.build(run, await training.train(run))

    @function(cache="session")  # type: ignore[call-overload, untyped-decorator]
    async def validate_gate(self, source: Source, baseline: Baseline = None) -> str:
        """Train, build, and judge the image by the project's gates."""
        run, tracker = await self._run(source), self._tracker()
        async with pipeline.tracked(run, tracker):
            await pipeline.judged(run, await pipeline.find_baseline(run, baseline, None))
        return pipeline.markdown(run)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def publish(
        self,
        source: Source,
        registry: Annotated[str, Doc("Where the image goes, as HOST[:PORT][/PATH]")],
        registry_username: Username = None,
        registry_password: Password = None,
        baseline: Baseline = None,
        reproducible: Reproducible = False,
    ) -> str:
        """Train, build and judge the image, and push it where it passed; return its reference by digest."""
        target = Registry(registry, registry_username, registry_password, reproducible)
        run, tracker = await self._run(source), self._tracker()
        async with pipeline.tracked(run, tracker):
            trained, served = await pipeline.judged(run, await pipeline.find_baseline(run, baseline, None))
            return await publishing.publish(run, pipeline.servable(served), target, trained.version)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def deploy(
        self,
        source: Source,
        image: Annotated[str, Doc("The image by digest, as publish returned it")],
        kubeconfig: Kubeconfig,
        kube_api: KubeApi = None,
    ) -> str:
        """Release an image to Kubernetes; return the release record as JSON."""
        run, tracker = await self._run(source), self._tracker()
        if tracker:
            await tracking.begin(run, tracker)
        released = await release.deploy(run, Cluster(kubeconfig, kube_api), image)
        if tracker:
            await tracking.released(run, tracker, released.details["version"])
        return release.as_text(released)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def rollback(self, source: Source, kubeconfig: Kubeconfig, kube_api: KubeApi = None) -> str:
        """Go back to the release before; return the release record as JSON."""
        run, tracker = await self._run(source), self._tracker()
        released = await release.rollback(run, Cluster(kubeconfig, kube_api))  # a tracker can't hinder it
        if tracker:
            await tracking.released(run, tracker, released.details["version"])
        return release.as_text(released)

    @function(cache="session")  # type: ignore[call-overload, untyped-decorator]
    async def serve(self, source: Source) -> dagger.Service:
        """Train the model and serve its image, for `up`."""
        run = await self._run(source)
        await serving.check_gpu(run, "serve")
        served = (await serving.build(run, await training.train(run))).with_(serving.with_gpus(run))
        return served.as_service(use_entrypoint=True)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def report(self, source: Source, baseline: Baseline = None) -> dagger.Directory:
        """Run all up to the gate; return a folder to look at, whether or not the gate passed."""
        return await pipeline.report(await self._run(source), baseline)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def full_pipeline(
        self,
        source: Source,
        registry: RegistryAddress = None,
        registry_username: Username = None,
        registry_password: Password = None,
        kubeconfig: OptionalKubeconfig = None,
        kube_api: KubeApi = None,
        baseline: Baseline = None,
        nodes: NodeCount = 1,
        reproducible: Reproducible = False,
    ) -> str:
        """Lint, test, check data, train, build, judge, publish and deploy; return a Markdown summary."""
        login = registry_username, registry_password
        target = Registry(registry, *login, reproducible) if registry else None
        cluster = Cluster(kubeconfig, kube_api) if kubeconfig else None
        together = training_nodes.chosen(nodes, cluster, target)
        run, tracker = await self._run(source), self._tracker()
        return await pipeline.full(run, target, cluster, baseline, together, tracker)

    def _tracker(self) -> Tracker | None:
        if self.tracking_uri:
            return Tracker(
                self.tracking_uri, self.tracking_username, self.tracking_password, self.tracking_server
            )
        if self.tracking_username or self.tracking_password or self.tracking_server:
            raise ConfigError(
                "a --tracking option without --tracking-uri", "pass --tracking-uri=http://HOST:PORT"
            )
        return None

    async def _run(self, source: dagger.Directory) -> Run:
        if self.gpu not in {"auto", "on", "off"}:
            raise ConfigError(f"--gpu={self.gpu} is unknown", "use auto, on or off")
        project = config.parse(
            await sources.text(source, "pyproject.toml"), await sources.text(source, "ml-pipeline.toml")
        )
        environments = Environments(
            self.python_image,
            self.training_image,
            self.gpu,
            self.package_index,
            self.extra_index,
            self.data_credentials,
        )
        return Run(source, project, environments)
