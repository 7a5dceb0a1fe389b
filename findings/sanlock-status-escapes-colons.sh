#!/bin/sh
# sanlock 3.8.5 (Debian 12): the command and the Python module name one lockspace differently.
#
# A path may have a colon, as that of a mount of NFS by oVirt has one (`host:_path`). `sanlock client
# status` writes it with a backslash before the colon; `sanlock.get_lockspaces()` of python3-sanlock
# returns the path as it is. Who compares the two, or the command's words with the path that they
# have configured, takes one place for two.
#
# Needs root, Debian 12 and a network. Nothing is installed: the packages are unpacked into a
# temporary folder, and the daemon runs there, without a watchdog. Exit status 0: it is still so.
set -eu
version=3.8.5-1+b1
folder=$(mktemp -d)
daemon=
end() {
    # With a lockspace it takes no other signal.
    if [ -n "$daemon" ]; then
        kill -9 "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"
apt-get -q -o APT::Sandbox::User=root -o Dir::Cache::archives="$folder" download \
    "sanlock=$version" "libsanlock1=$version" "libsanlock-client1=$version" "python3-sanlock=$version" >/dev/null
for package in ./*.deb; do
    dpkg -x "$package" root
done
library=$(dirname "$(find root -name 'libsanlock.so.1' | head -n 1)")
export LD_LIBRARY_PATH="$folder/$library" SANLOCK_RUN_DIR="$folder/run" SANLOCK_PRIVILEGED=0
mkdir run "host:_path"
sanlock() { "$folder/root/usr/sbin/sanlock" "$@"; }
"$folder/root/usr/sbin/sanlock" daemon -D -w 0 -U root -G root -e tried >daemon.log 2>&1 &
daemon=$!
tries=0
until sanlock client status >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "the daemon does not answer"; exit 1; }
    sleep 0.1
done
truncate -s 1M "host:_path/ids"
place="$folder/host\\:_path/ids"
sanlock client init -s "space:0:$place:0" -o 1 >/dev/null
sanlock client add_lockspace -s "space:1:$place:0" -o 1 >/dev/null
said=$(sanlock client status | grep '^s ')
module=$(find root -name 'sanlock*.so' | head -n 1)
told=$(PYTHONPATH="$folder/$(dirname "$module")" /usr/bin/python3 -c '
import sanlock
(found,) = sanlock.get_lockspaces()
print(found["path"].decode() if isinstance(found["path"], bytes) else found["path"])')
echo "sanlock $version"
echo "sanlock client status:      $said"
echo "sanlock.get_lockspaces():   $told"
case $said in *'host\:_path/ids'*) ;; *) echo "CHANGED: the command writes no backslash"; exit 1 ;; esac
case $told in *'host:_path/ids') ;; *) echo "CHANGED: the module returns another path"; exit 1 ;; esac
