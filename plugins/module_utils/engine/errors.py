# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's error types.

Two worlds, two types: what a peer sends can raise :class:`IkeError` and nothing
else; what an operator or this host does wrong raises another
:class:`EngineError`, which always names the field, the value and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable

# Scope of an IkeError: what the failure takes down.
MESSAGE = "message"  # this datagram only; the SA goes on
CHILD = "child"  # this Child SA negotiation only
IKE = "ike"  # the IKE SA and all its children


class EngineError(Exception):
    """Anything the engine reports to its user; ``str()`` is one clear sentence."""


class IkeError(EngineError):
    """A protocol failure that a peer's octets caused.

    :param notify: the notify type number to answer with (RFC 7296 section 3.10.1),
        or 0 when nothing may be answered.
    :param story: one sentence for the operator, without secrets.
    :param scope: :data:`MESSAGE`, :data:`CHILD` or :data:`IKE`.
    :param data: notification data to send along (octets).
    :param reason: key of the closed list of reasons (``ike/reasons.py``).
    :ivar tunnels: names of the tunnels that it may be about, where that is not said by the IKE SA.
    """

    def __init__(
        self, notify: int, story: str, scope: str = MESSAGE, data: bytes = b"", reason: str = "protocol_error"
    ) -> None:
        super().__init__(story)
        self.notify = notify
        self.story = story
        self.scope = scope
        self.data = data
        self.reason = reason
        self.tunnels: tuple[str, ...] = ()


# The notify that answers it in IKEv2; who speaks IKEv1 answers with a number of its own.
AUTHENTICATION_FAILED = 24


class CertificateError(IkeError):
    """A certificate that proves nothing here: a peer's, or one of an operator's that is looked at as a peer would.

    :param reason: key of the closed list of reasons (``ike/reasons.py``).
    :param story: one sentence that names the certificate and how it fails.
    :param remedy: what to do about it, and at which end.
    """

    def __init__(self, reason: str, story: str, remedy: str) -> None:
        super().__init__(AUTHENTICATION_FAILED, story, IKE, reason=reason)
        self.remedy = remedy


HIDDEN = "hidden"
_PRIVATE = "PRIVATE KEY-----"  # of PEM, whatever kind of key it is


class InputError(EngineError):
    """A value the user gave is unusable.

    A private key in the wrong place, be that among others or as the name of a field, is not shown.

    :param field: path of the field, as the user wrote it (``children[0].local``).
    :param value: the offending value (never a secret); None where nothing was given.
    :param remedy: what to write instead.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        if _PRIVATE in field:
            field = f"{field.partition('-----BEGIN')[0]}{HIDDEN}"
        if _PRIVATE in repr(value):
            value = HIDDEN
        got = "" if value is None else f" (got {value!r})"
        super().__init__(f"{field}: {problem}{got}; {remedy}")
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy


class RefusedError(InputError):
    """A value that is sound in itself but not on this host: what it names is not there, or is another's."""


class MissingError(EngineError):
    """Something this host lacks: a package, a kernel feature, a permission, a running service.

    :param what: what is missing.
    :param remedy: the command or package that mends it.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class DamagedError(MissingError):
    """A file of ours whose content nobody can read any more."""


class KernelError(EngineError):
    """The kernel refused an operation.

    :param operation: what was asked, in words.
    :param errno: the error number netlink answered, or 0.
    :param detail: the kernel's own words (extended acknowledgement) or ours.
    """

    def __init__(self, operation: str, errno: int, detail: str) -> None:
        super().__init__(f"{operation}: {detail}")
        self.operation = operation
        self.errno = errno
        self.detail = detail


_READ = 20


def a_few(words: Iterable[object], mark: str = ", ") -> str:
    """``a, b, c and 4980 more``: as many words of a list as anybody reads in a message."""
    items = list(words)
    more = f" and {len(items) - _READ} more" if len(items) > _READ else ""
    return mark.join([str(item) for item in items[:_READ]]) + more
