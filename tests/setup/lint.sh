#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every linter over the working tree; goes on after a failure and says at the end what failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
programs=$PWD/.venv/bin
PATH=$programs:$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/ansible_collections/fleet"
ln -s "$PWD" "$scratch/ansible_collections/fleet/ipsec"
export ANSIBLE_COLLECTIONS_PATH="$scratch" ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_NOCOLOR=1
failed=

try() { # title, command…
    title=$1
    shift
    echo "lint: $title"
    "$@" || failed="$failed${failed:+, }$title"
}

units() { # where a unit's programs are installed does not exist here: judge everything else
    command -v systemd-analyze > /dev/null || { echo "lint: no systemd-analyze here, units not judged"; return 0; }
    for unit in plugins/module_utils/engine/manager/*.service; do
        sed 's#^\(Exec[A-Za-z]*=\)[^ ]*#\1/bin/true#' "$unit" > "$scratch/${unit##*/}"
        systemd-analyze verify --recursive-errors=no "$scratch/${unit##*/}" || return 1
    done
}

pages() { # manual pages, as strictly as mandoc can
    mandoc -T lint -W warning plugins/module_utils/engine/cli/share/man/man?/*
}

build() { # builds, installs and documents every module, as a user's machine would
    ansible-galaxy collection build --output-path "$scratch/build" . &&
        ansible-galaxy collection install --offline -p "$scratch/installed" "$scratch"/build/*.tar.gz || return 1
    for module in plugins/modules/*.py; do
        module=${module##*/}
        echo "fleet.ipsec.${module%.py}"
    done | ANSIBLE_COLLECTIONS_PATH=$scratch/installed xargs ansible-doc -t module --json --no-fail-on-errors > "$scratch/doc"
}

collection() {
    if ! build > "$scratch/log" 2>&1 || grep -q '"error"' "$scratch/doc"; then
        cat "$scratch/log"
        grep '"error"' "$scratch/doc"
        return 1
    fi
}

documentation() {
    (cd "$scratch/ansible_collections/fleet/ipsec" &&
        antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self --skip-rstcheck .)
}

try "ruff" ruff check --quiet .
try "reuse" reuse --no-multiprocessing lint --lines
try "mypy" sh tests/setup/types.sh --no-error-summary
try "shellcheck" shellcheck -x -e SC1091 tests/setup/*.sh tests/lab/node/*.sh tests/lab/node/lab-host tests/lab/vault-password
try "completion" shellcheck -s bash plugins/module_utils/engine/cli/share/bash-completion/completions/*
try "ansible-lint" ansible-lint --offline --profile production --nocolor -q
try "antsibull-docs" documentation
try "antsibull-changelog" antsibull-changelog lint
try "collection build, install, documentation" collection
try "systemd units" units
try "manual pages" pages
if [ -n "$failed" ]; then
    echo "lint: FAILED: $failed"
    exit 1
fi
echo "lint: all passed"
