import io

import pytest

from builder.leaks import GIVEN, Finder

FINDER = Finder.of(["correct horse battery", "tiny"])
LETTERS = "Ab3" * 30
KEY = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a Hugging Face token", f"HF_TOKEN=hf_{LETTERS[:34]}"),
        ("a GitHub token", f"https://ghp_{LETTERS[:36]}@example.com"),
        ("a GitHub token", f"github_pat_{LETTERS[:22]}_{LETTERS[:59]}"),
        ("a GitLab token", f"glpat-{LETTERS[:20]}"),
        ("a Docker Hub token", f"dckr_pat_{LETTERS[:27]}"),
        ("a PyPI token", f"password = pypi-AgEIcHlwaS5vcmc{LETTERS[:80]}"),
        ("an npm token", f"_authToken=npm_{LETTERS[:36]}"),
        ("an AWS access key", "aws_access_key_id = AKIA" + "Q2R7" * 4),
        ("a Google API key", f"key=AIza{LETTERS[:35]}&q=1"),
        ("an Azure storage key", f"AccountKey={LETTERS[:86]}=="),
        ("a Slack token", f"xoxb-1234567890-{LETTERS[:24]}"),
        ("a private key", f"-----BEGIN PRIVATE KEY-----\n{KEY}\n"),
        ("a private key", f'{{"private_key": "-----BEGIN PRIVATE KEY-----\\n{KEY}"}}'),
        ("a private key", f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n{KEY}\n"),
        (GIVEN, "https://user:correct horse battery@example.com"),
    ],
)
def test_each_kind_of_secret_is_found_in_a_text_and_in_a_file(kind: str, text: str) -> None:
    assert (FINDER.in_text(text), FINDER.in_file(io.BytesIO(text.encode()), with_forms=True)) == ((kind,), (kind,))


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download hf_transfer",
        f"sha256_of_hf_{'a' * 29}",
        f"chf_{LETTERS[:34]}",
        "-----BEGIN PRIVATE KEY-----\n...",
        "-----BEGIN CERTIFICATE-----\n" + KEY,
        "AKIA is how they begin",
        "xoxb-token",
        "tiny values stand anywhere",
    ],
)
def test_what_is_like_a_secret_and_is_none_is_not_found(text: str) -> None:
    assert FINDER.in_text(text) == ()


def test_a_secret_that_two_reads_share_is_found() -> None:
    padding = b"\n" * ((1 << 20) - 7)
    for text in (b"correct horse battery", b"hf_" + LETTERS[:34].encode()):
        assert len(FINDER.in_file(io.BytesIO(padding + text + b"\n" * 99), with_forms=True)) == 1


def test_a_file_that_is_verified_is_searched_for_given_values_alone() -> None:
    text = f"hf_{LETTERS[:34]} correct horse battery".encode()
    assert FINDER.in_file(io.BytesIO(text), with_forms=False) == (GIVEN,)


def test_with_nothing_to_look_for_a_file_is_not_read() -> None:
    content = io.BytesIO(b"anything")
    assert (Finder.of([]).in_file(content, with_forms=False), content.tell()) == ((), 0)
