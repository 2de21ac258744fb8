//! Who misbehaved how often, and who is refused for it. Both lists are bounded: the oldest entry goes first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyperspace_protocol::identity::PeerId;

/// Peers with offences, or banned, remembered at once. Our choice.
pub const REMEMBERED_MAX: usize = 4096;

/// The list.
#[derive(Debug)]
pub struct Offences {
    most: u32,
    ban: Duration,
    peers: BTreeMap<PeerId, Record>,
}

#[derive(Debug)]
struct Record {
    count: u32,
    last: Instant,
    banned: bool,
}

impl Offences {
    /// `most` offences within `ban` of each other ban a peer for that long.
    pub const fn new(most: u32, ban: Duration) -> Self {
        Self { most, ban, peers: BTreeMap::new() }
    }

    /// Notes an offence. Returns whether it is the one that bans the peer.
    pub fn note(&mut self, now: Instant, peer: PeerId) -> bool {
        let ban = self.ban;
        if !self.peers.contains_key(&peer) && self.peers.len() >= REMEMBERED_MAX {
            self.peers.retain(|_, record| now.duration_since(record.last) < ban);
        }
        if !self.peers.contains_key(&peer)
            && self.peers.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.peers.iter().min_by_key(|(_, r)| r.last).map(|(peer, _)| *peer)
        {
            self.peers.remove(&oldest);
        }
        let record = self.peers.entry(peer).or_insert(Record { count: 0, last: now, banned: false });
        if now.duration_since(record.last) >= ban {
            *record = Record { count: 0, last: now, banned: false };
        }
        record.count = record.count.saturating_add(1);
        record.last = now;
        let newly = record.count >= self.most && !record.banned;
        record.banned |= newly;
        newly
    }

    /// Whether a peer is refused.
    pub fn is_banned(&self, now: Instant, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|r| r.banned && now.duration_since(r.last) < self.ban)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u64) -> PeerId {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        PeerId::from_public_key(key)
    }

    #[test]
    fn a_few_offences_ban_for_a_while() {
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let mut offences = Offences::new(3, minute);
        assert!(!offences.note(start, peer(1)) && !offences.note(start, peer(1)));
        assert!(!offences.is_banned(start, &peer(1)));
        assert!(offences.note(start, peer(1)));
        assert!(offences.is_banned(start, &peer(1)) && !offences.is_banned(start, &peer(2)));
        // Told once only.
        assert!(!offences.note(start, peer(1)));
        assert!(!offences.is_banned(start + minute, &peer(1)));
        assert!(!offences.note(start + minute, peer(1)));
    }

    #[test]
    fn the_list_is_bounded() {
        let start = Instant::now();
        let mut offences = Offences::new(1, Duration::from_secs(60));
        for n in 0..REMEMBERED_MAX as u64 + 100 {
            offences.note(start + Duration::from_millis(n), peer(n));
        }
        assert_eq!(offences.peers.len(), REMEMBERED_MAX);
        let end = start + Duration::from_millis(REMEMBERED_MAX as u64 + 100);
        assert!(!offences.is_banned(end, &peer(0)));
        assert!(offences.is_banned(end, &peer(REMEMBERED_MAX as u64)));
    }
}
