# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition asks of the kernel and of an IKE SA, told when it is defined and not when its tunnel comes up."""

from __future__ import annotations

import errno

from ..errors import InputError, KernelError
from ..kernel.policies import MAX_POLICIES, kernel_selectors
from ..newer_python import zip
from .parsing import Definition
from .schema import Problems

MOST_CHILDREN = 256  # of a tunnel, as all of them stand in one IKE SA: an end that has these takes no further one
_MOST_SELECTORS = 255  # one octet counts them in a traffic selector payload (RFC 7296 section 3.13)
_REMEDIES = {
    errno.E2BIG: "summarize the networks and ports, or spread them over several children",
    errno.EINVAL: "give both sides the same protocol, or one of them none",
    errno.EOPNOTSUPP: "give ports as numbers, or leave them out",
}


def check_policies(definition: Definition, prefix: str) -> None:
    """Whether a tunnel can have its children, and each child its policies.

    :param prefix: what the paths in problems begin with.
    :raises Problems: naming the children where they are too many, and each child whose combinations of local and remote
        selectors no policies can stand for, or that has more selectors on one side than a peer can be told.
    """
    problems = []
    count = len(definition.document["children"])
    if count > MOST_CHILDREN:
        remedy = f"at most {MOST_CHILDREN}: summarize the networks, or spread the children over several tunnels"
        problems.append(InputError(f"{prefix}children", count, "is more than an IKE SA can have", remedy))
    for position, (child, sides) in enumerate(zip(definition.document["children"], definition.selectors, strict=True)):
        field = f"{prefix}children[{position}]"
        for side, selectors in zip(("local", "remote"), sides, strict=True):
            if len(selectors) > _MOST_SELECTORS:
                remedy = f"at most {_MOST_SELECTORS}: {_REMEDIES[errno.E2BIG]}"
                problems.append(InputError(f"{field}.{side}", len(selectors), "is more than IKE can name", remedy))
        try:
            kernel_selectors(*sides)
        except KernelError as exc:
            words = f"needs policies that the kernel cannot have: {exc.detail}"
            if exc.errno == errno.E2BIG:
                words = f"needs more than {MAX_POLICIES} policies, one for each combination of local and remote"
            problems.append(InputError(field, child["name"], words, _REMEDIES[exc.errno]))
    if problems:
        raise Problems(problems)
