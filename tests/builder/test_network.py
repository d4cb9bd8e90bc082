from pathlib import Path

import pytest

from builder import network
from builder.errors import InputError


def test_a_host_that_sets_nothing_gives_no_secret(tmp_path: Path) -> None:
    assert network.secrets({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}) == {}


@pytest.mark.parametrize("variable", ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_certificates_are_found_by_the_usual_variables(variable: str) -> None:
    assert network.ca_bundle_path({variable: "/etc/ca.pem"}) == Path("/etc/ca.pem")


def test_without_these_variables_no_certificates_are_named() -> None:
    assert network.ca_bundle_path({"SSL_CERT_FILE": ""}) is None


def test_the_certificates_are_a_secret(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"PEM")
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    assert network.secrets(environment, ca_bundle=tmp_path / "ca.pem") == {"ca_bundle": b"PEM"}


def test_certificates_that_can_t_be_read_are_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        network.secrets({"HOME": str(tmp_path)}, ca_bundle=Path("/nowhere.pem"))
    assert caught.value.message == "the certificate bundle `/nowhere.pem` can't be read: No such file or directory"
    assert caught.value.hint == (
        "pass --ca-bundle FILE with a PEM file, or unset PIP_CERT, SSL_CERT_FILE, REQUESTS_CA_BUNDLE"
    )


def test_proxies_and_the_hub_s_address_are_a_shell_file_in_both_spellings(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": "/dev/null",
        "https_proxy": "http://u:p'w@proxy:3128",
        "NO_PROXY": "localhost",
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    assert network.secrets(environment)["network"].decode() == (
        "HTTPS_PROXY='http://u:p'\"'\"'w@proxy:3128'\nhttps_proxy='http://u:p'\"'\"'w@proxy:3128'\n"
        "NO_PROXY=localhost\nno_proxy=localhost\nHF_ENDPOINT=http://127.0.0.1:9\n"
    )


def test_pip_s_files_and_variables_become_one_file_without_local_paths(tmp_path: Path) -> None:
    user = tmp_path / ".config/pip"
    user.mkdir(parents=True)
    (user / "pip.conf").write_text(
        "[global]\nindex-url = https://old.example.com/simple\nfind-links = /opt/wheels\ncert = /etc/ca.pem\n"
        "[install]\nextra-index-url =\n    https://one.example.com/simple\n    file:///opt/simple\n"
        "[list]\nformat = columns\n"
    )
    environment = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://u:p@new.example.com/simple", "PIP_TIMEOUT": "60"}
    assert network.secrets(environment)["pip_conf"].decode() == (
        "[global]\nextra-index-url = https://one.example.com/simple\n"
        "index-url = https://u:p@new.example.com/simple\ntimeout = 60\n"
    )


def test_pip_s_file_that_is_not_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("index-url = x\n")
    with pytest.raises(InputError, match="pip's configuration `.*pip.conf` can't be read"):
        network.secrets({"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})


def test_the_token_of_the_environment_wins_over_the_file_s(tmp_path: Path) -> None:
    (tmp_path / ".cache/huggingface").mkdir(parents=True)
    (tmp_path / ".cache/huggingface/token").write_text("hf_file\n")
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    assert network.secrets(environment)["hf_token"] == b"hf_file"
    assert network.secrets({**environment, "HF_TOKEN": "hf_variable"})["hf_token"] == b"hf_variable"


def test_what_must_not_be_shown_is_the_token_and_every_password() -> None:
    values = {
        "hf_token": b"hf_secret",
        "network": b"HTTPS_PROXY=http://u:proxyword@proxy:3128\n",
        "pip_conf": b"[global]\nindex-url = https://u:indexword@host/simple\nextra-index-url = https://host2/simple\n",
        "ca_bundle": b"PEM",
    }
    assert network.sensitive(values) == {"hf_secret", "proxyword", "indexword"}
