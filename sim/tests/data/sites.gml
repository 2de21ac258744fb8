graph [
  directed 1
  node [
    id 0
    label "lisbon-supernode"
    host_bandwidth_up "1024 Mbit"
    host_bandwidth_down "1024 Mbit"
  ]
  node [
    id 1
    label "lisbon-fullnode"
    host_bandwidth_up "50 Mbit"
    host_bandwidth_down "50 Mbit"
  ]
  node [
    id 2
    label "quito-fullnode"
    host_bandwidth_up "25 Mbit"
    host_bandwidth_down "100 Mbit"
  ]
  edge [
    source 0
    target 0
    label "lisbon-supernode to lisbon-supernode"
    latency "2 ms"
    packet_loss 0.0
  ]
  edge [
    source 1
    target 1
    label "lisbon-fullnode to lisbon-fullnode"
    latency "2 ms"
    packet_loss 0.0
  ]
  edge [
    source 2
    target 2
    label "quito-fullnode to quito-fullnode"
    latency "7 ms"
    packet_loss 0.0
  ]
  edge [
    source 0
    target 1
    label "lisbon-supernode to lisbon-fullnode"
    latency "2 ms"
    packet_loss 0.0
  ]
  edge [
    source 1
    target 0
    label "lisbon-fullnode to lisbon-supernode"
    latency "2 ms"
    packet_loss 0.0
  ]
  edge [
    source 1
    target 2
    label "lisbon-fullnode to quito-fullnode"
    latency "95 ms"
    packet_loss 0.01
  ]
  edge [
    source 2
    target 1
    label "quito-fullnode to lisbon-fullnode"
    latency "90 ms"
    packet_loss 0.01
  ]
]
