# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the command lines: what they read, and what only root may read afterwards."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import sys
import tempfile

from ..convert.files import Files
from ..convert.importing import Source
from ..convert.report import Report
from ..errors import EngineError, InputError, MissingError
from ..kernel.addresses import is_local

_ADDRESS = re.compile(r"(?<![\w.:])[0-9a-fA-F.:]{2,45}(?![\w.:/])")


def read_source(path: str, report: Report) -> Source:
    """The text of a file, or of standard input for ``-``.

    :raises EngineError: it cannot be read, or is no text; the words of the command line are right all the same.
    """
    files = Files(report)
    try:
        if path == "-":
            return Source(files.decode(sys.stdin.buffer.read(), "standard input", "file"), "standard input")
        return Source(files.read(path), path)
    except InputError as error:
        raise EngineError(str(error)) from None


def write_private(path: str, text: str, overwrite: bool) -> None:
    """Write a file that root alone may read, whole or not at all.

    :raises MissingError: it cannot be written, or is there and is not to be overwritten.
    """
    if os.path.lexists(path) and not overwrite:
        raise MissingError(f"-f: {path} is there already; nothing was written", "give -F to overwrite it")
    write_whole(path, text.encode(), 0o600, "name a file in a folder that is there")


def write_whole(path: str, octets: bytes, mode: int, remedy: str) -> None:
    """Write a file, whole or not at all: it takes its place only when it is complete.

    :param remedy: where it cannot be written.
    :raises MissingError: it cannot be written.
    """
    try:
        # mkstemp gives mode 0600.
        descriptor, beside = tempfile.mkstemp(prefix=".fleet-ipsec-", dir=os.path.dirname(os.path.abspath(path)))
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(octets)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            os.rename(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as exc:
        raise MissingError(f"{path} cannot be written ({exc.strerror})", remedy) from None


def own_addresses(text: str) -> list[str]:
    """Those addresses in a text that are this host's: only its own can be bound."""
    return [address for address in dict.fromkeys(_ADDRESS.findall(text)) if _is_address(address) and _is_own(address)]


def _is_address(word: str) -> bool:
    """Binding to a word that is none, such as a time of day, would ask a name server for it."""
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _is_own(address: str) -> bool:
    return address not in ("0.0.0.0", "::") and is_local(address)
