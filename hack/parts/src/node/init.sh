# PID 1 of a node's namespaces: makes a machine of them, runs the program it is given, and meanwhile
# buries the processes that the node's containers leave behind.
#
# $1: a folder for what parts write to the system's folders; $2: the node's address; then the program.
set -eu
writes=$1 address=$2
shift 2

# A container runtime keeps notes in these, wherever else it is told to work. What is there stays
# visible and what is written ends with this mount namespace.
mount -t tmpfs node "$writes"
for folder in /opt /run /var/lib /var/log; do
    [ -d "$folder" ] || continue
    upper=$writes$folder/upper work=$writes$folder/work
    mkdir -p "$upper" "$work"
    mount -t overlay node -o "lowerdir=$folder,upperdir=$upper,workdir=$work" "$folder"
done

ip link set lo up
# A bridge without ports: it is always up, which not every kernel has a simpler device for.
ip link add node0 type bridge
ip address add "$address/24" dev node0
ip link set node0 up
# Leads nowhere. Without a route, packets to a Service are refused before nftables sees them.
ip route add default via "${address%.*}.254" dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward

status=0
"$@" || status=$?
exit "$status"
