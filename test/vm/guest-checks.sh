#!/bin/sh
# Runs Gantry inside the virtual machine and says what it sees as "guest: NAME=VALUE". v2.test.ts judges.
# A line of its own, whatever the kernel has just said on the console.
say() { printf '\nguest: %s=%s\n' "$1" "$2"; }
say kernel "$(uname -r)"
gantry up --detach > /dev/null 2>&1 || { say up failed; tail -5 /var/lib/gantry/gantryd.log; exit; }
say up ok
gantry load -q -i /image.tar > /dev/null 2>&1; say load $?
say cgroups "$(gantry info | grep '^cgroups')"
gantry run -d --name web --memory 32m --cpus 0.5 --pids-limit 30 --cpuset-cpus 0 -p 8080:80 \
  test.gantry/box:1 httpd -f -p 80 -h /www > /dev/null; say run $?
id=$(gantry ps -q --no-trunc)
cgroup=/sys/fs/cgroup/gantry/containers/$id
for file in memory.max cpu.max pids.max cpuset.cpus; do say $file "$(cat "$cgroup/$file")"; done
pid=$(head -n 1 "$cgroup/cgroup.procs")
say joined "$(cat "/proc/$pid/cgroup")"
say uid_map "$(cat "/proc/$pid/uid_map")"
say page "$(wget -q -O - http://127.0.0.1:8080/)"
say by_name "$(gantry run --rm test.gantry/box:1 wget -q -O - http://web/)"
say inside "$(gantry exec web cat /proc/self/cgroup)"
gantry pause web > /dev/null; say frozen "$(grep frozen "$cgroup/cgroup.events")"; gantry unpause web > /dev/null
gantry run --name oom --memory 16m test.gantry/box:1 sh -c 'tail /dev/zero' > /dev/null 2>&1; say oom_exit $?
say oom_killed "$(gantry inspect oom | grep -o '"OOMKilled": [a-z]*')"
gantry down --keep-containers > /dev/null 2>&1
say kept "$(cat "$cgroup/cgroup.procs" | head -n 1)"
gantry up --detach > /dev/null 2>&1 || tail -5 /var/lib/gantry/gantryd.log
say adopted "$(gantry ps --format '{{.Names}} {{.State}}')"
say pid "$pid"
gantry down > /dev/null 2>&1; say down $?
say left "$(find /sys/fs/cgroup/gantry -type d 2>/dev/null | wc -l) $(grep -c gantry /proc/mounts) $(ip link | grep -c gantry)"
