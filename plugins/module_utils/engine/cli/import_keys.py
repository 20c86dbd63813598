# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec import``: take a private key and its certificates out of a PKCS#12 file; needs no tunnel manager."""

from __future__ import annotations

import argparse
import getpass
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..convert.files import Files
from ..convert.report import Report
from ..crypto.certificate_files import as_pem
from ..crypto.pkcs12 import Bundle, WrongPassphrase, read_bundle
from ..errors import EngineError, InputError, MissingError
from ..private_directory import private_directory
from ..release import said_by
from ..secret import Secret
from .common import USAGE, Parser, UsageError, complain, guarded, say, show_json
from .files import write_whole

_FAILURE = 1
_DIRECTORY = "/etc/fleet-ipsec/private"
_NOT_WRITTEN = "run as root, or name another --directory"
_EVERYBODY = stat.S_IRWXG | stat.S_IRWXO
_EPILOG = """\
Writes PEM: NAME.pem (the certificate, and behind it those between it and its root), NAME.key (the private key, in
clear, readable by root alone) and, where the file has roots, NAME-ca.pem. Files that are there already stay: with the
same content all is well, with another one nothing is written. The passphrase is read from a file, or asked for. It
prints the auth of a definition for ipsec_tunnel.

  ipsec import hq.p12
  ipsec import --passphrase-file /root/hq.pass --name hq export.pfx

exit status: 0 done, or it was there; 1 not done; 64 wrong words. More: man ipsec_import.
"""


class _File(NamedTuple):
    """One that is to be there.

    :ivar secret: whether root alone may read it.
    """

    path: str
    content: bytes
    secret: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded("import", lambda: _run(words), USAGE, _FAILURE)


def parser() -> Parser:
    """What reads the command's words."""
    built = Parser(
        prog="ipsec import",
        usage="%(prog)s [options] FILE",
        description="Take a private key, its certificate and those of its authorities out of a PKCS#12 file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    built.add_argument("file", metavar="FILE", help=argparse.SUPPRESS)
    built.add_argument("--passphrase-file", metavar="FILE", help="its first line opens it; - for stdin")
    built.add_argument("--name", metavar="NAME", help="of what is written; that of FILE if none is given")
    built.add_argument("--directory", metavar="DIR", default=_DIRECTORY, help=f"where to, {_DIRECTORY}")
    built.add_argument("--check", "--dry-run", action="store_true", help="say what would be done, and do nothing")
    built.add_argument("--json", action="store_true", help="print the outcome for machines")
    built.add_argument("--version", action="version", version=said_by("import"), help="say what this is")
    return built


def _run(words: list[str]) -> int:
    given = parser().parse_args(words)
    name = os.path.splitext(os.path.basename(given.file))[0] if given.name is None else given.name
    if not name or "/" in name or name.startswith((".", "-")) or not name.isprintable():
        raise UsageError("--name: is no name of a file; give one such as hq")
    directory = os.path.abspath(given.directory)
    try:
        bundle = _read(given.file, given.passphrase_file)
    except InputError as problem:
        raise EngineError(str(problem)) from None  # the words of the command line are right all the same
    files = _files(bundle, os.path.join(directory, name))
    wanted = [file for file in files if not _is_there(file)]
    if wanted and not given.check:
        private_directory(directory, "directory")
        for file in wanted:
            write_whole(file.path, file.content, 0o600 if file.secret else 0o644, _NOT_WRITTEN)
    _tell(given, bundle, files, wanted)
    return 0


def _read(path: str, passphrase_file: str | None) -> Bundle:
    octets = Files(Report()).octets(path, "FILE")
    if passphrase_file is not None:
        return read_bundle(octets, _passphrase_in(passphrase_file), path)
    try:
        return read_bundle(octets, None, path)
    except WrongPassphrase:
        if not sys.stdin.isatty():
            raise EngineError(f"{path} needs a passphrase; give --passphrase-file, or run it at a terminal") from None
    return read_bundle(octets, Secret(getpass.getpass(f"Passphrase of {path}: ").encode()), path)


def _passphrase_in(path: str) -> Secret:
    if path == "-":
        octets = sys.stdin.buffer.readline()
    else:
        octets = Files(Report()).octets(path, "--passphrase-file").partition(b"\n")[0]
    return Secret(octets.rstrip(b"\r\n"))


def _files(bundle: Bundle, stem: str) -> list[_File]:
    """What is to be written, the key first: a certificate is of no use without it."""
    files = [
        _File(f"{stem}.key", bundle.key_pem(), True),
        _File(f"{stem}.pem", as_pem([bundle.certificate, *bundle.between]).encode(), False),
    ]
    if bundle.roots:
        files.append(_File(f"{stem}-ca.pem", as_pem(bundle.roots).encode(), False))
    return files


def _is_there(file: _File) -> bool:
    """Whether it needs no writing.

    :raises MissingError: something else is there.
    """
    try:
        found = os.lstat(file.path)
        if stat.S_ISREG(found.st_mode):
            with open(file.path, "rb") as stream:
                if stream.read(len(file.content) + 1) == file.content:
                    return not (file.secret and found.st_mode & _EVERYBODY)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise MissingError(f"{file.path} cannot be read ({exc.strerror})", "run as root") from None
    remedy = "take another --name, or move it away if what runs does not need it any more"
    raise MissingError(f"{file.path} is there already, with something else in it; nothing was written", remedy)


def _tell(given: argparse.Namespace, bundle: Bundle, files: list[_File], wanted: list[_File]) -> None:
    key, certificate, *authorities = (file.path for file in files)
    auth: dict[str, Any] = {"method": "pubkey", "certificate": certificate, "key": key}
    if authorities:
        auth["ca"] = authorities
    if given.json:
        show_json({"changed": bool(wanted), "written": [file.path for file in wanted], "auth": auth})
        return
    for file in files:
        done = "would be written" if given.check else "written"
        say(f"{file.path}: {done if file in wanted else 'as it was'}")
    say(f"certificate of {bundle.certificate}; for a definition:")
    say("auth: {" + ", ".join(f"{option}: {_shown(value)}" for option, value in auth.items()) + "}")
    for other in bundle.others:
        complain(f"import: not written, as it is no part of the path: the certificate of {other}")


def _shown(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
