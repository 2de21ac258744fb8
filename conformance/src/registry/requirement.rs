//! Requirements: `requirements/hyperspace.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::DataError;
use crate::Level;
use crate::spec::{self, Clause};

/// How a requirement follows from the words that it quotes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The text says so.
    Stated,
    /// One of its examples shows it.
    Example,
    /// It follows from what the text says.
    Implied,
    /// It is a rule of a standard that the text brings in: JSON-RPC 2.0, RFC 6455, RFC 8032, libp2p.
    Inherited,
}

/// What a node can claim to implement: the eight primitives and what is around them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// `state.*`
    State,
    /// `guard.*`
    Guard,
    /// `tool.*`
    Tool,
    /// `memory.*`
    Memory,
    /// `recursive.*`
    Recursive,
    /// `learning.*`
    Learning,
    /// `improving.*`
    Improving,
    /// `micropayments.*`
    Micropayments,
    /// JSON-RPC 2.0 over WebSocket.
    Transport,
    /// GossipSub, envelopes and topics.
    Gossip,
    /// Kademlia and capability cards in it.
    Dht,
    /// Payment by HTTP 402.
    Http402,
    /// The other side of the interfaces.
    Client,
}

impl Profile {
    /// All profiles: the primitives in the order of the text, then the rest.
    pub const ALL: [Self; 13] = [
        Self::State,
        Self::Guard,
        Self::Tool,
        Self::Memory,
        Self::Recursive,
        Self::Learning,
        Self::Improving,
        Self::Micropayments,
        Self::Transport,
        Self::Gossip,
        Self::Dht,
        Self::Http402,
        Self::Client,
    ];

    /// The name that files and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Guard => "guard",
            Self::Tool => "tool",
            Self::Memory => "memory",
            Self::Recursive => "recursive",
            Self::Learning => "learning",
            Self::Improving => "improving",
            Self::Micropayments => "micropayments",
            Self::Transport => "transport",
            Self::Gossip => "gossip",
            Self::Dht => "dht",
            Self::Http402 => "http402",
            Self::Client => "client",
        }
    }

    /// The profile of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Whether it is one of the eight primitives; its name is then the prefix of its methods.
    #[must_use]
    pub fn is_primitive(self) -> bool {
        self <= Self::Micropayments
    }
}

/// Whom a requirement binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A node.
    Node,
    /// An application that uses a node.
    Client,
}

/// By what a requirement is seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Observe {
    /// JSON-RPC calls.
    Rpc,
    /// WebSocket frames.
    Ws,
    /// Peers around the node that gossip with it.
    Gossip,
    /// A peer that speaks Kademlia with it.
    Dht,
    /// HTTP requests.
    Http,
    /// The control hook, or access to the node's files.
    Control,
    /// Several nodes.
    Mesh,
    /// A simulated network.
    Sim,
    /// Nothing.
    None,
}

/// One thing that the text demands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `HSP-`, a clause (or `C` for clients), `-`, a number: `HSP-4.2-11`. Never used again for something else.
    pub id: String,
    /// The clause that it belongs to.
    pub clause: String,
    /// The words of the text that it rests on.
    pub quote: String,
    /// Further words that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The requirement in our words.
    pub text: String,
    /// What breaking it means.
    pub level: Level,
    /// How it follows from the quote.
    pub basis: Basis,
    /// What a node claims for it to apply.
    pub profile: Profile,
    /// What else it must claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Profile>,
    /// Whom it binds.
    pub role: Role,
    /// By what it is seen.
    pub observe: Vec<Observe>,
    /// The one error code that it demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// Why no case tests it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

impl Requirement {
    /// The clause in which its quote stands, which need not be the one it belongs to. `None` only if the quote is not in the text.
    #[must_use]
    pub fn quoted_from(&self) -> Option<&'static Clause> {
        spec::locate(&self.quote, &self.clause)
    }

    /// Whether it concerns a node that claims these profiles.
    #[must_use]
    pub fn applies(&self, claimed: &[Profile]) -> bool {
        claimed.contains(&self.profile) && self.with.iter().all(|profile| claimed.contains(profile))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    requirement: Vec<Requirement>,
}

/// Reads a file of requirements. What they claim about the text is not checked: see [`super::lint`].
///
/// # Errors
/// It is not TOML of this form.
pub fn parse_requirements(text: &str) -> Result<Vec<Requirement>, DataError> {
    Ok(toml::from_str::<File>(text)?.requirement)
}

struct Table {
    rows: Vec<Requirement>,
    by_id: BTreeMap<String, usize>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let rows = parse_requirements(include_str!("../../requirements/hyperspace.toml"))
        .unwrap_or_else(|error| panic!("the embedded requirements/hyperspace.toml: {error}"));
    let by_id = rows.iter().enumerate().map(|(index, row)| (row.id.clone(), index)).collect();
    Table { rows, by_id }
});

/// All requirements, in the order of their clauses, the client role last.
#[must_use]
pub fn requirements() -> &'static [Requirement] {
    &TABLE.rows
}

/// The requirement with this id.
#[must_use]
pub fn requirement(id: &str) -> Option<&'static Requirement> {
    TABLE.by_id.get(id).map(|index| &TABLE.rows[*index])
}

/// The requirements whose first profile is this one.
pub fn by_profile(profile: Profile) -> impl Iterator<Item = &'static Requirement> {
    TABLE.rows.iter().filter(move |row| row.profile == profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_found_by_id_and_profile() {
        assert!(requirements().len() > 300);
        let row = requirement("HSP-4.2-11").unwrap();
        assert_eq!((row.level, row.code, row.profile), (Level::Must, Some(-32002), Profile::Guard));
        assert_eq!(row.quoted_from().unwrap().id, "8");
        assert!(requirement("HSP-4.2-99").is_none());
        assert!(by_profile(Profile::Dht).count() >= 10);
        assert_eq!(Profile::ALL.iter().map(|p| by_profile(*p).count()).sum::<usize>(), requirements().len());
    }

    #[test]
    fn a_row_applies_if_all_its_profiles_are_claimed() {
        let row = requirement("HSP-4.3-10").unwrap();
        assert!(!row.applies(&[Profile::Tool]));
        assert!(row.applies(&[Profile::Dht, Profile::Tool]));
        assert!(!row.applies(&[Profile::Dht]));
    }

    #[test]
    fn names_of_profiles_are_those_of_the_files() {
        for profile in Profile::ALL {
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.name());
            assert_eq!(Profile::parse(profile.name()), Some(profile));
        }
        assert_eq!(Profile::ALL.iter().filter(|p| p.is_primitive()).count(), 8);
        assert_eq!(Profile::parse("selfImproving"), None);
    }

    #[test]
    fn a_broken_file_is_an_error_that_says_where() {
        let error = parse_requirements("[[requirement]]\nid = \"HSP-1-01\"\nlevle = \"must\"\n").unwrap_err();
        assert!(error.to_string().contains("line 3") && error.to_string().contains("levle"), "{error}");
    }
}
