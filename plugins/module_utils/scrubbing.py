# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of secrets in one task: hidden as Ansible hides them, in time that grows with their number, not its square.

Ansible looks for each secret in each string of the result and of the line that it logs. Ours are in neither, which is
found out here for all of them at once; what does occur is left to Ansible to hide.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn

from ansible.module_utils.common.warnings import get_deprecation_messages, get_warning_messages

from .misplaced import GuardedModule
from .tunnels import shown_arguments

# A log line names so many tunnels; of more it tells the number.
_LOGGED_NAMES = 20


class ManySecretsModule(GuardedModule):
    """A module whose options may hold thousands of secrets, none of which belongs into its result."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Definitions by the thousand live until the process ends: looking for garbage among them finds none.
        gc.disable()
        super().__init__(*args, **kwargs)

    def exit_json(self, **kwargs: Any) -> NoReturn:
        """End with a result."""
        self._narrow(kwargs)
        super().exit_json(**kwargs)

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """Fail the task."""
        self.hide()
        # The words of an exception that is being handled may be added to the result after we looked.
        if sys.exc_info()[0] is None:
            self._narrow([msg, kwargs])
        super().fail_json(msg, **kwargs)

    def _narrow(self, result: Any) -> None:
        told = [result, get_warning_messages(), get_deprecation_messages()]
        self.no_log_values = occurring(self.no_log_values, set(_texts(told)))

    def _log_invocation(self) -> None:
        """Log the arguments without any definition: no secret comes near the log, and the line stays short.

        Ansible's own way would search each secret in the text of all definitions.
        """
        shown = shown_arguments(self.params, self.argument_spec)
        for option, value in shown.items():
            if isinstance(value, list) and len(value) > _LOGGED_NAMES:
                shown[option] = f"[{len(value)} items]"
        self.log(f"Invoked with {' '.join(f'{option}={value}' for option, value in shown.items())}")


def occurring(secrets: Collection[str], texts: Collection[str]) -> set[str]:
    """Those of ``secrets`` that occur anywhere in any of ``texts``: neither more nor fewer.

    A text is read in steps of a block. An occurrence of a secret of at least twice that length less one covers one
    whole block, wherever it begins; so it is enough to know the pieces of secrets of the length of a block.
    """
    groups: dict[int, list[str]] = {}
    for secret in filter(None, secrets):
        groups.setdefault(1 << ((len(secret) + 1) // 2).bit_length() - 1, []).append(secret)
    found: set[str] = set()
    for block, group in groups.items():
        pieces: dict[str, list[tuple[int, str]]] = {}
        for secret in group:
            for offset in range(block):
                pieces.setdefault(secret[offset : offset + block], []).append((offset, secret))
        for text in texts:
            for at in range(0, len(text) - block + 1, block):
                for offset, secret in pieces.get(text[at : at + block], ()):
                    if at >= offset and text.startswith(secret, at - offset):
                        found.add(secret)
    return found


def _texts(value: Any) -> Iterator[str]:
    """Every scalar in a result, as the text in which Ansible looks for secrets."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, bytes):
            yield each.decode("utf-8", "surrogateescape")
        elif isinstance(each, Mapping):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, AbstractSet)):
            waiting += each
        elif each is not None and not isinstance(each, bool):
            yield str(each)
