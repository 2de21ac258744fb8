//! Session tokens (spec 2.3, decision J10): a session's id and a keyed hash of it, so that they need not be stored.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::identity::PeerId;

/// The token of a session under this node's key: `{hash, 64 hex digits}.{session id}`.
pub fn issue(key: &[u8; 32], session: &str) -> String {
    hex(mac(key, session)) + "." + session
}

/// What another peer is told in place of a session's id: always the same for one session and peer, of no use to it anywhere,
/// and nothing by which two peers can find out that they serve the same session.
pub fn alias(key: &[u8; 32], session: &str, peer: &PeerId) -> String {
    let mut mac = keyed(key, b"hyperlab/session-alias/1\0");
    mac.update(peer.as_bytes());
    mac.update(session.as_bytes());
    hex(mac)[..32].to_owned()
}

/// The session that a token is for, if this node issued it. Whether the session is still alive is another question.
pub fn session<'a>(key: &[u8; 32], token: &'a str) -> Option<&'a str> {
    let (hash, session) = token.split_at_checked(64)?;
    let session = session.strip_prefix('.')?;
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    mac(key, session).verify_slice(&bytes).ok().map(|()| session)
}

fn mac(key: &[u8; 32], session: &str) -> Hmac<Sha256> {
    let mut mac = keyed(key, b"hyperlab/session/1\0");
    mac.update(session.as_bytes());
    mac
}

/// A hash under the node's key, for one purpose.
fn keyed(key: &[u8; 32], purpose: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(purpose);
    mac
}

fn hex(mac: Hmac<Sha256>) -> String {
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Keypair;

    #[test]
    fn an_alias_is_for_its_session_peer_and_key_alone() {
        let [one, other] = [1, 2].map(|seed| Keypair::from_seed([seed; 32]).peer_id());
        let said = alias(&[1; 32], "sess-1", &one);
        assert_eq!(said.len(), 32);
        assert_eq!(said, alias(&[1; 32], "sess-1", &one));
        for differs in [
            alias(&[2; 32], "sess-1", &one),
            alias(&[1; 32], "sess-2", &one),
            alias(&[1; 32], "sess-1", &other),
        ] {
            assert_ne!(said, differs);
        }
        assert!(!issue(&[1; 32], "sess-1").contains(&said));
    }

    #[test]
    fn a_token_is_for_its_session_and_key_alone() {
        let token = issue(&[1; 32], "sess-1");
        assert_eq!(session(&[1; 32], &token), Some("sess-1"));
        assert_eq!(session(&[2; 32], &token), None);
        assert_eq!(session(&[1; 32], &token.replace("sess-1", "sess-2")), None);
        assert_eq!(session(&[1; 32], &token[1..]), None);
        for wrong in ["", ".", "sess-1", "\u{e9}"] {
            assert_eq!(session(&[1; 32], wrong), None);
        }
        assert_eq!(session(&[1; 32], &"\u{e9}".repeat(40)), None);
    }
}
