"""Credentials taken out of text: what is printed, logged or stored keeps names, never values.

Credentials come from the environment or from files that a setting names. They may still turn up
in what libraries say: a URL with a password, a signed query, a header. So texts of others go
through `redacted` where they become messages.
"""

from __future__ import annotations

import re

#: What stands where a credential was.
HIDDEN = "***"

#: ``https://user:password@host``; the last ``@`` before the path ends the credentials. Secret keys
#: may hold a slash, which is told from a port's.
_USERINFO = re.compile(
    r"(?P<keep>\b[a-z][a-z0-9+.-]{0,31}://)"
    r"(?:[^/\s?#\"'<>]*@|[^/\s:@?#\"'<>]+:(?!\d+/)[^\s@?#\"'<>]*@(?:[^/\s?#\"'<>]*@)?)",
    re.IGNORECASE,
)

#: Query parameters by which storage services and gateways know who asks.
_SIGNED = (
    *("x-amz-[a-z-]+", "awsaccesskeyid", "signature", "x-goog-[a-z-]+", "googleaccessid"),
    *("sig", "key-pair-id", "policy", "token", "[a-z_]*access[_-]?token", "id_token", "jwt"),
    *("auth", "api[_-]?key", "password", "passwd", "secret", "client_secret", "code"),
)
_QUERY = re.compile(rf"(?P<keep>[?&;](?:{'|'.join(_SIGNED)})=)[^&;\s#\"'<>]+", re.IGNORECASE)

#: ``Authorization: Bearer ...`` and the like, as headers and as clients print them.
_HEADER = re.compile(
    r"(?P<keep>\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)"
    r"(?:(?:basic|bearer|token|negotiate|jupyterhub|aws4-hmac-sha256)\s+)?[^'\"\r\n]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<keep>\bbearer\s+)[a-z0-9._~+/=-]{16,}", re.IGNORECASE)

#: ``AWS_SECRET_ACCESS_KEY=...``, ``"password": "..."``: names that always mean a value.
_ASSIGNED = re.compile(
    r"(?P<keep>\b[a-z0-9_-]*(?:password|passwd|passphrase|secret[_-]?access[_-]?key|"
    r"session[_-]?token|access[_-]?token|auth[_-]?token|api[_-]?token|api[_-]?key|"
    r"client[_-]?secret|account[_-]?key)['\"]?\s*[=:]\s*)"
    r"(?!\*\*\*)(?:'[^']*'|\"[^\"]*\"|[^\s'\",;&}]+)",
    re.IGNORECASE,
)

#: Tokens that are known by their own shape.
_SHAPES = re.compile(
    r"\b(?:A(?:KIA|SIA)[A-Z0-9]{16}"  # access keys of Amazon
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{20,}|AIza[A-Za-z0-9_-]{35}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"  # JSON web tokens
)
_KEY_BLOCK = re.compile(
    r"(?P<keep>-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----).*?(?:-----END (?P=kind)-----|\Z)",
    re.DOTALL,
)


def redacted(text: str) -> str:
    """Return `text` with ``***`` for what lets one in.

    That is: user and password in URLs of any scheme, parameters of signed URLs, authorization
    headers, values assigned to names such as ``password``, private keys in PEM, and tokens with a
    shape of their own. Hosts, paths and the names of secrets stay. Doing it twice changes nothing,
    and a text without credentials comes back as it is.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    text = _KEY_BLOCK.sub(rf"\g<keep>{HIDDEN}", text)
    for pattern in (_USERINFO, _QUERY, _HEADER, _BEARER, _ASSIGNED):
        end = "@" if pattern is _USERINFO else ""
        text = pattern.sub(rf"\g<keep>{HIDDEN}{end}", text)
    return _SHAPES.sub(HIDDEN, text)


def has_credentials(text: str) -> bool:
    """Return whether `text` holds what `redacted` takes out."""
    return redacted(text) != text
