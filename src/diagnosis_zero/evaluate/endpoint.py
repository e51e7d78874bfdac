"""Where a server is, and what may be sent there.

Case text is private: an address that is not this machine's own needs ``allow_remote``. Redirects are not
followed and, for a local address, proxies are not used, so that the text goes where the address says and
nowhere else. A key is read from the environment and goes only to OpenAI and Azure, unless its variable is
named for another server.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from diagnosis_zero.errors import InputError

NO_KEY = "none"
"""What the client is told where there is no key: it insists on one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how it is spoken to.

    ``style`` is "chat" (the server applies the model's chat template) or "raw" (plain completion of the
    text). ``api_version`` makes it an Azure deployment. ``key_variable`` names the environment variable of
    the key. ``empty_is_fault``: ask again after an empty reply, for a judge; an evaluated model may well
    say nothing.
    """

    url: str
    model: str
    style: Literal["chat", "raw"] = "chat"
    key_variable: str | None = None
    api_version: str | None = None
    allow_remote: bool = False
    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout: float = 120.0
    attempts: int = 6
    backoff: float = 0.5
    empty_is_fault: bool = False


def is_local(url: str) -> bool:
    """Whether an address is this machine's own (127.0.0.0/8, ::1 or the name localhost)."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(endpoint: Endpoint, what: str) -> str | None:
    """A sentence on what will leave this machine, None where nothing does.

    Raises:
        InputError: the address is no http(s) address, or a remote one without ``allow_remote``.
    """
    parts = urlsplit(endpoint.url)
    if "@" in parts.netloc:
        mend = "Put the key into an environment variable and name it by --key-env (or --judge-key-env)."
        raise InputError("an address with a name or password in it", where=parts.hostname, mend=mend)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        mend = "Give it as http://127.0.0.1:8000/v1."
        raise InputError("not an http address", where=endpoint.url, mend=mend)
    if is_local(endpoint.url):
        return None
    sends = f"{what} will be sent to {parts.hostname}"
    if not endpoint.allow_remote:
        mend = "Case text is private; add --allow-remote if it may leave this machine."
        raise InputError(f"a remote endpoint: {sends}", mend=mend)
    return sends + "."


def open_client(endpoint: Endpoint) -> Any:
    try:
        import openai
    except ImportError as error:
        mend = "Install it: pip install 'diagnosis-zero[eval]'."
        raise InputError("an endpoint needs the openai package", mend=mend) from error
    local = is_local(endpoint.url)
    http = openai.DefaultHttpxClient(trust_env=not local, follow_redirects=False, timeout=endpoint.timeout)
    settings: dict[str, Any] = {
        "api_key": _key(endpoint),
        "http_client": http,
        "max_retries": 0,  # ours count attempts and know more kinds of failure
        "timeout": endpoint.timeout,
    }
    if endpoint.api_version:
        return openai.AzureOpenAI(azure_endpoint=endpoint.url, api_version=endpoint.api_version, **settings)
    return openai.OpenAI(base_url=endpoint.url, **settings)


def without_key(text: str, endpoint: Endpoint) -> str:
    """A server's words, which may repeat the key, as they can be shown and kept."""
    key = _key(endpoint)
    return text if key == NO_KEY else text.replace(key, "(key)")


def _key(endpoint: Endpoint) -> str:
    """The key for this server and no other's."""
    variable = endpoint.key_variable
    if variable is None and endpoint.api_version:
        variable = "AZURE_OPENAI_API_KEY"
    if variable is None and urlsplit(endpoint.url).hostname == "api.openai.com":
        variable = "OPENAI_API_KEY"
    if variable is None:
        return NO_KEY
    key = os.environ.get(variable)
    if not key:
        raise InputError(f"no key: the environment variable {variable} is not set", where=endpoint.url)
    return key
