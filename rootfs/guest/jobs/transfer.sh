# shellcheck shell=sh disable=SC2154 # output is of `succeeds`
# A counted stream of known bytes goes to the peer while another comes from it.
# Both ends compare every byte, and no layer below has lost a packet.
#   tantalum.peer=ADDRESS
#   tantalum.transfer=MIB  in each direction, 16 if not given

peer=$(option peer '')
bytes=$(($(option transfer 16) * 1048576))
# retransmitted: how many TCP segments were sent again.
retransmitted() {
	awk '$1 == "Tcp:" && $2 ~ /[0-9]/ { print $13 }' /proc/net/snmp
}
succeeds $LINENO "the peer $peer comes up" reach "$peer"
before=$(retransmitted)
succeeds $LINENO "$bytes bytes in each direction" transfer "$peer" "$bytes"
[ -z "$output" ] || note "$output"
expect $LINENO "TCP segments sent again" "$(($(retransmitted) - before))" 0
for counter in rx_dropped rx_errors tx_dropped tx_errors; do
	expect $LINENO "$counter of eth0" "$(file /sys/class/net/eth0/statistics/$counter)" 0
done
