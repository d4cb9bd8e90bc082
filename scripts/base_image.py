"""Ask the engine for one image: is it there, pull it, or import it from a tar. Used by `ensure-base`."""

import sys
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

CHANGES = [
    'CMD ["bash"]',
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LABEL build-image.made-here=1",  # so that nobody pins a digest that no registry has
]


def is_present(client: docker.DockerClient, reference: str) -> bool:
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def import_rootfs(client: docker.DockerClient, reference: str, tar: Path) -> None:
    repository, tag = reference.rsplit(":", 1)
    client.api.import_image_from_file(str(tar), repository=repository, tag=tag, changes=CHANGES)
    client.images.get(reference)  # the call above reports no failure


def main(action: str, reference: str, *rest: str) -> int:
    client = docker.from_env(timeout=600)
    if action == "present":
        return 0 if is_present(client, reference) else 1
    if action == "import":
        import_rootfs(client, reference, Path(rest[0]))
        return 0
    try:
        client.images.pull(reference)
    except DockerException as error:
        print(f"ensure-base: {getattr(error, 'explanation', None) or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
