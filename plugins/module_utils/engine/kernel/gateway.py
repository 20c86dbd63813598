# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tunnel manager asks of the kernel, one verb per action of the protocol engine.

Every verb is one or a few netlink round trips, which the kernel answers at once: none of them waits, so they may
be called from an event loop. Nothing here touches an SA or a policy whose request ID is not ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .spec import ChildSpec, Limits, Usage

if TYPE_CHECKING:
    from .registry import Registry

__all__ = ["ChildSpec", "Gateway", "Limits", "Usage"]


class Gateway:
    """The kernel of this network namespace.

    :param registry: who owns which request ID; :meth:`trap` and :meth:`install_outbound` write to it.
    :raises MissingError: without the permission or without XFRM in the kernel.
    """

    def __init__(self, registry: Registry) -> None: ...

    def close(self) -> None:
        """Close the sockets; SAs and policies stay."""

    # Events: watch ``fileno()`` for reading, then call ``events()``.

    def fileno(self) -> int:
        """Descriptor that turns readable when the kernel has events."""

    def events(self) -> list:
        """Every waiting event of ours (see events.py): AcquireEvent, ExpireEvent, MappingEvent; never blocks."""

    # SAs

    def reserve(self, local_address: str, remote_address: str, protocol: int, mode: str, reqid: int) -> int:
        """Reserve an inbound SPI (the larval SA lives net.core.xfrm_acq_expires seconds; installing it later works too)."""

    def release(self, local_address: str, protocol: int, spi: int) -> None:
        """Give back an SPI that was reserved and never installed; unknown ones are ignored."""

    def install_inbound(self, spec: ChildSpec) -> None:
        """Add the SA that receives. On failure nothing of this generation is left.

        :raises KernelError: with the kernel's words. MissingError: no ESP or AH in this kernel.
        """

    def install_outbound(self, spec: ChildSpec) -> None:
        """Add the SA that sends, then point the policies (in, fwd, out) to this generation.

        On failure the policies are as before the call and both SAs of this generation are gone.

        :raises KernelError: with the kernel's words, or when another owner has a policy with one of these selectors.
        """

    def remove_sas(self, spec: ChildSpec) -> None:
        """Delete both SAs, the sending one first; policies stay. SAs that are gone or not ours are left alone."""

    # Policies

    def trap(self, spec: ChildSpec) -> None:
        """Policies without an SA: the first packet is dropped and raises an AcquireEvent, none leaves in clear."""

    def reset_policies(self, spec: ChildSpec) -> None:
        """Let the policies forget the outbound SPI: as :meth:`trap`, for a child whose SAs go or are gone."""

    def remove_policies(self, spec: ChildSpec) -> None:
        """Delete the policies with these selectors that carry this request ID; others are left alone."""

    # Views

    def usage(self, spec: ChildSpec) -> tuple[Usage | None, Usage | None]:
        """(inbound, outbound) counters; None for an SA that is gone."""

    def usage_all(self) -> dict[tuple[str, int, int], Usage]:
        """Counters of every SA of ours in one dump, by (destination, protocol, SPI)."""

    def cleanup(self, keep_reqids: frozenset[int] = frozenset()) -> tuple[int, int]:
        """Delete what an earlier run left: (SAs, policies) deleted. Only registered request IDs, never ``keep_reqids``."""
