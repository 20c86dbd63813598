# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys (RFC 8784): a key of both ends is mixed into what Child SAs and proofs are made of.

The initiator names one in IKE_AUTH. Where neither end insists, it proves itself without it as well, so that a peer that
has not that one can go on without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....crypto.keys import IkeKeys
from ....crypto.ppk import Ppk, mix
from ....errors import IKE, IkeError
from ....newer_python import dataclass
from ....wire.v2.auth import AUTH
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ....wire.v2.payloads import Payloads
from ...connection import Connection
from ...record_codec import PLAIN, Shape
from ..sa import IkeSa, OpeningSa
from ..tasks import Kind
from .feature import Claim, Feature, Keying, Part, Prove, Role, Slot, Talk

_USE, _IDENTITY, _WITHOUT = NotifyType.USE_PPK, NotifyType.PPK_IDENTITY, NotifyType.NO_PPK_AUTH
_FIXED = b"\x02"  # the type of a PPK_ID by which both ends find a key that they have (section 5.1)
_SHOWN = 64  # octets of a peer's PPK_ID


@dataclass(frozen=True, slots=True)
class Used:
    """Which one was mixed in.

    :ivar ppk: its name, empty for none.
    """

    ppk: str = ""


USED: Slot[Used] = Slot(Used(), Shape(Used, {"ppk": PLAIN}))


@dataclass(frozen=True, slots=True)
class Agreed:
    """How far a handshake has come.

    :ivar offered: initiator: the one that it is about, whatever is defined by now.
    :ivar both: whether both ends can do it; ``plain``: the initiator's keys without what it has mixed in.
    """

    offered: Ppk | None = None
    both: bool = False
    plain: IkeKeys | None = None


AGREED: Slot[Agreed] = Slot(Agreed())


# IKE_SA_INIT: both ends say that they can do it


def _ask(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    ppk = next(iter(talk.sa.connection.ppks), None)
    AGREED.put(talk.sa.handshake, Agreed(ppk))
    return [] if ppk is None else [Notify(_USE)]


def _accept(connection: Connection, said: Payloads) -> None:
    if connection.ppk_required and said.notify(_USE) is None:
        raise IkeError(0, _none_mixed(connection), reason="ppk_missing")


def _answered(talk: Talk[OpeningSa]) -> None:
    agreed = AGREED.of(talk.sa.handshake)
    if agreed.offered is not None and talk.said.notify(_USE) is not None:
        AGREED.put(talk.sa.handshake, replace(agreed, both=True))


def _asked(talk: Talk[OpeningSa]) -> None:
    # Which tunnel the peer means is not known yet; that of a tunnel without proves itself without.
    if talk.said.notify(_USE) is not None and talk.context.connections.have_ppk(talk.sa.path):
        AGREED.put(talk.sa.handshake, Agreed(both=True))


def _answer(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    return [Notify(_USE)] if AGREED.of(talk.sa.handshake).both else []


# IKE_AUTH: which one


def _begin(sa: OpeningSa) -> IkeKeys:
    protection, agreed = sa.protected, AGREED.of(sa.handshake)
    if agreed.offered is None or not agreed.both:
        return protection.keys
    AGREED.put(sa.handshake, replace(agreed, plain=protection.keys))
    return mix(protection.prf, protection.keys, agreed.offered)


def _besides(sa: OpeningSa, prove: Prove) -> Sequence[Notify]:
    ppk, plain = _mixed(sa)
    if ppk is None or plain is None:
        return ()
    named = Notify(_IDENTITY, _FIXED + ppk.name)
    return [named] if sa.connection.ppk_required else [named, Notify(_WITHOUT, prove(plain))]


def _mixed(sa: OpeningSa) -> tuple[Ppk | None, IkeKeys | None]:
    """What the initiator has mixed in, and its keys without that."""
    agreed = AGREED.of(sa.handshake)
    return (None, None) if agreed.plain is None else (agreed.offered, agreed.plain)


def _claim(sa: OpeningSa, connection: Connection, said: Payloads, claim: Claim) -> Claim:
    if not AGREED.of(sa.handshake).both:
        if connection.ppk_required:
            raise _missing(_none_mixed(connection))
        return claim
    return (_answer_claim if sa.initiator else _request_claim)(sa, connection, said, claim)


def _answer_claim(sa: OpeningSa, connection: Connection, said: Payloads, claim: Claim) -> Claim:
    """The responder says whether it has the one that we named."""
    ppk, plain = _mixed(sa)
    if ppk is None or plain is None:
        return claim
    if said.notify(_IDENTITY) is not None:
        return _with(claim, ppk)
    if connection.ppk_required:
        raise _missing(f"the peer goes on without PPK {_shown(ppk.name)}, which {connection.name} requires")
    return claim._replace(keys=plain)


def _request_claim(sa: OpeningSa, connection: Connection, said: Payloads, claim: Claim) -> Claim:
    """The initiator names one, and may have proven itself without it besides."""
    named, without = said.notify(_IDENTITY), said.notify(_WITHOUT)
    plain = AUTH(claim.proof.method, without.data) if without is not None and claim.proof is not None else None
    name = b"" if named is None else named.data[len(_FIXED) :]
    if named is None:
        if not connection.ppk_required:
            return claim
        raise _missing(_none_mixed(connection))
    found = [ppk for ppk in connection.ppks if _FIXED + ppk.name == named.data]
    if found:
        mixed = _with(claim._replace(keys=mix(sa.protected.prf, claim.keys, found[0])), found[0])
        return mixed if plain is None else mixed._replace(plain=(claim.keys, plain))
    if connection.ppk_required:
        raise _missing(f"the peer has mixed in PPK {_shown(name)}, which auth.ppk of {connection.name} does not have")
    if plain is None:
        raise _missing(f"the peer insists on PPK {_shown(name)}, which auth.ppk of {connection.name} does not have")
    return claim._replace(proof=plain)


def _with(claim: Claim, ppk: Ppk) -> Claim:
    name = _shown(ppk.name)
    return claim._replace(kept=(*claim.kept, (USED, Used(name))), added=f"PPK {name}", reason="ppk_differs")


def _none_mixed(connection: Connection) -> str:
    return f"the peer mixes no PPK in, which auth.ppk of {connection.name} requires"


def _missing(story: str) -> IkeError:
    return IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason="ppk_missing")


def _told(sa: OpeningSa) -> str:
    ppk, _plain = _mixed(sa)
    return "" if ppk is None else f"; PPK {_shown(ppk.name)} is mixed in, which the peer needs, too, and the same key"


def _shown(name: bytes) -> str:
    """A PPK_ID, for stories: as text where it is one, and never at length."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        text = f"0x{name.hex()}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _confirm(talk: Talk[IkeSa]) -> Sequence[Notify]:
    return [Notify(_IDENTITY)] if USED.of(talk.sa).ppk else []


FEATURE = Feature(
    "ppk",
    (
        Part(Kind.INIT, Role.INITIATOR, offer=_ask, take=_answered),
        Part(Kind.INIT, Role.RESPONDER, offer=_answer, take=_asked),
        Part(Kind.AUTH, Role.RESPONDER, offer=_confirm),
    ),
    accept=_accept,
    keying=Keying(_begin, _besides, _claim, _told),
    slot=USED,
)
