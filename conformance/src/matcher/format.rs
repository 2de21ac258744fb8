//! Formats of strings: ISO 8601 times and peer ids.

/// Is this an ISO 8601 date and time as in RFC 3339? With `utc` it ends in `Z`, with `ms` it has exactly three decimals.
pub(super) fn is_time(text: &str, utc: bool, ms: bool) -> bool {
    let Some((date, rest)) = text.split_once('T') else { return false };
    let date: Vec<&str> = date.split('-').collect();
    let [year, month, day] = date.as_slice() else { return false };
    let in_days = digits(year, 4).is_some()
        && digits(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && digits(day, 2).is_some_and(|day| (1..=31).contains(&day));
    let zone = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone);
    let (time, fraction) =
        time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let time: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = time.as_slice() else { return false };
    let in_hours = digits(hour, 2).is_some_and(|hour| hour < 24)
        && digits(minute, 2).is_some_and(|minute| minute < 60)
        && digits(second, 2).is_some_and(|second| second <= 60);
    let fraction_fits = match fraction {
        Some(fraction) => {
            !fraction.is_empty()
                && fraction.bytes().all(|b| b.is_ascii_digit())
                && (!ms || fraction.len() == 3)
        }
        None => !ms,
    };
    let zone_fits = match zone.strip_prefix(['+', '-']) {
        _ if zone == "Z" => true,
        Some(offset) if !utc => offset.split_once(':').is_some_and(|(hours, minutes)| {
            digits(hours, 2).is_some_and(|hours| hours < 24)
                && digits(minutes, 2).is_some_and(|minutes| minutes < 60)
        }),
        _ => false,
    };
    in_days && in_hours && fraction_fits && zone_fits
}

fn digits(text: &str, length: usize) -> Option<u32> {
    let plain = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// What begins the identity multihash of an Ed25519 public key, in libp2p's protobuf.
const ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Is this the peer id of an Ed25519 key: base58btc of an identity multihash with 32 bytes of key?
pub(super) fn is_peer_id(text: &str) -> bool {
    // 38 bytes are 52 digits.
    text.len() <= 64 && base58(text).is_some_and(|bytes| bytes.len() == 38 && bytes.starts_with(&ED25519))
}

/// Decodes base58btc. For short texts: the time is quadratic.
fn base58(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes: Vec<u8> = Vec::new();
    for letter in text.chars() {
        let mut carry = u32::try_from(ALPHABET.find(letter)?).ok()?;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            bytes.insert(0, carry as u8);
        }
    }
    let zeros = text.chars().take_while(|letter| *letter == '1').count();
    Some([vec![0; zeros], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_recognised() {
        assert!(is_time("2026-03-18T12:00:00.000Z", true, true));
        assert!(is_time("2026-03-18T12:00:00Z", true, false));
        assert!(is_time("2026-03-18T12:00:00.123456+02:00", false, false));
        for wrong in [
            "",
            "2026-03-18",
            "2026-3-18T12:00:00Z",
            "2026-13-18T12:00:00Z",
            "2026-03-18T24:00:00Z",
            "2026-03-18T12:00:00",
        ] {
            assert!(!is_time(wrong, false, false), "{wrong}");
        }
        assert!(!is_time("2026-03-18T12:00:00+02:00", true, false));
        assert!(!is_time("2026-03-18T12:00:00.123456Z", true, true));
    }

    #[test]
    fn peer_ids_are_recognised() {
        // The example of libp2p's specification of peer ids.
        assert!(is_peer_id("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"));
        for wrong in [
            "",
            "12D3KooW",
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            "12D3KooWRx434ACwmJz...",
            "0OIl",
        ] {
            assert!(!is_peer_id(wrong), "{wrong}");
        }
    }
}
