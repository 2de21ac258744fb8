//! The publisher's side of spec 7.4: a heartbeat always, the card when it changes or somebody asks (decision T7).
//!
//! The `seq` of a card is the least number above the last one used that is not below the wall clock in milliseconds. So a
//! peer that lost its state goes on above its old cards all the same, and a clock that steps back does no harm. A clock
//! beyond [`CLOCK_MAX`] is not believed.

use std::sync::Arc;

use super::context::{Context, Count, Output};
use super::payload::{Card, CardError, Heartbeat, SEQ_MAX};
use super::published::Published;
use crate::identity::PeerId;
use crate::time::{Duration, Instant, UnixMillis};

/// The wall clock is ignored beyond this: half of [`SEQ_MAX`], which leaves as many changes (the year 144,683).
pub const CLOCK_MAX: UnixMillis = UnixMillis(SEQ_MAX / 2);

/// Announces one peer's card. Silent until the first [`Announcer::set_card`].
#[derive(Clone, Debug)]
pub struct Announcer {
    own: PeerId,
    /// The last one used.
    seq: u64,
    card: Option<Arc<Published>>,
    next_beat: Instant,
    /// When the full card is to go out, if it is.
    card_due: Instant,
    card_sent: Option<Instant>,
}

/// Why a card was not taken. The card before stays.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// It breaks a bound.
    #[error(transparent)]
    Card(#[from] CardError),
    /// All numbers up to [`SEQ_MAX`] are used up: only a damaged record of the last one can do that.
    #[error("no seq is left for a new card")]
    Exhausted,
}

impl Announcer {
    /// An announcer that goes on after `last_seq`, the last [`Output::Persist`] of the run before; 0 if there is none.
    pub const fn new(own: PeerId, last_seq: u64) -> Self {
        Self {
            own,
            seq: last_seq,
            card: None,
            next_beat: Instant::FAR_FUTURE,
            card_due: Instant::FAR_FUTURE,
            card_sent: None,
        }
    }

    /// Announces this card from now on. Its `seq` and `peer_id` are set here, whatever they are. The first card starts
    /// the heartbeats, at a random phase. Returns false, doing nothing, if nothing in it changed.
    ///
    /// # Errors
    /// See [`SetError`].
    pub fn set_card(&mut self, cx: &mut Context<'_>, card: Card) -> Result<bool, SetError> {
        let mut card = Card { peer_id: self.own, ..card };
        if let Some(current) = &self.card {
            card.seq = current.seq;
            if Published::new(&card)?.hash() == current.hash() {
                return Ok(false);
            }
        }
        card.seq = next_seq(self.seq, cx.unix).ok_or(SetError::Exhausted)?;
        let published = Published::new(&card)?;
        if self.card.is_none() {
            let phase = cx.rng.below(cx.config.heartbeat_interval.as_nanos());
            self.next_beat = cx.now + Duration::from_nanos(phase);
        }
        self.seq = card.seq;
        self.card = Some(Arc::new(published));
        cx.out.push(Output::Persist { seq: self.seq });
        self.want_card(cx);
        Ok(true)
    }

    /// Somebody asked for our card to be published. For an answer to one peer alone (`/hyperspace/card/1`) the driver
    /// sends [`Announcer::card`] by itself.
    pub fn on_request(&mut self, cx: &mut Context<'_>) {
        if self.card.is_some() {
            self.want_card(cx);
        }
    }

    /// Publishes what is due.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let Some(card) = self.card.clone() else { return };
        if self.card_due <= cx.now {
            self.publish_card(cx, &card);
        }
        if self.next_beat <= cx.now {
            let interval = cx.config.heartbeat_interval;
            // A driver that comes late skips beats instead of sending them in a burst.
            let due = cx.now.since(self.next_beat).as_nanos() / interval.as_nanos() + 1;
            self.next_beat += interval.saturating_mul(due);
            cx.out.push(Output::PublishHeartbeat(Heartbeat {
                seq: card.seq,
                card_hash: card.hash(),
                ttl_ms: cx.config.ttl.as_millis(),
            }));
        }
    }

    /// When to call [`Announcer::handle_timeout`] next; may change after any other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.next_beat.min(self.card_due);
        (due != Instant::FAR_FUTURE).then_some(due)
    }

    /// Our card as it was last set.
    pub const fn card(&self) -> Option<&Arc<Published>> {
        self.card.as_ref()
    }

    /// Publishes the card at once or as soon as the last one is long enough ago.
    fn want_card(&mut self, cx: &mut Context<'_>) {
        let Some(card) = self.card.clone() else { return };
        let due = self.card_sent.map_or(cx.now, |sent| sent + cx.config.card_interval_min);
        if due <= cx.now {
            self.publish_card(cx, &card);
        } else {
            self.card_due = due;
            cx.count(Count::CardHeld);
        }
    }

    fn publish_card(&mut self, cx: &mut Context<'_>, card: &Arc<Published>) {
        self.card_sent = Some(cx.now);
        self.card_due = Instant::FAR_FUTURE;
        cx.out.push(Output::PublishCard(Arc::clone(card)));
    }
}

fn next_seq(last: u64, unix: UnixMillis) -> Option<u64> {
    let clock = if unix <= CLOCK_MAX { unix.0 } else { 0 };
    let next = last.checked_add(1)?.max(clock);
    (next <= SEQ_MAX).then_some(next)
}
