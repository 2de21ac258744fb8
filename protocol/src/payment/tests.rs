//! Vectors made with other implementations, and what a payee keeps whatever is delivered.

use proptest::prelude::*;

use super::types::*;
use super::*;
use crate::identity::Keypair;
use crate::time::{Duration, UnixMillis};

const SEPOLIA: u64 = 84_532;
const RESOURCE: &str = "http://127.0.0.1:3100/inference";

fn key() -> Key {
    Key::from_secret(&[0xac; 32]).unwrap()
}

fn payer() -> Address {
    "0xe57E649e59FBeD533F165eA135261236c39c2797".parse().unwrap()
}

fn payee() -> Address {
    "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".parse().unwrap()
}

fn usdc() -> Address {
    "0x036CbD53842c5426634e7929541eC2318f3dCF7e".parse().unwrap()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    text.parse::<Hex<N>>().unwrap().0
}

/// Signs, and checks digest (if known), signature and signer.
fn check<T: Typed>(domain: &Domain<'_>, message: &T, expected: Option<&str>, signature: &str) {
    let hash = digest(domain, message);
    if let Some(expected) = expected {
        assert_eq!(Hex(hash).to_string(), expected);
    }
    assert_eq!(key().sign(&hash).0.to_string(), signature);
    assert_eq!(Signature(signature.parse().unwrap()).recover(&hash), Ok(payer()));
}

#[test]
fn keys_have_the_addresses_that_wallets_show() {
    assert_eq!(key().address(), payer());
    assert_eq!(key().address().to_string(), "0xe57E649e59FBeD533F165eA135261236c39c2797");
    assert_eq!(format!("{:?}", key()), "Key(0xe57E649e59FBeD533F165eA135261236c39c2797)");
    assert_eq!(Key::from_secret(&[0; 32]), None);
    assert_eq!(Key::from_secret(&[0xff; 32]), None);
}

#[test]
fn a_checksum_is_checked_where_there_is_one() {
    // From EIP-55.
    for text in [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(text.to_lowercase().parse(), Ok(address));
        assert_eq!(format!("0x{}", text[2..].to_uppercase()).parse(), Ok(address));
    }
    let wrong = "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    assert_eq!(wrong.parse::<Address>(), Err(AddressError::Checksum));
    for wrong in ["", "0x", "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", &wrong[..41], "0xg", &"é".repeat(21)]
    {
        assert_eq!(wrong.parse::<Address>(), Err(AddressError::Shape), "{wrong}");
    }
}

#[test]
fn the_authorization_of_a_real_x402_v2_client() {
    let domain = Domain { name: "USDC", version: "2", chain: SEPOLIA, contract: Some(usdc()) };
    let message = TransferWithAuthorization {
        from: payer(),
        to: payee(),
        value: 10_000,
        valid_after: 0,
        valid_before: 1_795_157_383,
        nonce: bytes("0xd2cd71b7d90f3c101ff49480cee789c67e54ca8a103242f7e8a4f44db1763083"),
    };
    check(
        &domain,
        &message,
        Some("0x83b2c2b82598868ba87b737795d242b6ff39fd985a17563a6cb8cca639fe0aa3"),
        "0x5c7ec167ec2dc488de7fef00b2c401bc0622128c5619b5b957d95f6e26abd6237dbbbe68be00ac25161d40e866166615736aefbbefd858fd86122f6b2e903e741c",
    );
    let message = TransferWithAuthorization {
        valid_after: 1_795_156_758,
        valid_before: 1_795_157_418,
        nonce: bytes("0x4699f726839c53b91074330652a400e0005e70fe7363af95ac6788fc60787d83"),
        ..message
    };
    check(
        &domain,
        &message,
        None,
        "0x638493ea0229e3b8369f79144f3d8c2fd3a8ce1a80351a9f9697631fcde538213dadd4f93df6dbd2635b542862de6213057c7648d40bf56e4fe3c842470ff7401c",
    );
}

#[test]
fn a_voucher_of_mpp_sessions() {
    let escrow: Address = "0x1234567890abcdef1234567890abcdef12345678".parse().unwrap();
    let channel = SessionChannel {
        payer: payer(),
        payee: payee(),
        token: usdc(),
        salt: [0xaa; 32],
        authorized_signer: Address::ZERO,
    };
    let id = channel.id(SEPOLIA, &escrow);
    assert_eq!(Hex(id).to_string(), "0x8e280a45b1159ae0a6cfcc156c884f09a4133b52b4419675de850359b1c231b3");
    check(
        &evm_session(SEPOLIA, escrow),
        &SessionVoucher { channel_id: id, cumulative: 6_000 },
        Some("0x7878f2b690f852f08a2f85309c720d4a1a26ae2c3b5264b8fe03f3ebf755b752"),
        "0x6e6958ac6b5058d5f4712bcc30bcc4fc831e12bfa03f5c7d42624ee794e6360a77fba614ee8e27a9397c41e19e958299278c732221916d6a7b6ea6e48e41dd1b1b",
    );
}

#[test]
fn the_vouchers_of_a_real_x402_batch_settlement_client() {
    let config = ChannelConfig {
        payer: payer(),
        payer_authorizer: payer(),
        receiver: payee(),
        receiver_authorizer: payee(),
        token: usdc(),
        withdraw_delay: 900,
        salt: [0xaa; 32],
    };
    let channel_id = config.id(SEPOLIA);
    assert_eq!(
        Hex(channel_id).to_string(),
        "0xbb4945988bf61ea408ab625f3921f865b6f185b549811fa93b0fdf9c5ef0466b"
    );
    for (max_claimable, signature) in [
        (
            3_000,
            "0x59c8eabb7ac9a0cfed8a22e09ed67fdddd4d7ccb1c1a87731888806ec223d9d51294c0cbc64ebf9698eb9dc76386bf28b039a29db7e50b1ecc7da26563560b1e1c",
        ),
        (
            6_000,
            "0x9cda3e5600153e321fc1daa41c2f64591d16a958a8e115251fe34932db7cafe70975524849a941ca3d26f1152b70c1175b9ceaa7fca58d37c7afd11b556918e91c",
        ),
    ] {
        check(&batch_settlement(SEPOLIA), &BatchVoucher { channel_id, max_claimable }, None, signature);
    }
}

#[test]
fn a_receipt_of_the_offer_receipt_extension() {
    let receipt = ServerReceipt {
        version: 1,
        network: "eip155:84532".to_owned(),
        resource_url: RESOURCE.to_owned(),
        payer: payer().to_string(),
        issued_at: 1_773_838_800,
        transaction: String::new(),
    };
    assert_eq!(
        Hex(digest(&OFFER_RECEIPT, &receipt)).to_string(),
        "0xb6ab47ac459fbd7b8d6beebbd3b2ba4e182486157d0a54dbdc3dd6c1977331cf"
    );
}

#[test]
fn a_receipt_of_our_own() {
    let receipt = PaymentReceipt {
        challenge_id: [1; 32],
        payer: payer(),
        payee: payee(),
        asset: "USDC".to_owned(),
        amount: 10_000,
        resource: RESOURCE.to_owned(),
        nonce: [2; 32],
        valid_after: 0,
        valid_before: 1_773_838_800,
    };
    check(
        &Domain::hyperspace(SEPOLIA),
        &receipt,
        Some("0xfe355dffa6fe02f499d8463e672d41168c96622db79317285d348fea11e7ac33"),
        "0x66234ccb8284b97bae6921e0e1e0121fbfe282ab8d0750e305328f35d0b372af37fdd0270f05f69ad803cc2c21e7a4b555d95f55a5fc9fd8bf80693a86ec3cbf1c",
    );
}

/// The other signature that satisfies the equation: `n - s`, and the other parity.
pub(crate) fn malleate(signature: &Signature) -> Signature {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
        0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
    ];
    let mut other = signature.0.0;
    let mut borrow = 0;
    for (byte, order) in other[32..64].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference as u8;
    }
    other[64] ^= 27 ^ 28;
    Signature(Hex(other))
}

#[test]
fn signatures_have_one_form() {
    let hash = keccak256(b"a message");
    let signature = key().sign(&hash);
    assert_eq!(signature.recover(&hash), Ok(payer()));
    let with = |place: usize, byte: u8| {
        let mut changed = signature;
        changed.0.0[place] = byte;
        changed.recover(&hash)
    };
    assert_eq!(with(64, signature.0.0[64] - 27), Ok(payer()), "0 and 1 are taken for 27 and 28");
    for parity in [2, 26, 29, 255] {
        assert_eq!(with(64, parity), Err(SignatureError::Parity));
    }
    assert_ne!(with(64, signature.0.0[64] ^ 27 ^ 28), Ok(payer()));
    assert_eq!(malleate(&signature).recover(&hash), Err(SignatureError::HighS));
    assert_eq!(malleate(&malleate(&signature)), signature);
    for half in [0..32, 32..64] {
        for byte in [0, 0xff] {
            let mut wrong = signature;
            wrong.0.0[half.clone()].fill(byte);
            assert_eq!(wrong.recover(&hash), Err(SignatureError::Range));
        }
    }
    // No point of the curve has this coordinate.
    let mut wrong = signature;
    wrong.0.0[..31].fill(0);
    wrong.0.0[31] = 5;
    assert_eq!(wrong.recover(&hash), Err(SignatureError::NoKey));
    assert_ne!(signature.recover(&keccak256(b"another message")), Ok(payer()));
}

#[test]
fn a_binding_takes_both_keys() {
    let peer = Keypair::from_seed([7; 32]);
    let binding = Binding::new(&peer, &key());
    assert_eq!(binding.verify(), Some(peer.peer_id()));
    let text = serde_json::to_string(&binding).unwrap();
    assert_eq!(serde_json::from_str::<Binding>(&text).unwrap(), binding);
    let other_key = Key::from_secret(&[1; 32]).unwrap();
    let stolen = Binding::new(&Keypair::from_seed([8; 32]), &other_key);
    for wrong in [
        Binding { address: other_key.address(), ..binding.clone() },
        Binding { peer_id: stolen.peer_id.clone(), ..binding.clone() },
        Binding { peer_sig: stolen.peer_sig, ..binding.clone() },
        Binding { address_sig: stolen.address_sig, ..binding.clone() },
        Binding { address: stolen.address, address_sig: stolen.address_sig, ..binding.clone() },
        Binding { peer_id: "x".to_owned(), ..binding },
    ] {
        assert_eq!(wrong.verify(), None, "{wrong:?}");
    }
}

const TERMS: fn() -> ChannelTerms =
    || ChannelTerms { id: [9; 32], payer: payer(), chain: SEPOLIA, deposit: 100, grace: GRACE };

fn voucher(nonce: u64, cumulative: u128) -> SignedVoucher {
    let voucher = ChannelVoucher { channel_id: [9; 32], nonce, cumulative, memo_hash: memo_hash("") };
    SignedVoucher::new(&key(), SEPOLIA, voucher)
}

#[test]
fn a_payee_checks_in_order() {
    let mut channel = ChannelAcceptor::new(TERMS());
    assert_eq!(channel.on_voucher(&voucher(2, 30)), Ok(30));
    assert_eq!(channel.on_voucher(&voucher(2, 30)), Ok(0), "again");
    assert_eq!(channel.on_voucher(&voucher(1, 10)), Ok(0), "late");
    assert_eq!(channel.on_voucher(&voucher(2, 31)), Err(Refusal::NonceReplay));
    assert_eq!(channel.on_voucher(&voucher(2, 101)), Err(Refusal::NonceReplay));
    assert_eq!(channel.on_voucher(&voucher(3, 101)), Err(Refusal::AmountExceedsDeposit));
    // The signature comes before the short cut for what changes nothing.
    let mut forged = voucher(1, 10);
    forged.signature = malleate(&forged.signature);
    assert_eq!(channel.on_voucher(&forged), Err(Refusal::InvalidSignature));
    let other = SignedVoucher::new(&Key::from_secret(&[1; 32]).unwrap(), SEPOLIA, voucher(1, 10).voucher);
    assert_eq!(channel.on_voucher(&other), Err(Refusal::SignerMismatch));
    let elsewhere = SignedVoucher::new(&key(), 1, voucher(3, 40).voucher);
    assert_eq!(channel.on_voucher(&elsewhere), Err(Refusal::SignerMismatch), "another chain");
    let mut foreign = voucher(3, 40).voucher;
    foreign.channel_id = [8; 32];
    let foreign = SignedVoucher::new(&key(), SEPOLIA, foreign);
    assert_eq!(channel.on_voucher(&foreign), Err(Refusal::ChannelNotFound));

    assert_eq!(channel.charge(31), Err(Refusal::InsufficientBalance));
    assert_eq!(channel.charge(u128::MAX), Err(Refusal::InsufficientBalance));
    assert_eq!((channel.charge(30), channel.spent()), (Ok(()), 30));
    assert_eq!(channel.charge(1), Err(Refusal::InsufficientBalance));
    assert_eq!(channel.close(), Claim { total_spent: 30, refund: 70 });
    assert!(channel.is_closed());
    assert_eq!(channel.on_voucher(&voucher(2, 30)), Ok(0), "nothing changes");
    assert_eq!(channel.on_voucher(&voucher(3, 40)), Err(Refusal::ChannelFinalized));
    assert_eq!(channel.request_close(UnixMillis(0)), None);
    assert_eq!(channel.best(), Some(&voucher(2, 30)));
}

#[test]
fn a_payer_closes_after_the_grace_period() {
    let mut channel = ChannelAcceptor::new(TERMS());
    channel.on_voucher(&voucher(1, 30)).unwrap();
    assert_eq!(channel.handle_timeout(UnixMillis(u64::MAX)), None, "nobody wants to close");
    let now = UnixMillis(1_000);
    let due = now.plus(Duration::from_secs(900));
    assert_eq!(channel.request_close(now), Some(due));
    assert_eq!(channel.request_close(due), Some(due), "once");
    assert_eq!(channel.on_voucher(&voucher(2, 40)), Err(Refusal::ChannelFinalized));
    assert_eq!(channel.charge(30), Ok(()), "what was paid may still be used");
    assert_eq!(channel.poll_timeout(), Some(due));
    assert_eq!(channel.handle_timeout(UnixMillis(due.0 - 1)), None);
    assert_eq!(channel.handle_timeout(due), Some(Claim { total_spent: 30, refund: 70 }));
    assert_eq!((channel.poll_timeout(), channel.handle_timeout(due)), (None, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_claim_is_the_best_voucher_delivered(
        pays in prop::collection::vec(1u128..20, 1..8),
        delivered in prop::collection::vec(0usize..8, 0..16),
        charges in prop::collection::vec(0u128..20, 0..8),
    ) {
        let sums: Vec<u128> = pays
            .iter()
            .scan(0, |sum, pay| {
                *sum += pay;
                Some(*sum)
            })
            .take_while(|sum| *sum <= 100)
            .collect();
        let mut channel = ChannelAcceptor::new(TERMS());
        let mut best = 0;
        let mut charges = charges.into_iter();
        for place in delivered {
            let Some(sum) = sums.get(place) else { continue };
            let raise = channel.on_voucher(&voucher(place as u64 + 1, *sum)).unwrap();
            prop_assert_eq!(raise, sum.saturating_sub(best));
            best = best.max(*sum);
            if let Some(charge) = charges.next() {
                let covered = channel.spent() + charge <= best;
                prop_assert_eq!(channel.charge(charge).is_ok(), covered);
            }
            prop_assert!(channel.spent() <= channel.accepted() && channel.accepted() <= 100);
        }
        let claim = channel.close();
        prop_assert_eq!((claim.total_spent, claim.refund), (best, 100 - best));
    }
}
