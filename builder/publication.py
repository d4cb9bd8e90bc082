"""Own the publishing of tested images: what refuses it before a build, what is pushed and read back; it builds none.

Images are pushed one after the other: what a second one shares with the first, the registry then has already.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from builder import credentials, network, push, tested
from builder.api import Credentials, ImageDetails
from builder.console import Console
from builder.errors import BuildImageError, FailedError, InputError
from builder.plan import ImagePlan
from builder.record import Recorder
from builder.reference import Place, place
from builder.registry import Published, Registry
from builder.result import ImageResult, Journal
from builder.settings import Settings

_OTHER_HINT = "another run may use the same name: give each its own, and push again"


class Engine(push.Engine, Protocol):
    """What holds the images and pushes them: an Engine."""

    def has_image(self, reference: str, /) -> bool:
        """Tell whether it holds an image."""

    def inspect_image(self, reference: str, /) -> ImageDetails:
        """Return what is known of an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Publisher:
    """What is known to be allowed to push, by the host of each registry."""

    engine: Engine
    console: Console
    registries: Mapping[str, Registry]

    def publish(self, results: Sequence[ImageResult], *, journal: Journal) -> tuple[ImageResult, ...]:
        """Push every image, unless one failed before; a failure is in its image's result, and stops no other.

        How far each came is in `journal` as well.
        """
        journal.update((result.plan.name, result) for result in results)
        failed = [result.plan.name for result in results if result.error is not None]
        if failed:
            self.console.warn(f"no image is pushed, since {', '.join(failed)} failed")
            return tuple(results)
        done: list[Published] = []
        try:
            return tuple(self._published(result, done, journal) for result in results)
        except KeyboardInterrupt:
            pushed = [published.reference for published in done]
            rest = [name for result in results for name in result.references if name not in pushed]
            self.console.say(f"interrupted: pushed {', '.join(pushed) or 'nothing'}; not pushed {', '.join(rest)}")
            raise

    def _published(self, result: ImageResult, done: list[Published], journal: Journal) -> ImageResult:
        """Push every name of an image, and add each to `done` as soon as a registry has it."""
        first, started, recorder = len(done), time.monotonic(), Recorder()
        try:
            with recorder.phase("push"):
                for name in result.references:
                    done.append(self._push(result, name))  # noqa: PERF401 - known also where the next one is interrupted
        except BuildImageError as error:
            self.console.error(error, image=result.plan.name)
            result = replace(result, error=error)
        except KeyboardInterrupt:
            result = replace(result, is_finished=False)
            raise
        finally:
            result = replace(
                result,
                pushed=tuple(done[first:]),
                phases=(*result.phases, *recorder.phases),
                duration_s=result.duration_s + time.monotonic() - started,
            )
            journal[result.plan.name] = result
        return result

    def _push(self, result: ImageResult, name: str) -> Published:
        """Push one name of an image, and compare what the registry then has with what the engine says it pushed."""
        where, image = place(name), result.plan.name
        registry = self.registries[where.host]
        if name in result.plan.immutable:
            check_immutable(self.engine, registry, name)
        if self.engine.inspect_image(name).id != result.image_id:
            raise FailedError(f"`{name}` is another image by now than the one that was tested", hint=_OTHER_HINT)
        pushed = push.push(
            self.engine,
            name,
            login=registry.login,
            on_event=lambda event: self.console.event(image, event),
            on_retry=lambda error, pause_s: self.console.warn(f"{image}: {error}; trying again in {pause_s:g} s"),
        )
        held = registry.held(where.path, where.tag)
        if held is None or held.digest != pushed.digest:
            there = held.digest if held else "nothing"
            message = f"the engine pushed `{name}` as {pushed.digest}, and the registry has {there} there"
            raise FailedError(message, hint=_OTHER_HINT)
        if result.image_id not in held.image_ids:
            raise FailedError(f"the registry has another image under `{name}` than was tested", hint=_OTHER_HINT)
        layers = f"layers: {pushed.sent_layers} sent, {pushed.kept_layers} there already"
        self.console.say(f"{image}: pushed {name}@{held.digest}, {layers}")
        return Published(reference=name, digest=held.digest, size_bytes=held.size_bytes)


@contextmanager
def prepared(
    images: Sequence[ImagePlan], settings: Settings, *, engine: Engine, console: Console
) -> Iterator[Publisher]:
    """Find out that every image may be pushed under every name, before anything is built for it.

    Raises InputError where a registry refuses, where a name says no registry or where an immutable one is taken, and
    UnreachableError where a registry does not answer.
    """
    places = _places(images)
    with ExitStack() as stack:
        registries = {}
        for host, login in _logins(sorted({where.host for where in places}), settings, console).items():
            registries[host] = Registry(host, login=login, ca_bundle=settings.ca_bundle)
            stack.callback(registries[host].close)
        for host, path in dict.fromkeys((where.host, where.path) for where in places):
            registries[host].check_push(path)
        for name in (name for image in images for name in image.immutable):
            check_immutable(engine, registries[place(name).host], name)
        yield Publisher(engine=engine, console=console, registries=registries)


def _places(images: Sequence[ImagePlan]) -> list[Place]:
    """Return where every name leads to; raises InputError for one that only Docker itself may push to."""
    for image in images:
        for name in image.references:
            if not place(name).names_registry:
                hint = f"set `images.{image.name}.repository` to HOST/NAME, such as `registry.example.com/{image.name}`"
                raise InputError(f"`{name}` names no registry to push to", hint=hint)
    return [place(name) for image in images for name in image.references]


def _logins(hosts: Sequence[str], settings: Settings, console: Console) -> dict[str, Credentials]:
    """Find the login for each registry, and show none of the secrets from now on."""
    given = given_login(hosts, settings)
    logins = {}
    for host in hosts:
        logins[host] = given or credentials.look_up(host)
        console.hide([logins[host].secret])
        if logins[host].warning:
            console.warn(str(logins[host].warning))
    return logins


def given_login(hosts: Sequence[str], settings: Settings) -> Credentials | None:
    """Return the login of REGISTRY_USER, None where that is not set; raises InputError where it has several places."""
    given = network.registry_login(settings.environment)
    if given is None:
        return None
    if len(hosts) > 1:
        hint = "choose images of one registry with --image, or use `docker login` for each"
        raise InputError(f"REGISTRY_PASSWORD is for one registry, and these are {', '.join(hosts)}", hint=hint)
    return Credentials(username=given[0], secret=given[1])


def check_immutable(engine: Engine, registry: Registry, name: str) -> None:
    """Refuse to overwrite an immutable name; raises InputError.

    An image that the engine has under this name, and once pushed to or pulled from that repository by the digest that
    the registry has there, is no other one.
    """
    where = place(name)
    held = registry.held(where.path, where.tag)
    if held is None:
        return
    own = engine.inspect_image(name).repository_digests if engine.has_image(name) else ()
    known = {(place(repository)[:2], digest) for repository, _, digest in (text.partition("@") for text in own)}
    if ((where.host, where.path), held.digest) not in known:
        hint = "give the image another tag, or take this one out of `immutable`"
        raise InputError(f"`{name}` is immutable, and the registry has {held.digest} there", hint=hint)


def tested_images(images: Sequence[ImagePlan], settings: Settings, *, engine: Engine) -> tuple[ImageResult, ...]:
    """Find the images that stand under the names of `images`; raises InputError for one that did not pass here."""
    hint = f"run `build-image --models {settings.models} --push`, which builds, tests and pushes"
    found = []
    for image in images:
        for name in image.references:
            if not engine.has_image(name):
                raise InputError(f"the engine has no image `{name}`", hint=hint)
        first, *others = image.references
        details = engine.inspect_image(first)
        for name in others:
            if engine.inspect_image(name).id != details.id:
                raise InputError(f"`{first}` and `{name}` are not the same image", hint=hint)
        if not tested.has_passed(settings, details.id):
            message = f"`{first}` is {details.id}, which has passed no smoke test of this program on this machine"
            raise InputError(message, hint=hint)
        found.append(ImageResult(plan=image, references=image.references, details=details))
    return tuple(found)
