# Sourced by each finding: a temporary folder, pinned packages, and the comparison with what was seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# install PACKAGE==VERSION ...: into an environment of its own.
install() {
	python3 -m venv venv
	venv/bin/pip install --quiet --disable-pip-version-check --no-warn-script-location "$@" 2> pip.log || { cat pip.log >&2; exit 2; }
	echo "version: $*, Python $(venv/bin/python -c 'import platform; print(platform.python_version())')"
}

# expect 'the behaviour in words' 'what was seen': runs the Python on standard input, and compares what it prints.
expect() {
	local seen
	seen=$(venv/bin/python -)
	echo "behaviour: $1"
	echo "seen: $seen"
	if [ "$seen" != "$2" ]; then
		echo "changed: it was: $2"
		exit 1
	fi
}
