"""One build: context, Dockerfile, plan, solver, exporters; and what its client is told and asked."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack

from corten.api.build import (
    BuildAnswer,
    BuildFailure,
    BuildRequest,
    BuildResult,
    CredentialQuery,
    FileOffer,
)
from corten.build.cache_transfer.imported import ImportedCache
from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.context.sources import ContextSources
from corten.build.export.early_tars import EarlyTars
from corten.build.export.exporter import ExportedFile, Exporter
from corten.build.export.output import (
    ArchiveOutput,
    ImageOutput,
    Output,
    TreeOutput,
    parse_outputs,
    rewrites_timestamps,
)
from corten.build.graph import Exec, Vertex
from corten.build.plan.model import BuildPlan, ResolvedImage
from corten.build.plan.planner import plan_build
from corten.build.solve.failure import BuildFailed, LayersLost
from corten.build.solve.inputs import BuildInputs
from corten.build.solve.result import BuiltLayer, Results
from corten.engine.build_answers import answer
from corten.engine.build_caches import BuildCaches
from corten.engine.build_definition import Definition, read_definition
from corten.engine.build_events import BUILD_CANCELED, BuildEvents
from corten.engine.build_failure import describe_failure
from corten.engine.build_frontend import foreign_frontend
from corten.engine.build_images import BuildImages
from corten.engine.build_machinery import Machinery
from corten.engine.build_options import entitlements, plan_options
from corten.engine.build_recording import Recording
from corten.engine.build_registries import BuildRegistries
from corten.engine.build_shell import ShellStand
from corten.engine.build_sources import add_directories, open_context, scope_of
from corten.engine.build_spec import check_allowed
from corten.engine.build_steps import planned_steps
from corten.engine.core import Core
from corten.errors import CortenError, Denied, NotFound, Unavailable
from corten.oci.reference import Reference

_log = logging.getLogger("corten.engine")


class RequestSecrets:
    """`solve.protocols.Secrets`: what came with the request."""

    def __init__(self, request: BuildRequest) -> None:
        self._secrets = {secret.id: secret.data for secret in request.secrets}
        self._agents = {agent.id: agent.socket for agent in request.ssh}

    async def read(self, id: str) -> bytes | None:
        return self._secrets.get(id)

    async def agent(self, id: str) -> str | None:
        return self._agents.get(id)


class Build:
    """Used once: `run`. `events` is what the client is told, `recording` what is kept of it."""

    def __init__(
        self,
        core: Core,
        machinery: Machinery,
        request: BuildRequest,
        upload: AsyncIterator[bytes] | None,
        *,
        classic: bool = False,
    ) -> None:
        self.recording = Recording(request)
        self.events = BuildEvents(self.recording.take)
        self.task: asyncio.Task[None] | None = None
        self.shell = ShellStand(request.id, self.events.report)
        self._core = core
        self._machinery = machinery
        self._request = request
        self._upload = upload
        self._classic = classic
        self._definition: Definition | None = None
        self._canceled = False
        self._credentials: dict[str, asyncio.Future[str]] = {}
        self._files: dict[int, _Offered] = {}
        self._offers = 0

    # -- what the client does meanwhile

    def cancel(self) -> None:
        """The client does not want it any more, but to hear of its end. Once: a second time would cancel the
        clearing up."""
        if not self._canceled and self.task is not None:
            self._canceled = True
            self.task.cancel()

    def answer_credential(self, domain: str, auth: str) -> None:
        """Who the client is to a registry. NotFound when nobody asked."""
        future = self._credentials.get(domain)
        if future is None or future.done():
            raise NotFound(f"the build does not ask who the client is to {domain}")
        future.set_result(auth)

    def file(self, index: int) -> AsyncIterator[bytes]:
        """The bytes of a FileOffer, once. NotFound."""
        offered = self._files.pop(index, None)
        if offered is None:
            raise NotFound(f"the build offers no file {index}")
        return offered.read()

    # -- the build

    async def run(self) -> None:
        """Everything; what goes wrong is told as an event. Cancelled, it returns when nothing is left of the
        build."""
        try:
            self.events.report(await self._outcome())
        finally:
            self.events.end()

    async def _outcome(self) -> BuildResult | BuildAnswer | BuildFailure:
        try:
            return await self._work()
        except CortenError as error:
            return describe_failure(error, self._definition, self.events, classic=self._classic)
        except asyncio.CancelledError:
            if not self._canceled:
                raise
            return BUILD_CANCELED
        except Exception as error:
            _log.exception("build %s failed", self._request.id)
            return BuildFailure(message=f"internal error while building: {type(error).__name__}: {error}")

    async def _work(self) -> BuildResult | BuildAnswer:
        request, store = self._request, self._core.images
        outputs = parse_outputs(request.outputs, request.tags, request.annotations)
        async with AsyncExitStack() as stack:
            keyed = await stack.enter_async_context(KeyedStores())
            caches = BuildCaches(request, self._machinery, store, keyed, self.events)
            ask = None if self._classic else self._ask_credential
            registries = await stack.enter_async_context(
                BuildRegistries(request.registry_auth, insecure=request.insecure_registries, ask=ask)
            )
            lease = stack.enter_context(store.content.lease())
            sources = await stack.enter_async_context(self._machinery.sources(RequestSecrets(request)))
            text = await open_context(sources, request, self._upload, self.events)
            definition = await self._define(sources.root(), text)
            rewrite = rewrites_timestamps(request.outputs)
            options, places = await asyncio.to_thread(
                plan_options,
                request,
                ignore=definition.ignore,
                rewrite_timestamps=rewrite,
            )
            add_directories(sources, places.directories)
            images = BuildImages(
                store,
                registries,
                lease,
                pull=request.pull,
                layouts=places.layouts,
                caches=keyed,
                observe=self._observe,
            )
            stack.push_async_callback(images.close)
            if request.call != "build":
                return await answer(request.call, definition, options, images)
            plan = await plan_build(definition.data, options, images, times=sources, warn=self.events.report)
            self.events.report(
                await asyncio.to_thread(planned_steps, definition.data, plan, with_text=self._classic)
            )
            imported = await caches.load(plan, images, registries, lease)
            machinery = self._machinery
            exporter = Exporter(store, machinery.layers, machinery.tars, images, registries, lease)
            early = await stack.enter_async_context(EarlyTars(exporter.blobs))
            made = early.begin if any(not isinstance(output, TreeOutput) for output in outputs) else None

            async def export(results: Results) -> BuildResult:
                inline = await caches.inline(plan, results, exporter, registries, lease)
                return await self._export(plan, results, outputs, exporter, inline)

            results, result = await self._make(
                stack, caches, lambda: self._solve(plan, sources, images, imported, made), export
            )
            await self._hand_over(await caches.export(plan, results, exporter, registries, lease))
            return result

    async def _make(
        self,
        stack: AsyncExitStack,
        caches: BuildCaches,
        solve: Callable[[], Awaitable[Results]],
        export: Callable[[Results], Awaitable[BuildResult]],
    ) -> tuple[Results, BuildResult]:
        """Solves and exports; once more when an imported cache turns out to have lost layers. `stack` closes
        the results."""
        while True:
            try:
                with ExitStack() as attempt:
                    results = attempt.enter_context(await solve())
                    attempt.callback(caches.keep)
                    result = await export(results)
                    stack.enter_context(attempt.pop_all())
                return results, result
            except LayersLost as lost:
                caches.lose(lost)

    async def _define(self, root: int | None, text: bytes | None) -> Definition:
        """The Dockerfile (`text`, when the context was nothing but that) and the .dockerignore."""
        request = self._request
        name = os.path.basename(request.dockerfile) or "Dockerfile"
        with self.events.step(f"[internal] load build definition from {name}") as status:
            self._definition = await asyncio.to_thread(
                read_definition,
                request.dockerfile,
                root,
                text=text if text is not None else request.dockerfile_text,
                ignore=request.ignore_text,
            )
            for warning in foreign_frontend(self._definition, request.build_args):
                self.events.report(warning)
            size = len(self._definition.data)
            status("reading dockerfile", size, size, True)
        return self._definition

    async def _observe(self, reference: str, looking: Awaitable[ResolvedImage]) -> ResolvedImage:
        with self.events.step(f"[internal] load metadata for {reference}"):
            return await looking

    async def _solve(
        self,
        plan: BuildPlan,
        sources: ContextSources,
        images: BuildImages,
        imported: ImportedCache,
        made: Callable[[BuiltLayer], None] | None,
    ) -> Results:
        request, solver = self._request, self._machinery.solver
        targets = [image.target for image in plan.images if image.target is not None]
        allowed = entitlements(request)
        _check_entitlements(targets, allowed)
        inputs = BuildInputs(
            sources=sources,
            images=images,
            secrets=RequestSecrets(request),
            allowed=allowed,
            jobs=request.jobs,
            scope=scope_of(request),
            explain=request.explain,
            keep_failed=request.debug_shell,
            lookup=imported.over,
            filler=imported.mounts,
            made=made,
        )
        try:
            return await solver.solve(targets, inputs, self.events.report)
        except BuildFailed as failed:
            try:
                if solver.can_debug(failed):
                    await self.shell.offer(failed, solver)
            finally:
                solver.forget(failed)
            raise

    async def _export(
        self,
        plan: BuildPlan,
        results: Results,
        outputs: Sequence[Output],
        exporter: Exporter,
        inline: Sequence[Mapping[str, str]],
    ) -> BuildResult:
        with self.events.step(_export_name(outputs)) as status:
            exported = await exporter.export(plan.images, results, outputs, status, cache=inline)
            await self._hand_over(exported.files)
        names = [Reference.parse(name).familiar for name in exported.names]
        if exported.image_id:
            for name in names or [exported.image_id]:
                self._core.events.publish("image", "build", exported.image_id, {"name": name})
        metadata = {"buildx.build.ref": f"corten/corten/{self._request.id}", **exported.metadata}
        return BuildResult(image_id=exported.image_id, digest=exported.digest, names=names, metadata=metadata)

    async def _hand_over(self, files: Sequence[ExportedFile]) -> None:
        """Waits until the client has read each file; Unavailable when it did not read all of one."""
        for file in files:
            self._offers += 1
            index = self._offers
            offered = self._files[index] = _Offered(file.pieces)
            self.events.report(_offer(self._request.id, index, file))
            try:
                await offered.taken()
            finally:
                self._files.pop(index, None)
                await offered.close()

    async def _ask_credential(self, domain: str) -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._credentials[domain] = future
        self.events.report(CredentialQuery(self._request.id, domain))
        return await future


def _check_entitlements(targets: Sequence[Vertex], allowed: frozenset[str]) -> None:
    """BuildFailed for a step that asks for more than is allowed, were it cached or not."""
    for target in targets:
        for vertex in target.walk():
            if isinstance(vertex.operation, Exec):
                try:
                    check_allowed(vertex.operation, allowed)
                except Denied as error:
                    raise BuildFailed(vertex, error) from error


class _Offered:
    """A file that waits for its client."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except CortenError as error:
            self._fail(error)
            raise
        else:
            if not self._done.done():
                self._done.set_result(None)
        finally:
            self._fail(Unavailable("the client has not read the whole output"))

    def _fail(self, error: CortenError) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    async def taken(self) -> None:
        await self._done

    async def close(self) -> None:
        if not self._done.done():
            self._done.cancel()
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


def _offer(build: str, index: int, file: ExportedFile) -> FileOffer:
    return FileOffer(build, index, file.destination, file.unpack, file.delete)


def _export_name(outputs: Sequence[Output]) -> str:
    """What BuildKit calls it."""
    names = []
    for output in outputs:
        if isinstance(output, ImageOutput):
            name = "image"
        elif isinstance(output, ArchiveOutput):
            name = f"{'docker' if output.docker else 'oci'} image format"
        else:
            name = "client directory" if output.unpack else "client tarball"
        if name not in names:
            names.append(name)
    return f"exporting to {', '.join(names) or 'the cache'}"
