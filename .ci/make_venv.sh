#!/bin/sh
# Makes .venv with the locked dependencies and this checkout, or brings it up to date: `make` starts it.
# Its file `whole` is there only while everything is installed; without it, or where it names another folder or another
# Python, .venv is made anew.
# BIN: the folder of its commands. PIP: the command that installs. PYTHON: the Python to use; empty: the first that fits.
set -eu

say() {
	echo "$*" >&2
}

# The last Python that does not fit, and why: said when none does.
reason="there is no python3: install Python 3.11 or newer (Debian and Ubuntu: apt install python3 python3-venv)"

fits() {
	if ! command -v "$1" >/dev/null; then
		if [ -n "${PYTHON:-}" ]; then reason="there is no '$1'; name another: make run PYTHON=python3.12"; fi
		return 1
	fi
	if ! "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		# A command of pyenv that is not chosen is there and has no version.
		if version=$("$1" --version 2>&1) && [ -z "${without_venv:-}" ]; then
			reason="Python 3.11 or newer is needed, and '$1' is: $version; name another: make run PYTHON=python3.12"
		fi
		return 1
	fi
	if ! "$1" -c 'import venv, ensurepip' 2>/dev/null; then
		: "${without_venv:=$1}"
		reason="'$without_venv' has no module venv: install it (Debian and Ubuntu: apt install ${without_venv##*/}-venv)"
		return 1
	fi
}

make_anew() {
	if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.14 python3.13 python3.12 python3.11; fi
	for python; do
		if fits "$python"; then
			rm -rf .venv
			"$python" -m venv .venv
			return
		fi
	done
	say "$reason"
	exit 1
}

# The folder and the version of a .venv; both are in paths inside it.
mark() {
	"$BIN/python" -c 'import os, sys; print(os.getcwd(), *sys.version_info[:2])' 2>/dev/null
}

requirements() {
	if "$BIN/python" -c 'import platform, sys; sys.exit(sys.platform != "linux" or platform.libc_ver()[0] == "glibc")'; then
		say "without the embedded broker: iotcore has no wheel for a system with musl"
		sed '/^iotcore==/,/^    # via/d' requirements.lock >.venv/requirements.lock
		echo .venv/requirements.lock
	else
		echo requirements.lock
	fi
}

if [ "${1:-}" = --is-whole ]; then
	[ -s .venv/whole ] && [ "$(cat .venv/whole)" = "$(mark)" ]
	exit
fi
say "preparing .venv (once) ..."
if sh "$0" --is-whole; then
	# Stopped from here on, it has no such file; what pip itself gives up, it leaves as it was.
	rm .venv/whole
	was_whole=yes
else
	trap '[ -e .venv/whole ] || rm -rf .venv' EXIT
	trap 'exit 130' INT TERM HUP
	make_anew
	was_whole=
fi
wanted=$(requirements)
if $PIP install --require-hashes --requirement "$wanted" && $PIP install --no-deps --no-build-isolation --editable .; then
	mark >.venv/whole
else
	[ -z "$was_whole" ] || mark >.venv/whole
	say "the dependencies were not installed: pip gives the reason above; the next make tries it again"
	exit 1
fi
