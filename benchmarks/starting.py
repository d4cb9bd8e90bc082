"""Measure how long images of optimised models take from the start of their process to the first answer; prints ratios.

Needs the images of `benchmarks/starting.yaml`; `make bench-optimize` sees to that. The images take turns, so that both
have the same minutes of the machine.
"""

import os
import statistics

import docker

from benchmarks.load import requests_of
from benchmarks.starts import container

IMAGES = ("build-image/benchmark-originals:latest", "build-image/benchmark-optimised:latest")
ROUNDS = 9
QUERY = "How do I get back into my account?"


def main() -> None:
    threads = len(os.sched_getaffinity(0))
    (request,) = requests_of([QUERY], size=1, path="/v1/embeddings")
    rounds = [[_start_s(image, request=request) for image in IMAGES] for _ in range(1 + ROUNDS)][1:]
    originals, optimised = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(turn[1] / turn[0] for turn in rounds)
    sizes = [_size_mb(image) for image in IMAGES]
    print(f"from the start of a container to its first answer, two models, {threads} threads, {ROUNDS} rounds:")
    print(f"originals  {originals:.2f} s, image of {sizes[0]} MB")
    print(f"optimised  {optimised:.2f} s, image of {sizes[1]} MB: {ratio:.2f} of the time")


def _start_s(image: str, *, request: bytes) -> float:
    with container(image, request) as started:
        return started.start_s


def _size_mb(image: str) -> int:
    engine = docker.from_env()
    try:
        size_bytes: int = engine.images.get(image).attrs["Size"]
    finally:
        engine.close()
    return size_bytes // 10**6


if __name__ == "__main__":
    main()
