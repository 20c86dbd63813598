# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking XFRM to the kernel over one netlink socket: every request is answered at once, none waits for a packet."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ..errors import EngineError, KernelError, MissingError
from ..newer_python import zip
from . import xfrm
from .addresses import family_of
from .installed import Installed, unpack_installed
from .values import AH, ESP, IPCOMP, PROTOCOL_NAMES, KernelSelector, Policy, Sa, SaState

SPI_LOW, SPI_HIGH = 0xC0000000, 0xCFFFFFFF

_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_REQUEST, _ACK, _EXCLUSIVE, _CREATE, _DUMP = 0x01, 0x04, 0x200, 0x400, 0x300
_DUMP_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_CAPPED, _ACK_TLVS = 0x100, 0x200
_ERROR_CODE = struct.Struct("=i")
_MESSAGE_ATTRIBUTE = 1

# As many acknowledgements fit the socket's default receive buffer several times over.
_BATCH = 64
_DUMP_ATTEMPTS = 5
_RECEIVE = 1 << 17

_MODULES = {ESP: ("esp4", "esp6"), AH: ("ah4", "ah6"), IPCOMP: ("ipcomp", "ipcomp6")}
_OPTIONS = {ESP: "ESP", AH: "AH", IPCOMP: "IPCOMP"}

T = TypeVar("T")


class Operation(NamedTuple):
    """One request ready to send; ``act``, and ``policy`` where it is about one, say in words what it does."""

    type: int
    flags: int
    body: bytes
    act: str
    protocol: int = 0
    family: int = socket.AF_INET
    policy: Policy | None = None

    @property
    def what(self) -> str:
        """The request in words, for the error; written only then, as most never fail."""
        return f"{self.act} {describe(self.policy)}" if self.policy else self.act


def add_sa(sa: Sa) -> Operation:
    """Create; EEXIST when the SAID is taken."""
    return _sa_operation(xfrm.NEWSA, "add", sa)


def go_on_with_sa(sa: Sa, held: Installed) -> Operation:
    """Create in the place of ``held``, which was deleted: sequence numbers, replay window and counters go on."""
    return _sa_operation(xfrm.NEWSA, "add", sa, held.progress())


def update_sa(sa: Sa) -> Operation:
    """Fill a reserved SPI, or change ports and limits of a live SA; ESRCH when there is none."""
    return _sa_operation(xfrm.UPDSA, "update", sa)


def _sa_operation(kind: int, verb: str, sa: Sa, progress: Mapping[int, bytes] | None = None) -> Operation:
    what = f"{verb} the {PROTOCOL_NAMES.get(sa.protocol, sa.protocol)} SA 0x{sa.spi:x} to {sa.destination}"
    return Operation(kind, 0, xfrm.pack_sa(sa, progress), what, sa.protocol, family_of(sa.destination))


def delete_sa(destination: str, spi: int, protocol: int) -> Operation:
    """ESRCH when there is none."""
    what = f"delete the {PROTOCOL_NAMES.get(protocol, protocol)} SA 0x{spi:x} to {destination}"
    return Operation(xfrm.DELSA, 0, xfrm.pack_sa_id(destination, spi, protocol), what)


def create_policy(policy: Policy) -> Operation:
    """EEXIST when one with this selector and direction is there, whoever owns it."""
    return Operation(xfrm.NEWPOLICY, 0, xfrm.pack_policy(policy), "add the policy", policy=policy)


def set_policy(policy: Policy) -> Operation:
    """Create, or replace the one with this selector and direction."""
    return Operation(xfrm.UPDPOLICY, 0, xfrm.pack_policy(policy), "set the policy", policy=policy)


def delete_policy(policy: Policy) -> Operation:
    """By selector and direction; ENOENT when there is none."""
    body = xfrm.pack_policy_id(policy.selector, policy.direction, policy.if_id)
    return Operation(xfrm.DELPOLICY, 0, body, "delete the policy", policy=policy)


def delete_policy_index(policy: Policy) -> Operation:
    """By the number the kernel gave it: never hits another policy with the same selector."""
    body = xfrm.pack_policy_index(policy.index, policy.direction, policy.if_id)
    return Operation(xfrm.DELPOLICY, 0, body, "delete the policy", policy=policy)


def describe(policy: Policy) -> str:
    """``out 10.1.0.0/24 -> 10.2.0.0/24`` for messages."""
    s = policy.selector
    af = socket.AF_INET6 if s.family == 6 else socket.AF_INET
    source, destination = socket.inet_ntop(af, s.source), socket.inet_ntop(af, s.destination)
    return f"{policy.direction} {source}/{s.source_prefix} -> {destination}/{s.destination_prefix}"


class XfrmClient:
    """One netlink socket to the XFRM of this network namespace.

    :ivar port: its port ID, by which events tell what was done through it.
    :raises MissingError: when the kernel has no XFRM user interface.
    """

    def __init__(self) -> None:
        self._socket = open_socket()
        # The kernel repeats it in its events, where it tells our own doing from that of others.
        self.port: int = self._socket.getsockname()[0]
        self._sequence = 0

    def _frame(self, kind: int, flags: int, sequence: int, body: bytes) -> bytes:
        return xfrm.HEADER.pack(16 + len(body), kind, flags, sequence, self.port) + body + bytes(-len(body) % 4)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def do(self, operation: Operation) -> None:
        """Carry out one operation.

        :raises KernelError: in the kernel's words. MissingError: permission or protocol lacking.
        """
        outcome = self.batch((operation,))[0]
        if outcome is not None:
            raise outcome

    def batch(self, operations: Sequence[Operation]) -> list[EngineError | None]:
        """Carry out all, in order, whatever becomes of each: per operation None or the error (not raised)."""
        outcomes: list[EngineError | None] = []
        for start in range(0, len(operations), _BATCH):
            chunk = operations[start : start + _BATCH]
            first = self._sequence + 1
            self._sequence += len(chunk)
            self._socket.send(
                b"".join(
                    self._frame(op.type, op.flags | _REQUEST | _ACK, first + n, op.body) for n, op in enumerate(chunk)
                )
            )
            errors = self._acknowledgements(first, len(chunk))
            outcomes += [error and _problem(op, *error) for op, error in zip(chunk, errors, strict=True)]
        return outcomes

    def _acknowledgements(self, first: int, count: int) -> list[tuple[int, str] | None]:
        found: list[tuple[int, str] | None] = [None] * count
        missing = count
        while missing:
            data = self._socket.recv(_RECEIVE)
            for kind, flags, sequence, at, end in _messages(data):
                if kind == _ERROR and first <= sequence < first + count:
                    found[sequence - first] = _read_error(data, flags, at, end)
                    missing -= 1
        return found

    def reserve_spi(
        self,
        source: str,
        destination: str,
        protocol: int,
        mode: str,
        reqid: int,
        low: int = SPI_LOW,
        high: int = SPI_HIGH,
    ) -> int:
        """Let the kernel choose a free inbound SPI and hold it with a larval SA.

        :raises KernelError: ENOENT when the range is used up.
        """
        body = xfrm.pack_spi_request(source, destination, protocol, mode, reqid, low, high)
        family = family_of(destination)
        operation = Operation(xfrm.ALLOCSPI, 0, body, f"reserve an SPI for {destination}", protocol, family)
        data, at, end = self._answer(operation)
        return xfrm.unpack_sa(data, at, end).spi

    def get_sa(self, destination: str, spi: int, protocol: int) -> SaState | None:
        """The SA with this SAID, or None."""
        operation = Operation(xfrm.GETSA, 0, xfrm.pack_sa_id(destination, spi, protocol), f"read SA 0x{spi:x}")
        return _or_none(lambda: xfrm.unpack_sa(*self._answer(operation)), errno.ESRCH)

    def get_policy(self, selector: KernelSelector, direction: str, if_id: int = 0) -> Policy | None:
        """The policy with exactly this selector for this interface (0: for none), or None."""
        body = xfrm.pack_policy_id(selector, direction, if_id)
        operation = Operation(xfrm.GETPOLICY, 0, body, f"read a policy {direction}")
        return _or_none(lambda: xfrm.unpack_policy(*self._answer(operation)), errno.ENOENT)

    def get_policies(self, wanted: Sequence[tuple[KernelSelector, str, int]]) -> list[Policy | None]:
        """As :meth:`get_policy` for each (selector, direction, interface), at the price of little more than one."""
        found: list[Policy | None] = []
        for start in range(0, len(wanted), _BATCH):
            chunk = wanted[start : start + _BATCH]
            bodies = [xfrm.pack_policy_id(*names) for names in chunk]
            found += self._answers(Operation(xfrm.GETPOLICY, 0, b"", "read policies"), bodies)
        return found

    def _answers(self, operation: Operation, bodies: list[bytes]) -> list[Policy | None]:
        first = self._sequence + 1
        self._sequence += len(bodies)
        self._socket.send(
            b"".join(self._frame(operation.type, _REQUEST, first + n, body) for n, body in enumerate(bodies))
        )
        found: list[Policy | None] = [None] * len(bodies)
        missing = len(bodies)
        failure = None
        while missing:
            data = self._socket.recv(_RECEIVE)
            for kind, flags, sequence, at, end in _messages(data):
                if not first <= sequence < first + len(bodies):
                    continue
                missing -= 1
                if kind != _ERROR:
                    found[sequence - first] = xfrm.unpack_policy(data, at, end)
                    continue
                code, words = _read_error(data, flags, at, end) or (0, "no answer")
                if code != errno.ENOENT:
                    failure = _problem(operation, code, words)
        if failure:
            raise failure
        return found

    def _answer(self, operation: Operation) -> tuple[bytes, int, int]:
        self._sequence += 1
        wanted = self._sequence
        self._socket.send(self._frame(operation.type, operation.flags | _REQUEST, wanted, operation.body))
        while True:
            data = self._socket.recv(_RECEIVE)
            for kind, flags, sequence, at, end in _messages(data):
                if sequence != wanted:
                    continue
                if kind != _ERROR:
                    return data, at, end
                raise _problem(operation, *(_read_error(data, flags, at, end) or (0, "no answer")))

    def read_sa(self, destination: str, spi: int, protocol: int) -> Installed | None:
        """The SA with this SAID whole, keys included, or None."""
        operation = Operation(xfrm.GETSA, 0, xfrm.pack_sa_id(destination, spi, protocol), f"read SA 0x{spi:x}")
        return _or_none(lambda: unpack_installed(*self._answer(operation)), errno.ESRCH)

    def read_sas(self) -> list[Installed]:
        """Every SA of this namespace whole, larval ones included."""
        return self._dump(xfrm.GETSA, unpack_installed, "list the SAs")

    def dump_sas(self) -> list[SaState]:
        """Every SA of this namespace, larval ones included."""
        return self._dump(xfrm.GETSA, xfrm.unpack_sa, "list the SAs")

    def dump_policies(self) -> list[Policy]:
        """Every policy of the main table of this namespace, in no order to rely on; socket policies are left out."""
        return self._dump(xfrm.GETPOLICY, xfrm.unpack_policy, "list the policies")

    def dump_outbound_policies(self) -> list[Policy]:
        """As :meth:`dump_policies`, but only what goes out: in a third of the time where tunnels have all three."""
        return self._dump(xfrm.GETPOLICY, xfrm.unpack_outbound_policy, "list the policies")

    def _dump(self, kind: int, unpack: Callable[[bytes, int, int], T | None], what: str) -> list[T]:
        for _attempt in range(_DUMP_ATTEMPTS):
            found, whole = self._dump_once(kind, unpack, what)
            if whole:
                return found
        raise KernelError(what, errno.EINTR, "the table kept changing while it was read; try again")

    def _dump_once(self, kind: int, unpack: Callable[[bytes, int, int], T | None], what: str) -> tuple[list[T], bool]:
        self._sequence += 1
        wanted = self._sequence
        self._socket.send(self._frame(kind, _REQUEST | _DUMP, wanted, b""))
        found: list[T] = []
        whole = True
        while True:
            data = self._socket.recv(_RECEIVE)
            for answer, flags, sequence, at, end in _messages(data):
                if sequence != wanted:
                    continue
                if flags & _DUMP_INTERRUPTED:
                    whole = False
                if answer == _DONE:
                    return found, whole
                if answer == _ERROR:
                    raise _problem(Operation(kind, 0, b"", what), *(_read_error(data, flags, at, end) or (0, "ended")))
                value = unpack(data, at, end)
                if value is not None:
                    found.append(value)


def open_socket(groups: Iterable[int] = ()) -> socket.socket:
    """A bound netlink socket, joined to multicast ``groups``.

    :raises MissingError: no XFRM in the kernel, or no permission.
    """
    try:
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, xfrm.NETLINK_XFRM)
    except OSError as exc:
        if exc.errno != errno.EPROTONOSUPPORT:
            raise
        raise MissingError(
            "this kernel has no IPsec (XFRM) interface", "load it: modprobe xfrm_user (kernel option CONFIG_XFRM_USER)"
        ) from None
    for option in (_CAP_ACK, _EXT_ACK):
        link.setsockopt(_SOL_NETLINK, option, 1)
    try:
        link.bind((0, sum(1 << (group - 1) for group in groups)))
    except PermissionError:
        link.close()
        raise MissingError("no permission to watch the kernel's IPsec events", "run as root (become: true)") from None
    return link


def _messages(data: bytes) -> Iterable[tuple[int, int, int, int, int]]:
    at, total = 0, len(data)
    while at + 16 <= total:
        length, kind, flags, sequence, _port = xfrm.HEADER.unpack_from(data, at)
        if length < 16 or at + length > total:
            raise KernelError("read the kernel's answer", 0, "a netlink message is cut short")
        yield kind, flags, sequence, at + 16, at + length
        at += (length + 3) & ~3


def _read_error(data: bytes, flags: int, at: int, end: int) -> tuple[int, str] | None:
    (code,) = _ERROR_CODE.unpack_from(data, at)
    if not code:
        return None
    words = os.strerror(-code)
    if flags & _ACK_TLVS and flags & _CAPPED:
        found = xfrm.attributes(data, at + 20, end)
        if _MESSAGE_ATTRIBUTE in found:
            start, stop = found[_MESSAGE_ATTRIBUTE]
            words = f"{data[start:stop].rstrip(bytes(1)).decode('utf-8', 'replace')} ({words})"
    return -code, words


def _problem(operation: Operation, code: int, words: str) -> EngineError:
    if code == errno.EPERM:
        return MissingError("no permission to read or change the kernel's IPsec tables", "run as root (become: true)")
    if code == errno.EPROTONOSUPPORT and operation.protocol in _MODULES:
        version = 6 if operation.family == socket.AF_INET6 else 4
        option = f"CONFIG_INET{'6' if version == 6 else ''}_{_OPTIONS[operation.protocol]}"
        return MissingError(
            f"this kernel has no {PROTOCOL_NAMES[operation.protocol]} for IPv{version}",
            f"load it: modprobe {_MODULES[operation.protocol][version == 6]} (kernel option {option})",
        )
    if code == errno.ENOSYS:
        return MissingError(
            f"{operation.what}: {words}", "load the kernel's module of that algorithm or choose other proposals"
        )
    return KernelError(operation.what, code, words)


def _or_none(read: Callable[[], T | None], absent: int) -> T | None:
    try:
        return read()
    except KernelError as exc:
        if exc.errno == absent:
            return None
        raise
