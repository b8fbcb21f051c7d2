#!/usr/bin/env bash
# One throw-away Ceph cluster with an S3 gateway (RGW), all on 127.0.0.1 and all
# inside DIR: one monitor, one OSD in memory, one gateway. Needs no root.
#
#   scripts/ceph.sh start DIR [OWNER_PID]   start it; writes DIR/s3.env when it answers
#   scripts/ceph.sh stop DIR                stop it and remove DIR
#
# With OWNER_PID a watchdog stops the cluster and removes DIR once that process
# is gone, so that a test run which is killed leaves nothing behind.
set -euo pipefail

ACCESS_KEY=pumphouse-test
SECRET_KEY=pumphouse-test-secret
BUCKET=lake

die() { printf 'ceph.sh: %s\n' "$*" >&2; exit 1; }

free_ports() {
    python3 - "$1" <<'PY'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))
PY
}

# Waits up to SECONDS for a command to succeed.
wait_for() {
    local seconds=$1 deadline
    shift
    deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

write_conf() {
    local dir=$1 fsid=$2 mon_port=$3 rgw_port=$4
    cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon_host = [v1:127.0.0.1:$mon_port]
mon_initial_members = a
public_network = 127.0.0.0/8
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
# The OSD is put into the CRUSH map by hand below. Its own update at start may be
# sent before it knows the cluster's id, and is then refused as a wrong one.
osd_crush_update_on_start = false
osd_class_update_on_start = false
osd_objectstore = memstore
memstore_device_bytes = 8589934592
memstore_page_set = true
run_dir = $dir/run
admin_socket = $dir/run/\$name.asok
pid_file = $dir/run/\$name.pid
log_file = $dir/log/\$name.log
crash_dir = $dir/crash
mon_data = $dir/mon
osd_data = $dir/osd
rgw_data = $dir/rgw
mgr_data = $dir/mgr

[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:$rgw_port tcp_nodelay=1
CONF
}

# Runs one Ceph tool against the cluster in $dir, quietly; its output goes to the set-up log.
tool() {
    local program=$1
    shift
    timeout 120 "$program" -c "$dir/ceph.conf" "$@" >>"$dir/log/setup.log" 2>&1 </dev/null
}

# Creates the bucket; fails while the gateway does not answer yet.
create_bucket() {
    python3 - "$1" "$BUCKET" "$ACCESS_KEY" "$SECRET_KEY" <<'PY'
import base64, email.utils, hashlib, hmac, http.client, sys
port, bucket, access_key, secret_key = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
# The old signature, version 2: the gateway takes it, and it is this one line.
digest = hmac.new(secret_key.encode(), f"PUT\n\n\n{date}\n/{bucket}".encode(), hashlib.sha1).digest()
signature = base64.b64encode(digest).decode()
gateway = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
gateway.request("PUT", f"/{bucket}", headers={"Date": date, "Authorization": f"AWS {access_key}:{signature}"})
status = gateway.getresponse().status
sys.exit(0 if status == 200 else f"creating the bucket: HTTP {status}")
PY
}

bring_up() {
    local fsid osd_uuid mon_port rgw_port
    read -r mon_port rgw_port < <(free_ports 2)
    fsid=$(cat /proc/sys/kernel/random/uuid)
    osd_uuid=$(cat /proc/sys/kernel/random/uuid)
    rm -rf "${dir:?}"/{run,log,mon,osd,rgw,mgr,crash}
    mkdir -p "$dir"/{run,log,mon,osd,rgw,mgr,crash}
    write_conf "$dir" "$fsid" "$mon_port" "$rgw_port"

    monmaptool --create --clobber --addv a "[v1:127.0.0.1:$mon_port]" --fsid "$fsid" \
        "$dir/monmap" >>"$dir/log/setup.log" 2>&1 || return 1
    tool ceph-mon --mkfs -i a --monmap "$dir/monmap" || return 1
    tool ceph-mon -i a || return 1
    tool ceph osd new "$osd_uuid" || return 1
    tool ceph-osd -i 0 --mkfs --osd-uuid "$osd_uuid" || return 1
    tool ceph osd crush add osd.0 1 root=default host=localhost || return 1
    tool ceph-osd -i 0 || return 1
    tool radosgw -n client.rgw.a || return 1
    tool radosgw-admin user create --uid=lake --display-name=lake \
        --access-key="$ACCESS_KEY" --secret-key="$SECRET_KEY" || return 1
    wait_for 90 create_bucket "$rgw_port" || return 1

    cat >"$dir/s3.env.new" <<ENV
endpoint=http://127.0.0.1:$rgw_port
bucket=$BUCKET
access_key=$ACCESS_KEY
secret_key=$SECRET_KEY
region=us-east-1
ENV
    mv "$dir/s3.env.new" "$dir/s3.env"
}

# Stops the daemons by their pid files: gateway, then OSD, then monitor.
halt() {
    local name pid
    for name in client.rgw.a osd.0 mon.a; do
        pid=$(cat "$dir/run/$name.pid" 2>/dev/null) || continue
        # A pid file may outlive its process: signal only what is still this daemon.
        grep -qa -- "$dir/ceph.conf" "/proc/$pid/cmdline" 2>/dev/null || continue
        kill -TERM "$pid" 2>/dev/null || continue
        wait_for 15 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
    done
    rm -f "$dir/s3.env"
}

# No live process: either none at all or one that only waits to be reaped.
gone() { ! grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }

start() {
    local owner=${1:-} missing=() program attempt
    PATH=$PATH:/usr/sbin:/sbin
    for program in monmaptool ceph-mon ceph-osd ceph radosgw radosgw-admin python3; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [ ${#missing[@]} -eq 0 ] || die "not installed: ${missing[*]} (run \`make setup-test\`)"
    [ ! -f "$dir/s3.env" ] || return 0
    [ -z "$owner" ] || watch_owner "$owner"
    # A port found free can be taken before the daemon binds it: try again with others.
    for attempt in 1 2 3; do
        bring_up && return 0
        halt
        cp "$dir/log/setup.log" "$dir/setup.$attempt.log" 2>/dev/null || true
    done
    tail -n 20 "$dir/log/setup.log" >&2
    die "the cluster did not come up; its logs are in $dir"
}

stop() {
    [ -d "$dir" ] || return 0
    halt
    rm -rf "${dir:?}"
}

watch_owner() {
    setsid "$0" watch "$dir" "$1" </dev/null >/dev/null 2>&1 &
}

watch() {
    until gone "$1"; do sleep 1; done
    stop
}

[ $# -ge 2 ] || die "usage: ceph.sh start|stop DIR [OWNER_PID]"
action=$1
dir=$(realpath -m "$2")
shift 2
case $action in
    start) mkdir -p "$dir"; start "$@" ;;
    stop) stop ;;
    watch) watch "$@" ;;
    *) die "unknown action $action" ;;
esac
