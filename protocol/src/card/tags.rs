//! Where cards and their tags lie in the DHT (spec 2.4, decision T9).
//!
//! A card is a value record whose value is the signed envelope. A tag is found by provider records: their key on the wire
//! is the multihash (`0x12 0x20` and the digest) that libp2p wants there, so a stock peer finds the providers of
//! the tag under the CID of the text `hyperspace/capability/{tag}`.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::payload::Card;
use crate::identity::PeerId;
use crate::kad::Key;

/// The key of a peer's card: `/hyperspace/capabilities/{peerId}`.
pub fn card_key(peer: &PeerId) -> Key {
    Key::new(format!("/hyperspace/capabilities/{peer}").as_bytes())
}

/// A tag as it is compared: in lower case by Unicode's rules, which no locale changes.
pub fn normal_tag(tag: &str) -> String {
    tag.to_lowercase()
}

/// The key of a tag's providers: SHA2-256 of `hyperspace/capability/{tag in lower case}`, as a multihash.
pub fn tag_key(tag: &str) -> Key {
    let digest = Sha256::digest(format!("hyperspace/capability/{}", normal_tag(tag)));
    Key::new(&[&[0x12, 0x20], &digest[..]].concat())
}

/// The keys that a peer with this card provides: each capability of its tools once, in a fixed order; at most
/// [`TOOLS_MAX`](super::TOOLS_MAX) times [`TAGS_MAX`](super::TAGS_MAX).
pub fn tag_keys(card: &Card) -> Vec<Key> {
    let tags: BTreeSet<String> =
        card.tools.iter().flat_map(|tool| &tool.capabilities).map(|tag| normal_tag(tag)).collect();
    tags.iter().map(|tag| tag_key(tag)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::tests::{card, peer};

    /// printf hyperspace/capability/search | sha256sum
    const SEARCH: &str = "f6d90aa429afa9fa797a456983bdc19f70582d5fc50c11fb3c0f2890ac53898c";

    #[test]
    fn keys_are_the_published_texts() {
        let id = peer(7);
        assert_eq!(card_key(&id).bytes(), format!("/hyperspace/capabilities/{id}").as_bytes());
        let hex: String = tag_key("Search").bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("1220{SEARCH}"));
        assert_ne!(tag_key("search "), tag_key("search"));
    }

    #[test]
    fn a_tag_is_provided_once() {
        let mut card = card(7, 1);
        card.tools[0].capabilities = ["b", "A", "B", "a", "É", "é"].map(str::to_owned).to_vec();
        assert_eq!(tag_keys(&card), ["a", "b", "é"].map(tag_key));
    }
}
