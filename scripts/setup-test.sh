#!/usr/bin/env bash
# Installs what the tests need and is not there yet: Mosquitto, Ceph with its S3
# gateway, two Python environments with the clients, the XGBoost library. Running it
# again is quick. Services of the machine are left as they are: the tests start
# their own servers on free ports.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

PATH=$PATH:/usr/sbin:/sbin
tools=${PUMPHOUSE_TOOLS:-$HOME/.cache/pumphouse/tools}

# lacks PROGRAM...: succeeds when one of them is not installed.
lacks() {
    local program
    for program; do
        command -v "$program" >/dev/null || return 0
    done
    return 1
}

if lacks mosquitto mosquitto_pub mosquitto_sub; then
    apt_install "the MQTT broker Mosquitto" mosquitto mosquitto-clients
fi
if lacks ceph-mon ceph-osd radosgw radosgw-admin ceph monmaptool; then
    apt_install "the S3 store Ceph RGW" radosgw ceph-mon ceph-osd ceph-common
fi
if lacks python3 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    apt_install "Python" python3 python3-venv python3-pip ca-certificates
fi

# environment NAME REQUIREMENTS: a Python environment, which carries a copy of the list
# it was made from, written last.
environment() {
    local venv=$tools/$1 requirements=$2
    if ! cmp -s "$requirements" "$venv/requirements.txt"; then
        echo "making the Python environment of the tests in $venv"
        rm -rf "$venv"
        mkdir -p "$tools"
        python3 -m venv "$venv"
        retry "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
        cp "$requirements" "$venv/requirements.txt"
    fi
}

environment venv scripts/requirements-test.txt
environment venv-duckdb scripts/requirements-duckdb.txt

retry scripts/xgboost.sh >/dev/null
