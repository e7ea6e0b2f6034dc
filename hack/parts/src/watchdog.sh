# Ends process groups and removes folders and control groups once the process at the other end of stdin is gone,
# however it went: a kill -9 closes its pipes as well.
#
# Lines on stdin: "+group ID", "-group ID", "+folder PATH", "-folder PATH",
# "+cgroup PATH", "-cgroup PATH".
trap '' INT TERM HUP
cd /
groups='' folders='' cgroups=''
nl='
'
without() { # LIST ITEM: LIST, one item a line, less ITEM
    printf '%s\n' "$1" | grep -Fxv -e "$2" | grep .
}
while read -r verb item; do
    case $verb in
    +group) groups=$groups$nl$item ;;
    -group) groups=$(without "$groups" "$item") ;;
    +folder) folders=$folders$nl$item ;;
    -folder) folders=$(without "$folders" "$item") ;;
    +cgroup) cgroups=$cgroups$nl$item ;;
    -cgroup) cgroups=$(without "$cgroups" "$item") ;;
    esac
done

IFS=$nl
set -f
running() {
    for group in $groups; do
        kill -s 0 -- "-$group" 2>/dev/null && return 0
    done
    return 1
}
# The leaders first, so that a host can end its providers and an operator its writes.
for group in $groups; do kill -s TERM "$group" 2>/dev/null; done
tries=0
while running && [ "$tries" -lt 20 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
# A killed process may still be writing for a moment.
tries=0
for folder in $folders; do
    while ! rm -rf -- "$folder" 2>/dev/null && [ "$tries" -lt 20 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
done
# The kernel's own files in a control group can't be removed and needn't be; its processes must be gone.
tries=0
for cgroup in $cgroups; do
    while [ -d "$cgroup" ] && [ "$tries" -lt 50 ]; do
        find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ -d "$cgroup" ] && sleep 0.1
        tries=$((tries + 1))
    done
done
