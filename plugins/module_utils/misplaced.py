# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in a task where nothing of the kind is expected may be a secret: a failure of the task shows none of it.

Ansible hides the values of options that are secrets. It knows nothing of those that are misspelled, in the wrong place
or of the wrong type, and shows them in its message and among the arguments.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.validation import check_type_bool, check_type_float, check_type_int

_SHORTEST = 4  # characters: shorter words would be hidden wherever a message has these letters
_INTERNAL = "_ansible_"
_MARKS = re.compile(r"[\s=,;:{}\[\]\"']+")
_KEY = re.compile(r"[0-9a-fA-F]{24}")  # digits as of a key, where no option for keys is
_KEYED = re.compile(r"(?i)(key|secret|psk|pass|pwd)\w*\s*[=:]")  # a text of several options, as of a key
_NAME = re.compile(r"(?=.{1,20}$)[a-z]+(_[a-z]+)*")
_NUMBERS = {"int": check_type_int, "float": check_type_float, "bool": check_type_bool}

Spec = Mapping[str, Mapping[str, Any]]


class GuardedModule(AnsibleModule):
    """A module that takes secrets, or that may be given some by mistake, as its neighbours take them.

    :ivar given: the arguments of the task as they came, before anything was made of them.
    """

    given: dict[str, Any] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def _load_params(self) -> None:
        super()._load_params()
        self.given = {key: value for key, value in self.params.items() if not key.startswith(_INTERNAL)}

    def _log_invocation(self) -> None:
        self.hide()
        super()._log_invocation()

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """Fail the task."""
        self.hide()
        kwargs.setdefault("invocation", {"module_args": understood(self.given, self.argument_spec)})
        super().fail_json(msg, **kwargs)

    def hide(self) -> None:
        """Have Ansible take for secrets what nobody expects where it stands."""
        names = set(_names(self.argument_spec))
        self.no_log_values = {*self.no_log_values, *unexpected(self.given, self.argument_spec, names)}


def unexpected(given: Mapping[str, Any], spec: Spec, names: Collection[str]) -> set[str]:
    """Words of what is not as the options say, and of secrets.

    :param names: of options, which nobody has to hide.
    """
    found: set[str] = set()
    spec = _with_aliases(spec)
    for key, value in given.items():
        rule = spec.get(key)
        if rule is None:
            found |= _words(value, names) | (set() if _is_name(key, value, names) else _words(key, names))
        elif "options" in rule:
            for each in value if rule["type"] == "list" and isinstance(value, list) else [value]:
                inner = isinstance(each, Mapping)
                found |= unexpected(each, rule["options"], names) if inner else _words(each, names)
        elif rule.get("no_log") and isinstance(value, str):
            found.add(value)
        elif not _fits(value, rule):
            found |= _words(value, names)
    return {word for word in found if word}


def understood(given: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """The arguments as far as they are what the options say, without secrets."""
    shown: dict[str, Any] = {}
    spec = _with_aliases(spec)
    for key, value in given.items():
        rule = spec.get(key)
        if rule is None:
            continue
        if "options" not in rule:
            if _fits(value, rule):
                shown[key] = value
        elif isinstance(value, Mapping):
            shown[key] = understood(value, rule["options"])
        elif isinstance(value, list):
            shown[key] = [understood(each, rule["options"]) for each in value if isinstance(each, Mapping)]
    return shown


def _with_aliases(spec: Spec) -> Spec:
    return {name: rule for key, rule in spec.items() for name in (key, *rule.get("aliases", ()))}


def _fits(value: Any, rule: Mapping[str, Any]) -> bool:
    """Whether a value that is no secret is of the kind that its option takes."""
    if value is None:
        return True
    if rule.get("no_log"):
        return False
    kind = rule.get("type", "str")
    if kind == "list":
        plain = {"type": rule.get("elements", "str")}
        return not isinstance(value, Mapping) and all(
            _fits(each, plain) for each in (value if isinstance(value, list) else [value])
        )
    if kind == "dict" or isinstance(value, (Mapping, list)):
        return kind == "dict" and isinstance(value, Mapping)
    if kind in _NUMBERS:
        try:
            _NUMBERS[kind](value)
        except (TypeError, ValueError):
            return False
    if _KEY.search(str(value)) or _KEYED.search(str(value)):
        return False
    return "choices" not in rule or str(value) in map(str, rule["choices"])


def _is_name(key: str, value: Any, names: Collection[str]) -> bool:
    """Whether it is nearly the name of an option, or may be one at least; what has no value may be a bare word."""
    known = key in names or bool(difflib.get_close_matches(key, names, 1))
    return known or (value is not None and _NAME.fullmatch(key) is not None)


def _words(value: Any, names: Collection[str]) -> set[str]:
    """The texts in a value, and their parts between marks: Ansible may have taken them apart."""
    found: set[str] = set()
    for text in _texts(value):
        found |= {text, *_MARKS.split(text)}
    return {word for word in found if len(word) >= _SHORTEST and word not in names}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _names(spec: Spec) -> Iterator[str]:
    """The names of all options, and the words to choose from."""
    for key, rule in spec.items():
        yield from (key, *rule.get("aliases", ()))
        yield from map(str, rule.get("choices", ()))
        yield from _names(rule.get("options", {}))
