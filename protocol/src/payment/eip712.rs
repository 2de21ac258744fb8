//! EIP-712: from a typed struct and its domain to the 32 bytes that are signed. Flat structs only; no type here nests.

use super::address::Address;
use super::keccak256;

/// Where a signature is valid. What is absent is absent from the domain's type too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domain<'a> {
    /// The application or token.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The chain (EIP-155).
    pub chain: u64,
    /// The contract that will check the signature, if any.
    pub contract: Option<Address>,
}

impl Domain<'_> {
    /// Our own structs under a chain; 1 for what is on no chain.
    pub const fn hyperspace(chain: u64) -> Self {
        Domain { name: "Hyperspace Micropayments", version: "1", chain, contract: None }
    }

    /// The hash that stands for the domain.
    pub fn separator(&self) -> [u8; 32] {
        let mut words = Words::of(match self.contract {
            None => "EIP712Domain(string name,string version,uint256 chainId)",
            Some(_) => "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
        });
        words.text(self.name).text(self.version).number(self.chain.into());
        if let Some(contract) = &self.contract {
            words.address(contract);
        }
        words.hash()
    }
}

/// A struct that can be signed.
pub trait Typed {
    /// Its type as EIP-712 encodes it: `Name(type member,...)`.
    const TYPE: &'static str;
    /// Its members, each a word of 32 bytes, in the order of [`Self::TYPE`].
    fn members(&self, words: &mut Words);
}

/// The words of a struct, its type's hash first.
#[derive(Debug)]
pub struct Words(Vec<u8>);

impl Words {
    fn of(type_text: &str) -> Self {
        Self(keccak256(type_text.as_bytes()).to_vec())
    }

    /// Words without a type, as `abi.encode` has them.
    pub(super) const fn bare() -> Self {
        Self(Vec::new())
    }

    /// A `bytes32`.
    pub fn word(&mut self, word: &[u8; 32]) -> &mut Self {
        self.0.extend_from_slice(word);
        self
    }

    /// A `uint` of any width.
    pub fn number(&mut self, number: u128) -> &mut Self {
        self.0.extend_from_slice(&[0; 16]);
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// An `address`.
    pub fn address(&mut self, address: &Address) -> &mut Self {
        self.0.extend_from_slice(&[0; 12]);
        self.0.extend_from_slice(&address.0);
        self
    }

    /// A `string`: its hash.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.word(&keccak256(text.as_bytes()))
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        keccak256(&self.0)
    }
}

/// `hashStruct` of EIP-712.
pub fn struct_hash<T: Typed>(message: &T) -> [u8; 32] {
    let mut words = Words::of(T::TYPE);
    message.members(&mut words);
    words.hash()
}

/// What is signed.
pub fn digest<T: Typed>(domain: &Domain<'_>, message: &T) -> [u8; 32] {
    let mut bytes = [0; 66];
    bytes[..2].copy_from_slice(&[0x19, 0x01]);
    bytes[2..34].copy_from_slice(&domain.separator());
    bytes[34..].copy_from_slice(&struct_hash(message));
    keccak256(&bytes)
}
