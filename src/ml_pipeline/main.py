"""The functions of `dagger call`. Each is one short method over the room that does the work."""

from functools import partial
from typing import Annotated

import dagger
from dagger import Doc, check, function, object_type

from ml_pipeline import pipeline
from ml_pipeline.checks import stages as checks
from ml_pipeline.cluster.access import Cluster
from ml_pipeline.data import stages as data
from ml_pipeline.engine import sources
from ml_pipeline.engine.environments import Environments
from ml_pipeline.engine.run import Run, side_by_side
from ml_pipeline.errors import ConfigError
from ml_pipeline.options import (
    Actor,
    Baseline,
    Force,
    KubeApi,
    Kubeconfig,
    NodeCount,
    OptionalKubeconfig,
    Password,
    RegistryAddress,
    Reproducible,
    Source,
    Username,
)
from ml_pipeline.project import config
from ml_pipeline.publishing import stages as publishing
from ml_pipeline.publishing.stages import Registry
from ml_pipeline.release import stages as release
from ml_pipeline.release.stages import Caller
from ml_pipeline.serving import stages as serving
from ml_pipeline.tracking.stages import Tracker
from ml_pipeline.training import nodes as training_nodes
from ml_pipeline.training import stages as training


@object_type
class MlPipeline:
    """Test, train, judge and release a model, from source to a served model in one call."""

    gpu: Annotated[
        str, Doc("auto: use a GPU if the engine has one; on: fail without a GPU; off: train on the CPU")
    ] = "auto"
    python_image: Annotated[
        str, Doc("Base image of the serving image and of every stage except training")
    ] = "python:3.13-slim"
    training_image: Annotated[str, Doc("CUDA PyTorch image to train in")] = (
        "pytorch/pytorch:2.9.0-cuda12.8-cudnn9-runtime"
    )
    package_index: Annotated[str | None, Doc("URL of a package index to use instead of PyPI")] = None
    extra_index: Annotated[
        dagger.Secret | None,
        Doc(
            "URL of a package index to look in first, for example one of CPU wheels; it may contain a "
            "password. As env://NAME or file://PATH"
        ),
    ] = None

    data_credentials: Annotated[
        dagger.Secret | None,
        Doc(
            "Credentials for data in s3://, as file://$HOME/.aws/credentials or env://NAME; the section "
            "[default] may set region and endpoint_url too"
        ),
    ] = None

    tracking_uri: Annotated[str | None, Doc("MLflow server to track the run on, as http://HOST:PORT")] = None
    tracking_username: Annotated[
        str | None, Doc("User name for the MLflow server; leave it out to use a token")
    ] = None
    tracking_password: Annotated[
        dagger.Secret | None, Doc("Password or token for the MLflow server, as env://NAME or file://PATH")
    ] = None
    tracking_server: Annotated[
        dagger.Service | None,
        Doc("MLflow server that only this machine can reach, as tcp://localhost:5000, beside --tracking-uri"),
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
            list[str] | None,
            Doc("Python versions to test with, as 3.12,3.13; without it, the version of the base image"),
        ] = None,
    ) -> str:
        """Run the project's tests with coverage."""
        run = await self._run(source)
        images = [f"python:{version}-slim" for version in python_versions or []] or [self.python_image]
        finished = await side_by_side(*(partial(checks.test, run, image) for image in images))
        return "\n".join([await stage.text() for stage in finished])

    @function(cache="session")  # type: ignore[call-overload, untyped-decorator]
    async def validate_data(
        self,
        source: Source,
        baseline: Baseline = None,
        schema: Annotated[
            bool, Doc("Print [data.columns] as the data is now, to paste into the configuration")
        ] = False,
    ) -> str:
        """Check the data: schema, quality, leakage and drift."""
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
        registry: Annotated[
            str | None,
            Doc(
                "Registry for the training image of --nodes, as HOST[:PORT][/PATH]; the training rows are in "
                "that image"
            ),
        ] = None,
        registry_username: Username = None,
        registry_password: Password = None,
    ) -> dagger.Directory:
        """Train the model and return its folder: model, signature, metrics and history."""
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
        """Train, build and judge the image by the project's gates; return a Markdown summary."""
        run, tracker = await self._run(source), self._tracker()
        async with pipeline.tracked(run, tracker):
            await pipeline.judged(run, await pipeline.find_baseline(run, baseline, None))
        return pipeline.markdown(run)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def publish(
        self,
        source: Source,
        registry: Annotated[str, Doc("Registry to push the image to, as HOST[:PORT][/PATH]")],
        registry_username: Username = None,
        registry_password: Password = None,
        baseline: Baseline = None,
        reproducible: Reproducible = False,
    ) -> str:
        """Train, build and judge the image, push it if it passed, and return its reference by digest."""
        target = Registry(registry, registry_username, registry_password, reproducible)
        run, tracker = await self._run(source), self._tracker()
        async with pipeline.tracked(run, tracker):
            trained, served = await pipeline.judged(run, await pipeline.find_baseline(run, baseline, None))
            return await publishing.publish(run, pipeline.servable(served), target, trained.version)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def deploy(
        self,
        source: Source,
        image: Annotated[str, Doc("Image to release, by digest, as publish printed it")],
        kubeconfig: Kubeconfig,
        kube_api: KubeApi = None,
        actor: Actor = "",
        force: Force = False,
    ) -> str:
        """Release an image to Kubernetes and return the release record as JSON."""
        run, tracker = await self._run(source), self._tracker()
        return await pipeline.deploy(run, Cluster(kubeconfig, kube_api), image, tracker, Caller(actor, force))

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def rollback(
        self,
        source: Source,
        kubeconfig: Kubeconfig,
        kube_api: KubeApi = None,
        to: Annotated[
            str | None,
            Doc("Revision or digest to go back to, as history shows them; default: the previous one"),
        ] = None,
        actor: Actor = "",
        force: Force = False,
    ) -> str:
        """Go back to an earlier release and return the release record as JSON."""
        run, tracker = await self._run(source), self._tracker()
        cluster, caller = Cluster(kubeconfig, kube_api), Caller(actor, force)
        return await pipeline.rollback(run, cluster, tracker, caller, to)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def history(
        self,
        source: Source,
        kubeconfig: Kubeconfig,
        kube_api: KubeApi = None,
        as_json: Annotated[bool, Doc("Return JSON instead of a table")] = False,
    ) -> str:
        """Return the last releases: what each was, who released it, and how it ended."""
        return await release.history(await self._run(source), Cluster(kubeconfig, kube_api), as_json=as_json)

    @function(cache="session")  # type: ignore[call-overload, untyped-decorator]
    async def serve(self, source: Source) -> dagger.Service:
        """Train the model and serve its image as a service, to use with `up`."""
        run = await self._run(source)
        await serving.check_gpu(run, "serve")
        served = (await serving.build(run, await training.train(run))).with_(serving.with_gpus(run))
        return served.as_service(use_entrypoint=True)

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def report(self, source: Source, baseline: Baseline = None) -> dagger.Directory:
        """Run everything up to the gate and return the report's folder, even if a stage failed."""
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
        actor: Actor = "",
        force: Force = False,
    ) -> str:
        """Lint, test, check data, train, build, judge, publish and deploy; return a Markdown summary."""
        login = registry_username, registry_password
        target = Registry(registry, *login, reproducible) if registry else None
        cluster = Cluster(kubeconfig, kube_api) if kubeconfig else None
        together = training_nodes.chosen(nodes, cluster, target)
        run, tracker = await self._run(source), self._tracker()
        return await pipeline.full(run, target, cluster, baseline, together, tracker, Caller(actor, force))

    def _tracker(self) -> Tracker | None:
        if self.tracking_uri:
            return Tracker(
                self.tracking_uri, self.tracking_username, self.tracking_password, self.tracking_server
            )
        if self.tracking_username or self.tracking_password or self.tracking_server:
            raise ConfigError(
                "a --tracking option needs --tracking-uri",
                "pass --tracking-uri=http://HOST:PORT",
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
