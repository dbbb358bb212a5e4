"""Secrets are found by key name and by token format, blanked out without a trace, and prose is left alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from durum.core.canonical import canonical_json, parse_json
from durum.core.payload import decode_payload, encode_payload
from durum.core.secrets import KEY_NAME_RULE, REDACTED, find_secret, may_hold_secret, redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonObject, JsonValue

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM_BODY = "MIIEpAIBAAKCAQEA7bq1c3T5v8fQ\nq0dJ4k2Zs9YwX1uN6rHcT0mL8eKpV3a="

# canary -> rule; every one is invented
TOKENS: dict[str, str] = {
    "sk-ant-api03-Ab3dEf6hIj9lMn2pQr5tUv8xYz1-AA": "sk- API key",
    "sk-proj-Zx9yWv8uTs7rQp6oNm5lKj4iHg3fEd2c": "sk- API key",
    "sk-0123456789abcdef0123456789abcdef": "sk- API key",
    "sk_" + "live_51HxYzAbCdEfGhIjKlMn": "Stripe key",
    "rk_" + "test_51HxYzAbCdEfGhIjKlMn": "Stripe key",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a": "GitHub token",
    "gho_16C7e42F292c6912E7710c838347Ae178B4a": "GitHub token",
    "ghs_16C7e42F292c6912E7710c838347Ae178B4a": "GitHub token",
    "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ": "GitHub token",
    "glpat-aB3dE6gH9jK2mN5pQ8sT": "GitLab token",
    "AKIAIOSFODNN7EXAMPLE": "AWS access key",
    "ASIAIOSFODNN7EXAMPLE": "AWS access key",
    "xoxb-123456789012-abcdefABCDEF": "Slack token",
    "xoxp-123456789012-abcdefABCDEF": "Slack token",
    "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q": "Google API key",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh": "Hugging Face token",
    JWT: "JSON web token",
    f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\n-----END RSA PRIVATE KEY-----": "private key",
    f"-----BEGIN PRIVATE KEY-----\\n{PEM_BODY}": "private key",
    f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{PEM_BODY}\n-----END PGP PRIVATE KEY BLOCK-----": "private key",
    "Bearer 0aB1cD2eF3gH4iJ5kL6m": "bearer token",
    "bearer abcdefgh.ijklmnop~qrst+uvw/x1==": "bearer token",
}
URLS = [
    "postgres://admin:hunter2@db.internal:5432/app",
    "redis://:s3cr3t@localhost/0",
    "https://user:p@ss:word@example.com/x",
    "git+https://bot:abc$def@git.example.com",
]
KEYS = [
    *(
        "password",
        "PASSWORD",
        "Password",
        "db_password",
        "db.password",
        "userPassword",
        "DB-PASSWORD",
        "password2",
        "PGPASSWORD",
    ),
    *("passwd", "passphrase", "wallet_passphrase", "mnemonic", "seed_phrase", "seedPhrase", "seed phrase", "seedphrase"),
    *("private_key", "privateKey", "privatekey", "ssh-private-key", "api_key", "apikey", "apiKey", "API-Key", "X-API-Key"),
    *(
        "x_api_key",
        "OPENAI_API_KEY",
        "access_key",
        "accessKey",
        "aws_access_key_id",
        "secret_key",
        "SecretKey",
        "aws_secret_access_key",
    ),
    *("client_secret", "clientSecret", "api_secret", "access_token", "accessToken", "refresh_token", "id_token", "idToken"),
    *("auth_token", "authToken", "bearer_token", "session_token", "authorization", "Authorization", "Proxy-Authorization"),
]
PLACEHOLDERS = [
    *("", " ", "***", "xxxx", "...", "[secret]", "[REDACTED]", "redacted", "<your key>", "${API_KEY}", "$API_KEY"),
    *("{{ inputs.key }}", "${{ secrets.KEY }}", "Bearer ${TOKEN}", "Bearer {{ token }}", "your-api-key", "none"),
]


def named(entries: JsonObject) -> Iterator[JsonObject]:
    """Yield each entry as a value of its own."""
    for key, item in entries.items():
        yield {key: item}


CLEAN: list[JsonValue] = [
    *("artifact_written", "seeding_database", "the password is wrong", "Enter your password: then press return"),
    "please read the long report and write a short summary of it for the whole team",
    "legal winner thank year wave sausage worth useful legal winner thank yellow",
    *("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "01890a5d-ac96-774b-bcce-b302099a8057"),
    *("5c80f1f0a1b2c3d4e5f60718293a4b5c6d7e8f90", "aGVsbG8gd29ybGQsIHRoaXMgaXMgcGxhaW4gYmFzZTY0IHRleHQ="),
    *("task-oriented-dialogue-systems-2024-edition", "risk-adjusted-return-on-capital-2019", "sk-learn-contrib-style-names"),
    *("the bearer of this letter", "Bearer token authentication is required", "bearer authentication/authorization-headers"),
    *("ASIA PACIFIC", "xoxo", "eyJ is how a JWT starts", "a file that starts with -----BEGIN PRIVATE KEY----- is a key"),
    *("https://example.com:8080/a@b", "mail me@example.com or see http://example.com", "git@github.com:org/repo.git"),
    *("postgres://user:${PASSWORD}@host/db", "postgres://user:{{ pw }}@host/db", "http://host:8080?mail=a@b.c"),
    *named({"password": None, "api_key": {"$secret": "OPENAI_KEY"}, "access_token": True, "passwd": 7, "mnemonic": ["a"]}),
    *named(
        dict.fromkeys(["password_hint", "passwords_seen", "token", "input_tokens", "key", "cache_key", "invalid_token"], "x")
    ),
    *named(dict.fromkeys(["secret", "authorizations", "organization", "monkeyapikey", "api_key_env"], "x")),
    {"password": {"type": "string", "minLength": 8}},
]

SECRET_TEXTS = st.sampled_from([*TOKENS, *URLS])
TEXTS = st.one_of(
    st.text(max_size=20),
    st.tuples(
        st.text(max_size=4) | st.sampled_from(["\n", "\t", "\x01", '"', "\\", "a", "-", "é"]),
        SECRET_TEXTS,
        st.text(max_size=4) | SECRET_TEXTS,
    ).map("".join),
    st.sampled_from([item for item in CLEAN if isinstance(item, str)] + PLACEHOLDERS),
)
NAMES = st.one_of(
    st.text(max_size=6),
    st.tuples(
        st.sampled_from(["", "my", "my_", "é-", "\n", '"']),
        st.sampled_from(KEYS),
        st.sampled_from(["", "_", "2", ":", "K", "\u212a"]),
    ).map("".join),
    TEXTS,
)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("token", "rule"), TOKENS.items(), ids=lambda text: text[:14])
def test_a_known_token_is_found_anywhere(token: str, rule: str) -> None:
    """In a value, in the middle of prose and as a key; the refusal's path never repeats it."""
    assert find_secret({"a": [1, token]}) == ("$.a[1]", rule)
    assert find_secret({"a": f'call it with "{token}" please'}) == ("$.a", rule)
    assert find_secret({token: 1}) == (f"$['{REDACTED}']", rule)
    assert may_hold_secret(canonical_json([f"\n{token}"]))
    assert find_secret([f"\n{token}"]) == ("$[0]", rule)


@pytest.mark.parametrize("url", URLS)
def test_a_password_in_a_url_is_found_and_the_host_stays(url: str) -> None:
    """What stands before the last @ goes; scheme and host are kept because they help to find the fault."""
    assert find_secret([url]) == ("$[0]", "password in a URL")
    scheme, host = url.split("://", 1)[0], url.rsplit("@", 1)[1]
    assert redact_text(f"cannot reach {url}, giving up") == f"cannot reach {scheme}://{REDACTED}@{host}, giving up"


@pytest.mark.parametrize("key", KEYS)
def test_a_secret_name_is_found_however_it_is_spelled(key: str) -> None:
    """Upper case, hyphens, spaces, camel case and prefixes name the same thing."""
    value: JsonValue = {"outer": [{key: "hunter2"}]}
    found = find_secret(value)
    assert found is not None
    assert found[1] == KEY_NAME_RULE
    assert found[0].startswith("$.outer[0]")
    assert may_hold_secret(canonical_json(value))
    assert redact(value) == {"outer": [{key: REDACTED}]}


@pytest.mark.parametrize("value", CLEAN, ids=repr)
def test_ordinary_data_is_left_alone(value: JsonValue) -> None:
    """Prose about passwords, digests, ids, references and look-alikes pass, unchanged and uncopied."""
    assert find_secret(value) is None
    assert redact(value) is value
    if isinstance(value, str):
        assert redact_text(value) == value


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_no_secret(text: str) -> None:
    """What stands where a secret will be put may be stored."""
    assert find_secret({"api_key": text}) is None
    assert redact_text(f"api_key='{text}'") == f"api_key='{text}'"


def test_the_cheap_test_is_quiet_on_ordinary_data() -> None:
    """It would be of no use if ordinary runs made it answer True."""
    ordinary: JsonValue = {
        "run_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "snapshot": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "key": "x",
        "organization": "y",
        "prompt": "the password is wrong, so the bearer of this task-based letter asks",
        "source": "https://example.com:8080/a?b=c and me@example.com",
        "usage": {"input_tokens": 1, "token": "x"},
        "step": ["artifact_written", "seeding_database", "ASIA", "xoxo", "eyJ"],
    }
    assert not may_hold_secret(canonical_json(ordinary))
    assert not may_hold_secret(b"{}")


@settings(max_examples=400, deadline=None)
@given(VALUES)
@example({"api_\u212aey": "x"})
@example(["a\nsk-ant-api03-Ab3dEf6hIj9lMn2pQr5tUv8xYz1-AA"])
@example({"headers": [["x-api-key", "x"]]})
@example({"headers": [["a", 1], ["X-API-Key1", "x"]]})
def test_the_cheap_test_never_misses_a_secret(value: JsonValue) -> None:
    """find_secret(v) implies may_hold_secret(bytes of v), whatever JSON escapes do to the bytes around it."""
    if find_secret(value) is not None:
        assert may_hold_secret(canonical_json(value))


@settings(max_examples=400, deadline=None)
@given(VALUES)
def test_redaction_leaves_no_secret_and_is_stable(value: JsonValue) -> None:
    """A redacted value is clean and redacts to itself, a clean one is returned as it is, and no entry is lost."""
    cleaned = redact(value)
    assert find_secret(cleaned) is None
    assert redact(cleaned) is cleaned
    assert (cleaned is value) == (find_secret(value) is None)
    assert parse_json(canonical_json(cleaned)) == cleaned
    if isinstance(value, dict):
        assert isinstance(cleaned, dict)
        assert len(cleaned) == len(value)


@given(TEXTS)
def test_redacted_text_is_stable(text: str) -> None:
    """Redacting a log line twice changes nothing, and no token is left in it."""
    cleaned = redact_text(text)
    assert redact_text(cleaned) == cleaned
    assert find_secret(cleaned) is None


def test_canaries_leave_no_trace_in_a_printed_error() -> None:
    """Every canary, of both kinds, is gone from the value and from a message that prints it."""
    canary = "hunter2-canary"
    value: JsonValue = {"tokens": list(TOKENS), "headers": dict.fromkeys(KEYS, canary)}
    for text in (json.dumps(redact(value)), redact_text(repr(value)), redact_text(json.dumps(json.dumps(value)))):
        assert canary not in text
        for token in TOKENS:
            assert token not in text
            assert json.dumps(token)[1:-1] not in text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("login failed: password=hunter2 host=db", "login failed: password=[secret] host=db"),
        ("GET /v1?api_key=abc&x=1", "GET /v1?api_key=[secret]&x=1"),
        ('{"api_key": "abc def", "x": 1}', '{"api_key": "[secret]", "x": 1}'),
        ("{'dbPassword': 'abc'}", "{'dbPassword': '[secret]'}"),
        ('"{\\"api_key\\": \\"abc\\", \\"x\\": 1}"', '"{\\"api_key\\": \\"[secret]\\", \\"x\\": 1}"'),
        ('password="a\\"b", x="1"', 'password="[secret]", x="1"'),
        ("password = 'a b'", "password = '[secret]'"),
        ("the password: it is wrong", "the password: it is wrong"),
        ("password=***", "password=***"),
        ("password=[secret DB PASSWORD] host=db", "password=[secret DB PASSWORD] host=db"),
        ("password=[secret DB]x, host=db", "password=[secret], host=db"),
        (f"got {JWT}.", "got [secret]."),
        ("AWS AKIAIOSFODNN7EXAMPLE, twice AKIAIOSFODNN7EXAMPLE", "AWS [secret], twice [secret]"),
    ],
)
def test_a_log_line_keeps_everything_but_the_secret(text: str, cleaned: str) -> None:
    """Only the value goes, so that the line still says what happened."""
    assert redact_text(text) == cleaned


def test_a_name_in_a_list_of_headers_speaks_for_the_text_beside_it() -> None:
    """HTTP headers are kept as pairs; two words in any other list are two words."""
    headers: JsonValue = [["date", "today"], ["X-Api-Key", "hunter2"], ["password"], "password", ["authorization", ""]]
    assert find_secret({"request_headers": headers}) == ("$.request_headers[1]", KEY_NAME_RULE)
    cleaned: JsonValue = [["date", "today"], ["X-Api-Key", REDACTED], ["password"], "password", ["authorization", ""]]
    assert redact({"headers": headers}) == {"headers": cleaned}
    fields: JsonValue = {"fields": [["password", "email"]]}
    assert redact(fields) is fields
    assert find_secret(fields) is None


def test_only_what_changed_is_copied() -> None:
    """Clean parts of a redacted value are the same objects; the input is never changed."""
    clean: JsonValue = {"a": [1, 2]}
    value: list[JsonValue] = [clean, {"password": "hunter2"}, {"AKIAIOSFODNN7EXAMPLE": 1, "ASIAIOSFODNN7EXAMPLE": 2}]
    cleaned = redact(value)
    assert isinstance(cleaned, list)
    assert cleaned[0] is clean
    assert cleaned[1:] == [{"password": REDACTED}, {REDACTED: 1, f"{REDACTED}'": 2}]
    assert value[1] == {"password": "hunter2"}


def test_a_token_between_other_bytes_is_found_and_replaced() -> None:
    """Output that is not UTF-8 travels as base64; a token in it is as visible as in text."""
    token = "ghp_" + "a1B2" * 9
    payload: JsonValue = {"stdout": encode_payload(b"\xe4 " + token.encode() + b" \xff")}
    assert may_hold_secret(canonical_json(payload))
    assert find_secret(payload) is not None
    clean = redact(payload)
    assert isinstance(clean, dict)
    assert decode_payload(clean["stdout"]) == b"\xe4 " + REDACTED.encode() + b" \xff"
    harmless: JsonValue = {"stdout": encode_payload(b"\xe4 nothing \xff")}
    assert redact(harmless) is harmless
    assert find_secret(harmless) is None
