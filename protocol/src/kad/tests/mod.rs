//! What the machine does, by whole outboxes; what it does not let others do; and what was published about Kademlia.

mod evidence;
mod hostile;
mod lookup;
mod machine;
mod swarm;
