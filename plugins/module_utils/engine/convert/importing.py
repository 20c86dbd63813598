# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way in for every kind of file: which it is, and what it defines."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from ..errors import InputError
from . import ikedb, ipsec_conf, swanctl
from .files import Files
from .here import here_of, unknown
from .report import Conversion, Report
from .shelves import NO_SECRETS, Secrets

FORMATS = (ikedb.FORMAT, swanctl.FORMAT, ipsec_conf.FORMAT)
AUTO = "auto"

# No run of blanks is read twice: of each, only so many belong to what is looked for.
_SWANCTL = re.compile(
    r"^[^\S\n]*(connections|secrets|pools|authorities)\s{0,99}[:{]"
    r"|^[^\S\n]*[\w.-]+\s{0,99}(:[^={}\n]*)?\{",
    re.MULTILINE,
)
_IPSEC_CONF = re.compile(r"^(conn|config\s+setup|ca|version)\b", re.MULTILINE)


class Source(NamedTuple):
    """A text and where it comes from.

    :ivar path: of the file; a name for messages where ``follow`` is False and includes have no place to count from.
    """

    text: str
    path: str


class Wishes(NamedTuple):
    """How to convert.

    :ivar local_addresses: addresses of the host that a configuration is for.
    :ivar upgrade: whether tunnels of IKEv1 become tunnels of IKEv2.
    :ivar towards: the address that this host has towards a peer's, empty where that is not known.
    """

    local_addresses: Collection[str] = ()
    upgrade: bool = False
    towards: Callable[[str], str] = unknown


_AS_IT_IS = Wishes()


def detect(source: Source) -> str:
    """Which format a text has.

    :raises InputError: none that is known.
    """
    if source.text.lstrip().startswith("<"):
        return ikedb.FORMAT
    if _IPSEC_CONF.search(source.text):
        return ipsec_conf.FORMAT
    if _SWANCTL.search(source.text):
        return swanctl.FORMAT
    problem = "is none of the known formats"
    raise InputError("format", source.path, problem, f"say which it is: {', '.join(FORMATS)}")


def secrets_of(secrets: Source, files: Files, report: Report) -> Secrets:
    """The secrets of a file such as ipsec.secrets.

    :raises InputError: it is no such file.
    """
    return ipsec_conf.secrets_of(secrets.text, secrets.path, files, report)


def convert(
    source: Source, format: str, files: Files, report: Report, secrets: Source | None = None, wishes: Wishes = _AS_IT_IS
) -> Conversion:
    """What a configuration defines.

    :param format: one of :data:`FORMATS`, or :data:`AUTO`.
    :param files: reads what it includes.
    :param secrets: an ipsec.secrets with secrets besides those in the file.
    :raises InputError: it cannot be read, naming file and line.
    """
    kind = detect(source) if format == AUTO else format
    given = secrets_of(secrets, files, report) if secrets else NO_SECRETS
    here = here_of(wishes.local_addresses, wishes.towards)
    if kind == ikedb.FORMAT:
        return ikedb.convert([source], report, given.shared, wishes.upgrade)
    if kind == swanctl.FORMAT:
        return swanctl.convert(source.text, source.path, files, report, given, wishes.upgrade, here)
    return ipsec_conf.convert(source.text, source.path, files, report, given, here, wishes.upgrade)
