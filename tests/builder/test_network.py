from pathlib import Path

import pytest

from builder import network
from builder.errors import InputError
from tests.builder import data


def test_a_host_that_sets_nothing_gives_no_secret(tmp_path: Path) -> None:
    assert network.secrets({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}) == {}


@pytest.mark.parametrize("variable", ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_certificates_are_found_by_the_usual_variables(variable: str) -> None:
    assert network.ca_bundle_path({variable: "/etc/ca.pem"}) == Path("/etc/ca.pem")


def test_without_these_variables_no_certificates_are_named() -> None:
    assert network.ca_bundle_path({"SSL_CERT_FILE": ""}) is None


def test_the_certificates_are_a_secret(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(data.CERTIFICATE)
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    assert network.secrets(environment, ca_bundle=tmp_path / "ca.pem") == {"ca_bundle": data.CERTIFICATE}


@pytest.mark.parametrize("content", [b"", b"hostname\n", b"\x30\x82DER"])
def test_certificates_that_are_none_are_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(InputError, match="has no certificate in PEM"):
        network.secrets({"HOME": str(tmp_path)}, ca_bundle=tmp_path / "ca.pem")


def test_a_bundle_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(data.CERTIFICATE + data.CERTIFICATE[:200])
    with pytest.raises(InputError) as caught:
        network.secrets({"HOME": str(tmp_path)}, ca_bundle=tmp_path / "ca.pem")
    assert caught.value.message == f"a certificate in the bundle `{tmp_path}/ca.pem` is damaged"


def test_a_bundle_that_a_build_does_not_take_is_an_error_with_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(data.CERTIFICATE + b"#" * network.SECRET_LIMIT_BYTES)
    with pytest.raises(InputError) as caught:
        network.secrets({"HOME": str(tmp_path)}, ca_bundle=tmp_path / "ca.pem")
    size = f"{512_000 + len(data.CERTIFICATE)} bytes, and a build takes at most 512000"
    assert caught.value.message == f"the certificate bundle `{tmp_path}/ca.pem` has {size}"


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


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("http://u:it's%20%25@proxy:3128", {"it's%20%25", "it's %"}),
        ("https://hf_accesstoken@hub.example.com", {"hf_accesstoken"}),
        ("http://u:a@b@proxy:3128/path@x", {"a@b"}),
        ("u:word@proxy:3128", {"word"}),
        ("http://proxy:3128/path@x", set()),
    ],
)
def test_credentials_are_hidden_as_written_and_as_decoded(tmp_path: Path, address: str, hidden: set[str]) -> None:
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    for variable in ("HTTPS_PROXY", "HF_ENDPOINT", "PIP_INDEX_URL"):
        assert network.sensitive(network.secrets({**environment, variable: address})) == hidden


@pytest.mark.parametrize("content", [b"\xff", None])
def test_a_token_file_that_can_t_be_read_is_an_error_with_a_hint(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    token.mkdir() if content is None else token.write_bytes(content)
    with pytest.raises(InputError, match="the Hub token in `.*token` can't be read") as caught:
        network.hub_token({"HF_TOKEN_PATH": str(token)})
    assert caught.value.hint == "log in again with `hf auth login`, or set HF_TOKEN"


def test_the_hub_may_be_asked_unless_the_environment_forbids_it() -> None:
    values = ["", "true", "1", "Yes", "false", "0", "OFF"]
    allowed = [network.may_ask_hub({"HF_ALLOW_REMOTE_MODELS": value}) for value in values]
    assert (allowed, network.may_ask_hub({})) == ([True, True, True, True, False, False, False], True)


def test_a_word_that_neither_allows_nor_forbids_the_hub_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        network.may_ask_hub({"HF_ALLOW_REMOTE_MODELS": "never"})
    assert caught.value.message == "HF_ALLOW_REMOTE_MODELS is `never`"


def test_every_mirror_of_a_list_has_its_password_hidden(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": "/dev/null",
        "HF_ENDPOINT": "https://a:first@x.example.com, https://b:second@y.example.com",
    }
    assert network.sensitive(network.secrets(environment)) == {"first", "second"}


def test_a_login_for_registries_has_a_name_and_a_password() -> None:
    environment = {"REGISTRY_USER": "robot", "REGISTRY_PASSWORD": "word"}
    assert (network.registry_login(environment), network.registry_login({})) == (("robot", "word"), None)


@pytest.mark.parametrize(
    ("there", "missing"), [("REGISTRY_USER", "REGISTRY_PASSWORD"), ("REGISTRY_PASSWORD", "REGISTRY_USER")]
)
def test_half_of_a_login_is_refused(there: str, missing: str) -> None:
    with pytest.raises(InputError) as caught:
        network.registry_login({there: "x"})
    assert (caught.value.message, caught.value.hint) == (
        f"{there} is set, and {missing} is not",
        f"set {missing} as well, or unset {there}",
    )
