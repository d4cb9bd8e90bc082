"""Own what is looked at before a run, thing by thing, and what helps where it is not well; nothing is changed.

A registry is asked by beginning an upload and taking it back, and a Hub by asking whose the token is.
"""

import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from builder import credentials, disk, lock, lockfile, manifest, network, pipeline, publication
from builder import plan as planning
from builder.api import Credentials
from builder.clock import skew_s
from builder.console import Console, size
from builder.disk import Need
from builder.engine import Engine
from builder.errors import BuildImageError, FailedError, InputError, UnreachableError
from builder.finding import Finding
from builder.labels import MODELS_LABEL
from builder.plan import ImagePlan
from builder.reference import place
from builder.registry import Registry
from builder.settings import Settings

if TYPE_CHECKING:
    from builder.hub import Endpoint, Visit

TIMEOUT_S = 10  # of one request
SPARSE_BYTES = 5_000_000_000  # less than this is not much for models, whatever they are
EXPIRY_WARNING_S = 14 * 86_400
MISSED_S = 90 * 86_400

_BUILDKIT = "2"  # as `Builder-Version` has it
_BUILDKIT_HINT = "take `\"buildkit\": false` out of the engine's `daemon.json` and restart it; it has to be Docker's"
_SLOW_DRIVERS = {"vfs": "copies every file for every layer", "devicemapper": "is slow, and not in new engines"}
_DRIVER_HINT = "take `storage-driver` out of the engine's `daemon.json`, or move its `data-root` to ext4 or xfs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is looked at: the manifest of the settings counts where it `has_manifest`."""

    settings: Settings
    has_manifest: bool
    console: Console
    timeout_s: int = TIMEOUT_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What looking at one thing led to; `skews_s` has by how much this machine's clock is ahead of whose."""

    findings: tuple[Finding, ...]
    skews_s: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def are_ok(self) -> bool:
        """Whether there is no problem among the findings."""
        return all(finding.state != "problem" for finding in self.findings)


Look: TypeAlias = Callable[[], Looked]


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What the manifest asks for, as far as manifest and lock tell: `images` is None where they do not."""

    looked: Looked
    images: tuple[ImagePlan, ...] | None


def plan(subject: Subject) -> Planned:
    """Read manifest and lock, and plan the images where no Hub has to be asked for it."""
    if not subject.has_manifest:
        found = Finding(check="manifest", message=f"there is no `{subject.settings.models}` here, so none is looked at")
        return Planned(looked=Looked(findings=(found,)), images=None)
    settings = subject.settings
    images = None
    try:
        changes = list(_unlocked(settings))
        if not changes:
            draft = pipeline.draft(settings)
            changes = list(lock.differences(draft.previous, draft.lock))
            images = pipeline.make_plan(draft, settings).images
    except BuildImageError as error:
        found = Finding.of("manifest", error, otherwise=f"edit `{settings.models}`; README.md describes each key")
        return Planned(looked=Looked(findings=(found,)), images=None)
    if changes or images is None:
        message = f"`{settings.lock_path}` is not what `{settings.models}` wants: {'; '.join(changes)}"
        hint = f"run `build-image lock --models {settings.models}` and commit `{settings.lock_path.name}`"
        found = Finding(check="manifest", state="warning", message=message, hint=hint)
    else:
        models = {model.name for image in images for model in image.models}
        told = f"`{settings.models}` is locked; models: {len(models)}, images: {len(images)}"
        found = Finding(check="manifest", message=told)
    return Planned(looked=Looked(findings=(found,)), images=images)


def _unlocked(settings: Settings) -> Iterator[str]:
    """Yield what the lock lacks of models on the Hub."""
    read = manifest.load(settings.models, environment=settings.environment)
    names = [name for image in planning.choose(read, settings.images).values() for name in image.models]
    previous = lockfile.read(settings.lock_path)
    on_hub = [name for name in names if read.models[name].path is None]
    yield from lock.other_wishes(read, previous, names=on_hub)


def engine(subject: Subject) -> Looked:
    """Look at the Docker Engine, its BuildKit and how it stores images."""
    with Engine.connect(timeout_s=subject.timeout_s) as host:
        headers, about = host.ping(), host.ask("cannot ask the engine about itself", "info")
        where = f"Docker Engine {host.version} at `{host.address}`, {host.platform}"
    found = (Finding(check="engine", message=where), _buildkit(headers), _store(about))
    return Looked(findings=found, skews_s={"the engine": skew_s(headers)})


def _buildkit(headers: Mapping[str, str]) -> Finding:
    version = headers.get("Builder-Version", "")
    if version == _BUILDKIT:
        return Finding(check="BuildKit", message="the engine builds with it")
    message = f"the engine does not build with it by default (`Builder-Version` is `{version}`)"
    return Finding(check="BuildKit", state="warning", message=message, hint=_BUILDKIT_HINT)


def _store(about: Mapping[str, Any]) -> Finding:
    driver = str(about.get("Driver", ""))
    details = {str(key): str(value) for key, value in about.get("DriverStatus") or ()}
    kind = "containerd's" if details.get("driver-type", "").startswith("io.containerd.") else "the classic one"
    if driver in _SLOW_DRIVERS:
        message = f"{kind}, with `{driver}`, which {_SLOW_DRIVERS[driver]}"
        return Finding(check="store", state="warning", message=message, hint=_DRIVER_HINT)
    return Finding(check="store", message=f"{kind}, with `{driver}`")


def room(subject: Subject, planned: Callable[[], Planned]) -> Looked:
    """Look whether what is `planned` has room on the engine's disk; an engine that is away is told elsewhere."""
    try:
        with Engine.connect(timeout_s=subject.timeout_s) as host:
            root, held = host.local_root(), disk.models_of(host.images(label=MODELS_LABEL))
    except BuildImageError:
        return Looked(findings=())
    if root is None:
        message = "the engine is on another machine: its free space can't be told"
        return Looked(findings=(Finding(check="disk", message=message),))
    return Looked(findings=(_room(root, planned().images, held),))


def _room(root: Path, images: Sequence[ImagePlan] | None, held: Collection[str]) -> Finding:
    free_bytes = disk.free(root)
    need = Need(parts={}) if images is None else disk.predict(images, held=held)
    try:
        disk.require(need, free_bytes, place=f"the engine's disk (`{root}`)", hint=disk.ENGINE_HINT)
    except FailedError as error:
        return Finding.of("disk", error)
    told = f"`{root}` has {size(free_bytes)} free"
    if images is not None:
        told += f", and the manifest needs at most {size(need.total_bytes)}"
    elif free_bytes < SPARSE_BYTES:
        return Finding(check="disk", state="warning", message=told, hint=disk.ENGINE_HINT)
    return Finding(check="disk", message=told)


def registries(subject: Subject) -> dict[str, Look]:
    """Return how to look at each registry that the manifest pushes to, by its check and host."""
    try:
        repositories = _repositories(subject) if subject.has_manifest else []
    except BuildImageError:
        return {}  # the look at the manifest tells it
    places = [place(repository) for repository in repositories]
    hosts = dict.fromkeys(where.host for where in places if where.names_registry)
    if not hosts:
        message = "the manifest names none to push to" if repositories else "no manifest says where to push to"
        return {"registry": lambda: Looked(findings=(Finding(check="registry", message=message),))}

    def look_at(host: str) -> Looked:
        given = publication.given_login(list(hosts), subject.settings)
        login = given or credentials.look_up(host, helper_timeout_s=subject.timeout_s)
        subject.console.hide([login.secret])
        paths = dict.fromkeys(where.path for where in places if where.host == host)
        return _registry(subject, host, list(paths), login)

    return {f"registry {host}": partial(look_at, host) for host in hosts}


def _repositories(subject: Subject) -> list[str]:
    settings = subject.settings
    read = manifest.load(settings.models, environment=settings.environment, has_folders=False)
    return [image.repository or name for name, image in planning.choose(read, settings.images).items()]


def _registry(subject: Subject, host: str, paths: Sequence[str], login: Credentials) -> Looked:
    """Begin an upload to each repository of one registry."""
    registry = Registry(
        host, login=login, ca_bundle=subject.settings.ca_bundle, waits_s=(), timeout_s=subject.timeout_s
    )
    found = []
    if login.warning:
        hint = f"log in with `docker login {host}`, or set REGISTRY_USER and REGISTRY_PASSWORD"
        found.append(Finding(check="registry", state="warning", message=login.warning, hint=hint))
    with closing(registry):
        for path in paths:
            found.append(_pushed(registry, path))
            if found[-1].exit_code == UnreachableError.exit_code:
                break  # the other repositories are away with it
    return Looked(findings=tuple(found), skews_s={f"`{host}`": registry.skew_s})


def _pushed(registry: Registry, path: str) -> Finding:
    login = registry.login
    try:
        registry.check_push(path)
    except BuildImageError as error:
        return Finding.of("registry", error, otherwise=f"ask who runs `{registry.host}`")
    who = f"`{login.username}`" if login.username else "whoever has this login" if login.secret else "anybody"
    return Finding(check="registry", message=f"`{registry.host}` lets {who} push to `{path}`")


def hubs(subject: Subject) -> dict[str, Look]:
    """Return how to look at each Hub of HF_ENDPOINT, by its check and address."""
    from builder import hub  # noqa: PLC0415 - its library is slow to import

    settings = subject.settings
    try:
        if not network.may_ask_hub(settings.environment):
            told = "not asked, since HF_ALLOW_REMOTE_MODELS is `false`"
            return {"Hub": lambda: Looked(findings=(Finding(check="Hub", message=told),))}
        if hub.is_forbidden():
            hint = "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE where models have to be locked"
            message = "not asked, since HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"
            offline = Finding(check="Hub", state="warning", message=message, hint=hint)
            return {"Hub": lambda: Looked(findings=(offline,))}
        if settings.ca_bundle is not None:
            hub.trust(settings.ca_bundle)
        doors, token = hub.doors(), network.hub_token(settings.environment)
    except InputError as error:
        wrong = Finding.of("Hub", error)
        return {"Hub": lambda: Looked(findings=(wrong,))}

    def look_at(door: "Endpoint") -> Looked:
        visit = hub.visit(door, token=token, timeout_s=subject.timeout_s)
        return Looked(findings=(_door(door, visit, token),), skews_s={f"`{door.shown}`": visit.skew_s})

    return {f"Hub {door.shown}": partial(look_at, door) for door in doors}


def _door(door: "Endpoint", visit: "Visit", token: str) -> Finding:
    """Tell what one Hub said of the token."""
    told = f"`{door.shown}` answers"
    if not token:
        return Finding(check="Hub", message=f"{told}; there is no token, which gated models need")
    if not door.has_token:
        return Finding(check="Hub", message=f"{told}; the token is for the first Hub in HF_ENDPOINT alone")
    if visit.account:
        return Finding(check="Hub", message=f"{told}, and knows the token as that of `{visit.account}`")
    if visit.is_refused:
        error = InputError(f"`{door.shown}` does not know the token", hint="check HF_TOKEN, or run `hf auth login`")
        return Finding.of("Hub", error)
    return Finding(check="Hub", message=f"{told}, but does not tell whose the token is")


def certificates(subject: Subject) -> Looked:
    """Look at the certificates that downloads trust: whether they can be read, and until when they hold."""
    path = subject.settings.ca_bundle
    if path is None:
        found = [Finding(check="certificates", message="none are named: those of the system are trusted")]
        return Looked(findings=tuple(found))
    try:
        network.secrets(subject.settings.environment, ca_bundle=path)
    except InputError as error:
        skipped = "the Hub and registries are not asked until the certificates can be used"
        hint = "mend the certificates first, then run `build-image doctor` again"
        rest = Finding(check="network", state="warning", message=skipped, hint=hint)
        return Looked(findings=(Finding.of("certificates", error), rest))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)
    ends = [(_subject_name(each), ssl.cert_time_to_seconds(str(each["notAfter"]))) for each in context.get_ca_certs()]
    return Looked(findings=(expiry(f"`{path}`", ends, now_s=time.time()),))


def expiry(path: str, ends: Sequence[tuple[str, float]], *, now_s: float) -> Finding:
    """Tell whether the authorities in a bundle still hold, by name and the time at which each ends.

    Bundles of operating systems keep some that ended long ago, which nobody misses.
    """
    hint = "get the new certificates of your network's authority, and pass them with --ca-bundle FILE"
    expired = [name for name, end_s in ends if end_s <= now_s]
    if ends and len(expired) == len(ends):
        error = InputError(f"every certificate in {path} has expired: {', '.join(expired)}", hint=hint)
        return Finding.of("certificates", error)
    missed = [name for name, end_s in ends if now_s - MISSED_S < end_s <= now_s]
    soon = [name for name, end_s in ends if now_s < end_s <= now_s + EXPIRY_WARNING_S]
    told = [f"expired lately: {', '.join(missed)}"] if missed else []
    told += [f"expires within two weeks: {', '.join(soon)}"] if soon else []
    if told:
        return Finding(check="certificates", state="warning", message=f"in {path}, {'; '.join(told)}", hint=hint)
    lapsed = f"; expired long ago: {len(expired)}" if expired else ""
    return Finding(check="certificates", message=f"{path} has {len(ends)} authorities{lapsed}")


def _subject_name(certificate: Mapping[str, Any]) -> str:
    parts = [value for part in certificate.get("subject", ()) for _, value in part]
    return str(parts[-1]) if parts else "one without a name"
