//! Session tokens (spec 2.3, decision J10): a session's id and a keyed hash of it, so that they need not be stored.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The token of a session under this node's key: `{hash, 64 hex digits}.{session id}`.
pub fn issue(key: &[u8; 32], session: &str) -> String {
    let mut text = String::with_capacity(65 + session.len());
    for byte in mac(key, session).finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text + "." + session
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
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(b"hyperlab/session/1\0");
    mac.update(session.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

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
